"""Maps to people."""

import numpy as np

from stages.openpose.decoder import decode


def test_empty_maps_hold_nobody():
    people = decode(np.zeros((46, 46, 19), np.float32), np.zeros((46, 46, 38), np.float32))
    assert people.keypoints.shape == (0, 17, 3)
    assert people.parts.shape == (0, 18, 3)
    assert people.scores.shape == (0,)
