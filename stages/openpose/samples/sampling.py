"""From a packed file to single samples: decode the image once for all its samples, draw, warp.

What a sample looks like depends on (seed, epoch, sample) only, not on threads, order or what was
decoded before.
"""

import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import simplejpeg

from stages.openpose.errors import InputError
from stages.openpose.samples.augment import (
    UNCHANGED,
    affine,
    affine_scale,
    draw_augmentation,
    map_parts,
    mirrored,
    mirrors,
    warp_image,
    warp_mask,
)
from stages.openpose.samples.colour import recolour, recolours
from stages.openpose.samples.packed import Packed

_REDUCTIONS = (8, 4, 2)


@dataclass(frozen=True)
class DecodedImage:
    """All that the samples of one image share.

    Attributes:
        pixels: uint8 [ceil(H / f), ceil(W / f), 3], BGR, f = `reduced_by`.
        reduced_by: 1, 2, 4 or 8.
        mask: uint8 [H, W], 255 = supervised; None when the whole image is.
        hw: (H, W).
        parts: float32 [P, parts, 3], image pixels.
        affines: the map of each sample of the image, by sample number.
    """

    pixels: np.ndarray
    reduced_by: int
    mask: np.ndarray | None
    hw: tuple[int, int]
    parts: np.ndarray
    affines: dict[int, np.ndarray]


class Samples:
    """Makes the samples of a packed file, one at a time, from any number of threads.

    Args:
        packed: the open file.
        stride_px: side of a cell of the mask.
        augment: the section `augment`.
        seed: of the random maps; None for the plain map of the main person, the same in every
            epoch.
        keep: decoded images kept at once for samples still to come; a smaller number costs time
            only.
        masked: whether regions that must not be learned from by their labels are left out.
    """

    def __init__(
        self,
        packed: Packed,
        *,
        stride_px: int,
        augment: Any,
        seed: int | None,
        keep: int,
        masked: bool = True,
    ):
        self.packed, self.stride_px, self.augment, self.seed = packed, stride_px, augment, seed
        self.masked = masked
        self._recolours = seed is not None and recolours(augment)
        self._first = np.searchsorted(
            packed.sample_image, np.arange(len(packed.image_ids) + 1)
        ).tolist()
        self._decoded, self._memory = _SharedResults(keep), _Memory()

    def affine(self, epoch: int, sample: int) -> np.ndarray:
        """The map from image to crop, float64 [2, 3], of sample number `sample` in an epoch."""
        if self.seed is not None and self.augment.variants:
            return self._variant(epoch, sample)
        rng = None if self.seed is None else np.random.default_rng((self.seed, epoch, sample))
        augmentation = UNCHANGED if rng is None else draw_augmentation(rng, self.augment)
        centre_px, scale_provided = self.packed.centres[sample], self.packed.scales[sample]
        return affine(augmentation, centre_px, scale_provided, self.augment)

    def _variant(self, epoch: int, sample: int) -> np.ndarray:
        """The map of the variant of this epoch, mirrored by the chance of this epoch."""
        rng = np.random.default_rng((self.seed, epoch % self.augment.variants, sample))
        augmentation = replace(draw_augmentation(rng, self.augment), flip=False)
        centre_px, scale_provided = self.packed.centres[sample], self.packed.scales[sample]
        matrix = affine(augmentation, centre_px, scale_provided, self.augment)
        chance = np.random.default_rng((self.seed, epoch, sample, 0)).random()
        if chance < self.augment.flip_probability:
            return mirrored(matrix, self.augment.crop_px)
        return matrix

    def mirrored(self, epoch: int, sample: int) -> bool:
        """Whether a sample shows its image in a mirror."""
        return mirrors(self.affine(epoch, sample))

    def decode(self, epoch: int, image: int) -> DecodedImage:
        """Read and decode an image for all its samples of an epoch, none of which needs it larger.

        With linear interpolation an image that all samples shrink at least twice is decoded at 1/2,
        1/4 or 1/8 size, which is faster (docs/measurements.md) and gives the mean of its pixels
        instead of a few of them.

        Raises:
            InputError: the record is damaged; names the file and the image id.
        """
        affines = {
            sample: self.affine(epoch, sample) for sample in range(*self._first[image : image + 2])
        }
        largest = max(map(affine_scale, affines.values()))
        allowed = [
            f for f in _REDUCTIONS if self.augment.interpolation == "linear" and largest * f <= 1
        ]
        pixels, reduced_by = self._pixels(image, next(iter(allowed), 1))
        return DecodedImage(
            pixels=pixels,
            reduced_by=reduced_by,
            mask=self.packed.mask_miss(image) if self.masked else None,
            hw=tuple(self.packed.sizes[image].tolist()),
            parts=self.packed.parts(image),
            affines=affines,
        )

    def _pixels(self, image: int, reduced_by: int) -> tuple[np.ndarray, int]:
        hw = tuple(self.packed.sizes[image].tolist())
        pixels = _decode_jpeg(self.packed.jpeg(image), hw, reduced_by, self._memory)
        if pixels is not None:
            return pixels, reduced_by
        pixels = self.packed.image(image)
        if pixels.shape[:2] != hw:
            raise InputError(
                f"{self.packed.path}: image {self.packed.image_ids[image]}: expected {hw[1]} x "
                f"{hw[0]} pixels, the "
                f"image has {pixels.shape[1]} x {pixels.shape[0]}; run the stage pack again"
            )
        return pixels, 1

    def write(
        self, epoch: int, sample: int, crop_out: np.ndarray, mask_out: np.ndarray
    ) -> np.ndarray:
        """Make one sample.

        Args:
            epoch: from 0.
            sample: number of the sample in the packed file.
            crop_out: uint8 [S, S, 3] to write the crop into, BGR.
            mask_out: float32 [S / stride, S / stride] to write the supervised share of cells into.

        Returns:
            float64 [P, parts, 3], the people in pixels of the crop. The main person stands first,
            as in the reference, where it matters to labels of which the last person wins; the
            others follow in the order of the file.

        Raises:
            InputError: the record of the image is damaged.
        """
        image = int(self.packed.sample_image[sample])
        uses = self._first[image + 1] - self._first[image]
        decoded = self._decoded.take((epoch, image), uses, lambda: self.decode(epoch, image))
        matrix = decoded.affines[sample]
        warp_image(
            decoded.pixels, matrix, self.augment, reduced_by=decoded.reduced_by, out=crop_out
        )
        if self._recolours:
            recolour(crop_out, np.random.default_rng((self.seed, epoch, sample, 1)), self.augment)
        mask_out[...] = warp_mask(decoded.mask, decoded.hw, matrix, self.augment, self.stride_px)
        main = int(self.packed.sample_person[sample])
        order = [main, *range(main), *range(main + 1, len(decoded.parts))]
        return map_parts(decoded.parts[order], matrix, self.packed.skeleton)


def _decode_jpeg(
    data: bytes, hw: tuple[int, int], reduced_by: int, memory: "_Memory"
) -> np.ndarray | None:
    """Decode a JPEG of known size at 1 / `reduced_by` of it; None where it is not as expected,
    damaged, or no JPEG.
    """
    height, width = (-(-side // reduced_by) for side in hw)
    try:
        header = simplejpeg.decode_jpeg_header(data)
        if header[:2] != hw or header[2] in ("CMYK", "YCCK"):
            return None
        pixels = memory.array((height, width, 3))
        decoded = simplejpeg.decode_jpeg(
            data,
            "BGR",
            min_height=height,
            min_width=width,
            min_factor=reduced_by,
            buffer=pixels.reshape(-1),
        )
    except ValueError:
        return None
    return pixels if decoded.shape == pixels.shape else None


class _Memory:
    """Memory for images, used again when an image is gone: the pages of new memory cost time at
    their first touch.

    Only for arrays of which no view outlives them.
    """

    def __init__(self):
        self._free: list[np.ndarray] = []

    def array(self, shape: tuple[int, ...]) -> np.ndarray:
        """uint8 array of the given shape, its content anything."""
        size = math.prod(shape)
        try:
            block = self._free.pop()
        except IndexError:
            block = np.empty(0, np.uint8)
        if block.size < size:
            block = np.empty(size, np.uint8)
        array = block[:size].reshape(shape)
        weakref.finalize(array, self._free.append, block).atexit = False
        return array


class _SharedResults:
    """Results that several callers need: made once, by whoever asks first, and dropped after the
    last use.

    No more than `most` are held; the oldest goes first and is made again if somebody still asks for
    it.
    """

    def __init__(self, most: int):
        self._most = most
        self._lock = threading.Lock()
        self._results: OrderedDict[Any, list] = OrderedDict()  # key: [future, uses left]

    def take(self, key: Any, uses: int, make: Callable[[], Any]) -> Any:
        """The result of `make` for `key`, which is asked for `uses` times in all."""
        with self._lock:
            entry = self._results.get(key)
            is_first = entry is None
            if is_first:
                entry = self._results[key] = [Future(), uses]
            entry[1] -= 1
            if entry[1] == 0:
                del self._results[key]
            elif len(self._results) > self._most:
                self._results.popitem(last=False)
        future = entry[0]
        if is_first:
            try:
                future.set_result(make())
            except BaseException as problem:
                future.set_exception(problem)
        return future.result()
