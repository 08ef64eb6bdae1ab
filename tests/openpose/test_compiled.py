"""Compiled functions: kept on disk where possible, and never a reason for a run to fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from stages.openpose.compiled import jit

@jit
def add(a, b):
    return a + b
"""
CALL = "import probe; print(probe.add(1, 2), sum(probe.add.stats.cache_hits.values()))"


@pytest.fixture
def probe(tmp_path: Path):
    """Run `CALL` in a new process with a module of its own; returns what it prints: the sum, the
    cache hits.
    """
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "probe.py").write_text(MODULE)
    root = Path(__file__).resolve().parent.parent.parent

    def call(**environment: str) -> list[str]:
        paths = os.pathsep.join([str(tmp_path / "code"), str(root)])
        done = subprocess.run(
            [sys.executable, "-c", CALL],
            env=os.environ | {"PYTHONPATH": paths} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        call.said.append(done.stderr)
        return done.stdout.split()

    call.said = []
    return call


def test_second_process_finds_compiled_code(probe, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert probe(**cache) == ["3", "0"]
    assert probe(**cache) == ["3", "1"]


def test_damaged_cache_files_are_compiled_anew(probe, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    probe(**cache)
    cache_files = list((tmp_path / "cache").rglob("*.nb?"))
    assert cache_files
    for path in cache_files:
        path.write_bytes(path.read_bytes()[:40])
    assert [probe(**cache)[1] for _ in range(3)] == ["0", "0", "1"]


def test_no_writable_cache_folder_is_no_error(probe, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be: nobody, root included, can write below it")
    (tmp_path / "code" / "__pycache__").write_text("")
    nowhere = {
        "NUMBA_CACHE_DIR": str(blocked),
        "HOME": str(blocked),
        "XDG_CACHE_HOME": str(blocked),
    }
    assert probe(**nowhere) == ["3", "0"]


def test_the_first_process_says_why_it_takes_long(probe, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    probe(**cache)
    assert "compiling numeric code" in probe.said[-1]
    probe(**cache)
    assert probe.said[-1] == ""
