"""Train a network on a packed file; an interrupted run goes on where it stopped and ends with the
same weights.

    python -m stages.train --train data/sample/packed/train.h5 --val data/sample/packed/val.h5 \\
        --model models/trained --log results/train/log.csv \\
        --metrics results/train/metrics.json --checkpoints results/checkpoints
"""

import argparse
import csv
import importlib
import json
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from stages import cli, params
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file, whole_folder
from stages.openpose.network.backend import load_quietly, use_backend
from stages.openpose.network.forward import (
    OPENVINO_SUFFIX,
    brought_folder,
    described_skeleton,
    read_model,
    skeleton_of,
)
from stages.openpose.network.precision import said_precision
from stages.openpose.samples.packed import open_packed
from stages.openpose.skeleton import COCO, Skeleton
from stages.openpose.training.checkpoints import CheckpointFolder, code_files, run_key

WEIGHTS = "weights.weights.h5"
TENSORBOARD_IMAGES = 4
TENSORBOARD_PEOPLE = 8  # images
NO_IMAGES = (None, None)  # to measure AP on, to draw people into
TEACHER_BATCH = 8
LONG_RUN_MINUTES = 30  # beyond it the shorter way is named
METRICS = ("loss", "val_loss", "val_paf", "val_heat")  # columns of the log
# Code that decides the weights; what only watches (AP of held-out images) may change beside a run.
DECIDING_CODE = (
    *(
        f"stages.openpose.{room}"
        for room in ("coco", "fetch", "network", "samples", "skeleton", "training")
    ),
    "stages.train",
)
# Settings that change nothing about the steps that two runs share.
NOT_IN_KEY = ("epochs", "early_stop_epochs", "checkpoint_every_s")


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--train", type=Path, required=True, help="packed file to learn from")
    arguments.add_argument(
        "--val", type=Path, required=True, help="packed file held out; may hold no sample"
    )
    arguments.add_argument(
        "--model", type=Path, required=True, help="folder to write: weights and model.yaml"
    )
    arguments.add_argument(
        "--log", type=Path, required=True, help="CSV to write: one line an epoch"
    )
    arguments.add_argument(
        "--metrics", type=Path, help="JSON to write: the losses that the log ends with"
    )
    arguments.add_argument(
        "--weights", type=Path, help="folder of what download.weights brought, for train.init"
    )
    arguments.add_argument(
        "--checkpoints", type=Path, required=True, help="folder of checkpoints of all runs"
    )
    arguments.add_argument(
        "--tensorboard", type=Path, help="folder for TensorBoard events; none without it"
    )
    cli.run(stage, arguments.parse_args())


def stage(arguments: argparse.Namespace) -> dict:
    settings = params.load(arguments.params)
    use_backend(settings.train.backend, one_thread_ops=settings.train.batch_parts > 1)
    load_quietly()
    from stages.openpose.training.devices import all_devices

    with all_devices() as devices:
        # from here on the key of the run too: one that is taken up elsewhere never mixes
        precision = said_precision("train", settings.train.precision)
        settings = replace(settings, train=replace(settings.train, precision=precision))
        run = _prepare(arguments, settings, devices)
        progress = run.train()
    if devices.host == 0:
        _write_rows(progress.rows, arguments)
        with open_packed(arguments.train) as packed:
            write_model(run.model.network, arguments.model, packed.skeleton)
    last = progress.rows[-1]
    validated = f"{last['val_loss']:.3f}" if "val_loss" in last else "none"
    print(f"train: {progress.samples} samples, loss {last['loss']:.3f}, val_loss {validated}")
    return {
        "samples": progress.samples,
        "warm_up_samples": run.settings.warm_up_samples,
        "samples_per_s": round(progress.samples / progress.seconds, 1),
        "train_seconds": round(progress.seconds, 1),
        "loader_wait_share": round(run.wait_seconds / progress.seconds, 3),
        "precision": settings.train.precision,
    }


def _prepare(arguments: argparse.Namespace, settings: params.Params, devices):
    """The training run that settings and files describe."""
    import keras  # here and below: the backend is chosen by now

    from stages.openpose.network.architecture import rate_multipliers
    from stages.openpose.samples.device_labels import device_targets
    from stages.openpose.samples.loader import TrainingBatches, ValidationBatches
    from stages.openpose.training.run import TrainingRun

    with open_packed(arguments.train) as packed:
        skeleton, samples = packed.skeleton, len(packed)
    train = _fitted(settings.train, samples)
    settings = replace(settings, train=train)
    teacher = _teacher(arguments, settings, skeleton)
    keras.utils.set_random_seed(train.seed)
    init = _initial_weights(train.init, arguments.weights)
    network = _network(train, init, skeleton)
    shared = {
        "batch_size": train.batch_size,
        "labels": settings.labels,
        "augment": settings.augment,
    }
    shared |= {"corrupt_records": train.corrupt_records, "shard": (devices.host, devices.hosts)}
    random_order = {"seed": train.seed, "shuffle_images": train.shuffle_images}
    validation = ValidationBatches(arguments.val, **shared)
    run_name = _key(arguments, settings, init)  # after all imports
    on_device = settings.labels.made_on == "device"
    return TrainingRun(
        network,
        lambda epoch: TrainingBatches(
            arguments.train, **shared, **random_order, epoch=epoch, teacher=teacher
        ),
        validation,
        train,
        checkpoints=CheckpointFolder(arguments.checkpoints / run_name),
        multipliers=rate_multipliers(network) if train.multipliers == "reference" else None,
        targets_of=partial(device_targets, labels=settings.labels, skeleton=skeleton)
        if on_device
        else None,
        devices=devices,
        after_epoch=_after_epoch(arguments, settings, run_name, network, validation)
        if devices.host == 0
        else None,
        tell_pace=lambda seconds, rate: tqdm.write(pace(seconds, rate)),
    )


def pace(seconds: float, rate: float) -> str:
    """How long training will take here, in words."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    length = (
        f"{hours} hours" if minutes >= 120 else f"{minutes} minutes" if minutes > 1 else "a minute"
    )
    samples = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
    text = f"training: about {length} at {samples} samples/s"
    if minutes <= LONG_RUN_MINUTES:
        return text
    return f"{text}; the whole pipeline in minutes, to try it: python -m stages.params use tiny"


def _fitted(train: params.Train, samples: int) -> params.Train:
    """The section train with a warm-up that fits epochs of `samples`; says where it was shortened.
    A run that is extended by more epochs starts anew where that changes its warm-up.
    """
    from stages.openpose.training.optimizers import WARM_UP_SHARE, fitted_warm_up

    run_samples = samples * train.epochs
    warm_up = fitted_warm_up(train.warm_up_samples, run_samples, train.batch_size)
    if warm_up != train.warm_up_samples:
        print(
            f"train: {train.warm_up_samples} samples of warm-up (train.warm_up_samples) are more "
            f"than {WARM_UP_SHARE:.0%} of the {run_samples} samples of this run: shortened to "
            f"{warm_up}"
        )
    return replace(train, warm_up_samples=warm_up)


def _teacher(arguments: argparse.Namespace, settings: params.Params, skeleton: Skeleton):
    """The teacher's maps of all variants of the training crops, made where they are not there yet;
    None without a teacher.
    """
    from stages.openpose.network.forward import model_files
    from stages.openpose.training import distillation

    train, labels = settings.train, settings.labels
    if not train.teacher:
        return None
    if skeleton_of(read_model(Path(train.teacher))) != skeleton:
        raise InputError(
            f"`train.teacher`: {train.teacher}: the teacher finds another body than the "
            f"{len(skeleton.keypoints)} keypoints that are labelled; choose one that was trained "
            f"on these, or none"
        )
    seen = distillation.with_margin(settings.augment, train.teacher_margin_px)
    decides = {"augment": asdict(replace(seen, variants=0)), "seed": train.seed}
    decides["stride_px"] = labels.stride_px
    key = run_key([arguments.train, *model_files(Path(train.teacher))], decides)
    folder = arguments.checkpoints / f"teacher-{key}"
    drawn = {"labels": labels, "augment": seen, "seed": train.seed}
    margin_cells = train.teacher_margin_px // labels.stride_px
    _teach_missing(folder, arguments.train, train.teacher, margin_cells, drawn)
    return distillation.TeacherMaps(folder, seen.variants, train.teacher_share, skeleton)


def _teach_missing(
    folder: Path, packed: Path, teacher: str, margin_cells: int, drawn: dict
) -> None:
    """Write the teacher's maps of the variants that have no file yet."""
    from stages.openpose.network.forward import load_forward
    from stages.openpose.samples.loader import VariantCrops
    from stages.openpose.training.distillation import variant_path, write_maps

    variants = drawn["augment"].variants
    missing = [i for i in range(variants) if not variant_path(folder, i).exists()]
    forward = load_forward(teacher) if missing else None
    for variant in missing:
        crops = VariantCrops(packed, batch_size=TEACHER_BATCH, variant=variant, **drawn)
        title = f"teacher {variant + 1}/{variants}"
        write_maps(
            variant_path(folder, variant),
            crops,
            forward,
            samples=len(crops.packed),
            margin_cells=margin_cells,
            progress=partial(tqdm, desc=title, unit="batch", mininterval=2),
        )


def _initial_weights(init: str, weights: Path | None) -> list[Path]:
    """The files of `train.init`, that with the weights first: a path, or a model that stage
    download brought; none where it is empty.
    """
    if not init:
        return []
    file = Path(init)
    if len(file.parts) == 1 and not file.is_file():
        folder = brought_folder(init, weights, "train.init")
        file = folder / read_model(folder)["file"]
    return [file, file.with_suffix(".bin")] if file.suffix == OPENVINO_SUFFIX else [file]


def _network(train: params.Train, init: list[Path], skeleton: Skeleton):
    from stages.openpose.network.architecture import build, freeze
    from stages.openpose.network.weights import initialise

    network = build(train.network, skeleton=skeleton, precision=train.precision)
    if init:
        theirs = _skeleton_beside(init[0])
        fresh = initialise(network, init[0], skeleton, theirs)
        if theirs != skeleton and not set(network.output_names).intersection(fresh):
            shared = len(set(skeleton.parts).intersection(theirs.parts))
            print(
                f"train: {train.init} finds another body: its layers are kept, of its maps those "
                f"of {shared} parts of the same name"
            )
        print(
            f"train: {train.init} fills the network" + (f" but {', '.join(fresh)}" if fresh else "")
        )
    freeze(network, train.freeze)
    return network


def _skeleton_beside(file: Path) -> Skeleton:
    """The body that a weights file's network finds: as its model.yaml says, else COCO's."""
    described = file.with_name("model.yaml")
    return skeleton_of(read_model(file.parent)) if described.is_file() else COCO


def _after_epoch(arguments, settings: params.Params, key: str, network, validation):
    """What is done with the rows of the log after an epoch: the CSV, AP of held-out images,
    TensorBoard.
    """
    events = _events(arguments, key)
    # with several hosts a network runs on all of them or not at all, and only the first one is here
    alone = validation.shards == 1
    measure, draw = _held_out(settings.held_out, network, validation.packed) if alone else NO_IMAGES
    images = validation[0][0][:TENSORBOARD_IMAGES] if events and alone and len(validation) else ()
    ended = None  # when the epoch before was; what is left of one that is taken up tells no rate

    def watch(rows: list[dict]) -> None:
        nonlocal ended
        _write_rows(rows, arguments)
        values = {name: value for name, value in rows[-1].items() if value is not None}
        epoch = values.pop("epoch")
        if ended:
            samples = rows[-1]["samples"] - rows[-2]["samples"]
            values["samples_per_s"] = samples / (time.monotonic() - ended)
        is_due = settings.held_out.every_epochs and epoch % settings.held_out.every_epochs == 0
        if measure and is_due and (ap := measure()) is not None:
            values["held_out_AP"] = ap
            tqdm.write(f"train: epoch {epoch}, AP {ap:.3f} on held-out images (one scale)")
        if events:
            events.scalars(epoch, values)
            _show_maps(events, epoch, network, images)
            for i, pixels in enumerate(draw() if draw else ()):
                events.image(epoch, f"people/{i}", pixels)
        ended = time.monotonic()

    return watch


def _events(arguments: argparse.Namespace, key: str):
    """The run's TensorBoard events, where they are wanted."""
    if not arguments.tensorboard:
        return None
    from stages.openpose.training.events import Events

    return Events(arguments.tensorboard / key)


def _held_out(settings: params.HeldOut, network, packed):
    """Two functions of the network as it is when they are called: AP of held-out images, and some
    of these with the people it finds. None where there is no image.

    They only show; no output of this stage depends on them, so dvc.yaml does not name the decoder's
    code here. What experiments are compared by is the stage held_out.
    """
    if not len(packed.image_ids):
        return NO_IMAGES
    watching = importlib.import_module("stages.openpose.evaluation.held_out")
    forward = importlib.import_module("stages.openpose.network.forward").network_forward(network)
    measure = watching.average_precision(forward, packed, settings.images)
    return measure, watching.drawn_people(forward, packed, TENSORBOARD_PEOPLE)


def _show_maps(events, epoch: int, network, images) -> None:
    from stages.openpose.training.events import maps_image

    if len(images):
        pafs, heatmaps = (np.asarray(maps) for maps in network(images)[-2:])
        for i, image in enumerate(images):
            events.image(epoch, f"maps/{i}", maps_image(image, pafs[i], heatmaps[i]))


def _key(arguments: argparse.Namespace, settings: params.Params, init: list[Path]) -> str:
    """Name of the run's folder of checkpoints: what decides its steps. A one-cycle schedule knows
    its end.
    """
    import keras

    from stages.openpose.network.forward import model_files

    left_out = NOT_IN_KEY if settings.train.schedule != "one_cycle" else NOT_IN_KEY[1:]
    train = {name: value for name, value in asdict(settings.train).items() if name not in left_out}
    sections = {
        "train": train,
        "augment": asdict(settings.augment),
        "labels": asdict(settings.labels),
    }
    files = [arguments.train, arguments.val, *code_files(DECIDING_CODE), *init]
    if settings.train.teacher:
        files += model_files(Path(settings.train.teacher))
    return run_key(files, {**sections, "keras": keras.__version__, "backend": _backend_version()})


def _backend_version() -> str:
    import keras

    name = keras.backend.backend()
    return f"{name} {sys.modules[name].__version__}"


def _write_rows(rows: list[dict], arguments: argparse.Namespace) -> None:
    """Log and metrics as far as the run is: after each epoch, so that `dvc exp show` tells of it
    while it runs.
    """
    write_log(rows, arguments.log)
    if arguments.metrics:
        write_metrics(rows[-1], arguments.metrics)


def write_log(rows: list[dict], path: Path) -> None:
    """The finished epochs as CSV."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_metrics(row: dict, path: Path) -> None:
    """Losses of the last epoch, rounded to what two experiments are compared by."""
    measured = {name: value for name, value in row.items() if value is not None}
    metrics = {name: round(measured[name], 4) for name in METRICS if name in measured}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def write_model(network, folder: Path, skeleton: Skeleton = COCO) -> None:
    """Weights and what forward.py must know of them."""
    with whole_folder(folder) as temporary:
        network.save_weights(temporary / WEIGHTS)
        description = {"kind": "keras", "network": network.name, "file": WEIGHTS, "stride_px": 8}
        description |= described_skeleton(skeleton)
        (temporary / "model.yaml").write_text(
            yaml.safe_dump(description, sort_keys=False), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
