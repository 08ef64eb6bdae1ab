"""What the page can read off a chart is what was drawn."""

import numpy as np
import pytest

from stages.openpose.report import charts
from stages.openpose.report.thresholds import threshold_curve
from tests.openpose.report import explored


def told(draw):
    with charts._drawing("name", "caption") as (axes, done):
        draw(axes)
    return done[0].readout


def test_lines_are_told_with_their_values_and_unnamed_ones_are_left_out():
    def draw(axes):
        axes.plot([0, 1, 2], [0.5, np.nan, 0.25], label="recall", color="#112233")
        axes.plot([0, 1], [0, 1])
        axes.set(xlabel="score", xlim=(0, 2))

    readout = told(draw)
    assert (readout["along"], readout["label"], readout["range"]) == ("x", "score", [0, 2])
    series = {"name": "recall", "colour": "#112233", "at": [0, 2], "values": [0.5, 0.25]}
    assert readout["series"] == [series]


def test_bars_are_told_by_the_names_of_their_places():
    def draw(axes):
        axes.barh(["nose", "ear"], [0.5, np.nan], label="good")
        axes.barh(["nose", "ear"], [0.25, 1.0], left=[0.5, 0], label="miss")
        axes.invert_yaxis()

    readout = told(draw)
    assert readout["along"] == "y"
    assert readout["names"] == {0.0: "nose", 1.0: "ear"}
    assert [one["values"] for one in readout["series"]] == [[0.5], [0.25, 1.0]]
    assert readout["range"][0] < readout["range"][1], "from top to bottom"


def test_bars_without_a_name_are_told_by_where_they_end():
    def draw(axes):
        axes.barh(["found", "jitter"], [30.0, 5.0], left=[0, 30.0])
        axes.set_xlabel("AP")

    assert told(draw)["series"][0] | {"colour": "", "at": []} == {
        "name": "AP", "colour": "", "at": [], "values": [30, 35]
    }  # fmt: skip


def test_steps_are_told_at_their_middles():
    readout = told(lambda axes: axes.stairs([3, 123456], [0, 0.5, 1], label="multi"))
    assert readout["series"][0]["at"] == [0.25, 0.75]
    assert readout["series"][0]["values"] == [3, 123456], "counts are not rounded"


def test_the_box_is_where_the_axes_stand_in_the_drawing():
    left, top, right, bottom = told(lambda axes: axes.plot([0, 1], [0, 1], label="x"))["box"]
    assert 0 < left < 0.2 < 0.8 < right <= 1
    assert 0 <= top < 0.2 < 0.8 < bottom < 1


def test_charts_without_anything_to_tell_have_no_readout():
    assert told(lambda axes: axes.plot([0, 1], [0, 1])) is None

    def logarithmic(axes):
        axes.plot([1, 10], [0, 1], label="x")
        axes.set_xscale("log")

    assert told(logarithmic) is None


def test_precision_and_recall_at_each_threshold_are_those_of_the_detections_left():
    curve = threshold_curve(explored.matches(), "m", "val", "multi")
    for threshold, right, wrong in zip(curve.thresholds, curve.right, curve.wrong, strict=True):
        left = explored.matches().scores >= threshold
        assert right == (left & explored.matches().hit[0]).sum()
        assert right + wrong == left.sum()
    assert curve.recall[0] == pytest.approx(2 / 3)
    assert curve.precision[-1] == 1


def test_a_split_without_detections_or_people_has_a_curve_without_values():
    none = explored.matches()
    empty = type(none)(**{**vars(none), "image": none.image[:0], "scores": none.scores[:0],
                          "hit": none.hit[:, :0], "counted": none.counted[:, :0]})  # fmt: skip
    curve = threshold_curve(empty, "m", "val", "multi")
    assert np.isnan(curve.precision).all()
    assert curve.recall.tolist() == [0]


def test_detections_that_count_neither_way_are_neither_right_nor_wrong():
    some = explored.matches()
    counted = some.counted.copy()
    counted[:, 1] = False
    curve = threshold_curve(type(some)(**{**vars(some), "counted": counted}), "m", "val", "multi")
    assert (curve.right[0], curve.wrong[0]) == (1, 2)
