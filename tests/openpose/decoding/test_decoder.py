"""Maps to people: painted people come back where they were painted, real maps give the AP that is
promised, and no maps, however broken, break the decoder."""

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.painted import FRONT, LABELS, crowd, maps, person
from stages.openpose.coco.annotations import network_parts
from stages.openpose.decoding.decoder import _people, decode
from stages.openpose.decoding.people import People
from stages.openpose.errors import InputError
from stages.openpose.evaluation import scoring
from stages.openpose.inference.results import to_results
from stages.openpose.inference.tta import mirror_maps, scaled_size, to_image
from stages.openpose.skeleton import COCO
from stages.synthetic.dataset import write_sample

HEIGHT_PX = 368


def _zeros(h: int = 46, w: int = 46) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((h, w, 19), np.float32), np.zeros((h, w, 38), np.float32)


def _farthest(people: People, painted: np.ndarray) -> float:
    """Largest distance in pixels between painted parts [P, 18, 2] and those of the person found
    nearest to them.
    """
    distance = np.linalg.norm(people.parts[:, None, :, :2] - painted[None], axis=3).max(axis=2)
    return distance.min(axis=0).max()


def _same(a: People, b: People) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("keypoints", "parts", "scores")
    )


# --- people come back


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height_px=st.floats(150, 330),
    mode=st.sampled_from(["exact", "fast"]),
)
def test_lone_person_comes_back_within_half_a_pixel(seed, height_px, mode):
    rng = np.random.default_rng(seed)
    parts = np.ones((1, 18, 3), np.float32)
    parts[0, :, :2] = person(rng, height_px) + rng.uniform(150, 160, 2)
    heatmaps, pafs = maps(parts, (62, 46))
    people = decode(heatmaps, pafs, mode=mode)
    assert len(people.scores) == 1
    assert (people.keypoints[..., 2] > 0.75).all()  # smoothing lowers the painted 1 a little
    # eyes and ears of small people lie less than a cell apart, but each has a map of its own
    assert _farthest(people, parts[..., :2]) < 0.5


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("count", [2, 30, 200])
def test_every_person_of_a_crowd_comes_back_whole(count, mode):
    parts, grid = crowd(np.random.default_rng(count), count)
    people = decode(*maps(parts, grid), mode=mode)
    assert len(people.scores) == count
    # neighbours' flanks move a peak by less than half a cell
    assert _farthest(people, parts[..., :2]) < 4


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_place_in_pixels_does_not_depend_on_the_stride(stride):
    parts = np.ones((1, 18, 3), np.float32)
    parts[0, :, :2] = FRONT * 250 + [120.3, 40.9]
    labels = SimpleNamespace(**{**vars(LABELS), "stride_px": stride})
    people = decode(*maps(parts, (320 // stride, 240 // stride), labels), stride=stride)
    assert _farthest(people, parts[..., :2]) < 0.5


def test_keypoints_are_the_parts_in_annotation_order_without_the_neck():
    parts, grid = crowd(np.random.default_rng(0), 3)
    people = decode(*maps(parts, grid))
    np.testing.assert_array_equal(people.keypoints, people.parts[:, list(COCO.part_of_keypoint)])
    for array in (people.keypoints, people.parts, people.scores):
        assert array.dtype == np.float32


def test_part_that_is_not_painted_is_not_found_and_lies_at_zero():
    parts, grid = crowd(np.random.default_rng(0), 1)
    parts[0, COCO.parts.index("left_wrist"), 2] = 2
    keypoints = decode(*maps(parts, grid)).keypoints[0]
    wrist = COCO.keypoints.index("left_wrist")
    np.testing.assert_array_equal(keypoints[wrist], 0)
    assert (np.delete(keypoints, wrist, axis=0)[:, 2] > 0).all()


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_mirrored_maps_give_mirrored_people(mode):
    parts, grid = crowd(np.random.default_rng(4), 6)
    heatmaps, pafs = maps(parts, grid)
    people, mirrored = (
        decode(heatmaps, pafs, mode=mode),
        decode(*mirror_maps(heatmaps, pafs), mode=mode),
    )
    back = mirrored.parts[:, list(COCO.mirrored_parts)]
    back[..., 0] = grid[1] * 8 - 1 - back[..., 0]
    order, other = np.argsort(people.parts[:, 1, 0]), np.argsort(back[:, 1, 0])
    np.testing.assert_allclose(back[other], people.parts[order], atol=0.01)
    np.testing.assert_allclose(mirrored.scores[other], people.scores[order], rtol=1e-4)


def test_maps_moved_by_whole_cells_move_people_as_far():
    parts, grid = crowd(np.random.default_rng(5), 4)
    parts[..., :2] += 40  # no tail is cut by the edge, neither before nor after
    heatmaps, pafs = maps(parts, (grid[0] + 14, grid[1] + 14))
    moved = decode(np.roll(heatmaps, (3, 2), (0, 1)), np.roll(pafs, (3, 2), (0, 1)))
    np.testing.assert_allclose(
        moved.parts[..., :2], decode(heatmaps, pafs).parts[..., :2] + [16, 24], atol=0.01
    )


def test_two_people_without_a_common_limb_stay_two():
    parts, grid = crowd(np.random.default_rng(6), 2)
    left, right = list(range(2, 5)), list(range(8, 11))
    parts[0, [i for i in range(18) if i not in left], 2] = 2
    parts[1, [i for i in range(18) if i not in right], 2] = 2
    is_found = decode(*maps(parts, grid)).parts[..., 2] > 0
    assert sorted(map(tuple, (np.flatnonzero(row) for row in is_found))) == [
        tuple(left),
        tuple(right),
    ]


# --- settings


def test_score_rules_divide_the_sum_by_the_number_of_parts_or_its_root():
    parts, grid = crowd(np.random.default_rng(7), 4)
    parts[1, 10:, 2] = 2
    scores = {rule: decode(*maps(parts, grid), score_rule=rule) for rule in ("sum", "root", "mean")}
    count = (scores["sum"].parts[..., 2] > 0).sum(axis=1)
    np.testing.assert_allclose(scores["mean"].scores, scores["sum"].scores / count, rtol=1e-5)
    np.testing.assert_allclose(
        scores["root"].scores, scores["sum"].scores / np.sqrt(count), rtol=1e-5
    )


def test_people_with_too_few_parts_or_too_low_a_score_are_left_out():
    parts, grid = crowd(np.random.default_rng(8), 2)
    parts[1, 3:, 2] = 2
    heatmaps, pafs = maps(parts, grid)
    assert len(decode(heatmaps, pafs, min_parts=3).scores) == 2
    assert len(decode(heatmaps, pafs, min_parts=4).scores) == 1
    assert len(decode(heatmaps * 0.3, pafs * 0.3, min_score=0.7).scores) == 0


@pytest.mark.parametrize(("min_score", "people"), [(0.5, 1), (np.nextafter(0.5, 1), 0)])
def test_who_reaches_the_least_score_is_a_person(min_score, people):
    peaks = np.array([[1, 1, 0.5], [2, 2, 0.25]], np.float32)
    members, limb_sums = np.array([[0, 1]]), np.array([0.25], np.float32)
    found = _people(peaks, members, limb_sums, 8, 2, float(min_score), 1.0)
    assert len(found[0]) == people


def test_peaks_below_the_threshold_are_not_found():
    parts, grid = crowd(np.random.default_rng(9), 1)
    heatmaps, pafs = maps(parts, grid)
    assert len(decode(heatmaps * 0.3, pafs, peak_threshold=0.2).scores) == 1
    assert len(decode(heatmaps * 0.3, pafs, peak_threshold=0.4).scores) == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"mode": "parity"}, "reference_decoder"),
        ({"mode": "best"}, "exact or fast.*'best'"),
        ({"score_rule": "product"}, "sum, root, mean.*'product'"),
        ({"stride": 0}, "stride >= 1.*found 0"),
        ({"limb_samples": 1}, "limb_samples >= 2.*1"),
    ],
)
def test_setting_out_of_range_is_named(setting, message):
    with pytest.raises(InputError, match=message):
        decode(*_zeros(), **setting)


# --- any maps


@pytest.mark.parametrize(
    ("heatmaps", "pafs", "message"),
    [
        ((46, 46, 18), (46, 46, 38), r"heatmaps: .*\[h, w, 19\].*\[46, 46, 18\]"),
        ((19, 46, 46), (38, 46, 46), r"heatmaps: .*\[h, w, 19\].*\[19, 46, 46\]"),
        ((46, 46), (46, 46, 38), r"heatmaps: .*\[46, 46\]"),
        ((0, 46, 19), (0, 46, 38), r"heatmaps: .*h, w >= 1.*\[0, 46, 19\]"),
        ((46, 46, 19), (46, 45, 38), r"pafs: .*\[46, 46, 38\].*\[46, 45, 38\]"),
        ((46, 46, 19), (46, 46, 19), r"pafs: .*\[46, 46, 38\].*\[46, 46, 19\]"),
    ],
)
def test_maps_of_another_shape_are_refused_with_both_shapes(heatmaps, pafs, message):
    with pytest.raises(InputError, match=message):
        decode(np.zeros(heatmaps, np.float32), np.zeros(pafs, np.float32))


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_empty_maps_hold_nobody(mode):
    people = decode(*_zeros(), mode=mode)
    assert people.keypoints.shape == (0, 17, 3)
    assert people.parts.shape == (0, 18, 3)
    assert people.scores.shape == (0,)


def _finite(people: People) -> bool:
    return all(
        np.isfinite(array).all() for array in (people.keypoints, people.parts, people.scores)
    )


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("hw", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_maps_of_a_cell_or_a_line_are_decoded(hw, mode):
    rng = np.random.default_rng(0)
    for _ in range(20):
        heatmaps, pafs = (
            rng.random((*hw, 19), np.float32),
            rng.normal(0, 1, (*hw, 38)).astype(np.float32),
        )
        people = decode(heatmaps, pafs, mode=mode, min_parts=2)
        assert _finite(people)
        assert (people.parts[..., 0] <= hw[1] * 8).all()
        assert (people.parts[..., 1] <= hw[0] * 8).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, -1e38])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_maps_full_of_a_value_that_is_no_number_hold_nobody(value, mode):
    heatmaps, pafs = _zeros()
    assert (
        len(decode(heatmaps + np.float32(value), pafs + np.float32(value), mode=mode).scores) == 0
    )
    parts, grid = crowd(np.random.default_rng(1), 2)
    heatmaps, pafs = maps(parts, grid)
    assert len(decode(heatmaps, np.full_like(pafs, value), mode=mode).scores) == 0


def test_scattered_values_that_are_no_numbers_cost_only_what_they_cover():
    parts, grid = crowd(np.random.default_rng(2), 6)
    heatmaps, pafs = maps(parts, grid)
    left = np.array([side[:, 0].max() < grid[1] * 3 for side in parts[..., :2]])
    for broken in (heatmaps, pafs):
        spots = np.random.default_rng(3).random(broken.shape) < 0.05
        spots[:, : grid[1] // 2] = False
        broken[spots] = np.random.default_rng(4).choice([np.nan, np.inf, -np.inf], spots.sum())
    people = decode(heatmaps, pafs)
    assert _finite(people)
    assert left.any()
    assert _farthest(people, parts[left][..., :2]) < 4


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("field", ["noise", "one direction"])
def test_thousands_of_false_peaks_are_survived(field, mode):
    rng = np.random.default_rng(0)
    heatmaps = rng.random((64, 64, 19), np.float32)
    pafs = np.full((64, 64, 38), 0.7, np.float32)
    if field == "noise":
        pafs = rng.normal(0, 1, pafs.shape).astype(np.float32)
    people = decode(heatmaps, pafs, mode=mode)
    assert _finite(people)
    found_parts = people.parts[people.parts[..., 2] > 0]
    assert len(np.unique(found_parts, axis=0)) == len(found_parts), "a peak belongs to two people"


def test_constant_maps_are_survived():
    for value in (0.04, 0.5, 1.0):
        assert _finite(
            decode(
                np.full((46, 46, 19), value, np.float32), np.full((46, 46, 38), value, np.float32)
            )
        )


def test_other_dtypes_strides_and_read_only_maps_give_the_same_people():
    parts, grid = crowd(np.random.default_rng(3), 3)
    heatmaps, pafs = (array.astype(np.float16).astype(np.float32) for array in maps(parts, grid))
    expected = decode(heatmaps, pafs)
    assert len(expected.scores) == 3
    frozen = heatmaps.copy(), pafs.copy()
    for array in frozen:
        array.flags.writeable = False
    ways = [
        frozen,
        (heatmaps.astype(np.float16), pafs.astype(np.float64)),
        tuple(np.asfortranarray(array) for array in (heatmaps, pafs)),
        tuple(np.repeat(array, 2, axis=0)[::2] for array in (heatmaps, pafs)),
    ]
    for way in ways:
        before = [array.copy() for array in way]
        assert _same(decode(*way), expected)
        assert all(np.array_equal(a, b) for a, b in zip(before, way, strict=True)), (
            "decode changed its input"
        )


def test_threads_give_what_one_thread_gives():
    images_maps = [maps(*crowd(np.random.default_rng(i), 5)) for i in range(12)]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(lambda pair: decode(*pair), images_maps))
    assert all(_same(a, decode(*pair)) for a, pair in zip(parallel, images_maps, strict=True))


# --- real images


@pytest.mark.parametrize(("mode", "least"), [("exact", 0.345), ("fast", 0.333)])
def test_ap_on_maps_of_a_real_network(shared, mode, least):
    results, ids = [], []
    for path in sorted((shared / "real-maps").glob("*.npz")):
        with np.load(path) as file:
            people = decode(file["heat"], file["paf"], mode=mode)
            results += to_results(
                to_image(people, tuple(file["original"]), HEIGHT_PX), int(path.stem)
            )
        ids.append(int(path.stem))
    truth = scoring.read_ground_truth(
        shared / "coco-mini" / "annotations" / "person_keypoints.json"
    )
    metrics, _ = scoring.evaluate(truth, results, ids)
    assert metrics["AP"] >= least


def _in_one_piece(parts: np.ndarray) -> bool:
    """Whether the labelled parts [18, 3] hang together by limbs that may start a person."""
    labelled = {i for i in range(len(parts)) if parts[i, 2] < 2}
    reached = set(list(labelled)[:1])
    for _ in labelled:
        for limb in COCO.limbs:
            if labelled.issuperset(limb) and reached.intersection(limb):
                reached.update(limb)
    return len(labelled) >= 3 and reached == labelled


def _painted_again(document: dict, folder: Path, **settings) -> float:
    """AP of the ground truth turned into label maps and decoded again."""
    labelled = [
        annotation
        for annotation in document["annotations"]
        if not annotation["iscrowd"] and annotation["num_keypoints"] > 0
    ]
    results = []
    for image in document["images"]:
        hw = (image["height"], image["width"])
        people = [
            np.reshape(annotation["keypoints"], (17, 3))
            for annotation in labelled
            if annotation["image_id"] == image["id"]
        ]
        if people:
            size = scaled_size(hw, HEIGHT_PX)
            parts = network_parts(np.array(people))
            parts[..., :2] = (parts[..., :2] + 0.5) * [size[1] / hw[1], size[0] / hw[0]] - 0.5
            decoded = decode(*maps(parts, (size[0] // 8, -(-size[1] // 8))), **settings)
            results += to_results(to_image(decoded, hw, HEIGHT_PX), image["id"])
    (folder / "truth.json").write_text(json.dumps(document))
    truth = scoring.read_ground_truth(folder / "truth.json")
    return scoring.evaluate(truth, results, [image["id"] for image in document["images"]])[0]["AP"]


def _without_pieces(document: dict) -> dict:
    """The same with the keypoints of all people taken away whose labels fall into pieces that no
    field connects (where a shoulder is not labelled, nor is the neck) or who have a single
    keypoint, which has no field at all."""
    document = json.loads(json.dumps(document))
    for annotation in document["annotations"]:
        if annotation["num_keypoints"] > 0 and not annotation["iscrowd"]:
            keypoints = np.reshape(annotation["keypoints"], (1, 17, 3))
            if not _in_one_piece(network_parts(keypoints)[0]):
                annotation["keypoints"], annotation["num_keypoints"] = [0] * 51, 0
    return document


@pytest.fixture(params=["drawn", "real"])
def annotated(request, tmp_path) -> dict:
    """A COCO document: of the drawn sample, or of real images."""
    if request.param == "real":
        path = (
            request.getfixturevalue("shared")
            / "coco-mini"
            / "annotations"
            / "person_keypoints.json"
        )
        return json.loads(path.read_text())
    write_sample(tmp_path, seed=20141, counts={"train": 1, "val": 40}, val1k_images=1, workers=1)
    with zipfile.ZipFile(tmp_path / "annotations.zip") as archive:
        return json.loads(archive.read("annotations/person_keypoints_val2014.json"))


def test_ground_truth_of_people_in_one_piece_keeps_its_ap(annotated, tmp_path):
    """What is lost is lost where limbs of people cross and where small people stand closer than a
    cell.
    """
    assert _painted_again(_without_pieces(annotated), tmp_path) >= 0.95


def test_joining_pieces_brings_ap_back(annotated, tmp_path):
    """What the maps cannot hold: lone keypoints, and which pieces belong together. Joining guesses
    the latter.
    """
    apart, joined = (
        _painted_again(annotated, tmp_path, join_pieces=join) for join in (False, True)
    )
    assert joined > apart + 0.02
    assert joined >= 0.83


def test_ground_truth_of_the_tiny_sample_painted_and_decoded_keeps_its_ap(tmp_path):
    """Everybody counted; of the whole sample: docs/experiments/details.md."""
    write_sample(tmp_path, seed=20141, counts={"train": 1, "val": 20}, val1k_images=1, workers=1)
    with zipfile.ZipFile(tmp_path / "annotations.zip") as archive:
        document = json.loads(archive.read("annotations/person_keypoints_val2014.json"))
    assert _painted_again(document, tmp_path) >= 0.95
