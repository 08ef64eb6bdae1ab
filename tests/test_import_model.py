import hashlib
import json
import sys

import numpy as np
import pytest
import yaml

from stages import import_model, params
from stages.openpose.network.forward import load_forward
from tests.openpose.network.test_forward import HEATMAPS, PAFS, write_onnx

pytest.importorskip("openvino")


@pytest.fixture
def world(tmp_path):
    """A toy ONNX file of somebody else's and params that name it; the folder of both."""
    rng = np.random.default_rng(1)
    (tmp_path / "theirs").mkdir()
    write_onnx(
        tmp_path / "theirs/net.onnx", rng.normal(size=(HEATMAPS, 3)), rng.normal(size=(PAFS, 3))
    )
    return tmp_path


def take(world, monkeypatch, name="toy", **changes):
    """Run the stage with the settings of the toy network, some of them changed."""
    digest = hashlib.sha256((world / "theirs/net.onnx").read_bytes()).hexdigest()
    model = {"kind": "onnx", "folder": str(world / "theirs"), "files": {"net.onnx": digest}}
    values = yaml.safe_load(params.preset_text("sample"))
    values["models"] = {"toy": model | {"heatmaps": "heat", "pafs": "paf"} | changes}
    (world / "params.yaml").write_text(yaml.safe_dump(values))
    options = ["--params", world / "params.yaml", "--name", name, "--output", world / "models/toy"]
    monkeypatch.setattr(
        sys, "argv", ["import_model", *map(str, options), "--record", str(world / "record.json")]
    )
    import_model.main()


def test_a_model_that_was_taken_in_runs(world, monkeypatch):
    take(world, monkeypatch, colour="RGB", trained_on="nothing")
    heatmaps, pafs = load_forward(world / "models/toy")(np.zeros((1, 16, 24, 3), np.uint8))
    assert heatmaps.shape == (1, 2, 3, HEATMAPS)
    assert pafs.shape == (1, 2, 3, PAFS)
    described = yaml.safe_load((world / "models/toy/model.yaml").read_text())
    assert described["imported"] is True
    assert described["trained_on"] == "nothing"
    assert str(world) not in json.dumps(described)
    assert json.loads((world / "record.json").read_text())["bytes"] > 0


def test_two_imports_are_equal_byte_for_byte(world, monkeypatch):
    contents = []
    for _ in range(2):
        take(world, monkeypatch)
        contents.append({file.name: file.read_bytes() for file in (world / "models/toy").iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"files": {"net.onnx": 64 * "0"}}, "expected sha256 0000.*found [0-9a-f]{64}"),
        (
            {"files": {"other.onnx": 64 * "0"}},
            r"other\.onnx: no such file, though `models\.toy\.files` names it",
        ),
        ({"files": {"net.xml": 64 * "0"}}, r"`models\.toy\.files`: expected one \.onnx file"),
        ({"files": {"net.onnx": "123"}}, r"`models\.toy\.files\.net\.onnx`"),
        ({"heatmaps": "nothing"}, "no output `nothing`"),
        ({"heatmaps": "paf"}, "heatmaps of images 64 x 72"),
        ({"kind": "torch"}, r"`models\.toy\.kind`: expected one of openvino, onnx, keras, caffe"),
        ({"kind": "caffe"}, r"`models\.toy\.files`: expected one \.caffemodel file"),
        ({"files": {"net.onnx": 32 * "0"}}, "expected md5 0000.*found [0-9a-f]{32};"),
        ({"color": "BGR"}, r"unknown key `models\.toy\.color`"),
        ({"mean": [1, 2]}, r"`models\.toy\.mean`"),
    ],
)
def test_mistakes_are_named_and_nothing_is_left(world, monkeypatch, changes, words):
    with pytest.raises(SystemExit, match=words):
        take(world, monkeypatch, **changes)
    assert not list((world / "models").glob("*")) if (world / "models").exists() else True


def test_an_unknown_name_is_named(world, monkeypatch):
    with pytest.raises(SystemExit, match=r"--name other: no such entry .* there: toy"):
        take(world, monkeypatch, name="other")


def test_the_preset_of_the_real_network_fits_its_files(shared, tmp_path, monkeypatch):
    values = yaml.safe_load(params.preset_text("coco_mini_real_net"))
    values["models"]["real_net"]["folder"] = str(shared / "real-net")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    options = [
        "--params",
        tmp_path / "params.yaml",
        "--name",
        "real_net",
        "--output",
        tmp_path / "real_net",
    ]
    monkeypatch.setattr(sys, "argv", ["import_model", *map(str, options)])
    import_model.main()
    heatmaps, _ = load_forward(tmp_path / "real_net")(np.full((1, 64, 64, 3), 128, np.uint8))
    assert heatmaps.shape == (1, 8, 8, HEATMAPS)


def test_mistakes_name_the_folder_that_is_written_not_a_hidden_one(world, monkeypatch):
    with pytest.raises(SystemExit, match=r"models/toy/net\.onnx: no output `nothing`") as problem:
        take(world, monkeypatch, heatmaps="nothing")
    assert ".part" not in str(problem.value)


def test_a_hash_in_capitals_is_the_same_hash(world, monkeypatch):
    digest = hashlib.sha256((world / "theirs/net.onnx").read_bytes()).hexdigest()
    take(world, monkeypatch, files={"net.onnx": digest.upper()})
    described = yaml.safe_load((world / "models/toy/model.yaml").read_text())
    assert described["sha256"] == {"net.onnx": digest}
