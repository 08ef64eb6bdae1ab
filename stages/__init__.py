"""One module a stage; each is a thin command line around `stages.openpose`."""

import sys
from importlib.util import find_spec

# Prediction needs less than the pipeline and can be installed alone (docs/predict.md).
_command = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv[:-1] else ""
_is_stage = _command.startswith("stages.") and _command not in ("stages.predict", "stages.models")
if any(find_spec(package) is None for package in (("h5py", "dvc") if _is_stage else ("numba",))):
    sys.exit(
        f"error: {sys.executable} lacks this project's packages. "
        "Activate the environment (source .venv/bin/activate) or make it first (make env)."
    )
