"""One affine for image, mask and keypoints."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.openpose.samples import augment
from stages.openpose.samples.augment import Augmentation
from stages.openpose.skeleton import COCO
from stages.params import Augment

CLEAN = Augment(
    crop_px=184, target_height=0.6, scale="once", scale_min=0.5, scale_max=1.1, rotation_deg=40.0,
    shift_px=20.0,
    shift_in="crop", flip_probability=0.5, interpolation="linear", outside_supervised=False,
    mask_shrink="area",
)  # fmt: skip
PARITY = replace(
    CLEAN, crop_px=368, shift_px=40.0, scale="off", shift_in="image", interpolation="cubic",
    outside_supervised=True,
    mask_shrink="cubic",
)  # fmt: skip

draws = st.builds(
    Augmentation,
    scale=st.floats(0.5, 1.5),
    rotation_deg=st.floats(-180, 180),
    shift_px=st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    flip=st.booleans(),
)


@pytest.fixture(scope="module")
def golden(shared: Path) -> SimpleNamespace:
    with np.load(shared / "golden" / "seed_labels.npz") as values:
        return SimpleNamespace(**{name: values[name] for name in values.files})


def golden_draw(golden: SimpleNamespace, i: int) -> Augmentation:
    return Augmentation(
        golden.scale[i], golden.degree[i], tuple(golden.crop[i]), bool(golden.flip[i])
    )


def test_affine_and_keypoints_equal_the_reference(golden):
    for i, people in enumerate(golden.n_people):
        matrix = augment.affine(
            golden_draw(golden, i), golden.objpos[i], golden.scale_provided[i], PARITY
        )
        np.testing.assert_allclose(matrix, golden.affine[i], rtol=0, atol=1e-6)
        mapped = augment.map_parts(golden.joints_image[i, :people], matrix)
        np.testing.assert_allclose(mapped, golden.joints_crop[i, :people], rtol=0, atol=1e-6)


def test_cubic_crops_equal_the_reference_pixel_for_pixel(golden, shared):
    with np.load(shared / "golden" / "seed_warps.npz") as warps:
        for i, (image_id, expected) in enumerate(
            zip(warps["image_id"], warps["image"], strict=True)
        ):
            image = cv2.imread(str(shared / "coco-mini" / "images" / f"{image_id:012d}.jpg"))
            crop = augment.warp_image(image, golden.affine[i], PARITY)
            np.testing.assert_array_equal(crop, expected)


def test_cubic_masks_equal_the_reference(golden, shared):
    for i, image_id in enumerate(golden.image_id):
        mask = cv2.imread(
            str(shared / "golden" / "mask_miss" / f"{image_id:012d}.png"), cv2.IMREAD_GRAYSCALE
        )
        ours = augment.warp_mask(mask, mask.shape, golden.affine[i], PARITY, 8)
        np.testing.assert_allclose(ours, golden.mask[i], rtol=0, atol=1e-6)
        if mask.min() == 255:
            np.testing.assert_array_equal(
                augment.warp_mask(None, mask.shape, golden.affine[i], PARITY, 8), ours
            )


@given(drawn=draws, seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_flip_twice_is_identity(drawn, seed):
    """The mirrored map mirrored again in the crop is the plain map, for points, part names and
    pixels alike.
    """
    rng = np.random.default_rng(seed)
    parts = np.dstack([rng.uniform(0, 100, (3, 18, 2)), rng.integers(0, 3, (3, 18))])
    centre = tuple(rng.uniform(20, 80, 2))
    plain = augment.affine(replace(drawn, flip=False, shift_px=(0.0, 0.0)), centre, 0.2, CLEAN)
    flipped = augment.affine(replace(drawn, flip=True, shift_px=(0.0, 0.0)), centre, 0.2, CLEAN)
    mirror = np.array([[-1.0, 0.0, CLEAN.crop_px], [0.0, 1.0, 0.0]])
    once, twice = (
        augment.map_parts(parts, flipped),
        augment.map_parts(augment.map_parts(parts, flipped), mirror),
    )
    np.testing.assert_allclose(twice, augment.map_parts(parts, plain), atol=1e-9)
    assert not np.allclose(once, twice)
    np.testing.assert_array_equal(once[:, list(COCO.mirrored_parts), 2], parts[..., 2])


def test_mirrored_crop_is_the_crop_mirrored():
    image = np.random.default_rng(1).integers(0, 256, (150, 150, 3), np.uint8)
    plain = augment.warp_image(
        image, augment.affine(Augmentation(), (75, 75), 150 / 368, CLEAN), CLEAN
    )
    flipped = augment.warp_image(
        image, augment.affine(Augmentation(flip=True), (75, 75), 150 / 368, CLEAN), CLEAN
    )
    difference = np.abs(plain[:, 1:].astype(int) - flipped[:, :0:-1])  # pixel x comes to S - x
    assert difference.max() <= 1


@given(
    drawn=draws,
    shift_in=st.sampled_from(["crop", "image"]),
    interpolation=st.sampled_from(["linear", "cubic"]),
    reduced_by=st.sampled_from([1, 2, 4]),
    keypoint=st.tuples(st.integers(40, 160), st.integers(40, 120)),
)
@settings(max_examples=60, deadline=None)
def test_bright_pixel_lands_where_its_keypoint_lands(
    drawn, shift_in, interpolation, reduced_by, keypoint
):
    """The centre of brightness of a blob drawn around a keypoint is the mapped keypoint, to a
    twentieth of a pixel.
    """
    section = replace(CLEAN, shift_in=shift_in, interpolation=interpolation)
    grid_y, grid_x = np.mgrid[0:160, 0:200]
    blob = 255 * np.exp(-((grid_x - keypoint[0]) ** 2 + (grid_y - keypoint[1]) ** 2) / (2 * 6.0**2))
    image = np.repeat(blob[..., None], 3, axis=2)
    blocks = image.reshape(160 // reduced_by, reduced_by, 200 // reduced_by, reduced_by, 3).mean(
        axis=(1, 3)
    )
    matrix = augment.affine(drawn, keypoint, 100 / 368, section)
    crop = augment.warp_image(
        np.rint(blocks).astype(np.uint8), matrix, section, reduced_by=reduced_by
    )
    parts = np.array([[[*keypoint, 1.0]] * 18])
    x, y = augment.map_parts(parts, matrix)[0, 0, :2]
    # above the grey outside and what cubic adds to it
    weight = np.maximum(crop[..., 0].astype(float) - 160, 0)
    brightest = (
        np.array([(weight.sum(0) * np.arange(184)).sum(), (weight.sum(1) * np.arange(184)).sum()])
        / weight.sum()
    )
    np.testing.assert_allclose(brightest, (x, y), atol=0.05 * max(1, reduced_by / 2))


@given(
    drawn=draws,
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    stride=st.sampled_from([4, 8]),
)
@settings(max_examples=40, deadline=None)
def test_pixels_outside_the_image_are_not_supervised(drawn, size, stride):
    """Each cell holds the share of its pixels that show the image, whatever the image's size,
    narrow or one pixel.
    """
    matrix = augment.affine(drawn, (size[1] / 2, size[0] / 2), 100 / 368, CLEAN)
    ours = augment.warp_mask(None, size, matrix, CLEAN, stride)
    seen = cv2.warpAffine(np.ones(size, np.float32), matrix, (184, 184), flags=cv2.INTER_NEAREST)
    cells = 184 // stride
    expected = seen.reshape(cells, stride, cells, stride).mean(axis=(1, 3))
    # cv2 rounds places to 1/32 pixel: a row of pixels may change sides
    assert np.abs(ours - expected).max() <= 0.26
    assert abs(ours.mean() - expected.mean()) < 0.01
    np.testing.assert_array_equal(
        ours, augment.warp_mask(np.full(size, 255, np.uint8), size, matrix, CLEAN, stride)
    )
    old_way = augment.warp_mask(None, size, matrix, replace(CLEAN, outside_supervised=True), stride)
    np.testing.assert_array_equal(old_way, 1)


def test_crowd_pixels_are_not_supervised():
    mask = np.full((184, 184), 255, np.uint8)
    mask[40:80, 100:140] = 0
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    shares = augment.warp_mask(mask, mask.shape, matrix, CLEAN, 8)
    expected = np.ones((23, 23), np.float32)
    expected[5:10, 12:18] = 0
    expected[5:10, [12, 17]] = 0.5
    np.testing.assert_array_equal(shares, expected)


def test_main_person_comes_to_the_centre_at_its_target_height():
    for section in (CLEAN, PARITY):
        matrix = augment.affine(augment.UNCHANGED, (321.0, 87.0), 250 / 368, section)
        np.testing.assert_allclose(matrix @ [321.0, 87.0, 1.0], [section.crop_px / 2] * 2)
        assert augment.affine_scale(matrix) == pytest.approx(0.6 * section.crop_px / 250)


def test_person_without_height_still_has_a_map():
    assert np.isfinite(augment.affine(augment.UNCHANGED, (0.0, 0.0), 0.0, CLEAN)).all()


def test_draws_stay_within_their_ranges_and_fill_them():
    augmentations = [
        augment.draw_augmentation(np.random.default_rng((7, k)), CLEAN) for k in range(400)
    ]
    scales, angles = (
        np.array([d.scale for d in augmentations]),
        np.array([d.rotation_deg for d in augmentations]),
    )
    shifts, flips = (
        np.array([d.shift_px for d in augmentations]),
        np.mean([d.flip for d in augmentations]),
    )
    assert 0.5 <= scales.min() < 0.53
    assert 1.07 < scales.max() <= 1.1
    assert -40 <= angles.min() < -38
    assert 38 < angles.max() <= 40
    assert np.abs(shifts).max() <= 20
    assert (np.abs(shifts).max(0) > 19).all()
    independent = np.corrcoef(np.column_stack([shifts, scales, angles]).T) - np.eye(4)
    assert np.abs(independent).max() < 0.2
    assert np.abs(shifts.mean(0)).max() < 2
    assert 0.4 < flips < 0.6
    assert {
        augment.draw_augmentation(np.random.default_rng(k), PARITY).scale for k in range(9)
    } == {1.0}


def test_one_pixel_image_can_be_warped():
    image = np.full((1, 1, 3), 255, np.uint8)
    matrix = augment.affine(augment.UNCHANGED, (0.0, 0.0), 1 / 368, CLEAN)
    for interpolation in ("linear", "cubic"):
        crop = augment.warp_image(image, matrix, replace(CLEAN, interpolation=interpolation))
        assert crop.shape == (184, 184, 3)
        assert crop[92, 92, 0] == 255


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_as_many_are_mirrored_as_the_probability_says(probability):
    section = replace(CLEAN, flip_probability=probability)
    drawn = [augment.draw_augmentation(np.random.default_rng((3, k)), section) for k in range(500)]
    assert np.mean([one.flip for one in drawn]) == pytest.approx(probability, abs=0.06)
    assert probability not in (0, 1) or len({one.flip for one in drawn}) == 1


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1, 0, 5], [0, 2, 5]], False),
        ([[-1, 0, 5], [0, 2, 5]], True),
        ([[0, -1, 5], [1, 0, 5]], False),
        ([[0, 1, 5], [1, 0, 5]], True),
        ([[1, 1, 0], [3, 4, 0]], False),
        ([[4, 3, 0], [3, 2, 0]], True),
    ],
)
def test_a_map_mirrors_where_its_determinant_is_negative(matrix, expected):
    assert augment.mirrors(np.array(matrix, float)) is expected
