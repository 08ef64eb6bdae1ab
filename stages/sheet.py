"""What is inside a packed file: its numbers as text, and a sheet of augmented samples with labels.

python -m stages.sheet data/sample/packed/train.h5 --output sheet.png
"""

import argparse
from pathlib import Path

import cv2

from stages import cli, params
from stages.openpose.files import whole_file
from stages.openpose.samples.packed import describe, open_packed
from stages.openpose.samples.sheet import contact_sheet


def sheet(arguments: argparse.Namespace) -> None:
    """Print the description; draw the sheet where one is asked for."""
    with open_packed(arguments.packed) as packed:
        print(describe(packed))
        if arguments.output:
            pixels = contact_sheet(packed, params.load(arguments.params))
            with whole_file(arguments.output) as temporary:
                temporary.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("packed", type=Path, help="packed file")
    parser.add_argument("--output", type=Path, help="PNG to write")
    cli.run(sheet, parser.parse_args())


if __name__ == "__main__":
    main()
