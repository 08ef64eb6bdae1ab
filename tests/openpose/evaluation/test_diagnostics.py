import json

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from stages.openpose.evaluation import diagnostics, scoring
from stages.openpose.skeleton import COCO
from tests import tiny_coco
from tests.oracle import annotation, figure

NOSE, LEFT_WRIST, RIGHT_WRIST = (
    COCO.keypoints.index(name) for name in ("nose", "left_wrist", "right_wrist")
)


def coco_points(parts):
    """Keypoints [17, 3] in COCO order, v = 2."""
    points = parts[list(COCO.part_of_keypoint)].copy()
    points[:, 2] = 2
    return points


def result(points, image_id=1, score=1.0):
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": points.ravel().tolist(),
        "score": score,
    }


@pytest.fixture
def truth(tmp_path):
    """Two figures side by side in image 1, one in image 2, nobody in image 3."""
    figures = [(1, figure(60, 30, 150)), (1, figure(170, 30, 150)), (2, figure(100, 40, 140))]
    annotations = [
        annotation(row + 1, image_id, figure_parts)
        for row, (image_id, figure_parts) in enumerate(figures)
    ]
    images = [tiny_coco.image(image_id, (240, 240)) for image_id in (1, 2, 3)]
    return scoring.read_ground_truth(
        tiny_coco.write_json(tmp_path / "val.json", images, annotations)
    )


def kinds_of(truth, changed, keypoint):
    """Kind of one keypoint of the left figure of image 1, found at `changed`; everyone else is
    found exactly.
    """
    points = coco_points(figure(60, 30, 150))
    points[keypoint] = changed
    results = [result(points), result(coco_points(figure(170, 30, 150)), score=0.9)]
    counts = diagnostics.keypoint_errors(diagnostics.scenes(truth, results, [1, 2, 3]))
    assert counts.sum() == 34
    assert counts[np.arange(17) != keypoint, diagnostics.KINDS.index("good")].tolist() == [2] * 16
    row = counts[keypoint].copy()
    row[diagnostics.KINDS.index("good")] -= 1  # the other person's
    return diagnostics.KINDS[int(row.argmax())]


def sigma_px(truth, keypoint):
    """Distance at which ks = exp(-1/2) for the left figure."""
    return 2 * COCO.oks_sigmas[keypoint] * np.sqrt(truth.anns[1]["area"])


SHIFTS = [(0, "good"), (0.5, "good"), (0.65, "jitter"), (1.1, "jitter"), (1.3, "miss")]


@pytest.mark.parametrize(("sigmas", "kind"), SHIFTS)
def test_distance_makes_good_jitter_or_miss(truth, sigmas, kind):
    x, y, v = coco_points(figure(60, 30, 150))[LEFT_WRIST]
    assert kinds_of(truth, (x, y + sigmas * sigma_px(truth, LEFT_WRIST), v), LEFT_WRIST) == kind


def test_the_other_wrist_of_the_same_person_is_an_inversion(truth):
    assert kinds_of(truth, coco_points(figure(60, 30, 150))[RIGHT_WRIST], LEFT_WRIST) == "inversion"


@pytest.mark.parametrize("keypoint", [LEFT_WRIST, RIGHT_WRIST])
def test_a_wrist_of_another_person_is_a_swap(truth, keypoint):
    assert kinds_of(truth, coco_points(figure(170, 30, 150))[keypoint], LEFT_WRIST) == "swap"


def test_a_nose_has_no_inversion(truth):
    assert kinds_of(truth, (200, 200, 2), NOSE) == "miss"


def test_a_keypoint_that_was_not_found_is_absent(truth):
    assert kinds_of(truth, (0, 0, 0), LEFT_WRIST) == "absent"


def test_only_labelled_keypoints_count(truth):
    truth.anns[3]["keypoints"][2] = 0
    scenes = diagnostics.scenes(truth, [result(coco_points(figure(100, 40, 140)), 2)], [2])
    counts = diagnostics.keypoint_errors(scenes)
    assert counts[NOSE].sum() == 0
    assert counts[1:].sum() == 16


def test_oks_equals_that_of_pycocotools(shared):
    truth = scoring.read_ground_truth(shared / "coco-mini/annotations/person_keypoints.json")
    results = json.loads((shared / "golden/seed_detections.json").read_text())
    reference = COCOeval(truth, truth.loadRes([dict(person) for person in results]), "keypoints")
    reference.evaluate()
    compared = 0
    for scene in diagnostics.scenes(truth, results, truth.getImgIds()):
        people = [person for person in truth.imgToAnns[scene.image_id] if not person["iscrowd"]]
        labelled = [
            row
            for row, person in enumerate(truth.imgToAnns[scene.image_id])
            if person["num_keypoints"]
        ]
        assert len([person for person in people if person["num_keypoints"]]) == len(scene.labelled)
        if scene.oks.size:
            theirs = np.asarray(reference.ious[scene.image_id, 1])[:, labelled]
            np.testing.assert_allclose(scene.oks, theirs, atol=1e-9)
            compared += scene.oks.size
    assert compared > 300


def test_histogram_counts_every_labelled_person_once(truth):
    results = [result(coco_points(figure(60, 30, 150)))]
    counts = diagnostics.oks_histogram(diagnostics.scenes(truth, results, [1, 2, 3]))
    assert counts.sum() == 3
    assert counts[-1] == 1
    assert counts[0] == 2


def test_each_person_takes_its_nearest_detection_once(truth):
    exact = coco_points(figure(60, 30, 150))
    near = exact + np.array([6, 0, 0])
    (scene,) = diagnostics.scenes(truth, [result(exact, score=0.5), result(near, score=0.9)], [1])
    assert scene.match[0] == 0  # the best-scored detection chooses first, as in COCO's AP
    assert 0.2 < scene.person_oks[0] < 1


def test_ap_by_crowding_covers_every_person_once(truth):
    figures = {1: [figure(60, 30, 150), figure(170, 30, 150)], 2: [figure(100, 40, 140)]}
    results = [
        result(coco_points(person_parts), image_id)
        for image_id, image_figures in figures.items()
        for person_parts in image_figures
    ]
    _, matches = scoring.evaluate(truth, results[:1] + results[2:], [1, 2, 3])
    rows = {row["group"]: row for row in diagnostics.crowding(matches)}
    assert sum(row["people"] for row in rows.values()) == 3
    assert rows["people 1"]["AP"] == pytest.approx(1)
    assert rows["people 2-3"]["AP"] == pytest.approx(51 / 101)  # half of the people found
    assert np.isnan(rows["people 9+"]["AP"])


def test_curves_belong_to_their_thresholds(truth):
    _, matches = scoring.evaluate(truth, [result(coco_points(figure(100, 40, 140)), 2)], [1, 2, 3])
    curves = diagnostics.precision_recall(matches)
    assert list(curves) == ["recall", "precision_50", "precision_75"]
    np.testing.assert_allclose(curves["precision_50"][:34], 1)
    assert curves["precision_50"][34] == 0


def test_the_image_with_most_lost_oks_is_the_worst(truth):
    ranked = diagnostics.worst(
        diagnostics.scenes(truth, [result(coco_points(figure(60, 30, 150)))], [1, 2, 3])
    )
    assert [(scene.image_id, round(loss, 6)) for scene, loss in ranked] == [(1, 1.0), (2, 1.0)]


def test_no_detections_and_no_people_are_no_error():
    empty = np.zeros((0, 17, 3))
    scene = diagnostics.Scene(1, empty, np.zeros(0), empty, np.zeros((0, 0)), np.zeros(0, int))
    assert diagnostics.keypoint_errors([scene]).sum() == 0
    assert diagnostics.oks_histogram([scene]).sum() == 0
    assert diagnostics.oks_histogram([]).sum() == 0
    assert diagnostics.worst([scene]) == []
