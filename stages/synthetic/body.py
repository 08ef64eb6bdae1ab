"""From joints and looks to solids: flesh, clothes, hair, and where the keypoints lie."""

import numpy as np

from stages.openpose.skeleton import COCO
from stages.synthetic import render, solids
from stages.synthetic.appearance import Look
from stages.synthetic.figure import SIGN, Figure, Proportions
from stages.synthetic.solids import Solids

SIDES = ("left", "right")


def build_body(figure: Figure, size: Proportions, look: Look) -> Solids:
    """All solids of a person in figure space."""
    person = Solids()
    _trunk(person, figure, size, look)
    for i, side in enumerate(SIDES):
        _leg(person, figure, size, look, i, side)
        _arm(person, figure, size, look, i, side)
    if _wears_skirt(figure, look):
        _skirt(person, figure, size, look)
    _head(person, figure, size, look)
    _hair(person, figure, size, look)
    _hat(person, figure, size, look)
    return person


def keypoints(figure: Figure, size: Proportions) -> np.ndarray:
    """The 17 COCO keypoints, float64 [17, 3], in figure space: joints inside the limbs, features on
    the face.
    """
    joints = figure.joints
    h = size.head
    face = {
        "nose": (0, -0.034, 0.078),
        "left_eye": (0.025, -0.012, 0.056),
        "right_eye": (-0.025, -0.012, 0.056),
    }
    face |= {"left_ear": (0.06, -0.022, 0.0), "right_ear": (-0.06, -0.022, 0.0)}
    return np.array(
        [
            joints["head"] + figure.head @ (h * np.array(face[k])) if k in face else joints[k]
            for k in COCO.keypoints
        ],
        np.float64,
    )


# Body parts whose visible surface near a keypoint makes the keypoint visible, and how far (body
# heights) that surface may lie in front of it.
_HEAD = ((solids.HEAD,), 0.035)
EVIDENCE = {
    **dict.fromkeys(("nose", "left_eye", "right_eye", "left_ear", "right_ear"), _HEAD),
    **{f"{s}_shoulder": ((solids.TORSO, solids.UPPER_ARM[i]), 0.075) for i, s in enumerate(SIDES)},
    **{f"{s}_elbow": ((solids.UPPER_ARM[i], solids.FOREARM[i]), 0.07) for i, s in enumerate(SIDES)},
    **{f"{s}_wrist": ((solids.FOREARM[i], solids.HAND[i]), 0.055) for i, s in enumerate(SIDES)},
    **{
        f"{s}_hip": ((solids.TORSO, solids.PELVIS, solids.SKIRT, solids.THIGH[i]), 0.115)
        for i, s in enumerate(SIDES)
    },
    **{
        f"{s}_knee": ((solids.THIGH[i], solids.SHIN[i], solids.SKIRT), 0.085)
        for i, s in enumerate(SIDES)
    },
    **{f"{s}_ankle": ((solids.SHIN[i], solids.FOOT[i]), 0.06) for i, s in enumerate(SIDES)},
}


def _trunk(person: Solids, figure: Figure, size: Proportions, look: Look) -> None:
    joints, pelvis, chest = figure.joints, figure.pelvis, figure.chest
    wide = size.girth * size.hip / 0.058
    middle = 0.078 * size.girth * size.waist
    person.cone(
        solids.PELVIS,
        joints["pelvis"] - pelvis[:, 1] * 0.012,
        joints["waist"] - pelvis[:, 1] * 0.01,
        0.08 * wide,
        middle * 1.02,
        look.trousers,
        mat_2=look.tails,
        cut=0.12,
        flat=0.72,
        frame=pelvis,
    )
    if look.hem:
        person.cone(
            solids.PELVIS,
            joints["waist"],
            joints["pelvis"] - pelvis[:, 1] * look.hem,
            middle * 1.05,
            0.107 * wide,
            look.tails,
            flat=0.85,
            frame=pelvis,
            style=render.OPEN_END,
        )
    broad = size.shoulder / 0.115
    breast = joints["neck"] - chest[:, 1] * 0.095
    person.cone(
        solids.TORSO,
        joints["waist"] - pelvis[:, 1] * 0.02,
        breast,
        middle,
        0.09 * broad * (0.5 + 0.5 * size.girth),
        look.shirt,
        flat=0.68,
        frame=chest,
    )
    yoke = [
        joints["neck"] + chest @ np.array([s * size.shoulder * 0.78, -0.036, 0.0]) for s in SIGN
    ]
    person.cone(solids.TORSO, *yoke, 0.044, 0.044, look.shirt, frame=chest)
    for i in (0, 1):
        person.cone(
            solids.TORSO,
            joints["neck"] + chest[:, 1] * 0.005,
            yoke[i],
            0.03,
            0.036,
            look.shirt,
            frame=chest,
        )
    top = joints["head"] - figure.head[:, 1] * 0.035
    person.cone(
        solids.NECK, joints["neck"] - chest[:, 1] * 0.005, top, 0.033, 0.03, look.skin, frame=chest
    )


def _arm(person: Solids, figure: Figure, size: Proportions, look: Look, i: int, side: str) -> None:
    joints, girth = figure.joints, 0.4 + 0.6 * size.girth
    thick = girth * (1.0 + (look.loose - 1.0) * 0.5)
    upper, fore = figure.limbs[f"{side}_upper_arm"], figure.limbs[f"{side}_forearm"]
    shoulder, elbow, wrist = (
        joints[f"{side}_shoulder"],
        joints[f"{side}_elbow"],
        joints[f"{side}_wrist"],
    )
    sleeve = {"mat_2": look.skin, "cut": look.sleeve_cut, "frame": upper}
    person.cone(
        solids.UPPER_ARM[i], shoulder, elbow, 0.042 * thick, 0.031 * thick, look.sleeve, **sleeve
    )
    cloth = look.sleeve if look.long_sleeve else look.skin
    loose = thick if look.long_sleeve else girth
    person.cone(solids.FOREARM[i], elbow, wrist, 0.031 * loose, 0.022 * loose, cloth, frame=fore)
    palm = wrist - fore[:, 1] * 0.02
    person.cone(
        solids.HAND[i],
        palm,
        joints[f"{side}_hand"],
        0.023,
        0.019,
        look.skin,
        flat=0.6,
        frame=fore,
        flat_axis=0,
    )
    thumb = wrist - fore[:, 1] * 0.045 + fore[:, 2] * 0.026
    person.cone(solids.HAND[i], palm, thumb, 0.011, 0.009, look.skin, frame=fore)


def _leg(person: Solids, figure: Figure, size: Proportions, look: Look, i: int, side: str) -> None:
    joints, girth = figure.joints, size.girth
    thigh, shin, foot = (figure.limbs[f"{side}_{name}"] for name in ("thigh", "shin", "foot"))
    hip, knee, ankle = joints[f"{side}_hip"], joints[f"{side}_knee"], joints[f"{side}_ankle"]
    long = look.trouser_cut > 1.0
    cut = min(1.0, look.trouser_cut)
    loose = look.loose if long else 1.0
    person.cone(
        solids.THIGH[i],
        hip,
        knee,
        0.059 * girth,
        0.045 * girth * (0.5 + 0.5 * loose),
        look.trousers,
        mat_2=look.skin,
        cut=cut,
        frame=thigh,
    )
    cloth = look.trousers if long else look.skin
    calf = knee + 0.3 * (ankle - knee) - shin[:, 2] * 0.006
    person.cone(
        solids.SHIN[i], knee, calf, 0.043 * girth * loose, 0.044 * girth * loose, cloth, frame=shin
    )
    end = 0.029 * (loose * 1.12 if long else 1.0) * (0.6 + 0.4 * girth)
    person.cone(
        solids.SHIN[i],
        calf,
        ankle,
        0.044 * girth * loose,
        end,
        cloth,
        mat_2=look.trousers if long else look.socks,
        cut=1.0 if long else 0.7,
        frame=shin,
    )
    heel, toe = joints[f"{side}_heel"], joints[f"{side}_toe"]
    person.cone(solids.FOOT[i], heel, toe, 0.031, 0.024, look.shoes, frame=foot)
    sole = foot[:, 1] * 0.017
    person.cone(
        solids.FOOT[i],
        heel - sole,
        toe - sole,
        0.03,
        0.025,
        look.hat,
        flat=0.35,
        frame=foot,
        flat_axis=1,
    )


def _wears_skirt(figure: Figure, look: Look) -> bool:
    """Skirts are drawn on people whose legs hang together; on others they would be balloons and
    become shorts.
    """
    joints = figure.joints
    left, right = (joints[f"{side}_hip"] - joints[f"{side}_knee"] for side in SIDES)
    apart = float(np.linalg.norm(joints["left_knee"] - joints["right_knee"]))
    return look.skirt > 0 and min(left[1], right[1]) > 0.17 and apart < 0.26


def _skirt(person: Solids, figure: Figure, size: Proportions, look: Look) -> None:
    joints = figure.joints
    knees = 0.5 * (joints["left_knee"] + joints["right_knee"])
    spread = 0.5 * float(np.linalg.norm(joints["left_knee"] - joints["right_knee"]))
    end = joints["pelvis"] + look.skirt * (knees - joints["pelvis"])
    flare = 0.075 * size.girth + look.skirt * (spread * 0.7 + 0.045)
    person.cone(
        solids.SKIRT,
        joints["pelvis"],
        end,
        0.08 * size.girth * size.hip / 0.058,
        flare,
        look.trousers,
        flat=0.8,
        frame=figure.pelvis,
        style=render.OPEN_END,
    )


def _head(person: Solids, figure: Figure, size: Proportions, look: Look) -> None:
    h, frame = size.head, figure.head

    def place(side, up, front):
        return figure.joints["head"] + frame @ (h * np.array([side, up, front]))

    skull = {"frame": frame, "flat": 0.86, "flat_axis": 0}
    person.cone(
        solids.HEAD,
        place(0, 0, 0),
        place(0, -0.046, 0.02),
        0.066 * h,
        0.039 * h,
        look.face,
        **skull,
    )
    person.cone(
        solids.HEAD,
        place(0, -0.014, 0.062),
        place(0, -0.034, 0.07),
        0.006 * h,
        0.0105 * h,
        look.skin,
        frame=frame,
    )
    for s in SIGN:
        person.ball(
            solids.HEAD,
            place(s * 0.058, -0.022, -0.004),
            0.018 * h,
            look.skin,
            frame=frame,
            flat=0.45,
            flat_axis=0,
        )


def _hair(person: Solids, figure: Figure, size: Proportions, look: Look) -> None:
    h, frame = size.head, figure.head

    def place(side, up, front):
        return figure.joints["head"] + frame @ (h * np.array([side, up, front]))

    styles = {
        "short": render.SHORT_HAIR,
        "bun": render.SHORT_HAIR,
        "tail": render.SHORT_HAIR,
        "afro": render.SHORT_HAIR,
    }
    styles |= {"long": render.LONG_HAIR, "fringe": render.FRINGE, "bald": render.TONSURE}
    style = styles[look.hair_style]
    thick = {"afro": 0.028, "long": 0.011, "fringe": 0.01, "bald": 0.003}.get(
        look.hair_style, 0.007
    ) * h
    shell = {"frame": frame, "flat": 0.9, "flat_axis": 0, "style": style}
    person.cone(
        solids.HAIR,
        place(0, 0.004, -0.006),
        place(0, -0.04, 0.0),
        0.067 * h + thick,
        0.052 * h + thick,
        look.hair,
        **shell,
    )
    if look.hair_style == "long":
        back = figure.joints["neck"] - figure.chest[:, 1] * 0.04 - figure.chest[:, 2] * 0.045
        person.cone(
            solids.HAIR,
            place(0, -0.01, -0.03),
            back,
            0.06 * h,
            0.05 * h,
            look.hair,
            flat=0.6,
            frame=frame,
        )
    elif look.hair_style == "bun" and look.hat_style in ("", "cap"):
        person.ball(solids.HAIR, place(0, 0.045, -0.065), 0.03 * h, look.hair, frame=frame)
    elif look.hair_style == "tail":
        person.cone(
            solids.HAIR,
            place(0, 0.03, -0.075),
            place(0, -0.1, -0.1),
            0.022 * h,
            0.012 * h,
            look.hair,
            frame=frame,
        )


def _hat(person: Solids, figure: Figure, size: Proportions, look: Look) -> None:
    h, frame = size.head, figure.head

    def place(side, up, front):
        return figure.joints["head"] + frame @ (h * np.array([side, up, front]))

    if not look.hat_style:
        return
    round_it = 0.076 if look.hat_style != "helmet" else 0.084
    shell = {"frame": frame, "flat": 0.92, "flat_axis": 0, "style": render.CAP}
    person.cone(
        solids.HAIR,
        place(0, 0.006, -0.003),
        place(0, 0.012, -0.003),
        round_it * h,
        round_it * h,
        look.hat,
        **shell,
    )
    if look.hat_style == "cap":
        brim = {"frame": frame, "flat": 0.12, "flat_axis": 1}
        person.cone(
            solids.HAIR,
            place(0, 0.014, 0.04),
            place(0, 0.012, 0.085),
            0.052 * h,
            0.04 * h,
            look.hat,
            **brim,
        )
    elif look.hat_style == "brim":
        person.ball(
            solids.HAIR,
            place(0, 0.018, 0),
            0.125 * h,
            look.hat,
            frame=frame,
            flat=0.07,
            flat_axis=1,
        )
