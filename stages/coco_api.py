"""Check pycocotools: record its version, try it on known masks and a known AP.

    python -m stages.coco_api --output data/sample/coco_api.json

A broken installation ends the run here, not after days of training.
"""

import argparse
import json
from pathlib import Path

from stages import cli, params
from stages.openpose.evaluation.self_test import self_test, versions
from stages.openpose.files import whole_file


def coco_api(arguments: argparse.Namespace) -> None:
    """Write versions and the figures of the self-test as JSON."""
    settings = params.load(arguments.params).coco_api
    report = {"versions": versions(), "self_test": self_test() if settings.self_test else "not run"}
    with whole_file(arguments.output) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")
    print(f"pycocotools {report['versions']['pycocotools']}: fine")


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON to write, data/<name>/coco_api.json"
    )
    cli.run(coco_api, parser.parse_args())


if __name__ == "__main__":
    main()
