"""Where AP is lost, in AP: what it would be with each kind of error put right.

After Ronchi & Perona 2017 (arXiv:1707.05388): keypoints of each kind of error go to their label,
detections that mean nobody go, the others get the best score possible (their highest OKS with
anybody), people whom nothing means go. Each step builds on the steps before it; `alone` is what a
step would bring by itself. What the last AP lacks to 1 is lost by good keypoints, which lie beside
their label too, at OKS 0.90 and 0.95.

Deliberate deviations: keypoints that were left out are a kind (`absent`, see diagnostics.py); false
positives are two kinds; and they go before scores are put right, because behind the best order of
scores they cost nothing.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from stages.openpose.evaluation.comparison import (
    MATCH_OKS,
    Comparison,
    compare,
    pairs,
)
from stages.openpose.evaluation.diagnostics import KINDS, kinds
from stages.openpose.evaluation.scoring import (
    Matches,
    average_precision,
    bootstrap,
    matches_of,
    percentile_interval,
)

FOUND = "found"  # the name of the first line: nothing put right
MOST_SAMPLES = 200  # of the bootstrap: ten APs are drawn, for a width, not for a third digit


@dataclass(frozen=True)
class Step:
    """AP with this and all errors before it put right.

    Attributes:
        gain: AP minus that of the step before.
        alone: AP minus that of what was found, with this kind alone put right.
    """

    name: str
    ap: float
    ap_interval: tuple[float, float] | None
    gain: float
    gain_interval: tuple[float, float] | None
    alone: float


def waterfall(comparison: Comparison, samples: int, seed: int) -> list[Step]:
    """The steps, what was found first; empty where nobody is to be found.

    Args:
        samples: draws of the bootstrap over images, at most MOST_SAMPLES are made; all steps see
            the same draws, so that gains are paired.
    """
    if comparison.labelled.ignored.all():
        return []
    matches = matches_of(comparison)
    before = first = average_precision(matches)
    drawn = _drawn(matches, samples, seed)
    steps = [Step(FOUND, first, percentile_interval(drawn), 0.0, None, 0.0)]
    kind = kinds(comparison)
    for name, state in _put_right(comparison, kind):
        matches, drawn_before = matches_of(state), drawn
        ap, drawn = average_precision(matches), _drawn(matches, samples, seed)
        steps.append(
            Step(
                name,
                ap,
                percentile_interval(drawn),
                ap - before,
                percentile_interval(drawn - drawn_before),
                average_precision(matches_of(_alone(comparison, kind, name))) - first,
            )
        )
        before = ap
    return steps


def _drawn(matches: Matches, samples: int, seed: int) -> np.ndarray:
    return bootstrap(matches, min(samples, MOST_SAMPLES), np.random.default_rng(seed))


def _put_right(comparison: Comparison, kind: np.ndarray) -> Iterator[tuple[str, Comparison]]:
    """The comparison after each kind, and all kinds before it, was put right."""
    state = comparison
    for number in range(1, len(KINDS)):
        state = moved(comparison, kind, range(1, number + 1))
        yield KINDS[number], state
    for name, change in PEOPLE_STEPS.items():
        state = change(state)
        yield name, state


def _alone(comparison: Comparison, kind: np.ndarray, name: str) -> Comparison:
    if name in PEOPLE_STEPS:
        return PEOPLE_STEPS[name](comparison)
    return moved(comparison, kind, [KINDS.index(name)])


def moved(comparison: Comparison, kind: np.ndarray, wrong: Collection[int]) -> Comparison:
    """With the keypoints of the kinds `wrong` (indices of KINDS; `kind`: of diagnostics.kinds) at
    their labels.
    """
    person, keypoint = np.nonzero(np.isin(kind, list(wrong)))
    points = comparison.detected.points.copy()
    points[comparison.match[person], keypoint] = comparison.labelled.points[person, keypoint]
    detected = replace(comparison.detected, points=points)
    return compare(comparison.labelled, detected, comparison.skeleton)


def rescored(comparison: Comparison) -> Comparison:
    """With each detection's highest OKS with anybody as its score."""
    best = best_oks(comparison)
    image = comparison.detected.image
    detected = replace(comparison.detected, scores=best).taken(np.lexsort((-best, image)))
    return compare(comparison.labelled, detected, comparison.skeleton)


def best_oks(comparison: Comparison) -> np.ndarray:
    """Highest OKS of each detection with a person who counts, float64 [D]; 0 where there is
    nobody.
    """
    best = np.zeros(len(comparison.detected.scores))
    for chosen, detection, person in pairs(comparison):
        counted = ~comparison.labelled.ignored[person]
        np.maximum.at(best, detection[counted], comparison.oks[chosen][counted])
    return best


def without_duplicates(comparison: Comparison) -> Comparison:
    """Without detections of people who have a better-scored one."""
    return _without(comparison, best_oks(comparison) >= MATCH_OKS)


def without_background(comparison: Comparison) -> Comparison:
    """Without detections where nobody is, or only people who count neither way."""
    return _without(comparison, best_oks(comparison) < MATCH_OKS)


def _without(comparison: Comparison, wrong: np.ndarray) -> Comparison:
    kept = ~wrong
    kept[comparison.match[comparison.match >= 0]] = True
    kept = np.flatnonzero(kept)
    return compare(comparison.labelled, comparison.detected.taken(kept), comparison.skeleton)


def without_missed(comparison: Comparison) -> Comparison:
    """Without people whom no detection means."""
    kept = comparison.labelled.ignored | (comparison.match >= 0)
    return compare(comparison.labelled.only(kept), comparison.detected, comparison.skeleton)


PEOPLE_STEPS: dict[str, Callable[[Comparison], Comparison]] = {
    "duplicates": without_duplicates,
    "background": without_background,
    "score order": rescored,
    "missed people": without_missed,
}
