"""Which arithmetic this machine does well: `auto` becomes a Keras dtype policy here."""

import os
from collections.abc import Collection
from pathlib import Path

FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"
AUTO = "auto"
# Flags of /proc/cpuinfo for products of bfloat16 numbers: matrix units and vectors of x86, Arm's.
# Without one of them every step converts, which costs a multiple of what float32 does.
BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


def resolve_precision(
    wanted: str,
    *,
    flags: Collection[str] | None = None,
    gpu: bool = False,
    onednn: bool | None = None,
) -> tuple[str, str]:
    """The dtype policy for `wanted`, and why, in words.

    Args:
        wanted: "auto", or a policy, which stays as it is.
        flags: those of the processor; read from /proc/cpuinfo where None.
        gpu: whether a GPU computes; all that Keras' backends support do bfloat16.
        onednn: whether TensorFlow uses oneDNN; read from the environment where None.
    """
    if wanted != AUTO:
        return wanted, "as the parameters say"
    if gpu:
        return BFLOAT16, "a GPU computes"
    if not (os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0" if onednn is None else onednn):
        return FLOAT32, "oneDNN is switched off"
    known = BFLOAT16_FLAGS.intersection(processor_flags() if flags is None else flags)
    if known:
        return BFLOAT16, f"the processor has {', '.join(sorted(known))}"
    return FLOAT32, "the processor has no bfloat16 arithmetic"


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
