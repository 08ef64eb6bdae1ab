"""What the report says: measured beside published AP, the audit, all figures, curves, images, and
the run's facts.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from stages.openpose.evaluation.calibration import Calibration
from stages.openpose.evaluation.scoring import FEWEST_WITH_PEOPLE, paired_difference
from stages.openpose.report import charts, lost, published
from stages.openpose.report.blocks import (
    Block,
    Charts,
    Figures,
    Folded,
    Gallery,
    Page,
    Section,
    Table,
    Text,
)
from stages.openpose.report.inputs import (
    INFERENCES,
    Evaluation,
    Run,
    duration,
    interval,
    percent,
    with_interval,
)
from stages.openpose.report.thresholds import ThresholdCurve, threshold_curve
from stages.openpose.skeleton import ESTIMATED

HEADLINE = "multi"
SPLITS = ("val1k", "val")
NAME_OF_SPLIT = {"val1k": "Val-1k", "val": "full val"}
NOT_MEASURED = "not measured here"
METRICS = ("AP", "AP50", "AP75", "APm", "APl", "AR")
PUBLISHED_ON = "coco2014"
COMPARISON_HEAD = (
    "",
    "Val-1k published",
    "Val-1k measured",
    "val published",
    "val measured",
    "protocol",
    "leaked",
)
COMPARISON_CAPTION = (
    f"AP in per cent. Measured: {HEADLINE} (the scales of detect.scales averaged, no mirroring), "
    "with the 95 % interval. Leaked: evaluated images that the model was trained or chosen on "
    "(Val-1k / val where they differ)."
)

AP_MEANS = (
    "What AP means: a found person counts as right when its keypoints lie near enough to labelled "
    "ones. How near is measured by OKS: 1 is each keypoint in its place, 0 is nowhere near. AP is "
    "precision averaged over recall and over ten strictnesses from OKS 0.50 to 0.95; 100 is "
    "everybody found, each keypoint in its place, nobody invented. The interval says how far AP "
    "would move with other images of the same kind (95 %, bootstrap over images)."
)
GALLERY_KEY = (
    f"White: labelled. Coloured: found ({HEADLINE}), each limb in a colour of its own, with the "
    "score. Dashed red box: a false positive, matched to nobody at OKS 0.50. Pale: not judged (on "
    "a crowd region, on a person without labelled keypoints, or beyond the best 20 of an image). "
    "The worst images come first; the best, those with most false positives and some spread over "
    "all others are among them."
)
MAPS_KEY = (
    "Layers for some images: heatmaps (where the first model sees keypoints) and part affinity "
    "fields (where it sees limbs; the hue is their direction)."
)


def build(
    dataset: str,
    evaluations: Sequence[Evaluation],
    log: list[dict[str, str]],
    runs: Sequence[Run],
    gallery: Gallery | None,
    facts: Sequence[tuple[str, str]],
    params_text: str,
    bootstrap: tuple[int, int] = (0, 0),
    health: Sequence[Block] = (),
    calibration: Calibration | None = None,
) -> Page:
    """Put the report together.

    Args:
        gallery: images with what was labelled and what was found.
        facts: (what, value) about data and program.
        bootstrap: samples and seed of the intervals of paired differences.
        health: of report.health.
        calibration: of the scores of this run's model.
    """
    blocks: list[Block] = [verdict(evaluations), *unstated(evaluations)]
    blocks += [*headline(evaluations, runs), *meaning(dataset, evaluations)]
    if any("PCK" in evaluation.metrics for evaluation in evaluations):
        blocks += [Section("All figures", "Figures"), *own_body(evaluations)]
    else:
        blocks += [Section("Measured beside published", "Published")]
        blocks += [*comparison(dataset, evaluations), Section("All figures", "Figures")]
    blocks += [all_figures(evaluations)]
    blocks += [*differences(evaluations, *bootstrap), audit(evaluations)]
    blocks += lost.blocks(evaluations, calibration)
    blocks += curves(evaluations, log)
    if gallery:
        maps = any(view.is_map for image in gallery.images for view in image.views)
        key = f"{GALLERY_KEY} {MAPS_KEY}" if maps else GALLERY_KEY
        blocks += [Section("Images", "Images"), Text(key), gallery]
    blocks += health
    blocks += [Section("Run", "Run"), *run_facts(runs, facts)]
    if params_text:
        blocks.append(Folded("params.yaml", params_text))
    lead = (
        f"Multi-person pose estimation on the data set “{dataset}”: where people are in an image, "
        "and where their keypoints (joints, eyes, ears or others) are."
    )
    return Page(f"OpenPose pipeline: results on {dataset}", lead, blocks)


def verdict(evaluations: Sequence[Evaluation]) -> Text:
    """Whether any evaluated image was trained on."""
    if not evaluations:
        return Text("Nothing has been evaluated yet.", "unknown")
    leaks = {
        f"{evaluation.model} on {evaluation.split}": evaluation.metrics.get("leaked_images")
        for evaluation in evaluations
    }
    contaminated = [f"{name}: {count} of its images" for name, count in leaks.items() if count]
    unknown = [name for name, count in leaks.items() if count is None]
    if contaminated:
        return Text(
            f"Contaminated: the model was trained or chosen on evaluated images "
            f"({'; '.join(contaminated)}).",
            "bad",
        )
    if unknown:
        return Text(
            f"What these models were trained on is not known here: {', '.join(unknown)}.", "unknown"
        )
    return Text(
        "Clean: no evaluated image is among those that the model was trained or chosen on.", "good"
    )


def unstated(evaluations: Sequence[Evaluation]) -> list[Block]:
    """Which splits allow no AP, or no interval of it, and why."""
    told = []
    for split in dict.fromkeys(evaluation.split for evaluation in evaluations):
        found = next(evaluation for evaluation in evaluations if evaluation.split == split)
        if found.metrics.get("people") == 0:
            told.append(f"No people with labelled keypoints in {split}: AP cannot be stated.")
        elif found.matches and (found.matches.people > 0).sum() < FEWEST_WITH_PEOPLE:
            told.append(
                f"Fewer than {FEWEST_WITH_PEOPLE} images of {split} show people: how far AP would "
                "move with other images cannot be stated."
            )
    return [Text(" ".join(told), "unknown")] if told else []


def headline(evaluations: Sequence[Evaluation], runs: Sequence[Run]) -> list[Block]:
    """The few figures that a reader wants first."""
    items = []
    for evaluation in evaluations:
        figures = evaluation.metrics.get(HEADLINE)
        if evaluation.model == published.THIS_RUN and figures:
            span = interval(figures)
            remark = (
                f"95 % interval {span.replace(',', ' to')}"
                if span
                else f"{evaluation.metrics.get('images', '?')} images"
            )
            items.append(
                (
                    percent(figures.get("AP")),
                    f"AP on {NAME_OF_SPLIT.get(evaluation.split, evaluation.split)}, {HEADLINE}",
                    remark,
                )
            )
    training = next((run for run in runs if run.name == "train"), None)
    if training:
        items.append(
            (
                duration(training.seconds),
                "training",
                f"peak memory {training.peak_memory_mb / 1000:.1f} GB",
            )
        )
    if runs:
        items.append(
            (
                duration(sum(run.seconds for run in runs)),
                "all stages",
                "added up; some ran side by side",
            )
        )
    return [Figures(items)] if items else []


def meaning(dataset: str, evaluations: Sequence[Evaluation]) -> list[Block]:
    """What was done and what the headline says, for readers who are new to it."""
    ours = [found for found in evaluations if found.model == published.THIS_RUN]
    if not ours:
        return []
    metrics = ours[-1].metrics
    what = (
        f"What was run: a network was trained on images of “{dataset}” and then looked at "
        f"{metrics.get('images', '?')} others, on which {metrics.get('people', '?')} people are "
        "labelled. What it found was compared with the labels."
    )
    return [Text(what), Text(AP_MEANS)]


def comparison(dataset: str, evaluations: Sequence[Evaluation]) -> list[Block]:
    """The table of published rows, each with what was measured here, and a row for every other
    model.
    """
    measured = {(evaluation.model, evaluation.split): evaluation for evaluation in evaluations}
    models = list(dict.fromkeys(evaluation.model for evaluation in evaluations))
    notes: list[str] = []
    rows = [
        _row(line.method, line.model, (line.val1k, line.val), measured, _marks(line.notes, notes))
        for line in published.ROWS
    ]
    published_models = {line.model for line in published.ROWS}
    ours = [
        published.THIS_RUN,
        *(model for model in models if model not in {*published_models, published.THIS_RUN}),
    ]
    rows += [_row(_name(model), model, (None, None), measured, "") for model in ours]
    table = Table(
        head=COMPARISON_HEAD,
        rows=rows,
        caption=COMPARISON_CAPTION,
        numeric=(1, 2, 3, 4, 6),
        strong=[len(published.ROWS) + ours.index(published.THIS_RUN)],
        notes=notes,
        wide=True,
    )
    if dataset.startswith(PUBLISHED_ON):
        return [table]
    warning = (
        f"Published values are of COCO 2014; what was measured here is of “{dataset}”. They stand "
        "side by side to show the form of the table, and must not be compared."
    )
    return [Text(warning, "unknown"), table]


def own_body(evaluations: Sequence[Evaluation]) -> list[Block]:
    """What must be said of figures of a body that is not COCO's."""
    sigmas = {evaluation.metrics.get("sigmas") for evaluation in evaluations}
    text = (
        "Another body than COCO's: no published figure is comparable. PCK: share of all labelled "
        "keypoints that lie within 0.2 square roots of the person's area of those found."
    )
    if ESTIMATED in sigmas:
        text += (
            " AP stands on OKS sigmas that were estimated from the distances between keypoints: "
            "good for comparing runs on these data, not with other data sets."
        )
    rows = [
        [_name(evaluation.model), evaluation.split]
        + [percent(evaluation.metrics["PCK"].get(name)) for name in INFERENCES]
        for evaluation in evaluations
        if "PCK" in evaluation.metrics
    ]
    head = ("", "split", *INFERENCES)
    return [Text(text, "unknown"), Table(head, rows, "PCK in per cent.", (2, 3, 4))]


def _name(model: str) -> str:
    return "this run" if model == published.THIS_RUN else model


def _marks(notes: Sequence[str], collected: list[str]) -> str:
    collected.extend(notes)
    last = len(collected)
    return " ".join(f"({number})" for number in range(last - len(notes) + 1, last + 1))


def _row(
    name: str,
    model: str,
    published_aps: tuple[float | None, float | None],
    measured: dict[tuple[str, str], Evaluation],
    marks: str,
) -> list[str]:
    cells, leaked, protocol = [], [], ""
    for split, value in zip(SPLITS, published_aps, strict=True):
        evaluation = measured.get((model, split))
        figures = evaluation.metrics.get(HEADLINE, {}) if evaluation else {}
        cells += ["–" if value is None else f"{value:.1f}"]
        cells += [with_interval(figures) if "AP" in figures else NOT_MEASURED]
        if evaluation:
            leaked.append(_leaked(evaluation.metrics))
            protocol = str(evaluation.metrics.get("protocol") or "")
    return [f"{name} {marks}".strip(), *cells, protocol, " / ".join(dict.fromkeys(leaked))]


def _leaked(metrics: dict[str, Any]) -> str:
    count = metrics.get("leaked_images")
    return "not known" if count is None else str(count)


def all_figures(evaluations: Sequence[Evaluation]) -> Table:
    """Every model, split and inference."""
    rows, strong = [], []
    for evaluation in evaluations:
        for name in evaluation.inferences:
            figures = evaluation.metrics[name]
            gain = evaluation.metrics.get("gains", {}).get(name, {})
            gain_text = (
                f"{100 * gain['AP']:+.1f} [{interval(gain)}]" if gain.get("AP") is not None else ""
            )
            if name == HEADLINE:
                strong.append(len(rows))
            values = [percent(figures.get(metric)) for metric in METRICS]
            rows.append(
                [
                    _name(evaluation.model),
                    evaluation.split,
                    name,
                    with_interval(figures),
                    *values[1:],
                    gain_text,
                ]
            )
    return Table(
        head=["model", "split", "inference", "AP [95 %]", *METRICS[1:], "gain over single"],
        rows=rows,
        caption="single: one scale; multi: several scales averaged; multi_flip: mirrored images "
        "too. Intervals: "
        "bootstrap over images; gains on the same draws.",
        numeric=range(3, 10),
        strong=strong,
    )


def differences(evaluations: Sequence[Evaluation], samples: int, seed: int) -> list[Block]:
    """AP of each pair of models on the same images, one minus the other, with its interval."""
    rows = []
    with_matches = [evaluation for evaluation in evaluations if evaluation.matches is not None]
    for ours, theirs in combinations(with_matches, 2):
        if ours.split != theirs.split or not np.array_equal(
            ours.matches.image_ids, theirs.matches.image_ids
        ):
            continue
        gain, span = paired_difference(ours.matches, theirs.matches, samples, seed)
        if np.isnan(gain):
            continue
        low, high = span or (None, None)
        interval_text = interval({"AP_low": low, "AP_high": high})
        rows.append(
            [
                ours.split,
                _name(ours.model),
                _name(theirs.model),
                f"{100 * gain:+.1f}",
                interval_text,
            ]
        )
    if not rows:
        return []
    caption = (
        f"Paired differences: {HEADLINE} AP of the first model minus that of the second, on "
        "the same draws of images."
    )
    return [
        Table(["split", "model", "against", "difference", "95 %"], rows, caption, numeric=(3, 4))
    ]


def audit(evaluations: Sequence[Evaluation]) -> Table:
    """Which evaluated images were trained on."""
    word = {True: "contaminated", False: "clean", None: "not known"}
    rows = [
        [
            _name(evaluation.model),
            evaluation.split,
            str(evaluation.metrics.get("images", "–")),
            str(evaluation.metrics.get("people", "–")),
            str(evaluation.metrics.get("protocol") or "–"),
            str(evaluation.metrics.get("trained_on", "–")),
            _leaked(evaluation.metrics),
            word[evaluation.metrics.get("contaminated")],
        ]
        for evaluation in evaluations
    ]
    return Table(
        head=[
            "model",
            "split",
            "images",
            "people",
            "protocol",
            "trained on",
            "images leaked",
            "verdict",
        ],
        rows=rows,
        caption="Leak audit: evaluated images that are in the packed files which the model was "
        "trained or chosen on.",
        numeric=(2, 3, 6),
    )


def curves(evaluations: Sequence[Evaluation], log: list[dict[str, str]]) -> list[Block]:
    """Loss by epoch; per model precision-recall of each split, and details of its last split."""
    blocks: list[Block] = []
    losses = charts.loss_charts(log)
    if losses:
        blocks += [Section("Training", "Training"), Charts(losses)]
    blocks.append(Section("Where precision comes from and goes", "Curves"))
    for model in dict.fromkeys(evaluation.model for evaluation in evaluations):
        of_model = [evaluation for evaluation in evaluations if evaluation.model == model]
        of_model = [found for found in of_model if found.metrics.get("people") != 0]
        if not of_model:
            blocks += [Section(f"Model: {_name(model)}"), Text("Nobody to be found.", "unknown")]
            continue
        drawings = [
            chart for evaluation in of_model for chart in charts.precision_chart(evaluation)
        ]
        curve = curve_of(of_model[-1])
        drawings += charts.threshold_chart(curve) if curve else []
        for chart_of in (charts.oks_chart, charts.group_chart, charts.keypoint_chart):
            drawings += chart_of(of_model[-1])
        blocks += [Section(f"Model: {_name(model)}"), Charts(drawings)]
    return blocks if evaluations else blocks[:-1]


def curve_of(evaluation: Evaluation) -> ThresholdCurve | None:
    """Precision and recall by score threshold, where matches were kept and people labelled."""
    if evaluation.matches is None or not evaluation.matches.people.sum():
        return None
    return threshold_curve(evaluation.matches, evaluation.model, evaluation.split, HEADLINE)


def run_facts(runs: Sequence[Run], facts: Sequence[tuple[str, str]]) -> list[Block]:
    """Data, program versions, and what each stage cost."""
    blocks: list[Block] = (
        [Table(head=["", ""], rows=[list(fact) for fact in facts])] if facts else []
    )
    if runs:
        rows = [
            [
                run.name,
                duration(run.seconds),
                duration(run.cpu_seconds),
                f"{run.peak_memory_mb:.0f}",
                ", ".join(
                    f"{key} {value}"
                    for key, value in run.facts.items()
                    if not isinstance(value, dict)
                ),
            ]
            for run in runs
        ]
        blocks.append(
            Table(
                head=["stage", "time", "processor time", "peak MB", "facts"],
                rows=rows,
                caption="What each stage took when it last ran.",
                numeric=(1, 2, 3),
            )
        )
    return blocks
