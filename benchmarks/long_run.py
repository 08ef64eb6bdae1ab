"""Memory, threads and descriptors of a long run: flat after its warm-up, or not.

    python -m benchmarks.long_run python -m stages.train --train ... --val ...
    python -m benchmarks.long_run python -m benchmarks.long_run film /tmp/film

The first form runs a command and looks at its process all the time; it prints the medians of each
tenth of the run, and how much the last tenth differs from the second. The second form takes a film
of its own through reading, following and writing, as the stage predict does, with people who are
given instead of found: a network would take most of the time.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil

from stages import predict
from stages.openpose.predicting import films, inputs, outputs, reading
from stages.openpose.predicting.found import FoundPeople
from stages.openpose.skeleton import COCO
from stages.params import WORKFLOW, load

HEIGHT, WIDTH, RATE, PEOPLE = 96, 128, 30, 3
FORMS = [form for form in outputs.FORMS if form != outputs.OPENPOSE]  # a file for each frame
MINUTE = 60 * RATE  # frames
TENTHS = 10
COLUMNS = ("memory MB", "threads", "descriptors")


def main() -> None:
    if sys.argv[1:2] == ["film"]:
        film(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every_s", type=float, default=2)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    process = subprocess.Popen(arguments.command)
    seen = np.array(list(watched(process.pid, arguments.every_s)))
    print_tenths(seen)
    sys.exit(process.wait())


def watched(pid: int, every_s: float) -> Iterator[tuple[float, int, int]]:
    """(resident memory in MB, threads, descriptors) of a process, again and again to its end."""
    process = psutil.Process(pid)
    while True:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return
            memory_mb = process.memory_info().rss / 1e6
            yield memory_mb, process.num_threads(), process.num_fds()
        except psutil.NoSuchProcess:
            return
        time.sleep(every_s)


def print_tenths(seen: np.ndarray) -> None:
    """Medians of the columns of `seen`, float [N, 3], by tenth."""
    print(f"{'tenth':>6}" + "".join(f"{name:>14}" for name in COLUMNS))
    medians = [np.median(part, axis=0) for part in np.array_split(seen, TENTHS) if len(part)]
    for tenth, values in enumerate(medians, 1):
        print(f"{tenth:6}" + "".join(f"{value:14.0f}" for value in values))
    second, last = medians[min(1, len(medians) - 1)], medians[-1]
    growth = 100 * (last / second - 1)
    print(
        f"of {len(seen)} looks, second tenth to last: "
        + ", ".join(f"{name} {change:+.1f} %" for name, change in zip(COLUMNS, growth, strict=True))
    )


def film(words: list[str]) -> None:
    """Write a film, then take it through what predict does with one."""
    parser = argparse.ArgumentParser(description="see python -m benchmarks.long_run --help")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=RATE * 3600, help="an hour")
    parser.add_argument("--minutes", type=float, default=20, help="end after them in any case")
    arguments = parser.parse_args(words)
    path = arguments.folder / f"{arguments.frames}.mp4"
    if not path.exists():
        write_film(path, arguments.frames)
    done = follow_film(path, arguments.folder / "out", arguments.minutes)
    print(f"{done} of {arguments.frames} frames, {PEOPLE} people in each")


def write_film(path: Path, frames: int) -> None:
    """A bar that wanders over grey, encoded for a minute and then copied."""
    minute = path.with_name("minute.mp4")
    with films.FilmWriter(minute, Fraction(RATE)) as writer:
        for index in range(min(frames, MINUTE)):
            pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            pixels[:, index % WIDTH] = 200
            writer.write(pixels, films.Frame(index, pixels, index, Fraction(1, RATE)))
    av = films.require_pyav()
    with av.open(str(path), "w") as target:
        for start in range(0, frames, MINUTE):
            with av.open(str(minute)) as source:
                stream = source.streams.video[0]
                copied = (
                    target.streams.video[0] if start else target.add_stream_from_template(stream)
                )
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        shift = round(start / RATE / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = copied
                        target.mux(packet)


def follow_film(path: Path, output: Path, minutes: float) -> int:
    """Frames that were read, followed and written."""
    sources = inputs.gather([str(path)], output).sources
    pose = SimpleNamespace(
        skeleton=COCO, stream=given, settings=load(WORKFLOW / "presets/sample.yaml")
    )
    options = SimpleNamespace(every=1, min_score=0.2, min_probability=0.0, smooth=True)
    end, done = time.monotonic() + 60 * minutes, 0
    ids = outputs.image_ids(sources)
    with outputs.writers(
        FORMS,
        output,
        skeleton=COCO,
        min_score=options.min_score,
        rate_of=lambda source: reading.rate_of(source, every=1),
        ids=lambda _: next(ids),
    ) as write:
        for looked in predict.look(pose, sources, options, [], threading.Event()):
            write(looked)
            done += 1
            if time.monotonic() > end:
                break
    return done


def given(frames) -> Iterator[tuple[object, np.ndarray, FoundPeople]]:
    """Each frame with people who walk around."""
    base = np.random.default_rng(0).uniform(10, 60, (PEOPLE, len(COCO.keypoints), 2))
    for number, (key, pixels) in enumerate(frames):
        points = np.full((PEOPLE, len(COCO.keypoints), 3), 0.8)
        points[..., :2] = base + 15 * np.sin(number / 40 + np.arange(PEOPLE))[:, None, None]
        parts = np.zeros((PEOPLE, len(COCO.parts), 3))
        yield key, pixels, FoundPeople(points, parts, np.full(PEOPLE, 0.8))


if __name__ == "__main__":
    main()
