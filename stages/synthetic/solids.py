"""A list of solids in figure space and its projection into the image."""

from dataclasses import dataclass

import numpy as np

from stages.synthetic import render

# What a solid belongs to: a body part, or a thing, which is everything else.
THING, HEAD, HAIR, NECK, TORSO, PELVIS, SKIRT = range(7)
UPPER_ARM, FOREARM, HAND, THIGH, SHIN, FOOT = (
    (7, 8),
    (9, 10),
    (11, 12),
    (13, 14),
    (15, 16),
    (17, 18),
)

UPRIGHT = np.eye(3)


@dataclass(frozen=True)
class View:
    """How figure space meets the image.

    Attributes:
        yaw_deg: turn about the vertical; 0 faces the camera, 90 looks to the image's right.
        pitch_deg: how far the camera looks down.
        scale_px: pixels of the buffers per body height.
        at_px: (x, y) of the ground point in the buffers.
        depth_px: z of the ground point; larger is nearer.
        closeness: body height divided by the camera's distance; 0 is parallel projection.
    """

    yaw_deg: float
    pitch_deg: float
    scale_px: float
    at_px: tuple[float, float]
    depth_px: float
    closeness: float

    @property
    def turn(self) -> np.ndarray:
        """Rotation [3, 3] from figure space to camera axes (x right, y up, z to the camera)."""
        yaw, pitch = np.radians(self.yaw_deg), np.radians(self.pitch_deg)
        c, s = np.cos(yaw), np.sin(yaw)
        level = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        c, s = np.cos(pitch), np.sin(pitch)
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ level

    def project(self, points: np.ndarray) -> np.ndarray:
        """Figure points [N, 3] to [N, 4]: x, y, z in pixels of the buffers and pixels per body
        height there.
        """
        turned = points @ self.turn.T
        scale = self.scale_px / (1.0 - np.clip(turned[:, 2], -1.0, 0.75) * self.closeness)
        x = self.at_px[0] + turned[:, 0] * scale
        y = self.at_px[1] - turned[:, 1] * scale
        z = self.depth_px + turned[:, 2] * self.scale_px
        return np.stack([x, y, z, scale], axis=1)


class Solids:
    """Collects solids of one figure or thing; `project` turns them into rows for render.draw."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: list[tuple] = []
        self.parts: list[int] = []

    def cone(
        self,
        part,
        a,
        b,
        ra,
        rb,
        mat,
        *,
        mat_2=None,
        cut=1.0,
        flat=1.0,
        frame=UPRIGHT,
        flat_axis=2,
        style=render.WHOLE,
    ):
        """A tapered capsule from `a` (radius `ra`) to `b`, thinned to the share `flat` along an
        axis of `frame` (columns side, up, front); material `mat` up to the share `cut` of the axis,
        `mat_2` beyond."""
        mat_2 = mat if mat_2 is None else mat_2
        solid = (render.CONE, *a, *b, ra, rb, *frame[:, flat_axis], flat, mat, mat_2, cut, style)
        self.rows.append((*solid, *frame[:, 0], *frame[:, 2], *frame[:, 1], 0.0))
        self.parts.append(part)

    def ball(self, part, centre, radius, mat, **more):
        """A sphere or ellipsoid."""
        self.cone(part, centre, centre, radius, radius, mat, **more)

    def box(self, part, centre, half, mat, frame=UPRIGHT):
        """A box with half lengths (side, up, front) along the columns of `frame`."""
        solid = (
            render.BOX,
            *centre,
            *centre,
            half[0],
            half[1],
            *frame[:, 2],
            half[2],
            mat,
            mat,
            1.0,
            render.WHOLE,
        )
        self.rows.append((*solid, *frame[:, 0], *frame[:, 2], *frame[:, 1], 0.0))
        self.parts.append(part)

    def project(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Rows float64 [N, SOLID_COLUMNS] in image space, rounded so that they do not depend on the
        machine, and parts int16 [N]."""
        rows = np.array(self.rows, np.float64).reshape(-1, render.SOLID_COLUMNS)
        a, b = (
            view.project(rows[:, render.A : render.A + 3]),
            view.project(rows[:, render.B : render.B + 3]),
        )
        box = rows[:, render.KIND] == render.BOX
        rows[:, render.FLAT] = np.where(box, rows[:, render.FLAT] * a[:, 3], rows[:, render.FLAT])
        rows[:, render.A : render.A + 3], rows[:, render.B : render.B + 3] = a[:, :3], b[:, :3]
        rows[:, render.RA] *= a[:, 3]
        rows[:, render.RB] *= np.where(box, a[:, 3], b[:, 3])
        rows[:, render.SCALE] = a[:, 3]
        to_image = np.diag([1.0, -1.0, 1.0]) @ view.turn
        for axis in (render.FLAT_AXIS, render.SIDE, render.FRONT, render.UP):
            rows[:, axis : axis + 3] = rows[:, axis : axis + 3] @ to_image.T
        return np.round(rows, 6), np.array(self.parts, np.int16)
