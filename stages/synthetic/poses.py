"""The repertoire: what the drawn people do, each with its own play in every joint."""

import numpy as np

from stages.synthetic.figure import Pose


def draw_pose(rng: np.random.Generator, upright: bool = False) -> Pose:
    """A random pose; `upright` leaves out those that only make sense beside furniture or in close
    view.
    """
    names = list(_FREQUENT)
    weights = np.array(
        [0.0 if upright and name in ("sit", "floor", "lie") else _FREQUENT[name] for name in names]
    )
    name = names[
        int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum(), side="right"))
    ]
    pose = _LEGS_AND_TRUNK[name](rng)
    if name not in ("run", "jump", "lie"):
        for i in (0, 1):
            _draw_arm(rng, pose, i)
        _both_arms(rng, pose)
    _play(rng, pose)
    return pose


def _stand(rng):
    pose = Pose(lean=rng.uniform(-3, 6), sway=rng.uniform(-5, 5))
    wide = rng.uniform(0, 14)
    pose.leg_abduct = [wide, wide]
    if rng.random() < 0.4:
        i = int(rng.integers(2))
        pose.leg_flex[i], pose.knee[i] = rng.uniform(5, 20), rng.uniform(10, 35)
    return pose


def _walk(rng):
    step = rng.uniform(14, 30) * rng.choice([-1, 1])
    front = 0 if step > 0 else 1
    pose = Pose(lean=rng.uniform(0, 8), turn=-step * 0.3)
    pose.leg_flex = [step, -step]
    pose.knee[front], pose.knee[1 - front] = rng.uniform(2, 18), rng.uniform(12, 45)
    pose.ankle[1 - front] = rng.uniform(10, 30)
    pose.arm_flex = [-step * 0.9, step * 0.9]
    return pose


def _run(rng):
    stride = rng.uniform(30, 65)
    front = int(rng.integers(2))
    back = 1 - front
    pose = Pose(
        lean=rng.uniform(6, 20),
        lift=rng.uniform(0, 0.08),
        turn=rng.uniform(5, 20) * (1 if front else -1),
    )
    pose.leg_flex[front], pose.knee[front] = stride, rng.uniform(40, 100)
    pose.leg_flex[back], pose.knee[back] = -rng.uniform(10, 35), rng.uniform(20, 80)
    pose.ankle[back] = rng.uniform(10, 40)
    pose.arm_flex[front], pose.arm_flex[back] = -rng.uniform(30, 60), rng.uniform(20, 55)
    pose.elbow = [rng.uniform(70, 115), rng.uniform(70, 115)]
    return pose


def _jump(rng):
    pose = Pose(lean=rng.uniform(-8, 12), lift=rng.uniform(0.06, 0.22))
    for i in (0, 1):
        pose.leg_flex[i], pose.knee[i] = rng.uniform(-10, 60), rng.uniform(20, 95)
        pose.leg_abduct[i] = rng.uniform(5, 35)
        pose.arm_abduct[i], pose.arm_twist[i] = rng.uniform(70, 165), rng.uniform(-80, -20)
        pose.elbow[i] = rng.uniform(5, 70)
        pose.ankle[i] = rng.uniform(10, 40)
    return pose


def _sit(rng):
    pose = Pose(
        lean=rng.uniform(-10, 12),
        bend=rng.uniform(0, 14),
        seat=str(rng.choice(["chair", "stool", "bench", "box"])),
    )
    spread = rng.uniform(2, 20)
    for i in (0, 1):
        pose.leg_flex[i], pose.leg_abduct[i] = rng.uniform(76, 95), spread
        pose.knee[i] = rng.uniform(65, 100)
    return pose


def _floor(rng):
    pose = Pose(lean=rng.uniform(-15, 10), bend=rng.uniform(5, 20))
    for i in (0, 1):
        if rng.random() < 0.5:
            pose.leg_flex[i], pose.knee[i] = rng.uniform(110, 130), rng.uniform(95, 125)
        else:
            pose.leg_flex[i], pose.knee[i] = rng.uniform(82, 92), rng.uniform(0, 20)
        pose.leg_abduct[i] = rng.uniform(3, 25)
    return pose


def _squat(rng):
    deep = rng.uniform(0.5, 1)
    pose = Pose(lean=35 * deep + rng.uniform(-8, 8), bend=rng.uniform(0, 12), nod=-15 * deep)
    wide = rng.uniform(8, 32)
    pose.leg_flex, pose.knee = [105 * deep] * 2, [125 * deep] * 2
    pose.leg_abduct, pose.ankle = [wide, wide], [-22 * deep] * 2
    return pose


def _kneel(rng):
    i = int(rng.integers(2))
    pose = Pose(lean=rng.uniform(-2, 15))
    pose.leg_flex[i], pose.knee[i] = rng.uniform(75, 95), rng.uniform(80, 100)
    pose.leg_flex[1 - i], pose.knee[1 - i], pose.ankle[1 - i] = (
        rng.uniform(-10, 10),
        rng.uniform(85, 105),
        50,
    )
    return pose


def _stoop(rng):
    pose = Pose(lean=rng.uniform(30, 70), bend=rng.uniform(0, 25), nod=rng.uniform(-40, 0))
    pose.leg_flex = [rng.uniform(0, 18), rng.uniform(0, 18)]
    pose.knee = [rng.uniform(2, 30), rng.uniform(2, 30)]
    pose.arm_flex = [rng.uniform(20, 60), rng.uniform(20, 60)]
    return pose


def _kick(rng):
    i = int(rng.integers(2))
    pose = Pose(lean=rng.uniform(-15, 5), sway=rng.uniform(-8, 8))
    pose.leg_flex[i], pose.knee[i] = rng.uniform(35, 85), rng.uniform(0, 40)
    pose.leg_abduct[i] = rng.uniform(0, 30)
    pose.knee[1 - i] = rng.uniform(5, 25)
    pose.leg_flex[1 - i] = pose.knee[1 - i] * 0.5
    return pose


def _lunge(rng):
    i = int(rng.integers(2))
    pose = Pose(lean=rng.uniform(0, 20))
    pose.leg_flex[i], pose.knee[i] = rng.uniform(50, 80), rng.uniform(60, 95)
    pose.leg_flex[1 - i], pose.knee[1 - i], pose.ankle[1 - i] = (
        -rng.uniform(20, 45),
        rng.uniform(5, 30),
        35,
    )
    pose.leg_abduct = [rng.uniform(0, 25), rng.uniform(0, 25)]
    return pose


def _lie(rng):
    pose = Pose(roll=float(rng.choice([-1, 1])) * rng.uniform(70, 95), nod=rng.uniform(-15, 15))
    for i in (0, 1):
        pose.leg_flex[i], pose.knee[i] = rng.uniform(0, 50), rng.uniform(5, 70)
        pose.arm_flex[i], pose.elbow[i] = rng.uniform(0, 110), rng.uniform(10, 90)
    return pose


_LEGS_AND_TRUNK = {
    "stand": _stand,
    "walk": _walk,
    "run": _run,
    "jump": _jump,
    "sit": _sit,
    "floor": _floor,
    "squat": _squat,
    "kneel": _kneel,
    "stoop": _stoop,
    "kick": _kick,
    "lunge": _lunge,
    "lie": _lie,
}
_FREQUENT = {
    "stand": 0.38,
    "walk": 0.19,
    "run": 0.11,
    "jump": 0.04,
    "sit": 0.14,
    "floor": 0.02,
    "squat": 0.03,
    "kneel": 0.02,
    "stoop": 0.02,
    "kick": 0.02,
    "lunge": 0.02,
    "lie": 0.01,
}


def _draw_arm(rng, pose, i):
    """Let one arm hang, wave, point, rise, rest on the hip, hold something before the chest or
    reach for the head.
    """
    draw = rng.random()
    flex, abduct, twist, elbow = (
        pose.arm_flex[i],
        rng.uniform(4, 18),
        rng.uniform(0, 40),
        rng.uniform(5, 40),
    )
    if draw < 0.1:
        abduct, twist, elbow = rng.uniform(60, 115), rng.uniform(-100, -70), rng.uniform(50, 115)
    elif draw < 0.17:
        flex, abduct, elbow = rng.uniform(150, 180), rng.uniform(5, 30), rng.uniform(0, 45)
    elif draw < 0.25:
        flex, abduct, twist, elbow = (
            rng.uniform(-25, -5),
            rng.uniform(40, 55),
            rng.uniform(60, 85),
            rng.uniform(85, 110),
        )
    elif draw < 0.42:
        flex, twist, elbow = rng.uniform(10, 50), rng.uniform(10, 60), rng.uniform(70, 125)
    elif draw < 0.48:
        flex, abduct, elbow = rng.uniform(55, 100), rng.uniform(0, 35), rng.uniform(0, 35)
    elif draw < 0.54:
        abduct, elbow = rng.uniform(60, 100), rng.uniform(0, 30)
    elif draw < 0.58:
        flex, abduct, twist, elbow = (
            rng.uniform(60, 110),
            rng.uniform(10, 40),
            rng.uniform(20, 50),
            rng.uniform(120, 145),
        )
    pose.arm_flex[i], pose.arm_abduct[i], pose.arm_twist[i], pose.elbow[i] = (
        flex,
        abduct,
        twist,
        elbow,
    )


def _both_arms(rng, pose):
    """Now and then both arms do the same: crossed, raised, spread, on the thighs, a racket
    swing.
    """
    draw = rng.random()
    if draw < 0.05:
        pose.arm_flex, pose.arm_abduct = [35.0, 45.0], [4.0, 4.0]
        pose.arm_twist, pose.elbow = [65.0, 65.0], [95.0, 105.0]
    elif draw < 0.11:
        rise, bent = rng.uniform(140, 175), rng.uniform(5, 60)
        pose.arm_flex, pose.arm_abduct = [rise, rise], [rng.uniform(5, 35)] * 2
        pose.elbow, pose.arm_twist = [bent, bent], [20.0, 20.0]
    elif draw < 0.16:
        pose.arm_abduct = [rng.uniform(70, 110), rng.uniform(70, 110)]
        pose.elbow = [rng.uniform(0, 25), rng.uniform(0, 25)]
    elif draw < 0.22:
        across = rng.uniform(-30, 30)
        pose.arm_flex, pose.turn = [rng.uniform(50, 100)] * 2, across
        pose.arm_twist, pose.elbow = [45.0, 45.0], [rng.uniform(30, 70)] * 2


def _play(rng, pose):
    for name in ("arm_flex", "arm_abduct", "arm_twist", "elbow", "leg_flex", "leg_abduct", "knee"):
        values = getattr(pose, name)
        least = 0.0 if name in ("elbow", "knee") else -180.0
        setattr(pose, name, [max(least, value + rng.uniform(-6, 6)) for value in values])
    pose.turn += rng.uniform(-12, 12)
    pose.look += rng.uniform(-35, 35) if rng.random() < 0.6 else rng.uniform(-65, 65)
    pose.nod += rng.uniform(-14, 22)
    pose.tilt += rng.uniform(-12, 12)
