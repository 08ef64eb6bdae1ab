"""Many images through one network: reading, network and decoding overlap, memory stays flat.

A pool of threads reads and decodes images ahead of the network and turns its maps into people
behind it; the network itself is called from one thread. Images of equal padded sizes share a call.
Order and results do not depend on the number of threads.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

import numpy as np

from stages.openpose.decoding.people import People
from stages.openpose.errors import InputError
from stages.openpose.inference.reference_decoder import decode_enlarged
from stages.openpose.inference.reference_maps import full_size_means, reference_views
from stages.openpose.inference.tta import (
    NATIVE,
    OUTPUTS,
    Maps,
    Settings,
    View,
    input_sizes,
    maps_for,
    network_inputs,
    scaled_size,
    to_image,
    views_for,
)
from stages.openpose.network.forward import Forward
from stages.openpose.skeleton import COCO, Skeleton

BATCHES_AHEAD = 2
LARGEST_INPUT_PX = 2**26  # maps and activations of more would fill the memory of any machine
PHASES = ("read", "average", "decode", "network")


@dataclass(frozen=True)
class ImageEntry:
    """An image in which to find people: its id, its name for `read`, and where it is known
    beforehand (height, width).
    """

    image_id: int
    file_name: str
    size_hw: tuple[int, int] | None = None


@dataclass(frozen=True)
class PreparedImage:
    """An image that was read: its (height, width) in pixels and what the network gets of it, by
    view.
    """

    image: ImageEntry
    size_hw: tuple[int, int]
    inputs: dict[View, np.ndarray]


@dataclass
class Clock:
    """Seconds of processor time that the phases of a run took, summed over threads, and the
    network's wall time.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def phase(self, name: str, now: Callable[[], float] = time.thread_time) -> Iterator[None]:
        """Add the time that the block takes to phase `name`."""
        started = now()
        yield
        with self._lock:
            self.seconds[name] += now() - started


def plan_batches(
    images: Sequence[ImageEntry], settings: Settings, batch_size: int, *, reference: bool = False
) -> list[list[ImageEntry]]:
    """Batches of at most `batch_size` images that have equal padded sizes at all scales, in a fixed
    order.
    """
    scales = (*settings.scales, NATIVE) if reference else settings.scales
    groups: dict[tuple, list[ImageEntry]] = {}
    for image in sorted(images, key=lambda entry: entry.image_id):
        groups.setdefault(input_sizes(image.size_hw, settings, scales), []).append(image)
    return [
        groups[sizes][first : first + batch_size]
        for sizes in sorted(groups)
        for first in range(0, len(groups[sizes]), batch_size)
    ]


def detect_people(
    batches: Iterable[Sequence[ImageEntry]],
    *,
    read: Callable[[ImageEntry], np.ndarray],
    forward: Forward,
    decode: Callable[..., People],
    settings: Settings,
    outputs: Sequence[str] = OUTPUTS,
    reference: bool = False,
    skeleton: Skeleton = COCO,
    threads: int = 2,
    clock: Clock | None = None,
    watch: Callable[[PreparedImage, dict[str, Maps]], None] | None = None,
) -> Iterator[tuple[ImageEntry, dict[str, People]]]:
    """People of every image by output, in pixels of the image, in the order of `batches`.

    Args:
        batches: of `plan_batches`.
        read: uint8 [H, W, 3] BGR of an image; called from several threads.
        decode: (heatmaps [h, w, parts + 1], pafs [h, w, 2 limbs], stride=...) -> People in
            pixels of the network's input.
        outputs: of tta.OUTPUTS.
        reference: average and decode as the reference does (`reference_maps.py`); `decode` is not
            used then.
        skeleton: of the network; `reference` knows COCO's only.
        threads: that read and decode.
        watch: is shown the maps of every image by output, from several threads; not those of the
            reference, which are as large as the image.

    Raises:
        InputError: an image has another size than `batches` say; whatever `read` raises.
    """
    clock = clock or Clock()
    views = (reference_views if reference else views_for)(outputs, settings.scales)
    prepare = partial(_prepare, read=read, views=views, settings=settings, clock=clock)
    network = partial(_run, forward, views, clock=clock)
    shared = {"outputs": outputs, "settings": settings, "clock": clock}
    finish = partial(_finish, decode=decode, skeleton=skeleton, watch=watch, **shared)
    if reference:
        if skeleton != COCO:
            raise InputError("`decoder.mode` parity is for COCO's body; choose exact")
        finish = partial(_finish_as_reference, **shared)
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        try:
            yield from _overlapped(pool, batches, prepare, network, finish)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare(
    image: ImageEntry, read: Callable, views: Sequence[View], settings: Settings, clock: Clock
) -> PreparedImage:
    with clock.phase("read"):
        pixels = _checked(read(image), image, settings)
        return PreparedImage(image, pixels.shape[:2], network_inputs(pixels, views, settings))


def _finish(
    prepared: PreparedImage,
    maps: dict[View, tuple],
    outputs: Sequence[str],
    decode: Callable,
    settings: Settings,
    skeleton: Skeleton,
    clock: Clock,
    watch: Callable | None,
) -> dict[str, People]:
    with clock.phase("average"):
        maps_by_output = maps_for(outputs, maps, prepared.size_hw, settings, skeleton)
    if watch:
        watch(prepared, maps_by_output)
    with clock.phase("decode"):
        return {
            output: to_image(
                decode(
                    maps_of_output.heatmaps, maps_of_output.pafs, stride=maps_of_output.stride_px
                ),
                prepared.size_hw,
                settings.height_px,
            )
            for output, maps_of_output in maps_by_output.items()
        }


def _finish_as_reference(
    prepared: PreparedImage,
    maps: dict[View, tuple],
    outputs: Sequence[str],
    settings: Settings,
    clock: Clock,
) -> dict[str, People]:
    means, people_by_output = full_size_means(outputs, maps, prepared.size_hw, settings), {}
    for _ in outputs:
        with clock.phase("average"):
            output, mean = next(means)
        with clock.phase("decode"):
            people_by_output[output] = decode_enlarged(*mean)
    return people_by_output


def _overlapped(
    pool: ThreadPoolExecutor,
    batches: Iterable[Sequence[ImageEntry]],
    prepare: Callable,
    network: Callable,
    finish: Callable,
):
    """Yield (image, finish(image, its maps)) in order, a few batches read ahead and a few decoded
    behind.
    """
    ahead: deque[list[Future]] = deque()
    behind: deque[tuple[ImageEntry, Future]] = deque()
    upcoming = iter(batches)

    def read_ahead() -> None:
        for batch in upcoming:
            ahead.append([pool.submit(prepare, image) for image in batch])
            if len(ahead) >= BATCHES_AHEAD:
                break

    read_ahead()
    while ahead:
        batch = [future.result() for future in ahead.popleft()]
        read_ahead()
        for prepared, maps in zip(batch, network(batch), strict=True):
            behind.append((prepared.image, pool.submit(finish, prepared, maps)))
        while behind and (len(behind) > 2 * len(batch) or behind[0][1].done()):
            image, future = behind.popleft()
            yield image, future.result()
    for image, future in behind:
        yield image, future.result()


def _run(
    forward: Forward,
    views: Sequence[View],
    prepared_images: Sequence[PreparedImage],
    *,
    clock: Clock,
) -> list[dict]:
    """Maps (heatmaps, pafs) by view of each image of a batch."""
    maps_of_images: list[dict] = [{} for _ in prepared_images]
    for view in views:
        batch = np.stack([prepared.inputs[view] for prepared in prepared_images])
        with clock.phase("network", time.perf_counter):
            heatmaps, pafs = forward(batch)
        for index, maps in enumerate(zip(heatmaps, pafs, strict=True)):
            maps_of_images[index][view] = maps
    return maps_of_images


def _checked(image: np.ndarray, expected: ImageEntry, settings: Settings) -> np.ndarray:
    if expected.size_hw and image.shape[:2] != tuple(expected.size_hw):
        raise InputError(
            f"image {expected.file_name} (image {expected.image_id}): expected height x width "
            f"{' x '.join(map(str, expected.size_hw))} as annotated, found "
            f"{' x '.join(map(str, image.shape[:2]))}; "
            "annotations and images do not belong together"
        )
    refuse_oversize(image.shape[:2], expected.file_name, settings)
    return image


def refuse_oversize(size_hw: tuple[int, int], name: str, settings: Settings) -> None:
    """Raise InputError where an image would be too large for the network at its largest scale."""
    height, width = scaled_size(size_hw, settings.height_px, max(settings.scales))
    if height * width > LARGEST_INPUT_PX:
        raise InputError(
            f"image {name} of {size_hw[0]} x {size_hw[1]} pixels would be "
            f"{height} x "
            f"{width} for the network: too long and narrow; crop it, or lower `detect.height_px` "
            f"or `detect.scales`"
        )
