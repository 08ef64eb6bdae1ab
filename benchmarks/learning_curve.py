"""How many images do I need: AP after training on few and on many images, from several starts.

    python -m benchmarks.learning_curve --root DATA --subsets FOLDER --results curve.csv \\
        --start light --start human-pose-estimation-0001 --start drawings=models/drawn.weights.h5

Preset own_data on the first n of DATA's training images in a random order, judged on DATA's dev
images at one scale (DATA as in workflow/sources/photos.yaml). Each training is an experiment of
DVC, `curve-START-n`, run in this folder, which should be a clone of its own; those that are
recorded already are only read, so the same command goes on where it was stopped. Writes a CSV and
prints a table; `--figure` draws it.
"""

import argparse
import csv
import json
import os
import subprocess
from pathlib import Path

import dvc.api
import numpy as np

from stages.params.presets import preset_values

HELD_OUT = 200  # the last images by id, on which settings are chosen (docs/experiments/photos.md)
SCALES = "[1.0]"
RANDOM = "random"
# Networks, and the samples after which their training ends: what hours of two cores allow.
BUDGETS = {"light": 20_000, "mobilenet": 6_000}
METRICS = "results/evaluate/trained/val.json"
LARGE_START = "human-pose-estimation-0001"
# Learning rates: lower where a network knows such images already.
RATE, RATES = 0.0045, {"light": 0.0015, LARGE_START: 0.0003}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="train.zip, dev.zip, annotations/")
    parser.add_argument("--subsets", type=Path, required=True, help="folder to write subsets to")
    parser.add_argument("--images", type=int, nargs="+", default=[50, 200, 800, 4618])
    parser.add_argument("--start", action="append", help="random, a name, or name=file of weights")
    parser.add_argument("--changes", nargs="*", default=[], metavar="section.key=value")
    parser.add_argument("--tag", default="curve", help="what the experiments' names begin with")
    parser.add_argument("--results", type=Path, required=True, help="CSV to write")
    parser.add_argument("--figure", type=Path, help="PNG to draw")
    arguments = parser.parse_args()
    rows = []
    for start in arguments.start or [RANDOM]:
        for count in arguments.images:
            rows.append(point(arguments, start, count))
            write_rows(rows, arguments.results)
    print_rows(rows)
    if arguments.figure:
        draw(rows, arguments.figure)


def point(arguments: argparse.Namespace, start: str, count: int) -> dict:
    """One training and its AP, from the record where there is one."""
    label, _, file = start.partition("=")
    name = f"{arguments.tag}-{label}-{count}"
    network = "mobilenet" if label.startswith(LARGE_START) else "light"
    root = arguments.subsets / str(count)
    samples = write_subset(arguments.root, root, count)
    epochs = min(max(BUDGETS[network] // samples, 1), preset_values("own_data")["train"]["epochs"])
    brought = [] if file or label == RANDOM else [label]
    changes = {
        "dataset.name": f"subset_{count}",
        "download.root": str(root.resolve()),
        "download.sources": "workflow/sources/photos.yaml",
        "download.weights": json.dumps(brought),
        "train.network": network,
        "train.init": file or "".join(brought),
        "train.epochs": epochs,
        "train.learning_rate": RATES.get(label.removesuffix("-int8"), RATE),
        "detect.scales": SCALES,
        "held_out.every_epochs": 0,
    }
    settings = [f"{key}={value}" for key, value in changes.items()] + arguments.changes
    if name not in recorded():
        run_experiment(name, settings)
    measured = dvc.api.metrics_show(METRICS, rev=name)["single"]
    row = {"start": label, "images": count, "samples": samples * epochs}
    return row | {key: round(measured[key], 3) for key in ("AP", "AP_low", "AP_high")}


def write_subset(root: Path, folder: Path, count: int) -> int:
    """Write the first `count` of `root`'s training images in a random order as a data set of their
    own, where it is not there yet. Returns about how many training samples it has.
    """
    whole = json.loads((root / "annotations/train.json").read_text())
    images = sorted(whole["images"], key=lambda image: image["id"])[:-HELD_OUT]
    chosen = [images[i] for i in np.random.default_rng(1).permutation(len(images))[:count]]
    ids = {image["id"] for image in chosen}
    people = [person for person in whole["annotations"] if person["image_id"] in ids]
    if not folder.exists():
        (folder / "annotations").mkdir(parents=True)
        for name in ("train.zip", "dev.zip", "annotations/dev.json"):
            os.link(root / name, folder / name)
        subset = whole | {"images": chosen, "annotations": people}
        (folder / "annotations/train.json").write_text(json.dumps(subset))
    return sum(person["num_keypoints"] >= 5 and person["area"] >= 1024 for person in people)


def recorded() -> list[str]:
    """Names of the experiments of this clone."""
    command = ["dvc", "exp", "list", "--name-only"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def run_experiment(name: str, settings: list[str]) -> None:
    """Run the pipeline up to evaluate with changed settings, as an experiment."""
    sets = [argument for setting in settings for argument in ("--set-param", setting)]
    subprocess.run(["dvc", "exp", "run", "--name", name, *sets, "evaluate"], check=True)


def write_rows(rows: list[dict], path: Path) -> None:
    """Write the rows as CSV."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def print_rows(rows: list[dict]) -> None:
    """Print a Markdown table, a start a line."""
    counts = sorted({row["images"] for row in rows})
    print("| start |", " | ".join(map(str, counts)), "|\n" + "|---" * (len(counts) + 1) + "|")
    for start in dict.fromkeys(row["start"] for row in rows):
        cells = {row["images"]: f"{row['AP']:.3f}" for row in rows if row["start"] == start}
        print(f"| {start} |", " | ".join(cells.get(count, "") for count in counts), "|")


def draw(rows: list[dict], path: Path) -> None:
    """Draw AP over the number of images, a line a start, with its interval."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for start in dict.fromkeys(row["start"] for row in rows):
        ours = [row for row in rows if row["start"] == start]
        counts = [row["images"] for row in ours]
        (line,) = axes.plot(counts, [row["AP"] for row in ours], marker="o", label=start)
        low, high = ([row[key] for row in ours] for key in ("AP_low", "AP_high"))
        axes.fill_between(counts, low, high, color=line.get_color(), alpha=0.12)
    axes.set(xscale="log", xlabel="training images", ylabel="AP, one scale", ylim=(0, None))
    axes.set_xticks(counts, map(str, counts))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
