"""Ids of people over frames."""

import numpy as np
import pytest

from stages.openpose.predicting.smoothing import OneEuro
from stages.openpose.predicting.tracking import UNFOLLOWED, Tracker, oks
from stages.openpose.skeleton import COCO
from tests.oracle import figure


def person(x: float, height: float = 100) -> np.ndarray:
    """Keypoints [K, 3] of a standing figure."""
    return figure(x, 40, height)[list(COCO.part_of_keypoint)]


SIGMAS = np.array(COCO.oks_sigmas)


def test_oks_is_one_for_the_same_person_and_falls_with_distance():
    values = [oks(person(0), person(shift), SIGMAS) for shift in (0, 3, 10, 40)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.05


def test_oks_does_not_depend_on_the_size_of_the_image():
    small, large = (oks(person(0, 50 * n), person(4 * n, 50 * n), SIGMAS) for n in (1, 2))
    assert small == pytest.approx(large, abs=1e-6)


def test_keypoints_in_a_line_and_bodies_of_two_keypoints_are_compared_too():
    line = np.array([(50.0, 10 * i, 1) for i in range(17)])
    assert oks(line, line + np.array((2, 0, 0)), SIGMAS) > 0.5
    assert oks(line[[0, 16]], line[[0, 16]] + np.array((2, 0, 0)), SIGMAS[:2]) > 0.1


def test_people_keep_their_ids_whatever_their_order():
    tracker = Tracker()
    assert tracker.update(np.stack([person(50), person(200)]), 0.0).tolist() == [1, 2]
    assert tracker.update(np.stack([person(203), person(53)]), 0.04).tolist() == [2, 1]


@pytest.mark.parametrize(("motion", "kept"), [(0.5, True), (0.0, False)])
def test_motion_brings_two_who_pass_each_other_unseen_to_the_right_side(motion, kept):
    tracker = Tracker(motion=motion)
    for frame in range(8):
        xs = 20 + 10 * frame, 220 - 10 * frame
        first = tracker.update(np.stack([person(x) for x in xs]), 0.1 * frame)
    assert first.tolist() == [1, 2]
    tracker.update(np.zeros((0, 17, 3)), 1.0)
    ids = tracker.update(np.stack([person(140), person(100)]), 1.2)
    assert (ids.tolist() == [1, 2]) is kept


def test_who_is_away_for_long_comes_back_as_somebody_else():
    tracker = Tracker(keep_s=1.0)
    tracker.update(person(50)[None], 0.0)
    assert tracker.update(person(50)[None], 0.9).tolist() == [1]
    assert tracker.update(person(50)[None], 2.5).tolist() == [2]


def piece(x: float) -> np.ndarray:
    """An arm of a person: three keypoints."""
    arm = np.zeros((17, 3))
    for name in ("left_shoulder", "left_elbow", "left_wrist"):
        number = COCO.keypoints.index(name)
        arm[number] = person(x)[number]
    return arm


def test_a_piece_begins_no_number_and_takes_none_from_a_whole_person():
    tracker = Tracker()
    assert tracker.update(piece(50)[None], 0.0).tolist() == [UNFOLLOWED]
    assert tracker.update(person(50)[None], 0.1).tolist() == [1]
    assert tracker.update(np.stack([piece(50), person(52)]), 0.2).tolist() == [UNFOLLOWED, 1]
    assert tracker.update(piece(54)[None], 0.3).tolist() == [1]  # all that is seen of 1


def test_no_two_people_of_a_frame_share_an_id():
    rng, tracker = np.random.default_rng(3), Tracker()
    for frame in range(30):
        people = np.stack([person(x) for x in rng.uniform(0, 120, 6)])
        ids = tracker.update(people, 0.04 * frame)
        assert len(set(ids.tolist())) == 6
        assert ids.min() >= 1


def test_smoothing_takes_jitter_from_who_rests_and_follows_who_moves():
    rng = np.random.default_rng(5)
    smoother, residuals = OneEuro(), {"rest": [], "move": []}
    for frame in range(100):
        time_s = frame / 25
        truth = {"rest": person(50), "move": person(50 + 150 * time_s)}
        for track_id, (name, points) in enumerate(truth.items()):
            noisy = points.copy()
            noisy[:, :2] += rng.normal(0, 1, (len(points), 2))
            filtered = smoother.update(track_id, noisy, time_s)
            if frame > 25:
                residuals[name].append(filtered[:, :2] - points[:, :2])
    assert np.std(residuals["rest"]) < 0.7
    assert np.abs(np.mean(residuals["move"], axis=(0, 1))).max() < 5  # px of 6 a frame


def test_a_keypoint_that_was_away_starts_anew():
    smoother, points = OneEuro(), person(50)
    smoother.update(1, points, 0.0)
    hidden = points.copy()
    hidden[4] = 0
    assert (smoother.update(1, hidden, 0.04)[4] == 0).all()
    moved = points.copy()
    moved[4, :2] += 30
    np.testing.assert_allclose(smoother.update(1, moved, 0.08)[4], moved[4])
