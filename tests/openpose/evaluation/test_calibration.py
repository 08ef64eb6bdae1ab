"""Scores and what they are worth."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.openpose.errors import InputError
from stages.openpose.evaluation.calibration import (
    Calibration,
    calibration_error,
    check_belongs,
    isotonic,
    read_calibration,
    settings_of,
    to_json,
)
from stages.openpose.files import file_digest
from stages.params import Decoder, Detect

PEOPLE = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40)
FEW = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12)
SETTINGS = settings_of("multi", Detect(), Decoder())


def columns(people):
    scores, right = zip(*people, strict=True)
    return np.array(scores, float), np.array(right)


def calibration(people, **more):
    scores, right = people
    fitted = Calibration(*isotonic(scores, right), len(scores), 3, "0", SETTINGS)
    return replace(fitted, **more)


def best_by_trying(scores, right):
    """Least squared error of all step functions that never fall, each level of neighbours."""
    values = np.unique(scores)
    errors = []
    for number in range(len(values)):
        for cuts in combinations(range(1, len(values)), number):
            groups = [np.isin(scores, group) for group in np.split(values, cuts)]
            levels = [right[group].mean() for group in groups]
            if (np.diff(levels) >= 0).all():
                pairs = zip(groups, levels, strict=True)
                errors.append(sum(((right[group] - level) ** 2).sum() for group, level in pairs))
    return min(errors)


@given(FEW)
def test_no_other_monotone_function_is_nearer(people):
    scores, right = columns(people)
    error = ((calibration((scores, right))(scores) - right) ** 2).sum()
    assert error == pytest.approx(best_by_trying(scores, right), abs=1e-9)


@given(PEOPLE, st.lists(st.floats(-10, 10), min_size=2))
def test_probabilities_never_fall_and_stay_within_0_and_1(people, asked):
    probabilities = calibration(columns(people))(np.sort(asked))
    assert (np.diff(probabilities) >= 0).all()
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1


@given(PEOPLE, st.randoms())
def test_the_order_of_people_does_not_matter(people, random):
    shuffled = random.sample(people, len(people))
    for ours, theirs in zip(*(isotonic(*columns(one)) for one in (people, shuffled)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(PEOPLE)
def test_on_average_probabilities_are_the_share_that_is_right(people):
    scores, right = columns(people)
    assert calibration((scores, right))(scores).mean() == pytest.approx(right.mean())


def test_scores_that_are_probabilities_already_stay_as_they_are():
    scores = np.repeat(np.arange(1, 10) / 10, 10)
    right = np.tile(np.arange(10), 9) < np.repeat(np.arange(1, 10), 10)
    asked = np.linspace(0.1, 0.9, 33)
    np.testing.assert_allclose(calibration((scores, right))(asked), asked)
    assert calibration_error(scores, right) == pytest.approx(0, abs=1e-12)


def test_the_error_of_scores_that_lie_is_the_distance_and_a_fit_on_others_takes_it_away():
    rng = np.random.default_rng(1)
    scores = rng.uniform(0, 1, 8000)
    right = rng.uniform(0, 1, 8000) < scores**2
    fitted = calibration((scores[::2], right[::2]))
    before = calibration_error(scores[1::2], right[1::2])
    assert before == pytest.approx(1 / 6, abs=0.02)  # the mean of x - x^2
    assert calibration_error(fitted(scores[1::2]), right[1::2]) < 0.03
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_a_file_gives_back_what_was_fitted(tmp_path):
    fitted = calibration(columns([(1, False), (2, True), (3, False), (4, True)]))
    (tmp_path / "c.json").write_text(to_json(fitted))
    read = read_calibration(tmp_path / "c.json")
    np.testing.assert_array_equal(read.scores, [1, 2, 3, 4])
    np.testing.assert_array_equal(read.probabilities, [0, 0.5, 0.5, 1])
    assert (read.people, read.images, read.settings) == (4, 3, SETTINGS)


@pytest.mark.parametrize(
    "knots", [[(0, 1), (1, 0)], [(1, 0), (0, 1)], [(0, 2)], [(0, None)], [(0, float("nan"))]]
)
def test_a_curve_that_cannot_be_is_refused(tmp_path, knots):
    named = json.loads(to_json(calibration(columns([(1, True)]))))
    named["knots"] = [{"score": score, "probability": value} for score, value in knots]
    (tmp_path / "c.json").write_text(json.dumps(named))
    with pytest.raises(InputError, match=r"c\.json: expected the calibration"):
        read_calibration(tmp_path / "c.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"c\.json: no such file"):
        read_calibration(tmp_path / "c.json")


def test_a_calibration_of_something_else_is_refused(tmp_path):
    weights = tmp_path / "w.h5"
    weights.write_bytes(b"weights")
    fitted = calibration(columns([(1, False), (2, True)]), weights=file_digest(weights))
    check_belongs(fitted, tmp_path, weights, SETTINGS)
    no_guesses = settings_of("multi", Detect(), Decoder(complete=False))
    check_belongs(fitted, tmp_path, weights, no_guesses)
    with pytest.raises(InputError, match=r"inference multi \(here single\)"):
        check_belongs(fitted, tmp_path, weights, SETTINGS | {"inference": "single"})
    with pytest.raises(InputError, match="another network"):
        check_belongs(replace(fitted, weights="1"), tmp_path, weights, SETTINGS)
    empty = replace(fitted, scores=np.zeros(0), probabilities=np.zeros(0))
    with pytest.raises(InputError, match="no curve, only 2 people"):
        check_belongs(empty, tmp_path, weights, SETTINGS)
