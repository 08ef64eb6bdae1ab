"""What bodies usually look like: the mean and covariance of the places of all parts, as a table.

`pose_prior.csv` was fitted to the people of the bundled sample's training part (`python -m
benchmarks.pose_prior`); no validation image and no image of anybody else was used. It served real
people too (see decoder_completion.py). Places are in the person's own frame: moved and scaled so
that its found parts have the mean and spread of the same parts of the mean body. Bodies are not
turned upright: lying people are rare, and heads are mostly above feet.
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from stages.openpose.files import whole_file
from stages.openpose.skeleton import Skeleton

TABLE = Path(__file__).with_name("pose_prior.csv")
DIGITS = 4
ROUNDS = 6  # of expectation and maximisation; the mean moves by less than 0.002 in the last
RIDGE = 1e-4  # variance of the places as they are labelled


@dataclass(frozen=True)
class PosePrior:
    """Mean float64 [2 K] and covariance float64 [2 K, 2 K] of K parts' (x, y), x and y in turn."""

    mean: np.ndarray
    covariance: np.ndarray


def frame(points: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, float]:
    """Place (x, y) and size of the frame in which `points` [n, 2] have centre and spread of `mean`
    [n, 2], n >= 2.
    """
    spread, usual = (np.sqrt(((some - some.mean(axis=0)) ** 2).sum()) for some in (points, mean))
    size = spread / usual
    return points.mean(axis=0) - size * mean.mean(axis=0), size


def fit(parts: np.ndarray, found: np.ndarray) -> PosePrior:
    """Fit the prior to people of whom not every part is known (expectation-maximisation of a
    Gaussian).

    Args:
        parts: float [N, K, 2], (x, y) in pixels.
        found: bool [N, K]; three or more of each person.
    """
    centres = np.where(found[..., None], parts, np.nan)
    centred = centres - np.nanmean(centres, axis=1, keepdims=True)
    mean = np.nanmean(centred / np.sqrt(np.nanmean(centred**2, axis=(1, 2), keepdims=True)), axis=0)
    covariance = 0.2 * np.eye(mean.size)
    for _ in range(ROUNDS):
        mean, covariance = _round(parts, found, mean, covariance)
    return PosePrior(mean.ravel(), covariance)


def _round(parts: np.ndarray, found: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> tuple:
    filled, unsure = np.empty((len(parts), mean.size)), np.zeros_like(covariance)
    for row, (person, known) in enumerate(zip(parts, found, strict=True)):
        place, size = frame(person[known], mean[known])
        seen, hidden = np.repeat(known, 2), np.repeat(~known, 2)
        away = ((person - place) / size).ravel() - mean.ravel()
        shared = covariance[np.ix_(seen, hidden)]
        gain = np.linalg.solve(covariance[np.ix_(seen, seen)] + RIDGE * np.eye(seen.sum()), shared)
        away[hidden] = gain.T @ away[seen]
        filled[row] = mean.ravel() + away
        unsure[np.ix_(hidden, hidden)] += covariance[np.ix_(hidden, hidden)] - shared.T @ gain
    covariance = np.cov(filled.T, bias=True) + unsure / len(parts) + 0.1 * RIDGE * np.eye(mean.size)
    return filled.mean(axis=0).reshape(mean.shape), covariance


def write_prior(prior: PosePrior, skeleton: Skeleton, path: Path) -> None:
    """One row a coordinate: its name, its mean, its covariances."""
    names = [f"{part} {axis}" for part in skeleton.parts for axis in "xy"]
    with whole_file(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["coordinate", "mean", *names])
        for name, mean, row in zip(names, prior.mean, prior.covariance, strict=True):
            writer.writerow([name, *(f"{value:.{DIGITS}f}" for value in (mean, *row))])


@lru_cache(maxsize=4)
def read_prior(parts: tuple[str, ...], path: Path = TABLE) -> PosePrior | None:
    """The prior for these parts, in their order; None where the table does not know one of them."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = {row[0]: [float(value) for value in row[1:]] for row in list(csv.reader(file))[1:]}
    names = [f"{part} {axis}" for part in parts for axis in "xy"]
    if not set(names) <= rows.keys():
        return None
    order = [list(rows).index(name) for name in names]
    table = np.array([rows[name] for name in names])
    return PosePrior(table[:, 0].copy(), np.ascontiguousarray(table[:, 1:][:, order]))
