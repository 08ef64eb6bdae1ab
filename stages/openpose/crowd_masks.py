"""Which pixels may be learned from: masks of unlabelled people and crowds, by run-length arithmetic (FACTS 4).

A pixel is masked where somebody stands whose keypoints nobody labelled: mask_miss = 1 - (people without keypoints |
(crowd regions - people with keypoints)). No image is opened and no mask is ever unpacked: the RLEs of COCO are united
and intersected as they are.

Deviation from the reference: it subtracts only people annotated earlier than the crowd region, and stops at a second
region (FACTS 9.4). Here the order does not matter; crowds come last in COCO's files, where both give the same.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from pycocotools import mask as coco_mask

from stages.openpose.annotations import Images, each_person, labelled_keypoints, read_images
from stages.openpose.compiled import jit
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file

FORMAT = "openpose-masks"
VERSION = 1


def unsupervised_rle(hidden: list[Any], labelled: list[Any], crowds: list[Any], hw: tuple[int, int]) -> bytes:
    """The region of an image that must not be learned from, as COCO's compressed RLE; b"" for none.

    Args:
        hidden: segmentations of people without labelled keypoints.
        labelled: segmentations of people with keypoints (only looked at where there are crowds).
        crowds: segmentations of crowd regions.
        hw: (height, width) of the image, pixels.

    A segmentation is what COCO has: a list of polygons, an RLE, or, where there is none, a box (x, y, width, height).
    """
    regions = [rle for one in hidden for rle in _rles(one, hw)]
    if crowds:
        crowd = [rle for one in crowds for rle in _rles(one, hw)]
        people = [rle for one in labelled for rle in _rles(one, hw)]
        regions.append(_minus(coco_mask.merge(crowd), people))
    if not regions:
        return b""
    union = coco_mask.merge(regions)
    return union["counts"] if coco_mask.area(union) else b""


def _rles(segmentation: Any, hw: tuple[int, int]) -> list[dict[str, Any]]:
    if not isinstance(segmentation, dict):
        return coco_mask.frPyObjects(segmentation, *hw)
    counts = segmentation["counts"]
    runs = _runs(counts) if isinstance(counts, bytes) else np.array(counts, np.int64)
    if tuple(segmentation["size"]) != hw or runs.min() < 0 or runs.sum() != hw[0] * hw[1]:
        raise ValueError(f"its RLE covers {runs.sum()} pixels of a size {segmentation['size']}")
    return [segmentation if isinstance(counts, bytes) else coco_mask.frPyObjects(segmentation, *hw)]


def _minus(region: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    if not others:
        return region
    union = coco_mask.merge(others)
    outside = {"size": union["size"], "counts": complement(union["counts"])}
    return coco_mask.merge([region, outside], intersect=True)


def complement(counts: bytes) -> bytes:
    """The compressed RLE of everything outside a region.

    Runs alternate between outside and inside, starting outside: the complement starts with a run of zero more, or one
    less. Runs after the third are stored as the difference to the run two places earlier, which this shift by one
    leaves as it is; only the first four numbers have to be written anew.
    """
    runs, end = _first_numbers(counts, 4)
    if runs[0] == 0:
        fresh = runs[1:3]
        if len(runs) == 4:
            fresh.append(runs[3] + runs[1])
    else:
        fresh = [0, *runs[:2]]
        if len(runs) > 2:
            fresh.append(runs[2] - runs[0])
        if len(runs) > 3:
            fresh.append(runs[3])
    return b"".join(map(_number, fresh)) + counts[end:]


def _first_numbers(text: bytes, most: int) -> tuple[list[int], int]:
    """Up to `most` numbers of a compressed RLE: five bits a character, 32 = more follow, 16 in the last = negative."""
    numbers, at = [], 0
    while at < len(text) and len(numbers) < most:
        value, shift, more = 0, 0, True
        while more:
            bits = text[at] - 48
            value |= (bits & 31) << shift
            more = bool(bits & 32)
            at += 1
            shift += 5
        numbers.append(value - (1 << shift) if bits & 16 else value)
    return numbers, at


def _number(value: int) -> bytes:
    text = bytearray()
    while True:
        bits = value & 31
        value >>= 5
        done = value == (-1 if bits & 16 else 0)
        text.append(bits + (48 if done else 80))
        if done:
            return bytes(text)


def mask_miss(rle: bytes, hw: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W], 255 = may be learned from, 0 = not, of the bytes that unsupervised_rle gives."""
    if not rle:
        return np.full(hw, 255, np.uint8)
    columns = np.empty(hw[::-1], np.uint8)  # RLEs run down the columns
    _fill(_runs(rle), columns.reshape(-1))
    return cv2.transpose(columns).reshape(hw)


@jit
def _fill(runs, flat):
    start = 0
    value = 255
    for run in runs:
        flat[start : start + run] = value
        value = 255 - value
        start += run


def _runs(rle: bytes) -> np.ndarray:
    """The run lengths int64 [R] of a compressed RLE."""
    bits = np.frombuffer(rle, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((bits & 32) == 0)
    if not len(ends):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(bits)) - np.repeat(starts, np.diff(starts, append=len(bits)))
    values = np.add.reduceat((bits & 31) << (5 * place), starts)
    values -= ((bits[ends] & 16) != 0).astype(np.int64) << (5 * (ends - starts + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def shard_rows(count: int, shard: int, shards: int) -> range:
    """Rows of shard number `shard` (from 0) of `shards` nearly equal consecutive blocks of `count` rows."""
    return range(count * shard // shards, count * (shard + 1) // shards)


def unsupervised_regions(path: Path | str, images: Images, rows: range) -> Iterator[tuple[int, bytes]]:
    """Yield (row of the image, unsupervised_rle) for the images of `rows` that have such a region, rows ascending."""
    found: dict[int, tuple[list, list, list]] = {}
    for row, one in each_person(path, images):
        if row in rows:
            kind = 2 if one.get("iscrowd") else int(labelled_keypoints(one) > 0)
            found.setdefault(row, ([], [], []))[kind].append((one.get("id"), _segmentation(path, one)))
    for row in sorted(found):
        hidden, labelled, crowds = found.pop(row)
        if not hidden and not crowds:
            continue
        kinds = [[segmentation for _, segmentation in kind] for kind in (hidden, labelled, crowds)]
        try:
            rle = unsupervised_rle(*kinds, tuple(images.sizes[row].tolist()))
        except Exception as problem:  # pycocotools raises bare Exceptions
            names = ", ".join(str(name) for kind in (hidden, labelled, crowds) for name, _ in kind)
            raise InputError(
                f"{path}: image {images.ids[row]}: a segmentation of its annotations ({names}) is neither polygons nor "
                f"an RLE of the image's size: {problem}"
            ) from None
        if rle:
            yield row, rle


def _segmentation(path: Path | str, one: dict[str, Any]) -> Any:
    """The segmentation, or the box where there is none; polygons as packed numbers, a quarter of a list's memory."""
    given = one.get("segmentation")
    if not given:
        return np.array([one["bbox"]], np.float64)
    if isinstance(given, dict):
        counts = given.get("counts")
        return {"size": given.get("size"), "counts": counts.encode() if isinstance(counts, str) else counts}
    try:
        return [array("d", polygon) for polygon in given]
    except TypeError:
        raise InputError(
            f"{path}: annotation {one.get('id')}: expected `segmentation` to be polygons or an RLE, "
            f"found {str(given)[:60]}"
        ) from None


def write_masks(path: Path, annotations: Path, shard: int, shards: int) -> dict[str, int]:
    """Write the masks of one shard of an annotation file's images.

    The file holds `image_id` int64 [M] (only images with an unsupervised region), `rle` uint8 (their compressed RLEs,
    end to end) and `offset` int64 [M + 1].

    Returns:
        images in the shard, how many of them have a region, bytes of RLE.
    """
    images = read_images(annotations)
    rows = shard_rows(len(images), shard, shards)
    regions = list(unsupervised_regions(annotations, images, rows))
    with whole_file(path) as part, h5py.File(part, "w", libver=("earliest", "v110")) as file:
        file.attrs.update(format=FORMAT, version=VERSION, annotations_sha256=images.sha256)
        file.attrs.update(shard=shard, shards=shards, images=len(rows))
        columns = {
            "image_id": images.ids[[row for row, _ in regions]],
            "offset": np.cumsum([0, *(len(rle) for _, rle in regions)], dtype=np.int64),
            "rle": np.frombuffer(b"".join(rle for _, rle in regions), np.uint8),
        }
        for name, values in columns.items():
            file.create_dataset(name, data=values, track_times=False)
    return {"images": len(rows), "masked": len(regions), "bytes": sum(len(rle) for _, rle in regions)}


@dataclass(frozen=True)
class Masks:
    """The unsupervised regions of one annotation file's images, all shards together."""

    image_ids: np.ndarray
    offsets: np.ndarray
    rle: np.ndarray

    def find(self, image_id: int) -> bytes:
        """The compressed RLE of an image, b"" where everything may be learned from."""
        at = int(np.searchsorted(self.image_ids, image_id))
        if at == len(self.image_ids) or self.image_ids[at] != image_id:
            return b""
        return self.rle[self.offsets[at] : self.offsets[at + 1]].tobytes()


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
            with h5py.File(path) as file:
                shards = _checked_shards(path, dict(file.attrs), len(columns), annotations_sha256)
                columns.append((file["image_id"][:], np.diff(file["offset"][:]), file["rle"][:]))
        except OSError:
            raise InputError(f"{path}: no such file, or damaged; run the stage masks for all shards") from None
    ids, lengths, rle = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Masks(ids, np.concatenate([[0], np.cumsum(lengths)]), rle)


def _checked_shards(path: Path, facts: dict[str, Any], shard: int, annotations_sha256: str) -> int:
    """Number of shards of the masks that a file belongs to."""
    if (facts.get("format"), facts.get("version"), facts.get("shard")) != (FORMAT, VERSION, shard):
        raise InputError(f"{path}: not shard {shard} of masks, version {VERSION}; run the stage masks again")
    if facts["annotations_sha256"] != annotations_sha256:
        raise InputError(f"{path}: made from other annotations than pack reads; run the stage masks again")
    return int(facts["shards"])
