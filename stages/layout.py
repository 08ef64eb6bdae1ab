"""Which images a command line is to look at: explicit paths, or a data set laid out by the stage
download.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from stages.openpose.coco.annotations import Images, read_images, read_people
from stages.openpose.coco.body import derive
from stages.openpose.coco.splits import SamePhotographs
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO, Skeleton, from_dict

WHOLE_SET = "val"
SKELETON, PRIOR = "skeleton.json", "pose_prior.csv"  # below inspected/body


@dataclass(frozen=True)
class Split:
    """Annotations, the rows of their images that belong to the split, ascending by id, and the body
    that is labelled.
    """

    images: Images
    rows: np.ndarray
    skeleton: Skeleton

    @property
    def ids(self) -> list[int]:
        """Image ids, ascending."""
        return self.images.ids[self.rows].tolist()


def add_split_arguments(parser: argparse.ArgumentParser) -> None:
    """Options `--data` and `--split`, or instead of them `--annotations` and `--ids`."""
    parser.add_argument(
        "--data", type=Path, help="folder of a data set, data/<name>; stands for the paths below"
    )
    parser.add_argument(
        "--split",
        default=WHOLE_SET,
        help=f"with --data: {WHOLE_SET} (all images), another file of its folder annotations, or "
        f"a list of folder ids",
    )
    parser.add_argument("--annotations", type=Path, help="COCO keypoint annotations")
    parser.add_argument(
        "--ids", type=Path, help="image ids to take, one a line; all images without it"
    )


def read_split(arguments: argparse.Namespace) -> Split:
    """The images that the options of `add_split_arguments` name.

    Raises:
        InputError: neither --data nor --annotations; a file that is missing or damaged; ids that
            are not annotated.
    """
    ids = arguments.ids
    if ids is None and arguments.data and arguments.split != image_set(arguments):
        ids = arguments.data / "ids" / f"{arguments.split}.txt"
    images = read_images(annotations_path(arguments))
    rows = np.arange(len(images)) if ids is None else _rows(images, ids)
    return Split(images, rows, read_skeleton(arguments.data, images))


def image_set(arguments: argparse.Namespace) -> str:
    """Name of the archive and of the annotations below --data: the split's own (val, test-dev),
    else val's.
    """
    own = (annotations_folder(arguments.data) / f"{arguments.split}.json").exists()
    return arguments.split if own else WHOLE_SET


def annotations_folder(data: Path) -> Path:
    """Annotations of a data set as the stage inspect_data left them, or before that as they came:
    both are read by the same rules.
    """
    inspected = data / "inspected" / "annotations"
    return inspected if inspected.is_dir() else data / "annotations"


def read_skeleton(data: Path | None, images: Images) -> Skeleton:
    """The body of a data set as the stage inspect_data left it; where that did not run, what its
    images' annotations say of it.
    """
    path = data / "inspected" / "body" / SKELETON if data else None
    if path and path.exists():
        return from_dict(orjson.loads(path.read_bytes()))
    keypoints, edges = images.categories.keypoints, images.categories.edges
    if keypoints == COCO.keypoints:
        return COCO
    return derive(keypoints, edges, read_people(images.path, images)).skeleton


def check_same_body(what: Path, found: Skeleton, labelled: Skeleton) -> None:
    """Raise InputError where a model, of which `what` is, finds other keypoints than are
    labelled.
    """
    if found.keypoints != labelled.keypoints:
        raise InputError(
            f"{what}: the model finds {len(found.keypoints)} keypoints "
            f"({', '.join(found.keypoints[:4])} ...), the data set has {len(labelled.keypoints)} "
            f"({', '.join(labelled.keypoints[:4])} ...): it can't be evaluated there; take it out "
            f"of detect.models, or train one (stage train)"
        )


def same_photographs(data: Path | None) -> SamePhotographs | None:
    """Photographs that are in train and in val, as the stage inspect_data found them; None where it
    did not run.
    """
    path = data / "inspected" / "health" / "same.json" if data else None
    return SamePhotographs(**orjson.loads(path.read_bytes())) if path and path.exists() else None


def annotations_path(arguments: argparse.Namespace) -> Path:
    """The annotation file that the options of `add_split_arguments` name."""
    if arguments.annotations:
        return arguments.annotations
    if arguments.data:
        return annotations_folder(arguments.data) / f"{image_set(arguments)}.json"
    raise InputError("expected --annotations FILE, or --data FOLDER of a data set; found neither")


def _rows(images: Images, path: Path) -> np.ndarray:
    try:
        wanted = sorted(
            {
                images.inside_id(int(line))
                for line in path.read_text(encoding="utf-8").split("\n")
                if _is_id(line)
            }
        )
    except FileNotFoundError:
        raise InputError(f"{path}: no such id list; expected one image id a line") from None
    except ValueError as problem:
        raise InputError(f"{path}: expected one image id a line ({problem})") from None
    if not wanted:
        raise InputError(f"{path}: no image id in it; expected one a line")
    known = images.rows()
    unknown = [image_id for image_id in wanted if image_id not in known]
    if unknown:
        raise InputError(
            f"{path}: {len(unknown)} ids are not in {images.path}, the first: {unknown[:5]}"
        )
    return np.array([known[image_id] for image_id in wanted])


def _is_id(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
