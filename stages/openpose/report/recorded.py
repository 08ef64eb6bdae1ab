"""The page of results that git keeps beside the metrics it is made of: Markdown, the same bytes for
the same metrics.
"""

from collections.abc import Iterable
from typing import Any

INFERENCES = ("single", "multi", "multi_flip")
COLUMNS = ("AP50", "AP75", "APm", "APl", "AR")
Metrics = dict[str, Any]


def to_markdown(
    dataset: str,
    evaluations: Iterable[tuple[str, str, Metrics]],
    held_out: Metrics,
    losses: Metrics,
) -> str:
    """The page.

    Args:
        evaluations: (model, split, metrics of the stage evaluate).
        held_out, losses: metrics of the stages held_out and train; empty where there are none.
    """
    lines = [
        "# Results of the recorded run",
        "",
        f"Data set `{dataset}`. Made of the metrics in this folder by `python -m stages.summary`, "
        "at the end of each run of `snakemake`; `../dvc.lock` says what was run, and `dvc metrics "
        "diff` compares it with other revisions.",
    ]
    for model, split, metrics in evaluations:
        lines += ["", f"## Model `{model}` on `{split}`", "", *_evaluation(metrics)]
    remarks = _remarks(held_out, losses)
    return "\n".join([*lines, *(["", "## Training", "", *remarks] if remarks else [])]) + "\n"


def _evaluation(metrics: Metrics) -> list[str]:
    crowd_index = metrics.get("crowd_index", {})
    levels = list(next(iter(crowd_index.values()), ()))
    head = ["", "AP (95 % interval)", *COLUMNS, *(f"AP {level}" for level in levels)]
    lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    for name in INFERENCES:
        if isinstance(values := metrics.get(name), dict):
            more = [values.get(column) for column in COLUMNS]
            more += [crowd_index[name][level] for level in levels]
            lines.append(_row([name, _interval(values), *map(_number, more)]))
    return [*lines, "", _about(metrics)]


def _about(metrics: Metrics) -> str:
    told = f"{metrics.get('images', '?')} images, {metrics.get('people', '?')} people"
    if metrics.get("contaminated"):
        return f"{told}. Contaminated: {metrics['leaked_images']} of the images were learned from."
    if metrics.get("leaked_images") == 0:
        return f"{told}; the network learned from none of them."
    return f"{told}; trained on: {metrics.get('trained_on', 'unknown')}."


def _remarks(held_out: Metrics, losses: Metrics) -> list[str]:
    remarks = []
    if held_out.get("AP") is not None:
        remarks.append(
            f"- AP of {held_out['images']} training images that were held out, one scale: "
            f"{held_out['AP']:.3f}"
        )
    for name, meaning in (("loss", "training"), ("val_loss", "held-out")):
        if name in losses:
            remarks.append(f"- loss of {meaning} samples in the last epoch: {losses[name]:.1f}")
    return remarks


def _interval(values: Metrics) -> str:
    low, high = values.get("AP_low"), values.get("AP_high")
    if low is None or high is None:
        return _number(values.get("AP"))
    return f"**{_number(values['AP'])}** ({_number(low)} to {_number(high)})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
