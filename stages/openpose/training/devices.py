"""All devices of the environment at once: each computes a shard of every batch, all hold the same
weights.

JAX: `keras.distribution.DataParallel` over the devices of all hosts. A launcher says who is who by
Keras' own variables KERAS_DISTRIBUTION_JOB_ADDRESSES, KERAS_DISTRIBUTION_NUM_PROCESSES and
KERAS_DISTRIBUTION_PROCESS_ID.
TensorFlow: `tf.distribute.MirroredStrategy` over the devices of this host.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Devices:
    """Who computes.

    Attributes:
        count: devices of all hosts; each gets as many samples of a batch.
        replicas: copies of the training step that see nothing but their own shard of a batch
            (TensorFlow); with JAX the step sees the whole batch wherever its shards lie.
        hosts: processes that read data, each its own shard.
        host: number of this one; 0 writes the results.
    """

    count: int = 1
    replicas: int = 1
    hosts: int = 1
    host: int = 0


ONE_DEVICE = Devices()


@contextmanager
def all_devices() -> Iterator[Devices]:
    """Within the block models are made and trained on all devices there are; to be entered before
    any model is made.
    """
    import keras  # here, because the backend is chosen by then

    if keras.backend.backend() == "jax":
        yield _jax_devices()
    elif keras.backend.backend() == "tensorflow":
        yield from _mirrored()
    else:
        yield ONE_DEVICE


def _jax_devices() -> Devices:
    import jax
    import keras

    if os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES"):
        keras.distribution.initialize()
    names = keras.distribution.list_devices()
    if len(names) == 1:
        return ONE_DEVICE
    # every host feeds its own shard, so nothing is left for Keras to divide
    everywhere = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
    keras.distribution.set_distribution(everywhere)
    return Devices(count=len(names), hosts=jax.process_count(), host=jax.process_index())


def _mirrored() -> Iterator[Devices]:
    import tensorflow as tf

    names = [
        device.name for kind in ("GPU", "CPU") for device in tf.config.list_logical_devices(kind)
    ]
    names = [name for name in names if name.split(":")[-2] == names[0].split(":")[-2]]
    if len(names) == 1:
        yield ONE_DEVICE
        return
    with tf.distribute.MirroredStrategy(names).scope():
        yield Devices(count=len(names), replicas=len(names))
