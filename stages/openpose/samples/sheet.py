"""A contact sheet of training samples: what the network sees and what it is asked for."""

from typing import Any

import cv2
import numpy as np

from stages.openpose.coco.annotations import ABSENT
from stages.openpose.drawing import draw_maps, draw_people
from stages.openpose.errors import InputError
from stages.openpose.samples.labels import make_targets
from stages.openpose.samples.packed import Packed
from stages.openpose.samples.sampling import Samples
from stages.openpose.skeleton import Skeleton

GAP_PX = 6
UNSUPERVISED_BGR = (60, 60, 255)


def contact_sheet(
    packed: Packed, settings: Any, *, count: int = 12, columns: int = 2
) -> np.ndarray:
    """Augmented samples of a packed file, chosen at random by the seed of the training, on one
    image.

    Args:
        packed: the open file; InputError where it holds no sample.
        settings: with the sections `labels`, `augment` and `train`.
        count: samples, fewer where the file holds fewer.
        columns: samples side by side.

    Returns:
        uint8 [H, W, 3] BGR. Of each sample side by side: the crop with its people and, in red, the
        cells that are not learned from; the strongest heatmap of each cell; the longest PAF vector
        of each cell (hue = direction).
    """
    if not len(packed):
        raise InputError(f"{packed.path}: holds no sample to draw")
    labels, augment, seed = settings.labels, settings.augment, settings.train.seed
    sample_numbers = np.random.default_rng(seed).permutation(len(packed))[:count]
    samples = Samples(packed, stride_px=labels.stride_px, augment=augment, seed=seed, keep=1)
    tiles = [_tile(packed, samples, int(sample), labels, augment) for sample in sample_numbers]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def _tile(packed: Packed, samples: Samples, sample: int, labels: Any, augment: Any) -> np.ndarray:
    side = augment.crop_px
    cells = side // labels.stride_px
    image, mask = np.empty((side, side, 3), np.uint8), np.empty((cells, cells), np.float32)
    parts = samples.write(0, sample, image, mask)
    skeleton = packed.skeleton
    targets = make_targets(parts, (cells, cells), labels, skeleton=skeleton)
    pafs, heatmaps = np.split(targets, [skeleton.paf_channels], axis=2)
    tile = draw_maps(image, heatmaps, pafs, (side, side), skeleton)
    tile[:, :side] = _with_people_and_mask(image, parts, mask, skeleton)
    name = str(packed.image_ids[packed.sample_image[sample]])
    (width, height), below = cv2.getTextSize(name, cv2.FONT_HERSHEY_PLAIN, 1.0, 1)
    cv2.rectangle(tile, (0, side - height - below - 4), (width + 6, side), (0, 0, 0), cv2.FILLED)
    cv2.putText(
        tile, name, (3, side - below), cv2.FONT_HERSHEY_PLAIN, 1.0, (255, 255, 255), 1, cv2.LINE_AA
    )
    return cv2.copyMakeBorder(
        tile, GAP_PX, 0, GAP_PX, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )


def _with_people_and_mask(
    image: np.ndarray, parts: np.ndarray, mask: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    people = parts.copy()
    people[..., 2] = parts[..., 2] != ABSENT
    image_with_people = draw_people(image, people, skeleton)
    unsupervised = (
        1 - cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)[..., None]
    )
    return (
        (
            image_with_people * (1 - 0.45 * unsupervised)
            + 0.45 * unsupervised * np.array(UNSUPERVISED_BGR)
        )
        .round()
        .astype(np.uint8)
    )
