"""One module a stage; each is a thin command line around `stages.openpose`."""

import sys
from importlib.util import find_spec

if find_spec("h5py") is None or find_spec("dvc") is None:
    sys.exit(
        f"error: {sys.executable} lacks this project's packages. "
        "Activate the environment (source .venv/bin/activate) or make it first (make env)."
    )
