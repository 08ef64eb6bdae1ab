"""The reference's way from maps to people (docs/sources.md 5), on maps as large as the image: slow,
kept for parity and as the yardstick of benchmarks. The decoder proper is `decoder.py`.

Written anew from the published method (arXiv:1611.08050, section 2.3 and 2.4) and the figures of
docs/sources.md 5.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from stages.openpose.decoding.people import People
from stages.openpose.inference.tta import mirror_maps
from stages.openpose.skeleton import COCO, Skeleton

SMOOTHING_PX = 3.0
PEAK_THRESHOLD = 0.1
LIMB_SAMPLES = 10
LIMB_THRESHOLD = 0.05
LIMB_SHARE = 0.8
MIN_PARTS = 4
MIN_SCORE = 0.4


def decode_full(
    heatmaps: np.ndarray,
    pafs: np.ndarray,
    resized_hw: tuple[int, int],
    original_hw: tuple[int, int],
    *,
    stride: int = 8,
    skeleton: Skeleton = COCO,
) -> People:
    """People of one network output, found on maps enlarged to the size of the original image.

    Args:
        heatmaps: float [h, w, parts + 1], values about 0..1, one value a cell of `stride` pixels.
        pafs: float [h, w, 2 limbs], values about -1..1.
        resized_hw: size of the image in the network's input, without the padding at the right and
            at the bottom.
        original_hw: size of the image itself.

    Returns:
        People whose x, y are whole pixels of the **original** image (column, row of the maximum:
        the reference makes no sub-pixel and no half-pixel correction, docs/sources.md 9.11).
    """
    return decode_views(
        [(heatmaps, pafs, resized_hw, False)], original_hw, stride=stride, skeleton=skeleton
    )


def decode_views(
    views: Iterable[tuple[np.ndarray, np.ndarray, tuple[int, int], bool]],
    original_hw: tuple[int, int],
    *,
    stride: int = 8,
    skeleton: Skeleton = COCO,
) -> People:
    """People of several network outputs of one image: their maps are averaged at full size.

    Args:
        views: (heatmaps, pafs, resized_hw, mirrored) each, the first three as in `decode_full`. The
            input of a mirrored view is mirrored before it is padded at the right; the reference has
            no such views.
        original_hw, stride, skeleton: as in `decode_full`, as is what is returned.
    """
    sums, count = [0.0, 0.0], 0
    for heatmaps, pafs, resized_hw, mirrored in views:
        maps = [
            enlarge(array, resized_hw, original_hw, stride=stride) for array in (heatmaps, pafs)
        ]
        if mirrored:
            maps = mirror_maps(*maps, skeleton)
        # float64, one view after the other
        sums = [total + array for total, array in zip(sums, maps, strict=True)]
        count += 1
    return decode_enlarged(sums[0] / count, sums[1] / count, skeleton=skeleton)


def enlarge(
    maps: np.ndarray, resized_hw: tuple[int, int], original_hw: tuple[int, int], *, stride: int = 8
) -> np.ndarray:
    """Enlarge maps [h, w, C] to float64 [H, W, C] of the original image: cubic by the stride, crop,
    cubic again.

    The mean of such maps over scales (and mirrored images) is what the reference decodes.
    """
    height, width = resized_hw
    full = cv2.resize(
        maps.astype(np.float32), None, fx=stride, fy=stride, interpolation=cv2.INTER_CUBIC
    )
    full = full[:height, :width]
    return cv2.resize(full, (original_hw[1], original_hw[0]), interpolation=cv2.INTER_CUBIC).astype(
        np.float64
    )


def decode_enlarged(heatmaps: np.ndarray, pafs: np.ndarray, *, skeleton: Skeleton = COCO) -> People:
    """People of full-size maps, float64 [H, W, parts + 1] and [H, W, 2 limbs]; x, y as in
    `decode_full`.
    """
    peaks = [_peaks(heatmaps[:, :, part]) for part in range(len(skeleton.parts))]
    limbs = [
        _limbs(
            pafs[:, :, 2 * limb : 2 * limb + 2],
            peaks[skeleton.limbs[limb][0]],
            peaks[skeleton.limbs[limb][1]],
        )
        for limb in range(len(skeleton.limbs))
    ]
    return _assemble(peaks, limbs, skeleton)


def _peaks(heatmap: np.ndarray) -> np.ndarray:
    """Maxima of one heatmap [H, W] as [n, 3]: x, y, unsmoothed value; in rows from the top."""
    radius = int(4 * SMOOTHING_PX + 0.5)  # where SciPy's filter, the reference's, cuts off
    side = 2 * radius + 1
    smooth = cv2.GaussianBlur(heatmap, (side, side), SMOOTHING_PX, borderType=cv2.BORDER_REFLECT)
    framed = np.pad(smooth, 1)  # beyond the image the reference sees zeros
    inner = framed[1:-1, 1:-1]
    highest = (inner >= framed[:-2, 1:-1]) & (inner >= framed[2:, 1:-1])
    highest &= (inner >= framed[1:-1, :-2]) & (inner >= framed[1:-1, 2:])
    y, x = np.nonzero(highest & (inner > PEAK_THRESHOLD))
    return np.stack([x, y, heatmap[y, x]], axis=1).astype(np.float64)


def _limbs(paf: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> list[tuple[int, int, float]]:
    """Chosen limbs (start peak, end peak, score) of one kind: accepted pairs, best first, each peak
    used once.
    """
    accepted = []
    for i, start in enumerate(starts):
        for j, end in enumerate(ends):
            score = _limb_score(paf, start[:2], end[:2])
            if score is not None:
                accepted.append((i, j, score))
    accepted.sort(key=lambda limb: -limb[2])  # stable: of equal scores the upper peak comes first
    used_starts, used_ends, limbs = set(), set(), []
    for i, j, score in accepted:
        if i not in used_starts and j not in used_ends:
            used_starts.add(i)
            used_ends.add(j)
            limbs.append((i, j, score))
    return limbs


def _limb_score(paf: np.ndarray, start: np.ndarray, end: np.ndarray) -> float | None:
    """Mean of PAF [H, W, 2] along a limb, less a penalty beyond half the image's height; None where
    not accepted.
    """
    length = np.linalg.norm(end - start)
    if length == 0:
        return None
    x, y = np.rint(np.linspace(start, end, LIMB_SAMPLES)).astype(int).T
    along = paf[y, x] @ ((end - start) / length)
    score = along.mean() + min(0.5 * paf.shape[0] / length - 1, 0)
    enough = np.count_nonzero(along > LIMB_THRESHOLD) > LIMB_SHARE * LIMB_SAMPLES
    return score if enough and score > 0 else None


def _assemble(peaks: list[np.ndarray], limbs: list[list], skeleton: Skeleton) -> People:
    people: list[dict] = []  # each: parts {part: peak}, count and score as the reference keeps them
    for limb in skeleton.decode_order:
        a, b = skeleton.limbs[limb]
        for i, j, limb_score in limbs[limb]:
            owners = [
                person
                for person in people
                if person["parts"].get(a) == i or person["parts"].get(b) == j
            ]
            if len(owners) >= 2 and not owners[0]["parts"].keys() & owners[1]["parts"].keys():
                _merge(owners[0], owners[1], limb_score)
                people = [person for person in people if person is not owners[1]]
            elif owners:
                # the reference tests the far part only when one person is found; with two it always
                # overwrites
                if len(owners) >= 2 or owners[0]["parts"].get(b) != j:
                    owners[0]["parts"][b] = j
                    owners[0]["count"] += 1
                    owners[0]["score"] += peaks[b][j, 2] + limb_score
            elif limb not in skeleton.late_limbs:
                score = peaks[a][i, 2] + peaks[b][j, 2] + limb_score
                people.append({"parts": {a: i, b: j}, "count": 2, "score": score})
    accepted = [
        p for p in people if p["count"] >= MIN_PARTS and p["score"] / p["count"] >= MIN_SCORE
    ]
    return _people(accepted, peaks, skeleton)


def _merge(person: dict, other: dict, limb_score: float) -> None:
    person["parts"] |= other["parts"]
    person["count"] += other["count"]
    person["score"] += other["score"] + limb_score


def _people(people: list[dict], peaks: list[np.ndarray], skeleton: Skeleton) -> People:
    parts = np.zeros((len(people), len(skeleton.parts), 3), np.float32)
    for person_parts, person in zip(parts, people, strict=True):
        for part, peak in person["parts"].items():
            person_parts[part] = peaks[part][peak]
    scores = np.array([person["score"] for person in people], np.float32)
    return People(parts[:, list(skeleton.part_of_keypoint)], parts, scores)
