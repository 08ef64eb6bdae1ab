"""Which images go into which packed file, and which evaluated images a packed file holds
(docs/sources.md 6, 9.3).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stages.openpose.coco.annotations import Images
from stages.openpose.coco.protocols import CLEAN, SOURCES
from stages.openpose.errors import InputError


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


@dataclass(frozen=True)
class SamePhotographs:
    """Pairs of ids of the same photograph: (of train, of val), and (of val, of val)."""

    train_val: Sequence[Sequence[int]]
    val_val: Sequence[Sequence[int]]


def leaks(
    packed_ids: np.ndarray,
    packed_sources: np.ndarray,
    evaluated_ids: Iterable[int],
    same: SamePhotographs | None = None,
) -> list[int]:
    """Ids, ascending, of the evaluated images of val that a packed file holds.

    Args:
        packed_ids: int64 [N].
        packed_sources: uint8 [N], index into SOURCES.
        same: the same photographs whatever their ids; without it equal ids are taken for the same.
    """
    evaluated = set(map(int, evaluated_ids))
    of_train, of_val = (
        set(packed_ids[packed_sources == number].tolist()) for number in range(len(SOURCES))
    )
    if same is None:
        return sorted(evaluated & (of_train | of_val))
    found = evaluated & of_val
    found |= {val for train, val in same.train_val if train in of_train and val in evaluated}
    found |= {b for a, b in same.val_val if a in of_val and b in evaluated}
    return sorted(found)
