"""Parts of one person that no limb connects are joined; parts of two people are not."""

import itertools

import numpy as np
import pytest

from benchmarks.painted import FRONT, crowd, maps
from stages.openpose.decoding import pieces as pieces_module
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


# --- pieces by themselves: one rule at a time

LEFT_ARM, RIGHT_LEG, LEFT_LEG, FACE = [5, 6, 7], [8, 9, 10], [11, 12, 13], [0, 14, 15, 16, 17]


def put_together(*pieces, score=1.0) -> list[set[int]]:
    """What each piece has become: its parts, or nothing where it went to another.

    Pieces are (parts, (x, y), body height) of a body at rest, in cells; `score` is that of a part.
    """
    peaks, members = [], np.full((len(pieces), 18), -1, np.int64)
    for row, (parts, place, height) in enumerate(pieces):
        for part in parts:
            members[row, part] = len(peaks)
            peaks.append([*(FRONT[part] * height + place), score])
    limb_sums = np.zeros(len(pieces), np.float32)
    limbs = np.array(COCO.limbs, np.int64)
    pieces_module.join_pieces(np.array(peaks, np.float32), members, limb_sums, limbs, COCO)
    return [set(np.flatnonzero(row >= 0).tolist()) for row in members]


def test_an_arm_and_a_leg_that_fit_are_one_person():
    arm, leg = (LEFT_ARM, (30, 10), 40), (RIGHT_LEG, (30, 10), 40)
    assert put_together(arm, leg) == [{*LEFT_ARM, *RIGHT_LEG}, set()]
    two_parts = (LEFT_ARM[:2], (30, 10), 40)
    assert put_together(two_parts, leg) == [{*LEFT_ARM[:2], *RIGHT_LEG}, set()]


def test_of_two_people_the_pieces_go_to_the_right_one_in_any_order():
    places = {"a": (30, 10), "b": (39, 10)}
    kinds = {"arm": LEFT_ARM, "leg": LEFT_LEG}
    for order in itertools.permutations(itertools.product(kinds, places)):
        pieces = [(kinds[kind], places[person], 40) for kind, person in order]
        whole = put_together(*pieces, (FACE, places["a"], 40))
        first = {person: [other for _, other in order].index(person) for person in places}
        assert whole[first["a"]] == {*LEFT_ARM, *LEFT_LEG, *FACE}, order
        assert whole[first["b"]] == {*LEFT_ARM, *LEFT_LEG}, order


@pytest.mark.parametrize("turned", [False, True])
def test_a_piece_whose_only_partner_takes_another_stays_alone(turned):
    arms = [(LEFT_ARM, (30, 10), 40), (LEFT_ARM, (39, 10), 40)]
    leg = (LEFT_LEG, (30, 10), 40)
    expected = [{*LEFT_ARM, *LEFT_LEG}, set(LEFT_ARM)]
    got = put_together(*(arms[::-1] if turned else arms), leg)[:2]
    assert got == (expected[::-1] if turned else expected)


def test_pieces_with_a_part_in_common_stay_two():
    arm, leg = (LEFT_ARM, (30, 10), 40), ([*RIGHT_LEG, 7], (30, 10), 40)
    assert put_together(arm, leg) == [set(LEFT_ARM), {*RIGHT_LEG, 7}]


@pytest.mark.parametrize(("height", "joined"), [(40, True), (22, True), (16, False)])
def test_pieces_of_less_than_half_the_scale_stay_two(height, joined):
    arm = (LEFT_ARM, (30, 10), 40)
    hip_at = FRONT[7] * 40 + (27, 6)  # near the wrist: all distances are those of some body
    leg = (RIGHT_LEG, tuple(hip_at - FRONT[8] * height), height)
    assert (put_together(arm, leg)[1] == set()) == joined


@pytest.mark.parametrize(("away", "joined"), [(4, True), (6, True), (9, False)])
def test_pieces_farther_apart_than_a_body_is_long_stay_two(away, joined):
    arm, leg = (LEFT_ARM, (30, 10), 40), (LEFT_LEG, (30, 10 + away), 40)
    assert (put_together(arm, leg)[1] == set()) == joined


@pytest.mark.parametrize(("score", "joined"), [(0.49, False), (0.51, True)])
def test_pieces_of_low_score_stay_two(score, joined):
    arm, leg = (LEFT_ARM, (30, 10), 40), (RIGHT_LEG, (30, 10), 40)
    assert (put_together(arm, leg, score=score)[1] == set()) == joined


def test_the_body_at_rest_is_the_same_on_both_sides():
    for name, (x, y) in AT_REST.items():
        other = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        assert AT_REST[other] == ((-x, y) if other != name else (0.0, y))
    assert list(AT_REST["neck"]) < [0.0, 1.0]


def test_lengths_along_limbs_are_shortest_paths_and_none_from_a_part_to_itself():
    straight, along = body_lengths(COCO.parts, COCO.limbs)
    assert not along.diagonal().any()
    np.testing.assert_array_equal(along, along.T)
    assert (along >= straight - 1e-6).all()
    assert (along[:, :, None] <= along[:, None] + along[None].swapaxes(1, 2) + 1e-6).all()


@pytest.mark.parametrize("seed", range(10))
def test_two_pieces_are_as_strange_as_their_distances_differ_from_those_at_rest(seed):
    rng = np.random.default_rng(seed)
    straight, along = body_lengths(COCO.parts, COCO.limbs)
    places = np.array([AT_REST[name] for name in COCO.parts]) * 30 + rng.normal(0, 1, (18, 2))
    peaks = np.column_stack([places, np.ones(18)]).astype(np.float32)
    piece, other = np.full(18, -1), np.full(18, -1)
    piece[[2, 3, 4]], other[[8, 9]] = [2, 3, 4], [8, 9]
    lengths = np.array([40, 1.2], np.float32), np.array([20, 0.7], np.float32)
    found = pieces_module._strangeness(peaks, piece, other, *lengths, straight, along)
    pairs = [(a, b) for a in (2, 3, 4) for b in (8, 9)]
    scale = 60 / 1.9
    apart = [np.hypot(*(places[a] - places[b])) / scale - straight[a, b] for a, b in pairs]
    assert found == pytest.approx(np.mean(np.square(apart)), rel=1e-3)
