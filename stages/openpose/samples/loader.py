"""From a packed file to batches, by threads that work ahead of the training step.

Order of an epoch: the images pass in a random order, and each sample of an image is set back by a
random number of images, independent and uniform in [0, `shuffle_images`). So the samples of an
image, which show the same pixels, are spread over a window of that many images, for which the
decoded image is kept: one decode serves them all. Two samples of an image are `shuffle_images` / 3
images apart on average. With `shuffle_images` at or above the number of images the order is a
uniformly random permutation of all samples.

Everything is a function of (seed, epoch, position): any batch can be made without those before it,
by any number of threads, with the same bytes.
"""

import itertools
import threading
import warnings
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from stages.openpose.coco.annotations import ABSENT
from stages.openpose.errors import InputError
from stages.openpose.samples.labels import make_targets
from stages.openpose.samples.packed import Packed, open_packed
from stages.openpose.samples.sampling import Samples
from stages.openpose.threads import usable_threads


def epoch_order(
    sample_image: np.ndarray, *, seed: int, epoch: int, shuffle_images: int
) -> np.ndarray:
    """The order in which an epoch takes the samples, see the module.

    Args:
        sample_image: int [S], image of each sample, 0 .. N - 1.
        seed: of the run.
        epoch: from 0.
        shuffle_images: images over which the samples of one image are spread.

    Returns:
        int64 [S], a permutation of 0 .. S - 1.
    """
    samples, images = len(sample_image), int(sample_image.max(initial=-1)) + 1
    # (seed, epoch, k) with k < samples are the samples' own
    rng = np.random.default_rng((seed, epoch, samples))
    if shuffle_images >= images:
        return rng.permutation(samples)
    place = rng.permutation(images)[sample_image] + rng.random(samples) * shuffle_images
    return np.argsort(place, kind="stable")


class _Batches(keras.utils.PyDataset):
    """Batches of a packed file in a given order; `[i]` gives batch i and has the threads begin with
    those after it.

    An item is (images, (targets, mask)): uint8 [B, S, S, 3] BGR; float32 [B, s, s, C], C PAFs and
    heatmaps (57 of COCO's body); float32 [B, s, s, 1], the share of each cell that may be learned
    from, 0..1; S = `crop_px`, s = S / stride.
    With `labels.made_on: device` it is (images, (parts, mask)) with float32 [B, P, parts, 3], crop
    pixels, padded with visibility 2 to the most people of any image of the file (see
    device_labels.py). The last batch of an epoch may be smaller.

    Keras must not shuffle the batches again: fit(..., shuffle=False). OpenCV's own threads are
    switched off for the whole process, because they would compete with these.
    """

    def __init__(
        self,
        packed_path: Path | str,
        *,
        batch_size: int,
        labels: Any,
        augment: Any,
        seed: int | None,
        epoch: int,
        keep: int,
        corrupt_records: str,
        threads: int | None,
        shard: tuple[int, int] = (0, 1),
        teacher: Any = None,
    ):
        super().__init__(workers=1, use_multiprocessing=False)
        if augment.crop_px % labels.stride_px:
            raise InputError(
                f"`augment.crop_px`: expected a multiple of `labels.stride_px` "
                f"({labels.stride_px}), "
                f"found {augment.crop_px}"
            )
        self.packed: Packed = open_packed(packed_path)
        self.batch_size, self.labels, self.augment, self.epoch = batch_size, labels, augment, epoch
        self.corrupt_records = corrupt_records
        self.shard, self.shards = shard
        self.skipped: dict[int, int] = {}
        self.order = np.arange(len(self.packed))
        self.teacher = teacher
        self._samples = Samples(
            self.packed,
            stride_px=labels.stride_px,
            augment=augment,
            seed=seed,
            keep=keep,
            masked=teacher is None,
        )
        self._most_people = self._count_people() if labels.made_on == "device" else 0
        self._threads = threads or usable_threads()
        cv2.setNumThreads(1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="batches")
        self._pending: dict[int, Future] = {}
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, _release, self._pool, self.packed)

    def close(self) -> None:
        """Free the threads, the file and the images that are kept; no batch can be had after."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._finalizer()
        self._pending.clear()
        self._samples = None

    def _count_people(self) -> int:
        return max(
            (len(self.packed.parts(image)) for image in range(len(self.packed.image_ids))),
            default=0,
        )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index: int) -> tuple:
        """Batch number `index` of the epoch.

        Raises:
            InputError: a damaged record, by image id, unless `corrupt_records` is "skip".
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        with self._lock:
            upcoming = range(index, min(index + self._threads + 2, len(self)))
            # two may ask at once
            for stale in [i for i in self._pending if i not in range(index - 2, upcoming.stop)]:
                self._pending.pop(stale).cancel()
            for i in upcoming:
                if i not in self._pending:
                    self._pending[i] = self._pool.submit(self._make, self.epoch, self.order, i)
            future = self._pending.pop(index)
        batch, skipped = future.result()
        for image_id in skipped:
            if image_id not in self.skipped:
                warnings.warn(
                    f"{self.packed.path}: image {image_id} is damaged and left out", stacklevel=2
                )
            self.skipped[image_id] = self.skipped.get(image_id, 0) + 1
        return batch

    def image_ids(self, index: int) -> list[int]:
        """Ids of the images of batch number `index`, in its order."""
        samples = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.packed.image_ids[self.packed.sample_image[samples]].tolist()

    def _make(self, epoch: int, order: np.ndarray, index: int) -> tuple[tuple, list[int]]:
        """Batch and ids of the damaged images that were skipped in it."""
        size = self.batch_size // self.shards
        first = index * self.batch_size + self.shard * size
        positions = range(min(first, len(order)), min(first + size, len(order)))
        count, side = len(positions), self.augment.crop_px
        cells = side // self.labels.stride_px
        images = np.empty((count, side, side, 3), np.uint8)
        mask = np.empty((count, cells, cells, 1), np.float32)
        samples, people, skipped = [], [], []
        for place, position in enumerate(positions):
            sample, person_parts = self._write(
                epoch, order, position, images[place], mask[place, ..., 0], skipped
            )
            samples.append(sample)
            people.append(person_parts)
        targets = self._labels(people, cells)
        if self.teacher:
            self._teach(targets, epoch, samples)
        return (images, (targets, mask)), skipped

    def _teach(self, targets: np.ndarray, epoch: int, samples: list[int]) -> None:
        """Mix the teacher's maps into the labels of a batch."""
        for sample_targets, sample in zip(targets, samples, strict=True):
            mirrored = self._samples.mirrored(epoch, sample)
            self.teacher.mix_into(sample_targets, epoch, sample, mirrored)

    def _labels(self, people: list[np.ndarray], cells: int) -> np.ndarray:
        skeleton = self.packed.skeleton
        if self.labels.made_on == "device":
            shape = (len(people), self._most_people, len(skeleton.parts), 3)
            parts = np.full(shape, ABSENT, np.float32)
            for place, person_parts in enumerate(people):
                parts[place, : len(person_parts)] = person_parts
            return parts
        channels = skeleton.paf_channels + skeleton.heatmap_channels
        targets = np.zeros((len(people), cells, cells, channels), np.float32)
        for place, person_parts in enumerate(people):
            make_targets(
                person_parts, (cells, cells), self.labels, skeleton=skeleton, out=targets[place]
            )
        return targets

    def _write(
        self,
        epoch: int,
        order: np.ndarray,
        position: int,
        image: np.ndarray,
        mask: np.ndarray,
        skipped: list[int],
    ) -> tuple[int, np.ndarray]:
        """Make the sample at a position of the order, or the next one whose record is whole;
        returns its number and its people.
        """
        for sample in itertools.chain(order[position:], order[:position]):
            try:
                return int(sample), self._samples.write(epoch, int(sample), image, mask)
            except InputError as problem:
                if self.corrupt_records != "skip":
                    raise InputError(f"{problem}; or set `train.corrupt_records` to skip") from None
                skipped.append(int(self.packed.image_ids[self.packed.sample_image[sample]]))
        raise InputError(f"{self.packed.path}: no record can be read; run the stage pack again")


def _release(pool: ThreadPoolExecutor, file: Packed) -> None:
    # the last thread at work may be the one that calls this
    pool.shutdown(wait=False, cancel_futures=True)
    file.close()


class TrainingBatches(_Batches):
    """The batches of one epoch of training, see the module for their order; `on_epoch_end` goes to
    the next epoch.

    Args:
        packed_path: packed file.
        batch_size: samples a batch.
        labels: the section `labels`.
        augment: the section `augment`.
        seed: of order and augmentation.
        epoch: from 0.
        shuffle_images: images over which the samples of one image are spread.
        keep_images: decoded images to keep for samples to come; None for `shuffle_images`, fewer
            cost time only.
        corrupt_records: "fail", or "skip": a sample of a damaged image is replaced by the next
            whole one of the epoch; `skipped` then holds how often, by image id, among the batches
            handed out so far.
        threads: None for `usable_threads`.
        shard: (i, n): make the i-th of n equal shards of every batch, which may be empty in the
            last one.
        teacher: distillation.TeacherMaps to mix into the labels, which are then made on the host;
            None for labels alone.

    Raises:
        InputError: no packed file, or sizes that do not fit.
    """

    def __init__(
        self,
        packed_path: Path | str,
        *,
        batch_size: int,
        labels: Any,
        augment: Any,
        seed: int,
        epoch: int = 0,
        shuffle_images: int = 256,
        keep_images: int | None = None,
        corrupt_records: str = "fail",
        threads: int | None = None,
        shard: tuple[int, int] = (0, 1),
        teacher: Any = None,
    ):
        super().__init__(
            packed_path,
            batch_size=batch_size,
            labels=labels,
            augment=augment,
            seed=seed,
            epoch=epoch,
            keep=shuffle_images if keep_images is None else keep_images,
            corrupt_records=corrupt_records,
            threads=threads,
            shard=shard,
            teacher=teacher,
        )
        self.seed, self.shuffle_images = seed, shuffle_images
        self.go_to(epoch)

    def go_to(self, epoch: int) -> "TrainingBatches":
        """Become the batches of another epoch."""
        order = epoch_order(
            self.packed.sample_image,
            seed=self.seed,
            epoch=epoch,
            shuffle_images=self.shuffle_images,
        )
        with self._lock:
            for future in self._pending.values():
                future.cancel()
            self._pending.clear()
            self.epoch, self.order = epoch, order
        return self

    def on_epoch_end(self) -> None:
        """Go to the next epoch (called by Keras)."""
        self.go_to(self.epoch + 1)


class ValidationBatches(_Batches):
    """All samples of a packed file in their stored order, main person in the middle, nothing
    random: the same set of the same images each time.

    Args: as of `TrainingBatches`.
    """

    def __init__(
        self,
        packed_path: Path | str,
        *,
        batch_size: int,
        labels: Any,
        augment: Any,
        corrupt_records: str = "fail",
        threads: int | None = None,
        shard: tuple[int, int] = (0, 1),
    ):
        super().__init__(
            packed_path,
            batch_size=batch_size,
            labels=labels,
            augment=augment,
            seed=None,
            epoch=0,
            keep=2 * (threads or usable_threads()),
            corrupt_records=corrupt_records,
            threads=threads,
            shard=shard,
        )


class VariantCrops(_Batches):
    """The crops of one variant of all samples, in their stored order: what a teacher looks at.

    Args: as of `TrainingBatches`; `variant` counts from 0 to `augment.variants` - 1.
    """

    def __init__(
        self,
        packed_path: Path | str,
        *,
        batch_size: int,
        labels: Any,
        augment: Any,
        seed: int,
        variant: int,
    ):
        super().__init__(
            packed_path,
            batch_size=batch_size,
            labels=labels,
            augment=augment,
            seed=seed,
            epoch=variant,
            keep=2 * usable_threads(),
            corrupt_records="fail",
            threads=None,
        )

    def __getitem__(self, index: int) -> np.ndarray:
        """uint8 [B, S, S, 3], BGR."""
        return super().__getitem__(index)[0]
