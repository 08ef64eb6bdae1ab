"""Train the network for a few epochs with changed settings, and judge it on training images.

    python -m benchmarks.recipe --data data/sample --epochs 6 \\
        augment.rotation_deg=8 augment.scale_max=1.6

The search behind the sample preset (docs/experiments/recipe.md); validation images are not used.
Training images serve, because after so few epochs of augmented crops nothing is learned by heart.
Prints a JSON line: settings, processor milliseconds a sample, losses, AP.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from stages import params
from stages.openpose.network.backend import use_backend
from stages.openpose.network.precision import precision_here
from stages.train import write_model


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of a data set that was packed"
    )
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=150, help="training images to judge on")
    parser.add_argument("changes", nargs="*", metavar="section.key=value")
    arguments = parser.parse_args()
    changes = [f"train.epochs={arguments.epochs}", *arguments.changes]
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "params.yaml"
        written.write_text(
            params.with_changes(Path("params.yaml").read_text(encoding="utf-8"), changes)
        )
        settings = params.load(written)
        use_backend(settings.train.backend, one_thread_ops=settings.train.batch_parts > 1)
        trained = train(arguments.data, settings, Path(folder) / "model")
        print(
            json.dumps(
                {"changes": arguments.changes}
                | trained
                | judge(arguments, settings, Path(folder) / "model")
            )
        )


def train(data: Path, settings: params.Params, model: Path) -> dict:
    """Train and write the model; losses of the held-out crops and processor milliseconds a
    sample.
    """
    import keras

    from stages.openpose.network.architecture import build
    from stages.openpose.samples.loader import TrainingBatches, ValidationBatches
    from stages.openpose.training.run import TrainingRun

    keras.utils.set_random_seed(settings.train.seed)
    precision = precision_here(settings.train.precision)[0]
    network = build(settings.train.network, precision=precision)
    shared = {
        "batch_size": settings.train.batch_size,
        "labels": settings.labels,
        "augment": settings.augment,
    }
    random_order = {"seed": settings.train.seed, "shuffle_images": settings.train.shuffle_images}
    run = TrainingRun(
        network,
        lambda epoch: TrainingBatches(
            data / "packed/train.h5", **shared, **random_order, epoch=epoch
        ),
        ValidationBatches(data / "packed/val.h5", **shared),
        settings.train,
    )
    started = time.process_time()
    progress = run.train()
    spent_ms = 1000 * (time.process_time() - started) / progress.samples
    write_model(network, model)
    losses = {name: round(progress.rows[-1][name], 2) for name in ("val_paf", "val_heat")}
    return {"parameters": network.count_params(), "processor_ms": round(spent_ms, 2), **losses}


def judge(arguments: argparse.Namespace, settings: params.Params, model: Path) -> dict:
    """AP of single and multi on the first images of the training set."""
    from stages.openpose.coco.annotations import read_images
    from stages.openpose.coco.image_files import decode_bgr, open_images
    from stages.openpose.decoding.decoder import decode
    from stages.openpose.evaluation import scoring
    from stages.openpose.inference.detection import ImageEntry, detect_people, plan_batches
    from stages.openpose.inference.results import to_results
    from stages.openpose.network.forward import load_forward

    annotations = arguments.data / "annotations/train.json"
    images, results = read_images(annotations), {"single": [], "multi": []}
    rows = np.arange(min(arguments.images, len(images)))
    entries = [
        ImageEntry(int(images.ids[i]), images.file_names[i], tuple(images.sizes[i].tolist()))
        for i in rows
    ]
    with open_images(arguments.data / "archives/train.zip") as archive:
        for image, by_output in detect_people(
            plan_batches(entries, settings.detect, settings.detect.batch_size),
            read=lambda entry: decode_bgr(archive.read(entry.file_name), entry.file_name),
            forward=load_forward(model, settings.detect.precision),
            decode=partial(decode, **asdict(settings.decoder)),
            settings=settings.detect,
            outputs=tuple(results),
        ):
            for output, people in by_output.items():
                results[output] += to_results(people, image.image_id)
    ground_truth, ids = (
        scoring.read_ground_truth(annotations),
        [image.image_id for image in entries],
    )
    return {
        output: round(scoring.evaluate(ground_truth, image_results, ids)[0]["AP"], 3)
        for output, image_results in results.items()
    }


if __name__ == "__main__":
    main()
