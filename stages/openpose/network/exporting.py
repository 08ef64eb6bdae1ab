"""A network of ours in the formats of other runtimes, written by Keras itself: float32, images of
any size.

Each format gets a folder. Those that detect can run (keras_half, openvino, onnx, onnx_half) hold a
model.yaml as forward.py reads it; keras_half is the weights alone, rounded to float16; onnx_half
keeps its kernels in float16 and computes in float32. Inputs are float32 BGR
[B, H, W, 3] of 0..255; outputs heatmaps [B, h, w, parts + 1], then pafs [B, h, w, 2 limbs].
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import yaml

from stages.openpose.errors import InputError
from stages.openpose.files import whole_folder
from stages.openpose.network.architecture import STRIDE_PX, inference_outputs
from stages.openpose.network.forward import described_skeleton
from stages.openpose.network.weights import save_half
from stages.openpose.skeleton import COCO, Skeleton

FILES = {
    "keras": "model.keras",
    "keras_half": "weights.weights.h5",
    "tf_saved_model": "saved_model",
    "onnx": "model.onnx",
    "onnx_half": "model.onnx",
    "openvino": "model.xml",
    "litert": "model.tflite",
}
# What TensorFlow calls the first and the second output, and the converters keep.
OUTPUT_NAMES = {"heatmaps": "Identity:0", "pafs": "Identity_1:0"}


def export(
    network: keras.Model,
    folder: Path,
    formats: Sequence[str] = tuple(FILES),
    skeleton: Skeleton = COCO,
) -> None:
    """Write `network`, which finds bodies of `skeleton`, as `folder`/<format>/, for each of
    `formats` (of FILES).

    Raises:
        InputError: no such format, or a package that converts to it is not installed.
    """
    unknown = [name for name in formats if name not in FILES]
    if unknown:
        raise InputError(f"format {', '.join(unknown)}: expected some of {', '.join(FILES)}")
    pafs, heatmaps = inference_outputs(network)
    model = keras.Model(network.input, [heatmaps, pafs], name=network.name)
    # Keras makes ONNX of models in use only
    model(np.zeros((1, 2 * STRIDE_PX, 2 * STRIDE_PX, 3), np.float32))
    for name in formats:
        with whole_folder(folder / name) as temporary:
            _write(model, temporary / FILES[name], name)
            if name == "keras_half":
                described = {"kind": "keras", "file": FILES[name], "network": network.name}
                _describe(temporary, described, skeleton)
            if name in ("onnx", "onnx_half", "openvino"):
                kind = name.removesuffix("_half")
                described = {"kind": kind, "file": FILES[name], "layout": "NHWC", **OUTPUT_NAMES}
                _describe(temporary, described, skeleton)


def _describe(folder: Path, model: dict, skeleton: Skeleton) -> None:
    """Write what forward.py must know."""
    described = {**model, "stride_px": STRIDE_PX, **described_skeleton(skeleton)}
    text = yaml.safe_dump(described, sort_keys=False)
    (folder / "model.yaml").write_text(text, encoding="utf-8")


def _write(model: keras.Model, path: Path, name: str) -> None:
    if name == "keras":
        model.save(path)
        return
    if name == "keras_half":
        save_half(model, path)
        return
    try:
        model.export(str(path), format=name.removesuffix("_half"), verbose=False)
        if name == "onnx_half":
            _halve(path)
    except ImportError as problem:
        raise InputError(
            f"export to {name}: {problem}; see docs/models.md, section `Export`"
        ) from None


def _halve(path: Path) -> None:
    """Keep the kernels of an ONNX file in float16; runtimes turn them into float32 when they load
    it.
    """
    import onnx  # here, because it is not installed by default

    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            name = tensor.name
            half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}_half"))
            to = onnx.TensorProto.FLOAT
            casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=to))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
