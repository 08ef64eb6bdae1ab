"""Crowd masks: images a second, the reference's way (images opened, two PNGs an image) against
run-length arithmetic.

python -m benchmarks.masks
"""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from pycocotools.coco import COCO

from benchmarks.real_images import compare_all
from benchmarks.timing import interleaved
from stages.openpose.coco import annotations
from stages.openpose.coco.image_files import open_images
from stages.openpose.samples import crowd_masks


def main() -> None:
    compare_all(__doc__, compare)


def compare(
    name: str, path: Path, image_source: Path, rounds: int
) -> list[tuple[str, float, float, str]]:
    """Rows for all images and for those with people (loop alone), and for the whole stage with
    reading and writing.
    """
    coco = quiet_coco(path)
    everybody = sorted(coco.imgs)
    peopled = [image_id for image_id in everybody if coco.getAnnIds(imgIds=image_id)]
    images = annotations.read_images(path)
    people = [(image, person) for image, person in annotations.each_person(path, images)]
    with tempfile.TemporaryDirectory() as folder, open_images(image_source) as archive:
        target = Path(folder)
        seconds = interleaved(
            {
                "reference, all": lambda: reference(coco, everybody, archive, target),
                "ours, all": lambda: list(crowd_masks.regions_of(path, images, people)),
                "reference, peopled": lambda: reference(coco, peopled, archive, target),
                "reference, stage": lambda: reference(quiet_coco(path), everybody, archive, target),
                "ours, stage": lambda: crowd_masks.write_masks(target / "train-0.h5", path, 0, 1),
            },
            rounds,
            time.process_time,
        )
    seconds["ours, peopled"] = seconds["ours, all"]  # images without people cost nothing
    kinds = {
        "all": ("masks", len(everybody)),
        "peopled": ("masks, images with people", len(peopled)),
        "stage": ("annotations to file", len(everybody)),
    }
    return [
        (
            f"{name}: {title} ({n} images)",
            n / seconds[f"reference, {key}"],
            n / seconds[f"ours, {key}"],
            "images/s",
        )
        for key, (title, n) in kinds.items()
    ]


def quiet_coco(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def reference(coco: COCO, image_ids: list[int], images, target: Path) -> None:
    """The reference's method (docs/sources.md 4): every image decoded for its shape, every mask
    unpacked, two PNGs written.
    """
    for image_id in image_ids:
        data = np.frombuffer(images.read(coco.imgs[image_id]["file_name"]), np.uint8)
        shape = cv2.imdecode(data, cv2.IMREAD_COLOR).shape[:2]
        everyone, missed, crowd = (np.zeros(shape, np.uint8) for _ in range(3))
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image_id)):
            mask = coco.annToMask(annotation)
            if annotation["iscrowd"]:
                crowd |= mask & ~everyone
                continue
            everyone |= mask
            if annotation["num_keypoints"] == 0:
                missed |= mask
        cv2.imwrite(str(target / f"mask_miss_{image_id}.png"), (1 - (missed | crowd)) * 255)
        cv2.imwrite(str(target / f"mask_all_{image_id}.png"), (everyone | crowd) * 255)


if __name__ == "__main__":
    main()
