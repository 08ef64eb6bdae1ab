"""Drawings of the report as SVG: curves of training, precision and recall, and where precision is
lost.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.openpose.report.blocks import Chart
from stages.openpose.report.inputs import INFERENCES, Evaluation, numbers
from stages.openpose.report.readout import readout
from stages.openpose.report.thresholds import ThresholdCurve

INK, GRID = "#1d2730", "#e6eaee"
BLUE, ORANGE, GREEN, GREY, RED, VIOLET = (
    "#1f5fa8",
    "#d9822b",
    "#2f8f57",
    "#8a96a1",
    "#c2402d",
    "#7d5ba6",
)
MARKED_EPOCHS = 30  # curves of fewer epochs show each of them
COLOUR_OF = dict(zip(INFERENCES, (BLUE, ORANGE, GREEN), strict=True))
ERROR_COLOURS = {
    "good": "#2f8f57",
    "jitter": "#9fcbb0",
    "inversion": "#7d5ba6",
    "swap": "#d9822b",
    "miss": "#c2402d",
    "absent": "#c9d0d6",
}
STYLE: dict[Any, Any] = {
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Segoe UI", "Roboto", "Helvetica Neue", "DejaVu Sans", "Arial"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextmanager
def _drawing(
    name: str, caption: str, size: tuple[float, float] = (5.6, 3.4), model: str = ""
) -> Iterator[tuple[Axes, list[Chart]]]:
    """Axes to draw on; the finished chart is in the list afterwards. `model`: as in Chart."""
    done: list[Chart] = []
    # ids inside the drawings begin with the salt's hash: several of them stand on one page
    with rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        yield axes, done
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        done.append(Chart(name, out.getvalue(), caption, readout(axes), model))


def loss_charts(log: list[dict[str, str]]) -> list[Chart]:
    """Loss of training and of the held-out images, and the held-out loss of the last stage by
    kind.
    """
    if not log:
        return []
    groups = {
        "loss": (
            "Loss, sum over all outputs, by epoch",
            {"loss": "training", "val_loss": "held-out images"},
        ),
        "val_loss": (
            "Held-out loss of the last stage, by epoch",
            {"val_paf": "part affinity fields", "val_heat": "heatmaps"},
        ),
    }
    charts: list[Chart] = []
    for name, (caption, lines) in groups.items():
        curves = {label: _finite_points(log, column) for column, label in lines.items()}
        if not any(curves.values()):
            continue
        with _drawing(name, caption) as (axes, done):
            present = {label: points for label, points in curves.items() if points}
            _plot_losses(axes, present, "o" if len(log) < MARKED_EPOCHS else None)
        charts += done
    return charts


def _finite_points(log: list[dict[str, str]], column: str) -> list[tuple[float, float]]:
    """(epoch, value) of the lines of the log that have a value."""
    points = zip(numbers(log, "epoch"), numbers(log, column), strict=True)
    return [point for point in points if np.isfinite(point[1])]


def _plot_losses(
    axes: Axes, curves: dict[str, list[tuple[float, float]]], mark: str | None
) -> None:
    for (label, points), colour in zip(curves.items(), (BLUE, ORANGE), strict=False):
        axes.plot(
            *zip(*points, strict=True), color=colour, marker=mark, markersize=3.5, label=label
        )
    axes.set(xlabel="epoch", ylabel="loss")
    axes.set_ylim(bottom=0)
    axes.legend()


def precision_chart(evaluation: Evaluation) -> list[Chart]:
    """Precision against recall at OKS 0.50 and 0.75."""
    table = evaluation.tables.get("pr")
    if not table:
        return []
    recall = numbers(table, "recall")
    caption = (
        f"Precision and recall, model {evaluation.model}, {evaluation.split}: solid at OKS 0.50, "
        "dashed at 0.75"
    )
    with _drawing(f"pr-{evaluation.model}-{evaluation.split}", caption) as (axes, done):
        for name in evaluation.inferences:
            for oks, dashes in (("50", "solid"), ("75", (0, (3, 2)))):
                axes.plot(
                    recall,
                    numbers(table, f"{name}_{oks}"),
                    color=COLOUR_OF[name],
                    linestyle=dashes,
                    label=f"{name}, OKS 0.{oks}",
                )
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(axes.lines[::2], evaluation.inferences, loc="lower left")
    return done


def threshold_chart(curve: ThresholdCurve) -> list[Chart]:
    """Precision and recall of those detections whose score reaches a threshold."""
    name = f"threshold-{curve.model}-{curve.split}"
    caption = (
        f"Precision and recall by score threshold, model {curve.model}, {curve.split}, "
        f"{curve.inference}: people found at OKS {curve.oks:.2f}"
    )
    with _drawing(name, caption, model=curve.model) as (axes, done):
        axes.plot(curve.thresholds, curve.precision, color=BLUE, label="precision")
        axes.plot(curve.thresholds, curve.recall, color=ORANGE, label="recall")
        axes.set(xlabel="score threshold", ylabel="share", ylim=(0, 1.02))
        axes.set_xlim(left=0)
        axes.legend()
    return done


def oks_chart(evaluation: Evaluation) -> list[Chart]:
    """How well labelled people are met."""
    table = evaluation.tables.get("oks")
    if not table:
        return []
    low = np.array(numbers(table, "oks_from"))
    edges = np.append(low, 1.0)
    with _drawing(
        f"oks-{evaluation.model}-{evaluation.split}",
        f"Labelled people by OKS, model {evaluation.model}, {evaluation.split}",
    ) as (
        axes,
        done,
    ):
        for name in evaluation.inferences:
            axes.stairs(
                numbers(table, name), edges, color=COLOUR_OF[name], label=name, linewidth=1.6
            )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(
            xlabel="OKS of the person's detection (0: not found)", ylabel="people", xlim=(0, 1)
        )
        axes.legend(loc="upper center")
    return done


def keypoint_chart(evaluation: Evaluation) -> list[Chart]:
    """Shares of the kinds of keypoint errors, of the inference with most views."""
    name = evaluation.inferences[-1] if evaluation.inferences else ""
    table = [line for line in evaluation.tables.get("keypoints", []) if line["inference"] == name]
    if not table:
        return []
    names = [line["keypoint"].replace("_", " ") for line in table]
    caption = (
        "Labelled keypoints of found people, by what became of them, "
        f"model {evaluation.model}, {evaluation.split}, {name}"
    )
    with _drawing(f"keypoints-{evaluation.model}-{evaluation.split}", caption, (5.6, 4.3)) as (
        axes,
        done,
    ):
        left = np.zeros(len(table))
        for kind, colour in ERROR_COLOURS.items():
            share = np.nan_to_num(numbers(table, kind))
            axes.barh(names, share, left=left, color=colour, label=kind, height=0.78)
            left += share
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel="share")
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.grid(visible=False)
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.42, 1.0),
            ncols=6,
            handlelength=1,
            columnspacing=0.9,
        )
    return done


def group_chart(evaluation: Evaluation) -> list[Chart]:
    """AP by size of people and by number of people in the image."""
    table = evaluation.tables.get("groups")
    if not table:
        return []
    groups = list(dict.fromkeys(line["group"] for line in table))
    height = 0.8 / max(len(evaluation.inferences), 1)
    caption = (
        "AP by size of people and by people in the image, "
        f"model {evaluation.model}, {evaluation.split}"
    )
    with _drawing(f"groups-{evaluation.model}-{evaluation.split}", caption, (5.6, 4.3)) as (
        axes,
        done,
    ):
        for index, name in enumerate(evaluation.inferences):
            value = {line["group"]: line["AP"] for line in table if line["inference"] == name}
            ap = [100 * float(value.get(group) or "nan") for group in groups]
            positions = (
                np.arange(len(groups)) + (index - (len(evaluation.inferences) - 1) / 2) * height
            )
            axes.barh(positions, ap, height * 0.92, color=COLOUR_OF[name], label=name)
        axes.set_yticks(range(len(groups)), [_plural(group) for group in groups])
        axes.invert_yaxis()
        axes.set(xlabel="AP, per cent")
        axes.grid(visible=False, axis="y")
        axes.legend(loc="lower center", bbox_to_anchor=(0.42, 1.0), ncols=3, handlelength=1)
    return done


def _plural(group: str) -> str:
    """`people 2-3` as `2 to 3 people`."""
    kind, _, count = group.partition(" ")
    if kind != "people":
        return group
    return (
        "1 person"
        if count == "1"
        else f"{count.replace('-', ' to ').replace('+', ' or more')} people"
    )


FEWEST_BINS = 2  # that make a curve
COLOUR_OF_STEP = {
    "found": GREY,
    "duplicates": ORANGE,
    "background": ORANGE,
    "missed people": ORANGE,
    "score order": GREEN,
}  # kinds of keypoint errors are blue


def waterfall_chart(evaluation: Evaluation) -> list[Chart]:
    """AP from what was found up to what is left, a bar for each kind of error put right."""
    table = evaluation.tables.get("waterfall")
    if not table:
        return []
    names = [line["step"] for line in table]
    ap = 100 * np.array(numbers(table, "AP"))
    gain = np.where(np.arange(len(ap)) == 0, ap, 100 * np.array(numbers(table, "gain")))
    caption = (
        f"AP after each kind of error is put right, one after the other, model {evaluation.model}, "
        f"{evaluation.split}, multi; blue: keypoints, orange: people, green: scores"
    )
    with _drawing(f"waterfall-{evaluation.model}-{evaluation.split}", caption, (5.6, 3.7)) as (
        axes,
        done,
    ):
        colours = [COLOUR_OF_STEP.get(name, BLUE) for name in names]
        axes.barh(names, gain, left=ap - gain, color=colours, height=0.72)
        for place, (end, more) in enumerate(zip(ap, gain, strict=True)):
            text = f"{end:.1f}" if place == 0 else f"{more:+.1f}"
            axes.annotate(text, (max(end, end - more), place), (3, 0), va="center", fontsize=8.5,
                          textcoords="offset points")  # fmt: skip
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0, 112), xlabel="AP, per cent", xticks=range(0, 101, 20))
    return done


def sensitivity_chart(evaluation: Evaluation) -> list[Chart]:
    """AR of people by size, by how much of them is visible, by how their boxes overlap."""
    every = [line["attribute"] for line in evaluation.tables.get("sensitivity", [])]
    # all people in one group say what AR says
    table = [
        line
        for line in evaluation.tables.get("sensitivity", [])
        if every.count(line["attribute"]) > 1
    ]
    if not table:
        return []
    recall, low, high = (
        100 * np.array(numbers(table, f"AR{end}")) for end in ("", "_low", "_high")
    )
    attributes = [line["attribute"] for line in table]
    # a gap before each attribute, for its heading
    heading = np.array([attributes.index(one) == n for n, one in enumerate(attributes)])
    places = np.arange(len(table)) + np.cumsum(heading)
    caption = (
        "People found, by size (root of the area), by visible keypoints and by the largest overlap "
        "with another person's box: AR, with 95 % intervals, "
        f"model {evaluation.model}, {evaluation.split}, multi"
    )
    size = (5.6, 1.2 + 0.27 * (places[-1] + 1))
    with _drawing(f"sensitivity-{evaluation.model}-{evaluation.split}", caption, size) as (
        axes,
        done,
    ):
        spread = np.nan_to_num([recall - low, high - recall])
        axes.barh(places, recall, color=BLUE, height=0.72, alpha=0.85, label="AR")
        axes.errorbar(recall, places, xerr=np.maximum(spread, 0), fmt="none", ecolor=GREY)
        labels = [f"{line['group']}  ({int(line['people']):,})" for line in table]
        headings = [f"{one} (people)" for one in dict.fromkeys(attributes)]
        ticks = [*places, *places[heading] - 1]
        axes.set_yticks(ticks, [*labels, *headings])
        for text, is_heading in zip(
            axes.get_yticklabels(), [False] * len(labels) + [True] * len(headings), strict=True
        ):
            text.set_fontweight("bold" if is_heading else "normal")
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0, 100), xlabel="AR, per cent")
    return done


def reliability_charts(evaluation: Evaluation) -> list[Chart]:
    """Share of people, and of keypoints, that are right, by their score."""
    kinds = {
        "person": ("people", "OKS of 0.5 and more", BLUE),
        "keypoint": ("keypoints of found people", "ks of 0.5 and more", ORANGE),
    }
    charts: list[Chart] = []
    for kind, (label, right, colour) in kinds.items():
        lines = [line for line in evaluation.tables.get("reliability", []) if line["of"] == kind]
        if len(lines) < FEWEST_BINS:
            continue
        score, share, low, high = (
            np.array(numbers(lines, name))
            for name in ("mean_score", "share", "share_low", "share_high")
        )
        caption = (
            f"Share of {label} that is right ({right}) by score, in bins of equal number, with "
            f"95 % intervals, model {evaluation.model}, {evaluation.split}, multi"
        )
        name = f"reliability-{kind}-{evaluation.model}-{evaluation.split}"
        with _drawing(name, caption) as (axes, done):
            axes.fill_between(score, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(score, share, "o-", color=colour, markersize=3.5, label="share that is right")
            axes.set(ylim=(0, 1.02), xlabel=f"score of {label}", ylabel="share that is right")
        charts += done
    return charts
