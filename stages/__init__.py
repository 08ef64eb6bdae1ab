"""One module a stage; each is a thin command line around `stages.openpose`."""

import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

# Prediction needs less than the pipeline and can be installed alone (docs/predict.md). Of each kind
# one package that other environments rarely have; DVC and Snakemake are not needed in here.
_command = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv[:-1] else ""
_is_stage = _command.startswith("stages.") and _command not in ("stages.predict", "stages.models")
NEEDED = ("h5py", "keras", "orjson", "pydantic", "simplejpeg") if _is_stage else ("numba",)
COMMON = ("cv2", "numpy", "tensorflow", "tqdm", "yaml")  # what folders of other projects hold too


def _in_place_of_ours() -> str:
    """The file that PYTHONPATH brings in place of a package of this environment; empty if none."""
    own = Path(sysconfig.get_path("purelib"))
    others = [Path(one).resolve() for one in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    for name in (*NEEDED, *COMMON) if os.environ.get("PYTHONPATH") else ():
        found = find_spec(name) if (own / name).exists() else None
        place = Path(found.origin).resolve() if found and found.origin else own / name
        if not place.is_relative_to(own.resolve()) and any(map(place.is_relative_to, others)):
            return str(place)
    return ""


if any(find_spec(name) is None for name in NEEDED):
    sys.exit(
        f"error: {sys.executable} lacks this project's packages. "
        "Activate the environment (source .venv/bin/activate) or make it first (make env)."
    )
if _command.startswith("stages.") and (_other := _in_place_of_ours()):
    sys.exit(
        f"error: PYTHONPATH brings {_other} in place of the package of this environment; "
        "type: unset PYTHONPATH"
    )
