"""Artifacts that do not have their hash any more are found, and made anew."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import active_environment
from tests.workflow.conftest import ROOT, SNAKEMAKE, finished, fresh  # noqa: F401  fixtures

PACKED = "data/tiny/packed/train.h5"
IN_FOLDER = "models/trained/part.txt"


@pytest.fixture
def project(finished, tmp_path):  # noqa: F811
    copied = finished.copy(tmp_path / "project")
    copied.run("dvc checkout --relink")  # a copy has no hard links
    return copied


def verified(project, *options: str) -> tuple[int, str]:
    environment = active_environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "stages.verify", *options], cwd=project.folder,
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def edit_in_place(path: Path) -> None:
    """As root, who may write what is read-only; the time of the file is put back too."""
    before = path.stat()
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.write(b"X")
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_whole_project_is_whole(project):
    code, printed = verified(project)
    assert code == 0, printed
    assert " 0 damaged, 0 outputs not here" in printed


@pytest.mark.parametrize("name", [PACKED, IN_FOLDER])
def test_an_artifact_edited_in_place_is_found_in_the_cache_too_and_made_anew(project, name):
    whole = (project.folder / name).read_bytes()
    edit_in_place(project.folder / name)
    code, printed = verified(project)
    assert code == 1
    assert f"damaged: {name}: expected md5 {hashlib.md5(whole).hexdigest()}" in printed
    assert "damaged: .dvc/cache/files/md5/" in printed
    assert verified(project, "--drop")[0] == 0
    project.run(SNAKEMAKE)
    assert (project.folder / name).read_bytes() == whole
    assert verified(project)[0] == 0


def test_damage_in_the_cache_alone_is_found(project):
    damaged = next((project.folder / ".dvc/cache/files/md5").glob("??/*.dir"))
    edit_in_place(damaged)
    code, printed = verified(project)
    assert code == 1
    assert f"damaged: {damaged.relative_to(project.folder)}" in printed


def test_a_damaged_checkpoint_is_found_by_its_name(project):
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()[:16]
    folder = project.folder / "results/checkpoints/run"
    folder.mkdir(parents=True)
    for step, stored in ((1, content), (2, b"other")):
        (folder / f"step-{step:010d}-{digest}.npz").write_bytes(stored)
    code, printed = verified(project)
    assert code == 1
    assert printed.count("damaged") == 2  # the file, and the sum
    assert f"damaged: results/checkpoints/run/step-{2:010d}-{digest}.npz" in printed


def test_what_is_not_here_is_said(project):
    (project.folder / PACKED).unlink()
    code, printed = verified(project)
    assert code == 0
    assert f"not here: {PACKED}" in printed
