"""What the two engines cost when there is nothing, or one stage, to run: this project beside the
least that would do.

The trial is a project of eight stages that sleep, with a Snakefile of twenty lines that asks DVC
what is stale; it is made on the spot. This project is a clone of it with the tiny preset, run to
the end first. Both are timed in turn.

    python -m benchmarks.startup [--rounds 5] [--project FOLDER]

CPU seconds are of the command and its children; a busy machine changes them less than seconds by
the clock.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
FILES = 100_000
STAGES = 8
SNAKEMAKE = "snakemake --cores 8"
SNAKEFILE = """\
from pathlib import Path
from uuid import uuid4

from dvc.repo import Repo

STAGES = [f"s{i}" for i in range(8)]
if workflow.is_main_process:
    stale = list(Repo().status())
    Path(".snakemake/stale").mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        Path(f".snakemake/stale/{stage}").unlink(missing_ok=True)
    for stage in STAGES[min(map(STAGES.index, stale), default=8) :]:
        Path(f".snakemake/stale/{stage}").write_text(uuid4().hex)


def mark(stage):
    return [path for path in [f".snakemake/stale/{stage}"] if Path(path).exists()]


rule all:
    input:
        expand("out/{stage}.txt", stage=STAGES),


for i, stage in enumerate(STAGES):

    rule:
        name:
            stage
        input:
            mark(stage),
            [f"out/s{i - 1}.txt"] if i and mark(f"s{i - 1}") else [],
        output:
            f"out/{stage}.txt",
        shell:
            "dvc --wait-for-lock repro --single-item {rule}"
"""


def trial(folder: Path) -> Path:
    """A finished project of eight stages that sleep."""
    folder.mkdir()
    stages = "stages:\n"
    for i in range(STAGES):
        before = f", out/s{i - 1}.txt" if i else ""
        stages += (
            f"  s{i}:\n    cmd: python s{i}.py\n    params: [s{i}]\n    deps: [s{i}.py{before}]\n"
        )
        stages += f"    outs: [out/s{i}.txt]\n"
        output = f"pathlib.Path('out/s{i}.txt').write_text(uuid.uuid4().hex)"
        code = f"import time, uuid, pathlib\ntime.sleep(0.2)\n{output}\n"
        (folder / f"s{i}.py").write_text(code)
    (folder / "dvc.yaml").write_text(stages)
    (folder / "params.yaml").write_text("".join(f"s{i}: 0\n" for i in range(STAGES)))
    (folder / "Snakefile").write_text(SNAKEFILE)
    profile = folder / "profiles" / "default"
    profile.mkdir(parents=True)
    (profile / "config.yaml").write_text("rerun-triggers: [mtime]\nnolock: true\n")
    (folder / "out").mkdir()
    run(folder, "git init -q && dvc init -q && echo /.snakemake >> .gitignore")
    (folder / ".dvcignore").write_text("/.snakemake\n")
    run(folder, SNAKEMAKE)
    return folder


def this_project(folder: Path) -> Path:
    """A clone of this project in which the tiny preset has run to the end."""
    run(ROOT, f"git clone -q {ROOT} {folder}")
    run(folder, "python -m stages.params use tiny")
    run(folder, SNAKEMAKE)
    return folder


def run(folder: Path, command: str) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"error: {command} in {folder} failed:\n{done.stdout}{done.stderr}")


def clocks(folder: Path, command: str) -> tuple[float, float]:
    """(seconds by the clock, CPU seconds of the children) of `command`."""
    before, started = os.times(), time.perf_counter()
    run(folder, command)
    after = os.times()
    return time.perf_counter() - started, after[2] + after[3] - before[2] - before[3]


def one_stage(folder: Path, code: str, bare: str) -> tuple[float, float]:
    """What Snakemake and DVC add to one stage: a run with it stale, less one with nothing to do,
    less the bare one.
    """
    with open(folder / code, "a") as file:
        file.write(f"# {time.time_ns()}\n")
    runs = [clocks(folder, command) for command in (SNAKEMAKE, SNAKEMAKE, bare)]
    return tuple(with_it - nothing - alone for with_it, nothing, alone in zip(*runs, strict=True))


def compare(name: str, sides: list[Callable[[], tuple[float, float]]], rounds: int) -> None:
    measured: list[list[tuple[float, float]]] = [[], []]
    for _ in range(rounds):
        for side, values in zip(sides, measured, strict=True):
            values.append(side())
    (clock, cpu), (our_clock, our_cpu) = (
        [median(v) for v in zip(*side, strict=True)] for side in measured
    )
    ratios = f"{our_clock / clock:.2f} | {our_cpu / cpu:.2f}"
    print(
        f"| {name} | {clock:.2f} | {our_clock:.2f} | {cpu:.2f} | {our_cpu:.2f} | {ratios} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--project", type=Path, help="a finished clone of this project, instead of making one"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = trial(Path(folder) / "trial")
        ours = arguments.project or this_project(Path(folder) / "project")
        print(
            "| | trial, s | ours, s | trial, CPU s | ours, CPU s | ratio | ratio, CPU "
            "|\n|---|---|---|---|---|---|---|"
        )
        for when in ("", f", {FILES:,} files in data/"):
            for command in (SNAKEMAKE, "dvc repro"):
                sides = [lambda c=command: clocks(small, c), lambda c=command: clocks(ours, c)]
                compare(f"`{command}`, nothing to do{when}", sides, arguments.rounds)
            images = ours / "data" / "images"
            images.mkdir(parents=True, exist_ok=True)
            for i in range(FILES):
                (images / f"{i:06}.jpg").touch()
        report = "python -m stages.report --results results --data data/tiny"
        report += " --output /tmp/startup-report"
        sides = [
            lambda: one_stage(small, "s7.py", "python s7.py"),
            lambda: one_stage(ours, "stages/report.py", report.replace("/tmp", folder)),
        ]
        compare("added to one stage", sides, arguments.rounds)


if __name__ == "__main__":
    main()
