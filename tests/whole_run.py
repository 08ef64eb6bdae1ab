"""The stages from inspect_data to report, one after the other in this process, tiny."""

import json
from pathlib import Path

import yaml

from stages import (
    detect,
    evaluate,
    held_out,
    inspect_data,
    masks,
    pack,
    params,
    report,
    train,
)
from tests.test_detect import run

TINY = {
    "pack": {"holdout_images": 0, "min_area_px2": 100},
    "augment": {"crop_px": 32, "shift_px": 4.0},
    "train": {"epochs": 1, "precision": "float32"},
    "held_out": {"every_epochs": 1},
    "detect": {"height_px": 64, "scales": [0.5, 1.0], "batch_size": 2},
    "evaluate": {"splits": ["val"], "bootstrap_samples": 5},
}


def write_params(path: Path, **changes: dict) -> Path:
    """The sample's params, tiny, with changes of single sections."""
    values = yaml.safe_load(params.preset_text("sample"))
    for section in (TINY, changes):
        for name, keys in section.items():
            values[name] |= keys
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def up_to_pack(folder: Path, monkeypatch) -> None:
    """The stages before training, on folder/data as the stage download leaves it."""
    data, settings = folder / "data", ("--params", folder / "params.yaml")
    run(monkeypatch, inspect_data.main, *settings, "--data", data, "--output", data / "inspected")
    for shard in (0, 1):
        run(monkeypatch, masks.main, *settings, "--shard", shard,
            "--annotations", data / "inspected/annotations/train.json",
            "--output", data / f"masks/train-{shard}.h5")  # fmt: skip
    for split in ("train", "val"):
        run(monkeypatch, pack.main, *settings, "--split", split, "--data", data,
            "--output", data / f"packed/{split}.h5")  # fmt: skip


def train_network(folder: Path, monkeypatch) -> None:
    """The stages train and held_out."""
    settings, packed = ("--params", folder / "params.yaml"), folder / "data/packed"
    trained, results = folder / "models/trained", folder / "results"
    run(monkeypatch, train.main, *settings,
        "--train", packed / "train.h5", "--val", packed / "val.h5", "--model", trained,
        "--log", results / "train/log.csv", "--metrics", results / "train/metrics.json",
        "--checkpoints", results / "checkpoints",
        "--record", results / "runs/train.json")  # fmt: skip
    run(monkeypatch, held_out.main, *settings, "--model", trained, "--val", packed / "val.h5",
        "--output", results / "held_out/metrics.json")  # fmt: skip


def to_report(folder: Path, monkeypatch) -> dict:
    """The stages after training; metrics of val."""
    data, results = folder / "data", folder / "results"
    settings = ("--params", folder / "params.yaml", "--data", data)
    for shard in (0, 1):
        run(monkeypatch, detect.main, *settings, "--model", folder / "models/trained",
            "--split", "val", "--shard", shard,
            "--output", results / f"detect/trained/val/{shard}")  # fmt: skip
    score(folder, monkeypatch)
    run(monkeypatch, report.main, *settings, "--results", results, "--models", folder / "models",
        "--output", results / "report")  # fmt: skip
    return json.loads((results / "evaluate/trained/val.json").read_text())


def score(folder: Path, monkeypatch) -> dict:
    """The stage evaluate; metrics of val."""
    data, results = folder / "data", folder / "results"
    run(monkeypatch, evaluate.main, "--params", folder / "params.yaml", "--data", data,
        "--split", "val", "--detections", results / "detect/trained",
        "--train-packed", data / "packed/train.h5", data / "packed/val.h5",
        "--output", results / "evaluate/trained/val.json",
        "--plots", results / "evaluate/trained/val")  # fmt: skip
    return json.loads((results / "evaluate/trained/val.json").read_text())
