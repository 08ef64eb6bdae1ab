"""Images with the people who were labelled and those who were found, for readers to explore."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import orjson

from stages.openpose.coco.annotations import Images, People
from stages.openpose.coco.image_files import ImageArchive, decode_bgr
from stages.openpose.drawing import field_colours, heat_colours
from stages.openpose.errors import InputError
from stages.openpose.evaluation.scoring import Matches
from stages.openpose.report.blocks import GalleryImage, View, jpeg_uri
from stages.openpose.report.skeletons import IGNORED, RIGHT, WRONG, found_markup, labelled_markup
from stages.openpose.report.thresholds import OKS
from stages.openpose.skeleton import COCO, Skeleton

FRAME_HW_PX = (512, 640)
JPEG_QUALITY = 78


@dataclass(frozen=True)
class Found:
    """The people found in an image, best first.

    Attributes:
        keypoints: float64 [P, K, 3], x, y in pixels, third column 0 = not found.
        scores: float64 [P].
        kinds: P of RIGHT, WRONG, IGNORED; all IGNORED where nobody judged them.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    kinds: Sequence[str]


@dataclass(frozen=True)
class KeptMaps:
    """Small maps of an image, as the stage detect keeps them of some images.

    Attributes:
        heat: uint8 [h, w], largest heatmap, 255 = 1.
        field: int8 [h, w, 2], longest vector, 127 = 1.
        covered_px: float64 [2], (height, width) of the image that they cover.
    """

    heat: np.ndarray
    field: np.ndarray
    covered_px: np.ndarray


def choose(
    images: Images,
    people: People,
    count: int,
    candidates: Iterable[int],
    lost_oks: Mapping[int, float],
    matches: Matches | None = None,
) -> list[int]:
    """`count` rows of images among the ids `candidates`: a quarter each of those on which most and
    least OKS was lost (`lost_oks` by id) and of those with most wrong detections, the rest spread
    evenly over the images with people. Most OKS lost comes first.
    """
    row_of, candidates = images.rows(), set(candidates)
    by_loss = sorted(lost_oks, key=lambda image_id: -lost_oks[image_id])
    extremes = [by_loss, by_loss[::-1], _most_wrong(matches)]
    ids = [
        i for ranked in extremes for i in ranked[: count // 4] if i in candidates & row_of.keys()
    ]
    rows = list(dict.fromkeys(row_of[image_id] for image_id in ids))
    others = [
        row
        for row in np.unique(people.image).tolist()
        if int(images.ids[row]) in candidates and row not in rows
    ]
    places = np.linspace(0, len(others) - 1, min(count - len(rows), len(others)))
    rows += [others[place] for place in places.round().astype(int)]
    return sorted(rows, key=lambda row: (-lost_oks.get(int(images.ids[row]), 0.0), row))


def _most_wrong(matches: Matches | None) -> list[int]:
    """Ids of images with wrong detections, those with most of them first."""
    if matches is None:
        return []
    at = int(np.abs(matches.thresholds - OKS).argmin())
    wrong = matches.image[matches.counted[at] & ~matches.hit[at]]
    counts = np.bincount(wrong, minlength=len(matches.image_ids))
    order = np.argsort(-counts, kind="stable")
    return matches.image_ids[order[counts[order] > 0]].tolist()


def detections(
    folder: Path,
    inference: str,
    image_ids: Iterable[int],
    skeleton: Skeleton = COCO,
    matches: Matches | None = None,
) -> dict[int, Found]:
    """The people found in those images that the shards in `folder` hold.

    Guessed keypoints (third column 1) count as not found: what is drawn is what the network saw.

    Raises:
        InputError: `matches` are of other detections.
    """
    wanted_ids = set(image_ids)
    results_of: dict[int, list[dict]] = {}
    for shard in sorted(folder.iterdir()) if folder.is_dir() else ():
        results = shard / f"{inference}.json"
        if not results.exists() or not (shard / "images.json").exists():
            continue
        shard_ids = wanted_ids.intersection(orjson.loads((shard / "images.json").read_bytes()))
        if not shard_ids:
            continue
        results_of.update({image_id: [] for image_id in shard_ids})
        for result in orjson.loads(results.read_bytes()):
            if result["image_id"] in shard_ids:
                results_of[result["image_id"]].append(result)
    return {
        image_id: _found(image_id, results, len(skeleton.keypoints), matches, folder)
        for image_id, results in results_of.items()
    }


def _found(
    image_id: int, results: list[dict], keypoints: int, matches: Matches | None, folder: Path
) -> Found:
    best = sorted(results, key=lambda result: -result["score"])  # stable, as pycocotools sorts
    points = np.array([result["keypoints"] for result in best], np.float64)
    points = points.reshape(-1, keypoints, 3)
    scores = np.array([result["score"] for result in best], np.float64)
    kinds, judged_scores = _kinds(image_id, matches)
    if kinds and not np.array_equal(judged_scores, scores[: len(kinds)]):
        raise InputError(
            f"{folder}: image {image_id} has other detections than those that were evaluated; run "
            "the stage evaluate again"
        )
    kinds += [IGNORED] * (len(best) - len(kinds))  # pycocotools looks at the best 20 only
    return Found(points * (points[..., 2:] == 2), scores, kinds)


def _kinds(image_id: int, matches: Matches | None) -> tuple[list[str], np.ndarray]:
    """What became of the detections of an image, best first, and their scores."""
    if matches is None:
        return [], np.zeros(0)
    at = int(np.abs(matches.thresholds - OKS).argmin())
    own = np.flatnonzero(matches.image_ids[matches.image] == image_id)
    kinds = np.where(matches.hit[at, own], RIGHT, WRONG)
    return np.where(matches.counted[at, own], kinds, IGNORED).tolist(), matches.scores[own]


def detected_image_ids(folder: Path) -> set[int]:
    """Ids of all images that the shards in `folder` hold, with people found in them or not."""
    ids: set[int] = set()
    for path in folder.glob("*/images.json"):
        ids.update(orjson.loads(path.read_bytes()))
    return ids


def show(
    images: Images,
    people: People,
    rows: Sequence[int],
    found: Mapping[str, Mapping[int, Found]],
    archive: ImageArchive,
    skeleton: Skeleton = COCO,
    lost_oks: Mapping[int, float] | None = None,
    maps: Mapping[int, KeptMaps] | None = None,
) -> list[GalleryImage]:
    """The images `rows`: labelled people, then those that each model found (by model and image
    id), then maps.

    Images that cannot be read are left out.
    """
    gallery_images = []
    for row in rows:
        name, image_id = images.file_names[row], int(images.ids[row])
        try:
            image = decode_bgr(archive.read(name), name, int(images.turns[row]))
        except InputError:
            continue
        own = people.image == row
        views = [
            View(
                "labelled",
                f"labelled: {own.sum()}",
                labelled_markup(people.keypoints[own], skeleton),
            ),
            *(
                _view(model, by_image[image_id], image.shape[:2], skeleton)
                for model, by_image in found.items()
                if image_id in by_image
            ),
        ]
        if maps and image_id in maps:
            views += map_views(maps[image_id])
        facts = {"people": float(own.sum())}
        if own.any():
            facts["size"] = float(np.sqrt(np.median(people.areas[own])))
        if lost_oks and image_id in lost_oks:
            facts["lost"] = lost_oks[image_id]
        gallery_images.append(GalleryImage(jpeg_of(image), image.shape[:2], views, name, facts))
    return gallery_images


def _view(model: str, found: Found, size_px: tuple[int, int], skeleton: Skeleton) -> View:
    markup = found_markup(found.keypoints, found.scores, found.kinds, size_px, skeleton)
    layer = f"found by {model}"
    return View(layer, f"{layer}: {len(found.scores)}", markup, model)


def read_maps(folder: Path, image_ids: Iterable[int]) -> dict[int, KeptMaps]:
    """Those of the images `image_ids` that the shards in `folder` hold."""
    maps, wanted = {}, set(image_ids)
    for path in sorted(folder.glob("*/maps.npz")):
        with np.load(path) as arrays:
            for image_id in wanted & {int(name.partition(".")[0]) for name in arrays.files}:
                names = ("heat", "field", "covered_px")
                maps[image_id] = KeptMaps(*(arrays[f"{image_id}.{name}"] for name in names))
    return maps


def map_views(maps: KeptMaps) -> list[View]:
    """Heatmaps and part affinity fields as layers."""
    height, width = maps.covered_px
    layers = {
        "heatmaps": heat_colours(maps.heat / 255),
        "part affinity fields": field_colours(maps.field / 127),
    }
    return [
        View(
            layer,
            layer,
            f'<image width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none" '
            f'href="{jpeg_uri(_encoded(colours))}"/>',
            is_map=True,
        )
        for layer, colours in layers.items()
    ]


def jpeg_of(image: np.ndarray) -> bytes:
    """JPEG of a uint8 BGR [H, W, 3] image, made smaller where it is larger than FRAME_HW_PX."""
    scale = min(
        1.0, *(most / side for most, side in zip(FRAME_HW_PX, image.shape[:2], strict=True))
    )
    if scale < 1:
        size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return _encoded(image)


def _encoded(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
