"""People and maps drawn over images. All images are uint8 [H, W, 3] BGR; nothing is drawn into the
input.
"""

import colorsys

import cv2
import numpy as np

from stages.openpose.skeleton import COCO, Skeleton

SUBPIXEL_BITS = 4
LIMB_OPACITY = 0.75
PERSON_HEIGHT_IN_LIMB_WIDTHS = 45  # a limb is drawn as wide as its person is tall, divided by this


def wheel(count: int) -> list[tuple[int, int, int]]:
    """`count` BGR colours evenly spaced on the colour wheel, red first."""
    hues = (colorsys.hsv_to_rgb(index / count, 0.92, 1.0) for index in range(count))
    return [(round(255 * blue), round(255 * green), round(255 * red)) for red, green, blue in hues]


def parts_of(keypoints: np.ndarray, skeleton: Skeleton = COCO) -> np.ndarray:
    """Parts [P, 18, 3] of keypoints [P, 17, 3] in annotation order; the neck is the shoulders' mean
    where both exist.

    The third column is kept (0 = absent); a derived part gets the lower of its two.
    """
    parts = np.zeros((len(keypoints), len(skeleton.parts), 3))
    parts[:, list(skeleton.part_of_keypoint)] = keypoints
    for part, sources in skeleton.derived.items():
        pair = parts[:, [skeleton.parts.index(name) for name in sources]]
        both = (pair[..., 2] > 0).all(axis=1)
        mean = np.concatenate([pair[..., :2].mean(axis=1), pair[..., 2:].min(axis=1)], axis=1)
        parts[:, skeleton.parts.index(part)] = np.where(both[:, None], mean, 0)
    return parts


def draw_people(image: np.ndarray, parts: np.ndarray, skeleton: Skeleton = COCO) -> np.ndarray:
    """A copy of the image with the skeletons of `parts` [P, 18, 3]: x, y in pixels, third column 0
    = absent.

    Each limb and part has a colour of its own. Limbs are translucent, so that what lies below can
    be judged.
    """
    limbs, points = image.copy(), wheel(len(skeleton.parts))
    colours = wheel(len(skeleton.limbs))
    widths = [limb_width_px(person) for person in parts]
    for person, width in zip(parts, widths, strict=True):
        for limb, (a, b) in enumerate(skeleton.limbs):
            if limb not in skeleton.late_limbs and person[a, 2] > 0 and person[b, 2] > 0:
                cv2.line(
                    limbs,
                    _fixed(person[a]),
                    _fixed(person[b]),
                    colours[limb],
                    width,
                    cv2.LINE_AA,
                    SUBPIXEL_BITS,
                )
    result = cv2.addWeighted(limbs, LIMB_OPACITY, image, 1 - LIMB_OPACITY, 0)
    for person, width in zip(parts, widths, strict=True):
        radius = round((0.75 * width + 0.5) * (1 << SUBPIXEL_BITS))
        for part in np.flatnonzero(person[:, 2] > 0):
            cv2.circle(
                result,
                _fixed(person[part]),
                radius,
                points[part],
                cv2.FILLED,
                cv2.LINE_AA,
                SUBPIXEL_BITS,
            )
    return result


def limb_width_px(person: np.ndarray) -> int:
    """Width in which the limbs of a person [parts, 3] are drawn: a share of its extent."""
    placed = person[person[:, 2] > 0, :2]
    extent = np.ptp(placed, axis=0).max() if len(placed) else 0
    return int(np.clip(round(extent / PERSON_HEIGHT_IN_LIMB_WIDTHS), 1, 12))


def _fixed(point: np.ndarray) -> tuple[int, int]:
    """x, y as OpenCV's fixed-point integers; far outside stays far outside without overflow."""
    x, y = np.clip(np.round(point[:2] * (1 << SUBPIXEL_BITS)), -(2**24), 2**24).astype(int).tolist()
    return x, y


def heat_colours(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Colours uint8 [h, w, 3] of a map [h, w]: black at `low`, violet, orange, yellow at `high`;
    NaN is `low`.
    """
    share = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
    return cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)


def field_colours(field: np.ndarray) -> np.ndarray:
    """Colours uint8 [h, w, 3] of vectors [h, w, 2]: the hue is the direction (red to the right),
    brightness the length.

    Length 1 and more is full brightness.
    """
    field = np.nan_to_num(field.astype(np.float32))
    length, degrees = cv2.cartToPolar(
        field[..., 0].copy(), field[..., 1].copy(), angleInDegrees=True
    )
    saturation = np.full_like(length, 230)
    hsv = np.stack([np.minimum(degrees / 2, 179), saturation, 255 * np.minimum(length, 1)], axis=-1)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)


def strongest(
    heatmaps: np.ndarray, pafs: np.ndarray, skeleton: Skeleton = COCO
) -> tuple[np.ndarray, np.ndarray]:
    """Of heatmaps [h, w, parts + 1] the largest part in each cell, [h, w]; of fields
    [h, w, 2 limbs] the longest vector, [h, w, 2].
    """
    vectors = pafs.reshape(*pafs.shape[:2], len(skeleton.limbs), 2)
    longest = np.linalg.norm(vectors, axis=-1).argmax(axis=-1)
    field = np.take_along_axis(vectors, longest[..., None, None], axis=2)[:, :, 0]
    return heatmaps[..., :-1].max(axis=-1), field


def draw_maps(
    image: np.ndarray,
    heatmaps: np.ndarray,
    pafs: np.ndarray,
    covered_hw: tuple[float, float],
    skeleton: Skeleton = COCO,
) -> np.ndarray:
    """The image beside itself under its heatmaps and under its fields: uint8 [H, 3 W, 3].

    Args:
        heatmaps: [h, w, parts + 1]. pafs: [h, w, 2 limbs].
        covered_hw: pixels of the image that the maps cover from its upper left corner; at least the
            whole image.

    Of the heatmaps the largest part counts, of the fields in every cell the longest vector.
    """
    heat, field = strongest(heatmaps, pafs, skeleton)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    size = (round(covered_hw[1]), round(covered_hw[0]))
    panels = [image]
    for colours in (heat_colours(heat), field_colours(field)):
        large = cv2.resize(colours, size, interpolation=cv2.INTER_CUBIC)[
            : grey.shape[0], : grey.shape[1]
        ]
        panels.append(cv2.addWeighted(large, 0.75, grey, 0.35, 0))
    return np.concatenate(panels, axis=1)
