"""CVAT's own XML, "CVAT for images 1.1": skeletons whose points are named by their labels.

Form: docs.cvat.ai, "XML annotation format"; skeleton, `outside` and `svg` as CVAT 2 writes them.
"""

import posixpath
from xml.etree import ElementTree

from stages.openpose.coco.findings import Findings
from stages.openpose.convert.fields import as_text, number, numbers, size
from stages.openpose.convert.labelled import (
    ABSENT,
    HIDDEN,
    VISIBLE,
    Body,
    Box,
    Export,
    Keypoint,
    LabelledImage,
    Person,
)
from stages.openpose.errors import InputError

DEFAULT_SUBSET = "default"


def read(data: bytes, where: str, findings: Findings) -> Export:
    """The skeletons of one annotations.xml.

    A point that is `outside` is absent, one that is `occluded` hidden. A box belongs to the
    skeleton that it is grouped with (`group_id`).

    Raises:
        InputError: no CVAT XML, one of a video, or one that defines entities.
    """
    root = parse_xml(as_text(data, where), where)
    if root.tag != "annotations":
        raise InputError(f"{where}: expected CVAT's <annotations>, found <{root.tag}>")
    if root.find("track") is not None:
        raise InputError(
            f"{where}: <track>: expected images, found tracks of a video, whose frames have no "
            f"file names here; export it as `CVAT for images 1.1`"
        )
    bodies = _bodies(root, where, findings)
    known = {body.category for body in bodies}
    images = [_image(element, where, known, findings) for element in root.iter("image")]
    if not any(image.people for image in images):
        raise InputError(
            f"{where}: expected <skeleton> elements in its {len(images)} images, found none; CVAT "
            f"names keypoints in skeletons only, not in labels of type points"
        )
    return Export(bodies, images)


def parse_xml(text: str, where: str) -> ElementTree.Element:
    """The root element; a file with a document type is refused, for it may define entities that
    fill the memory or read other files.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(
            f"{where}: expected XML without a document type, found <!DOCTYPE or ENTITY"
        )
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as problem:
        raise InputError(f"{where}: not whole XML ({problem}); export it again") from None


def _bodies(root: ElementTree.Element, where: str, findings: Findings) -> list[Body]:
    """Skeleton labels with the points that have them for a parent."""
    labels = [label for meta in root.iter("meta") for label in meta.iter("label")]
    bodies: list[Body] = []
    for label in labels:
        if label.findtext("type") != "skeleton":
            continue
        category = label.findtext("name") or ""
        names = [one.findtext("name") or "" for one in labels if one.findtext("parent") == category]
        names = list(dict.fromkeys(names))
        edges = _edges(label.findtext("svg") or "", names, f"{where}: label {category}", findings)
        bodies.append(Body(category, tuple(names), edges))
    if not bodies:
        raise InputError(
            f"{where}: <meta>: expected a label of type skeleton, found none; keypoints have names "
            f"in skeletons only"
        )
    return bodies


def _edges(
    svg: str, names: list[str], owner: str, findings: Findings
) -> tuple[tuple[int, int], ...]:
    """Edges of the drawing by which CVAT keeps a skeleton: lines between numbered circles."""
    drawing = parse_xml(f"<svg>{svg}</svg>", f"{owner}: <svg>")
    nodes = {
        circle.get("data-node-id"): circle.get("data-label-name")
        for circle in drawing.iter()
        if circle.get("data-node-id")
    }
    edges = []
    for line in drawing.iter():
        if line.get("data-type") != "edge":
            continue
        ends = [nodes.get(line.get(f"data-node-{end}")) for end in ("from", "to")]
        if ends[0] in names and ends[1] in names:
            edges.append((names.index(str(ends[0])), names.index(str(ends[1]))))
        else:
            findings.derived["edges of skeletons whose ends are not known, left out"] += 1
    return tuple(edges)


def _image(
    element: ElementTree.Element, where: str, known: set[str], findings: Findings
) -> LabelledImage:
    name = element.get("name") or ""
    owner = f"{where}: image {name or element.get('id')}"
    if not name:
        findings.refuse_value(owner, "name", name, "the image's file name", "export it again")
    hw = size(element.get("height"), element.get("width"), findings, owner)
    boxes: dict[str | None, Box | None] = {}
    for box in element.findall("box"):
        if box.get("group_id") and not number(box.get("rotation", 0), findings, owner, "rotation"):
            boxes[box.get("group_id")] = _box(box, owner, findings)
        else:
            findings.derived["boxes that are grouped with no skeleton, or rotated: left out"] += 1
    people = []
    for i, skeleton in enumerate(element.findall("skeleton"), 1):
        person = _person(skeleton, f"{owner}, skeleton {i}", known, findings)
        person.box = boxes.pop(skeleton.get("group_id"), None)
        people.append(person)
    for _ in boxes:
        findings.derived["boxes that are grouped with no skeleton, or rotated: left out"] += 1
    for other in element:
        if other.tag not in ("box", "skeleton"):
            findings.derived[f"shapes of other kinds, left out: {other.tag}"] += 1
    subset = element.get("subset") or ""
    split = "" if subset.casefold() == DEFAULT_SUBSET else subset
    return LabelledImage(posixpath.join(subset, name), people, hw, split=split, other_name=name)


def _box(box: ElementTree.Element, owner: str, findings: Findings) -> Box | None:
    corners = [box.get(name) for name in ("xtl", "ytl", "xbr", "ybr")]
    read = numbers(corners, 4, findings, owner, "box")
    return (read[0], read[1], read[2] - read[0], read[3] - read[1]) if read else None


def _person(
    skeleton: ElementTree.Element, owner: str, known: set[str], findings: Findings
) -> Person:
    category = skeleton.get("label") or ""
    if category not in known:
        findings.refuse_value(
            owner, "label", category, f"one of {', '.join(sorted(known))}", "export it again"
        )
    points = []
    for other in skeleton:
        if other.tag not in ("points", "attribute"):
            findings.derived[f"shapes of other kinds, left out: {other.tag}"] += 1
    for point in skeleton.findall("points"):
        name = point.get("label") or ""
        if point.get("outside") == "1":
            points.append(Keypoint(name, 0.0, 0.0, ABSENT))
            continue
        xy = (point.get("points") or "").split(",")
        x, y = (number(value, findings, owner, name) for value in (*xy, None)[:2])
        if len(xy) > 2:
            findings.refuse_value(owner, name, point.get("points"), "one point x,y", "export again")
        if x is not None and y is not None:
            hidden = point.get("occluded") == "1"
            points.append(Keypoint(name, x, y, HIDDEN if hidden else VISIBLE))
    return Person(owner, points, category)
