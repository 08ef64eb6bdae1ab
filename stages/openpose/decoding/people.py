"""What decoders return."""

from dataclasses import dataclass

import numpy as np

GUESS_SCORE = 0.05  # a keypoint whose score is above 0 but not above this was not found but guessed


@dataclass(frozen=True)
class People:
    """The people found in one image.

    Attributes:
        keypoints: float32 [P, K, 3], annotation order: x, y in pixels, pixel centres at
            integers; third column the keypoint's score, 0 = not found (x and y are 0 then), at most
            GUESS_SCORE = guessed.
        parts: float32 [P, parts, 3], the same in network order, derived parts included.
        scores: float32 [P], the person's score; higher is more certain.
    """

    keypoints: np.ndarray
    parts: np.ndarray
    scores: np.ndarray
