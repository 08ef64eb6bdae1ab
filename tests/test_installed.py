"""What `pip install` brings is enough to find people, wherever it is called."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stages import params

ROOT = params.WORKFLOW.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture
def site(tmp_path) -> Path:
    """The files of the wheel, laid out as pyproject.toml says."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    for source, target in wheel["force-include"].items():
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile
        copy(ROOT / source, tmp_path / target)
    return tmp_path


def run(site: Path, code: str, folder: Path) -> str:
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(site), *(path for path in others if Path(path).is_absolute())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_models_are_found_outside_the_repository(site, tmp_path_factory):
    code = "from stages import models; print(models.TABLE); print(models.listing())"
    printed = run(site, code, tmp_path_factory.mktemp("elsewhere"))
    assert printed.startswith(str(site))
    assert "in the repository" in printed


def test_the_shipped_model_runs_without_tensorflow(site, tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    extras = PROJECT["project"]["optional-dependencies"]["pipeline"]
    absent = f"dict.fromkeys({[re.split('[<>=]', name)[0] for name in extras]})"
    code = (
        f"import sys; sys.modules |= {absent}\n"
        "import numpy; from stages.openpose import Pose\n"
        "pose = Pose.load('light', inference='single')\n"
        "print(len(pose(numpy.zeros((64, 64, 3), numpy.uint8))))"
    )
    assert run(site, code, tmp_path_factory.mktemp("elsewhere")) == "0\n"


def test_console_commands_name_functions():
    for place in PROJECT["project"]["scripts"].values():
        module, _, function = place.partition(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))
