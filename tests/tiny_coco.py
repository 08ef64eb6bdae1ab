"""Small COCO data sets for tests: annotations as dicts, images of noise, folders as download leaves
them.
"""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np

CATEGORIES = [{"id": 1, "name": "person"}]


def keypoints(box, labelled=17, visibility=2):
    """`labelled` keypoints on the diagonal of a box (x, y, width, height), the others absent."""
    x, y, w, h = box
    spread = np.linspace(0.1, 0.9, 17)
    points = np.zeros((17, 3))
    points[:labelled] = np.c_[x + w * spread, y + h * spread, np.full(17, visibility)][:labelled]
    return points.ravel().tolist()


def person(number, image_id, box=(10, 10, 60, 100), labelled=17, **changes):
    """An annotation of one person whose segment is its box."""
    x, y, w, h = box
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": list(box),
        "area": w * h,
        "num_keypoints": labelled,
        "keypoints": keypoints(box, labelled),
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
    } | changes


def crowd(number, image_id, mask):
    """A crowd region given as a mask bool [H, W], annotated as uncompressed RLE."""
    flat = np.concatenate([[False], np.asarray(mask, bool).ravel(order="F")])
    borders = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], borders, [mask.size]])).tolist()
    ys, xs = np.nonzero(mask)
    box = (int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1)
    rle = {"counts": counts, "size": list(mask.shape)}
    return person(
        number, image_id, box, labelled=0, iscrowd=1, segmentation=rle, area=int(mask.sum())
    )


def image(number, hw=(120, 160), name=None):
    """An entry of `images`."""
    return {
        "id": number,
        "height": hw[0],
        "width": hw[1],
        "file_name": name or f"{number:012d}.jpg",
    }


def write_json(path, images, people, categories=CATEGORIES, **more):
    """Write an annotation file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "info": {"nested": {"deep": [1]}},
        "images": images,
        "annotations": people,
        "categories": categories,
    }
    path.write_text(json.dumps(content | more))
    return path


def jpeg(hw, seed=0):
    """Bytes of a JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*hw, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def write_zip(path, images, folder="train2014/", method=zipfile.ZIP_STORED):
    """Write an archive of {name: bytes}."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in images.items():
            archive.writestr(folder + name, data)
    return path


def write_dataset(data, images, people, source="train"):
    """Write annotations and images of a source as the download stage leaves them."""
    write_json(data / "annotations" / f"{source}.json", images, people)
    files = {
        image["file_name"]: jpeg((image["height"], image["width"]), image["id"]) for image in images
    }
    write_zip(data / "archives" / f"{source}.zip", files)
