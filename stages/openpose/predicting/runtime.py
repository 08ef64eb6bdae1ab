"""The fastest way to run a network on this machine. Training and evaluation always use Keras;
prediction uses what is installed.

A model folder may hold its network as ONNX too, described in its model.yaml:

    onnx: {file: model.onnx, heatmaps: Identity:0, pafs: Identity_1:0, weights_sha256: ...}

the last being that of the weights it was made from. OpenVINO and ONNX Runtime start in a tenth of
TensorFlow's time; measured: python -m benchmarks.runtimes.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.openpose.errors import InputError, damage_refused
from stages.openpose.files import file_digest
from stages.openpose.network.forward import Forward, load_forward, read_model
from stages.openpose.network.precision import BFLOAT16
from stages.openpose.threads import asked_threads

OPENVINO, ONNX_RUNTIME, KERAS = RUNTIMES = ("openvino", "onnxruntime", "keras")
AUTO = "auto"
# What model.yaml of an exported network says; others may want other colours or scaling.
OF_OUR_EXPORT = {"kind", "file", "layout", "heatmaps", "pafs", "stride_px", "skeleton"}


def load_fastest(folder: Path, precision: str, wanted: str = AUTO) -> Forward:
    """The network of a model folder in the first of RUNTIMES that is installed and can run it.

    Args:
        precision: a Keras dtype policy; ONNX Runtime computes in float32 whatever it is.
        wanted: one of RUNTIMES, or AUTO.

    Raises:
        InputError: the runtime that is wanted is not installed, or the folder has no ONNX file.
    """
    model = read_model(folder)
    network = onnx_of(folder, model)
    if wanted in (OPENVINO, ONNX_RUNTIME):
        if not _installed(wanted):
            raise InputError(f"runtime {wanted}: not installed: pip install {wanted}")
        if network is None:
            raise InputError(
                f"runtime {wanted}: {folder} holds no ONNX file of its weights; make one with "
                f"python -m stages.export --formats onnx"
            )
    if network is not None and wanted != KERAS:
        if wanted == OPENVINO or (wanted == AUTO and _installed(OPENVINO)):
            return _openvino(network, precision)
        if _installed(ONNX_RUNTIME):
            return _onnx_runtime(network)
    if model["kind"] == "keras" and not _installed("keras"):
        raise InputError(
            f"{folder}: needs Keras and TensorFlow, which are not installed: "
            "pip install 'openpose-pipeline[pipeline]'"
        )
    return load_forward(folder, precision)


@dataclass(frozen=True)
class OnnxNetwork:
    """An ONNX file with float32 BGR [B, H, W, 3] as input; names of its outputs [B, h, w, C]."""

    file: Path
    heatmaps: str
    pafs: str


def onnx_of(folder: Path, model: dict[str, Any]) -> OnnxNetwork | None:
    """The ONNX network of a model folder (`model`: its model.yaml) in the form that stages.export
    writes; None where there is none, or one of other weights.
    """
    if model["kind"] == "onnx" and set(model) <= OF_OUR_EXPORT and model.get("layout") == "NHWC":
        return OnnxNetwork(folder / model["file"], model["heatmaps"], model["pafs"])
    described = model.get("onnx")
    if not described:
        return None
    with damage_refused(folder / "model.yaml", "a section `onnx`", "export the model again"):
        network = OnnxNetwork(folder / described["file"], described["heatmaps"], described["pafs"])
        wanted = described["weights_sha256"]
    if not network.file.is_file():
        return None
    return network if file_digest(folder / model["file"]) == wanted else None


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _onnx_runtime(network: OnnxNetwork) -> Forward:
    import onnxruntime  # here, because another may be used

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = asked_threads() or 0  # 0: the runtime decides
    try:
        session = onnxruntime.InferenceSession(
            network.file, options, providers=["CPUExecutionProvider"]
        )
    except Exception as problem:  # its errors share no class
        raise InputError(f"{network.file}: ONNX Runtime cannot load it: {problem}") from None
    (given,) = session.get_inputs()

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wanted = [network.heatmaps, network.pafs]
        heatmaps, pafs = session.run(wanted, {given.name: batch.astype(np.float32)})
        return heatmaps, pafs

    return forward


def _openvino(network: OnnxNetwork, precision: str) -> Forward:
    import openvino  # here, because another may be used

    core = openvino.Core()
    read = core.read_model(network.file)
    read.reshape([-1, -1, -1, 3])
    hint = "bf16" if precision == BFLOAT16 else "f32"
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    if threads := asked_threads():
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(read, "CPU", options)

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        results = compiled(batch.astype(np.float32))
        return results[network.heatmaps], results[network.pafs]

    return forward
