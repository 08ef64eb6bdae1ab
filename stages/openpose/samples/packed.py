"""The packed file: everything that training reads, in one HDF5 file of plain arrays.

Every image stands once, as the bytes of its JPEG. All datasets are contiguous, so a record is one
read at a known offset, without the HDF5 library and from any number of threads. Version 1:

    images/id       int64 [N]
    images/size     int32 [N, 2]         height, width
    images/source   uint8 [N]            0 train, 1 val
    jpeg/bytes      uint8 [B]            image i is bytes[offset[i] : offset[i + 1]]
    jpeg/offset     int64 [N + 1]
    mask/bytes      uint8 [M]            compressed RLE of what must not be learned from
    mask/offset     int64 [N + 1]
    people/parts    float32 [P, K, 3]    x, y in pixels, 0 hidden / 1 visible / 2 absent
    people/offset   int64 [N + 1]
    people/id       int64 [P]            annotation ids
    samples/image   int32 [S]            ascending
    samples/person  int32 [S]            counted within the image
    samples/centre  float64 [S, 2]       x, y
    samples/scale   float64 [S]          size of the person / 368, see scales_provided

K parts: 18 of COCO's body. Attributes: format, version, provenance (JSON: protocol, split,
parameters), of other bodies skeleton (JSON, see skeleton.to_dict). Nothing else of the
annotation files is in it: a field that no sample uses changes no byte.
"""

import json
import os
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from stages.openpose.coco import image_files
from stages.openpose.coco.protocols import SOURCES
from stages.openpose.errors import InputError, damage_refused
from stages.openpose.samples import crowd_masks
from stages.openpose.skeleton import from_dict

FORMAT = "openpose-packed"
VERSION = 1


class Packed:
    """A packed file open for reading; any number of threads may read at once.

    Attributes:
        path: of the file.
        provenance: dict, see the module.
        image_ids: int64 [N]. sizes: int32 [N, 2] (height, width). sources: uint8 [N], 0 train, 1
            val.
        people_counts: int64 [N], labelled people of each image.
        sample_image: int32 [S], ascending. sample_person: int32 [S], counted within the image.
        centres: float64 [S, 2] (x, y) in pixels. scales: float64 [S], size / 368.
        skeleton: of the people.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        with (
            damage_refused(self.path, "a packed file", "run the stage pack again"),
            _open_checked(self.path) as file,
        ):
            self.provenance: dict[str, Any] = json.loads(file.attrs["provenance"])
            described = file.attrs.get("skeleton")
            self.skeleton = from_dict(json.loads(described) if described else None)
            self.image_ids = file["images/id"][:]
            self.sizes = file["images/size"][:]
            self.sources = file["images/source"][:]
            self.sample_image = file["samples/image"][:]
            self.sample_person = file["samples/person"][:]
            self.centres = file["samples/centre"][:]
            self.scales = file["samples/scale"][:]
            names = ("jpeg/bytes", "mask/bytes", "people/parts")
            self._start = {name: _start(file[name]) for name in names}
            self._offset = {name: file[f"{name.split('/')[0]}/offset"][:] for name in names}
            self.people_counts = np.diff(self._offset["people/parts"])
            self._check({name: file[name] for name in names})
        self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def _check(self, records: dict[str, h5py.Dataset]) -> None:
        """Raise ValueError where arrays do not go together, as in a damaged file."""
        images, samples = len(self.image_ids), len(self.sample_image)
        body = (len(self.skeleton.parts), 3)
        rules = {
            "records": all(
                offset.shape == (images + 1,)
                and offset.dtype.kind == "i"
                and (offset[0], offset[-1]) == (0, len(records[name]))
                and (np.diff(offset) >= 0).all()
                for name, offset in self._offset.items()
            ),
            "types of records": [(r.dtype.str, r.shape[1:]) for r in records.values()]
            == [("|u1", ()), ("|u1", ()), ("<f4", body)],
            "images": self.sizes.shape == (images, 2)
            and self.sources.shape == (images,)
            and bool(np.isin(self.sources, range(len(SOURCES))).all())
            and bool((self.sizes > 0).all()),
            "samples": self.sample_image.dtype.kind == self.sample_person.dtype.kind == "i"
            and self.sample_person.shape == self.scales.shape == (samples,)
            and self.centres.shape == (samples, 2)
            and bool(((self.sample_image >= 0) & (self.sample_image < images)).all())
            and bool((np.diff(self.sample_image) >= 0).all())
            and bool((self.sample_person >= 0).all())
            and bool((self.sample_person < self.people_counts[self.sample_image]).all()),
            "numbers": bool(np.isfinite(self.centres).all() and (self.scales > 0).all())
            and bool(np.isfinite(self.scales).all()),
        }
        if broken := [name for name, holds in rules.items() if not holds]:
            raise ValueError(f"{', '.join(broken)} do not go together")

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
        """The encoded image of image number `image`."""
        return self._record("jpeg/bytes", image, 1)

    def image(self, image: int) -> np.ndarray:
        """The image, uint8 [H, W, 3], BGR; InputError names the image if its record is damaged."""
        return image_files.decode_bgr(
            self.jpeg(image), f"{self.path}: image {self.image_ids[image]}"
        )

    def mask_rle(self, image: int) -> bytes:
        """Compressed RLE of the region that must not be learned from; b"" where there is none."""
        return self._record("mask/bytes", image, 1)

    def mask_miss(self, image: int) -> np.ndarray | None:
        """uint8 [H, W], 255 = may be learned from, 0 = not; None where all of the image may be
        learned from.
        """
        rle = self.mask_rle(image)
        return crowd_masks.mask_miss(rle, tuple(self.sizes[image].tolist())) if rle else None

    def parts(self, image: int) -> np.ndarray:
        """All labelled people of an image, float32 [P, parts, 3]: x, y in pixels, 0 hidden / 1
        visible / 2 absent.
        """
        parts = len(self.skeleton.parts)
        record = self._record("people/parts", image, parts * 3 * 4)
        return np.frombuffer(record, np.float32).reshape(-1, parts, 3)

    def _record(self, name: str, image: int, item_bytes: int) -> bytes:
        first, last = self._offset[name][image : image + 2].tolist()
        data = os.pread(
            self._file, (last - first) * item_bytes, self._start[name] + first * item_bytes
        )
        if len(data) != (last - first) * item_bytes:
            raise InputError(
                f"{self.path}: image {self.image_ids[image]}: the file is cut off; run the stage "
                f"pack again"
            )
        return data


def _start(records: h5py.Dataset) -> int:
    """The byte of the file at which the records begin; they must lie in one piece."""
    start = records.id.get_offset()
    if start is None and records.size:
        raise ValueError(f"{records.name} is not in one piece")
    return start or 0


def open_packed(path: Path | str) -> Packed:
    """Open a packed file; InputError where it is none, or of another version than this program
    writes.
    """
    return Packed(path)


def _open_checked(path: Path) -> h5py.File:
    try:
        # without HDF5's lock: the file never changes (it is renamed into place when whole), and a
        # lock of another program, or a file system that has none, is no reason not to read it
        file = h5py.File(path, locking=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage pack first") from None
    except OSError as problem:
        raise InputError(
            f"{path}: not a whole HDF5 file ({problem}); run the stage pack again"
        ) from None
    format_and_version = file.attrs.get("format"), file.attrs.get("version")
    if format_and_version != (FORMAT, VERSION):
        file.close()
        raise InputError(
            f"{path}: expected a packed file ({FORMAT}, version {VERSION}), found "
            f"{format_and_version}; run the stage pack again"
        )
    return file


def describe(packed: Packed) -> str:
    """What a packed file holds, as lines of text."""
    sizes = packed._offset["jpeg/bytes"][-1], packed._offset["mask/bytes"][-1]
    images, samples = len(packed.image_ids), len(packed)
    by_source = ", ".join(
        f"{(packed.sources == i).sum()} of {name}" for i, name in enumerate(SOURCES)
    )
    masked = int((np.diff(packed._offset["mask/bytes"]) > 0).sum())
    lines = [
        f"{packed.path}: {FORMAT} version {VERSION}",
        f"images   {images} ({by_source}), {sizes[0]} bytes of JPEG",
        f"samples  {samples} main persons, {os.stat(packed.path).st_size / max(samples, 1):.0f} "
        f"bytes a sample",
        f"people   {packed.people_counts.sum()} labelled, at most "
        f"{packed.people_counts.max(initial=0)} in an image",
        f"masks    {masked} images have a region not to learn from, {sizes[1]} bytes",
    ]
    lines += [f"{key:<9}{value}" for key, value in packed.provenance.items()]
    return "\n".join(lines)
