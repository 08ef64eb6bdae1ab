"""Masks, samples, packing, evaluation on annotations of COCO 2014's counts: seconds, memory, bytes
and their growth.

python -m benchmarks.scale --fractions 16 4 1

Every step runs in a process of its own, one after another; the table says what the clock showed
beside the processor. Full size needs about 2.5 GB of disk for some minutes. What is evaluated is
made up (coco_shape.py), a shard for each kind of inference as stage detect writes it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

# of the images in both archives, docs/sources.md 7
COCO_MEAN_BYTES = (13510573713 + 6645013297) / (82783 + 40504)


class Step(NamedTuple):
    """A command, and the file or folder that it writes."""

    command: list[str]
    output: Path


class Cost(NamedTuple):
    """What a step took: seconds of processor and clock, peak memory (start of the interpreter
    included), bytes written, its last line."""

    seconds: float
    clock_seconds: float
    peak_mb: float
    bytes: int
    said: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--fractions",
        type=int,
        nargs="+",
        default=[16, 4, 1],
        help="sizes to run: 16 = 1/16 of COCO",
    )
    parser.add_argument("--folder", type=Path, help="where the temporary files go")
    parser.add_argument(
        "--step", nargs=3, metavar=("STEP", "DATA", "DIVISOR"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step[0], Path(arguments.step[1]), int(arguments.step[2]))
        return
    costs: dict[str, list[Cost]] = {}
    for divisor in arguments.fractions:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            for name, step in steps(Path(folder), divisor).items():
                cost = in_own_process(step)
                costs.setdefault(name, []).append(cost)
                print(
                    f"1/{divisor}: {name}: {cost.clock_seconds:.1f} s, {cost.said}",
                    file=sys.stderr,
                    flush=True,
                )
            print(f"1/{divisor}: {size_on_disk(Path(folder))}", file=sys.stderr, flush=True)
    print_costs(arguments.fractions, costs)


def print_costs(fractions: list[int], costs: dict[str, list[Cost]]) -> None:
    """A Markdown table: a row a step, the sizes in the order given; growth is last CPU seconds over
    first.
    """
    growth = f"{fractions[0] / fractions[-1]:g}"
    columns = ("CPU s", "clock s", f"growth (size: {growth})", "peak MB", "MB written")
    print(f"| step | {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    for name, step_costs in costs.items():
        seconds = " / ".join(f"{cost.seconds:.1f}" for cost in step_costs)
        clock = " / ".join(f"{cost.clock_seconds:.1f}" for cost in step_costs)
        peaks = " / ".join(f"{cost.peak_mb:.0f}" for cost in step_costs)
        written = " / ".join(f"{cost.bytes / 1e6:.1f}" for cost in step_costs)
        print(
            f"| {name} | {seconds} | {clock} | "
            f"{step_costs[-1].seconds / step_costs[0].seconds:.1f} | {peaks} | {written} |"
        )


def steps(data: Path, divisor: int) -> dict[str, Step]:
    """What is run, by name: the stages as they are, and two steps of this module."""
    where = ["--params", data / "params.yaml", "--data", data]
    commands = {"generate": (_own("generate", data, divisor), data / "annotations")}
    for source in ("train", "val"):
        read, written = data / "annotations" / f"{source}.json", data / "masks" / f"{source}-0.h5"
        commands[f"masks {source}"] = (
            ["stages.masks", "--annotations", read, "--shards", 1, "--output", written],
            written,
        )
    commands["samples"] = (_own("samples", data, divisor), data / "nothing")
    for split in ("train", "val"):
        written = data / "packed" / f"{split}.h5"
        commands[f"pack {split}"] = (
            ["stages.pack", *where, "--split", split, "--output", written],
            written,
        )
    written = data / "evaluate"
    files = [
        "--detections",
        data / "found",
        "--output",
        written / "val.json",
        "--plots",
        written / "val",
    ]
    commands["evaluate"] = (["stages.evaluate", *where, "--split", "val", *files], written)
    return {
        name: Step([sys.executable, "-m", *map(str, command)], output)
        for name, (command, output) in commands.items()
    }


def _own(step: str, data: Path, divisor: int) -> list:
    return ["benchmarks.scale", "--step", step, data, divisor]


def in_own_process(step: Step) -> Cost:
    """Run a step."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(step.command, stdout=subprocess.PIPE, stderr=errors, text=True)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"failed: {' '.join(step.command)}\n{errors.read()}")
    said = (output.strip().splitlines() or [""])[-1]
    clock_seconds = time.perf_counter() - started
    return Cost(
        usage.ru_utime + usage.ru_stime,
        clock_seconds,
        usage.ru_maxrss / 1024,
        bytes_of(step.output),
        said,
    )


def bytes_of(path: Path) -> int:
    """Size of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def run_step(step: str, data: Path, divisor: int) -> None:
    """Make the data set, or choose its samples; what a step does not need is not imported."""
    if step == "generate":
        from benchmarks.coco_shape import write_data, write_detections

        write_data(data, 1 / divisor)
        write_params(data / "params.yaml", divisor)
        detections = write_detections(
            data / "annotations" / "val.json", data / "found" / "val" / "0"
        )
        print(f"{bytes_of(data / 'annotations'):,} bytes of annotations, {detections:,} detections")
        return
    from stages.openpose.coco import annotations

    samples = 0
    for source in ("train", "val"):
        images = annotations.read_images(data / "annotations" / f"{source}.json")
        people = annotations.read_people(images.path, images, file_order=True)
        rule = {"duplicate_radius": "reference", "min_keypoints": 5, "min_area_px2": 1024}
        samples += len(annotations.main_persons(people, **rule))
    print(f"{samples:,} samples in both sets")


def write_params(path: Path, divisor: int) -> None:
    """The sample's settings with the protocol of the reference, its held-out images divided like
    all else, and the bootstrap of COCO's presets."""
    from stages.params import PRESETS, read_yaml

    values = read_yaml(PRESETS / "sample.yaml")
    values["pack"] |= {
        "protocol": "reference",
        "duplicate_radius": "reference",
        "reference_images": round(2645 / divisor),
    }
    values["masks"] |= {"sources": ["train", "val"]}
    values["evaluate"] |= {"bootstrap_samples": 1000}
    path.write_text(json.dumps(values))


def size_on_disk(data: Path) -> str:
    """Bytes of masks and packed files, and what the latter would weigh with images of COCO's mean
    size.
    """
    import h5py

    sizes = {
        kind: sum(path.stat().st_size for path in data.glob(f"{kind}/*"))
        for kind in ("masks", "packed")
    }
    images, jpeg_bytes = 0, 0
    for path in data.glob("packed/*.h5"):
        with h5py.File(path) as file:
            images += len(file["images/id"])
            jpeg_bytes += len(file["jpeg/bytes"])
    with_coco = sizes["packed"] - jpeg_bytes + images * COCO_MEAN_BYTES
    masks = f"masks {sizes['masks']:,} bytes"
    return f"{masks}; packed {images:,} images, {with_coco / 1e9:.2f} GB at COCO's mean size"


if __name__ == "__main__":
    main()
