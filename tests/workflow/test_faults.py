"""What a killed run and a second run beside the first leave behind: nothing that the next command
does not mend.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from tests.processes import active_environment, kill_at_once

SNAKEMAKE = "snakemake --cores 4"
REPRO = "dvc repro"
STAGES = [
    "sample",
    "download",
    "inspect_data",
    "coco_api",
    "masks",
    "pack",
    "train",
    "detect",
    "evaluate",
    "report",
]

pytestmark = pytest.mark.slow


@pytest.fixture
def project(finished, tmp_path):
    return finished.copy(tmp_path / "project")


def end(process, how: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, as in a terminal; SIGKILL ends every process at once, as a
    power cut does.
    """
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        kill_at_once(process.pid)
    process.wait(timeout=60)


@pytest.fixture
def hold(tmp_path):
    """A file; a stage that TOY_HOLD_<stage> names it to is at work until it is gone."""
    file = tmp_path / "hold"
    file.touch()
    yield file
    file.unlink(missing_ok=True)


def outputs_of(project) -> dict:
    """Hashes of the outputs by stage, as dvc.lock holds them."""
    stages = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    return {name: stage["outs"] for name, stage in stages.items()}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
def test_a_run_that_was_ended_in_every_stage_finishes_as_an_unbroken_one(
    fresh, finished, tmp_path, engine, how
):
    project, left = fresh.copy(tmp_path / "project"), set(STAGES)
    while left:
        running = project.start(engine, **{f"TOY_SLEEP_{stage}": "60" for stage in left})
        left.remove(project.wait_for(left, running))
        end(running, how)
    assert "report" in project.work_of(engine)
    assert outputs_of(project) == outputs_of(finished)
    assert project.work_of(REPRO if engine == SNAKEMAKE else SNAKEMAKE) == []


def test_a_second_snakemake_says_that_one_is_at_work_and_the_first_goes_on(project, hold):
    project.edit("stages/train.py", "main()", "main()  # changed")
    first = project.start(SNAKEMAKE, TOY_HOLD_train=str(hold))
    project.wait_for({"train"}, first)
    assert "another snakemake is at work" in project.run(SNAKEMAKE, fails=True)
    hold.unlink()
    assert first.wait(timeout=120) == 0
    assert project.work_of(REPRO) == []


def test_snakemake_beside_dvc_repro_waits_or_says_that_it_cannot(project):
    project.edit("stages/train.py", "main()", "main()  # changed")
    running = project.start(REPRO, TOY_SLEEP_train="6")
    project.wait_for({"train"}, running)
    beside = project.start(SNAKEMAKE)
    code, printed = beside.wait(timeout=120), (project.folder / ".printed").read_text()
    assert code == 0 or "lock" in printed or "busy" in printed, printed
    assert running.wait(timeout=120) == 0
    assert project.work_of(REPRO) == []
    assert project.work_of(SNAKEMAKE) == []


def test_dvc_repro_beside_snakemake_makes_it_wait_and_it_finishes(project, hold, tmp_path):
    project.edit("stages/train.py", "main()", "main()  # changed")
    log = project.folder / "logs/train.log"
    log.unlink()
    running = project.start(SNAKEMAKE, PATH=path_with_a_slow_dvc(tmp_path / "bin"))
    while not log.exists():  # its job for train has begun, the DVC in it has not
        assert running.poll() is None, (project.folder / ".printed").read_text()
        time.sleep(0.05)
    beside = project.start(REPRO, TOY_HOLD_train=str(hold))
    printed = project.folder / ".printed"
    while "waiting for the end of that process" not in printed.read_text():
        assert running.poll() is None, printed.read_text()
        time.sleep(0.05)
    hold.unlink()
    assert (beside.wait(timeout=120), running.wait(timeout=120)) == (0, 0), printed.read_text()
    assert (project.folder / ".journal").read_text().split().count("train") == 1
    assert project.work_of(SNAKEMAKE) == []
    assert project.work_of(REPRO) == []


def path_with_a_slow_dvc(folder: Path) -> str:
    """A PATH whose `dvc` waits until the body of train is at work."""
    path = active_environment()["PATH"]
    folder.mkdir()
    slow = folder / "dvc"
    slow.write_text(
        "#!/bin/sh\nuntil grep -qs train .journal; do sleep 0.1; done\n"
        f'exec {shutil.which("dvc", path=path)} "$@"\n'
    )  # fmt: skip
    slow.chmod(0o755)
    return f"{folder}{os.pathsep}{path}"


def test_dvc_repro_beside_snakemake_leaves_alone_what_is_at_work(project, hold):
    project.edit("stages/train.py", "main()", "main()  # changed")
    running = project.start(SNAKEMAKE, TOY_HOLD_train=str(hold))
    project.wait_for({"train"}, running)
    assert "is busy" in project.run(REPRO, fails=True)
    hold.unlink()
    assert running.wait(timeout=120) == 0, (project.folder / ".printed").read_text()
    assert project.work_of(REPRO) == []
