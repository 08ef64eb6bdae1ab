"""The parts of benchmarks/gpu.py; each is a process: python -m benchmarks.gpu_parts PART ROWS.json
PACKED [--small].
"""

import argparse
import hashlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import keras
import numpy as np
import yaml
from tqdm import tqdm

from benchmarks import painted
from stages import params
from stages.openpose.decoding.decoder import decode
from stages.openpose.inference.detection import Clock, ImageEntry, detect_people, plan_batches
from stages.openpose.network.architecture import build, rate_multipliers
from stages.openpose.network.forward import network_forward
from stages.openpose.network.precision import precision_here
from stages.openpose.samples.device_labels import device_targets
from stages.openpose.samples.loader import TrainingBatches
from stages.openpose.training import run as course
from stages.openpose.training.checkpoints import CheckpointFolder

BFLOAT16 = "mixed_bfloat16"
GFLOP_A_SAMPLE = 815  # full network at 368 pixels, forward and backward
# dense bf16 TFLOP/s as the maker states them, by a word of the card's name
PEAKS_TFLOPS = {"H100": 989, "H200": 989, "A100": 312, "L40S": 362, "L4": 121, "A10G": 70}
ROUNDS = 5


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    crop_px: int = 368
    small_crop_px: int = 160
    batches: tuple[int, ...] = (32, 10, 64)
    largest: tuple[int, ...] = (256, 128)
    seconds: float = 4.0  # of a measurement
    most_steps: int = 400
    matrix: int = 8192
    images: int = 96
    image_hw: tuple[int, int] = (480, 640)
    height_px: int = 368
    full: str = "full"


SMALL = Sizes(
    crop_px=64, small_crop_px=64, batches=(4,), largest=(8,), seconds=0.5, most_steps=12,
    matrix=256, images=6, image_hw=(96, 128), height_px=96, full="light",
)  # fmt: skip
Report = Callable[..., None]


# ---- the machine


def card() -> str:
    """Name of the device that computes."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    import jax

    return jax.devices()[0].device_kind


def peak_tflops() -> float | None:
    """Stated bf16 peak of the card."""
    return next((peak for word, peak in PEAKS_TFLOPS.items() if word in card()), None)


def memory_gb() -> float | None:
    """Most device memory that was in use, GB."""
    if keras.backend.backend() == "torch":
        import torch

        return round(torch.cuda.max_memory_allocated() / 1e9, 2) if card() != "cpu" else None
    import jax

    used = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return used and round(used / 1e9, 2)


def peak(sizes: Sizes, packed: Path, report: Report) -> None:
    """A large bf16 product of matrices, and the versions."""
    import jax

    versions = {"jax": jax.__version__, "keras": keras.__version__, "numpy": np.__version__}
    report(what="versions", **versions)
    side = sizes.matrix
    a = jax.random.normal(jax.random.key(0), (side, side), "bfloat16")
    product = jax.jit(lambda x: x @ x)
    product(a).block_until_ready()
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        product(a).block_until_ready()
        seconds.append(time.perf_counter() - began)
    measured = 2 * side**3 / median(seconds) / 1e12
    report(what="bf16 product", card=card(), tflops=round(measured, 1), stated=peak_tflops())


# ---- training


class Repeated(keras.utils.PyDataset):
    """One batch, many times."""

    def __init__(self, batch: tuple, count: int) -> None:
        super().__init__()
        self.batch, self.count = batch, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple:
        return self.batch

    def image_ids(self, index: int) -> list[int]:
        return list(range(len(self.batch[0])))


def settings_of(preset: str, **train) -> params.Params:
    """The settings of a preset on top of those of `sample`."""
    path = params.PRESETS / f"{preset}.yaml"
    changes = yaml.safe_load(path.read_text(encoding="utf-8"))
    default = params.Params()
    return replace(
        default,
        augment=replace(default.augment, **changes.get("augment", {})),
        train=replace(default.train, **changes.get("train", {}) | train),
        detect=replace(default.detect, **changes.get("detect", {})),
    )


def training_run(network: str, settings: params.Params, **options) -> course.TrainingRun:
    """A run of a network with random weights; its batches are given later."""
    model = build(network, precision=settings.train.precision)
    size, cells = settings.train.batch_size, settings.augment.crop_px // 8
    batches = Repeated(synthetic(size, cells), settings.train.epochs)
    multipliers = rate_multipliers(model) if settings.train.multipliers == "reference" else None
    options = {"multipliers": multipliers} | options
    return course.TrainingRun(model, lambda epoch: batches, None, settings.train, **options)


def synthetic(count: int, cells: int, people: int = 0) -> tuple:
    """A batch of noise of the loader's shapes; with `people` keypoints in place of labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 8 * cells, 8 * cells, 3), dtype=np.uint8)
    targets = rng.random((count, cells, cells, 57), dtype=np.float32)
    if people:
        targets = rng.uniform(0, 8 * cells, (count, people, 18, 3)).astype(np.float32)
        targets[..., 2] = 1
    return images, (targets, np.ones((count, cells, cells, 1), np.float32))


def fit_seconds(run: course.TrainingRun, batches: keras.utils.PyDataset) -> float:
    """Train on all batches, as an epoch of a run does; by the clock, losses read."""
    run.progress = course.Progress()
    rest = run._rest(batches, 0)
    with tqdm(total=len(batches) * run.settings.batch_size, disable=True) as bar:
        began = time.perf_counter()
        run._fit(rest, course._Watch(run, rest, threading.Event(), bar))
        return time.perf_counter() - began


def rate(run: course.TrainingRun, make: Callable[[int], keras.utils.PyDataset], sizes: Sizes):
    """Samples a second over about `sizes.seconds`, and the number of steps; `make(n)` gives n
    batches.
    """
    step_s = fit_seconds(run, make(4)) / 4
    steps = int(min(max(sizes.seconds / step_s, 4), sizes.most_steps))
    return steps * run.settings.batch_size / fit_seconds(run, make(steps)), steps


def loader(packed: Path, settings: params.Params, steps: int) -> TrainingBatches:
    """Batches of the packed file, its samples over and over."""
    batches = TrainingBatches(
        packed, batch_size=settings.train.batch_size, labels=settings.labels,
        augment=settings.augment, seed=1, shuffle_images=64,
    )  # fmt: skip
    samples = steps * settings.train.batch_size
    batches.order = np.tile(batches.order, -(-samples // len(batches.order)))[:samples]
    return batches


def alone(packed: Path, settings: params.Params, seconds: float) -> float:
    """Samples a second of the loader with nothing behind it."""
    batches = loader(packed, settings, 4000)
    _ = batches[0]
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds and done + 1 < len(batches):
        done += 1
        _ = batches[done]
    return done * settings.train.batch_size / (time.perf_counter() - began)


def steps(
    network: str,
    settings: params.Params,
    sizes: Sizes,
    packed: Path,
    report: Report,
    *,
    batches: tuple[int, ...],
    word: str = "",
) -> course.TrainingRun:
    """Rows of a network: each batch size with synthetic input and with the loader."""
    cells = settings.augment.crop_px // settings.labels.stride_px
    on_device = settings.labels.made_on == "device"
    targets_of = partial(device_targets, labels=settings.labels) if on_device else None
    run = training_run(network, settings, targets_of=targets_of)
    for size in batches:
        settings = replace(settings, train=replace(settings.train, batch_size=size))
        run.settings = settings.train
        batch = synthetic(size, cells, people=8 if on_device else 0)
        first_s = fit_seconds(run, Repeated(batch, 2))
        row = {"network": network, "precision": word or settings.train.precision, "batch": size}
        measured, count = rate(run, partial(Repeated, batch), sizes)
        share = share_of_peak(network, settings, measured)
        report(
            **row, input="synthetic", samples_per_s=round(measured, 1), steps=count, **share,
            memory_gb=memory_gb(), first_steps_s=round(first_s, 1),
        )  # fmt: skip
        measured, count = rate(run, lambda n: loader(packed, settings, n), sizes)  # noqa: B023
        share = share_of_peak(network, settings, measured)
        report(**row, input="loader", samples_per_s=round(measured, 1), steps=count, **share)
    return run


def share_of_peak(network: str, settings: params.Params, samples_per_s: float) -> dict:
    """Share of the card's stated bf16 peak, for the full network at 368 pixels."""
    if network != "full" or settings.augment.crop_px != 368 or not peak_tflops():
        return {}
    return {"of_peak": round(samples_per_s * GFLOP_A_SAMPLE / 1000 / peak_tflops(), 3)}


def full(sizes: Sizes, packed: Path, report: Report) -> None:
    """The full network in bfloat16; what reading losses and copying weights cost; the largest
    batch.
    """
    settings = coco(sizes, BFLOAT16)
    run = steps(sizes.full, settings, sizes, packed, report, batches=sizes.batches[:1])
    compare_reading(run, sizes.crop_px // 8, min(60, sizes.most_steps), report)
    compare_copying(run, report)
    steps_of = partial(steps, sizes.full, settings, sizes, packed, report)
    steps_of(batches=sizes.batches[1:])
    report(what="loader alone", samples_per_s=round(alone(packed, settings, sizes.seconds), 1))
    for size in sizes.largest:
        try:
            steps_of(batches=(size,))
            return
        except Exception as problem:  # whatever a backend says when memory is at an end
            report(network=sizes.full, batch=size, problem=" ".join(str(problem).split())[:200])


def compare_reading(run: course.TrainingRun, cells: int, count: int, report: Report) -> None:
    """Losses read by Keras after every step, as it was, or some steps later; in turn."""
    batch = synthetic(run.settings.batch_size, cells)
    later = (course._Unread, course.MOST_UNREAD_STEPS, course.NEWEST_STEPS)
    ways = {"every step": (keras.callbacks.CallbackList, 0, 0), "later": later}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    fit_seconds(run, Repeated(batch, 2))  # compiles
    for _ in range(ROUNDS):
        for name, way in ways.items():
            course._Unread, course.MOST_UNREAD_STEPS, course.NEWEST_STEPS = way
            seconds[name].append(fit_seconds(run, Repeated(batch, count)) / count)
    each = {name: round(1000 * median(values), 3) for name, values in seconds.items()}
    report(what="losses read", **{f"{name}, ms a step": value for name, value in each.items()})


def compare_copying(run: course.TrainingRun, report: Report) -> None:
    """What a checkpoint takes from the step's thread: fetching all, or copies on the device."""

    def fetched() -> list:
        return [np.array(keras.ops.convert_to_numpy(v)) for v in run._variables()]

    def copied() -> list:
        return [keras.ops.copy(v) for v in run._variables()]

    run._synchronise()
    seconds: dict[str, list[float]] = {"fetched": [], "copied": []}
    size = sum(array.nbytes for array in fetched())
    for _ in range(ROUNDS):
        for way in (fetched, copied):
            began = time.perf_counter()
            copies = way()
            seconds[way.__name__].append(time.perf_counter() - began)
            float(np.sum(keras.ops.convert_to_numpy(copies[-1])))
    each = {f"{name}, ms": round(1000 * median(values), 2) for name, values in seconds.items()}
    report(what="checkpoint", mb=round(size / 1e6, 1), **each)


def coco(sizes: Sizes, precision: str, **labels) -> params.Params:
    """Settings of preset coco2014 at these sizes."""
    settings = settings_of("coco2014", precision=precision, init="")
    augment = replace(settings.augment, crop_px=sizes.crop_px)
    return replace(settings, augment=augment, labels=replace(settings.labels, **labels))


def full_labels_on_device(sizes: Sizes, packed: Path, report: Report) -> None:
    """The full network, labels made in the step from keypoints."""
    settings = coco(sizes, BFLOAT16, made_on="device")
    options = {"batches": sizes.batches[:1], "word": f"{BFLOAT16}, labels on the device"}
    steps(sizes.full, settings, sizes, packed, report, **options)


def full_float32(sizes: Sizes, packed: Path, report: Report, precision: str = "highest") -> None:
    """The full network in float32, or in TF32."""
    import jax

    jax.config.update("jax_default_matmul_precision", precision)
    word = "float32" if precision == "highest" else "tf32"
    options = {"batches": sizes.batches[:1], "word": word}
    steps(sizes.full, coco(sizes, "float32"), sizes, packed, report, **options)


def full_torch(sizes: Sizes, packed: Path, report: Report) -> None:
    """The full network on PyTorch: bfloat16, TF32, float32."""
    import torch

    for word, tf32 in ((BFLOAT16, True), ("tf32", True), ("float32", False)):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        precision = BFLOAT16 if word == BFLOAT16 else "float32"
        options = {"batches": sizes.batches[:2], "word": f"{word}, PyTorch"}
        steps(sizes.full, coco(sizes, precision), sizes, packed, report, **options)


def small_network(sizes: Sizes, packed: Path, report: Report, network: str, batches) -> None:
    """A network of the sample's recipe."""
    settings = params.Params()
    train = replace(settings.train, precision=BFLOAT16, batch_parts=1)
    augment = replace(settings.augment, crop_px=sizes.small_crop_px)
    settings = replace(settings, train=train, augment=augment)
    steps(network, settings, sizes, packed, report, batches=batches)


def recipe(sizes: Sizes, packed: Path, report: Report) -> None:
    """The sample's own recipe on any backend: what reading losses and copying weights cost."""
    settings = params.Params()
    settings = replace(settings, train=replace(settings.train, precision=precision_here("auto")[0]))
    run = training_run("light", settings)
    compare_reading(run, settings.augment.crop_px // 8, 12, report)
    compare_copying(run, report)


# ---- detection


def detection(sizes: Sizes, packed: Path, report: Report) -> None:
    """Detection at the scales of coco2014: the network runs, people are found in painted maps."""
    base = settings_of("coco2014")
    settings = replace(base.detect, height_px=sizes.height_px, batch_size=8)
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*sizes.image_hw, 3), dtype=np.uint8)
    parts, _ = painted.crowd(rng, 4, height_px=0.35 * sizes.height_px)
    network = network_forward(build(sizes.full, precision=BFLOAT16))
    maps: dict[tuple, tuple] = {}

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        network(batch)
        height, width = batch.shape[1:3]
        if (height, width) not in maps:
            scaled = parts * np.array([height / sizes.height_px] * 2 + [1], np.float32)
            maps[height, width] = painted.maps(scaled, (height // 8, width // 8))
        return tuple(np.repeat(m[None], len(batch), axis=0) for m in maps[height, width])

    for outputs in (("single",), ("multi",), ("multi_flip",)):
        for count in (8, sizes.images):  # the first compiles
            entries = [ImageEntry(i, "", sizes.image_hw) for i in range(count)]
            clock, began = Clock(), time.perf_counter()
            people = detect_people(
                plan_batches(entries, settings, settings.batch_size), read=lambda _: image,
                forward=forward, decode=partial(decode, **asdict(base.decoder)),
                settings=settings, outputs=outputs, threads=8, clock=clock,
            )  # fmt: skip
            found = sum(len(by_output[outputs[0]].scores) for _, by_output in people)
            seconds = time.perf_counter() - began
        report(
            what="detect", network=sizes.full, output=outputs[0], people_an_image=found / count,
            images_per_s=round(count / seconds, 1),
            network_share=round(clock.seconds["network"] / seconds, 3),
        )  # fmt: skip


# ---- exact resume


def resume(sizes: Sizes, packed: Path, report: Report) -> None:
    """Weights of an unbroken run, of another one, and of one that was broken and taken up."""
    settings = params.Params()
    train = replace(
        settings.train, precision=BFLOAT16, batch_parts=1, epochs=2, checkpoint_every_s=1e-6
    )
    augment = replace(settings.augment, crop_px=sizes.small_crop_px)
    settings = replace(settings, train=train, augment=augment)

    def weights(folder: Path | None = None, break_at: int | None = None) -> np.ndarray:
        keras.utils.set_random_seed(1)
        run = training_run(
            "light", settings, checkpoints=CheckpointFolder(folder) if folder else None
        )
        run.batches_of_epoch = lambda epoch: Broken(
            loader(packed, settings, 8), break_at if epoch == 1 else None
        )
        run.steps_per_epoch = 8
        run.train()
        return np.concatenate([w.ravel() for w in run.model.network.get_weights()])

    unbroken = weights()
    report(what="unbroken twice", **likeness(unbroken, weights()))
    with tempfile.TemporaryDirectory() as folder:
        try:
            weights(Path(folder), break_at=4)
        except RuntimeError as problem:
            report(
                what="broken", problem=str(problem)[:60], files=len(list(Path(folder).iterdir()))
            )
        report(what="broken and taken up", **likeness(unbroken, weights(Path(folder))))


class Broken(keras.utils.PyDataset):
    """Batches, one of which cannot be made."""

    def __init__(self, batches: TrainingBatches, break_at: int | None) -> None:
        super().__init__()
        self.batches, self.break_at = batches, break_at

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple:
        if index == self.break_at:
            raise RuntimeError("broken on purpose")
        return self.batches[index]

    def image_ids(self, index: int) -> list[int]:
        return self.batches.image_ids(index)


def likeness(a: np.ndarray, b: np.ndarray) -> dict:
    """Whether two sets of weights are the same bytes, and how far apart they are."""
    same = hashlib.sha256(a.tobytes()).digest() == hashlib.sha256(b.tobytes()).digest()
    return {"same_bytes": same, "largest_difference": float(np.abs(a - b).max())}


PARTS: dict[str, Callable] = {
    "recipe": recipe,
    "peak": peak,
    "full": full,
    "full_torch": full_torch,
    "full_labels_on_device": full_labels_on_device,
    "full_float32": full_float32,
    "full_tf32": partial(full_float32, precision="tensorfloat32"),
    "detect": detection,
    "resume": resume,
    "resume_deterministic": resume,
    "light": partial(small_network, network="light", batches=(12, 64)),
    "mobilenet": partial(small_network, network="mobilenet", batches=(12, 64)),
}


def main() -> None:
    """Command line; writes the rows anew after each of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("rows", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    rows: list[dict] = []

    def report(**row) -> None:
        rows.append({key: value for key, value in row.items() if value is not None})
        part = arguments.rows.with_suffix(".part")
        part.write_text(json.dumps(rows, indent=2) + "\n")
        part.rename(arguments.rows)
        print(rows[-1], file=sys.stderr, flush=True)

    PARTS[arguments.part](SMALL if arguments.small else Sizes(), arguments.packed, report)


if __name__ == "__main__":
    main()
