"""One image: who and what stands where, drawn with buffers that tell what every pixel shows."""

from dataclasses import dataclass

import cv2
import numpy as np

from stages.synthetic import body, render
from stages.synthetic.appearance import draw_look
from stages.synthetic.backgrounds import draw_background
from stages.synthetic.figure import articulate, draw_proportions
from stages.synthetic.poses import draw_pose
from stages.synthetic.props import add_held, add_seat, draw_thing
from stages.synthetic.solids import THING, Solids, View

SUPER = 2  # buffers have this many pixels per pixel of the image, in x and in y

PERSON, CROWD = "person", "crowd"


@dataclass
class Item:
    """A person or a thing in its place; `keypoints` float64 [17, 3] in figure space for persons."""

    solids: Solids
    view: View
    kind: str
    keypoints: np.ndarray | None = None


@dataclass(frozen=True)
class DrawnScene:
    """A finished image and what can be known of it.

    Attributes:
        image: uint8 [H, W, 3] BGR.
        owner: int16 [2 H, 2 W], number of the item seen, -1 for the background.
        part: int16 [2 H, 2 W], which body part of it, or THING (see solids).
        depth: float32 [2 H, 2 W], z of the surface.
        items: what the numbers in `owner` stand for.
    """

    image: np.ndarray
    owner: np.ndarray
    part: np.ndarray
    depth: np.ndarray
    items: list[Item]


def draw_scene(rng: np.random.Generator, noise: np.ndarray) -> DrawnScene:
    """Compose and draw one image; `noise` is render.noise_tile()."""
    height, width = draw_size(rng)
    horizon = int(height * rng.uniform(0.22, 0.6))
    table: list[np.ndarray] = []
    items = _compose(rng, table, height * SUPER, width * SUPER, horizon * SUPER)
    background = draw_background(rng, height, width, horizon)
    _shadows(rng, background, items)
    colour = cv2.resize(
        background, (width * SUPER, height * SUPER), interpolation=cv2.INTER_NEAREST
    )
    depth = np.full(colour.shape[:2], -1e30, np.float32)
    index = np.full(colour.shape[:2], -1, np.int32)
    solids, body_parts, owners = _gather(items)
    render.draw(
        solids,
        np.array(table or [np.zeros(render.MATERIAL_COLUMNS)]),
        noise,
        _light(rng),
        colour,
        depth,
        index,
    )
    image = cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA)
    # row -1 is the background
    owner, body_part = (
        np.append(owners, -1)[index],
        np.append(body_parts, -1)[index],
    )
    return DrawnScene(_photograph(rng, image), owner, body_part, depth, items)


def draw_size(rng: np.random.Generator) -> tuple[int, int]:
    """(height, width): mostly landscape, the longer side 320."""
    short = int(rng.choice([213, 214, 240, 240, 240, 240, 256, 200, 260, 320]))
    return (320, short) if rng.random() < 0.27 else (short, 320)


def _compose(rng, table, height, width, horizon) -> list[Item]:
    """Far things first; every item gets its own slice of depth, so that no two interpenetrate."""
    count = 0 if rng.random() < 0.04 else int(rng.choice([1, 2, 3, 4], p=[0.42, 0.33, 0.17, 0.08]))
    # height of the camera in body heights: with the horizon it places all feet
    camera = rng.uniform(0.45, 1.15)
    pitch = rng.uniform(0, 10) + 8 * camera - 4
    near = rng.random() < 0.13
    plans: list[tuple[float, str]] = [
        (_draw_height(rng, height, near), PERSON) for _ in range(count)
    ]
    plans += [
        (_draw_height(rng, height, False), "thing")
        for _ in range(int(rng.choice([0, 1, 2, 3, 4], p=[0.34, 0.34, 0.2, 0.09, 0.03])))
    ]
    if rng.random() < 0.1 + 0.1 * (count == 0):
        plans += [(height * rng.uniform(0.1, 0.2), CROWD) for _ in range(int(rng.integers(5, 13)))]
    plans.sort()
    centres = _draw_places(rng, plans, width)
    items, depth = [], 0.0
    for (scale, kind), x in zip(plans, centres, strict=True):
        depth += 1.3 * scale
        ground_point = (x, horizon + scale * camera * rng.uniform(0.93, 1.07))
        view = View(_draw_yaw(rng), pitch, scale, ground_point, depth, rng.uniform(0.05, 0.22))
        items.append(_make_item(rng, table, kind, view))
        depth += 1.3 * scale
    return items


def _draw_height(rng, height, near) -> float:
    """Height of a standing person in pixels of the buffers."""
    low, high = (
        (0.9, 1.6)
        if near
        else [(0.14, 0.3), (0.3, 0.55), (0.55, 1.0)][int(rng.choice(3, p=[0.09, 0.32, 0.59]))]
    )
    return height * low * (high / low) ** rng.random()


def _draw_places(rng, plans, width) -> list[float]:
    """x of every item. Crowds stand together; people of one image like to overlap."""
    crowd, meeting = rng.uniform(0.1, 0.9) * width, rng.uniform(0.2, 0.8) * width
    together = rng.random() < 0.3
    places = []
    for scale, kind in plans:
        if kind == CROWD:
            x = crowd + rng.normal() * 0.13 * width
        elif kind == PERSON and together:
            x = meeting + rng.uniform(-0.65, 0.65) * scale
        else:
            x = rng.uniform(0.08, 0.92) * width
        places.append(round(x, 3))
    return places


def _draw_yaw(rng) -> float:
    """Views from the front are the most frequent, then sides, then backs."""
    kind = rng.random()
    if kind < 0.56:
        return rng.uniform(-45, 45)
    if kind < 0.81:
        return float(rng.choice([-1, 1])) * rng.uniform(50, 120)
    return rng.uniform(120, 240)


def _make_item(rng, table, kind, view) -> Item:
    if kind == "thing":
        return Item(draw_thing(rng, table), view, kind)
    size = draw_proportions(rng)
    pose = draw_pose(rng, upright=kind == CROWD)
    figure = articulate(pose, size)
    solids = body.build_body(figure, size, draw_look(rng, table))
    if pose.seat:
        add_seat(solids, pose.seat, figure.joints["pelvis"], rng, table)
    for side in ("left", "right"):
        if rng.random() < 0.08:
            add_held(
                solids, figure.joints[f"{side}_hand"], figure.limbs[f"{side}_forearm"], rng, table
            )
    return Item(solids, view, kind, body.keypoints(figure, size))


def _gather(items) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    solids, body_parts, owners = (
        [np.zeros((0, render.SOLID_COLUMNS))],
        [np.zeros(0, np.int16)],
        [np.zeros(0, np.int16)],
    )
    for number, item in enumerate(items):
        item_solids, item_parts = item.solids.project(item.view)
        solids.append(item_solids)
        body_parts.append(item_parts)
        owners.append(
            np.where((item_parts == THING) & (item.kind != "thing"), -2, number).astype(np.int16)
        )
    return np.concatenate(solids), np.concatenate(body_parts), np.concatenate(owners)


def _shadows(rng, background, items) -> None:
    """Darken the ground under everything that stands on it."""
    dark = np.zeros(background.shape[:2], np.uint8)
    slant, strength = rng.uniform(-0.25, 0.25), rng.uniform(0.15, 0.5)
    for item in items:
        scale = item.view.scale_px / SUPER
        x, y = item.view.at_px[0] / SUPER + slant * scale, item.view.at_px[1] / SUPER
        axes = (int(0.26 * scale), max(1, int(0.06 * scale)))
        if abs(x) < 4000 and abs(y) < 4000:
            cv2.ellipse(dark, (int(x), int(y)), axes, 0, 0, 360, 255, -1)
    dark = cv2.GaussianBlur(dark, (9, 9), 0)
    share = 256 - (dark.astype(np.int32) * int(256 * strength) >> 8)
    background[:] = background * share[..., None] >> 8


def _light(rng) -> np.ndarray:
    """Unit vector to the light (from above, towards the camera's side) and the ambient share."""
    x, y, z = rng.uniform(-0.9, 0.9), rng.uniform(-1.0, -0.2), rng.uniform(0.3, 1.0)
    norm = np.sqrt(x * x + y * y + z * z)
    return np.array([x / norm, y / norm, z / norm, rng.uniform(0.35, 0.65)])


def _photograph(rng, image: np.ndarray) -> np.ndarray:
    """What a camera adds: a fall of light across the image, a tint, blur, contrast and noise."""
    height, width = image.shape[:2]
    if rng.random() < 0.35:
        side = int(rng.choice([3, 3, 5]))
        image = cv2.GaussianBlur(image, (side, side), 0)
    fall = np.linspace(-1, 1, width)[None] * rng.uniform(-0.18, 0.18)
    fall = fall + np.linspace(-1, 1, height)[:, None] * rng.uniform(-0.18, 0.18)
    gain = ((1.0 + fall) * rng.uniform(0.85, 1.22)).astype(np.float32)
    tint = rng.uniform(0.93, 1.07, 3).astype(np.float32)
    noise = rng.integers(-4, 5, (2, height, width), np.int8).sum(0, dtype=np.float32)
    noise = noise * np.float32(rng.uniform(0.0, 1.6)) + np.float32(rng.uniform(-12, 18))
    result = np.empty_like(image)
    for channel in range(3):
        result[..., channel] = np.clip(image[..., channel] * (gain * tint[channel]) + noise, 0, 255)
    return result
