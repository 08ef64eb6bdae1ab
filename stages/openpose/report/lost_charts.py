"""Drawings of where AP is lost: the waterfall, recall by groups of people, worth of scores."""

import numpy as np

from stages.openpose.report.blocks import Chart
from stages.openpose.report.charts import BLUE, GREEN, GREY, ORANGE, _drawing
from stages.openpose.report.inputs import Evaluation, numbers

COLOUR_OF = {"found": GREY, "missed people": ORANGE, "duplicates": ORANGE, "background": ORANGE,
             "score order": GREEN}  # fmt: skip


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
        colours = [COLOUR_OF.get(name, BLUE) for name in names]
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
    table = evaluation.tables.get("sensitivity")
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
        if not lines:
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
