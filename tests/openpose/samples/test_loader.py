"""From packed files to batches: order, threads, resume, damaged records."""

import gc
import io
import os
import threading
from collections import Counter
from concurrent.futures import wait
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.real_images import pack_mini
from stages.openpose.coco.annotations import Images, People
from stages.openpose.coco.normalise import Categories
from stages.openpose.errors import InputError
from stages.openpose.samples import loader, packing, sampling
from stages.openpose.samples.crowd_masks import Masks
from stages.openpose.samples.device_labels import device_targets
from stages.openpose.samples.loader import TrainingBatches, ValidationBatches, epoch_order
from stages.params import Augment, Labels

LABELS = Labels(
    stride_px=8, sigma_px=7.0, paf_width_px=8.0, paf_overlap="mean", paf_grid="centre",
    beyond_frame="none",
    made_on="host",
)  # fmt: skip
AUGMENT = Augment(
    crop_px=96, target_height=0.6, scale="once", scale_min=0.5, scale_max=1.1, rotation_deg=40.0,
    shift_px=10.0,
    shift_in="crop", flip_probability=0.5, interpolation="linear", outside_supervised=False,
    mask_shrink="area",
)  # fmt: skip
PLAIN = {"labels": LABELS, "augment": AUGMENT}
DAMAGED = 3  # image


@dataclass(frozen=True)
class Drawn:
    """Images made up from their names."""

    sizes: dict[str, tuple[int, int]]
    damaged: str = ""
    path: Path = Path("drawn")

    def read(self, name: str) -> bytes:
        height, width = self.sizes[name]
        rng = np.random.default_rng(int(name))
        coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
        data = bytearray(cv2.imencode(".jpg", cv2.resize(coarse, (width, height)))[1].tobytes())
        if name == self.damaged:
            data[len(data) // 2 : -2] = b"\x00" * (len(data) - 2 - len(data) // 2)
        return bytes(data)

    def size(self, name: str) -> int:
        return len(self.read(name))


@dataclass(frozen=True)
class BrightSpot:
    """One dark image with a bright spot."""

    x: float
    y: float
    path: Path = Path("drawn")

    def read(self, name: str) -> bytes:
        y, x = np.mgrid[0:240, 0:200]
        spot = 255 * np.exp(-((x - self.x) ** 2 + (y - self.y) ** 2) / (2 * 6.0**2))
        return cv2.imencode(".jpg", np.repeat(spot[..., None], 3, axis=2))[1].tobytes()

    def size(self, name: str) -> int:
        return len(self.read(name))


def write_packed(
    path: Path, people_of: list[int], sizes: list[tuple[int, int]], damaged: str = ""
) -> Path:
    """A packed file in which image i has `people_of[i]` people, every one a sample."""
    rng = np.random.default_rng(1)
    count, images = sum(people_of), len(people_of)
    names = [f"{i:012d}" for i in range(images)]
    of_image = np.repeat(np.arange(images), people_of).astype(np.int32)
    sizes = np.array(sizes, np.int32).reshape(-1, 2)
    hw = sizes[of_image].astype(np.float64)
    keypoints = np.dstack(
        [rng.uniform(0, 1, (count, 17, 2)) * hw[:, None, ::-1], rng.integers(0, 3, (count, 17, 1))]
    )
    boxes = np.column_stack([np.zeros((count, 2)), hw[:, 1] / 2, hw[:, 0]])
    people = People(
        np.arange(count),
        of_image,
        keypoints.astype(np.float32),
        boxes,
        boxes[:, 2],
        np.zeros(images),
    )
    return write_source(
        path, sizes, names, people, Drawn(dict(zip(names, sizes.tolist(), strict=True)), damaged)
    )


def write_source(path: Path, sizes: np.ndarray, names: list[str], people: People, images) -> Path:
    count = len(names)
    source = packing.Source(
        name="train",
        images=Images(
            path=path,
            ids=np.arange(count) + 100,
            sizes=sizes,
            file_names=names,
            file_order=np.arange(count),
            sha256="",
            categories=Categories(frozenset(), {}),
            renumbered={},
            turns=np.ones(count, np.uint8),
        ),
        people=people,
        samples=np.arange(len(people)),
        masks=Masks(np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.uint8)),
        archive=images,
    )
    packing.write(path, [source], {})
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    people = [1, 3, 2, 1, 5, 1, 2, 4]
    sizes = [
        (120, 160),
        (200, 150),
        (90, 300),
        (64, 64),
        (333, 250),
        (480, 100),
        (100, 100),
        (240, 320),
    ]
    return write_packed(tmp_path_factory.mktemp("packed") / "train.h5", people, sizes)


@pytest.fixture(scope="module")
def damaged_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "train.h5"
    return write_packed(path, [2, 1, 1, 3, 1], [(120, 160)] * 5, f"{DAMAGED:012d}")


def training(path: Path, **changes) -> TrainingBatches:
    return TrainingBatches(
        path, **{**PLAIN, "batch_size": 4, "seed": 7, "shuffle_images": 3, "threads": 1, **changes}
    )


def flat(batch: tuple) -> bytes:
    images, (targets, mask) = batch
    return images.tobytes() + targets.tobytes() + mask.tobytes()


@given(
    per_image=st.lists(st.integers(1, 6), max_size=30),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 500),
    window=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_every_epoch_is_a_permutation_with_the_samples_of_an_image_within_the_window(
    per_image, seed, epoch, window
):
    images = np.repeat(np.arange(len(per_image)), per_image).astype(np.int32)
    order = epoch_order(images, seed=seed, epoch=epoch, shuffle_images=window)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(images)))
    if window < len(per_image):
        held = {image: np.flatnonzero(images[order] == image) for image in range(len(per_image))}
        for first, *_, last in (places for places in held.values() if len(places) > 1):
            # those opened meanwhile, or still open
            assert len(np.unique(images[order][first:last])) <= 2 * window


def test_orders_differ_between_epochs_and_between_seeds_and_repeat():
    images = np.repeat(np.arange(50), 2)
    orders = {
        (seed, epoch): epoch_order(images, seed=seed, epoch=epoch, shuffle_images=window).tobytes()
        for seed in (1, 2) for epoch in (0, 1) for window in (8,)
    }  # fmt: skip
    assert len(set(orders.values())) == 4
    assert epoch_order(images, seed=2, epoch=1, shuffle_images=8).tobytes() == orders[2, 1]


def test_samples_of_an_image_are_spread_over_the_window():
    """Mean distance of two samples of one image: a third of the window, in images."""
    images = np.repeat(np.arange(3000), 2)
    order = epoch_order(images, seed=1, epoch=0, shuffle_images=120)
    place = np.empty(6000)
    place[order] = np.arange(6000)
    apart = np.abs(place[::2] - place[1::2]) / 2
    assert 37 < apart.mean() < 43
    assert (apart < 4).mean() < 0.1


def test_a_large_window_is_a_full_shuffle():
    images = np.repeat(np.arange(400), 5)
    order = epoch_order(images, seed=1, epoch=0, shuffle_images=400)
    same_image_next = (images[order][1:] == images[order][:-1]).mean()
    assert same_image_next < 0.01


def test_batches_have_the_stated_shapes_types_and_ranges(file):
    batches = training(file)
    items = [batches[i] for i in range(len(batches))]
    assert [len(images) for images, _ in items] == [4, 4, 4, 4, 3]
    images, (targets, mask) = items[0]
    assert (images.shape, images.dtype) == ((4, 96, 96, 3), np.uint8)
    assert (targets.shape, targets.dtype) == ((4, 12, 12, 57), np.float32)
    assert (mask.shape, mask.dtype) == ((4, 12, 12, 1), np.float32)
    assert 0 <= mask.min() < mask.max() == 1


@pytest.mark.parametrize("threads", [2, 5])
def test_batches_do_not_depend_on_the_number_of_threads(file, threads):
    one_thread, many_threads = training(file), training(file, threads=threads)
    for epoch in (0, 3):
        one_thread.go_to(epoch), many_threads.go_to(epoch)
        assert [flat(one_thread[i]) for i in range(len(one_thread))] == [
            flat(many_threads[i]) for i in range(len(many_threads))
        ]


def test_any_batch_can_be_made_without_those_before_it(file):
    """Resume in the middle of an epoch continues the same order with the same bytes; backwards
    works too.
    """
    unbroken = training(file)
    expected = [flat(unbroken[i]) for i in range(len(unbroken))]
    for start in range(len(unbroken)):
        resumed = training(file, threads=2)
        assert [flat(resumed[i]) for i in range(start, len(resumed))] == expected[start:]
    backwards = training(file)
    assert [flat(backwards[i]) for i in reversed(range(len(backwards)))] == expected[::-1]


def test_the_shards_of_a_batch_are_the_batch_one_after_the_other(file):
    whole = training(file)
    shards = [training(file, shard=(i, 2)) for i in (0, 1)]
    for index in range(len(whole)):
        images, (targets, mask) = whole[index]
        parts = [shard[index] for shard in shards]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), images)
        np.testing.assert_array_equal(np.concatenate([part[1][0] for part in parts]), targets)
        np.testing.assert_array_equal(np.concatenate([part[1][1] for part in parts]), mask)


def test_window_and_cache_change_the_order_but_no_sample(file):
    """Each sample of an epoch looks the same wherever the order puts it."""

    def by_sample(batches: TrainingBatches) -> dict[int, bytes]:
        images = np.concatenate([batches[i][0] for i in range(len(batches))])
        return {int(sample): images[place].tobytes() for place, sample in enumerate(batches.order)}

    assert by_sample(training(file, shuffle_images=1)) == by_sample(
        training(file, shuffle_images=100)
    )


def test_each_image_is_decoded_once_an_epoch(file, monkeypatch):
    decoded = Counter()
    decode = sampling.Samples.decode
    monkeypatch.setattr(
        sampling.Samples, "decode", lambda self, e, i: (decoded.update([i]), decode(self, e, i))[1]
    )
    batches = training(file, threads=2)
    for i in range(len(batches)):
        batches[i]
    assert decoded == Counter(range(8))


def test_nothing_is_kept_when_an_epoch_is_over(file):
    batches = training(file, threads=2)
    for i in range(len(batches)):
        batches[i]
    assert not batches._samples._decoded._results
    assert not batches._pending


def test_batches_that_nobody_needs_leave_no_thread_and_no_open_file(file):
    before = set(threading.enumerate())
    batches = training(file, threads=3)
    batches[0]
    held, pending = batches.packed, list(batches._pending.values())
    wait(pending)
    del batches, pending
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError, match="Bad file descriptor"):
        held.jpeg(0)


def test_keras_goes_through_the_epochs_itself(file):
    batches = training(file)
    first = flat(batches[0])
    batches.on_epoch_end()
    assert batches.epoch == 1
    assert flat(batches[0]) == flat(training(file, epoch=1)[0]) != first


def test_image_ids_of_a_batch(file):
    batches = training(file)
    ids = [image_id for i in range(len(batches)) for image_id in batches.image_ids(i)]
    assert Counter(ids) == Counter({100: 1, 101: 3, 102: 2, 103: 1, 104: 5, 105: 1, 106: 2, 107: 4})


def test_validation_is_the_same_each_time_and_on_any_number_of_threads(file):
    one_thread, two_threads = (
        ValidationBatches(file, **PLAIN, batch_size=4, threads=threads) for threads in (1, 3)
    )
    expected = [flat(one_thread[i]) for i in range(len(one_thread))]
    assert [flat(one_thread[i]) for i in range(len(one_thread))] == expected
    one_thread.on_epoch_end()
    assert [flat(two_threads[i]) for i in range(len(two_threads))] == expected
    ids = [image_id for i in range(len(one_thread)) for image_id in one_thread.image_ids(i)]
    assert ids == one_thread.packed.image_ids[one_thread.packed.sample_image].tolist()


def test_device_batches_hold_the_keypoints_that_give_the_host_labels(file):
    host, device = training(file), training(file, labels=replace(LABELS, made_on="device"))
    for i in range(len(host)):
        (images, (targets, mask)), (same, (parts, same_mask)) = host[i], device[i]
        assert (parts.shape, parts.dtype) == ((len(images), 5, 18, 3), np.float32)
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(mask, same_mask)
        off = np.abs(np.asarray(device_targets(parts, (12, 12), LABELS)) - targets) > 1e-4
        assert off.sum() <= 2 * len(images)


def test_reduced_decode_shows_the_same_image(file):
    """An image decoded at half size or less is the same crop, up to the detail that the crop cannot
    show.
    """
    large = replace(AUGMENT, crop_px=48, rotation_deg=0.0)
    batches = training(file, augment=large)
    source = batches._samples
    for image in (4, 5, 7):
        decoded = source.decode(0, image)
        assert decoded.reduced_by > 1
        full = batches.packed.image(image)
        blurred = cv2.blur(full, (decoded.reduced_by,) * 2)
        for matrix in decoded.affines.values():
            ours = sampling.warp_image(decoded.pixels, matrix, large, reduced_by=decoded.reduced_by)
            expected = sampling.warp_image(blurred, matrix, large)
            assert np.abs(ours.astype(int) - expected).mean() < 6


def test_parity_never_decodes_at_reduced_size(file):
    batches = training(file, augment=replace(AUGMENT, crop_px=48, interpolation="cubic"))
    assert {batches._samples.decode(0, image).reduced_by for image in range(8)} == {1}


def middle(weights: np.ndarray, step: float, offset: float) -> np.ndarray:
    """Centre of gravity (x, y) of a map whose cell i stands at pixel step * i + offset."""
    place = np.arange(len(weights)) * step + offset
    return (
        np.array([(weights.sum(0) * place).sum(), (weights.sum(1) * place).sum()]) / weights.sum()
    )


@pytest.mark.parametrize(
    "section", [AUGMENT, replace(AUGMENT, interpolation="cubic"), replace(AUGMENT, crop_px=48)]
)
def test_heatmap_stands_where_the_image_shows_its_keypoint(tmp_path, section):
    """From the packed file to the batch, flips and reduced decoding included, to half a pixel."""
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, 9] = 91, 120, 2  # left wrist
    boxes = np.array([[40.0, 70.0, 100.0, 110.0]])
    people = People(np.arange(1), np.zeros(1, np.int32), keypoints, boxes, boxes[:, 2], np.zeros(1))
    path = write_source(
        tmp_path / "train.h5", np.array([[240, 200]], np.int32), ["1"], people, BrightSpot(91, 120)
    )
    batches = training(path, augment=section, labels=replace(LABELS, stride_px=4))
    wrists = {"left": 38 + 7, "right": 38 + 4}
    seen = set()
    for epoch in range(12):
        (image,), (targets, _) = batches.go_to(epoch)[0]
        side = "left" if targets[0, ..., wrists["left"]].any() else "right"
        seen.add(side)
        heat = targets[0, ..., wrists[side]]
        spot = np.maximum(image[..., 0].astype(float) - 160, 0)
        np.testing.assert_allclose(middle(heat, 4, 1.5), middle(spot, 1, 0), atol=0.5)
    assert seen == {"left", "right"}


def test_samples_of_real_images_equal_the_reference(shared, tmp_path, monkeypatch):
    """From COCO's files through the packed file to image, labels and mask, with the maps that the
    reference drew.
    """
    path = pack_mini(tmp_path, mini=shared / "coco-mini")
    section = replace(
        AUGMENT, crop_px=368, interpolation="cubic", outside_supervised=True, mask_shrink="cubic"
    )
    made_as = replace(LABELS, paf_overlap="last", paf_grid="corner", beyond_frame="keep")
    batches = training(path, augment=section, labels=made_as, batch_size=1)
    golden = np.load(shared / "golden" / "seed_labels.npz")
    warps = np.load(shared / "golden" / "seed_warps.npz")["image"]
    file = batches.packed
    numbers = [
        int(
            np.flatnonzero(
                (file.image_ids[file.sample_image] == image_id)
                & np.isclose(file.centres, centre).all(1)
            )[0]
        )
        for image_id, centre in zip(golden["image_id"], golden["objpos"], strict=True)
    ]
    maps = dict(zip(numbers, golden["affine"], strict=True))
    monkeypatch.setattr(
        sampling.Samples, "affine", lambda self, epoch, sample: maps.get(sample, np.eye(2, 3))
    )
    batches.order = np.array(numbers)
    for i in range(24):
        (image,), (targets, mask) = batches[i]
        np.testing.assert_allclose(
            targets[0].transpose(2, 0, 1), golden["labels"][i], rtol=0, atol=1e-5
        )
        np.testing.assert_allclose(mask[0, ..., 0], golden["mask"][i], rtol=0, atol=1e-6)
        if i < len(warps):
            np.testing.assert_array_equal(image, warps[i])


def test_damaged_record_is_named_by_image_id(damaged_file):
    batches = training(damaged_file, batch_size=100)
    with pytest.raises(InputError, match=rf"image {100 + DAMAGED}\b.*train.corrupt_records"):
        batches[0]


def test_damaged_record_is_replaced_and_counted_by_policy(damaged_file):
    batches = training(damaged_file, corrupt_records="skip")
    two = training(damaged_file, corrupt_records="skip", threads=3)
    with pytest.warns(UserWarning, match=rf"image {100 + DAMAGED} is damaged"):
        assert [flat(batches[i]) for i in range(len(batches))] == [
            flat(two[i]) for i in range(len(two))
        ]
    assert batches.skipped == two.skipped == {100 + DAMAGED: batches.skipped[100 + DAMAGED]}
    assert batches.skipped[100 + DAMAGED] >= 3
    assert sum(len(batches[i][0]) for i in range(len(batches))) == 8


def test_damaged_records_at_the_end_of_the_order_are_replaced_by_those_at_its_beginning(
    damaged_file,
):
    batches = training(damaged_file, corrupt_records="skip", batch_size=8)
    batches.order = np.array([7, 0, 1, 2, 3, 4, 5, 6])  # 4, 5, 6 are of the damaged image
    with pytest.warns(UserWarning, match="is damaged"):
        images, (targets, _) = batches[0]
    for place in (5, 6, 7):
        np.testing.assert_array_equal(images[place], images[0])
        np.testing.assert_array_equal(targets[place], targets[0])
    assert not np.array_equal(images[4], images[0])
    assert batches.skipped == {100 + DAMAGED: 3 + 2 + 1}


def test_file_without_a_whole_record_is_an_error_even_when_skipping(tmp_path):
    path = write_packed(tmp_path / "train.h5", [2], [(120, 160)], f"{0:012d}")
    with pytest.raises(InputError, match="no record can be read"):
        training(path, corrupt_records="skip")[0]


def test_narrow_tiny_and_crowded_images_become_samples(tmp_path):
    path = write_packed(
        tmp_path / "train.h5", [1, 1, 1, 50], [(1, 1), (1, 400), (400, 1), (100, 100)]
    )
    for section in (
        AUGMENT,
        replace(AUGMENT, interpolation="cubic", mask_shrink="cubic", outside_supervised=True),
    ):
        batches = training(path, augment=section, batch_size=60)
        images, (targets, mask) = batches[0]
        assert len(images) == 53
        assert np.isfinite(targets).all()
        assert 0 <= mask.min() <= mask.max() <= 1


def test_crop_that_is_no_multiple_of_the_stride_is_an_error(file):
    with pytest.raises(InputError, match=r"augment\.crop_px.*multiple.*found 100"):
        training(file, augment=replace(AUGMENT, crop_px=100))


def test_file_without_samples_has_no_batches(tmp_path):
    assert (
        len(ValidationBatches(write_packed(tmp_path / "val.h5", [], []), **PLAIN, batch_size=4))
        == 0
    )


def test_batches_of_an_epoch_that_is_over_hold_no_thread_and_no_file(file):
    batches = training(file)
    batches[0]
    threads, descriptor = list(batches._pool._threads), batches.packed._file
    assert threads
    os.fstat(descriptor)
    batches.close()
    batches.close()
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_the_last_thread_at_work_may_be_the_one_that_frees_the_others(file):
    batches = training(file)
    batches[0]
    release = batches._pool.submit(loader._release, batches._pool, batches.packed)
    release.result(timeout=60)
    assert batches.packed._file < 0


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_in_printers_colours_is_left_to_the_decoder_that_knows_them(mode):
    data = io.BytesIO()
    Image.new(mode, (24, 16)).save(data, "JPEG")
    pixels = sampling._decode_jpeg(data.getvalue(), (16, 24), 1, sampling._Memory())
    assert (pixels is None) == (mode == "CMYK")


def test_an_image_of_another_size_than_the_file_says_is_named_with_both():
    data = cv2.imencode(".png", np.zeros((12, 34, 3), np.uint8))[1].tobytes()
    packed = SimpleNamespace(
        sizes=np.array([[10, 20]]), path="a.h5", image_ids=[5], jpeg=lambda _: data,
        image=lambda _: np.zeros((12, 34, 3), np.uint8),
    )  # fmt: skip
    reader = SimpleNamespace(packed=packed, _memory=sampling._Memory())
    with pytest.raises(InputError, match="image 5: expected 20 x 10 pixels, the image has 34 x 12"):
        sampling.Samples._pixels(reader, 0, 1)
