"""Ray casting against shapes whose surface is known."""

import numpy as np
import pytest

from stages.synthetic import render
from stages.synthetic.appearance import material
from stages.synthetic.solids import THING, Solids, View

LIGHT = np.array([0.0, 0.0, 1.0, 0.5])
NOISE = render.noise_tile()


def _draw(solids, size=(80, 100), view=None):
    view = view or View(0.0, 0.0, 1.0, (50.0, 40.0), 0.0, 0.0)
    rows, _ = solids.project(view)
    colour = np.zeros((*size, 3), np.uint8)
    depth, index = np.full(size, -1e30, np.float32), np.full(size, -1, np.int32)
    table = np.array([material(render.PLAIN, (200, 100, 50), roughness=0.0)] * 2)
    render.draw(rows, table, NOISE, LIGHT, colour, depth, index)
    return colour, depth, index


def _grid(size=(80, 100)):
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return x - 50, 40 - y


def test_ball_has_the_depth_of_a_sphere():
    solids = Solids()
    solids.ball(THING, (0, 0, 0), 20.0, 0)
    _, depth, index = _draw(solids)
    x, y = _grid()
    inside = x * x + y * y < 399.9
    np.testing.assert_array_equal(index == 0, inside)
    np.testing.assert_allclose(depth[inside], np.sqrt((400 - x * x - y * y)[inside]), atol=1e-3)


def test_flattened_ball_has_the_depth_of_an_ellipsoid():
    solids = Solids()
    solids.ball(THING, (0, 0, 0), 20.0, 0, flat=0.5, flat_axis=2)
    _, depth, index = _draw(solids)
    x, y = _grid()
    seen = index == 0
    np.testing.assert_allclose(depth[seen], 0.5 * np.sqrt((400 - x * x - y * y)[seen]), atol=1e-3)


def test_capsule_equals_the_union_of_its_spheres():
    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = rng.uniform(-15, 15, (2, 3))
        ra, rb = rng.uniform(3, 12, 2)
        solids = Solids()
        solids.cone(THING, a, b, ra, rb, 0)
        _, depth, _ = _draw(solids)
        x, y = _grid()
        expected = np.full(x.shape, -1e30)
        for t in np.linspace(0, 1, 800):
            c, r = a + t * (b - a), ra + t * (rb - ra)
            room = r * r - (x - c[0]) ** 2 - (y - c[1]) ** 2
            expected = np.where(
                room > 0, np.maximum(expected, c[2] + np.sqrt(np.maximum(room, 0))), expected
            )
        both = (expected > -1e29) & (depth > -1e29)
        assert ((expected > -1e29) != (depth > -1e29)).mean() < 0.002
        np.testing.assert_allclose(depth[both], expected[both], atol=0.15)


def test_box_turned_to_the_camera_is_a_flat_rectangle():
    solids = Solids()
    solids.box(THING, (0, 0, 0), (30.0, 20.0, 5.0), 0)
    _, depth, index = _draw(solids)
    x, y = _grid()
    np.testing.assert_array_equal(index == 0, (abs(x) < 30) & (abs(y) < 20))
    np.testing.assert_allclose(depth[index == 0], 5.0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_nearer_solid_hides_the_farther_whatever_their_order(order):
    solids = Solids()
    centres = [(0, 0, 30), (0, 0, -30)]
    for k in order:
        solids.ball(THING, centres[k], 15.0, 0)
    _, _, index = _draw(solids)
    assert set(np.unique(index)) == {-1, order.index(0)}


def test_solids_beyond_the_frame_are_no_error():
    solids = Solids()
    solids.ball(THING, (500, 0, 0), 20.0, 0)
    solids.box(THING, (0, 900, 0), (30.0, 20.0, 5.0), 0)
    solids.ball(THING, (-50, 40, 0), 20.0, 0)
    _, _, index = _draw(solids)
    assert set(np.unique(index)) == {-1, 2}
    assert index[0, 0] == 2


def test_noise_tile_is_seamless_and_uses_its_range():
    steps = np.abs(np.diff(NOISE.astype(int), axis=0)).max()
    assert np.abs(NOISE[0].astype(int) - NOISE[-1]).max() <= steps
    assert (NOISE.min(), NOISE.max()) == (0, 255)
