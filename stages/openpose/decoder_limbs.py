"""PAFs and peaks to limbs: which pairs of peaks belong together, judged by line integrals at the maps' resolution."""

import numpy as np

from stages.openpose.compiled import jit

# Ends that a start remembers, best first. Greedy matching needs the next best end where better ones are taken; more
# than this many accepted ends at one start happen in noise only. It keeps memory linear in the number of peaks.
REMEMBERED = 16
# No finite PAF value beyond this is a direction; such values, NaN and infinity count as 0.
HIGHEST_VALUE = 16.0


@jit
def _along(pafs, channel, x, y, ux, uy):
    """The PAF of one limb at (x, y), bilinear in cells, along the direction (ux, uy)."""
    h, w, _ = pafs.shape
    x0, y0 = min(int(x), w - 1), min(int(y), h - 1)
    x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
    fx, fy = np.float32(x - x0), np.float32(y - y0)
    one = np.float32(1)
    a, b, c, d = (one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy
    k = channel + 1
    px = a * pafs[y0, x0, channel] + b * pafs[y0, x1, channel] + c * pafs[y1, x0, channel] + d * pafs[y1, x1, channel]
    py = a * pafs[y0, x0, k] + b * pafs[y0, x1, k] + c * pafs[y1, x0, k] + d * pafs[y1, x1, k]
    value = px * ux + py * uy
    return value if abs(value) < HIGHEST_VALUE else np.float32(0)


@jit
def _integral(pafs, channel, start, end, order, threshold, allowed, reach):
    """Score of one pair of peaks, below 0 where it is refused."""
    h, w, _ = pafs.shape
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = np.sqrt(dx * dx + dy * dy)
    if length < 1e-3:
        return np.float32(-1)
    ux, uy = dx / length, dy / length
    n = order.size
    total = np.float32(0)
    failed = 0
    for i in order:
        t = np.float32(i) / np.float32(n - 1)
        x = min(max(start[0] + t * dx, np.float32(0)), np.float32(w - 1))
        y = min(max(start[1] + t * dy, np.float32(0)), np.float32(h - 1))
        value = _along(pafs, channel, x, y, ux, uy)
        if not value > threshold:
            failed += 1
            if failed > allowed:
                return np.float32(-1)
        total += value
    return total / np.float32(n) + min(np.float32(0.5) * h / length - np.float32(1), np.float32(0))


@jit
def _remember(scores, ends, score, end):
    """Put a pair among the best of its start (descending)."""
    at = scores.size - 1
    if not score > scores[at]:
        return
    while at > 0 and score > scores[at - 1]:
        scores[at], ends[at] = scores[at - 1], ends[at - 1]
        at -= 1
    scores[at], ends[at] = score, end


@jit
def _choose(start_of, end_of, score_of, order, used, out, count):
    """Greedy matching: best first, each peak once."""
    for pair in order:
        a, b = start_of[pair], end_of[pair]
        if not used[a] and not used[b]:
            used[a] = True
            used[b] = True
            out[count, 0], out[count, 1], out[count, 2] = a, b, score_of[pair]
            count += 1
    return count


@jit
def match(pafs, peaks, starts, limbs, order, threshold, allowed):
    """Chosen limbs float64 [M, 3] (start peak, end peak, score) and the first of each limb kind, int64 [limbs + 1]."""
    kinds = limbs.shape[0]
    most = 0
    for kind in range(kinds):
        most += min(
            starts[limbs[kind, 0] + 1] - starts[limbs[kind, 0]], starts[limbs[kind, 1] + 1] - starts[limbs[kind, 1]]
        )
    out = np.empty((most, 3), np.float64)
    firsts = np.zeros(kinds + 1, np.int64)
    scores = np.empty(REMEMBERED, np.float32)
    ends = np.empty(REMEMBERED, np.int64)
    used = np.zeros(peaks.shape[0], np.bool_)
    count = 0
    for kind in range(kinds):
        a0, a1 = starts[limbs[kind, 0]], starts[limbs[kind, 0] + 1]
        b0, b1 = starts[limbs[kind, 1]], starts[limbs[kind, 1] + 1]
        start_of = np.empty((a1 - a0) * REMEMBERED, np.int64)
        end_of = np.empty((a1 - a0) * REMEMBERED, np.int64)
        score_of = np.empty((a1 - a0) * REMEMBERED, np.float32)
        pairs = 0
        for a in range(a0, a1):
            scores[:] = 0
            for b in range(b0, b1):
                score = _integral(pafs, 2 * kind, peaks[a], peaks[b], order, threshold, allowed, 0)
                if score > 0:
                    _remember(scores, ends, score, b)
            for k in range(REMEMBERED):
                if scores[k] <= 0:
                    break
                start_of[pairs], end_of[pairs], score_of[pairs] = a, ends[k], scores[k]
                pairs += 1
        best = np.argsort(-score_of[:pairs])
        used[a0:a1] = False
        used[b0:b1] = False
        count = _choose(start_of, end_of, score_of, best, used, out, count)
        firsts[kind + 1] = count
    return out[:count], firsts
