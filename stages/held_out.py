"""AP of a trained network on held-out training images: what experiments are compared by.

    python -m stages.held_out --model models/trained --val data/sample/packed/val.h5 \\
        --output metrics.json

One scale, whole images of the packed file, people of the file as ground truth; evaluation images
are not used. Settings: section `held_out` of params.yaml, and `detect.precision`.
"""

import argparse
import json
from pathlib import Path

from stages import cli, params
from stages.openpose.evaluation.held_out import average_precision
from stages.openpose.files import whole_file
from stages.openpose.network.backend import load_quietly, use_backend
from stages.openpose.network.forward import load_forward
from stages.openpose.network.precision import said_precision
from stages.openpose.samples.packed import open_packed


def held_out(arguments: argparse.Namespace) -> dict:
    """Measure AP and write it with the number of images; without people there is no AP."""
    settings = params.load(arguments.params)
    use_backend(settings.train.backend)
    load_quietly()
    with open_packed(arguments.val) as packed:
        images = min(settings.held_out.images, len(packed.image_ids))
        metrics: dict[str, float] = {"images": images}
        if images:
            precision = said_precision("held_out", settings.detect.precision)
            forward = load_forward(arguments.model, precision)
            ap = average_precision(forward, packed, images)()
            metrics |= {} if ap is None else {"AP": round(ap, 4)}
    with whole_file(arguments.output) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    measured = f"AP {metrics['AP']}" if "AP" in metrics else "nobody to be found, no AP,"
    print(f"held_out: {measured} on {images} images")
    return metrics


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a model")
    parser.add_argument("--val", type=Path, required=True, help="packed file of held-out images")
    parser.add_argument("--output", type=Path, required=True, help="metrics JSON to write")
    cli.run(held_out, parser.parse_args())


if __name__ == "__main__":
    main()
