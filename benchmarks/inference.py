"""AP and time of inference on real images: views (scales, mirrored) x grid of the averaged maps,
and the reference.

    python -m benchmarks.inference --model models/real_net --annotations FILE --images FOLDER \\
        --heights 352 368 384

The network runs once on every image with people; all rows use the same maps. `reference` is the
way of docs/sources.md 5: maps enlarged to the size of the image. AP differences are against the
grid of 1 px, means over --heights, with 95 % intervals over images drawn with replacement (paired).
Other heights than the one in use help, because one figure on a few images moves by about 0.01 with
anything that changes the maps a little.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages import params
from stages.openpose.coco.annotations import read_images
from stages.openpose.coco.image_files import decode_bgr, open_images
from stages.openpose.decoding.decoder import decode
from stages.openpose.evaluation import scoring
from stages.openpose.inference.reference_decoder import decode_enlarged
from stages.openpose.inference.reference_maps import full_size_means
from stages.openpose.inference.results import to_results
from stages.openpose.inference.tta import (
    MapMean,
    View,
    network_inputs,
    scaled_size,
    to_image,
    views_for,
    without_padding,
)
from stages.openpose.network.forward import load_forward

GRIDS_PX = (1, 2, 4, 8)
ROWS = ("single", "single + flip", "multi", "multi + flip")
DRAWS = 300


class ImageMaps:
    """One image's maps by view, and its size."""

    def __init__(
        self, image_id: int, image: np.ndarray, forward: Callable, settings: params.Detect
    ):
        self.image_id, self.size_hw, self.settings = image_id, image.shape[:2], settings
        views = views_for(("multi_flip",), settings.scales)
        inputs = network_inputs(image, views, settings)
        started = time.perf_counter()
        self.maps = {
            view: tuple(batch_of_maps[0] for batch_of_maps in forward(pixels[None]))
            for view, pixels in inputs.items()
        }
        self.network_ms = 1000 * (time.perf_counter() - started)

    def results(self, people) -> list[dict]:
        return to_results(to_image(people, self.size_hw, self.settings.height_px), self.image_id)


def views_of(row_name: str, scales: tuple[float, ...]) -> list[View]:
    """The views of a row of the table."""
    row_scales = scales if row_name.startswith("multi") else (1.0,)
    return [
        View(scale, mirrored)
        for mirrored in ((False, True) if "flip" in row_name else (False,))
        for scale in row_scales
    ]


def averaged(image: ImageMaps, row_name: str, grid_px: int) -> tuple[list[dict], float, float]:
    """COCO results with the maps averaged on a grid, ms of averaging and of decoding (processor
    time).
    """
    started = time.thread_time()
    mean = MapMean(image.size_hw, replace(image.settings, average_stride_px=grid_px))
    for view in views_of(row_name, image.settings.scales):
        mean.add(view, *image.maps[view])
    maps = mean.mean()
    between = time.thread_time()
    people = decode(maps.heatmaps, maps.pafs, stride=grid_px)
    return image.results(people), 1000 * (between - started), 1000 * (time.thread_time() - between)


def plain(image: ImageMaps) -> tuple[list[dict], float, float]:
    """`single` as the stage detect makes it: the network's own maps."""
    maps = without_padding(
        *image.maps[View(1.0, False)], scaled_size(image.size_hw, image.settings.height_px)
    )
    started = time.thread_time()
    people = decode(maps.heatmaps, maps.pafs, stride=maps.stride_px)
    return image.results(people), 0.0, 1000 * (time.thread_time() - started)


def reference(image: ImageMaps, row_name: str) -> tuple[list[dict], float, float]:
    """The reference's way: maps at the size of the image, its decoder (no sub-pixel places)."""
    views = {view: image.maps[view] for view in views_of(row_name, image.settings.scales)}
    started = time.thread_time()
    output = "multi_flip" if "flip" in row_name else "multi"
    ((_, mean),) = full_size_means((output,), views, image.size_hw, image.settings)
    between = time.thread_time()
    people = decode_enlarged(*mean)
    ended = time.thread_time()
    return to_results(people, image.image_id), 1000 * (between - started), 1000 * (ended - between)


def measure(
    images: list[ImageMaps], ground_truth, way: Callable[[ImageMaps], tuple]
) -> tuple[scoring.Matches, float, float, float]:
    """Matches, AP and median milliseconds (averaging, decoding) of one way over all images."""
    measurements = [way(image) for image in images]
    results = [result for image_results, _, _ in measurements for result in image_results]
    metrics, matches = scoring.evaluate(ground_truth, results, [image.image_id for image in images])
    return (
        matches,
        metrics["AP"],
        float(np.median([measurement[1] for measurement in measurements])),
        float(np.median([measurement[2] for measurement in measurements])),
    )


def run_network(arguments: argparse.Namespace, settings: params.Detect) -> list[ImageMaps]:
    """Run the network on all images that show annotated people."""
    images, ground_truth = (
        read_images(arguments.annotations),
        scoring.read_ground_truth(arguments.annotations),
    )
    row_of, forward = images.rows(), load_forward(arguments.model)
    ids = sorted({annotation["image_id"] for annotation in ground_truth.dataset["annotations"]})
    with open_images(arguments.images) as archive:
        return [
            ImageMaps(image_id, decode_bgr(archive.read(name), name), forward, settings)
            for image_id in tqdm(ids, f"network, {settings.height_px} px", unit="image")
            for name in [images.file_names[row_of[image_id]]]
        ]


def table(images: list[ImageMaps], ground_truth) -> dict[tuple[str, int], scoring.Matches]:
    """Print AP and times of all rows of one base height; matches by row and grid."""
    print(f"{'views':14} {'grid':>10} {'AP':>6} {'average ms':>11} {'decode ms':>10}")
    matches_of = {}

    def show(row: str, grid: str, way: Callable[[ImageMaps], tuple]) -> scoring.Matches:
        matches, ap, average_ms, decode_ms = measure(images, ground_truth, way)
        print(f"{row:14} {grid:>10} {ap:6.3f} {average_ms:11.1f} {decode_ms:10.2f}", flush=True)
        return matches

    show("single", "network", plain)
    for row in ROWS:
        for grid in GRIDS_PX:
            matches_of[row, grid] = show(
                row, f"{grid} px", partial(averaged, row_name=row, grid_px=grid)
            )
        show(row, "reference", partial(reference, row_name=row))
    return matches_of


def difference(ours: list[scoring.Matches], theirs: list[scoring.Matches]) -> str:
    """Mean over heights of AP of `ours` minus AP of `theirs`, with its interval, as text."""

    def mean(counts: np.ndarray | None) -> float:
        pairs = zip(ours, theirs, strict=True)
        return float(
            np.mean(
                [
                    scoring.average_precision(a, counts) - scoring.average_precision(b, counts)
                    for a, b in pairs
                ]
            )
        )

    differences = [
        mean(counts)
        for counts in scoring.draws(len(ours[0].image_ids), DRAWS, np.random.default_rng(1))
    ]
    low, high = np.percentile(differences, [2.5, 97.5])
    return f"{mean(None):+.4f} [{low:+.4f}, {high:+.4f}]"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument(
        "--heights", type=int, nargs="+", help="base heights; default: detect.height_px"
    )
    arguments = parser.parse_args()
    base, ground_truth = (
        params.load(arguments.params).detect,
        scoring.read_ground_truth(arguments.annotations),
    )
    matches_of: dict[tuple[str, int], list[scoring.Matches]] = {}
    for height in arguments.heights or [base.height_px]:
        images = run_network(arguments, replace(base, height_px=height))
        print(
            f"\nbase height {height}, {len(images)} images, network "
            f"{np.median([s.network_ms for s in images]):.0f} ms"
        )
        for way, matches in table(images, ground_truth).items():
            matches_of.setdefault(way, []).append(matches)
    print("\nAP against the grid of 1 px, mean over heights, 95 % interval")
    for row in ROWS:
        for grid in GRIDS_PX[1:]:
            print(f"{row:14} {grid:2} px  {difference(matches_of[row, grid], matches_of[row, 1])}")


if __name__ == "__main__":
    main()
