"""LabelMe: one JSON an image; keypoints are shapes of type point, people are groups (`group_id`).

X-AnyLabeling writes the same form; its `difficult` is taken for hidden, as it does itself.
"""

import posixpath
from typing import Any

from stages.openpose.coco.findings import Findings
from stages.openpose.convert.fields import as_json, mapping, numbers, records, scalar, size
from stages.openpose.convert.grouping import by_box
from stages.openpose.convert.labelled import HIDDEN, VISIBLE, Box, Keypoint, LabelledImage, Person
from stages.openpose.errors import InputError

HIDDEN_WORDS = {"hidden", "occluded", "invisible", "not_visible", "not visible"}
MARGIN_PX = 0.5  # that a keypoint may lie beside its rectangle
Shape = dict[str, Any]


def is_labelme(content: Any) -> bool:
    """Whether a JSON is LabelMe's."""
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read(data: bytes, where: str, findings: Findings) -> LabelledImage:
    """The people of one image's JSON; `where` is its path below the folder of the export.

    Shapes with one `group_id` are one person: points, and a rectangle around them. Points without
    belong to the only rectangle that they lie in, or, where there is none, to the only person.

    Raises:
        InputError: no LabelMe JSON.
    """
    content = as_json(data, where)
    if not is_labelme(content):
        raise InputError(f"{where}: expected LabelMe's `shapes` and `imagePath`, found neither")
    hw = size(content.get("imageHeight"), content.get("imageWidth"), findings, where)
    path = content["imagePath"]
    if not isinstance(path, str) or not path:
        findings.refuse_value(where, "imagePath", path, "the image's file name", "save it again")
    path = str(path).replace("\\", "/")
    name = posixpath.normpath(posixpath.join(posixpath.dirname(where), path))
    points, boxes = [], []
    for i, shape in enumerate(records(content["shapes"], findings, where, "shapes")):
        owner = f"{where}: shapes[{i}]"
        kind, group = shape.get("shape_type"), scalar(shape.get("group_id"))
        if kind == "point" and (point := _point(shape, owner, findings)):
            points.append((group, point))
        elif kind == "rectangle" and (box := _box(shape, owner, findings)):
            boxes.append((group, str(shape.get("label") or ""), box))
        elif kind not in ("point", "rectangle"):
            findings.derived[f"shapes of other kinds, left out: {kind}"] += 1
    return LabelledImage(name, _people(points, boxes, where, findings), hw)


def _point(shape: Shape, owner: str, findings: Findings) -> Keypoint | None:
    points = shape.get("points")
    first = points[0] if isinstance(points, list) and len(points) == 1 else points
    xy = numbers(first, 2, findings, owner, "points")
    if xy is None:
        return None
    flags = mapping(shape.get("flags"))
    true_flags = {str(name).casefold() for name, value in flags.items() if value}
    hidden = bool(true_flags & HIDDEN_WORDS) or shape.get("difficult") is True
    for flag in sorted(true_flags - HIDDEN_WORDS):
        findings.derived[f"flags of keypoints that are not known, left out: {flag}"] += 1
    name = scalar(shape.get("label"))
    if name in (None, ""):
        findings.refuse_value(owner, "label", name, "a keypoint's name", "label it again")
    return Keypoint(str(name), xy[0], xy[1], HIDDEN if hidden else VISIBLE)


def _box(shape: Shape, owner: str, findings: Findings) -> Box | None:
    """The box around the corners: two opposite ones, or (X-AnyLabeling) all four."""
    corners = shape.get("points")
    if not isinstance(corners, list) or len(corners) not in (2, 4):
        findings.refuse_value(owner, "points", corners, "2 or 4 corners", "draw it again")
        return None
    read = [numbers(corner, 2, findings, owner, "points") for corner in corners]
    xs, ys = [xy[0] for xy in read if xy], [xy[1] for xy in read if xy]
    if len(xs) < len(corners):
        return None
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _people(
    points: list[tuple[Any, Keypoint]],
    boxes: list[tuple[Any, str, Box]],
    where: str,
    findings: Findings,
) -> list[Person]:
    people: dict[Any, Person] = {}
    for i, (group, label, box) in enumerate(boxes):
        key = ("box", i) if group is None else group
        if key in people:
            findings.refuse(f"{where}: group_id {group} has two rectangles; one person has one")
        people[key] = Person(f"{where}: group_id {group}", [], label, box)
    loose = [point for group, point in points if group is None]
    for group, point in points:
        if group is not None:
            person = people.setdefault(group, Person(f"{where}: group_id {group}", []))
            person.keypoints.append(point)
    if loose:
        _give(loose, people, where, findings)
    return list(people.values())


def _give(loose: list[Keypoint], people: dict[Any, Person], where: str, findings: Findings) -> None:
    """Points without a group to the person whose box they lie in, or to the only person."""
    if not people:
        people[None] = Person(f"{where}: shapes without a group_id", loose)
        findings.derived["images whose keypoints have no group_id: one person"] += 1
        return
    for point, person in by_box(loose, people.values(), MARGIN_PX):
        if person is None:
            findings.refuse_value(
                f"{where}: keypoint {point.name}", "group_id", None,
                "the number of its person, since it lies in no rectangle or in several",
                "group the shapes of each person in LabelMe",
            )  # fmt: skip
        else:
            person.keypoints.append(point)
            findings.derived["keypoints without a group_id: of the rectangle around them"] += 1
