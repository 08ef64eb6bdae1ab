"""The parameters decide how Keras computes, not what another project left behind."""

import json
import subprocess
import sys
from pathlib import Path

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
