"""Frames of films and cameras in, a film out (PyAV, an optional package)."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stages.openpose.errors import InputError
from stages.openpose.files import whole_file

MISSING = "films need PyAV, which is not installed: pip install av"
CODEC, PIXEL_FORMAT = "libx264", "yuv420p"  # what every player knows
QUALITY = {"crf": "20", "preset": "veryfast"}
CAMERA_TIME_BASE = Fraction(1, 1000)
CAMERA_RATE = 30  # frames a second that the film of a camera states; times are measured


@dataclass(frozen=True)
class Frame:
    """A frame that was decoded.

    Attributes:
        index: its number in the film, from 0.
        pixels: uint8 [H, W, 3] BGR, upright.
        pts, time_base: when it is shown: pts * time_base seconds.
    """

    index: int
    pixels: np.ndarray
    pts: int
    time_base: Fraction

    @property
    def time_s(self) -> float:
        """When it is shown, seconds from the start of the film's clock."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class About:
    """What a film says of itself: number of frames (None: unknown) and frames a second."""

    frames: int | None
    rate: Fraction


def require_pyav() -> Any:
    """The package, or InputError where it is not installed."""
    try:
        import av  # here, because images do not need it
    except ImportError:
        raise InputError(MISSING) from None
    return av


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first stream of images."""
    av = require_pyav()
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as problem:
        raise InputError(f"{path}: not a film that can be decoded ({problem.strerror})") from None
    with container:
        if not container.streams.video:
            raise InputError(f"{path}: a film without images")
        yield container, container.streams.video[0]


def about(path: Path) -> About:
    """What the film says of itself."""
    with _opened(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = None
        if stream.duration:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / 1e6  # microseconds
        return About(stream.frames or (round(seconds * rate) if seconds else None), rate)


def frames_of(path: Path, every: int = 1) -> Iterator[Frame]:
    """Every `every`-th frame of a film, turned as its metadata say.

    Raises:
        InputError: no film, or one that breaks off (after the frames before have been given).
    """
    av = require_pyav()
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        index, pts = -1, -1
        try:
            for index, decoded in enumerate(container.decode(stream)):
                # where a time is missing, one tick after the frame before
                pts = pts + 1 if decoded.pts is None else decoded.pts
                if index % every == 0:
                    yield Frame(index, _upright(decoded), pts, decoded.time_base)
        except av.error.FFmpegError as problem:
            where = f"breaks off after {index + 1} frames ({problem.strerror})"
            raise InputError(f"{path}: {where}") from None
        if index < 0:
            raise InputError(f"{path}: a film without frames")


def _upright(decoded: Any) -> np.ndarray:
    pixels = decoded.to_ndarray(format="bgr24")
    quarters = round(decoded.rotation / 90)  # counterclockwise, as np.rot90 turns
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters % 4 else pixels


def frames_of_camera(number: int, every: int = 1) -> Iterator[Frame]:
    """Frames of a camera until it gives none."""
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise InputError(f"camera {number}: there is none, or it is in use")
        started, index = time.monotonic(), 0
        while True:
            given, pixels = camera.read()
            if not given:
                return
            if index % every == 0:
                yield Frame(
                    index, pixels, int(1000 * (time.monotonic() - started)), CAMERA_TIME_BASE
                )
            index += 1
    finally:
        camera.release()


class FilmWriter:
    """Writes frames as they come, each shown when its source is; no sound.

    Use as a context; the file appears when the block ends, also when an exception ends it, with the
    frames so far.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.path, self.rate = path, rate
        self._av = require_pyav()
        self._container: Any = None
        self._file = ExitStack()
        self._last: int | None = None

    def __enter__(self) -> "FilmWriter":
        return self

    def write(self, pixels: np.ndarray, frame: Frame) -> None:
        """Add `pixels`, uint8 [H, W, 3] BGR, at the time of `frame`."""
        height, width = (side + side % 2 for side in pixels.shape[:2])  # the codec wants even sides
        if self._container is None:
            self._open(height, width, frame.time_base)
        even = cv2.copyMakeBorder(
            pixels, 0, height - pixels.shape[0], 0, width - pixels.shape[1], cv2.BORDER_REPLICATE
        )
        image = self._av.VideoFrame.from_ndarray(even, format="bgr24")
        # encoders refuse times that do not grow
        self._last = frame.pts if self._last is None else max(frame.pts, self._last + 1)
        image.pts, image.time_base = self._last, frame.time_base
        self._container.mux(self._stream.encode(image))

    def _open(self, height: int, width: int, time_base: Fraction) -> None:
        temporary = self._file.enter_context(whole_file(self.path))
        self._container = self._av.open(str(temporary), "w", format="mp4")
        self._stream = self._container.add_stream(CODEC, rate=self.rate, options=QUALITY)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = PIXEL_FORMAT
        self._stream.codec_context.time_base = time_base

    def __exit__(self, *problem: object) -> None:
        if self._container is not None:
            with self._file, self._container:
                self._container.mux(self._stream.encode())
