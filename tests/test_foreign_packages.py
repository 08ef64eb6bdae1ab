"""Packages of other projects that a user's environment brings along."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages import params

COMMANDS = ("params check", "predict --help", "sample --help")


@pytest.fixture
def foreign(tmp_path) -> Path:
    """The folder of another project, with a package `stages` that cannot be loaded."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").write_text("raise RuntimeError('of another project')\n")
    return tmp_path


def stage(words: str, path: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *f"stages.{words}".split()], cwd=params.WORKFLOW.parent,
        env={**os.environ, "PYTHONPATH": str(path)}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS)
def test_a_package_that_pythonpath_brings_in_place_of_ours_is_named(words, foreign):
    (foreign / "numpy.py").write_text("raise RuntimeError('of another project')\n")
    done = stage(words, foreign)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: PYTHONPATH brings {foreign}/numpy.py")
    assert done.stderr.endswith("type: unset PYTHONPATH\n")
    assert done.stderr.count("\n") == 1


def test_a_foreign_folder_of_the_same_name_as_ours_is_passed_over(foreign):
    done = stage(COMMANDS[0], foreign)
    assert (done.returncode, done.stderr) == (0, "")
