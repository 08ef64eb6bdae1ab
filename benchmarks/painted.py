"""Maps of made-up people, to measure decoders where no network is at hand: labels are perfect
network outputs.
"""

from types import SimpleNamespace

import numpy as np

from stages.openpose.samples.labels import make_targets
from stages.openpose.skeleton import COCO

LABELS = SimpleNamespace(
    stride_px=8,
    sigma_px=7.0,
    paf_width_px=8.0,
    paf_overlap="mean",
    paf_grid="centre",
    beyond_frame="none",
)
# A person seen from the front: x, y in body heights from the top of the head, parts in network
# order.
FRONT = np.array([
    [0, 0.08], [0, 0.18], [-0.13, 0.19], [-0.19, 0.35], [-0.21, 0.5], [0.13, 0.19], [0.19, 0.35],
    [0.21, 0.5], [-0.08, 0.5], [-0.09, 0.73], [-0.1, 0.95], [0.08, 0.5], [0.09, 0.73], [0.1, 0.95],
    [-0.03, 0.06], [0.03, 0.06], [-0.06, 0.07], [0.06, 0.07],
])  # fmt: skip
# One person to each field of this many body heights, about as dense as a team photograph.
FIELD_HW = (1.1, 0.6)


def person(rng: np.random.Generator, height_px: float) -> np.ndarray:
    """Parts float64 [18, 2] of one person, top of the head at (0, 0): FRONT with joints moved and
    the body tilted.
    """
    moved = FRONT + rng.normal(0, 0.012, FRONT.shape)
    angle = rng.normal(0, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (moved - [0, 0.5]) @ turn.T + [0, 0.5]
    moved[COCO.parts.index("neck")] = moved[[2, 5]].mean(axis=0)
    return moved * height_px


def crowd(
    rng: np.random.Generator, people: int, height_px: float = 130.0
) -> tuple[np.ndarray, tuple[int, int]]:
    """Parts float32 [people, 18, 3] in rows side by side, all visible, and the grid (h, w) that
    holds them.
    """
    columns = int(np.ceil(np.sqrt(people * 1.5 * FIELD_HW[0] / FIELD_HW[1])))
    rows = -(-people // columns)
    parts = np.ones((people, 18, 3), np.float32)
    for i in range(people):
        corner = (
            np.array([(i % columns + 0.5) * FIELD_HW[1], (i // columns) * FIELD_HW[0] + 0.05])
            * height_px
        )
        parts[i, :, :2] = person(rng, height_px * rng.uniform(0.85, 1.0)) + corner
    grid = (
        int(rows * FIELD_HW[0] * height_px) // 8 + 2,
        int(columns * FIELD_HW[1] * height_px) // 8 + 2,
    )
    return parts, grid


def maps(
    parts: np.ndarray, grid_hw: tuple[int, int], labels=LABELS
) -> tuple[np.ndarray, np.ndarray]:
    """Heatmaps float32 [h, w, 19] and PAFs float32 [h, w, 38] of parts [P, 18, 3]."""
    targets = make_targets(parts, grid_hw, labels)
    fields = COCO.paf_channels
    return np.ascontiguousarray(targets[:, :, fields:]), np.ascontiguousarray(
        targets[:, :, :fields]
    )
