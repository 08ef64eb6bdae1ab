"""How long a run will take here, told once, from its first steps."""

import time
from collections.abc import Callable

SETTLING_STEPS = 3  # they trace and compile
MEASURED_STEPS = 3
MEASURED_S = 10.0


class Pace:
    """Samples a second of the first steps after the step has settled.

    Args:
        tell: called once, with (seconds left, samples a second).
        clock: seconds.
    """

    def __init__(
        self, tell: Callable[[float, float], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._tell, self._clock = tell, clock
        self._steps, self._samples, self._began, self._told = 0, 0, 0.0, False

    def step(self, samples: int, samples_left: int) -> None:
        """Count a step that was done: its samples, and those of the run that are left."""
        if self._told:
            return
        self._steps += 1
        if self._steps <= SETTLING_STEPS:
            self._began = self._clock()
            return
        self._samples += samples
        seconds = self._clock() - self._began
        if self._steps - SETTLING_STEPS >= MEASURED_STEPS and seconds >= MEASURED_S:
            self._told = True
            rate = self._samples / seconds
            self._tell(samples_left / rate, rate)
