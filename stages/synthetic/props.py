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
    solids: Solids, kind: str, pelvis: np.ndarray, rng: np.random.Generator, table: list
) -> None:
    """Put a chair, stool, bench or box under a person who sits."""
    colour = _add(table, material(render.PLAIN, pick(rng, WOODS + CLOTHES), roughness=0.5))
    x, top, z = pelvis[0], pelvis[1] - 0.085, pelvis[2] + 0.03
    wide = {"bench": rng.uniform(0.35, 0.6), "box": 0.2}.get(kind, rng.uniform(0.12, 0.16))
    if kind == "box":
        solids.box(THING, (x, top / 2, z - 0.03), (wide, top / 2, 0.14), colour)
        return
    solids.box(THING, (x, top - 0.015, z), (wide, 0.018, 0.13), colour)
    for sx in (-1, 1):
        for sz in (-0.11, 0.11):
            foot = (x + sx * (wide - 0.02), 0.0, z + sz)
            solids.cone(THING, (foot[0], top, foot[2]), foot, 0.013, 0.013, colour)
    if kind == "chair" or (kind == "bench" and rng.random() < 0.6):
        for sx in (-1, 1):
            post = np.array((x + sx * (wide - 0.02), top, z - 0.13))
            solids.cone(THING, post, np.add(post, (0, 0.3, -0.03)), 0.013, 0.013, colour)
        for up in (0.12, 0.22, 0.29):
            solids.box(THING, (x, top + up, z - 0.15), (wide, 0.025, 0.01), colour)


def add_ball(
    solids: Solids, centre: np.ndarray, rng: np.random.Generator, table: list, radius: float
) -> None:
    """A ball with stripes, dots or a plain skin."""
    kind = int(rng.choice([render.PLAIN, render.STRIPES, render.DOTS, render.CHECKS]))
    skin = material(
        kind, pick(rng, CLOTHES), pick(rng, CLOTHES), rng.uniform(0.8, 2.0) / radius, 0.1
    )
    solids.ball(THING, centre, radius, _add(table, skin))


def add_held(
    solids: Solids, hand: np.ndarray, arm: np.ndarray, rng: np.random.Generator, table: list
) -> None:
    """A ball, a racket or bat, a bag or a small box in a hand whose forearm points along -`arm`[:,
    1].
    """
    kind = rng.random()
    colour = _add(table, material(render.PLAIN, pick(rng, CLOTHES), roughness=0.2))
    tip = hand - arm[:, 1] * 0.02
    if kind < 0.3:
        add_ball(solids, tip - arm[:, 1] * 0.05, rng, table, rng.uniform(0.04, 0.075))
    elif kind < 0.55:
        end = tip + 0.2 * arm[:, 2] - 0.08 * arm[:, 1]
        solids.cone(THING, tip, end, 0.01, 0.01, colour)
        solids.ball(THING, end + 0.08 * arm[:, 2], 0.085, colour, flat=0.12, flat_axis=0, frame=arm)
    elif kind < 0.8:
        solids.cone(THING, tip, tip - (0, 0.08, 0), 0.008, 0.008, colour)
        solids.box(THING, tip - (0, 0.17, 0), (0.04, 0.08, 0.1), colour)
    else:
        solids.box(THING, tip, (0.012, 0.05, 0.03), colour, frame=arm)


def draw_thing(rng: np.random.Generator, table: list) -> Solids:
    """A distractor standing at the origin."""
    solids = Solids()
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
        rng, table, solids
    )
    return solids


def _tree(rng, table, solids):
    bark = _add(table, material(render.MOTTLED, pick(rng, WOODS), pick(rng, WOODS), roughness=0.7))
    leaf = _add(
        table, material(render.MOTTLED, pick(rng, GREENS), pick(rng, GREENS), roughness=0.9)
    )
    tall = rng.uniform(0.9, 1.8)
    solids.cone(
        THING, (0, 0, 0), (rng.uniform(-0.1, 0.1), tall, 0), rng.uniform(0.05, 0.1), 0.04, bark
    )
    for _ in range(int(rng.integers(2, 7))):
        centre = (rng.uniform(-0.3, 0.3), tall + rng.uniform(-0.15, 0.3), rng.uniform(-0.2, 0.2))
        solids.ball(THING, centre, rng.uniform(0.15, 0.32), leaf)


def _bush(rng, table, solids):
    leaf = _add(
        table, material(render.MOTTLED, pick(rng, GREENS), pick(rng, GREENS), roughness=0.9)
    )
    for _ in range(int(rng.integers(2, 7))):
        solids.ball(
            THING,
            (rng.uniform(-0.25, 0.25), rng.uniform(0.05, 0.25), 0.0),
            rng.uniform(0.1, 0.2),
            leaf,
        )


def _lamp(rng, table, solids):
    metal = _add(table, material(render.PLAIN, pick(rng, TROUSERS), roughness=0.2))
    tall, thick = rng.uniform(0.7, 2.4), rng.uniform(0.012, 0.05)
    solids.cone(THING, (0, 0, 0), (0, tall, 0), thick, thick * 0.8, metal)
    if rng.random() < 0.5:
        solids.ball(
            THING,
            (0, tall, 0),
            rng.uniform(0.06, 0.1),
            _add(table, material(render.PLAIN, (200, 235, 245))),
        )
    elif rng.random() < 0.6:
        sign = _add(table, material(render.LOGO, pick(rng, CLOTHES), pick(rng, CLOTHES)))
        solids.box(
            THING, (0, tall, 0.02), (rng.uniform(0.06, 0.2), rng.uniform(0.05, 0.12), 0.01), sign
        )


def _animal(rng, table, solids, size, leg, neck):
    fur = material(
        int(rng.choice([render.PLAIN, render.MOTTLED])),
        pick(rng, WOODS),
        pick(rng, TROUSERS),
        roughness=0.5,
    )
    fur = _add(table, fur)
    half, thick = 0.2 * size, 0.075 * size
    solids.cone(
        THING, (-half, leg, 0), (half, leg + 0.02 * size, 0), thick, thick * 1.15, fur, flat=0.85
    )
    for x in (-half, half):
        for z in (-0.045 * size, 0.045 * size):
            solids.cone(
                THING,
                (x, leg, z),
                (x + rng.uniform(-0.06, 0.06) * size, 0, z),
                0.035 * size,
                0.022 * size,
                fur,
            )
    head = np.array((half + 0.12 * size, leg + neck, 0.0))
    solids.cone(THING, (half, leg + 0.03 * size, 0), head, 0.06 * size, 0.05 * size, fur)
    solids.cone(
        THING, head, np.add(head, (0.11 * size, -0.03 * size, 0)), 0.055 * size, 0.03 * size, fur
    )
    for z in (-0.04 * size, 0.04 * size):
        low, high = (
            np.add(head, (-0.02 * size, 0.03 * size, z)),
            np.add(head, (-0.03 * size, 0.09 * size, z)),
        )
        solids.cone(THING, low, high, 0.02 * size, 0.01, fur)
    solids.cone(
        THING,
        (-half, leg + 0.03 * size, 0),
        (-half - 0.14 * size, leg + rng.uniform(-0.1, 0.15) * size, 0),
        0.025 * size,
        0.01,
        fur,
    )


def _dog(rng, table, solids):
    size = rng.uniform(0.6, 1.1)
    _animal(rng, table, solids, size, 0.22 * size, 0.14 * size)


def _horse(rng, table, solids):
    _animal(rng, table, solids, rng.uniform(1.9, 2.3), 0.5, 0.35)


def _ball(rng, table, solids):
    radius = rng.uniform(0.06, 0.18)
    add_ball(solids, np.array((0.0, radius + rng.choice([0.0, 0.0, 0.4]), 0.0)), rng, table, radius)


def _car(rng, table, solids):
    paint = _add(table, material(render.PLAIN, pick(rng, CLOTHES), roughness=0.05))
    glass = _add(table, material(render.PLAIN, (90, 75, 60), roughness=0.05))
    lamp = _add(table, material(render.PLAIN, (190, 230, 240), roughness=0.05))
    tyre = _add(table, material(render.PLAIN, (32, 30, 30)))
    solids.box(THING, (0, 0.27, 0), (1.1, 0.16, 0.42), paint)
    solids.box(THING, (-0.1, 0.55, 0), (0.62, 0.15, 0.38), glass)
    solids.box(THING, (-0.1, 0.71, 0), (0.6, 0.02, 0.38), paint)
    for x in (-1.1, 1.1):
        for z in (-0.3, 0.3):
            solids.ball(THING, (x, 0.32, z), 0.06, lamp)
    for x in (-0.7, 0.7):
        for z in (-0.4, 0.4):
            solids.ball(THING, (x, 0.17, z), 0.17, tyre, flat=0.4)


def _traffic_cone(rng, table, solids):
    stripes = material(render.STRIPES, (40, 110, 235), (235, 235, 235), 10.0)
    solids.cone(
        THING, (0, 0.4, 0), (0, 0.02, 0), 0.02, 0.12, _add(table, stripes), style=render.OPEN_END
    )
    solids.box(
        THING,
        (0, 0.01, 0),
        (0.14, 0.012, 0.14),
        _add(table, material(render.PLAIN, (40, 100, 220))),
    )


def _table(rng, table, solids):
    wood = _add(table, material(render.PLAIN, pick(rng, WOODS), roughness=0.6))
    wide, top = rng.uniform(0.3, 0.7), rng.uniform(0.38, 0.46)
    solids.box(THING, (0, top, 0), (wide, 0.02, 0.25), wood)
    for x in (-wide + 0.04, wide - 0.04):
        for z in (-0.2, 0.2):
            solids.cone(THING, (x, top, z), (x, 0, z), 0.02, 0.02, wood)
    for _ in range(int(rng.integers(0, 5))):
        bottom = (rng.uniform(-wide, wide), top + 0.07, rng.uniform(-0.15, 0.2))
        solids.cone(
            THING,
            bottom,
            np.add(bottom, (0, 0.06, 0)),
            0.03,
            0.02,
            _add(table, material(render.PLAIN, pick(rng, CLOTHES))),
        )


def _parasol(rng, table, solids):
    cloth = _add(table, material(render.PINSTRIPES, pick(rng, CLOTHES), pick(rng, CLOTHES), 6.0))
    solids.cone(
        THING,
        (0, 0, 0),
        (0, 1.3, 0),
        0.015,
        0.015,
        _add(table, material(render.PLAIN, (200, 205, 210))),
    )
    solids.ball(THING, (0, 1.25, 0), 0.5, cloth, flat=0.5, flat_axis=1, style=render.CAP)


def _crates(rng, table, solids):
    for k in range(int(rng.integers(1, 4))):
        planks = material(
            int(rng.choice([render.PLAIN, render.STRIPES])),
            pick(rng, WOODS),
            pick(rng, WOODS),
            24.0,
            0.5,
        )
        turn = rng.uniform(-0.7, 0.7)
        c, s = np.cos(turn), np.sin(turn)
        frame = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        solids.box(
            THING,
            (rng.uniform(-0.1, 0.1), 0.13 + 0.26 * k, 0),
            (0.15, 0.13, 0.14),
            _add(table, planks),
            frame,
        )


def _dummy(rng, table, solids):
    """A coat stand: a hat, a coat and nobody in them."""
    pole = _add(table, material(render.PLAIN, pick(rng, WOODS)))
    coat = _add(
        table,
        material(
            int(rng.choice([render.PLAIN, render.CHECKS])), pick(rng, CLOTHES), pick(rng, CLOTHES)
        ),
    )
    solids.cone(THING, (0, 0, 0), (0, 1.0, 0), 0.02, 0.02, pole)
    solids.ball(THING, (0, 0.03, 0), 0.16, pole, flat=0.2, flat_axis=1)
    solids.cone(THING, (0.02, 0.82, 0.03), (0.03, 0.4, 0.03), 0.05, 0.13, coat, flat=0.5)
    if rng.random() < 0.5:
        solids.ball(THING, (0, 1.0, 0), 0.11, coat, flat=0.3, flat_axis=1)
