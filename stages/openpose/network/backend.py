"""Which Keras backend a process uses, and how many threads: set before Keras is imported."""

import os
import sys
import tempfile

# What TensorFlow's C++ libraries print when they are loaded, before they read any setting.
LOADING_NOISE = (
    b"All log messages before absl::InitializeLog()",
    b"oneDNN custom operations are on",
    b"Could not find cuda drivers",
)


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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if one_thread_ops:
        os.environ["TF_NUM_INTRAOP_THREADS"] = "1"


def load_quietly() -> None:
    """Import the backend's library, without the lines that say nothing to a user."""
    if os.environ.get("KERAS_BACKEND") != "tensorflow" or "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    kept = os.dup(2)  # C++ writes to the descriptor, not to sys.stderr
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not any(noise in line for noise in LOADING_NOISE):
                    os.write(2, line)


def thread_count() -> int:
    """Threads that read and decode: OMP_NUM_THREADS, else the processors of this process."""
    requested = os.environ.get("OMP_NUM_THREADS", "")
    return (
        int(requested) if requested.isdigit() and int(requested) else len(os.sched_getaffinity(0))
    )
