"""Training samples a second: the reference's method against ours, interleaved in one process, crops
of 368 pixels.

python -m benchmarks.loader                                   coco-mini, where ../shared is present
python -m benchmarks.loader --packed data/sample/packed/train.h5

The reference side is written anew from docs/sources.md 4 and 8: the HDF5 file holds one
uncompressed uint8 dataset [6, H, W] a sample (blue, green, red, a plane of metadata, mask_miss and
a mask of everybody; each image stands there as often as it has main persons).
A sample is read whole, its image brought to [H, W, 3], image and mask_miss warped with cubic
interpolation, the mask shrunk to 46 x 46 with cubic interpolation, labels made by
`benchmarks.labels.reference_labels`, the mask repeated for the 57 channels. No JPEG is decoded.

Ours, from the packed file, by the loader of the training stage (read, decode, warp, mask, labels,
batches of 8):
- pixel-equal: cubic warps of image and mask and the reference's labels; each sample decodes its
  image, or one decode serves all samples of an image;
- default: linear warp, one decode for all samples of an image, reduced where the crops shrink it;
  labels on the host or left to the device.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np

from benchmarks import labels
from benchmarks.real_images import pack_mini
from benchmarks.timing import print_table
from stages import params
from stages.openpose.samples import augment, packed
from stages.openpose.samples.loader import TrainingBatches

DEFAULT = params.Augment(
    crop_px=368,
    target_height=0.6,
    scale="once",
    scale_min=0.5,
    scale_max=1.1,
    rotation_deg=40.0,
    shift_px=40.0,
    shift_in="crop",
    flip_probability=0.5,
    interpolation="linear",
    outside_supervised=False,
    mask_shrink="area",
)
PARITY = replace(
    DEFAULT,
    scale="off",
    shift_in="image",
    interpolation="cubic",
    outside_supervised=True,
    mask_shrink="cubic",
)
MOST_SAMPLES = 65  # each takes much memory on the reference's side
TWO_THREADS = "default, two threads"
COPIES = 6  # of coco-mini in its packed file, so that an epoch is long enough for threads to matter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packed", type=Path, help="packed file; without it coco-mini is packed")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.packed or pack_mini(Path(folder), COPIES)
        name = "coco-mini" if arguments.packed is None else str(arguments.packed)
        compare(name, path, Path(folder) / "reference.h5", arguments.rounds)


def compare(name: str, path: Path, reference_path: Path, rounds: int) -> None:
    with packed.open_packed(path) as file:
        samples = min(len(file), MOST_SAMPLES)
        write_reference(file, reference_path, samples)
        with h5py.File(reference_path) as reference_file:
            off = check_equal(file, reference_file, path)
            ways = {
                "reference": lambda: [
                    reference_sample(reference_file, file, k) for k in range(samples)
                ]
            }
            amounts = {"reference": samples}
            for way, batches in our_ways(path).items():
                ways[way], amounts[way] = epochs(batches), len(file)
            cpu, wall = interleaved_seconds(ways, rounds)
        print(
            f"{name}: {len(file)} samples of {len(file.image_ids)} images, {rounds} interleaved "
            f"rounds, medians."
        )
    print("One thread, samples a second of processor time.")
    print(f"Largest difference between the reference and pixel-equal: {off}.\n")
    rate = {way: amounts[way] / seconds for way, seconds in cpu.items()}
    print_table(
        [
            (f"training samples: {way}", rate["reference"], rate[way], "samples/s")
            for way in list(ways)[1:-1]
        ]
    )
    one_thread, two_threads = wall["default"], wall[TWO_THREADS]
    rates = (
        f"one thread {len(file) / one_thread:.0f} samples/s, "
        f"two threads {len(file) / two_threads:.0f} samples/s"
    )
    print(f"\nDefault, by the clock: {rates}: {one_thread / two_threads:.2f}x")


def interleaved_seconds(
    ways: dict[str, Callable], rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds of each way by processor time (of all threads) and by the clock."""
    seconds_of = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.process_time(), time.perf_counter()
            way()
            seconds_of[name].append(
                (time.process_time() - began[0], time.perf_counter() - began[1])
            )
    # the first round compiles
    medians = {
        name: np.median(rounds_of_way[1:], axis=0) for name, rounds_of_way in seconds_of.items()
    }
    return {name: cpu for name, (cpu, _) in medians.items()}, {
        name: wall for name, (_, wall) in medians.items()
    }


def our_ways(path: Path) -> dict[str, TrainingBatches]:
    common = {"batch_size": 8, "seed": 1, "shuffle_images": 256, "threads": 1}
    parity = {**common, "labels": labels.PARITY, "augment": PARITY}
    default = {**common, "labels": labels.CLEAN, "augment": DEFAULT}
    on_device = replace(labels.CLEAN, made_on="device")
    return {
        "pixel-equal, a decode each": TrainingBatches(path, **parity, keep_images=0),
        "pixel-equal, shared decode": TrainingBatches(path, **parity),
        "default": TrainingBatches(path, **default),
        "default, labels left to the device": TrainingBatches(
            path, **{**default, "labels": on_device}
        ),
        TWO_THREADS: TrainingBatches(path, **{**default, "threads": 2}),
    }


def epochs(batches: TrainingBatches) -> Callable[[], None]:
    """One epoch after another, one a call."""

    def epoch() -> None:
        for index in range(len(batches)):
            batches[index]
        batches.on_epoch_end()

    return epoch


def write_reference(file: packed.Packed, path: Path, samples: int) -> None:
    with h5py.File(path, "w") as target:
        for sample in range(samples):
            image = int(file.sample_image[sample])
            pixels, mask = file.image(image).transpose(2, 0, 1), file.mask_miss(image)
            mask = np.full(pixels.shape[1:], 255, np.uint8) if mask is None else mask
            planes = [*pixels, np.zeros_like(mask), mask, np.full_like(mask, 255)]
            target.create_dataset(f"{sample:07d}", data=np.stack(planes))


def reference_matrix(file: packed.Packed, sample: int) -> np.ndarray:
    augmentation = augment.draw_augmentation(np.random.default_rng((1, 0, sample)), PARITY)
    return augment.affine(augmentation, file.centres[sample], file.scales[sample], PARITY)


def reference_sample(
    reference_file: h5py.File, file: packed.Packed, sample: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image uint8 [368, 368, 3], labels float32 [46, 46, 57] and mask float32 [46, 46, 57] of
    one sample.
    """
    planes = reference_file[f"{sample:07d}"][:]
    image, mask = np.ascontiguousarray(planes[:3].transpose(1, 2, 0)), planes[4]
    matrix = reference_matrix(file, sample)
    crop = cv2.warpAffine(
        image, matrix, (368, 368), flags=cv2.INTER_CUBIC, borderValue=(127, 127, 127)
    )
    mask = cv2.warpAffine(mask, matrix, (368, 368), flags=cv2.INTER_CUBIC, borderValue=255)
    mask = cv2.resize(mask, (46, 46), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    people, main = file.parts(int(file.sample_image[sample])), int(file.sample_person[sample])
    parts = augment.map_parts(
        np.concatenate([people[main:][:1], people[:main], people[main + 1 :]]), matrix
    )
    targets = labels.reference_labels(parts).transpose(1, 2, 0).astype(np.float32)
    return crop, targets, np.repeat(mask[:, :, np.newaxis], 57, axis=2)


def check_equal(file: packed.Packed, reference_file: h5py.File, path: Path) -> str:
    """How far our pixel-equal batches are from the reference's method, at most."""
    batches = our_ways(path)["pixel-equal, shared decode"]
    off = {"pixels": 0.0, "labels": 0.0, "mask": 0.0}
    for index in range(len(batches)):
        images, (targets, mask) = batches[index]
        for place, sample in enumerate(batches.order[index * 8 : index * 8 + 8].tolist()):
            if f"{sample:07d}" in reference_file:
                crop, reference_targets, repeated = reference_sample(reference_file, file, sample)
                pairs = (
                    (images[place].astype(int), crop),
                    (targets[place], reference_targets),
                    (mask[place], repeated),
                )
                for kind, (ours, theirs) in zip(off, pairs, strict=True):
                    off[kind] = max(off[kind], float(np.abs(ours - theirs).max()))
    return ", ".join(f"{value:.1g} ({kind})" for kind, value in off.items())


if __name__ == "__main__":
    main()
