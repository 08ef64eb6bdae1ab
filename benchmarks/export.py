"""Forward of an exported network in each runtime that is installed, on one thread, turn by turn.

python -m benchmarks.export --model models/trained [--height 368 --width 496 --batch 4]

CPU milliseconds of a batch, the maps copied out, and how far they are from those of Keras at
float32.
"""

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.timing import interleaved

THREADS = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
NEEDS = {"onnx": ("onnx", "tf2onnx"), "openvino": ("openvino", "scipy")}

Way = Callable[[], list[np.ndarray]]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, default=Path("models/trained"), help="folder of a trained model"
    )
    parser.add_argument("--height", type=int, default=368)
    parser.add_argument("--width", type=int, default=496)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ.update(THREADS, KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
    shape = (arguments.batch, arguments.height, arguments.width, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        compare(ways(arguments.model, Path(folder), images), arguments.rounds)


def ways(model: Path, folder: Path, images: np.ndarray) -> dict[str, Way]:
    """For each runtime a call that gives [heatmaps, pafs] of the images."""
    import tensorflow as tf

    from stages.openpose.network import exporting
    from stages.openpose.network.architecture import build
    from stages.openpose.network.forward import keras_forward, read_model
    from stages.openpose.network.weights import load_weights

    description = read_model(model)
    network, weights = build(description["network"]), model / description["file"]
    load_weights(network, weights)
    formats = [
        name for name in exporting.FILES if all(map(importlib.util.find_spec, NEEDS.get(name, ())))
    ]
    exporting.export(network, folder, formats)
    file = {name: folder / name / exporting.FILES[name] for name in formats}
    calls: dict[str, Way] = {}
    for precision in ("float32", "mixed_bfloat16"):
        forward = keras_forward(weights, description["network"], precision)
        calls[f"Keras on TensorFlow, {precision}"] = lambda forward=forward: list(forward(images))
    saved = tf.saved_model.load(file["tf_saved_model"])
    calls["TensorFlow SavedModel"] = lambda: [maps.numpy() for maps in saved.serve(images)]
    calls["LiteRT"] = litert(file["litert"], images)
    if "onnx" in file and importlib.util.find_spec("onnxruntime"):
        calls["ONNX Runtime"] = onnx_runtime(file["onnx"], images)
    if "openvino" in file:
        for precision in ("f32", "bf16"):
            calls[f"OpenVINO, {precision}"] = openvino(file["openvino"], images, precision)
    return calls


def litert(file: Path, images: np.ndarray) -> Way:
    """One thread of LiteRT."""
    import tensorflow as tf

    loaded = tf.lite.Interpreter(str(file), num_threads=1)
    into = loaded.get_input_details()[0]["index"]
    loaded.resize_tensor_input(into, images.shape)
    loaded.allocate_tensors()

    def call() -> list[np.ndarray]:
        loaded.set_tensor(into, images)
        loaded.invoke()
        maps = [loaded.get_tensor(details["index"]) for details in loaded.get_output_details()]
        return sorted(maps, key=lambda details: details.shape[-1])

    return call


def onnx_runtime(file: Path, images: np.ndarray) -> Way:
    """One thread of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: images})


def openvino(file: Path, images: np.ndarray, precision: str) -> Way:
    """One thread of OpenVINO."""
    from openvino import Core

    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
    }
    compiled = Core().compile_model(file, "CPU", options)

    def call() -> list[np.ndarray]:
        maps = compiled(images)
        return [maps[0], maps[1]]

    return call


def compare(calls: dict[str, Way], rounds: int) -> None:
    """Print a table."""
    expected = next(iter(calls.values()))()
    apart = {
        name: max(np.abs(a - b).max() for a, b in zip(call(), expected, strict=True))
        for name, call in calls.items()
    }
    seconds = interleaved(calls, rounds, time.process_time)
    first = next(iter(seconds.values()))
    print("| runtime | CPU ms a batch | ratio | largest difference of a map |\n|---|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {1000 * value:.0f} | {first / value:.2f}x | {apart[name]:.1g} |")


if __name__ == "__main__":
    main()
