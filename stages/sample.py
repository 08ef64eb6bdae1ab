"""Draw the bundled sample: people in places, as archives laid out exactly as COCO 2014's.

Writes train.zip, val.zip, annotations.zip, val1k.txt and sources.yaml (which stage `download`
reads). The same seed gives the same bytes whatever the number of processes; OMP_NUM_THREADS limits
that number.
"""

import argparse
from pathlib import Path

import cv2

from stages import cli, params
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file, whole_folder
from stages.openpose.threads import usable_processors, usable_threads
from stages.synthetic.dataset import Task, draw_all, write_sample
from stages.synthetic.sheet import make_sheet

SHEET_IMAGES, SHEET_COLUMNS = 30, 6


def available_workers() -> int:
    """Processes to draw with: the cores this process may use, at most OMP_NUM_THREADS where that is
    set.
    """
    return min(usable_threads(), usable_processors())


def draw_sample(arguments: argparse.Namespace) -> dict:
    """Stage sample."""
    sample = params.load(arguments.params).sample
    workers = available_workers()
    if arguments.sheet:
        _write_sheet(arguments.sheet, sample.seed, workers, arguments.plain)
        return {}
    counts = {"train": sample.train_images, "val": sample.val_images}
    with whole_folder(arguments.output) as folder:
        return write_sample(
            folder,
            seed=sample.seed,
            counts=counts,
            val1k_images=sample.val1k_images,
            workers=workers,
        )


def _write_sheet(path: Path, seed: int, workers: int, plain: bool) -> None:
    if path.suffix not in (".png", ".jpg"):
        raise InputError(
            f"--sheet {path}: expected a name ending in .png or .jpg, found {path.suffix!r}; "
            f"rename it"
        )
    tasks = [Task(seed, 0, index) for index in range(SHEET_IMAGES)]
    sheet = make_sheet(list(draw_all(tasks, workers)), SHEET_COLUMNS, annotated=not plain)
    _, encoded = cv2.imencode(path.suffix, sheet)
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("data/sample/source"), help="folder to write"
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        help="instead of the sample, draw its first images into this one image",
    )
    parser.add_argument(
        "--plain", action="store_true", help="contact sheet without keypoints and outlines"
    )
    cli.run(draw_sample, parser.parse_args())
