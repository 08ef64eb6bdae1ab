"""What is generated from the sections (JSON schema, docs/parameters.md, preset `sample`), and the
explanation of one key.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from stages.openpose.errors import InputError
from stages.openpose.files import whole_file
from stages.params import keys, presets
from stages.params.reading import read_yaml
from stages.params.sections import Params

PAGE = presets.WORKFLOW.parent / "docs" / "parameters.md"
SAMPLE_HEADING = f"""\
# The bundled sample: 3,400 drawn images, a light network, minutes on two cores.
# Every key is explained in docs/parameters.md. Other presets: python -m stages.params list
{presets.FOR_EDITORS}
"""
PAGE_HEADING = """\
# Parameters

Every key of `params.yaml`, generated from `stages/params/sections.py` by
`python -m stages.params document`. Units stand in the names: `_px` pixels, `_px2` square pixels,
`_s` seconds, `_deg` degrees, `_cells` label cells. Defaults are the values of the preset `sample`;
what another preset changes stands in `workflow/presets`.
`python -m stages.params explain train.clip_norm` also tells the active value and where it comes
from.
"""


def generated() -> dict[Path, str]:
    """The text of each generated file, by its path."""
    return {
        presets.SCHEMA: json.dumps(keys.schema(), indent=2, ensure_ascii=False) + "\n",
        PAGE: page(),
        presets.PRESETS / "sample.yaml": sample_text(),
    }


def document() -> list[Path]:
    """Write the generated files; returns their paths."""
    for path, text in generated().items():
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")
    return list(generated())


def sample_text() -> str:
    """A complete params.yaml of the defaults."""
    blocks = []
    for section, values in asdict(Params()).items():
        lines = [f"  {name}: {inline(value)}" for name, value in values.items()]
        blocks.append("\n".join([f"{section}:", *lines]) if lines else f"{section}: {{}}")
    return "\n\n".join([SAMPLE_HEADING.rstrip(), *blocks]) + "\n"


def inline(value: Any) -> str:
    """A value as params.yaml shows it."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10**6, sort_keys=False)
    text = text.removesuffix("...\n").strip()
    return json.dumps(value) if text.startswith("'") else text


def page() -> str:
    """The text of docs/parameters.md."""
    blocks = [PAGE_HEADING]
    for section, described in keys.schema_of_sections().items():
        blocks.append(f"## {section}\n\n{described['description']}\n")
        if section == "models":
            blocks.append("Each entry, by its name, has these keys:\n")
            described = keys.known("models", "any")
        rows = [_row(name, key) for name, key in described["properties"].items()]
        blocks.append("| key | values | default | meaning |\n|---|---|---|---|\n" + "".join(rows))
    return "\n".join(blocks)


def _row(name: str, described: dict) -> str:
    values = ", ".join(filter(None, (keys.kind_of(described), keys.bounds_of(described))))
    default = f"`{inline(described['default'])}`" if "default" in described else ""
    cells = (values, default, described["description"])
    return "| " + " | ".join([f"`{name}`", *(_escaped(cell) for cell in cells)]) + " |\n"


def _escaped(text: str) -> str:
    return text if text.startswith("`") else text.replace("|", "\\|").replace("<", "\\<")


def explain(name: str, path: Path) -> str:
    """Meaning, type, unit, bounds and default of a key, or of all keys of a section; the value that
    it has in the params file at `path`, and where that comes from.
    """
    steps = presets.steps_of(name)
    values = read_yaml(path) if path.exists() else {}
    models = values.get("models") or {} if isinstance(values, dict) else {}
    described = keys.find(steps)
    if described is None or (steps[0] == "models" and steps[1:2] and steps[1] not in models):
        raise InputError(keys.unknown(name, models))
    if "properties" in described:
        return "\n\n".join(explain(f"{name}.{key}", path) for key in described["properties"])
    lines = {
        "meaning": described.get("description", ""),
        "type": keys.kind_of(described),
        "unit": keys.unit_of(steps[-1]),
        "bounds": keys.bounds_of(described),
        "default": inline(described["default"]) if "default" in described else "",
        "active": _active(steps, values, path),
    }
    return "\n".join([name, *(f"  {word:8} {text}" for word, text in lines.items() if text)])


def _active(steps: list[str], values: Any, path: Path) -> str:
    """The value of the file, and which preset it is of or differs from."""
    value = at(values, steps)
    if value is None:
        return f"not in {path}"
    preset = presets.preset_of(path.read_text(encoding="utf-8"))
    if preset is None:
        return f"{inline(value)} ({path}, whose first line is that of no preset)"
    usual = at(presets.preset_values(preset), steps)
    if value == usual:
        return f"{inline(value)} (from preset {_through(preset, steps)})"
    before = f"{inline(usual)} in" if usual is not None else "not in"
    return f"{inline(value)} (changed by hand or --set; {before} preset {preset})"


def _through(preset: str, steps: list[str]) -> str:
    setter = presets.setter(preset, steps)
    return preset if setter == preset else f"{setter}, over which {preset} is laid"


def at(values: Any, steps: list[str]) -> Any:
    """The value at a path of keys; None where there is none."""
    for step in steps:
        values = values.get(step) if isinstance(values, dict) else None
    return values
