"""One affine map a training sample, the same for its image, its mask and its keypoints.

Coordinates: pixel centres at integers, (x, y), as in COCO's annotations and in cv2.warpAffine. Cell
i of the label grid covers pixels stride * i .. stride * i + stride - 1 of the crop, in rows as in
columns; its centre is therefore pixel stride * i + (stride - 1) / 2. Pixel i of an image decoded at
1 / f covers pixels f * i .. f * i + f - 1 of the full one; its centre is pixel f * i + (f - 1) / 2.

Source: docs/sources.md 4, with the deviations of docs/sources.md 9.2 and 9.8 that the section
`augment` of params.yaml names.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from stages.openpose.coco.annotations import NETWORK_HEIGHT_PX
from stages.openpose.compiled import jit
from stages.openpose.skeleton import COCO, Skeleton

OUTSIDE_GREY = 127
_MIRRORED = list(COCO.mirrored_parts)
_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


@dataclass(frozen=True)
class Augmentation:
    """What chance decides of one sample.

    Attributes:
        scale: factor on top of the one that brings the main person to its target height.
        rotation_deg: positive turns the image counter-clockwise as seen on a screen.
        shift_px: (x, y), see `augment.shift_in`.
        flip: mirror left and right.
    """

    scale: float = 1.0
    rotation_deg: float = 0.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    flip: bool = False


UNCHANGED = Augmentation()


def draw_augmentation(rng: np.random.Generator, augment: Any) -> Augmentation:
    """Draw scale, rotation, shift and flip of one sample, each uniform, from the section
    `augment`.
    """
    scale, rotation, shift_x, shift_y, flip = rng.random(5).tolist()
    low, high = (augment.scale_min, augment.scale_max) if augment.scale == "once" else (1.0, 1.0)
    return Augmentation(
        scale=low + (high - low) * scale,
        rotation_deg=(2 * rotation - 1) * augment.rotation_deg,
        shift_px=((2 * shift_x - 1) * augment.shift_px, (2 * shift_y - 1) * augment.shift_px),
        flip=flip < augment.flip_probability,
    )


def affine(
    augmentation: Augmentation,
    centre_px: tuple[float, float],
    scale_provided: float,
    augment: Any,
) -> np.ndarray:
    """The map from image pixels to crop pixels.

    The main person's centre comes to pixel (S / 2, S / 2) of the crop and its height to
    `target_height` * S, S being `crop_px`; then chance changes scale, rotation and place.
    `shift_in: crop` moves the person by `shift_px` pixels of the crop; `shift_in: image` moves the
    centre by as many pixels of the image, as the reference does: a small person, enlarged, may then
    leave the crop.

    Args:
        augmentation: what chance decided.
        centre_px: (x, y) of the main person's box, image pixels.
        scale_provided: height of that box / 368; less than one pixel counts as one.
        augment: the section `augment`.

    Returns:
        float64 [2, 3]; to be applied to (x, y, 1).
    """
    person_px = max(scale_provided * NETWORK_HEIGHT_PX, 1.0)
    scale = augment.target_height * augment.crop_px / person_px * augmentation.scale
    angle = math.radians(augmentation.rotation_deg)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    mirror = -1.0 if augmentation.flip else 1.0
    (x, y), (shift_x, shift_y) = centre_px, augmentation.shift_px
    target_x = target_y = augment.crop_px / 2
    if augment.shift_in == "image":
        x, y = x + shift_x, y + shift_y
    else:
        target_x, target_y = target_x + shift_x, target_y + shift_y
    return np.array(
        [
            [mirror * cosine, mirror * sine, target_x - mirror * (cosine * x + sine * y)],
            [-sine, cosine, target_y - (cosine * y - sine * x)],
        ]
    )


def mirrored(matrix: np.ndarray, crop_px: int) -> np.ndarray:
    """The map to the same crop seen in a mirror, from a map to a crop of `crop_px` pixels."""
    return np.array([[-1.0, 0.0], [0.0, 1.0]]) @ matrix + np.array(
        [[0.0, 0.0, crop_px - 1.0], [0.0, 0.0, 0.0]]
    )


def mirrors(matrix: np.ndarray) -> bool:
    """Whether a map exchanges left and right."""
    return bool(matrix[0, 0] * matrix[1, 1] < matrix[0, 1] * matrix[1, 0])


def affine_scale(matrix: np.ndarray) -> float:
    """Crop pixels per image pixel of a map made by `affine`."""
    return math.hypot(matrix[0, 0], matrix[0, 1])


def map_parts(parts: np.ndarray, matrix: np.ndarray, skeleton: Skeleton = COCO) -> np.ndarray:
    """Move parts from the image to the crop; a map that mirrors also swaps left and right parts.

    Args:
        parts: [P, parts, 3] of (x, y, visibility), image pixels.
        matrix: [2, 3].

    Returns:
        float64 [P, parts, 3], crop pixels; visibility as it was. What absent parts hold as x and y
        means nothing.
    """
    mapped = np.empty(parts.shape, np.float64)
    mapped[..., :2] = parts[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    mapped[..., 2] = parts[..., 2]
    if mirrors(matrix):
        mapped = mapped[:, _MIRRORED if skeleton is COCO else list(skeleton.mirrored_parts)]
    return mapped


def warp_image(
    image: np.ndarray,
    matrix: np.ndarray,
    augment: Any,
    *,
    reduced_by: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The crop of an image; what lies outside the image is grey 127.

    Args:
        image: uint8 [H, W, 3], any colour order.
        matrix: [2, 3], from pixels of the full image to the crop.
        augment: the section `augment`; `interpolation` is linear or cubic (the reference's).
        reduced_by: f, when `image` was decoded at 1 / f of the full image.
        out: uint8 [S, S, 3], contiguous, to write into.

    Returns:
        uint8 [S, S, 3], S = `crop_px`.
    """
    if reduced_by > 1:
        # pixel i of the reduced image is centred at pixel f i + (f - 1) / 2 of the full one
        half_pixel = matrix[:, :2] @ np.full(2, (reduced_by - 1) / 2)
        matrix = np.column_stack([matrix[:, :2] * reduced_by, matrix[:, 2] + half_pixel])
    return cv2.warpAffine(
        image,
        matrix,
        (augment.crop_px, augment.crop_px),
        dst=out,
        flags=_INTERPOLATION[augment.interpolation],
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(OUTSIDE_GREY,) * 3,
    )


def warp_mask(
    mask: np.ndarray | None,
    image_hw: tuple[int, int],
    matrix: np.ndarray,
    augment: Any,
    stride_px: int,
) -> np.ndarray:
    """The share of each label cell that may be learned from.

    `mask_shrink: area` takes for each pixel of the crop the nearest mask pixel, and for each cell
    the mean of its pixels. `mask_shrink: cubic` warps and shrinks with cubic interpolation, as the
    reference does (docs/sources.md 9.8).

    Args:
        mask: uint8 [H, W], 255 = supervised, 0 = not; None when the whole image is supervised.
        image_hw: (H, W) of the image, needed where `mask` is None.
        matrix: [2, 3], from image pixels to the crop.
        augment: the section `augment`; `outside_supervised` says what pixels outside the image
            count as.
        stride_px: side of a cell.

    Returns:
        float32 [S / stride, S / stride] in 0..1.
    """
    cells = augment.crop_px // stride_px
    if mask is None and augment.outside_supervised:
        return np.ones((cells, cells), np.float32)
    if augment.mask_shrink == "cubic":
        return _warp_mask_cubic(mask, image_hw, matrix, augment, cells)
    back = cv2.invertAffineTransform(matrix)
    supervised = np.empty((0, 0), np.uint8) if mask is None else mask
    out = np.empty((cells, cells), np.float32)
    _cell_means(
        supervised, image_hw[0], image_hw[1], back, stride_px, augment.outside_supervised, out
    )
    return out


def _warp_mask_cubic(
    mask: np.ndarray | None, image_hw: tuple[int, int], matrix: np.ndarray, augment: Any, cells: int
) -> np.ndarray:
    full = np.full(image_hw, 255, np.uint8) if mask is None else mask
    side = augment.crop_px
    outside = 255 if augment.outside_supervised else 0
    warped = cv2.warpAffine(full, matrix, (side, side), flags=cv2.INTER_CUBIC, borderValue=outside)
    return cv2.resize(warped, (cells, cells), interpolation=cv2.INTER_CUBIC).astype(
        np.float32
    ) / np.float32(255)


@jit
def _cell_means(mask, height, width, back, stride, outside_supervised, out):
    """Fill `out` with the supervised share of each cell; an empty `mask` means that the whole image
    is supervised.

    Places in the image are whole numbers of 2^-32 pixel: the inner loop then has neither rounding
    nor floating point.
    """
    # + 0.5: a right shift rounds down, and the nearest pixel is wanted
    ax, bx, cx = _fixed(back[0, 0]), _fixed(back[0, 1]), _fixed(back[0, 2] + 0.5)
    ay, by, cy = _fixed(back[1, 0]), _fixed(back[1, 1]), _fixed(back[1, 2] + 0.5)
    last_pixel = stride - 1
    outside = 255 if outside_supervised else 0
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            x, y = cx + (ax * j + bx * i) * stride, cy + (ay * j + by * i) * stride
            # the map is affine: a cell's corners bound all its pixels
            left, right = (
                (x + (min(ax, 0) + min(bx, 0)) * last_pixel) >> 32,
                (x + (max(ax, 0) + max(bx, 0)) * last_pixel) >> 32,
            )
            top, bottom = (
                (y + (min(ay, 0) + min(by, 0)) * last_pixel) >> 32,
                (y + (max(ay, 0) + max(by, 0)) * last_pixel) >> 32,
            )
            if right < 0 or bottom < 0 or left >= width or top >= height:
                total = outside * stride * stride
            elif left < 0 or top < 0 or right >= width or bottom >= height:
                total = _border_cell(mask, height, width, x, y, ax, bx, ay, by, stride, outside)
            elif mask.size == 0:
                total = 255 * stride * stride
            else:
                total = _inner_cell(mask, x, y, ax, bx, ay, by, stride)
            out[i, j] = total / (255.0 * stride * stride)


@jit
def _fixed(value):
    return np.int64(np.rint(value * 4294967296.0))


@jit
def _inner_cell(mask, x, y, ax, bx, ay, by, stride):
    """Sum of the mask over the pixels of a cell that lies inside the image and begins at (x, y)."""
    total = 0
    for row in range(stride):
        for column in range(stride):
            total += mask[(y + ay * column + by * row) >> 32, (x + ax * column + bx * row) >> 32]
    return total


@jit
def _border_cell(mask, height, width, x, y, ax, bx, ay, by, stride, outside):
    """The same of a cell that may lie partly outside."""
    total = 0
    for row in range(stride):
        for column in range(stride):
            u, v = (x + ax * column + bx * row) >> 32, (y + ay * column + by * row) >> 32
            if u < 0 or v < 0 or u >= width or v >= height:
                total += outside
            else:
                total += 255 if mask.size == 0 else mask[v, u]
    return total
