"""Heatmaps to peaks: smoothing and enlargement in one separable filter, local maxima, sub-pixel
refinement.

The enlarged maps are never interleaved and never held whole: each phase (position within a cell) is
a plane of its own with the channels-last layout of the network's maps, three rows of cells at a
time. So every inner loop runs over contiguous memory that is still in the cache, and the neighbours
of a fine grid point are the same index in another plane or one cell further.
"""

from functools import lru_cache

import numpy as np

from stages.openpose.compiled import jit

# Cubic convolution with a = -1/2 (Keys 1981) reproduces parabolas, so a peak keeps its place;
# OpenCV's -3/4 does not.
CUBIC_A = -0.5
# A heatmap value beyond this is no probability but an overflow: it counts as 0, like NaN.
HIGHEST_VALUE = np.float32(16)
OUTSIDE = np.float32(-1)
# Values below this share of a peak say more about noise and neighbours than about the shape of the
# peak.
SHOULDER = np.float32(0.25)


def find_peaks(
    heatmaps: np.ndarray, part_count: int, threshold: float, sigma_cells: float, enlarge: int
):
    """Peaks of the first `part_count` channels of heatmaps float32 [h, w, C], found on a grid
    `enlarge` times as fine: non-maximum suppression among the four neighbours.

    A peak is higher than its left and upper neighbour, not lower than its right and lower one (so a
    plateau of two has one peak), and above the threshold (all in smoothed maps). Its place and
    value are those of the vertex of a parabola through the logarithms along x and along y, which is
    exact for a lone Gaussian.

    Returns:
        peaks float32 [N, 3]: x, y in cells of the heatmaps (cell centres at integers) and the
        smoothed value there, sorted by part, then by fine row; and starts int64 [parts + 1]: part p
        owns peaks[starts[p]:starts[p + 1]].
    """
    return _by_part(
        _search(heatmaps, part_count, np.float32(threshold), filter_taps(sigma_cells, enlarge)),
        part_count,
    )


@lru_cache(maxsize=64)
def filter_taps(sigma_cells: float, enlarge: int) -> np.ndarray:
    """Weights float32 [enlarge, 2 r + 1] of the filter "Gaussian after cubic interpolation", one
    row a phase.

    Fine grid point enlarge i + q lies at cell i + (q + 0.5) / enlarge - 0.5 (the half-pixel rule of
    enlargements); its value is the sum over t of taps[q, t] maps[i + t - r].
    """
    # 2.5 sigma hold 99 % of the Gaussian; the cubic reaches a cell farther
    radius = int(np.ceil(2.5 * sigma_cells + (1 if enlarge > 1 else 0)))
    offset = (np.arange(enlarge) + 0.5) / enlarge - 0.5
    distance = offset[:, None] - np.arange(-radius, radius + 1)[None, :]
    # the convolution of cubic and Gaussian as a sum over 161 shifts of -4 to 4 sigma
    shift = np.linspace(-4, 4, 161)
    weight = np.exp(-0.5 * shift**2)
    taps = (_cubic(distance[:, :, None] - shift * sigma_cells) * weight).sum(axis=2)
    # each phase sums to one, so that cutting the filter off keeps constant maps as they are
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
    """Maps [h, w, C] as one line of h + 2 r rows: NaN, infinite and negative values 0, edge rows
    repeated r times.
    """
    h, w, c = maps.shape
    row_size = w * c
    source = maps.reshape(h * row_size)
    padded = np.empty((h + 2 * r) * row_size, np.float32)
    body = padded[r * row_size : (r + h) * row_size]
    for i in range(h * row_size):
        value = source[i]
        value = value if value > np.float32(0) else np.float32(0)
        body[i] = value if value < HIGHEST_VALUE else np.float32(0)
    for edge in range(r):
        padded[edge * row_size : (edge + 1) * row_size] = body[:row_size]
        padded[(r + h + edge) * row_size : (r + h + edge + 1) * row_size] = body[
            (h - 1) * row_size :
        ]
    return padded


@jit
def _search(maps, part_count, threshold, taps):
    """Maxima among 4 neighbours in the filtered maps, refined: float32 [N, 4] (part, x, y, value)
    by fine row.

    Three rows of cells are enlarged at a time; ring[y % 3] holds the planes [f, f] (phase y, phase
    x) of row y.
    """
    h, w, c = maps.shape
    f, n = taps.shape
    r, row_size = n // 2, w * c
    padded = _clean(maps, r)
    line = np.empty(row_size + 2 * r * c, np.float32)
    ring = np.full((3, f, f, row_size + 2 * c), OUTSIDE, np.float32)
    # read eight at a time, since nearly all are zero
    flags = np.zeros((row_size + 7) // 8 * 8, np.uint8)
    # of two neighbours one at most is a maximum, hence half the grid and something for odd sizes
    maxima = np.empty((f * f * h * w * part_count // 2 + part_count, 4), np.float32)
    count = 0
    _enlarge_row(padded, line, taps, 0, c, ring[0])
    for y in range(h):
        if y + 1 < h:
            _enlarge_row(padded, line, taps, y + 1, c, ring[(y + 1) % 3])
        else:
            ring[(y + 1) % 3] = OUTSIDE
        count = _search_row(
            ring[(y + 2) % 3],
            ring[y % 3],
            ring[(y + 1) % 3],
            y,
            c,
            part_count,
            threshold,
            flags,
            maxima,
            count,
        )
    return maxima[:count]


@jit
def _enlarge_row(padded, line, taps, y, c, planes):
    """Fill planes [f, f, (w + 2) C] of the row y of cells; their frame of one cell at both ends
    stays as it is.
    """
    f, n = taps.shape
    r, row_size = n // 2, planes.shape[2] - 2 * c
    for qy in range(f):
        _combine(line[r * c : r * c + row_size], padded[y * row_size :], row_size, taps[qy])
        for k in range(r):
            line[k * c : (k + 1) * c] = line[r * c : (r + 1) * c]
            line[row_size + (r + k) * c : row_size + (r + k + 1) * c] = line[
                row_size + (r - 1) * c : row_size + r * c
            ]
        for qx in range(f):
            _combine(planes[qy, qx, c : c + row_size], line, c, taps[qx])


@jit
def _search_row(before, planes, after, y, c, part_count, threshold, flags, maxima, count):
    """Add the maxima of the row y of cells to `maxima`, given the planes of the rows before and
    after it.
    """
    f, end = planes.shape[0], planes.shape[2] - c
    words = flags.view(np.uint64)
    for qy in range(f):
        for qx in range(f):
            centre = planes[qy, qx, c:end]
            left = planes[qy, qx - 1, c:end] if qx > 0 else planes[qy, f - 1, : end - c]
            right = planes[qy, qx + 1, c:end] if qx < f - 1 else planes[qy, 0, 2 * c :]
            above = planes[qy - 1, qx, c:end] if qy > 0 else before[f - 1, qx, c:end]
            below = planes[qy + 1, qx, c:end] if qy < f - 1 else after[0, qx, c:end]
            for i in range(centre.size):
                value = centre[i]
                flags[i] = (
                    (value > threshold)
                    & (value > left[i])
                    & (value >= right[i])
                    & (value > above[i])
                    & (value >= below[i])
                )
            for word in range(words.size):
                if words[word] == 0:
                    continue
                for i in range(8 * word, min(8 * word + 8, centre.size)):
                    if flags[i] and i % c < part_count:
                        dx, rise_x = _vertex(left[i], centre[i], right[i])
                        dy, rise_y = _vertex(above[i], centre[i], below[i])
                        maxima[count, 0] = i % c
                        # phase q of cell i lies at i + (q + 0.5) / f - 0.5: the half-pixel rule
                        maxima[count, 1] = i // c + (qx + 0.5 + dx) / f - 0.5
                        maxima[count, 2] = y + (qy + 0.5 + dy) / f - 0.5
                        maxima[count, 3] = centre[i] * np.exp(rise_x + rise_y)
                        count += 1
    return count


@jit
def _vertex(before, middle, after):
    """The parabola through the logarithms of three values: offset of its top, -0.5 .. 0.5, and how
    far it rises.
    """
    b = np.log(middle)
    a, c = np.log(max(before, SHOULDER * middle)), np.log(max(after, SHOULDER * middle))
    bend = 2 * b - a - c
    if bend <= 1e-6:  # flat within float32: no vertex to divide by
        return 0.0, 0.0
    # beyond half a grid step the neighbour would be the peak
    offset = min(max((c - a) / (2 * bend), -0.5), 0.5)
    return offset, offset * (c - a) / 2 - offset * offset * bend / 2


@jit
def _by_part(maxima, part_count):
    """Peaks and starts (see `find_peaks`) of [N, 4] (part, x, y, value); the order within a part
    stays.
    """
    starts = np.zeros(part_count + 1, np.int64)
    for index in range(maxima.shape[0]):
        starts[int(maxima[index, 0]) + 1] += 1
    for part in range(part_count):
        starts[part + 1] += starts[part]
    fill = starts.copy()
    peaks = np.empty((maxima.shape[0], 3), np.float32)
    for index in range(maxima.shape[0]):
        part = int(maxima[index, 0])
        peaks[fill[part]] = maxima[index, 1:]
        fill[part] += 1
    return peaks, starts
