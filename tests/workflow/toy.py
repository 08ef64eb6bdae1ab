"""The body of every stage in the toy project: writes outputs whose content follows from inputs,
code and parameters.

The engines' tests run the real Snakefile, dvc.yaml and workflow/ with real processes; only the work
inside the stages is replaced by this, so that a whole pipeline takes seconds.
"""

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

READ = ("annotations", "train", "val", "model", "data", "detections")
WRITTEN = ("output", "plots", "model", "log", "metrics", "calibration")
FILES = {
    "sample": {"output": ["sources.yaml"]},
    "download": {
        "output": [
            "archives/a.zip",
            "annotations/train.json",
            "annotations/val.json",
            "ids/val1k.txt",
            "weights/none.txt",
        ]
    },
    "inspect_data": {
        "output": [
            "annotations/train.json",
            "annotations/val.json",
            "body/body.json",
            "health/same.json",
        ]
    },
    "evaluate": {"plots": ["part.txt", "pr.csv"]},
    "report": {"output": ["index.html", "report.md"]},
}


def main() -> None:
    stage = Path(sys.argv[0]).stem
    arguments, _ = _parser().parse_known_args()
    with open(os.environ.get("TOY_JOURNAL", os.devnull), "a") as journal:
        journal.write(f"{stage}\n")
    time.sleep(float(os.environ.get(f"TOY_SLEEP_{stage}", "0")))
    if f"TOY_HOLD_{stage}" in os.environ:
        _wait_while_there_is(Path(os.environ[f"TOY_HOLD_{stage}"]))
    if os.environ.get("TOY_FAIL") == stage:
        sys.exit(f"error: {stage} fails on purpose")
    digest = _digest(stage, arguments)
    for option in WRITTEN:
        path = getattr(arguments, option)
        if path and not (option == "model" and stage != "train"):
            _write(Path(path), FILES.get(stage, {}).get(option), digest)
    Path(arguments.record).parent.mkdir(parents=True, exist_ok=True)
    Path(arguments.record).write_text('{"seconds": 1.5, "peak_memory_mb": 20}')


def _wait_while_there_is(file: Path) -> None:
    """A test that failed may leave it; nobody then waits for ever."""
    until = time.monotonic() + 600
    while file.exists() and time.monotonic() < until:
        time.sleep(0.1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    for option in {*READ, *WRITTEN, "params", "record"}:
        parser.add_argument(f"--{option}")
    parser.set_defaults(params="params.yaml")
    return parser


def _digest(stage: str, arguments: argparse.Namespace) -> str:
    seen = hashlib.sha256(Path(sys.argv[0]).read_bytes())
    section, own = Path(arguments.params).read_text(), f"\n{stage}:"
    seen.update(section[section.index(own) :].split("\n\n")[0].encode() if own in section else b"")
    for option in READ:
        path = getattr(arguments, option)
        if path and (stage, option) not in (
            ("train", "model"),
            ("inspect_data", "data"),
            ("pack", "data"),
            ("report", "data"),
        ):
            for file in _files(Path(path)):
                seen.update(file.read_bytes())
    return seen.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file for file in path.rglob("*") if file.is_file() and file.suffix in (".h5", ".txt")
    )


def _write(path: Path, names: list[str] | None, digest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json" and not names:
        path.write_text(f'{{"AP": 0.5, "digest": "{digest}"}}')
    elif path.suffix == ".csv":
        path.write_text(f"epoch,loss\n0,{int(digest[:4], 16)}\n")
    elif path.suffix:
        path.write_text(digest)
    else:
        for name in names or ["part.txt"]:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(f"{name} {digest}")
