"""The stage held_out from a packed file and a model folder to metrics."""

import json

import numpy as np
import pytest

from stages import held_out
from tests.openpose.samples.test_loader import write_packed


def empty_maps(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, height, width, _ = batch.shape
    return tuple(np.zeros((count, height // 8, width // 8, maps), np.float32) for maps in (19, 38))


def run(monkeypatch, tmp_path) -> dict:
    options = {"model": "none", "val": tmp_path / "val.h5", "output": tmp_path / "metrics.json"}
    monkeypatch.setattr(
        "sys.argv", ["held_out", *(f"--{name}={value}" for name, value in options.items())]
    )
    held_out.main()
    return json.loads((tmp_path / "metrics.json").read_text())


def test_nobody_found_is_an_ap_of_zero_and_images_are_counted(tmp_path, monkeypatch):
    write_packed(tmp_path / "val.h5", [1, 2], [(240, 320)] * 2)
    monkeypatch.setattr(held_out, "load_forward", lambda *_: empty_maps)
    assert run(monkeypatch, tmp_path) == {"images": 2, "AP": 0.0}


def test_a_file_without_images_has_no_ap(tmp_path, monkeypatch):
    write_packed(tmp_path / "val.h5", [], [])
    assert run(monkeypatch, tmp_path) == {"images": 0}


def test_a_missing_packed_file_is_named(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="run the stage pack first"):
        run(monkeypatch, tmp_path)
