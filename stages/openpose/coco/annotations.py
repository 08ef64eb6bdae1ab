"""COCO keypoint annotations: which images there are, who is labelled in them, and who is a training
sample.

Annotation files are read piece by piece (json_stream), so that memory holds compact arrays only.
"""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.openpose.coco.json_stream import read_lists
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO, Skeleton

PERSON = 1  # category id of people in COCO results and in COCO's own annotations
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
        person_categories: ids of the categories that are people; empty where the file has no
            categories.
        sha256: of the annotation file.
    """

    path: Path
    ids: np.ndarray
    sizes: np.ndarray
    file_names: list[str]
    file_order: np.ndarray
    person_categories: frozenset[int]
    sha256: str

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> dict[int, int]:
        """Row of each image id."""
        return {image_id: row for row, image_id in enumerate(self.ids.tolist())}


@dataclass(frozen=True)
class People:
    """The labelled people of an annotation file (at least one keypoint, no crowd region), grouped
    by image.

    Attributes:
        ids: int64 [P], annotation ids.
        image: int32 [P], row in Images; ascending.
        keypoints: float32 [P, 17, 3], COCO order: x, y in pixels, COCO visibility (0 absent, 1
            hidden, 2 visible).
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


def read_images(path: Path | str) -> Images:
    """Read the images of an annotation file.

    Raises:
        InputError: no such file, no COCO JSON, an image without id, size or name, an id given
            twice.
    """
    path = Path(path)
    digest = hashlib.sha256()
    ids, sizes, names = array("q"), array("i"), []
    categories = []
    for kind, elements in read_lists(path, ("images", "categories"), digest):
        if kind == "categories":
            categories += elements
            continue
        for image in elements:
            try:
                ids.append(image["id"])
                sizes.extend((image["height"], image["width"]))
                names.append(str(image["file_name"]))
            except (KeyError, TypeError, OverflowError):
                raise InputError(
                    f"{path}: not COCO annotations: an image needs integers `id`, `height`, "
                    f"`width` and a text "
                    f"`file_name`, found {str(image)[:120]}"
                ) from None
    if not ids:
        raise InputError(
            f"{path}: not COCO annotations: expected a list `images` that is not empty, found none"
        )
    return _sorted_images(
        path, ids, sizes, names, _person_categories(path, categories), digest.hexdigest()
    )


def _sorted_images(
    path: Path, ids: array, sizes: array, names: list[str], people: frozenset[int], sha: str
) -> Images:
    given = np.array(ids, np.int64)
    order = np.argsort(given, kind="stable")
    ids_sorted = given[order]
    if len(twice := ids_sorted[1:][ids_sorted[1:] == ids_sorted[:-1]]):
        raise InputError(
            f"{path}: image id {twice[0]} is listed twice; every image needs its own id"
        )
    file_order = np.empty(len(order), np.int64)
    file_order[order] = np.arange(len(order))
    sizes_sorted = np.array(sizes, np.int32).reshape(-1, 2)[order]
    if len(bad := np.flatnonzero((sizes_sorted < 1).any(axis=1))):
        raise InputError(
            f"{path}: image {ids_sorted[bad[0]]}: height and width must be at least 1 pixel"
        )
    return Images(
        path, ids_sorted, sizes_sorted, [names[i] for i in order], file_order, people, sha
    )


def _person_categories(path: Path, categories: list[Any]) -> frozenset[int]:
    people = frozenset(
        c["id"]
        for c in categories
        if isinstance(c, dict) and c.get("name") == "person" and "id" in c
    )
    if categories and not people:
        found = ", ".join(
            str(c.get("name", c)) if isinstance(c, dict) else str(c) for c in categories[:5]
        )
        raise InputError(f"{path}: no category called `person` among its categories ({found} ...)")
    return people


def each_person(path: Path | str, images: Images) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row of the image, annotation) for every annotation of a person, crowd regions
    included, in file order.

    Raises:
        InputError: an annotation of an image not listed in the file, without a box or with other
            than 17 keypoints.
    """
    rows = images.rows()
    people = images.person_categories
    length = 3 * len(COCO.keypoints)
    for _, elements in read_lists(path, ("annotations",)):
        for one in elements:
            try:
                if people and one["category_id"] not in people:
                    continue
                row = rows[one["image_id"]]
                whole = len(one["keypoints"]) == length and len(one["bbox"]) == 4
            except (KeyError, TypeError):
                raise InputError(_fault(path, one, rows)) from None
            if not whole:
                raise InputError(_fault(path, one, rows))
            yield row, one


def _fault(path: Path | str, one: Any, rows: dict[int, int]) -> str:
    if not isinstance(one, dict):
        found = str(one)[:80]
        return f"{path}: not COCO annotations: expected objects in `annotations`, found {found}"
    name = f"{path}: annotation {one.get('id', '(without id)')}"
    for key in ("image_id", "category_id", "keypoints", "bbox"):
        if key not in one:
            hint = (
                "; expected a person_keypoints file, not an instances file"
                if key == "keypoints"
                else ""
            )
            return f"{name} has no `{key}`: not COCO keypoint annotations{hint}"
    if one["image_id"] not in rows:
        return f"{name} belongs to image {one['image_id']}, which the list `images` does not hold"
    return f"{name}: expected 51 numbers in `keypoints` (17 times x, y, visibility) and 4 in `bbox`"


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
        InputError: as each_person; no labelled person in the whole file.
    """
    ids, rows, points, boxes, areas = array("q"), array("i"), array("f"), array("d"), array("d")
    last_extent = np.zeros(len(images))
    for row, one in each_person(path, images):
        box = one["bbox"]
        last_extent[row] = max(box[2], box[3])
        if not is_labelled(one):
            continue
        try:
            points.extend(one["keypoints"])
            boxes.extend(box)
            areas.append(one.get("area", box[2] * box[3]))
            ids.append(one.get("id", len(ids)))
        except TypeError:
            raise InputError(
                f"{path}: annotation {one.get('id')}: expected only numbers in its labels"
            ) from None
        rows.append(row)
    if not ids:
        raise InputError(
            f"{path}: no person with a labelled keypoint; training and evaluation need at least one"
        )
    image, numbers = np.array(rows, np.int32), np.array(ids, np.int64)
    order = np.argsort(image, kind="stable") if file_order else np.lexsort((numbers, image))
    keypoints = np.frombuffer(points, np.float32).reshape(len(ids), -1, 3)[order]
    wrong = np.flatnonzero(
        ~np.isin(keypoints[:, :, 2], (0, 1, 2)).all(axis=1) | ~np.isfinite(keypoints).all((1, 2))
    )
    if len(wrong):
        raise InputError(
            f"{path}: annotation {numbers[order][wrong[0]]}: visibility must be 0, 1 or 2, x and "
            f"y finite"
        )
    boxes = np.frombuffer(boxes, np.float64).reshape(-1, 4)[order]
    return People(
        numbers[order], image[order], keypoints, boxes, np.array(areas)[order], last_extent
    )


def network_parts(keypoints: np.ndarray, skeleton: Skeleton = COCO) -> np.ndarray:
    """COCO keypoints as network parts.

    Args:
        keypoints: float [P, 17, 3], annotation order, COCO visibility 0 absent / 1 hidden / 2
            visible.
        skeleton: the body model.

    Returns:
        float32 [P, 18, 3], network order; x, y in pixels, visibility 0 hidden / 1 visible / 2
        absent (docs/sources.md 4). The neck is the mean of the shoulders and absent unless both are
        labelled; its visibility is the lower of the two. Absent parts are at (0, 0).
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


def scales_provided(boxes: np.ndarray) -> np.ndarray:
    """Height of each person relative to the 368 px of the network's input: float64 [P]
    (docs/sources.md 4).
    """
    return boxes[:, 3] / NETWORK_HEIGHT_PX


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
