"""Make the page of results: measured beside published AP, leak audit, curves, images, facts of the
run.

    python -m stages.report --results results --data data/sample --output results/report

Writes index.html (opens from disk, needs nothing else), report.md, figures/*.svg and images/*.jpg,
which `dvc plots diff` compares. What a stage has not left behind is left out of the page.
"""

import argparse
import json
from collections.abc import Collection
from itertools import product
from pathlib import Path

import cv2
import h5py
import numpy as np
import orjson
import yaml

from stages import cli, layout, params
from stages.openpose.coco.annotations import Images, People, read_images, read_people
from stages.openpose.coco.image_files import find_images, open_images
from stages.openpose.evaluation.calibration import read_calibration
from stages.openpose.files import whole_folder
from stages.openpose.report import gallery, inputs, page, sheets
from stages.openpose.report.blocks import Block, Charts, Gallery, GalleryImage, Page
from stages.openpose.report.health import health_blocks
from stages.openpose.report.inputs import Evaluation
from stages.openpose.report.markdown import to_markdown
from stages.openpose.report.published import THIS_RUN
from stages.openpose.report.webpage import to_html
from stages.openpose.samples.packed import open_packed
from stages.openpose.samples.sheet import contact_sheet

MODELS_SHOWN = 2
SHEET_QUALITY = 85  # of JPEGs
SHOWN_OF_A_KIND = 3


def report(arguments: argparse.Namespace) -> dict:
    """Read what the stages left and write the page."""
    settings = params.load(arguments.params)
    evaluations = active(
        inputs.read_evaluations(arguments.results / "evaluate", THIS_RUN),
        settings.detect.models,
        settings.evaluate.splits,
    )
    ground_truth = _truth(arguments.data)
    fitted = arguments.results / "held_out" / "calibration.json"
    built = page.build(
        settings.dataset.name,
        evaluations,
        inputs.read_table(arguments.results / "train" / "log.csv"),
        inputs.read_runs(arguments.results / "runs"),
        explorer(arguments, evaluations, ground_truth, settings.report.gallery_images),
        facts(arguments, settings, ground_truth),
        arguments.params.read_text(encoding="utf-8"),
        (settings.evaluate.bootstrap_samples, settings.evaluate.seed),
        health(arguments.data, settings.report.gallery_images),
        read_calibration(fitted) if fitted.exists() else None,
    )
    write(built, arguments.output, image_sheets(arguments, settings, evaluations, ground_truth))
    print(f"report: {arguments.output / 'index.html'}")
    return {"evaluations": len(evaluations)}


def active(
    evaluations: list[Evaluation], models: Collection[str], splits: Collection[str]
) -> list[Evaluation]:
    """The evaluations that the settings name; says which are left out. Those of former settings
    may be of other images and another body.
    """
    results = set(product(models, splits))
    left_out = [one for one in evaluations if (one.model, one.split) not in results]
    if left_out:
        names = ", ".join(f"{one.model} on {one.split}" for one in left_out)
        print(f"report: {names} left out: not in detect.models and evaluate.splits of params.yaml")
    return [one for one in evaluations if (one.model, one.split) in results]


def _truth(data: Path) -> tuple[Images, People] | None:
    path = layout.annotations_folder(data) / "val.json"
    if not path.exists():
        return None
    images = read_images(path)
    return images, read_people(path, images)


def explorer(
    arguments: argparse.Namespace,
    evaluations: list[Evaluation],
    ground_truth: tuple[Images, People] | None,
    count: int,
) -> Gallery | None:
    """Images to explore: the worst, the best, those with most false positives, and others."""
    shown = explored(evaluations)
    archives = arguments.data / "archives"
    if not (ground_truth and shown and count and archives.exists()):
        return None
    images, people = ground_truth
    skeleton = layout.read_skeleton(arguments.data, images)
    folders = {
        one.model: _detections(arguments.results / "detect" / one.model, images.rows())
        for one in shown
    }
    first = shown[0]
    lost_oks = {
        int(line["image_id"]): float(line["lost_oks"]) for line in first.tables.get("worst", [])
    }
    candidates = gallery.detected_image_ids(folders[first.model])
    if first.matches:
        candidates &= set(first.matches.image_ids.tolist())
    rows = gallery.choose(images, people, count, candidates, lost_oks, first.matches)
    ids = images.ids[rows].tolist()
    found = {
        one.model: gallery.detections(folders[one.model], page.HEADLINE, ids, skeleton, one.matches)
        for one in shown
    }
    with open_images(find_images(archives, "val")) as archive:
        maps = gallery.read_maps(folders[first.model], ids)
        gallery_images = gallery.show(
            images, people, rows, found, archive, skeleton, lost_oks, maps
        )
    curves = [curve for curve in map(page.curve_of, shown) if curve]
    return Gallery(gallery_images, curves) if gallery_images else None


def explored(evaluations: list[Evaluation]) -> list[Evaluation]:
    """Of each of the first models the evaluation of most images."""
    models = list(dict.fromkeys(evaluation.model for evaluation in evaluations))[:MODELS_SHOWN]
    return [
        max(
            (evaluation for evaluation in evaluations if evaluation.model == model),
            key=lambda evaluation: evaluation.metrics.get("images", 0),
        )
        for model in models
    ]


def health(data: Path, most_images: int) -> list[Block]:
    """What the stage inspect_data found, with the first images of each suspicious kind."""
    path = data / "inspected" / "health" / "health.json"
    if not path.exists():
        return []
    found = orjson.loads(path.read_bytes())
    shown: list[GalleryImage] = []
    for name, one in found["sets"].items():
        ids = [
            i for kind in one["suspicious"].values() for i in kind["image_ids"][:SHOWN_OF_A_KIND]
        ]
        if not ids or not (data / "archives").exists():
            continue
        images = read_images(layout.annotations_folder(data) / f"{name}.json")
        people, row_of = read_people(images.path, images), images.rows()
        skeleton = layout.read_skeleton(data, images)
        with open_images(find_images(data / "archives", name)) as archive:
            rows = [row_of[i] for i in dict.fromkeys(ids) if i in row_of]
            shown += gallery.show(
                images, people, rows[: most_images - len(shown)], {}, archive, skeleton
            )
    return health_blocks(found, shown)


def _detections(folder: Path, ids: Collection[int]) -> Path:
    """The folder of shards of the split with most of the images `ids`."""
    splits = sorted(path for path in folder.glob("*") if path.is_dir())
    return max(
        splits,
        key=lambda split: len(gallery.detected_image_ids(split).intersection(ids)),
        default=folder,
    )


def facts(
    arguments: argparse.Namespace,
    settings: params.Params,
    ground_truth: tuple[Images, People] | None,
) -> list[tuple[str, str]]:
    """What the run was about: data, network, programs."""
    lines = [("data set", settings.dataset.name), ("protocol", settings.pack.protocol)]
    for split in ("train", "val"):
        path = arguments.data / "packed" / f"{split}.h5"
        if path.exists():
            with open_packed(path) as packed:
                lines.append(
                    (
                        f"packed/{split}.h5",
                        f"{len(packed.image_ids):,} images, {len(packed):,} samples",
                    )
                )
    if ground_truth:
        lines.append(
            (
                "validation set",
                f"{len(ground_truth[0]):,} images, {len(ground_truth[1]):,} people with keypoints",
            )
        )
    lines += _model_facts(arguments)
    train = settings.train
    training = f"{train.epochs} epochs, batch {train.batch_size}, {train.optimizer}, "
    lines.append(("training", training + train.precision))
    programs = [f"{name} {version}" for name, version in inputs.library_versions().items()]
    lines.append(("programs", ", ".join(programs)))
    return lines


def _model_facts(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Network, number of parameters and held-out AP, of what was trained here."""
    lines = []
    described = arguments.models / THIS_RUN / "model.yaml"
    if described.exists():
        model = yaml.safe_load(described.read_text(encoding="utf-8"))
        lines.append(
            (
                "model",
                ", ".join(f"{key} {value}" for key, value in model.items() if key != "skeleton"),
            )
        )
        lines.append(("parameters", f"{_parameters(described.with_name(model['file'])):,}"))
    held_out = arguments.results / "held_out" / "metrics.json"
    if held_out.exists():
        measured = json.loads(held_out.read_text(encoding="utf-8"))
        where = f"{measured['images']} training images"
        told = (
            f"{measured['AP']} on {where}, one scale"
            if "AP" in measured
            else (
                f"cannot be stated: nobody is to be found on {where} held out (pack.holdout_images)"
            )
        )
        lines.append(("held-out AP", told))
    return lines


def _parameters(weights: Path) -> int:
    """Numbers in a file of Keras weights."""
    sizes = []
    with h5py.File(weights) as file:
        file.visititems(
            lambda _, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None
        )
    return sum(sizes)


def image_sheets(
    arguments: argparse.Namespace,
    settings: params.Params,
    evaluations: list[Evaluation],
    ground_truth: tuple[Images, People] | None,
) -> dict[str, np.ndarray]:
    """By name, for `dvc plots diff`: people labelled and found in images of val, and what the
    network learned from; uint8 [H, W, 3] BGR.
    """
    shown = {}
    archives, packed = arguments.data / "archives", arguments.data / "packed" / "train.h5"
    if ground_truth and len(ground_truth[1]) and evaluations and archives.exists():
        images, people = ground_truth
        rows, skeleton = sheets.spread(images, people), layout.read_skeleton(arguments.data, images)
        first = evaluations[0]
        folder = _detections(arguments.results / "detect" / first.model, images.rows())
        ids = images.ids[rows].tolist()
        found = sheets.read_found(folder, page.HEADLINE, ids, skeleton)
        with open_images(find_images(archives, "val")) as archive:
            shown["people"] = sheets.people_sheet(images, people, rows, found, archive, skeleton)
    if packed.exists():
        with open_packed(packed) as samples:
            shown["labels"] = contact_sheet(samples, settings)
    return shown


def write(page: Page, output: Path, shown: dict[str, np.ndarray]) -> None:
    """index.html, report.md, the charts and the sheets of images as files."""
    with whole_folder(output) as folder:
        (folder / "images").mkdir()
        for name, pixels in shown.items():
            jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, SHEET_QUALITY])[1]
            (folder / "images" / f"{name}.jpg").write_bytes(jpeg.tobytes())
        (folder / "index.html").write_text(to_html(page), encoding="utf-8")
        (folder / "report.md").write_text(to_markdown(page), encoding="utf-8")
        (folder / "figures").mkdir()
        for block in page.blocks:
            for chart in block.charts if isinstance(block, Charts) else ():
                (folder / "figures" / f"{chart.name}.svg").write_bytes(chart.svg)


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--results", type=Path, required=True, help="folder with what the stages left: results"
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the data set, data/<name>"
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of models")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write, results/report"
    )
    cli.run(report, parser.parse_args())


if __name__ == "__main__":
    main()
