"""A teacher's maps mixed into labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.openpose.inference.tta import mirror_maps
from stages.openpose.samples.loader import TrainingBatches, VariantCrops
from stages.openpose.samples.packed import open_packed
from stages.openpose.samples.sampling import Samples
from stages.openpose.skeleton import COCO
from stages.openpose.training import distillation
from tests.openpose.samples.test_loader import AUGMENT, LABELS, write_packed

VARIED = replace(AUGMENT, variants=2)
MARGIN_PX = 16
FIELDS = COCO.paf_channels


def teacher(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps that tell from which pixels they came: means of the cells' blue, green and red."""
    count, height, width = batch.shape[:3]
    cells = batch.reshape(count, height // 8, 8, width // 8, 8, 3).mean(axis=(2, 4)) / 255
    heatmaps = np.repeat(cells[..., :1], COCO.heatmap_channels, axis=-1)
    return heatmaps.astype(np.float32), np.tile(cells[..., 1:], len(COCO.limbs)).astype(
        np.float32
    ) * 2 - 1


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "train.h5"
    return write_packed(path, [1, 3, 2], [(120, 160), (200, 150), (240, 320)])


@pytest.fixture(scope="module")
def maps(file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    wide = distillation.with_margin(VARIED, MARGIN_PX)
    for variant in range(VARIED.variants):
        crops = VariantCrops(
            file, batch_size=4, labels=LABELS, augment=wide, seed=7, variant=variant
        )
        path = distillation.variant_path(folder, variant)
        distillation.write_maps(path, crops, teacher, samples=6, margin_cells=MARGIN_PX // 8)
    return folder


def random_maps(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pafs = rng.uniform(-1, 1, (5, 6, FIELDS)).astype(np.float32)
    return pafs, rng.uniform(0, 1, (5, 6, COCO.heatmap_channels)).astype(np.float32)


def decoded(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return codes[..., :FIELDS].astype(float) / 127 - 1, codes[..., FIELDS:] / 255


def test_codes_are_within_half_a_step_of_the_maps():
    pafs, heatmaps = random_maps()
    fields, heat = decoded(distillation.encode(pafs, heatmaps))
    assert abs(fields - pafs).max() <= 0.5 / 127 + 1e-6
    assert abs(heat - heatmaps).max() <= 0.5 / 255 + 1e-6


def test_values_out_of_range_are_cut_off():
    codes = distillation.encode(
        np.full((1, 1, FIELDS), -3.0), np.full((1, 1, COCO.heatmap_channels), 2.0)
    )
    assert (codes[..., :FIELDS] == 0).all()
    assert (codes[..., FIELDS:] == 255).all()


def test_mirrored_codes_are_codes_of_mirrored_maps():
    pafs, heatmaps = random_maps()
    turned_heat, turned_pafs = mirror_maps(heatmaps, pafs)
    expected = distillation.encode(turned_pafs, turned_heat).astype(int)
    found = distillation.mirrored_codes(distillation.encode(pafs, heatmaps)).astype(int)
    assert abs(found - expected).max() <= 1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_labels_count_where_they_say_something_and_the_teacher_elsewhere(share):
    pafs, heatmaps = random_maps()
    codes = distillation.encode(pafs, heatmaps)
    taught = np.concatenate(decoded(codes), axis=-1)
    targets = np.zeros(codes.shape, np.float32)
    targets[1, 2, [0, 1]] = 0.6, -0.8
    targets[3, 3, FIELDS + 4] = 0.9
    mixed = targets.copy()
    distillation.mix(mixed, codes, FIELDS, share)
    labelled = targets != 0
    expected = np.where(labelled, share * taught + (1 - share) * targets, taught)
    expected[..., -1] = 1 - expected[..., FIELDS:-1].max(axis=-1)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_every_variant_shows_the_middle_of_what_the_teacher_saw(file, maps):
    seen = Samples(
        open_packed(file),
        stride_px=8, augment=replace(VARIED, flip_probability=0.0), seed=7, keep=4,
    )  # fmt: skip
    for variant in range(VARIED.variants):
        codes = np.load(distillation.variant_path(maps, variant))
        for sample in range(6):
            crop, mask = np.empty((96, 96, 3), np.uint8), np.empty((12, 12), np.float32)
            seen.write(variant, sample, crop, mask)
            heat, fields = teacher(crop[None])
            expected = distillation.encode(fields, heat)[0].astype(int)
            assert abs(codes[sample].astype(int) - expected).max() <= 2


def test_crops_repeat_after_all_variants_but_for_mirroring(file):
    made = Samples(
        open_packed(file),
        stride_px=8, augment=VARIED, seed=7, keep=4,
    )  # fmt: skip
    plain = [[made.affine(epoch, sample) for sample in range(6)] for epoch in range(12)]
    mirrored = [[made.mirrored(epoch, sample) for sample in range(6)] for epoch in range(12)]
    assert 0.2 < np.mean(mirrored) < 0.8
    for epoch in range(12):
        for sample in range(6):
            straight = plain[epoch][sample].copy()
            if mirrored[epoch][sample]:
                straight[0] = -straight[0] + (0, 0, 95)
            same = next(e for e in range(epoch % 2, 12, 2) if not mirrored[e][sample])
            np.testing.assert_allclose(straight, plain[same][sample], atol=1e-9)


def test_batches_hold_the_maps_of_their_own_crops_mirrored_too(file, maps):
    mixed = distillation.TeacherMaps(maps, VARIED.variants, share=1.0)
    for epoch in range(6):
        batches = TrainingBatches(
            file, batch_size=6, labels=LABELS, augment=VARIED, seed=7, epoch=epoch, teacher=mixed
        )  # fmt: skip
        crops, (targets, _) = batches[0]
        blue = crops.reshape(6, 12, 8, 12, 8, 3).mean(axis=(2, 4))[..., 0] / 255
        assert abs(targets[..., FIELDS] - blue).max() < 0.02
