"""The one exception that means: the input is wrong, not the program."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_SHOWN = 200  # characters of what a library says
_ENDLESS = re.compile(r"\S{1000,}")  # no path is so long


class InputError(ValueError):
    """Input that a person can mend. The message names the file, image id or parameter, says what
    was expected, what was found and what to do; command lines print it as one line without a
    traceback. Words without an end are cut."""

    def __init__(self, message: str):
        super().__init__(_ENDLESS.sub(lambda word: f"{word[0][:MOST_SHOWN]}...", message))


@contextmanager
def damage_refused(path: Path | str, expected: str, advice: str) -> Iterator[None]:
    """Raise InputError for whatever a reader of somebody's file raises within the block: damaged
    bytes lead to errors of any kind. What the system says (OSError) passes, it is no damage.
    """
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as problem:
        said = " ".join(f"{type(problem).__name__}: {problem}".split())[:MOST_SHOWN]
        raise InputError(
            f"{path}: expected {expected}, found one that is damaged ({said}); {advice}"
        ) from problem
