"""Take in a network that was trained elsewhere: check its files, describe it, try it on a grey picture.

    python -m stages.import_model --name real_net --output models/real_net

Settings: the entry of that name in section `models` of params.yaml. Writes model.yaml and copies of the files.
"""

import argparse
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stages import cli, params
from stages.networks import load_network
from stages.openpose.errors import InputError
from stages.openpose.files import whole_folder
from stages.openpose.forward import KERAS_WEIGHTS

MAIN_FILE = {"openvino": ".xml", "onnx": ".onnx", "keras": ".h5"}
NOT_DESCRIBED = ("folder", "files")  # the model folder does not depend on where the files came from


def import_model(arguments: argparse.Namespace) -> dict:
    """Make the model folder of the network called `arguments.name`."""
    settings = params.load(arguments.params)
    if arguments.name not in settings.models:
        known = ", ".join(settings.models) or "none"
        raise InputError(
            f"--name {arguments.name}: no such entry in section `models` of {arguments.params}; there: {known}"
        )
    model = settings.models[arguments.name]
    with whole_folder(arguments.output) as part:
        _take(model, part, f"models.{arguments.name}")
        forward = load_network(part, settings)
        forward(np.full((1, 64, 72, 3), 128, np.uint8))
    return {"bytes": sum(file.stat().st_size for file in arguments.output.iterdir())}


def _take(model: dict[str, Any], target: Path, key: str) -> None:
    """Copy the files, hashes checked on the way, and write model.yaml."""
    suffix = MAIN_FILE[model["kind"]]
    main = [name for name in model["files"] if name.endswith(suffix)]
    if len(main) != 1:
        raise InputError(f"`{key}.files`: expected one {suffix} file for kind {model['kind']}, found {main or 'none'}")
    for name, sha256 in model["files"].items():
        source = Path(model["folder"]) / name
        if not source.is_file():
            raise InputError(
                f"{source}: no such file; `{key}.folder` must name the folder of {', '.join(model['files'])}"
            )
        copy = target / (KERAS_WEIGHTS if model["kind"] == "keras" and name == main[0] else name)
        shutil.copyfile(source, copy)
        with open(copy, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise InputError(f"{source}: expected sha256 {sha256} (`{key}.files`), found {found}; fetch the file again")
    described = {name: value for name, value in model.items() if name not in NOT_DESCRIBED}
    file = KERAS_WEIGHTS if model["kind"] == "keras" else main[0]
    described |= {
        "file": file,
        "sha256": model["files"],
        "imported": True,
        "trained_on": model.get("trained_on", "unknown"),
    }
    (target / "model.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--name", required=True, help="name of the network in section models of params.yaml")
    parser.add_argument("--output", type=Path, required=True, help="folder to write, models/<name>")
    cli.run(import_model, parser.parse_args())


if __name__ == "__main__":
    main()
