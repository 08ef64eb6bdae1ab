"""Versions of the libraries that decide results: the recorded ones beside those that are there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages import versions

ROOT = Path(__file__).resolve().parent.parent
RECORDED = (ROOT / "envs" / "versions.yaml").read_text()


def written(output: Path, *options: str, **environment: str) -> tuple[dict, str]:
    """(versions that the command writes, what it prints on stderr)."""
    command = [sys.executable, "-m", "stages.versions", "--output", output, *options]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(output.read_text()), done.stderr


@pytest.fixture
def other_numpy(tmp_path) -> dict[str, str]:
    """An environment in which numpy 99.0 is installed, as far as records of packages say."""
    record = tmp_path / "packages" / "numpy-99.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 99.0\n")
    return {"PYTHONPATH": str(record.parent)}


def test_the_recorded_versions_are_those_of_the_lock(tmp_path):
    written(tmp_path / "versions.yaml")
    assert (tmp_path / "versions.yaml").read_text() == RECORDED


def test_a_version_that_depends_on_python_is_that_of_the_oldest():
    lock = "".join(f"{name}==1.0\n" for name in versions.LIBRARIES if name != "numpy")
    lock += "numpy==2.10.0 ; python_full_version >= '3.12'\nnumpy==2.9.1 ; x\nnumpydoc==0.1\n"
    assert versions.locked(lock)["numpy"] == "2.9.1"


def test_what_the_lock_has_for_this_python_is_no_difference(tmp_path, monkeypatch):
    (tmp_path / "versions.yaml").write_text('numpy: "2.4.6"\n')
    lock = (
        "numpy==2.4.6 ; python_full_version < '3.0' \\\n    --hash=sha256:0\nnumpy==2.5.5 ; {} \\\n"
    )
    monkeypatch.setattr(versions, "installed", lambda name: "2.5.5")
    for marker, told in (("python_full_version >= '3.1'", 0), ("python_full_version < '3.1'", 1)):
        (tmp_path / "requirements.lock").write_text(lock.format(marker))
        assert len(versions.differences(tmp_path / "versions.yaml")) == told


def test_installed_versions_can_be_recorded(tmp_path, other_numpy):
    found, _ = written(tmp_path / "versions.yaml", "--installed", **other_numpy)
    assert found == {**yaml.safe_load(RECORDED), "numpy": "99.0"}


def test_a_stage_says_which_library_is_another_than_the_recorded_one(tmp_path, other_numpy):
    command = [sys.executable, "-m", "stages.coco_api", "--output", tmp_path / "coco_api.json"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **other_numpy}, capture_output=True, text=True
    )
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert notes[0].startswith("note: numpy 99.0 is installed, envs/versions.yaml says 2.")


def test_a_stage_says_nothing_where_the_recorded_versions_are_installed(tmp_path):
    file = tmp_path / "versions.yaml"
    written(file, "--installed")
    assert versions.differences(file) == []
