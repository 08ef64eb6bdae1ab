"""What differs between two states of the pipeline, and what that does to AP.

    python -m stages.explain HEAD~3 HEAD
    python -m stages.explain main workspace
    python -m stages.explain results/evaluate/trained results/evaluate/other

A and B are a git revision, the name of a DVC experiment, `workspace` (the files as they are), or a
folder that the stage evaluate wrote for one model. Parameters, code, data and libraries are those
of dvc.lock: what the results were made with. Differences of AP are paired, on the same draws of
images, where what was matched is still there (in the workspace or in DVC's cache); else the two
APs are told alone. Draws: section `evaluate` of params.yaml.
"""

import argparse
import io
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages import cli, params
from stages.openpose.errors import InputError
from stages.openpose.evaluation.scoring import Matches, paired_difference, read_matches
from stages.unchanged import YAML

HEADLINE = "multi"  # the inference whose matches the stage evaluate keeps
WORKSPACE = "workspace"
EVALUATE = Path("results/evaluate")
Result = tuple[str, str]  # model, split


@dataclass(frozen=True)
class State:
    """One side of the comparison.

    Attributes:
        name: as it was typed.
        lock: dvc.lock, or nothing for a folder.
        metrics: of the stage evaluate, by model and split.
        matches: what was matched for a model and split; raises InputError where it is not there.
    """

    name: str
    lock: dict[str, Any] | None
    metrics: dict[Result, dict[str, Any]]
    matches: Callable[[Result], Matches]


def explain(arguments: argparse.Namespace) -> dict:
    """Print what differs, then AP."""
    draws = params.load(arguments.params).evaluate
    first, second = state_of(arguments.a), state_of(arguments.b)
    if first.lock is not None and second.lock is not None:
        for title, lines in differences(first.lock, second.lock).items():
            print(f"{title}: {'' if lines else 'none differs'}".rstrip())
            print("".join(f"  {line}\n" for line in lines), end="")
    compared = list(_pairs(first, second))
    if not compared:
        raise InputError(
            f"{first.name} and {second.name}: no split that both were evaluated on; found "
            f"{_named(first)} and {_named(second)}"
        )
    print(f"AP of {HEADLINE}, per cent (A {first.name}, B {second.name}):")
    for ours, theirs in compared:
        print(f"  {ap_line(first, ours, second, theirs, draws.bootstrap_samples, draws.seed)}")
        if changes := lost_line(first.metrics[ours], second.metrics[theirs]):
            print(f"    {changes}")
    return {"compared": len(compared)}


def state_of(name: str) -> State:
    """The state that `name` stands for; InputError where it stands for none."""
    folder = Path(name)
    if name == WORKSPACE:
        lock = _yaml(Path("dvc.lock").read_text(encoding="utf-8"))
        return State(name, lock, _metrics(_read_file, _evaluated(lock)), _matches_of_files)
    if folder.is_dir() and any(folder.glob("*.json")):
        found = {(folder.name, path.stem): path for path in sorted(folder.glob("*.json"))}
        metrics = {result: json.loads(path.read_text()) for result, path in found.items()}
        return State(name, None, metrics, lambda result: _from_file(folder, result))
    revision = _revision(name)
    lock = _yaml(_git("show", f"{revision}:dvc.lock"))

    def read(path: Path) -> str:
        return _git("show", f"{revision}:{path}")

    return State(
        name,
        lock,
        _metrics(read, _evaluated(lock)),
        lambda result: _from_cache(revision, result, name),
    )


def _revision(name: str) -> str:
    """The commit of a git revision or of a DVC experiment."""
    for line in _git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        commit, _, reference = line.partition(" ")
        if reference.rsplit("/", 1)[-1] == name:
            return commit
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    except InputError:
        raise InputError(
            f"{name}: no git revision, no experiment (dvc exp list), no folder with metrics of the "
            f"stage evaluate, and not the word {WORKSPACE}"
        ) from None


def _git(*command: str) -> str:
    done = subprocess.run(["git", *command], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise InputError(f"git {' '.join(command)}: {done.stderr.strip() or 'failed'}")
    return done.stdout


def _yaml(text: str) -> dict[str, Any]:
    return yaml.load(text, Loader=YAML)


def _read_file(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _evaluated(lock: dict[str, Any]) -> list[Result]:
    """Models and splits of the outputs of the stage evaluate."""
    outputs = [
        Path(out["path"])
        for name, stage in lock["stages"].items()
        if name.partition("@")[0] == "evaluate"
        for out in stage.get("outs", [])
    ]
    return [(path.parent.name, path.stem) for path in outputs if path.suffix == ".json"]


def _metrics(read: Callable[[Path], str], results: list[Result]) -> dict[Result, dict[str, Any]]:
    return {
        (model, split): json.loads(read(EVALUATE / model / f"{split}.json"))
        for model, split in results
    }


def _matches_of_files(result: Result) -> Matches:
    return _from_file(EVALUATE / result[0], result)


def _from_file(folder: Path, result: Result) -> Matches:
    path = folder / result[1] / "matches.npz"
    if not path.exists():
        raise InputError(f"{path} is not there")
    return read_matches(path)


def _from_cache(revision: str, result: Result, name: str) -> Matches:
    """From DVC's cache or its remote."""
    import dvc.api  # half a second
    from dvc.exceptions import DvcException
    from dvc_data.index.index import DataIndexError

    path = EVALUATE / result[0] / result[1] / "matches.npz"
    try:
        return read_matches(io.BytesIO(dvc.api.read(str(path), rev=revision, mode="rb")))
    except (DvcException, DataIndexError, OSError):
        raise InputError(
            f"{path} of {name} is in no cache: dvc fetch, or run that revision"
        ) from None


def differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[str]]:
    """Lines by heading: parameters, code, data and libraries of two dvc.lock that differ."""
    code: dict[str, str] = {}
    data: dict[str, str] = {}
    made: dict[str, str] = {}
    locks = first["stages"], second["stages"]
    outputs = [_hashes(lock, "outs") for lock in locks]
    for path, (ours, theirs, stages) in _changed(*(_hashes(lock, "deps") for lock in locks)):
        if not any(_overlap(path, output) for output in {**outputs[0], **outputs[1]}):
            kind = code if path.startswith(("stages/", "workflow/")) else data
            kind[path] = f"{path}: {_told(ours, theirs)} ({', '.join(stages)})"
    for path, (ours, theirs, stages) in _changed(*outputs):
        made[path] = f"{path}: {_told(ours, theirs)} ({', '.join(stages)})"
    settings = [_settings(lock, "params.yaml") for lock in locks]
    libraries = [_settings(lock, "envs/versions.yaml") for lock in locks]
    return {
        "Parameters": list(_changed_values(*settings)),
        "Code": list(code.values()),
        "Data from outside": list(data.values()),
        "Libraries": list(_changed_values(*libraries)),
        "Results": list(made.values()),
    }


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")


def _hashes(stages: dict[str, Any], kind: str) -> dict[str, tuple[str, list[str]]]:
    """Hash of each path, and the stages that have it."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, stage in stages.items():
        for item in stage.get(kind, []):
            _, owners = found.setdefault(item["path"], (item.get("md5", ""), []))
            stage_name = name.partition("@")[0]
            if stage_name not in owners:
                owners.append(stage_name)
    return found


def _changed(ours: dict, theirs: dict) -> Iterator[tuple[str, tuple[str, str, list[str]]]]:
    for path in sorted({**ours, **theirs}):
        (a, stages_a), (b, stages_b) = ours.get(path, ("", [])), theirs.get(path, ("", []))
        if a != b:
            yield path, (a, b, stages_b or stages_a)


def _told(ours: str, theirs: str) -> str:
    return "differs" if ours and theirs else "only in A" if ours else "only in B"


def _settings(stages: dict[str, Any], file: str) -> dict[str, Any]:
    """Dotted names and values of what stages read from `file`."""
    found: dict[str, Any] = {}
    for stage in stages.values():
        for name, value in stage.get("params", {}).get(file, {}).items():
            found |= dict(_flat(name, value))
    return found


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(f"{name}.{key}", inner)


def _changed_values(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterable[str]:
    for name in sorted({**ours, **theirs}):
        if (name in ours) != (name in theirs) or ours[name] != theirs[name]:
            yield f"{name}: {ours.get(name, 'not there')} -> {theirs.get(name, 'not there')}"


def _pairs(first: State, second: State) -> Iterator[tuple[Result, Result]]:
    """Results of one split: of the same model, or of any where one side is a folder."""
    any_model = first.lock is None or second.lock is None
    for ours in first.metrics:
        for theirs in second.metrics:
            if ours[1] == theirs[1] and (any_model or ours[0] == theirs[0]):
                yield ours, theirs


def _named(state: State) -> str:
    return ", ".join(" on ".join(result) for result in state.metrics) or "nothing"


def ap_line(
    first: State, ours: Result, second: State, theirs: Result, samples: int, seed: int
) -> str:
    """Both APs, B minus A with its 95 % interval, or why there is none."""
    before, after = (
        side.metrics[result].get(HEADLINE, {}).get("AP")
        for side, result in ((first, ours), (second, theirs))
    )
    models = ours[0] if ours[0] == theirs[0] else f"{ours[0]} and {theirs[0]}"
    text = f"{models} on {ours[1]}: A {_percent(before)}, B {_percent(after)}"
    try:
        gain, span = paired_difference(second.matches(theirs), first.matches(ours), samples, seed)
    except InputError as problem:
        return f"{text}; no interval: {problem}"
    told = f"{text}, B - A {100 * gain:+.1f}"
    return f"{told} [{100 * span[0]:+.1f}, {100 * span[1]:+.1f}]" if span else told


def lost_line(first: dict[str, Any], second: dict[str, Any]) -> str:
    """What each kind of error costs in A and in B; empty where one of them was not counted."""
    before, after = first.get("lost") or {}, second.get("lost") or {}
    changes = [
        f"{name} {_percent(before[name])} -> {_percent(after[name])}"
        for name in before
        if name in after
    ]
    return f"lost to {', '.join(changes)}" if changes else ""


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{100 * value:.1f}"


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("a", metavar="A", help="revision, experiment, workspace or folder")
    parser.add_argument("b", metavar="B", help="the other one")
    cli.run(explain, parser.parse_args())


if __name__ == "__main__":
    main()
