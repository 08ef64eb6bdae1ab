"""Peaks and PAFs to limbs: which pairs of peaks belong together, judged by line integrals at the
maps' resolution.
"""

import numpy as np

from stages.openpose.compiled import jit

# Two limits on how far the other end of a limb is looked for. A limb longer than this share of the
# image's longer side belongs to nobody whose other limbs are in the image.
LONGEST_SHARE = 0.75
# Among N evenly spread ends, the circle that holds this many: a limb does not skip more ends that
# are nearer. An image of 60 people may still have somebody taller than itself, one of 200 somebody
# 0.7 times as tall. Keeps growth linear.
NEAREST = 32
# Ends that a start remembers, best first: matching needs the next best where better ones are taken.
# More accepted ends than this at one start exist in noise only. Keeps memory linear.
REMEMBERED = 16
# No PAF value beyond this is a direction: it counts as 0, like NaN.
HIGHEST_VALUE = np.float32(16)
# Peaks nearer than this, in cells, are one place: no direction.
SHORTEST = np.float32(1e-3)
# Less than any sum of samples.
REFUSED = np.float32(-1e9)
_ONE = np.uint64(1)


def sample_positions(samples: int) -> np.ndarray:
    """Places of the inner samples along a limb, float32 in 0..1, middle first: false limbs fail
    there first.
    """
    inner = np.arange(1, samples - 1) / (samples - 1)
    return inner[np.argsort(np.abs(inner - 0.5), kind="stable")].astype(np.float32)


@jit
def match(pafs, peaks, starts, limbs, positions, threshold, allowed):
    """Limbs of all kinds.

    Args:
        pafs: float32 [h, w, 2 kinds]; kind k owns channels 2 k (x) and 2 k + 1 (y).
        peaks, starts: see `peaks.find_peaks`.
        limbs: int64 [kinds, 2], the parts that each kind joins.
        positions: see `sample_positions`.
        threshold: float32, what the PAF along the limb must exceed at a sample.
        allowed: how many samples may fail.

    Returns:
        ends int64 [M, 2] (peaks), scores float32 [M], and firsts int64 [kinds + 1]: kind k owns
        rows firsts[k]:firsts[k + 1].
    """
    kinds = limbs.shape[0]
    counts = starts[1:] - starts[:-1]
    most = 0
    for kind in range(kinds):
        most += min(counts[limbs[kind, 0]], counts[limbs[kind, 1]])
    ends, scores = np.empty((most, 2), np.int64), np.empty(most, np.float32)
    firsts = np.zeros(kinds + 1, np.int64)
    h, w, channels = pafs.shape
    flat = pafs.reshape(pafs.size)
    places = _inside(peaks, h, w)
    for kind in range(kinds):
        a, b = limbs[kind, 0], limbs[kind, 1]
        count = firsts[kind]
        if counts[a] > 0 and counts[b] > 0:
            start_places, end_places = (
                places[starts[a] : starts[a + 1]],
                places[starts[b] : starts[b + 1]],
            )
            field = flat[2 * kind :]
            end_lists, list_scores = _accepted(
                field, channels, h, w, start_places, end_places, positions, threshold, allowed
            )
            count = _choose(end_lists, list_scores, end_places.shape[0], ends, scores, count)
            ends[firsts[kind] : count, 0] += starts[a]
            ends[firsts[kind] : count, 1] += starts[b]
        firsts[kind + 1] = count
    return ends[:count], scores[:count], firsts


@jit
def _inside(peaks, h, w):
    """Places float32 [N, 2] of peaks, moved to the nearest cell centre line where they lie beyond
    the outer ones.
    """
    places = np.empty((peaks.shape[0], 2), np.float32)
    for i in range(peaks.shape[0]):
        places[i, 0] = min(max(peaks[i, 0], np.float32(0)), np.float32(w - 1))
        places[i, 1] = min(max(peaks[i, 1], np.float32(0)), np.float32(h - 1))
    return places


@jit
def _accepted(field, step, h, w, start_places, end_places, positions, threshold, allowed):
    """The best ends of each start, best first: int64 [starts, REMEMBERED] (-1 = no more) and
    scores, float32.

    The PAF of cell (y, x) is field[(y w + x) step] and the number after it.
    """
    paf_at_end = np.empty((end_places.shape[0], 2), np.float32)
    for b in range(end_places.shape[0]):
        paf_at_end[b] = _sample(field, step, h, w, end_places[b, 0], end_places[b, 1])
    end_lists = np.full((start_places.shape[0], REMEMBERED), -1, np.int64)
    scores = np.zeros((start_places.shape[0], REMEMBERED), np.float32)
    reach = _reach(h, w, end_places.shape[0])
    first_near = 0
    for a in range(start_places.shape[0]):
        x, y = start_places[a, 0], start_places[a, 1]
        sx, sy = _sample(field, step, h, w, x, y)
        # peaks are sorted by fine row, and refinement moves none by more than half a cell: 2 cells
        # of slack
        while first_near < end_places.shape[0] and end_places[first_near, 1] < y - reach - 2:
            first_near += 1
        for b in range(first_near, end_places.shape[0]):
            dx, dy = end_places[b, 0] - x, end_places[b, 1] - y
            if dy > reach + 2:
                break
            square = dx * dx + dy * dy
            if square > reach * reach or square < SHORTEST * SHORTEST:
                continue
            length = np.sqrt(square)
            ux, uy = dx / length, dy / length
            low, high = sx * ux + sy * uy, paf_at_end[b, 0] * ux + paf_at_end[b, 1] * uy
            # both ends are known already: pairs that fail there cost no further sample
            failures_left = allowed - (not low > threshold) - (not high > threshold)
            if failures_left < 0:
                continue
            inner = _inner(
                field, step, h, w, x, y, dx, dy, ux, uy, positions, threshold, failures_left
            )
            mean = (low + high + inner) / np.float32(positions.size + 2)
            # limbs longer than half the image lose score, as in the reference (docs/sources.md 5)
            score = mean + min(
                np.float32(0.5) * np.float32(h) / length - np.float32(1), np.float32(0)
            )
            if score > scores[a, REMEMBERED - 1]:
                _remember(end_lists[a], scores[a], b, score)
    return end_lists, scores


@jit
def _reach(h, w, ends):
    """Longest limb to look for, in cells."""
    # a circle of this radius holds NEAREST of evenly spread ends: ends pi r^2 / (h w) = NEAREST
    return np.float32(min(LONGEST_SHARE * max(h, w), np.sqrt(NEAREST * h * w / (np.pi * ends))) + 1)


@jit
def _sample(field, step, h, w, x, y):
    """The PAF (x, y) of one limb kind, bilinear at x 0..w-1, y 0..h-1 in cells; (0, 0) where it is
    not finite.
    """
    x0, y0 = np.uint64(x), np.uint64(y)  # unsigned: no test for negative indices
    fx, fy = x - np.float32(x0), y - np.float32(y0)
    right = np.uint64(step) if x0 + _ONE < np.uint64(w) else np.uint64(0)
    below = np.uint64(step * w) if y0 + _ONE < np.uint64(h) else np.uint64(0)
    i = (y0 * np.uint64(w) + x0) * np.uint64(step)
    k = i + below
    px = (field[i] + fx * (field[i + right] - field[i])) * (np.float32(1) - fy)
    px += (field[k] + fx * (field[k + right] - field[k])) * fy
    i, k = i + _ONE, k + _ONE
    py = (field[i] + fx * (field[i + right] - field[i])) * (np.float32(1) - fy)
    py += (field[k] + fx * (field[k + right] - field[k])) * fy
    good = abs(px) < HIGHEST_VALUE and abs(py) < HIGHEST_VALUE
    return (px, py) if good else (np.float32(0), np.float32(0))


@jit
def _inner(field, step, h, w, x, y, dx, dy, ux, uy, positions, threshold, allowed):
    """Sum of the PAF along a limb over its inner samples; REFUSED when more than `allowed` fail."""
    total = np.float32(0)
    failed = 0
    for t in positions:
        px, py = _sample(field, step, h, w, x + t * dx, y + t * dy)
        value = px * ux + py * uy
        failed += not value > threshold
        if failed > allowed:
            return REFUSED
        total += value
    return total


@jit
def _remember(ends, scores, end, score):
    """Put an end in its place among the best of its start; the last one falls out."""
    rank = ends.size - 1
    while rank > 0 and scores[rank - 1] < score:
        ends[rank], scores[rank] = ends[rank - 1], scores[rank - 1]
        rank -= 1
    ends[rank], scores[rank] = end, score


@jit
def _choose(end_lists, list_scores, ends_count, ends, scores, limb_count):
    """Greedy matching (best pair first, each peak once), written to rows `limb_count` on; returns
    the row after the last.

    Found without sorting: every start proposes to its best end, an end holds the better of two
    starts, and the other proposes to its next best (Gale & Shapley 1962). With one score a pair,
    the stable matching is what greedy choice gives.
    """
    partner = np.full(ends_count, -1, np.int64)
    held_scores = np.zeros(ends_count, np.float32)
    proposals = np.zeros(end_lists.shape[0], np.int64)
    for newcomer in range(end_lists.shape[0]):
        start = newcomer
        while (
            start >= 0 and proposals[start] < REMEMBERED and end_lists[start, proposals[start]] >= 0
        ):
            end, score = end_lists[start, proposals[start]], list_scores[start, proposals[start]]
            proposals[start] += 1
            if score > held_scores[end]:
                partner[end], start = start, partner[end]
                held_scores[end] = score
    for end in range(ends_count):
        if partner[end] >= 0:
            ends[limb_count, 0], ends[limb_count, 1], scores[limb_count] = (
                partner[end],
                end,
                held_scores[end],
            )
            limb_count += 1
    return limb_count
