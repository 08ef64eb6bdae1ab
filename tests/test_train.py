"""The stage train from packed files to a model folder."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages import params
from stages.train import pace
from tests.ir_files import write_ir
from tests.openpose.samples.test_loader import write_packed

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "augment": {"crop_px": 32, "shift_px": 4.0},
    "train": {"epochs": 2, "batch_size": 2, "checkpoint_every_s": 0.001, "precision": "float32"},
    "held_out": {"every_epochs": 2},
}


def train(arguments: list, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Packed files and params.yaml."""
    folder = tmp_path_factory.mktemp("train")
    write_params(folder / "params.yaml")
    (folder / "packed").mkdir()
    write_packed(folder / "packed/train.h5", [1, 2, 1], [(60, 80)] * 3)
    write_packed(folder / "packed/val.h5", [1], [(60, 80)])
    return folder


def write_params(path: Path, **train) -> Path:
    values = yaml.safe_load(params.preset_text("sample"))
    for section, changes in TINY.items():
        values[section].update(changes)
    values["train"].update(train)
    path.write_text(yaml.safe_dump(values))
    return path


def arguments(data: Path, output: Path) -> list[str]:
    packed = ["--train", data / "packed/train.h5", "--val", data / "packed/val.h5"]
    written = ("model", "log.csv", "metrics.json", "checkpoints", "tensorboard", "record.json")
    options = [(f"--{name.split('.')[0]}", output / name) for name in written]
    command = [sys.executable, "-m", "stages.train", "--params", data / "params.yaml", *packed]
    command += [part for option in options for part in option]
    return list(map(str, command))


def outputs(folder: Path) -> dict[str, bytes]:
    files = ("model/weights.weights.h5", "model/model.yaml", "log.csv", "metrics.json")
    return {name: (folder / name).read_bytes() for name in files}


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    done = train(arguments(data, folder), env=os.environ | {"TF_NUM_INTEROP_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_mobilenet_is_tuned_from_a_model_that_download_brought(data, tmp_path):
    from stages.openpose.network.architecture import build
    from stages.openpose.network.weights import load_weights

    (tmp_path / "weights/net").mkdir(parents=True)
    write_ir(build("mobilenet"), tmp_path / "weights/net/net.xml", "f16")
    described = {"kind": "keras", "network": "mobilenet", "file": "net.xml"}
    (tmp_path / "weights/net/model.yaml").write_text(yaml.safe_dump(described))
    changes = {"network": "mobilenet", "init": "net", "epochs": 1, "learning_rate": 1e-9}
    settings = write_params(tmp_path / "params.yaml", **changes)
    command = [*arguments(data, tmp_path / "out"), "--weights", str(tmp_path / "weights")]
    done = train([*command, "--params", str(settings)])
    assert done.returncode == 0, done.stderr
    assert "train: net fills the network\n" in done.stdout
    start, tuned = build("mobilenet"), build("mobilenet")
    load_weights(start, tmp_path / "weights/net/net.xml")
    load_weights(tuned, tmp_path / "out/model/weights.weights.h5")
    for before, after in zip(start.get_weights(), tuned.get_weights(), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-5)


def test_model_folder_holds_what_inference_reads(trained):
    from stages.openpose.network.forward import load_forward

    described = yaml.safe_load((trained / "model/model.yaml").read_text())
    assert described == {
        "kind": "keras",
        "network": "light",
        "file": "weights.weights.h5",
        "stride_px": 8,
    }
    heatmaps, pafs = load_forward(trained / "model")(np.zeros((1, 32, 40, 3), np.uint8))
    assert heatmaps.shape == (1, 4, 5, 19)
    assert pafs.shape == (1, 4, 5, 38)


def test_log_has_a_line_an_epoch_and_no_time_of_day(trained):
    rows = list(csv.DictReader((trained / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["samples"] for row in rows] == ["4", "8"]
    assert not any("second" in name or "time" in name for name in rows[0])


def test_metrics_are_what_the_log_ends_with(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    last = list(csv.DictReader((trained / "log.csv").open()))[-1]
    assert list(metrics) == ["loss", "val_loss", "val_paf", "val_heat"]
    assert metrics == {name: round(float(last[name]), 4) for name in metrics}


def test_metrics_are_there_while_training_goes_on(data, tmp_path):
    write_params(tmp_path / "params.yaml", epochs=10_000)
    command = [*arguments(data, tmp_path), "--params", str(tmp_path / "params.yaml")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, **quiet)
    try:
        while not (tmp_path / "metrics.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        assert json.loads((tmp_path / "metrics.json").read_text())["loss"] > 0
        assert not (tmp_path / "model").exists()
    finally:
        process.kill()
        process.wait()


def test_record_says_how_fast_training_was(trained):
    record = json.loads((trained / "record.json").read_text())
    assert record["samples"] == 8
    seconds = record["train_seconds"]
    assert seconds > 0
    rounded = 0.06 + 8 / seconds * 0.06 / seconds
    assert record["samples_per_s"] == pytest.approx(8 / seconds, abs=rounded)
    assert record["loader_wait_share"] >= 0


def test_auto_is_said_recorded_and_goes_on_as_what_it_became(data, tmp_path):
    """The folder of checkpoints is that of the precision itself: runs never mix."""
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    for precision in ("auto", "float32"):
        settings = write_params(tmp_path / f"{precision}.yaml", precision=precision, epochs=1)
        command = [*arguments(data, tmp_path), "--params", str(settings)]
        done = train(command, env=environment)
        assert done.returncode == 0, done.stderr
        said = "train: precision float32: oneDNN is switched off\n" in done.stdout
        assert said == (precision == "auto")
        assert json.loads((tmp_path / "record.json").read_text())["precision"] == "float32"
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize(
    ("seconds", "rate", "said"),
    [
        (840, 130.4, "training: about 14 minutes at 130 samples/s"),
        (3, 2000.0, "training: about a minute at 2000 samples/s"),
    ],
)
def test_pace_is_said_in_minutes(seconds, rate, said):
    assert pace(seconds, rate) == said


@pytest.mark.parametrize(("seconds", "length"), [(2400, "40 minutes"), (40000, "11 hours")])
def test_long_runs_name_the_short_way(seconds, length):
    said = pace(seconds, 2.3)
    assert said.startswith(f"training: about {length} at 2.3 samples/s; ")
    assert said.endswith("python -m stages.params use tiny")


def test_tensorboard_gets_curves_and_images_of_maps_and_people(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (trained / "tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    rows = list(csv.DictReader((trained / "log.csv").open()))
    curve = [(point.step, point.value) for point in events.Scalars("loss")]
    assert curve == [
        (1, pytest.approx(float(rows[0]["loss"]))),
        (2, pytest.approx(float(rows[1]["loss"]))),
    ]
    assert [point.step for point in events.Scalars("held_out_AP")] == [2]
    assert [point.step for point in events.Scalars("samples_per_s")] == [2]
    assert (events.Images("maps/0")[0].width, events.Images("maps/0")[0].height) == (96, 32)
    drawn = [tag for tag in events.Tags()["images"] if tag.startswith("people/")]
    assert drawn
    assert [image.step for image in events.Images(drawn[0])] == [1, 2]


def stop(data: Path, output: Path, number: signal.Signals) -> int:
    """Start training, send a signal after the next checkpoint; returns the exit status."""
    before = set(output.glob("checkpoints/*/step-*.npz"))
    process = subprocess.Popen(
        arguments(data, output), cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while not set(output.glob("checkpoints/*/step-*.npz")) - before:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    return process.wait()


def test_killed_and_started_again_gives_the_same_bytes_with_other_threads(data, trained, tmp_path):
    assert stop(data, tmp_path, signal.SIGKILL) == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    done = train(arguments(data, tmp_path))
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path) == outputs(trained)


def test_interrupt_saves_and_exits_with_130(data, trained, tmp_path):
    assert stop(data, tmp_path, signal.SIGINT) == 130
    assert not (tmp_path / "model").exists()
    newest = max(tmp_path.glob("checkpoints/*/step-*.npz"))
    done = train(arguments(data, tmp_path))
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path) == outputs(trained)
    assert max(tmp_path.glob("checkpoints/*/step-*.npz")) > newest
