"""Things: seats, trees, lamps, dogs, balls, cars, cones, tables, parasols. One unit is the height
of a grown person.
"""

import numpy as np

from stages.synthetic import render
from stages.synthetic.appearance import CLOTHES, TROUSERS, material, pick
from stages.synthetic.solids import THING, Solids

WOODS = ((50, 80, 120), (70, 110, 150), (40, 55, 80), (90, 100, 110))
GREENS = ((40, 100, 60), (50, 120, 90), (35, 80, 45), (60, 140, 150))


def _add(table, row) -> int:
    table.append(row)
    return len(table) - 1


def add_seat(
    made: Solids, kind: str, pelvis: np.ndarray, rng: np.random.Generator, table: list
) -> None:
    """Put a chair, stool, bench or box under a person who sits."""
    colour = _add(table, material(render.PLAIN, pick(rng, WOODS + CLOTHES), roughness=0.5))
    x, top, z = pelvis[0], pelvis[1] - 0.085, pelvis[2] + 0.03
    wide = {"bench": rng.uniform(0.35, 0.6), "box": 0.2}.get(kind, rng.uniform(0.12, 0.16))
    if kind == "box":
        made.box(THING, (x, top / 2, z - 0.03), (wide, top / 2, 0.14), colour)
        return
    made.box(THING, (x, top - 0.015, z), (wide, 0.018, 0.13), colour)
    for sx in (-1, 1):
        for sz in (-0.11, 0.11):
            foot = (x + sx * (wide - 0.02), 0.0, z + sz)
            made.cone(THING, (foot[0], top, foot[2]), foot, 0.013, 0.013, colour)
    if kind == "chair" or (kind == "bench" and rng.random() < 0.6):
        for sx in (-1, 1):
            post = np.array((x + sx * (wide - 0.02), top, z - 0.13))
            made.cone(THING, post, np.add(post, (0, 0.3, -0.03)), 0.013, 0.013, colour)
        for up in (0.12, 0.22, 0.29):
            made.box(THING, (x, top + up, z - 0.15), (wide, 0.025, 0.01), colour)


def add_ball(
    made: Solids, at: np.ndarray, rng: np.random.Generator, table: list, radius: float
) -> None:
    """A ball with stripes, dots or a plain skin."""
    kind = int(rng.choice([render.PLAIN, render.STRIPES, render.DOTS, render.CHECKS]))
    row = material(
        kind, pick(rng, CLOTHES), pick(rng, CLOTHES), rng.uniform(0.8, 2.0) / radius, 0.1
    )
    made.ball(THING, at, radius, _add(table, row))


def add_held(
    made: Solids, hand: np.ndarray, arm: np.ndarray, rng: np.random.Generator, table: list
) -> None:
    """A ball, a racket or bat, a bag or a small box in a hand whose forearm points along -`arm`[:,
    1].
    """
    kind = rng.random()
    colour = _add(table, material(render.PLAIN, pick(rng, CLOTHES), roughness=0.2))
    tip = hand - arm[:, 1] * 0.02
    if kind < 0.3:
        add_ball(made, tip - arm[:, 1] * 0.05, rng, table, rng.uniform(0.04, 0.075))
    elif kind < 0.55:
        end = tip + 0.2 * arm[:, 2] - 0.08 * arm[:, 1]
        made.cone(THING, tip, end, 0.01, 0.01, colour)
        made.ball(THING, end + 0.08 * arm[:, 2], 0.085, colour, flat=0.12, flat_axis=0, frame=arm)
    elif kind < 0.8:
        made.cone(THING, tip, tip - (0, 0.08, 0), 0.008, 0.008, colour)
        made.box(THING, tip - (0, 0.17, 0), (0.04, 0.08, 0.1), colour)
    else:
        made.box(THING, tip, (0.012, 0.05, 0.03), colour, frame=arm)


def draw_thing(rng: np.random.Generator, table: list) -> Solids:
    """A distractor standing at the origin."""
    made = Solids()
    makers = (
        _tree,
        _bush,
        _lamp,
        _dog,
        _ball,
        _car,
        _traffic_cone,
        _table,
        _parasol,
        _crates,
        _horse,
        _dummy,
    )
    weights = np.cumsum((0.14, 0.08, 0.12, 0.16, 0.1, 0.05, 0.05, 0.08, 0.04, 0.06, 0.06, 0.04))
    makers[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))](
        rng, table, made
    )
    return made


def _tree(rng, table, made):
    bark = _add(table, material(render.MOTTLED, pick(rng, WOODS), pick(rng, WOODS), roughness=0.7))
    leaf = _add(
        table, material(render.MOTTLED, pick(rng, GREENS), pick(rng, GREENS), roughness=0.9)
    )
    tall = rng.uniform(0.9, 1.8)
    made.cone(
        THING, (0, 0, 0), (rng.uniform(-0.1, 0.1), tall, 0), rng.uniform(0.05, 0.1), 0.04, bark
    )
    for _ in range(int(rng.integers(2, 7))):
        at = (rng.uniform(-0.3, 0.3), tall + rng.uniform(-0.15, 0.3), rng.uniform(-0.2, 0.2))
        made.ball(THING, at, rng.uniform(0.15, 0.32), leaf)


def _bush(rng, table, made):
    leaf = _add(
        table, material(render.MOTTLED, pick(rng, GREENS), pick(rng, GREENS), roughness=0.9)
    )
    for _ in range(int(rng.integers(2, 7))):
        made.ball(
            THING,
            (rng.uniform(-0.25, 0.25), rng.uniform(0.05, 0.25), 0.0),
            rng.uniform(0.1, 0.2),
            leaf,
        )


def _lamp(rng, table, made):
    metal = _add(table, material(render.PLAIN, pick(rng, TROUSERS), roughness=0.2))
    tall, thick = rng.uniform(0.7, 2.4), rng.uniform(0.012, 0.05)
    made.cone(THING, (0, 0, 0), (0, tall, 0), thick, thick * 0.8, metal)
    if rng.random() < 0.5:
        made.ball(
            THING,
            (0, tall, 0),
            rng.uniform(0.06, 0.1),
            _add(table, material(render.PLAIN, (200, 235, 245))),
        )
    elif rng.random() < 0.6:
        sign = _add(table, material(render.LOGO, pick(rng, CLOTHES), pick(rng, CLOTHES)))
        made.box(
            THING, (0, tall, 0.02), (rng.uniform(0.06, 0.2), rng.uniform(0.05, 0.12), 0.01), sign
        )


def _animal(rng, table, made, size, leg, neck):
    fur = material(
        int(rng.choice([render.PLAIN, render.MOTTLED])),
        pick(rng, WOODS),
        pick(rng, TROUSERS),
        roughness=0.5,
    )
    fur = _add(table, fur)
    half, thick = 0.2 * size, 0.075 * size
    made.cone(
        THING, (-half, leg, 0), (half, leg + 0.02 * size, 0), thick, thick * 1.15, fur, flat=0.85
    )
    for x in (-half, half):
        for z in (-0.045 * size, 0.045 * size):
            made.cone(
                THING,
                (x, leg, z),
                (x + rng.uniform(-0.06, 0.06) * size, 0, z),
                0.035 * size,
                0.022 * size,
                fur,
            )
    head = np.array((half + 0.12 * size, leg + neck, 0.0))
    made.cone(THING, (half, leg + 0.03 * size, 0), head, 0.06 * size, 0.05 * size, fur)
    made.cone(
        THING, head, np.add(head, (0.11 * size, -0.03 * size, 0)), 0.055 * size, 0.03 * size, fur
    )
    for z in (-0.04 * size, 0.04 * size):
        low, high = (
            np.add(head, (-0.02 * size, 0.03 * size, z)),
            np.add(head, (-0.03 * size, 0.09 * size, z)),
        )
        made.cone(THING, low, high, 0.02 * size, 0.01, fur)
    made.cone(
        THING,
        (-half, leg + 0.03 * size, 0),
        (-half - 0.14 * size, leg + rng.uniform(-0.1, 0.15) * size, 0),
        0.025 * size,
        0.01,
        fur,
    )


def _dog(rng, table, made):
    size = rng.uniform(0.6, 1.1)
    _animal(rng, table, made, size, 0.22 * size, 0.14 * size)


def _horse(rng, table, made):
    _animal(rng, table, made, rng.uniform(1.9, 2.3), 0.5, 0.35)


def _ball(rng, table, made):
    radius = rng.uniform(0.06, 0.18)
    add_ball(made, np.array((0.0, radius + rng.choice([0.0, 0.0, 0.4]), 0.0)), rng, table, radius)


def _car(rng, table, made):
    paint = _add(table, material(render.PLAIN, pick(rng, CLOTHES), roughness=0.05))
    glass = _add(table, material(render.PLAIN, (90, 75, 60), roughness=0.05))
    lamp = _add(table, material(render.PLAIN, (190, 230, 240), roughness=0.05))
    tyre = _add(table, material(render.PLAIN, (32, 30, 30)))
    made.box(THING, (0, 0.27, 0), (1.1, 0.16, 0.42), paint)
    made.box(THING, (-0.1, 0.55, 0), (0.62, 0.15, 0.38), glass)
    made.box(THING, (-0.1, 0.71, 0), (0.6, 0.02, 0.38), paint)
    for x in (-1.1, 1.1):
        for z in (-0.3, 0.3):
            made.ball(THING, (x, 0.32, z), 0.06, lamp)
    for x in (-0.7, 0.7):
        for z in (-0.4, 0.4):
            made.ball(THING, (x, 0.17, z), 0.17, tyre, flat=0.4)


def _traffic_cone(rng, table, made):
    row = material(render.STRIPES, (40, 110, 235), (235, 235, 235), 10.0)
    made.cone(THING, (0, 0.4, 0), (0, 0.02, 0), 0.02, 0.12, _add(table, row), style=render.OPEN_END)
    made.box(
        THING,
        (0, 0.01, 0),
        (0.14, 0.012, 0.14),
        _add(table, material(render.PLAIN, (40, 100, 220))),
    )


def _table(rng, table, made):
    wood = _add(table, material(render.PLAIN, pick(rng, WOODS), roughness=0.6))
    wide, top = rng.uniform(0.3, 0.7), rng.uniform(0.38, 0.46)
    made.box(THING, (0, top, 0), (wide, 0.02, 0.25), wood)
    for x in (-wide + 0.04, wide - 0.04):
        for z in (-0.2, 0.2):
            made.cone(THING, (x, top, z), (x, 0, z), 0.02, 0.02, wood)
    for _ in range(int(rng.integers(0, 5))):
        at = (rng.uniform(-wide, wide), top + 0.07, rng.uniform(-0.15, 0.2))
        made.cone(
            THING,
            at,
            np.add(at, (0, 0.06, 0)),
            0.03,
            0.02,
            _add(table, material(render.PLAIN, pick(rng, CLOTHES))),
        )


def _parasol(rng, table, made):
    cloth = _add(table, material(render.PINSTRIPES, pick(rng, CLOTHES), pick(rng, CLOTHES), 6.0))
    made.cone(
        THING,
        (0, 0, 0),
        (0, 1.3, 0),
        0.015,
        0.015,
        _add(table, material(render.PLAIN, (200, 205, 210))),
    )
    made.ball(THING, (0, 1.25, 0), 0.5, cloth, flat=0.5, flat_axis=1, style=render.CAP)


def _crates(rng, table, made):
    for k in range(int(rng.integers(1, 4))):
        row = material(
            int(rng.choice([render.PLAIN, render.STRIPES])),
            pick(rng, WOODS),
            pick(rng, WOODS),
            24.0,
            0.5,
        )
        turn = rng.uniform(-0.7, 0.7)
        c, s = np.cos(turn), np.sin(turn)
        frame = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        made.box(
            THING,
            (rng.uniform(-0.1, 0.1), 0.13 + 0.26 * k, 0),
            (0.15, 0.13, 0.14),
            _add(table, row),
            frame,
        )


def _dummy(rng, table, made):
    """A coat stand: a hat, a coat and nobody in them."""
    pole = _add(table, material(render.PLAIN, pick(rng, WOODS)))
    coat = _add(
        table,
        material(
            int(rng.choice([render.PLAIN, render.CHECKS])), pick(rng, CLOTHES), pick(rng, CLOTHES)
        ),
    )
    made.cone(THING, (0, 0, 0), (0, 1.0, 0), 0.02, 0.02, pole)
    made.ball(THING, (0, 0.03, 0), 0.16, pole, flat=0.2, flat_axis=1)
    made.cone(THING, (0.02, 0.82, 0.03), (0.03, 0.4, 0.03), 0.05, 0.13, coat, flat=0.5)
    if rng.random() < 0.5:
        made.ball(THING, (0, 1.0, 0), 0.11, coat, flat=0.3, flat_axis=1)
