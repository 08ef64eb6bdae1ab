"""A small report to explore: three images, two people, one model's detections."""

import cv2
import numpy as np

from stages.openpose.evaluation.scoring import Matches
from stages.openpose.report import charts
from stages.openpose.report.blocks import Charts, Gallery, GalleryImage, Page, Section, Table, View
from stages.openpose.report.gallery import KeptMaps, jpeg_of, map_views
from stages.openpose.report.skeletons import RIGHT, WRONG, found_markup, labelled_markup
from stages.openpose.report.thresholds import threshold_curve
from stages.openpose.skeleton import COCO, Skeleton

MAPS = KeptMaps(np.eye(5, dtype=np.uint8), np.ones((5, 5, 2), np.int8), np.array([120.0, 200.0]))
MODEL = "<b>trained</b>"  # what others call their models must stay text


def people(count: int, skeleton: Skeleton = COCO) -> np.ndarray:
    """Keypoints [count, K, 3] side by side."""
    steps = np.arange(len(skeleton.keypoints))
    xyv = np.stack([20 + 2.0 * steps, 20 + 5.0 * steps, np.full(len(steps), 2.0)], axis=1)
    return xyv + np.array([60.0, 0, 0]) * np.arange(count)[:, None, None]


def matches() -> Matches:
    """Image 0: right 0.9, wrong 0.3. Image 1: right 0.7. Image 2: wrong 0.5, nobody labelled."""
    hit = np.tile(np.array([True, True, False, False]), (10, 1))
    return Matches(
        image_ids=np.arange(3),
        image=np.array([0, 1, 2, 0]),
        scores=np.array([0.9, 0.7, 0.5, 0.3]),
        hit=hit,
        counted=np.ones_like(hit),
        people=np.array([2, 1, 0]),
        thresholds=np.linspace(0.5, 0.95, 10),
        recalls=np.linspace(0, 1, 101),
    )


def image(name, labelled, scores, kinds, lost, skeleton: Skeleton = COCO) -> GalleryImage:
    found = found_markup(
        people(len(scores), skeleton), np.array(scores), kinds, (120, 200), skeleton
    )
    views = [
        View("labelled", f"labelled: {labelled}", labelled_markup(people(labelled, skeleton))),
        View(f"found by {MODEL}", f"found by {MODEL}: {len(scores)}", found, MODEL),
        *map_views(MAPS),
    ]
    facts = {"people": labelled, "size": 10.0 * labelled} | ({"lost": lost} if labelled else {})
    jpeg = jpeg_of(np.full((120, 200, 3), 80 + 40 * labelled, np.uint8))
    return GalleryImage(jpeg, (120, 200), views, name, facts)


def gallery() -> Gallery:
    images = [
        image("two.jpg", 2, [0.9, 0.3], [RIGHT, WRONG], 1.2),
        image("one.jpg", 1, [0.7], [RIGHT], 0.1),
        image("<i>nobody</i>.jpg", 0, [0.5], [WRONG], 0.0),
    ]
    return Gallery(images, [threshold_curve(matches(), MODEL, "val", "multi")])


def page() -> Page:
    wide = Table(["", *(f"column {i}" for i in range(11))], [[f"value {i}" * 3 for i in range(12)]])
    chart = charts.threshold_chart(threshold_curve(matches(), MODEL, "val", "multi"))
    blocks = [Section("Curves", "Curves"), wide, Charts(chart), Section("Images", "Images")]
    return Page("Results", "What was found.", [*blocks, gallery()])


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
