"""Annotation files and archives of COCO 2014's counts and shapes, drawn by chance: for measuring,
not for learning.

Counts: 82,783 train and 40,504 val images, 45,174 and 21,634 of them with people; 185,316 and
88,153 people; crowd regions in 6 % of the images with people; about 117,576 training samples by the
reference's rule (docs/sources.md 3). An annotation takes about 1 kB, as those of COCO do. All
images of a size are one JPEG, which the archive's directory lists under many names.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from stages.openpose.inference.tta import OUTPUTS
from stages.openpose.skeleton import COCO

IMAGES = {"train": 82783, "val": 40504}
IMAGES_WITH_PEOPLE = {"train": 45174, "val": 21634}
PEOPLE = {"train": 185316, "val": 88153}
LABELLED_SHARE = 0.57
LARGE_SHARE = 0.885
CROWD_SHARE = 0.06
SIZES = ((480, 640), (640, 480), (427, 640), (640, 427))
CATEGORIES = '[{"supercategory": "person", "id": 1, "name": "person"}]'


def write_data(folder: Path, fraction: float, seed: int = 1) -> None:
    """Write `folder`/annotations/{train,val}.json and `folder`/archives/{train,val}.zip, a
    `fraction` of COCO.
    """
    for number, source in enumerate(IMAGES):
        rng = np.random.default_rng((seed, number))
        count = round(IMAGES[source] * fraction)
        # no id in both sets, as in COCO
        ids = rng.choice(581929, count, replace=False) * 2 + number
        sizes = np.array(SIZES)[rng.choice(len(SIZES), count, p=(0.5, 0.2, 0.2, 0.1))]
        names = [f"COCO_{source}2014_{image_id:012d}.jpg" for image_id in ids]
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        with open(folder / "annotations" / f"{source}.json", "w") as file:
            file.write('{"info": {"description": "shape of COCO 2014"}, "images": [')
            file.write(", ".join(_image(*image) for image in zip(ids, sizes, names, strict=True)))
            file.write('], "licenses": [], "annotations": [')
            file.writelines(_people(rng, source, fraction, ids, sizes))
            file.write(f'], "categories": {CATEGORIES}}}')
        write_archive(folder / "archives" / f"{source}.zip", names, sizes)


def _image(image_id: int, size: np.ndarray, name: str) -> str:
    return (
        f'{{"license": 3, "url": "http://farm9.example.org/8186/{image_id}_z.jpg", '
        f'"file_name": "{name}", '
        f'"height": {size[0]}, "width": {size[1]}, "date_captured": "2013-11-15 02:41:42", "id": '
        f"{image_id}}}"
    )


def _people(
    rng: np.random.Generator, source: str, fraction: float, ids: np.ndarray, sizes: np.ndarray
) -> Iterator[str]:
    """The annotations as JSON: people of all images in random order, then the crowds, as in COCO's
    files.
    """
    peopled = rng.permutation(len(ids))[: round(IMAGES_WITH_PEOPLE[source] * fraction)]
    total = round(PEOPLE[source] * fraction)
    crowd_images = peopled[rng.random(len(peopled)) < CROWD_SHARE]
    others = rng.choice(
        peopled, total - len(peopled) - len(crowd_images), p=_uneven(rng, len(peopled))
    )
    outline = _outlines()
    separator = ""
    for number, image in enumerate(rng.permutation(np.concatenate([peopled, others]))):
        yield separator + _person(
            rng, 10_000 + number, ids[image], sizes[image], outline[number % len(outline)]
        )
        separator = ", "
    regions = {size: _crowd_counts(size) for size in SIZES}
    for image in crowd_images:
        yield f"{separator}{_crowd(ids[image], sizes[image], regions)}"


def _uneven(rng: np.random.Generator, count: int) -> np.ndarray:
    """Some images hold many people, most only a few."""
    weights = rng.gamma(0.8, size=count)
    return weights / weights.sum()


def _outlines() -> list[np.ndarray]:
    """Closed curves in the unit square, float64 [45, 2], like the polygons of people."""
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 45, endpoint=False)
    radius = 0.35 + 0.15 * rng.random((64, 45, 1))
    return list(0.5 + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def _person(
    rng: np.random.Generator, number: int, image_id: int, size: np.ndarray, outline: np.ndarray
) -> str:
    height, width = size
    labelled = rng.random() < LABELLED_SHARE
    large = rng.random() < (LARGE_SHARE if labelled else 0.15)
    tall = rng.uniform(60, 0.9 * height) if large else rng.uniform(10, 40)
    box = np.array([0, 0, min(tall * rng.uniform(0.3, 0.7), width - 1), tall])
    box[:2] = rng.random(2) * ((width, height) - box[2:])
    labelled_keypoints = (
        0 if not labelled else int(rng.integers(5, 18)) if large else int(rng.integers(1, 5))
    )
    points = np.zeros((17, 3), int)
    points[:labelled_keypoints, :2] = box[:2] + rng.random((labelled_keypoints, 2)) * box[2:]
    points[:labelled_keypoints, 2] = rng.integers(1, 3, labelled_keypoints)
    polygon = ", ".join(f"{value:.2f}" for value in (box[:2] + outline * box[2:]).ravel().tolist())
    area = max(box[2] * box[3] * 0.7, 1100 if large else 0)
    return (
        f'{{"segmentation": [[{polygon}]], "num_keypoints": {labelled_keypoints}, '
        f'"area": {area:.4f}, "iscrowd": 0, '
        f'"keypoints": {points.ravel().tolist()}, "image_id": {image_id}, '
        f'"bbox": [{box[0]:.2f}, {box[1]:.2f}, {box[2]:.2f}, {box[3]:.2f}], "category_id": 1, '
        f'"id": {number}}}'
    )


def _crowd_counts(size: tuple[int, int]) -> list[int]:
    """Uncompressed run lengths of a ragged band across the image."""
    height, width = size
    runs = [0]
    for x in range(width):
        top = int(height * (0.3 + 0.1 * np.sin(x / 20)))
        inside = height // 4 if width // 4 < x < width // 2 else 0
        runs[-1] += top if inside else height
        if inside:
            runs += [inside, height - top - inside]
    return runs


def _crowd(image_id: int, size: np.ndarray, regions: dict[tuple[int, int], list[int]]) -> str:
    height, width = map(int, size)
    counts = regions[height, width]
    return (
        f'{{"segmentation": {{"counts": {counts}, "size": [{height}, {width}]}}, '
        f'"num_keypoints": 0, '
        f'"area": {sum(counts[1::2])}, "iscrowd": 1, "keypoints": {[0] * 51}, "image_id": '
        f"{image_id}, "
        f'"bbox": [{width // 4}, {height * 0.2:.1f}, {width // 4}, {height * 0.45:.1f}], '
        f'"category_id": 1, '
        f'"id": 900100{image_id:06d}}}'
    )


def write_archive(path: Path, names: list[str], sizes: np.ndarray) -> None:
    """Write an archive that lists one JPEG a size under all names, so that it stays small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        stored = {}
        for height, width in sorted(set(map(tuple, sizes.tolist()))):
            rows, columns = np.mgrid[:height, :width]
            image = np.stack(
                [rows // 3 % 256, columns // 3 % 256, (rows + columns) // 5 % 256], axis=2
            )
            data = cv2.imencode(".jpg", image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])[
                1
            ].tobytes()
            archive.writestr(f"{height}x{width}.jpg", data)
            stored[height, width] = archive.filelist[-1]
        for name, size in zip(names, sizes.tolist(), strict=True):
            original = stored[tuple(size)]
            entry = zipfile.ZipInfo(f"images/{name}")
            entry.header_offset, entry.CRC = original.header_offset, original.CRC
            entry.compress_size, entry.file_size = original.compress_size, original.file_size
            archive.filelist.append(entry)


def write_detections(annotations: Path, folder: Path, seed: int = 2) -> int:
    """Write `folder`/{single,multi,multi_flip,images}.json as stage detect would, of made-up
    people; how many a file.

    Four of five labelled people are found, their keypoints off by amounts around the OKS sigmas,
    every seventh missing; to each image comes on average half a person who is not there.
    """
    labelled = json.loads(annotations.read_bytes())
    ids = [image["id"] for image in labelled["images"]]
    folder.mkdir(parents=True, exist_ok=True)
    for number, inference in enumerate(OUTPUTS):
        rng = np.random.default_rng((seed, number))
        results = [
            _found(rng, person)
            for person in labelled["annotations"]
            if person["num_keypoints"] and rng.random() < 0.8
        ]
        for result, image in rng.integers(0, (len(results), len(ids)), (len(ids) // 2, 2)).tolist():
            results.append(_moved(rng, results[result]) | {"image_id": ids[image]})
        (folder / f"{inference}.json").write_text(json.dumps(results))
    (folder / "images.json").write_text(json.dumps(ids))
    return len(results)


def _found(rng: np.random.Generator, person: dict) -> dict:
    """A COCO result of one annotated person."""
    points = np.array(person["keypoints"], float).reshape(17, 3)
    off = rng.lognormal(-0.3, 0.8) * np.sqrt(person["area"]) * np.array(COCO.oks_sigmas)[:, None]
    points[:, :2] += rng.normal(size=(17, 2)) * off
    is_found = (points[:, 2] > 0) & (rng.random(17) > 1 / 7)
    xyv = np.where(is_found[:, None], np.column_stack([points[:, :2].round(2), np.full(17, 2)]), 0)
    score = round(float(rng.beta(4, 3)), 5)
    scores = np.where(is_found, rng.random(17).round(4), 0).tolist()
    result = {
        "image_id": person["image_id"],
        "category_id": 1,
        "keypoints": xyv.ravel().tolist(),
        "score": score,
    }
    return result | {"keypoint_scores": scores}


def _moved(rng: np.random.Generator, result: dict) -> dict:
    """The same person elsewhere, less sure."""
    points = np.array(result["keypoints"]).reshape(17, 3)
    points[:, :2] += rng.normal(scale=80, size=2) * (points[:, 2:] > 0)
    return result | {"keypoints": points.ravel().tolist(), "score": round(float(rng.beta(3, 5)), 5)}
