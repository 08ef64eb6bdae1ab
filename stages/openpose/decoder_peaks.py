"""Heatmaps to peaks: smoothing and enlargement in one separable filter, local maxima, sub-pixel refinement.

The enlarged maps are never interleaved: each phase (position within a cell) is a plane of its own, with the rows and
the channels-last layout of the network's maps. So every inner loop runs over contiguous memory, and the neighbours of a
fine grid point are the same index in another plane or one cell further.
"""

from functools import lru_cache

import numpy as np

from stages.openpose.compiled import jit

# Cubic convolution with a = -1/2 (Keys 1981) reproduces parabolas, so a peak keeps its place; OpenCV's -3/4 does not.
CUBIC_A = -0.5
# A heatmap value beyond this is no probability but an overflow: it counts as 0, like NaN.
HIGHEST_VALUE = np.float32(16)
OUTSIDE = np.float32(-1)
# Values below this share of a peak say more about noise and neighbours than about the shape of the peak.
SHOULDER = np.float32(0.25)


def find_peaks(heatmaps: np.ndarray, parts: int, threshold: float, sigma_cells: float, enlarge: int):
    """Peaks of the first `parts` channels of heatmaps float32 [h, w, C], found on a grid `enlarge` times as fine.

    A peak is higher than its left and upper neighbour, not lower than its right and lower one, and above the threshold
    (all in smoothed maps). Its place is the vertex of a parabola through the logarithms along x and along y, which is
    exact for a lone Gaussian.

    Returns:
        peaks float32 [N, 3]: x, y in cells of the heatmaps (cell centres at integers) and smoothed value, sorted by
        part, then by fine row; and starts int64 [parts + 1]: part p owns peaks[starts[p]:starts[p + 1]].
    """
    channels = heatmaps.shape[2]
    fine = _enlarge(heatmaps, filter_taps(sigma_cells, enlarge))
    found = _maxima(fine, channels, parts, np.float32(threshold))
    return _refine(fine, found, channels, parts)


@lru_cache(maxsize=64)
def filter_taps(sigma_cells: float, enlarge: int) -> np.ndarray:
    """Weights float32 [enlarge, 2 r + 1] of the filter "Gaussian after cubic interpolation", one row a phase.

    Fine grid point enlarge i + q lies at cell i + (q + 0.5) / enlarge - 0.5 (the half-pixel rule of enlargements); its
    value is the sum over t of taps[q, t] maps[i + t - r].
    """
    radius = int(np.ceil(2.5 * sigma_cells + (1 if enlarge > 1 else 0)))
    offset = (np.arange(enlarge) + 0.5) / enlarge - 0.5
    distance = offset[:, None] - np.arange(-radius, radius + 1)[None, :]
    shift = np.linspace(-4, 4, 161)
    weight = np.exp(-0.5 * shift**2)
    taps = (_cubic(distance[:, :, None] - shift * sigma_cells) * weight).sum(axis=2)
    return np.ascontiguousarray(taps / taps.sum(axis=1, keepdims=True), dtype=np.float32)


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = (CUBIC_A + 2) * x**3 - (CUBIC_A + 3) * x**2 + 1
    far = CUBIC_A * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@jit
def _combine(out, source, step, weights):
    """out[i] = sum over t of weights[t] source[i + t step]; an odd number of weights."""
    n = out.size
    first, weight = source[:n], weights[0]
    for i in range(n):
        out[i] = weight * first[i]
    for t in range(1, weights.size, 2):  # two at a time: half the reads and writes of `out`
        a, b = source[t * step : t * step + n], source[(t + 1) * step : (t + 1) * step + n]
        wa, wb = weights[t], weights[t + 1]
        for i in range(n):
            out[i] += wa * a[i] + wb * b[i]


@jit
def _clean(maps, r):
    """Maps [h, w, C] as one line of h + 2 r rows: NaN, infinite and negative values 0, edge rows repeated r times."""
    h, w, c = maps.shape
    row = w * c
    source = maps.reshape(h * row)
    padded = np.empty((h + 2 * r) * row, np.float32)
    body = padded[r * row : (r + h) * row]
    for i in range(h * row):
        v = source[i]
        v = v if v > np.float32(0) else np.float32(0)
        body[i] = v if v < HIGHEST_VALUE else np.float32(0)
    for k in range(r):
        padded[k * row : (k + 1) * row] = body[:row]
        padded[(r + h + k) * row : (r + h + k + 1) * row] = body[(h - 1) * row :]
    return padded


@jit
def _enlarge(maps, taps):
    """Filter maps [h, w, C] with taps [f, 2 r + 1] to planes [f, f, h + 2, (w + 2) C] (phase y, phase x), framed."""
    h, w, c = maps.shape
    f, n = taps.shape
    r, row = n // 2, w * c
    padded = _clean(maps, r)
    fine = np.empty((f, f, h + 2, row + 2 * c), np.float32)
    fine[:, :, 0] = OUTSIDE
    fine[:, :, h + 1] = OUTSIDE
    fine[:, :, :, :c] = OUTSIDE
    fine[:, :, :, row + c :] = OUTSIDE
    line = np.empty(row + 2 * r * c, np.float32)
    for y in range(h):
        for qy in range(f):
            _combine(line[r * c : r * c + row], padded[y * row :], row, taps[qy])
            for k in range(r):
                line[k * c : (k + 1) * c] = line[r * c : (r + 1) * c]
                line[(r + w + k) * c : (r + w + k + 1) * c] = line[(r + w - 1) * c : (r + w) * c]
            for qx in range(f):
                _combine(fine[qy, qx, y + 1, c : c + row], line, c, taps[qx])
    return fine


@jit
def _neighbours(fine, qy, qx, y, c):
    """Row y of a plane without its frame, and the rows that hold its left, right, upper and lower neighbours."""
    f, end = fine.shape[0], fine.shape[3] - c
    here = fine[qy, qx, y, c:end]
    left = fine[qy, qx - 1, y, c:end] if qx > 0 else fine[qy, f - 1, y, : end - c]
    right = fine[qy, qx + 1, y, c:end] if qx < f - 1 else fine[qy, 0, y, 2 * c :]
    above = fine[qy - 1, qx, y, c:end] if qy > 0 else fine[f - 1, qx, y - 1, c:end]
    below = fine[qy + 1, qx, y, c:end] if qy < f - 1 else fine[0, qx, y + 1, c:end]
    return here, left, right, above, below


@jit
def _maxima(fine, c, parts, threshold):
    """Maxima among 4 neighbours as int64 [N, 4]: part, plane (f qy + qx), row, index in the framed row."""
    f, _, rows, width = fine.shape
    n = width - 2 * c
    flags = np.zeros((n + 7) // 8 * 8, np.uint8)
    words = flags.view(np.uint64)
    found = np.empty((fine.size // 2 + 1, 4), np.int32)
    count = 0
    for y in range(1, rows - 1):
        for plane in range(f * f):
            here, left, right, above, below = _neighbours(fine, plane // f, plane % f, y, c)
            for i in range(n):
                v = here[i]
                flags[i] = (v > threshold) & (v > left[i]) & (v >= right[i]) & (v > above[i]) & (v >= below[i])
            for word in range(words.size):
                if words[word] == 0:
                    continue
                for i in range(8 * word, min(8 * word + 8, n)):
                    if flags[i] and i % c < parts:
                        found[count, 0], found[count, 1], found[count, 2], found[count, 3] = i % c, plane, y, i
                        count += 1
    return found[:count]


@jit
def _vertex(before, at, after):
    """Offset, -0.5 .. 0.5, of the top of the parabola through the logarithms of three values."""
    b = np.log(at)
    a, c = np.log(max(before, SHOULDER * at)), np.log(max(after, SHOULDER * at))
    bend = 2 * b - a - c
    return min(max((c - a) / (2 * bend), -0.5), 0.5) if bend > 1e-6 else 0.0


@jit
def _refine(fine, found, c, parts):
    """Maxima to peaks and starts, see `find_peaks`."""
    f = fine.shape[0]
    starts = np.zeros(parts + 1, np.int64)
    for row in range(found.shape[0]):
        starts[found[row, 0] + 1] += 1
    for part in range(parts):
        starts[part + 1] += starts[part]
    fill = starts.copy()
    peaks = np.empty((found.shape[0], 3), np.float32)
    for row in range(found.shape[0]):
        part, plane, y, i = found[row, 0], found[row, 1], found[row, 2], found[row, 3]
        here, left, right, above, below = _neighbours(fine, plane // f, plane % f, y, c)
        peak = peaks[fill[part]]
        fill[part] += 1
        peak[0] = i // c + (plane % f + 0.5 + _vertex(left[i], here[i], right[i])) / f - 0.5
        peak[1] = y - 1 + (plane // f + 0.5 + _vertex(above[i], here[i], below[i])) / f - 0.5
        peak[2] = here[i]
    return peaks, starts
