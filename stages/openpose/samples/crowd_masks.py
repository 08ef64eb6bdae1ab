"""Which pixels may be learned from: masks of unlabelled people and crowds, by run-length arithmetic
(docs/sources.md 4).

A pixel is masked where somebody stands whose keypoints nobody labelled: mask_miss = 1 - (people
without keypoints | (crowd regions - people with keypoints)). No image is opened and no pixel
painted, see regions.py.

Deviation from the reference: it subtracts only people annotated earlier than the crowd region, and
stops at a second region (docs/sources.md 9.4). Here the order does not matter; crowds come last in
COCO's files, where both give the same.
"""

import contextlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stages.openpose.coco.annotations import Images, each_person, is_labelled, read_images
from stages.openpose.coco.regions import CROWD, HIDDEN, LABELLED, Segments, paint
from stages.openpose.errors import InputError, damage_refused
from stages.openpose.files import whole_file

FORMAT = "openpose-masks"
VERSION = 1
# Labelled people whose polygons wait as lists before they are turned into arrays.
MOST_LISTS = 5000


def mask_miss(rle: bytes, hw: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W], 255 = may be learned from, 0 = not, of the bytes that
    `Segments.unsupervised_rle` gives.
    """
    if not rle:
        return np.full(hw, 255, np.uint8)
    return paint(rle, hw, 255, 0)


def shard_rows(count: int, shard: int, shards: int) -> range:
    """Rows of shard number `shard` (from 0) of `shards` nearly equal consecutive blocks of `count`
    rows.
    """
    return range(count * shard // shards, count * (shard + 1) // shards)


def unsupervised_regions(
    path: Path | str, images: Images, rows: range
) -> Iterator[tuple[int, bytes]]:
    """Yield (row of the image, unsupervised_rle) for the images of `rows` that have such a region,
    rows ascending.
    """
    return regions_of(
        path,
        images,
        ((row, person) for row, person in each_person(path, images) if row in rows),
    )


def regions_of(
    path: Path | str, images: Images, people: Iterable[tuple[int, dict[str, Any]]]
) -> Iterator[tuple[int, bytes]]:
    """The same of annotations (row of the image, annotation) that are given; InputError names a bad
    segmentation.
    """
    masked: dict[int, Segments] = {}
    labelled: dict[int, list[dict[str, Any]]] = {}
    lists: list[dict[str, Any]] = []
    sizes = list(map(tuple, images.sizes.tolist()))
    for row, annotation in people:
        if is_labelled(annotation):  # counts beside crowds only, which may be still to come
            labelled_person = {
                "segmentation": annotation.get("segmentation"),
                "bbox": annotation["bbox"],
                "id": annotation.get("id"),
            }
            labelled.setdefault(row, []).append(labelled_person)
            lists.append(labelled_person)
            if len(lists) == MOST_LISTS:
                _compact(lists)
        else:
            segments = masked.setdefault(row, Segments(sizes[row]))
            _add(
                segments,
                CROWD if annotation.get("iscrowd") else HIDDEN,
                annotation,
                path,
                images.ids[row],
            )
    for row in sorted(masked):
        segments = masked.pop(row)
        for annotation in labelled.get(row, ()) if segments.has_crowd() else ():
            _add(segments, LABELLED, annotation, path, images.ids[row])
        try:
            rle = segments.unsupervised_rle()
        except ValueError as problem:
            raise InputError(
                f"{path}: segmentations of image {images.ids[row]}: {problem}"
            ) from None
        if rle:
            yield row, rle


def _compact(annotations: list[dict[str, Any]]) -> None:
    """Turn polygons from lists into arrays, which take less memory, and empty `annotations`."""
    for annotation in annotations:
        if isinstance(annotation["segmentation"], list):
            # no polygons: an error only where they are needed
            with contextlib.suppress(TypeError):
                annotation["segmentation"] = [
                    array("d", polygon) for polygon in annotation["segmentation"]
                ]
    annotations.clear()


def _add(
    segments: Segments, kind: int, annotation: dict[str, Any], path: Path | str, image_id: int
) -> None:
    try:
        segments.add(kind, annotation.get("segmentation") or [_box_polygon(annotation["bbox"])])
    except (TypeError, ValueError, KeyError) as problem:
        raise InputError(
            f"{path}: segmentation of annotation {annotation.get('id')}, image {image_id}: neither "
            f"polygons nor an RLE of the "
            f"image's size: {problem}"
        ) from None


def _box_polygon(box: list[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def write_masks(path: Path, annotations: Path, shard: int, shards: int) -> dict[str, int]:
    """Write the masks of one shard of an annotation file's images.

    The file holds `image_id` int64 [M] (only images with an unsupervised region), `rle` uint8
    (their compressed RLEs, end to end) and `offset` int64 [M + 1].

    Returns:
        images in the shard, how many of them have a region, bytes of RLE.
    """
    images = read_images(annotations)
    rows = shard_rows(len(images), shard, shards)  # of the images
    regions = list(unsupervised_regions(annotations, images, rows))
    with (
        whole_file(path) as temporary,
        h5py.File(temporary, "w", libver=("earliest", "v110")) as file,
    ):
        file.attrs.update(format=FORMAT, version=VERSION, annotations_sha256=images.sha256)
        file.attrs.update(shard=shard, shards=shards, images=len(rows))
        columns = {
            "image_id": images.ids[[row for row, _ in regions]],
            "offset": np.cumsum([0, *(len(rle) for _, rle in regions)], dtype=np.int64),
            "rle": np.frombuffer(b"".join(rle for _, rle in regions), np.uint8),
        }
        for name, values in columns.items():
            file.create_dataset(name, data=values, track_times=False)
    return {
        "images": len(rows),
        "masked": len(regions),
        "bytes": sum(len(rle) for _, rle in regions),
    }


@dataclass(frozen=True)
class Masks:
    """The unsupervised regions of one annotation file's images, all shards together."""

    image_ids: np.ndarray
    offsets: np.ndarray
    rle: np.ndarray

    def find(self, image_id: int) -> bytes:
        """The compressed RLE of an image, b"" where everything may be learned from."""
        index = int(np.searchsorted(self.image_ids, image_id))
        if index == len(self.image_ids) or self.image_ids[index] != image_id:
            return b""
        return self.rle[self.offsets[index] : self.offsets[index + 1]].tobytes()


def read_masks(folder: Path | str, source: str, annotations_sha256: str) -> Masks:
    """Read the shards `<source>-<shard>.h5` of a folder.

    Raises:
        InputError: a shard is missing or no such file, or was made from other annotations.
    """
    folder = Path(folder)
    shards, columns = 1, []
    while len(columns) < shards:
        path = folder / f"{source}-{len(columns)}.h5"
        try:
            expected, advice = "masks", "run the stage masks for all shards"
            with damage_refused(path, expected, advice), h5py.File(path) as file:
                shards = _checked_shards(path, dict(file.attrs), len(columns), annotations_sha256)
                columns.append((file["image_id"][:], np.diff(file["offset"][:]), file["rle"][:]))
        except OSError:
            raise InputError(
                f"{path}: no such file, or damaged; run the stage masks for all shards"
            ) from None
    ids, lengths, rle = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Masks(ids, np.concatenate([[0], np.cumsum(lengths)]), rle)


def _checked_shards(path: Path, facts: dict[str, Any], shard: int, annotations_sha256: str) -> int:
    """Number of shards of the masks that a file belongs to."""
    if (facts.get("format"), facts.get("version"), facts.get("shard")) != (FORMAT, VERSION, shard):
        raise InputError(
            f"{path}: not shard {shard} of masks, version {VERSION}; run the stage masks again"
        )
    if facts["annotations_sha256"] != annotations_sha256:
        raise InputError(
            f"{path}: made from other annotations than pack reads; run the stage masks again"
        )
    return int(facts["shards"])
