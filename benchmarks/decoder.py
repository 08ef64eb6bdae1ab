"""Decoders of people: milliseconds and AP on the maps of a real network, growth with people,
behaviour in noise.

python -m benchmarks.decoder

One thread, everything included (float32 maps in, people out), all decoders in turn on each image.
Times are of this process on the processor (other processes of a busy machine do not count), the
median over images of the median over rounds. AP is pycocotools' on the images of `--maps`;
intervals are 95 % of a bootstrap over images, those of the difference to the reference on the same
draws. 36 images tell little: trust differences whose interval excludes 0.

The reference side is `inference/reference_decoder.py`: its method (docs/sources.md 5) written anew;
its people equal the reference's golden ones. External decoders are represented by their golden
detections; their milliseconds are those stated with the maps, not measured here.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.painted import crowd, maps
from stages.openpose.decoding.decoder import decode
from stages.openpose.decoding.peaks import find_peaks
from stages.openpose.evaluation import scoring
from stages.openpose.inference.reference_decoder import decode_full
from stages.openpose.inference.results import to_results
from stages.openpose.inference.tta import to_image
from stages.openpose.skeleton import COCO

SHARED = Path(__file__).resolve().parents[2] / "shared"
HEIGHT_PX = 368
REFERENCE = "reference's method (parity)"
# name: (file of golden detections, milliseconds stated in the maps' README)
EXTERNAL = {
    "reference itself, golden": ("seed_detections.json", "320 as stated"),
    "tf-pose C++ on x8 maps, golden": ("tfpose_detections.json", "74 as stated"),
}
REFERENCE_THRESHOLDS = {
    "peak_threshold": 0.1,
    "limb_threshold": 0.05,
    "min_parts": 4,
    "min_score": 0.4,
    "score_rule": "sum",
    "join_pieces": False,
}
PEOPLE = (1, 2, 5, 10, 20, 50, 100, 200)
BOOTSTRAP = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=Path, default=SHARED / "real-maps", help="folder of .npz")
    parser.add_argument(
        "--golden", type=Path, default=SHARED / "golden", help="folder of golden detections"
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        default=SHARED / "coco-mini" / "annotations" / "person_keypoints.json",
    )
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    paths = sorted(arguments.maps.glob("*.npz"))
    if paths:
        compare_real(
            [_read(path) for path in paths],
            arguments.annotations,
            arguments.golden,
            arguments.rounds,
        )
    else:
        print(f"no maps in {arguments.maps}: the table of real images is left out\n")
    grow(arguments.rounds)
    survive()


def _read(path: Path) -> dict:
    with np.load(path) as file:
        return {
            "image_id": int(path.stem),
            "maps": (file["heat"].astype(np.float32), file["paf"].astype(np.float32)),
            "resized": tuple(int(side) for side in file["resized"]),
            "original": tuple(int(side) for side in file["original"]),
        }


def _reference(image: dict):
    return decode_full(*image["maps"], image["resized"], image["original"])


def _ours(mode: str, **settings) -> Callable:
    return lambda image: decode(*image["maps"], mode=mode, **settings)


def processor_ms(way: Callable[[], object], rounds: int) -> float:
    """Median processor time of a call in milliseconds."""
    spent = []
    for _ in range(rounds):
        started = time.thread_time()
        way()
        spent.append(time.thread_time() - started)
    return 1e3 * median(spent)


def compare_real(images: list[dict], annotations: Path, golden: Path, rounds: int) -> None:
    """Print the table decoder x (ms, AP) on real maps."""
    decoders = {
        REFERENCE: _reference,
        "ours, exact": _ours("exact"),
        "ours, exact, missing keypoints guessed": _ours("exact", complete=True),
        "ours, fast": _ours("fast"),
        "ours, exact, the reference's thresholds": _ours("exact", **REFERENCE_THRESHOLDS),
    }
    spent: dict[str, list[float]] = {name: [] for name in decoders}
    results: dict[str, list[dict]] = {name: [] for name in decoders}
    for decoder in decoders.values():
        decoder(images[0])  # compiled, or loaded from the cache, outside the measurement
    for image in images:
        for name, decoder in decoders.items():
            calls = 1 if name == REFERENCE else rounds
            spent[name].append(processor_ms(partial(decoder, image), calls))
            people = decoder(image)
            if name != REFERENCE:
                people = to_image(people, image["original"], HEIGHT_PX)
            results[name] += to_results(people, image["image_id"])
    times = {name: f"{median(values):.3g}" for name, values in spent.items()}
    for name, (file, stated) in EXTERNAL.items():
        if (golden / file).exists():
            results[name] = json.loads((golden / file).read_text())
            times[name] = stated
    ratio = {name: median(spent[REFERENCE]) / median(values) for name, values in spent.items()}
    _print_real(results, times, ratio, annotations, [image["image_id"] for image in images])


def _print_real(results: dict, times: dict, ratio: dict, annotations: Path, ids: list[int]) -> None:
    ground_truth = scoring.read_ground_truth(annotations)
    evaluations = {
        name: scoring.evaluate(ground_truth, image_results, ids)
        for name, image_results in results.items()
    }
    print(
        "| decoder | median ms | times faster | AP | 95 % | minus reference's method, 95 % | AP50 "
        "| AR |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (metrics, matches) in evaluations.items():
        low, high = scoring.bootstrap_interval(matches, BOOTSTRAP, np.random.default_rng(1))
        gain, (less, more) = scoring.paired_difference(
            matches, evaluations[REFERENCE][1], BOOTSTRAP, seed=1
        )
        speed = f"{ratio[name]:,.0f}" if name in ratio else ""
        print(
            f"| {name} | {times[name]} | {speed} | {metrics['AP']:.3f} | {low:.3f} .. {high:.3f} | "
            f"{gain:+.3f}: {less:+.3f} .. {more:+.3f} | {metrics['AP50']:.3f} | "
            f"{metrics['AR']:.3f} |"
        )


def grow(rounds: int) -> None:
    """Print milliseconds by people in the frame, as dense whatever their number."""
    print(
        "\n| people painted | cells | found, exact | ms, exact | us a person | found, fast | ms, "
        "fast | us a person |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for people in PEOPLE:
        parts, grid = crowd(np.random.default_rng(people), people)
        painted = maps(parts, grid)
        line = f"| {people} | {grid[0]} x {grid[1]} "
        for mode in ("exact", "fast"):
            ms = processor_ms(lambda: decode(*painted, mode=mode), rounds)  # noqa: B023
            line += (
                f"| {len(decode(*painted, mode=mode).scores)} | {ms:.3g} | {1e3 * ms / people:.0f} "
            )
        print(line + "|")


def survive() -> None:
    """Print milliseconds on maps that hold nothing but false peaks."""
    rng = np.random.default_rng(0)
    print("\n| maps without people | cells | false peaks, exact | ms, exact | ms, fast |")
    print("|---|---|---|---|---|")
    for side in (46, 128):
        heatmaps = rng.random((side, side, 19), np.float32)
        peaks = len(find_peaks(heatmaps, len(COCO.parts), 0.05, 0.35, 2)[0])
        fields = {
            "noise, PAFs of noise": rng.normal(0, 1, (side, side, 38)).astype(np.float32),
            "noise, PAFs in one direction": np.full((side, side, 38), 0.7, np.float32),
        }
        for name, pafs in fields.items():
            times = [
                processor_ms(partial(decode, heatmaps, pafs, mode=mode), 3)
                for mode in ("exact", "fast")
            ]
            print(f"| {name} | {side} x {side} | {peaks:,} | {times[0]:.0f} | {times[1]:.0f} |")


if __name__ == "__main__":
    main()
