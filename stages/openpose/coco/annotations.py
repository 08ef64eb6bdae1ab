"""COCO keypoint annotations: which images there are, who is labelled in them, and who is a training
sample.

Annotation files are read piece by piece (json_stream), so that memory holds compact arrays only.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.openpose.coco.categories import ANY_BODY, Categories, Wanted, as_id, read_categories
from stages.openpose.coco.findings import Findings
from stages.openpose.coco.json_stream import read_lists
from stages.openpose.coco.normalise import LARGEST_ID, Annotations, image_record
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO, Skeleton

TURN = "exif_turn"  # field of a normalised image: EXIF orientation by which it is to be turned
HIDDEN, VISIBLE, ABSENT = 0, 1, 2
_FROM_COCO_VISIBILITY = np.array([ABSENT, HIDDEN, VISIBLE], np.float32)
NETWORK_HEIGHT_PX = 368


@dataclass(frozen=True)
class Images:
    """The images of an annotation file, by ascending id.

    Attributes:
        path: the annotation file, for error messages.
        ids: int64 [N], ascending.
        sizes: int32 [N, 2], (height, width) in pixels.
        file_names: N names as the file has them.
        file_order: int64 [N], row of each image in the order in which the file lists them.
        sha256: of the annotation file.
        categories: of the file: which of them are people, and the order of their keypoints.
        renumbered: ids that were too large, by the file's; `ids` holds the new ones.
        turns: uint8 [N], EXIF orientation by which each image is to be turned before anything
            looks at it; 1 = as it is stored.
    """

    path: Path
    ids: np.ndarray
    sizes: np.ndarray
    file_names: list[str]
    file_order: np.ndarray
    sha256: str
    categories: Categories
    renumbered: dict[int, int]
    turns: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> dict[int, int]:
        """Row of each image id."""
        return {image_id: row for row, image_id in enumerate(self.ids.tolist())}

    def inside_id(self, value: Any) -> Any:
        """The id in `ids` of an image that others call `value`; `value` where it is none."""
        number = as_id(value)
        return value if number is None else self.renumbered.get(number, number)


@dataclass(frozen=True)
class People:
    """The labelled people of an annotation file (at least one keypoint, no crowd region), grouped
    by image.

    Attributes:
        ids: int64 [P], annotation ids.
        image: int32 [P], row in Images; ascending.
        keypoints: float32 [P, K, 3], annotation order: x, y in pixels, COCO visibility (0 absent,
            1 hidden, 2 visible).
        boxes: float64 [P, 4], x, y, width, height in pixels.
        areas: float64 [P], segment area in square pixels.
        last_extent: float64 [N], max(width, height) of the box of each image's last annotation of
            any kind.
    """

    ids: np.ndarray
    image: np.ndarray
    keypoints: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    last_extent: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def read_images(
    path: Path | str, findings: Findings | None = None, wanted: Wanted = ANY_BODY
) -> Images:
    """Read the images of an annotation file, and its categories.

    Args:
        findings: collects what is derived and refused; without it the first refusal is raised.
        wanted: the body whose annotations are looked for.

    Raises:
        InputError: no such file, no COCO JSON, an image without id, size or name, an id given
            twice, no category of people.
    """
    path = Path(path)
    findings = findings or Findings(path, strict=True)
    digest = hashlib.sha256()
    ids, sizes, names, turns = [], array("i"), [], array("B")
    categories: list[Any] = []
    read = 0
    for kind, elements in read_lists(path, ("images", "categories"), digest):
        if kind == "categories":
            categories += elements
            continue
        for raw in elements:
            read += 1
            if image := image_record(raw, findings, read):
                ids.append(image["id"])
                sizes.extend((image["height"], image["width"]))
                names.append(image["file_name"])
                turns.append(image[TURN] if image.get(TURN) in range(1, 9) else 1)
    if not ids:
        findings.check()
        raise InputError(
            f"{path}: not COCO annotations: expected a list `images` that is not empty, found none"
        )
    given, renumbered = _inside_ids(ids, findings)
    known = read_categories(categories, findings, wanted)
    return _sorted_images(
        path, given, sizes, names, turns, known, renumbered, digest.hexdigest(), findings
    )


def _inside_ids(ids: list[int], findings: Findings) -> tuple[list[int], dict[int, int]]:
    """The ids with those beyond LARGEST_ID replaced by free ones, and which replaces which."""
    large = [number for number in ids if abs(number) > LARGEST_ID]
    if not large:
        return ids, {}
    findings.derived["ids of images that were too large, numbered anew"] += len(large)
    first = 1 + max((number for number in ids if abs(number) <= LARGEST_ID), default=0)
    renumbered = {number: first + i for i, number in enumerate(sorted(set(large)))}
    return [renumbered.get(number, number) for number in ids], renumbered


def _sorted_images(
    path: Path,
    ids: list[int],
    sizes: array,
    names: list[str],
    turns: array,
    categories: Categories,
    renumbered: dict[int, int],
    sha: str,
    findings: Findings,
) -> Images:
    given = np.array(ids, np.int64)
    order = np.argsort(given, kind="stable")
    ids_sorted = given[order]
    for twice in np.unique(ids_sorted[1:][ids_sorted[1:] == ids_sorted[:-1]]).tolist():
        findings.refuse(f"image id {twice} is listed twice (`id`); every image needs its own id")
    file_order = np.empty(len(order), np.int64)
    file_order[order] = np.arange(len(order))
    return Images(
        path,
        ids_sorted,
        np.array(sizes, np.int32).reshape(-1, 2)[order],
        [names[i] for i in order],
        file_order,
        sha,
        categories,
        renumbered,
        np.array(turns, np.uint8)[order],
    )


def each_person(
    path: Path | str, images: Images, findings: Findings | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row of the image, annotation) for every annotation of a person, crowd regions
    included, in file order, as `normalise` makes them.

    Raises:
        InputError: what `normalise` refuses, where `findings` does not collect it.
    """
    annotations = Annotations(
        images.rows(),
        list(map(tuple, images.sizes.tolist())),
        images.categories,
        images.renumbered,
        findings or Findings(Path(path), strict=True),
    )
    for _, elements in read_lists(path, ("annotations",)):
        for raw in elements:
            if one := annotations.record(raw):
                yield one
    annotations.finish()


def is_labelled(one: dict[str, Any]) -> bool:
    """Whether an annotation is a person with at least one labelled keypoint; a crowd region never
    is.
    """
    return not one.get("iscrowd") and any(one["keypoints"][2::3])


def read_people(path: Path | str, images: Images, *, file_order: bool = False) -> People:
    """Read the labelled people of an annotation file.

    Within an image they come by annotation id, so that the order of the file does not matter;
    `file_order` keeps the file's (the reference does).

    Raises:
        InputError: as each_person.
    """
    return gather(each_person(path, images), images, file_order=file_order)


def gather(
    annotations: Iterable[tuple[int, dict[str, Any]]], images: Images, *, file_order: bool = False
) -> People:
    """The labelled people among normalised annotations (row of the image, annotation)."""
    ids, rows, points, boxes, areas = array("q"), array("i"), array("f"), array("d"), array("d")
    last_extent = np.zeros(len(images))
    for row, one in annotations:
        box = one["bbox"]
        last_extent[row] = max(box[2], box[3])
        if is_labelled(one):
            points.extend(one["keypoints"])
            boxes.extend(box)
            areas.append(one["area"])
            ids.append(one["id"])
            rows.append(row)
    image, numbers = np.array(rows, np.int32), np.array(ids, np.int64)
    order = np.argsort(image, kind="stable") if file_order else np.lexsort((numbers, image))
    return People(
        numbers[order],
        image[order],
        np.asarray(points, np.float32).reshape(len(ids), len(images.categories.keypoints), 3)[
            order
        ],
        np.asarray(boxes, np.float64).reshape(-1, 4)[order],
        np.array(areas)[order],
        last_extent,
    )


def network_parts(keypoints: np.ndarray, skeleton: Skeleton = COCO) -> np.ndarray:
    """Keypoints as network parts.

    Args:
        keypoints: float [P, K, 3], annotation order, COCO visibility 0 absent / 1 hidden / 2
            visible.
        skeleton: the body model.

    Returns:
        float32 [P, parts, 3], network order; x, y in pixels, visibility 0 hidden / 1 visible / 2
        absent (docs/sources.md 4). A derived part, as COCO's neck, is the mean of its two and
        absent unless both are labelled; its visibility is the lower of theirs. Absent parts are at
        (0, 0).
    """
    keypoints = np.asarray(keypoints, np.float32)
    parts = np.zeros((len(keypoints), len(skeleton.parts), 3), np.float32)
    parts[:, :, 2] = ABSENT
    to = list(skeleton.part_of_keypoint)
    parts[:, to] = keypoints
    parts[:, to, 2] = _FROM_COCO_VISIBILITY[keypoints[:, :, 2].astype(int)]
    for name, (first, second) in skeleton.derived.items():
        pair = parts[:, [skeleton.parts.index(first), skeleton.parts.index(second)]]
        part = skeleton.parts.index(name)
        parts[:, part, :2] = pair[:, :, :2].mean(axis=1)
        absent = (pair[:, :, 2] == ABSENT).any(axis=1)
        parts[:, part, 2] = np.where(absent, ABSENT, pair[:, :, 2].min(axis=1))
    parts[parts[:, :, 2] == ABSENT, :2] = 0
    return parts


def centres(boxes: np.ndarray) -> np.ndarray:
    """Centres (x, y) float64 [P, 2] of boxes float64 [P, 4] (x, y, width, height)."""
    return boxes[:, :2] + boxes[:, 2:] / 2


def scales_provided(boxes: np.ndarray, skeleton: Skeleton = COCO) -> np.ndarray:
    """Size of each person relative to the 368 px of the network's input: float64 [P].

    Of COCO's people that is the height (docs/sources.md 4). Bodies of other kinds lie as often as
    they stand: of theirs it is the longer side, so that a crop holds all of them.
    """
    size = boxes[:, 3] if skeleton == COCO else boxes[:, 2:].max(axis=1)
    return size / NETWORK_HEIGHT_PX


def main_persons(
    people: People, *, duplicate_radius: str, min_keypoints: int, min_area_px2: float
) -> np.ndarray:
    """Rows int64 [S] of the people that become training samples (docs/sources.md 4).

    A main person has enough labelled keypoints, a large enough segment, and a centre farther than
    0.3 times the extent of every earlier main person of the image. `duplicate_radius`: "fixed"
    takes that earlier person's own box; "reference" takes the box of the image's last annotation
    for all (docs/sources.md 9.1).
    """
    labelled = (people.keypoints[:, :, 2] > 0).sum(axis=1)
    candidates = np.flatnonzero((labelled >= min_keypoints) & (people.areas >= min_area_px2))
    middle = centres(people.boxes)
    extent = people.boxes[:, 2:].max(axis=1)
    if duplicate_radius == "reference":
        extent = people.last_extent[people.image]
    chosen: list[int] = []
    here: list[int] = []
    for row in candidates.tolist():
        if here and people.image[here[0]] != people.image[row]:
            here = []
        gaps = np.hypot(*(middle[here] - middle[row]).T) if here else np.empty(0)
        if (gaps >= 0.3 * extent[here]).all():
            here.append(row)
            chosen.append(row)
    return np.array(chosen, np.int64)
