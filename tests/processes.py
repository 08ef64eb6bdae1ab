"""Processes that tests start: the environment they run in, and their end as in a power cut."""

import contextlib
import os
import sys
from pathlib import Path

import psutil


def active_environment() -> dict[str, str]:
    """The environment variables with the commands of this Python's environment first in PATH."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def kill_at_once(pid: int) -> None:
    """Kill a process and all below it; all stand still first, so that none sees another die."""
    main = psutil.Process(pid)
    group = [main, *main.children(recursive=True)]
    for act in (psutil.Process.suspend, psutil.Process.kill):
        for process in group:
            with contextlib.suppress(psutil.NoSuchProcess):
                act(process)
