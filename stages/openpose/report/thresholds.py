"""Precision and recall of a whole split by the score from which a detection counts."""

from dataclasses import dataclass

import numpy as np

from stages.openpose.evaluation.scoring import Matches

OKS = 0.5
STEPS = 100
DIGITS = 5  # of scores, as results have them


@dataclass(frozen=True)
class ThresholdCurve:
    """How a model fares on a split when only detections of at least a score count.

    Attributes:
        people: number of people to be found.
        thresholds: float64 [N], ascending, from 0.
        right: int64 [N], detections matched to a person at `oks`.
        wrong: int64 [N], the others; those on crowds and on people without keypoints are neither.
    """

    model: str
    split: str
    inference: str
    oks: float
    people: int
    thresholds: np.ndarray
    right: np.ndarray
    wrong: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """float64 [N]; NaN where nothing is left."""
        total = self.right + self.wrong
        return np.divide(self.right, total, out=np.full(len(total), np.nan), where=total > 0)

    @property
    def recall(self) -> np.ndarray:
        """float64 [N]; NaN where nobody is to be found."""
        return self.right / self.people if self.people else np.full(len(self.right), np.nan)


def threshold_curve(matches: Matches, model: str, split: str, inference: str) -> ThresholdCurve:
    """The curve at thresholds that leave out equal shares of the detections."""
    at = int(np.abs(matches.thresholds - OKS).argmin())
    shares = np.linspace(0, 1, STEPS + 1)
    scores = matches.scores
    levels = np.quantile(scores, shares, method="lower") if len(scores) else scores
    thresholds = np.unique(np.append(0.0, levels.round(DIGITS)))
    left = np.searchsorted(-scores, -thresholds, side="right")
    counted, hit = matches.counted[at], matches.hit[at]
    right = np.append(0, np.cumsum(counted & hit))[left]
    wrong = np.append(0, np.cumsum(counted & ~hit))[left]
    people = int(matches.people.sum())
    return ThresholdCurve(model, split, inference, OKS, people, thresholds, right, wrong)
