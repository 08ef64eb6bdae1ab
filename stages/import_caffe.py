"""Turn OpenPose's COCO model, pose_iter_440000.caffemodel, into a model folder. Caffe is not
needed.

    python -m stages.import_caffe --caffemodel pose_iter_440000.caffemodel --output models/openpose

The stage import_model does the same for an entry of kind `caffe` in section `models` of
params.yaml; here the paths are explicit. A hash is checked when given (--hash); afterwards stage
detect runs with --model models/openpose.
"""

import argparse
from pathlib import Path

from stages import cli, params
from stages.import_model import take_in


def import_caffe(arguments: argparse.Namespace) -> dict:
    """Make the model folder `arguments.output` of the file `arguments.caffemodel`."""
    file = arguments.caffemodel
    model = {"kind": "caffe", "folder": file.parent, "files": {file.name: arguments.hash.lower()}}
    if arguments.trained_on:
        model["trained_on"] = arguments.trained_on
    return take_in(model, "--caffemodel", arguments.output, params.load(arguments.params))


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--caffemodel", type=Path, required=True, help="the weights, a .caffemodel file"
    )
    parser.add_argument(
        "--hash", default="", help="its md5 or sha256, hexadecimal; not checked without it"
    )
    parser.add_argument("--trained-on", default="", help="what it was trained on, for the report")
    parser.add_argument("--output", type=Path, required=True, help="folder to write, models/<name>")
    cli.run(import_caffe, parser.parse_args())


if __name__ == "__main__":
    main()
