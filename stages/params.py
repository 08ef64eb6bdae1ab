"""The settings of a run: params.yaml as frozen dataclasses, one a section, checked against
workflow/schemas.

    python -m stages.params list           presets and what they are for
    python -m stages.params use tiny       make a preset the active params.yaml
    python -m stages.params check          check params.yaml

`use` can change single keys of a preset: use own_data --set download.root=/path/to/data
"""

import argparse
import io
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from stages import leftovers
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file

WORKFLOW = Path(__file__).resolve().parent.parent / "workflow"
SCHEMA = WORKFLOW / "schemas" / "params.schema.yaml"
PRESETS = WORKFLOW / "presets"


@dataclass(frozen=True)
class Dataset:
    """Which data set is active; its files live in data/<name>."""

    name: str
    generated: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """The drawn sample: seed and sizes."""

    seed: int
    train_images: int
    val_images: int
    val1k_images: int


@dataclass(frozen=True)
class Download:
    """Where archives, annotations and id lists come from."""

    sources: str
    root: str
    mirror: str
    have: str
    retries: int
    timeout_s: float
    parallel: int
    weights: tuple[str, ...]


@dataclass(frozen=True)
class CocoApi:
    """The check of pycocotools."""

    self_test: bool


@dataclass(frozen=True)
class Masks:
    """Which pixels may be learned from."""

    sources: tuple[str, ...]
    shards: tuple[int, ...]


@dataclass(frozen=True)
class Pack:
    """Which images and persons become training samples."""

    protocol: str
    holdout_images: int
    reference_images: int
    duplicate_radius: str
    min_keypoints: int
    min_area_px2: float


@dataclass(frozen=True)
class Labels:
    """Heatmaps and PAFs."""

    stride_px: int
    sigma_px: float
    paf_width_px: float
    paf_overlap: str
    paf_grid: str
    beyond_frame: str
    made_on: str


@dataclass(frozen=True)
class Augment:
    """The random affine of a training sample."""

    crop_px: int
    target_height: float
    scale: str
    scale_min: float
    scale_max: float
    rotation_deg: float
    shift_px: float
    shift_in: str
    flip_probability: float
    interpolation: str
    outside_supervised: bool
    mask_shrink: str


@dataclass(frozen=True)
class Train:
    """Network, optimizer and schedule."""

    backend: str
    seed: int
    network: str
    init: str
    freeze: tuple[str, ...]
    epochs: int
    batch_size: int
    precision: str
    optimizer: str
    learning_rate: float
    schedule: str
    warm_up_samples: int
    multipliers: str
    weight_decay: float
    decay_meaning: str
    clip_norm: float
    average_momentum: float
    batch_parts: int
    early_stop_epochs: int
    shuffle_images: int
    corrupt_records: str
    checkpoint_every_s: float


@dataclass(frozen=True)
class HeldOut:
    """AP of held-out training images."""

    every_epochs: int
    images: int


@dataclass(frozen=True)
class Detect:
    """Inference: which models, which images, at which scales."""

    models: tuple[str, ...]
    splits: tuple[str, ...]
    shards: tuple[int, ...]
    height_px: int
    scales: tuple[float, ...]
    pad_value: int
    pad_multiple_px: int
    average_stride_px: int
    batch_size: int
    precision: str


@dataclass(frozen=True)
class Decoder:
    """From maps to people."""

    mode: str
    peak_threshold: float
    smoothing_cells: float
    limb_samples: int
    limb_threshold: float
    limb_share: float
    min_parts: int
    min_score: float
    score_rule: str
    join_pieces: bool
    complete: bool


@dataclass(frozen=True)
class Evaluate:
    """AP and its uncertainty."""

    splits: tuple[str, ...]
    bootstrap_samples: int
    seed: int


@dataclass(frozen=True)
class Report:
    """The page of results."""

    gallery_images: int


@dataclass(frozen=True)
class Params:
    """All settings; sections are named after stages, plus dataset, labels, augment, models and
    decoder.

    `models` holds the networks trained elsewhere by name, each as the schema describes it.
    """

    dataset: Dataset
    sample: Sample
    download: Download
    coco_api: CocoApi
    masks: Masks
    pack: Pack
    labels: Labels
    augment: Augment
    train: Train
    held_out: HeldOut
    models: dict[str, dict[str, Any]]
    detect: Detect
    decoder: Decoder
    evaluate: Evaluate
    report: Report


def load(path: Path) -> Params:
    """Read and check a params file; InputError names the key, what was expected and what was
    found.
    """
    return build(read_yaml(path, _Yaml), str(path))


def build(values: Any, origin: str) -> Params:
    """Make Params of plain values; `origin` names them in errors."""
    check(values, origin)
    return Params(
        **{section.name: _section(section.type, values[section.name]) for section in fields(Params)}
    )


def _section(kind: type, values: dict) -> Any:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def check(values: Any, origin: str) -> None:
    """Raise InputError naming the first key of `values` that the schema does not allow."""
    validator = jsonschema.Draft202012Validator(read_yaml(SCHEMA))
    problems = sorted(
        validator.iter_errors(values), key=lambda problem: list(map(str, problem.absolute_path))
    )
    if problems:
        raise InputError(f"{origin}: {_explain(problems[0])}")


def _explain(problem: jsonschema.ValidationError) -> str:
    key = ".".join(map(str, problem.absolute_path))
    place = f"`{key}`" if key else "the file"
    if problem.validator == "additionalProperties":
        known = problem.schema.get("properties", {})
        unknown = ", ".join(
            f"`{key}.{name}`".replace("`.", "`") for name in problem.instance if name not in known
        )
        return f"unknown key {unknown}; known keys of {place}: {', '.join(known)}"
    if problem.validator == "required":
        missing = [name for name in problem.validator_value if name not in problem.instance]
        return f"{place} lacks {', '.join(missing)}"
    expected = {
        "type": lambda rule: f"type {rule}",
        "enum": lambda rule: f"one of {', '.join(map(str, rule))}",
        "minimum": lambda rule: f"at least {rule}",
        "maximum": lambda rule: f"at most {rule}",
        "exclusiveMinimum": lambda rule: f"more than {rule}",
    }.get(problem.validator, lambda rule: f"{problem.validator} {rule}")(problem.validator_value)
    meaning = problem.schema.get("description", "")
    return f"{place}: expected {expected}, found {problem.instance!r}" + (
        f" ({meaning})" if meaning else ""
    )


class _Yaml(yaml.SafeLoader):
    """Reads `5e-05` as a number, as YAML 1.2 does: so writes `dvc exp run -S
    train.weight_decay=0.00005`.
    """


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """The content of a YAML file; InputError where it is missing or not YAML."""
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), loader)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; make one with: python -m stages.params use sample"
        ) from None
    except yaml.YAMLError as problem:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(problem).split())}") from None


def preset_names() -> list[str]:
    """Names of the presets in workflow/presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_text(name: str) -> str:
    """The complete params.yaml of a preset: itself, laid over the preset named in its first key
    `extends`.
    """
    if name not in preset_names():
        raise InputError(f"preset `{name}` does not exist; there are: {', '.join(preset_names())}")
    text = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")
    editor = _editor()
    overlay = editor.load(text)
    base = overlay.pop("extends", None)
    if base is None:
        return text
    merged = editor.load(preset_text(base))
    for section, values in overlay.items():
        merged.setdefault(section, {}).update(values)
    return _dump(editor, merged, _heading(text))


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
    """The params text with single keys changed, each change as `section.key=YAML value`; comments
    stay.
    """
    editor = _editor()
    values = editor.load(text)
    for change in changes:
        name, equals, value = change.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot and key):
            raise InputError(
                f"--set {change}: expected section.key=value, as in download.root=/data/mine"
            )
        if key not in (values.get(section) or {}):
            raise InputError(
                f"--set {change}: unknown key {name}; keys: "
                f"{', '.join(values.get(section) or values)}"
            )
        values[section][key] = _typed(editor, value, change)
    return _dump(editor, values, _heading(text))


def _typed(editor: Any, text: str, change: str) -> Any:
    """The value that YAML 1.2 sees in `text`, in a form that YAML 1.1 (PyYAML) reads the same:
    `off`, `2e-5`.
    """
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    try:
        value = editor.load(text) if text else ""
    except YAMLError:
        raise InputError(
            f"--set {change}: {text!r} is not a YAML value; put it in quotes"
        ) from None
    if isinstance(value, float):
        return editor.load(yaml.safe_dump(float(value)).split()[0])
    if isinstance(value, str) and yaml.safe_load(value) != value:
        return DoubleQuotedScalarString(value)
    return value


def use(name: str, path: Path, changes: Iterable[str] = ()) -> None:
    """Make preset `name`, with single keys changed (`section.key=value`), the active params file at
    `path`.
    """
    text = with_changes(preset_text(name), changes) if changes else preset_text(name)
    build(yaml.safe_load(text), f"preset {name}" + (" with --set" if changes else ""))
    with leftovers.dropped(path.parent), whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def _main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="presets and what they are for")
    chosen = commands.add_parser("use", help="make a preset the active params.yaml")
    chosen.add_argument("preset")
    chosen.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one key of it",
    )
    commands.add_parser("check", help="check params.yaml")
    arguments = parser.parse_args()
    try:
        if arguments.command == "use":
            use(arguments.preset, arguments.params, arguments.set)
            print(f"{arguments.params}: preset {arguments.preset}")
        elif arguments.command == "check":
            load(arguments.params)
            print(f"{arguments.params}: fine")
        else:
            for name in preset_names():
                heading = _heading((PRESETS / f"{name}.yaml").read_text())
                print(f"{name:20} {heading.splitlines()[0].lstrip('# ')}")
    except InputError as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    _main()
