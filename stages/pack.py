"""Packed files: pictures, masks and people of the training samples in one HDF5 file.

python -m stages.pack --split train --data data/sample --output data/sample/packed/train.h5

Reads DATA/annotations/{train,val}.json, DATA/archives/{train,val}.zip (or .folder) and DATA/masks/*.h5: of train, and
of val (and DATA/ids) where the protocol takes images from it. What is inside a packed file:

python -m stages.pack --inspect data/sample/packed/train.h5 --sheet sheet.png
"""

import argparse
import importlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from stages import cli, params
from stages.openpose import annotations, crowd_masks, packed, pictures, splits
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--split", choices=("train", "val"), help="train: to learn from; val: held out for choosing")
    arguments.add_argument("--data", type=Path, help="folder of the data set, with annotations/, archives/ and masks/")
    arguments.add_argument("--output", type=Path, help="packed file to write")
    arguments.add_argument("--inspect", type=Path, metavar="FILE", help="print what a packed file holds, pack nothing")
    arguments.add_argument("--sheet", type=Path, help="with --inspect: write a PNG of augmented samples and labels")
    chosen = arguments.parse_args()
    if not chosen.inspect and not (chosen.split and chosen.data and chosen.output):
        arguments.error("--split, --data and --output are needed (or --inspect)")
    cli.run(inspect if chosen.inspect else stage, chosen)


def stage(arguments: argparse.Namespace) -> dict:
    settings = params.load(arguments.params).pack
    sources = _sources(arguments.data, arguments.split, settings)
    if arguments.split == "train" and not any(len(source.samples) for source in sources):
        raise InputError(
            f"{arguments.data}: no person to learn from: nobody has pack.min_keypoints = {settings.min_keypoints} "
            f"labelled keypoints and an area of pack.min_area_px2 = {settings.min_area_px2:g} square pixels"
        )
    provenance = {
        "protocol": settings.protocol,
        "split": arguments.split,
        "pack": vars(settings),
        "annotations_sha256": {source.name: source.images.sha256 for source in sources},
    }
    progress = partial(tqdm, desc=f"pack {arguments.split}", unit="image", mininterval=1, delay=2)
    facts = packed.write(arguments.output, sources, provenance, progress)
    print(f"pack: {facts['samples']} samples of {facts['images']} images in {arguments.output}")
    return facts


def _sources(data: Path, split: str, settings: params.Pack) -> list[packed.Source]:
    names = splits.sources_read(settings.protocol)
    images = {name: annotations.read_images(data / "annotations" / f"{name}.json") for name in names}
    file_order = settings.duplicate_radius == "reference"
    people = {name: annotations.read_people(images[name].path, images[name], file_order=file_order) for name in names}
    belongs = splits.choose(
        settings.protocol,
        split,
        images,
        {name: np.unique(people[name].image) for name in names},
        holdout_images=settings.holdout_images,
        reference_images=settings.reference_images,
        listed_ids=_listed(data) if settings.protocol == "clean_and_val" else (),
    )
    return [_source(data, name, images[name], people[name], belongs[name], settings) for name in names]


def _listed(data: Path) -> set[int]:
    """Images of the id lists that stage download brought."""
    lists = sorted((data / "ids").glob("*.txt"))
    if not lists:
        raise InputError(
            f"{data / 'ids'}: no id list; parameter `pack.protocol` clean_and_val keeps the val images of the lists "
            "there out of training: name one as `ids` in the file of download.sources, or choose protocol clean"
        )
    return {int(line) for path in lists for line in path.read_text(encoding="utf-8").split()}


def _source(
    data: Path,
    name: str,
    images: annotations.Images,
    people: annotations.People,
    belongs: np.ndarray,
    settings: params.Pack,
) -> packed.Source:
    mains = annotations.main_persons(
        people,
        duplicate_radius=settings.duplicate_radius,
        min_keypoints=settings.min_keypoints,
        min_area_px2=settings.min_area_px2,
    )
    return packed.Source(
        name=name,
        images=images,
        people=people,
        samples=mains[belongs[people.image[mains]]],
        masks=crowd_masks.read_masks(data / "masks", name, images.sha256),
        pictures=pictures.open_pictures(pictures.find_pictures(data / "archives", name)),
    )


def inspect(arguments: argparse.Namespace) -> None:
    with packed.open_packed(arguments.inspect) as file:
        print(packed.describe(file))
        if arguments.sheet:
            # By name, because what pack writes does not depend on how samples are augmented, labelled and drawn.
            drawing = importlib.import_module("stages.openpose.sheet")
            drawn = drawing.contact_sheet(file, params.load(arguments.params))
            with whole_file(arguments.sheet) as part:
                part.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())


if __name__ == "__main__":
    main()
