"""The network that comes with the project in every runtime that is installed, in one process, turn
by turn.

    OMP_NUM_THREADS=1 python -m benchmarks.runtimes image.jpg
    OMP_NUM_THREADS=2 python -m benchmarks.runtimes image.jpg
    OMP_NUM_THREADS=1 python -m benchmarks.runtimes image.jpg --networks

Prints ms of processor time and by the clock for one image of 368 x 496, seconds of the first call
with loading, and the largest difference of the maps from Keras in float32. `--networks`: the three
networks in Keras instead, with random weights.
"""

import argparse
import importlib.util
import os
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.timing import interleaved
from stages import params
from stages.openpose.network.backend import use_backend
from stages.openpose.network.precision import BFLOAT16, FLOAT32
from stages.openpose.predicting.runtime import KERAS, ONNX_RUNTIME, OPENVINO, load_fastest

LIGHT = params.WORKFLOW / "models" / "light"
SIZE = (496, 368)  # width, height: 640 x 480 at scale 1
WAYS = (
    (KERAS, FLOAT32),
    (KERAS, BFLOAT16),
    (ONNX_RUNTIME, FLOAT32),
    (OPENVINO, FLOAT32),
    (OPENVINO, BFLOAT16),
)


def opencv_dnn():
    """The same ONNX file in OpenCV's own runtime."""
    network = cv2.dnn.readNetFromONNX(str(LIGHT / "model.onnx"))
    names = ["Identity:0", "Identity_1:0"]

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        network.setInput(batch.astype(np.float32))
        return network.forward(names)

    return forward


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--networks", action="store_true", help="time the three networks instead")
    arguments = parser.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    cv2.setNumThreads(threads)
    os.environ |= {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}
    use_backend("tensorflow")
    batch = cv2.resize(cv2.imread(str(arguments.image)), SIZE, interpolation=cv2.INTER_AREA)[None]
    if arguments.networks:
        time_networks(batch, arguments.rounds)
    else:
        time_runtimes(batch, arguments.rounds, threads)


def time_networks(batch: np.ndarray, rounds: int) -> None:
    """Print processor ms of each network in Keras, float32."""
    from stages.openpose.network.architecture import build
    from stages.openpose.network.forward import network_forward

    forwards = {name: network_forward(build(name)) for name in ("light", "mobilenet", "full")}
    calls = {name: lambda forward=forward: forward(batch) for name, forward in forwards.items()}
    print("| network | CPU ms, float32 |\n|---|---|")
    for name, seconds in interleaved(calls, rounds, time.process_time).items():
        print(f"| {name} | {1000 * seconds:.0f} |")


def time_runtimes(batch: np.ndarray, rounds: int, threads: int) -> None:
    """Print times and differences of `light` in every runtime."""
    loaders = {
        f"{runtime}, {precision}": lambda runtime=runtime, precision=precision: load_fastest(
            LIGHT, precision, runtime
        )
        for runtime, precision in WAYS
        if importlib.util.find_spec(runtime)
    } | {"cv2.dnn, float32": opencv_dnn}
    forwards, first_s, maps = {}, {}, {}
    for name, load in loaders.items():
        started = time.perf_counter()
        forwards[name] = load()
        maps[name] = forwards[name](batch)
        first_s[name] = time.perf_counter() - started
    calls = {name: lambda forward=forward: forward(batch) for name, forward in forwards.items()}
    cpu = interleaved(calls, rounds, time.process_time)
    wall = interleaved(calls, rounds)
    print(f"| runtime, {threads} threads | CPU ms | ms by the clock | first call, s | difference |")
    print("|---|---|---|---|---|")
    for name in loaders:
        pairs = zip(maps[name], maps["keras, float32"], strict=True)
        difference = max(float(np.abs(np.reshape(a, b.shape) - b).max()) for a, b in pairs)
        print(
            f"| {name} | {1000 * cpu[name]:.0f} | {1000 * wall[name]:.0f} | {first_s[name]:.1f} "
            f"| {difference:.4f} |"
        )


if __name__ == "__main__":
    main()
