"""Presets: complete settings that one command makes active, some of them laid over another."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages import leftovers
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file
from stages.openpose.plain_yaml import parse_yaml
from stages.params import keys
from stages.params.reading import build, check_sources, check_whole_numbers

STAGES = Path(__file__).resolve().parents[1]
# in an installed package a part of it travels inside the package (pyproject.toml)
REPOSITORY = STAGES.parent if (STAGES.parent / "workflow").is_dir() else STAGES / "_shipped"
WORKFLOW = REPOSITORY / "workflow"
PRESETS = WORKFLOW / "presets"
OWN_FILES = ("download.sources", "download.root", "download.have")
LONGEST_SHOWN = 200  # characters of what was typed
SCHEMA = WORKFLOW / "schemas" / "params.schema.json"
FOR_EDITORS = "# yaml-language-server: $schema=workflow/schemas/params.schema.json"


def preset_names() -> list[str]:
    """Names of the presets in workflow/presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def chain(name: str) -> list[str]:
    """A preset, the one that it is laid over, and so on: [coco2017, coco2014, sample]."""
    base = _overlay(name).get("extends")
    return [name, *(chain(base) if base else [])]


def _overlay(name: str) -> dict:
    return parse_yaml(_text(name), f"preset {name}")


def setter(name: str, path: Iterable[str]) -> str:
    """Which preset of the chain of `name` sets the key at `path`."""
    for preset in chain(name):
        values: Any = _overlay(preset)
        for step in path:
            values = values.get(step) if isinstance(values, dict) else None
        if values is not None:
            return preset
    return name


def preset_of(text: str) -> str | None:
    """The preset that a params text was made of, known by its first line."""
    first = text.partition("\n")[0]
    return next((name for name in preset_names() if _text(name).startswith(f"{first}\n")), None)


def _text(name: str) -> str:
    if name not in preset_names():
        raise InputError(f"preset `{name}` does not exist; there are: {', '.join(preset_names())}")
    return (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")


def preset_values(name: str) -> dict:
    """The complete settings of a preset."""
    return parse_yaml(preset_text(name), f"preset {name}")


def title(name: str) -> str:
    """What a preset is for: its first line."""
    return _text(name).partition("\n")[0].lstrip("# ")


def preset_text(name: str) -> str:
    """The complete params.yaml of a preset: itself, laid over the preset named in its first key
    `extends`.
    """
    text = _text(name)
    editor = _editor()
    overlay = editor.load(text)
    base = overlay.pop("extends", None)
    if base is None:
        return text
    merged = editor.load(preset_text(base))
    for section, values in overlay.items():
        merged.setdefault(section, {}).update(values)
    return _dump(editor, merged, f"{_heading(text)}\n{FOR_EDITORS}")


def _editor() -> Any:
    """A YAML reader and writer that keeps comments and quotes."""
    from ruamel.yaml import (
        YAML,
    )  # here, because every stage imports this module and only `use` needs it

    editor = YAML()
    editor.width = 120
    editor.preserve_quotes = True
    return editor


def _heading(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line)
    return "\n".join(lines)


def _dump(editor: Any, merged: Any, heading: str) -> str:
    for values in merged.values():
        for key, value in values.items():
            if isinstance(value, list):
                values[key] = type(value)(value)
    stream = io.StringIO()
    editor.default_flow_style = None
    editor.dump(merged, stream)
    body = stream.getvalue()
    return heading + "\n\n" + body[body.index("dataset:") :]


def with_changes(text: str, changes: Iterable[str]) -> str:
    """The params text with single keys changed, each change as `section.key=value` or
    `models.name.key=value`; comments stay.

    Text keys take the value as it stands (quotes around the whole of it may be left out), others
    as YAML.
    """
    editor = _editor()
    values = editor.load(text)
    for change in changes:
        name, equals, value = change.partition("=")
        option = f"--set {' '.join(change.split())[:LONGEST_SHOWN]}"
        if not (equals and "." in name.strip(".")):
            raise InputError(
                f"{option}: expected section.key=value, as in download.root=/data/mine"
            )
        path = steps_of(name)
        described = keys.find(path)
        known = values.get("models") or {}
        new_model = path[0] == "models" and len(path) > 2 and path[1] not in known
        if described is None or new_model:
            raise InputError(f"{option}: {keys.unknown(name[:LONGEST_SHOWN], known)}")
        place = values
        for step in path[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise InputError(f"{option}: `{step}` is {place!r}, which has no keys of its own")
        place[path[-1]] = _typed(editor, value, described, option)
    return _dump(editor, values, _heading(text))


def steps_of(name: str) -> list[str]:
    """The steps of a dotted name; file names in `models.<name>.files` hold dots themselves."""
    steps = name.split(".")
    in_files = steps[0] == "models" and steps[2:3] == ["files"]
    return name.split(".", 3) if in_files else steps


def _typed(editor: Any, text: str, described: dict, option: str) -> Any:
    """The value that `text` stands for, in a form that YAML 1.1 (PyYAML) and 1.2 read the same:
    `off`, `2e-5`.
    """
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if keys.is_text(described) and not quoted:
        return DoubleQuotedScalarString(text)
    try:
        value = parse_yaml(text, option)
    except InputError:
        raise InputError(
            f"{option}: {text[:LONGEST_SHOWN]!r} is not a YAML value; put it in quotes"
        ) from None
    check_whole_numbers(value, option)
    if isinstance(value, str):
        return DoubleQuotedScalarString(value)
    return editor.load(_flow(value))


def _flow(value: Any) -> str:
    """YAML of one line for a value that is no text."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _in_full(change: str, project: Path) -> str:
    """The change with a relative path out of the project made absolute: `dvc exp run --temp` and
    `--queue` run in copies of the project that lie elsewhere.
    """
    name, _, value = change.partition("=")
    value = value.strip("'\"")
    if name not in OWN_FILES or not value or "://" in value:
        return change
    target = (project / value).resolve()
    return change if target.is_relative_to(project.resolve()) else f"{name}={target}"


def use(name: str, path: Path, changes: Iterable[str] = ()) -> None:
    """Make preset `name`, with single keys changed (`section.key=value`), the active params file at
    `path`. Paths of the user's own files that lead out of the project are written in full.
    """
    changes = [_in_full(change, path.parent) for change in changes]
    text = with_changes(preset_text(name), changes) if changes else preset_text(name)
    origin = f"preset {name}" + (" with --set" if changes else "")
    check_sources(build(parse_yaml(text, origin), origin), path.parent, origin)
    with leftovers.dropped(path.parent), whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
