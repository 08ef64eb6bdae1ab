"""Which pairs of peaks are limbs: how long they may be, what they score, who yields to whom."""

import numpy as np
import pytest

from stages.openpose.decoding.limbs import REFUSED, _inner, match, sample_positions

ONE_KIND = np.array([[0, 1]], np.int64)


def limbs_between(start_places, end_places, hw=(100, 100)) -> dict[tuple[int, int], float]:
    """Scores by (start, end), where the field points to the right everywhere; places (x, y) in
    cells, from the top down.
    """
    places = np.array([*start_places, *end_places], np.float32).reshape(-1, 2)
    peaks = np.column_stack([places, np.ones(len(places), np.float32)])
    first_of_part = np.array([0, len(start_places), len(places)], np.int64)
    pafs = np.zeros((*hw, 2), np.float32)
    pafs[..., 0] = 1
    ends, scores, _ = match(
        pafs, peaks, first_of_part, ONE_KIND, sample_positions(10), np.float32(0.05), 2
    )
    pairs = (ends - [0, len(start_places)]).tolist()
    return {tuple(pair): float(score) for pair, score in zip(pairs, scores, strict=True)}


@pytest.mark.parametrize(("length", "found"), [(70, True), (75, True), (78, False), (95, False)])
def test_a_limb_may_be_as_long_as_three_quarters_of_the_longer_side(length, found):
    assert bool(limbs_between([(2, 20)], [(2 + length, 20)], hw=(40, 100))) == found


@pytest.mark.parametrize(("length", "score"), [(10, 1.0), (20, 1.0), (40, 0.5), (60, 1 / 3)])
def test_limbs_longer_than_half_the_height_lose_score(length, score):
    """docs/sources.md 5: as in the reference."""
    limbs = limbs_between([(2, 20)], [(2 + length, 20)], hw=(40, 100))
    assert limbs == {(0, 0): pytest.approx(score, rel=1e-5)}


@pytest.mark.parametrize(("length", "found"), [(25, True), (32, True), (35, False)])
def test_in_a_crowd_a_limb_skips_about_as_many_ends_as_are_nearer_and_no_more(length, found):
    """Of 100 ends on 100 x 100 cells 32 lie within 32 cells."""
    others = [(1, 0.5 + y) for y in range(99)]  # behind the start: the field leads to none of them
    ends = sorted([*others, (10 + length, 50.0)], key=lambda place: place[1])
    assert bool(limbs_between([(10, 50)], ends)) == found


def test_a_tall_person_among_sixty_is_found():
    others = [(1, 0.5 + 1.6 * y) for y in range(59)]
    ends = sorted([*others, (50.0, 50.0)], key=lambda place: place[1])
    assert limbs_between([(10, 50)], ends)


def test_a_start_whose_best_end_goes_to_a_better_one_takes_its_next_best():
    starts, ends = [(10, 19), (20, 20)], [(50, 20), (50, 26)]
    limbs = limbs_between(starts, ends)
    assert set(limbs) == {(1, 0), (0, 1)}
    assert limbs[1, 0] > limbs[0, 1]


def test_nothing_is_joined_against_the_field_or_across_it():
    assert limbs_between([(50, 50)], [(30, 50)]) == {}
    assert limbs_between([(50, 50)], [(50, 80)]) == {}
    assert limbs_between([(50, 50)], [(50, 50)]) == {}


@pytest.mark.parametrize(("threshold", "refused"), [(0.5, True), (0.49, False)])
def test_a_sample_counts_where_the_field_exceeds_the_threshold(threshold, refused):
    field = np.full(10 * 10 * 2, 0.5, np.float32)
    across = np.float32([2, 3, 5, 0, 1, 0])  # x, y of the start, dx, dy, and the direction
    found = _inner(field, 2, 10, 10, *across, sample_positions(5), np.float32(threshold), 0)
    assert (found == REFUSED) == refused
