"""The pixels of sources, one image or frame after the other."""

import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from stages.openpose.errors import InputError
from stages.openpose.predicting import films
from stages.openpose.predicting.films import Frame
from stages.openpose.predicting.inputs import CAMERA, IMAGE, Source, read_upright

Key = tuple[Source, Frame | None]  # the frame is None for images


def read(
    sources: Sequence[Source],
    every: int,
    check: Callable[[tuple[int, int], str], None],
    failures: list[str],
    stop: threading.Event,
) -> Iterator[tuple[Key, np.ndarray]]:
    """The pixels of all images and frames, uint8 [H, W, 3] BGR.

    Args:
        every: of films and cameras every n-th frame.
        check: raises InputError where an image of this size (height, width) and name cannot be
            looked at.
        failures: what cannot be read, or only in part, is added here in words.
        stop: ends films and cameras.
    """
    for source in sources:
        try:
            if source.kind == IMAGE:
                pixels = read_upright(source.path)
                check(_size(pixels), str(source.path))
                yield (source, None), pixels
                continue
            for frame in _frames_of(source, every):
                check(_size(frame.pixels), str(source.path))
                yield (source, frame), frame.pixels
                if stop.is_set():
                    break
        except InputError as problem:
            failures.append(str(problem))


def _size(pixels: np.ndarray) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


def _frames_of(source: Source, every: int) -> Iterator[Frame]:
    if source.kind == CAMERA:
        return films.frames_of_camera(int(source.path.name), every)
    return films.frames_of(source.path, every)


def expected(sources: Sequence[Source], every: int) -> int | None:
    """Number of images and frames, None where a film does not tell."""
    total = 0
    for source in sources:
        if source.kind == CAMERA:
            return None
        frames: int | None = 1
        if source.kind != IMAGE:
            try:
                frames = films.about(source.path).frames
            except InputError:
                frames = 0  # told when it is read
            if frames is None:
                return None
            frames = -(-frames // every)
        total += frames or 0
    return total


def rate_of(source: Source, every: int) -> Fraction:
    """Frames a second of the film that is drawn."""
    rate = films.CAMERA_RATE if source.kind == CAMERA else films.about(source.path).rate
    return Fraction(rate) / every
