"""Part affinity fields and heatmaps, on the host and on the device."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.openpose.samples.device_labels import device_targets
from stages.openpose.samples.labels import REACH_SIGMAS, make_targets
from stages.openpose.skeleton import COCO
from stages.params import Labels

CLEAN = Labels(
    stride_px=8, sigma_px=7.0, paf_width_px=8.0, paf_overlap="mean", paf_grid="centre",
    beyond_frame="none",
    made_on="host",
)  # fmt: skip
PARITY = replace(CLEAN, paf_overlap="last", paf_grid="corner", beyond_frame="keep")
FIELDS, HEATMAPS, BACKGROUND = slice(0, 38), slice(38, 56), 56
GRID = (23, 23)


def people(seed: int, count: int, low: float = -40, high: float = 230) -> np.ndarray:
    """`count` people with parts anywhere in and around a crop of 184 pixels."""
    rng = np.random.default_rng(seed)
    parts = np.dstack([rng.uniform(low, high, (count, 18, 2)), rng.integers(0, 3, (count, 18))])
    return parts.astype(np.float32)


def one_part(x: float, y: float, part: int = 0) -> np.ndarray:
    parts = np.full((1, 18, 3), 2.0)
    parts[0, part] = x, y, 1
    return parts


def one_limb(start: tuple[float, float], end: tuple[float, float], limb: int = 0) -> np.ndarray:
    parts = np.full((1, 18, 3), 2.0)
    for part, place in zip(COCO.limbs[limb], (start, end), strict=True):
        parts[0, part] = *place, 1
    return parts


several = st.builds(people, st.integers(0, 10**6), st.integers(0, 6))
sections = st.builds(
    replace,
    st.just(CLEAN),
    paf_overlap=st.sampled_from(["mean", "last"]),
    paf_grid=st.sampled_from(["centre", "corner"]),
    beyond_frame=st.sampled_from(["none", "keep"]),
    stride_px=st.sampled_from([4, 8]),
)


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "seed_labels.npz") as values:
        return {name: values[name] for name in ("n_people", "joints_crop", "labels")}


def test_labels_equal_the_reference(golden):
    for count, parts, expected in zip(
        golden["n_people"], golden["joints_crop"], golden["labels"], strict=True
    ):
        ours = make_targets(parts[:count], (46, 46), PARITY)
        np.testing.assert_allclose(ours.transpose(2, 0, 1), expected, rtol=0, atol=1e-5)


def test_labels_made_on_the_device_equal_the_reference(golden):
    parts = golden["joints_crop"].copy()
    for sample, count in zip(parts, golden["n_people"], strict=True):
        sample[count:, :, 2] = 2
    ours = np.asarray(device_targets(parts.astype(np.float32), (46, 46), PARITY))
    np.testing.assert_allclose(ours.transpose(0, 3, 1, 2), golden["labels"], rtol=0, atol=1e-4)


@given(parts=several, section=sections)
@settings(max_examples=25, deadline=None)
def test_device_makes_the_labels_of_the_host(parts, section):
    padded = np.full((2, 8, 18, 3), 2, np.float32)
    padded[0, : len(parts)] = parts
    on_device = np.asarray(device_targets(padded, GRID, section))
    on_host = make_targets(parts, GRID, section)
    off = np.abs(on_device[0] - on_host) > 1e-4
    assert off.sum() <= 2  # a cell at 8 pixels from a limb to the last bits of float32
    np.testing.assert_array_equal(on_device[1], make_targets(parts[:0], GRID, section))


@given(parts=several, section=sections)
@settings(max_examples=25, deadline=None)
def test_background_is_one_less_the_largest_heatmap(parts, section):
    maps = make_targets(parts, GRID, section)
    np.testing.assert_allclose(maps[..., BACKGROUND], 1 - maps[..., HEATMAPS].max(-1), atol=1e-7)
    assert maps[..., 38:].min() >= 0
    assert maps[..., 38:].max() <= 1


@given(parts=several, seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_order_of_people_does_not_matter(parts, seed):
    shuffled = parts[np.random.default_rng(seed).permutation(len(parts))]
    np.testing.assert_allclose(
        make_targets(parts, GRID, CLEAN), make_targets(shuffled, GRID, CLEAN), atol=1e-6
    )


def test_order_of_people_matters_in_parity_alone():
    crossing = np.concatenate([one_limb((20, 92), (160, 92)), one_limb((92, 20), (92, 160))])
    assert not np.allclose(
        make_targets(crossing, GRID, PARITY), make_targets(crossing[::-1], GRID, PARITY)
    )
    cell = make_targets(crossing, GRID, CLEAN)[11, 11, :2]  # centre of the crossing: half of each
    np.testing.assert_allclose(cell, [0.5, 0.5], atol=1e-6)


@given(parts=several)
@settings(max_examples=25, deadline=None)
def test_heatmaps_are_the_gaussians_at_cell_centres(parts):
    centres = np.arange(23) * 8 + 3.5
    expected = np.zeros((23, 23, 18))
    for person in parts.astype(np.float64):
        for part, (x, y, visibility) in enumerate(person):
            gaussian = np.exp(
                -((centres[None] - x) ** 2 + (centres[:, None] - y) ** 2) / (2 * 7**2)
            )
            expected[..., part] = np.maximum(expected[..., part], gaussian * (visibility < 2))
    np.testing.assert_allclose(make_targets(parts, GRID, CLEAN)[..., HEATMAPS], expected, atol=5e-5)
    np.testing.assert_allclose(
        make_targets(parts, GRID, PARITY)[..., HEATMAPS], expected, atol=1e-7
    )


@given(x=st.floats(-300, 500), y=st.floats(-300, 500))
@settings(max_examples=60, deadline=None)
def test_keypoints_outside_leave_no_label_beyond_the_reach_of_their_gaussian(x, y):
    heat = make_targets(one_part(x, y), GRID, CLEAN)[..., 38]
    centres = np.arange(23) * 8 + 3.5
    distance = np.hypot(centres[None] - x, centres[:, None] - y)
    reach = REACH_SIGMAS["none"] * 7
    assert not heat[distance > reach + 1e-6].any()
    assert heat[distance < reach - 1e-6].all()


@given(start=st.tuples(*[st.floats(-60, 240)] * 2), end=st.tuples(*[st.floats(-60, 240)] * 2))
@settings(max_examples=60, deadline=None)
def test_fields_are_unit_vectors_near_the_limb(start, end):
    field = make_targets(one_limb(start, end), GRID, CLEAN)[..., :2]
    along = np.array(end) - start
    length = np.hypot(*along)
    norms = np.hypot(field[..., 0], field[..., 1])
    if length < 1e-3:
        assert not norms.any()
        return
    unit = along / length
    y, x = np.mgrid[0:23, 0:23] * 8 + 3.5
    off = np.abs((x - start[0]) * unit[1] - (y - start[1]) * unit[0])
    on = (x - start[0]) * unit[0] + (y - start[1]) * unit[1]
    np.testing.assert_allclose(norms[norms > 0], 1, atol=1e-5)
    assert (norms[(off < 7.999) & (on >= 0) & (on <= length)] > 0).all()
    assert not norms[(off > 8.001) | (on < -8 * 1.4143) | (on > length + 8 * 1.4143)].any()
    np.testing.assert_allclose(field[norms > 0], np.tile(unit, ((norms > 0).sum(), 1)), atol=1e-6)


def test_mirrored_people_give_mirrored_labels():
    """Flipping the crop about its middle mirrors maps, swaps sides and turns the x of fields
    around.
    """
    parts = people(5, 3)
    mirrored = parts[:, list(COCO.mirrored_parts)].copy()
    mirrored[..., 0] = 183 - mirrored[..., 0]
    maps, flipped = make_targets(parts, GRID, CLEAN)[:, ::-1], make_targets(mirrored, GRID, CLEAN)
    fields = maps[..., FIELDS].reshape(23, 23, 19, 2)[:, :, list(COCO.mirrored_limbs)] * [-1, 1]
    np.testing.assert_allclose(flipped[..., FIELDS], fields.reshape(23, 23, 38), atol=1e-5)
    np.testing.assert_allclose(
        flipped[..., 38:56], maps[..., 38:56][..., list(COCO.mirrored_parts)], atol=1e-5
    )


def test_limb_without_length_leaves_no_field_and_its_keypoints_stay():
    maps = make_targets(one_limb((50, 60), (50, 60)), GRID, CLEAN)
    assert not maps[..., FIELDS].any()
    assert maps[..., HEATMAPS].max() > 0.9
    assert np.isfinite(maps).all()


def test_keypoints_on_the_border_give_labels():
    for x, y, cell in ((0, 0, (0, 0)), (183, 0, (0, 22)), (0, 183, (22, 0)), (183, 183, (22, 22))):
        heat = make_targets(one_part(x, y), GRID, CLEAN)[..., 38]
        assert np.unravel_index(heat.argmax(), heat.shape) == cell
        assert heat.max() == pytest.approx(np.exp(-2 * 3.5**2 / 98))


def test_fifty_people_and_nobody():
    maps = make_targets(people(1, 50), GRID, CLEAN)
    assert np.isfinite(maps).all()
    nobody = make_targets(np.zeros((0, 18, 3)), GRID, CLEAN)
    assert not nobody[..., :56].any()
    assert (nobody[..., BACKGROUND] == 1).all()


def test_grid_of_one_cell_and_narrow_grids():
    for grid in ((1, 1), (1, 30), (30, 1)):
        maps = make_targets(people(2, 3, 0, 8), grid, CLEAN)
        assert maps.shape == (*grid, 57)
        assert maps[..., HEATMAPS].max() > 0.5


def test_absent_parts_give_nothing_wherever_they_lie():
    parts = people(3, 4)
    parts[..., 2] = 2
    parts[0, :, :2] = np.nan
    assert not make_targets(parts, GRID, CLEAN)[..., :56].any()


def test_labels_can_be_written_into_a_batch():
    batch = np.zeros((2, *GRID, 57), np.float32)
    written = make_targets(people(4, 2), GRID, CLEAN, out=batch[1])
    assert written.base is batch
    np.testing.assert_array_equal(batch[1], make_targets(people(4, 2), GRID, CLEAN))
    assert not batch[0].any()
