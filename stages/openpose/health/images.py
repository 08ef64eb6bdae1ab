"""Every image of a data set, read and decoded once: is it there, whole, as the annotations say."""

import io
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from stages.openpose.coco.annotations import Images
from stages.openpose.coco.findings import Findings
from stages.openpose.coco.image_files import (
    Header,
    ImageArchive,
    decode_bgr,
    read_header,
    size_hw,
)
from stages.openpose.errors import InputError
from stages.openpose.health.fingerprints import SIDE, fingerprint
from stages.openpose.threads import usable_threads

AS_STORED, UPRIGHT = "as_stored", "upright"
_EIGHT_BIT = ("RGB", "L", "RGBA", "P", "LA", "PA", "CMYK", "YCbCr")


@dataclass(frozen=True, slots=True)
class Look:
    """What an image file is: its path in the archive, header, fingerprint uint8 [SIDE, SIDE, 3],
    what is odd about it; or why it cannot be read.
    """

    file: str = ""
    header: Header | None = None
    fingerprint: np.ndarray | None = None
    problem: str | None = None
    remarks: tuple[str, ...] = ()


def look_at(archive: ImageArchive, file_name: str) -> Look:
    """Read an image, decode all of it, strictly."""
    try:
        file = archive.locate(file_name)
        data = archive.read(file_name)
        if not data:
            raise InputError("the file is empty (0 bytes)")
        header = read_header(data) or Header(size_hw(data, file_name), 1, "", "RGB", 1)
        remarks: list[str] = []
        pixels = decode_bgr(data, file_name, remarks=remarks)
        size_hw(data, file_name)
        if header.format not in ("JPEG", "MPO", ""):
            _decode_strictly(data)
        if pixels.shape[:2] != header.hw:
            raise InputError(f"its header says {header.hw}, its pixels are {pixels.shape[:2]}")
    except (InputError, OSError, ValueError, MemoryError) as problem:
        return Look(problem=str(problem))
    return Look(file, _with_depth(header, data), fingerprint(pixels), remarks=tuple(remarks))


def _decode_strictly(data: bytes) -> None:
    """OpenCV passes over much damage in PNG and other formats; Pillow does not."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                image.load()
    except Exception as problem:  # whatever Pillow's readers make of damaged bytes
        raise InputError(f"damaged image ({problem})") from None


def _with_depth(header: Header, data: bytes) -> Header:
    """Pillow calls a PNG of 3 x 16 bits RGB."""
    if header.format == "PNG" and len(data) > 24 and data[24] == 16 and ";" not in header.mode:
        return Header(header.hw, header.orientation, "PNG", f"{header.mode};16", header.frames)
    return header


def look_at_all(
    archive: ImageArchive, names: Iterable[str], progress: Callable = iter
) -> dict[str, Look]:
    """`look_at` for each of `names`, in as many threads as there are processors for us."""
    names = list(dict.fromkeys(names))
    threads = usable_threads()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            looks = pool.map(partial(look_at, archive), names)
            return dict(zip(names, progress(looks), strict=True))
    finally:
        cv2.setNumThreads(before)


def compare(images: Images, looks: dict[str, Look], exif: str, findings: Findings) -> np.ndarray:
    """Compare what the annotations say of images with what was seen; findings go to `findings`.

    Args:
        exif: which pixels the annotations are of, AS_STORED or UPRIGHT.

    Returns:
        uint8 [N], the EXIF orientation by which each image is to be turned; 1 where it is not.
    """
    turns = np.ones(len(images), np.uint8)
    users: dict[str, tuple[int, str]] = {}
    for row, name in enumerate(images.file_names):
        look, image_id = looks[name], int(images.ids[row])
        owner = f"image {image_id} ({name})"
        if look.header is None:
            findings.refuse(
                f"{owner}: `file_name`: {look.problem}; mend the file, or take the image and its "
                f"annotations out"
            )
            continue
        first_id, first_name = users.setdefault(look.file, (image_id, name))
        if first_id != image_id and first_name != name:
            findings.refuse(
                f"{owner}: `file_name`: the same file as image {first_id} ({first_name}): "
                f"{look.file}; write the path of its own"
            )
        elif first_id != image_id:
            findings.suspect(
                "files that belong to several images", f"{owner} and image {first_id}", image_id
            )
        turns[row] = _compare_size(
            owner, image_id, tuple(images.sizes[row].tolist()), look.header, exif, findings
        )
        _look_suspicious(owner, image_id, look.header, findings)
        for remark in look.remarks:
            findings.suspect(
                "JPEGs with bytes left over: damaged in the middle, perhaps",
                f"{owner}: {remark}",
                image_id,
            )
    return turns


def _compare_size(
    owner: str,
    image_id: int,
    stated: tuple[int, int],
    header: Header,
    exif: str,
    findings: Findings,
) -> int:
    """The orientation to turn by; 1 for none."""
    upright = header.hw[::-1] if header.orientation >= 5 else header.hw
    seen, other = (header.hw, upright) if exif == AS_STORED else (upright, header.hw)
    if stated != seen:
        size = f"{stated[1]} x {stated[0]}"
        advice = (
            f"these are its pixels {'turned upright' if exif == AS_STORED else 'as stored'} "
            f"(EXIF orientation {header.orientation}): set inspect_data.exif: "
            f"{UPRIGHT if exif == AS_STORED else AS_STORED}"
            if stated == other
            else "the annotations belong to another image"
        )
        findings.refuse(
            f"{owner}: `width`, `height`: the annotations say {size} pixels, the image has "
            f"{seen[1]} x {seen[0]}; {advice}"
        )
    if header.orientation != 1:
        frame = "stored" if exif == AS_STORED else "upright"
        findings.suspect(
            f"EXIF orientation other than 1; annotations are taken to be of the {frame} pixels "
            f"(inspect_data.exif)",
            f"{owner}: orientation {header.orientation}",
            image_id,
        )
    return header.orientation if exif == UPRIGHT else 1


def _look_suspicious(owner: str, image_id: int, header: Header, findings: Findings) -> None:
    if header.mode not in _EIGHT_BIT:
        findings.suspect(
            "unusual bit depth; read as 8 bits a colour", f"{owner}: {header.mode}", image_id
        )
    if header.frames > 1 and header.format != "MPO":
        findings.suspect(
            "several images in one file; the first is read", f"{owner}: {header.frames}", image_id
        )


def fingerprints_of(images: Images, looks: dict[str, Look]) -> np.ndarray:
    """uint8 [N, SIDE * SIDE * 3] of images that can all be read."""
    listed = [looks[name].fingerprint for name in images.file_names]
    return np.array(listed, np.uint8).reshape(-1, SIDE * SIDE * 3)
