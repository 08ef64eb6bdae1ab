import cv2
import numpy as np
import pytest

from stages.openpose import drawing
from stages.openpose.skeleton import COCO
from tests.oracle import figure

GREY = np.full((200, 160, 3), 90, np.uint8)


def changed(before, after):
    """bool [H, W]: pixels that differ."""
    return (before != after).any(axis=2)


def test_the_image_itself_stays_as_it_was():
    image = GREY.copy()
    drawing.draw_people(image, figure(80, 30, 140)[None])
    drawing.draw_maps(image, np.ones((25, 20, 19)), np.ones((25, 20, 38)), (200, 160))
    np.testing.assert_array_equal(image, GREY)


def test_nobody_changes_nothing():
    np.testing.assert_array_equal(drawing.draw_people(GREY, np.zeros((0, 18, 3))), GREY)
    np.testing.assert_array_equal(drawing.draw_people(GREY, np.zeros((2, 18, 3))), GREY)


def test_every_part_has_its_own_colour_at_its_place():
    parts = figure(80, 40, 150)
    parts[:, 0] = np.tile([30, 80, 130], 6)
    parts[:, 1] = np.repeat(np.arange(20, 200, 30), 3)
    image = drawing.draw_people(GREY, parts[None])
    colours = {tuple(image[int(y), int(x)].tolist()) for x, y, _ in parts}
    assert colours == set(drawing.wheel(18))


def test_limbs_join_their_parts_and_absent_parts_have_none():
    parts = figure(80, 30, 140)
    middle = (parts[9, :2] + parts[10, :2]) / 2  # right shin
    x, y = middle.astype(int)
    assert changed(GREY, drawing.draw_people(GREY, parts[None]))[y, x]
    parts[10] = 0
    assert not changed(GREY, drawing.draw_people(GREY, parts[None]))[y, x]


def test_drawing_follows_fractions_of_a_pixel():
    def centre_x(x):
        parts = np.zeros((1, 18, 3))
        parts[0, 0] = x, 50, 1
        weight = np.abs(drawing.draw_people(GREY, parts).astype(float) - 90).sum(axis=(0, 2))
        return (weight * np.arange(160)).sum() / weight.sum()

    assert centre_x(70.5) - centre_x(70.0) == pytest.approx(0.5, abs=0.1)


def test_points_far_outside_and_huge_people_are_drawn_without_error():
    parts = figure(80, 30, 140)
    parts[3, :2] = 1e9, -1e9
    assert changed(GREY, drawing.draw_people(GREY, parts[None])).any()
    drawing.draw_people(GREY, figure(80, 30, 1e6)[None])


def test_neck_lies_between_the_shoulders_only_where_both_are():
    keypoints = figure(80, 30, 140)[None, list(COCO.part_of_keypoint)]
    neck = COCO.parts.index("neck")
    left, right = (COCO.parts.index(f"{side}_shoulder") for side in ("left", "right"))
    parts = drawing.parts_of(keypoints)
    np.testing.assert_allclose(parts[0, neck, :2], parts[0, [left, right], :2].mean(axis=0))
    np.testing.assert_allclose(
        np.delete(parts[0], neck, axis=0), np.delete(figure(80, 30, 140), neck, axis=0)
    )
    keypoints[0, COCO.keypoints.index("left_shoulder")] = 0
    assert not drawing.parts_of(keypoints)[0, neck].any()


def test_heat_grows_from_black_to_bright():
    colours = drawing.heat_colours(np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]]))
    light = cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)[0].astype(int)
    assert light[0] == light[1] == light[5] <= 2
    assert light[1] < light[2] < light[3] == light[4]


def test_fields_are_coloured_by_direction_and_length():
    field = np.array(
        [[[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0], [0.5, 0], [np.nan, 0]]], np.float32
    )
    colours = drawing.field_colours(field)[0].astype(int)
    assert len({tuple(colour) for colour in colours[:4]}) == 4
    assert not colours[4].any()
    assert not colours[6].any()
    assert colours[5].max() == pytest.approx(colours[0].max() / 2, abs=2)


def test_maps_lie_over_the_image_where_they_belong():
    heatmaps, pafs = np.zeros((26, 20, 19), np.float32), np.zeros((26, 20, 38), np.float32)
    heatmaps[12, 5, 3] = 1  # covers pixels 40..47, 96..103
    pafs[4, 15, 6:8] = 1, 0
    panels = drawing.draw_maps(GREY, heatmaps, pafs, (208, 160))
    assert panels.shape == (200, 480, 3)
    heat, field = panels[:, 160:320].sum(axis=2), panels[:, 320:].sum(axis=2)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert 94 <= y <= 105
    assert 38 <= x <= 49
    y, x = np.unravel_index(field.argmax(), field.shape)
    assert 30 <= y <= 41
    assert 118 <= x <= 129
