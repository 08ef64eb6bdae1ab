"""Visibility, outlines and run lengths against scenes built for the purpose."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from stages.openpose.skeleton import COCO
from stages.synthetic import body, coco, render
from stages.synthetic.appearance import draw_look, material
from stages.synthetic.figure import Pose, articulate, draw_proportions
from stages.synthetic.scene import PERSON, SUPER, DrawnScene, Item, _gather, draw_scene
from stages.synthetic.solids import THING, Solids, View

NOISE = render.noise_tile()
HEIGHT, WIDTH = 240, 200
LIGHT = np.array([0.0, 0.0, 1.0, 0.5])


def _draw(yaw=0.0, ground_point=(200.0, 440.0), scale=400.0, wall=None, pose=None):
    """One standing person, seen from `yaw`; `wall` = (x, y, half width, half height) of a box in
    front, in pixels.
    """
    rng, table = np.random.default_rng(3), []
    size = draw_proportions(rng)
    figure = articulate(pose or Pose(), size)
    look = draw_look(rng, table)
    while look.hair_style != "short" or look.hat_style or look.skirt:
        look = draw_look(rng, table)
    view = View(yaw, 0.0, scale, ground_point, 0.0, 0.1)
    items = [Item(body.build_body(figure, size, look), view, PERSON, body.keypoints(figure, size))]
    if wall:
        solids = Solids()
        table.append(material(render.PLAIN, (0, 0, 0)))
        solids.box(THING, (0, 0, 0), (SUPER * wall[2], SUPER * wall[3], 1.0), len(table) - 1)
        items.append(
            Item(
                solids, View(0.0, 0.0, 1.0, (SUPER * wall[0], SUPER * wall[1]), 900.0, 0.0), "thing"
            )
        )
    shape = (HEIGHT * SUPER, WIDTH * SUPER)
    depth, index = np.full(shape, -1e30, np.float32), np.full(shape, -1, np.int32)
    rows, parts, owners = _gather(items)
    render.draw(rows, np.array(table), NOISE, LIGHT, np.zeros((*shape, 3), np.uint8), depth, index)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return DrawnScene(
        image, np.append(owners, -1)[index], np.append(parts, -1)[index], depth, items
    )


def _seen(scene):
    keypoints = coco.find_keypoints(scene, 0, scene.owner == 0)
    return dict(zip(COCO.keypoints, keypoints.tolist(), strict=True))


def test_everything_is_visible_from_the_front():
    assert {name for name, (_, _, v) in _seen(_draw()).items() if v != coco.VISIBLE} <= {
        "left_ear",
        "right_ear",
    }


def test_face_is_absent_from_behind():
    seen = _seen(_draw(yaw=180.0))
    assert [seen[name][2] for name in ("nose", "left_eye", "right_eye")] == [0, 0, 0]
    assert seen["left_shoulder"][2] == coco.VISIBLE


@pytest.mark.parametrize(
    ("yaw", "near", "far"), [(90.0, "right", "left"), (-90.0, "left", "right")]
)
def test_profile_shows_the_near_side_and_hides_the_far_one(yaw, near, far):
    seen = _seen(_draw(yaw=yaw, pose=Pose(arm_flex=[0, 0], arm_abduct=[2, 2])))
    assert seen[f"{near}_ear"][2] == coco.VISIBLE
    assert seen[f"{far}_ear"][2] == coco.ABSENT
    assert seen[f"{near}_shoulder"][2] == coco.VISIBLE
    assert seen[f"{far}_shoulder"][2] == coco.HIDDEN


def test_keypoints_outside_the_frame_are_absent_with_zero_coordinates():
    seen = _seen(_draw(ground_point=(200.0, 640.0)))
    assert seen["left_ankle"] == [0, 0, 0]
    assert seen["nose"][2] == coco.VISIBLE


def test_thin_pole_hides_and_wide_wall_makes_absent():
    plain = _seen(_draw())
    x, y, _ = plain["left_knee"]
    pole = _seen(_draw(wall=(x, y, 4, 4)))
    assert pole["left_knee"] == [x, y, coco.HIDDEN]
    wall = _seen(_draw(wall=(100, y, 100, 50)))
    assert wall["left_knee"] == [0, 0, coco.ABSENT]
    assert wall["nose"][2] == coco.VISIBLE


def test_hand_before_the_chest_is_hidden_from_behind():
    folded = Pose(arm_flex=[50, 0], arm_twist=[65, 0], elbow=[90, 5])
    assert _seen(_draw(yaw=0.0, pose=folded))["left_wrist"][2] == coco.VISIBLE
    assert _seen(_draw(yaw=180.0, pose=folded))["left_wrist"][2] == coco.HIDDEN


def test_outline_covers_the_mask():
    scene = _draw()
    mask = scene.owner == 0
    polygons = coco.outline(mask)
    filled = mask_utils.decode(
        mask_utils.merge(mask_utils.frPyObjects(polygons, HEIGHT, WIDTH))
    ).astype(bool)
    truth = mask.reshape(HEIGHT, SUPER, WIDTH, SUPER).mean((1, 3)) >= 0.5
    assert (filled & truth).sum() / (filled | truth).sum() > 0.93


def test_outline_leaves_out_specks():
    mask = np.zeros((40, 40), bool)
    mask[3:5, 3:5] = True
    assert coco.outline(mask) == []


@pytest.mark.parametrize("first", [False, True])
def test_run_lengths_agree_with_pycocotools(first):
    mask = np.random.default_rng(4).random((13, 17)) < 0.4
    mask[0, 0] = first
    lengths = coco.run_lengths(mask)
    assert sum(lengths) == mask.size
    encoded = mask_utils.frPyObjects({"counts": lengths, "size": [13, 17]}, 13, 17)
    np.testing.assert_array_equal(mask_utils.decode(encoded), mask)


def test_scenes_hold_what_the_sample_promises():
    found = [
        coco.annotate(draw_scene(rng, NOISE), rng) for rng in map(np.random.default_rng, range(120))
    ]
    people = [a for annotations in found for a in annotations if not a["iscrowd"]]
    labelled = [a for a in people if a["num_keypoints"]]
    crowds = sum(a["iscrowd"] for annotations in found for a in annotations)
    areas = np.array([a["area"] for a in labelled])
    seen = np.array([a["keypoints"][2::3] for a in labelled])
    assert 0.05 * len(found) < crowds < 0.2 * len(found)
    assert 1.4 < len(people) / len(found) < 2.6
    assert 0.03 < 1 - len(labelled) / len(people) < 0.3
    assert 0.6 < ((areas >= 32**2) & (areas < 96**2)).mean() < 0.85
    assert 0.1 < (areas >= 96**2).mean() < 0.35
    assert 0.1 < (seen == 1).sum() / (seen > 0).sum() < 0.35
    assert any(not annotations for annotations in found)
