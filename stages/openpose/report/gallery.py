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
from stages.openpose.skeleton import COCO, Skeleton

FRAME_HW_PX = (460, 520)
LARGEST_SCALE = 3.0
JPEG_QUALITY = 82


def choose(images: Images, people: People, count: int, candidates: Iterable[int]) -> list[int]:
    """`count` rows of images with labelled people among the ids `candidates`, evenly spread over
    them.
    """
    candidates = set(candidates)
    rows = [row for row in np.unique(people.image).tolist() if int(images.ids[row]) in candidates]
    positions = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [rows[position] for position in positions]


def detections(
    folder: Path, inference: str, image_ids: Iterable[int], skeleton: Skeleton = COCO
) -> dict[int, np.ndarray]:
    """Keypoints float64 [P, K, 3] (x, y in pixels, 0 = not found) by image, of those images that
    the shards in `folder` hold.

    Guessed keypoints (third column 1) count as not found: what is drawn is what the network saw.
    """
    wanted_ids, keypoint_lists = set(image_ids), {}
    for shard in sorted(folder.iterdir()) if folder.is_dir() else ():
        results = shard / f"{inference}.json"
        if not results.exists() or not (shard / "images.json").exists():
            continue
        shard_ids = wanted_ids.intersection(orjson.loads((shard / "images.json").read_bytes()))
        if not shard_ids:
            continue
        keypoint_lists.update({image_id: [] for image_id in shard_ids})
        for result in orjson.loads(results.read_bytes()):
            if result["image_id"] in shard_ids:
                keypoint_lists[result["image_id"]].append(result["keypoints"])
    arrays = {
        image_id: np.array(keypoints, np.float64).reshape(-1, len(skeleton.keypoints), 3)
        for image_id, keypoints in keypoint_lists.items()
    }
    return {
        image_id: keypoints * (keypoints[..., 2:] == 2) for image_id, keypoints in arrays.items()
    }


def detected_image_ids(folder: Path) -> set[int]:
    """Ids of all images that the shards in `folder` hold, with people found in them or not."""
    ids: set[int] = set()
    for path in folder.glob("*/images.json"):
        ids.update(orjson.loads(path.read_bytes()))
    return ids


def show(
    images: Images,
    people: People,
    rows: Sequence[int],
    detected: dict[str, dict[int, np.ndarray]],
    archive: ImageArchive,
    skeleton: Skeleton = COCO,
) -> list[GalleryImage]:
    """The images `rows`: labelled people, then those that each model found.

    Args:
        detected: keypoints float64 [P, K, 3] by model and image id.

    Images that cannot be read are left out.
    """
    gallery_images = []
    for row in rows:
        name, image_id = images.file_names[row], int(images.ids[row])
        try:
            image = decode_bgr(archive.read(name), name, int(images.turns[row]))
        except InputError:
            continue
        labelled = people.keypoints[people.image == row]
        views = [(f"labelled: {len(labelled)}", draw(image, labelled, skeleton))]
        for model, by_image in detected.items():
            if image_id in by_image:
                views.append(
                    (
                        f"found by {model}: {len(by_image[image_id])}",
                        draw(image, by_image[image_id], skeleton),
                    )
                )
        gallery_images.append(GalleryImage(views, name))
    return gallery_images


def draw(image: np.ndarray, keypoints: np.ndarray, skeleton: Skeleton = COCO) -> bytes:
    """JPEG of a uint8 BGR [H, W, 3] image, scaled to FRAME_HW_PX, with the skeletons of `keypoints`
    [P, K, 3].
    """
    scale = min(
        LARGEST_SCALE,
        *(most / side for most, side in zip(FRAME_HW_PX, image.shape[:2], strict=True)),
    )
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    placed = keypoints.astype(np.float64)
    # edges scale, centres lie half a pixel inside them
    placed[..., :2] = (placed[..., :2] + 0.5) * scale - 0.5
    canvas = draw_people(canvas, parts_of(placed, skeleton), skeleton)
    return cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
