"""The tables beside the metrics of one model: curves, kinds of errors, groups, losses."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.openpose.evaluation import crowd_index, diagnostics, reliability, second_judge
from stages.openpose.evaluation.comparison import Comparison
from stages.openpose.evaluation.scoring import Matches
from stages.openpose.evaluation.sensitivity import sensitivity
from stages.openpose.evaluation.waterfall import Step

HEADLINE = "multi"  # the inference whose matches and worst images are kept, for the report


@dataclass(frozen=True)
class Scored:
    """The detections of one inference beside the labels: pycocotools' figures, AP of the draws of
    the bootstrap, the second judge's figures.
    """

    figures: dict[str, float | None]
    matches: Matches
    comparison: Comparison
    drawn: np.ndarray
    second: second_judge.Figures | None


def write_tables(
    folder: Path,
    scored: dict[str, Scored],
    file_names: dict[int, str],
    crowd_indices: dict[int, float] | None = None,
) -> None:
    """The CSV files of the plots: pr, oks, keypoints, groups, worst."""
    columns = {"recall": scored["single"].matches.recalls}
    for output, one in scored.items():
        curves = diagnostics.precision_recall(one.matches)
        columns |= {
            f"{output}_{name[-2:]}": values for name, values in curves.items() if name != "recall"
        }
    _table(folder / "pr.csv", list(columns), zip(*columns.values(), strict=True))

    counts = [diagnostics.oks_histogram(one.comparison) for one in scored.values()]
    edges = np.linspace(0, 1, len(counts[0]), endpoint=False)
    _table(folder / "oks.csv", ["oks_from", *scored], zip(edges, *counts, strict=True))

    _table(
        folder / "keypoints.csv",
        ["inference", "keypoint", "labelled", *diagnostics.KINDS],
        _error_rows(scored),
    )
    groups = [
        row for output, one in scored.items() for row in _group_rows(output, one, crowd_indices)
    ]
    _table(folder / "groups.csv", ["inference", "group", "images", "people", "AP"], groups)

    worst = [
        (image_id, file_names[image_id], *figures)
        for image_id, *figures in diagnostics.worst(scored[HEADLINE].comparison)
    ]
    _table(folder / "worst.csv", ["image_id", "file_name", "people", "found", "lost_oks"], worst)


def write_losses(
    folder: Path, headline: Scored, steps: list[Step], samples: int, seed: int
) -> None:
    """The CSV files of what the headline's AP is lost to: waterfall, points, sensitivity,
    reliability, thresholds.
    """
    comparison, matches = headline.comparison, headline.matches
    lines = [
        {"step": step.name, "AP": step.ap, "gain": step.gain, "alone": step.alone}
        | dict(zip(("AP_low", "AP_high"), step.ap_interval or (None, None), strict=True))
        | dict(zip(("gain_low", "gain_high"), step.gain_interval or (None, None), strict=True))
        for step in steps
    ]
    _lines(folder / "waterfall.csv", lines)
    points = zip(
        comparison.skeleton.keypoints,
        diagnostics.keypoint_ap(comparison).tolist(),
        diagnostics.keypoint_figures(comparison),
        strict=True,
    )
    _lines(
        folder / "points.csv",
        [{"keypoint": name, "AP": ap} | figures for name, ap, figures in points],
    )
    _lines(folder / "sensitivity.csv", sensitivity(comparison, samples, seed))
    bins = {
        "person": reliability.person_bins(matches),
        "keypoint": reliability.keypoint_bins(comparison),
    }
    _lines(
        folder / "reliability.csv",
        [{"of": kind} | one for kind, lines_of in bins.items() for one in lines_of],
    )
    _lines(folder / "thresholds.csv", reliability.thresholds(matches))


def _error_rows(scored: dict[str, Scored]) -> Iterable[tuple]:
    """Per inference and keypoint: number of labelled keypoints of matched people, share of each
    kind.
    """
    for output, one in scored.items():
        errors = diagnostics.keypoint_errors(one.comparison)
        for name, counts in zip(one.comparison.skeleton.keypoints, errors, strict=True):
            yield output, name, int(counts.sum()), *(counts / max(counts.sum(), 1))


def _group_rows(
    output: str, scored: Scored, crowd_indices: dict[int, float] | None
) -> Iterable[tuple]:
    scores, matches = scored.figures, scored.matches
    images, people = len(matches.image_ids), int(matches.people.sum())
    yield output, "all", images, people, scores["AP"]
    for group, metric in (("medium (32 to 96 px)", "APm"), ("large (96 px and more)", "APl")):
        yield output, group, "", "", scores[metric]
    crowded = crowd_index.groups(matches, crowd_indices) if crowd_indices else []
    for row in (*diagnostics.crowding(matches), *crowded):
        yield output, row["group"], row["images"], row["people"], row["AP"]


def _lines(path: Path, lines: Sequence[dict]) -> None:
    """A CSV file of lines with the same keys; empty where there are none."""
    _table(path, list(lines[0]) if lines else [], [line.values() for line in lines])


def _table(path: Path, heading: list[str], rows: Iterable[Iterable]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heading)
        for row in rows:
            writer.writerow(
                ""
                if value is None
                else rounded(float(value))
                if isinstance(value, float)
                else value
                for value in row
            )


def rounded(value: Any) -> Any:
    """Six digits, so that the last bits of float64 change no file; NaN (undefined) as null."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return (None if np.isnan(value) else round(value, 6)) if isinstance(value, float) else value
