"""OMP_NUM_THREADS decides how many threads work, else the processors of the process."""

import os

import pytest

from stages.openpose.errors import InputError
from stages.openpose.threads import asked_threads, usable_processors, usable_threads


@pytest.mark.parametrize(("asked", "threads"), [("3", 3), (" 12 ", 12), ("4,2", 4)])
def test_the_environment_decides(monkeypatch, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert asked_threads() == usable_threads() == threads


@pytest.mark.parametrize("asked", [None, ""])
def test_unset_it_is_the_processors_of_this_process(monkeypatch, asked):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 3, 5}, raising=False)
    assert asked_threads() is None
    assert usable_threads() == usable_processors() == 3


@pytest.mark.parametrize("asked", ["0", "many", "-2", "1.5", ",2"])
def test_a_senseless_number_is_an_input_error(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    with pytest.raises(InputError, match=r"OMP_NUM_THREADS.*whole number above 0"):
        usable_threads()
