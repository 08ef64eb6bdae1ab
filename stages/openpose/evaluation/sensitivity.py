"""Whom the method finds: recall by size, by how much of a person is visible, by how crowded it is.

Recall, not AP: a false positive belongs to no group of people. AR is COCO's, the share of people
found, averaged over OKS 0.50 to 0.95.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from stages.openpose.evaluation.comparison import Comparison, box_overlap
from stages.openpose.evaluation.scoring import (
    FEWEST_WITH_PEOPLE,
    OKS_THRESHOLDS,
    draws,
    percentile_interval,
)

SIZES_PX = (32, 64, 96, 192)  # square roots of areas; COCO's medium and large begin at 32 and 96
VISIBLE_SHARES = (0.25, 0.5, 0.75)
OVERLAPS = (0.01, 0.1, 0.3)
MOST_SAMPLES = 200


def sensitivity(comparison: Comparison, samples: int, seed: int) -> list[dict[str, Any]]:
    """Groups of people who count, with AR, its 95 % interval over images, and the share found at
    OKS 0.5; groups without people are left out.
    """
    people = comparison.labelled
    hits = person_hits(comparison)
    visible = (people.points[..., 2] == 2).mean(axis=1)
    grouped = [
        ("size, px", np.sqrt(people.areas), SIZES_PX),
        ("visible keypoints, %", 100 * visible, tuple(100 * share for share in VISIBLE_SHARES)),
        ("overlap of boxes, %", 100 * box_overlap(people), tuple(100 * one for one in OVERLAPS)),
    ]
    chosen = [
        (attribute, name, members & ~people.ignored)
        for attribute, values, bounds in grouped
        for name, members in _groups(values, bounds)
        if (members & ~people.ignored).any()
    ]
    if not chosen:
        return []
    spans = _intervals(comparison, hits.mean(axis=0), [one[2] for one in chosen], samples, seed)
    return [
        {
            "attribute": attribute,
            "group": name,
            "people": int(members.sum()),
            "AR": float(hits[:, members].mean()),
            "AR_low": low,
            "AR_high": high,
            "AR50": float(hits[0, members].mean()),
        }
        for (attribute, name, members), (low, high) in zip(chosen, spans, strict=True)
    ]


def person_hits(comparison: Comparison) -> np.ndarray:
    """Whether each person is found at each OKS threshold, bool [T, G]."""
    person = comparison.matched(OKS_THRESHOLDS, comparison.oks, comparison.labelled.ignored)
    hits = np.zeros((len(OKS_THRESHOLDS), len(comparison.labelled.areas)), bool)
    threshold, detection = np.nonzero(person >= 0)
    hits[threshold, person[threshold, detection]] = True
    return hits


def _groups(values: np.ndarray, bounds: tuple[float, ...]) -> Iterable[tuple[str, np.ndarray]]:
    """Names of the groups between `bounds`, and who is in them, bool [G]."""
    group = np.searchsorted(bounds, values, side="right")
    words = [f"{bound:g}" for bound in bounds]
    names = [f"under {words[0]}", *map(" to ".join, pairwise(words))]
    for number, name in enumerate([*names, f"{words[-1]} and more"]):
        yield name, group == number


def _intervals(
    comparison: Comparison, found: np.ndarray, groups: list[np.ndarray], samples: int, seed: int
) -> list[tuple[float | None, float | None]]:
    """95 % of the AR of each group over images drawn with replacement; None where fewer than
    FEWEST_WITH_PEOPLE images show such people.
    """
    images, image = len(comparison.labelled.image_ids), comparison.labelled.image
    people = np.array([np.bincount(image[group], minlength=images) for group in groups])
    hits = np.array([np.bincount(image[group], found[group], images) for group in groups])
    drawn = []
    for counts in draws(images, min(samples, MOST_SAMPLES), np.random.default_rng(seed)):
        number = people @ counts
        drawn.append(np.divide(hits @ counts, number, out=np.full(len(groups), np.nan),
                               where=number > 0))  # fmt: skip
    spans = [percentile_interval(np.array([ratios[i] for ratios in drawn]))
             for i in range(len(groups))]  # fmt: skip
    return [
        span if span and (of_image > 0).sum() >= FEWEST_WITH_PEOPLE else (None, None)
        for span, of_image in zip(spans, people, strict=True)
    ]
