"""Where Snakemake and DVC meet: dvc.yaml declares the stages, this module tells Snakemake's rules
about them.

A rule takes its inputs and outputs from dvc.yaml and runs a stage by `dvc repro --single-item`, so
that both engines share one notion of "up to date": DVC's content hashes. For Snakemake a stage is
to be run exactly when a *mark*, a file newer than the outputs with content that is new each time,
is among its inputs; all other inputs are `ancient()`, so that times changed by `git checkout` or
`dvc checkout` start nothing. The marks are worked out once, in the main process; the processes of
single jobs find them on disk.
"""

import fcntl
import json
import re
import shutil
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from snakemake.exceptions import WorkflowError
from snakemake.io import ancient, directory

from stages import params
from stages.openpose.errors import InputError

MARKS = Path(".snakemake/stale")
RECORDS = Path("results/runs")  # time and peak memory, written by stages.cli
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time

# Shell command of the rule: DVC runs the one stage, its messages go to the terminal and to the log.
# DVC fails, --wait-for-lock or not, where another process works on files of the stage: a `dvc
# repro` typed beside this run. So wait for the end of that one and try again. It never waits for us
# in turn: it fails.
ONE_STAGE = r"""
until dvc --wait-for-lock repro --single-item {params.stage:q} 2>&1 | tee {log:q}; do
    grep -q 'is busy, it is being blocked by' {log:q} || exit 1
    echo 'waiting for the end of that process ...'
    sleep 1
    for other in $(sed -n 's/^  (PID \([0-9]*\)).*/\1/p' {log:q}); do
        while ps -o stat= -p $other | grep -q '^[^Z]'; do sleep 1; done
    done
done
"""


@dataclass
class Bridge:
    """The stages of dvc.yaml as Snakemake needs them.

    Attributes:
        declared: dvc.yaml as it is written, stage by stage, templates unresolved.
        settings: params.yaml.
        outputs: resolved stage name (`masks@train-0`) -> its output paths.
        inputs: resolved stage name -> what it reads, each path with the stage that makes it (None
            for plain files).
        ruled: stages that have a rule.
        started: when this process began, in seconds since the epoch.
    """

    declared: dict
    settings: dict
    outputs: dict[str, list[str]] = field(default_factory=dict)
    inputs: dict[str, dict[str, str | None]] = field(default_factory=dict)
    ruled: set[str] = field(default_factory=set)
    started: float = field(default_factory=time.time)

    def makes(self, rule: str) -> list:
        """Output patterns of a rule: `${item.split}`, `${key}` become Snakemake's wildcards
        `{split}`, `{key}`.
        """
        self.ruled.add(rule)
        stage = self.declared[rule].get(
            "do", self.declared[rule]
        )  # below `do` where the stage is a foreach
        entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
        paths = [
            self._pattern(entry if isinstance(entry, str) else next(iter(entry)))
            for entry in entries
        ]
        return [_flagged(path) for path in paths]

    def needs(self, rule: str):
        """Input function of a rule: what the stage reads, and its mark where it is to be run."""

        def inputs(wildcards) -> list:
            name = self.name(rule, wildcards)
            mark = [str(MARKS / name)] if (MARKS / name).exists() else []
            read = self.inputs.get(name, {})
            # what a stale stage makes must not be ancient(), or Snakemake would not run those who
            # read it
            return mark + [
                path if maker and (MARKS / maker).exists() else ancient(path)
                for path, maker in read.items()
            ]

        return inputs

    def name(self, rule: str, wildcards) -> str:
        """DVC's name of the stage that a rule's job runs: `masks@train-0`, or the rule's own name
        without a matrix.
        """
        return self.stem(rule).format(**{key: wildcards[key] for key in self._keys(rule)})

    def stem(self, rule: str) -> str:
        """Pattern of a rule's stage names: `masks@{source}-{shard}`."""
        keys = self._keys(rule)
        return "@".join([rule, "-".join(f"{{{key}}}" for key in keys)]) if keys else rule

    def everything(self) -> list[str]:
        """All outputs of all stages: the target of a run; asked for when all rules are read."""
        if missing := set(self.declared) - self.ruled:
            raise WorkflowError(
                f"no rule for stage {min(missing)} of dvc.yaml: workflow/rules/stages.smk needs a "
                "line for it; see docs/adding-a-stage.md"
            )
        return [path for paths in self.outputs.values() for path in paths]

    def summary(self) -> str:
        """One line a stage: whether it ran or its outputs were there already, with time and peak
        memory of its run.
        """
        lines = []
        for name in self.outputs:
            record = RECORDS / f"{name}.json"
            known = json.loads(record.read_text()) if record.exists() else {}
            ran = known and record.stat().st_mtime >= self.started
            figures = (
                f"{known['seconds']:9.1f} s {known['peak_memory_mb']:9.0f} MB" if known else ""
            )
            lines.append(f"{name:32} {'ran' if ran else 'cached':8} {figures}".rstrip())
        return "\n".join(lines)

    def _keys(self, rule: str) -> list[str]:
        return (
            ["key"]
            if "foreach" in self.declared[rule]
            else list(self.declared[rule].get("matrix", ()))
        )

    def _pattern(self, template: str) -> str:
        template = re.sub(r"\$\{(?:item\.)?(\w+)\}", r"{\1}", template)
        return re.sub(r"\$\{(\w+)\.(\w+)\}", lambda m: str(self.settings[m[1]][m[2]]), template)


def connect(root: Path, *, main: bool, dry: bool = False) -> Bridge:
    """Read dvc.yaml; in the `main` process also find out which stages are stale and mark them.

    Raises WorkflowError where the environment is not active, dvc.yaml is not valid or another run
    is at work.
    """
    _require_environment()
    if main and not dry:
        _take_turn()
        for job in Path(".snakemake/incomplete").glob("*"):
            job.unlink()  # DVC decides by content, see docs/how-it-works.md
        _drop_broken_list()
    if main:
        try:
            params.check(root / "params.yaml")  # before any command is made of its names
        except InputError as problem:
            raise WorkflowError(str(problem)) from None
    try:
        return _connect(root, main)
    except DvcException as problem:
        raise WorkflowError(f"DVC cannot read the pipeline: {problem}") from None


def _connect(root: Path, main: bool) -> Bridge:
    repo = Repo(str(root), _wait_for_lock=True)
    bridge = Bridge(
        declared=_read(root / "dvc.yaml")["stages"], settings=_read(root / "params.yaml")
    )
    # found here and not by DVC's graph: that loads networkx, which costs as much as all stages
    # together
    made = {_path(out, root): stage.addressing for stage in repo.index.stages for out in stage.outs}
    for stage in repo.index.stages:
        bridge.outputs[stage.addressing] = [_path(out, root) for out in stage.outs]
        read = [_path(dep, root) for dep in stage.deps if type(dep).__name__ == "Dependency"]
        used = {
            other: maker
            for other, maker in made.items()
            if any(_overlap(path, other) for path in read)
        }
        files = {path: None for path in read if not any(_overlap(path, other) for other in used)}
        bridge.inputs[stage.addressing] = files | used
    if main:
        changed = {stage.addressing for stage in repo.index.stages if _changed(repo, stage)}
        _write_marks(_with_followers(changed, bridge.inputs))
    repo.close()
    return bridge


def _read(path: Path) -> dict:
    return yaml.load(path.read_text(), Loader=YAML)


def _drop_broken_list() -> None:
    """Forget DVC's list of who is at work where a kill cut its writing short: no DVC command starts
    with it.
    """
    path = Path(".dvc/tmp/rwlock")
    for _ in range(3):  # another DVC may be writing it just now
        try:
            json.loads(path.read_text())
            return
        except FileNotFoundError:
            return
        except json.JSONDecodeError:
            time.sleep(0.3)
    path.unlink(missing_ok=True)


def _with_followers(changed: set[str], inputs: dict[str, dict[str, str | None]]) -> set[str]:
    """The changed stages and all that read, directly or not, what they make."""
    stale = set(changed)
    while more := {
        name
        for name, read in inputs.items()
        if name not in stale and stale.intersection(read.values())
    }:
        stale |= more
    return stale


def _changed(repo: Repo, stage) -> bool:
    """Whether the stage's command, parameters, inputs or outputs differ from dvc.lock."""
    waiting = False
    while True:
        try:
            with repo.lock:
                return bool(stage.status())  # as stage.changed(), which takes three locks for one
        except LockError:
            # another process runs a stage; it needs repo.lock to finish, so wait without holding it
            if not waiting:
                print(
                    f"waiting for another DVC process that works on stage {stage.addressing} …",
                    file=sys.stderr,
                )
            waiting = True
            time.sleep(1)


def _write_marks(stale: set[str]) -> None:
    shutil.rmtree(MARKS, ignore_errors=True)
    MARKS.mkdir(parents=True)
    for name in stale:
        # Snakemake ignores a newer input whose content it has seen before, hence something new each
        # time
        (MARKS / name).write_text(uuid.uuid4().hex)


def _take_turn() -> None:
    """Hold a lock until this process ends; the kernel frees it whatever the end is."""
    Path(".snakemake").mkdir(exist_ok=True)
    _take_turn.file = open(".snakemake/bridge.lock", "a")  # noqa: SIM115 - open for the life of the process
    try:
        fcntl.flock(_take_turn.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise WorkflowError(
            "another snakemake is at work in this folder; wait for its end, then try again"
        ) from None


def _require_environment() -> None:
    here = Path(sys.executable).parent
    found = shutil.which("python")
    if found is None or Path(found).parent.resolve() != here.resolve():
        raise WorkflowError(
            f"the environment is not active (python is {found}); type: source {here}/activate"
        )


def _path(entry, root: Path) -> str:
    return (
        str(Path(entry.fs_path).relative_to(root))
        if Path(entry.fs_path).is_relative_to(root)
        else entry.fs_path
    )


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _flagged(path: str):
    """Outputs without a suffix are folders; Snakemake wants to be told."""
    return path if Path(path).suffix else directory(path)
