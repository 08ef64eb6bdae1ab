"""Which pixels may be learned from: masks of unlabelled people and crowds, by run-length arithmetic (FACTS 4).

A pixel is masked where somebody stands whose keypoints nobody labelled: mask_miss = 1 - (people without keypoints |
(crowd regions - people with keypoints)). No image is opened and no mask is ever unpacked: the RLEs of COCO are united
and intersected as they are.

Deviation from the reference: it subtracts only people annotated earlier than the crowd region, and stops at a second
region (FACTS 9.4). Here the order does not matter; crowds come last in COCO's files, where both give the same.
"""

import marshal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from pycocotools import mask as coco_mask

from stages.openpose.annotations import Images, each_person, is_labelled, read_images
from stages.openpose.compiled import jit
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file

FORMAT = "openpose-masks"
VERSION = 1


def unsupervised_rle(hidden: list[bytes], labelled: list[bytes], crowds: list[bytes], hw: tuple[int, int]) -> bytes:
    """The region of an image that must not be learned from; b"" for none. All regions are compressed RLEs.

    Args:
        hidden: of people without labelled keypoints.
        labelled: of people with keypoints (only looked at where there are crowds).
        crowds: of crowd regions.
        hw: (height, width) of the image, pixels.
    """
    if crowds:
        hidden = [*hidden, _minus(_union(crowds, hw), labelled, hw)]
    union = _union(hidden, hw) if hidden else b""
    return union if len(_first_numbers(union, 2)[0]) > 1 else b""


def segment_rles(path: Path | str, one: dict[str, Any], hw: tuple[int, int]) -> list[bytes]:
    """The segment of an annotation as compressed RLEs whose union it is: its polygons, its RLE, or else its box.

    Raises:
        InputError: the segmentation is neither polygons nor an RLE of the image's size.
    """
    segment = one.get("segmentation") or [_box_polygon(one["bbox"])]
    try:
        if isinstance(segment, dict):
            return [_checked_rle(segment, hw)]
        return [rle["counts"] for rle in coco_mask.frPyObjects(segment, *hw)]
    except Exception as problem:  # pycocotools raises bare Exceptions
        raise InputError(
            f"{path}: annotation {one.get('id')} of image {one.get('image_id')}: its segmentation is neither polygons "
            f"nor an RLE of the image's size ({type(problem).__name__}: {problem})"
        ) from None


def _box_polygon(box: list[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _checked_rle(rle: dict[str, Any], hw: tuple[int, int]) -> bytes:
    size, counts = rle["size"], rle["counts"]
    packed = isinstance(counts, str)
    runs = _runs(counts.encode()) if packed else np.array(counts, np.int64)
    if tuple(size) != hw or runs.min() < 0 or runs.sum() != hw[0] * hw[1]:
        raise ValueError(f"the RLE covers {runs.sum()} pixels of a size {size}")
    return counts.encode() if packed else coco_mask.frPyObjects(rle, *hw)["counts"]


def _union(regions: list[bytes], hw: tuple[int, int], *, intersect: bool = False) -> bytes:
    if len(regions) == 1:
        return regions[0]
    return coco_mask.merge([{"size": hw, "counts": counts} for counts in regions], intersect=intersect)["counts"]


def _minus(region: bytes, others: list[bytes], hw: tuple[int, int]) -> bytes:
    return _union([region, complement(_union(others, hw))], hw, intersect=True) if others else region


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
    return regions_of(path, images, ((row, one) for row, one in each_person(path, images) if row in rows))


def regions_of(
    path: Path | str, images: Images, people: Iterable[tuple[int, dict[str, Any]]]
) -> Iterator[tuple[int, bytes]]:
    """The same of annotations (row of the image, annotation) that are given; InputError names a bad segmentation."""
    found: dict[int, tuple[list, list, list]] = {}
    sizes = list(map(tuple, images.sizes.tolist()))
    for row, one in people:
        hidden, labelled, crowds = found.setdefault(row, ([], [], []))
        if is_labelled(one):
            # Needed beside crowds only: until these are known kept as bytes, a third of the memory of lists.
            labelled.append(marshal.dumps(one))
        else:
            (crowds if one.get("iscrowd") else hidden).extend(segment_rles(path, one, sizes[row]))
    for row in sorted(found):
        hidden, labelled, crowds = found.pop(row)
        nearby = map(marshal.loads, labelled if crowds else ())
        beside = [rle for one in nearby for rle in segment_rles(path, one, sizes[row])]
        if rle := unsupervised_rle(hidden, beside, crowds, sizes[row]):
            yield row, rle


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
