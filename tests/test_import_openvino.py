"""An OpenVINO file whose weights a network of ours takes: imported and run without OpenVINO."""

import hashlib
import shutil
import sys

import keras
import numpy as np
import pytest
import yaml

from stages import import_model, params
from stages.openpose.network.architecture import build
from stages.openpose.network.forward import load_forward, read_model
from stages.openpose.network.weights import load_weights
from tests.ir_files import write_ir


@pytest.fixture
def theirs(tmp_path):
    """Folder of an IR with random weights."""
    keras.utils.set_random_seed(6)
    (tmp_path / "theirs").mkdir()
    write_ir(build("mobilenet"), tmp_path / "theirs/net.xml", "f16")
    return tmp_path / "theirs"


def take(tmp_path, monkeypatch, theirs, **changes):
    """Run the stage on the files of the folder `theirs`."""
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(theirs.iterdir())
    }
    model = {
        "kind": "openvino",
        "network": "mobilenet",
        "folder": str(theirs),
        "files": files,
        "layout": "NCHW",
    }
    values = yaml.safe_load(params.preset_text("sample"))
    values["models"] = {"net": model | changes}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    options = [
        "--params",
        tmp_path / "params.yaml",
        "--name",
        "net",
        "--output",
        tmp_path / "models/net",
    ]
    monkeypatch.setattr(sys, "argv", ["import_model", *map(str, options)])
    monkeypatch.setitem(sys.modules, "openvino", None)
    import_model.main()
    return tmp_path / "models/net"


def test_the_folder_holds_a_network_of_ours_with_their_weights(tmp_path, monkeypatch, theirs):
    folder = take(tmp_path, monkeypatch, theirs)
    described = read_model(folder)
    assert (described["kind"], described["network"]) == ("keras", "mobilenet")
    assert set(described["sha256"]) == {"net.xml", "net.bin"}
    assert "layout" not in described
    expected, imported = build("mobilenet"), build("mobilenet")
    load_weights(expected, theirs / "net.xml")
    load_weights(imported, folder / described["file"])
    for a, b in zip(imported.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    heatmaps, pafs = load_forward(folder)(np.zeros((1, 16, 24, 3), np.uint8))
    assert heatmaps.shape == (1, 2, 3, 19)
    assert pafs.shape == (1, 2, 3, 38)


def test_another_network_of_ours_does_not_take_them(tmp_path, monkeypatch, theirs):
    with pytest.raises(
        SystemExit, match="not weights of network `full`: layer `conv1_1` is not in the file"
    ):
        take(tmp_path, monkeypatch, theirs, network="full")
    assert not (tmp_path / "models/net").exists()


def test_a_lost_bin_is_named(tmp_path, monkeypatch, theirs):
    (theirs / "net.bin").unlink()
    with pytest.raises(
        SystemExit, match=r"net\.bin: no such file; an OpenVINO IR is a \.xml beside its \.bin"
    ):
        take(tmp_path, monkeypatch, theirs)


def test_a_disk_too_full_is_said_before_hdf5_writes(tmp_path, monkeypatch, theirs):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    with pytest.raises(SystemExit, match=r"models/net: \[Errno 28\] No space .* 10,000,000 free"):
        take(tmp_path, monkeypatch, theirs)
    assert not list((tmp_path / "models").iterdir())
