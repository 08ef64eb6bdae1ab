"""Skeletons as SVG, in pixels of their image: to be laid over it by the page."""

from collections.abc import Sequence

import numpy as np

from stages.openpose.drawing import limb_width_px, parts_of, wheel
from stages.openpose.skeleton import COCO, Skeleton

RIGHT, WRONG, IGNORED = "right", "wrong", "ignored"  # what became of a detection
MARGIN_IN_LIMB_WIDTHS = 4  # of the box around a wrong detection
TEXT_SHARE = 1 / 40  # of the image's longer side


def labelled_markup(keypoints: np.ndarray, skeleton: Skeleton = COCO) -> str:
    """People of [P, K, 3] keypoints (x, y, 0 = absent) in white, with each point in its colour."""
    return "".join(
        _person(person, None, "labelled", skeleton) for person in _placed(keypoints, skeleton)
    )


def found_markup(
    keypoints: np.ndarray,
    scores: np.ndarray,
    kinds: Sequence[str],
    size_px: tuple[int, int],
    skeleton: Skeleton = COCO,
) -> str:
    """People in the limbs' colours, with their scores [P]; those of kind WRONG in a box.
    `size_px`: (height, width) of the image.
    """
    text_px = max(size_px) * TEXT_SHARE
    people = zip(_placed(keypoints, skeleton), scores, kinds, strict=True)
    drawn = "".join(_person(*one, skeleton, text_px) for one in people)
    return f'<g font-size="{text_px:.0f}">{drawn}</g>'


def _placed(keypoints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Parts [P, parts, 3], moved to where SVG has pixel centres: half a pixel inside."""
    placed = parts_of(keypoints.astype(np.float64), skeleton)
    placed[..., :2] += 0.5
    return placed


def _person(
    parts: np.ndarray, score: float | None, kind: str, skeleton: Skeleton, text_px: float = 0.0
) -> str:
    """One person of [parts, 3] as an SVG group."""
    points = np.flatnonzero(parts[:, 2] > 0)
    if not len(points):
        return ""
    width = limb_width_px(parts)
    limbs = [
        (limb, f"M{_xy(parts[a])}L{_xy(parts[b])}")
        for limb, (a, b) in enumerate(skeleton.limbs)
        if limb not in skeleton.late_limbs and parts[a, 2] > 0 and parts[b, 2] > 0
    ]
    colours = wheel(len(skeleton.limbs)), wheel(len(skeleton.parts))
    if score is None:
        lines = "".join(line for _, line in limbs)
        drawn = f'<path class="casing" stroke-width="{1.8 * width:g}" d="{lines}"/>'
        drawn += f'<path d="{lines}"/>'
        attributes = ""
    else:
        drawn = "".join(f'<path stroke="{_hex(colours[0][i])}" d="{line}"/>' for i, line in limbs)
        drawn += _tag(parts[points], width, kind, score, text_px)
        attributes = f' data-score="{score:.5f}"'
    dots = "".join(
        f'<path stroke="{_hex(colours[1][part])}" d="M{_xy(parts[part])}h0"/>' for part in points
    )
    return (
        f'<g class="person {kind}"{attributes} stroke-width="{width}">{drawn}'
        f'<g stroke-width="{1.5 * width + 1:g}">{dots}</g></g>'
    )


def _tag(points: np.ndarray, width_px: int, kind: str, score: float, text_px: float) -> str:
    """The score above the person, inside the image, and a box around one that is wrong."""
    margin = MARGIN_IN_LIMB_WIDTHS * width_px
    left, top = points[:, :2].min(axis=0) - margin
    width, height = np.ptp(points[:, :2], axis=0) + 2 * margin
    box = f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height:.0f}"/>'
    place = f'x="{max(left, 0):.0f}" y="{max(top, text_px):.0f}"'
    return f"{box * (kind == WRONG)}<text {place}>{score:.2f}</text>"


def _xy(point: np.ndarray) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _hex(bgr: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in reversed(bgr))
