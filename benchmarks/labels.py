"""Labels of a training sample: the reference's method against ours, interleaved in one process, one
thread.

python -m benchmarks.labels

The reference side is written anew from docs/sources.md 4: NumPy in float64, for every keypoint of
every person the product of two Gaussians over the whole grid, for every limb the distances of the
cells of its box.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.timing import interleaved, print_table
from stages import params
from stages.openpose.samples.labels import make_targets
from stages.openpose.skeleton import COCO

GRID, STRIDE, SIGMA_PX, WIDTH_PX = 46, 8, 7.0, 8.0
PARITY = params.Labels(
    stride_px=8,
    sigma_px=7.0,
    paf_width_px=8.0,
    paf_overlap="last",
    paf_grid="corner",
    beyond_frame="keep",
    made_on="host",
)
CLEAN = params.Labels(
    stride_px=8,
    sigma_px=7.0,
    paf_width_px=8.0,
    paf_overlap="mean",
    paf_grid="centre",
    beyond_frame="none",
    made_on="host",
)
GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden" / "seed_labels.npz"


def reference_labels(parts: np.ndarray) -> np.ndarray:
    """[P, 18, 3] in pixels of a crop of 368 -> float64 [57, 46, 46]."""
    labels = np.zeros((57, GRID, GRID))
    centres = np.arange(GRID) * STRIDE + (STRIDE - 1) / 2
    for part, channel in enumerate(labels[38:56]):
        for x, y, visibility in parts[:, part]:
            if visibility < 2:
                across, down = (
                    np.exp(-((centres - coordinate) ** 2) / (2 * SIGMA_PX**2))
                    for coordinate in (x, y)
                )
                np.maximum(channel, np.outer(down, across), out=channel)
    for limb, (start, end) in enumerate(COCO.limbs):
        for person in parts:
            if person[start, 2] < 2 and person[end, 2] < 2:
                _reference_field(
                    labels[2 * limb : 2 * limb + 2], person[start, :2], person[end, :2]
                )
    labels[56] = 1 - labels[38:56].max(axis=0)
    return labels


def _reference_field(field: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    length = np.hypot(*(end - start))
    if length == 0:
        return
    unit = (end - start) / length
    (left, right), (top, bottom) = (_reference_box(a, b) for a, b in zip(start, end, strict=True))
    x, y = np.meshgrid(np.arange(left, right) * STRIDE, np.arange(top, bottom) * STRIDE)
    near = np.abs((x - start[0]) * unit[1] - (y - start[1]) * unit[0]) <= WIDTH_PX
    for axis in (0, 1):
        field[axis, top:bottom, left:right][near] = unit[axis]


def _reference_box(a: float, b: float) -> tuple[int, int]:
    low, high = round((min(a, b) - WIDTH_PX) / STRIDE), round((max(a, b) + WIDTH_PX) / STRIDE)
    return min(max(low, 0), GRID), min(max(high, 0), GRID)


def golden_or_drawn() -> tuple[list[np.ndarray], str]:
    """People of 24 training samples, crop pixels: the golden ones where present, drawn ones
    elsewhere.
    """
    if GOLDEN.exists():
        with np.load(GOLDEN) as golden:
            people = zip(golden["joints_crop"], golden["n_people"], strict=True)
            return [parts[:count] for parts, count in people], "coco-mini"
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 9, 24)
    return [
        np.dstack([rng.uniform(-60, 430, (n, 18, 2)), rng.integers(0, 3, (n, 18))]) for n in counts
    ], "drawn people"


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rounds", type=int, default=15)
    people, origin = golden_or_drawn()
    room = np.zeros((GRID, GRID, 57), np.float32)

    def ours(section: params.Labels) -> None:
        for parts in people:
            room.fill(0)
            make_targets(parts, (GRID, GRID), section, out=room)

    ways = {
        "reference": lambda: [reference_labels(parts) for parts in people],
        "parity": lambda: ours(PARITY),
        "default": lambda: ours(CLEAN),
    }
    seconds = interleaved(ways, arguments.parse_args().rounds)
    rate = {name: len(people) / value for name, value in seconds.items()}
    print_table(
        [
            (f"{origin}: labels 46x46x57, {way}", rate["reference"], rate[way], "samples/s")
            for way in list(ways)[1:]
        ]
    )
    off = max(
        np.abs(reference_labels(p).transpose(1, 2, 0) - make_targets(p, (46, 46), PARITY)).max()
        for p in people
    )
    print(
        f"\nreference {1e3 / rate['reference']:.2f} ms, parity {1e3 / rate['parity']:.3f} ms, "
        f"default "
        f"{1e3 / rate['default']:.3f} ms a sample; parity differs from the reference by at most "
        f"{off:.0e}"
    )


if __name__ == "__main__":
    main()
