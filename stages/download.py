"""Fetch a data set: archives of images, annotations, id lists, weights. The only stage that uses
the network.

    python -m stages.download --output data/coco2014

Broken transfers are resumed, also after a kill: run the same command again. Settings: section
`download` of the params file.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from threading import Lock

from tqdm import tqdm

from stages import cli, models, params
from stages.openpose.errors import InputError
from stages.openpose.fetch.delivery import deliver, needed_bytes, plan
from stages.openpose.fetch.named import NamedModel, copy_model
from stages.openpose.fetch.sources import parse_sources
from stages.openpose.fetch.transfer import Patience


def download(arguments: argparse.Namespace) -> dict:
    """Bring everything that the sources file lists below `arguments.output`."""
    settings = params.load(arguments.params).download
    overrides = {
        name: str(value)
        for name in ("mirror", "have")
        if (value := getattr(arguments, name)) is not None
    }
    settings = replace(settings, **overrides)
    sources = Path(settings.sources)
    entries = parse_sources(params.read_yaml(sources), str(sources))
    listed = {entry.name for entry in entries if entry.group == "weights"}
    named_models = _named_models(set(settings.weights) - listed, str(sources))
    wanted_entries = [
        entry for entry in entries if entry.group != "weights" or entry.name in settings.weights
    ]
    items = plan(wanted_entries, settings, sources)
    patience = Patience(settings.retries, settings.timeout_s)
    folders = {model.name: models.ready(model, patience, settings.mirror) for model in named_models}
    lock = Lock()
    with tqdm(
        total=needed_bytes(items),
        desc="download",
        unit="B",
        unit_scale=True,
        mininterval=1 if sys.stderr.isatty() else 10,
    ) as bar:

        def advance(count: int) -> None:
            with lock:
                bar.update(count)

        deliveries = deliver(items, arguments.output, settings, advance)
    for model in named_models:
        copy_model(model, folders[model.name], arguments.output / "weights" / model.name)
        deliveries[f"weights.{model.name}"] = f"copy of {folders[model.name]}"
    for key, how in deliveries.items():
        print(f"{key}: {how}")
    return {"bytes": needed_bytes(items)}


def _named_models(names: set[str], sources: str) -> list[NamedModel]:
    """The networks of the table (stages/models.py) that have these names."""
    table = models.table()
    unknown = sorted(names - set(table))
    if unknown:
        raise InputError(
            f"download.weights: neither {sources} nor the table of models lists "
            f"{', '.join(unknown)}; see python -m stages.models list"
        )
    return [table[name] for name in sorted(names)]


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the data set, data/<name>"
    )
    parser.add_argument(
        "--mirror", help="instead of download.mirror: URL prefix or folder to take files from"
    )
    parser.add_argument(
        "--have", help="instead of download.have: folder that already holds the archives or images"
    )
    cli.run(download, parser.parse_args())


if __name__ == "__main__":
    main()
