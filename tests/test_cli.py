"""What command lines share: one line for what the user can mend."""

import argparse
import errno
import os
from pathlib import Path

import pytest

from stages import cli
from stages.openpose.errors import InputError, damage_refused


@pytest.mark.parametrize("name", [None, "some.h5"])
def test_a_full_disk_is_told_with_its_place(name):
    def stage(_):
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}\nerrno = 28", name)

    arguments = argparse.Namespace(output=Path("results/mine"), record=None)
    with pytest.raises(SystemExit) as ended:
        cli.run(stage, arguments)
    line = str(ended.value.code)
    assert line.startswith("error: ")
    assert "No space left on device" in line
    assert (name or "results/mine") in line
    assert "\n" not in line


def test_a_full_disk_under_results_is_told_with_their_folder():
    def stage(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SystemExit, match=r"^error: mine: \[Errno 28\]"):
        cli.run(stage, argparse.Namespace(results=Path("mine"), record=None))


def test_words_without_an_end_are_cut():
    assert len(str(InputError("found " + "9" * 10**6 + "; correct it"))) < 300
    assert str(InputError(f"{'/folder' * 100}: no such file")).startswith("/folder" * 100)


@pytest.mark.parametrize("problem", [KeyError("a"), MemoryError(), RecursionError("deep\nin it")])
def test_whatever_a_reader_makes_of_a_damaged_file_is_one_line(problem):
    with (
        pytest.raises(InputError, match=r"^a\.h5: expected weights, found .*; fetch it again$"),
        damage_refused("a.h5", "weights", "fetch it again"),
    ):
        raise problem


def test_what_the_system_says_of_a_file_is_no_damage():
    with pytest.raises(FileNotFoundError), damage_refused("a.h5", "weights", "fetch it again"):
        raise FileNotFoundError("a.h5")
