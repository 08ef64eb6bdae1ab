"""Train a network on a packed file; an interrupted run goes on where it stopped and ends with the same weights.

python -m stages.train --train data/sample/packed/train.h5 --val data/sample/packed/val.h5 --model models/trained \\
    --log results/train/log.csv --metrics results/train/metrics.json --checkpoints results/checkpoints
"""

import argparse
import csv
import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from stages import cli, params
from stages.openpose.checkpoints import CheckpointFolder, code_files, run_key
from stages.openpose.files import whole_file, whole_folder

WEIGHTS = "weights.weights.h5"
TENSORBOARD_PICTURES = 4
METRICS = ("loss", "val_loss", "val_paf", "val_heat", "val_AP")  # columns of the log
# Settings that change nothing about the steps that two runs share.
NOT_IN_KEY = ("epochs", "early_stop_epochs", "checkpoint_every_s")


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--train", type=Path, required=True, help="packed file to learn from")
    arguments.add_argument("--val", type=Path, required=True, help="packed file held out; may hold no sample")
    arguments.add_argument("--model", type=Path, required=True, help="folder to write: weights and model.yaml")
    arguments.add_argument("--log", type=Path, required=True, help="CSV to write: one line an epoch")
    arguments.add_argument("--metrics", type=Path, help="JSON to write: the losses and the AP that the log ends with")
    arguments.add_argument("--checkpoints", type=Path, required=True, help="folder of checkpoints of all runs")
    arguments.add_argument("--tensorboard", type=Path, help="folder for TensorBoard events; none without it")
    cli.run(stage, arguments.parse_args())


def stage(arguments: argparse.Namespace) -> dict:
    settings = params.load(arguments.params)
    choose_backend(settings.train)
    from stages.openpose.devices import all_devices

    with all_devices() as devices:
        run = _prepare(arguments, settings, devices)
        progress = run.train()
    if devices.host == 0:
        write_log(progress.rows, arguments.log)
        if arguments.metrics:
            write_metrics(progress.rows[-1], arguments.metrics)
        write_model(run.model.network, arguments.model)
    last = progress.rows[-1]
    print(f"train: {progress.samples} samples, loss {last['loss']:.3f}, val_loss {last.get('val_loss', 'none')}")
    return {
        "samples": progress.samples,
        "samples_per_s": round(progress.samples / progress.seconds, 1),
        "train_seconds": round(progress.seconds, 1),
        "loader_wait_share": round(run.wait_seconds / progress.seconds, 3),
    }


def choose_backend(train: params.Train) -> None:
    """Set what Keras and TensorFlow read from the environment when they are imported.

    With `batch_parts` the slices of a batch run side by side and each operation gets one thread, so that sums are
    added in one order on any machine.
    """
    os.environ["KERAS_BACKEND"] = train.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if train.batch_parts > 1:
        os.environ["TF_NUM_INTRAOP_THREADS"] = "1"


def _prepare(arguments: argparse.Namespace, settings: params.Params, devices):
    """The training run that settings and files describe."""
    import keras  # here and below: the backend is chosen by now

    from stages.openpose.device_targets import device_targets
    from stages.openpose.loader import TrainingBatches, ValidationBatches
    from stages.openpose.network import rate_multipliers
    from stages.openpose.training_run import TrainingRun

    train = settings.train
    keras.utils.set_random_seed(train.seed)
    network = _network(train)
    shared = {"batch_size": train.batch_size, "labels": settings.labels, "augment": settings.augment}
    shared |= {"corrupt_records": train.corrupt_records, "part": (devices.host, devices.hosts)}
    drawn = {"seed": train.seed, "shuffle_images": train.shuffle_images}
    validation = ValidationBatches(arguments.val, **shared)
    judge = _judge(network, validation.packed, train)
    key = _key(arguments, settings)  # after all imports
    on_device = settings.labels.made_on == "device"
    return TrainingRun(
        network,
        lambda epoch: TrainingBatches(arguments.train, **shared, **drawn, epoch=epoch),
        validation,
        train,
        checkpoints=CheckpointFolder(arguments.checkpoints / key),
        multipliers=rate_multipliers(network) if train.multipliers == "reference" else None,
        targets_of=partial(device_targets, labels=settings.labels) if on_device else None,
        devices=devices,
        average_precision=judge,
        after_epoch=_watcher(arguments, key, network, validation) if devices.host == 0 else lambda rows: None,
    )


def _network(train: params.Train):
    from stages.openpose.network import build, freeze
    from stages.openpose.weights import initialise

    network = build(train.network, precision=train.precision)
    if train.init:
        fresh = initialise(network, train.init)
        print(f"train: {train.init} fills the network" + (f" but {', '.join(fresh)}" if fresh else ""))
    freeze(network, train.freeze)
    return network


def _judge(network, packed, train: params.Train):
    """What measures AP, where it is wanted."""
    if not train.ap_every_epochs or not len(packed.image_ids):
        return None
    from stages.openpose.forward import network_forward
    from stages.openpose.held_out import average_precision

    return average_precision(network_forward(network), packed, train.ap_images)


def _watcher(arguments: argparse.Namespace, key: str, network, validation):
    """What is done with the rows of the log after an epoch: the CSV, and TensorBoard where wanted."""
    if not arguments.tensorboard:
        return lambda rows: write_log(rows, arguments.log)
    from stages.openpose.events import Events, maps_picture

    events = Events(arguments.tensorboard / key)
    # with several hosts a network runs on all of them or not at all, and only the first one is here
    pictures = validation[0][0][:TENSORBOARD_PICTURES] if len(validation) and validation.parts == 1 else ()

    def watch(rows: list[dict]) -> None:
        write_log(rows, arguments.log)
        row = {name: value for name, value in rows[-1].items() if value is not None}
        epoch = row.pop("epoch")
        events.scalars(epoch, row)
        if len(pictures):
            pafs, heatmaps = (np.asarray(maps) for maps in network(pictures)[-2:])
            for i, picture in enumerate(pictures):
                events.picture(epoch, f"maps/{i}", maps_picture(picture, pafs[i], heatmaps[i]))

    return watch


def _key(arguments: argparse.Namespace, settings: params.Params) -> str:
    """Name of the run's folder of checkpoints: what decides its steps. A one-cycle schedule knows its end."""
    import keras

    left_out = NOT_IN_KEY if settings.train.schedule != "one_cycle" else NOT_IN_KEY[1:]
    train = {name: value for name, value in asdict(settings.train).items() if name not in left_out}
    chosen = {"train": train, "augment": asdict(settings.augment), "labels": asdict(settings.labels)}
    files = [arguments.train, arguments.val, *code_files()]
    if settings.train.init:
        files.append(Path(settings.train.init))
    return run_key(files, {**chosen, "keras": keras.__version__, "backend": _backend_version()})


def _backend_version() -> str:
    import keras

    name = keras.backend.backend()
    return f"{name} {sys.modules[name].__version__}"


def write_log(rows: list[dict], path: Path) -> None:
    """The finished epochs as CSV."""
    with whole_file(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_metrics(row: dict, path: Path) -> None:
    """Losses and AP of the last epoch, rounded to what two experiments are compared by."""
    known = {name: value for name, value in row.items() if value is not None}
    chosen = {name: round(known[name], 4) for name in METRICS if name in known}
    with whole_file(path) as part:
        part.write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")


def write_model(network, folder: Path) -> None:
    """Weights and what forward.py must know of them."""
    with whole_folder(folder) as part:
        network.save_weights(part / WEIGHTS)
        described = {"kind": "keras", "network": network.name, "file": WEIGHTS, "stride_px": 8}
        (part / "model.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
