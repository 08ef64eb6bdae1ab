"""What a reader is told of a chart at the place under the pointer, taken from the drawing."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.patches import StepPatch
from numpy.typing import ArrayLike

DIGITS = 4  # significant, of what is no whole number


def readout(axes: Axes) -> dict[str, Any] | None:
    """Lines, bars and steps of drawn axes as plain numbers; None where there are none, or where
    neither axis is linear.

    `box` (left, top, right, bottom) is the axes' place as shares of the drawing, `along` the axis
    ("x" or "y") on which the pointer chooses, `range` that axis' ends from left to right or top to
    bottom, `names` its ticks where they are words. Each of `series` has a value for each place of
    `at`.
    """
    horizontal = any(_is_horizontal(bars) for bars in _bars(axes))
    axis = axes.yaxis if horizontal else axes.xaxis
    series = [*_lines(axes), *_bar_series(axes), *_steps(axes)]
    if not series or axis.get_scale() != "linear":
        return None
    place = axes.get_position()
    labels = [label.get_text() for label in axis.get_ticklabels()] if _is_named(axes) else []
    return {
        "box": [_short(v) for v in (place.x0, 1 - place.y1, place.x1, 1 - place.y0)],
        "along": "y" if horizontal else "x",
        "range": [_short(v) for v in (axes.get_ylim()[::-1] if horizontal else axes.get_xlim())],
        "label": axis.get_label_text(),
        "names": dict(zip(map(_short, axis.get_ticklocs()), labels, strict=True)) if labels else {},
        "series": series,
    }


def _bars(axes: Axes) -> Iterable[BarContainer]:
    return (one for one in axes.containers if isinstance(one, BarContainer))


def _is_horizontal(bars: BarContainer) -> bool:
    return bars.orientation == "horizontal"


def _is_named(axes: Axes) -> bool:
    return any(True for _ in _bars(axes))


def _lines(axes: Axes) -> Iterable[dict[str, Any]]:
    for line in axes.lines:
        if not str(line.get_label()).startswith("_"):
            at, values = line.get_data()
            yield _series(line.get_label(), line.get_color(), at, values)


def _bar_series(axes: Axes) -> Iterable[dict[str, Any]]:
    """Named bars by their lengths. Unnamed ones by where they end, which is what the axis tells."""
    for bars in _bars(axes):
        boxes = [bar.get_bbox() for bar in bars]
        if _is_horizontal(bars):
            middles = [(box.y0 + box.y1) / 2 for box in boxes]
            lengths, ends = [box.width for box in boxes], [box.x1 for box in boxes]
            told = axes.get_xlabel()
        else:
            middles = [(box.x0 + box.x1) / 2 for box in boxes]
            lengths, ends = [box.height for box in boxes], [box.y1 for box in boxes]
            told = axes.get_ylabel()
        name = str(bars.get_label())
        unnamed = name.startswith("_")
        colour = bars[0].get_facecolor()
        yield _series(told if unnamed else name, colour, middles, ends if unnamed else lengths)


def _steps(axes: Axes) -> Iterable[dict[str, Any]]:
    for steps in axes.patches:
        if isinstance(steps, StepPatch):
            values, edges, _ = steps.get_data()
            middles = (np.asarray(edges)[:-1] + np.asarray(edges)[1:]) / 2
            yield _series(steps.get_label(), steps.get_edgecolor(), middles, values)


def _series(name: Any, colour: Any, at: ArrayLike, values: ArrayLike) -> dict[str, Any]:
    places, heights = np.asarray(at, float).ravel(), np.asarray(values, float).ravel()
    pairs = [(a, v) for a, v in zip(places, heights, strict=True) if np.isfinite(v)]
    return {
        "name": str(name),
        "colour": to_hex(colour),
        "at": [_short(a) for a, _ in pairs],
        "values": [_short(v) for _, v in pairs],
    }


def _short(value: float) -> float:
    return int(value) if value == int(value) else float(f"{value:.{DIGITS}g}")
