"""Masks, choice of samples and packing on annotations of COCO 2014's counts: seconds, peak memory and their growth.

python -m benchmarks.scale --fractions 16 1

Every step runs in a process of its own. Full size needs about 2.5 GB of disk for some minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COCO_MEAN_BYTES = (13510573713 + 6645013297) / (82783 + 40504)  # of the pictures in both archives, FACTS 7


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--fractions", type=int, nargs="+", default=[16, 1], help="sizes to run: 16 = 1/16 of COCO")
    arguments.add_argument("--folder", type=Path, help="where the temporary files go")
    arguments.add_argument("--step", nargs=3, metavar=("STEP", "DATA", "DIVISOR"), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.step:
        run_step(chosen.step[0], Path(chosen.step[1]), int(chosen.step[2]))
        return
    print("| size | step | CPU seconds | peak MB | result |\n|---|---|---|---|---|")
    for divisor in chosen.fractions:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            for step, command in commands(Path(folder), divisor).items():
                seconds, peak_mb, result = in_own_process(command)
                print(f"| 1/{divisor} | {step} | {seconds:.1f} | {peak_mb:.0f} | {result} |", flush=True)
            print(f"| 1/{divisor} | on disk | | | {size_on_disk(Path(folder))} |", flush=True)


def commands(data: Path, divisor: int) -> dict[str, list[str]]:
    """What is run, by name: the stages as they are, and two steps of this module."""
    own = {step: ["benchmarks.scale", "--step", step, data, divisor] for step in ("generate", "samples")}
    masks = {
        f"masks {source}": [
            "stages.masks", "--annotations", data / "annotations" / f"{source}.json",
            "--shards", "1", "--output", data / "masks" / f"{source}-0.h5",
        ]
        for source in ("train", "val")
    }  # fmt: skip
    where = ["--params", data / "params.yaml", "--data", data]
    packs = {
        f"pack {split}": ["stages.pack", *where, "--split", split, "--output", data / "packed" / f"{split}.h5"]
        for split in ("train", "val")
    }
    steps = {"generate": own["generate"], **masks, "samples": own["samples"], **packs}
    return {step: [sys.executable, "-m", *map(str, command)] for step, command in steps.items()}


def in_own_process(command: list[str]) -> tuple[float, float, str]:
    """Run a command; its CPU seconds, its peak memory in MB (start of the interpreter included), its last line."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"failed: {' '.join(command)}\n{errors.read()}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.strip().splitlines()[-1]


def run_step(step: str, data: Path, divisor: int) -> None:
    """Make the data set, or choose its samples; what a step does not need is not imported."""
    if step == "generate":
        from benchmarks.coco_shape import write_data

        write_data(data, 1 / divisor)
        write_params(data / "params.yaml", divisor)
        print(f"{sum(path.stat().st_size for path in data.glob('annotations/*.json')):,} bytes of annotations")
        return
    from stages.openpose import annotations

    samples = 0
    for source in ("train", "val"):
        images = annotations.read_images(data / "annotations" / f"{source}.json")
        people = annotations.read_people(images.path, images, file_order=True)
        rule = {"duplicate_radius": "reference", "min_keypoints": 5, "min_area_px2": 1024}
        samples += len(annotations.main_persons(people, **rule))
    print(f"{samples:,} samples in both sets")


def write_params(path: Path, divisor: int) -> None:
    """The sample's settings with the protocol of the reference, its held-out images divided like all else."""
    from stages.params import PRESETS, read_yaml

    values = read_yaml(PRESETS / "sample.yaml")
    values["pack"] |= {
        "protocol": "reference",
        "duplicate_radius": "reference",
        "reference_images": round(2645 / divisor),
    }
    path.write_text(json.dumps(values))


def size_on_disk(data: Path) -> str:
    """Bytes of masks and packed files, and what the latter would weigh with pictures of COCO's mean size."""
    import h5py

    sizes = {kind: sum(path.stat().st_size for path in data.glob(f"{kind}/*")) for kind in ("masks", "packed")}
    pictures, jpeg_bytes = 0, 0
    for path in data.glob("packed/*.h5"):
        with h5py.File(path) as file:
            pictures += len(file["images/id"])
            jpeg_bytes += len(file["jpeg/bytes"])
    with_coco = sizes["packed"] - jpeg_bytes + pictures * COCO_MEAN_BYTES
    return f"masks {sizes['masks']:,} bytes; packed {pictures:,} pictures, {with_coco / 1e9:.2f} GB at COCO's mean size"


if __name__ == "__main__":
    main()
