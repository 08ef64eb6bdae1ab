"""One set of a data set: its annotations normalised, its images looked at."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from stages.openpose.coco.annotations import (
    TURN,
    Images,
    People,
    each_person,
    gather,
    is_labelled,
    read_images,
)
from stages.openpose.coco.body import Derived, Given, derive
from stages.openpose.coco.categories import PERSON, Wanted
from stages.openpose.coco.findings import Findings
from stages.openpose.coco.image_files import ImageArchive
from stages.openpose.coco.json_stream import read_lists
from stages.openpose.coco.normalise import image_record
from stages.openpose.health.images import Look, compare, fingerprints_of, look_at_all
from stages.openpose.health.people import suspect_people
from stages.openpose.skeleton import COCO_KEYPOINTS

Located = tuple[int, dict[str, Any]]  # row of the image, annotation


@dataclass(frozen=True)
class Inspected:
    """One annotation file and its images as they were found.

    Attributes:
        fingerprints: uint8 [N, K], see fingerprints.py; None where an image cannot be read.
        body: of the people.
    """

    images: Images
    people: People
    counts: dict[str, int]
    findings: Findings
    fingerprints: np.ndarray | None
    body: Derived


def inspect(
    path: Path,
    archive: ImageArchive,
    output: Path,
    *,
    exif: str,
    wanted: Wanted,
    given: Given,
    body: Derived | None = None,
    progress: Callable = iter,
    known: dict[str, Look] | None = None,
) -> Inspected:
    """Read an annotation file and all its images; write the annotations, normalised, to `output`.

    A file that needs nothing is copied byte for byte. Where something was refused, what is written
    is not to be used.

    Args:
        exif: which pixels the annotations are of, images.AS_STORED or UPRIGHT.
        wanted, given: what settings say of the body.
        body: where it was derived from another set already, which this one must agree with.
        progress: wraps the iteration over images.
        known: images of the same archive that were looked at before; grows.
    """
    findings = Findings(path)
    images = read_images(path, findings, wanted)
    known = {} if known is None else known
    new = [name for name in images.file_names if name not in known]
    known.update(look_at_all(archive, new, progress))
    turns = compare(images, known, exif, findings)
    counts = {"images": len(images), "annotations": 0, "people": 0, "crowds": 0}

    listed = _counted(each_person(path, images, findings), counts)
    with open(output, "wb") as file:
        file.write(b'{"info":{},"licenses":[],"images":[')
        _write_all(file, _images(path, images, turns))
        file.write(b'],"annotations":[')
        people = gather(_written(file, listed), images)
        file.write(b'],"categories":[' + orjson.dumps(_category(images)) + b"]}\n")
    if not findings.derived and (turns == 1).all():
        shutil.copyfile(path, output)
    if body is None:
        body = derive(images.categories.keypoints, images.categories.edges, people, given)
        for suspicion in body.suspicions:
            findings.suspect("the body", suspicion)
    suspect_people(images, people, body.skeleton, findings)
    whole = all(known[name].problem is None for name in images.file_names)
    fingerprints = fingerprints_of(images, known) if whole else None
    return Inspected(images, people, counts, findings, fingerprints, body)


def _category(images: Images) -> dict[str, Any]:
    """The one category of a normalised file."""
    keypoints, edges = images.categories.keypoints, images.categories.edges
    category = {"id": PERSON, "name": "person", "keypoints": keypoints}
    if keypoints == COCO_KEYPOINTS:
        return category
    return category | {"skeleton": [[a + 1, b + 1] for a, b in edges]}


def _counted(annotations: Iterable[Located], counts: dict[str, int]) -> Iterator[Located]:
    for row, one in annotations:
        counts["annotations"] += 1
        counts["crowds"] += one["iscrowd"]
        counts["people"] += is_labelled(one)
        yield row, one


def _images(path: Path, images: Images, turns: np.ndarray) -> Iterator[dict[str, Any]]:
    """The elements of `images`, normalised, in the order of the file."""
    turn_of = dict(zip(images.ids.tolist(), turns.tolist(), strict=True))
    muted = Findings(path)
    for _, elements in read_lists(path, ("images",)):
        for raw in elements:
            if image := image_record(raw, muted):
                image_id = images.inside_id(image["id"])
                changes = {"id": image_id} if image_id != image["id"] else {}
                if turn_of[image_id] != 1:
                    changes[TURN] = turn_of[image_id]
                yield image | changes if changes else image


def _written(file: BinaryIO, annotations: Iterable[Located]) -> Iterator[Located]:
    """Pass annotations on while they are written."""
    separator = b""
    for row, one in annotations:
        file.write(separator + _json(one))
        separator = b",\n"
        yield row, one


def _write_all(file: BinaryIO, elements: Iterable[dict[str, Any]]) -> None:
    for i, one in enumerate(elements):
        file.write((b",\n" if i else b"") + _json(one))


def _json(value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # numbers of more than 64 bits or broken text in fields that nobody reads
        return json.dumps(value).encode()
