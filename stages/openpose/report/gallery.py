"""Images with the people who were labelled beside the people who were found."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import orjson

from stages.openpose.coco.annotations import Images, People
from stages.openpose.coco.image_files import ImageArchive, decode_bgr
from stages.openpose.drawing import draw_people, parts_of
from stages.openpose.errors import InputError
from stages.openpose.report.blocks import GalleryImage

FRAME_HW_PX = (460, 520)
LARGEST_SCALE = 3.0
JPEG_QUALITY = 82


def choose(images: Images, people: People, wanted: int, known: Iterable[int]) -> list[int]:
    """`wanted` rows of images with labelled people among the ids `known`, evenly spread over
    them.
    """
    known = set(known)
    rows = [row for row in np.unique(people.image).tolist() if int(images.ids[row]) in known]
    picks = np.linspace(0, len(rows) - 1, min(wanted, len(rows))).round().astype(int)
    return [rows[pick] for pick in picks]


def detections(folder: Path, inference: str, image_ids: Iterable[int]) -> dict[int, np.ndarray]:
    """Keypoints float64 [P, 17, 3] (x, y in pixels, 0 = not found) by image, where a shard in
    `folder` looked at it.

    Guessed keypoints (third column 1) count as not found: what is drawn is what the network saw.
    """
    wanted, found = set(image_ids), {}
    for shard in sorted(folder.iterdir()) if folder.is_dir() else ():
        results = shard / f"{inference}.json"
        if not results.exists() or not (shard / "images.json").exists():
            continue
        seen = wanted.intersection(orjson.loads((shard / "images.json").read_bytes()))
        if not seen:
            continue
        found.update({image_id: [] for image_id in seen})
        for one in orjson.loads(results.read_bytes()):
            if one["image_id"] in seen:
                found[one["image_id"]].append(one["keypoints"])
    arrays = {
        image_id: np.array(rows, np.float64).reshape(-1, 17, 3) for image_id, rows in found.items()
    }
    return {image_id: rows * (rows[..., 2:] == 2) for image_id, rows in arrays.items()}


def looked_at(folder: Path) -> set[int]:
    """Ids of all images that the shards in `folder` looked at."""
    ids: set[int] = set()
    for path in folder.glob("*/images.json"):
        ids.update(orjson.loads(path.read_bytes()))
    return ids


def show(
    images: Images,
    people: People,
    rows: Sequence[int],
    found: dict[str, dict[int, np.ndarray]],
    archive: ImageArchive,
) -> list[GalleryImage]:
    """The archive of `rows`: labelled people, then those that each model found.

    Args:
        found: keypoints float64 [P, 17, 3] by model and image id.

    Images that cannot be read are left out.
    """
    shown = []
    for row in rows:
        name, image_id = images.file_names[row], int(images.ids[row])
        try:
            image = decode_bgr(archive.read(name), name)
        except InputError:
            continue
        labelled = people.keypoints[people.image == row]
        views = [(f"labelled: {len(labelled)}", draw(image, labelled))]
        for model, by_image in found.items():
            if image_id in by_image:
                views.append(
                    (
                        f"found by {model}: {len(by_image[image_id])}",
                        draw(image, by_image[image_id]),
                    )
                )
        shown.append(GalleryImage(views, name))
    return shown


def draw(image: np.ndarray, keypoints: np.ndarray) -> bytes:
    """JPEG of a uint8 BGR [H, W, 3] image, scaled to FRAME_HW_PX, with the skeletons of `keypoints`
    [P, 17, 3].
    """
    scale = min(
        LARGEST_SCALE,
        *(most / side for most, side in zip(FRAME_HW_PX, image.shape[:2], strict=True)),
    )
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    placed = keypoints.astype(np.float64)
    placed[..., :2] = (placed[..., :2] + 0.5) * scale - 0.5
    canvas = draw_people(canvas, parts_of(placed))
    return cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
