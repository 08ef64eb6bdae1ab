"""The reference's method gives the reference's people."""

import json

import numpy as np

from benchmarks.painted import crowd, maps
from stages.openpose.inference.reference_decoder import decode_full, decode_views
from stages.openpose.inference.tta import mirror_maps


def test_people_equal_those_of_the_reference(shared):
    golden = json.loads((shared / "golden" / "seed_detections.json").read_text())
    for path in sorted((shared / "real-maps").glob("*.npz"))[::4]:
        with np.load(path) as maps:
            people = decode_full(
                maps["heat"], maps["paf"], tuple(maps["resized"]), tuple(maps["original"])
            )
        expected = [person for person in golden if person["image_id"] == int(path.stem)]
        assert len(people.scores) == len(expected), path.name
        for keypoints, score, expected_person in zip(
            people.keypoints, people.scores, expected, strict=True
        ):
            triples = np.reshape(expected_person["keypoints"], (17, 3))
            np.testing.assert_allclose(keypoints[:, :2], triples[:, :2], atol=1)
            np.testing.assert_array_equal(keypoints[:, 2] > 0, triples[:, 2] > 0)
            assert abs(score - expected_person["score"]) < 1e-3


def _painted():
    parts, grid = crowd(np.random.default_rng(0), 2, height_px=180)
    return parts, *maps(parts, grid), (grid[0] * 8, grid[1] * 8)


def test_painted_people_come_back_within_the_pixel_grid():
    parts, heatmaps, pafs, hw = _painted()
    people = decode_full(heatmaps, pafs, hw, hw)
    assert len(people.scores) == 2
    distance = (
        np.linalg.norm(people.parts[:, None, :, :2] - parts[None, ..., :2], axis=3)
        .max(axis=2)
        .min(axis=0)
    )
    assert (distance < 4).all()


def test_people_lie_in_pixels_of_the_original_image():
    parts, heatmaps, pafs, hw = _painted()
    people = decode_full(heatmaps, pafs, (hw[0] - 8, hw[1] - 8), ((hw[0] - 8) * 2, (hw[1] - 8) * 2))
    distance = (
        np.linalg.norm(people.parts[:, None, :, :2] / 2 - parts[None, ..., :2], axis=3)
        .max(axis=2)
        .min(axis=0)
    )
    assert (distance < 4).all()


def test_views_are_averaged_and_mirrored_ones_mirrored_back():
    _, heatmaps, pafs, hw = _painted()
    single = decode_full(heatmaps, pafs, hw, hw)
    twice = decode_views(
        [(heatmaps, pafs, hw, False), (*mirror_maps(heatmaps, pafs), hw, True)], hw
    )
    np.testing.assert_allclose(twice.parts, single.parts, atol=1)
    np.testing.assert_allclose(twice.scores, single.scores, rtol=1e-3)
    weaker = decode_views([(heatmaps, pafs, hw, False), (heatmaps * 0.5, pafs, hw, False)], hw)
    np.testing.assert_allclose(weaker.parts[..., 2], single.parts[..., 2] * 0.75, rtol=1e-3)


def test_maps_without_peaks_hold_nobody():
    for value in (0.0, np.nan):
        heatmaps, pafs = (
            np.full((12, 12, 19), value, np.float32),
            np.full((12, 12, 38), value, np.float32),
        )
        people = decode_full(heatmaps, pafs, (96, 96), (96, 96))
        assert people.keypoints.shape == (0, 17, 3)
        assert people.scores.shape == (0,)
