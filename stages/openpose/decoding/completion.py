"""Keypoints that were not found, placed where the found ones and the heatmaps make them likely.

OKS counts every labelled keypoint, hidden ones too, and a keypoint that is left out counts as
wrong; a good guess costs nothing and often hits. (HigherHRNet, arXiv:1908.10357, fills missing
keypoints for the same reason.) The guess: given the found parts, a Gaussian prior of bodies
(pose_prior.py) says where a missing part is and how surely; the place is the maximum, within that
region, of the Gaussian times the heatmap. Where the heatmap is silent it is the mean. Deviation
from the reference, which leaves such keypoints out; `complete: false` does too.
"""

import numpy as np

from stages.openpose.coco.pose_prior import PosePrior
from stages.openpose.compiled import jit
from stages.openpose.decoding.people import GUESS_SCORE

# Standard deviation, in sizes of the person, with which found parts are believed: some are wrong.
NOISE = 0.1
# Bodies vary more than the drawn ones of the sample: factor on the variance of the guess, and its
# least value in cells.
INFLATE = 2.0
LEAST_CELLS2 = 0.02
# Standard deviations from the mean within which the heatmap is searched.
REACH = 2.5
# Standard deviation of a person's parts below which there is nothing to go by.
LEAST_SIZE_PX = 1.0
# What an empty heatmap counts, so that far noise does not beat the mean.
FLOOR = 0.005
# Heat that a guess counts at least, so that its score is above 0, which means not found.
LEAST_HEAT = 0.01


def complete(parts: np.ndarray, heatmaps: np.ndarray, stride: int, prior: PosePrior) -> None:
    """Place the missing parts of `parts` in place.

    Args:
        parts: float32 [P, K, 3]: x, y in pixels of the network's input; score, 0 = missing. The
            score of a part placed here is its heatmap value (0..1) times GUESS_SCORE, and at least
            a hundredth of that.
        heatmaps: float32 [h, w, K + 1], contiguous.
        stride: pixels a cell.
        prior: of the same K parts.
    """
    for person in parts:
        _complete(person, heatmaps, stride, prior.mean, prior.covariance)


@jit
def _complete(person, heatmaps, stride, mean, covariance):
    found_parts = np.nonzero(person[:, 2] > 0)[0]
    missing_parts = np.nonzero(~(person[:, 2] > 0))[0]
    if found_parts.size < 2 or missing_parts.size == 0:
        return
    x, y, size = _frame(person, found_parts, mean)
    if not size > LEAST_SIZE_PX:
        return
    difference, covariances = _given_found(
        person, found_parts, missing_parts, x, y, size, mean, covariance
    )
    half = (stride - 1) / 2  # cell i is centred at pixel stride i + half
    for i in range(missing_parts.size):
        part = missing_parts[i]
        column = (x + size * (mean[2 * part] + difference[2 * i]) - half) / stride
        row = (y + size * (mean[2 * part + 1] + difference[2 * i + 1]) - half) / stride
        column, row, heat = _likeliest(
            heatmaps, part, column, row, covariances[i] * (INFLATE * (size / stride) ** 2)
        )
        person[part, 0], person[part, 1] = column * stride + half, row * stride + half
        person[part, 2] = GUESS_SCORE * min(max(heat, LEAST_HEAT), 1.0)


@jit
def _frame(person, found_parts, mean):
    """Place and size of the person, as `pose_prior.frame`."""
    count = found_parts.size
    x = y = usual_x = usual_y = 0.0
    for part in found_parts:
        x, y = x + person[part, 0] / count, y + person[part, 1] / count
        usual_x, usual_y = usual_x + mean[2 * part] / count, usual_y + mean[2 * part + 1] / count
    spread = usual = 0.0
    for part in found_parts:
        spread += (person[part, 0] - x) ** 2 + (person[part, 1] - y) ** 2
        usual += (mean[2 * part] - usual_x) ** 2 + (mean[2 * part + 1] - usual_y) ** 2
    size = np.sqrt(spread / usual)
    return x - size * usual_x, y - size * usual_y, size


@jit
def _given_found(person, found_parts, missing_parts, x, y, size, mean, covariance):
    """Mean difference [2 m] from the prior's mean, and covariances [m, 3] (xx, xy, yy), of the
    missing parts: the Gaussian of the prior, conditioned on the found parts.
    """
    found_coordinates, missing_coordinates = _coordinates(found_parts), _coordinates(missing_parts)
    n, m = found_coordinates.size, missing_coordinates.size
    matrix, right = np.empty((n, n)), np.empty((n, m + 1))
    for i in range(n):
        part, axis = found_coordinates[i] // 2, found_coordinates[i] % 2
        right[i, m] = (person[part, axis] - (x, y)[axis]) / size - mean[found_coordinates[i]]
        for j in range(n):
            matrix[i, j] = covariance[found_coordinates[i], found_coordinates[j]]
        matrix[i, i] += NOISE * NOISE  # found parts may be wrong; keeps the matrix invertible too
        for j in range(m):
            right[i, j] = covariance[found_coordinates[i], missing_coordinates[j]]
    _halfway(matrix, right)
    difference, covariances = np.zeros(m), np.empty((m // 2, 3))
    for j in range(m):
        for i in range(n):
            difference[j] += right[i, j] * right[i, m]
    for k in range(m // 2):
        for c in range(3):
            a, b = 2 * k + (c > 1), 2 * k + (c > 0)
            covariances[k, c] = covariance[missing_coordinates[a], missing_coordinates[b]]
            for i in range(n):
                covariances[k, c] -= right[i, a] * right[i, b]
    return difference, covariances


@jit
def _coordinates(parts):
    out = np.empty(2 * parts.size, np.int64)
    for i in range(parts.size):
        out[2 * i], out[2 * i + 1] = 2 * parts[i], 2 * parts[i] + 1
    return out


@jit
def _halfway(matrix, right):
    """right <- L^-1 right with matrix = L L^T (Cholesky, in place): dot products of columns are
    then those with the inverse of the matrix between them. numba's own solver would need SciPy.
    """
    n = matrix.shape[0]
    for j in range(n):
        for k in range(j):
            matrix[j, j] -= matrix[j, k] ** 2
        matrix[j, j] = np.sqrt(matrix[j, j])
        for i in range(j + 1, n):
            for k in range(j):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
            matrix[i, j] /= matrix[j, j]
    for i in range(n):
        for k in range(i):
            for c in range(right.shape[1]):
                right[i, c] -= matrix[i, k] * right[k, c]
        for c in range(right.shape[1]):
            right[i, c] /= matrix[i, i]


@jit
def _likeliest(heatmaps, part, column, row, covariance):
    """Place (column, row) in cells and heatmap value of the maximum of Gaussian times heatmap; the
    mean and 0 where no heat lies within reach.
    """
    xx, xy, yy = covariance[0] + LEAST_CELLS2, covariance[1], covariance[2] + LEAST_CELLS2
    share = 0.5 / (xx * yy - xy * xy)  # half the inverse determinant: the exponent's factor
    left, right = _range(column, np.sqrt(xx), heatmaps.shape[1])
    top, bottom = _range(row, np.sqrt(yy), heatmaps.shape[0])
    best, best_row, best_column = FLOOR, -1, -1
    for i in range(top, bottom):
        for j in range(left, right):
            heat = heatmaps[i, j, part]
            # the Gaussian only lowers: most exponentials need not be computed
            if heat + FLOOR > best and heat > 0:
                dx, dy = j - column, i - row
                value = (heat + FLOOR) * np.exp(
                    -share * (yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy)
                )
                if value > best:
                    best, best_row, best_column = value, i, j
    if best_row < 0:
        return column, row, 0.0
    heat = heatmaps[best_row, best_column, part]
    column, row = float(best_column), float(best_row)
    if 0 < best_column < heatmaps.shape[1] - 1:
        column += _vertex(
            heatmaps[best_row, best_column - 1, part],
            heat,
            heatmaps[best_row, best_column + 1, part],
        )
    if 0 < best_row < heatmaps.shape[0] - 1:
        row += _vertex(
            heatmaps[best_row - 1, best_column, part],
            heat,
            heatmaps[best_row + 1, best_column, part],
        )
    return column, row, float(heat)


@jit
def _range(centre, deviation, size):
    """First cell and one past the last within reach of `centre`, 0 .. size."""
    reach = REACH * deviation + 1  # a cell more, since the mean lies between cells
    first = min(max(np.ceil(centre - reach), 0.0), float(size))
    last = min(max(np.floor(centre + reach) + 1, 0.0), float(size))
    return int(first), int(last)


@jit
def _vertex(before, middle, after):
    """Place of the vertex of the parabola through three neighbours, at most half a cell away."""
    bend = before - 2 * middle + after
    return min(max(0.5 * (before - after) / bend, -0.5), 0.5) if bend < 0 else 0.0
