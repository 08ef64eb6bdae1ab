"""Ray casting of the two solids that every scene is made of: tapered capsules and boxes.

Only +, -, *, / and square roots of rounded inputs, so that the images are the same bytes on every
machine: sines and powers differ in their last bit from one mathematical library to the next.

Image space: x right, y down, z towards the camera, unit one pixel of the buffers.
"""

import math

import numpy as np
from numba import njit

CONE, BOX = 0, 1

# Columns of a solid.
KIND, A, B, RA, RB, FLAT_AXIS, FLAT, MATERIAL, MATERIAL_2, CUT = 0, 1, 4, 7, 8, 9, 12, 13, 14, 15
STYLE, SIDE, FRONT, UP, SCALE, SOLID_COLUMNS = 16, 17, 20, 23, 26, 27

# Patterns (column 0 of a material).
PLAIN, STRIPES, PINSTRIPES, CHECKS, DOTS, MOTTLED, LOGO, JACKET, FACE, STRANDS, PANELS, HALVES = (
    range(12)
)

# Columns of a material. BEARD, GLASSES, LIPS and EYES are read for faces only.
PATTERN, COLOUR, COLOUR_2, FREQUENCY, ROUGHNESS, BEARD, GLASSES, LIPS, EYES, MATERIAL_COLUMNS = (
    0,
    1,
    4,
    7,
    8,
    9,
    10,
    11,
    14,
    17,
)

# Styles: how much of a solid exists. Hair and hats are shells around the head.
WHOLE, SHORT_HAIR, LONG_HAIR, FRINGE, CAP, TONSURE, OPEN_END = range(7)

_EXACT = {"cache": True, "error_model": "numpy", "fastmath": False}


@njit(**_EXACT)
def draw(solids, materials, noise, light, colour, depth, index):
    """Draw `solids` float64 [N, SOLID_COLUMNS] in place into `colour` uint8 [H, W, 3] BGR, `depth`
    float32 [H, W] (z of the surface) and `index` int32 [H, W] (row of the solid seen).

    `noise` uint8 [256, 256] is a seamless tile; `light` float64 [4]: unit vector to the light and
    ambient share 0..1.
    """
    # nearest things stand last: what they hide need not be shaded
    for i in range(solids.shape[0] - 1, -1, -1):
        if solids[i, KIND] == CONE:
            _draw_cone(i, solids[i], materials, noise, light, colour, depth, index)
        else:
            _draw_box(i, solids[i], materials, noise, light, colour, depth, index)


@njit(**_EXACT)
def _draw_cone(i, solid, materials, noise, light, colour, depth, index):
    height, width = depth.shape
    radius = max(solid[RA], solid[RB])
    wx, wy, wz = solid[FLAT_AXIS], solid[FLAT_AXIS + 1], solid[FLAT_AXIS + 2]
    stretch, bx, by, bz, dx, dy, dz = _stretched(solid)
    for y in range(max(0, math.floor(min(solid[A + 1], solid[B + 1]) - radius)), height):
        if y > max(solid[A + 1], solid[B + 1]) + radius:
            break
        first, last = _columns(solid, y + 0.5, radius)
        for x in range(max(0, first), min(width, last)):
            px, py = x + 0.5 - solid[A], y + 0.5 - solid[A + 1]
            w_o = stretch * (px * wx + py * wy)
            ox, oy, oz = px + w_o * wx, py + w_o * wy, w_o * wz
            s, t = _hit_cone(ox, oy, oz, bx, by, bz, dx, dy, dz, solid[RA], solid[RB])
            if (
                t < 0.0
                or s + solid[A + 2] <= depth[y, x]
                or (t == 1.0 and solid[STYLE] == OPEN_END)
            ):
                continue
            nx, ny, nz = ox + s * dx - t * bx, oy + s * dy - t * by, oz + s * dz - t * bz
            w_n = stretch * (nx * wx + ny * wy + nz * wz)
            nx, ny, nz = nx + w_n * wx, ny + w_n * wy, nz + w_n * wz
            norm = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
            normal = (nx / norm, ny / norm, nz / norm)
            _paint(
                i, solid, materials, noise, light, colour, depth, index, y, x, px, py, s, t, normal
            )


@njit(**_EXACT)
def _stretched(solid):
    """A flattened solid is a round one in a space stretched along the flattening axis: (stretch,
    axis of the solid, line of sight) there."""
    stretch = 1.0 / solid[FLAT] - 1.0
    wx, wy, wz = solid[FLAT_AXIS], solid[FLAT_AXIS + 1], solid[FLAT_AXIS + 2]
    bx, by, bz = solid[B] - solid[A], solid[B + 1] - solid[A + 1], solid[B + 2] - solid[A + 2]
    w_b = stretch * (bx * wx + by * wy + bz * wz)
    w_d = stretch * wz
    return stretch, bx + w_b * wx, by + w_b * wy, bz + w_b * wz, w_d * wx, w_d * wy, 1.0 + w_d * wz


@njit(**_EXACT)
def _columns(solid, y, radius):
    """Columns [first, last) that a capsule of this radius can reach in the row at height y."""
    t0, t1 = 0.0, 1.0
    fall = solid[B + 1] - solid[A + 1]
    if abs(fall) > 1e-6:
        ta, tb = (y - radius - solid[A + 1]) / fall, (y + radius - solid[A + 1]) / fall
        t0, t1 = min(1.0, max(0.0, min(ta, tb))), min(1.0, max(0.0, max(ta, tb)))
    xa, xb = solid[A] + t0 * (solid[B] - solid[A]), solid[A] + t1 * (solid[B] - solid[A])
    return math.floor(min(xa, xb) - radius), math.ceil(max(xa, xb) + radius) + 1


@njit(**_EXACT)
def _hit_cone(ox, oy, oz, bx, by, bz, dx, dy, dz, ra, rb):
    """Nearest point to the camera on the envelope of spheres: (z along the ray, place 0..1 on the
    axis), place -1 for a miss. Minimising the distance over the axis makes the cone a quadratic in
    z; beyond its ends the spheres count."""
    slope = rb - ra
    d2, b2, o2 = (
        dx * dx + dy * dy + dz * dz,
        bx * bx + by * by + bz * bz,
        ox * ox + oy * oy + oz * oz,
    )
    db, od, ob = (
        dx * bx + dy * by + dz * bz,
        ox * dx + oy * dy + oz * dz,
        ox * bx + oy * by + oz * bz,
    )
    length2 = b2 - slope * slope
    if length2 > 1e-9:
        u = ob + ra * slope
        a = d2 - db * db / length2
        b = od - u * db / length2
        discriminant = b * b - a * (o2 - ra * ra - u * u / length2)
        if discriminant >= 0.0 and a > 1e-12:
            s = (-b + math.sqrt(discriminant)) / a
            t = (u + s * db) / length2
            if 0.0 <= t <= 1.0:
                return s, t
    best, place = -1e30, -1.0
    discriminant = od * od - d2 * (o2 - ra * ra)
    if discriminant >= 0.0:
        best, place = (-od + math.sqrt(discriminant)) / d2, 0.0
    od_b, o2_b = od - db, o2 - 2.0 * ob + b2
    discriminant = od_b * od_b - d2 * (o2_b - rb * rb)
    if discriminant >= 0.0:
        s = (-od_b + math.sqrt(discriminant)) / d2
        if s > best:
            best, place = s, 1.0
    return best, place


@njit(**_EXACT)
def _draw_box(i, solid, materials, noise, light, colour, depth, index):
    height, width = depth.shape
    half = (solid[RA], solid[RB], solid[FLAT])
    reach_x = half[0] * abs(solid[SIDE]) + half[1] * abs(solid[UP]) + half[2] * abs(solid[FRONT])
    reach_y = (
        half[0] * abs(solid[SIDE + 1])
        + half[1] * abs(solid[UP + 1])
        + half[2] * abs(solid[FRONT + 1])
    )
    x0, x1 = max(0, math.floor(solid[A] - reach_x)), min(width, math.ceil(solid[A] + reach_x) + 1)
    y0, y1 = (
        max(0, math.floor(solid[A + 1] - reach_y)),
        min(height, math.ceil(solid[A + 1] + reach_y) + 1),
    )
    for y in range(y0, y1):
        for x in range(x0, x1):
            px, py = x + 0.5 - solid[A], y + 0.5 - solid[A + 1]
            near, far, face = 1e30, -1e30, -1
            for k, axis in enumerate((SIDE, UP, FRONT)):
                o = px * solid[axis] + py * solid[axis + 1]
                d = solid[axis + 2]
                if abs(d) < 1e-9:
                    if abs(o) > half[k]:
                        near = -1e30
                    continue
                first, last = (-half[k] - o) / d, (half[k] - o) / d
                if max(first, last) < near:
                    near, face = max(first, last), axis
                far = max(far, min(first, last))
            if face < 0 or near < far or near + solid[A + 2] <= depth[y, x]:
                continue
            sign = 1.0 if solid[face + 2] > 0.0 else -1.0
            normal = (sign * solid[face], sign * solid[face + 1], sign * solid[face + 2])
            _paint(
                i,
                solid,
                materials,
                noise,
                light,
                colour,
                depth,
                index,
                y,
                x,
                px,
                py,
                near,
                0.0,
                normal,
            )


@njit(**_EXACT)
def _paint(i, solid, materials, noise, light, colour, depth, index, y, x, px, py, s, t, normal):
    nx, ny, nz = normal
    scale = solid[SCALE]
    u = (px * solid[SIDE] + py * solid[SIDE + 1] + s * solid[SIDE + 2]) / scale
    v = (px * solid[UP] + py * solid[UP + 1] + s * solid[UP + 2]) / scale
    f = (px * solid[FRONT] + py * solid[FRONT + 1] + s * solid[FRONT + 2]) / scale
    if not _exists(int(solid[STYLE]), u, v, f):
        return
    m = materials[int(solid[MATERIAL] if t <= solid[CUT] else solid[MATERIAL_2])]
    facing = nx * solid[FRONT] + ny * solid[FRONT + 1] + nz * solid[FRONT + 2]
    grain = noise[math.floor(v * 260.0) & 255, math.floor((u + 0.7 * f) * 200.0) & 255] / 255.0
    pattern = int(m[PATTERN])
    if pattern == FACE:
        blue, green, red = _face(m, u, v, f)
    else:
        share = _pattern(pattern, m[FREQUENCY], u, v, f, facing, grain)
        blue = m[COLOUR] + share * (m[COLOUR_2] - m[COLOUR])
        green = m[COLOUR + 1] + share * (m[COLOUR_2 + 1] - m[COLOUR + 1])
        red = m[COLOUR + 2] + share * (m[COLOUR_2 + 2] - m[COLOUR + 2])
    lit = nx * light[0] + ny * light[1] + nz * light[2]
    shade = light[3] + (1.0 - light[3]) * max(0.0, 0.25 + 0.75 * lit) * 1.25
    shade *= (0.72 + 0.28 * nz) * (1.0 + m[ROUGHNESS] * (grain - 0.5))
    if solid[CUT] < 0.995 and abs(t - solid[CUT]) < 0.03 and solid[KIND] == CONE:
        shade *= 0.7
    depth[y, x] = s + solid[A + 2]
    index[y, x] = i
    colour[y, x, 0] = int(min(255.0, max(0.0, blue * shade)))
    colour[y, x, 1] = int(min(255.0, max(0.0, green * shade)))
    colour[y, x, 2] = int(min(255.0, max(0.0, red * shade)))


@njit(**_EXACT)
def _exists(style, u, v, f):
    """Whether a shell of this style covers the point (side, up, front) of the head, unit one body
    height.
    """
    if style in (WHOLE, OPEN_END):
        return True
    if style == SHORT_HAIR:
        return v > f * 0.5 + 0.004 if f > 0.0 else v > max(-0.06, 2.0 * f)
    if style == LONG_HAIR:
        return v > 0.028 - 0.25 * abs(u) if f > 0.022 else v > -0.09
    if style == FRINGE:
        return v > 0.008 + 0.1 * abs(u) if f > 0.02 else v > -0.075
    if style == CAP:
        return v > 0.012
    return f < 0.01 and v < 0.02 and v > -0.06


@njit(**_EXACT)
def _pattern(pattern, frequency, u, v, f, facing, grain):
    """Share 0..1 of the second colour at the point (side, up, front), unit one body height."""
    if pattern == STRIPES:
        return _odd(v * frequency)
    if pattern == PINSTRIPES:
        return _odd(u * frequency) if facing * facing > 0.3 else _odd(f * frequency)
    if pattern == CHECKS:
        return 0.5 * _odd(v * frequency) + 0.5 * _odd((u + f) * frequency)
    if pattern == DOTS:
        du = (u + f) * frequency - math.floor((u + f) * frequency) - 0.5
        dv = v * frequency - math.floor(v * frequency) - 0.5
        return 1.0 if du * du + dv * dv < 0.07 else 0.0
    if pattern == MOTTLED:
        return 1.0 if grain > 0.55 else 0.0
    if pattern == LOGO:
        return 1.0 if facing > 0.0 and u * u + (v - 0.07) * (v - 0.07) * 1.6 < 0.0018 else 0.0
    if pattern == JACKET:
        return 1.0 if facing > 0.0 and abs(u) < 0.018 + 0.12 * v else 0.0
    if pattern == STRANDS:
        return 0.5 * grain
    if pattern == PANELS:
        return 1.0 if abs(u) > 0.062 else 0.0
    if pattern == HALVES:
        return 1.0 if v > 0.05 else 0.0
    return 0.0


@njit(**_EXACT)
def _odd(value):
    return float(math.floor(value) & 1)


@njit(**_EXACT)
def _face(m, u, v, f):
    """Colour (blue, green, red) of the head at (side, up, front) from the skull's centre, unit one
    body height.
    """
    if f > 0.02:
        eye_u, eye_v = abs(u) - 0.025, v + 0.012
        if m[GLASSES] > 0.5 and _ring(eye_u, eye_v, m[GLASSES]):
            return 25.0, 22.0, 22.0
        if eye_u * eye_u / 0.000144 + eye_v * eye_v / 0.000056 < 1.0:
            if eye_u * eye_u + eye_v * eye_v < 0.00004:
                return m[EYES], m[EYES + 1], m[EYES + 2]
            return 240.0, 242.0, 244.0
        if abs(eye_u) < 0.014 and abs(v - 0.007 + 16.0 * eye_u * eye_u) < 0.003:
            return m[COLOUR_2], m[COLOUR_2 + 1], m[COLOUR_2 + 2]
        if u * u < 0.0005 and abs(v + 0.0595 - 6.0 * u * u) < 0.0036 - 4.0 * u * u:
            return m[LIPS], m[LIPS + 1], m[LIPS + 2]
    if m[BEARD] > 0.5 and f > -0.005 and v < -0.03 - 0.25 * max(0.0, 0.03 - abs(u)) + 0.1 * abs(u):
        return m[COLOUR_2], m[COLOUR_2 + 1], m[COLOUR_2 + 2]
    return m[COLOUR], m[COLOUR + 1], m[COLOUR + 2]


@njit(**_EXACT)
def _ring(du, dv, glasses):
    """Whether a point belongs to the glasses: rims and bridge (1) or dark lenses (2)."""
    r2 = du * du + dv * dv
    bridge = abs(dv) < 0.002 and du < -0.014
    return bridge or (r2 < 0.0003 if glasses > 1.5 else 0.00018 < r2 < 0.0003)


def noise_tile() -> np.ndarray:
    """Seamless smooth noise, uint8 [256, 256], the same in every image: grain of cloth, hair, bark
    and stone.
    """
    rng = np.random.default_rng(7)
    total = np.zeros((256, 256), np.int64)
    for cells, weight in ((16, 5), (32, 4), (64, 3), (128, 2)):
        grid = rng.integers(0, 256, (cells, cells))
        step = 256 // cells
        place = np.arange(256)
        low, fraction = place // step, place % step
        high = (low + 1) % cells
        rows = grid[low] * (step - fraction)[:, None] + grid[high] * fraction[:, None]
        total += (
            weight * (rows[:, low] * (step - fraction) + rows[:, high] * fraction) // (step * step)
        )
    spread = (total - total.min()) * 255 // (total.max() - total.min())
    return spread.astype(np.uint8)
