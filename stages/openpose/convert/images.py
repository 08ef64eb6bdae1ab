"""The images of an export: found by the names that the tool gives them, their size compared, copied
or linked.
"""

import os
import posixpath
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stages.openpose.coco.findings import Findings
from stages.openpose.coco.image_files import Folder, Header, ImageArchive, read_header
from stages.openpose.convert.labelled import Keypoint, LabelledImage, Person
from stages.openpose.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
UPRIGHT, AS_STORED = "upright", "as_stored"  # values of inspect_data.exif


def is_image(name: str) -> bool:
    """Whether a file is called like an image."""
    return name.casefold().endswith(SUFFIXES)


def settled(
    image: LabelledImage, archive: ImageArchive, findings: Findings
) -> tuple[LabelledImage, str] | None:
    """The image with its size, labels in pixels, and where in the archive it lies ("" for a frame
    of a video); None where it was refused.
    """
    owner = f"image {image.name}"
    try:
        place = "" if image.encode else locate(archive, image, findings)
        data = image.encode() if image.encode else archive.read(place)
        header = read_header(data)
        if header is None:
            raise InputError(f"{place}: not an image that can be read ({len(data)} bytes)")
    except InputError as problem:
        advice = "put its video beside the file" if image.encode else "name its folder by --images"
        findings.refuse(f"{owner}: {problem}; {advice}")
        return None
    hw = _compared(owner, image.hw, header, findings)
    if hw is None:
        return None
    people = [_in_pixels(one, hw) for one in image.people] if image.in_shares else image.people
    return replace(image, hw=hw, people=people, in_shares=False), place


def locate(archive: ImageArchive, image: LabelledImage, findings: Findings) -> str:
    """The path in the archive of the image that a tool calls so.

    Of a path that is absolute or leads out of the folder (it is that of the tool's machine) the
    steps that lead out are taken away.
    """
    names = [_inside(name) for name in (image.name, image.other_name) if name]
    if names[0] != posixpath.normpath(image.name):
        findings.derived["paths of images from another place, found by their ends"] += 1
    try:
        return archive.locate(names[0])
    except InputError:
        if len(set(names)) == 1:
            raise
        return archive.locate(names[-1])


def _inside(name: str) -> str:
    parts = posixpath.normpath(name.replace("\\", "/")).split("/")
    return "/".join(part for part in parts if part not in ("", "..") and not part.endswith(":"))


def _compared(
    owner: str, stated: tuple[int, int] | None, header: Header, findings: Findings
) -> tuple[int, int] | None:
    """(height, width) of the pixels that the labels are of; None where no such pixels exist.

    Tools show images turned upright as EXIF says, so sizes that do not tell are taken for that.
    """
    upright = header.hw[::-1] if header.orientation >= 5 else header.hw
    if stated is None or stated == upright:
        if header.orientation != 1:
            findings.derived[f"images with an EXIF orientation, labelled {UPRIGHT}"] += 1
        return upright
    if stated == header.hw:
        findings.derived[f"images with an EXIF orientation, labelled {AS_STORED}"] += 1
        return stated
    findings.refuse(
        f"{owner}: `width`, `height`: the labels are of {stated[1]} x {stated[0]} pixels, the "
        f"image has {upright[1]} x {upright[0]}; it is another image, or was scaled since"
    )
    return None


def exif_setting(findings: Findings) -> str:
    """The value of inspect_data.exif that fits the labels; InputError where none does."""
    turned = [
        frame
        for frame in (UPRIGHT, AS_STORED)
        if findings.derived[f"images with an EXIF orientation, labelled {frame}"]
    ]
    if len(turned) > 1:
        raise InputError(
            f"{findings.path}: some images with an EXIF orientation were labelled upright, others "
            f"as stored: turn them by hand (their EXIF away) and label them again"
        )
    return turned[0] if turned else AS_STORED


def _in_pixels(person: Person, hw: tuple[int, int]) -> Person:
    height, width = hw
    keypoints = [
        Keypoint(point.name, point.x * width, point.y * height, point.visibility)
        for point in person.keypoints
    ]
    box = None
    if person.box:
        x, y, box_width, box_height = person.box
        box = (x * width, y * height, box_width * width, box_height * height)
    return replace(person, keypoints=keypoints, box=box)


def final_names(found: Sequence[tuple[LabelledImage, str]], findings: Findings) -> list[str]:
    """What each image is to be called: its path in the archive, below a folder `images` that all
    have in common.
    """
    paths = [place or image.name for image, place in found]
    for path, count in Counter(paths).items():
        if count > 1:
            findings.refuse(
                f"image {path}: labelled {count} times, in several records; every image needs one: "
                f"convert them apart, or take the older away"
            )
    common = all(path.startswith("images/") for path in paths)
    return [path.removeprefix("images/") if common else path for path in paths]


def place(image: LabelledImage, archive: ImageArchive, found: str, target: Path) -> None:
    """Write the image to `target`: a hard link where it is a file on the same disk, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if image.encode or not isinstance(archive, Folder):
        target.write_bytes(image.encode() if image.encode else archive.read(found))
        return
    source = os.path.realpath(archive.path / found)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
