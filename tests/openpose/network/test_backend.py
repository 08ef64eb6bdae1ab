"""Loading the backend's library says nothing that means nothing."""

import subprocess
import sys

import pytest

NOISE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1.1 7 port.cc:153] oneDNN custom operations are on. You may see differences.\n"
)


def load(tmp_path, library: str) -> subprocess.CompletedProcess:
    """Import a TensorFlow that is `library` in a process of its own."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/__init__.py").write_text(library)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from stages.openpose.network.backend import load_quietly, use_backend\n"
        "use_backend('tensorflow'); load_quietly(); print('after', file=sys.stderr)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("problem", ["", "raise ImportError('broken')"])
def test_noise_is_swallowed_and_all_else_is_said(tmp_path, problem):
    library = f"import os; os.write(2, {(NOISE + 'real trouble').encode()!r})\n{problem}"
    loaded = load(tmp_path, library)
    assert "oneDNN" not in loaded.stderr
    assert "absl" not in loaded.stderr
    assert loaded.stderr.startswith("real trouble")
    assert ("ImportError: broken" if problem else "after") in loaded.stderr


def test_tensorflow_itself_is_loaded_without_a_line(tmp_path):
    code = (
        "from stages.openpose.network.backend import load_quietly, use_backend\n"
        "use_backend('tensorflow'); load_quietly(); import keras"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.returncode == 0
    assert "oneDNN" not in loaded.stderr
    assert "absl" not in loaded.stderr
