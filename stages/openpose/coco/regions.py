"""Regions of an image as run lengths: from COCO's polygons and RLEs, united and subtracted, without
a pixel in between.

A region is a sorted list of *toggles*: positions in column-major order (x * height + y) where
inside and outside change places. COCO defines a polygon's pixels on a grid five times finer: its
outline is traced on that grid, and where it passes the middle of a pixel column, the pixel above
which it passes is a toggle. Only these passages are computed here. Results equal pycocotools bit
for bit.
"""

from array import array
from typing import Any

import cv2
import numpy as np

from stages.openpose.compiled import jit

HIDDEN, LABELLED, CROWD = range(3)
FARTHEST_PX = 1e6
_FINE = 5
_NO_TOGGLES = np.empty(0, np.int64)


class Segments:
    """The segments of the people and crowds of one image, gathered to be put together at once.

    Args:
        hw: (height, width) of the image, pixels.
    """

    def __init__(self, hw: tuple[int, int]):
        self.hw = hw
        self._polygons: list[tuple[int, array]] = []
        self._rles: list[tuple[int, np.ndarray]] = []

    def add(self, kind: int, segment: list[list[float]] | dict[str, Any]) -> None:
        """Add the segment of a HIDDEN or LABELLED person or of a CROWD, as COCO has it.

        A list of polygons x, y, x, y ... in pixels (one of fewer than three points encloses
        nothing), or an RLE, compressed or not.

        Raises:
            ValueError, TypeError, KeyError: it is neither, or an RLE of another size than the
                image.
        """
        if isinstance(segment, dict):
            self._rles.append((kind, _toggles_of_rle(segment, self.hw)))
        else:
            self._polygons += [(kind, _points(polygon)) for polygon in segment]

    def has_crowd(self) -> bool:
        """Whether a crowd is among the segments."""
        return any(kind == CROWD for kind, _ in self._polygons + self._rles)

    def unsupervised_rle(self) -> bytes:
        """The compressed RLE of hidden people and of crowds without labelled people; b"" where that
        is nothing.

        Raises:
            ValueError: a polygon reaches farther than FARTHEST_PX.
        """
        segments = self._polygons + self._rles
        kinds = np.array([kind for kind, _ in segments], np.int64)
        lengths = np.array([len(numbers) for _, numbers in segments], np.int64)
        points = np.frombuffer(b"".join([polygon for _, polygon in self._polygons]), np.float64)
        toggles = np.concatenate([rle for _, rle in self._rles]) if self._rles else _NO_TOGGLES
        keys = _keys(lengths, len(self._polygons), points, toggles, *self.hw)
        return _swept(np.sort(keys), kinds, self.hw[0] * self.hw[1]).tobytes()


def _points(polygon: list[float]) -> array:
    points = array("d", polygon)
    if len(points) % 2:
        raise ValueError(f"expected a polygon of pairs of numbers, found {len(points)} numbers")
    return points


def _toggles_of_rle(rle: dict[str, Any], hw: tuple[int, int]) -> np.ndarray:
    counts = rle["counts"]
    runs = run_lengths(counts.encode()) if isinstance(counts, str) else np.array(counts, np.int64)
    if (
        tuple(rle["size"]) != hw
        or runs.ndim != 1
        or (runs < 0).any()
        or runs.sum() != hw[0] * hw[1]
    ):
        raise ValueError(
            f"expected an RLE of {hw[0]} x {hw[1]} pixels, found {runs.sum()} pixels of "
            f"{rle['size']}"
        )
    return np.cumsum(runs)[:-1]


def check_rle(rle: dict[str, Any], hw: tuple[int, int]) -> str | None:
    """What is wrong with an RLE, compressed or not, of an image of (height, width) pixels; None
    where it is fine.
    """
    try:
        _toggles_of_rle(rle, hw)
    except (TypeError, ValueError, KeyError, OverflowError, IndexError) as problem:
        return (
            f"{type(problem).__name__}: {problem}"
            if isinstance(problem, KeyError)
            else str(problem)
        )
    return None


def rle_area(rle: dict[str, Any]) -> float:
    """Pixels inside an RLE, compressed or not."""
    counts = rle["counts"]
    runs = run_lengths(counts.encode()) if isinstance(counts, str) else np.array(counts, np.int64)
    return float(runs[1::2].sum())


def paint(rle: bytes, hw: tuple[int, int], outside: int, inside: int) -> np.ndarray:
    """uint8 [H, W] with the values `inside` and `outside` the region of a compressed RLE."""
    columns = np.empty(hw[::-1], np.uint8)
    _fill(np.frombuffer(rle, np.uint8), columns.reshape(-1), outside, inside)
    return cv2.transpose(columns).reshape(hw)


def run_lengths(rle: bytes) -> np.ndarray:
    """The run lengths int64 [R] of a compressed RLE, outside first."""
    return _run_lengths(np.frombuffer(rle, np.uint8))


@jit
def _keys(lengths, polygon_count, points, toggles, height, width):
    """Toggles of all segments as position * segments + number of the segment, int64 [N], unsorted.

    Segments are polygons first, then RLEs; `lengths` in numbers of `points` and of `toggles`.
    """
    for number in points:
        if not abs(number) < FARTHEST_PX:
            raise ValueError("a polygon reaches farther than a million pixels")
    segments = len(lengths)
    keys = np.empty(_room(lengths[:polygon_count], points, width) + len(toggles), np.int64)
    count, start = 0, 0
    for i in range(segments):
        if i == polygon_count:
            start = 0
        end = start + lengths[i]
        if i < polygon_count:
            found = _trace(points[start:end], height, width, keys[count:])
        else:
            found = lengths[i]
            keys[count : count + found] = toggles[start:end]
        keys[count : count + found] = keys[count : count + found] * segments + i
        count, start = count + found, end
    return keys[:count]


@jit
def _room(lengths, points, width):
    """More toggles than the polygons have: passages of columns by each edge."""
    room, start = 0, 0
    for length in lengths:
        for i in range(start, start + length, 2):
            following = i + 2 if i + 2 < start + length else start
            room += int(min(abs(points[following] - points[i]), width)) + 2
        start += length
    return room


@jit
def _trace(points, height, width, out):
    """Write the toggles of a polygon float64 [2 K], unsorted; returns their number."""
    count = 0
    corners = (_FINE * points + 0.5).astype(np.int64)  # truncates, like COCO
    for i in range(0, len(corners), 2):
        following = i + 2 if i + 2 < len(corners) else 0
        x0, y0, x1, y1 = corners[i], corners[i + 1], corners[following], corners[following + 1]
        wide, tall = abs(x1 - x0), abs(y1 - y0)
        if (wide >= tall and x0 > x1) or (wide < tall and y0 > y1):
            x0, y0, x1, y1 = x1, y1, x0, y0
        first = max((min(x0, x1) + _FINE // 2) // _FINE, 0)
        last = min((max(x0, x1) - _FINE // 2 - 1) // _FINE, width - 1)
        for column in range(first, last + 1):
            middle = (
                _FINE * column + _FINE // 2
            )  # the outline passes from fine column `middle` to the next, or back
            fine_y = (
                _y_of_wide(x0, y0, x1, y1, middle)
                if wide >= tall
                else _y_of_tall(x0, y0, x1, y1, middle)
            )
            y = min(max((fine_y + 0.5) / _FINE - 0.5, 0.0), float(height))
            out[count] = column * height + int(np.ceil(y))
            count += 1
    return count


@jit
def _y_of_wide(x0, y0, x1, y1, middle):
    """Smaller fine y of the points of an edge (x0 < x1, at most 45 degrees steep) at `middle` and
    beside it.
    """
    slope = (y1 - y0) / (x1 - x0)
    return min(int(y0 + slope * (middle - x0) + 0.5), int(y0 + slope * (middle + 1 - x0) + 0.5))


@jit
def _y_of_tall(x0, y0, x1, y1, middle):
    """Smaller fine y of the two points between which a steep edge (y0 < y1) leaves or enters fine
    column `middle`.
    """
    slope = (x1 - x0) / (y1 - y0)
    step = int((middle + 0.5 - x0) / slope)
    if slope > 0:
        while step > 0 and int(x0 + slope * step + 0.5) > middle:
            step -= 1
        while int(x0 + slope * (step + 1) + 0.5) <= middle:
            step += 1
    else:
        while step > 0 and int(x0 + slope * step + 0.5) <= middle:
            step -= 1
        while int(x0 + slope * (step + 1) + 0.5) > middle:
            step += 1
    return y0 + step


@jit
def _swept(keys, kinds, pixels):
    """Compressed RLE uint8 [N] of hidden | (crowd & ~labelled) of sorted keys."""
    within = np.zeros(len(kinds), np.int64)
    depth = np.zeros(3, np.int64)
    runs = np.empty(len(keys) + 1, np.int64)
    count, position, inside = 0, 0, False
    for i in range(len(keys)):
        here, segment = keys[i] // len(kinds), keys[i] % len(kinds)
        if here >= pixels:
            break
        within[segment] = 1 - within[segment]
        depth[kinds[segment]] += 2 * within[segment] - 1
        if i + 1 < len(keys) and keys[i + 1] // len(kinds) == here:
            continue
        if inside != (depth[HIDDEN] > 0 or (depth[CROWD] > 0 and depth[LABELLED] == 0)):
            runs[count] = here - position
            count, position, inside = count + 1, here, not inside
    runs[count] = pixels - position
    return _encoded(runs[: count + 1])


@jit
def _encoded(runs):
    """COCO's compressed RLE uint8 [N]; nothing where nothing is inside.

    From the fourth run on the difference to the run before the last is written, five bits a
    character, lowest first: 32 = more follow, 16 in the last character = negative.
    """
    if len(runs) == 1:
        return np.empty(0, np.uint8)
    text = np.empty(13 * len(runs), np.uint8)
    count = 0
    for i in range(len(runs)):
        value = runs[i] - runs[i - 2] if i > 2 else runs[i]
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text[count] = bits + (80 if more else 48)
            count += 1
    return text[:count]


@jit
def _run_lengths(text):
    runs = np.empty(len(text), np.int64)
    count, value, shift = 0, 0, 0
    for character in text:
        bits = np.int64(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs[count] = value + runs[count - 2] if count > 2 else value
            count, value, shift = count + 1, 0, 0
    return runs[:count]


@jit
def _fill(text, flat, outside, inside):
    start, value = 0, outside
    for run in _run_lengths(text):
        flat[start : start + run] = value
        start += run
        value = inside if value == outside else outside
