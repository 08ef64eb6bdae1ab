"""What people wear and look like: rows of materials (see render.py) in blue, green, red."""

from dataclasses import dataclass

import numpy as np

from stages.synthetic import render

SKINS = (
    (190, 211, 240), (170, 195, 232), (150, 180, 224), (130, 165, 212), (112, 148, 198),
    (90, 125, 176), (70, 100, 150), (52, 78, 122), (40, 60, 96), (34, 48, 76),
)  # fmt: skip
HAIRS = (
    (22, 20, 22), (28, 30, 40), (36, 48, 70), (48, 70, 104), (70, 110, 150), (110, 165, 205),
    (140, 190, 220), (40, 62, 140), (165, 165, 168), (215, 215, 218), (30, 34, 52),
)  # fmt: skip
EYES = ((70, 50, 30), (40, 60, 20), (25, 35, 60), (20, 25, 35), (20, 25, 35))
CLOTHES = (
    (235, 235, 238), (40, 40, 44), (120, 120, 124), (60, 40, 160), (40, 40, 205), (60, 110, 225),
    (60, 190, 235), (70, 150, 70), (50, 85, 45), (150, 160, 50), (200, 140, 50), (150, 75, 30),
    (95, 45, 30), (140, 60, 120), (190, 140, 200), (170, 200, 220), (120, 160, 190), (60, 85, 130),
    (205, 190, 150), (110, 50, 60),
)  # fmt: skip
TROUSERS = (
    (120, 80, 50), (95, 60, 38), (70, 45, 30), (150, 115, 80), (45, 42, 42), (30, 30, 32),
    (110, 110, 112), (140, 165, 190), (90, 120, 150), (60, 90, 80), (220, 220, 222), (70, 60, 130),
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Rows of the scene's material table, and cuts of clothes as shares of the limb that they
    cover.
    """

    skin: int
    face: int
    hair: int
    shirt: int
    sleeve: int
    tails: int
    trousers: int
    shoes: int
    socks: int
    hat: int
    sleeve_cut: float
    trouser_cut: float
    skirt: float
    hem: float
    loose: float
    long_sleeve: bool
    hair_style: str
    hat_style: str


def material(pattern: int, colour, colour_2=(0, 0, 0), frequency=20.0, roughness=0.2) -> np.ndarray:
    """One row of the material table; colours in 0..255."""
    row = np.zeros(render.MATERIAL_COLUMNS)
    row[render.PATTERN], row[render.FREQUENCY], row[render.ROUGHNESS] = (
        pattern,
        frequency,
        roughness,
    )
    row[render.COLOUR : render.COLOUR + 3], row[render.COLOUR_2 : render.COLOUR_2 + 3] = (
        colour,
        colour_2,
    )
    return row


def pick(rng: np.random.Generator, colours) -> tuple[int, int, int]:
    """One of `colours`, a little changed in brightness and hue."""
    colour = colours[int(rng.integers(len(colours)))]
    bright = rng.uniform(0.85, 1.12)
    return tuple(int(min(255, max(8, round(c * bright + rng.uniform(-9, 9))))) for c in colour)


def draw_look(rng: np.random.Generator, table: list[np.ndarray]) -> Look:
    """A person's looks; the materials are appended to `table`."""

    def add(row: np.ndarray) -> int:
        table.append(row)
        return len(table) - 1

    skin = pick(rng, SKINS)
    hair = pick(rng, HAIRS)
    shirt = _draw_shirt(rng)
    long_sleeve = rng.random() < 0.42
    skirt = rng.uniform(0.45, 0.95) if rng.random() < 0.14 else 0.0
    shorts = rng.random() < 0.3 or skirt > 0
    trousers = _draw_trousers(rng, shirt if skirt and rng.random() < 0.6 else None)
    return Look(
        skin=add(material(render.PLAIN, skin, roughness=0.06)),
        face=add(_draw_face(rng, skin, hair)),
        hair=add(material(render.STRANDS, hair, [c * 0.45 for c in hair], roughness=0.5)),
        shirt=add(shirt),
        sleeve=add(_sleeve_of(rng, shirt)),
        tails=add(_tails_of(shirt)),
        trousers=add(trousers),
        shoes=add(
            material(
                render.HALVES if rng.random() < 0.1 else render.PLAIN,
                pick(rng, CLOTHES),
                pick(rng, CLOTHES),
            )
        ),
        socks=add(material(render.PLAIN, pick(rng, ((235, 235, 235), (50, 50, 50), skin, skin)))),
        hat=add(material(render.PLAIN, pick(rng, CLOTHES), roughness=0.25)),
        sleeve_cut=1.0 if long_sleeve else float(rng.choice([0.0, 0.45, 0.55, 0.65])),
        trouser_cut=rng.uniform(0.3, 0.95) if shorts else 2.0,
        skirt=skirt,
        hem=rng.uniform(0.015, 0.06) if rng.random() < 0.7 and not skirt else 0.0,
        loose=rng.uniform(1.0, 1.28),
        long_sleeve=long_sleeve,
        hair_style=str(
            rng.choice(
                ["short", "short", "short", "long", "long", "bun", "tail", "fringe", "afro", "bald"]
            )
        ),
        hat_style=str(rng.choice(["", "", "", "", "", "", "cap", "beanie", "brim", "helmet"])),
    )


def _draw_shirt(rng: np.random.Generator) -> np.ndarray:
    kinds = [
        render.PLAIN,
        render.PLAIN,
        render.PLAIN,
        render.STRIPES,
        render.PINSTRIPES,
        render.CHECKS,
        render.DOTS,
    ]
    kinds += [
        render.MOTTLED,
        render.LOGO,
        render.LOGO,
        render.JACKET,
        render.JACKET,
        render.PANELS,
        render.HALVES,
    ]
    kind = int(rng.choice(kinds))
    frequency = {render.DOTS: rng.uniform(18, 34), render.PINSTRIPES: rng.uniform(30, 60)}.get(
        kind, rng.uniform(22, 48)
    )
    return material(kind, pick(rng, CLOTHES), pick(rng, CLOTHES), frequency, rng.uniform(0.15, 0.4))


def _sleeve_of(rng: np.random.Generator, shirt: np.ndarray) -> np.ndarray:
    """The same cloth on an arm: what belongs to the chest alone (logo, open jacket, panels) is left
    out.
    """
    sleeve = shirt.copy()
    if int(shirt[render.PATTERN]) == render.PANELS:
        sleeve[render.COLOUR : render.COLOUR + 3] = shirt[render.COLOUR_2 : render.COLOUR_2 + 3]
    if int(shirt[render.PATTERN]) in (render.LOGO, render.JACKET, render.PANELS, render.HALVES):
        sleeve[render.PATTERN] = render.PLAIN
    return sleeve


def _tails_of(shirt: np.ndarray) -> np.ndarray:
    """The same cloth below the waist, where no second logo hangs."""
    tails = shirt.copy()
    if int(shirt[render.PATTERN]) in (render.LOGO, render.HALVES):
        tails[render.PATTERN] = render.PLAIN
    return tails


def _draw_trousers(rng: np.random.Generator, like: np.ndarray | None) -> np.ndarray:
    if like is not None:
        dress = like.copy()
        if int(like[render.PATTERN]) in (render.LOGO, render.JACKET, render.PANELS, render.HALVES):
            dress[render.PATTERN] = render.PLAIN
        return dress
    kind = int(rng.choice([render.PLAIN] * 8 + [render.CHECKS, render.PINSTRIPES, render.MOTTLED]))
    return material(
        kind, pick(rng, TROUSERS), pick(rng, TROUSERS), rng.uniform(20, 40), rng.uniform(0.2, 0.45)
    )


def _draw_face(rng: np.random.Generator, skin, hair) -> np.ndarray:
    face = material(render.FACE, skin, [c * 0.75 for c in hair], roughness=0.05)
    face[render.BEARD] = float(rng.random() < 0.15)
    face[render.GLASSES] = float(rng.choice([0, 0, 0, 0, 0, 0, 1, 2]))
    face[render.LIPS : render.LIPS + 3] = [skin[0] * 0.62, skin[1] * 0.55, skin[2] * 0.85]
    face[render.EYES : render.EYES + 3] = EYES[int(rng.integers(len(EYES)))]
    return face
