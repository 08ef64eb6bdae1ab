"""A stage whose parameters or code were edited while it ran is not taken for up to date."""

import subprocess
from pathlib import Path

import pytest

from tests.processes import active_environment

ROOT = Path(__file__).resolve().parent.parent
STAGE = """\
import argparse
import os
from pathlib import Path

from stages import cli


def work(arguments):
    Path("out.txt").write_text("result")
    if (edit := os.environ.get("EDIT")):
        file, old, new = edit.split("|")
        Path(file).write_text(Path(file).read_text().replace(old, new))


cli.run(work, argparse.Namespace(record=None))
"""
DVC_YAML = """\
stages:
  work:
    cmd: python -m work
    params: [work, "models.${other.name}"]
    deps: [stages/room]
    outs: [out.txt]
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "stages" / "room").mkdir(parents=True)
    (tmp_path / "stages/room/code.py").write_text("# one\n")
    (tmp_path / "work.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "params.yaml").write_text("work: 1\nother: {name: a}\nmodels: {a: 1}\n")
    subprocess.run("git init -q && dvc init -q", shell=True, cwd=tmp_path, check=True,
                   env=active_environment())  # fmt: skip
    return tmp_path


def repro(project: Path, edit: str = "") -> tuple[int, str]:
    environment = {**active_environment(), "PYTHONPATH": str(ROOT), "EDIT": edit}
    done = subprocess.run(
        ["dvc", "repro"], cwd=project, env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ("params.yaml|work: 1|work: 2", "params.yaml: work"),
        ("stages/room/code.py|one|two", "stages/room/code.py"),
    ],
)
def test_an_edit_while_a_stage_runs_fails_it_and_the_next_run_is_right(project, edit, named):
    code, text = repro(project, edit)
    assert code != 0
    assert f"error: {named} changed while this stage ran" in text
    assert not (project / "dvc.lock").exists()
    assert repro(project)[0] == 0
    assert "up to date" in repro(project)[1]


def test_an_edit_of_what_the_stage_does_not_read_is_no_matter(project):
    assert repro(project, "params.yaml|other: {name: a}|other: {name: a, more: 1}")[0] == 0
