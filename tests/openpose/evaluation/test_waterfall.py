import json

import numpy as np
import pytest

from stages.openpose.evaluation import reliability, scoring
from stages.openpose.evaluation.comparison import (
    Detected,
    Labelled,
    compare,
    detections,
    labelled_people,
)
from stages.openpose.evaluation.diagnostics import KINDS, keypoint_ap, keypoint_figures, kinds
from stages.openpose.evaluation.sensitivity import sensitivity
from stages.openpose.evaluation.waterfall import FOUND, moved, waterfall
from stages.openpose.skeleton import COCO
from tests import bodies, tiny_coco
from tests.oracle import annotation, figure

LEFT_WRIST, RIGHT_WRIST = (COCO.keypoints.index(f"{side}_wrist") for side in ("left", "right"))
LEFT = figure(60, 30, 150)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Two figures side by side in image 1, one in each of the images 2 to 5."""
    figures = [(1, LEFT), (1, figure(170, 30, 150))]
    figures += [(image_id, figure(100, 40, 140)) for image_id in (2, 3, 4, 5)]
    annotations = [annotation(row + 1, *one) for row, one in enumerate(figures)]
    images = [tiny_coco.image(image_id, (240, 240)) for image_id in (1, 2, 3, 4, 5)]
    folder = tmp_path_factory.mktemp("truth")
    return scoring.read_ground_truth(tiny_coco.write_json(folder / "val.json", images, annotations))


def exact(truth):
    """A result for each person, who is found as labelled."""
    return [
        {
            "image_id": person["image_id"],
            "category_id": 1,
            "keypoints": list(person["keypoints"]),
            "score": number / 100,  # annotations are numbered from 1
            "keypoint_scores": [0.9] * 17,
        }
        for number, person in truth.anns.items()
    ]


def compared(truth, results, ids=(1, 2, 3, 4, 5)):
    people = labelled_people(truth, ids)
    return compare(people, detections(results, people.image_ids))


def steps_of(truth, results, ids=(1, 2, 3, 4, 5)):
    return {step.name: step for step in waterfall(compared(truth, results, ids), 20, 1)}


def changed(truth, keypoint, at):
    """Everybody exact but one keypoint of the left figure of image 1."""
    results = exact(truth)
    results[0]["keypoints"][3 * keypoint : 3 * keypoint + 3] = at
    return results


def part(parts, keypoint):
    return [*parts[COCO.part_of_keypoint[keypoint], :2], 2]


def shifted(truth, sigmas, person=0):
    """Everybody exact but one, all of whose keypoints lie beside."""
    results = exact(truth)
    points = np.array(results[person]["keypoints"]).reshape(17, 3)
    points[:, 0] += sigmas * 2 * np.array(COCO.oks_sigmas) * np.sqrt(truth.anns[person + 1]["area"])
    results[person]["keypoints"] = points.ravel().tolist()
    return results


ERRORS = {
    "jitter": lambda truth: shifted(truth, 1),
    "inversion": lambda truth: changed(truth, LEFT_WRIST, part(LEFT, RIGHT_WRIST)),
    "swap": lambda truth: changed(truth, LEFT_WRIST, part(figure(170, 30, 150), LEFT_WRIST)),
    "miss": lambda truth: changed(truth, LEFT_WRIST, [220, 200, 2]),
    "absent": lambda truth: changed(truth, LEFT_WRIST, [0, 0, 0]),
    "duplicates": lambda truth: [
        *exact(truth),
        {**shifted(truth, 1, 5)[5], "score": 0.055},
    ],
    "background": lambda truth: [
        {
            **exact(truth)[0],
            "keypoints": np.column_stack([np.linspace(1, 20, 17)] * 2 + [np.full(17, 2)])
            .ravel()
            .tolist(),
            "score": 2,
        },
        *exact(truth),
    ],
    "missed people": lambda truth: exact(truth)[1:],
}


# the best order of scores alone makes false positives harmless too
ALSO_RANKED_LOW = {("duplicates", "score order"), ("background", "score order")}


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_is_charged_to_its_own_step(truth, name):
    steps = steps_of(truth, ERRORS[name](truth))
    assert steps[FOUND].ap < 0.999
    assert steps["missed people"].ap == pytest.approx(1)
    for step in steps.values():
        wanted = 1 - steps[FOUND].ap if step.name == name else 0
        assert step.gain == pytest.approx(wanted, abs=1e-9), step.name
        if (name, step.name) not in ALSO_RANKED_LOW:
            assert step.alone == pytest.approx(wanted, abs=1e-9), step.name


def test_a_sure_but_wrong_person_is_charged_to_the_order_of_scores(truth):
    results = shifted(truth, 0.5)  # within the margin of people who label
    results[0]["score"] = 2
    steps = steps_of(truth, results)
    assert steps["score order"].gain == steps["score order"].alone > 0
    assert steps["missed people"].ap < 1, "good keypoints are not moved"


@pytest.mark.parametrize("name", ["seed", "tfpose"])
def test_every_step_has_the_ap_that_pycocotools_gives(shared, name):
    truth = scoring.read_ground_truth(shared / "coco-mini/annotations/person_keypoints.json")
    results = json.loads((shared / f"golden/{name}_detections.json").read_text())
    comparison = compared(truth, results, truth.getImgIds())
    steps = {step.name: step for step in waterfall(comparison, 0, 1)}
    wanted = scoring.evaluate(truth, results, truth.getImgIds())[0]["AP"]
    assert steps[FOUND].ap == pytest.approx(wanted, abs=1e-9)
    assert steps[FOUND].ap_interval is None
    kind = kinds(comparison)
    for number in range(1, len(KINDS)):
        put_right = moved(comparison, kind, range(1, number + 1)).detected
        results = [
            {
                "image_id": int(comparison.labelled.image_ids[image]),
                "category_id": 1,
                "keypoints": points.ravel().tolist(),
                "score": score,
            }
            for image, points, score in zip(
                put_right.image, put_right.points, put_right.scores.tolist(), strict=True
            )
        ]
        wanted = scoring.evaluate(truth, results, truth.getImgIds())[0]["AP"]
        assert steps[KINDS[number]].ap == pytest.approx(wanted, abs=1e-9)
    gains = [step.gain for step in steps.values()]
    assert min(gains) > -1e-3
    assert sum(gains) == pytest.approx(steps["missed people"].ap - steps[FOUND].ap)


@pytest.mark.parametrize("skeleton", [bodies.sided(), bodies.body(14), bodies.body(1)])
def test_any_body_has_its_errors_charged(skeleton):
    rng = np.random.default_rng(4)
    count = len(skeleton.keypoints)
    points = bodies.chains(rng, 12, count)
    xyv = np.concatenate([points, np.full((12, count, 1), 2.0)], axis=2)
    start, areas = np.arange(0, 13, 2), np.full(12, 2500.0)
    boxes = np.concatenate([points.min(axis=1), np.ptp(points, axis=1)], axis=1)
    nobody = np.zeros(12, bool)
    people = Labelled(np.arange(6), start, xyv, areas, boxes, nobody, nobody)
    sizes_px = 100 * np.array(skeleton.oks_sigmas) * rng.lognormal(0, 1, (12, 1))
    found = xyv + np.append(
        rng.normal(size=(12, count, 2)) * sizes_px[..., None], xyv[..., :1] * 0, 2
    )
    comparison = compare(people, Detected(start, found, np.linspace(1, 0, 12)), skeleton)
    steps = waterfall(comparison, 10, 1)
    assert sum(step.gain for step in steps) == pytest.approx(steps[-1].ap - steps[0].ap)
    assert steps[0].ap < 0.9 < steps[-1].ap
    assert (np.diff([step.ap for step in steps]) > -1e-9).all()
    assert len(keypoint_figures(comparison)) == len(keypoint_ap(comparison)) == count
    assert sensitivity(comparison, 10, 1)


def test_intervals_are_of_paired_draws(truth):
    steps = steps_of(truth, ERRORS["miss"](truth))
    assert steps["swap"].gain_interval == (0, 0)
    low, high = steps["miss"].gain_interval
    assert 0 <= low < high


def test_where_nobody_is_to_be_found_there_are_no_steps(truth):
    people = labelled_people(truth, [1])
    nobody = compare(people.only(np.zeros(2, bool)), detections(exact(truth), people.image_ids))
    assert waterfall(nobody, 20, 1) == []
    assert sensitivity(nobody, 20, 1) == []


def test_groups_hold_everybody_once_and_recall_is_theirs(truth):
    lines = sensitivity(compared(truth, exact(truth)[2:]), 20, 1)
    for attribute in {line["attribute"] for line in lines}:
        assert sum(line["people"] for line in lines if line["attribute"] == attribute) == 6
    (visible_line,) = (line for line in lines if line["group"] == "75 and more")
    assert visible_line["AR"] == visible_line["AR50"] == pytest.approx(4 / 6)
    assert visible_line["AR_low"] < visible_line["AR"] < visible_line["AR_high"]


def test_a_group_on_one_image_only_has_no_interval(truth):
    lines = sensitivity(compared(truth, exact(truth), [1]), 20, 1)
    assert {line["AR_low"] for line in lines} == {None}


def test_bins_tell_the_share_that_is_right():
    scores = np.linspace(0, 1, 400)
    right = np.random.default_rng(1).random(400) < scores
    lines = reliability.bins(scores, right)
    assert len(lines) == 10
    assert sum(line["count"] for line in lines) == 400
    for line in lines:
        assert line["share_low"] <= line["mean_score"] <= line["share_high"]
    assert reliability.bins(np.zeros(0), np.zeros(0, bool)) == []
    (few,) = reliability.bins(np.array([0.5, 0.7]), np.array([True, False]))
    assert (few["count"], few["share"]) == (2, 0.5)


def test_keypoint_bins_need_keypoint_scores(truth):
    (line,) = reliability.keypoint_bins(compared(truth, exact(truth)[:1]))
    assert (line["count"], line["share"]) == (17, 1)
    bare = [{key: one[key] for key in one if key != "keypoint_scores"} for one in exact(truth)]
    assert reliability.keypoint_bins(compared(truth, bare)) == []


def test_a_threshold_keeps_the_most_people_of_the_wanted_precision(truth):
    results = ERRORS["duplicates"](truth)  # the second of six people scores 0.055: a false one
    matches = scoring.matches_of(compared(truth, results))
    half, nine_tenths = reliability.thresholds(matches, (0.5, 0.9))
    assert (half["recall"], half["precision"]) == (1, pytest.approx(6 / 7))
    assert (nine_tenths["score"], nine_tenths["recall"]) == (0.06, pytest.approx(1 / 6))
    (none,) = reliability.thresholds(scoring.matches_of(compared(truth, [])), (0.5,))
    assert none["score"] is None
