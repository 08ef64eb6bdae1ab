"""Test-time augmentation, from an image to maps: scaling, padding, the network at several scales
and mirrored, the mean of all its maps.

Geometry. Pixel centres lie at integers, so that the left edge of an image is x = -0.5. Edges of a
scaled image fall on edges of the original: x + 0.5 scales, x does not. Cell j of maps at a stride
of s pixels is centred at s j + (s - 1) / 2 (for s = 8: 3.5). Every change of grid here goes through
`_taps` and `to_image`; nothing else in the project corrects by half a pixel after the network.

Scales follow arXiv:1611.08050, section 3 (0.5, 1, 1.5, 2 times the base height) and docs/sources.md
5. Deliberate deviations from the reference: `single` is scaled to the base height too; maps are
averaged on a low-resolution grid, not at full size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from stages.openpose.compiled import jit
from stages.openpose.decoding.people import People
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO, Skeleton

OUTPUTS = ("single", "multi", "multi_flip")
NETWORK_STRIDE_PX = 8
NATIVE = 0.0  # the "scale" of a view that shows the image at its own resolution


class Settings(Protocol):
    """What inference reads of the section `detect` of params.yaml."""

    @property
    def height_px(self) -> int: ...
    @property
    def scales(self) -> Sequence[float]: ...
    @property
    def pad_value(self) -> int: ...
    @property
    def pad_multiple_px(self) -> int: ...
    @property
    def average_stride_px(self) -> int: ...


@dataclass(frozen=True)
class View:
    """One way in which the network sees an image."""

    scale: float
    mirrored: bool


@dataclass(frozen=True)
class Maps:
    """Maps of one image: heatmaps float32 [h, w, parts + 1], pafs float32 [h, w, 2 limbs], pixels a
    cell.
    """

    heatmaps: np.ndarray
    pafs: np.ndarray
    stride_px: int


def views_for(outputs: Sequence[str], scales: Sequence[float]) -> list[View]:
    """The views that `outputs` (of OUTPUTS) need, each once: `single` is the view at scale 1 of
    `multi`.
    """
    if 1.0 not in scales:
        raise InputError(f"`detect.scales`: expected a list that holds 1.0, found {list(scales)}")
    several = any(output != "single" for output in outputs)
    views = [View(scale, mirrored=False) for scale in scales if several or scale == 1.0]
    if "multi_flip" in outputs:
        views += [View(scale, mirrored=True) for scale in scales]
    return views


def scaled_size(
    original_hw: tuple[int, int], height_px: int, scale: float = 1.0
) -> tuple[int, int]:
    """Size in pixels of an image scaled to `height_px * scale`, aspect kept.

    Both sides are rounded to the nearest whole pixel, halves upwards: the height first, then the
    width by the aspect of the original (not of the rounded height at scale 1); at least 1. The
    scale NATIVE leaves the image as it is.
    """
    if scale == NATIVE:
        return original_hw
    height, width = original_hw
    target_height_px = height_px * scale
    return max(int(target_height_px + 0.5), 1), max(int(width * target_height_px / height + 0.5), 1)


def padded_size(size_px: tuple[int, int], multiple: int = NETWORK_STRIDE_PX) -> tuple[int, int]:
    """`size_px` rounded up to a multiple on both sides."""
    return tuple(-(-side // multiple) * multiple for side in size_px)


def input_sizes(
    original_hw: tuple[int, int], settings: Settings, scales: Sequence[float]
) -> tuple[tuple[int, int], ...]:
    """Padded sizes of an image at all scales; images with the same can share network calls."""
    scaled = (scaled_size(original_hw, settings.height_px, scale) for scale in scales)
    return tuple(padded_size(size_px, settings.pad_multiple_px) for size_px in scaled)


def network_inputs(
    image: np.ndarray, views: Sequence[View], settings: Settings
) -> dict[View, np.ndarray]:
    """The image as the network sees it, by view.

    Args:
        image: uint8 [H, W, 3] BGR.

    Returns:
        uint8 [H', W', 3] BGR, scaled (area mean when shrinking, else cubic), mirrored, padded at
        the right and at the bottom with `settings.pad_value`; H', W' multiples of
        `settings.pad_multiple_px`.
    """
    inputs, scaled = {}, {}
    for view in views:
        height, width = size_px = scaled_size(image.shape[:2], settings.height_px, view.scale)
        if view.scale not in scaled:
            method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
            scaled[view.scale] = cv2.resize(image, (width, height), interpolation=method)
        shape = (*padded_size(size_px, settings.pad_multiple_px), 3)
        padded = np.full(shape, settings.pad_value, np.uint8)
        padded[:height, :width] = (
            cv2.flip(scaled[view.scale], 1) if view.mirrored else scaled[view.scale]
        )
        inputs[view] = padded
    return inputs


def mirror_maps(
    heatmaps: np.ndarray, pafs: np.ndarray, skeleton: Skeleton = COCO
) -> tuple[np.ndarray, np.ndarray]:
    """Maps of a mirrored image from those of the image (and back): columns reversed, left and right
    exchanged.

    Args:
        heatmaps: [..., h, w, parts + 1]; the background stays where it is.
        pafs: [..., h, w, 2 limbs]; x components change their sign, y components those of limbs
            whose counterpart runs the other way.
    """
    background = len(skeleton.parts)
    limb_channels = np.array([(2 * limb, 2 * limb + 1) for limb in skeleton.mirrored_limbs]).ravel()
    signs = np.outer(skeleton.mirrored_limb_signs, (-1, 1)).astype(pafs.dtype).ravel()
    return heatmaps[..., ::-1, [*skeleton.mirrored_parts, background]], pafs[
        ..., ::-1, limb_channels
    ] * signs


class MapMean:
    """The running mean of one image's maps over views, on a grid of `stride_px` pixels of the
    scale-1 input.

    The grid covers the image without padding. Memory: two grids, whatever the number of views.
    """

    def __init__(self, original_hw: tuple[int, int], settings: Settings, skeleton: Skeleton = COCO):
        self._size_px = scaled_size(original_hw, settings.height_px)
        self._original_hw = original_hw
        self._settings = settings
        self._skeleton = skeleton
        grid = padded_size(self._size_px, settings.average_stride_px)
        self._grid = tuple(side // settings.average_stride_px for side in grid)
        self._sums = [
            np.zeros((*self._grid, channels), np.float32)
            for channels in (skeleton.heatmap_channels, skeleton.paf_channels)
        ]
        self._views = 0

    def add(self, view: View, heatmaps: np.ndarray, pafs: np.ndarray) -> None:
        """Add the maps of one view, float32 [h, w, C] at the network's stride, padding included."""
        size_px = scaled_size(self._original_hw, self._settings.height_px, view.scale)
        left_px = 0
        if view.mirrored:
            heatmaps, pafs = mirror_maps(heatmaps, pafs, self._skeleton)
            # mirrored back, the padding lies at the left
            left_px = heatmaps.shape[1] * NETWORK_STRIDE_PX - size_px[1]
        stride = self._settings.average_stride_px
        row_taps = _taps(self._grid[0], stride, size_px[0] / self._size_px[0], heatmaps.shape[0], 0)
        column_taps = _taps(
            self._grid[1], stride, size_px[1] / self._size_px[1], heatmaps.shape[1], left_px
        )
        # float32, view after view in the order of the settings: the sum is the same bits each time
        for total, maps in zip(self._sums, (heatmaps, pafs), strict=True):
            _add_resampled(total, np.ascontiguousarray(maps, np.float32), *row_taps, *column_taps)
        self._views += 1

    def mean(self) -> Maps:
        """The mean of the views added so far; more may be added afterwards."""
        heatmaps, pafs = (total / np.float32(self._views) for total in self._sums)
        return Maps(heatmaps, pafs, self._settings.average_stride_px)


def _taps(
    count: int, stride_px: int, ratio: float, cells: int, origin_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the `count` cells of the common grid lie on one axis of a view's maps: indices and
    weights [count, 4].

    `ratio` is the size of the view's image over that at scale 1; `origin_px` the padding before the
    image. Beyond the maps their border value goes on. Weights: Keys' cubic with a = -0.5, exact for
    quadratic functions.
    """
    # half a cell: from the cell's number to its centre as a distance from the image's edge; edges
    # scale. Half a cell back: from distances to numbers of cells of the view.
    edge_px = (np.arange(count) + 0.5) * stride_px * ratio + origin_px
    position = edge_px / NETWORK_STRIDE_PX - 0.5
    first = np.floor(position).astype(np.int64)
    t = (position - first)[:, None]
    weights = np.concatenate(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ],
        axis=1,
    )
    index = np.clip(first[:, None] + np.arange(-1, 3), 0, cells - 1)
    return index, weights.astype(np.float32)


@jit
def _add_resampled(total, maps, row_index, row_weight, column_index, column_weight):
    """total [H, W, C] += maps [h, w, C] sampled at rows x columns; one row of the grid at a
    time.
    """
    width, channels = maps.shape[1], maps.shape[2]
    rows = maps.reshape(maps.shape[0], width * channels)
    row = np.empty(width * channels, np.float32)
    for i in range(total.shape[0]):
        a, b, c, d = (
            rows[row_index[i, 0]],
            rows[row_index[i, 1]],
            rows[row_index[i, 2]],
            rows[row_index[i, 3]],
        )
        wa, wb, wc, wd = row_weight[i, 0], row_weight[i, 1], row_weight[i, 2], row_weight[i, 3]
        for k in range(width * channels):
            row[k] = wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k]
        cells = row.reshape(width, channels)
        for j in range(total.shape[1]):
            a, b = cells[column_index[j, 0]], cells[column_index[j, 1]]
            c, d = cells[column_index[j, 2]], cells[column_index[j, 3]]
            wa, wb, wc, wd = (
                column_weight[j, 0],
                column_weight[j, 1],
                column_weight[j, 2],
                column_weight[j, 3],
            )
            out = total[i, j]
            for k in range(channels):
                out[k] += wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k]


def without_padding(heatmaps: np.ndarray, pafs: np.ndarray, size_px: tuple[int, int]) -> Maps:
    """Maps of one view at the network's stride, cut to the cells that touch the image of
    `size_px`.
    """
    height, width = (side // NETWORK_STRIDE_PX for side in padded_size(size_px))
    return Maps(
        *(np.ascontiguousarray(maps[:height, :width]) for maps in (heatmaps, pafs)),
        NETWORK_STRIDE_PX,
    )


def maps_for(
    outputs: Sequence[str],
    views: dict[View, tuple[np.ndarray, np.ndarray]],
    original_hw: tuple[int, int],
    settings: Settings,
    skeleton: Skeleton = COCO,
) -> dict[str, Maps]:
    """The maps that each of `outputs` decodes, from one image's maps by view (heatmaps, pafs;
    padding included).
    """
    maps_by_output = {}
    if "single" in outputs:
        maps_by_output["single"] = without_padding(
            *views[View(1.0, False)], scaled_size(original_hw, settings.height_px)
        )
    if outputs == ("single",):
        return maps_by_output
    mean = MapMean(original_hw, settings, skeleton)
    for output, mirrored in (("multi", False), ("multi_flip", True)):
        for view, maps in views.items():
            if view.mirrored == mirrored:
                mean.add(view, *maps)
        if output in outputs:
            maps_by_output[output] = mean.mean()
    return maps_by_output


def to_image(people: People, original_hw: tuple[int, int], height_px: int) -> People:
    """People in pixels of the scale-1 input -> in pixels of the original image; absent keypoints
    stay (0, 0, 0).
    """
    size_px = scaled_size(original_hw, height_px)
    ratio_xy = np.array([original_hw[1] / size_px[1], original_hw[0] / size_px[0]])

    def moved(points: np.ndarray) -> np.ndarray:
        out = points.copy()
        # x + 0.5, the distance from the edge, is what scales
        out[..., :2] = np.where(points[..., 2:] > 0, (points[..., :2] + 0.5) * ratio_xy - 0.5, 0)
        return out

    return replace(people, keypoints=moved(people.keypoints), parts=moved(people.parts))
