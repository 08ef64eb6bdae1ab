"""What was found, written while it is found: drawings and films, people.json, COCO results,
OpenPose's JSON, CSV. Memory does not grow with the number of images.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import orjson

from stages.openpose.errors import InputError
from stages.openpose.files import whole_file
from stages.openpose.predicting.films import FilmWriter, Frame
from stages.openpose.predicting.found import FoundPeople
from stages.openpose.predicting.inputs import IMAGE, Source
from stages.openpose.skeleton import Skeleton

DRAW, PEOPLE, COCO_RESULTS, OPENPOSE, CSV = FORMS = ("draw", "people", "coco", "openpose", "csv")
JPEG_QUALITY = 92
COLUMNS = (
    "image",
    "frame",
    "time_s",
    "person",
    "id",
    "person_score",
    "keypoint",
    "x",
    "y",
    "score",
)


@dataclass(frozen=True)
class Looked:
    """One image or frame and the people in it; pixels uint8 [H, W, 3] BGR; frame None for
    images.
    """

    source: Source
    frame: Frame | None
    pixels: np.ndarray
    people: FoundPeople

    @property
    def about(self) -> dict:
        """Where it comes from, for lists."""
        where: dict = {"image": self.source.label}
        if self.frame is not None:
            where |= {"frame": self.frame.index, "time_s": round(self.frame.time_s, 4)}
        return where


def drawing_path(source: Source, output: Path) -> Path:
    """Where the drawing of an image or a film goes."""
    return _beside(source, output, ".jpg" if source.kind == IMAGE else ".mp4")


def maps_path(source: Source, output: Path) -> Path:
    """Where the drawing of an image's maps goes."""
    return _beside(source, output, ".maps.jpg")


def _beside(source: Source, output: Path, suffix: str) -> Path:
    return output / source.name.with_name(source.name.name + suffix)


def refuse_overwriting(sources: Sequence[Source], output: Path, *, maps: bool) -> None:
    """Raise InputError where a drawing would replace something that is read, or --output is a
    file.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output}: is a file; name a folder")
    read = {source.path.resolve() for source in sources}
    for source in sources:
        for place in (drawing_path(source, output), maps_path(source, output))[: 1 + maps]:
            if place.resolve() in read:
                raise InputError(
                    f"--output {output}: the drawing of {source.path} would replace {place}, which "
                    f"is one of the images; name another folder"
                )


def image_ids(sources: Sequence[Source]) -> Iterator[int]:
    """Ids of images in the order of looking: the numbers that end their names where all have one
    and no two the same (COCO's names do), else 1, 2, 3 ...
    """
    numbers = [re.search(r"(\d+)$", source.path.stem) for source in sources]
    ids = [int(number[1]) for number in numbers if number]
    is_named = len(set(ids)) == len(sources) and all(s.kind == IMAGE for s in sources)
    return iter(ids) if is_named else iter(range(1, 2**53))


@contextmanager
def writers(
    forms: Sequence[str],
    output: Path,
    *,
    skeleton: Skeleton,
    min_score: float,
    rate_of: Callable[[Source], Fraction],
    ids: Callable[[Looked], int],
) -> Iterator[Callable[[Looked], None]]:
    """A function that writes what was found in all of `forms` (of FORMS) below `output`; lists are
    complete when the block has ended.

    Args:
        rate_of: frames a second that the drawn film of a source states.
        ids: COCO's id of an image or frame.
    """
    with ExitStack() as stack:
        adders: list[Callable[[Looked], None]] = []
        if DRAW in forms:
            adders.append(stack.enter_context(_Drawings(output, min_score, rate_of)).add)
        if PEOPLE in forms:
            names = orjson.dumps(skeleton.keypoints)
            head, tail = b'{"keypoints": ' + names + b', "images": [', b"]}\n"
            add_entry = stack.enter_context(_json_list(output / "people.json", head, tail))
            adders.append(lambda looked: add_entry([described(looked)]))
        if COCO_RESULTS in forms:
            results = stack.enter_context(_json_list(output / "coco.json"))
            images = stack.enter_context(_json_list(output / "coco_images.json"))
            adders.append(partial(_add_coco, results, images, ids))
        if OPENPOSE in forms:
            adders.append(partial(_write_openpose, output / "openpose"))
        if CSV in forms:
            adders.append(stack.enter_context(_table(output / "people.csv")))

        def write(looked: Looked) -> None:
            for add in adders:
                add(looked)

        yield write


class _Drawings:
    """Images as JPEG, the frames of a film as a film."""

    def __init__(
        self, output: Path, min_score: float, rate_of: Callable[[Source], Fraction]
    ) -> None:
        self.output, self.min_score, self.rate_of = output, min_score, rate_of
        self._source: Source | None = None
        self._film = ExitStack()

    def __enter__(self) -> "_Drawings":
        return self

    def add(self, looked: Looked) -> None:
        drawn = looked.people.draw_bgr(looked.pixels, self.min_score)
        if looked.frame is None:
            write_image(drawing_path(looked.source, self.output), drawn)
            return
        if looked.source != self._source:
            self._film.close()
            path, rate = drawing_path(looked.source, self.output), self.rate_of(looked.source)
            self._writer = self._film.enter_context(FilmWriter(path, rate))
            self._source = looked.source
        self._writer.write(drawn, looked.frame)

    def __exit__(self, *problem: object) -> None:
        self._film.close()


@contextmanager
def _json_list(
    path: Path, head: bytes = b"[", tail: bytes = b"]\n"
) -> Iterator[Callable[[list], None]]:
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        separator = b"\n"
        file.write(head)

        def add(values: list) -> None:
            nonlocal separator
            for value in values:
                file.write(separator + orjson.dumps(value))
                separator = b",\n"

        yield add
        file.write(b"\n" + tail)


def described(looked: Looked) -> dict:
    """One image's entry of people.json: keypoints are [x, y, score], null where not found."""
    height, width = looked.pixels.shape[:2]
    people = looked.people
    listed = [
        {
            "score": round(float(score), 4),
            "keypoints": [
                [round(x, 2), round(y, 2), round(found, 3)] if found > 0 else None
                for x, y, found in points.tolist()
            ],
        }
        for points, score in zip(people.keypoints, people.scores, strict=True)
    ]
    for person, person_id in zip(listed, [] if people.ids is None else people.ids, strict=False):
        person["id"] = int(person_id)
    probable = [] if people.probabilities is None else people.probabilities.tolist()
    for person, probability in zip(listed, probable, strict=False):
        person["probability"] = round(probability, 4)
    return looked.about | {"height": height, "width": width, "people": listed}


def _add_coco(results: Callable, images: Callable, ids: Callable, looked: Looked) -> None:
    image_id, (height, width) = ids(looked), looked.pixels.shape[:2]
    results(looked.people.to_coco(image_id))
    about = looked.about
    image = {"id": image_id, "file_name": about.pop("image"), "height": height, "width": width}
    images([image | about])


def _write_openpose(folder: Path, looked: Looked) -> None:
    """NAME_keypoints.json of an image, NAME_<frame, 12 digits>_keypoints.json of a frame."""
    frame = "" if looked.frame is None else f"_{looked.frame.index:012d}"
    name = f"{looked.source.name.name}{frame}_keypoints.json"
    with whole_file(folder / looked.source.name.with_name(name)) as temporary:
        temporary.write_bytes(orjson.dumps(looked.people.to_openpose()))


@contextmanager
def _table(path: Path) -> Iterator[Callable[[Looked], None]]:
    with (
        whole_file(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()

        def add(looked: Looked) -> None:
            table.writerows(looked.about | row for row in looked.people.rows())

        yield add


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a JPEG, uint8 [H, W, 3] BGR."""
    with whole_file(path) as temporary:
        temporary.write_bytes(
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        )
