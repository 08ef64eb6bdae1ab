"""A short training and a pass of the light network with given weights, on the backend of the
environment.

python -m tests.backend_run OUT.npz
"""

import sys

import numpy as np

from stages.openpose.network.architecture import build
from stages.openpose.network.forward import network_forward
from tests.openpose.training.test_run import run_of


def given_weights(network, seed: int = 1) -> None:
    """Weights that do not depend on the backend's own random numbers."""
    rng = np.random.default_rng(seed)
    network.set_weights(
        [rng.normal(0, 0.1, weight.shape).astype(np.float32) for weight in network.weights]
    )


def results() -> dict[str, np.ndarray]:
    """Losses of each epoch and trained weights of a small network; maps of the light network."""
    run = run_of(compiled=True, optimizer="muon", epochs=3)
    given_weights(run.model.network)
    rows = run.train().rows
    network = build("light")
    given_weights(network)
    image = np.random.default_rng(2).integers(0, 256, (1, 48, 72, 3), dtype=np.uint8)
    heatmaps, pafs = network_forward(network)(image)
    losses = np.array([[row[name] for name in ("loss", "val_loss")] for row in rows])
    trained = np.concatenate([weight.ravel() for weight in run.model.network.get_weights()])
    return {"losses": losses, "trained": trained, "heatmaps": heatmaps, "pafs": pafs}


if __name__ == "__main__":
    np.savez(sys.argv[1], **results())
