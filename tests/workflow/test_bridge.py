"""What the bridge refuses, says and mends before anything runs."""

import errno
import fcntl
import json
import os
import shutil
import time

import pytest
from snakemake.exceptions import WorkflowError

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


def test_as_a_module_of_another_workflow_it_says_that_it_needs_its_repository(project, tmp_path):
    other = project.__class__(tmp_path / "other")
    other.folder.mkdir()
    (other.folder / "Snakefile").write_text(
        f'module pose:\n    snakefile: "{project.folder}/workflow/Snakefile"\n'
        "use rule * from pose as pose_*\n"
    )
    printed = other.run(DRY, fails=True)
    assert "it is no module of another workflow" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("gpus", ["many", -1, True])
def test_a_number_of_gpus_that_is_none_is_refused(gpus, tmp_path, monkeypatch):
    monkeypatch.setattr(bridge, "_require_environment", lambda: None)
    with pytest.raises(WorkflowError, match=r"`gpus`: expected a whole number from 0 on"):
        bridge.connect(tmp_path, {"gpus": gpus}, main=False)


def test_what_git_shows_as_changed_after_a_run_is_told(fresh, tmp_path, monkeypatch):
    project = fresh.copy(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    stages = bridge.Bridge({}, {})
    assert stages.to_commit() == ""
    (project.folder / "dvc.lock").write_text("{}")
    (project.folder / "results/train").mkdir(parents=True)
    (project.folder / "results/train/log.csv").write_text("")
    assert stages.to_commit().startswith("git shows dvc.lock, results/ as changed: the record")


@pytest.mark.slow
def test_rules_can_be_used_by_a_file_in_the_repository(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    (project.folder / "mine.smk").write_text(
        'module pose:\n    snakefile: "workflow/Snakefile"\n'
        "use rule * from pose as pose_*\n"
        'rule mine:\n    default_target: True\n    input: "models/trained"\n'
        '    output: "mine.txt"\n    shell: "ls {input} > {output}"\n'
    )
    assert project.work_of("snakemake --cores 2 -s mine.smk") == []
    assert (project.folder / "mine.txt").exists()


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


def test_an_empty_lock_file_is_told_with_the_way_to_mend_it(project):
    (project.folder / "dvc.lock").write_text("")
    assert "type: git checkout dvc.lock" in project.run(DRY, fails=True)


@pytest.mark.parametrize("dated", ["masks", "masks/.snakemake_timestamp"])
def test_a_file_of_the_future_is_told_before_a_stale_stage_runs(here, dated):
    (here / "masks").mkdir()
    (here / "masks/.snakemake_timestamp").touch()
    bridge._refuse_future(["masks", "missing"])
    future = time.time() + 10**6
    os.utime(here / dated, (future, future))
    with pytest.raises(WorkflowError, match=r"masks.* is dated in the future.*touch"):
        bridge._refuse_future(["masks", "missing"])


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


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(here, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(bridge, "open", refuse, raising=False)
    with pytest.raises(WorkflowError, match=r"lock: Permission denied; .* copy of your own"):
        bridge._take_turn()


def test_a_dry_run_beside_a_run_leaves_its_marks_alone(project):
    (project.folder / ".snakemake/stale").mkdir(parents=True)
    (project.folder / ".snakemake/stale/train").touch()
    with open(project.folder / ".snakemake/bridge.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another snakemake is at work" in project.run(DRY, fails=True)
    assert (project.folder / ".snakemake/stale/train").exists()


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
