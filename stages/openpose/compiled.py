"""Compilation of numeric functions to machine code (numba), kept on disk between processes where
that is possible.

One rule comes with the kept code: a compiled function may call only compiled functions **of its own
file**. The kept code of a function is thrown away when its own file changes, not when another file
changes.
"""

import contextlib
import functools
import multiprocessing
import pickle
import sys
from collections.abc import Callable

import numba
from numba.core.caching import FunctionCache

_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ImportError,
    pickle.PickleError,
)


class _LenientCache(FunctionCache):
    """A cache of compiled code whose loss costs time, never a run: full disk, folder gone, damaged
    or foreign files.
    """

    def load_overload(self, signature, target_context):
        kept = None
        with contextlib.suppress(*_DAMAGED):
            kept = super().load_overload(signature, target_context)
        if kept is None:
            _say_once()
        return kept

    def save_overload(self, signature, data):
        try:
            super().save_overload(signature, data)
        except _DAMAGED:
            with contextlib.suppress(*_DAMAGED):
                # A damaged index is replaced, so that the next process can keep its code again.
                self.flush()


@functools.cache
def _say_once() -> None:
    """Say why the first call takes so long; worker processes say nothing."""
    if multiprocessing.parent_process() is None:
        print(
            "compiling numeric code for this processor, kept for the next time "
            "(up to half a minute) ...",
            file=sys.stderr,
            flush=True,
        )


def jit(function: Callable) -> Callable:
    """Compile `function` at its first call: no Python objects inside, the interpreter lock
    released, code kept on disk.

    The code is kept in NUMBA_CACHE_DIR, in `__pycache__` or in the user's cache folder, whichever
    can be written; where none can, the function is compiled anew in each process. IEEE arithmetic
    (no fastmath): same result everywhere.
    """
    compiled = numba.njit(nogil=True)(function)
    # RuntimeError: numba finds no folder that can be written
    with contextlib.suppress(RuntimeError, OSError):
        compiled._cache = _LenientCache(compiled.py_func)
    return compiled
