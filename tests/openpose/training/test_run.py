"""Loss, optimizers, schedules, and the course of a run: exact resume, faults, early end."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import functools
import math
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from stages.openpose.errors import InputError
from stages.openpose.training import run as run_module
from stages.openpose.training.checkpoints import CheckpointFolder
from stages.openpose.training.devices import ONE_DEVICE
from stages.openpose.training.loss import TrainingModel, masked_l2
from stages.openpose.training.optimizers import (
    REFERENCE_STEP_SAMPLES,
    fitted_warm_up,
    make_optimizer,
    make_schedule,
    orthogonalised,
)
from stages.openpose.training.run import TrainingRun, _stop_signals

SETTINGS = {
    "epochs": 2, "batch_size": 4, "optimizer": "adam", "learning_rate": 0.01,
    "schedule": "one_cycle",
    "warm_up_samples": 8, "weight_decay": 0.01, "decay_meaning": "decoupled", "clip_norm": 10.0,
    "average_momentum": 0.9, "batch_parts": 2, "early_stop_epochs": 0, "checkpoint_every_s": 1e9,
}  # fmt: skip


def settings(**changes) -> SimpleNamespace:
    return SimpleNamespace(**(SETTINGS | changes))


class Blobs(keras.utils.PyDataset):
    """Noise images whose maps are a fixed linear function of them; item i of epoch e depends on (e,
    i) only.
    """

    def __init__(
        self, epoch: int = 0, count: int = 4, size: int = 4, before_item=lambda i: None
    ) -> None:
        super().__init__()
        self.epoch, self.count, self.size, self.before_item = epoch, count, size, before_item

    def __len__(self) -> int:
        return self.count

    def image_ids(self, index: int) -> list[int]:
        return [1000 * self.epoch + 10 * index + i for i in range(self.size)]

    def __getitem__(self, index: int) -> tuple:
        self.before_item(index)
        rng = np.random.default_rng([self.epoch, index])
        images = rng.integers(0, 256, (self.size, 16, 16, 3), dtype=np.uint8)
        means = images.reshape(self.size, 2, 8, 2, 8, 3).mean((2, 4)) / 256
        targets = (means @ np.linspace(-1, 1, 3 * 57).reshape(3, 57)).astype(np.float32)
        return images, (targets, np.ones((self.size, 2, 2, 1), np.float32))


def small_network(seed: int = 1) -> keras.Model:
    """Two stages like the real ones, small enough to compile in a blink."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 256, -0.5)(image)
    x = keras.layers.Conv2D(8, 8, strides=8, activation="relu", name="features")(x)
    outputs = []
    for stage in (1, 2):
        joined = keras.layers.Concatenate()([x, *outputs[-2:]]) if outputs else x
        outputs = outputs + [
            keras.layers.Conv2D(n, 1, name=f"stage{stage}_{n}")(joined) for n in (38, 19)
        ]
    return keras.Model(image, outputs, name="small")


def run_of(
    folder=None, batches=Blobs, validation=None, compiled=False, devices=ONE_DEVICE, **changes
) -> TrainingRun:
    options = {"checkpoints": CheckpointFolder(folder) if folder else None, "devices": devices}
    validation = Blobs(99, 2) if validation is None else validation
    run = TrainingRun(small_network(), batches, validation, settings(**changes), **options)
    run.model.run_eagerly = not compiled  # tracing takes longer than these few steps
    return run


def weights(run: TrainingRun) -> list[np.ndarray]:
    return run.model.network.get_weights()


@functools.cache
def unbroken(**changes) -> tuple[list[dict], list[np.ndarray]]:
    """Log and weights of a run that nothing disturbs."""
    run = run_of(**changes)
    return run.train().rows, weights(run)


def assert_equal(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def killed(when: int):
    """Batches that stop the program dead in the middle of an epoch, as far as training can tell."""

    class Killed(Exception):
        pass

    def before_item(index: int) -> None:
        if index == when:
            raise Killed("Killed")

    return Killed, lambda epoch: Blobs(
        epoch, before_item=before_item if epoch == 1 else lambda i: None
    )


# ---- loss


def test_loss_is_half_the_masked_sum_of_squares():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 2, 3, 3, 5)).astype(np.float32)
    mask = rng.random((2, 3, 3, 1)).astype(np.float32)
    assert float(masked_l2(a, b, mask)) == pytest.approx(
        0.5 * ((a - b) ** 2 * mask).sum(), rel=1e-5
    )


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_loss_is_the_sum_of_all_outputs_over_the_batch_size(parts):
    network = small_network()
    model = TrainingModel(network, parts)
    model.compile(optimizer="sgd")
    images, (targets, mask) = Blobs()[0]
    logs = model.test_on_batch(images, (targets, mask), return_dict=True)
    outputs = [np.array(maps) for maps in network(images)]
    targets_of_kind = [targets[..., :38], targets[..., 38:]] * 2
    expected = [
        0.5 * ((a - b) ** 2).sum() / 4 for a, b in zip(outputs, targets_of_kind, strict=True)
    ]
    assert list(model.columns) == ["stage1_paf", "stage1_heat", "stage2_paf", "stage2_heat"]
    np.testing.assert_allclose([logs[name] for name in model.columns], expected, rtol=1e-5)
    assert float(logs["loss"]) == pytest.approx(sum(expected), rel=1e-5)


def test_masked_cells_give_no_gradient():
    images, (targets, mask) = Blobs()[0]
    trained = []
    for noise in (0.0, 100.0):
        masked = mask.copy()
        masked[:, 0] = 0
        changed = targets + noise * (1 - masked)
        model = TrainingModel(small_network())
        model.compile(optimizer="sgd")
        model.train_on_batch(images, (changed, masked))
        trained.append(model.get_weights())
    assert_equal(*trained)


# ---- optimizers and schedules


def applied(optimizer, kernel: float, gradient: float, steps: int = 1) -> keras.Variable:
    variable = keras.Variable(np.full((2,), kernel, np.float32), name="kernel")
    for _ in range(steps):
        optimizer.apply([np.full((2,), gradient, np.float32)], [variable])
    return variable


@pytest.mark.parametrize(("meaning", "share"), [("decoupled", 1.0), ("caffe", 1.0), ("keras", 2.0)])
def test_weight_decay_of_sgd_shrinks_a_kernel_by_its_meaning(meaning, share):
    section = settings(
        optimizer="sgd",
        schedule="constant",
        warm_up_samples=0,
        weight_decay=0.5,
        decay_meaning=meaning,
    )
    kernel = applied(make_optimizer(section, 10, {}), kernel=2.0, gradient=0.0)
    np.testing.assert_allclose(kernel, 2.0 - 0.01 * share * 0.5 * 2.0, rtol=1e-6)


def test_decoupled_decay_of_adam_does_not_pass_through_its_moments():
    section = settings(schedule="constant", warm_up_samples=0, weight_decay=0.5)
    kernel = applied(make_optimizer(section, 10, {}), kernel=2.0, gradient=0.0)
    np.testing.assert_allclose(kernel, 2.0 * (1 - 0.01 * 0.5), rtol=1e-6)


def test_biases_do_not_decay():
    bias = keras.Variable(np.ones(2, np.float32), name="bias")
    make_optimizer(settings(optimizer="sgd", weight_decay=0.5), 10, {}).apply(
        [np.zeros(2, np.float32)], [bias]
    )
    np.testing.assert_array_equal(bias, np.ones(2))


def test_momentum_of_sgd_is_that_of_caffe():
    section = settings(
        optimizer="sgd", schedule="constant", warm_up_samples=0, weight_decay=0.0, clip_norm=0.0
    )
    kernel = applied(make_optimizer(section, 10, {}), kernel=0.0, gradient=1.0, steps=2)
    np.testing.assert_allclose(kernel, -0.01 * (1 + 1.9), rtol=1e-6)


def test_multiplier_scales_the_step_of_its_weight():
    section = settings(optimizer="sgd", schedule="constant", warm_up_samples=0, weight_decay=0.0)
    variables = [keras.Variable(np.zeros(1, np.float32), name=name) for name in ("kernel", "bias")]
    optimizer = make_optimizer(section, 10, {variables[1].path: 8.0})
    optimizer.apply([np.ones(1, np.float32)] * 2, variables)
    np.testing.assert_allclose(np.array(variables[1]), 8 * np.array(variables[0]), rtol=1e-6)


def test_gradients_are_clipped_by_their_common_norm():
    section = settings(
        optimizer="sgd", schedule="constant", warm_up_samples=0, weight_decay=0.0, clip_norm=1.0
    )
    variables = [keras.Variable(np.zeros(1, np.float32), name=name) for name in ("kernel", "bias")]
    optimizer = make_optimizer(section, 10, {})
    optimizer.apply([np.full(1, 30, np.float32), np.full(1, 40, np.float32)], variables)
    np.testing.assert_allclose(
        [v.numpy()[0] for v in variables], [-0.01 * 0.6, -0.01 * 0.8], rtol=1e-5
    )


def test_orthogonalising_keeps_directions_and_evens_out_their_strength():
    left, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))
    right, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))
    matrix = (left[:, :8] * np.geomspace(1, 0.05, 8)) @ right
    evened = keras.ops.convert_to_numpy(
        orthogonalised(keras.ops.convert_to_tensor(matrix, "float32"))
    )
    strengths = np.diag(left[:, :8].T @ evened @ right.T)
    assert 0.6 < strengths.min() < strengths.max() < 1.3
    np.testing.assert_allclose(evened, (left[:, :8] * strengths) @ right, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_step_of_muon_has_one_size_whatever_the_gradient(scale):
    section = settings(
        optimizer="muon", schedule="constant", warm_up_samples=0, weight_decay=0.0, clip_norm=0.0
    )
    kernel = keras.Variable(np.zeros((3, 3, 4, 8), np.float32), name="kernel")
    gradient = np.random.default_rng(0).normal(size=kernel.shape).astype(np.float32) * scale
    make_optimizer(section, 10, {}).apply([gradient], [kernel])
    started = np.sqrt(2 / 36)
    assert 0.6 < np.sqrt(np.mean(np.square(kernel))) / (0.01 * 10 * started) < 1.3


@pytest.mark.parametrize(("shape", "is_head"), [((1, 1, 4, 8), True), ((3, 3, 8, 1), False)])
def test_muon_leaves_heads_depthwise_kernels_and_biases_to_adam(shape, is_head):
    same = {"schedule": "constant", "warm_up_samples": 0, "weight_decay": 0.0, "clip_norm": 0.0}
    gradients = [
        np.random.default_rng(i).normal(size=s).astype(np.float32)
        for i, s in enumerate((shape, (8,)))
    ]
    results = []
    for optimizer in ("adam", "muon"):
        head = [
            keras.Variable(np.zeros(g.shape, np.float32), name=n)
            for g, n in zip(gradients, ("kernel", "bias"), strict=True)
        ]
        make_optimizer(
            settings(optimizer=optimizer, **same),
            10,
            {},
            frozenset({head[0].path} if is_head else ()),
        ).apply(gradients, head)
        results.append([np.array(variable) for variable in head])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_ema_starts_at_the_weights_and_follows_them():
    section = settings(
        optimizer="sgd",
        schedule="constant",
        warm_up_samples=0,
        weight_decay=0.0,
        average_momentum=0.5,
    )
    optimizer = make_optimizer(section, 10, {})
    kernel = applied(optimizer, kernel=5.0, gradient=1.0)
    np.testing.assert_array_equal(np.array(optimizer.ema_weights[0]), np.array(kernel))
    applied_again = np.array(kernel)
    optimizer.apply([np.ones(2, np.float32)], [kernel])
    assert np.all(np.array(optimizer.ema_weights[0]) < applied_again)
    assert np.all(np.array(optimizer.ema_weights[0]) > np.array(kernel))


def test_one_cycle_rises_to_its_peak_and_falls_to_a_thousandth():
    schedule = make_schedule(settings(warm_up_samples=40, batch_size=4), steps=100)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.01 / 25)
    assert np.argmax(rates) == 10
    assert max(rates) == pytest.approx(0.01)
    assert np.all(np.diff(rates[:11]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[100] == pytest.approx(0.01 / 1000)


@pytest.mark.parametrize("run_samples", [1, 3, 12, 60, 119, 120, 121, 500, 4001, 20_000, 114_452])
@pytest.mark.parametrize("batch_size", [1, 4, 12])
def test_the_rate_of_a_run_of_any_length_reaches_its_peak(run_samples, batch_size):
    warm_up = fitted_warm_up(2000, run_samples, batch_size)
    steps = -(-run_samples // batch_size)
    for kind in ("one_cycle", "constant"):
        section = settings(schedule=kind, warm_up_samples=warm_up, batch_size=batch_size)
        schedule = make_schedule(section, steps)
        assert np.max(schedule(np.arange(min(steps, 2001)))) > 0.0099


def test_a_warm_up_of_a_tenth_of_the_run_stays_as_it_is():
    assert fitted_warm_up(2000, 20_000, 12) == 2000
    assert fitted_warm_up(2000, 19_990, 12) == 1999
    assert fitted_warm_up(2000, 114_452, 12) == 2000  # the default run


def test_step_schedule_counts_samples_as_the_reference_does():
    schedule = make_schedule(
        settings(schedule="step", warm_up_samples=0, batch_size=10, learning_rate=2e-5), 1
    )
    every = REFERENCE_STEP_SAMPLES // 10
    assert float(schedule(every - 10)) == pytest.approx(2e-5)
    assert float(schedule(every + 10)) == pytest.approx(2e-5 * 0.333)
    assert float(schedule(2 * every + 10)) == pytest.approx(2e-5 * 0.333**2)


# ---- the course of a run


def test_training_lowers_the_loss_and_keeps_the_ema():
    run = run_of(epochs=4)
    progress = run.train()
    assert progress.rows[-1]["loss"] < 0.8 * progress.rows[0]["loss"]
    assert_equal(weights(run), [average.numpy() for average in run.model.optimizer.ema_weights])


def test_smaller_last_batch_weighs_as_its_samples_do():
    class Ragged(Blobs):
        def image_ids(self, index: int) -> list[int]:
            return super().image_ids(index)[: 1 if index == self.count - 1 else self.size]

        def __getitem__(self, index: int) -> tuple:
            images, (targets, mask) = super().__getitem__(index)
            size = 1 if index == self.count - 1 else self.size
            return images[:size], (targets[:size], mask[:size])

    run = run_of(batches=Ragged, validation=Ragged(99, 2), epochs=1, learning_rate=1e-9)
    row = run.train().rows[0]
    assert row["samples"] == 3 * 4 + 1
    for prefix, ragged in (("", Ragged()), ("val_", Ragged(99, 2))):
        batches = [ragged[i] for i in range(len(ragged))]
        images = np.concatenate([images for images, _ in batches])
        heat = np.concatenate([targets[..., 38:] for _, (targets, _) in batches])
        difference = np.array(run.model.network(images)[-1]) - heat
        name = f"{prefix}heat" if prefix else "stage2_heat"
        assert row[name] == pytest.approx(0.5 * (difference**2).sum() / len(images), rel=1e-4)


def test_parts_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(
        InputError,
        match=r"`train.batch_parts`: expected a divisor of `train.batch_size` \(4\), found 3",
    ):
        run_of(batch_parts=3)


def test_log_has_one_row_an_epoch_with_the_losses_of_every_output():
    rows = run_of().train().rows
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["samples"] for row in rows] == [16, 32]
    stages = ["stage1_paf", "stage1_heat", "stage2_paf", "stage2_heat"]
    assert list(rows[0]) == [
        "epoch",
        "samples",
        "learning_rate",
        "loss",
        *stages,
        "val_loss",
        "val_paf",
        "val_heat",
    ]
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row[name] for name in stages))


def test_validation_loss_is_that_of_the_averaged_weights():
    run = run_of(epochs=1)
    row = run.train().rows[-1]
    batches = [Blobs(99, 2)[i] for i in range(2)]
    images = np.concatenate([images for images, _ in batches])
    heat = np.concatenate([targets[..., 38:] for _, (targets, _) in batches])
    difference = np.array(run.model.network(images)[-1]) - heat
    assert row["val_heat"] == pytest.approx(0.5 * (difference**2).sum() / 8, rel=1e-4)


def test_ema_weights_are_in_place_when_an_epoch_is_over(tmp_path):
    def seen(run: TrainingRun) -> list[float]:
        sums = []
        run.after_epoch = lambda rows: sums.append(
            float(np.sum(run.model.network.get_weights()[-1]))
        )
        run.train()
        return sums

    section = {"epochs": 5, "schedule": "constant"}
    first = seen(run_of(tmp_path, **section | {"epochs": 2}))
    rest = seen(run_of(tmp_path, **section))
    assert [*first, *rest] == seen(run_of(**section))
    after_two = run_of(**section | {"epochs": 2})
    assert first[1] == seen(after_two)[1] == float(np.sum(weights(after_two)[-1]))


def test_empty_validation_set_leaves_its_columns_out():
    assert "val_loss" not in run_of(validation=Blobs(count=0), epochs=1).train().rows[0]


def test_same_seed_gives_the_same_weights_twice():
    run = run_of()
    assert run.train().rows == unbroken()[0]
    assert_equal(weights(run), unbroken()[1])


@pytest.mark.parametrize(
    ("when", "changes"), [(0, {}), (2, {"compiled": True}), (3, {"optimizer": "sgd"})]
)
def test_run_broken_in_the_second_epoch_ends_as_an_unbroken_one(tmp_path, when, changes):
    failure, batches = killed(when)
    with pytest.raises(Exception, match=failure.__name__):
        run_of(tmp_path, batches, checkpoint_every_s=0, **changes).train()
    state = CheckpointFolder(tmp_path).load()[1]
    assert (state["epoch"], state["step"]) == ((1, when) if when else (0, 4))
    resumed = run_of(tmp_path, **changes)
    assert resumed.train().rows == unbroken(**changes)[0]
    assert_equal(weights(resumed), unbroken(**changes)[1])


def test_interrupted_run_saves_its_step_and_ends_as_an_unbroken_one(tmp_path):
    def interrupt(index: int) -> None:
        if index == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path, lambda epoch: Blobs(epoch, before_item=interrupt)).train()
    assert CheckpointFolder(tmp_path).load()[1]["step"] > 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = run_of(tmp_path)
    assert resumed.train().rows == unbroken()[0]
    assert_equal(weights(resumed), unbroken()[1])


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_acts_at_once(second):
    with _stop_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set(), "the first one waits for the end of the step"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_finished_run_is_not_trained_again_but_can_be_extended(tmp_path):
    first = run_of(tmp_path, schedule="constant")
    first.train()
    again = run_of(
        tmp_path, lambda epoch: Blobs(epoch, before_item=lambda i: pytest.fail("trained again"))
    )
    assert len(again.train().rows) == 2
    assert_equal(weights(again), weights(first))
    longer = run_of(tmp_path, schedule="constant", epochs=3)
    assert longer.train().rows == unbroken(schedule="constant", epochs=3)[0]
    assert_equal(weights(longer), unbroken(schedule="constant", epochs=3)[1])


SCRIPT = """
import sys
from tests.openpose.training.test_run import run_of
run_of(sys.argv[1], checkpoint_every_s=0.0, epochs=400, schedule="constant").train()
"""


def test_killed_run_ends_as_an_unbroken_one_when_started_again(tmp_path):
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, tmp_path], cwd=root, stderr=subprocess.DEVNULL
    )
    while len(CheckpointFolder(tmp_path).paths()) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    epochs = CheckpointFolder(tmp_path).load()[1]["epoch"] + 1
    resumed = run_of(tmp_path, epochs=epochs, schedule="constant")
    rows, expected = unbroken(epochs=epochs, schedule="constant")
    assert resumed.train().rows == rows
    assert_equal(weights(resumed), expected)


@pytest.mark.parametrize("checkpoint_every_s", [0, 1e9])
def test_loss_that_is_not_finite_names_step_rate_and_images(tmp_path, checkpoint_every_s):
    """However many steps later it is read."""

    class Poisoned(Blobs):
        def __getitem__(self, index: int) -> tuple:
            images, (targets, mask) = super().__getitem__(index)
            return images, (targets * (math.nan if (self.epoch, index) == (1, 2) else 1), mask)

    message = (
        r"loss is nan in epoch 2, step 3, learning rate 0.00\d+; "
        r"images of the batch: 1020, 1021, 1022, 1023"
    )
    with pytest.raises(InputError, match=message):
        run_of(tmp_path, Poisoned, checkpoint_every_s=checkpoint_every_s).train()
    if checkpoint_every_s:
        assert CheckpointFolder(tmp_path).load() is None
        return
    arrays, state = CheckpointFolder(tmp_path).load()
    assert (state["epoch"], state["step"]) == (1, 2)
    assert all(np.isfinite(array).all() for array in arrays)


def test_losses_that_are_read_some_steps_later_are_the_same(monkeypatch):
    long = functools.partial(Blobs, count=24)
    rows = run_of(batches=long, compiled=True).train().rows
    monkeypatch.setattr(run_module, "MOST_UNREAD_STEPS", 0)
    monkeypatch.setattr(run_module, "NEWEST_STEPS", 0)
    assert run_of(batches=long, compiled=True).train().rows == rows


def test_checkpoint_holds_its_step_though_it_is_fetched_later(tmp_path, monkeypatch):
    fetch, write = threading.Event(), CheckpointFolder._write
    monkeypatch.setattr(CheckpointFolder, "_write", lambda *a: (fetch.wait(), write(*a)))
    run = run_of(tmp_path, compiled=True)

    def state() -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in run._variables()]

    run.model.train_on_batch(*Blobs()[0])
    saved = state()
    run._save()
    for i in range(1, 4):
        run.model.train_on_batch(*Blobs()[i])
    assert not any(np.array_equal(a, b) for a, b in zip(saved[:4], state()[:4], strict=True))
    fetch.set()
    run.checkpoints.wait()
    assert_equal(CheckpointFolder(tmp_path).load()[0], saved)


def test_batches_come_in_their_order_from_the_first_step_on(monkeypatch):
    seen, call = [], TrainingModel.call

    def watched(self, images, training=None):
        if training:
            seen.append(keras.ops.convert_to_numpy(images))
        return call(self, images, training)

    monkeypatch.setattr(TrainingModel, "call", watched)
    run_of(epochs=2).train()
    assert_equal(seen, [Blobs(epoch)[i][0] for epoch in range(2) for i in range(4)])


def test_images_reach_the_step_as_bytes(monkeypatch):
    """Four times less to copy to a GPU than float32."""
    seen, call = set(), TrainingModel.call

    def watched(self, images, training=None):
        seen.add(keras.backend.standardize_dtype(images.dtype))
        return call(self, images, training)

    monkeypatch.setattr(TrainingModel, "call", watched)
    run_of(epochs=1).train()
    assert seen == {"uint8"}


def test_input_error_of_a_batch_comes_out_as_itself():
    def damaged(index: int) -> None:
        raise InputError("image 123.jpg is damaged")

    with pytest.raises(InputError, match=r"^image 123\.jpg is damaged$"):
        run_of(
            batches=lambda epoch: Blobs(epoch, before_item=damaged if epoch else lambda i: None)
        ).train()


def test_out_of_memory_says_which_setting_to_lower(monkeypatch):
    run = run_of()

    def exhausted(*args, **kwargs) -> None:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes")

    monkeypatch.setattr(run.model, "fit", exhausted)
    with pytest.raises(InputError, match="lower it, then `augment"):
        run.train()


def test_training_stops_early_when_validation_gets_no_better():
    class Worse(Blobs):
        """Validation whose targets run away."""

        calls = 0

        def __getitem__(self, index: int) -> tuple:
            images, (targets, mask) = super().__getitem__(index)
            Worse.calls += 1
            return images, (targets + Worse.calls, mask)

    rows = run_of(validation=Worse(99, 1), epochs=9, early_stop_epochs=2).train().rows
    assert len(rows) == 3


def test_the_bar_ends_at_the_last_sample():
    class Uneven(Blobs):
        """The last batch has one sample."""

        def image_ids(self, index: int) -> list[int]:
            return super().image_ids(index)[: 1 if index == self.count - 1 else self.size]

    run = run_of(batches=Uneven, epochs=2)
    with run._bar() as bar:
        assert bar.total == 2 * (3 * 4 + 1)
