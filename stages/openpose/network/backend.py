"""Which Keras backend a process uses, and how many threads: set before Keras is imported."""

import math
import os
import sys
import tempfile

# What TensorFlow's C++ libraries print when they are loaded, before they read any setting.
LOADING_NOISE = (
    b"All log messages before absl::InitializeLog()",
    b"oneDNN custom operations are on",
    b"Could not find cuda drivers",
)

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


def gpu_capability() -> float:
    """CUDA compute capability of the GPU on which the Keras backend of this process, chosen by now,
    computes; 0 for none, infinity for a GPU of another maker.
    """
    import keras  # here, because the backend is chosen by then

    capability = {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}
    found = capability[keras.backend.backend()]()
    try:
        return float(found)
    except ValueError:
        return math.inf


def _of_tensorflow() -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    numbers = details.get("compute_capability", ("other",) if gpus else (0,))
    return ".".join(map(str, numbers))


def _of_jax() -> str:
    import jax

    device = jax.local_devices()[0]
    return "0" if device.platform == "cpu" else str(getattr(device, "compute_capability", "other"))


def _of_torch() -> str:
    import torch

    if not torch.cuda.is_available():
        return "0"
    return ".".join(map(str, torch.cuda.get_device_capability()))


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
