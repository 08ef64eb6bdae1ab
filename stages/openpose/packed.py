"""The packed file: everything that training reads, in one HDF5 file of plain arrays.

Every image stands once, as the bytes of its JPEG. All datasets are contiguous, so a record is one read at a known
offset, without the HDF5 library and from any number of threads. Version 1:

    images/id int64 [N]            images/size int32 [N, 2] (height, width)     images/source uint8 [N] (0 train, 1 val)
    jpeg/bytes uint8 [B]           jpeg/offset int64 [N + 1]      image i is bytes[offset[i] : offset[i + 1]]
    mask/bytes uint8 [M]           mask/offset int64 [N + 1]      compressed RLE of what must not be learned from
    people/parts float32 [P, 18, 3]  people/offset int64 [N + 1]  x, y in pixels, 0 hidden / 1 visible / 2 absent
    people/id int64 [P]            annotation ids
    samples/image int32 [S], ascending     samples/person int32 [S], counted within the image
    samples/centre float64 [S, 2] (x, y)   samples/scale float64 [S], box height / 368

Attributes: format, version, provenance (JSON: protocol, split, parameters, SHA-256 of the annotation files).
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from stages.openpose import annotations, crowd_masks, pictures
from stages.openpose.annotations import Images, People
from stages.openpose.crowd_masks import Masks
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file
from stages.openpose.pictures import Pictures
from stages.openpose.splits import SOURCES

FORMAT = "openpose-packed"
VERSION = 1


@dataclass(frozen=True)
class Source:
    """One set of annotated pictures, and what to take of it.

    Attributes:
        name: "train" or "val".
        samples: int64 [S], rows in `people` of the main persons to take, ascending.
    """

    name: str
    images: Images
    people: People
    samples: np.ndarray
    masks: Masks
    pictures: Pictures


def write(
    path: Path | str, sources: list[Source], provenance: dict[str, Any], progress: Callable = iter
) -> dict[str, int]:
    """Write a packed file of all images of `sources` that hold a sample; memory does not grow with their number.

    The same input gives the same bytes. `progress` wraps the iteration over images (for example tqdm).

    Returns:
        images, samples, people, bytes of JPEG and of masks.

    Raises:
        InputError: names the image whose picture is missing, cut off, or of another size than annotated; or the disk
            is too full.
    """
    chosen = [(source, int(row)) for source in sources for row in np.unique(source.people.image[source.samples])]
    columns = _columns(sources, chosen)
    size = int(columns["jpeg/offset"][-1])
    _check_room(Path(path), size + sum(column.nbytes for column in columns.values()))
    with whole_file(path) as part, h5py.File(part, "w", libver=("earliest", "v110")) as file:
        file.attrs.update(format=FORMAT, version=VERSION, provenance=json.dumps(provenance, sort_keys=True))
        for name, column in columns.items():
            file.create_dataset(name, data=column, track_times=False)
        room = file.create_dataset("jpeg/bytes", shape=(size,), dtype=np.uint8, track_times=False, fill_time="never")
        at = 0
        for source, row in progress(chosen):
            data = _checked_picture(source, row)
            room[at : at + len(data)] = np.frombuffer(data, np.uint8)
            at += len(data)
    counts = {"images": "images/id", "samples": "samples/image", "people": "people/id", "mask_bytes": "mask/bytes"}
    return {name: len(columns[column]) for name, column in counts.items()} | {"jpeg_bytes": size}


def _check_room(path: Path, needed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise InputError(
            f"{path}: needs {needed / 1e9:.2f} GB of disk, {free / 1e9:.2f} GB are free; make room for "
            f"{(needed - free) / 1e9:.2f} GB more"
        )


def _checked_picture(source: Source, row: int) -> bytes:
    images = source.images
    name = f"image {images.ids[row]} ({images.file_names[row]})"
    try:
        data = source.pictures.read(images.file_names[row])
        found = pictures.size_hw(data, f"{source.pictures.path}")
    except InputError as problem:
        raise InputError(f"{name}: {problem}") from None
    expected = tuple(images.sizes[row].tolist())
    if found != expected:
        raise InputError(
            f"{name}: {images.path} says {expected[1]} x {expected[0]} pixels (width x height), the picture in "
            f"{source.pictures.path} has {found[1]} x {found[0]}; the annotations belong to another picture"
        )
    return data


def _columns(sources: list[Source], chosen: list[tuple[Source, int]]) -> dict[str, np.ndarray]:
    """All datasets but the pictures themselves."""
    rles = [source.masks.find(source.images.ids[row]) for source, row in chosen]
    picture_bytes = [source.pictures.size(source.images.file_names[row]) for source, row in chosen]
    tables = [_people_columns(source) for source in sources]
    people = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    first = np.cumsum([0, *(len(table["people/count"]) for table in tables)])
    image = np.concatenate([start + table["samples/image"] for start, table in zip(first, tables, strict=False)])
    return {
        "images/id": np.array([source.images.ids[row] for source, row in chosen], np.int64),
        "images/size": np.array([source.images.sizes[row] for source, row in chosen], np.int32).reshape(-1, 2),
        "images/source": np.array([SOURCES.index(source.name) for source, _ in chosen], np.uint8),
        "mask/bytes": np.frombuffer(b"".join(rles), np.uint8),
        "mask/offset": _offsets([len(rle) for rle in rles]),
        "people/offset": _offsets(people.pop("people/count")),
        "jpeg/offset": _offsets(picture_bytes),
        **people,
        "samples/image": image.astype(np.int32),
    }


def _people_columns(source: Source) -> dict[str, np.ndarray]:
    """The people and samples of one source; images counted from its first image that has a sample."""
    people, mains = source.people, source.samples
    rows = np.unique(people.image[mains])
    here = np.isin(people.image, rows)
    first, end = (np.searchsorted(people.image, rows, side) for side in ("left", "right"))
    place = np.searchsorted(rows, people.image[mains])
    return {
        "people/count": end - first,
        "people/id": people.ids[here],
        "people/parts": annotations.network_parts(people.keypoints[here]),
        "samples/image": place,
        "samples/person": (mains - first[place]).astype(np.int32),
        "samples/centre": annotations.centres(people.boxes[mains]),
        "samples/scale": annotations.scales_provided(people.boxes[mains]),
    }


def _offsets(lengths: Any) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


class Packed:
    """A packed file open for reading; any number of threads may read at once.

    Attributes:
        path: of the file.
        provenance: dict, see the module.
        image_ids: int64 [N]. sizes: int32 [N, 2] (height, width). sources: uint8 [N], 0 train, 1 val.
        people_counts: int64 [N], labelled people of each image.
        sample_image: int32 [S], ascending. sample_person: int32 [S], counted within the image.
        centres: float64 [S, 2] (x, y) in pixels. scales: float64 [S], box height / 368.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        with _open_checked(self.path) as file:
            self.provenance: dict[str, Any] = json.loads(file.attrs["provenance"])
            self.image_ids = file["images/id"][:]
            self.sizes = file["images/size"][:]
            self.sources = file["images/source"][:]
            self.sample_image = file["samples/image"][:]
            self.sample_person = file["samples/person"][:]
            self.centres = file["samples/centre"][:]
            self.scales = file["samples/scale"][:]
            names = ("jpeg/bytes", "mask/bytes", "people/parts")
            self._start = {name: file[name].id.get_offset() or 0 for name in names}
            self._offset = {name: file[f"{name.split('/')[0]}/offset"][:] for name in names}
            self.people_counts = np.diff(self._offset["people/parts"])
        self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.sample_image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return Packed, (self.path,)

    def close(self) -> None:
        """Close the file; reading afterwards is an error."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def jpeg(self, image: int) -> bytes:
        """The encoded picture of image number `image`."""
        return self._record("jpeg/bytes", image, 1)

    def image(self, image: int) -> np.ndarray:
        """The picture, uint8 [H, W, 3], BGR; InputError names the image if its record is damaged."""
        return pictures.decode_bgr(self.jpeg(image), f"{self.path}: image {self.image_ids[image]}")

    def mask_rle(self, image: int) -> bytes:
        """Compressed RLE of the region that must not be learned from; b"" where there is none."""
        return self._record("mask/bytes", image, 1)

    def mask_miss(self, image: int) -> np.ndarray | None:
        """uint8 [H, W], 255 = may be learned from, 0 = not; None where all of the image may be learned from."""
        rle = self.mask_rle(image)
        return crowd_masks.mask_miss(rle, tuple(self.sizes[image].tolist())) if rle else None

    def parts(self, image: int) -> np.ndarray:
        """All labelled people of an image, float32 [P, 18, 3]: x, y in pixels, 0 hidden / 1 visible / 2 absent."""
        return np.frombuffer(self._record("people/parts", image, 18 * 3 * 4), np.float32).reshape(-1, 18, 3)

    def _record(self, name: str, image: int, item_bytes: int) -> bytes:
        first, last = self._offset[name][image : image + 2].tolist()
        data = os.pread(self._file, (last - first) * item_bytes, self._start[name] + first * item_bytes)
        if len(data) != (last - first) * item_bytes:
            raise InputError(
                f"{self.path}: image {self.image_ids[image]}: the file is cut off; run the stage pack again"
            )
        return data


def open_packed(path: Path | str) -> Packed:
    """Open a packed file; InputError where it is none, or of another version than this program writes."""
    return Packed(path)


def _open_checked(path: Path) -> h5py.File:
    try:
        file = h5py.File(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage pack first") from None
    except OSError as problem:
        raise InputError(f"{path}: not a whole HDF5 file ({problem}); run the stage pack again") from None
    found = file.attrs.get("format"), file.attrs.get("version")
    if found != (FORMAT, VERSION):
        file.close()
        raise InputError(
            f"{path}: expected a packed file ({FORMAT}, version {VERSION}), found {found}; run the stage pack again"
        )
    return file


def describe(packed: Packed) -> str:
    """What a packed file holds, as lines of text."""
    sizes = packed._offset["jpeg/bytes"][-1], packed._offset["mask/bytes"][-1]
    images, samples = len(packed.image_ids), len(packed)
    by_source = ", ".join(f"{(packed.sources == i).sum()} of {name}" for i, name in enumerate(SOURCES))
    masked = int((np.diff(packed._offset["mask/bytes"]) > 0).sum())
    lines = [
        f"{packed.path}: {FORMAT} version {VERSION}",
        f"images   {images} ({by_source}), {sizes[0]} bytes of JPEG",
        f"samples  {samples} main persons, {os.stat(packed.path).st_size / max(samples, 1):.0f} bytes a sample",
        f"people   {packed.people_counts.sum()} labelled, at most {packed.people_counts.max(initial=0)} in an image",
        f"masks    {masked} images have a region not to learn from, {sizes[1]} bytes",
    ]
    lines += [f"{key:<9}{value}" for key, value in packed.provenance.items()]
    return "\n".join(lines)
