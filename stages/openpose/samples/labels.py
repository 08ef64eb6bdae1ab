"""Labels of the network: part affinity fields and heatmaps on the grid of cells, made on the host.

The centre of cell i, in rows as in columns, is pixel stride * i + (stride - 1) / 2 of the crop
(pixel centres at integers). Sources: arXiv:1611.08050 sections 2.2 and 2.3; the reference's ways
(docs/sources.md 4, 9.7 and 9.8) by the settings `paf_overlap: last`, `paf_grid: corner` and
`beyond_frame: keep`. Made on the device: device_labels.py.
"""

from typing import Any

import numpy as np

from stages.openpose.coco.annotations import ABSENT
from stages.openpose.compiled import jit
from stages.openpose.skeleton import COCO, Skeleton

REACH_SIGMAS = {"none": 4.5, "keep": 6.0}
"""Where a Gaussian ends, in standard deviations: at 4e-5 of its peak, or (as if nowhere, the
reference) at 1.5e-8. Cells beyond it are not computed: that is what makes labels cheap.
"""

SHORTEST_LIMB_PX = 1e-3
"""A shorter limb has no direction and leaves no field."""

_LIMBS = np.array(COCO.limbs)


def make_targets(
    parts: np.ndarray,
    grid_hw: tuple[int, int],
    labels: Any,
    *,
    skeleton: Skeleton = COCO,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Part affinity fields and heatmaps of the people of a crop.

    A heatmap is the largest of the people's Gaussians at the cell's centre; a keypoint outside the
    crop leaves the tail that lies inside. A field is the limb's unit vector in the cells that lie
    within `paf_width_px` of the limb's infinite line and inside its box grown by as much; where
    limbs of several people overlap: their mean, or the last person's. With `paf_grid: corner` the
    distance is measured from the cell's first pixel and the box is rounded to whole cells.

    Args:
        parts: [P, parts, 3] of (x, y, visibility), crop pixels; visibility 2 = absent.
        grid_hw: (h, w) of the grid.
        labels: the section `labels`.
        skeleton: limbs and number of parts.
        out: float32 [h, w, channels] of zeros to write into.

    Returns:
        float32 [h, w, channels]: 2 a limb (x, y of the field, -1..1), one a part (heatmap 0..1),
        background = 1 - max.
    """
    if out is None:
        out = np.zeros((*grid_hw, skeleton.paf_channels + skeleton.heatmap_channels), np.float32)
    # float64: which cells lie within `paf_width_px` of a limb must not hang on float32's rounding
    parts = np.ascontiguousarray(parts, np.float64)
    limbs = _LIMBS if skeleton is COCO else np.array(skeleton.limbs)
    reach = REACH_SIGMAS[labels.beyond_frame]
    _fill_heatmaps(
        parts, float(labels.stride_px), float(labels.sigma_px), reach, 2 * len(limbs), out
    )
    corner, mean = labels.paf_grid == "corner", labels.paf_overlap == "mean"
    _fill_fields(
        parts, limbs, float(labels.stride_px), float(labels.paf_width_px), corner, mean, out
    )
    return out


@jit
def _fill_heatmaps(parts, stride, sigma, reach_sigmas, first, out):
    """Write heatmaps and background into channels `first` and up of `out`."""
    height, width, channels = out.shape
    background = channels - 1
    half = (stride - 1) / 2
    reach = reach_sigmas * sigma
    least = np.exp(-reach_sigmas * reach_sigmas / 2)
    across = np.empty(width)
    out[:, :, background] = 1.0
    # A Gaussian of x and y is a product of one of x and one of y: one exponential a row or column
    # in place of one a cell.
    for person in range(parts.shape[0]):
        for part in range(parts.shape[1]):
            x, y, visibility = parts[person, part]
            if not (
                visibility < ABSENT and x > -reach and y > -reach and x < stride * width + reach
            ):
                continue
            left, right = _cells_between(x - reach, x + reach, stride, half, width)
            top, bottom = _cells_between(y - reach, y + reach, stride, half, height)
            for j in range(left, right):
                across[j] = np.exp(-((stride * j + half - x) ** 2) / (2 * sigma * sigma))
            for i in range(top, bottom):
                down = np.exp(-((stride * i + half - y) ** 2) / (2 * sigma * sigma))
                for j in range(left, right):
                    value = np.float32(down * across[j])
                    # `least` cuts off by distance, not by the square of cells around the keypoint
                    if down * across[j] >= least and value > out[i, j, first + part]:
                        out[i, j, first + part] = value
                        out[i, j, background] = min(out[i, j, background], np.float32(1) - value)


@jit
def _cells_between(low, high, stride, offset, count):
    """First and past-the-last cell whose point stride * i + offset lies between `low` and `high`,
    both included.
    """
    first = max(np.ceil((low - offset) / stride), 0.0)
    last = min(np.floor((high - offset) / stride), count - 1.0)
    return int(min(first, count * 1.0)), int(max(last, -1.0)) + 1


@jit
def _box(a, b, width_px, stride, corner, count):
    """Range of cells between coordinates `a` and `b`, grown by `width_px`; the reference rounds to
    whole cells.
    """
    low, high = min(a, b) - width_px, max(a, b) + width_px
    if corner:
        first = min(max(np.rint(low / stride), 0.0), count * 1.0)
        return int(first), int(min(max(np.rint(high / stride), 0.0), count * 1.0))
    return _cells_between(low, high, stride, (stride - 1) / 2, count)


@jit
def _fill_fields(parts, limbs, stride, width_px, corner, mean, out):
    """Write the fields of all limbs into the first channels of `out`."""
    covered = np.empty(out.shape[:2], np.int32)
    for limb in range(limbs.shape[0]):
        covered[:] = 0
        for person in range(parts.shape[0]):
            start, end = parts[person, limbs[limb, 0]], parts[person, limbs[limb, 1]]
            if start[2] < ABSENT and end[2] < ABSENT:
                _add_field(start, end, limb, stride, width_px, corner, mean, covered, out)


@jit
def _add_field(start, end, limb, stride, width_px, corner, mean, covered, out):
    """Write one person's limb: over what is there, or (`mean`) into the running mean of `covered`
    people.
    """
    length = np.hypot(end[0] - start[0], end[1] - start[1])
    if length < SHORTEST_LIMB_PX:
        return
    ux, uy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    # the cell's first pixel as in the reference, or its centre, as for heatmaps (docs/sources.md
    # 9.7)
    offset = 0.0 if corner else (stride - 1) / 2
    left, right = _box(start[0], end[0], width_px, stride, corner, out.shape[1])
    top, bottom = _box(start[1], end[1], width_px, stride, corner, out.shape[0])
    for i in range(top, bottom):
        for j in range(left, right):
            x, y = stride * j + offset - start[0], stride * i + offset - start[1]
            if abs(x * uy - y * ux) > width_px:
                continue
            covered[i, j] += 1
            if mean and covered[i, j] > 1:  # running mean: m += (x - m) / n
                out[i, j, 2 * limb] += (ux - out[i, j, 2 * limb]) / covered[i, j]
                out[i, j, 2 * limb + 1] += (uy - out[i, j, 2 * limb + 1]) / covered[i, j]
            else:
                out[i, j, 2 * limb] = ux
                out[i, j, 2 * limb + 1] = uy
