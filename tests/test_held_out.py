"""The stage held_out from a packed file and a model folder to metrics."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stages import held_out, params
from stages.openpose.evaluation.calibration import check_belongs, read_calibration, settings_of
from tests.openpose.samples.test_loader import write_packed
from tests.test_pose import write_empty_model


def empty_maps(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, height, width, _ = batch.shape
    return tuple(np.zeros((count, height // 8, width // 8, maps), np.float32) for maps in (19, 38))


def run(monkeypatch, tmp_path, **more) -> dict:
    options = {"model": "none", "val": tmp_path / "val.h5", "output": tmp_path / "metrics.json"}
    options |= more
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


def test_few_people_give_no_calibration_which_is_said_and_known_to_who_reads_it(
    tmp_path, monkeypatch, capsys
):
    write_packed(tmp_path / "val.h5", [1], [(64, 64)])
    write_empty_model(tmp_path / "model")
    monkeypatch.setattr(held_out, "load_forward", lambda *_: empty_maps)
    more = {"model": tmp_path / "model", "calibration": tmp_path / "calibration.json"}
    run(monkeypatch, tmp_path, **more)
    assert "0 people found on 1 images (multi): no calibration" in capsys.readouterr().out
    fitted = read_calibration(tmp_path / "calibration.json")
    assert (bool(fitted), fitted.people, fitted.images) == (False, 0, 1)


def test_scores_are_calibrated_by_the_runs_own_scales_and_decoder(tmp_path, monkeypatch):
    write_packed(tmp_path / "val.h5", [1], [(64, 64)])
    write_empty_model(tmp_path / "model")
    monkeypatch.setattr(held_out, "load_forward", lambda *_: empty_maps)
    scores, hit = np.linspace(3, 1, 60), np.arange(60) < 30
    asked = {}

    def matched(*_, **options):
        asked.update(options)
        one = np.ones((1, 60), bool)
        return SimpleNamespace(scores=scores, hit=hit[None], counted=one)

    monkeypatch.setattr(held_out, "matched_people", matched)
    more = {"model": tmp_path / "model", "calibration": tmp_path / "calibration.json"}
    run(monkeypatch, tmp_path, **more)
    fitted = read_calibration(tmp_path / "calibration.json")
    np.testing.assert_array_equal(fitted(scores), hit)
    settings = params.load(Path("params.yaml"))
    check_belongs(
        fitted,
        tmp_path / "calibration.json",
        tmp_path / "model/weights.h5",
        settings_of("multi", asked["settings"], settings.decoder),
    )
    assert asked["settings"] == settings.detect
    assert asked["decode"].keywords["peak_threshold"] == settings.decoder.peak_threshold
