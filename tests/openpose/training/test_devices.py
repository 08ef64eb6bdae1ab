"""Several devices and several hosts train as one device does: the same batches, the same losses."""

import functools
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from stages.openpose.errors import InputError
from stages.openpose.samples.loader import TrainingBatches
from stages.openpose.training.devices import Devices
from tests.openpose.samples.test_loader import PLAIN, write_packed
from tests.openpose.training.test_run import run_of

ROOT = Path(__file__).resolve().parents[3]
RUN = [sys.executable, "-m", "tests.devices_run"]


@functools.cache
def one_device() -> np.ndarray:
    """Losses by epoch."""
    from tests.devices_run import losses

    return losses(Devices())


def read(out: Path) -> np.ndarray:
    return np.load(out)


def needs_jax() -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")


def test_two_devices_of_tensorflow_train_as_one(tmp_path):
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    subprocess.run(
        [*RUN, tmp_path / "0.npy", "--virtual", "2"], cwd=ROOT, env=environment, check=True
    )
    np.testing.assert_allclose(read(tmp_path / "0.npy"), one_device(), rtol=1e-3)


def test_two_devices_of_jax_train_as_one(tmp_path):
    needs_jax()
    flags = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    subprocess.run([*RUN, tmp_path / "0.npy"], cwd=ROOT, env=os.environ | flags, check=True)
    np.testing.assert_allclose(read(tmp_path / "0.npy"), one_device(), rtol=1e-3)


def test_two_hosts_of_jax_train_as_one_device_and_only_the_first_saves(tmp_path):
    needs_jax()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    launched = {"KERAS_BACKEND": "jax", "KERAS_DISTRIBUTION_JOB_ADDRESSES": address}
    launched |= {"KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    hosts = [
        subprocess.Popen(
            [*RUN, tmp_path / f"{host}.npy", "--checkpoints", tmp_path / f"checkpoints{host}"],
            cwd=ROOT,
            env=os.environ | launched | {"KERAS_DISTRIBUTION_PROCESS_ID": str(host)},
        )
        for host in range(2)
    ]
    assert [host.wait(timeout=120) for host in hosts] == [0, 0]
    for host in range(2):
        np.testing.assert_allclose(read(tmp_path / f"{host}.npy"), one_device(), rtol=1e-3)
    assert list((tmp_path / "checkpoints0").glob("step-*.npz"))
    assert not (tmp_path / "checkpoints1").exists()


def test_shards_of_hosts_make_up_the_batch(tmp_path):
    path = write_packed(tmp_path / "train.h5", [1, 3, 2], [(60, 80)] * 3)
    options = PLAIN | {"batch_size": 4, "seed": 7, "shuffle_images": 3, "threads": 1}
    whole = TrainingBatches(path, **options)
    shards = [TrainingBatches(path, **options, shard=(i, 2)) for i in range(2)]
    sizes = []
    for index in range(len(whole)):
        images, (targets, mask) = whole[index]
        batches = [shard[index] for shard in shards]
        sizes.append([len(batch[0]) for batch in batches])
        np.testing.assert_array_equal(np.concatenate([batch[0] for batch in batches]), images)
        np.testing.assert_array_equal(np.concatenate([batch[1][0] for batch in batches]), targets)
        np.testing.assert_array_equal(np.concatenate([batch[1][1] for batch in batches]), mask)
    assert sizes == [[2, 2], [2, 0]]


def test_batch_that_cannot_be_divided_among_devices_is_refused():
    with pytest.raises(
        InputError, match=r"number of devices \(4\): expected a divisor of `train.batch_size` \(4\)"
    ):
        run_of(devices=Devices(count=4))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's copies")
def test_clipping_on_several_devices_of_tensorflow_is_refused():
    with pytest.raises(InputError, match=r"`train\.clip_norm`: TensorFlow on several devices"):
        run_of(devices=Devices(count=2, replicas=2))
