"""Which images go into which packed file, and which evaluated images a packed file holds
(docs/sources.md 6, 9.3).
"""

from collections.abc import Collection, Iterable

import numpy as np

from stages.openpose.coco.annotations import Images
from stages.openpose.errors import InputError

SOURCES = ("train", "val")
CLEAN = ("clean", "clean_and_val")


def sources_read(protocol: str) -> tuple[str, ...]:
    """Sets of annotations that a protocol takes images from: "train", or "train" and "val"."""
    return ("train",) if protocol == "clean" else SOURCES


def choose(
    protocol: str,
    split: str,
    sources: dict[str, Images],
    with_people: dict[str, np.ndarray],
    *,
    holdout_images: int,
    reference_images: int,
    listed_ids: Collection[int] = (),
) -> dict[str, np.ndarray]:
    """Which images belong to packed/train.h5 (`split` "train") or packed/val.h5 ("val").

    - clean: train images; the last `holdout_images` of them by id are "val".
    - clean_and_val: besides, val images that are not among `listed_ids` are "train".
    - reference: train and val images; the first `reference_images` val images in the order of the
      annotation file are "val" (the reference takes them in the order of a Python dictionary filled
      from that file).
    - reference_persons: the same with the first val images by id that show a labelled person
      (OpenPose's own rule).

    Args:
        sources: images by source.
        with_people: rows of the images that show a labelled person, by source.
        listed_ids: images of all id lists that can be evaluated.

    Returns:
        bool [N] by source: image belongs to the split.
    """
    train = np.ones(len(sources["train"]), bool)
    if protocol in CLEAN:
        if holdout_images >= len(train):
            raise InputError(
                f"parameter `pack.holdout_images`: expected fewer than the {len(train)} train "
                f"images, "
                f"found {holdout_images}"
            )
        train[len(train) - holdout_images :] = False
        unlisted = (
            ~np.isin(sources["val"].ids, list(listed_ids)) if protocol == "clean_and_val" else None
        )
        held_out = {"train": train if split == "train" else ~train}
        return held_out if unlisted is None else {**held_out, "val": unlisted & (split == "train")}
    images = sources["val"]
    order = images.file_order if protocol == "reference" else np.unique(with_people["val"])
    held_out = np.zeros(len(images), bool)
    held_out[order[:reference_images]] = True
    return (
        {"train": train, "val": ~held_out}
        if split == "train"
        else {"train": ~train, "val": held_out}
    )


def leaks(packed_ids: Iterable[int], evaluated_ids: Iterable[int]) -> list[int]:
    """Ids, ascending, of the evaluated images that a packed file holds."""
    return sorted(set(map(int, packed_ids)) & set(map(int, evaluated_ids)))
