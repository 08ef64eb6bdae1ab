"""Where AP is lost: what each kind of error costs, keypoint by keypoint, whom the method finds, and
what scores are worth.
"""

from collections.abc import Sequence

import numpy as np

from stages.openpose.evaluation.calibration import Calibration, calibration_error
from stages.openpose.evaluation.reliability import person_bins
from stages.openpose.report import charts, published
from stages.openpose.report.blocks import Block, Charts, Section, Table, Text
from stages.openpose.report.inputs import Evaluation, percent

FEW_PEOPLE = 50  # below, shares by group say little
MEANING = {
    "found": "as found",
    "jitter": "keypoints beside their label (ks 0.5 to 0.85)",
    "inversion": "left taken for right",
    "swap": "keypoints of another person",
    "miss": "keypoints near nothing",
    "absent": "keypoints left out of found people",
    "duplicates": "a second detection of somebody",
    "background": "detections where nobody is",
    "score order": "worse people scored above better ones",
    "missed people": "people who were not found",
}
WATERFALL_CAPTION = (
    "AP in per cent after each kind of error is put right, one after the other, and what putting "
    "it right alone would bring. Kinds after Ronchi & Perona 2017; what the last row lacks to 100 "
    "is lost by good keypoints (ks of 0.85 and more) at OKS 0.90 and 0.95."
)
KEYPOINT_CAPTION = (
    "AP: as if no other keypoint were labelled. PCK: share of labelled keypoints, of all people, "
    "found within this share of the root of the person's area, in per cent. Distances: of found "
    "keypoints of found people; one sigma is what people who label differ by."
)
CALIBRATION_CAPTION = (
    "People by score in bins of equal number (multi; OKS of 0.5 and more counts as right): the "
    "mean probability that the calibration gives them and the share that is right, in per cent. "
    "The calibration was fitted on {people:,} people found on {images:,} held-out training "
    "images, all of which show people. Expected calibration error, in per cent: {before} of the "
    "scores as they are, those above 1 as 1; {after} of the probabilities."
)


def blocks(
    evaluations: Sequence[Evaluation], calibration: Calibration | None = None
) -> list[Block]:
    """The section, for the last split of each model whose tables are there.

    Args:
        calibration: of the model of this run, for `multi`.
    """
    found: list[Block] = []
    for model in dict.fromkeys(evaluation.model for evaluation in evaluations):
        evaluation = [one for one in evaluations if one.model == model][-1]
        if evaluation.tables.get("waterfall"):
            name = "this run" if model == published.THIS_RUN else model
            found += [Section(f"Model: {name}, {evaluation.split}"), *_of_model(evaluation)]
            if calibration is not None and model == published.THIS_RUN:
                found += calibrated(evaluation, calibration)
    return [Section("Where AP is lost", "Losses"), *found] if found else []


def _of_model(evaluation: Evaluation) -> list[Block]:
    found: list[Block] = []
    people = evaluation.metrics.get("people", 0)
    if people < FEW_PEOPLE:
        found.append(
            Text(f"Only {people} people are to be found: shares of them say little.", "unknown")
        )
    overview = [
        *charts.waterfall_chart(evaluation),
        *charts.sensitivity_chart(evaluation),
    ]
    found += [Charts(overview), waterfall_table(evaluation), keypoint_table(evaluation)]
    reliability = charts.reliability_charts(evaluation)
    return [*found, *([Charts(reliability)] if reliability else []), threshold_table(evaluation)]


def waterfall_table(evaluation: Evaluation) -> Table:
    """AP after each step, its gain with the interval, and what it would bring alone."""
    rows = []
    for line in evaluation.tables["waterfall"]:
        first = line["step"] == "found"
        gain = "" if first else f"{_signed(line['gain'])}{_span(line, 'gain')}"
        rows.append(
            [
                line["step"],
                MEANING.get(line["step"], ""),
                f"{_percent(line['AP'])}{_span(line, 'AP')}",
                gain,
                "" if first else _signed(line["alone"]),
            ]
        )
    head = ("put right", "what it is", "AP [95 %]", "gain [95 %]", "alone")
    return Table(head, rows, WATERFALL_CAPTION, numeric=(2, 3, 4))


def keypoint_table(evaluation: Evaluation) -> Table:
    """AP, PCK and distances of each keypoint."""
    shares = ("AP", "PCK10", "PCK20", "PCK50")
    distances = ("median_px", "p90_px", "median_sigmas", "p90_sigmas")
    rows = [
        [
            line["keypoint"].replace("_", " "),
            *(_percent(line[name]) for name in shares),
            *(f"{float(line[name]):.1f}" if line[name] else "–" for name in distances),
        ]
        for line in evaluation.tables.get("points", [])
    ]
    head = ("keypoint", "AP", "PCK 0.1", "PCK 0.2", "PCK 0.5", "median px", "90 % px",
            "median sigmas", "90 % sigmas")  # fmt: skip
    return Table(head, rows, KEYPOINT_CAPTION, numeric=range(1, 9))


def threshold_table(evaluation: Evaluation) -> Table:
    """From which score on detections have a wanted precision, and what is left of the recall."""
    rows = [
        [
            percent(float(line["wanted"])),
            f"{float(line['score']):.3f}" if line["score"] else "no score does",
            _percent(line["precision"]),
            _percent(line["recall"]),
        ]
        for line in evaluation.tables.get("thresholds", [])
    ]
    return Table(
        ("wanted precision", "people from score", "precision", "recall"),
        rows,
        "Where to cut people's scores (multi, OKS of 0.5 and more counts as right), in per cent.",
        numeric=(0, 1, 2, 3),
    )


def calibrated(evaluation: Evaluation, calibration: Calibration) -> list[Block]:
    """What scores and probabilities promise beside what is right; nothing where no matches were
    kept.
    """
    if not calibration:
        told = f"Scores were not calibrated: only {calibration.people} people were found on "
        return [Text(f"{told}{calibration.images} held-out training images.", "unknown")]
    matches = evaluation.matches
    if matches is None or np.isnan(matches.scores).any():
        return []
    counted = matches.counted[0]
    scores, right = matches.scores[counted], matches.hit[0, counted]
    before, after = (
        percent(calibration_error(values, right)) for values in (scores, calibration(scores))
    )
    rows = [
        [
            f"{line['score_from']:.2f} to {line['score_to']:.2f}",
            f"{line['count']:,}",
            percent(line["mean_probability"]),
            f"{percent(line['share'])} [{percent(line['share_low'])}, "
            f"{percent(line['share_high'])}]",
        ]
        for line in person_bins(matches, calibration)
    ]
    caption = CALIBRATION_CAPTION.format(
        people=calibration.people, images=calibration.images, before=before, after=after
    )
    head = ("score", "people", "probability", "right [95 %]")
    return [Table(head, rows, caption, numeric=(0, 1, 2, 3))]


def _percent(text: str) -> str:
    return percent(float(text) if text else None)


def _signed(text: str) -> str:
    return f"{100 * float(text):+.1f}" if text else "–"


def _span(line: dict[str, str], name: str) -> str:
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    return f" [{100 * float(low):.1f}, {100 * float(high):.1f}]" if low and high else ""
