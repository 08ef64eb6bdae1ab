"""A training step of the light network on this machine: precision, slices of the batch, threads;
and the loader.

python -m benchmarks.train_step                     noise of the sample's shape
python -m benchmarks.train_step --packed data/sample/packed/train.h5      the loader as well

Threads are chosen when TensorFlow is imported, so every variant is a process of its own; they stay
alive and take their steps in turn, so that a busy machine slows all alike. CPU milliseconds of all
threads are steadier than wall time there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from stages import params

# name: (precision, slices of the batch, threads of an operation; 0 = TensorFlow's choice)
VARIANTS = {
    "float32, TensorFlow's threads": ("float32", 1, 0),
    "float32, 2 slices": ("float32", 2, 1),
    "bfloat16, TensorFlow's threads": ("mixed_bfloat16", 1, 0),
    "bfloat16, 2 slices (sample preset)": ("mixed_bfloat16", 2, 1),
    "bfloat16, 4 slices": ("mixed_bfloat16", 4, 1),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps of a variant in each round")
    parser.add_argument("--packed", type=Path, help="packed file to time the loader on")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        worker(arguments.variant, arguments.steps)
        return
    compare(arguments.rounds, arguments.steps)
    if arguments.packed:
        print(f"\nloader alone: {loader_ms(arguments.packed):.2f} CPU ms a sample")


def compare(rounds: int, steps: int) -> None:
    """Print wall and CPU milliseconds a sample of each variant, and ratios to the first."""
    workers = {name: start(name, steps) for name in VARIANTS}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
    for turn in range(rounds + 1):
        for name, process in workers.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            measured = json.loads(process.stdout.readline())
            if turn:  # the first turn traces and compiles
                times[name].append(measured)
    for process in workers.values():
        process.stdin.close()
        process.wait()
    print("| variant | wall ms/sample | CPU ms/sample | samples/s | ratio |\n|---|---|---|---|---|")
    first = None
    for name, values in times.items():
        wall, cpu = (median(column) for column in zip(*values, strict=True))
        first = first or wall
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {1000 / wall:.0f} | {first / wall:.2f}x |")


def start(name: str, steps: int) -> subprocess.Popen:
    """A process that takes `steps` steps for each line it is sent."""
    threads = VARIANTS[name][2]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {"TF_NUM_INTRAOP_THREADS": str(threads)} if threads else {}
    command = [
        sys.executable,
        "-m",
        "benchmarks.train_step",
        "--variant",
        name,
        "--steps",
        str(steps),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def worker(name: str, steps: int) -> None:
    """For each line of standard input print [wall, CPU] milliseconds a sample as JSON."""
    from stages.openpose.network.architecture import build, head_kernels
    from stages.openpose.training.loss import TrainingModel
    from stages.openpose.training.optimizers import make_optimizer

    precision, slices, _ = VARIANTS[name]
    settings = params.Params()
    train, crop = (
        replace(settings.train, precision=precision, batch_parts=slices),
        settings.augment.crop_px,
    )
    network = build("light", precision=precision)
    model = TrainingModel(network, slices)
    model.compile(
        optimizer=make_optimizer(train, 1000, {}, head_kernels(network)), jit_compile=False
    )
    batch = noise(train.batch_size, crop, crop // settings.labels.stride_px)
    for _ in sys.stdin:
        measured = []
        for _ in range(steps):
            wall, cpu = time.perf_counter(), time.process_time()
            model.train_on_batch(*batch)
            measured.append((time.perf_counter() - wall, time.process_time() - cpu))
        each = [1000 * median(column) / train.batch_size for column in zip(*measured, strict=True)]
        print(json.dumps(each), flush=True)


def noise(count: int, side_px: int, cells: int) -> tuple:
    """A batch of the loader's shapes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8)
    targets = rng.random((count, cells, cells, 57), dtype=np.float32)
    return images, (targets, np.ones((count, cells, cells, 1), np.float32))


def loader_ms(packed: Path, batches: int = 60) -> float:
    """CPU milliseconds that the loader takes for a sample."""
    from stages.openpose.samples.loader import TrainingBatches

    settings = params.Params()
    size = settings.train.batch_size
    loader = TrainingBatches(
        packed, batch_size=size, labels=settings.labels, augment=settings.augment, seed=1
    )
    _ = loader[0]
    started = time.process_time()
    for index in range(1, batches + 1):
        _ = loader[index]
    return 1000 * (time.process_time() - started) / (batches * size)


if __name__ == "__main__":
    main()
