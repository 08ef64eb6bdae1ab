"""AP by the crowd index that CrowdPose's annotations give each image (arXiv:1812.00324, 4.1).

The borders are those of CrowdPose's own evaluation code, which the published figures come from; the
paper's text says 0.1 for the first.
"""

import numpy as np

from stages.openpose.coco.annotations import Images
from stages.openpose.coco.json_stream import read_lists
from stages.openpose.evaluation.diagnostics import image_group
from stages.openpose.evaluation.scoring import Matches

FIELD = "crowdIndex"  # of an element of `images`
LEVELS = {"easy": (0.0, 0.2), "medium": (0.2, 0.8), "hard": (0.8, np.inf)}  # from, below


def read(images: Images) -> dict[int, float] | None:
    """Crowd index of each image, by its id; None where the file's first image has none."""
    crowd_indices: dict[int, float] = {}
    for _, elements in read_lists(images.path, ("images",)):
        for image in elements:
            value = image.get(FIELD)
            if isinstance(value, int | float):
                crowd_indices[images.inside_id(image["id"])] = float(value)
            elif not crowd_indices:
                return None
    return crowd_indices


def groups(matches: Matches, crowd_indices: dict[int, float]) -> list[dict]:
    """AP of images by crowd index, as `diagnostics.crowding`; NaN where there is nobody to find."""
    index = np.array([crowd_indices.get(i, np.nan) for i in matches.image_ids.tolist()])
    return [
        image_group(matches, (index >= low) & (index < high), f"crowd index: {level}")
        for level, (low, high) in LEVELS.items()
    ]
