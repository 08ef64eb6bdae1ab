"""Packed files: images, masks and people of the training samples in one HDF5 file.

    python -m stages.pack --split train --data data/sample --output data/sample/packed/train.h5

Reads DATA/inspected/annotations/{train,val}.json, DATA/archives/{train,val}.zip (or .folder) and
DATA/masks/*.h5: of train, and of val (and DATA/ids) where the protocol takes images from it. What
is inside a packed file: python -m stages.sheet.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages import cli, layout, params
from stages.openpose.coco import annotations, image_files, protocols, splits
from stages.openpose.errors import InputError
from stages.openpose.samples import crowd_masks, packing
from stages.openpose.skeleton import Skeleton


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument(
        "--split",
        required=True,
        choices=("train", "val"),
        help="train: to learn from; val: held out for choosing",
    )
    arguments.add_argument(
        "--data", type=Path, required=True, help="data set: annotations/, archives/, masks/"
    )
    arguments.add_argument("--output", type=Path, required=True, help="packed file to write")
    cli.run(stage, arguments.parse_args())


def stage(arguments: argparse.Namespace) -> dict:
    settings = params.load(arguments.params).pack
    sources, skeleton = _sources(arguments.data, arguments.split, settings)
    if arguments.split == "train" and not any(len(source.samples) for source in sources):
        raise InputError(
            f"{arguments.data}: no person to learn from: nobody has pack.min_keypoints = "
            f"{skeleton.scaled_count(settings.min_keypoints)} "
            f"labelled keypoints and an area of pack.min_area_px2 = {settings.min_area_px2:g} "
            f"square pixels"
        )
    provenance = {
        "protocol": settings.protocol,
        "split": arguments.split,
        "pack": vars(settings),
    }
    progress = partial(tqdm, desc=f"pack {arguments.split}", unit="image", mininterval=1, delay=2)
    facts = packing.write(arguments.output, sources, provenance, progress, skeleton)
    print(f"pack: {facts['samples']} samples of {facts['images']} images in {arguments.output}")
    return facts


def _sources(
    data: Path, split: str, settings: params.Pack
) -> tuple[list[packing.Source], Skeleton]:
    names = protocols.sources_read(settings.protocol)
    folder = layout.annotations_folder(data)
    images = {name: annotations.read_images(folder / f"{name}.json") for name in names}
    file_order = settings.duplicate_radius == "reference"
    people = {
        name: annotations.read_people(images[name].path, images[name], file_order=file_order)
        for name in names
    }
    if not any(map(len, people.values())):
        raise InputError(
            f"{folder}: no person with a labelled keypoint in {' or '.join(names)}: nothing to "
            f"learn from"
        )
    belongs = splits.choose(
        settings.protocol,
        split,
        images,
        {name: np.unique(people[name].image) for name in names},
        holdout_images=settings.holdout_images,
        reference_images=settings.reference_images,
        listed_ids=_listed(data) if settings.protocol == "clean_and_val" else (),
    )
    skeleton = layout.read_skeleton(data, images[names[0]])
    least = skeleton.scaled_count(settings.min_keypoints)
    if least != settings.min_keypoints:
        print(
            f"pack: {least} of {len(skeleton.keypoints)} keypoints make a sample, as "
            f"pack.min_keypoints {settings.min_keypoints} of COCO's 17 would"
        )
    settings = replace(settings, min_keypoints=least)
    sources = [
        _source(data, name, images[name], people[name], belongs[name], settings) for name in names
    ]
    return sources, skeleton


def _listed(data: Path) -> set[int]:
    """Images of the id lists that stage download brought."""
    lists = sorted((data / "ids").glob("*.txt"))
    if not lists:
        raise InputError(
            f"{data / 'ids'}: no id list; parameter `pack.protocol` clean_and_val keeps the val "
            f"images of the lists "
            "there out of training: name one as `ids` in the file of download.sources, or choose "
            "protocol clean"
        )
    return {int(line) for path in lists for line in path.read_text(encoding="utf-8").split()}


def _source(
    data: Path,
    name: str,
    images: annotations.Images,
    people: annotations.People,
    belongs: np.ndarray,
    settings: params.Pack,
) -> packing.Source:
    mains = annotations.main_persons(
        people,
        duplicate_radius=settings.duplicate_radius,
        min_keypoints=settings.min_keypoints,
        min_area_px2=settings.min_area_px2,
    )
    return packing.Source(
        name=name,
        images=images,
        people=people,
        samples=mains[belongs[people.image[mains]]],
        masks=crowd_masks.read_masks(data / "masks", name, images.sha256),
        archive=image_files.open_images(image_files.find_images(data / "archives", name)),
    )


if __name__ == "__main__":
    main()
