from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from stages import params
from stages.openpose import annotations, sheet
from stages.openpose.errors import InputError

SETTINGS = params.build(params.read_yaml(params.PRESETS / "sample.yaml"), "sample")
SIDE = SETTINGS.augment.crop_px
CENTRED = replace(SETTINGS.augment, rotation_deg=0, shift_px=0, flip_probability=0, scale="off", target_height=1.0)
HW = (300, 300)


class OnePerson(SimpleNamespace):
    """What `Samples` asks of a packed file, of one grey picture with one person whose only part is the nose."""

    def __len__(self):
        return self.samples

    def image(self, _):
        return np.full((*HW, 3), 90, np.uint8)

    def mask_miss(self, _):
        mask = np.full(HW, 255, np.uint8)
        mask[:, :130] = 0
        return mask

    def parts(self, _):
        parts = np.zeros((1, 18, 3), np.float32)
        parts[:, :, 2] = annotations.ABSENT
        parts[0, 0] = (150, 150, annotations.VISIBLE)
        return parts


def one_person(samples=1):
    return OnePerson(
        path="one.h5", samples=samples, image_ids=np.array([7]), sizes=np.array([HW]),
        sample_image=np.zeros(samples, int), sample_person=np.zeros(samples, int),
        centres=np.full((samples, 2), 150.0), scales=np.full(samples, 0.5),
    )  # fmt: skip


def drawn(samples=1, **changes):
    return sheet.contact_sheet(one_person(samples), replace(SETTINGS, augment=replace(CENTRED, **changes)))


def test_sheet_shows_crop_heatmaps_and_fields_of_each_sample_side_by_side():
    picture = drawn(samples=3)
    assert picture.shape == (2 * (SIDE + sheet.GAP_PX), 2 * (3 * SIDE + sheet.GAP_PX), 3)
    assert picture.dtype == np.uint8


def test_cells_not_learned_from_are_red_and_the_others_are_not():
    crop = drawn()[sheet.GAP_PX :, sheet.GAP_PX :][:SIDE, :SIDE].astype(int)
    redness = crop[..., 2] - crop[..., 0]
    assert (redness[20:100, :40] > 60).all()
    assert (abs(redness[20:60, -40:]) < 5).all()


def test_the_heatmap_glows_where_the_part_is():
    tile = drawn()[sheet.GAP_PX :, sheet.GAP_PX :][:SIDE]
    heat = tile[:, SIDE : 2 * SIDE].astype(int).sum(axis=2)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(y - SIDE / 2) <= 8
    assert abs(x - SIDE / 2) <= 8


def test_same_seed_draws_the_same_sheet():
    np.testing.assert_array_equal(drawn(rotation_deg=40.0), drawn(rotation_deg=40.0))


def test_an_empty_file_is_an_error():
    with pytest.raises(InputError, match=r"one\.h5: holds no sample"):
        drawn(samples=0)
