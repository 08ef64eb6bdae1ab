"""A network that knows: images that carry their number, and the exact maps of the people in
them.
"""

from types import SimpleNamespace

import cv2
import numpy as np

from stages.openpose.inference.tta import NATIVE, padded_size, scaled_size
from stages.openpose.samples.labels import make_targets
from stages.openpose.skeleton import COCO
from tests import tiny_coco

LABELS = SimpleNamespace(
    stride_px=8,
    sigma_px=7.0,
    paf_width_px=8.0,
    paf_overlap="mean",
    paf_grid="centre",
    beyond_frame="none",
)
SCALES = (0.5, 1.0, 1.5, 2.0)
# x, y of a standing figure in network order, in heights of the figure
STANDING = np.array(
    [
        (0.0, 0.0), (0.0, 0.14), (-0.13, 0.15), (-0.19, 0.33), (-0.21, 0.5), (0.13, 0.15), (0.19,
        0.33), (0.21, 0.5),
        (-0.08, 0.5), (-0.09, 0.75), (-0.1, 1.0), (0.08, 0.5), (0.09, 0.75), (0.1, 1.0), (-0.03,
        -0.03), (0.03, -0.03),
        (-0.07, -0.01), (0.07, -0.01),
    ]
)  # fmt: skip


def figure(x: float, y: float, height: float) -> np.ndarray:
    """Parts [18, 3] of a standing figure with its nose at (x, y), all visible."""
    return np.column_stack([STANDING * height + (x, y), np.ones(len(STANDING))])


def numbered_image(number: int, hw: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W, 3] BGR: blue tells the number (up to 20), green is dark at the left and bright
    at the right.
    """
    image = np.full((*hw, 3), (12 * number, 40, 128), np.uint8)
    image[:, hw[1] // 2 :, 1] = 200
    return image


class Oracle:
    """A forward that gives the label maps of the people known to be in an image, at any scale,
    mirrored or not.
    """

    def __init__(
        self, people: dict[int, np.ndarray], sizes: dict[int, tuple[int, int]], height_px: int
    ):
        self.people, self.sizes, self.height_px = people, sizes, height_px
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.shapes.append(batch.shape)
        maps = np.stack([self._maps(image) for image in batch])
        return maps[..., COCO.paf_channels :], maps[..., : COCO.paf_channels]

    def _maps(self, seen: np.ndarray) -> np.ndarray:
        number, mirrored = round(seen[3, 3, 0] / 12), seen[3, 3, 1] > 120
        height, width = self.sizes[number]
        # one of the scales, or the image's own resolution: that whose size, padded to multiples, is
        # the input's
        sizes = [scaled_size((height, width), self.height_px, scale) for scale in (*SCALES, NATIVE)]
        size_px = min(
            sizes,
            key=lambda one: sum(
                abs(a - b) for a, b in zip(padded_size(one), seen.shape, strict=False)
            ),
        )
        parts = self.people[number].copy()
        parts[..., :2] = (parts[..., :2] + 0.5) * (size_px[1] / width, size_px[0] / height) - 0.5
        if mirrored:
            parts[..., 0] = size_px[1] - 1 - parts[..., 0]
            parts = parts[:, list(COCO.mirrored_parts)]
        return make_targets(parts, (seen.shape[0] // 8, seen.shape[1] // 8), LABELS)


def annotation(number: int, image_id: int, parts: np.ndarray) -> dict:
    """COCO annotation of a figure, keypoints to a hundredth of a pixel."""
    points = parts[list(COCO.part_of_keypoint)]
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    box = (*low, *(high - low))
    xyv = np.column_stack([points[:, :2].round(2), np.full(len(points), 2)])
    return tiny_coco.person(
        number, image_id, [float(side) for side in box], keypoints=xyv.ravel().tolist()
    )


def write_dataset(data, people: dict[int, np.ndarray], sizes: dict[int, tuple[int, int]]) -> None:
    """A data set as the download stage leaves it, image ids = numbers of the images."""
    images = [tiny_coco.image(number, hw) for number, hw in sizes.items()]
    persons = [
        (number, person) for number, image_people in people.items() for person in image_people
    ]
    annotations = [
        annotation(row + 1, number, person) for row, (number, person) in enumerate(persons)
    ]
    tiny_coco.write_json(data / "annotations" / "val.json", images, annotations)
    files = {
        image["file_name"]: cv2.imencode(".png", numbered_image(image["id"], sizes[image["id"]]))[
            1
        ].tobytes()
        for image in images
    }
    tiny_coco.write_zip(data / "archives" / "val.zip", files)
