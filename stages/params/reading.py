"""From YAML to checked Params; every mistake is one line that names the key."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stages.openpose.errors import InputError
from stages.openpose.fetch.sources import in_folder, parse_sources, places
from stages.openpose.plain_yaml import parse_yaml
from stages.params import keys
from stages.params.place import check_place
from stages.params.sections import PATTERNS, Params
from stages.params.together import check_ids, check_listed, check_together

TYPES = {  # by pydantic's names of mistakes
    "int_type": "type integer",
    "float_type": "type number",
    "string_type": "type string (in quotes if it looks like something else)",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a section of keys",
    "dataclass_type": "a section of keys",
    "finite_number": "a finite number",
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of:g}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "value_error": "{error}",
}

LARGEST = 2**31 - 1  # of whole numbers: those of libraries have 32 bits


def load(path: Path) -> Params:
    """Read and check a params file; InputError names the key, what was expected and what was
    found.
    """
    return build(read_yaml(path), str(path))


def build(values: Any, origin: str) -> Params:
    """Make Params of plain values; `origin` names them in errors."""
    check_whole_numbers(values, origin)
    try:
        settings = keys.adapter().validate_python(values)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        explained = " ".join(_explained(dict(first), values).split())
        raise InputError(f"{origin}: {explained}") from None
    _refuse_gaps(values, origin)
    check_together(settings, origin)
    return settings


def check_whole_numbers(values: Any, origin: str, *place: Any) -> None:
    """Raise InputError where a whole number of plain values is beyond LARGEST; `place` are the
    steps to `values`.
    """
    if isinstance(values, dict | list):
        for step, value in values.items() if isinstance(values, dict) else enumerate(values):
            check_whole_numbers(value, origin, *place, step)
    elif isinstance(values, int) and abs(values) > LARGEST:
        key = f"`{'.'.join(map(str, place))}`: " if place else ""
        raise InputError(
            f"{origin}: {key}expected a whole number of at most {LARGEST}, found one of "
            f"{values.bit_length()} bits"
        )


def check(path: Path) -> Params:
    """Load a params file and test it against what lies beside it too: the file of
    `download.sources`, the folders of outputs.
    """
    settings, project = load(path), Path(path).parent
    check_sources(settings, project, str(path))
    check_place(project, settings.dataset.name)
    check_places(settings, project, str(path))
    check_start(settings, project, str(path))
    return settings


def check_sources(settings: Params, project: Path, origin: str) -> None:
    """Test settings against the file of `download.sources`, seen from the folder of params.yaml;
    passes where it is not there (the sample makes its own).
    """
    path = project / settings.download.sources
    listed = read_yaml(path) if path.is_file() else None
    if isinstance(listed, dict):
        check_listed(settings, listed, origin)
        check_ids(settings, listed, origin)


def check_places(settings: Params, project: Path, origin: str) -> None:
    """Raise InputError where a local file or folder that `download.sources` names is not there:
    DVC, which looks for them too, says no more than that they are missing.
    """
    download, path = settings.download, project / settings.download.sources
    if settings.dataset.generated:  # made by the stage sample
        return
    if not path.is_file():
        raise InputError(
            f"{origin}: `download.sources`: no file {download.sources}; name one, see "
            f"workflow/sources"
        )
    have = Path(download.have).expanduser() if download.have else None
    for entry in parse_sources(read_yaml(path), str(path)):
        if entry.group == "weights" or (have and have.is_dir() and in_folder(entry, have)):
            continue
        place = places(
            entry.folder or entry.url,
            root=download.root,
            mirror="" if entry.folder else download.mirror,
            sources_folder=path.parent,
        )[0]
        if isinstance(place, Path) and not (project / place).exists():
            raise InputError(
                f"{origin}: `download.root` {download.root}: no {place}, which {entry.key} of "
                f"{download.sources} is; say where your data are: --set download.root=FOLDER of "
                f"python -m stages.params use, or by hand in {origin}"
            )


def check_start(settings: Params, project: Path, origin: str) -> None:
    """Raise InputError where the weights to start from or the teacher's folder are not there and
    the stage download will not bring them: before the data are packed for hours.
    """
    brought = f"data/{settings.dataset.name}/weights"
    for key in ("init", "teacher"):
        value = getattr(settings.train, key)
        if not value or (project / value).exists():
            continue
        if value in settings.download.weights and key == "init":
            continue
        if settings.download.weights and Path(value).is_relative_to(brought):
            continue
        raise InputError(
            f"{origin}: `train.{key}`: no {value}; name what is there, or a network of `python -m "
            f"stages.models list` and list it in `download.weights` too"
            + (f": its folder is {brought}/NAME then" if key == "teacher" else "")
        )


def _refuse_gaps(values: dict, origin: str) -> None:
    """Defaults fill no gap: DVC reads the file itself, and stages depend on what stands there."""
    for section in fields(Params):
        if section.name not in values:
            raise InputError(f"{origin}: the file lacks `{section.name}`")
        for key in fields(section.type) if is_dataclass(section.type) else ():
            if key.name not in values[section.name]:
                raise InputError(
                    f"{origin}: `{section.name}` lacks {key.name}; its default is {key.default!r}"
                )


def _explained(problem: dict, values: Any) -> str:
    kind, loc = problem["type"], problem["loc"]
    if kind in ("unexpected_keyword_argument", "invalid_key"):
        models = values.get("models")
        return keys.unknown(".".join(map(str, loc)), models if isinstance(models, dict) else ())
    path, value = _resolved(loc, values)
    place = f"`{'.'.join(map(str, path))}`" if path else "the file"
    if kind == "missing":
        return f"{place} lacks {loc[-1]}"
    described = keys.find(path) or {}
    meaning = described.get("description", "") if path else ""
    if loc[-1:] == ("[key]",):
        value, meaning = path[-1], ""
    return f"{place}: expected {_expected(problem, described)}, found {value!r}" + (
        f" ({meaning})" if meaning else ""
    )


def _resolved(loc: tuple, values: Any) -> tuple[tuple, Any]:
    """As much of pydantic's place of a mistake as is a place in the file, and the value there."""
    path: tuple = ()
    for step in loc:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            break
        path += (step,)
    return path, values


def _expected(problem: dict, described: dict) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return PATTERNS[context["pattern"]]
    if kind == "literal_error" or "anyOf" in described:
        return keys.kind_of(described)
    return TYPES[kind].format(**context) if kind in TYPES else problem["msg"]


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; InputError where it is missing, not YAML, or has a key twice."""
    try:
        return parse_yaml(Path(path).read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; make one with: python -m stages.params use sample"
        ) from None
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: not text in UTF-8 ({problem})") from None
