"""Label Studio's JSON export: KeyPointLabels whose parents are RectangleLabels, in percent of the
image.

Form: labelstud.io, "Label Studio JSON format" and the pages of both tags. A keypoint's parent is
the region that it was moved into (`parentID`), as Label Studio's own exports want it, or the one
that a relation ties it to.
"""

import posixpath
import re
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from stages.openpose.coco.findings import Findings
from stages.openpose.convert.fields import as_json, mapping, number, numbers, records, scalar, size
from stages.openpose.convert.grouping import by_box
from stages.openpose.convert.labelled import HIDDEN, VISIBLE, Box, Keypoint, LabelledImage, Person
from stages.openpose.errors import InputError

HIDDEN_WORDS = {"hidden", "occluded", "invisible", "not visible", "not_visible"}
PERCENT = 100.0
MARGIN = 1e-4  # share of the image that a keypoint may lie beside its rectangle
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before names of uploads
Record = dict[str, Any]


def read(data: bytes, where: str, findings: Findings) -> list[LabelledImage]:
    """The tasks of one export, each an image with the people of its first finished annotation.

    Keypoints without a parent belong to the only rectangle that they lie in; without rectangles all
    of an image belong to one person. A choice called hidden or occluded at a keypoint makes it
    hidden.

    Raises:
        InputError: no JSON export of Label Studio; the short form, JSON-MIN.
    """
    tasks = as_json(data, where)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"{where}: expected Label Studio's list of tasks; export it as JSON")
    if tasks and "annotations" not in tasks[0]:
        raise InputError(
            f"{where}: task {scalar(tasks[0].get('id'))}: `annotations`: expected a list, found "
            f"none; export it as JSON, not as JSON-MIN or another form"
        )
    images = [_image(task, f"{where}: task {scalar(task.get('id'))}", findings) for task in tasks]
    return [image for image in images if image is not None]


def _image(task: Record, owner: str, findings: Findings) -> LabelledImage | None:
    listed = records(task.get("annotations"), findings, owner, "annotations")
    finished = [one for one in listed if not one.get("was_cancelled")]
    if not finished:
        findings.derived["tasks without an annotation, or skipped: left out"] += 1
        return None
    finished.sort(key=lambda one: not one.get("ground_truth"))
    if len(finished) > 1:
        findings.derived["tasks with several annotations: ground truth, else the first"] += 1
    regions = records(finished[0].get("result", "nothing"), findings, owner, "result")
    name = _image_name(task, owner, findings)
    sized = next((one for one in regions if one.get("original_width")), None)
    hw = None
    if sized:
        hw = size(sized.get("original_height"), sized["original_width"], findings, owner)
    people = _people(regions, owner, findings)
    return LabelledImage(name, people, hw, in_shares=True, other_name=_without_prefix(name))


def _image_name(task: Record, owner: str, findings: Findings) -> str:
    """The file that a task's image stands for: of an address the path, of local storage `d`."""
    values = mapping(task.get("data"))
    texts = [
        (key, value)
        for key, value in values.items()
        if isinstance(value, str) and posixpath.splitext(_parts(value).path + value)[1]
    ]
    address = next((v for key, v in texts if key in ("image", "img")), texts[0][1] if texts else "")
    if not address:
        findings.refuse_value(owner, "data", values, "the address of an image", "export it again")
    parts = _parts(address)
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path)
    return path.lstrip("/")


def _parts(address: str) -> SplitResult:
    """The parts of an address; what is none is a path."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", address, "", "")


def _without_prefix(name: str) -> str:
    """A file's name as it was before it was uploaded."""
    folder, base = posixpath.split(name)
    return posixpath.join(folder, _UPLOADED.sub("", base, count=1))


def _people(regions: list[Record], owner: str, findings: Findings) -> list[Person]:
    people: dict[Any, Person] = {}
    points: list[tuple[set[Any], Keypoint]] = []
    hidden = {scalar(one.get("id")) for one in regions if _says_hidden(one)}
    tied = _relations(regions)
    for region in regions:
        kind, region_id = str(region.get("type")).casefold(), scalar(region.get("id"))
        where = f"{owner}, region {region_id}"
        if region.get("image_rotation"):
            findings.refuse_value(
                where, "image_rotation", region["image_rotation"], "0",
                "turn the image itself before it is labelled",
            )  # fmt: skip
        elif kind == "rectanglelabels":
            box = _box(region, where, findings)
            people[region_id] = Person(where, [], _label(region, findings), box)
        elif kind == "keypointlabels":
            point = _point(region, where, region_id in hidden, findings)
            parents = {scalar(region.get("parentID")), *tied.get(region_id, ())}
            points += [(parents, point)] if point else []
        elif kind not in ("choices", "relation"):
            findings.derived[f"regions of other kinds, left out: {kind}"] += 1
    _give(points, people, owner, findings)
    return list(people.values())


def _relations(regions: list[Record]) -> dict[Any, list[Any]]:
    """Regions that each region is tied to, in either direction."""
    tied: dict[Any, list[Any]] = {}
    for one in regions:
        if one.get("type") == "relation":
            ends = scalar(one.get("from_id")), scalar(one.get("to_id"))
            for start, end in (ends, ends[::-1]):
                tied.setdefault(start, []).append(end)
    return tied


def _says_hidden(region: Record) -> bool:
    chosen = mapping(region.get("value")).get("choices")
    return isinstance(chosen, list) and any(str(c).casefold() in HIDDEN_WORDS for c in chosen)


def _label(region: Record, findings: Findings) -> str:
    labels = mapping(region.get("value")).get(str(region.get("type")).casefold())
    if not isinstance(labels, list) or not labels:
        return ""
    if len(labels) > 1:
        findings.derived["regions with several labels: the first"] += 1
    return str(labels[0])


def _box(region: Record, where: str, findings: Findings) -> Box | None:
    value = mapping(region.get("value"))
    if value.get("rotation"):
        findings.derived["rotated rectangles: taken for no box"] += 1
        return None
    sides = [value.get(name) for name in ("x", "y", "width", "height")]
    read = numbers(sides, 4, findings, where, "value")
    if read is None:
        return None
    x, y, width, height = (side / PERCENT for side in read)
    return x, y, width, height


def _point(region: Record, where: str, hidden: bool, findings: Findings) -> Keypoint | None:
    value = mapping(region.get("value"))
    name = _label(region, findings)
    if not name:
        findings.refuse_value(where, "keypointlabels", value, "a keypoint's name", "label it again")
        return None
    x = number(value.get("x"), findings, where, "x")
    y = number(value.get("y"), findings, where, "y")
    if x is None or y is None:
        return None
    return Keypoint(name, x / PERCENT, y / PERCENT, HIDDEN if hidden else VISIBLE)


def _give(
    points: list[tuple[set[Any], Keypoint]],
    people: dict[Any, Person],
    owner: str,
    findings: Findings,
) -> None:
    """Keypoints to their parents; else to the box around them, else to the only person."""
    loose = []
    for parents, point in points:
        known = parents & set(people)
        if len(known) == 1:
            people[known.pop()].keypoints.append(point)
        else:
            loose.append(point)
    if loose and not people:
        people[None] = Person(f"{owner}: keypoints without a rectangle", loose)
        findings.derived["images whose keypoints have no rectangle: one person"] += 1
        return
    for point, person in by_box(loose, people.values(), MARGIN):
        if person is None:
            findings.refuse_value(
                f"{owner}, keypoint {point.name}", "parentID", None,
                "the rectangle of its person, since it lies in none or in several",
                "move it into its rectangle in the list of regions",
            )  # fmt: skip
        else:
            person.keypoints.append(point)
            findings.derived["keypoints without a parent: of the rectangle around them"] += 1
