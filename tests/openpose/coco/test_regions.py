import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from stages.openpose.coco import regions
from stages.openpose.coco.regions import CROWD, HIDDEN, LABELLED

NUMBERS = (
    st.floats(-30, 90)
    | st.integers(-10, 70).map(float)
    | st.integers(-50, 350).map(lambda n: n / 5)
)
POLYGONS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=9).map(
    lambda points: list(sum(points, ()))
)


def encoded(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def region(polygons=(), rles=(), hw=(6, 9)):
    segments = regions.Segments(hw)
    for kind, polygon in polygons:
        segments.add(kind, [polygon])
    for kind, rle in rles:
        segments.add(kind, rle)
    return segments.unsupervised_rle()


def test_polygons_cover_the_pixels_that_coco_says():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        hw = tuple(rng.integers(1, 60, 2).tolist())
        polygon = (
            rng.uniform(-10, 70, 2 * rng.integers(3, 9)).round(int(rng.integers(0, 3))).tolist()
        )
        expected = coco_mask.frPyObjects([polygon], *hw)[0]
        found = region([(HIDDEN, polygon)], hw=hw)
        assert found == (expected["counts"] if coco_mask.area(expected) else b""), (hw, polygon)


@settings(max_examples=300, deadline=None)
@given(polygon=POLYGONS, height=st.integers(1, 60), width=st.integers(1, 60))
def test_odd_polygons_cover_the_pixels_that_coco_says(polygon, height, width):
    expected = coco_mask.frPyObjects([polygon], height, width)[0]
    found = region([(HIDDEN, polygon)], hw=(height, width))
    assert found == (expected["counts"] if coco_mask.area(expected) else b"")


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kinds=st.lists(st.sampled_from([HIDDEN, LABELLED, CROWD]), max_size=7))
def test_regions_follow_the_definition_for_any_number_of_crowds_and_any_order(data, kinds):
    hw = (6, 9)
    masks = [data.draw(hnp.arrays(bool, hw)) for _ in kinds]
    union = {kind: np.zeros(hw, bool) for kind in (HIDDEN, LABELLED, CROWD)}
    for kind, mask in zip(kinds, masks, strict=True):
        union[kind] |= mask
    expected = union[HIDDEN] | (union[CROWD] & ~union[LABELLED])
    rles = [{"size": list(hw), "counts": encoded(mask)["counts"].decode()} for mask in masks]
    found = region(rles=list(zip(kinds, rles, strict=True)))
    assert found == (encoded(expected)["counts"] if expected.any() else b"")


def test_polygons_and_rles_of_one_image_are_put_together():
    hw = (40, 50)
    crowd = np.zeros(hw, bool)
    crowd[5:30, 10:40] = True
    people = [[12.0, 8, 20, 8, 20, 25, 12, 25], [30.5, 2, 36, 2, 36, 33, 30.5, 33]]
    labelled = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(people, *hw))).astype(bool)
    rle = {"size": list(hw), "counts": encoded(crowd)["counts"].decode()}
    found = region([(LABELLED, polygon) for polygon in people], [(CROWD, rle)], hw)
    np.testing.assert_array_equal(regions.paint(found, hw, 0, 1), crowd & ~labelled)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    runs=st.integers(1, 30),
    largest=st.sampled_from([3, 40, 3000, 10**6]),
)
def test_run_lengths_survive_compression(seed, runs, largest):
    lengths = np.random.default_rng(seed).integers(1, largest, runs)
    hw = (int(lengths.sum()), 1)
    rle = coco_mask.frPyObjects({"size": list(hw), "counts": lengths.tolist()}, *hw)
    np.testing.assert_array_equal(regions.run_lengths(rle["counts"]), lengths)
    if runs > 1:
        assert (
            region(rles=[(HIDDEN, {"size": list(hw), "counts": lengths.tolist()})], hw=hw)
            == rle["counts"]
        )


@settings(max_examples=50, deadline=None)
@given(mask=hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_painting_is_decoding(mask):
    painted = regions.paint(encoded(mask)["counts"], mask.shape, 7, 200)
    np.testing.assert_array_equal(painted, np.where(mask, 200, 7))
    assert painted.dtype == np.uint8
    assert painted.flags.c_contiguous


@pytest.mark.parametrize("polygon", [[], [1.0, 1.0], [1.0, 1.0, 8.0, 5.0]])
def test_fewer_than_three_points_enclose_nothing(polygon):
    assert region([(HIDDEN, polygon)]) == b""


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [6, 9], "counts": [53]},
        {"size": [6, 9], "counts": [60, -6]},
        {"size": [9, 6], "counts": [54]},
        {"size": [6, 9], "counts": [[54]]},
        {"size": [6, 9], "counts": "04"},
        {"size": [6, 9], "counts": ""},
        {"size": [6, 9], "counts": []},
    ],
)
def test_rles_of_another_size_are_errors(rle):
    with pytest.raises(ValueError, match="expected an RLE of 6 x 9"):
        regions.Segments((6, 9)).add(HIDDEN, rle)


@pytest.mark.parametrize(
    "polygon",
    [
        [1, 2, 3],
        [0.0, 0, 1e6, 1, 2, 2],
        [0.0, 0, 1e300, 1, 2, 2],
        [0.0, 0, 5, 1, 2, float("nan")],
    ],
)
def test_polygons_of_half_points_and_of_absurd_reach_are_errors(polygon):
    with pytest.raises(ValueError, match=r"polygon of pairs|polygon reaches"):
        region([(HIDDEN, polygon)])
