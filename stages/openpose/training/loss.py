"""What is trained: masked L2 loss over all stages, around a network.

Sources: docs/sources.md 3. Deviation: the mask multiplies the squared error once (the reference
multiplies both prediction and label, which squares the mask where it is neither 0 nor 1).
"""

from collections.abc import Callable

import keras
from keras import ops

from stages.openpose.network.architecture import kernels_held

KINDS = ("paf", "heat")


def masked_l2(prediction, target, mask):
    """Sum of (prediction - target)^2 * mask over everything, halved: float32 scalar.

    prediction and target [B, h, w, C]; mask [B, h, w, 1], 0..1. The reference's loss is this
    divided by B.
    """
    return 0.5 * ops.sum(ops.square(ops.cast(prediction, "float32") - target) * mask)


class LastValue(keras.metrics.Metric):
    """The value of the last step, as it is: means are made outside, in double precision."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.value = self.add_variable(shape=(), initializer="zeros", name="value")

    def update_state(self, value, sample_weight=None) -> None:
        """Keep `value`."""
        self.value.assign(value)

    def result(self):
        """The value kept."""
        return ops.convert_to_tensor(self.value)


class TrainingModel(keras.Model):
    """A network with its loss.

    Batches are (images, (targets float32 [B, h, w, 57], mask float32 [B, h, w, 1])); targets hold
    PAFs first. With `targets_of` batches hold something else in place of targets (keypoints), and
    targets_of(that, (h, w)) makes them. With `slices` > 1 a batch (of a multiple of it) goes
    through the network in that many slices, independently: on a CPU they run side by side, each
    operation on one thread, faster than one operation on many threads and with the same result on
    any number of cores. With `replicas` > 1 this is one of as many equal models that each see a
    shard of a batch; losses are their shares.
    """

    def __init__(
        self,
        network: keras.Model,
        slices: int = 1,
        targets_of: Callable | None = None,
        replicas: int = 1,
    ) -> None:
        super().__init__(name="training")
        self.network, self.slices, self.targets_of, self.replicas = (
            network,
            slices,
            targets_of,
            replicas,
        )
        stages = range(1, len(network.outputs) // 2 + 1)
        self.losses_by_output = [
            LastValue(f"stage{stage}_{kind}") for stage in stages for kind in KINDS
        ]
        # all weights exist; else `fit` takes a batch to build with, and with JAX, PyTorch or a
        # strategy of TensorFlow that batch comes last in the epoch: no exact resume
        self.built = True

    def call(self, images, training=None) -> list[list]:
        """Outputs of the network for each slice of the batch."""
        with kernels_held(self.network):
            return [
                self.network(images_slice, training=training)
                for images_slice in ops.split(images, self.slices)
            ]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Sum of the masked L2 losses of all outputs, divided by the batch size (topped-up images
        count).
        """
        (targets, mask), channels = y, self.network.outputs[0].shape[-1]
        if self.targets_of:
            targets = self.targets_of(targets, mask.shape[1:3])
        batch = ops.cast(ops.shape(mask)[0] * self.replicas, "float32")
        masks = ops.split(mask, self.slices)
        target_slices = [
            ops.split(maps, self.slices)
            for maps in (targets[..., :channels], targets[..., channels:])
        ]
        losses = []
        for output, metric in enumerate(self.losses_by_output):
            kind_targets = target_slices[output % len(KINDS)]
            slice_losses = [
                masked_l2(y_pred[i][output], kind_targets[i], masks[i]) for i in range(self.slices)
            ]
            # added up slice by slice, always in this order: float32 sums depend on it
            losses.append(sum(slice_losses) / batch)
            metric.update_state(losses[-1])
        return sum(losses)

    @property
    def columns(self) -> list[str]:
        """Names of the losses of the outputs, in the network's order."""
        return [metric.name for metric in self.losses_by_output]
