"""Keypoints that were not found are guessed: near where they are, without touching those that were
found.
"""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.painted import crowd, maps
from stages.openpose.coco.pose_prior import fit, frame, read_prior, write_prior
from stages.openpose.decoding.completion import complete
from stages.openpose.decoding.decoder import TABLES, decode
from stages.openpose.decoding.people import GUESS_SCORE, People
from stages.openpose.errors import InputError
from stages.openpose.inference.results import to_results
from stages.openpose.skeleton import COCO

PRIOR = read_prior(COCO.parts, TABLES["drawings"])
USUAL = PRIOR.mean.reshape(-1, 2)
ELBOW, WRIST = (COCO.parts.index(name) for name in ("left_elbow", "left_wrist"))
NO_HEAT = np.zeros((40, 40, 19), np.float32)


def usual_person(size_px: float = 80.0, place_px=(150.0, 170.0), missing=()) -> np.ndarray:
    """Parts float32 [1, 18, 3]: the mean body, some parts missing."""
    parts = np.column_stack([USUAL * size_px + place_px, np.ones(len(USUAL))]).astype(np.float32)[
        None
    ]
    parts[:, list(missing)] = 0
    return parts


@pytest.mark.parametrize("size_px", [20.0, 80.0])
@pytest.mark.parametrize("missing", [[WRIST], [ELBOW, WRIST], [0, 14, 15, 16, 17]])
def test_without_heat_the_mean_body_is_completed_to_itself(missing, size_px):
    whole, parts = usual_person(size_px), usual_person(size_px, missing=missing)
    complete(parts, NO_HEAT, 8, PRIOR)
    np.testing.assert_allclose(parts[..., :2], whole[..., :2], atol=0.12 * size_px)
    assert (parts[0, missing, 2] > 0).all()
    assert (parts[0, missing, 2] <= GUESS_SCORE).all()


def test_found_parts_stay_as_they_are():
    parts, before = usual_person(missing=[WRIST]), usual_person(missing=[WRIST])
    complete(parts, NO_HEAT, 8, PRIOR)
    others = [part for part in range(18) if part != WRIST]
    np.testing.assert_array_equal(parts[:, others], before[:, others])


@pytest.mark.parametrize("place_px", [(5.0, 170.0), (150.0, 5.0)])
def test_found_parts_beyond_the_upper_and_the_left_edge_stay_as_they_are(place_px):
    parts, before = (usual_person(place_px=place_px, missing=[WRIST]) for _ in range(2))
    assert (before[..., :2] < 0).any()
    complete(parts, NO_HEAT, 8, PRIOR)
    others = [part for part in range(18) if part != WRIST]
    np.testing.assert_array_equal(parts[:, others], before[:, others])


@pytest.mark.parametrize("stride", [2, 8])
def test_heat_below_the_threshold_draws_the_guess_to_its_maximum(stride):
    parts = usual_person(missing=[WRIST])
    maximum_px = parts[0, ELBOW, :2] + (14, 16)
    rows, columns = np.mgrid[: 320 // stride, : 320 // stride] * stride + (stride - 1) / 2
    heat = np.zeros((320 // stride, 320 // stride, 19), np.float32)
    heat[..., WRIST] = 0.09 * np.exp(
        -((columns - maximum_px[0]) ** 2 + (rows - maximum_px[1]) ** 2) / (2 * 7.0**2)
    )
    complete(parts, heat, stride, PRIOR)
    np.testing.assert_allclose(parts[0, WRIST, :2], maximum_px, atol=1.5)
    assert parts[0, WRIST, 2] == pytest.approx(GUESS_SCORE * 0.09, rel=0.2)


def test_heat_far_from_where_the_part_can_be_is_left_alone():
    parts = usual_person(missing=[WRIST])
    heat = NO_HEAT.copy()
    heat[1, 1, WRIST] = 1.0
    complete(parts, heat, 8, PRIOR)
    assert np.hypot(*(parts[0, WRIST, :2] - (11.5, 11.5))) > 40


@pytest.mark.parametrize("found", [[], [0], [0, 1]])
def test_hardly_any_found_part_is_no_error(found):
    parts = usual_person(missing=[part for part in range(18) if part not in found])
    complete(parts, NO_HEAT, 8, PRIOR)
    assert np.isfinite(parts).all()


def test_parts_in_one_place_are_left_alone():
    parts = usual_person(size_px=0.0, missing=[WRIST])
    complete(parts, NO_HEAT, 8, PRIOR)
    assert not parts[0, WRIST].any()


def test_decoding_completes_only_where_asked():
    people, grid = crowd(np.random.default_rng(0), 2)
    people[:, WRIST, 2] = 2
    heatmaps, pafs = maps(people, grid)
    plain, completed = decode(heatmaps, pafs), decode(heatmaps, pafs, complete=True)
    is_found = plain.parts[..., 2] > 0
    assert not is_found[:, WRIST].any()
    assert (completed.parts[..., 2] > 0).all()
    np.testing.assert_array_equal(completed.parts[is_found], plain.parts[is_found])
    np.testing.assert_array_equal(completed.scores, plain.scores)
    away_px = completed.parts[:, None, WRIST, :2] - people[None, :, WRIST, :2]
    assert (np.linalg.norm(away_px, axis=2).min(axis=1) < 0.2 * 130).all()


def test_another_skeleton_has_no_prior_and_is_not_completed():
    other = replace(COCO, parts=("snout", *COCO.parts[1:]))
    assert read_prior(other.parts, TABLES["drawings"]) is None


def test_guesses_are_marked_in_the_results():
    people, grid = crowd(np.random.default_rng(0), 1)
    people[:, WRIST, 2] = 2
    (result,) = to_results(decode(*maps(people, grid), complete=True), 7)
    marks = np.array(result["keypoints"][2::3])
    wrist = COCO.part_of_keypoint.index(WRIST)
    assert marks[wrist] == 1
    assert (np.delete(marks, wrist) == 2).all()


@pytest.mark.parametrize("heat", [0.3, 1.0, 1.7])
def test_guesses_on_strong_heat_stay_guesses(heat):
    """Heat whose peak belongs to somebody else lies beside many a missing part."""
    parts, heatmaps = usual_person(missing=[WRIST]), NO_HEAT.copy()
    heatmaps[..., WRIST] = heat
    complete(parts, heatmaps, 8, PRIOR)
    assert parts[0, WRIST, 2] == pytest.approx(GUESS_SCORE * min(heat, 1.0))
    found = People(parts[:, list(COCO.part_of_keypoint)], parts, np.ones(1, np.float32))
    marks = np.array(to_results(found, 7)[0]["keypoints"][2::3])
    wrist = COCO.part_of_keypoint.index(WRIST)
    assert marks[wrist] == 1
    assert (np.delete(marks, wrist) == 2).all()


def test_the_frame_of_a_moved_and_scaled_body_is_that_move_and_scale():
    place, size = frame(3.0 * USUAL + (5.0, -2.0), USUAL)
    np.testing.assert_allclose([*place, size], [5.0, -2.0, 3.0])


def test_people_with_unknown_parts_give_the_prior_that_whole_ones_give():
    rng = np.random.default_rng(0)
    bodies = USUAL + 0.2 * rng.normal(size=(600, 18, 2)).cumsum(axis=1) / np.arange(1, 19)[:, None]
    is_known = rng.random((600, 18)) > 0.15
    whole, partly = fit(100 * bodies, np.ones_like(is_known)), fit(100 * bodies, is_known)
    np.testing.assert_allclose(partly.mean, whole.mean, atol=0.02)
    np.testing.assert_allclose(
        partly.covariance, whole.covariance, atol=0.2 * whole.covariance.max()
    )


def test_the_table_is_read_as_it_was_written(tmp_path):
    write_prior(PRIOR, COCO, tmp_path / "prior.csv")
    again = read_prior(COCO.parts, tmp_path / "prior.csv")
    np.testing.assert_array_equal(again.mean, PRIOR.mean)
    np.testing.assert_array_equal(again.covariance, PRIOR.covariance)


@pytest.mark.parametrize("path", TABLES.values(), ids=TABLES)
def test_the_table_is_a_covariance_of_bodies_that_stand_and_are_as_wide_on_both_sides(path):
    prior = read_prior(COCO.parts, path)
    np.testing.assert_array_equal(prior.covariance, prior.covariance.T)
    assert np.linalg.eigvalsh(prior.covariance).min() > -1e-3
    mean = prior.mean.reshape(-1, 2)
    assert mean[COCO.parts.index("nose"), 1] < mean[COCO.parts.index("right_hip"), 1]
    np.testing.assert_allclose(mean[list(COCO.mirrored_parts)] * (-1, 1), mean, atol=1e-3)


def test_bodies_of_photographs_are_other_guesses_than_drawn_ones():
    people, grid = crowd(np.random.default_rng(0), 2)
    people[:, WRIST, 2] = 2
    painted = maps(people, grid)
    drawn, photographed = (decode(*painted, complete=True, prior=prior).parts for prior in TABLES)
    found = np.arange(len(COCO.parts)) != WRIST
    np.testing.assert_array_equal(drawn[:, found], photographed[:, found])
    assert (drawn[:, WRIST] != photographed[:, WRIST]).any()


def test_unknown_prior_is_named():
    people, grid = crowd(np.random.default_rng(0), 1)
    with pytest.raises(
        InputError, match="prior: expected one of drawings, photographs, found 'cats'"
    ):
        decode(*maps(people, grid), prior="cats")
    assert np.linalg.eigvalsh(PRIOR.covariance).min() > -1e-3
    assert np.linalg.eigvalsh(PRIOR.covariance).min() > -1e-3


def most_likely_cell(person, found, missing, heat, stride):
    """(row, column) of the cell where Gaussian times heat is largest, by its definition: found
    parts believed to 0.1 of the size, variance of the guess doubled, 2.5 deviations searched.
    """
    place, size = frame(person[found, :2].astype(float), USUAL[found])
    known = np.ravel([(2 * part, 2 * part + 1) for part in found])
    own = [2 * missing, 2 * missing + 1]
    gain = np.linalg.solve(
        PRIOR.covariance[np.ix_(known, known)] + 0.1**2 * np.eye(len(known)),
        PRIOR.covariance[np.ix_(known, own)],
    )
    deviation = ((person[found, :2] - place) / size - USUAL[found]).ravel()
    mean = place + size * (USUAL[missing] + deviation @ gain)
    spread = PRIOR.covariance[np.ix_(own, own)] - PRIOR.covariance[np.ix_(own, known)] @ gain
    spread = 2 * (size / stride) ** 2 * spread + 0.02 * np.eye(2)
    rows, columns = np.mgrid[: heat.shape[0], : heat.shape[1]]
    apart = np.dstack([columns, rows]) - (mean - (stride - 1) / 2) / stride
    square = np.einsum("...i,ij,...j", apart, np.linalg.inv(spread), apart)
    inside = (np.abs(apart) <= 2.5 * np.sqrt(np.diag(spread)) + 1).all(axis=-1) & (heat > 0)
    value = np.where(inside, (heat + 0.005) * np.exp(-square / 2), 0)
    return np.unravel_index(value.argmax(), value.shape) if value.max() > 0.005 else None


@pytest.mark.parametrize("missing", [[WRIST], [0], [10, ELBOW, WRIST]])
def test_guesses_stand_where_body_and_heat_together_are_likeliest(missing):
    rng = np.random.default_rng(len(missing))
    found = [part for part in range(18) if part not in missing]
    drawn_by_heat = 0
    for _ in range(40):
        parts = usual_person(rng.uniform(30, 60), rng.uniform(130, 190, 2))
        parts[0, :, :2] += rng.normal(0, 3, (18, 2))
        parts[0, missing] = 0
        heat = rng.uniform(0, 0.05, (40, 40, 19)) * (rng.random((40, 40, 19)) < 0.15)
        heat = heat.astype(np.float32)
        before = parts[0].copy()
        complete(parts, heat, 8, PRIOR)
        for part in missing:
            expected = most_likely_cell(before, found, part, heat[..., part], 8)
            x, y, score = parts[0, part]
            if expected is None:
                assert score == pytest.approx(0.01 * GUESS_SCORE)
                continue
            drawn_by_heat += 1
            assert abs((y - 3.5) / 8 - expected[0]) <= 0.5 + 1e-4
            assert abs((x - 3.5) / 8 - expected[1]) <= 0.5 + 1e-4
            assert score == pytest.approx(GUESS_SCORE * max(heat[(*expected, part)], 0.01))
    assert drawn_by_heat > 10
