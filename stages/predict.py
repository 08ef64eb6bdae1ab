"""Find the people in your own images and films, and draw them.

    python -m stages.predict holiday.jpg folder/ 'album/*.png' film.mp4 --output out
    find /photos -name '*.jpg' | python -m stages.predict - --output out
    python -m stages.predict 0 --output out                     # the first camera, until Ctrl-C
    python -m stages.predict --model models/trained --params params.yaml holiday.jpg --output out

Writes each image with its skeletons and people.json; --save chooses, --maps draws the network's
maps too. Images and films are turned upright as their metadata say; coordinates belong to the
upright image. No file that is read is ever written over. What cannot be read is told at the end,
with exit code 1. Settings: sections `detect` and `decoder` of --params; else those of the preset
`photos` for networks that go by a name, of params.yaml for folders.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages import cli
from stages.openpose import drawing
from stages.openpose.errors import InputError
from stages.openpose.inference.detection import refuse_oversize
from stages.openpose.inference.tta import OUTPUTS, scaled_size
from stages.openpose.predicting import films, inputs, outputs, reading
from stages.openpose.predicting.following import follow, smoothed
from stages.openpose.predicting.found import MIN_SCORE, FoundPeople
from stages.openpose.predicting.inputs import CAMERA, IMAGE, Source
from stages.openpose.predicting.outputs import Looked
from stages.openpose.predicting.runtime import AUTO, RUNTIMES
from stages.openpose.predicting.smoothing import OneEuro
from stages.openpose.predicting.tracking import Tracker
from stages.pose import MODEL, Pose

LISTED = 20  # unreadable files that the last line names


def predict(arguments: argparse.Namespace) -> dict:
    """Find the people in all images and films; write what --save asks for."""
    gathered = inputs.gather(words_of(arguments.images, sys.stdin), arguments.output)
    sources = gathered.sources
    if arguments.min_probability and not arguments.calibration:
        raise InputError("--min-probability: needs --calibration FILE of the stage held_out")
    outputs.refuse_overwriting(sources, arguments.output, maps=arguments.maps)
    if any(source.kind != IMAGE for source in sources):
        films.require_pyav()
    pose = Pose.load(
        arguments.model,
        inference=arguments.inference,
        settings=arguments.params,
        runtime=arguments.runtime,
        keep_maps=arguments.maps,
        calibration=arguments.calibration,
    )
    failures: list[str] = []
    counts = {"images": 0, "people": 0}
    ids = outputs.image_ids(sources)
    with (
        asked_to_stop(sources) as stop,
        outputs.writers(
            arguments.save,
            arguments.output,
            skeleton=pose.skeleton,
            min_score=arguments.min_score,
            rate_of=partial(reading.rate_of, every=arguments.every),
            ids=lambda _: next(ids),
        ) as write,
    ):
        looked_at = look(pose, sources, arguments, failures, stop)
        total = reading.expected(sources, arguments.every)
        for looked in tqdm(looked_at, "predict", total, unit="image", mininterval=0.5):
            write(looked)
            if arguments.maps and looked.frame is None:
                maps = drawn_maps(looked.pixels, looked.people, pose)
                outputs.write_image(outputs.maps_path(looked.source, arguments.output), maps)
            counts["images"] += 1
            counts["people"] += len(looked.people)
    tell(counts, gathered, failures, arguments)
    return counts


def words_of(named: list[str], standard_input) -> Iterator[str]:
    """The words of the command line, `-` replaced by the lines of standard input."""
    for word in named:
        if word == "-":
            yield from filter(None, (line.rstrip("\r\n") for line in standard_input))
        else:
            yield word


def look(
    pose: Pose,
    sources: list[Source],
    arguments: argparse.Namespace,
    failures: list[str],
    stop: threading.Event,
) -> Iterator[Looked]:
    """All images and frames with their people; in films with ids, and smoothed where asked for.
    What cannot be read is added to `failures`.
    """
    check = partial(refuse_oversize, settings=pose.settings.detect)
    pixels_of = inputs.ahead(reading.read(sources, arguments.every, check, failures, stop))
    followed: Source | None = None
    for (source, frame), pixels, people in pose.stream(pixels_of):
        if people.probabilities is not None:
            people = people.select(people.probabilities >= arguments.min_probability)
        if frame is not None:
            if source != followed:
                tracker, smoother, followed = Tracker(pose.skeleton), OneEuro(), source
            people = follow(people, frame.time_s, tracker, arguments.min_score)
            if arguments.smooth:
                people = smoothed(people, frame.time_s, smoother)
        yield Looked(source, frame, pixels, people)


@contextmanager
def asked_to_stop(sources: list[Source]) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets where a camera is looked at: its normal end."""
    stop = threading.Event()
    if all(source.kind != CAMERA for source in sources):
        yield stop
        return

    def ask(number: int, stack_frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def drawn_maps(pixels: np.ndarray, people: FoundPeople, pose: Pose) -> np.ndarray:
    """The image beside its heatmaps and its fields."""
    maps = people.maps
    assert maps is not None  # pose was loaded with keep_maps
    size_px = scaled_size(pixels.shape[:2], pose.settings.detect.height_px)
    covered_hw = [
        cells * maps.stride_px * side / scaled
        for cells, side, scaled in zip(maps.heatmaps.shape, pixels.shape[:2], size_px, strict=False)
    ]
    covered = (covered_hw[0], covered_hw[1])
    return drawing.draw_maps(pixels, maps.heatmaps, maps.pafs, covered, pose.skeleton)


def tell(
    counts: dict, gathered: inputs.Gathered, failures: list[str], arguments: argparse.Namespace
) -> None:
    """Say what was done and what was left out; InputError where something could not be read."""
    if gathered.left_out:
        listed = ", ".join(f"{count} {what}" for what, count in sorted(gathered.left_out.items()))
        print(f"predict: left out, not images or films that are known: {listed}")
    print(
        f"predict: {counts['people']} people in {counts['images']} images, "
        f"{', '.join(arguments.save)} in {arguments.output}"
    )
    if failures:
        more = f"\n... and {len(failures) - LISTED} more" if len(failures) > LISTED else ""
        raise InputError(
            f"{len(failures)} could not be read, all else is done:\n"
            + "\n".join(failures[:LISTED])
            + more
        )


def forms(text: str) -> list[str]:
    """The words of --save."""
    chosen = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in chosen if word not in outputs.FORMS]
    if unknown or not chosen:
        raise argparse.ArgumentTypeError(
            f"expected some of {','.join(outputs.FORMS)}, found {text!r}"
        )
    return chosen


def positive(text: str) -> int:
    """A number of at least one."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, found {text!r}")
    return int(text)


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "images",
        nargs="+",
        metavar="INPUT",
        help="images, films, folders (with all below them), globs, numbers of cameras; "
        "- reads a list from standard input",
    )
    parser.add_argument(
        "--model",
        default=MODEL,
        help="a name (python -m stages.models list), or the folder of a model; default: light",
    )
    parser.add_argument(
        "--inference", choices=OUTPUTS, default="multi", help="scales: one, several, mirrored too"
    )
    parser.add_argument(
        "--min-score",
        type=float,
        default=MIN_SCORE,
        help="mean keypoint score of people to draw and follow; lists hold all",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="of the stage held_out, for this model and --params: people.json says how likely each "
        "person is right",
    )
    parser.add_argument(
        "--min-probability",
        type=float,
        default=0.0,
        metavar="P",
        help="leave out people less likely right, 0..1; needs --calibration",
    )
    parser.add_argument(
        "--save",
        type=forms,
        default=[outputs.DRAW, outputs.PEOPLE],
        metavar="FORMS",
        help=f"what to write, of {','.join(outputs.FORMS)}; default: draw,people",
    )
    parser.add_argument(
        "--runtime",
        choices=(AUTO, *RUNTIMES),
        default=AUTO,
        help="what runs the network; default: the first of these that is installed and can",
    )
    parser.add_argument("--every", type=positive, default=1, help="look at every n-th frame only")
    parser.add_argument("--smooth", action="store_true", help="less jitter in films (one-euro)")
    parser.add_argument("--maps", action="store_true", help="draw the maps of images too")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.set_defaults(params=None)
    cli.run(predict, parser.parse_args())


if __name__ == "__main__":
    main()
