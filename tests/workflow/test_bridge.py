"""What the bridge refuses, says and mends before anything runs."""

import errno
import fcntl
import json
import os
import shutil
import time

import pytest

from tests.processes import active_environment
from workflow import bridge

DRY = "snakemake --cores 1 --dry-run --quiet"


@pytest.fixture
def project(fresh, tmp_path):
    return fresh.copy(tmp_path / "project")


def test_config_that_no_rule_reads_is_refused(project):
    text = project.run(f"{DRY} --config epochs=3", fails=True)
    assert "--config epochs is read by no rule (only gpus is)" in text


@pytest.mark.parametrize(
    "command", [f"cd docs && {DRY} -s ../Snakefile", f"{DRY} --directory docs"]
)
def test_from_another_folder_the_message_says_where_to_go(project, command):
    (project.folder / "docs").mkdir()
    assert f"type: cd {project.folder}" in project.run(command, fails=True)


@pytest.mark.parametrize("option", ["--forceall", "-R train"])
def test_who_forces_is_told_how(project, option):
    assert "dvc repro --force --single-item STAGE" in project.run(f"{DRY} {option}")


def test_a_summary_has_the_stages_that_were_asked_for():
    stages = bridge.Bridge(
        {},
        {},
        outputs={"masks@a": ["m/a"], "pack": ["p"], "train": ["t"]},
        inputs={"masks@a": {"code": None}, "pack": {"m/a": "masks@a"}, "train": {"p": "pack"}},
    )
    asked = {
        target: [line.split()[0] for line in stages.summary(target and [target]).splitlines()]
        for target in ("", "all", "t", "pack", "masks")
    }
    everything = ["masks@a", "pack", "train"]
    assert asked == {
        "": everything,
        "all": everything,
        "t": everything,
        "pack": ["masks@a", "pack"],
        "masks": ["masks@a"],
    }


def test_the_last_lines_of_a_failed_run_are_the_errors_of_its_stages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    for name, text in (
        ("pack", "> python -m stages.pack\nerror: the first\nerror: no person\nERROR: failed\n"),
        ("train", "fine\n"),
        ("masks", "error: of a run before\n"),
    ):
        (tmp_path / f"logs/{name}.log").write_text(text)
    os.utime(tmp_path / "logs/masks.log", (1, 1))
    assert bridge.Bridge({}, {}, started=100).failures() == "pack: error: no person"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    return tmp_path


def test_a_file_system_without_locks_is_said_and_goes_on(here, monkeypatch, capsys):
    def flock(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    bridge._take_turn()
    assert "no locks here (No locks available)" in capsys.readouterr().err


def listed(here, pid: int, age: float = 0) -> dict:
    """DVC's list with one process at work, written `age` seconds ago, as the bridge leaves it."""
    path = here / ".dvc/tmp/rwlock"
    entry = {"pid": pid, "cmd": "/bin/dvc repro"}
    path.write_text(json.dumps({"write": {"models/a": entry}, "read": {"data/a": [entry]}}))
    os.utime(path, (time.time() - age,) * 2)
    bridge._mend_list()
    return json.loads(path.read_text())


def test_a_process_that_is_no_dvc_is_dropped_from_dvcs_list(here):
    assert listed(here, os.getpid()) == {"write": {}, "read": {}}


@pytest.mark.parametrize(("age", "kept"), [(0, True), (900, False)], ids=["same", "number reused"])
def test_a_dvc_stays_in_the_list_unless_it_began_after_the_list_was_written(here, age, kept):
    import subprocess

    with open(here / "dvc.py", "w") as code:
        code.write("import time; print('at work', flush=True); time.sleep(60)")
    python = shutil.which("python", path=active_environment()["PATH"])
    process = subprocess.Popen([python, here / "dvc.py"], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()  # a process just begun has no command line yet
        found = listed(here, process.pid, age)
    finally:
        process.kill()
        process.wait()
    assert bool(found["write"]) == bool(found["read"]) == kept
