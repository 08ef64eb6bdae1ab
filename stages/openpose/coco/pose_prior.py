"""What bodies usually look like: the mean and covariance of the places of all parts, as a table.

Places are in the person's own frame: moved and scaled so that its found parts have the mean and
spread of the same parts of the mean body. Bodies are not turned upright: lying people are rare, and
heads are mostly above feet.
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from stages.openpose.files import whole_file
from stages.openpose.skeleton import Skeleton

DIGITS = 4
ROUNDS = 6  # of expectation and maximisation; in the last the mean hardly moves
RIDGE = 1e-4  # variance of the places as they are labelled
FEWEST_PEOPLE, FEWEST_PARTS = 20, 3


@dataclass(frozen=True)
class PosePrior:
    """Mean float64 [2 K] and covariance float64 [2 K, 2 K] of K parts' (x, y), x and y in turn."""

    mean: np.ndarray
    covariance: np.ndarray


def frame(points: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, float]:
    """Place (x, y) and size of the frame in which `points` [n, 2] have centre and spread of `mean`
    [n, 2], n >= 2.
    """
    spread, usual = (
        np.sqrt(((places - places.mean(axis=0)) ** 2).sum()) for places in (points, mean)
    )
    size = spread / usual
    return points.mean(axis=0) - size * mean.mean(axis=0), size


def fit(parts: np.ndarray, is_known: np.ndarray) -> PosePrior:
    """Fit the prior to people of whom not every part is known (expectation-maximisation of a
    Gaussian).

    Args:
        parts: float [N, K, 2], (x, y) in pixels.
        is_known: bool [N, K]; three or more of each person.
    """
    centres = np.where(is_known[..., None], parts, np.nan)
    centred = centres - np.nanmean(centres, axis=1, keepdims=True)
    mean = np.nanmean(centred / np.sqrt(np.nanmean(centred**2, axis=(1, 2), keepdims=True)), axis=0)
    covariance = 0.2 * np.eye(mean.size)  # a start wide enough for any body; the rounds narrow it
    for _ in range(ROUNDS):
        mean, covariance = _em_round(parts, is_known, mean, covariance)
    return PosePrior(mean.ravel(), covariance)


def fit_where_it_tells(parts: np.ndarray, is_known: np.ndarray) -> PosePrior | None:
    """As `fit`, of the people who show enough; None where there are too few of them, or where
    bodies lie in all directions, so that the mean tells less than the deviation from it.
    """
    enough = is_known.sum(axis=1) >= FEWEST_PARTS
    if enough.sum() < FEWEST_PEOPLE or not is_known[enough].any(axis=0).all():
        return None
    prior = fit(parts[enough], is_known[enough])
    return prior if np.trace(prior.covariance) < (prior.mean**2).sum() else None


def _em_round(
    parts: np.ndarray, is_known: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> tuple:
    filled, residual = np.empty((len(parts), mean.size)), np.zeros_like(covariance)
    for index, (person, known) in enumerate(zip(parts, is_known, strict=True)):
        place, size = frame(person[known], mean[known])
        known_xy, missing_xy = np.repeat(known, 2), np.repeat(~known, 2)
        deviation = ((person - place) / size).ravel() - mean.ravel()
        cross_covariance = covariance[np.ix_(known_xy, missing_xy)]
        gain = np.linalg.solve(
            covariance[np.ix_(known_xy, known_xy)] + RIDGE * np.eye(known_xy.sum()),
            cross_covariance,
        )
        deviation[missing_xy] = gain.T @ deviation[known_xy]
        filled[index] = mean.ravel() + deviation
        residual[np.ix_(missing_xy, missing_xy)] += (
            covariance[np.ix_(missing_xy, missing_xy)] - cross_covariance.T @ gain
        )
    # the spread of the filled-in places alone would be too narrow: their own uncertainty is added,
    # and a tenth of the ridge keeps the matrix invertible
    covariance = (
        np.cov(filled.T, bias=True) + residual / len(parts) + 0.1 * RIDGE * np.eye(mean.size)
    )
    return filled.mean(axis=0).reshape(mean.shape), covariance


def write_prior(prior: PosePrior | None, skeleton: Skeleton, path: Path) -> None:
    """One row a coordinate: its name, mean and covariances; a heading alone without a prior."""
    names = [f"{part} {axis}" for part in skeleton.parts for axis in "xy"] if prior else []
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["coordinate", "mean", *names])
        if prior is None:
            return
        for name, mean, covariances in zip(names, prior.mean, prior.covariance, strict=True):
            writer.writerow([name, *(f"{value:.{DIGITS}f}" for value in (mean, *covariances))])


@lru_cache(maxsize=4)
def read_prior(parts: tuple[str, ...], path: Path) -> PosePrior | None:
    """The prior for these parts, in their order; None where the table does not know one of them."""
    with open(path, newline="", encoding="utf-8") as file:
        lines = {
            line[0]: [float(value) for value in line[1:]] for line in list(csv.reader(file))[1:]
        }
    names = [f"{part} {axis}" for part in parts for axis in "xy"]
    if not set(names) <= lines.keys():
        return None
    order = [list(lines).index(name) for name in names]
    table = np.array([lines[name] for name in names])
    return PosePrior(table[:, 0].copy(), np.ascontiguousarray(table[:, 1:][:, order]))
