"""Does the installed pycocotools compute what it should? Masks and an AP whose answers are known
beforehand.
"""

from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from typing import Any

import numpy as np

from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO

REINSTALL = "pycocotools does not work here; install the version of the lock file again (make env)"
PARTLY_RIGHT_OKS = 0.72

# Three people, one an image; detections by falling score: one exact, one far off, one exact, one
# with an OKS of 0.72. Up to the OKS threshold 0.70 the hits are 1, 0, 1, 1: precision is 1 at 34 of
# the 101 recalls and 3/4 at the other 67. From 0.75 on they are 1, 0, 1, 0: precision is 1 at 34
# recalls, 2/3 at 33, and the last third is never reached.
LOOSE_AP, STRICT_AP = (34 + 67 * 3 / 4) / 101, (34 + 33 * 2 / 3) / 101
EXPECTED = {
    "area_px": [6, 6],
    "union_px": 10,
    "common_px": 2,
    "iou": [[1.0, 0.2], [0.2, 1.0]],
    "crowd_iou": 1 / 3,
    "decoded_equal": True,
    "counts": "6230009",
    "polygon_px": 12,
    "oks_sigmas_equal": True,
    "AP": (LOOSE_AP + STRICT_AP) / 2,
    "AP50": LOOSE_AP,
    "AP75": STRICT_AP,
    "AR": (1 + 2 / 3) / 2,
}


def versions() -> dict[str, str]:
    """Installed versions of pycocotools and numpy; InputError where one is missing."""
    try:
        return {name: version(name) for name in ("pycocotools", "numpy")}
    except PackageNotFoundError as missing:
        raise InputError(
            f"{missing.name} is not installed; set up the environment with: make env"
        ) from None


def self_test() -> dict[str, Any]:
    """Run the known masks and the known AP; returns the figures found, floats rounded to six
    digits.

    Raises:
        InputError: a figure differs, or pycocotools cannot be loaded or fails.
    """
    try:
        figures = {**_known_masks(), **_known_ap()}
    except Exception as problem:  # a binary built for another numpy raises more than ImportError
        raise InputError(f"{REINSTALL}: {type(problem).__name__}: {problem}") from problem
    for name, expected in EXPECTED.items():
        same = (
            figures[name] == expected
            if isinstance(expected, str)
            else np.allclose(figures[name], expected, atol=1e-9)
        )
        if not same:
            raise InputError(
                f"{REINSTALL}: self-test `{name}`: expected {expected}, found {figures[name]}"
            )
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def _known_masks() -> dict[str, Any]:
    """Two rectangles of 2 x 3 pixels on a 5 x 6 image that share 2 pixels, and a polygon of 4 x 3
    pixels.
    """
    from pycocotools import mask

    images = np.zeros((5, 6, 2), np.uint8, order="F")
    images[1:3, 1:4, 0] = 1
    images[2:4, 2:5, 1] = 1
    runs = mask.encode(images)
    polygon = mask.frPyObjects([[1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0]], 5, 6)
    return {
        "area_px": mask.area(runs).tolist(),
        "union_px": int(mask.area(mask.merge(runs))),
        "common_px": int(mask.area(mask.merge(runs, intersect=True))),
        "iou": np.round(mask.iou(runs, runs, [0, 0]), 6).tolist(),
        "crowd_iou": float(mask.iou(runs[:1], runs[1:], [1])[0, 0]),
        "decoded_equal": bool((mask.decode(runs) == images).all()),
        "counts": runs[0]["counts"].decode(),
        "polygon_px": int(mask.area(polygon)[0]),
    }


def _known_ap() -> dict[str, Any]:
    """Evaluate the four detections above with pycocotools as it is installed."""
    from pycocotools.coco import COCO as Annotations
    from pycocotools.cocoeval import COCOeval

    ground_truth, detections = _people()
    with redirect_stdout(StringIO()):
        annotations = Annotations()
        annotations.dataset = ground_truth
        annotations.createIndex()
        evaluation = COCOeval(annotations, annotations.loadRes(detections), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50, ap75, _, _, ar = evaluation.stats[:6].tolist()
    sigmas = evaluation.params.kpt_oks_sigmas.tolist()
    return {
        "oks_sigmas_equal": bool(np.allclose(sigmas, COCO.oks_sigmas)),
        "AP": ap,
        "AP50": ap50,
        "AP75": ap75,
        "AR": ar,
    }


def _people() -> tuple[dict, list[dict]]:
    """A COCO data set of three people on three images, and four detections."""
    rng = np.random.default_rng(0)
    places = rng.uniform(20, 180, (3, 17, 2)).round()
    visible = np.full((17, 1), 2.0)
    area = 5000.0
    # keypoints moved so far that OKS = exp(-d^2 / (2 s^2 k^2)), with k twice the sigma, is 0.72
    drift = (
        2
        * np.array(COCO.oks_sigmas)[:, None]
        * np.sqrt(-2 * np.log(PARTLY_RIGHT_OKS) * area)
        * [1.0, 0.0]
    )
    ground_truth = {
        "images": [{"id": i, "width": 200, "height": 200} for i in (1, 2, 3)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i + 1,
                "category_id": 1,
                "iscrowd": 0,
                "area": area,
                "num_keypoints": 17,
                "bbox": [20.0, 20.0, 160.0, 160.0],
                "keypoints": np.hstack([places[i], visible]).ravel().tolist(),
            }
            for i in range(3)
        ],
    }
    detections = [
        (1, places[0], 0.9),
        (1, places[0] + 1000, 0.8),
        (2, places[1], 0.7),
        (3, places[2] + drift, 0.6),
    ]
    results = [
        {
            "image_id": i,
            "category_id": 1,
            "score": score,
            "keypoints": np.hstack([xy, visible]).ravel().tolist(),
        }
        for i, xy, score in detections
    ]
    return ground_truth, results
