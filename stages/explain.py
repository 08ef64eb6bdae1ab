"""What differs between two states of the pipeline, and what that does to AP.

    python -m stages.explain HEAD~3 HEAD
    python -m stages.explain main workspace
    python -m stages.explain results/evaluate/trained results/evaluate/other

A and B are a git revision, the name of a DVC experiment, `workspace` (the files as they are), or a
folder that the stage evaluate wrote for one model. Parameters, code, data and libraries are those
of dvc.lock: what the results were made with. Differences of AP are paired, on the same draws of
images, where what was matched is still there (in the workspace or in DVC's cache); else the two
APs are told alone. Where experiments or commits of branches and tags lie between A and B (each of
their differences is one of those between A and B), AP follows the longest row of them, change by
change. Draws: section `evaluate` of params.yaml.
"""

import argparse
import functools
import io
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from stages import cli, locks, params
from stages.openpose.errors import InputError
from stages.openpose.evaluation.scoring import Matches, paired_difference, read_matches
from stages.unchanged import YAML

HEADLINE = "multi"  # the inference whose matches the stage evaluate keeps
WORKSPACE = "workspace"
EVALUATE = Path("results/evaluate")
EXPERIMENTS = "refs/exps/??/*/*"  # not DVC's own refs beside them
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
    settings = params.load(arguments.params).evaluate
    draws = settings.bootstrap_samples, settings.seed
    first, second = state_of(arguments.a), state_of(arguments.b)
    if first.lock is not None and second.lock is not None:
        for title, lines in locks.differences(first.lock, second.lock).items():
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
        print(f"  {ap_line(first, ours, second, theirs, draws)}")
        if changes := lost_line(first.metrics[ours], second.metrics[theirs]):
            print(f"    {changes}")
        if ours == theirs and first.lock is not None and second.lock is not None:
            for line in steps(first, second, ours, draws):
                print(f"    {line}")
    return {"compared": len(compared)}


def state_of(name: str) -> State:
    """The state that `name` stands for; InputError where it stands for none."""
    folder = Path(name)
    if name == WORKSPACE:
        lock = _yaml(Path("dvc.lock").read_text(encoding="utf-8"))
        metrics = _metrics(_read_file, _evaluated(lock))
        return State(name, lock, metrics, functools.cache(_matches_of_files))
    if folder.is_dir() and any(folder.glob("*.json")):
        found = {(folder.name, path.stem): path for path in sorted(folder.glob("*.json"))}
        metrics = {result: json.loads(path.read_text()) for result, path in found.items()}
        return State(name, None, metrics, lambda result: _from_file(folder, result))
    revision = _revision(name)
    lock = _lock(revision)
    return State(
        name,
        lock,
        _metrics(lambda path: _git("show", f"{revision}:{path}"), _evaluated(lock)),
        functools.cache(lambda result: _from_cache(revision, result, name)),
    )


@functools.cache  # read again for each model and split
def _lock(revision: str) -> dict[str, Any]:
    return _yaml(_git("show", f"{revision}:dvc.lock"))


def _experiments() -> dict[str, str]:
    """Commits of DVC's experiments by name."""
    listed = _git("for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", EXPERIMENTS)
    return dict(line.rsplit(" ", 1) for line in listed.splitlines())


def _revision(name: str) -> str:
    """The commit of a git revision or of a DVC experiment."""
    if commit := _experiments().get(name):
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
        said = " ".join(done.stderr.split())  # of a foreign owner in four lines
        raise InputError(f"git {' '.join(command)}: {said or 'failed'}")
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
    first: State, ours: Result, second: State, theirs: Result, draws: tuple[int, int]
) -> str:
    """Both APs, B minus A with its 95 % interval, or why there is none."""
    models = ours[0] if ours[0] == theirs[0] else f"{ours[0]} and {theirs[0]}"
    text = f"{models} on {ours[1]}: A {_ap(first, ours)}, B {_ap(second, theirs)}"
    return text + _gain(first, ours, second, theirs, draws, ", B - A ")


def _ap(state: State, result: Result) -> str:
    return _percent(state.metrics[result].get(HEADLINE, {}).get("AP"))


def _gain(
    before: State, ours: Result, after: State, theirs: Result, draws: tuple[int, int], title: str
) -> str:
    """The paired difference behind `title`, or why there is none."""
    try:
        gain, span = paired_difference(after.matches(theirs), before.matches(ours), *draws)
    except InputError as problem:
        return f"; no interval: {problem}"
    told = f"{title}{100 * gain:+.1f}"
    return f"{told} [{100 * span[0]:+.1f}, {100 * span[1]:+.1f}]" if span else told


def steps(first: State, second: State, result: Result, draws: tuple[int, int]) -> Iterator[str]:
    """AP of A, of each recorded state of the longest row between A and B, and of B; how to record
    one where there is none; nothing where one change is all that lies between A and B.
    """
    path = str(EVALUATE / result[0] / f"{result[1]}.json")
    start, end = (locks.inputs(state.lock or {}, path) for state in (first, second))
    changes = locks.changed(start, end)
    if not start or not end or len(changes) < 2:
        return
    recorded = _recorded(path)
    row = locks.chain(locks.between(start, end, recorded))
    if not row:
        looked_at = f"none of {len(recorded)} recorded states lies between A and B"
        yield f"{looked_at}; {_to_record(first, second, changes)}"
        return
    yield f"A {first.name}: {_ap(first, result)}"
    between = [(state_of(name), recorded[name]) for name in row]
    for (state, inputs), (later, later_inputs) in pairwise(
        [(first, start), *between, (second, end)]
    ):
        names = ", ".join(sorted(locks.changed(inputs, later_inputs)))
        gain = _gain(state, result, later, result, draws, ", ")
        yield f"+ {names} ({later.name}): {_ap(later, result)}{gain}"


def _recorded(path: str) -> dict[str, dict[str, Any]]:
    """What the result at `path` rests on in each experiment and in each commit of a branch or tag
    that recorded it; by the name of the experiment, else by the short hash.
    """
    names = {commit: name for name, commit in _experiments().items()}
    where = ("HEAD", "--branches", "--tags", f"--glob={EXPERIMENTS}", "--", "dvc.lock")
    commits = _git("log", "--full-history", "--format=%H %h", *where).splitlines()
    recorded = {}
    for commit, short in map(str.split, tqdm(commits, "explain", unit="state", delay=2.0)):
        try:
            _git("cat-file", "-e", f"{commit}:{path}")
            inputs = locks.inputs(_lock(commit), path)
        except InputError:
            continue
        if inputs:
            recorded[names.get(commit, short)] = inputs
    return recorded


def _to_record(first: State, second: State, changes: locks.Changes) -> str:
    """How to record a state that has one of the changes."""
    known, settings = (
        locks.settings((state.lock or {})["stages"], "params.yaml") for state in (first, second)
    )
    wanted = next((name for name in sorted(changes) if name in known and name in settings), None)
    if wanted is None:
        return "to record one: make one of the changes in A, then dvc exp run -n NAME"
    value = settings[wanted]
    value = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return (
        f"to record one, in A: dvc exp run -n NAME -S {shlex.quote(f'{wanted}={value}')} "
        "(restores what the run cache holds)"
    )


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
