"""Write the packed file (its layout: packed.py) of the images that hold a sample."""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import simplejpeg

from stages.openpose.coco import annotations, image_files
from stages.openpose.coco.annotations import Images, People
from stages.openpose.coco.image_files import ImageArchive
from stages.openpose.coco.protocols import SOURCES
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file
from stages.openpose.samples.crowd_masks import Masks
from stages.openpose.samples.packed import FORMAT, VERSION
from stages.openpose.skeleton import COCO, Skeleton, to_dict

TURNED_QUALITY = 95


@dataclass(frozen=True)
class Source:
    """One set of annotated images, and what to take of it.

    Attributes:
        name: "train" or "val".
        samples: int64 [S], rows in `people` of the main persons to take, ascending.
    """

    name: str
    images: Images
    people: People
    samples: np.ndarray
    masks: Masks
    archive: ImageArchive


def write(
    path: Path | str,
    sources: list[Source],
    provenance: dict[str, Any],
    progress: Callable = iter,
    skeleton: Skeleton = COCO,
) -> dict[str, int]:
    """Write a packed file of all images of `sources` that hold a sample; memory does not grow with
    their number.

    The same input gives the same bytes. `progress` wraps the iteration over images (for example
    tqdm).

    Returns:
        images, samples, people, bytes of JPEG and of masks.

    Raises:
        InputError: names the image that is missing, cut off, or of another size than annotated; or
            the disk is too full.
    """
    packed_images = [
        (source, int(row))
        for source in sources
        for row in np.unique(source.people.image[source.samples])
    ]
    columns = _columns(sources, packed_images, skeleton)
    size = int(columns["jpeg/offset"][-1])
    _check_room(Path(path), size + sum(column.nbytes for column in columns.values()))
    with (
        whole_file(path) as temporary,
        h5py.File(temporary, "w", libver=("earliest", "v110")) as file,
    ):
        file.attrs.update(
            format=FORMAT, version=VERSION, provenance=json.dumps(provenance, sort_keys=True)
        )
        if skeleton != COCO:
            file.attrs["skeleton"] = json.dumps(to_dict(skeleton), sort_keys=True)
        for name, column in columns.items():
            file.create_dataset(name, data=column, track_times=False)
        _write_images(file, progress(packed_images), size)
    counts = {
        "images": "images/id",
        "samples": "samples/image",
        "people": "people/id",
        "mask_bytes": "mask/bytes",
    }
    return {name: len(columns[column]) for name, column in counts.items()} | {"jpeg_bytes": size}


def _write_images(file: h5py.File, images: Iterable[tuple[Source, int]], size: int) -> None:
    """The JPEGs one after the other, `size` bytes together."""
    jpeg_bytes = file.create_dataset(
        "jpeg/bytes", shape=(size,), dtype=np.uint8, track_times=False, fill_time="never"
    )
    offset = 0
    for source, row in images:
        data = _checked_image(source, row)
        jpeg_bytes[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        offset += len(data)


def _check_room(path: Path, needed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise InputError(
            f"{path}: needs {needed / 1e9:.2f} GB of disk, {free / 1e9:.2f} GB are free; make "
            f"room for "
            f"{(needed - free) / 1e9:.2f} GB more"
        )


def _stored_bytes(source: Source, row: int) -> int:
    """Length of the image in the packed file."""
    if source.images.turns[row] != 1:
        return len(_checked_image(source, row))
    return source.archive.size(source.images.file_names[row])


def _checked_image(source: Source, row: int) -> bytes:
    """The bytes of an image of the annotated size: its own; where the annotations are of the image
    turned upright, those of a JPEG of that.
    """
    images = source.images
    name = f"image {images.ids[row]} ({images.file_names[row]})"
    try:
        data = source.archive.read(images.file_names[row])
        if (turn := int(images.turns[row])) != 1:
            pixels = image_files.decode_bgr(data, f"{source.archive.path}", turn)
            data = simplejpeg.encode_jpeg(pixels, TURNED_QUALITY, "BGR", "444")
        actual = image_files.size_hw(data, f"{source.archive.path}")
    except InputError as problem:
        raise InputError(f"{name}: {problem}") from None
    expected = tuple(images.sizes[row].tolist())
    if actual != expected:
        raise InputError(
            f"{name}: {images.path} says {expected[1]} x {expected[0]} pixels (width x height), "
            f"the image in "
            f"{source.archive.path} has {actual[1]} x {actual[0]}; the annotations belong to "
            f"another image"
        )
    return data


def _columns(
    sources: list[Source], packed_images: list[tuple[Source, int]], skeleton: Skeleton
) -> dict[str, np.ndarray]:
    """All datasets but the images themselves."""
    rles = [source.masks.find(source.images.ids[row]) for source, row in packed_images]
    image_bytes = [_stored_bytes(source, row) for source, row in packed_images]
    tables = [_people_columns(source, skeleton) for source in sources]
    people = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    first = np.cumsum([0, *(len(table["people/count"]) for table in tables)])
    image = np.concatenate(
        [start + table["samples/image"] for start, table in zip(first, tables, strict=False)]
    )
    return {
        "images/id": np.array([source.images.ids[row] for source, row in packed_images], np.int64),
        "images/size": np.array(
            [source.images.sizes[row] for source, row in packed_images], np.int32
        ).reshape(-1, 2),
        "images/source": np.array(
            [SOURCES.index(source.name) for source, _ in packed_images], np.uint8
        ),
        "mask/bytes": np.frombuffer(b"".join(rles), np.uint8),
        "mask/offset": _offsets([len(rle) for rle in rles]),
        "people/offset": _offsets(people.pop("people/count")),
        "jpeg/offset": _offsets(image_bytes),
        **people,
        "samples/image": image.astype(np.int32),
    }


def _people_columns(source: Source, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """The people and samples of one source; images counted from its first image that has a
    sample.
    """
    people, mains = source.people, source.samples
    rows = np.unique(people.image[mains])
    is_packed = np.isin(people.image, rows)
    first, end = (np.searchsorted(people.image, rows, side) for side in ("left", "right"))
    place = np.searchsorted(rows, people.image[mains])
    return {
        "people/count": end - first,
        "people/id": people.ids[is_packed],
        "people/parts": annotations.network_parts(people.keypoints[is_packed], skeleton),
        "samples/image": place,
        "samples/person": (mains - first[place]).astype(np.int32),
        "samples/centre": annotations.centres(people.boxes[mains]),
        "samples/scale": annotations.scales_provided(people.boxes[mains], skeleton),
    }


def _offsets(lengths: Any) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
