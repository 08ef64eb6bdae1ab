"""Labels of the network made on the device from padded keypoints, with any backend of Keras.

A batch then carries images, masks and keypoints only, less than half the bytes
(docs/measurements.md).
"""

import functools
from typing import Any

import numpy as np
from keras import ops

from stages.openpose.coco.annotations import ABSENT
from stages.openpose.samples.labels import REACH_SIGMAS, SHORTEST_LIMB_PX
from stages.openpose.skeleton import COCO, Skeleton


def device_targets(
    parts: Any, grid_hw: tuple[int, int], labels: Any, *, skeleton: Skeleton = COCO
) -> Any:
    """The labels of `labels.make_targets` for a batch; a function of tensors, to be traced with the
    training step.

    Values are those of the host within 1e-4, except that a cell whose distance from a limb equals
    `paf_width_px` to the last bits of float32 may count as inside here and as outside there.

    Args:
        parts: float32 [B, P, parts, 3] of (x, y, visibility), crop pixels; people are padded with
            visibility 2.
        grid_hw: (h, w) of the grid.
        labels: the section `labels`.
        skeleton: limbs and number of parts.

    Returns:
        float32 [B, h, w, channels], channels as in `labels.make_targets`.
    """
    parts = ops.cast(parts, "float32")
    labelled = parts[..., 2] < ABSENT
    fields = _fields(parts, labelled, grid_hw, labels, skeleton)
    heatmaps = _heatmaps(parts, labelled, grid_hw, labels)
    background = 1.0 - ops.max(heatmaps, axis=-1, keepdims=True)
    return ops.concatenate([fields, heatmaps, background], axis=-1)


def _points(shape: tuple[int, int, int], stride: float, offset: float) -> Any:
    """float32 stride * i + offset for the cells of a row, column or line, in the given shape."""
    return ops.convert_to_tensor(
        np.arange(max(shape), dtype=np.float32).reshape(shape) * stride + offset, "float32"
    )


def _heatmaps(parts: Any, labelled: Any, grid_hw: tuple[int, int], labels: Any) -> Any:
    """[B, h, w, parts]: the largest of the people's Gaussians."""
    centre = (labels.stride_px - 1) / 2  # heatmaps are taken at cell centres (docs/sources.md 4)
    down = _points((grid_hw[0], 1, 1), labels.stride_px, centre) - parts[:, :, None, None, :, 1]
    across = _points((1, grid_hw[1], 1), labels.stride_px, centre) - parts[:, :, None, None, :, 0]
    exponent = (ops.square(down) + ops.square(across)) / (2 * labels.sigma_px**2)
    near = ops.logical_and(
        labelled[:, :, None, None, :], exponent <= REACH_SIGMAS[labels.beyond_frame] ** 2 / 2
    )
    values = ops.where(near, ops.exp(-exponent), 0.0)
    return ops.max(values, axis=1)


def _fields(
    parts: Any, labelled: Any, grid_hw: tuple[int, int], labels: Any, skeleton: Skeleton
) -> Any:
    """[B, h, w, 2 * limbs]: unit vectors along the limbs, x and y of each limb in turn."""
    first, second = (np.array(ends) for ends in zip(*skeleton.limbs, strict=True))
    start, end = ops.take(parts, first, axis=2)[..., :2], ops.take(parts, second, axis=2)[..., :2]
    both = ops.logical_and(ops.take(labelled, first, axis=2), ops.take(labelled, second, axis=2))
    along = end - start
    length = ops.sqrt(ops.sum(ops.square(along), axis=-1))
    # no division by zero: below, 0 (not inside) times NaN would be NaN
    unit = along / ops.maximum(length, SHORTEST_LIMB_PX)[..., None]
    both = ops.logical_and(both, length >= SHORTEST_LIMB_PX)
    inside = _inside(start, end, unit, grid_hw, labels)
    inside = ops.cast(ops.logical_and(inside, both[:, :, None, None, :]), "float32")
    if labels.paf_overlap == "last":
        # people from this one on
        later = ops.flip(ops.cumsum(ops.flip(inside, axis=1), axis=1), axis=1)
        inside = inside * ops.cast(later == 1, "float32")
    count = ops.maximum(ops.sum(inside, axis=1), 1.0)
    fields = [ops.sum(inside * unit[:, :, None, None, :, axis], axis=1) / count for axis in (0, 1)]
    stacked = ops.stack(fields, axis=-1)
    return ops.reshape(stacked, (-1, *grid_hw, 2 * len(skeleton.limbs)))


def _inside(start: Any, end: Any, unit: Any, grid_hw: tuple[int, int], labels: Any) -> Any:
    """Boolean [B, P, h, w, limbs]: cells close to the limb's line and inside its box."""
    stride, width_px = labels.stride_px, labels.paf_width_px
    corner, centre = labels.paf_grid == "corner", (stride - 1) / 2
    inside, offsets = [], []
    for axis, shape in ((0, (1, grid_hw[1], 1)), (1, (grid_hw[0], 1, 1))):
        a, b = start[:, :, None, None, :, axis], end[:, :, None, None, :, axis]
        low, high = ops.minimum(a, b) - width_px, ops.maximum(a, b) + width_px
        if corner:
            cell = _points(shape, 1, 0)
            inside += [cell >= ops.round(low / stride), cell < ops.round(high / stride)]
        else:
            cell = _points(shape, stride, centre)
            inside += [cell >= low, cell <= high]
        offsets.append(_points(shape, stride, 0 if corner else centre) - a)
    across = offsets[0] * unit[:, :, None, None, :, 1] - offsets[1] * unit[:, :, None, None, :, 0]
    return functools.reduce(ops.logical_and, [*inside, ops.abs(across) <= width_px])
