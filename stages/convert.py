"""Turn the export of an annotation tool into what download.root of preset own_data takes.

    python -m stages.convert cvat annotations.xml --images photographs --output mydata
    python -m stages.convert yolo-pose dataset.zip --output mydata

Formats: cvat (CVAT for images 1.1), coco (COCO keypoints as CVAT and others export them),
label-studio (JSON), labelme (a JSON an image), yolo-pose (data.yaml, images, labels), deeplabcut
(CollectedData_*.csv), sleap (.slp; needs pip install sleap-io). An INPUT is a file, a folder or a
zip. Writes annotations/*.json and images/ (hard links where it can be, copies else). What is left
out, guessed or derived is counted and printed. Nothing of yours is changed.
"""

import argparse
import re
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import yaml
from tqdm import tqdm

from stages import cli
from stages.openpose.coco.findings import Findings
from stages.openpose.coco.image_files import ImageArchive, open_images
from stages.openpose.convert import images as image_files
from stages.openpose.convert import sources
from stages.openpose.convert.fields import split_of
from stages.openpose.convert.labelled import (
    PERSON,
    Body,
    LabelledImage,
    Wanted,
    merged,
    to_coco,
)
from stages.openpose.errors import InputError
from stages.openpose.files import whole_folder

ONE_FILE = "person_keypoints"  # its name where there are no splits; own_data looks for it
Placed = tuple[LabelledImage, ImageArchive, str]  # the image, where it lies


def convert(arguments: argparse.Namespace) -> dict:
    """Read all inputs, then write the folder, whole or not at all."""
    _check_options(arguments)
    wanted = Wanted(tuple(arguments.keypoints or ()), arguments.category)
    counted = Findings(Path(", ".join(map(str, arguments.inputs))), strict=True)
    bodies: list[Body] = []
    placed: list[Placed] = []
    with ExitStack() as stack:
        for number, path in enumerate(arguments.inputs):
            findings = Findings(path)
            folder = f"{number}_{path.stem}" if len(arguments.inputs) > 1 else ""
            try:
                found, images = _read(arguments, path, folder, wanted, findings, stack)
            except InputError as problem:
                named = str(path) in str(problem)
                raise problem if named else InputError(f"{path}: {problem}") from None
            findings.check()
            bodies += found
            placed += images
            counted.derived.update(findings.derived)
        splits = _by_split(placed)
        body_list = merged(bodies, counted)
        contents = {
            name: to_coco([image for image, *_ in split], body_list, counted)
            for name, split in splits.items()
        }
        if not any(one["num_keypoints"] for c in contents.values() for one in c["annotations"]):
            raise InputError(f"{counted.path}: no labelled keypoint: nothing to learn from")
        exif = image_files.exif_setting(counted)
        with whole_folder(arguments.output) as temporary:
            _write(temporary, contents, placed)
    print(_summary(contents, counted.derived))
    print(f"next: {_next_command(arguments.output, list(contents), exif)}")
    return {name: len(content["annotations"]) for name, content in contents.items()}


def _check_options(arguments: argparse.Namespace) -> None:
    output, known = arguments.output, sources.OPTIONS.get(arguments.format, ())
    for name in ("keypoints", "category"):
        if getattr(arguments, name) and name not in known:
            raise InputError(f"--{name}: format {arguments.format} says it itself; leave it out")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(
            f"--output {output}: expected a new or empty folder, found files; nothing of yours is "
            f"overwritten: name another one"
        )
    for path in arguments.inputs:
        if path.is_dir() and output.resolve().is_relative_to(path.resolve()):
            raise InputError(f"--output {output}: lies inside the input {path}; name another one")


def _read(
    arguments: argparse.Namespace,
    path: Path,
    folder: str,
    wanted: Wanted,
    findings: Findings,
    stack: ExitStack,
) -> tuple[list[Body], list[Placed]]:
    """Bodies and images of one input; the images called as they are to be in `folder`."""
    source = sources.opened(path, arguments.format)
    archive = source.archive
    stack.enter_context(archive)
    if arguments.images:
        archive = open_images(arguments.images)
        stack.enter_context(archive)
    export = sources.read(arguments.format, source, wanted, findings)
    findings.check()
    bar = tqdm(export.images, desc=f"images of {path.name}", unit="image", delay=2,
               mininterval=0.5 if sys.stderr.isatty() else 10)  # fmt: skip
    settled = [image_files.settled(image, archive, findings) for image in bar]
    found = [one for one in settled if one]
    names = image_files.final_names(found, findings)
    return export.bodies, [
        (replace(image, name=f"{folder}/{name}" if folder else name), archive, place)
        for (image, place), name in zip(found, names, strict=True)
    ]


def _by_split(placed: list[Placed]) -> dict[str, list[Placed]]:
    """Images by the name of their annotation file."""
    splits: dict[str, list[Placed]] = {}
    for one in placed:
        name = split_of(one[0].split) or re.sub(r"[^\w-]+", "_", one[0].split)
        splits.setdefault(name or "default", []).append(one)
    return splits if len(splits) > 1 else {ONE_FILE: placed}


def _write(folder: Path, contents: dict[str, Any], placed: list[Placed]) -> None:
    (folder / "annotations").mkdir()
    for name, content in contents.items():
        (folder / "annotations" / f"{name}.json").write_bytes(orjson.dumps(content))
    for image, archive, place in tqdm(placed, desc="write images", unit="image", delay=2):
        image_files.place(image, archive, place, folder / "images" / image.name)
    if len(contents) > 1:
        (folder / "sources.yaml").write_text(yaml.safe_dump(_sources(list(contents))))


def _sources(splits: list[str]) -> dict[str, Any]:
    """The sources file: a set for each split; those that must be are train and val."""
    train = "train" if "train" in splits else splits[0]
    val = next((name for name in ("val", "test") if name in splits), train)
    sets = {name: name for name in splits} | {"train": train, "val": val}
    return {
        "archives": {name: {"folder": "images"} for name in sets},
        "annotations": {name: {"url": f"annotations/{file}.json"} for name, file in sets.items()},
    }


def _summary(contents: dict[str, Any], derived: Counter[str]) -> str:
    lines = []
    for name, content in contents.items():
        seen = Counter(v for one in content["annotations"] for v in one["keypoints"][2::3])
        empty = len(content["images"]) - len({one["image_id"] for one in content["annotations"]})
        lines.append(
            f"{name}: {len(content['images'])} images ({empty} without people), "
            f"{len(content['annotations'])} people, {seen[1] + seen[2]} keypoints "
            f"({seen[1]} hidden)"
        )
    for body in next(iter(contents.values()))["categories"]:
        lines.append(
            f"category {body['name']}: {len(body['keypoints'])} keypoints "
            f"({', '.join(body['keypoints'])}), {len(body['skeleton'])} edges"
        )
    lines += [f"  {count} x {what}" for what, count in sorted(derived.items()) if count]
    return "\n".join(lines)


def _next_command(output: Path, splits: list[str], exif: str) -> str:
    root = output.resolve()
    settings = [f"download.root={root}"]
    if len(splits) > 1:
        settings.append(f"download.sources={root / 'sources.yaml'}")
    if exif == image_files.UPRIGHT:
        settings.append(f"inspect_data.exif={exif}")
    return "python -m stages.params use own_data" + "".join(f" --set {one}" for one in settings)


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("format", choices=list(sources.READERS), help="what the tool wrote")
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="file, folder or zip of the export"
    )
    parser.add_argument(
        "--images", type=Path, help="folder or zip of the images, where the export has none"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write; it must be new or empty"
    )
    parser.add_argument(
        "--keypoints", nargs="+", metavar="NAME",
        help="names of the keypoints in their order, where the export does not say them or it",
    )  # fmt: skip
    parser.add_argument(
        "--category", default="", help=f"what has keypoints, where unsaid; default: {PERSON}"
    )
    cli.run(convert, parser.parse_args())


if __name__ == "__main__":
    main()
