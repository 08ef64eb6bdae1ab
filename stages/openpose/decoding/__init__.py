"""From maps to people.

In: heatmaps float32 [h, w, 19] and PAFs float32 [h, w, 38]. Out: People (people.py): keypoints
[P, 17, 3], parts [P, 18, 3] and scores [P]; x, y in pixels of the network's input.
"""

from stages.openpose.decoding.decoder import decode

__all__ = ["decode"]
