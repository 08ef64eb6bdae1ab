"""Limbs that share a peak belong to one person; what is joined keeps its score."""

import numpy as np
import pytest

from stages.openpose.decoding.grouping import assemble

LIMBS = np.array([[0, 1], [2, 3], [1, 2]], np.int64)  # an arm, a leg, and what joins them
PEAKS = np.zeros((8, 4), np.float32)  # two of each part: 0 1 | 2 3 | 4 5 | 6 7


def grouped(*limbs, late=()):
    """Members and sums of limbs given as (kind, start peak, end peak, score), sorted by kind."""
    kinds = np.array([kind for kind, *_ in limbs])
    ends = np.array([limb[1:3] for limb in limbs], np.int64)
    scores = np.array([limb[3] for limb in limbs], np.float32)
    firsts = np.searchsorted(kinds, range(len(LIMBS) + 1)).astype(np.int64)
    is_late = np.isin(np.arange(len(LIMBS)), late)
    order = np.arange(len(LIMBS))
    members, sums = assemble(PEAKS, 4, LIMBS, order, is_late, ends, scores, firsts)
    return members.tolist(), sums.tolist()


def test_people_joined_by_a_limb_have_the_scores_of_all_their_limbs():
    members, sums = grouped((0, 0, 2, 1.0), (1, 4, 6, 2.0), (2, 2, 4, 4.0))
    assert members == [[0, 2, 4, 6], [-1, -1, -1, -1]]
    assert sums == [7.0, 0.0]


def test_people_who_have_a_part_in_common_are_not_joined_and_the_limb_counts_for_neither():
    members, sums = grouped(
        (0, 0, 2, 1.0), (0, 1, 3, 0.5), (1, 4, 6, 2.0), (2, 2, 4, 4.0), (2, 3, 4, 8.0)
    )
    assert members == [[0, 2, 4, 6], [1, 3, -1, -1], [-1, -1, -1, -1]]
    assert sums == [7.0, 0.5, 0.0]


def test_a_peak_belongs_to_one_person():
    members, sums = grouped((0, 0, 2, 1.0), (0, 1, 3, 1.0), (2, 2, 4, 1.0), (2, 2, 5, 1.0))
    assert members == [[0, 2, 4, -1], [1, 3, -1, -1]]
    assert sums == [2.0, 1.0]


@pytest.mark.parametrize(("late", "people"), [((), 1), ((1,), 0)])
def test_late_limbs_start_nobody(late, people):
    members, _ = grouped((1, 4, 6, 2.0), late=late)
    assert len(members) == people


def test_a_limb_adds_its_peak_from_either_end():
    assert grouped((0, 0, 2, 1.0), (2, 2, 4, 2.0)) == ([[0, 2, 4, -1]], [3.0])
    assert grouped((1, 4, 6, 1.0), (2, 2, 4, 2.0)) == ([[-1, 2, 4, 6]], [3.0])
