"""What the stages left behind, read for the report. What is missing is left out; nothing here is
computed anew.
"""

import csv
import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stages.openpose.errors import InputError
from stages.openpose.evaluation.scoring import Matches, read_matches

INFERENCES = ("single", "multi", "multi_flip")
STAGES = (
    "sample",
    "download",
    "coco_api",
    "masks",
    "pack",
    "train",
    "import_model",
    "detect",
    "evaluate",
)
LIBRARIES = (
    "keras",
    "tensorflow",
    "jax",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "h5py",
    "dvc",
    "snakemake",
)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one model on one split, the tables beside them by name (`pr`, `oks`, `keypoints`,
    ...), and what was matched image by image, where it was kept."""

    model: str
    split: str
    metrics: dict[str, Any]
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    matches: Matches | None = None

    @property
    def inferences(self) -> list[str]:
        """Those of INFERENCES that were evaluated."""
        return [name for name in INFERENCES if name in self.metrics]


@dataclass(frozen=True)
class Run:
    """The record of one run of a stage."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    facts: dict[str, Any]


def read_evaluations(folder: Path, first: str) -> list[Evaluation]:
    """Evaluations below `folder`/<model>/<split>.json: model `first` before others, split val1k
    before val.
    """
    evaluations = [
        Evaluation(
            path.parent.name,
            path.stem,
            _json(path),
            _tables(path.with_suffix("")),
            _matches(path.with_suffix("")),
        )
        for path in sorted(folder.glob("*/*.json"))
    ]
    return sorted(
        evaluations,
        key=lambda evaluation: (
            evaluation.model != first,
            evaluation.model,
            evaluation.split == "val",
            evaluation.split,
        ),
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError(
            f"{path}: expected JSON, found {problem}; run the stage that writes it again"
        ) from None


def _tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    return {path.stem: read_table(path) for path in sorted(folder.glob("*.csv"))}


def _matches(folder: Path) -> Matches | None:
    path = folder / "matches.npz"
    return read_matches(path) if path.exists() else None


def read_table(path: Path) -> list[dict[str, str]]:
    """Lines of a CSV file by column; empty where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(table: list[dict[str, str]], column: str) -> list[float]:
    """A column as floats; NaN where it is empty or absent."""
    return [float(line.get(column) or "nan") for line in table]


def read_runs(folder: Path) -> list[Run]:
    """Records of stages (`stage` or `stage@item`), in the order of the pipeline; without that of an
    earlier report.
    """
    runs = []
    for path in sorted(folder.glob("*.json"), key=_place):
        if path.stem == "report":
            continue
        facts = dict(_json(path))
        measured = [
            float(facts.pop(key, 0.0)) for key in ("seconds", "cpu_seconds", "peak_memory_mb")
        ]
        runs.append(Run(path.stem, *measured, facts))
    return runs


def _place(record: Path) -> tuple[int, str]:
    stage = record.stem.partition("@")[0]
    return STAGES.index(stage) if stage in STAGES else len(STAGES), record.stem


def library_versions() -> dict[str, str]:
    """Python and the libraries that decide results, as installed."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def percent(value: float | None) -> str:
    """An AP of 0..1 in per cent with one digit; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def interval(figures: dict[str, Any], name: str = "AP") -> str:
    """The two ends of the 95 % interval in per cent, or nothing."""
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    return "" if low is None or high is None else f"{100 * low:.1f}, {100 * high:.1f}"


def with_interval(figures: dict[str, Any]) -> str:
    """AP with its interval in brackets."""
    span = interval(figures)
    return percent(figures.get("AP")) + (f" [{span}]" if span else "")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
