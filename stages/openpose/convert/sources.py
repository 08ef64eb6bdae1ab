"""An input as users name it, a file, folder or zip, and what a format finds in it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from stages.openpose.coco.findings import Findings
from stages.openpose.coco.image_files import Archive, Folder, ImageArchive
from stages.openpose.convert import (
    coco,
    cvat,
    deeplabcut,
    label_studio,
    labelme,
    sleap,
    yolo_pose,
)
from stages.openpose.convert.fields import as_json
from stages.openpose.convert.labelled import Export, Wanted, body_of, merged
from stages.openpose.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """What one INPUT holds.

    Attributes:
        archive: the folder or zip.
        files: paths in it of the files that the user named, or of all that could be meant.
        named: the user named the file itself.
    """

    archive: ImageArchive
    files: list[str]
    named: bool


def opened(path: Path, form: str) -> Source:
    """Open an input of a format (a key of READERS).

    Raises:
        InputError: nothing there, or no file that could be of the format in it.
    """
    suffixes, _ = READERS[form]
    if path.is_file() and path.suffix.casefold() != ".zip":
        folder = path.parent
        if form == "deeplabcut" and folder.parent.name == "labeled-data":
            folder = folder.parent.parent
        return Source(Folder(folder), [path.relative_to(folder).as_posix()], named=True)
    if not path.exists():
        raise InputError(f"{path}: no such file, folder or zip")
    archive: ImageArchive = Folder(path) if path.is_dir() else Archive(path)
    names = [
        name
        for name in archive.names()
        if name.casefold().endswith(suffixes) and not PurePosixPath(name).name.startswith(".")
        if not name.startswith("__MACOSX/")
    ]
    if not names:
        raise InputError(f"{path}: expected a file {' or '.join(suffixes)} in it, found none")
    return Source(archive, names, named=False)


def read(form: str, source: Source, wanted: Wanted, findings: Findings) -> Export:
    """All that the files of a source hold."""
    return READERS[form][1](source, wanted, findings)


def _joined(exports: list[Export], findings: Findings) -> Export:
    bodies = merged((body for one in exports for body in one.bodies), findings)
    return Export(bodies, [image for one in exports for image in one.images])


def _cvat(source: Source, _: Wanted, findings: Findings) -> Export:
    read_one = partial(cvat.read, findings=findings)
    return _joined([read_one(source.archive.read(f), f) for f in source.files], findings)


def _coco(source: Source, _: Wanted, findings: Findings) -> Export:
    """Of a folder with COCO's own names those of keypoints only."""
    files = [f for f in source.files if "person_keypoints" in f] or source.files
    return _joined([coco.read(source.archive.read(f), f, findings) for f in files], findings)


def _label_studio(source: Source, wanted: Wanted, findings: Findings) -> Export:
    images = [
        image
        for file in source.files
        for image in label_studio.read(source.archive.read(file), file, findings)
    ]
    return Export(body_of(images, wanted, findings), images)


def _labelme(source: Source, wanted: Wanted, findings: Findings) -> Export:
    images = []
    for file in source.files:
        data = source.archive.read(file)
        if source.named or labelme.is_labelme(as_json(data, file)):
            images.append(labelme.read(data, file, findings))
        else:
            findings.derived["JSON files that are not LabelMe's, left out"] += 1
    return Export(body_of(images, wanted, findings), images)


def _yolo_pose(source: Source, wanted: Wanted, findings: Findings) -> Export:
    files = source.files
    if not source.named:
        files = [f for f in files if b"kpt_shape" in source.archive.read(f)]
    if len(files) != 1:
        raise InputError(
            f"{source.archive.path}: expected one YAML with `kpt_shape`, found {len(files)}: "
            f"{', '.join(files) or 'it is no pose data set'}"
        )
    return yolo_pose.read(source.archive, files[0], wanted, findings)


def _deeplabcut(source: Source, wanted: Wanted, findings: Findings) -> Export:
    archive = source.archive
    files = [f for f in source.files if source.named or deeplabcut.is_collected(f)]
    if not files:
        raise InputError(f"{archive.path}: expected files CollectedData_*.csv in it, found none")
    configs = [name for name in archive.names() if PurePosixPath(name).name == "config.yaml"]
    config = archive.read(min(configs, key=lambda name: name.count("/"))) if configs else None
    if config is None:
        findings.derived["no config.yaml of the project: no edges"] += 1
    return _joined(
        [deeplabcut.read(archive.read(f), f, config, wanted, findings) for f in files], findings
    )


def _sleap(source: Source, _: Wanted, findings: Findings) -> Export:
    if not isinstance(source.archive, Folder):
        raise InputError(f"{source.archive.path}: unpack it first; .slp files are not read in zips")
    return _joined(
        [sleap.read(sleap.load(source.archive.path / f), f, findings) for f in source.files],
        findings,
    )


Reader = Callable[[Source, Wanted, Findings], Export]
READERS: dict[str, tuple[tuple[str, ...], Reader]] = {
    "cvat": ((".xml",), _cvat),
    "coco": ((".json",), _coco),
    "label-studio": ((".json",), _label_studio),
    "labelme": ((".json",), _labelme),
    "yolo-pose": ((".yaml", ".yml"), _yolo_pose),
    "deeplabcut": ((".csv",), _deeplabcut),
    "sleap": ((".slp",), _sleap),
}
# what the user may say, since the format does not
OPTIONS = {
    "label-studio": ("keypoints", "category"),
    "labelme": ("keypoints", "category"),
    "yolo-pose": ("keypoints",),
    "deeplabcut": ("category",),
}
