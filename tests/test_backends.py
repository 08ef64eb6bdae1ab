"""Other backends of Keras train and infer as the default one does."""

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import backend_run

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def ours() -> dict[str, np.ndarray]:
    return backend_run.results()


@pytest.fixture(scope="module", params=["jax", "torch"])
def theirs(request, tmp_path_factory) -> dict[str, np.ndarray]:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    out = tmp_path_factory.mktemp("backend") / "results.npz"
    environment = os.environ | {"KERAS_BACKEND": request.param}
    subprocess.run(
        [sys.executable, "-m", "tests.backend_run", out], cwd=ROOT, env=environment, check=True
    )
    return dict(np.load(out))


def test_maps_of_the_light_network_are_equal(theirs):
    for name in ("heatmaps", "pafs"):
        assert np.abs(ours()[name]).max() > 0.1
        np.testing.assert_allclose(theirs[name], ours()[name], atol=1e-4)


def test_training_from_the_same_weights_goes_the_same_way(theirs):
    losses = ours()["losses"]
    assert losses[-1, 0] < 0.9 * losses[0, 0]
    np.testing.assert_allclose(theirs["losses"], losses, rtol=1e-3)
    np.testing.assert_allclose(theirs["trained"], ours()["trained"], atol=1e-2)
