"""One module a stage; each is a thin command line around `stages.openpose`."""

import sys
from importlib.util import find_spec

# of each kind one that other environments rarely have; DVC and Snakemake are not needed in here
NEEDED = ("h5py", "keras", "orjson", "pydantic", "simplejpeg")

if any(find_spec(name) is None for name in NEEDED):
    sys.exit(
        f"error: {sys.executable} lacks this project's packages. "
        "Activate the environment (source .venv/bin/activate) or make it first (make env)."
    )
