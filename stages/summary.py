"""Write results/README.md, the page that git keeps, from the metrics beside it.

    python -m stages.summary

`snakemake` does so at the end of each run.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from stages import cli, params
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file
from stages.openpose.report.recorded import to_markdown

PAGE = "README.md"


def summary(arguments: argparse.Namespace) -> None:
    """Read the metrics that the active settings name; write the page."""
    settings, results = params.load(arguments.params), arguments.results
    evaluations = [
        (model, split, metrics)
        for model in settings.detect.models
        for split in settings.evaluate.splits
        if (metrics := _read(results / "evaluate" / model / f"{split}.json"))
    ]
    held_out, losses = (_read(results / name / "metrics.json") for name in ("held_out", "train"))
    text = to_markdown(settings.dataset.name, evaluations, held_out, losses)
    with whole_file(results / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as problem:
        raise InputError(f"{path}: not JSON ({problem}); run its stage again") from None


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="folder with what the stages left"
    )
    cli.run(summary, parser.parse_args())


if __name__ == "__main__":
    main()
