"""How long a run will take, told once."""

import pytest

from stages.openpose.training.pace import MEASURED_S, SETTLING_STEPS, Pace


def told(step_seconds: list[float], samples: int = 8, total: int = 8000) -> list[tuple]:
    """What is told when steps take these seconds."""
    now, said = [0.0], []
    pace = Pace(lambda seconds, rate: said.append((seconds, rate)), clock=lambda: now[0])
    for count, seconds in enumerate(step_seconds, 1):
        now[0] += seconds
        pace.step(samples, total - count * samples)
    return said


def test_first_steps_do_not_count():
    ((seconds, rate),) = told([60.0] * SETTLING_STEPS + [1.0] * 40)
    assert rate == pytest.approx(8.0)
    steps = SETTLING_STEPS + int(MEASURED_S)
    assert seconds == pytest.approx(8000 / 8 - steps)


def test_it_is_told_once_and_not_before_it_was_measured():
    assert len(told([1.0] * 500)) == 1
    assert told([1.0] * int(MEASURED_S)) == []


def test_steps_that_take_long_are_measured_over_several():
    ((_, rate),) = told([0.0] * SETTLING_STEPS + [20.0, 40.0, 60.0])
    assert rate == pytest.approx(3 * 8 / 120)
