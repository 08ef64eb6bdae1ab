"""Identical photographs, whatever their names, ids, size or compression.

An image's fingerprint is its mean colours on a grid of SIDE x SIDE cells. Two are the same
photograph where no mean differs by more than LARGEST_DIFFERENCE levels of 255, and all together by
no more than MEAN_DIFFERENCE.
"""

import cv2
import numpy as np

from stages.openpose.compiled import jit

SIDE = 12
LARGEST_DIFFERENCE = 8
MEAN_DIFFERENCE = 1.5
MOST_PARTNERS = 20  # of one image: frames of a camera that stands still are all alike


def fingerprint(pixels: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3] of an image uint8 [H, W, 3]."""
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def pairs(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Rows of the same photographs in two sets of fingerprints uint8 [N, K] and [M, K]: int64
    [P, 2], by the first, of which each has no more than MOST_PARTNERS.
    """
    order = np.argsort(others.sum(axis=1, dtype=np.int64), kind="stable")
    found = _search(
        np.ascontiguousarray(ones),
        ones.sum(axis=1, dtype=np.int64),
        np.ascontiguousarray(others[order]),
        others[order].sum(axis=1, dtype=np.int64),
        int(MEAN_DIFFERENCE * ones.shape[1]),
        LARGEST_DIFFERENCE,
    )
    found = np.array(found, np.int64).reshape(-1, 2)
    found[:, 1] = order[found[:, 1]]
    return found[np.lexsort((found[:, 1], found[:, 0]))]


@jit
def _search(ones, sums, others, other_sums, total, largest):
    """Only those can be the same whose sums differ by no more than `total`."""
    found = [(0, 0)]
    found.clear()
    for i in range(len(ones)):
        partners = 0
        first = np.searchsorted(other_sums, sums[i] - total)
        for j in range(first, len(others)):
            if other_sums[j] > sums[i] + total:
                break
            if partners == MOST_PARTNERS:
                break
            difference = 0
            for k in range(ones.shape[1]):
                step = abs(np.int64(ones[i, k]) - np.int64(others[j, k]))
                difference += step
                if step > largest or difference > total:
                    break
            else:
                found.append((i, j))
                partners += 1
    return found
