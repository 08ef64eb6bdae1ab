from dataclasses import replace

import cv2
import numpy as np
import pytest

from stages import params
from stages.openpose.coco import annotations, image_files
from stages.openpose.errors import InputError
from stages.openpose.samples import crowd_masks, packed, packing, sheet
from tests.tiny_coco import image, person, write_json, write_zip

SETTINGS = params.build(params.read_yaml(params.PRESETS / "sample.yaml"), "sample")
SIDE = SETTINGS.augment.crop_px
CENTRED = replace(
    SETTINGS.augment, rotation_deg=0, shift_px=0, flip_probability=0, scale="off", target_height=1.0
)
HW = (300, 300)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Packed files by number of samples: grey images, a nose in the middle, the left part not to be
    learned from.
    """
    packed_files = {}
    for count in (0, 1, 3):
        folder = tmp_path_factory.mktemp("sheet")
        nose = [150, 150, 2] + [0] * 48
        people = [person(i, i, (50, 50, 200, 200), keypoints=nose) for i in range(1, 4)]
        people += [person(10 + i, i, (0, 0, 130, 300), labelled=0) for i in range(1, 4)]
        path = write_json(folder / "train.json", [image(i, HW) for i in range(1, 4)], people)
        grey = cv2.imencode(".jpg", np.full((*HW, 3), 90, np.uint8))[1].tobytes()
        archive = write_zip(folder / "train.zip", {f"{i:012d}.jpg": grey for i in range(1, 4)})
        crowd_masks.write_masks(folder / "train-0.h5", path, 0, 1)
        images = annotations.read_images(path)
        masks = crowd_masks.read_masks(folder, "train", images.sha256)
        with image_files.open_images(archive) as opened:
            people = annotations.read_people(path, images)
            source = packing.Source("train", images, people, np.arange(count), masks, opened)
            packing.write(folder / "train.h5", [source], {})
        packed_files[count] = folder / "train.h5"
    return packed_files


@pytest.fixture
def draw_sheet(files):
    def draw(samples=1, **changes):
        with packed.open_packed(files[samples]) as file:
            return sheet.contact_sheet(file, replace(SETTINGS, augment=replace(CENTRED, **changes)))

    return draw


def test_sheet_shows_crop_heatmaps_and_fields_of_each_sample_side_by_side(draw_sheet):
    image = draw_sheet(samples=3)
    assert image.shape == (2 * (SIDE + sheet.GAP_PX), 2 * (3 * SIDE + sheet.GAP_PX), 3)
    assert image.dtype == np.uint8


def test_cells_not_learned_from_are_red_and_the_others_are_not(draw_sheet):
    crop = draw_sheet()[sheet.GAP_PX :, sheet.GAP_PX :][:SIDE, :SIDE].astype(int)
    redness = crop[..., 2] - crop[..., 0]
    assert (redness[20:100, :40] > 60).all()
    assert (abs(redness[20:60, -40:]) < 5).all()


def test_the_heatmap_glows_where_the_part_is(draw_sheet):
    tile = draw_sheet()[sheet.GAP_PX :, sheet.GAP_PX :][:SIDE]
    heat = tile[:, SIDE : 2 * SIDE].astype(int).sum(axis=2)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(y - SIDE / 2) <= 8
    assert abs(x - SIDE / 2) <= 8


def test_the_image_id_stands_on_black(draw_sheet):
    tile = draw_sheet()[sheet.GAP_PX :, sheet.GAP_PX :][:SIDE]
    (width, height), below = cv2.getTextSize("1", cv2.FONT_HERSHEY_PLAIN, 1.0, 1)
    above_text = tile[-height - below - 3].sum(axis=1)
    assert not above_text[: width + 6].any()
    assert above_text[width + 8 : SIDE].all()


def test_same_seed_draws_the_same_sheet(draw_sheet):
    np.testing.assert_array_equal(draw_sheet(rotation_deg=40.0), draw_sheet(rotation_deg=40.0))


def test_an_empty_file_is_an_error(draw_sheet):
    with pytest.raises(InputError, match=r"train\.h5: holds no sample"):
        draw_sheet(samples=0)
