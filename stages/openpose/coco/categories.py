"""Which categories of an annotation file are people, and what their keypoints are called.

"People" are whoever has the keypoints of the data set's body, animals included.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.openpose.coco.findings import Findings, shortened
from stages.openpose.skeleton import COCO_KEYPOINTS

PERSON = 1  # category id of people in COCO results and in COCO's own annotations
# A list as long as COCO's with no more names than these of its own is COCO's, misspelt.
MOST_MISSPELT = 4
_INTEGRAL = re.compile(r"\s*[+-]?\d+(\.0*)?\s*")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def as_id(value: Any) -> int | None:
    """The whole number that a JSON value stands for (17, 17.0, "17"); None where it is none."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) < 40 and _INTEGRAL.fullmatch(value):
        return int(value.split(".")[0])
    return None


def owner_of(kind: str, raw: dict, place: int) -> str:
    """How a message calls a record: by its id, else by its place in its list, from 1."""
    number = as_id(raw.get("id"))
    return f"{kind} {number}" if number is not None else f"{kind} (the {place}. of the list)"


@dataclass(frozen=True)
class Wanted:
    """The body that is looked for.

    Attributes:
        keypoints: its names in our order; empty: COCO's where the file has them, else the file's.
        category: name of the category that has them; empty: whichever has.
    """

    keypoints: tuple[str, ...] = ()
    category: str = ""


ANY_BODY = Wanted()


@dataclass(frozen=True)
class Categories:
    """The categories of a file.

    Attributes:
        known: ids of all categories; empty where the file lists none.
        people: those of people, each with the place of our keypoints among the file's, None where
            the order is ours.
        keypoints: names of people's keypoints, in our order.
        edges: pairs of `keypoints`' indices, as the file's `skeleton` has them.
    """

    known: frozenset[int]
    people: Mapping[int, tuple[int, ...] | None]
    keypoints: tuple[str, ...] = COCO_KEYPOINTS
    edges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class _Category:
    number: int
    name: str
    keypoints: tuple[str, ...]
    edges: Any

    @property
    def owner(self) -> str:
        return f"category {self.name!r}"


def read_categories(
    listed: Sequence[Any], findings: Findings, wanted: Wanted = ANY_BODY
) -> Categories:
    """Which categories are people: by the names of their keypoints, or by name `person`."""
    if not listed:
        names = wanted.keypoints or COCO_KEYPOINTS
        whose = "given" if wanted.keypoints else "in COCO's order"
        findings.derived[f"a list `categories`: one category, people, keypoints {whose}"] = 1
        return Categories(frozenset(), {}, names)
    categories = [
        category
        for place, raw in enumerate(listed, 1)
        if (category := _category(raw, findings, place))
    ]
    _refuse_twice(categories, findings)
    candidates = [
        category
        for category in categories
        if not wanted.category or plain(category.name) == plain(wanted.category)
    ]
    keypoints = _body(candidates, wanted, findings)
    people: dict[int, tuple[int, ...] | None] = {}
    edges: tuple[tuple[int, int], ...] = ()
    for category in candidates:
        if sorted(category.keypoints) == sorted(keypoints):
            order = tuple(category.keypoints.index(name) for name in keypoints)
            in_order = order == tuple(range(len(order)))
            people[category.number] = None if in_order else order
            if not in_order:
                findings.derived["order of keypoints, by their names in `categories`"] += 1
            edges = edges or _edges(category, keypoints, findings)
        elif not category.keypoints and _is_meant(category, candidates, wanted):
            people[category.number] = None
    if not people and not findings.problem_count:
        _refuse_all(listed, wanted, findings)
    return Categories(frozenset(c.number for c in categories), people, keypoints, edges)


def _category(raw: Any, findings: Findings, place: int) -> _Category | None:
    """A category with a whole number `id`; None where it was refused."""
    if not isinstance(raw, dict):
        findings.refuse_element("categories", raw, place)
        return None
    name = raw.get("name")
    owner = owner_of("category", raw, place)
    if isinstance(name, str) and name:
        owner = f"category {shortened(name)}"
    number = as_id(raw.get("id"))
    if number is None:
        findings.refuse_value(
            owner, "id", raw.get("id"), "a whole number", "give every category its own"
        )
        return None
    names = raw.get("keypoints") or ()
    if names and (problem := _wrong_names(names)):
        findings.refuse_value(
            owner, "keypoints", names, f"a list of names, each its own ({problem})",
            "write one name a keypoint, in the order of the annotations",
        )  # fmt: skip
        return None
    keypoints = tuple(plain(name) for name in names)
    return _Category(number, str(raw.get("name", number)), keypoints, raw.get("skeleton"))


def _wrong_names(names: Any) -> str:
    """What is wrong with a list of keypoints' names; empty where nothing is."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return "not a list of text"
    plain_names = [plain(name) for name in names]
    if not all(name.isprintable() and name.strip("_") for name in plain_names):
        return "an empty or unprintable name"
    twice = [name for name in plain_names if plain_names.count(name) > 1]
    return f"{twice[0]} is there twice" if twice else ""


def _refuse_twice(categories: Sequence[_Category], findings: Findings) -> None:
    known: set[int] = set()
    for category in categories:
        if category.number in known:
            findings.refuse(
                f"{category.owner}: `id`: category id {category.number} is given twice; number "
                f"them anew"
            )
        known.add(category.number)


def _body(candidates: Sequence[_Category], wanted: Wanted, findings: Findings) -> tuple[str, ...]:
    """The keypoints that people have here, in our order."""
    lists = list(dict.fromkeys(c.keypoints for c in candidates if c.keypoints))
    if wanted.keypoints:
        if not any(_is_person(c) and not c.keypoints for c in candidates):
            _check_names(lists, wanted, findings)
        return wanted.keypoints
    if any(sorted(names) == sorted(COCO_KEYPOINTS) for names in lists):
        return COCO_KEYPOINTS
    if not lists or (
        not wanted.category and any(_is_person(c) and not c.keypoints for c in candidates)
    ):
        return COCO_KEYPOINTS
    bodies = {tuple(sorted(names)) for names in lists}
    if len(bodies) > 1:
        shown = ", ".join(f"{c.name} ({len(c.keypoints)})" for c in candidates if c.keypoints)
        findings.refuse(
            f"`categories`: {len(bodies)} different bodies: {shown}; say which is meant: "
            f"`skeleton.category`"
        )
    _refuse_misspelt(lists[0], findings)
    return lists[0]


def _check_names(lists: Sequence[tuple[str, ...]], wanted: Wanted, findings: Findings) -> None:
    """Refuse a file whose categories all have other keypoints than the body has."""
    if not lists or any(sorted(names) == sorted(wanted.keypoints) for names in lists):
        return
    names = max(lists, key=lambda names: len(set(names) & set(wanted.keypoints)))
    unknown = [name for name in names if name not in wanted.keypoints]
    missing = [name for name in wanted.keypoints if name not in names]
    findings.refuse(
        f"`categories`: `keypoints`: expected the {len(wanted.keypoints)} of the data set's body "
        f"in any order, found {len(names)}"
        + (f", unknown: {', '.join(unknown[:5])}" if unknown else "")
        + (f", missing: {', '.join(missing[:5])}" if missing else "")
        + "; rename them, or take the category out"
    )


def _refuse_misspelt(names: tuple[str, ...], findings: Findings) -> None:
    unknown = [name for name in names if name not in COCO_KEYPOINTS]
    missing = [name for name in COCO_KEYPOINTS if name not in names]
    if len(names) == len(COCO_KEYPOINTS) and len(unknown) <= MOST_MISSPELT:
        findings.refuse(
            f"`categories`: `keypoints`: {len(names) - len(unknown)} of the names are COCO's, "
            f"unknown: {', '.join(unknown)}, missing: {', '.join(missing)}; correct them, or "
            f"where this is another body list its names in `skeleton.keypoints`"
        )


def _is_person(category: _Category) -> bool:
    return category.name.strip().casefold() == "person"


def _is_meant(category: _Category, candidates: Sequence[_Category], wanted: Wanted) -> bool:
    """Whether a category without names of keypoints is that of people."""
    if _is_person(category):
        return True
    named = any(other.keypoints for other in candidates)
    return bool(wanted.category or wanted.keypoints) and len(candidates) == 1 and not named


def _edges(
    category: _Category, keypoints: tuple[str, ...], findings: Findings
) -> tuple[tuple[int, int], ...]:
    """The category's `skeleton` as pairs of places in `keypoints`; COCO's counts from 1.

    COCO's own body has its limbs in skeleton.py: its `skeleton` is not looked at.
    """
    listed, count = category.edges, len(keypoints)
    if keypoints == COCO_KEYPOINTS or not listed:
        return ()
    pairs = [
        [as_id(end) for end in edge] if isinstance(edge, list) else []
        for edge in (listed if isinstance(listed, list) else [listed])
    ]
    first = 0 if any(0 in pair for pair in pairs) else 1
    names = []
    for edge, pair in zip(listed, pairs, strict=False):
        ends = [end - first for end in pair if end is not None and first <= end < first + count]
        if len(pair) != 2 or len(set(ends)) != 2:
            findings.refuse_value(
                category.owner, "skeleton", edge,
                f"pairs of different keypoints, counted from 1 to {count}", "correct the pair",
            )  # fmt: skip
            return ()
        names.append((category.keypoints[ends[0]], category.keypoints[ends[1]]))
    if not first:
        findings.derived["`skeleton` of a category counted from 0"] += 1
    return tuple((keypoints.index(a), keypoints.index(b)) for a, b in names)


def _refuse_all(listed: Sequence[Any], wanted: Wanted, findings: Findings) -> None:
    shown = ", ".join(f"{c.get('id')} {c.get('name', c)}" for c in listed[:5])
    if wanted.category:
        findings.refuse(
            f"`categories`: none is called {wanted.category!r} and has the keypoints ({shown} "
            f"...); correct `skeleton.category`"
        )
        return
    findings.refuse(
        f"`categories`: no category called `person` and none with names of keypoints ({shown} "
        f"...); call that of people `person`, or list its `keypoints`"
    )


def plain(name: Any) -> str:
    """A keypoint's name as COCO writes it: `Left Eye`, `leftEye`, `left-eye` -> left_eye."""
    return re.sub(r"[\s\-_.]+", "_", _WORDS.sub("_", str(name).strip())).casefold()
