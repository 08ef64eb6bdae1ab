"""A short training on all devices of the environment, its losses by epoch.

python -m tests.devices_run OUT.npy [--virtual COUNT] [--checkpoints FOLDER]
"""

import argparse
from pathlib import Path

import numpy as np

from stages.openpose.training.devices import Devices


def losses(devices: Devices, folder: Path | None = None) -> np.ndarray:
    """Loss and validation loss of two epochs."""
    from tests.backend_run import given_weights
    from tests.openpose.training.test_run import Blobs, run_of

    class Part(Blobs):
        """What the loader makes on one host; the last batch has only one sample."""

        def image_ids(self, index: int) -> list[int]:
            return super().image_ids(index)[: 1 if index == self.count - 1 else self.size]

        def __getitem__(self, index: int) -> tuple:
            images, (targets, mask) = super().__getitem__(index)
            size = self.size // devices.hosts
            mine = slice(
                devices.host * size, min((devices.host + 1) * size, len(self.image_ids(index)))
            )
            return images[mine], (targets[mine], mask[mine])

    settings = {
        "optimizer": "sgd",
        "learning_rate": 0.001,
        "epochs": 2,
        "batch_parts": 1,
        "clip_norm": 0.0,
        "checkpoint_every_s": 0.0,
    }
    run = run_of(folder, Part, Part(99, 2), compiled=True, devices=devices, **settings)
    given_weights(run.model.network)
    return np.array([[row["loss"], row["val_loss"]] for row in run.train().rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument(
        "--virtual", type=int, default=1, help="devices to make of one processor (TensorFlow)"
    )
    parser.add_argument("--checkpoints", type=Path)
    arguments = parser.parse_args()
    if arguments.virtual > 1:
        import tensorflow as tf

        parts = [tf.config.LogicalDeviceConfiguration()] * arguments.virtual
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    from stages.openpose.training.devices import all_devices

    with all_devices() as devices:
        np.save(arguments.out, losses(devices, arguments.checkpoints))
