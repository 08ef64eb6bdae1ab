"""Networks that can be had by name (workflow/models.yaml): which there are, and their files.

    python -m stages.models list         names, AP, size, licence, and whether the files are here
    python -m stages.models fetch NAME   bring the files of one into the cache folder, verified

The cache folder is $OPENPOSE_MODELS, else openpose-pipeline/models below $XDG_CACHE_HOME or
~/.cache. In the pipeline only stage download fetches: list the name in download.weights.
"""

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from stages import params
from stages.openpose.errors import InputError
from stages.openpose.fetch.named import (
    NamedModel,
    cache_folder,
    describe,
    fetch_model,
    folder_of,
    missing_files,
    parse_models,
)
from stages.openpose.fetch.transfer import Patience

REPOSITORY = params.WORKFLOW.parent
TABLE = params.WORKFLOW / "models.yaml"
TIMED = "ms: one image of 368 x 496, one core of an AMD EPYC (AVX-512), float32 in Keras"
PATIENCE = Patience(retries=1, timeout_s=20)


def table() -> dict[str, NamedModel]:
    """All networks of the table by name."""
    return parse_models(params.read_yaml(TABLE), str(TABLE))


def place_of(model: NamedModel) -> Path:
    """The folder where the files of a network belong on this machine."""
    return folder_of(model, cache_folder(os.environ), REPOSITORY)


def ready(model: NamedModel, patience: Patience = PATIENCE, mirror: str = "") -> Path:
    """The model folder of a network: all files there and verified, those missing fetched.

    Raises:
        InputError: a file cannot be had or has a wrong hash; the message says what to put where.
    """
    folder = place_of(model)
    missing = missing_files(model, folder)
    if missing:
        total = sum(model.files[name].bytes or 0 for name in missing)
        with tqdm(total=total, desc=model.name, unit="B", unit_scale=True, delay=1) as bar:
            fetch_model(model, folder, patience, mirror=mirror, advance=bar.update)
    if not model.shipped:
        describe(model, folder)
    return folder


def folder_named(text: str) -> Path:
    """The model folder that a command line asks for, by a name of the table or by its path."""
    models = table()
    if text in models:
        return ready(models[text])
    if Path(text).is_file():
        raise InputError(f"--model {text}: is a file; name the folder that holds its model.yaml")
    if not Path(text).is_dir():
        known = ", ".join(models)
        raise InputError(f"{text}: no such folder, and no model of that name; names: {known}")
    return Path(text)


def listing() -> str:
    """The table as text, one network a line."""
    rows = [("name", "AP", "on", "MB", "ms", "licence", "files", "what")]
    for model in table().values():
        ap = f"{model.AP.value:.3f}" if model.AP else "-"
        images = model.AP.images if model.AP else "-"
        size = f"{model.bytes / 1e6:.1f}" if model.bytes else "-"
        milliseconds = str(model.milliseconds or "-")
        rows.append(
            (
                model.name,
                ap,
                images,
                size,
                milliseconds,
                model.licence,
                _whereabouts(model),
                model.about,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join([*lines, "", TIMED, f"cache folder: {cache_folder(os.environ)}"])


def _whereabouts(model: NamedModel) -> str:
    try:
        missing = missing_files(model, place_of(model))
    except InputError:
        return "wrong content"
    if model.shipped:
        return "missing" if missing else "in the repository"
    if not missing:
        return "in the cache"
    fetchable = all(model.files[name].url for name in missing)
    return "to be fetched" if fetchable else "to be supplied"


def main() -> None:
    """Command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="networks that can be had by name")
    commands.add_parser("fetch", help="bring the files of one").add_argument("name")
    arguments = parser.parse_args()
    try:
        if arguments.command == "list":
            print(listing())
        else:
            models = table()
            if arguments.name not in models:
                known = ", ".join(models)
                raise InputError(f"no model is called {arguments.name}; names: {known}")
            print(ready(models[arguments.name]))
    except (InputError, OSError) as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
