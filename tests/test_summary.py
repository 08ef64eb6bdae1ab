"""The page of results that git keeps."""

import json
import shutil
from pathlib import Path

import pytest

from stages import params, summary
from stages.openpose.report.recorded import to_markdown
from tests.test_detect import run

ROOT = Path(summary.__file__).parents[1]
VALUES = {"AP": 0.5, "AP_low": 0.25, "AP_high": 0.75, "AP50": 1.0, "AR": None}
METRICS = {"single": VALUES, "multi": VALUES, "multi_flip": VALUES, "images": 3, "people": 4}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A copy of the record in git; the working folder is above it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "results/evaluate", tmp_path / "results/evaluate")
    for name in ("train", "held_out"):
        (tmp_path / "results" / name).mkdir()
        shutil.copy(ROOT / f"results/{name}/metrics.json", tmp_path / "results" / name)
    params.use("sample", tmp_path / "params.yaml")
    return tmp_path / "results"


def test_the_page_in_git_is_that_of_the_metrics_in_git(results, monkeypatch):
    run(monkeypatch, summary.main)
    assert (results / "README.md").read_text() == (ROOT / "results/README.md").read_text()


def test_what_is_no_json_is_named_in_one_line(results, monkeypatch):
    (results / "evaluate/trained/val.json").write_text("<<<<<<< HEAD\n{}")
    with pytest.raises(SystemExit, match=r"error: results/evaluate/trained/val\.json: not JSON"):
        run(monkeypatch, summary.main)


def test_without_any_results_the_page_says_for_which_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    params.use("tiny", tmp_path / "params.yaml")
    run(monkeypatch, summary.main)
    assert "Data set `tiny`" in (tmp_path / "results/README.md").read_text()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"leaked_images": 0, "contaminated": False}, "the network learned from none of them"),
        ({"leaked_images": 2, "contaminated": True}, "Contaminated: 2 of the images"),
        ({"leaked_images": None, "trained_on": "COCO"}, "trained on: COCO."),
    ],
)
def test_the_page_says_what_was_learned_from(more, told):
    page = to_markdown("mine", [("net", "val", METRICS | more)], {}, {})
    assert f"3 images, 4 people{';' if 'Contaminated' not in told else '.'} {told}" in page
    assert "| single | **0.500** (0.250 to 0.750) | 1.000 | - | - | - | - |" in page


def test_ap_by_crowd_index_has_columns_of_its_own():
    levels = {"easy": 0.7, "hard": 0.2}
    metrics = METRICS | {"crowd_index": dict.fromkeys(("single", "multi", "multi_flip"), levels)}
    page = to_markdown("mine", [("net", "val", metrics)], {}, json.loads('{"loss": 3.14}'))
    assert "| AR | AP easy | AP hard |" in page
    assert "| - | 0.700 | 0.200 |" in page
    assert "- loss of training samples in the last epoch: 3.1" in page
