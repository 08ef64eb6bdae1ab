"""What a reader is shown of an image's maps: small, one byte a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stages.openpose.drawing import strongest
from stages.openpose.inference.tta import Maps, scaled_size
from stages.openpose.skeleton import COCO, Skeleton

LONGEST_SIDE_CELLS = 64


@dataclass(frozen=True)
class SmallMaps:
    """The strongest of the maps in each cell.

    Attributes:
        heat: uint8 [h, w], the largest heatmap of a part, 255 = 1.
        field: int8 [h, w, 2], x and y of the longest vector of all limbs, 127 = 1.
        covered_px: float64 [2], (height, width) in pixels of the image that the maps cover from its
            upper left corner.
    """

    heat: np.ndarray
    field: np.ndarray
    covered_px: np.ndarray


def small_maps(
    maps: Maps, image_hw: tuple[int, int], height_px: int, skeleton: Skeleton = COCO
) -> SmallMaps:
    """The maps of an image of (height, width) `image_hw` that the network saw `height_px` high."""
    grid = np.array(maps.heatmaps.shape[:2])
    scaled = np.array(scaled_size(image_hw, height_px))
    share = min(1.0, LONGEST_SIDE_CELLS / grid.max())
    size = tuple(np.maximum((share * grid).round().astype(int), 1)[::-1].tolist())
    heat, field = (
        cv2.resize(one.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for one in strongest(maps.heatmaps, maps.pafs, skeleton)
    )
    return SmallMaps(
        heat=(255 * np.clip(heat, 0, 1)).round().astype(np.uint8),
        field=(127 * np.clip(field, -1, 1)).round().astype(np.int8),
        covered_px=grid * maps.stride_px * np.array(image_hw) / scaled,
    )


def write_small_maps(path: Path, by_image: Mapping[int, SmallMaps]) -> None:
    """A compressed npz of arrays `<image id>.<attribute>`."""
    arrays = {
        f"{image_id}.{name}": array
        for image_id, one in sorted(by_image.items())
        for name, array in vars(one).items()
    }
    np.savez_compressed(path, **arrays)
