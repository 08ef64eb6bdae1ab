"""The course of a training run: epochs, validation, log, checkpoints, and what ends it early.

An unbroken run and one that was killed at any step and started again go through the same states bit
by bit: weights, optimizer and EMA come back from the checkpoint, and batch i of epoch e depends on
(seed, e, i) only.
"""

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import keras
import numpy as np
from tqdm import tqdm

from stages.openpose.errors import InputError
from stages.openpose.network.architecture import head_kernels
from stages.openpose.training.checkpoints import CheckpointFolder
from stages.openpose.training.devices import ONE_DEVICE, Devices
from stages.openpose.training.loss import KINDS, TrainingModel
from stages.openpose.training.optimizers import make_optimizer, make_schedule
from stages.openpose.training.pace import Pace

# Losses lie unread on the device while up to this many steps follow: reading them at once would
# have a GPU wait for Python after every step.
MOST_UNREAD_STEPS = 8
NEWEST_STEPS = 2  # stay unread when the others are read: the GPU has work meanwhile
OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError", "MemoryError")
OUT_OF_MEMORY_TEXT = ("RESOURCE_EXHAUSTED", "out of memory", "OOM when allocating")


@dataclass
class Progress:
    """How far a run is, as checkpoints keep it.

    `epoch` counts finished epochs, `step` the steps done in the current one, `samples` those of all
    epochs; `sums` are the losses summed over the `epoch_samples` samples of the current epoch;
    `rows` the finished lines of the log; `seconds` the training time of all sessions.
    """

    epoch: int = 0
    step: int = 0
    samples: int = 0
    epoch_samples: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)
    seconds: float = 0.0


class RestOfEpoch(keras.utils.PyDataset):
    """Batches of an epoch from number `start` on, all of `batch_size`; on each of several `hosts`
    its shard of them.

    A smaller one is topped up with images whose mask is zero: no shard of a batch is ever empty,
    every sample of an epoch weighs the same, and compiled steps see one shape. `failure` keeps what
    a batch raised (backends wrap it beyond recognition), `sizes` the true size of each batch handed
    out on all hosts, `wait_seconds` how long batches were waited for (ahead of training: an upper
    bound of what training waited).
    """

    def __init__(
        self, batches: keras.utils.PyDataset, start: int, batch_size: int, hosts: int = 1
    ) -> None:
        # With one worker Keras leaves it to tf.data to fetch ahead; after some epochs the end of
        # `fit` then waits many seconds for tf.data's tuning thread (RootDataset::Iterator's
        # destructor). Two have Keras fetch ahead itself.
        super().__init__(workers=2, max_queue_size=batches.max_queue_size)
        self.batches, self.start, self.batch_size, self.hosts = batches, start, batch_size, hosts
        self.failure: Exception | None = None
        self.wait_seconds = 0.0
        self.sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.batches) - self.start

    def __getitem__(self, index: int) -> tuple:
        began = time.perf_counter()
        try:
            images, labels = self.batches[self.start + index]
        except Exception as problem:
            self.failure = problem
            raise
        self.wait_seconds += time.perf_counter() - began
        self.sizes[self.start + index] = len(self.batches.image_ids(self.start + index))
        return top_up(images, *labels, self.batch_size // self.hosts)


def top_up(images: np.ndarray, targets: np.ndarray, mask: np.ndarray, batch_size: int) -> tuple:
    """A batch of `batch_size`: what is missing are copies of the first image, or black, with a mask
    of zeros.
    """
    missing = batch_size - len(images)
    if not missing:
        return images, (targets, mask)
    zeros = [
        np.zeros((missing, *array.shape[1:]), array.dtype) for array in (images, targets, mask)
    ]
    filling = (
        [np.repeat(array[:1], missing, axis=0) for array in (images, targets)]
        if len(images)
        else zeros
    )
    images, targets = (
        np.concatenate([array, fill])
        for array, fill in zip((images, targets), filling, strict=False)
    )
    return images, (targets, np.concatenate([mask, zeros[2]]))


class TrainingRun:
    """One training run, from its newest checkpoint (if any) to its last epoch.

    Args:
        network: the network to train.
        batches_of_epoch: the batches of epoch e (from 0), as many in every epoch; item i depends on
            nothing but (e, i).
        validation: batches on which the EMA weights of each epoch are judged, or None.
        settings: section `train` of the parameters.
        checkpoints: where to keep them; None keeps none.
        multipliers: learning-rate multipliers by weight path.
        targets_of: see TrainingModel.
        devices: on which devices `network` was made (devices.py).
        after_epoch: called with the rows of the log when an epoch is over, EMA weights in place.
        tell_pace: called once, after the first steps, with (seconds left, samples a second).
    """

    def __init__(
        self,
        network: keras.Model,
        batches_of_epoch: Callable[[int], keras.utils.PyDataset],
        validation: keras.utils.PyDataset | None,
        settings,
        *,
        checkpoints: CheckpointFolder | None = None,
        multipliers: Mapping[str, float] | None = None,
        targets_of: Callable | None = None,
        devices: Devices = ONE_DEVICE,
        after_epoch: Callable[[list[dict]], None] | None = None,
        tell_pace: Callable[[float, float], None] = lambda seconds, rate: None,
    ) -> None:
        self.settings, self.batches_of_epoch, self.validation = (
            settings,
            batches_of_epoch,
            validation,
        )
        self.checkpoints, self.after_epoch = checkpoints, after_epoch
        self.pace = Pace(tell_pace)
        self.devices = devices
        _check_division(settings, devices)
        first = batches_of_epoch(0)
        self.steps_per_epoch = len(first)
        last = first.image_ids(len(first) - 1) if len(first) else []
        self.samples_per_epoch = (len(first) - 1) * settings.batch_size + len(last)
        self.model = TrainingModel(network, settings.batch_parts, targets_of, devices.replicas)
        self.steps = self.steps_per_epoch * settings.epochs
        optimizer = make_optimizer(settings, self.steps, multipliers or {}, head_kernels(network))
        self.model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
        optimizer.build(self.model.trainable_variables)
        self.progress, self.saved = Progress(), None
        self.wait_seconds = 0.0

    def train(self) -> Progress:
        """Train to the end and leave the EMA weights in the network.

        Raises:
            InputError: loss not finite, out of memory, or a batch that cannot be made.
            KeyboardInterrupt: after a checkpoint was saved, on SIGINT or SIGTERM.
        """
        self._restore()
        try:
            self._epochs()
            self._save()
        finally:
            if self.checkpoints:
                self.checkpoints.wait()
        self._assign(self.model.optimizer.ema_weights)
        return self.progress

    def _epochs(self) -> None:
        with _stop_signals() as stop, self._bar() as bar:
            while self.progress.epoch < self.settings.epochs and not self._should_stop_early():
                batches = self.batches_of_epoch(self.progress.epoch)
                rest = self._rest(batches, self.progress.step)
                if len(rest):
                    self._fit(rest, _Watch(self, rest, stop, bar))
                if hasattr(batches, "close"):  # Keras keeps what it was given
                    batches.close()
                self._end_epoch()
                if self.devices.hosts > 1:
                    self._save()

    def _rest(self, batches: keras.utils.PyDataset, start: int) -> RestOfEpoch:
        return RestOfEpoch(batches, start, self.settings.batch_size, self.devices.hosts)

    def _fit(self, rest: RestOfEpoch, watch: "_Watch") -> None:
        callbacks = _Unread([watch], add_history=True, model=self.model)
        try:
            self.model.fit(rest, callbacks=callbacks, verbose=0, shuffle=False)
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as problem:
            if isinstance(rest.failure, InputError):
                raise rest.failure from None
            if _out_of_memory(problem):
                size = self.settings.batch_size
                raise InputError(
                    f"out of memory at `train.batch_size` {size}; lower it, then `augment.crop_px`"
                ) from problem
            raise
        finally:
            self.wait_seconds += rest.wait_seconds

    def _end_epoch(self) -> None:
        progress = self.progress
        row = {
            "epoch": progress.epoch + 1,
            "samples": progress.samples,
            "learning_rate": self._rate(),
        }
        losses = {name: total / progress.epoch_samples for name, total in progress.sums.items()}
        row |= {"loss": sum(losses.values()), **losses}
        trained_weights = [
            np.array(keras.ops.convert_to_numpy(weight))
            for weight in self.model.trainable_variables
        ]
        self._assign(self.model.optimizer.ema_weights)
        progress.rows.append(row | self._validate())
        if self.after_epoch:
            self.after_epoch(progress.rows)
        self._assign(trained_weights)
        progress.epoch, progress.step, progress.epoch_samples, progress.sums = (
            progress.epoch + 1,
            0,
            0,
            {},
        )

    def _validate(self) -> dict[str, float]:
        """Losses of the validation batches, per sample: all outputs, and PAFs and heatmaps of the
        last stage.
        """
        if not self.validation or not len(self.validation):
            return {}
        batches = self._rest(self.validation, 0)
        total = dict.fromkeys(self.model.columns, 0.0)
        for index in range(len(batches)):
            logs = self.model.test_on_batch(*batches[index], return_dict=True)
            # means are taken outside the model, in float64 and per sample
            total = {
                name: value + float(logs[name]) * batches.batch_size
                for name, value in total.items()
            }
        samples = sum(batches.sizes.values())
        last = self.model.columns[-len(KINDS) :]
        row = {"val_loss": sum(total.values()) / samples}
        return row | {
            f"val_{kind}": total[name] / samples for kind, name in zip(KINDS, last, strict=True)
        }

    def _should_stop_early(self) -> bool:
        """Early stopping: validation has not got better for `early_stop_epochs` epochs."""
        patience = self.settings.early_stop_epochs
        losses = [row["val_loss"] for row in self.progress.rows if "val_loss" in row]
        return (
            bool(patience)
            and len(losses) > patience
            and min(losses[-patience:]) > min(losses[:-patience])
        )

    def _synchronise(self) -> None:
        """Bring weights and state up to date: within an epoch JAX keeps them outside the model."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()

    def _rate(self) -> float:
        self._synchronise()
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _variables(self) -> list:
        return [*self.model.network.variables, *self.model.optimizer.variables]

    def _assign(self, values: list) -> None:
        for weight, value in zip(self.model.trainable_variables, values, strict=True):
            # JAX gives away the memory of weights when it trains
            weight.assign(keras.ops.copy(value))

    def _save(self) -> None:
        """Write a checkpoint, of several hosts the first; not twice at one step with the same
        finished epochs.
        """
        place = (self.progress.epoch, self.progress.step)
        if self.checkpoints and place != self.saved:
            self._synchronise()
            # copies on the device; the writing thread fetches them while training goes on
            copies = [keras.ops.copy(variable) for variable in self._variables()]
            if self.devices.host == 0:
                step = place[0] * self.steps_per_epoch + place[1]
                self.checkpoints.save(
                    step, copies, asdict(self.progress), to_numpy=keras.ops.convert_to_numpy
                )
            self.saved = place

    def _restore(self) -> None:
        checkpoint = self.checkpoints.load() if self.checkpoints else None
        if checkpoint is None:
            return
        for variable, array in zip(self._variables(), checkpoint[0], strict=True):
            variable.assign(array)
        self.progress = Progress(**checkpoint[1])
        self.saved = (self.progress.epoch, self.progress.step)

    def _bar(self) -> tqdm:
        total = self.samples_per_epoch * self.settings.epochs
        return tqdm(
            total=total, initial=self.progress.samples, desc="train", unit="samples", mininterval=2
        )


class _Unread(keras.callbacks.CallbackList):
    """Hands on the losses of a step as they lie on the device; Keras' own list reads them."""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)


class _Watch(keras.callbacks.Callback):
    """After every step of an epoch checkpoints and signals; some steps later sums, faults, the
    bar.
    """

    def __init__(
        self, run: TrainingRun, rest: RestOfEpoch, stop: threading.Event, bar: tqdm
    ) -> None:
        super().__init__()
        self.run, self.rest, self.stop, self.bar = run, rest, stop, bar
        self.last_save = self.last_step = time.perf_counter()
        self.unread: deque = deque()  # one tensor a step: the losses of all outputs

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # stacked: one thing to read, and JAX gives away the memory of the single values
        self.unread.append(keras.ops.stack([logs[name] for name in self.run.model.columns]))
        if len(self.unread) > MOST_UNREAD_STEPS:
            self._read(leave=NEWEST_STEPS)
        self.run.pace.step(self.rest.batch_size, self.bar.total - self.run.progress.samples)
        is_due = time.perf_counter() - self.last_save > self.run.settings.checkpoint_every_s
        # several hosts would have to agree on the step: they save at the end of every epoch
        if (self.stop.is_set() or is_due) and self.run.devices.hosts == 1:
            self._read()
            self.run._save()
            self.last_save = time.perf_counter()
        if self.stop.is_set():
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._read()

    def _read(self, leave: int = 0) -> None:
        """Read the losses of all steps but the newest."""
        while len(self.unread) > leave:
            values = keras.ops.convert_to_numpy(self.unread.popleft()).tolist()
            self._check(sum(values))
            self._count(dict(zip(self.run.model.columns, values, strict=True)))

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            progress, run = self.run.progress, self.run
            done = progress.epoch * run.steps_per_epoch + progress.step + 1
            rate = float(make_schedule(run.settings, run.steps)(done))
            ids = ", ".join(map(str, self.rest.batches.image_ids(progress.step)))
            raise InputError(
                f"loss is {loss} in epoch {progress.epoch + 1}, step {progress.step + 1}, "
                f"learning rate {rate:.3g}; "
                f"images of the batch: {ids}; lower `train.learning_rate`, or look at these images"
            )

    def _count(self, losses: dict[str, float]) -> None:
        progress = self.run.progress
        size = self.rest.sizes.pop(progress.step)
        progress.step, progress.samples, progress.epoch_samples = (
            progress.step + 1,
            progress.samples + size,
            progress.epoch_samples + size,
        )
        progress.sums = {
            name: progress.sums.get(name, 0.0) + value * self.rest.batch_size
            for name, value in losses.items()
        }
        now = time.perf_counter()
        progress.seconds, self.last_step = progress.seconds + now - self.last_step, now
        self.bar.set_postfix(
            loss=f"{sum(progress.sums.values()) / progress.epoch_samples:.2f}", refresh=False
        )
        self.bar.update(size)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; a second one acts at once. Outside the main thread
    signals do nothing.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_division(settings, devices: Devices) -> None:
    """Raise InputError where a batch cannot be divided among slices and devices."""
    if settings.batch_size % (settings.batch_parts * devices.count):
        where = f" times the number of devices ({devices.count})" if devices.count > 1 else ""
        raise InputError(
            f"`train.batch_parts`{where}: expected a divisor of `train.batch_size` "
            f"({settings.batch_size}), "
            f"found {settings.batch_parts * devices.count}"
        )
    if settings.clip_norm and devices.replicas > 1:
        raise InputError(
            "`train.clip_norm`: TensorFlow on several devices would clip the gradients of each by "
            "themselves; set it "
            "to 0, or `train.backend` to jax"
        )


def _out_of_memory(problem: Exception) -> bool:
    return type(problem).__name__ in OUT_OF_MEMORY or any(
        mark in str(problem) for mark in OUT_OF_MEMORY_TEXT
    )
