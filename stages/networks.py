"""What the command lines that run a network share: which backend, which model, how many threads."""

import os
from pathlib import Path

from stages import params
from stages.openpose.forward import Forward, load_forward


def load_network(folder: Path, settings: params.Params) -> Forward:
    """The network of a model folder, on the Keras backend of the environment or else of the section `train`."""
    choose_backend(settings)
    return load_forward(folder, settings.detect.precision)


def choose_backend(settings: params.Params) -> None:
    """Set what Keras reads when it is imported: the backend of the section `train`, where the environment has none."""
    os.environ.setdefault("KERAS_BACKEND", settings.train.backend)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def thread_count() -> int:
    """Threads that read and decode: OMP_NUM_THREADS of the environment, else the processors of this process."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) else len(os.sched_getaffinity(0))
