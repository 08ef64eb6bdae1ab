"""The one exception that means: the input is wrong, not the program."""


class InputError(ValueError):
    """Input that a person can mend. The message names the file, image id or parameter, says what
    was expected, what was found and what to do; command lines print it as one line without a
    traceback."""
