"""Random changes of a training crop's colours and sharpness; where things are does not change."""

from typing import Any

import cv2
import numpy as np

MIDDLE_GREY = 127.5
LARGEST_BLUR_PX = 2.0
_VALUES = np.arange(256, dtype=np.float32)


def recolours(augment: Any) -> bool:
    """Whether the section `augment` changes colours or sharpness at all."""
    changes = (augment.brightness, augment.contrast, augment.colour_gain)
    return any((*changes, augment.grey_probability, augment.blur_probability))


def recolour(crop: np.ndarray, rng: np.random.Generator, augment: Any) -> None:
    """Change a crop in place: blur, grey, then
    value' = (value - middle) * contrast * gain + middle + brightness.

    Args:
        crop: uint8 [S, S, 3], contiguous, BGR.
        rng: of this sample.
        augment: the section `augment`: `brightness`, `contrast` and `colour_gain` are the largest
            changes, as shares of the range 0..255, of 1 and of 1; each colour has its own gain.
    """
    blur, sigma, grey, *changes = rng.random(8).tolist()
    if blur < augment.blur_probability:
        cv2.GaussianBlur(crop, (0, 0), 0.3 + (LARGEST_BLUR_PX - 0.3) * sigma, dst=crop)
    if grey < augment.grey_probability:
        crop[...] = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[..., None]
    brightness, contrast, *gains = (2 * change - 1 for change in changes)
    slopes = (1 + augment.contrast * contrast) * (
        1 + augment.colour_gain * np.array(gains, np.float32)
    )
    middle = MIDDLE_GREY + 255 * augment.brightness * brightness
    table = (_VALUES[:, None] - MIDDLE_GREY) * slopes + middle
    cv2.LUT(crop, np.clip(np.rint(table), 0, 255).astype(np.uint8)[None], dst=crop)
