"""YOLO-pose folders: data.yaml, and beside each image a text file with a line a person.

Form: docs.ultralytics.com, "Pose Estimation Datasets Overview": class, box as centre and size, then
x, y or x, y, visibility of every keypoint, in shares of the image.
"""

import posixpath
from collections.abc import Iterable, Sequence
from typing import Any

from stages.openpose.coco.findings import Findings, shortened
from stages.openpose.coco.image_files import ImageArchive
from stages.openpose.convert.fields import as_text, as_yaml, number, texts
from stages.openpose.convert.images import is_image
from stages.openpose.convert.labelled import (
    ABSENT,
    VISIBLE,
    Body,
    Export,
    Keypoint,
    LabelledImage,
    Person,
    Wanted,
)
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO

MOST_SHARE = 1.01  # what the tool itself lets pass
SPLITS = ("train", "val", "test")
MOST_KEYPOINTS = 1000
BOX_VALUES = 5  # class, centre x, centre y, width, height


def read(archive: ImageArchive, file: str, wanted: Wanted, findings: Findings) -> Export:
    """The people of all splits that the data set's YAML names.

    Raises:
        InputError: no YAML of a pose data set, or none of its images are there.
    """
    settings = read_settings(archive.read(file), file)
    count, values = settings["kpt_shape"]
    names = keypoint_names(settings, count, file, wanted, findings)
    categories = _class_names(settings, file)
    there = set(archive.names())
    images: list[LabelledImage] = []
    used: set[str] = set()
    for split in SPLITS:
        for name in sorted(set(_images(settings, split, file, archive, there, findings))):
            label = label_path(name)
            if label in used:
                findings.derived[f"images of {split} that are in an earlier split: not again"] += 1
                continue
            used.add(label)
            people: list[Person] = []
            if label in there:
                text = as_text(archive.read(label), label)
                people = people_of(text, label, categories, names, values, findings)
            else:
                findings.derived["images without a file of labels: nobody in them"] += 1
            images.append(LabelledImage(name, people, in_shares=True, split=split))
    if not images:
        raise InputError(
            f"{file}: `train`, `val`: expected folders with images, found none; name the folder "
            f"that holds images and labels, not the YAML alone"
        )
    _count_unused(there - used, findings)
    edges = _edges(settings, count, findings)
    seen = {person.category for image in images for person in image.people}
    return Export([Body(one, names, edges) for one in categories if one in seen], images)


def read_settings(data: bytes, file: str) -> dict[str, Any]:
    """The data set's YAML with a `kpt_shape` that can be right; InputError else."""
    settings = as_yaml(data, file)
    shape = settings.get("kpt_shape")
    numbers = shape if isinstance(shape, list) and len(shape) == 2 else [0, 0]
    count, values = numbers
    whole = type(count) is type(values) is int
    if not whole or not 1 <= count <= MOST_KEYPOINTS or values not in (2, 3):
        raise InputError(
            f"{file}: `kpt_shape`: expected [number of keypoints, 2 or 3], found "
            f"{shortened(shape)}; only pose data sets have keypoints"
        )
    return settings


def label_path(image: str) -> str:
    """Where the labels of an image are: `labels` for the last `images` of its path."""
    folder, base = posixpath.split(posixpath.splitext(image)[0] + ".txt")
    parts = folder.split("/")
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
    return posixpath.join(*parts, base)


def _class_names(settings: dict[str, Any], file: str) -> list[str]:
    names = settings.get("names")
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names)] if set(names) == set(range(len(names))) else 0
    if not names:
        raise InputError(
            f"{file}: `names`: expected the classes' names, found "
            f"{shortened(settings.get('names'))}"
        )
    return texts(names, file, "names")


def keypoint_names(
    settings: dict[str, Any], count: int, file: str, wanted: Wanted, findings: Findings
) -> tuple[str, ...]:
    """The names wanted, those of the YAML (`kpt_names`, of sleap-io `node_names`), COCO's where 17
    are mirrored as COCO's, or made up from `flip_idx`.
    """
    given = settings.get("kpt_names") or settings.get("node_names")
    given = next(iter(given.values()), None) if isinstance(given, dict) else given
    names = wanted.keypoints or tuple(texts(given or [], file, "kpt_names"))
    if names:
        if len(names) != count or len(set(names)) != count:
            where = "--keypoints" if wanted.keypoints else f"{file}: `kpt_names`"
            raise InputError(f"{where}: expected {count} different names, found {len(names)}")
        return names
    mirrored = settings.get("flip_idx") or list(range(count))
    if not _is_mirror(mirrored, count):
        raise InputError(
            f"{file}: `flip_idx`: expected each of 0 to {count - 1} once, in pairs, found "
            f"{shortened(mirrored)}"
        )
    if count == len(COCO.keypoints) and tuple(mirrored) == COCO.mirrored_keypoints:
        findings.derived["names of keypoints: COCO's, which are 17 with this flip_idx"] += 1
        return COCO.keypoints
    findings.derived["names of keypoints: made up, left and right by flip_idx (--keypoints)"] += 1
    return tuple(_made_up(i, other) for i, other in enumerate(mirrored))


def _is_mirror(mirrored: Any, count: int) -> bool:
    return (
        isinstance(mirrored, list)
        and all(type(i) is int for i in mirrored)
        and sorted(mirrored) == list(range(count))
        and all(mirrored[mirrored[i]] == i for i in mirrored)
    )


def _edges(settings: dict[str, Any], count: int, findings: Findings) -> tuple[tuple[int, int], ...]:
    """Edges that some tools (sleap-io) add as `skeleton`, counted from 0."""
    listed = settings.get("skeleton") or []
    listed = listed if isinstance(listed, list) else [listed]
    known = range(count)
    edges = [tuple(e) for e in listed if isinstance(e, list) and all(end in known for end in e)]
    if len(edges) < len(listed) or any(len(edge) != 2 for edge in edges):
        findings.derived["`skeleton` that is no list of pairs from 0: no edges"] += 1
        return ()
    return tuple((a, b) for a, b in edges)


def _made_up(i: int, other: int) -> str:
    return f"keypoint_{i}" if i == other else f"{'left' if i < other else 'right'}_{min(i, other)}"


def _images(
    settings: dict[str, Any],
    split: str,
    file: str,
    archive: ImageArchive,
    there: set[str],
    findings: Findings,
) -> Iterable[str]:
    """Paths of the images of a split: of folders, or of lists of images; what is named and has no
    image is counted.
    """
    value = settings.get(split) or (settings.get("valid") if split == "val" else None)
    for entry in value if isinstance(value, list) else [value] if value else []:
        candidates = _candidates(str(entry), str(settings.get("path") or ""), file)
        found = next((c for c in candidates if c in there and c.endswith(".txt")), None)
        if found:
            lines = as_text(archive.read(found), found).split()
            folder = posixpath.dirname(found)
            yield from (posixpath.normpath(posixpath.join(folder, line)) for line in lines)
            continue
        for folder in candidates:
            inside = [name for name in there if is_image(name) and _is_below(name, folder)]
            if inside:
                yield from inside
                break
        else:
            findings.derived[f"`{split}` names {shortened(entry)}, where no image is: empty"] += 1


def _is_below(name: str, folder: str) -> bool:
    return folder in ("", ".") or name.startswith(folder.rstrip("/") + "/")


def _candidates(entry: str, root: str, file: str) -> list[str]:
    """Where an entry may be, seen from the folder of the YAML: with `path`, without, and without
    the steps upwards by which some tools begin.
    """
    here = posixpath.dirname(file)
    plain = entry.replace("\\", "/")
    up = plain.lstrip("./") if plain.startswith("..") else plain
    paths = [
        posixpath.normpath(posixpath.join(here, root, plain)),
        posixpath.normpath(posixpath.join(here, plain)),
        posixpath.normpath(posixpath.join(here, up)),
    ]
    return list(dict.fromkeys(path for path in paths if not path.startswith(("/", ".."))))


def people_of(
    text: str,
    label: str,
    categories: Sequence[str],
    names: tuple[str, ...],
    values: int,
    findings: Findings,
) -> list[Person]:
    people = []
    for line_number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        owner = f"{label}: line {line_number}"
        if len(words) != BOX_VALUES + values * len(names):
            findings.refuse(
                f"{owner}: expected {BOX_VALUES} values and {len(names)} times {values} "
                f"(`kpt_shape`), found {len(words)}; export it again"
            )
            continue
        read = [number(w, findings, owner, f"value {i}") for i, w in enumerate(words, 1)]
        if None not in read:
            row = [value for value in read if value is not None]
            people += _person(row, owner, categories, names, values, findings)
    return people


def _person(
    row: list[float],
    owner: str,
    categories: Sequence[str],
    names: tuple[str, ...],
    values: int,
    findings: Findings,
) -> list[Person]:
    """One person, none where the line was refused."""
    before = findings.problem_count
    if not row[0].is_integer() or not 0 <= row[0] < len(categories):
        findings.refuse_value(
            owner, "class", row[0], f"a class of `names`, 0 to {len(categories) - 1}", "correct it"
        )
    x, y, width, height = row[1:BOX_VALUES]
    for name, value in zip(("x", "y", "width", "height"), row[1:BOX_VALUES], strict=True):
        _check_share(value, owner, name, findings)
    points = []
    for i, name in enumerate(names):
        point = row[BOX_VALUES + i * values : BOX_VALUES + (i + 1) * values]
        if keypoint := _keypoint(name, point, owner, findings):
            points.append(keypoint)
    if findings.problem_count > before:
        return []
    box = (x - width / 2, y - height / 2, width, height)
    return [Person(owner, points, categories[int(row[0])], box)]


def _keypoint(name: str, point: list[float], owner: str, findings: Findings) -> Keypoint | None:
    x, y = point[:2]
    if len(point) == 2:
        if x < 0 or y < 0 or (x == 0 and y == 0):
            findings.derived["keypoints at 0 0 or below, without visibility: absent"] += 1
            return None
        visibility = VISIBLE
    elif point[2] not in (0, 1, 2):
        findings.refuse_value(owner, name, point[2], "a visibility 0, 1 or 2", "correct it")
        return None
    else:
        visibility = int(point[2])
    if visibility == ABSENT:
        return None
    _check_share(x, owner, f"{name} x", findings)
    _check_share(y, owner, f"{name} y", findings)
    return Keypoint(name, x, y, visibility)


def _check_share(value: float, owner: str, name: str, findings: Findings) -> None:
    if not 1 - MOST_SHARE <= value <= MOST_SHARE:
        findings.refuse_value(
            owner, name, value, "a share of the image, 0 to 1", "divide pixels by the image's size"
        )


def _count_unused(names: set[str], findings: Findings) -> None:
    for name in names:
        if name.endswith(".txt") and "labels" in name.split("/")[:-1]:
            findings.derived["files of labels whose image is in no split, left out"] += 1
