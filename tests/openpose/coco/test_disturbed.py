"""COCO files disturbed anywhere: the AP is that of the file as it was, or one line names field and
id. Never another exception.

    python -m pytest tests/openpose/coco/test_disturbed.py --hypothesis-profile thorough -n 0

draws 10,000 of each kind.
"""

import copy
import json
import math
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.openpose.coco.annotations import read_images
from stages.openpose.coco.body import Given
from stages.openpose.coco.categories import ANY_BODY, as_id
from stages.openpose.coco.image_files import open_images
from stages.openpose.errors import InputError
from stages.openpose.evaluation import scoring
from stages.openpose.health.inspection import inspect
from stages.openpose.skeleton import COCO
from tests import tiny_coco

HW = (40, 48)
MASK = np.zeros(HW, bool)
MASK[2:9, 3:20] = True
DOG = {"id": 90, "image_id": 1, "category_id": 7, "bbox": [0, 0, 5, 5], "iscrowd": 0, "area": 25}
PEOPLE = [
    tiny_coco.person(11, 1, (2, 2, 20, 30)),
    tiny_coco.person(12, 1, (25, 4, 20, 30), labelled=12),
    tiny_coco.person(13, 2, (8, 5, 25, 30)),
    tiny_coco.person(14, 5, (5, 3, 30, 30), labelled=9),
]
CONTENT = {
    "info": {"year": 2014, "nested": [{"deep": [1]}]},
    "licenses": [{"id": 1, "name": "free"}],
    "images": [tiny_coco.image(number, HW) for number in (1, 2, 5)],
    "annotations": [*PEOPLE, DOG, tiny_coco.crowd(15, 2, MASK)],
    "categories": [
        {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": [[1, 2]]},
        {"id": 7, "name": "dog"},
    ],
}
RESULTS = [
    {"image_id": one["image_id"], "category_id": 1, "score": 0.9, "keypoints": one["keypoints"]}
    for one in PEOPLE
]
DEEP = "stands for brackets within brackets"
GONE = object()
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 100),
    st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**30, -(10**19), 1e9, 1e300, -0.0, 0.5, 1e-300]),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.text(max_size=3),
    st.sampled_from(
        ["1", " 2 ", "1.0", "-1", "0x1", "NaN", "null", "a\0b", "\ud800", "../x", "/", "."]
    ),
    st.lists(st.integers(-1, 60) | st.none() | st.text(max_size=1), max_size=6),
    st.sampled_from(
        [
            {},
            {"id": 1},
            {"size": [40, 48], "counts": [1920]},
            {"counts": "0"},
            [[]],
            [{}],
            {"size": [40, 48], "counts": "\x7f~"},
            {"size": None, "counts": [-1, 1921]},
        ]
    ),
    st.just(DEEP),
    st.just(GONE),
)


def fresh(value):
    """Junk that shares nothing with that of other examples."""
    return value if value is GONE else copy.deepcopy(value)


@st.composite
def places(draw):
    """A path into CONTENT: all fields alike, not all numbers alike."""
    node, path = CONTENT, []
    while isinstance(node, dict | list) and node and (not path or draw(st.integers(0, 3))):
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        path.append(key)
        node = node[key]
    return tuple(path)


def as_text(value):
    return json.dumps(value)


CHANGES = {
    "text": lambda value: str(value),
    "float": lambda value: float(value) if isinstance(value, int | float) else value,
    "in a list": lambda value: [value],
    "in an object": lambda value: {"value": value},
    "reversed": lambda value: value[::-1] if isinstance(value, list) else value,
    "twice": lambda value: value + value[:1] if isinstance(value, list) else value,
    "cut": lambda value: value[:-1] if isinstance(value, list | str) else value,
    "by number": lambda value: dict(enumerate(value)) if isinstance(value, list) else value,
    "negative": lambda value: -value if isinstance(value, int | float) else value,
}


def disturb(content, path, change):
    """Change what stands at `path`; nothing where an earlier change took it away."""
    *way, last = path
    node = content
    for key in way:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return
    if not isinstance(node, dict | list):
        return
    try:
        value = node[last]
        if change[0] == "junk":
            if change[1] is GONE:
                del node[last]
            else:
                node[last] = fresh(change[1])
        else:
            node[last] = CHANGES[change[1]](value)
    except (KeyError, IndexError, TypeError):
        return


def text_of(content):
    text = json.dumps(content).replace(json.dumps(DEEP), "[" * 3000 + "]" * 3000)
    return text.encode()


changes = st.tuples(st.just("junk"), JUNK) | st.tuples(
    st.just("form"), st.sampled_from(list(CHANGES))
)
disturbances = st.lists(st.tuples(places(), changes), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disturbed")
    (folder / "images").mkdir()
    for image in CONTENT["images"]:
        (folder / "images" / image["file_name"]).write_bytes(tiny_coco.jpeg(HW, image["id"]))
    return folder


def ap_of(path):
    images = read_images(path)
    truth = scoring.read_ground_truth(path, images)
    results = [result | {"image_id": images.inside_id(result["image_id"])} for result in RESULTS]
    known = set(images.ids.tolist())
    results = [result for result in results if result["image_id"] in known]
    return scoring.evaluate(truth, results, images.ids.tolist())[0]["AP"]


def may_differ(drawn):
    """Whether the changed file may be right and say something else."""
    return any(_is_another_truth(path, *change) for path, change in drawn)


def _is_another_truth(path, kind, what):
    name = path[2] if len(path) > 2 else None
    if path[0] == "categories":  # the names may truly stand in another order
        return path == ("categories", 0, "keypoints") and what == "reversed"
    if path[0] != "annotations":
        return False
    if len(path) < 3:  # annotations left out
        return what is GONE or what in ("cut", None, [])
    if name == "keypoints":
        return True
    return (
        (name == "image_id" and kind == "junk" and as_id(what) in (1, 2, 5))
        or (name == "category_id" and kind == "junk" and as_id(what) == 7)
        or (name == "iscrowd" and (what in (0, 1, 0.0, 1.0) if kind == "junk" else False))
    )


def verdict(run):
    """(AP, None), or None and the line that refuses."""
    try:
        return run(), None
    except InputError as problem:
        return None, str(problem)


def both(folder, content: bytes):
    """Verdicts on a file as it is, and after stage inspect_data."""
    path = folder / "disturbed.json"
    path.write_bytes(content)

    def inspected():
        with open_images(folder / "images") as archive:
            found = inspect(
                path,
                archive,
                folder / "normalised.json",
                exif="as_stored",
                wanted=ANY_BODY,
                given=Given(),
            )
        found.findings.check()
        return ap_of(folder / "normalised.json")

    raw, normalised = verdict(lambda: ap_of(path)), verdict(inspected)
    for _, refusal in (raw, normalised):
        assert refusal is None or (
            str(folder) in refusal and "\n" not in refusal and len(refusal) < 600
        )
    if raw[1] is not None:
        assert normalised[1] is not None, "what evaluate refuses inspect_data refuses before"
    elif normalised[1] is None:
        assert raw[0] == normalised[0]
    return raw, normalised


DRAWN = settings(
    max_examples=max(300, settings.default.max_examples),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@DRAWN
@given(drawn=disturbances)
def test_a_disturbed_field_gives_the_same_ap_or_is_named_with_its_id(drawn, folder):
    content = copy.deepcopy(CONTENT)
    for path, change in drawn:
        disturb(content, path, change)
    for ap, refusal in both(folder, text_of(content)):
        if refusal is None:
            assert may_differ(drawn) or ap == pytest.approx(1)
        else:
            assert_names(refusal, drawn)


def assert_names(refusal, drawn):
    """The line names one of the fields that were changed, or one that needs them, and whose."""
    fields = {str(key) for path, _ in drawn for key in path if isinstance(key, str)}
    if any(len(path) < 3 or path[-1] == "id" for path, _ in drawn):
        fields |= {"id", "image_id", "category_id", "images", "categories", "file_name"}
    if "height" in fields or "width" in fields:
        fields |= {"segmentation"}
    assert any(f"`{name}" in refusal for name in fields), refusal
    assert re.search(
        r"(annotation|image|category) (id )?('|-?\d|\(the)|`(images|annot|categ)", refusal
    )


@DRAWN
@given(
    place=st.floats(0, 1),
    length=st.integers(0, 40),
    instead=st.binary(max_size=12) | st.sampled_from([b'"', b"[", b"]}", b"{", b"\\", b",", b"\0"]),
)
def test_a_damaged_file_is_read_or_refused(place, length, instead, folder):
    whole = text_of(CONTENT)
    start = int(place * len(whole))
    both(folder, whole[:start] + instead + whole[start + length :])


@given(length=st.floats(0, 1))
@settings(deadline=None, max_examples=30,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
def test_a_file_that_is_cut_off_is_refused(length, folder):
    whole = text_of(CONTENT)
    for _, refusal in both(folder, whole[: int(length * (len(whole) - 1))]):
        assert refusal
