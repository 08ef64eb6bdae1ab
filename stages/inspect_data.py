"""Look a data set over before anything costs time: annotations and images are read once, put right
where that is harmless, refused where they cannot be right.

    python -m stages.inspect_data --data data/sample --output data/sample/inspected
    python -m stages.inspect_data --annotations mine.json --images FOLDER_OR_ZIP --output DIR

Writes annotations/*.json, which all later stages read; body/skeleton.json and pose_prior.csv: the
body whose keypoints they label; health/health.txt and health.json: what was derived and what is
suspicious; health/same.json: photographs in train and in val, whatever their ids. Settings:
sections `inspect_data` and `skeleton` of params.yaml. Threads: OMP_NUM_THREADS, else the processors
of this process.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tqdm import tqdm

from stages import cli, layout, params
from stages.openpose.coco import image_files
from stages.openpose.coco.body import Given, places_of
from stages.openpose.coco.categories import Wanted, plain
from stages.openpose.coco.pose_prior import fit_where_it_tells, write_prior
from stages.openpose.coco.splits import SamePhotographs
from stages.openpose.errors import InputError
from stages.openpose.files import whole_folder
from stages.openpose.health import fingerprints, report
from stages.openpose.health.inspection import Inspected, inspect
from stages.openpose.skeleton import COCO, to_dict

TRAIN, VAL = "train", "val"


def inspect_data(arguments: argparse.Namespace) -> dict:
    """Inspect every annotation file of the data set with its images."""
    settings = params.load(arguments.params)
    wanted, given = body_settings(settings.skeleton)
    sets: dict[str, Inspected] = {}
    looks: dict[str, dict] = {}
    with whole_folder(arguments.output) as folder:
        (folder / "annotations").mkdir()
        (folder / "health").mkdir()
        for name, annotations, images in _inputs(arguments):
            with image_files.open_images(images) as archive:
                known = looks.setdefault(os.path.realpath(archive.path), {})
                output = folder / "annotations" / f"{name}.json"
                bar = partial(_bar, f"inspect {name}")
                sets[name] = inspect(
                    annotations,
                    archive,
                    output,
                    exif=settings.inspect_data.exif,
                    wanted=wanted,
                    given=given,
                    body=next((one.body for one in sets.values()), None),
                    progress=bar,
                    known=known,
                )
            wanted = replace(wanted, keypoints=sets[name].body.skeleton.keypoints)
        same = _same(sets)
        health = report.to_json(sets, _summary(same.train_val))
        text = report.to_text(health)
        print(text)
        _check(sets, health, settings.inspect_data.suspicious)
        (folder / "body").mkdir()
        _write_body(folder / "body", next(iter(sets.values())))
        (folder / "health" / "health.txt").write_text(text + "\n", encoding="utf-8")
        for name, values in (("health", health), ("same", vars(same))):
            (folder / "health" / f"{name}.json").write_bytes(
                orjson.dumps(values, option=orjson.OPT_INDENT_2) + b"\n"
            )
    return {name: one.counts for name, one in sets.items()}


def body_settings(settings: params.Skeleton) -> tuple[Wanted, Given]:
    """What the section `skeleton` says of the body."""
    names = tuple(map(plain, settings.keypoints))
    edges, mirror = (
        [(plain(a), plain(b)) for a, b in pairs] for pairs in (settings.edges, settings.mirror)
    )
    derived = {plain(part): (plain(a), plain(b)) for part, a, b in settings.derived}
    return Wanted(names, settings.category), Given(edges, mirror, settings.sigmas, derived)


def _inputs(arguments: argparse.Namespace) -> list[tuple[str, Path, Path]]:
    """Name, annotation file and images of each set; train, which decides the body, first."""
    if arguments.annotations and arguments.images:
        return [(arguments.annotations.stem, arguments.annotations, arguments.images)]
    if not arguments.data:
        raise InputError(
            "expected --data FOLDER of a data set, or --annotations FILE and --images "
            "FOLDER_OR_ZIP; found neither"
        )
    files = sorted(
        (arguments.data / "annotations").glob("*.json"), key=lambda file: (file.stem != TRAIN, file)
    )
    if not files:
        raise InputError(
            f"{arguments.data / 'annotations'}: no annotation file; run the stage download first"
        )
    archives = arguments.data / "archives"
    return [(file.stem, file, image_files.find_images(archives, file.stem)) for file in files]


def _bar(title: str, looks: Any) -> tqdm:
    return tqdm(
        looks,
        desc=title,
        unit="image",
        delay=2,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    )


def _same(sets: dict[str, Inspected]) -> SamePhotographs:
    """The same photographs in train and val, and twice in val."""
    train, val = sets.get(TRAIN), sets.get(VAL)
    if not (train and val) or train.fingerprints is None or val.fingerprints is None:
        return SamePhotographs([], [])
    in_train = fingerprints.pairs(val.fingerprints, train.fingerprints)[:, ::-1]
    in_val = fingerprints.pairs(val.fingerprints, val.fingerprints)
    return SamePhotographs(
        _ids(train, val, in_train), _ids(val, val, in_val[in_val[:, 0] != in_val[:, 1]])
    )


def _ids(one: Inspected, other: Inspected, rows: np.ndarray) -> list[list[int]]:
    return np.stack([one.images.ids[rows[:, 0]], other.images.ids[rows[:, 1]]], axis=1).tolist()


def _summary(shared: Sequence[Sequence[int]]) -> dict[str, Any]:
    return {
        "train_images": len({train for train, _ in shared}),
        "val_images": len({val for _, val in shared}),
        "pairs": shared[:20],
    }


def _write_body(folder: Path, one: Inspected) -> None:
    """The skeleton, and what such bodies usually look like; of COCO's the decoder knows that."""
    skeleton = one.body.skeleton
    text = orjson.dumps(to_dict(skeleton), option=orjson.OPT_INDENT_2)
    (folder / layout.SKELETON).write_bytes(text + b"\n")
    prior = None
    if skeleton != COCO:
        places = places_of(one.people, skeleton)
        prior = fit_where_it_tells(places.xy, places.known)
    write_prior(prior, skeleton, folder / layout.PRIOR)


def _check(sets: dict[str, Inspected], health: dict[str, Any], suspicious: str) -> None:
    """Raise InputError where something was refused; where asked, also where it is suspicious."""
    for name, one in sets.items():
        one.findings.check()
        if name == TRAIN and not len(one.people):
            raise InputError(
                f"{one.images.path}: no person with a labelled keypoint: nothing to learn from; "
                f"expected a person_keypoints file, not an instances file"
            )
    kinds = report.suspicious_kinds(health)
    if kinds and suspicious == "fail":
        raise InputError(
            f"suspicious data (inspect_data.suspicious: fail): {'; '.join(kinds)}; correct them, "
            f"or set it to report"
        )


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data set, data/<name>")
    parser.add_argument("--annotations", type=Path, help="instead of it: one annotation file")
    parser.add_argument("--images", type=Path, help="and its images: folder, zip or .folder file")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    cli.run(inspect_data, parser.parse_args())


if __name__ == "__main__":
    main()
