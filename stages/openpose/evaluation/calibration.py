"""What a person's score is worth as a probability: isotonic regression of "this person is right"
(OKS of 0.5 and more) on the score.

The fit is monotone: it changes no order, so no AP. It holds for the network, the inference and the
decoder it was fitted with, all of which are kept with it, and for images like those it was fitted
on.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.openpose.errors import InputError, damage_refused
from stages.openpose.files import file_digest

BINS = 10
FEWEST_PEOPLE = 50  # detections; below there is no fit
GUESSING = ("complete", "prior")  # of section decoder: they change no person's score


@dataclass(frozen=True)
class Calibration:
    """A monotone curve from scores to probabilities.

    Attributes:
        scores, probabilities: float64 [N], neither falls; straight lines between, level beyond.
            Empty where fewer than FEWEST_PEOPLE people were found: then there is no curve.
        people, images: how many detections it rests on (those in crowds do not count), on how many
            images they were found.
        weights: sha256 of the network's file.
        settings: what decides scores besides, see `settings_of`.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    people: int
    images: int
    weights: str
    settings: Mapping[str, Any]

    def __bool__(self) -> bool:
        return len(self.scores) > 0

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """The probability that people of these scores are right, float64 of the same shape."""
        return np.interp(scores, self.scores, self.probabilities)


def isotonic(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares fit of `right` by a function that never falls: pool adjacent violators (Ayer
    et al. 1955).

    Args:
        scores: float [N], in any order. right: bool [N], or shares 0..1.

    Returns:
        Scores and fitted values, float64 [M]: both ends of each level, one where they are equal.
    """
    values, which = np.unique(np.asarray(scores, np.float64), return_inverse=True)
    sums, counts = np.bincount(which, weights=right), np.bincount(which)
    levels: list[tuple[float, float, float, int]] = []  # first and last score, sum, count
    for level in zip(values.tolist(), values.tolist(), sums.tolist(), counts.tolist(), strict=True):
        while levels and levels[-1][2] * level[3] >= level[2] * levels[-1][3]:
            first, _, total, count = levels.pop()
            level = first, level[1], total + level[2], count + level[3]
        levels.append(level)
    ends = [(end, total / n) for first, last, total, n in levels for end in sorted({first, last})]
    knots = np.array(ends, np.float64).reshape(-1, 2)
    return knots[:, 0], knots[:, 1]


def calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): mean distance of probability and share that is
    right, over BINS equal parts of 0..1; below and above counts as 0 and 1. NaN of nobody.
    """
    if not len(probabilities):
        return float("nan")
    within = np.clip(probabilities, 0, 1)
    which = np.minimum((within * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(which, weights=within - right)).sum() / len(within))


def settings_of(inference: str, detect: Any, decoder: Any) -> dict[str, Any]:
    """What decides scores besides the network: inference, scales, the decoder.

    Args:
        detect, decoder: sections of the parameters.
    """
    decoding = {key: value for key, value in asdict(decoder).items() if key not in GUESSING}
    scales = {"height_px": detect.height_px, "scales": list(detect.scales)}
    stride = {"average_stride_px": detect.average_stride_px}
    return {"inference": inference, **scales, **stride, **decoding}


def to_json(calibration: Calibration) -> str:
    """The text of a file of `read_calibration`."""
    knots = [
        {"score": round(score, 6), "probability": round(probability, 6)}
        for score, probability in zip(
            calibration.scores.tolist(), calibration.probabilities.tolist(), strict=True
        )
    ]
    about = {"people": calibration.people, "images": calibration.images}
    belongs = {"weights": calibration.weights, "settings": dict(calibration.settings)}
    return json.dumps({**about, **belongs, "knots": knots}, indent=2) + "\n"


def read_calibration(path: Path) -> Calibration:
    """What the stage held_out wrote. InputError where there is no such file or no such curve."""
    try:
        with damage_refused(path, "the calibration that the stage held_out writes", "run it again"):
            known = json.loads(path.read_text(encoding="utf-8"))
            knots = [(float(one["score"]), float(one["probability"])) for one in known["knots"]]
            curve = np.array(knots, np.float64).reshape(-1, 2).T
            if not np.isfinite(curve).all() or (np.diff(curve) < 0).any():
                raise ValueError("scores or probabilities that fall")
            if ((curve[1] < 0) | (curve[1] > 1)).any():
                raise ValueError("probabilities beyond 0..1")
            counts = int(known["people"]), int(known["images"])
            return Calibration(
                curve[0], curve[1], *counts, str(known["weights"]), dict(known["settings"])
            )
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            f"{path}: no such file; expected results/held_out/calibration.json of the stage "
            "held_out"
        ) from None


def check_belongs(
    calibration: Calibration, path: Path, weights: Path, settings: Mapping[str, Any]
) -> None:
    """Raise InputError where a calibration has no curve, or is of other weights or settings."""
    if not calibration:
        raise InputError(
            f"{path}: holds no curve, only {calibration.people} people were found on "
            f"{calibration.images} held-out images; expected {FEWEST_PEOPLE} or more"
        )
    if file_digest(weights) != calibration.weights:
        raise InputError(f"{path}: fitted with another network than {weights}; scores differ")
    other = [
        f"{key} {calibration.settings.get(key)} (here {value})"
        for key, value in settings.items()
        if calibration.settings.get(key) != value
    ]
    if other:
        raise InputError(f"{path}: fitted with other settings: {', '.join(other)}; scores differ")
