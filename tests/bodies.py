"""Bodies that are not COCO's, and people who have them."""

import numpy as np

from stages.openpose.coco.annotations import People
from stages.openpose.coco.body import Given, derive
from stages.openpose.skeleton import Skeleton

SIDED = ("snout", "left_ear", "right_ear", "tail")


def people_at(points: np.ndarray, areas: np.ndarray | None = None) -> People:
    """Labelled people, one an image, whose visible keypoints are at `points` [P, K, 2]; a box each
    around them.
    """
    count = len(points)
    xyv = np.concatenate([points, np.full((*points.shape[:2], 1), 2.0)], axis=2)
    low, size = points.min(axis=1), np.ptp(points, axis=1)
    areas = np.prod(np.maximum(size, 1), axis=1) if areas is None else areas
    boxes = np.concatenate([low, size], axis=1)
    ids = np.arange(count)
    return People(ids, ids.astype(np.int32), xyv.astype(np.float32), boxes, areas, boxes[:, 2])


def chains(rng: np.random.Generator, count: int, keypoints: int, link_px: float = 20) -> np.ndarray:
    """Points [count, keypoints, 2] of chains with links of one length and free joints."""
    angles = rng.uniform(0, 2 * np.pi, (count, keypoints))
    steps = link_px * np.stack([np.cos(angles), np.sin(angles)], axis=2)
    return np.cumsum(steps, axis=1) + rng.uniform(100, 300, (count, 1, 2))


def body(keypoints: int, edges=(), **given) -> Skeleton:
    """The skeleton that chains of so many keypoints lead to."""
    names = tuple(f"point{i}" for i in range(keypoints))
    rng = np.random.default_rng(keypoints)
    return derive(names, edges, people_at(chains(rng, 60, keypoints)), Given(**given)).skeleton


def sided() -> Skeleton:
    """A body with sides, and a limb from one side to the other."""
    rng = np.random.default_rng(3)
    at_rest = np.array([(0, 0), (10, 8), (-10, 8), (0, 60)], float)
    points = at_rest + rng.normal(0, 1.5, (60, 4, 2)) + 100
    return derive(SIDED, ((0, 1), (1, 2), (1, 3)), people_at(points)).skeleton
