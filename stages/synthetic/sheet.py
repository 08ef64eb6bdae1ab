"""A contact sheet: many images at once, with or without what is annotated in them."""

import cv2
import numpy as np
import simplejpeg

from stages.synthetic.coco import HIDDEN, SKELETON
from stages.synthetic.dataset import DrawnImage

CELL_PX = 324
LEFT, RIGHT, MIDDLE = (80, 220, 80), (60, 120, 255), (255, 220, 60)


def make_sheet(drawn_images: list[DrawnImage], columns: int, annotated: bool) -> np.ndarray:
    """One image uint8 [rows * CELL_PX, columns * CELL_PX, 3] BGR of all `drawn_images`."""
    rows = -(-len(drawn_images) // columns)
    sheet = np.full((rows * CELL_PX, columns * CELL_PX, 3), 255, np.uint8)
    for k, drawn_image in enumerate(drawn_images):
        image = simplejpeg.decode_jpeg(drawn_image.jpeg, "BGR")
        if annotated:
            for annotation in drawn_image.annotations:
                _mark(image, annotation)
        y, x = k // columns * CELL_PX, k % columns * CELL_PX
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
    return sheet


def _mark(image: np.ndarray, annotation: dict) -> None:
    x, y, width, height = (int(v) for v in annotation["bbox"])
    if annotation["iscrowd"]:
        cv2.rectangle(image, (x, y), (x + width, y + height), (0, 255, 255), 2)
        return
    for polygon in annotation["segmentation"]:
        cv2.polylines(
            image,
            [np.array(polygon, np.float32).reshape(-1, 2).astype(np.int32)],
            True,
            (255, 255, 255),
            1,
        )
    points = np.array(annotation["keypoints"]).reshape(-1, 3)
    for a, b in SKELETON:
        if points[a - 1, 2] and points[b - 1, 2]:
            cv2.line(
                image,
                points[a - 1, :2].tolist(),
                points[b - 1, :2].tolist(),
                (200, 200, 200),
                1,
                cv2.LINE_AA,
            )
    for k, (px, py, visibility) in enumerate(points.tolist()):
        if visibility:
            colour = MIDDLE if k == 0 else LEFT if k % 2 else RIGHT
            cv2.circle(image, (px, py), 3, colour, 1 if visibility == HIDDEN else -1, cv2.LINE_AA)
