"""The articulated figure: bones keep their length, left is left, feet stand on the ground."""

import numpy as np
import pytest

from stages.openpose.skeleton import COCO
from stages.synthetic.body import EVIDENCE, keypoints
from stages.synthetic.figure import Pose, articulate, draw_proportions
from stages.synthetic.poses import draw_pose
from stages.synthetic.solids import View

SEEDS = range(60)


def _figure(seed):
    rng = np.random.default_rng(seed)
    size, pose = draw_proportions(rng), draw_pose(rng)
    return articulate(pose, size), size, pose


@pytest.mark.parametrize("side", ["left", "right"])
def test_bones_keep_their_length_in_every_pose(side):
    for seed in SEEDS:
        figure, size, _ = _figure(seed)
        joints = figure.joints
        for a, b, length in (
            ("shoulder", "elbow", size.upper_arm),
            ("elbow", "wrist", size.forearm),
            ("hip", "knee", size.thigh),
            ("knee", "ankle", size.shin),
        ):
            assert np.linalg.norm(joints[f"{side}_{a}"] - joints[f"{side}_{b}"]) == pytest.approx(
                length
            )


def test_nobody_sinks_into_the_ground():
    for seed in SEEDS:
        figure, _, pose = _figure(seed)
        assert (
            min(
                joint[1]
                for name, joint in figure.joints.items()
                if "ankle" in name or "knee" in name
            )
            > 0
        )
        assert pose.lift >= 0


def test_elbows_and_knees_bend_their_own_way():
    size = draw_proportions(np.random.default_rng(0))
    straight = articulate(Pose(), size).joints
    bent = articulate(
        Pose(elbow=[80, 80], knee=[80, 80], arm_twist=[0, 0], leg_twist=[0, 0]), size
    ).joints
    for side in ("left", "right"):
        assert bent[f"{side}_wrist"][2] > straight[f"{side}_wrist"][2] + 0.05
        assert bent[f"{side}_ankle"][2] < straight[f"{side}_ankle"][2] - 0.05


def test_left_of_a_person_who_faces_the_camera_is_on_the_right_of_the_image():
    size = draw_proportions(np.random.default_rng(0))
    points = keypoints(articulate(Pose(), size), size)
    front = View(0, 0, 100, (0, 0), 0, 0.1).project(points)[:, 0]
    back = View(180, 0, 100, (0, 0), 0, 0.1).project(points)[:, 0]
    for k, name in enumerate(COCO.keypoints):
        if name.startswith("left"):
            assert front[k] > 0 > back[k]


def test_looking_to_the_right_of_the_image_is_yaw_90():
    size = draw_proportions(np.random.default_rng(0))
    points = keypoints(articulate(Pose(), size), size)
    x = View(90, 0, 100, (0, 0), 0, 0.1).project(points)[:, 0]
    assert x[COCO.keypoints.index("nose")] > x[COCO.keypoints.index("left_ear")] + 3


def test_every_keypoint_has_evidence():
    assert set(EVIDENCE) == set(COCO.keypoints)
