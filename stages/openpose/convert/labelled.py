"""What all tools have in common: images with people, each with named keypoints; and COCO's form of
it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.openpose.coco.findings import Findings
from stages.openpose.skeleton import COCO, Skeleton

ABSENT, HIDDEN, VISIBLE = 0, 1, 2  # COCO's visibility
PERSON = "person"
DIGITS = 4  # of a pixel that are kept
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Keypoint:
    """x, y in pixels (or shares of the image, see LabelledImage) and COCO's visibility."""

    name: str
    x: float
    y: float
    visibility: int = VISIBLE


@dataclass(slots=True)
class Person:
    """One person, or whatever has keypoints.

    Attributes:
        owner: file and record, for messages.
        keypoints: those that are labelled, in any order.
        category: name; "" where the tool does not say.
        box: x, y, width, height, where given.
        more: other fields of a COCO annotation.
    """

    owner: str
    keypoints: list[Keypoint]
    category: str = ""
    box: Box | None = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class LabelledImage:
    """One image and the people in it.

    Attributes:
        name: as the tool calls it.
        hw: (height, width) in pixels, where the tool says it.
        in_shares: keypoints and boxes are shares of width and height.
        split: "train", "val" ..., "" where there is one only.
        other_name: what it may be called instead.
        encode: makes the image's bytes, where it is no file but a frame of a video.
        more: other fields of a COCO image.
    """

    name: str
    people: list[Person]
    hw: tuple[int, int] | None = None
    in_shares: bool = False
    split: str = ""
    other_name: str = ""
    encode: Callable[[], bytes] | None = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """A category: names of its keypoints in order, edges as pairs of their indices from zero."""

    category: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Export:
    """All that was read from one export."""

    bodies: list[Body]
    images: list[LabelledImage]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user says where a tool does not: order (and names) of the keypoints, the category."""

    keypoints: tuple[str, ...] = ()
    category: str = ""

    def category_for(self, findings: Findings) -> str:
        """The category wanted; else a person, which is counted."""
        if not self.category:
            findings.derived[f"category: {PERSON}, since none is named (--category)"] += 1
        return self.category or PERSON


def body_of(
    images: Iterable[LabelledImage], wanted: Wanted, findings: Findings, skeleton: Skeleton = COCO
) -> list[Body]:
    """The bodies of tools that only name keypoints: one a category, all with the same keypoints.

    Their order is the one wanted; else COCO's where they are COCO's, else that in which they first
    come.
    """
    people = [person for image in images for person in image.people]
    _name_categories(people, wanted, findings)
    seen = tuple(dict.fromkeys(point.name for one in people for point in one.keypoints))
    names = wanted.keypoints
    if not names and set(seen) == set(skeleton.keypoints):
        names = skeleton.keypoints
        findings.derived["order of keypoints: COCO's, since the names are COCO's"] += 1
    elif not names and seen:
        names = seen
        findings.derived["order of keypoints: that in which they first come (--keypoints)"] += 1
    categories = dict.fromkeys(person.category for person in people)
    return [Body(category, names) for category in categories]


def _name_categories(people: Sequence[Person], wanted: Wanted, findings: Findings) -> None:
    """Give people without a category the only one that others have, else the one wanted."""
    known = {person.category for person in people} - {""}
    unnamed = [person for person in people if not person.category]
    if not unnamed:
        return
    default = next(iter(known)) if len(known) == 1 else wanted.category_for(findings)
    for person in unnamed:
        person.category = default
    if known:
        findings.derived[f"people without a category: {default}"] += len(unnamed)


def merged(bodies: Iterable[Body], findings: Findings) -> list[Body]:
    """One body a category, with the keypoints and edges of all that have its name."""
    found: dict[str, Body] = {}
    for body in bodies:
        first = found.setdefault(body.category, body)
        if body == first:
            continue
        names = tuple(dict.fromkeys((*first.keypoints, *body.keypoints)))
        if names != first.keypoints:
            findings.derived[f"keypoints of {body.category} that only some files have"] += 1
        places = [names.index(name) for name in body.keypoints]
        edges = dict.fromkeys((*first.edges, *((places[a], places[b]) for a, b in body.edges)))
        found[body.category] = Body(body.category, names, tuple(edges))
    return list(found.values())


def to_coco(
    images: Sequence[LabelledImage], bodies: Sequence[Body], findings: Findings
) -> dict[str, Any]:
    """COCO keypoint annotations of images whose sizes and final names are known, in pixels.

    Keypoints and boxes are rounded to 1e-4 px. `area` and, where no box was given, `bbox` are left
    to the stage inspect_data, which derives and counts them.
    """
    ids = {body.category: i for i, body in enumerate(bodies, 1)}
    by_name = {body.category: body for body in bodies}
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, 1):
        for person in image.people:
            body = by_name[person.category]
            values = _values(person, body, findings)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[body.category],
                    "keypoints": values,
                    "num_keypoints": sum(v > 0 for v in values[2::3]),
                    "iscrowd": 0,
                }
                | person.more
                | ({"bbox": [_rounded(v) for v in person.box]} if person.box else {})
            )
    return {
        "images": [_image_record(i, image) for i, image in enumerate(images, 1)],
        "annotations": annotations,
        "categories": [_category_record(ids[body.category], body) for body in bodies],
    }


def _image_record(number: int, image: LabelledImage) -> dict[str, Any]:
    height, width = image.hw or (0, 0)
    own = {"id": number, "file_name": image.name, "width": width, "height": height}
    return own | image.more


def _category_record(number: int, body: Body) -> dict[str, Any]:
    return {
        "id": number,
        "name": body.category,
        "keypoints": list(body.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in body.edges],
    }


def _values(person: Person, body: Body, findings: Findings) -> list[float]:
    """x, y, visibility of every keypoint of the body, one after the other."""
    values: list[float] = [0] * (3 * len(body.keypoints))
    seen = set()
    for point in person.keypoints:
        if point.name in seen:
            findings.refuse(
                f"{person.owner}: keypoint {point.name!r} is there twice; one person has it once: "
                f"take one out, or tell the tool that they belong to two people"
            )
        elif point.name not in body.keypoints:
            findings.refuse_value(
                person.owner, "keypoint", point.name, f"one of {', '.join(body.keypoints)}",
                "rename it, or add it to --keypoints",
            )  # fmt: skip
        elif not (math.isfinite(point.x) and math.isfinite(point.y)):
            findings.refuse_value(
                person.owner, point.name, (point.x, point.y), "finite numbers", "label it again"
            )
        elif point.visibility:
            place = 3 * body.keypoints.index(point.name)
            values[place : place + 3] = _rounded(point.x), _rounded(point.y), point.visibility
        seen.add(point.name)
    return values


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
