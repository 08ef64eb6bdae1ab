"""An image's bytes by file name, from a zip archive or a folder, without unpacking anything.

An archive's directory is read once; after that every image is one read at its offset. Reads do not
share a file position, so any number of threads may read at once.
"""

import contextlib
import io
import os
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import simplejpeg

from stages.openpose.coco.image_names import Names, why_outside
from stages.openpose.errors import InputError, damage_refused

LARGEST_IMAGE_PX = 2**27  # 400 MB decoded
LARGEST_FILE_BYTES = 2**30
_ORIENTATION = 0x0112  # EXIF's tag
_LOCAL_HEADER = b"PK\x03\x04"
_LOCAL_HEADER_BYTES = 30
_EXTRA_GUESS_BYTES = 512


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    stored_bytes: int
    bytes: int
    crc: int
    method: int
    encrypted: bool


class Archive:
    """Images of a zip archive, found by the names that annotations give them (image_names)."""

    def __init__(self, path: Path):
        self.path = path
        self._entries: dict[str, _Entry] = {}
        self._ambiguous: set[str] = set()
        with (
            damage_refused(path, "a whole zip archive", "fetch it again"),
            zipfile.ZipFile(path) as archive,
        ):
            for info in archive.infolist():
                if not info.is_dir():
                    self._add(info)
        self._names = Names(self._entries, str(path))
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def _add(self, info: zipfile.ZipInfo) -> None:
        name = info.filename
        if name in self._entries:
            self._ambiguous.add(name)
        self._entries[name] = _Entry(
            info.header_offset,
            info.compress_size,
            info.file_size,
            info.CRC,
            info.compress_type,
            bool(info.flag_bits & 1),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive; reading afterwards is an error."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def names(self) -> list[str]:
        """Paths of all files inside the archive, sorted."""
        return sorted(self._entries)

    def locate(self, file_name: str) -> str:
        """The path inside the archive of the file that `file_name` means; InputError as `read`."""
        return self._names.find(file_name)

    def size(self, file_name: str) -> int:
        """Bytes of an image as the directory declares them, without reading it."""
        return self._find(file_name).bytes

    def read(self, file_name: str) -> bytes:
        """The bytes of an image; InputError names one that is missing, encrypted, damaged or of
        another size.
        """
        entry = self._find(file_name)
        where = f"{self.path}: image {file_name}"
        room = os.fstat(self._file).st_size - entry.stored_bytes
        if not 0 <= entry.offset <= room or entry.bytes > LARGEST_FILE_BYTES:
            raise InputError(
                f"{where}: {entry.bytes} bytes at byte {entry.offset}, says the archive: more than "
                f"it has or than is read; fetch the archive again"
            )
        head = os.pread(
            self._file, _LOCAL_HEADER_BYTES + _EXTRA_GUESS_BYTES + entry.stored_bytes, entry.offset
        )
        if head[:4] != _LOCAL_HEADER or len(head) < _LOCAL_HEADER_BYTES:
            raise InputError(
                f"{where}: damaged archive, no entry at its place; fetch the archive again"
            )
        start = (
            _LOCAL_HEADER_BYTES
            + int.from_bytes(head[26:28], "little")
            + int.from_bytes(head[28:30], "little")
        )
        stored = head[start : start + entry.stored_bytes]
        if len(stored) < entry.stored_bytes:
            stored = os.pread(self._file, entry.stored_bytes, entry.offset + start)
        data = _unpacked(stored, entry, where)
        if zlib.crc32(data) != entry.crc:
            raise InputError(f"{where}: damaged, its checksum is wrong; fetch the archive again")
        return data

    def _find(self, file_name: str) -> _Entry:
        name = self._names.find(file_name)
        where = f"{self.path}: image {file_name}"
        if name in self._ambiguous:
            raise InputError(
                f"{where}: the archive holds several files of this name; every image needs its own"
            )
        entry = self._entries[name]
        if entry.encrypted:
            raise InputError(f"{where}: encrypted; expected an archive without a password")
        return entry


def _unpacked(stored: bytes, entry: _Entry, where: str) -> bytes:
    """The bytes of an entry, never more than one byte beyond its declared size whatever the archive
    claims.
    """
    if len(stored) < entry.stored_bytes:
        raise InputError(f"{where}: the archive is cut off; fetch it again")
    if entry.method == zipfile.ZIP_STORED:
        data = stored
    elif entry.method == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(stored, entry.bytes + 1)
        except zlib.error as problem:
            raise InputError(f"{where}: damaged ({problem}); fetch the archive again") from None
    else:
        raise InputError(
            f"{where}: compression method {entry.method} is not supported; use stored or deflated "
            f"entries"
        )
    if len(data) != entry.bytes:
        more = "larger" if len(data) > entry.bytes else "smaller"
        raise InputError(
            f"{where}: {more} than the {entry.bytes} bytes that the archive declares; damaged or "
            f"forged"
        )
    return data


class Folder:
    """Images in a plain folder and the folders below it, found by the names that annotations give
    them (image_names). Folders that are closed are passed over; links that lead out are refused.
    """

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""

    @cached_property
    def _names(self) -> Names:
        return Names(self.names(), str(self.path))

    @cached_property
    def _root(self) -> str:
        return os.path.join(os.path.realpath(self.path), "")

    def names(self) -> list[str]:
        """Paths of all files inside the folder, sorted."""
        return sorted(
            os.path.relpath(os.path.join(folder, name), self.path).replace(os.sep, "/")
            for folder, _, files in os.walk(self.path)
            for name in files
        )

    def size(self, file_name: str) -> int:
        """Bytes of an image, without reading it."""
        return os.stat(self._find(file_name)).st_size

    def locate(self, file_name: str) -> str:
        """The path inside the folder of the file that `file_name` means; InputError as `read`."""
        direct = why_outside(file_name) is None and os.path.isfile(self.path / file_name)
        return os.path.normpath(file_name) if direct else self._names.find(file_name)

    def read(self, file_name: str) -> bytes:
        """The bytes of an image; InputError names one that is missing or lies outside the
        folder.
        """
        with open(self._find(file_name), "rb") as file:
            return file.read()

    def _find(self, file_name: str) -> Path:
        path = self.path / self.locate(file_name)
        if not os.path.isfile(path):  # to open a pipe would wait for ever
            raise InputError(
                f"{self.path}: image {file_name}: neither a file nor a link to one; expected an "
                f"image file"
            )
        if not os.path.realpath(path).startswith(self._root):
            raise InputError(
                f"{self.path}: image {file_name}: a link that leads out of the folder; nothing "
                f"outside is read: copy the image there, or name the folder it lies in"
            )
        return path


ImageArchive = Archive | Folder


def open_images(path: Path | str) -> ImageArchive:
    """Open a zip archive, a folder, or a `.folder` file that holds the path of either.

    Raises:
        InputError: nothing there, or neither.
    """
    path = Path(path)
    if path.suffix == ".folder" and path.is_file():
        target = Path(path.read_text(encoding="utf-8").strip())
        if not target.exists():
            raise InputError(f"{path}: points to {target}, which does not exist; download again")
        path = target
    if path.is_dir():
        return Folder(path)
    if path.is_file():
        return Archive(path)
    raise InputError(f"{path}: no such archive or folder of images")


def find_images(archives: Path | str, source: str) -> Path:
    """Path of the images of a source ("train", "val") among the archives that download left."""
    archives = Path(archives)
    for candidate in (archives / f"{source}.zip", archives / f"{source}.folder", archives / source):
        if candidate.exists():
            return candidate
    raise InputError(
        f"{archives}: holds neither {source}.zip nor {source}.folder; run the stage download first"
    )


def decode_bgr(
    data: bytes, name: str, orientation: int = 1, remarks: list[str] | None = None
) -> np.ndarray:
    """Decode an encoded image to uint8 [H, W, 3], BGR; grey and CMYK become BGR.

    Args:
        orientation: EXIF's number (1 to 8) of the turn that makes the pixels upright. What the
            image says of itself is ignored: annotations refer to the pixels as they are stored,
            unless a data set says otherwise (Images.turns).
        remarks: collects what the decoder found odd and passed over.

    Raises:
        InputError: no image, a damaged one, or one larger than LARGEST_IMAGE_PX; `name` says which.
    """
    _check_extent(data, name)
    return turned(_decode_stored(data, name, [] if remarks is None else remarks), orientation)


def _decode_stored(data: bytes, name: str, remarks: list[str]) -> np.ndarray:
    if data[:2] == b"\xff\xd8":
        try:
            if simplejpeg.decode_jpeg_header(data)[2] not in ("CMYK", "YCCK"):
                return simplejpeg.decode_jpeg(data, "BGR")
        except ValueError as problem:
            if "extraneous bytes" not in str(
                problem
            ):  # bytes between markers: harmless, and found in COCO
                raise InputError(f"{name}: damaged JPEG ({problem})") from None
            remarks.append(str(problem))
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise InputError(
            f"{name}: not an image that can be decoded (JPEG or PNG expected, {len(data)} bytes "
            f"found{_looks_like(data)})"
        )
    return image


def _looks_like(data: bytes) -> str:
    """What users take for images now and then."""
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypmsf1"):
        return "; it is a HEIC: save it as JPEG"
    if data.startswith(b"version https://git-lfs"):
        return "; it is a pointer of git LFS: run git lfs pull"
    if data.lstrip()[:1] == b"<":
        return "; it is text, perhaps a server's error page: fetch it again"
    return ""


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image [H, W, 3] as EXIF's orientation number (1 to 8) says that it is to be shown."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _check_extent(data: bytes, name: str) -> None:
    """Refuse what would fill the memory, by its header alone."""
    hw = None
    if data[:2] == b"\xff\xd8":
        with contextlib.suppress(ValueError, KeyError):
            hw = simplejpeg.decode_jpeg_header(data, strict=False)[:2]
    elif data:
        header = read_header(data)
        hw = header.hw if header else None
    if hw and hw[0] * hw[1] > LARGEST_IMAGE_PX:
        raise InputError(
            f"{name}: {hw[1]} x {hw[0]} pixels (width x height) are more than the "
            f"{LARGEST_IMAGE_PX / 1e6:.0f} million that are read; shrink the image and its "
            f"annotations"
        )


@dataclass(frozen=True, slots=True)
class Header:
    """What an image says of itself: (height, width) of the stored pixels, EXIF orientation 1 to 8,
    Pillow's names of format and mode, number of images in the file.
    """

    hw: tuple[int, int]
    orientation: int
    format: str
    mode: str
    frames: int


def read_header(data: bytes) -> Header | None:
    """The header of an encoded image, no pixel decoded; None where it is no image."""
    from PIL import Image  # here: only few stages look at headers

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.MAX_IMAGE_PIXELS = None  # the extent is checked here
            with Image.open(io.BytesIO(data)) as image:
                lazy = image.format != "PNG" or "exif" in image.info  # else Pillow decodes it all
                orientation = image.getexif().get(_ORIENTATION, 1) if lazy else 1
                return Header(
                    image.size[::-1],
                    orientation if orientation in range(1, 9) else 1,
                    image.format or "",
                    image.mode,
                    getattr(image, "n_frames", 1),
                )
    except Exception:  # Pillow's readers raise whatever damaged bytes lead to
        return None


def size_hw(data: bytes, name: str) -> tuple[int, int]:
    """(height, width) in pixels of an encoded image. Of a JPEG only the header is read, and its end
    is looked for.

    Raises:
        InputError: no image, or a JPEG that is cut off.
    """
    if data[:2] != b"\xff\xd8":
        return decode_bgr(data, name).shape[:2]
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as problem:
        raise InputError(f"{name}: damaged JPEG ({problem})") from None
    if not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise InputError(
            f"{name}: JPEG cut off after {len(data)} bytes, its end marker is missing; fetch it "
            f"again"
        )
    return height, width
