"""What every command line of `stages` shares: one-line errors, exit codes, the record of time and
memory.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stages import unchanged, versions
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the options that all stages have: `--params` and `--record`."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="settings, see docs/parameters.md"
    )
    made.add_argument(
        "--record", type=Path, help="write seconds and peak memory of this run to this JSON file"
    )
    return made


def run(stage: Callable[[argparse.Namespace], dict | None], arguments: argparse.Namespace) -> None:
    """Run `stage`; turn mistakes of the user into one line on stderr and exit code 1, Ctrl-C into
    130.

    Fails where code or parameters were edited meanwhile. Libraries of other versions than
    envs/versions.yaml names are said first. What the stage returns (facts worth keeping: counts,
    seconds of its parts) goes into the record.
    """
    started = time.perf_counter()
    for difference in versions.differences():
        print(f"note: {difference}; see python -m stages.versions --help", file=sys.stderr)
    try:
        before = unchanged.digests()
        facts = stage(arguments) or {}
        unchanged.check(before)
    except InputError as problem:
        sys.exit(f"error: {problem}")
    except OSError as problem:
        places = (getattr(arguments, name, None) for name in ("output", "model", "results"))
        written = next(filter(None, places), "output")
        where = "" if problem.filename else f"{written}: "
        sys.exit(f"error: {where}{' '.join(str(problem).split())}")  # HDF5 says it in many lines
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    if arguments.record:
        write_record(arguments.record, time.perf_counter() - started, facts)


def write_record(path: Path, seconds: float, facts: dict) -> None:
    """Write the JSON of one run: wall and CPU seconds, peak resident memory in MB, and the stage's
    own facts.

    CPU seconds are those of this process and of its children, from their start.
    """
    peak_kb = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    record = {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(sum(os.times()[:4]), 3),
        "peak_memory_mb": round(peak_kb / 1024, 1),
        **facts,
    }
    with whole_file(path) as part:
        part.write_text(json.dumps(record, indent=2) + "\n")
