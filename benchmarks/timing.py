"""Timing two ways of doing the same work in one process, turn by turn, so that a busy machine slows
both alike.
"""

import gc
import time
from collections.abc import Callable
from statistics import median


def interleaved(
    ways: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each of `ways`, called in turn `rounds` times after one unmeasured call
    each.

    With `clock` time.process_time these are CPU seconds of all threads: on a busy machine the wall
    time of long work grows more than that of short work.
    """
    for way in ways.values():
        way()
    gc.freeze()  # what exists by now (annotations, for example) costs no later collection
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = clock()
            way()
            seconds[name].append(clock() - started)
    return {name: median(values) for name, values in seconds.items()}


def print_table(rows: list[tuple[str, float, float, str]]) -> None:
    """Print (what, reference, ours, unit) rows as a Markdown table. The ratio says how much better
    ours is: of rates (units with "/s") ours over the reference's, of amounts (kB, ms) the
    reference's over ours."""
    print("| what | reference | ours | unit | ratio |\n|---|---|---|---|---|")
    for what, reference, ours, unit in rows:
        ratio = ours / reference if "/s" in unit else reference / ours
        print(f"| {what} | {reference:,.4g} | {ours:,.4g} | {unit} | {ratio:.1f}x |")
