"""Take in a network that was trained elsewhere: check its files, describe it, try it on a grey
image.

    python -m stages.import_model --name real_net --output models/real_net

Settings: the entry of that name in section `models` of params.yaml. Writes model.yaml and copies of
the files; an entry that is a name stands for what stage download brought under this name
(download.weights) into the folder --weights. Of a Caffe model, the weights are written as those of
network `full`; of an OpenVINO model with `network`, as those of that one.
"""

import argparse
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stages import cli, params
from stages.openpose.errors import InputError
from stages.openpose.files import file_digest, refuse_disguise, whole_folder
from stages.openpose.network.backend import load_quietly, use_backend
from stages.openpose.network.forward import (
    KERAS_WEIGHTS,
    brought_folder,
    load_forward,
    read_model,
)

MAIN_FILE = {"openvino": ".xml", "onnx": ".onnx", "keras": ".h5", "caffe": ".caffemodel"}
MD5_DIGITS = 32
STRUCTURE_BYTES = 2_000_000  # what HDF5 adds at most, to hundreds of small arrays
NOT_DESCRIBED = ("folder", "files")  # the model folder does not depend on where the files came from
# what networks of ours know of themselves
OF_A_FILE_THAT_RUNS = ("layout", "colour", "mean", "scale", "heatmaps", "pafs")


def import_model(arguments: argparse.Namespace) -> dict:
    """Make the model folder of the network called `arguments.name`."""
    settings = params.load(arguments.params)
    if arguments.name not in settings.models:
        names = ", ".join(settings.models) or "none"
        raise InputError(
            f"--name {arguments.name}: no such entry in section `models` of {arguments.params}; "
            f"there: {names}"
        )
    model, key = settings.models[arguments.name], f"models.{arguments.name}.files"
    if isinstance(model, str):
        model = brought(model, arguments.weights, f"models.{arguments.name}")
    return take_in(model, key, arguments.output, settings)


def brought(name: str, weights: Path | None, key: str) -> dict[str, Any]:
    """The network `name` that stage download brought, described as in section `models`."""
    folder = brought_folder(name, weights, key)
    model = read_model(folder)
    kind = next(kind for kind, suffix in MAIN_FILE.items() if model["file"].endswith(suffix))
    kept = {name: model[name] for name in ("network", "name", "trained_on", "licence")}
    return kept | {"kind": kind, "folder": folder, "files": model["sha256"]}


def take_in(model: dict[str, Any], key: str, output: Path, settings: params.Params) -> dict:
    """Make the model folder `output` of a network described as in section `models`; `key` names its
    files in errors.
    """
    use_backend(settings.train.backend)
    with whole_folder(output) as temporary:
        try:
            _take(model, key, temporary)
            forward = load_forward(temporary)
            forward(np.full((1, 64, 72, 3), 128, np.uint8))
        except InputError as problem:  # names files of the folder that it was to become
            raise InputError(str(problem).replace(str(temporary), str(output))) from None
    return {"bytes": sum(file.stat().st_size for file in output.iterdir())}


def _take(model: dict[str, Any], key: str, target: Path) -> None:
    """Copy or convert the files, hashes checked first, and write model.yaml."""
    kind = model["kind"]
    main = [name for name in model["files"] if name.endswith(MAIN_FILE[kind])]
    if len(main) != 1:
        raise InputError(
            f"`{key}`: expected one {MAIN_FILE[kind]} file for kind {kind}, found {main or 'none'}"
        )
    sources = {name: Path(model["folder"]) / name for name in model["files"]}
    network = "full" if kind == "caffe" else model.get("network")  # of ours, for the weights
    left_out = (*NOT_DESCRIBED, *OF_A_FILE_THAT_RUNS) if network else NOT_DESCRIBED
    described = {name: value for name, value in model.items() if name not in left_out} | {
        "file": KERAS_WEIGHTS if network else main[0],
        "sha256": {
            name: _verified(source, model["files"][name], key) for name, source in sources.items()
        },
        "imported": True,
        "trained_on": model.get("trained_on", "unknown"),
    }
    if network and kind != "keras":
        load_quietly()
        # here, because the backend is chosen by then
        from stages.openpose.network.weights import convert_weights

        _require_room(target, list(sources.values()))
        convert_weights(sources[main[0]], network, target / KERAS_WEIGHTS)
        described |= {"kind": "keras", "network": network}
    else:
        for name, source in sources.items():
            shutil.copyfile(source, target / (described["file"] if name == main[0] else name))
    (target / "model.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


def _require_room(target: Path, sources: list[Path]) -> None:
    """Raise OSError where weights as float32 may not fit: HDF5 ends the process on a full disk."""
    stored = sum(source.stat().st_size for source in sources)
    halves = any(source.suffix == MAIN_FILE["openvino"] for source in sources)  # may be float16
    needed = stored * (2 if halves else 1) + STRUCTURE_BYTES
    if (free := shutil.disk_usage(target).free) < needed:
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {needed:,} bytes needed, {free:,} free"
        )


def _verified(source: Path, expected: str, key: str) -> str:
    """The sha256 of a file whose sha256 or (32 digits) md5 is the expected one; nothing is expected
    of "".
    """
    if not source.is_file():
        raise InputError(
            f"{source}: no such file, though `{key}` names it; correct the folder or fetch the file"
        )
    refuse_disguise(source)
    hash_name = "md5" if len(expected) == MD5_DIGITS else "sha256"
    digests = {kind: file_digest(source, kind) for kind in {hash_name, "sha256"}}
    if expected and digests[hash_name] != expected.lower():
        raise InputError(
            f"{source}: expected {hash_name} {expected} (`{key}`), found {digests[hash_name]}; "
            f"fetch the file again"
        )
    return digests["sha256"]


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--name", required=True, help="name of the network in section models of params.yaml"
    )
    parser.add_argument(
        "--weights", type=Path, help="folder of what download.weights brought, data/<name>/weights"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write, models/<name>")
    cli.run(import_model, parser.parse_args())


if __name__ == "__main__":
    main()
