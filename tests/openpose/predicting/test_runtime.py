"""Which runtime runs a model folder, and that all give the same maps."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from stages import params
from stages.openpose.errors import InputError
from stages.openpose.network.forward import read_model
from stages.openpose.predicting import runtime

LIGHT = params.WORKFLOW / "models" / "light"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A model folder with an ONNX file of its weights."""
    (tmp_path / "weights.weights.h5").write_bytes(b"weights")
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    describe(tmp_path, hashlib.sha256(b"weights").hexdigest())
    return tmp_path


def describe(folder: Path, digest: str) -> None:
    onnx = {"file": "model.onnx", "heatmaps": "a", "pafs": "b", "weights_sha256": digest}
    text = yaml.safe_dump({"kind": "keras", "network": "light", "onnx": onnx})
    (folder / "model.yaml").write_text(text)


def installed(monkeypatch, *packages: str) -> list:
    """Let only these packages be there; what is loaded by which runtime is listed."""
    monkeypatch.setattr(runtime, "_installed", lambda package: package in packages)
    calls: list[str] = []
    for name in ("_openvino", "_onnx_runtime", "load_forward"):
        monkeypatch.setattr(runtime, name, lambda *_, name=name: calls.append(name))
    return calls


@pytest.mark.parametrize(
    ("packages", "wanted", "used"),
    [
        (("openvino", "onnxruntime", "keras"), "auto", "_openvino"),
        (("onnxruntime", "keras"), "auto", "_onnx_runtime"),
        (("keras",), "auto", "load_forward"),
        (("openvino", "onnxruntime", "keras"), "onnxruntime", "_onnx_runtime"),
        (("openvino", "onnxruntime", "keras"), "keras", "load_forward"),
    ],
)
def test_the_first_runtime_that_is_installed_is_used(folder, monkeypatch, packages, wanted, used):
    calls = installed(monkeypatch, *packages)
    runtime.load_fastest(folder, "float32", wanted)
    assert calls == [used]


def test_an_onnx_file_of_other_weights_is_not_used(folder, monkeypatch):
    describe(folder, "0" * 64)
    calls = installed(monkeypatch, "onnxruntime", "keras")
    runtime.load_fastest(folder, "float32")
    assert calls == ["load_forward"]
    with pytest.raises(InputError, match="holds no ONNX file of its weights"):
        runtime.load_fastest(folder, "float32", "onnxruntime")


def test_an_exported_network_needs_no_openvino(folder, monkeypatch):
    described = {"kind": "onnx", "file": "model.onnx", "layout": "NHWC"}
    described |= {"heatmaps": "a", "pafs": "b", "stride_px": 8}
    (folder / "model.yaml").write_text(yaml.safe_dump(described))
    calls = installed(monkeypatch, "onnxruntime")
    runtime.load_fastest(folder, "float32")
    (folder / "model.yaml").write_text(yaml.safe_dump(described | {"colour": "RGB"}))
    runtime.load_fastest(folder, "float32")  # OpenVINO's way knows colours
    assert calls == ["_onnx_runtime", "load_forward"]


@pytest.mark.parametrize(
    ("packages", "wanted", "words"),
    [
        ((), "auto", r"needs Keras and TensorFlow.*pip install 'openpose-pipeline\[pipeline\]'"),
        (("keras",), "openvino", "runtime openvino: not installed: pip install openvino"),
    ],
)
def test_a_runtime_that_is_missing_is_said(folder, monkeypatch, packages, wanted, words):
    installed(monkeypatch, *packages)
    with pytest.raises(InputError, match=words):
        runtime.load_fastest(folder, "float32", wanted)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_the_shipped_network_gives_the_maps_of_its_weights_in_every_runtime(name, shared):
    pytest.importorskip(name, reason=f"{name} is not installed")
    path = min((shared / "coco-mini" / "images").rglob("*.jpg"))
    batch = cv2.resize(cv2.imread(str(path)), (248, 184), interpolation=cv2.INTER_AREA)[None]
    expected = runtime.load_fastest(LIGHT, "float32", "keras")(batch)
    for maps, expected_maps in zip(
        runtime.load_fastest(LIGHT, "float32", name)(batch), expected, strict=True
    ):
        assert maps.dtype == np.float32
        np.testing.assert_allclose(maps, expected_maps, atol=0.005)  # kernels in float16


def test_the_shipped_onnx_file_belongs_to_the_shipped_weights():
    assert runtime.onnx_of(LIGHT, read_model(LIGHT)) is not None
