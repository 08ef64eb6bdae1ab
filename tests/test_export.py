"""Exported networks give the maps of the network, each in its own runtime, on a real image."""

import importlib.util
import re
import sys

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

from stages import cli, export
from stages.openpose.errors import InputError
from stages.openpose.network import exporting
from stages.openpose.network.architecture import build
from stages.openpose.network.forward import load_forward
from tests.backend_run import given_weights

NEEDS = {"openvino": ("openvino", "scipy")} | dict.fromkeys(
    ("onnx", "onnx_half"), ("tf2onnx", "onnx")
)
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras exports TensorFlow's networks"
)


@pytest.fixture(scope="module", params=["light", "mobilenet"])
def model(request, tmp_path_factory):
    """A model folder as the stage train writes it."""
    folder = tmp_path_factory.mktemp("model")
    network = build(request.param)
    given_weights(network)
    network.save_weights(folder / "weights.weights.h5")
    (folder / "model.yaml").write_text(yaml.safe_dump({"kind": "keras", "network": request.param}))
    return folder


@pytest.fixture(scope="module")
def batch(shared) -> np.ndarray:
    """A real image, uint8 [1, 184, 248, 3]."""
    path = min((shared / "coco-mini" / "images").rglob("*.jpg"))
    return cv2.resize(cv2.imread(str(path)), (248, 184), interpolation=cv2.INTER_AREA)[None]


def exported(model, folder, name):
    missing = [
        package for package in NEEDS.get(name, ()) if importlib.util.find_spec(package) is None
    ]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    argv = sys.argv[:]
    try:
        sys.argv = ["export", "--model", str(model), "--output", str(folder), "--formats", name]
        export.main()
    finally:
        sys.argv = argv
    return folder / name


def assert_same(model, batch, maps):
    expected = load_forward(model)(batch)
    for maps_of_kind, expected_maps in zip(maps, expected, strict=True):
        largest = np.abs(expected_maps).max()
        assert largest > 0.1
        np.testing.assert_allclose(maps_of_kind, expected_maps, atol=1e-4 * max(1.0, largest))


def test_keras_file(model, batch, tmp_path):
    loaded = keras.saving.load_model(
        exported(model, tmp_path, "keras") / "model.keras", compile=False
    )
    assert_same(model, batch, [np.asarray(maps) for maps in loaded(batch)])


def test_half_of_the_bytes_give_nearly_the_same_maps(model, batch, tmp_path):
    folder = exported(model, tmp_path, "keras_half")
    assert (folder / "weights.weights.h5").stat().st_size < 0.55 * (
        model / "weights.weights.h5"
    ).stat().st_size
    for found, wanted in zip(load_forward(folder)(batch), load_forward(model)(batch), strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.01 * np.abs(wanted).max())


def test_saved_model(model, batch, tmp_path):
    import tensorflow as tf

    loaded = tf.saved_model.load(exported(model, tmp_path, "tf_saved_model") / "saved_model")
    assert_same(model, batch, [maps.numpy() for maps in loaded.serve(batch.astype(np.float32))])


def test_litert(model, batch, tmp_path):
    import tensorflow as tf

    loaded = tf.lite.Interpreter(str(exported(model, tmp_path, "litert") / "model.tflite"))
    into = loaded.get_input_details()[0]["index"]
    loaded.resize_tensor_input(into, batch.shape)
    loaded.allocate_tensors()
    loaded.set_tensor(into, batch.astype(np.float32))
    loaded.invoke()
    maps = [loaded.get_tensor(details["index"]) for details in loaded.get_output_details()]
    assert_same(model, batch, sorted(maps, key=lambda details: details.shape[-1]))


def test_onnx_runtime(model, batch, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    loaded = runtime.InferenceSession(exported(model, tmp_path, "onnx") / "model.onnx")
    assert_same(
        model, batch, loaded.run(None, {loaded.get_inputs()[0].name: batch.astype(np.float32)})
    )


def test_onnx_with_half_of_the_bytes_gives_nearly_the_same_maps(model, batch, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    file = exported(model, tmp_path, "onnx_half") / "model.onnx"
    assert file.stat().st_size < 0.6 * (model / "weights.weights.h5").stat().st_size
    loaded = runtime.InferenceSession(file)
    assert loaded.get_inputs()[0].type == "tensor(float)"
    maps = loaded.run(None, {loaded.get_inputs()[0].name: batch.astype(np.float32)})
    for found, wanted in zip(maps, load_forward(model)(batch), strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.01 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_exported_folder_is_a_model_that_detect_runs(model, batch, tmp_path, name):
    pytest.importorskip("openvino")
    assert_same(model, batch, load_forward(exported(model, tmp_path, name))(batch))


def test_unknown_format_is_named(tmp_path):
    with pytest.raises(
        InputError, match="format caffe: expected some of keras, keras_half, tf_saved_model"
    ):
        exporting.export(build("light"), tmp_path, ["caffe"])
    assert tuple(exporting.FILES) == export.FORMATS


def test_missing_converter_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"export to openvino: .*openvino"):
        exporting.export(build("light"), tmp_path, ["openvino"])
    assert not (tmp_path / "openvino").exists()


def test_what_tensorflow_says_of_a_full_disk_is_one_line(model, tmp_path, monkeypatch):
    def fill(self, path, **options):
        message = f"{{{{function_node SaveV2}}}} {path}: No space left on device"
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(keras.Model, "export", fill)
    with pytest.raises(SystemExit) as ended:
        exported(model, tmp_path / "out", "tf_saved_model")
    assert re.match(rf"error: {tmp_path}\S+: {tmp_path}\S+: No space left", str(ended.value.code))
    assert not list((tmp_path / "out").iterdir())


def test_model_of_another_kind_is_refused(tmp_path, capsys):
    (tmp_path / "model.yaml").write_text(
        yaml.safe_dump({"kind": "onnx", "file": "a", "heatmaps": "a", "pafs": "b"})
    )
    (tmp_path / "a").touch()
    parser = cli.parser("")
    parser.set_defaults(model=tmp_path, output=tmp_path / "out", formats=["keras"])
    with pytest.raises(SystemExit, match="expected a model of kind keras, found onnx"):
        cli.run(export.export, parser.parse_args([]))
