"""Reading fields of records that strangers wrote: each is what it should be, or is refused."""

import math
import re
from pathlib import PurePosixPath
from typing import Any

import orjson

from stages.openpose.coco.findings import Findings, shortened
from stages.openpose.errors import InputError
from stages.openpose.plain_yaml import parse_yaml

_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "test": "test"}
_SPLITS |= {"validation": "val", "testing": "test", "trainval": "train"}


def as_json(data: bytes, where: str) -> Any:
    """The content of a JSON file; InputError where it is none."""
    try:
        return orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as problem:
        raise InputError(f"{where}: not JSON ({problem}); export it again") from None


def as_text(data: bytes, where: str) -> str:
    """The content of a text file in UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(f"{where}: not text in UTF-8 ({problem}); export it again") from None


def as_yaml(data: bytes, where: str) -> dict[str, Any]:
    """The sections of a YAML file, an empty one where it holds something else."""
    return mapping(parse_yaml(as_text(data, where), where))


def texts(value: Any, where: str, name: str) -> list[str]:
    """A list of texts or numbers, which are names; InputError where it is something else."""
    if not isinstance(value, list) or any(scalar(one) is None for one in value):
        raise InputError(f"{where}: `{name}`: expected a list of names, found {shortened(value)}")
    return [str(one) for one in value]


def records(value: Any, findings: Findings, owner: str, name: str) -> list[dict[str, Any]]:
    """The objects of a list; what is none is refused."""
    if value is None:
        return []
    if not isinstance(value, list):
        findings.refuse_value(owner, name, value, "a list of objects", "export it again")
        return []
    for i, one in enumerate(value):
        if not isinstance(one, dict):
            findings.refuse_value(owner, f"{name}[{i}]", one, "an object", "export it again")
    return [one for one in value if isinstance(one, dict)]


def mapping(value: Any) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def scalar(value: Any) -> str | int | float | None:
    """The value where it is text or a number, which can be a name or an id."""
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def number(value: Any, findings: Findings, owner: str, name: str) -> float | None:
    """A finite number, also where it is written as text; None where it was refused."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if math.isfinite(found):
        return found
    findings.refuse_value(owner, name, value, "a finite number", "correct it, or export it again")
    return None


def numbers(
    values: Any, count: int, findings: Findings, owner: str, name: str
) -> list[float] | None:
    """`count` finite numbers; None where they were refused."""
    if not isinstance(values, list | tuple) or len(values) != count:
        findings.refuse_value(owner, name, values, f"{count} numbers", "export it again")
        return None
    read = [number(value, findings, owner, f"{name}[{i}]") for i, value in enumerate(values)]
    return None if None in read else [value for value in read if value is not None]


def size(height: Any, width: Any, findings: Findings, owner: str) -> tuple[int, int] | None:
    """(height, width) of at least one pixel; None where it was refused."""
    read = numbers((height, width), 2, findings, owner, "height, width")
    if read is None:
        return None
    if min(read) < 1:
        findings.refuse_value(owner, "height, width", read, "at least 1 pixel", "export it again")
        return None
    return round(read[0]), round(read[1])


def split_of(path: str) -> str:
    """The split that a file or its folders are named after: train, val, test; else ""."""
    for part in reversed(PurePosixPath(path).parts):
        for word in reversed(re.split(r"[\W_]+", part.casefold())):
            if word in _SPLITS:
                return _SPLITS[word]
            if re.fullmatch(r"(train|val|test)\d{4}", word):
                return word.rstrip("0123456789")
    return ""
