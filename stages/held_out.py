"""AP of a trained network on held-out training images: what experiments are compared by.

    python -m stages.held_out --model models/trained --val data/sample/packed/val.h5 \\
        --output metrics.json --calibration calibration.json

AP at one scale, whole images of the packed file, people of the file as ground truth; evaluation
images are not used. --calibration: how likely people of a score are right, by several scales and
the decoder of the run. Settings: sections `held_out`, `detect` and `decoder` of params.yaml.
"""

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from stages import cli, params
from stages.openpose.decoding.decoder import decode
from stages.openpose.evaluation.calibration import (
    FEWEST_PEOPLE,
    Calibration,
    isotonic,
    settings_of,
    to_json,
)
from stages.openpose.evaluation.held_out import average_precision, matched_people
from stages.openpose.files import file_digest, whole_file
from stages.openpose.network.backend import load_quietly, use_backend
from stages.openpose.network.forward import Forward, load_forward, read_model
from stages.openpose.network.precision import said_precision
from stages.openpose.samples.packed import Packed, open_packed
from stages.openpose.threads import usable_threads

CALIBRATED = "multi"  # the inference whose scores are: the headline's, and what predict does


def held_out(arguments: argparse.Namespace) -> dict:
    """Measure AP and write it with the number of images; without people there is no AP. Then fit
    probabilities to scores.
    """
    settings = params.load(arguments.params)
    use_backend(settings.train.backend)
    load_quietly()
    with open_packed(arguments.val) as packed:
        images = min(settings.held_out.images, len(packed.image_ids))
        metrics: dict[str, float] = {"images": images}
        forward = None
        if images:
            precision = said_precision("held_out", settings.detect.precision)
            forward = load_forward(arguments.model, precision)
            ap = average_precision(forward, packed, images)()
            metrics |= {} if ap is None else {"AP": round(ap, 4)}
        if arguments.calibration:
            fitted = calibrate(forward, packed, arguments.model, settings)
            with whole_file(arguments.calibration) as temporary:
                temporary.write_text(to_json(fitted), encoding="utf-8")
    with whole_file(arguments.output) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    measured = f"AP {metrics['AP']}" if "AP" in metrics else "nobody to be found, no AP,"
    print(f"held_out: {measured} on {images} images")
    return metrics


def calibrate(
    forward: Forward | None, packed: Packed, model: Path, settings: params.Params
) -> Calibration:
    """Probabilities of the scores of people found on held-out images; no curve for few people.

    Args:
        forward: the network; None where there are no images.
    """
    scores, right = np.zeros(0), np.zeros(0, bool)
    images = min(settings.held_out.images, len(packed.image_ids))
    if forward:
        matches = matched_people(
            forward,
            packed,
            images,
            inference=CALIBRATED,
            settings=settings.detect,
            decode=partial(decode, **asdict(settings.decoder), skeleton=packed.skeleton),
            reference=settings.decoder.mode == "parity",
            threads=usable_threads(),
        )
        counted = matches.counted[0]
        scores, right = matches.scores[counted], matches.hit[0, counted]
    found = f"{len(scores)} people found on {images} images ({CALIBRATED})"
    if len(scores) < FEWEST_PEOPLE:
        print(f"held_out: {found}: no calibration of scores, it needs {FEWEST_PEOPLE}")
        curve = np.zeros(0), np.zeros(0)
    else:
        print(f"held_out: scores calibrated by {found}")
        curve = isotonic(scores, right)
    weights = file_digest(model / read_model(model)["file"]) if forward else ""
    return Calibration(
        *curve,
        people=len(scores),
        images=images,
        weights=weights,
        settings=settings_of(CALIBRATED, settings.detect, settings.decoder),
    )


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a model")
    parser.add_argument("--val", type=Path, required=True, help="packed file of held-out images")
    parser.add_argument("--output", type=Path, required=True, help="metrics JSON to write")
    parser.add_argument(
        "--calibration", type=Path, help="JSON to write: how likely people of a score are right"
    )
    cli.run(held_out, parser.parse_args())


if __name__ == "__main__":
    main()
