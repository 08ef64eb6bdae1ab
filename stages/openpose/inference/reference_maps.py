"""The reference's test-time augmentation (docs/sources.md 5), for parity: maps averaged and decoded
at the size of the image.

Its `single` is the image at its native resolution; here that is padded to a multiple of 8, which
the reference, whose network rounds down, does not do. Slow, and large in memory
(docs/measurements.md).
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from stages.openpose.inference.reference_decoder import enlarge
from stages.openpose.inference.tta import (
    NATIVE,
    NETWORK_STRIDE_PX,
    Settings,
    View,
    mirror_maps,
    scaled_size,
    views_for,
)

Pair = tuple[np.ndarray, np.ndarray]


def reference_views(outputs: Sequence[str], scales: Sequence[float]) -> list[View]:
    """The views that `outputs` need: `single` has one of its own."""
    several = [output for output in outputs if output != "single"]
    views = views_for(several, scales) if several else []
    return [View(NATIVE, mirrored=False), *views] if "single" in outputs else views


def full_size_means(
    outputs: Sequence[str],
    views: dict[View, Pair],
    original_hw: tuple[int, int],
    settings: Settings,
) -> Iterator[tuple[str, Pair]]:
    """(output, mean heatmaps [H, W, 19], mean pafs [H, W, 38]) for each of `outputs`; float64, size
    of the image.

    Args:
        views: heatmaps and pafs float32 [h, w, C] of one image by view, padding included.
    """
    if "single" in outputs:
        yield (
            "single",
            full_size(
                views[View(NATIVE, False)], View(NATIVE, False), original_hw, settings.height_px
            ),
        )
    sums, count = None, 0
    for output, mirrored in (("multi", False), ("multi_flip", True)):
        for view, maps in views.items():
            if view.mirrored == mirrored and view.scale != NATIVE:
                large = full_size(maps, view, original_hw, settings.height_px)
                sums = (
                    large
                    if sums is None
                    else tuple(total + array for total, array in zip(sums, large, strict=True))
                )
                count += 1
        if output in outputs:
            yield output, tuple(total / count for total in sums)


def full_size(maps: Pair, view: View, original_hw: tuple[int, int], height_px: int) -> Pair:
    """One view's maps as float64 [H, W, C] of the original image, mirrored back."""
    size_px = scaled_size(original_hw, height_px, view.scale)
    if not view.mirrored:
        return tuple(enlarge(array, size_px, original_hw) for array in maps)
    return tuple(_enlarge_right(array, size_px, original_hw) for array in mirror_maps(*maps))


def _enlarge_right(
    maps: np.ndarray, size_px: tuple[int, int], original_hw: tuple[int, int]
) -> np.ndarray:
    """As `enlarge`, for maps whose padding lies at the left, where mirroring back has brought
    it.
    """
    stride = NETWORK_STRIDE_PX
    large = cv2.resize(
        np.ascontiguousarray(maps), None, fx=stride, fy=stride, interpolation=cv2.INTER_CUBIC
    )
    image = large[: size_px[0], large.shape[1] - size_px[1] :]
    return cv2.resize(image, original_hw[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float64)
