"""The real images of ../shared/coco-mini, and the frame of benchmarks that compare two ways on data
sets at hand.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2

from benchmarks.timing import print_table
from stages.openpose.coco import annotations, image_files
from stages.openpose.samples import crowd_masks, packing

MINI = Path(__file__).resolve().parents[2] / "shared" / "coco-mini"
PEOPLE = "annotations/person_keypoints.json"
Row = tuple[str, float, float, str]


def compare_all(description: str, compare: Callable[[str, Path, Path, int], list[Row]]) -> None:
    """Command line: print the rows of `compare`(name, annotations, images, rounds) for every data
    set at hand.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--data", type=Path, default=Path("data/sample"), help="a data set beside coco-mini"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    places = [
        ("coco-mini", MINI / PEOPLE, MINI / "images"),
        (
            f"{arguments.data.name} val",
            arguments.data / "annotations" / "val.json",
            arguments.data / "archives" / "val.zip",
        ),
    ]
    present = [place for place in places if place[1].exists() and place[2].exists()]
    print_table([row for place in present for row in compare(*place, arguments.rounds)])


def pack_mini(folder: Path, copies: int = 1, mini: Path = MINI) -> Path:
    """Pack the real images, all of them `copies` times, into `folder`/train.h5."""
    if not mini.exists():
        raise SystemExit("../shared/coco-mini is absent; name a packed file with --packed")
    return pack_annotated(folder, mini / PEOPLE, mini / "images", copies)


def pack_annotated(folder: Path, path: Path, archive: Path, copies: int = 1) -> Path:
    """Pack the images of the annotations `path`, all of them `copies` times, into
    `folder`/train.h5.
    """
    crowd_masks.write_masks(folder / "masks" / "train-0.h5", path, 0, 1)
    images = annotations.read_images(path)
    people = annotations.read_people(path, images)
    source = packing.Source(
        name="train",
        images=images,
        people=people,
        samples=annotations.main_persons(
            people, duplicate_radius="fixed", min_keypoints=5, min_area_px2=1024
        ),
        masks=crowd_masks.read_masks(folder / "masks", "train", images.sha256),
        archive=image_files.open_images(archive),
    )
    packing.write(folder / "train.h5", [source] * copies, {})
    return folder / "train.h5"
