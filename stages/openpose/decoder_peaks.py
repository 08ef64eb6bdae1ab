"""Heatmaps to peaks: smoothing and enlargement in one separable filter, local maxima, sub-pixel refinement."""

from functools import lru_cache

import numpy as np

from stages.openpose.compiled import jit

# Cubic convolution with a = -1/2 (Keys 1981) reproduces parabolas, so a peak keeps its place; OpenCV's -3/4 does not.
CUBIC_A = -0.5
# A finite heatmap value beyond this is no probability but an overflow: treated like NaN, as 0.
HIGHEST_VALUE = 16.0


@lru_cache(maxsize=32)
def filter_taps(sigma_cells: float, enlarge: int) -> np.ndarray:
    """Weights float32 [enlarge, 2 r + 1] of the filter "Gaussian after cubic interpolation", one row a phase.

    Fine grid point p = enlarge i + q lies at cell (p + 0.5) / enlarge - 0.5 (pixel centres, no half-pixel shift); its
    value is the sum over t of taps[q, t] maps[i + t - r].
    """
    radius = int(np.ceil(2.5 * sigma_cells + (1 if enlarge > 1 else 0)))
    offset = (np.arange(enlarge) + 0.5) / enlarge - 0.5
    distance = offset[:, None] - np.arange(-radius, radius + 1)[None, :]
    if sigma_cells > 0:
        shift = np.linspace(-4, 4, 161) * sigma_cells
        weight = np.exp(-0.5 * (shift / sigma_cells) ** 2)
        taps = (_cubic(distance[:, :, None] - shift) * weight).sum(axis=2)
    else:
        taps = _cubic(distance)
    return np.ascontiguousarray(taps / taps.sum(axis=1, keepdims=True), dtype=np.float32)


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = (CUBIC_A + 2) * x**3 - (CUBIC_A + 3) * x**2 + 1
    far = CUBIC_A * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@jit
def _enlarge(maps, taps):
    """Filter maps [h, w, C]: float32 [f h + 2, (f w + 2) C], one fine row a line, framed by -1."""
    h, w, c = maps.shape
    f, n = taps.shape
    r = n // 2
    flat = maps.reshape(h, w * c)
    fine = np.empty((f * h + 2, (f * w + 2) * c), np.float32)
    fine[0] = -1
    fine[f * h + 1] = -1
    fine[:, :c] = -1
    fine[:, (f * w + 1) * c :] = -1
    line = np.empty((w + 2 * r) * c, np.float32)
    inner = line[r * c : (r + w) * c]
    clean = np.empty((h, w * c), np.float32)
    for y in range(h):
        for i in range(w * c):
            v = flat[y, i]
            v = v if v > 0 else np.float32(0)  # also NaN
            clean[y, i] = v if v < HIGHEST_VALUE else np.float32(0)
    for y in range(h):
        for q in range(f):
            inner[:] = 0
            for t in range(n):
                row = clean[min(max(y + t - r, 0), h - 1)]
                weight = taps[q, t]
                for i in range(w * c):
                    inner[i] += weight * row[i]
            for k in range(r):
                line[k * c : (k + 1) * c] = line[r * c : (r + 1) * c]
                line[(r + w + k) * c : (r + w + k + 1) * c] = line[(r + w - 1) * c : (r + w) * c]
            out = fine[f * y + q + 1, c : (f * w + 1) * c]
            for p in range(f):
                for x in range(w):
                    for k in range(c):
                        v = np.float32(0)
                        for t in range(n):
                            v += taps[p, t] * line[(x + t) * c + k]
                        out[(f * x + p) * c + k] = v
    return fine


@jit
def _maxima(fine, c, parts, threshold):
    """Flat indices of maxima among 4 neighbours above the threshold, row by row; on a plateau its first point."""
    rows, width = fine.shape
    found = np.empty(fine.size // 2 + 1, np.int64)
    count = 0
    for y in range(1, rows - 1):
        up, row, down = fine[y - 1], fine[y], fine[y + 1]
        for i in range(c, width - c):
            v = row[i]
            if v > threshold and v > row[i - c] and v >= row[i + c] and v > up[i] and v >= down[i] and i % c < parts:
                found[count] = y * width + i
                count += 1
    return found[:count]


@jit
def _vertex(before, at, after):
    """Offset of the top of a parabola through the logarithms of three values: exact for a Gaussian."""
    floor = np.float32(0.25) * at  # noise, not the shape of the peak, rules the values far below the top
    a, b, c = np.log(max(before, floor)), np.log(at), np.log(max(after, floor))
    bend = 2 * b - a - c
    if bend <= 1e-6:
        return 0.0
    return min(max((c - a) / (2 * bend), -0.5), 0.5)


@jit
def _refine(fine, found, c, parts, f):
    """Peaks float32 [N, 3] (x, y in cells, value), sorted by part, and the first peak of each part int64 [parts + 1]."""
    width = fine.shape[1]
    flat = fine.reshape(fine.size)
    starts = np.zeros(parts + 1, np.int64)
    for index in found:
        starts[index % width % c + 1] += 1
    for part in range(parts):
        starts[part + 1] += starts[part]
    fill = starts.copy()
    peaks = np.empty((found.size, 3), np.float32)
    for index in found:
        y, i = index // width, index % width
        x, part = i // c, i % c
        dx = _vertex(flat[index - c], flat[index], flat[index + c])
        dy = _vertex(flat[index - width], flat[index], flat[index + width])
        row = fill[part]
        fill[part] += 1
        peaks[row, 0] = (x - 1 + dx + 0.5) / f - 0.5
        peaks[row, 1] = (y - 1 + dy + 0.5) / f - 0.5
        peaks[row, 2] = flat[index]
    return peaks, starts


def find_peaks(heatmaps, parts: int, threshold: float, sigma_cells: float, enlarge: int):
    """Peaks of heatmaps float32 [h, w, C >= parts], found on a grid `enlarge` times as fine.

    Returns:
        peaks float32 [N, 3]: x, y in cells of the heatmaps (cell centres at integers) and value, sorted by part; and
        starts int64 [parts + 1]: the peaks of part p are peaks[starts[p]:starts[p + 1]], from the top downwards.
    """
    fine = _enlarge(heatmaps, filter_taps(sigma_cells, enlarge))
    c = heatmaps.shape[2]
    return _refine(fine, _maxima(fine, c, parts, np.float32(threshold)), c, parts, enlarge)
