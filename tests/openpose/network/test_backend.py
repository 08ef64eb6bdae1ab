"""The parameters decide how Keras computes, not what another project left behind; loading its
backend says nothing that means nothing.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import active_environment

ROOT = Path(__file__).resolve().parents[3]
SHOW = """
from stages.openpose.network.backend import use_backend
use_backend("tensorflow")
from keras import config
print([config.backend(), config.floatx(), config.image_data_format(), config.epsilon()])
print([config.max_epochs(), config.max_steps_per_epoch()])
"""


def test_neither_keras_json_nor_variables_of_another_project_change_anything(tmp_path):
    foreign = {"backend": "torch", "floatx": "float16", "epsilon": 0.1}
    foreign["image_data_format"] = "channels_first"
    (tmp_path / "keras.json").write_text(json.dumps(foreign))
    variables = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch"}
    variables |= {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, env=active_environment() | variables,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "['tensorflow', 'float32', 'channels_last', 1e-07]",
        "[None, None]",
    ]
    for name in ("KERAS_BACKEND", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        assert name in done.stderr


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
