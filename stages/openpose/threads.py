"""How many threads or processes may work here: OMP_NUM_THREADS, which engines and clusters set for
each stage, else the processors of this process.
"""

import os

from stages.openpose.errors import InputError


def asked_threads() -> int | None:
    """OMP_NUM_THREADS, of a list (one number a level of nesting) the first; None where it is unset.

    Raises:
        InputError: it is no whole number above 0.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    if not asked:
        return None
    first = asked.split(",")[0].strip()
    if not first.isdecimal() or not int(first):
        raise InputError(
            f"OMP_NUM_THREADS: expected a whole number above 0, found {asked!r}; unset or mend it"
        )
    return int(first)


def usable_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads() -> int:
    """OMP_NUM_THREADS, else as many as there are processors for this process."""
    return asked_threads() or usable_processors()
