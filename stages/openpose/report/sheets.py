"""Sheets of images, which `dvc plots diff` shows of two revisions side by side. They show the same
images whatever the result is.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import orjson

from stages.openpose.coco.annotations import Images, People
from stages.openpose.coco.image_files import ImageArchive, decode_bgr
from stages.openpose.drawing import draw_people, parts_of
from stages.openpose.skeleton import COCO, Skeleton

COUNT, COLUMNS = 8, 2  # images; each labelled beside found
TILE_HW_PX = (240, 320)
FOUND = 2  # third column of COCO results; 1: guessed


def spread(images: Images, people: People, count: int = COUNT) -> np.ndarray:
    """Rows of up to `count` images, evenly over those with labelled people."""
    with_people = np.unique(people.image)
    places = np.linspace(0, len(with_people) - 1, min(count, len(with_people))).round().astype(int)
    return with_people[places]


def read_found(folder: Path, inference: str, ids: Sequence[int], skeleton: Skeleton = COCO) -> dict:
    """Keypoints float64 [P, K, 3] of each of the images `ids` in the shards below `folder`; guessed
    ones count as absent.
    """
    wanted = set(ids)
    found: dict[int, list] = {image_id: [] for image_id in ids}
    for path in sorted(folder.glob(f"*/{inference}.json")):
        for result in orjson.loads(path.read_bytes()):
            if result["image_id"] in wanted:
                found[result["image_id"]].append(result["keypoints"])
    shape = (-1, len(skeleton.keypoints), 3)
    arrays = {
        image_id: np.reshape(np.array(lists, float), shape) for image_id, lists in found.items()
    }
    return {
        image_id: np.where(points[..., 2:] == FOUND, points, 0.0)
        for image_id, points in arrays.items()
    }


def people_sheet(
    images: Images,
    people: People,
    rows: np.ndarray,
    found: dict[int, np.ndarray],
    archive: ImageArchive,
    skeleton: Skeleton = COCO,
) -> np.ndarray:
    """uint8 [H, W, 3] BGR: of each image of `rows` the labelled people beside those found
    (keypoints [P, K, 3] by image id).

    Raises:
        InputError: an image that cannot be read.
    """
    tiles = []
    for row in rows:
        name = images.file_names[row]
        image = decode_bgr(archive.read(name), name, int(images.turns[row]))
        for keypoints in (people.keypoints[people.image == row], found[int(images.ids[row])]):
            tiles.append(_tile(draw_people(image, parts_of(keypoints, skeleton), skeleton)))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % (2 * COLUMNS))
    lines = [tiles[i : i + 2 * COLUMNS] for i in range(0, len(tiles), 2 * COLUMNS)]
    return np.concatenate([np.concatenate(line, axis=1) for line in lines])


def _tile(image: np.ndarray) -> np.ndarray:
    """The image in the middle of a white tile."""
    height, width = TILE_HW_PX
    scale = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    tile = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA
    )
    return tile
