"""The notebook docs/tour.ipynb: its cells run, and nothing of a run is kept in it."""

import json
from pathlib import Path

import numpy as np
import pytest

from stages import params
from stages.openpose.coco.annotations import People
from stages.openpose.skeleton import COCO
from tests.openpose.samples.test_loader import Drawn, write_source
from tests.oracle import figure

NOTEBOOK = Path(params.__file__).parents[2] / "docs" / "tour.ipynb"
HW = (240, 240)


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_no_output_is_kept(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert NOTEBOOK.stat().st_size < 20_000


def write_packed(path: Path) -> Path:
    """One image with two standing figures, each a sample."""
    parts = np.stack([figure(70, 40, 150), figure(180, 60, 130)])
    keypoints = parts[:, list(COCO.part_of_keypoint)] * [1, 1, 2]
    low, high = keypoints[..., :2].min(axis=1), keypoints[..., :2].max(axis=1)
    people = People(
        np.arange(2), np.zeros(2, np.int32), keypoints.astype(np.float32),
        np.hstack([low, high - low]), np.prod(high - low, axis=1), np.zeros(1),
    )  # fmt: skip
    return write_source(path, np.array([HW], np.int32), ["1"], people, Drawn({"1": HW}))


def test_the_cells_run_from_a_packed_file_to_people(cells, tmp_path, monkeypatch, capsys):
    packed = write_packed(tmp_path / "val.h5")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    params.use("sample", tmp_path / "params.yaml")
    namespace: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), namespace)
        if "parameters" in cell["metadata"].get("tags", ()):
            namespace |= {"PACKED": packed, "MODEL": "light"}
    printed = capsys.readouterr().out
    assert "samples  2 main persons" in printed
    assert np.median(namespace["gaps"]) < 1
    assert namespace["maps"].heatmaps.shape[2] == COCO.heatmap_channels
