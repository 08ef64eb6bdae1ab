"""Write a trained network for other runtimes: Keras, TensorFlow SavedModel, ONNX, OpenVINO, LiteRT.

    python -m stages.export --model models/trained --output exported --formats openvino litert

Each format becomes a folder of --output. openvino and onnx need packages that
envs/requirements.lock does not hold.
"""

import argparse
import os
from pathlib import Path

from stages import cli
from stages.openpose.errors import InputError
from stages.openpose.network.backend import load_quietly
from stages.openpose.network.forward import read_model, skeleton_of

FORMATS = ("keras", "keras_half", "tf_saved_model", "onnx", "onnx_half", "openvino", "litert")


def export(arguments: argparse.Namespace) -> dict:
    """Load the network of a model folder and write it."""
    os.environ["KERAS_BACKEND"] = (
        "tensorflow"  # the only one whose networks Keras exports to all formats
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    model = read_model(arguments.model)
    if model["kind"] != "keras":
        raise InputError(
            f"{arguments.model}: expected a model of kind keras, found {model['kind']}"
        )
    load_quietly()
    import tensorflow as tf  # here: slow, and after what it is to know

    from stages.openpose.network import exporting
    from stages.openpose.network.architecture import build
    from stages.openpose.network.weights import load_weights

    skeleton = skeleton_of(model)
    network = build(model["network"], skeleton=skeleton)
    load_weights(network, arguments.model / model["file"])
    try:
        exporting.export(network, arguments.output, arguments.formats, skeleton)
    except tf.errors.OpError as problem:  # a full disk is one: TensorFlow writes files itself
        raise OSError(problem.message.rpartition("}} ")[2]) from None
    return {"formats": list(arguments.formats)}


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--model", type=Path, required=True, help="folder of a trained model, with its model.yaml"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=FORMATS, help="default: all"
    )
    cli.run(export, parser.parse_args())


if __name__ == "__main__":
    main()
