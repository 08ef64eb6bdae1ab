"""What a result rests on, and the row of states between two others."""

from itertools import pairwise

import numpy as np
import pytest

from stages.locks import between, chain, changed, inputs

RESULT = "results/evaluate/trained/val.json"


def test_a_row_goes_from_few_changes_to_more_and_none_is_longer():
    rng = np.random.default_rng(0)
    for _ in range(50):
        some = [frozenset(np.flatnonzero(rng.random(5) < 0.5)) for _ in range(8)]
        changes = {str(at): state for at, state in enumerate(some)}
        row = chain(changes)
        assert all(changes[one] < changes[other] for one, other in pairwise(row))
        assert len(row) == max(height(changes, name) for name in changes)
        assert row == chain(dict(reversed(changes.items()))), "the order they are listed in"


def height(changes, name):
    """Number of states in the longest row that ends at `name`."""
    below = [height(changes, other) for other in changes if changes[other] < changes[name]]
    return 1 + max(below, default=0)


def test_of_rows_of_one_length_that_of_fewest_changes_then_the_first_name():
    assert chain({"a": frozenset("xy"), "c": frozenset("z"), "b": frozenset("z")}) == ["b"]
    assert chain({}) == []


def test_only_states_without_a_change_of_their_own_lie_between():
    first, second = {"lr": 1, "size": 2, "code": "a"}, {"lr": 2, "size": 2, "new": 5}
    recorded = {
        "first": first,
        "second": second,
        "rate": first | {"lr": 2},
        "rate and new": first | {"lr": 2, "new": 5},
        "other rate": first | {"lr": 3},
        "size too": first | {"lr": 2, "size": 3},
        "nothing known": {},
    }
    assert between(first, second, recorded) == {"rate": {"lr"}, "rate and new": {"lr", "new"}}
    assert changed(first, second) == {"lr", "code", "new"}


def lock(found="2"):
    return {
        "stages": {
            "detect@trained-0": {
                "deps": [{"path": "stages/detect.py", "md5": "1"}],
                "params": {"params.yaml": {"detect": {"height_px": 368, "scales": [1]}}},
                "outs": [{"path": "results/detect/trained/0", "md5": "2"}],
            },
            "evaluate@trained-val": {
                "deps": [
                    {"path": "results/detect/trained/0", "md5": found},
                    {"path": "data/val.zip", "md5": "4"},
                ],
                "params": {"envs/versions.yaml": {"numpy": "2.0"}},
                "outs": [{"path": RESULT, "md5": "5"}],
            },
            "report": {
                "deps": [{"path": RESULT, "md5": "5"}, {"path": "stages/report.py", "md5": "6"}],
                "outs": [{"path": "results/report", "md5": "7"}],
            },
        }
    }


def test_a_result_rests_on_what_stages_before_it_read_from_outside():
    assert inputs(lock(), RESULT) == {
        "stages/detect.py": "1",
        "detect.height_px": 368,
        "detect.scales": [1],
        "data/val.zip": "4",
        "numpy": "2.0",
    }


@pytest.mark.parametrize(
    ("state", "result"), [(lock(found="3"), RESULT), (lock(), "results/evaluate/other/val.json")]
)
def test_a_result_of_no_one_state_rests_on_nothing(state, result):
    assert inputs(state, result) == {}
