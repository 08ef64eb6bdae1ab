import json

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from stages.openpose.evaluation import diagnostics, scoring
from stages.openpose.evaluation.comparison import compare, detections, labelled_people
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


def compared(truth, results, ids, skeleton=COCO):
    people = labelled_people(truth, ids, skeleton)
    return compare(people, detections(results, people.image_ids, skeleton), skeleton)


def kinds_of(truth, changed, keypoint):
    """Kind of one keypoint of the left figure of image 1, found at `changed`; everyone else is
    found exactly.
    """
    points = coco_points(figure(60, 30, 150))
    points[keypoint] = changed
    results = [result(points), result(coco_points(figure(170, 30, 150)), score=0.9)]
    counts = diagnostics.keypoint_errors(compared(truth, results, [1, 2, 3]))
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
    found = compared(truth, [result(coco_points(figure(100, 40, 140)), 2)], [2])
    counts = diagnostics.keypoint_errors(found)
    assert counts[NOSE].sum() == 0
    assert counts[1:].sum() == 16


def real_detections(shared, name):
    truth = scoring.read_ground_truth(shared / "coco-mini/annotations/person_keypoints.json")
    return truth, json.loads((shared / f"golden/{name}_detections.json").read_text())


@pytest.mark.parametrize("name", ["seed", "tfpose"])
def test_oks_is_that_of_pycocotools_to_the_last_bit(shared, name):
    truth, results = real_detections(shared, name)
    reference = COCOeval(truth, truth.loadRes([dict(person) for person in results]), "keypoints")
    reference.params.kpt_oks_sigmas = np.array(COCO.oks_sigmas)
    reference.evaluate()
    ours = compared(truth, results, truth.getImgIds())
    assert len(ours.oks) > 1000
    assert (ours.labelled.points[..., 2] == 0).all(axis=1).any(), "some have only a box"
    for row, image_id in enumerate(ours.labelled.image_ids.tolist()):
        theirs = np.asarray(reference.ious[image_id, 1])
        np.testing.assert_array_equal(ours.block(row).ravel(), theirs.ravel())


@pytest.mark.parametrize("name", ["seed", "tfpose"])
def test_matches_are_those_of_pycocotools(shared, name):
    truth, results = real_detections(shared, name)
    _, theirs = scoring.evaluate(truth, results, truth.getImgIds())
    ours = scoring.matches_of(compared(truth, results, truth.getImgIds()))
    for field, values in vars(theirs).items():
        np.testing.assert_array_equal(getattr(ours, field), values, err_msg=field)


def test_the_ap_of_a_keypoint_is_that_of_pycocotools_with_no_other_labelled(shared):
    truth, results = real_detections(shared, "tfpose")
    ours = diagnostics.keypoint_ap(compared(truth, results, truth.getImgIds()))
    for keypoint in (NOSE, LEFT_WRIST):
        for person in truth.anns.values():
            visibility = np.array(person["keypoints"][2::3])
            visibility[np.arange(17) != keypoint] = 0
            person["keypoints"][2::3] = visibility.tolist()
            person["num_keypoints"] = int((visibility > 0).sum())
        wanted = scoring.evaluate(truth, results, truth.getImgIds())[0]["AP"]
        assert ours[keypoint] == pytest.approx(wanted, abs=1e-9)
        truth, results = real_detections(shared, "tfpose")


def test_distances_are_told_in_pixels_in_sigmas_and_as_pck(truth):
    points = coco_points(figure(100, 40, 140))
    area = truth.anns[3]["area"]
    points[LEFT_WRIST, 0] += 0.3 * np.sqrt(area)
    points[RIGHT_WRIST] = 0
    figures = diagnostics.keypoint_figures(compared(truth, [result(points, 2)], [2, 3]))
    nose, left, right = (figures[keypoint] for keypoint in (NOSE, LEFT_WRIST, RIGHT_WRIST))
    assert [nose["PCK10"], nose["median_px"], nose["p90_sigmas"]] == [1, 0, 0]
    assert [left["PCK10"], left["PCK20"], left["PCK50"]] == [0, 0, 1]
    assert left["median_px"] == pytest.approx(0.3 * np.sqrt(area))
    assert left["p90_sigmas"] == pytest.approx(0.3 / COCO.oks_sigmas[LEFT_WRIST])
    assert [right["PCK50"], right["median_px"], right["p90_sigmas"]] == [0, None, None]


def test_histogram_counts_every_labelled_person_once(truth):
    results = [result(coco_points(figure(60, 30, 150)))]
    counts = diagnostics.oks_histogram(compared(truth, results, [1, 2, 3]))
    assert counts.sum() == 3
    assert counts[-1] == 1
    assert counts[0] == 2


def test_each_person_takes_its_nearest_detection_once(truth):
    exact = coco_points(figure(60, 30, 150))
    near = exact + np.array([6, 0, 0])
    found = compared(truth, [result(exact, score=0.5), result(near, score=0.9)], [1])
    assert found.match[0] == 0  # the best-scored detection chooses first, as in COCO's AP
    assert 0.2 < found.person_oks[0] < 1


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
        compared(truth, [result(coco_points(figure(60, 30, 150)))], [1, 2, 3])
    )
    assert [(line[0], line[1:3], round(line[3], 6)) for line in ranked] == [
        (1, (2, 1), 1.0),
        (2, (1, 0), 1.0),
    ]


def test_no_detections_and_no_people_are_no_error(truth):
    nobody = compared(truth, [], [3])
    assert diagnostics.keypoint_errors(nobody).sum() == 0
    assert diagnostics.oks_histogram(nobody).sum() == 0
    assert diagnostics.worst(nobody) == []
    assert diagnostics.pck(nobody) is None
    assert np.isnan(diagnostics.keypoint_ap(nobody)).all()
