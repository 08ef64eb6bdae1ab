"""What is known of a key: its part of the JSON schema, and the nearest key to a mistyped one."""

import difflib
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from stages.params.sections import PATTERNS, Params

UNITS = {
    "_px": "pixels",
    "_px2": "square pixels",
    "_s": "seconds",
    "_deg": "degrees",
    "_cells": "label cells",
}
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "minProperties": "at least {} of them",
}


@cache
def adapter() -> TypeAdapter:
    """What turns plain values into Params."""
    return TypeAdapter(Params)


@cache
def schema() -> dict:
    """The JSON schema of params.yaml; no key may be left out, as DVC reads the file too."""
    made = _plain(adapter().json_schema())
    for name, section in made["$defs"].items():
        if name != "Model":
            section["required"] = list(section["properties"])
    made["required"] = list(made["properties"])
    entries = made["properties"]["models"]["patternProperties"]
    for pattern, entry in entries.items():
        entries[pattern] = {"anyOf": [entry, {"type": "string"}]}  # or the name of one
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _plain(node: Any) -> Any:
    """Without titles, which repeat the names, and defaults that stand for none."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    left_out: dict[str, type] = {"title": str, "default": type(None)}
    if "$ref" in node:  # the section has its own
        left_out["default"] = dict
    return {
        name: _plain(value)
        for name, value in node.items()
        if name not in left_out or not isinstance(value, left_out[name])
    }


def find(path: Iterable[str | int]) -> dict | None:
    """The schema of the key at `path`, as in ("train", "epochs"); None where there is none."""
    node: Any = schema()
    for name in path:
        if isinstance(name, int):
            node = node.get("items")
        else:
            node = node.get("properties", {}).get(name) or _of_any_name(node)
        if not isinstance(node, dict):
            return None
        node = next((kind for kind in node.get("anyOf", ()) if "$ref" in kind), node)
        if "$ref" in node:
            node = schema()["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def schema_of_sections() -> dict[str, dict]:
    """The schema of each section, by its name."""
    return {section: known(section) for section in schema()["properties"]}


def known(*path: str) -> dict:
    """As `find`, of a key that is there."""
    described = find(path)
    assert described is not None, path
    return described


def _of_any_name(node: dict) -> dict | None:
    return next(iter(node.get("patternProperties", {}).values()), None)


def is_text(described: dict) -> bool:
    """Whether a key holds text, which is taken as it stands."""
    choices = described.get("enum", [])
    return described.get("type") == "string" or (
        bool(choices) and all(isinstance(choice, str) for choice in choices)
    )


def kind_of(described: dict) -> str:
    """The type in words: `integer`, `list of number`, `one of fixed, reference`."""
    if "anyOf" in described:
        return " or ".join(kind_of(one) for one in described["anyOf"])
    if "enum" in described:
        return f"one of {', '.join(map(str, described['enum']))}"
    if "pattern" in described:
        return PATTERNS[described["pattern"]]
    if described.get("type") == "array":
        item = described.get("items") or described["prefixItems"][0]
        count = f" {described['minItems']}" if _of_fixed_length(described) else ""
        return f"list of{count}: {kind_of(item)}"
    if described.get("type") == "object":
        return "section of keys"
    return described["type"]


def _of_fixed_length(described: dict) -> bool:
    return "minItems" in described and described["minItems"] == described.get("maxItems")


def bounds_of(described: dict) -> str:
    """The bounds in words, those of a list's items among them: `at least 0, at most 1`."""
    told = ("minItems", "maxItems") if _of_fixed_length(described) else ()
    own = [
        words.format(described[rule])
        for rule, words in BOUNDS.items()
        if rule in described and rule not in told
    ]
    items = bounds_of(described["items"]) if isinstance(described.get("items"), dict) else ""
    return ", ".join([*own, *([f"each {items}"] if items else [])])


def unit_of(name: str) -> str:
    """The unit that the end of a key's name tells; empty for numbers without one."""
    found = re.search(r"_[a-z]+2?$", name)
    return UNITS.get(found[0], "") if found else ""


def names(models: Iterable[str] = ()) -> list[str]:
    """All keys with their sections, and those of the models of these names."""
    every = []
    for section, described in schema_of_sections().items():
        every += [section, *(f"{section}.{name}" for name in described.get("properties", ()))]
    for model in models:
        entry = f"models.{model}"
        every += [entry, *(f"{entry}.{name}" for name in known("models", model)["properties"])]
    return every


def nearest(name: str, models: Iterable[str] = ()) -> str | None:
    """The key that `name` may mean: the same key of another section, else one of like letters of
    its section, else of all.
    """
    known = names(models)
    parent, _, key = name.rpartition(".")
    elsewhere = [other for other in known if other.endswith(f".{key}")]
    siblings = {
        other.rpartition(".")[2]: other for other in known if other.startswith(f"{parent}.")
    }
    if elsewhere:
        return difflib.get_close_matches(name, elsewhere, 1, cutoff=0)[0]
    if parent in known:
        return siblings.get(next(iter(difflib.get_close_matches(key, siblings, 1)), ""))
    return next(iter(difflib.get_close_matches(name, known, 1)), None)


def unknown(name: str, models: Iterable[str] = ()) -> str:
    """What to say of a key that does not exist: the nearest one, else those of its section."""
    if meant := nearest(name, models):
        return f"unknown key `{name}`; did you mean `{meant}`? All keys: docs/parameters.md"
    section = name.split(".")[0]
    if section == "models":
        return f"unknown key `{name}`; names in section models: {', '.join(models) or 'none'}"
    siblings = (find([section]) if "." in name else None) or schema()
    return f"unknown key `{name}`; keys: {', '.join(siblings['properties'])}"
