"""Which Keras backend a process uses, and how many threads: set before Keras is imported."""

import os
import sys

# with these Keras' `fit` ends early, for trials
SHORTENING = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


def use_backend(name: str, *, one_thread_ops: bool = False) -> None:
    """Set what Keras and TensorFlow read from the environment when they are imported.

    The parameters decide, for all stages alike: a KERAS_BACKEND or a keras.json left over from
    another project is overridden, and a line on stderr says so.

    Args:
        name: "tensorflow", "jax" or "torch".
        one_thread_ops: give each operation of TensorFlow one thread, so that sums are added in one
            order on any machine (slices of a batch run side by side instead).
    """
    environment_backend = os.environ.get("KERAS_BACKEND", name)
    if environment_backend != name:
        print(
            f"KERAS_BACKEND={environment_backend} is ignored: train.backend is {name}",
            file=sys.stderr,
        )
    os.environ["KERAS_BACKEND"] = name
    # no keras.json: its floatx, epsilon and image_data_format would decide in silence
    os.environ["KERAS_HOME"] = os.devnull
    for limit in SHORTENING:
        if os.environ.pop(limit, None):
            print(f"{limit} is ignored: train.epochs says how long training is", file=sys.stderr)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if one_thread_ops:
        os.environ["TF_NUM_INTRAOP_THREADS"] = "1"


def thread_count() -> int:
    """Threads that read and decode: OMP_NUM_THREADS, else the processors of this process."""
    requested = os.environ.get("OMP_NUM_THREADS", "")
    return (
        int(requested) if requested.isdigit() and int(requested) else len(os.sched_getaffinity(0))
    )
