"""The sample as files: COCO-like archives, annotations, an id list and the list of sources that
`download` reads.
"""

import hashlib
import json
import multiprocessing
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import yaml
from tqdm import tqdm

from stages.openpose.errors import InputError
from stages.synthetic import coco, render
from stages.synthetic.scene import draw_scene

SETS = ("train", "val")
CHUNK = 8  # images a worker draws before it hands them over


@dataclass(frozen=True)
class Task:
    """One image to draw: everything about it follows from these numbers."""

    seed: int
    set_index: int
    index: int


@dataclass(frozen=True)
class DrawnImage:
    """A drawn image: JPEG bytes, (height, width) and annotations without ids."""

    jpeg: bytes
    size: tuple[int, int]
    annotations: list[dict]


@cache
def _noise() -> np.ndarray:
    return render.noise_tile()


def draw(task: Task) -> DrawnImage:
    """Draw and annotate one image."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([task.seed, task.set_index, task.index])
    scene = draw_scene(rng, _noise())
    annotations = coco.annotate(scene, rng)
    quality = int(rng.integers(80, 93))
    image = np.ascontiguousarray(scene.image)
    jpeg = simplejpeg.encode_jpeg(image, quality, "BGR", colorsubsampling="420", fastdct=False)
    return DrawnImage(jpeg, image.shape[:2], annotations)


def draw_all(tasks: list[Task], workers: int) -> Iterator[DrawnImage]:
    """Draw `tasks` in order with this many processes; their number changes nothing but the time."""
    if workers == 1:
        yield from map(draw, tasks)
        return
    count = min(workers, -(-len(tasks) // CHUNK))
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered by the parent, in one line
    with multiprocessing.get_context("spawn").Pool(count, signal.signal, ignore) as pool:
        yield from pool.imap(draw, tasks, CHUNK)


def write_sample(
    folder: Path, *, seed: int, counts: dict[str, int], val1k_images: int, workers: int
) -> dict:
    """Write train.zip, val.zip, annotations.zip, val1k.txt and sources.yaml into the existing
    `folder`.

    `counts` gives the number of images of "train" and "val". Returns facts about what was drawn.
    InputError where the id list would be longer than the validation set.
    """
    if val1k_images > counts["val"]:
        raise InputError(
            f"sample.val1k_images: expected at most sample.val_images = {counts['val']}, found "
            f"{val1k_images}; "
            "draw more validation images or list fewer"
        )
    tasks = [Task(seed, s, i) for s, name in enumerate(SETS) for i in range(counts[name])]
    images = iter(
        tqdm(draw_all(tasks, workers), "drawing", len(tasks), unit=" images", mininterval=2.0)
    )
    documents = {name: _write_set(folder, name, seed, counts[name], images) for name in SETS}
    texts = {
        f"annotations/person_keypoints_{n}2014.json": json.dumps(d) for n, d in documents.items()
    }
    with zipfile.ZipFile(folder / "annotations.zip", "w", zipfile.ZIP_STORED) as archive:
        for member, text in texts.items():
            _add(archive, member, text.encode())
    ids = [image["id"] for image in documents["val"]["images"]]
    val1k_ids = np.random.default_rng([seed, len(SETS)]).permutation(ids)[:val1k_images]
    (folder / "val1k.txt").write_text("".join(f"{i}\n" for i in sorted(val1k_ids.tolist())))
    (folder / "sources.yaml").write_text(yaml.safe_dump(_sources(folder), sort_keys=False))
    return {name: count_people(document) for name, document in documents.items()}


def _write_set(
    folder: Path, name: str, seed: int, count: int, drawn_images: Iterator[DrawnImage]
) -> dict:
    image_ids = make_ids(seed, SETS.index(name), count)
    images, annotations = [], []
    next_id = np.random.default_rng([seed, SETS.index(name), 2**31])
    annotation_id = 183_000 + 1_000_000 * SETS.index(name)
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_STORED) as archive:
        for image_id, image in zip(image_ids, drawn_images, strict=False):
            file_name = f"COCO_{name}2014_{image_id:012d}.jpg"
            _add(archive, f"{name}2014/{file_name}", image.jpeg)
            images.append(_image(image_id, file_name, image.size))
            for annotation in image.annotations:
                annotation_id += int(next_id.integers(1, 90))
                annotations.append({**annotation, "image_id": image_id, "id": annotation_id})
    return coco.document(f"{name}2014", images, annotations)


def make_ids(seed: int, set_index: int, count: int) -> list[int]:
    """Ascending image ids with gaps; sets share none."""
    steps = np.random.default_rng([seed, set_index, 2**31 + 1]).integers(1, 9, count)
    return (9 + 3 * (np.cumsum(steps) - steps[0]) + set_index).tolist()


def _image(image_id: int, file_name: str, size: tuple[int, int]) -> dict:
    stamp = {"license": 1, "coco_url": "", "flickr_url": "", "date_captured": "2014-05-31 00:00:00"}
    return {"file_name": file_name, "height": size[0], "width": size[1], "id": image_id, **stamp}


def _add(archive: zipfile.ZipFile, member: str, content: bytes) -> None:
    """Add a member whose header is the same whenever and wherever it is written."""
    entry = zipfile.ZipInfo(member, (2014, 5, 31, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    archive.writestr(entry, content)


def _sources(folder: Path) -> dict:
    def file(name: str, **more: str) -> dict:
        content = (folder / name).read_bytes()
        return {"url": name, "bytes": len(content), "md5": hashlib.md5(content).hexdigest(), **more}

    member = "annotations/person_keypoints_{}2014.json"
    return {
        "archives": {name: file(f"{name}.zip") for name in SETS},
        "annotations": {name: file("annotations.zip", member=member.format(name)) for name in SETS},
        "ids": {"val1k": file("val1k.txt")},
    }


def count_people(document: dict) -> dict:
    """Counts of a COCO keypoint document that say what kind of challenge it is."""
    people = [a for a in document["annotations"] if not a["iscrowd"]]
    labelled = [a for a in people if a["num_keypoints"]]
    areas = np.array([a["area"] for a in labelled])
    visibility = np.array([a["keypoints"][2::3] for a in labelled]).reshape(-1)
    return {
        "images": len(document["images"]),
        "images_without_people": len(document["images"])
        - len({a["image_id"] for a in document["annotations"]}),
        "people": len(people),
        "people_labelled": len(labelled),
        "people_small": int((areas < 32**2).sum()),
        "people_medium": int(((areas >= 32**2) & (areas < 96**2)).sum()),
        "people_large": int((areas >= 96**2).sum()),
        "crowds": len(document["annotations"]) - len(people),
        "keypoints_visible": int((visibility == coco.VISIBLE).sum()),
        "keypoints_hidden": int((visibility == coco.HIDDEN).sum()),
        "keypoints_absent": int((visibility == coco.ABSENT).sum()),
    }
