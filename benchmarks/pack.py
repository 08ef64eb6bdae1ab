"""Packing: samples a second and bytes a sample, the reference's way against JPEG bytes once an
image.

python -m benchmarks.pack
"""

import json
import tempfile
import time
from pathlib import Path

import cv2
import h5py
import numpy as np

from benchmarks.real_images import compare_all
from benchmarks.timing import interleaved
from stages.openpose.coco import annotations
from stages.openpose.coco.image_files import open_images
from stages.openpose.samples import crowd_masks, packing


def main() -> None:
    compare_all(__doc__, compare)


def compare(
    name: str, path: Path, image_source: Path, rounds: int
) -> list[tuple[str, float, float, str]]:
    """Rows for speed and size; annotations are in memory and the masks are made before, on both
    sides.
    """
    images = annotations.read_images(path)
    people = annotations.read_people(path, images)
    samples = annotations.main_persons(
        people, duplicate_radius="fixed", min_keypoints=5, min_area_px2=1024
    )
    with tempfile.TemporaryDirectory() as folder, open_images(image_source) as archive:
        target = Path(folder)
        crowd_masks.write_masks(target / "train-0.h5", path, 0, 1)
        masks = crowd_masks.read_masks(target, "train", images.sha256)
        source = packing.Source("train", images, people, samples, masks, archive)
        write_pngs(source, target)
        seconds = interleaved(
            {
                "reference": lambda: reference(source, target, target / "reference.h5"),
                "ours": lambda: packing.write(target / "ours.h5", [source], {}),
            },
            rounds,
            time.process_time,
        )
        size = {way: (target / f"{way}.h5").stat().st_size for way in seconds}
    n = len(samples)
    return [
        (f"{name}: pack ({n} samples)", n / seconds["reference"], n / seconds["ours"], "samples/s"),
        (
            f"{name}: packed file",
            size["reference"] / n / 1e3,
            size["ours"] / n / 1e3,
            "kB a sample",
        ),
    ]


def write_pngs(source: packing.Source, target: Path) -> None:
    """The two mask images an image that the reference's mask stage leaves for its packing stage."""
    for row in np.unique(source.people.image[source.samples]):
        rle = source.masks.find(source.images.ids[row])
        mask = crowd_masks.mask_miss(rle, tuple(source.images.sizes[row].tolist()))
        for kind in ("miss", "all"):
            cv2.imwrite(str(target / f"{kind}_{source.images.ids[row]}.png"), mask)


def reference(source: packing.Source, target: Path, path: Path) -> None:
    """The reference's method (docs/sources.md 4, 8): for every sample its decoded image, a channel
    of numbers and two masks.
    """
    images, people = source.images, source.people
    with h5py.File(path, "w") as file:
        group = file.create_group("datum")
        for number, main in enumerate(source.samples):
            row = people.image[main]
            data = np.frombuffer(source.archive.read(images.file_names[row]), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
            masks = [
                cv2.imread(str(target / f"{kind}_{images.ids[row]}.png"), 0)
                for kind in ("miss", "all")
            ]
            numbers = np.zeros((*image.shape[:2], 1), np.uint8)
            people_of_image = np.flatnonzero(people.image == row)
            text = people.keypoints[people_of_image].astype("<f4").tobytes()[: image.shape[1]]
            numbers[0, : len(text), 0] = np.frombuffer(text, np.uint8)
            layers = np.concatenate(
                [image, numbers, masks[0][..., None], masks[1][..., None]], axis=2
            )
            written = group.create_dataset(
                f"{number:07d}", data=layers.transpose(2, 0, 1), chunks=None
            )
            facts = {
                "joints": people.keypoints[people_of_image].tolist(),
                "boxes": people.boxes[people_of_image].tolist(),
                "main": int(main),
            }
            written.attrs["meta"] = json.dumps(facts)


if __name__ == "__main__":
    main()
