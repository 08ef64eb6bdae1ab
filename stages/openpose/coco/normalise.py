"""From the annotations that tools write to those that COCO writes, record by record.

A record that is as COCO's own is passed on as it is. What is missing and follows from the rest is
derived, what is harmless is put right; both are counted in `Findings`. What cannot be right is
refused, with the id of the record, the field, the value and what to do.
"""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from stages.openpose.coco.categories import PERSON, Categories, as_id, owner_of
from stages.openpose.coco.findings import Findings, Words
from stages.openpose.coco.image_names import why_outside
from stages.openpose.coco.regions import FARTHEST_PX, check_rle, rle_area

LARGEST_ID = 2**53  # JSON and pycocotools hold larger numbers as floats
LARGEST_SIDE_PX = 2**31 - 1
LARGEST_AREA_PX2 = 1e10  # pycocotools passes over larger people without a word
# Of 12,908 people of COCO the segment takes 0.53 of the box (median), and keypoints lie 0.1 of its
# sides within it.
AREA_OF_BOX = 0.53
BOX_MARGIN = 0.1
SMALLEST_BOX_PX = 8.0
_MISSING = Words("nothing")
_NUMBERS = {int, float}


def image_record(raw: Any, findings: Findings, place: int = 1) -> dict[str, Any] | None:
    """One element of `images` with a whole number `id`, `height`, `width` >= 1 and a safe
    `file_name`; None where it was refused. `place`: in the list, from 1.
    """
    if not isinstance(raw, dict):
        findings.refuse_element("images", raw, place)
        return None
    before = findings.problem_count
    owner = owner_of("image", raw, place)
    changes: dict[str, Any] = {}
    for name in ("id", "height", "width"):
        value = raw.get(name, _MISSING)
        if type(value) is int and (name == "id" or 1 <= value <= LARGEST_SIDE_PX):
            continue
        number = as_id(value) if name == "id" or isinstance(value, float) else None
        if number is not None and (name == "id" or 1 <= number <= LARGEST_SIDE_PX):
            changes[name] = number
            findings.derived[f"`{name}` of images as text or with a decimal point"] += 1
        elif value is _MISSING:
            findings.refuse(
                f"{owner} has no `{name}`: not COCO annotations; every image needs a whole number "
                f"`id`, `height`, `width` and a text `file_name`"
            )
        elif name == "id":
            findings.refuse_value(owner, name, value, "a whole number", "number the images anew")
        else:
            findings.refuse_value(
                owner, name, value, "a whole number of pixels, at least 1", "write the image's own"
            )
    file_name = raw.get("file_name")
    if not isinstance(file_name, str) or not file_name.strip() or not _is_plain(file_name):
        findings.refuse_value(
            owner, "file_name", file_name, "text", "write the image's path below its folder or zip"
        )
    elif problem := why_outside(file_name):
        findings.refuse_value(
            owner,
            "file_name",
            file_name,
            f"a path inside the folder of images ({problem})",
            "write it relative to that folder",
        )
    if findings.problem_count > before:
        findings.refused_images.add(as_id(raw.get("id")))
        return None
    return raw | changes if changes else raw


def _is_plain(text: str) -> bool:
    """Whether a file can be called so."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


@dataclass
class Annotations:
    """Normalises the elements of `annotations` of one file, in its order.

    Args:
        rows: row of each image id.
        sizes: (height, width) of each row.
        categories: of the file.
        renumbered: ids of images that were too large, by the file's.
    """

    rows: Mapping[int, int]
    sizes: Sequence[tuple[int, int]]
    categories: Categories
    renumbered: Mapping[int, int]
    findings: Findings
    _ids: array = field(default_factory=lambda: array("q"))
    _large: list[int] = field(default_factory=list)
    _without_list: set[int] = field(default_factory=set)
    _next_id: int = LARGEST_ID
    _place: int = 0

    def record(self, raw: Any) -> tuple[int, dict[str, Any]] | None:
        """(row of its image, annotation) of a person or crowd; None where it is none, or was
        refused.
        """
        self._place += 1
        if not isinstance(raw, dict):
            self.findings.refuse_element("annotations", raw, self._place)
            return None
        before = self.findings.problem_count
        owner = owner_of("annotation", raw, self._place)
        category = self._category(raw, owner)
        if category is None:
            return None
        changes = {} if raw.get("category_id") == PERSON else {"category_id": PERSON}
        if type(raw.get("category_id")) is not int:
            changes["category_id"] = PERSON
        row = self._image(raw, owner, changes)
        self._number(raw, owner, changes)
        self._crowd(raw, owner, changes)
        labelled = self._keypoints(raw, owner, changes, self.categories.people.get(category))
        if labelled and changes.get("iscrowd", raw.get("iscrowd")) == 1:
            self.findings.suspect(
                "crowd regions with labelled keypoints: nobody is learned from or looked for there",
                f"{owner}: iscrowd 1, {len(labelled) // 2} keypoints",
                changes.get("image_id", raw.get("image_id")),
            )
        self._segmentation(raw, owner, changes, row)
        if self.findings.problem_count == before and row is not None:
            self._box_and_area(raw, owner, changes, labelled)
        if self.findings.problem_count > before or row is None:
            return None
        return row, raw | changes if changes else raw

    def finish(self) -> None:
        """What only the whole list tells: ids given twice."""
        ids = np.sort(np.frombuffer(self._ids, np.int64)) if self._ids else np.empty(0, np.int64)
        twice = ids[1:][ids[1:] == ids[:-1]]
        large = sorted(self._large)
        twice = [*np.unique(twice).tolist(), *(a for a, b in pairwise(large) if a == b)]
        for number in twice:
            self.findings.refuse(
                f"annotation {number}: `id`: the id {number} is given twice; every annotation "
                f"needs its own"
            )

    def _category(self, raw: dict, owner: str) -> int | None:
        """Id of a category of people; None for others and for what was refused."""
        value = raw.get("category_id", _MISSING)
        known, people = self.categories.known, self.categories.people
        if value is _MISSING and (not known or len(known) == 1):
            self.findings.derived["`category_id`: there is one category"] += 1
            return next(iter(known), PERSON)
        number = as_id(value)
        if number is None:
            self.findings.refuse_value(
                owner, "category_id", value, "the id of a category", "write that of its category"
            )
            return None
        if type(value) is not int:
            self.findings.derived["`category_id` as text or with a decimal point"] += 1
        if not known:
            self._without_list.add(number)
            if len(self._without_list) > 1:
                self.findings.refuse_value(
                    owner, "category_id", value, f"{min(self._without_list)} as before",
                    "the file lists no `categories`: add the list that says which are people",
                )  # fmt: skip
                return None
            return number
        if number not in known:
            self.findings.refuse_value(
                owner, "category_id", value, f"one of {sorted(known)[:8]}",
                "add the category to `categories`, or correct the id",
            )  # fmt: skip
            return None
        if number not in people:
            self.findings.derived["annotations of other categories than people, left out"] += 1
            return None
        if number != PERSON:
            self.findings.derived["`category_id` of people, now 1"] += 1
        return number

    def _image(self, raw: dict, owner: str, changes: dict) -> int | None:
        value = raw.get("image_id", _MISSING)
        number = as_id(value)
        if number is None:
            self.findings.refuse_value(
                owner, "image_id", value, "the id of an image", "write that of its image"
            )
            return None
        inside = self.renumbered.get(number, number)
        row = self.rows.get(inside)
        if row is None and number not in self.findings.refused_images:
            self.findings.refuse(
                f"{owner} belongs to image {value}, which the list `images` does not hold "
                f"(`image_id`); add the image, or take the annotation out"
            )
        if type(value) is not int:
            self.findings.derived["`image_id` as text or with a decimal point"] += 1
        if type(value) is not int or inside != value:
            changes["image_id"] = inside
        return row

    def _number(self, raw: dict, owner: str, changes: dict) -> None:
        value = raw.get("id", _MISSING)
        number = as_id(value)
        if number is None and value is not _MISSING:
            self.findings.refuse_value(
                owner, "id", value, "a whole number", "number the annotations anew"
            )
            return
        if number is not None:
            (self._ids if abs(number) < LARGEST_ID else self._large).append(number)
        if number is None or not 0 < number <= LARGEST_ID:  # pycocotools takes 0 for "not matched"
            self.findings.derived["ids of annotations: missing, zero, negative or too large"] += 1
            self._next_id += 1
            changes["id"] = self._next_id
        elif type(value) is not int:
            self.findings.derived["ids of annotations as text or with a decimal point"] += 1
            changes["id"] = number

    def _crowd(self, raw: dict, owner: str, changes: dict) -> None:
        value = raw.get("iscrowd", _MISSING)
        if type(value) is int and value in (0, 1):
            return
        if value is _MISSING:
            self.findings.derived["`iscrowd`: no crowd"] += 1
            changes["iscrowd"] = 0
        elif isinstance(value, bool | float) and value in (0, 1):
            self.findings.derived["`iscrowd` as true, false or with a decimal point"] += 1
            changes["iscrowd"] = int(value)
        else:
            self.findings.refuse_value(
                owner, "iscrowd", value, "the number 0 or 1", "write 0 for a single person"
            )

    def _keypoints(
        self, raw: dict, owner: str, changes: dict, order: tuple[int, ...] | None
    ) -> list[float]:
        """x and y of the labelled keypoints, one after the other."""
        count = len(self.categories.keypoints)
        values = raw.get("keypoints")
        if values is None or values == []:
            self.findings.derived["people without `keypoints`: regions to ignore"] += 1
            changes["keypoints"] = [0] * (3 * count)
            self._count(raw, owner, changes, 0)
            return []
        if not isinstance(values, list) or len(values) != 3 * count:
            found = Words(f"a list of {len(values)}") if isinstance(values, list) else values
            self.findings.refuse_value(
                owner, "keypoints", found,
                f"{3 * count} numbers in one list ({count} times x, y, visibility)",
                "export it again",
            )  # fmt: skip
            return []
        if (wrong := _wrong_number(values)) is not None:
            self._refuse_number(owner, f"keypoints[{wrong}]", values[wrong])
            return []
        if not set(values[2::3]) <= {0, 1, 2}:
            place = next(i for i in range(2, len(values), 3) if values[i] not in (0, 1, 2))
            self.findings.refuse_value(
                owner, f"keypoints[{place}]", values[place], "a visibility 0, 1 or 2",
                "0 is absent, 1 hidden, 2 visible",
            )  # fmt: skip
            return []
        if order is not None:
            values = [values[3 * place + i] for place in order for i in range(3)]
            changes["keypoints"] = values
        points = [
            value
            for i in range(0, len(values), 3)
            if values[i + 2] > 0
            for value in values[i : i + 2]
        ]
        self._count(raw, owner, changes, len(points) // 2)
        return points

    def _count(self, raw: dict, owner: str, changes: dict, labelled: int) -> None:
        value = raw.get("num_keypoints", _MISSING)
        if type(value) is int and value == labelled:
            return
        changes["num_keypoints"] = labelled
        if value is _MISSING:
            self.findings.derived["`num_keypoints`: counted"] += 1
        elif not isinstance(value, int | float) or isinstance(value, bool) or value != value:
            self._refuse_number(owner, "num_keypoints", value)
        elif value != labelled:
            self.findings.derived["`num_keypoints` other than the number of labelled ones"] += 1
        else:
            self.findings.derived["`num_keypoints` with a decimal point"] += 1

    def _segmentation(self, raw: dict, owner: str, changes: dict, row: int | None) -> None:
        value = raw.get("segmentation")
        if value is None or value == [] or value == {}:
            return
        advice = "export it again, or take the field out: then the box counts"
        if isinstance(value, dict):
            if row is not None and (problem := check_rle(value, self.sizes[row])):
                self.findings.refuse_value(
                    owner, "segmentation", value, f"an RLE of the image's size ({problem})", advice
                )
            return
        if isinstance(value, list) and not any(isinstance(polygon, list) for polygon in value):
            self.findings.derived["`segmentation`: a polygon without a list around it"] += 1
            value = changes["segmentation"] = [value]
        for i, polygon in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(polygon, list) or len(polygon) % 2:
                self.findings.refuse_value(
                    owner, f"segmentation[{i}]", polygon, "a list of x, y, x, y ...", advice
                )
                return
            if (wrong := _wrong_number(polygon)) is not None:
                self._refuse_number(owner, f"segmentation[{i}][{wrong}]", polygon[wrong])
                return

    def _box_and_area(self, raw: dict, owner: str, changes: dict, points: list[float]) -> None:
        segment = changes.get("segmentation", raw.get("segmentation"))
        image_id = changes.get("image_id", raw["image_id"])
        box = self._box(raw, owner, points, segment, image_id)
        if box is None:
            return
        if "bbox" not in raw or box is not raw["bbox"]:
            changes["bbox"] = box
        if not segment:
            self.findings.derived["`segmentation`: the box"] += 1
            x, y, width, height = box
            changes["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        self._area(raw, owner, changes, points, segment, box, image_id)

    def _box(
        self, raw: dict, owner: str, points: list[float], segment: Any, image_id: int
    ) -> list[float] | None:
        value = raw.get("bbox", _MISSING)
        if value is not _MISSING and value != []:
            if not isinstance(value, list) or len(value) != 4:
                self.findings.refuse_value(
                    owner, "bbox", value, "4 numbers: x, y, width, height",
                    "export it again, or take the field out: then the keypoints say where",
                )  # fmt: skip
                return None
            if (wrong := _wrong_number(value)) is not None:
                self._refuse_number(owner, f"bbox[{wrong}]", value[wrong])
                return None
            if (value[2] > 0 and value[3] > 0) or not points:
                return value
            self.findings.suspect(
                "boxes without width or height, put right by the keypoints",
                f"{owner}: bbox {value}",
                image_id,
            )
        derived = _box_around(points, BOX_MARGIN) or _box_around(_corners(segment), 0.0)
        if derived is None:
            self.findings.refuse_value(
                owner, "bbox", None, "a box, a segmentation or labelled keypoints",
                "nothing says where this person is: take the annotation out",
            )  # fmt: skip
            return None
        if value is _MISSING or value == []:
            self.findings.derived["`bbox`: from the keypoints, else from the segmentation"] += 1
        else:
            self.findings.derived["`bbox` without width or height: from the keypoints"] += 1
        return derived

    def _area(
        self,
        raw: dict,
        owner: str,
        changes: dict,
        points: list[float],
        segment: Any,
        box: list[float],
        image_id: int,
    ) -> None:
        value = raw.get("area", _MISSING)
        if value is not _MISSING:
            if _wrong_number([value], LARGEST_AREA_PX2) is not None or value < 0:
                self.findings.refuse_value(
                    owner, "area", value, "a number of square pixels from 0 to 1e10",
                    "write it as a number, or take the field out: then it is derived",
                )  # fmt: skip
                return
            if value > 0 or not points:
                return
            self.findings.suspect(
                "areas of 0 of people with keypoints, derived", f"{owner}: area {value}", image_id
            )
        self.findings.derived["`area`: of the segmentation, else 0.53 of the box"] += 1
        changes["area"] = area_of(segment) or AREA_OF_BOX * box[2] * box[3]

    def _refuse_number(self, owner: str, name: str, value: Any) -> None:
        self.findings.refuse_value(
            owner, name, value, "a finite number", "correct it, or export the file again"
        )


def _wrong_number(values: list[Any], limit: float = FARTHEST_PX) -> int | None:
    """Index of the first value that is no number below `limit`."""
    if set(map(type, values)) <= _NUMBERS:
        try:
            if math.fsum(map(abs, values)) < limit:
                return None
        except (OverflowError, ValueError):
            pass
    for i, value in enumerate(values):
        if type(value) not in _NUMBERS or not abs(value) < limit:
            return i
    return None


def _corners(segment: Any) -> list[float]:
    return [value for polygon in segment for value in polygon] if isinstance(segment, list) else []


def _box_around(points: list[float], margin: float) -> list[float] | None:
    """x, y, width, height around points x, y, x, y ..., grown at each side by a share of it."""
    if not points:
        return None
    box = []
    for values in (points[::2], points[1::2]):
        low, high = min(values), max(values)
        side = max((high - low) * (1 + 2 * margin), SMALLEST_BOX_PX)
        box.append(((low + high) / 2 - side / 2, side))
    (x, width), (y, height) = box
    return [x, y, width, height]


def area_of(segment: Any) -> float:
    """Square pixels inside polygons (by their corners) or an RLE; 0 where there is neither."""
    if isinstance(segment, dict):
        return rle_area(segment)
    total = 0.0
    for polygon in segment or ():
        xs, ys = polygon[::2], polygon[1::2]
        pairs = zip(xs, ys, [*xs[1:], *xs[:1]], [*ys[1:], *ys[:1]], strict=True)
        total += abs(sum(x * next_y - next_x * y for x, y, next_x, next_y in pairs)) / 2
    return total
