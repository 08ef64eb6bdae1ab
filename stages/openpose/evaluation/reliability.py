"""What scores are worth: how often people and keypoints of a score are right, and where to cut for
a wanted precision.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stages.openpose.evaluation.comparison import Comparison
from stages.openpose.evaluation.diagnostics import KINDS, kinds
from stages.openpose.evaluation.scoring import Matches

MOST_BINS, FEWEST_IN_BIN = 10, 20
WANTED_PRECISION = (0.5, 0.7, 0.8, 0.9, 0.95)
_Z = 1.959964  # of a normal distribution, 95 % between -z and z


def person_bins(
    matches: Matches, probability: Callable[[np.ndarray], np.ndarray] | None = None
) -> list[dict[str, float]]:
    """Bins of equally many detections by score: the share that is a person, with OKS of 0.5 at
    least. Who was found in a crowd counts neither way. `probability` of scores (calibration.py)
    adds its mean.
    """
    counted = matches.counted[0]
    return bins(matches.scores[counted], matches.hit[0, counted], probability)


def keypoint_bins(comparison: Comparison) -> list[dict[str, float]]:
    """Bins of equally many keypoints by score: the share that is right, with a ks of 0.5 at least
    (diagnostics.py). Labelled keypoints of found people; empty where results hold no such scores.
    """
    if comparison.detected.keypoint_scores is None:
        return []
    kind = kinds(comparison)
    person, keypoint = np.nonzero((kind >= 0) & (kind != KINDS.index("absent")))
    scores = comparison.detected.keypoint_scores[comparison.match[person], keypoint]
    return bins(scores, kind[person, keypoint] <= KINDS.index("jitter"))


def bins(
    scores: np.ndarray,
    right: np.ndarray,
    probability: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[dict[str, float]]:
    """At most MOST_BINS bins of FEWEST_IN_BIN or more, lowest scores first: bounds, mean score,
    count, share that is right with its 95 % interval (Wilson 1927). Equal scores may be in two.
    """
    order = np.argsort(scores, kind="stable")
    number = min(MOST_BINS, max(len(order) // FEWEST_IN_BIN, 1))
    return [
        {
            "score_from": float(scores[chosen[0]]),
            "score_to": float(scores[chosen[-1]]),
            "mean_score": float(scores[chosen].mean()),
            "count": len(chosen),
            **_share(int(right[chosen].sum()), len(chosen)),
            **(
                {"mean_probability": float(probability(scores[chosen]).mean())}
                if probability
                else {}
            ),
        }
        for chosen in np.array_split(order, number)
        if len(chosen)
    ]


def _share(right: int, count: int) -> dict[str, float]:
    share, z2 = right / count, _Z**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = _Z / (1 + z2) * np.sqrt(share * (1 - share) / count + z2 / count / 4)
    return {"share": share, "share_low": float(middle - half), "share_high": float(middle + half)}


def thresholds(
    matches: Matches, wanted: Sequence[float] = WANTED_PRECISION
) -> list[dict[str, Any]]:
    """For each wanted precision at OKS 0.5 the lowest score from which detections have it, that
    precision and the recall; None where no score does.
    """
    counted, people = matches.counted[0], int(matches.people.sum())
    scores, hit = matches.scores[counted], matches.hit[0, counted]
    true_positives = np.cumsum(hit)
    precision = true_positives / np.arange(1, len(hit) + 1)
    last_of_equals = np.append(np.diff(scores) != 0, True)[: len(scores)]
    lines = []
    for share in wanted:
        reached = np.flatnonzero((precision >= share) & last_of_equals)
        end = reached[-1] if len(reached) and people else None
        lines.append(
            {
                "wanted": share,
                "score": None if end is None else float(scores[end]),
                "precision": None if end is None else float(precision[end]),
                "recall": None if end is None else int(true_positives[end]) / people,
            }
        )
    return lines
