"""Write envs/versions.yaml: versions of the libraries that decide results, which dvc.yaml names as
parameters of the stages that use them.

    python -m stages.versions                # those of envs/requirements.lock; in `make lock` too
    python -m stages.versions --installed    # those installed, say after pip install -U keras

With the second, `dvc repro` and `snakemake` run exactly those stages again that use what changed.
"""

import argparse
import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ENVS = Path(__file__).resolve().parent.parent / "envs"
LIBRARIES = (
    "h5py",
    "keras",
    "numba",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "simplejpeg",
    "tensorflow",
)

HEAD = "# Versions of the libraries that decide results, written by python -m stages.versions.\n"


def locked(lock: str) -> dict[str, str]:
    """Versions of `LIBRARIES` in the text of a lock file; the oldest where Python decides."""
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE)
    return {
        name: min((version for pinned, version in pins if pinned == name), key=Version)
        for name in LIBRARIES
    }


def of_this_python(lock: str) -> set[tuple[str, str]]:
    """(name, version) of `LIBRARIES` that the text of a lock file has for the Python that runs."""
    lines = re.findall(r"^([\w.-]+==[^\\\n]+)", lock, re.MULTILINE)
    pins = [Requirement(line) for line in lines if line.partition("==")[0] in LIBRARIES]
    return {
        (pin.name, str(pin.specifier).removeprefix("=="))
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }


def installed(name: str) -> str | None:
    """The installed version of a library, None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def differences(file: Path = ENVS / "versions.yaml") -> list[str]:
    """One line for each library that is installed in another version than `file` says, and than the
    lock beside it has for this Python.
    """
    if not file.exists():
        return []
    lock = file.with_name("requirements.lock")
    pinned = of_this_python(lock.read_text(encoding="utf-8")) if lock.exists() else set()
    named = re.findall(r'^([\w.-]+): "(.*)"$', file.read_text(encoding="utf-8"), re.MULTILINE)
    return [
        f"{name} {found} is installed, {file.parent.name}/{file.name} says {version}"
        for name, version in named
        if (found := installed(name)) not in (None, version) and (name, found) not in pinned
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--installed", action="store_true", help="not the lock's versions")
    parser.add_argument("--output", type=Path, default=ENVS / "versions.yaml")
    arguments = parser.parse_args()
    if arguments.installed:
        versions = {name: installed(name) or "none" for name in LIBRARIES}
    else:
        versions = locked((ENVS / "requirements.lock").read_text(encoding="utf-8"))
    lines = [f'{name}: "{version}"\n' for name, version in versions.items()]
    arguments.output.write_text("".join([HEAD, *lines]), encoding="utf-8")
    for line in differences(arguments.output):
        print(f"note: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
