"""COCO keypoint files as tools write them: CVAT's "COCO Keypoints", Label Studio's, Roboflow's.

What they do otherwise than COCO: categories without keypoints beside that of people, edges that
count from zero or by the numbers of a drawing, images in folders that the names do not have.
"""

import posixpath
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

from stages.openpose.coco.findings import Findings
from stages.openpose.convert.fields import (
    as_json,
    mapping,
    numbers,
    records,
    scalar,
    size,
    split_of,
)
from stages.openpose.convert.labelled import Body, Box, Export, Keypoint, LabelledImage, Person
from stages.openpose.errors import InputError

KEPT = ("segmentation", "area", "iscrowd")
KEPT_OF_IMAGES = ("crowdIndex",)  # CrowdPose's, by which the stage evaluate groups
Record = dict[str, Any]


def read(data: bytes, where: str, findings: Findings) -> Export:
    """Images and people of one file, those of categories with keypoints.

    Of images of one name the one is meant whose folder is called as the file's folder (Roboflow) or
    as the subset at the end of the file's name (CVAT).

    Raises:
        InputError: no COCO JSON; no category with keypoints; people that Label Studio's export has
            put into one.
    """
    content = mapping(as_json(data, where))
    lists = {name: content.get(name) for name in ("images", "annotations", "categories")}
    if not all(isinstance(listed, list) for listed in lists.values()):
        raise InputError(f"{where}: expected COCO's lists {', '.join(lists)}; found another form")
    listed = {name: records(value, findings, where, name) for name, value in lists.items()}
    bodies = _bodies(listed["categories"], where, findings)
    if mapping(content.get("info")).get("contributor") == "Label Studio":
        _check_label_studio(listed["annotations"], bodies, where, findings)
    _check_ids("image", listed["images"], where, findings)
    _check_ids("category", listed["categories"], where, findings)
    categories = {scalar(one.get("id")) for one in listed["categories"]}
    people: dict[Any, list[Person]] = {}
    for one in listed["annotations"]:
        if scalar(one.get("category_id")) not in categories:
            owner, found = f"{where}: annotation {scalar(one.get('id'))}", one.get("category_id")
            expected = "that of a listed category"
            findings.refuse_value(owner, "category_id", found, expected, "correct it")
        elif person := _person(one, bodies, where, findings):
            people.setdefault(scalar(one.get("image_id")), []).append(person)
    images = [_image(one, people, where, findings) for one in listed["images"]]
    for image_id in people:
        findings.refuse_value(
            f"{where}: annotation", "image_id", image_id, "that of a listed image", "add the image"
        )
    return Export(list(bodies.values()), images)


def _bodies(categories: list[Record], where: str, findings: Findings) -> dict[Any, Body]:
    """The categories with keypoints, by id."""
    with_keypoints = [one for one in categories if one.get("keypoints")]
    if not with_keypoints:
        raise InputError(
            f"{where}: `categories`: expected one with `keypoints`, found none; export keypoints "
            f"(CVAT: COCO Keypoints)"
        )
    return {scalar(one.get("id")): _body(one, where, findings) for one in with_keypoints}


def _check_ids(kind: str, listed: list[Record], where: str, findings: Findings) -> None:
    for number, count in Counter(scalar(one.get("id")) for one in listed).items():
        if count > 1 or number is None:
            findings.refuse(
                f"{where}: {kind} id {number} (`id`) is listed {count} times; number them anew"
            )


def _check_label_studio(
    annotations: list[Record], bodies: dict[Any, Body], where: str, findings: Findings
) -> None:
    """Label Studio's COCO export makes one person of all keypoints of an image, and may name them
    in another order than it writes them.
    """
    boxes = Counter(
        scalar(one.get("image_id"))
        for one in annotations
        if scalar(one.get("category_id")) not in bodies
    )
    several = [image_id for image_id, count in boxes.items() if count > 1]
    if several:
        raise InputError(
            f"{where}: image {several[0]} has {boxes[several[0]]} rectangles: Label Studio's COCO "
            f"export makes one person of all keypoints of an image; export it as JSON"
        )
    findings.derived[
        "Label Studio's COCO export: whole pixels, and names in the order of the labelling "
        "interface though values are in that of model_index; its JSON export has neither flaw"
    ] += 1


def _body(category: Record, where: str, findings: Findings) -> Body:
    listed = category["keypoints"]
    names = tuple(map(str, listed)) if isinstance(listed, list) else ()
    name = str(category.get("name") or category.get("id"))
    if not names or len(set(names)) < len(names):
        findings.refuse_value(
            f"{where}: category {name}", "keypoints", listed, "different names", "rename them"
        )
    skeleton = category.get("skeleton") or []
    listed = skeleton if isinstance(skeleton, list) else [skeleton]
    edges = [
        (edge[0], edge[1])
        for edge in listed
        if isinstance(edge, list) and len(edge) == 2 and all(type(end) is int for end in edge)
    ]
    if len(edges) < len(listed):
        findings.derived["edges that are no pair of numbers, left out"] += len(listed) - len(edges)
    base = 0 if any(0 in edge for edge in edges) else 1
    if base == 0:
        findings.derived["edges that count keypoints from 0: from 1"] += 1
    moved = tuple((a - base, b - base) for a, b in edges)
    inside = tuple(e for e in moved if all(0 <= end < len(names) for end in e))
    if len(inside) < len(moved):
        findings.derived["skeletons with edges to keypoints that are not there: no edges"] += 1
        inside = ()
    return Body(name, names, inside)


def _person(one: Record, bodies: dict[Any, Body], where: str, findings: Findings) -> Person | None:
    owner = f"{where}: annotation {scalar(one.get('id'))}"
    body = bodies.get(scalar(one.get("category_id")))
    if body is None:
        findings.derived["annotations of categories without keypoints, left out"] += 1
        return None
    points = []
    if one.get("keypoints"):
        values = numbers(one["keypoints"], 3 * len(body.keypoints), findings, owner, "keypoints")
        for i, name in enumerate(body.keypoints if values else ()):
            x, y, visibility = (values or ())[3 * i : 3 * i + 3]
            if visibility not in (0, 1, 2):
                findings.refuse_value(owner, name, visibility, "visibility 0, 1 or 2", "correct it")
                continue
            points.append(Keypoint(name, x, y, int(visibility)))
    box: Box | None = None
    if one.get("bbox") and (read := numbers(one["bbox"], 4, findings, owner, "bbox")):
        box = (read[0], read[1], read[2], read[3])
    more = {name: one[name] for name in KEPT if name in one}
    return Person(owner, points, body.category, box, more)


def _image(
    one: Record, people: dict[Any, list[Person]], where: str, findings: Findings
) -> LabelledImage:
    owner = f"{where}: image {scalar(one.get('id'))}"
    name = one.get("file_name")
    if not isinstance(name, str) or not name:
        findings.refuse_value(owner, "file_name", name, "a file's name", "export it again")
    hw = size(one.get("height"), one.get("width"), findings, owner)
    file = PurePosixPath(where)
    subset = file.stem.removeprefix("person_keypoints_")
    folder = subset if file.parent.name in ("", "annotations") else file.parent.name
    people_here = people.pop(scalar(one.get("id")), [])
    return LabelledImage(
        posixpath.join(folder, str(name)), people_here, hw, split=split_of(where),
        other_name=str(name), more={field: one[field] for field in KEPT_OF_IMAGES if field in one},
    )  # fmt: skip
