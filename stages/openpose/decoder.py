"""Maps to people."""

import numpy as np

from stages.openpose.decoder_limbs import match
from stages.openpose.decoder_peaks import find_peaks
from stages.openpose.grouping import assemble
from stages.openpose.people import People
from stages.openpose.skeleton import COCO, Skeleton


def decode(
    heatmaps: np.ndarray,
    pafs: np.ndarray,
    *,
    stride: int = 8,
    skeleton: Skeleton = COCO,
    mode: str = "exact",
    peak_threshold: float = 0.1,
    smoothing_cells: float = 0.4,
    limb_samples: int = 10,
    limb_threshold: float = 0.05,
    limb_share: float = 0.8,
    min_parts: int = 4,
    min_score: float = 0.4,
    score_rule: str = "mean",
) -> People:
    """People of one network output: float32 heatmaps [h, w, parts + 1] and pafs [h, w, 2 limbs], a cell a `stride`."""
    limbs = np.array(skeleton.limbs)
    late = np.zeros(len(limbs), np.bool_)
    late[list(skeleton.late_limbs)] = True
    parts = len(skeleton.parts)
    enlarge = max(1, round(stride / 4)) if mode == "exact" else 1
    peaks, starts = find_peaks(heatmaps, parts, peak_threshold, smoothing_cells * 8 / stride, enlarge)
    n = limb_samples
    order = np.array(sorted(range(n), key=lambda i: abs(i - (n - 1) / 2)))
    allowed = n - int(np.floor(limb_share * n + 1e-9)) - 1
    chosen, firsts = match(pafs, peaks, starts, limbs, order, np.float32(limb_threshold), allowed)
    members, sums = assemble(peaks, parts, limbs, np.array(skeleton.decode_order), late, chosen, firsts)
    counts = (members >= 0).sum(axis=1)
    total = sums.sum(axis=1)
    kept = (counts >= max(min_parts, 1)) & (total >= min_score * counts)
    members, total, counts, sums = members[kept], total[kept], counts[kept], sums[kept]
    found = np.zeros((len(members), parts, 3), np.float32)
    mask = members >= 0
    found[mask] = peaks[members[mask]]
    found[mask, :2] = found[mask, :2] * stride + (stride - 1) / 2
    scores = total / counts if score_rule == "mean" else total
    return People(found[:, list(skeleton.part_of_keypoint)], found, scores.astype(np.float32))
