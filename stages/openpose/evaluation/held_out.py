"""AP during training: whole held-out images of a packed file, one scale, people of the file as
ground truth.

A curve to compare epochs and runs by, not the AP of the stage evaluate: a packed file holds no
areas of people, which OKS divides by, and the decoder's defaults are used. What scores are worth is
found on the same images, by the run's own inference and decoder (`matched_people`).
"""

import contextlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from pycocotools.coco import COCO as CocoGroundTruth
from tqdm import tqdm

from stages.openpose.coco.categories import PERSON
from stages.openpose.decoding.decoder import decode
from stages.openpose.decoding.people import People
from stages.openpose.evaluation.scoring import Matches, evaluate
from stages.openpose.inference.detection import ImageEntry, detect_people, plan_batches
from stages.openpose.inference.results import to_results
from stages.openpose.inference.tta import (
    Settings,
    View,
    network_inputs,
    scaled_size,
    to_image,
    without_padding,
)
from stages.openpose.network.forward import Forward
from stages.openpose.samples.packed import Packed
from stages.openpose.skeleton import COCO, Skeleton

# Area of a person over that of the box of its keypoints: between the medians of the sample and of
# COCO (docs/measurements.md).
AREA_OF_KEYPOINT_BOX = 0.8


@dataclass(frozen=True)
class OneScale:
    """Settings of inference, as of section `detect`; sides padded to few sizes, each of which costs
    a compilation.
    """

    height_px: int = 368
    scales: tuple[float, ...] = (1.0,)
    pad_value: int = 128
    pad_multiple_px: int = 64
    average_stride_px: int = 8


def average_precision(forward: Forward, packed: Packed, images: int) -> Callable[[], float | None]:
    """A function that measures the AP of `forward` when it is called: 0..1, None where nobody is to
    be found.

    Args:
        forward: the network, as its weights are at that time.
        packed: file of held-out images, at least one.
        images: how many of them to take; they are spread evenly over the file.
    """
    image_numbers = _spread(packed, images)
    ground_truth, ids = (
        packed_ground_truth(packed, image_numbers),
        packed.image_ids[image_numbers].tolist(),
    )

    def measure() -> float | None:
        results = [
            result
            for image_number in image_numbers
            for result in _results(forward, packed, image_number)
        ]
        return evaluate(ground_truth, results, ids, skeleton=packed.skeleton)[0]["AP"]

    return measure


def matched_people(
    forward: Forward,
    packed: Packed,
    images: int,
    *,
    inference: str,
    settings: Settings,
    decode: Callable[..., People],
    reference: bool = False,
    threads: int = 1,
) -> Matches:
    """People found on images of a packed file, spread evenly over it, matched to those of the file.

    Args:
        inference: of tta.OUTPUTS.
        settings, decode, reference, threads: see inference.detection.detect_people.
    """
    numbers = _spread(packed, images)
    entries = [
        ImageEntry(i, str(packed.image_ids[i]), tuple(packed.sizes[i].tolist())) for i in numbers
    ]
    by_image = detect_people(
        plan_batches(entries, settings, 1, reference=reference),
        read=lambda entry: packed.image(entry.image_id),
        forward=forward,
        decode=decode,
        settings=settings,
        outputs=(inference,),
        reference=reference,
        skeleton=packed.skeleton,
        threads=threads,
    )
    watched = tqdm(by_image, "scores", len(entries), unit="image", mininterval=1.0, delay=2.0)
    results = [
        result
        for entry, people in watched
        for result in to_results(people[inference], int(packed.image_ids[entry.image_id]))
    ]
    ids = packed.image_ids[numbers].tolist()
    truth = packed_ground_truth(packed, numbers)
    return evaluate(truth, results, ids, skeleton=packed.skeleton)[1]


def drawn_people(forward: Forward, packed: Packed, images: int) -> Callable[[], list[np.ndarray]]:
    """A function that draws the people whom `forward` finds when it is called, into the same images
    of a packed file, spread evenly over it: uint8 [H, W, 3] BGR each.
    """
    # at its use: the stage held_out, whose results depend on this file, draws nothing
    draw_people = importlib.import_module("stages.openpose.drawing").draw_people
    image_numbers = _spread(packed, images)

    def draw() -> list[np.ndarray]:
        return [
            draw_people(packed.image(i), _people(forward, packed, i).parts, packed.skeleton)
            for i in image_numbers
        ]

    return draw


def _spread(packed: Packed, images: int) -> list[int]:
    count = min(images, len(packed.image_ids))
    return np.linspace(0, len(packed.image_ids) - 1, count).astype(int).tolist()


def _results(forward: Forward, packed: Packed, image_number: int) -> list[dict]:
    return to_results(_people(forward, packed, image_number), int(packed.image_ids[image_number]))


def _people(
    forward: Forward, packed: Packed, image_number: int, settings: OneScale = OneScale()
) -> People:
    image, view = packed.image(image_number), View(1.0, mirrored=False)
    heatmaps, pafs = forward(network_inputs(image, [view], settings)[view][None])
    maps = without_padding(heatmaps[0], pafs[0], scaled_size(image.shape[:2], settings.height_px))
    people = decode(maps.heatmaps, maps.pafs, stride=maps.stride_px, skeleton=packed.skeleton)
    return to_image(people, image.shape[:2], settings.height_px)


def packed_ground_truth(packed: Packed, image_numbers: list[int]) -> CocoGroundTruth:
    """The people of images number `rows` as pycocotools holds annotations.

    Each region that must not be learned from (crowds, people without keypoints) becomes a crowd:
    who is found there counts neither way.
    """
    ground_truth, images, people = CocoGroundTruth(), [], []
    for image_number in image_numbers:
        image_id, (height, width) = (
            int(packed.image_ids[image_number]),
            packed.sizes[image_number].tolist(),
        )
        images.append({"id": image_id, "height": height, "width": width})
        people += [
            _person(keypoints) | {"image_id": image_id}
            for keypoints in coco_keypoints(packed.parts(image_number), packed.skeleton)
        ]
        mask = packed.mask_miss(image_number)
        people += (
            []
            if mask is None
            else [crowd | {"image_id": image_id} for crowd in _crowds(mask, packed.skeleton)]
        )
    numbered = [person | {"id": i, "category_id": PERSON} for i, person in enumerate(people, 1)]
    ground_truth.dataset = {
        "images": images,
        "annotations": numbered,
        "categories": [{"id": PERSON, "name": "person"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
    return ground_truth


def coco_keypoints(parts: np.ndarray, skeleton: Skeleton = COCO) -> np.ndarray:
    """The inverse of `annotations.network_parts`: parts float32 [P, parts, 3] -> keypoints float64
    [P, K, 3].
    """
    keypoints = parts[:, list(skeleton.part_of_keypoint)].astype(np.float64)
    keypoints[..., 2] = (keypoints[..., 2] + 1) % 3  # 0 hidden, 1 visible, 2 absent -> 1, 2, 0
    return keypoints


def _person(keypoints: np.ndarray) -> dict:
    labelled = keypoints[keypoints[:, 2] > 0]
    low, high = (
        (labelled[:, :2].min(axis=0), labelled[:, :2].max(axis=0))
        if len(labelled)
        else np.zeros((2, 2))
    )
    box = [*low.tolist(), *(high - low).tolist()]
    area = max(AREA_OF_KEYPOINT_BOX * box[2] * box[3], 1.0)
    return _annotation(keypoints.ravel().tolist(), box, area, len(labelled))


def _crowds(mask: np.ndarray, skeleton: Skeleton) -> list[dict]:
    """Connected regions of zeros of a mask uint8 [H, W] as crowds, by their boxes."""
    _, _, regions, _ = cv2.connectedComponentsWithStats((mask == 0).astype(np.uint8))
    boxes = regions[1:, :4].astype(float).tolist()
    nothing = [0] * (3 * len(skeleton.keypoints))
    return [_annotation(nothing, box, box[2] * box[3], 0) | {"iscrowd": 1} for box in boxes]


def _annotation(keypoints: list[float], box: list[float], area: float, labelled: int) -> dict:
    return {
        "keypoints": keypoints,
        "num_keypoints": labelled,
        "bbox": box,
        "area": area,
        "iscrowd": 0,
    }
