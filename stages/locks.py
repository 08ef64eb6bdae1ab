"""What differs between states of the pipeline, each as its dvc.lock tells it, and which recorded
states lie between two others.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Changes = frozenset[str]


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
    parameters = [settings(lock, "params.yaml") for lock in locks]
    libraries = [settings(lock, "envs/versions.yaml") for lock in locks]
    return {
        "Parameters": list(_changed_values(*parameters)),
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


def settings(stages: dict[str, Any], file: str) -> dict[str, Any]:
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


def inputs(lock: dict[str, Any], result: str) -> dict[str, Any]:
    """What the result at the path `result` rests on: hashes of code and of data from outside,
    values of parameters and versions of libraries, by name, of the stage that wrote it and of all
    before it.

    Empty where no stage wrote it, or where those stages saw different states of one thing.
    """
    stages = _behind(lock, result)
    written = {item["path"]: item.get("md5") for stage in stages for item in stage.get("outs", [])}
    found: dict[str, Any] = {}
    for stage in stages:
        read = {item["path"]: item.get("md5") for item in stage.get("deps", [])}
        for file in ("params.yaml", "envs/versions.yaml"):
            read |= settings({"": stage}, file)
        for name, value in read.items():
            known = written if any(_overlap(name, path) for path in written) else found
            if known.setdefault(name, value) != value:
                return {}
    return found


def _behind(lock: dict[str, Any], result: str) -> list[dict[str, Any]]:
    """The stage that wrote `result`, and those that wrote what it and they read."""
    behind: list[dict[str, Any]] = []
    waiting = list(lock.get("stages", {}).values())
    needed = [result]
    while needed:
        path = needed.pop()
        writers = [
            stage
            for stage in waiting
            if any(_overlap(path, item["path"]) for item in stage.get("outs", []))
        ]
        behind += writers
        waiting = [stage for stage in waiting if stage not in writers]
        needed += [item["path"] for stage in writers for item in stage.get("deps", [])]
    return behind


def changed(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Changes:
    """Names whose values differ, or that only one side has."""
    nothing = object()
    return frozenset(
        name for name in {**ours, **theirs} if ours.get(name, nothing) != theirs.get(name, nothing)
    )


def between(
    first: Mapping[str, Any], second: Mapping[str, Any], recorded: Mapping[str, Mapping[str, Any]]
) -> dict[str, Changes]:
    """Which of the states `recorded` have some, but not all of the changes from `first` to
    `second`, and no other; and which changes they have.
    """
    whole = changed(first, second)
    changes = {name: changed(first, state) for name, state in recorded.items()}
    return {
        name: some
        for name, some in changes.items()
        if some and some < whole and changed(recorded[name], second) == whole - some
    }


def chain(changes: Mapping[str, Changes]) -> list[str]:
    """The longest row of states of which each has the changes of the one before it, and more.

    Of rows of one length that whose first states have the fewest changes, then the first by name.
    """

    def rank(row: list[str]) -> tuple:
        return -len(row), [len(changes[name]) for name in row], row

    rows: list[list[str]] = [[]]
    for name in sorted(changes, key=lambda name: (len(changes[name]), name)):
        before = (row for row in rows if not row or changes[row[-1]] < changes[name])
        rows.append([*min(before, key=rank), name])
    return min(rows, key=rank)
