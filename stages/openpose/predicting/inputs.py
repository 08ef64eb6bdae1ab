"""What people name on a command line, as a list of images, films and cameras to look at."""

import glob
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stages.openpose.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
FILM_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".gif")
IMAGE, FILM, CAMERA = "image", "film", "camera"
IMAGES_AHEAD = 4


@dataclass(frozen=True)
class Source:
    """Something to look at.

    Attributes:
        path: the file, or the number of a camera.
        name: what its outputs are called: a relative path without suffix, unlike all others'.
        kind: IMAGE, FILM or CAMERA.
    """

    path: Path
    name: Path
    kind: str

    @property
    def label(self) -> str:
        """What lists call it: `name` with the suffix of the file."""
        suffix = self.path.suffix
        return str(self.name) if self.name.suffix == suffix else f"{self.name}{suffix}"


@dataclass(frozen=True)
class Gathered:
    """The sources in the order in which they were named, and the files of folders that are none,
    counted by suffix.
    """

    sources: list[Source]
    left_out: Counter[str]


@dataclass(frozen=True)
class _File:
    path: Path
    folder: Path  # that was named; names of outputs are relative to it


def gather(named: Iterable[str], output: Path) -> Gathered:
    """Everything that the words of a command line name: files, folders (with all below them), globs
    and numbers of cameras.

    Args:
        output: where results go; a folder's files below it are passed over.

    Raises:
        InputError: a word names nothing, or a folder has no image and no film.
    """
    files: dict[Path, _File] = {}
    cameras: list[int] = []
    left_out: Counter[str] = Counter()
    for word in named:
        if word.isdecimal() and not Path(word).exists():
            cameras.append(int(word))
            continue
        for file in _files_of(word, output.resolve(), left_out):
            files.setdefault(file.path.resolve(), file)
    names = _unlike_names(list(files.values()))
    sources = [
        Source(file.path, name, kind_of(file.path))
        for file, name in zip(files.values(), names, strict=True)
    ]
    sources += [Source(Path(str(n)), Path(f"camera{n}"), CAMERA) for n in dict.fromkeys(cameras)]
    return Gathered(sources, left_out)


def kind_of(path: Path) -> str:
    """FILM by the suffix; all else is looked at as an image."""
    return FILM if path.suffix.lower() in FILM_SUFFIXES else IMAGE


def _files_of(word: str, output: Path, left_out: Counter[str]) -> list[_File]:
    path = Path(word)
    if path.is_dir():
        return _files_below(path, output, left_out)
    if path.exists():
        return [_File(path, path.parent)]
    matches = sorted(glob.glob(word, recursive=True)) if glob.has_magic(word) else []
    if not matches:
        raise InputError(f"{word}: no such image, film or folder")
    files: list[_File] = []
    for match in map(Path, matches):
        files += (
            _files_below(match, output, left_out)
            if match.is_dir()
            else [_File(match, match.parent)]
        )
    return files


def _files_below(folder: Path, output: Path, left_out: Counter[str]) -> list[_File]:
    files = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in inside.parts):
            continue
        if path.resolve().is_relative_to(output) and not folder.resolve().is_relative_to(output):
            left_out["below --output"] += 1
        elif path.suffix.lower() in (*IMAGE_SUFFIXES, *FILM_SUFFIXES):
            files.append(_File(path, folder))
        else:
            left_out[path.suffix.lower() or "no suffix"] += 1
    if not files:
        known = ", ".join((*IMAGE_SUFFIXES, *FILM_SUFFIXES))
        raise InputError(f"{folder}: no image in this folder, nor a film; known are {known}")
    return files


def _unlike_names(files: list[_File]) -> list[Path]:
    """For each file the shortest of its names that no other file has: its path in the folder named,
    without suffix and with it, the same below the folder's name, its whole path.
    """
    choices = []
    for file in files:
        inside = file.path.relative_to(file.folder)
        below = Path(file.folder.resolve().name) / inside
        whole = file.path.resolve()
        choices.append((inside.with_suffix(""), inside, below, whole.relative_to(whole.anchor)))
    level = [0] * len(files)
    while True:
        names = [choice[chosen] for choice, chosen in zip(choices, level, strict=True)]
        # some disks do not tell A from a
        counts = Counter(str(name).casefold() for name in names)
        clashing = [
            index
            for index, name in enumerate(names)
            if counts[str(name).casefold()] > 1 and level[index] < len(choices[index]) - 1
        ]
        if not clashing:
            return names
        for index in clashing:
            level[index] += 1


def read_upright(file: Path) -> np.ndarray:
    """The image as a person sees it, uint8 [H, W, 3] BGR, EXIF orientation applied."""
    try:
        data = file.read_bytes()
    except OSError as problem:
        raise InputError(f"{file}: {problem.strerror}") from None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:  # of sizes beyond OpenCV's own limit
        image = None
    if image is None:
        raise InputError(f"{file}: not an image that can be decoded")
    return image


def ahead(items: Iterable, count: int = IMAGES_AHEAD) -> Iterator:
    """The items, made in another thread up to `count` ahead of their use."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, iterator, end) for _ in range(count))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, iterator, end))
            yield item
