"""Where Snakemake and DVC meet: dvc.yaml declares the stages, this module tells Snakemake's rules
about them.

A rule takes its inputs and outputs from dvc.yaml and runs a stage by `dvc repro --single-item`, so
that both engines share one notion of "up to date": DVC's content hashes. For Snakemake a stage is
to be run exactly when a *mark*, a file newer than the outputs with content that is new each time,
is among its inputs; all other inputs are `ancient()`, so that times changed by `git checkout` or
`dvc checkout` start nothing. The marks are worked out once, in the main process; the processes of
single jobs find them on disk.
"""

import atexit
import errno
import fcntl
import json
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from snakemake.exceptions import WorkflowError
from snakemake.io import ancient, directory, report

from stages import params
from stages.openpose.errors import InputError
from stages.params import place

MARKS = Path(".snakemake/stale")
RECORDS = Path("results/runs")  # time and peak memory, written by stages.cli
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time

WITHOUT_GIT = (  # a ZIP that was downloaded
    f"type: git init; or: {place.WITHOUT_GIT} (all works then but `dvc exp`)"
)
HINTS = {  # what to do, by what DVC says
    "not a git repository": WITHOUT_GIT,
    "dvc.lock": "the file is damaged; type: git checkout dvc.lock",
}
CONFIG = {"gpus"}  # what rules read of `snakemake --config`
FORCE = {"--forceall", "-F", "--forcerun", "-R", "--force", "-f"}
LOGS = Path("logs")
RECORD = ("dvc.lock", "results")  # what git keeps of a run
# What `snakemake --report` shows, by output pattern; captions by their place from workflow/rules.
SHOWN = {
    "results/report": {
        "caption": "../report/page.rst",
        "category": "Results",
        "labels": {"what": "page of results"},
        "htmlindex": "index.html",
    },
    "results/evaluate/{model}/{split}.json": {
        "caption": "../report/average_precision.rst",
        "category": "Average precision",
        "labels": {"model": "{model}", "split": "{split}"},
    },
    "results/evaluate/{model}/{split}": {
        "caption": "../report/errors.rst",
        "category": "Errors",
        "labels": {"model": "{model}", "split": "{split}", "table": "{table}"},
        "patterns": ["{table}.csv"],
    },
    "results/train/log.csv": {
        "caption": "../report/training.rst",
        "category": "Training",
        "labels": {"what": "losses"},
    },
}
# Shell command of the rule: DVC runs the one stage.
ONE_STAGE = "bash workflow/one_stage.sh {params.stage:q} {log:q}"


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

    def summary(self, targets: Collection[str]) -> str:
        """One line for each stage that was asked for by `targets` (paths or rules; none: all):
        whether it ran or its outputs were there already, with time and peak memory of its run.
        """
        lines = []
        for name in self._asked(targets):
            record = RECORDS / f"{name}.json"
            known = json.loads(record.read_text()) if record.exists() else {}
            ran = known and record.stat().st_mtime >= self.started
            figures = (
                f"{known['seconds']:9.1f} s {known['peak_memory_mb']:9.0f} MB" if known else ""
            )
            lines.append(f"{name:32} {'ran' if ran else 'cached':8} {figures}".rstrip())
        return "\n".join(lines)

    def to_commit(self) -> str:
        """A line on what git shows as changed by a run; empty where nothing is, or without git."""
        command = ["git", "status", "--porcelain", "--", *RECORD]
        done = subprocess.run(command, capture_output=True, text=True)
        changed = [line[3:] for line in done.stdout.splitlines()]
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if changed[3:] else "")
        return (
            f"git shows {shown} as changed: the record of this run, which a commit versions"
            if changed
            else ""
        )

    def failures(self) -> str:
        """What stages that failed in this run say, a line each."""
        lines = []
        for log in sorted(LOGS.glob("*.log")):
            if log.stat().st_mtime >= self.started:
                said = log.read_text(encoding="utf-8", errors="replace").splitlines()
                errors = [line for line in said if line.startswith("error: ")]
                lines += [f"{log.stem}: {line}" for line in errors[-1:]]
        return "\n".join(lines)

    def repeat_failures(self) -> None:
        """Print them as the last lines of this process."""
        _say_last(self.failures())

    def _asked(self, targets: Collection[str]) -> list[str]:
        """Stages that the targets name, by rule or by output, and all that these depend on."""
        asked = {
            name
            for name, made in self.outputs.items()
            if not targets or {"all", name.split("@")[0], *made}.intersection(targets)
        }
        while more := {self.inputs[name][path] for name in asked for path in self.inputs[name]} - {
            *asked,
            None,
        }:
            asked |= more
        return [name for name in self.outputs if name in asked]

    def _keys(self, rule: str) -> list[str]:
        return (
            ["key"]
            if "foreach" in self.declared[rule]
            else list(self.declared[rule].get("matrix", ()))
        )

    def _pattern(self, template: str) -> str:
        template = re.sub(r"\$\{(?:item\.)?(\w+)\}", r"{\1}", template)
        return re.sub(r"\$\{(\w+)\.(\w+)\}", lambda m: str(self.settings[m[1]][m[2]]), template)


def connect(root: Path, config: dict, *, main: bool) -> Bridge:
    """Read dvc.yaml; in the `main` process also find out which stages are stale and mark them. That
    of a dry run takes its turn too: Snakemake does not say before, and the marks are the same.

    Raises WorkflowError where the environment is not active, `config` holds what no rule reads,
    dvc.yaml is not valid or another run is at work.
    """
    _require_environment()
    _check_config(config)
    if main and FORCE.intersection(sys.argv):
        print(
            "note: DVC decides what runs; to run a stage again: "
            "dvc repro --force --single-item STAGE",
            file=sys.stderr,
        )
    if main:
        _take_turn()
        for job in Path(".snakemake/incomplete").glob("*"):
            job.unlink()  # DVC decides by content, see docs/how-it-works.md
        _mend_list()
        try:
            params.check(root / "params.yaml")  # before any command is made of its names
        except InputError as problem:
            _say_last(f"error: {problem}")
            raise WorkflowError(str(problem)) from None
    try:
        return _connect(root, main)
    except DvcException as problem:
        hint = next((f"; {way}" for sign, way in HINTS.items() if sign in str(problem)), "")
        raise WorkflowError(f"DVC cannot read the pipeline: {problem}{hint}") from None


def _check_config(config: dict) -> None:
    if unread := set(config) - CONFIG:
        raise WorkflowError(
            f"--config {min(unread)} is read by no rule (only {', '.join(CONFIG)} is); settings "
            f"stand in params.yaml, see: python -m stages.params --help"
        )
    gpus = config.get("gpus", 0)
    if type(gpus) is not int or gpus < 0:
        raise WorkflowError(f"config `gpus`: expected a whole number from 0 on, found {gpus!r}")


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
        stale = _with_followers(changed, bridge.inputs)
        for name in stale:
            _refuse_future([*bridge.inputs[name], *bridge.outputs[name]])
        _write_marks(stale)
    repo.close()
    return bridge


def _read(path: Path) -> dict:
    return yaml.load(path.read_text(), Loader=YAML)


def _mend_list() -> None:
    """Forget in DVC's list of who is at work what a kill left behind: the whole list where its
    writing was cut short (no DVC command starts with it), else those whose number now belongs to a
    process that is no DVC (all would wait for its end).
    """
    path = Path(".dvc/tmp/rwlock")
    for _ in range(3):  # another DVC may be writing it just now
        try:
            listed = json.loads(path.read_text())
            break
        except FileNotFoundError:
            return
        except json.JSONDecodeError:
            time.sleep(0.3)
    else:
        path.unlink(missing_ok=True)
        return
    since = path.stat().st_mtime
    readers = {
        file: [process for process in processes if _is_dvc(process, since)]
        for file, processes in listed.get("read", {}).items()
    }
    writers = {
        file: process
        for file, process in listed.get("write", {}).items()
        if _is_dvc(process, since)
    }
    kept = {"write": writers, "read": {file: found for file, found in readers.items() if found}}
    if kept != listed:
        path.write_text(json.dumps(kept))


def _is_dvc(listed: dict, since: float) -> bool:
    """Whether a process of DVC's list, last written at `since`, is still the one that was meant."""
    try:
        process = psutil.Process(listed["pid"])
        if process.create_time() > since + 60:  # seconds: clocks are set, those of files are coarse
            return False
        command = " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return "dvc" in command or listed["cmd"] in command


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


def _refuse_future(paths: Iterable[str]) -> None:
    """Raise WorkflowError where a file of a stale stage is dated after now, as when the clock was
    set back: Snakemake would not see the stage's mark as newer, or, after the work, throw away
    outputs older than an input.
    """
    latest = time.time() + 60  # seconds: clocks of file servers differ a little
    for path in map(Path, paths):
        for file in (path, path / ".snakemake_timestamp"):  # a folder's time stands within
            if file.exists() and file.lstat().st_mtime > latest:
                raise WorkflowError(
                    f"{file} is dated in the future, and Snakemake goes by dates; set the clock "
                    "right, or type: find . -path ./.git -prune -o -newermt now -exec touch -h {} +"
                )


def _take_turn() -> None:
    """Hold a lock until this process ends; the kernel frees it whatever the end is."""
    try:
        Path(".snakemake").mkdir(exist_ok=True)
        _take_turn.file = open(".snakemake/bridge.lock", "a")  # noqa: SIM115 - open for the life of the process
    except OSError as problem:
        raise WorkflowError(
            f"{problem.filename}: {problem.strerror}; a run writes into {Path.cwd()}, so work in a "
            "clone or a copy of your own"
        ) from None
    try:
        fcntl.flock(_take_turn.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno != errno.EWOULDBLOCK:
            print(
                f"note: no locks here ({problem.strerror}): run one snakemake at a time",
                file=sys.stderr,
            )
            return
        raise WorkflowError(
            "another snakemake is at work in this folder; wait for its end, then try again"
        ) from None


def _say_last(text: str) -> None:
    """Print lines when this process ends, after all that Snakemake has to say."""
    if text:
        atexit.register(print, text, file=sys.stderr)


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
    """Outputs without a suffix are folders; Snakemake wants to be told. What its report shows is
    marked.
    """
    flagged = path if Path(path).suffix else directory(path)
    return report(flagged, **SHOWN[path]) if path in SHOWN else flagged
