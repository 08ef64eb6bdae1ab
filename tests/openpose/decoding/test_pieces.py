"""Parts of one person that no limb connects are joined; parts of two people are not."""

import numpy as np
import pytest

from benchmarks.painted import FRONT, crowd, maps
from stages.openpose.decoding.decoder import decode
from stages.openpose.decoding.pieces import AT_REST, MOST_PIECES, body_lengths
from stages.openpose.skeleton import COCO

# then arms, legs and face hang alone
HIDDEN = [COCO.parts.index(name) for name in ("neck", "right_shoulder")]


def _pieces(parts: np.ndarray, *people: int) -> np.ndarray:
    parts = parts.copy()
    for person in people:
        parts[person, HIDDEN, 2] = 2
    return parts


def _found(people) -> list[tuple]:
    return sorted(tuple(np.flatnonzero(row[:, 2])) for row in people.parts)


def test_person_with_a_hidden_shoulder_is_one_person():
    parts, grid = crowd(np.random.default_rng(0), 1)
    heatmaps, pafs = maps(_pieces(parts, 0), grid)
    (whole,) = _found(decode(heatmaps, pafs))
    assert whole == tuple(i for i in range(18) if i not in HIDDEN)
    assert len(decode(heatmaps, pafs, join_pieces=False, min_parts=2).scores) > 2


def test_score_of_the_joined_is_the_sum_of_its_pieces():
    parts, grid = crowd(np.random.default_rng(0), 1)
    heatmaps, pafs = maps(_pieces(parts, 0), grid)
    rules = {"score_rule": "sum", "min_parts": 2}
    np.testing.assert_allclose(
        decode(heatmaps, pafs, **rules).scores.sum(),
        decode(heatmaps, pafs, join_pieces=False, **rules).scores.sum(),
        rtol=1e-5,
    )


@pytest.mark.parametrize("seed", range(5))
def test_pieces_of_neighbours_go_to_their_own_people(seed):
    parts, grid = crowd(np.random.default_rng(seed), 4)
    broken = _pieces(parts, 0, 1, 2, 3)
    people = decode(*maps(broken, grid))
    assert len(people.scores) == 4
    for person in people.parts:
        there = person[:, 2] > 0
        error = np.linalg.norm(parts[:, there, :2] - person[None, there, :2], axis=2).max(axis=1)
        assert error.min() < 4


def test_whole_people_are_left_alone():
    parts, grid = crowd(np.random.default_rng(1), 30)
    joined, apart = (decode(*maps(parts, grid), join_pieces=join) for join in (True, False))
    np.testing.assert_array_equal(joined.parts, apart.parts)


def test_pieces_of_other_scales_or_too_far_apart_stay_apart():
    legs, arms = [8, 9, 10], [5, 6, 7]
    for height, offset, people in ((200, (0, 0), 1), (70, (0, 0), 2), (200, (420, 0), 2)):
        parts = np.full((2, 18, 3), 2.0, np.float32)
        parts[0, legs] = np.column_stack([FRONT[legs] * 200 + [120, 40], np.ones(3)])
        parts[1, arms] = np.column_stack([FRONT[arms] * height + [120, 40] + offset, np.ones(3)])
        assert len(decode(*maps(parts, (40, 90))).scores) == people


def test_unsure_pieces_are_not_joined():
    parts, grid = crowd(np.random.default_rng(0), 1)
    heatmaps, pafs = maps(_pieces(parts, 0), grid)
    assert len(decode(heatmaps * 0.25, pafs * 0.25, min_score=0).scores) > 1


def test_more_pieces_than_the_limit_are_decoded_without_joining():
    rng = np.random.default_rng(0)
    heatmaps, pafs = (
        rng.random((50, 50, 19), np.float32),
        rng.normal(0, 1, (50, 50, 38)).astype(np.float32),
    )
    joined, apart = (
        decode(heatmaps, pafs, join_pieces=join, min_parts=2, min_score=0.5)
        for join in (True, False)
    )
    assert len(apart.scores) > MOST_PIECES
    np.testing.assert_array_equal(joined.parts, apart.parts)


def test_body_knows_all_parts_and_is_symmetric():
    assert set(AT_REST) == set(COCO.parts)
    straight, along = body_lengths(COCO.parts, COCO.limbs)
    swap = list(COCO.mirrored_parts)
    for lengths in (straight, along):
        assert np.isfinite(lengths).all()
        np.testing.assert_allclose(lengths, lengths[np.ix_(swap, swap)], atol=1e-6)
    assert (along >= straight - 1e-6).all()
