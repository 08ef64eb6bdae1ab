"""OpenPose's own weights: from a generated pose_iter_440000.caffemodel to a model that stage detect
can run.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from stages import import_caffe, import_model, params
from stages.openpose.network.forward import keras_forward, load_forward
from stages.openpose.network.weights import convert_weights, read_layers
from stages.openpose.report import published
from tests.caffe_files import field, model, openpose_prototxt, openpose_weights, write

OTHER_PYTHON = "OPENCV4_PYTHON"
# What OpenCV's reader of Caffe files makes of a prototxt, weights and an image [H, W, 3] (BGR,
# 0..255).
OTHER_READER = """ import sys, cv2, numpy as np prototxt, weights, image, output = sys.argv[1:] net
= cv2.dnn.readNetFromCaffe(prototxt, weights) pixels = np.load(image)
net.setInput(cv2.dnn.blobFromImage(pixels, 1 / 256, pixels.shape[1::-1], (128, 128, 128),
swapRB=False, crop=False)) pafs, heatmaps = net.forward(["Mconv7_stage6_L1", "Mconv7_stage6_L2"])
np.savez(output, pafs=pafs, heatmaps=heatmaps, version=cv2.__version__)
"""
# Of the same weights and the image of the test, read from OpenCV 4.14.
HEATMAPS_OF_OPENCV = [0.241371, 0.013986, 0.164482]
PAFS_OF_OPENCV = [-0.178791, 0.382704, 0.402238]


def run(monkeypatch, main, *options):
    """Run a command line in this process."""
    monkeypatch.setattr(sys, "argv", ["stage", *map(str, options)])
    main()


@pytest.fixture(scope="module")
def weights():
    """Weights of the whole network in Caffe's order."""
    return openpose_weights(np.random.default_rng(440000))


@pytest.fixture(scope="module")
def world(tmp_path_factory, weights):
    """A folder with the file and, made by the command line, its model folder; 0.4 GB, deleted
    afterwards.
    """
    folder = tmp_path_factory.mktemp("caffe")
    params.use("sample", folder / "params.yaml", [])
    file = write(folder / "pose.caffemodel", model(weights))
    with pytest.MonkeyPatch.context() as monkeypatch:
        md5 = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest().upper()
        options = ["--caffemodel", file, "--hash", md5, "--output", folder / "openpose"]
        run(monkeypatch, import_caffe.main, *options, "--params", folder / "params.yaml")
    yield folder
    file.unlink()
    for path in folder.glob("*/*.h5"):
        path.unlink()


def test_every_weight_lands_in_its_layer(world, weights):
    layers = read_layers(world / "openpose/weights.weights.h5")
    assert len(layers) == len(weights) == 92
    assert sum(array.size for arrays in layers.values() for array in arrays) == 52_311_446
    for name, (kernel, bias) in weights.items():
        ours = layers[f"Mconv{name[6]}_stage1_L{name[-1]}" if name.startswith("conv5_") else name]
        np.testing.assert_array_equal(ours[0], np.moveaxis(kernel, (0, 1), (3, 2)))
        np.testing.assert_array_equal(ours[1], bias)


def test_the_model_folder_says_what_it_is(world):
    described = yaml.safe_load((world / "openpose/model.yaml").read_text())
    assert described["kind"] == "keras"
    assert described["network"] == "full"
    assert described["imported"] is True
    digest = hashlib.sha256((world / "pose.caffemodel").read_bytes()).hexdigest()
    assert described["sha256"] == {"pose.caffemodel": digest}


@pytest.mark.slow
def test_an_entry_of_section_models_gives_the_same_model(world, monkeypatch):
    values = yaml.safe_load(params.preset_text("coco2014_openpose_model"))
    (name,) = values["models"]["openpose"]["files"]
    content = (world / "pose.caffemodel").read_bytes()
    (world / "weights").mkdir()
    os.link(world / "pose.caffemodel", world / "weights" / name)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    values["models"]["openpose"] |= {"folder": str(world / "weights"), "files": {name: digest}}
    (world / "models.yaml").write_text(yaml.safe_dump(values))
    run(
        monkeypatch,
        import_model.main,
        *("--name", "openpose", "--params", world / "models.yaml", "--output", world / "by_stage"),
    )
    (world / "weights" / name).unlink()
    weights, stage_weights = (
        world / folder / "weights.weights.h5" for folder in ("openpose", "by_stage")
    )
    assert weights.read_bytes() == stage_weights.read_bytes()
    assert "val2014" in yaml.safe_load((world / "by_stage/model.yaml").read_text())["trained_on"]


def test_the_preset_names_the_file_that_download_brings():
    values = yaml.safe_load(params.preset_text("coco2014_openpose_model"))
    sources = yaml.safe_load(Path(values["download"]["sources"]).read_text())
    entry = sources["weights"]["openpose"]
    # so that the report fills its row
    assert set(values["models"]) <= {row.model for row in published.ROWS}
    assert "openpose" in values["download"]["weights"]
    assert values["models"]["openpose"]["files"] == {entry["url"].rpartition("/")[2]: entry["md5"]}
    assert values["models"]["openpose"]["folder"] == f"data/{values['dataset']['name']}/weights"


def fails(folder, monkeypatch, content, *options):
    """Message of an import that is expected to fail; nothing must have been written."""
    file = write(folder / "other.caffemodel", content)
    params.use("sample", folder / "params.yaml", [])
    arguments = [
        "--caffemodel",
        file,
        "--output",
        folder / "out",
        "--params",
        folder / "params.yaml",
    ]
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, import_caffe.main, *arguments, *options)
    assert not (folder / "out").exists()
    assert not list(folder.glob(".out*"))
    message = str(caught.value.code)
    assert "other.caffemodel" in message
    assert "\n" not in message
    return message


def test_another_network_is_refused_layer_by_layer(tmp_path, monkeypatch, weights):
    first = {"conv1_1": weights["conv1_1"]}
    assert "layer `conv1_2` is not in the file" in fails(tmp_path, monkeypatch, model(first))
    narrow = {"conv1_1": [array[:32] for array in first["conv1_1"]]}
    message = fails(tmp_path, monkeypatch, model(narrow))
    assert (
        "layer `conv1_1` has shapes [(3, 3, 3, 32), (32,)], expected [(3, 3, 3, 64), (64,)]"
        in message
    )
    unbiased = {"conv1_1": first["conv1_1"][:1]}
    assert "has shapes [(3, 3, 3, 64)], expected" in fails(tmp_path, monkeypatch, model(unbiased))


def test_a_layer_too_many_is_named(world, monkeypatch, tmp_path):
    more = model({"prelu": [np.ones(3, np.float32)]}, old_layers=True)
    content = (world / "pose.caffemodel").read_bytes() + more
    message = fails(tmp_path, monkeypatch, content)
    (tmp_path / "other.caffemodel").unlink()
    assert "expected 92 layers, found 1 more: prelu" in message


def test_damaged_files_are_refused(tmp_path, monkeypatch, weights):
    whole = model({"conv1_1": weights["conv1_1"]})
    assert "is cut off" in fails(tmp_path, monkeypatch, whole[:-9])
    assert "no layer with weights" in fails(
        tmp_path, monkeypatch, field(1, b"a network without layers")
    )
    assert "expected md5 00000000" in fails(tmp_path, monkeypatch, whole, "--hash", 32 * "0")


@pytest.fixture(scope="module")
def forward(world):
    """The imported network."""
    return load_forward(world / "openpose")


def test_maps_are_those_recorded_from_opencv_4(forward):
    image = np.random.default_rng(7).integers(0, 256, (48, 64, 3), np.uint8)
    heatmaps, pafs = forward(image[None])
    np.testing.assert_allclose(heatmaps[0, 2, 5, [0, 9, 18]], HEATMAPS_OF_OPENCV, atol=1e-4)
    np.testing.assert_allclose(pafs[0, 4, 1, [0, 17, 37]], PAFS_OF_OPENCV, atol=1e-4)


def image_of(shared):
    """A real image at a size that is not square, uint8 [88, 136, 3]."""
    path = sorted((shared / "coco-mini/images").glob("*.jpg"))[3]
    return cv2.resize(cv2.imread(str(path)), (136, 88), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    "encoding", [{}, {"old_layers": True, "old_shape": True}], ids=["new", "V1"]
)
def test_maps_equal_those_of_another_reader_of_caffe_files(
    weights, shared, tmp_path, capsys, encoding
):
    python = os.environ.get(OTHER_PYTHON)
    if not python:
        pytest.skip(
            f"{OTHER_PYTHON} does not name a Python with OpenCV 4, whose dnn.readNetFromCaffe "
            f"OpenCV 5 lacks"
        )
    image = image_of(shared)
    np.save(tmp_path / "image.npy", image)
    (tmp_path / "net.prototxt").write_text(openpose_prototxt(*image.shape[:2]))
    caffemodel = write(tmp_path / "pose.caffemodel", model(weights, **encoding))
    files = (tmp_path / "net.prototxt", caffemodel, tmp_path / "image.npy", tmp_path / "maps.npz")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([python, "-c", OTHER_READER, *map(str, files)], check=True, env=environment)
    theirs = np.load(tmp_path / "maps.npz")
    convert_weights(caffemodel, "full", tmp_path / "pose.weights.h5")
    heatmaps, pafs = keras_forward(tmp_path / "pose.weights.h5", "full")(image[None])
    caffemodel.unlink()
    (tmp_path / "pose.weights.h5").unlink()
    for name, ours in (("heatmaps", heatmaps), ("pafs", pafs)):
        want = theirs[name].transpose(0, 2, 3, 1)
        with capsys.disabled():
            gap, most = np.abs(ours - want).max(), np.abs(want).max()
            print(
                f"\n{name}, OpenCV {theirs['version']}: differ by up to {gap:.1e}, values up to "
                f"{most:.2f}"
            )
        assert ours.shape == want.shape
        assert want.std(axis=(0, 1, 2)).min() > 0.01  # signals are alive in every channel
        assert gap < 1e-4
