"""Bodies of other keypoints than COCO's, from labels to people, and through all stages."""

import json

import numpy as np
import pytest
import yaml

from stages import detect, evaluate, held_out, inspect_data, masks, pack, params, report, train
from stages.openpose.decoding.decoder import decode
from stages.openpose.errors import InputError
from stages.openpose.inference.tta import mirror_maps
from stages.openpose.network.architecture import build
from stages.openpose.network.weights import initialise
from stages.openpose.samples.augment import map_parts, mirrored
from stages.openpose.samples.labels import make_targets
from stages.openpose.skeleton import COCO
from stages.openpose.training.distillation import encode, mirrored_codes
from tests.bodies import body, chains, sided
from tests.oracle import LABELS
from tests.test_detect import run
from tests.tiny_coco import image, jpeg

GRID_HW = (46, 46)


def maps_of(people, skeleton):
    targets = make_targets(people, GRID_HW, LABELS, skeleton=skeleton)
    return targets[..., skeleton.paf_channels :], targets[..., : skeleton.paf_channels]


def two_people(skeleton):
    """Parts [2, K, 3] far apart, the keypoints of each on a winding line."""
    count = len(skeleton.parts)
    steps = np.arange(count)
    first = np.stack([24.0 * (steps % 6) + 10, 24.0 * (steps // 6) + 50], axis=1)
    second = np.stack([first[:, 0] + 180, first[:, 1]], axis=1)
    both = np.stack([first, second])
    return np.concatenate([both, np.ones((2, count, 1))], axis=2)


@pytest.mark.parametrize("count", [1, 2, 3, 14])
def test_labels_of_any_body_are_decoded_to_its_people(count):
    skeleton = body(count)
    people = two_people(skeleton)
    heatmaps, pafs = maps_of(people, skeleton)
    found = decode(heatmaps, pafs, skeleton=skeleton, smoothing_cells=0)
    assert found.keypoints.shape == (2, count, 3)
    order = np.argsort(found.keypoints[:, 0, 0])
    np.testing.assert_allclose(found.keypoints[order, :, :2], people[..., :2], atol=1.0)


def test_a_body_of_133_keypoints_is_decoded():
    skeleton = body(133)
    rows, columns = np.divmod(np.arange(133), 12)
    columns = np.where(rows % 2, 11 - columns, columns)  # the line winds
    person = np.stack([28.0 * columns + 16, 28.0 * rows + 16, np.ones(133)], axis=1)[None]
    heatmaps, pafs = maps_of(person, skeleton)
    found = decode(heatmaps, pafs, skeleton=skeleton, smoothing_cells=0, join_pieces=True)
    best = found.keypoints[found.scores.argmax()]
    assert (best[:, 2] > 0).mean() > 0.9
    seen = best[:, 2] > 0
    np.testing.assert_allclose(best[seen, :2], person[0, seen, :2], atol=1.0)


def test_maps_of_a_mirrored_image_are_the_mirrored_maps_where_a_limb_joins_both_sides():
    skeleton = sided()
    assert -1 in skeleton.mirrored_limb_signs
    people = np.array([[(100, 60, 1), (140, 80, 1), (70, 85, 1), (120, 200, 1)]], float)
    side_px = GRID_HW[0] * LABELS.stride_px
    matrix = mirrored(np.array([[1.0, 0, 0], [0, 1, 0]]), side_px)
    turned = maps_of(map_parts(people, matrix, skeleton), skeleton)
    heatmaps, pafs = maps_of(people, skeleton)
    for expected, found in zip(turned, mirror_maps(heatmaps, pafs, skeleton), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    codes = mirrored_codes(encode(pafs, heatmaps), skeleton).astype(int)
    assert np.abs(codes - encode(*turned[::-1])).max() <= 1


def test_of_another_body_layers_and_maps_of_the_same_name_are_kept(tmp_path):
    theirs = body(5)
    ours = body(3, edges=((1, 0), (1, 2)))
    trained = build("light", skeleton=theirs)
    trained.save_weights(tmp_path / "w.weights.h5")
    network = build("light", skeleton=ours)
    fresh = initialise(network, tmp_path / "w.weights.h5", ours, theirs)
    assert fresh == []
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    pafs, heatmaps, *_ = network(pixels)
    their_pafs, their_heatmaps, *_ = trained(pixels)
    np.testing.assert_allclose(heatmaps[..., :3], their_heatmaps[..., :3], atol=1e-5)
    np.testing.assert_allclose(heatmaps[..., 3], their_heatmaps[..., 5], atol=1e-5)
    place = [limb in ((0, 1), (1, 0)) for limb in theirs.limbs].index(True)
    sign = 1 if theirs.limbs[place] == (1, 0) else -1
    np.testing.assert_allclose(
        pafs[..., :2], sign * np.array(their_pafs)[..., 2 * place : 2 * place + 2], atol=1e-5
    )


def write_data(folder, keypoints, edges, people=6):
    """A data set as download leaves it: noise, one body an image."""
    rng = np.random.default_rng(keypoints)
    points = chains(rng, people, keypoints, 12) % 90 + 10
    entries = [
        {
            "id": i + 1, "image_id": i + 1, "category_id": 4,
            "keypoints": np.c_[points[i].round(1), np.full(keypoints, 2)].ravel().tolist(),
        }
        for i in range(people)
    ]  # fmt: skip
    category = {"id": 4, "name": "thing", "keypoints": [f"point{i}" for i in range(keypoints)]}
    content = {
        "images": [image(i + 1, (110, 120)) for i in range(people)],
        "annotations": entries,
        "categories": [category | ({"skeleton": edges} if edges else {})],
    }
    for name in ("train", "val"):
        (folder / "archives").mkdir(parents=True, exist_ok=True)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"{name}.json").write_text(json.dumps(content))
        images = folder / "images"
        images.mkdir(exist_ok=True)
        for i in range(people):
            (images / f"{i + 1:012d}.jpg").write_bytes(jpeg((110, 120), i))
        (folder / "archives" / f"{name}.folder").write_text(f"{images}\n")


def write_settings(path):
    values = yaml.safe_load(params.preset_text("sample"))
    values["dataset"] = {"name": "things", "generated": []}
    values["pack"] |= {"holdout_images": 2, "min_area_px2": 1}
    values["masks"]["shards"], values["detect"]["shards"] = [0], [0]
    values["augment"] |= {"crop_px": 64}
    values["train"] |= {"epochs": 1, "batch_size": 2, "precision": "float32"}
    values["detect"] |= {"height_px": 64, "scales": [1.0], "precision": "float32"}
    values["evaluate"] |= {"splits": ["val"], "bootstrap_samples": 5}
    path.write_text(yaml.safe_dump(values))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keypoints", "edges"), [(1, []), (2, []), (4, [[1, 2], [2, 3], [3, 4]]), (133, [])]
)
def test_all_stages_take_any_body(keypoints, edges, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, results = tmp_path / "data", tmp_path / "results"
    write_data(data, keypoints, edges)
    write_settings(tmp_path / "params.yaml")
    (data / "masks").mkdir()
    run(monkeypatch, inspect_data.main, "--data", data, "--output", data / "inspected")
    annotations = data / "inspected/annotations/train.json"
    mask = data / "masks/train-0.h5"
    run(monkeypatch, masks.main, "--annotations", annotations, "--shard", 0, "--output", mask)
    packed = {split: data / f"packed/{split}.h5" for split in ("train", "val")}
    for split, path in packed.items():
        run(monkeypatch, pack.main, "--data", data, "--split", split, "--output", path)
    files = ["--train", packed["train"], "--val", packed["val"], "--model", "models/trained"]
    log = results / "train/log.csv"
    run(monkeypatch, train.main, *files, "--log", log, "--checkpoints", results / "checkpoints")
    model = ["--model", "models/trained"]
    measured = results / "held_out/metrics.json"
    run(monkeypatch, held_out.main, *model, "--val", packed["val"], "--output", measured)
    found = results / "detect/trained"
    run(monkeypatch, detect.main, *model, "--data", data, "--output", found / "val/0")
    scores = results / "evaluate/trained/val.json"
    options = ["--data", data, "--detections", found, "--output", scores]
    run(monkeypatch, evaluate.main, *options, "--plots", scores.with_suffix(""))
    run(
        monkeypatch,
        report.main,
        "--results",
        results,
        "--data",
        data,
        "--output",
        results / "report",
    )
    metrics = json.loads(scores.read_text())
    assert metrics["sigmas"] == "estimated"
    assert set(metrics["PCK"]) == {"single", "multi", "multi_flip"}
    page = (results / "report/index.html").read_text()
    assert f"body: {keypoints} keypoints".capitalize() in page
    assert "Measured beside published" not in page


def test_a_model_of_another_body_is_not_evaluated(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InputError, match=r"17 keypoints.*the data set has 3"):
        evaluate.check_bodies([tmp_path], body(3))
    evaluate.check_bodies([tmp_path], COCO)


def test_samples_of_small_bodies_need_keypoints_in_proportion():
    assert [body(count).scaled_count(5) for count in (1, 2, 4, 14)] == [1, 1, 2, 5]
    assert COCO.scaled_count(20) == 20
