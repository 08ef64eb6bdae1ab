from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.openpose.decoding.decoder import decode
from stages.openpose.decoding.people import People
from stages.openpose.errors import InputError
from stages.openpose.inference import tta
from stages.openpose.inference.detection import (
    BATCHES_AHEAD,
    ImageEntry,
    detect_people,
    plan_batches,
)
from stages.openpose.inference.reference_maps import full_size
from stages.openpose.inference.tta import View
from stages.openpose.skeleton import COCO
from tests.oracle import Oracle, figure, numbered_image

SETTINGS = SimpleNamespace(
    height_px=184,
    scales=(0.5, 1.0, 1.5, 2.0),
    pad_value=128,
    pad_multiple_px=8,
    average_stride_px=2,
)


def found_by(people, sizes, reference=False, **changes):
    """People by output of images whose network is the oracle; also the oracle."""
    settings = SimpleNamespace(**(vars(SETTINGS) | changes))
    oracle = Oracle(people, sizes, settings.height_px)
    images = [ImageEntry(number, str(number), hw) for number, hw in sizes.items()]
    batches = plan_batches(images, settings, 2, reference=reference)
    run = detect_people(
        batches,
        read=lambda entry: numbered_image(entry.image_id, entry.size_hw),
        forward=oracle,
        decode=decode,
        settings=settings,
        reference=reference,
    )
    return {entry.image_id: by_output for entry, by_output in run}, oracle


@pytest.mark.parametrize("size_hw", [(184, 184), (240, 317), (331, 222), (92, 101)])
@pytest.mark.parametrize("output", tta.OUTPUTS)
def test_known_people_come_back_where_they_were(size_hw, output):
    height, width = size_hw
    parts = figure(0.53 * width, 0.2 * height, 0.6 * height)[None]
    people_of, _ = found_by({3: parts}, {3: size_hw})
    people = people_of[3][output]
    assert len(people.scores) == 1
    assert (people.parts[0, :, 2] > 0).all()
    # the heatmap's peak is found to a fraction of a cell of 8 pixels of the network's input
    pixel = height / SETTINGS.height_px
    limbs = np.abs(people.parts[0, 1:14, :2] - parts[0, 1:14, :2])
    assert limbs.max() < 0.6 * pixel
    assert np.abs(people.parts[0, 1:14, :2] - parts[0, 1:14, :2]).mean() < 0.25 * pixel


@pytest.mark.parametrize("output", tta.OUTPUTS)
def test_no_output_shifts_people(output):
    errors = []
    for number, x in enumerate(np.linspace(80, 160, 9), start=1):
        parts = figure(x, 41 + 0.7 * number, 130)[None]
        people = found_by({number: parts}, {number: (200, 261)})[0][number][output]
        errors.append(people.parts[0, 1:14, :2] - parts[0, 1:14, :2])
    assert np.abs(np.mean(errors, axis=(0, 1))).max() < 0.08


@pytest.mark.parametrize("output", tta.OUTPUTS)
def test_the_references_way_finds_people_to_a_pixel_at_any_size(output):
    sizes = {1: (184, 240), 2: (300, 215), 3: (92, 120)}
    people = {number: figure(0.5 * w, 0.2 * h, 0.6 * h)[None] for number, (h, w) in sizes.items()}
    people_of, oracle = found_by(people, sizes, reference=True)
    for number in sizes:
        parts = people_of[number][output].parts
        assert len(parts) == 1
        assert np.abs(parts[0, 1:14, :2] - people[number][0, 1:14, :2]).max() < 1.6
    assert {shape[1:3] for shape in oracle.shapes} >= {(184, 240), (304, 216), (96, 120)}


def test_the_references_mirrored_maps_lie_on_its_plain_ones():
    parts, size = {1: figure(90, 40, 110)[None]}, {1: (184, 203)}
    oracle, views = Oracle(parts, size, 184), [View(1.5, False), View(1.5, True)]
    inputs = tta.network_inputs(numbered_image(1, size[1]), views, SETTINGS)
    plain, mirrored = (
        full_size(tuple(plain_maps[0] for plain_maps in oracle(pixels[None])), view, size[1], 184)
        for view, pixels in inputs.items()
    )
    for plain_maps, mirrored_maps in zip(plain, mirrored, strict=True):
        assert plain_maps.shape[:2] == size[1]
        assert np.corrcoef(plain_maps.ravel(), mirrored_maps.ravel())[0, 1] > 0.95
    shifted = [
        np.abs(plain[0] - np.roll(mirrored[0], shift, axis=1)).mean() for shift in range(-3, 4)
    ]
    assert np.argmin(shifted) == 3


def test_flip_twice_is_identity():
    rng = np.random.default_rng(1)
    heatmaps, pafs = rng.normal(size=(5, 7, 19)), rng.normal(size=(5, 7, 38))
    again = tta.mirror_maps(*tta.mirror_maps(heatmaps, pafs))
    np.testing.assert_array_equal(again[0], heatmaps)
    np.testing.assert_array_equal(again[1], pafs)


def test_mirrored_maps_point_the_other_way_on_the_other_side():
    heatmaps, pafs = np.zeros((2, 4, 19)), np.zeros((2, 4, 38))
    limb = COCO.limbs.index((2, 3))  # right upper arm
    heatmaps[0, 0, COCO.parts.index("right_elbow")] = 1
    pafs[0, 0, 2 * limb : 2 * limb + 2] = 0.6, 0.8
    heatmaps, pafs = tta.mirror_maps(heatmaps, pafs)
    assert heatmaps[0, 3, COCO.parts.index("left_elbow")] == 1
    other = COCO.limbs.index((5, 6))
    np.testing.assert_array_equal(pafs[0, 3, 2 * other : 2 * other + 2], [-0.6, 0.8])
    assert np.count_nonzero(pafs) == 2


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(40, 400),
    width=st.integers(40, 400),
    scale=st.sampled_from([0.5, 1.0, 1.5, 2.0]),
    mirrored=st.booleans(),
    stride=st.sampled_from([2, 4, 8]),
)
def test_a_plane_over_the_image_is_the_same_plane_on_the_grid(
    height, width, scale, mirrored, stride
):
    """Maps that are a linear function of the place in the image stay that function, at every scale
    and mirrored.
    """
    grid_settings = SimpleNamespace(**(vars(SETTINGS) | {"average_stride_px": stride}))
    size = tta.scaled_size((height, width), grid_settings.height_px, scale)
    cells = [side // 8 for side in tta.padded_size(size)]
    x, y = ((np.arange(n) + 0.5) * 8 for n in cells[::-1])  # pixels of the view from its edge
    if mirrored:
        x = size[1] - x
    values = np.float32(x[None, :, None] / size[1] + 2 * y[:, None, None] / size[0])
    mean = tta.MapMean((height, width), grid_settings)
    mean.add(
        View(scale, mirrored), np.repeat(values, 19, axis=2), np.zeros((*cells, 38), np.float32)
    )
    got = mean.mean().heatmaps[..., 0]
    base = tta.scaled_size((height, width), grid_settings.height_px)
    want_x, want_y = (
        (np.arange(n) + 0.5) * stride / side
        for n, side in zip(got.shape[::-1], base[::-1], strict=True)
    )
    # at the rim the border value goes on
    inner_x = (want_x > 12 / size[1]) & (want_x < 1 - 12 / size[1])
    inner_y = (want_y > 12 / size[0]) & (want_y < 1 - 12 / size[0])
    want = want_x[None] + 2 * want_y[:, None]
    np.testing.assert_allclose(got[inner_y][:, inner_x], want[inner_y][:, inner_x], atol=2e-5)


def test_mean_of_equal_maps_is_that_map():
    mean = tta.MapMean((184, 184), SimpleNamespace(**(vars(SETTINGS) | {"average_stride_px": 8})))
    rng = np.random.default_rng(2)
    heatmaps, pafs = rng.random((23, 23, 19), np.float32), rng.random((23, 23, 38), np.float32)
    for _ in range(3):
        mean.add(View(1.0, False), heatmaps, pafs)
    np.testing.assert_allclose(mean.mean().heatmaps, heatmaps, rtol=1e-6)
    np.testing.assert_allclose(mean.mean().pafs, pafs, rtol=1e-6)


def test_single_is_the_networks_map_without_padding():
    views = {
        View(1.0, False): (np.zeros((24, 40, 19), np.float32), np.zeros((24, 40, 38), np.float32))
    }
    maps = tta.maps_for(("single",), views, (184, 190), SETTINGS)
    assert maps["single"].heatmaps.shape == (23, 24, 19)
    assert maps["single"].stride_px == 8


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    scale=st.sampled_from([0.5, 1.0, 1.5, 2.0]),
)
def test_scaled_size_keeps_the_aspect_to_half_a_pixel(height, width, scale):
    scaled = tta.scaled_size((height, width), 368, scale)
    assert scaled[0] == 368 * scale
    assert abs(scaled[1] - width * 368 * scale / height) <= 0.5 or scaled[1] == 1
    padded = tta.padded_size(scaled)
    assert all(p % 8 == 0 and 0 <= p - s < 8 for p, s in zip(padded, scaled, strict=True))


def test_padding_lies_at_the_right_and_at_the_bottom_of_either_view():
    image = np.zeros((180, 181, 3), np.uint8)
    image[:, 90:] = 255
    settings = SimpleNamespace(height_px=180, scales=(1.0,), pad_value=77, pad_multiple_px=8)
    views = [View(1.0, False), View(1.0, True)]
    plain, mirrored = tta.network_inputs(image, views, settings).values()
    assert plain.shape == mirrored.shape == (184, 184, 3)
    for seen in (plain, mirrored):
        assert (seen[180:] == 77).all()
        assert (seen[:, 181:] == 77).all()
    np.testing.assert_array_equal(plain[:180, :181], mirrored[:180, :181][:, ::-1])


def seen_at(image: np.ndarray, scale: float) -> np.ndarray:
    settings = SimpleNamespace(height_px=64, scales=(scale,), pad_value=0, pad_multiple_px=8)
    (seen,) = tta.network_inputs(image, [View(scale, False)], settings).values()
    return seen


def test_images_shrink_to_the_mean_of_their_pixels():
    image = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    means = image.reshape(64, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(seen_at(image, 1.0) - means).max() <= 0.5


@pytest.mark.parametrize("scale", [1.5, 2.0])
def test_images_grow_by_cubics_which_sharpen_an_edge(scale):
    image = np.full((64, 96, 3), 100, np.uint8)
    image[:, 48:] = 150
    seen = seen_at(image, scale)
    assert seen.min() < 100
    assert seen.max() > 150


def test_images_are_read_a_few_batches_ahead_and_no_more():
    """However many there are: memory stays flat."""
    sizes = dict.fromkeys(range(1, 16), (184, 184))
    people = {number: figure(90, 40, 110)[None] for number in sizes}
    batches = plan_batches([ImageEntry(n, str(n), hw) for n, hw in sizes.items()], SETTINGS, 1)
    oracle, handed_out, seen = Oracle(people, sizes, 184), [], []

    def counted():
        for batch in batches:
            handed_out.append(batch)
            yield batch

    def forward(batch):
        seen.append(len(handed_out))
        return oracle(batch)

    run = detect_people(
        counted(),
        read=lambda entry: numbered_image(entry.image_id, entry.size_hw),
        forward=forward,
        decode=decode,
        settings=SETTINGS,
        outputs=("single",),
    )
    assert len(list(run)) == 15
    assert seen == [min(call + 1 + BATCHES_AHEAD, 15) for call in range(15)]


def test_one_pass_serves_all_outputs():
    _, oracle = found_by({1: figure(90, 40, 110)[None]}, {1: (184, 184)})
    assert sorted(shape[1] for shape in oracle.shapes) == sorted(2 * [96, 184, 280, 368])


def test_images_of_equal_padded_sizes_share_calls():
    sizes = dict.fromkeys(range(1, 6), (184, 184)) | {6: (184, 260)}
    people = {number: figure(90, 40, 110)[None] for number in sizes}
    people_of, oracle = found_by(people, sizes)
    assert {shape[0] for shape in oracle.shapes} == {1, 2}
    assert len(oracle.shapes) == 8 * (3 + 1)
    alone, _ = found_by({4: people[4]}, {4: (184, 184)})
    np.testing.assert_array_equal(people_of[4]["multi_flip"].parts, alone[4]["multi_flip"].parts)


def test_more_padding_means_fewer_sizes_and_the_same_people():
    sizes = {number: (184, 184 + 4 * number) for number in range(1, 8)}
    people = {number: figure(90, 40, 110)[None] for number in sizes}
    close, near = found_by(people, sizes)
    wide, far = found_by(people, sizes, pad_multiple_px=64)
    assert len(set(far.shapes)) < len(set(near.shapes))
    assert all(side % 64 == 0 for shape in far.shapes for side in shape[1:3])
    for number in sizes:
        for output in tta.OUTPUTS:
            np.testing.assert_allclose(
                wide[number][output].parts, close[number][output].parts, atol=0.02
            )


def test_thread_count_changes_neither_order_nor_people():
    sizes = {number: (184, 184 + 8 * (number % 3)) for number in range(1, 9)}
    people = {number: figure(70 + 4 * number, 40, 110)[None] for number in sizes}
    batches = plan_batches(
        [ImageEntry(number, str(number), hw) for number, hw in sizes.items()], SETTINGS, 2
    )
    runs = [
        list(
            detect_people(
                batches,
                read=lambda one_thread: numbered_image(one_thread.image_id, one_thread.size_hw),
                forward=Oracle(people, sizes, 184),
                decode=decode,
                settings=SETTINGS,
                outputs=("single", "multi"),
                threads=threads,
            )
        )
        for threads in (1, 4)
    ]
    assert [one_thread.image_id for one_thread, _ in runs[0]] == [
        one_thread.image_id for one_thread, _ in runs[1]
    ]
    for (_, one_thread), (_, other_people) in zip(*runs, strict=True):
        np.testing.assert_array_equal(one_thread["multi"].parts, other_people["multi"].parts)


def test_a_image_of_another_size_is_named():
    batches = plan_batches([ImageEntry(5, "five.jpg", (100, 100))], SETTINGS, 1)
    run = detect_people(
        batches,
        read=lambda _: np.zeros((100, 90, 3), np.uint8),
        forward=None,
        decode=decode,
        settings=SETTINGS,
    )
    with pytest.raises(InputError, match=r"five\.jpg.*image 5.*100 x 100.*100 x 90"):
        list(run)


def test_a_image_that_would_fill_the_memory_is_named():
    batches = plan_batches([ImageEntry(5, "strip.jpg", (2, 4000))], SETTINGS, 1)
    run = detect_people(
        batches,
        read=lambda _: np.zeros((2, 4000, 3), np.uint8),
        forward=None,
        decode=decode,
        settings=SETTINGS,
    )
    with pytest.raises(InputError, match=r"strip\.jpg of 2 x 4000.*detect\.height_px"):
        list(run)


def test_scales_without_one_are_refused():
    with pytest.raises(InputError, match=r"detect\.scales.*1\.0"):
        tta.views_for(("single",), [0.5, 2.0])


def test_absent_keypoints_stay_at_zero_in_the_image():
    points = np.zeros((1, 17, 3), np.float32)
    points[0, 3] = 10, 20, 0.5
    people = tta.to_image(
        People(points, np.zeros((1, 18, 3), np.float32), np.ones(1)), (736, 368), 368
    )
    np.testing.assert_allclose(people.keypoints[0, 3], [20.5, 40.5, 0.5])
    assert not people.keypoints[0, :3].any()


def test_each_output_is_the_mean_of_its_own_views_each_once():
    settings = SimpleNamespace(**(vars(SETTINGS) | {"average_stride_px": 8}))
    views = {  # of constant maps: 1 of the plain view, 4 of the mirrored one
        View(1.0, mirrored): tuple(
            np.full((23, 23, channels), 1.0 + 3 * mirrored, np.float32) for channels in (19, 38)
        )
        for mirrored in (False, True)
    }
    maps = tta.maps_for(tta.OUTPUTS, views, (184, 184), settings)
    for output, expected in (("single", 1.0), ("multi", 1.0), ("multi_flip", 2.5)):
        np.testing.assert_allclose(maps[output].heatmaps, expected, atol=1e-6)


def test_what_lies_at_one_border_of_the_maps_is_not_seen_at_the_other():
    mean = tta.MapMean((184, 184), SimpleNamespace(**(vars(SETTINGS) | {"average_stride_px": 2})))
    heatmaps, pafs = np.zeros((23, 23, 19), np.float32), np.zeros((23, 23, 38), np.float32)
    heatmaps[-1], heatmaps[:, -1] = 1, 1
    mean.add(View(1.0, False), heatmaps, pafs)
    assert not mean.mean().heatmaps[:80, :80].any()
    assert mean.mean().heatmaps[-1].all()
