"""Which arithmetic this machine does well: `auto` becomes a Keras dtype policy here."""

import os
from collections.abc import Collection
from pathlib import Path

from stages.openpose.network.backend import gpu_capability

FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"
AUTO = "auto"
GPU_WITH_BFLOAT16 = 8.0  # compute capability of the first with matrix units for it, Ampere
# Flags of /proc/cpuinfo for products of bfloat16 numbers: matrix units and vectors of x86, Arm's.
# Without one of them every step converts, which costs a multiple of what float32 does.
BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


def resolve_precision(
    wanted: str,
    *,
    backend: str = "tensorflow",
    flags: Collection[str] | None = None,
    gpu: float = 0.0,
    onednn: bool | None = None,
) -> tuple[str, str]:
    """The dtype policy for `wanted`, and why, in words.

    Args:
        wanted: "auto", or a policy, which stays as it is.
        backend: of Keras; on processors only TensorFlow gains by bfloat16 (docs/measurements.md).
        flags: those of the processor; read from /proc/cpuinfo where None.
        gpu: CUDA compute capability of the GPU that computes; 0 for none.
        onednn: whether TensorFlow uses oneDNN; read from the environment where None.
    """
    if wanted != AUTO:
        return wanted, "as the parameters say"
    if gpu:
        able = gpu >= GPU_WITH_BFLOAT16
        return (BFLOAT16, "a GPU computes") if able else (FLOAT32, "the GPU has no bfloat16")
    if backend != "tensorflow":
        return FLOAT32, f"{backend} computes on the processor"
    if not (os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0" if onednn is None else onednn):
        return FLOAT32, "oneDNN is switched off"
    known = BFLOAT16_FLAGS.intersection(processor_flags() if flags is None else flags)
    if known:
        return BFLOAT16, f"the processor has {', '.join(sorted(known))}"
    return FLOAT32, "the processor has no bfloat16 arithmetic"


def precision_here(wanted: str) -> tuple[str, str]:
    """`resolve_precision` for the Keras backend of this process, chosen by now, and its devices."""
    if wanted != AUTO:
        return resolve_precision(wanted)
    import keras  # here, because the backend is chosen by then

    return resolve_precision(wanted, backend=keras.backend.backend(), gpu=gpu_capability())


def said_precision(stage: str, wanted: str) -> str:
    """The policy of `precision_here`; what `auto` becomes is printed in one line."""
    precision, why = precision_here(wanted)
    if precision != wanted:
        print(f"{stage}: precision {precision}: {why}")
    return precision


def processor_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Words of Linux's first line `flags` (x86) or `Features` (Arm); none elsewhere."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(words.split())
    return frozenset()
