import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO as CocoIndex

from stages.openpose.decoding.people import People
from stages.openpose.errors import InputError
from stages.openpose.evaluation import scoring, second_judge
from stages.openpose.inference.results import to_results
from stages.openpose.skeleton import COCO
from tests import tiny_coco
from tests.oracle import annotation, figure


def people_of(parts, scores=None):
    """People as a decoder returns them."""
    parts = np.array(parts, np.float32).reshape(-1, 18, 3)
    keypoints = parts[:, list(COCO.part_of_keypoint)]
    return People(
        keypoints,
        parts,
        np.array(scores if scores is not None else np.ones(len(parts)), np.float32),
    )


@pytest.fixture
def labelled(tmp_path):
    """Annotations of four images (two figures, one, one with a crowd, nobody) and the figures by
    image.
    """
    figures = {
        1: [figure(60, 30, 120), figure(150, 40, 90)],
        2: [figure(80, 20, 140)],
        3: [figure(90, 50, 100)],
    }
    annotations = [
        annotation(10 * image_id + row, image_id, figure_parts)
        for image_id, image_figures in figures.items()
        for row, figure_parts in enumerate(image_figures)
    ]
    mask = np.zeros((240, 240), bool)
    mask[150:, 150:] = True
    annotations.append(tiny_coco.crowd(99, 3, mask))
    images = [tiny_coco.image(image_id, (240, 240)) for image_id in (1, 2, 3, 4)]
    truth = scoring.read_ground_truth(
        tiny_coco.write_json(tmp_path / "val.json", images, annotations)
    )
    return truth, figures


def shaken(figures, sizes_px, rng):
    """COCO results: every figure with noise of its own size, and a false one in each image."""
    results = []
    for image_id, image_figures in figures.items():
        parts = [
            figure_parts + np.append(rng.normal(scale=rng.choice(sizes_px), size=2), 0)
            for figure_parts in image_figures
        ]
        parts.append(figure(*rng.uniform(20, 220, 2), 60))
        results += to_results(people_of(parts, rng.random(len(parts))), image_id)
    return results


def pycocotools_ap(truth, results, ids):
    metrics, _ = scoring.evaluate(truth, results, ids)
    return metrics["AP"]


def test_labels_as_detections_have_ap_one(labelled):
    truth, figures = labelled
    results = [
        person
        for image_id, image_figures in figures.items()
        for person in to_results(people_of(image_figures), image_id)
    ]
    metrics, matches = scoring.evaluate(truth, results, [1, 2, 3, 4])
    assert metrics["AP"] == metrics["AP50"] == metrics["AR"] == pytest.approx(1)
    assert matches.people.tolist() == [2, 1, 1, 0]


@pytest.mark.parametrize("seed", range(5))
def test_our_accumulation_equals_that_of_pycocotools(labelled, seed):
    truth, figures = labelled
    results = shaken(figures, [1, 4, 10, 30], np.random.default_rng(seed))
    metrics, matches = scoring.evaluate(truth, results, [1, 2, 3, 4])
    precision = scoring.precision_at_recall(matches)
    assert precision.mean() == pytest.approx(metrics["AP"], abs=1e-9)
    assert precision[0].mean() == pytest.approx(metrics["AP50"], abs=1e-9)
    assert precision[5].mean() == pytest.approx(metrics["AP75"], abs=1e-9)


def test_accumulation_equals_pycocotools_on_real_detections(shared):
    truth = scoring.read_ground_truth(shared / "coco-mini/annotations/person_keypoints.json")
    for name in ("seed", "tfpose"):
        results = json.loads((shared / f"golden/{name}_detections.json").read_text())
        metrics, matches = scoring.evaluate(truth, results, truth.getImgIds())
        assert metrics["AP"] == pytest.approx({"seed": 0.324, "tfpose": 0.343}[name], abs=6e-4)
        assert scoring.average_precision(matches) == pytest.approx(metrics["AP"], abs=1e-9)


def test_detections_have_the_areas_that_pycocotools_gives_them(shared):
    truth = scoring.read_ground_truth(shared / "coco-mini/annotations/person_keypoints.json")
    results = json.loads((shared / "golden/tfpose_detections.json").read_text())
    theirs = truth.loadRes([dict(result) for result in results]).anns
    ours = scoring._results_index(truth, results, 17).anns
    assert {number: one["area"] for number, one in ours.items()} == {
        number: one["area"] for number, one in theirs.items()
    }


@pytest.mark.skipif(find_spec("hotcoco") is None, reason="hotcoco (extra judge) is not installed")
def test_hotcoco_agrees_with_pycocotools_and_a_difference_is_named(shared):
    truth = scoring.read_ground_truth(shared / "coco-mini/annotations/person_keypoints.json")
    results = json.loads((shared / "golden/tfpose_detections.json").read_text())
    ids = truth.getImgIds()
    for skeleton in (COCO, replace(COCO, oks_sigmas=(0.05,) * 17)):
        second = second_judge.judge(truth, ids[::2], skeleton)
        ours = {"multi": scoring.evaluate(truth, results, ids[::2], skeleton=skeleton)[0]}
        assert second_judge.disagreement(ours, {"multi": second(results)}) == ""
        fewer = second_judge.disagreement(ours, {"multi": second(results[:40])})
        assert fewer.startswith(f"multi AP {ours['multi']['AP']} and 0.")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_an_image_drawn_twice_counts_as_two_images(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    figures = {image_id: [figure(*rng.uniform(60, 150, 2), 80)] for image_id in range(1, 5)}
    counts = rng.integers(0, 3, 4)
    images, annotations, copies, results = [], [], [], []
    results_of = {
        image_id: shaken({image_id: figures[image_id]}, [2, 8, 20], rng) for image_id in figures
    }
    for image_id, count in zip(figures, counts, strict=True):
        for copy in range(count):
            copy_id = 100 * image_id + copy
            copies.append(copy_id)
            images.append(tiny_coco.image(copy_id, (240, 240)))
            annotations += [annotation(copy_id, copy_id, person) for person in figures[image_id]]
            results += [{**person, "image_id": copy_id} for person in results_of[image_id]]
    if not copies:
        return
    folder = tmp_path_factory.mktemp("drawn")
    drawn_truth = scoring.read_ground_truth(
        tiny_coco.write_json(folder / "drawn.json", images, annotations)
    )
    every = [
        annotation(image_id, image_id, image_figures[0])
        for image_id, image_figures in figures.items()
    ]
    once = [tiny_coco.image(image_id, (240, 240)) for image_id in figures]
    truth = scoring.read_ground_truth(tiny_coco.write_json(folder / "once.json", once, every))
    _, matches = scoring.evaluate(
        truth,
        [person for image_results in results_of.values() for person in image_results],
        list(figures),
    )
    want, _ = scoring.evaluate(drawn_truth, results, copies)
    assert scoring.average_precision(matches, counts) == pytest.approx(want["AP"], abs=1e-9)


def test_no_detections_at_all_is_zero_not_a_crash(labelled):
    metrics, matches = scoring.evaluate(labelled[0], [], [1, 2, 3, 4])
    assert metrics["AP"] == metrics["AR"] == 0
    assert scoring.bootstrap_interval(matches, 20, np.random.default_rng(1)) == (0, 0)


def test_images_without_people_only_is_undefined_not_a_crash(labelled):
    truth, figures = labelled
    metrics, matches = scoring.evaluate(truth, to_results(people_of(figures[1]), 4), [4])
    assert metrics["AP"] is None
    assert np.isnan(scoring.average_precision(matches))
    assert scoring.bootstrap_interval(matches, 5, np.random.default_rng(1)) is None


def test_detections_in_an_image_without_people_lower_ap(labelled):
    truth, figures = labelled
    results = [
        person
        for image_id, image_figures in figures.items()
        for person in to_results(people_of(image_figures), image_id)
    ]
    false = to_results(people_of([figure(100, 100, 80)], [2.0]), 4)
    assert scoring.evaluate(truth, results + false, [1, 2, 3, 4])[0]["AP"] < 0.95


def test_images_without_detections_count(labelled):
    truth, figures = labelled
    results = to_results(people_of(figures[2]), 2)
    assert scoring.evaluate(truth, results, [2])[0]["AR"] == pytest.approx(1)
    assert scoring.evaluate(truth, results, [1, 2, 3])[0]["AR"] == pytest.approx(0.25)


def test_ids_outside_the_annotations_are_refused(labelled):
    truth, figures = labelled
    with pytest.raises(InputError, match=r"detections.*\[77\]"):
        scoring.evaluate(truth, to_results(people_of(figures[1]), 77), [1])
    with pytest.raises(InputError, match=r"image list.*\[78\]"):
        scoring.evaluate(truth, [], [1, 78])


def test_detections_of_other_images_do_not_matter(labelled):
    truth, figures = labelled
    results = [
        person
        for image_id, image_figures in figures.items()
        for person in to_results(people_of(image_figures), image_id)
    ]
    assert pycocotools_ap(truth, results, [2]) == pycocotools_ap(
        truth, [r for r in results if r["image_id"] == 2], [2]
    )


def test_results_load_in_pycocotools_and_keep_keypoint_scores(labelled):
    truth, _ = labelled
    parts = figure(60.123456, 30, 120)
    parts[0, 2], parts[5] = 0.25, 0  # the left shoulder is absent
    (result,) = to_results(people_of([parts], [0.5]), 1)
    loaded = truth.loadRes([dict(result)])
    assert isinstance(loaded, CocoIndex)
    assert loaded.loadAnns(1)[0]["score"] == 0.5
    assert result["keypoints"][:3] == [60.12, 30.0, 2]
    assert result["keypoint_scores"][0] == 0.25
    shoulder = 3 * COCO.keypoints.index("left_shoulder")
    assert result["keypoints"][shoulder : shoulder + 3] == [0, 0, 0]
    json.dumps(result)


def test_results_are_sorted_by_score():
    results = to_results(people_of([figure(50, 50, 50)] * 3, [0.2, 0.9, 0.5]), 1)
    assert [person["score"] for person in results] == [0.9, 0.5, 0.2]


def test_bootstrap_is_repeatable_and_holds_the_estimate(labelled):
    truth, figures = labelled
    _, matches = scoring.evaluate(
        truth, shaken(figures, [2, 6], np.random.default_rng(3)), [1, 2, 3, 4]
    )
    first, again = (
        scoring.bootstrap_interval(matches, 200, np.random.default_rng(7)) for _ in range(2)
    )
    assert first == again
    assert first[0] <= scoring.average_precision(matches) <= first[1]


def test_difference_of_a_model_with_itself_is_zero(labelled):
    truth, figures = labelled
    _, matches = scoring.evaluate(
        truth, shaken(figures, [2, 6], np.random.default_rng(3)), [1, 2, 3, 4]
    )
    assert scoring.paired_difference(matches, matches, 20, seed=1) == (0, (0, 0))


def test_a_model_better_on_every_image_is_surely_better(labelled):
    truth, figures = labelled
    right = [
        person
        for image_id, image_figures in figures.items()
        for person in to_results(people_of(image_figures), image_id)
    ]
    off = [
        to_results(people_of([p + np.array([9, 0, 0]) for p in image_figures]), i)
        for i, image_figures in figures.items()
    ]
    ours, theirs = (
        scoring.evaluate(truth, results, [1, 2, 3])[1]
        for results in (right, [person for image_results in off for person in image_results])
    )
    gain, (low, high) = scoring.paired_difference(ours, theirs, 50, seed=1)
    assert 0 < low <= gain <= high


def test_results_of_other_images_cannot_be_paired(labelled):
    truth, _ = labelled
    ours, theirs = (scoring.evaluate(truth, [], ids)[1] for ids in ([1, 2], [1, 3]))
    with pytest.raises(InputError, match="different images"):
        scoring.paired_difference(ours, theirs, 5, seed=1)


@pytest.mark.parametrize("text", ["", "[]", '{"images": []}', "{", '{"annotations": 3}'])
def test_a_file_that_is_no_annotation_is_named(tmp_path, text):
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"wrong\.json"):
        scoring.read_ground_truth(path)


def test_the_interval_holds_the_middle_95_percent():
    values = np.random.default_rng(0).permutation(1001) / 1000
    values = np.append(values, [np.nan] * 50)
    np.testing.assert_allclose(scoring.percentile_interval(values), (0.025, 0.975))
