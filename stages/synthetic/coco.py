"""What a drawn image shows, in the words of COCO's keypoint annotations."""

from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from stages.openpose.skeleton import COCO
from stages.synthetic.body import EVIDENCE
from stages.synthetic.scene import CROWD, PERSON, SUPER, DrawnScene

ABSENT, HIDDEN, VISIBLE = 0, 1, 2
# Body heights: hidden joints farther than this from anything seen of the person go unlabelled.
HIDDEN_REACH = 0.2
SMALL_PX2 = 800  # people smaller than this seldom get keypoints, as in COCO
LEAST_KEYPOINTS = 3  # people of whom fewer keypoints could be labelled get none
LEAST_PX2 = 24  # people of whom less is seen are not annotated at all

# COCO's drawing order of the skeleton, keypoint numbers from one.
SKELETON = [
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
    [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
]  # fmt: skip


def document(set_name: str, images: list[dict], annotations: list[dict]) -> dict[str, Any]:
    """A complete COCO keypoint file."""
    category = {"supercategory": "person", "id": 1, "name": "person"}
    category |= {"keypoints": list(COCO.keypoints), "skeleton": SKELETON}
    info = {
        "description": f"Drawn people, {set_name}",
        "url": "",
        "version": "1.0",
        "year": 2014,
    }
    info |= {"contributor": "openpose-pipeline", "date_created": "2014/05/31"}
    licence = {
        "id": 1,
        "name": "CC0 1.0",
        "url": "https://creativecommons.org/publicdomain/zero/1.0/",
    }
    return {
        "info": info,
        "images": images,
        "licenses": [licence],
        "annotations": annotations,
        "categories": [category],
    }


def annotate(scene: DrawnScene, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Annotations of one image, without ids: people one by one, distant crowds as one run-length
    region.

    `rng` decides which people the (imaginary) annotators left without keypoints.
    """
    annotations = []
    for number, item in enumerate(scene.items):
        if item.kind != PERSON:
            continue
        person = _person(scene, number, rng)
        if person is not None:
            annotations.append(person)
    numbers = [number for number, item in enumerate(scene.items) if item.kind == CROWD]
    if numbers:
        crowd = _crowd(np.isin(scene.owner, numbers))
        if crowd is not None:
            annotations.append(crowd)
    return annotations


def _person(scene: DrawnScene, number: int, rng: np.random.Generator) -> dict[str, Any] | None:
    mask = scene.owner == number
    labelled_if_small, labelled = rng.random() < 0.15, rng.random() < 0.96
    if mask.sum() < LEAST_PX2 * SUPER * SUPER:
        return None
    polygons = outline(mask)
    height, width = scene.image.shape[:2]
    area = polygon_area(polygons, height, width)
    if area < LEAST_PX2:
        return None
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
    low, high = points.min(0), points.max(0)
    keypoints = find_keypoints(scene, number, mask)
    few = (keypoints[:, 2] > 0).sum() < LEAST_KEYPOINTS
    if few or not labelled or (area < SMALL_PX2 and not labelled_if_small):
        keypoints[:] = 0
    return {
        "segmentation": polygons,
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "area": area,
        "iscrowd": 0,
        "keypoints": keypoints.reshape(-1).tolist(),
        "bbox": [round(float(v), 2) for v in (*low, *(high - low))],
        "category_id": 1,
    }


def outline(mask: np.ndarray) -> list[list[float]]:
    """Polygons [x0, y0, x1, y1, ...] in pixels of the image around the regions of a buffer mask
    bool [2 H, 2 W].

    Pieces smaller than three pixels are left out and holes are filled: COCO's polygons know none.
    """
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    polygons = []
    for contour in contours:
        if len(contour) < 3 or cv2.contourArea(contour) < 3 * SUPER * SUPER:
            continue
        thin = cv2.approxPolyDP(contour, 0.9, True)
        if len(thin) >= 3:
            # + 0.5: from numbers of buffer pixels to their centres, as distances from the edge
            polygons.append(((thin.reshape(-1) + 0.5) / SUPER).tolist())
    return [[round(v, 2) for v in polygon] for polygon in polygons]


def polygon_area(polygons: list[list[float]], height: int, width: int) -> float:
    """Pixels of an image of this size that the polygons cover, as pycocotools counts them."""
    if not polygons:
        return 0.0
    return float(mask_utils.area(mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))))


def _crowd(mask: np.ndarray) -> dict[str, Any] | None:
    height, width = mask.shape[0] // SUPER, mask.shape[1] // SUPER
    small = mask.reshape(height, SUPER, width, SUPER).sum((1, 3)) * 2 >= SUPER * SUPER
    if small.sum() < LEAST_PX2:
        return None
    ys, xs = np.nonzero(small)
    box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
    return {
        "segmentation": {"counts": run_lengths(small), "size": [height, width]},
        "num_keypoints": 0,
        "area": float(small.sum()),
        "iscrowd": 1,
        "keypoints": [0] * (3 * len(COCO.keypoints)),
        "bbox": [float(v) for v in box],
        "category_id": 1,
    }


def run_lengths(mask: np.ndarray) -> list[int]:
    """Uncompressed run lengths of a mask bool [H, W]: column by column, the first run counts
    zeros.
    """
    flat = mask.reshape(-1, order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def find_keypoints(scene: DrawnScene, number: int, mask: np.ndarray) -> np.ndarray:
    """Keypoints int64 [17, 3] of item `number` (x, y of the pixel, visibility 0, 1, 2); `mask` is
    where it is seen.
    """
    item = scene.items[number]
    height, width = scene.image.shape[:2]
    placed = item.view.project(item.keypoints)
    result = np.zeros((len(COCO.keypoints), 3), np.int64)
    for k, name in enumerate(COCO.keypoints):
        x, y, z, scale = placed[k]
        # rounded first, so that the last bits of a processor's arithmetic change no pixel
        pixel = np.floor(np.round([x / SUPER, y / SUPER], 6)).astype(int)
        if not (0 <= pixel[0] < width and 0 <= pixel[1] < height):
            continue
        visibility = _visibility(scene, number, mask, name, x, y, z, scale)
        if visibility != ABSENT:
            result[k] = (*pixel, visibility)
    return result


def _visibility(scene: DrawnScene, number: int, mask: np.ndarray, name: str, x, y, z, scale) -> int:
    row, column = int(y), int(x)
    near = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    evidence_parts, reach = EVIDENCE[name]
    evidence = (
        mask[near]
        & np.isin(scene.part[near], evidence_parts)
        & (scene.depth[near] - z < reach * scale)
    )
    if 2 * evidence.sum() > evidence.size:
        return VISIBLE
    if name.endswith(("nose", "eye", "ear")) and _turned_away(scene, number, name):
        return ABSENT
    far = max(2, int(HIDDEN_REACH * scale))
    around = mask[max(0, row - far) : row + far + 1, max(0, column - far) : column + far + 1]
    return HIDDEN if around.any() else ABSENT


def _turned_away(scene: DrawnScene, number: int, name: str) -> bool:
    """Whether a feature of the face lies on the side of the head that the camera cannot see; people
    who annotate leave those out."""
    item = scene.items[number]
    points = dict(zip(COCO.keypoints, item.keypoints, strict=True))
    across = points["left_ear"] - points["right_ear"]
    middle = 0.5 * (points["left_ear"] + points["right_ear"])
    outward = {"left_ear": across, "right_ear": -across}.get(name, points["nose"] - middle)
    outward = item.view.turn @ outward
    return bool(outward[2] < 0.12 * np.linalg.norm(outward))
