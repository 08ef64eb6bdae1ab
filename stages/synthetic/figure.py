"""A person in three dimensions: proportions, joint angles, positions of the joints.

Space of a figure: x to the person's left, y up, z forward; unit one body height; the ground at y =
0. Angles in degrees.
"""

from dataclasses import dataclass, field

import numpy as np

LEFT, RIGHT = 0, 1
SIGN = (1.0, -1.0)


@dataclass
class Pose:
    """Joint angles, degrees. Pairs are (left, right). Flexion lifts a limb forward, abduction
    sideways away from the body, twist turns it inward about its own axis; knees bend backwards,
    elbows forward."""

    lean: float = 0.0
    sway: float = 0.0
    bend: float = 0.0
    turn: float = 0.0
    roll: float = 0.0
    nod: float = 0.0
    look: float = 0.0
    tilt: float = 0.0
    arm_flex: list[float] = field(default_factory=lambda: [0.0, 0.0])
    arm_abduct: list[float] = field(default_factory=lambda: [8.0, 8.0])
    arm_twist: list[float] = field(default_factory=lambda: [15.0, 15.0])
    elbow: list[float] = field(default_factory=lambda: [12.0, 12.0])
    leg_flex: list[float] = field(default_factory=lambda: [0.0, 0.0])
    leg_abduct: list[float] = field(default_factory=lambda: [4.0, 4.0])
    leg_twist: list[float] = field(default_factory=lambda: [-8.0, -8.0])
    knee: list[float] = field(default_factory=lambda: [4.0, 4.0])
    ankle: list[float] = field(default_factory=lambda: [0.0, 0.0])
    lift: float = 0.0
    seat: str = ""


@dataclass(frozen=True)
class Proportions:
    """Lengths as shares of body height, and factors of breadth."""

    head: float
    shoulder: float
    hip: float
    torso: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    girth: float
    waist: float


@dataclass(frozen=True)
class Figure:
    """Joints float64 [3] by name and frames float64 [3, 3] (columns: side, up, front) of pelvis,
    chest and head.
    """

    joints: dict[str, np.ndarray]
    pelvis: np.ndarray
    chest: np.ndarray
    head: np.ndarray
    limbs: dict[str, np.ndarray]


def draw_proportions(rng: np.random.Generator) -> Proportions:
    """An adult woman or man, or now and then a child with a larger head and shorter limbs."""
    child = rng.random() < 0.15
    woman = rng.random() < 0.5
    long = 0.93 if child else 1.0
    return Proportions(
        head=rng.uniform(1.3, 1.5) if child else rng.uniform(1.04, 1.2),
        shoulder=rng.uniform(0.103, 0.115) if woman else rng.uniform(0.115, 0.128),
        hip=rng.uniform(0.057, 0.064) if woman else rng.uniform(0.051, 0.058),
        torso=rng.uniform(0.275, 0.3),
        upper_arm=long * rng.uniform(0.158, 0.17),
        forearm=long * rng.uniform(0.138, 0.15),
        thigh=long * rng.uniform(0.23, 0.25),
        shin=long * rng.uniform(0.225, 0.245),
        girth=rng.choice([0.88, 1.0, 1.0, 1.1, 1.28]) * rng.uniform(0.95, 1.05),
        waist=rng.uniform(0.8, 0.92) if woman else rng.uniform(0.92, 1.06),
    )


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Rotation matrix [3, 3] about x, y or z (right-handed)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def articulate(pose: Pose, size: Proportions) -> Figure:
    """Forward kinematics: the figure stands (or sits, or floats `pose.lift` high) on the ground at
    x = z = 0.
    """
    whole = rotation("z", pose.roll)
    pelvis = whole @ rotation("x", pose.lean) @ rotation("z", pose.sway)
    chest = pelvis @ rotation("x", pose.bend) @ rotation("y", pose.turn)
    head = chest @ rotation("y", pose.look) @ rotation("x", pose.nod) @ rotation("z", pose.tilt)
    joints = {"pelvis": np.zeros(3)}
    limbs: dict[str, np.ndarray] = {}
    joints["waist"] = 0.38 * size.torso * pelvis[:, 1]
    joints["neck"] = joints["waist"] + 0.62 * size.torso * chest[:, 1]
    joints["head"] = (
        joints["neck"]
        + chest[:, 1] * 0.022
        + head @ np.array([0.0, 0.03 + 0.052 * size.head, 0.008])
    )
    for i, side in enumerate(("left", "right")):
        _legs(joints, limbs, pose, size, whole, pelvis, i, side)
        _arms(joints, limbs, pose, size, chest, i, side)
    lowest = min(
        min(joints[f"{s}_heel"][1], joints[f"{s}_toe"][1], joints[f"{s}_knee"][1])
        for s in ("left", "right")
    )
    lowest = min(lowest - 0.025, joints["pelvis"][1] - 0.07, joints["head"][1] - 0.07)
    joints = {
        name: position + np.array([0.0, pose.lift - lowest, 0.0])
        for name, position in joints.items()
    }
    return Figure(joints, pelvis, chest, head, limbs)


def _arms(joints, limbs, pose, size, chest, i, side):
    upper = chest @ rotation("x", -pose.arm_flex[i]) @ rotation("z", SIGN[i] * pose.arm_abduct[i])
    upper = upper @ rotation("y", -SIGN[i] * pose.arm_twist[i])
    fore = upper @ rotation("x", -pose.elbow[i])
    raised = max(0.0, -(upper[:, 1] @ chest[:, 1])) * 0.03
    joints[f"{side}_shoulder"] = joints["neck"] + chest @ np.array(
        [SIGN[i] * (size.shoulder - raised * 0.5), raised - 0.028, 0.0]
    )
    joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] - size.upper_arm * upper[:, 1]
    joints[f"{side}_wrist"] = joints[f"{side}_elbow"] - size.forearm * fore[:, 1]
    joints[f"{side}_hand"] = joints[f"{side}_wrist"] - 0.062 * fore[:, 1]
    limbs[f"{side}_upper_arm"], limbs[f"{side}_forearm"] = upper, fore


def _legs(joints, limbs, pose, size, whole, pelvis, i, side):
    thigh = whole @ rotation("x", -pose.leg_flex[i]) @ rotation("z", SIGN[i] * pose.leg_abduct[i])
    thigh = thigh @ rotation("y", -SIGN[i] * pose.leg_twist[i])
    shin = thigh @ rotation("x", pose.knee[i])
    foot = shin @ rotation("x", pose.ankle[i])
    joints[f"{side}_hip"] = pelvis @ np.array([SIGN[i] * size.hip, 0.0, 0.0])
    joints[f"{side}_knee"] = joints[f"{side}_hip"] - size.thigh * thigh[:, 1]
    joints[f"{side}_ankle"] = joints[f"{side}_knee"] - size.shin * shin[:, 1]
    joints[f"{side}_heel"] = joints[f"{side}_ankle"] + foot @ np.array([0.0, -0.022, -0.018])
    joints[f"{side}_toe"] = joints[f"{side}_ankle"] + foot @ np.array([0.0, -0.028, 0.1])
    limbs[f"{side}_thigh"], limbs[f"{side}_shin"], limbs[f"{side}_foot"] = thigh, shin, foot
