"""One module a stage; each is a thin command line around `stages.openpose`."""

import sys
from importlib.util import find_spec

# Prediction needs less than the pipeline and can be installed alone (docs/predict.md). Of each kind
# one package that other environments rarely have; DVC and Snakemake are not needed in here.
_command = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv[:-1] else ""
_is_stage = _command.startswith("stages.") and _command not in ("stages.predict", "stages.models")
NEEDED = ("h5py", "keras", "orjson", "pydantic", "simplejpeg") if _is_stage else ("numba",)

if any(find_spec(name) is None for name in NEEDED):
    sys.exit(
        f"error: {sys.executable} lacks this project's packages. "
        "Activate the environment (source .venv/bin/activate) or make it first (make env)."
    )
