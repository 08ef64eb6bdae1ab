"""What one GPU does with this project, in under nine minutes: a JSON file and a table.

    python -m benchmarks.gpu_gather                       here: gathers what must travel, in gpu/
    python -m benchmarks.gpu --output gpu/results         there: a CUDA GPU, 16 cores, no network
    python -m benchmarks.gpu --output gpu/results --small anywhere, to try it (JAX_PLATFORMS=cpu)

Needs Python with JAX, PyTorch and what gpu/ brings; no TensorFlow. Each part is a process of its
own with its own limit of time and writes each figure as soon as it has it: a part that fails or is
cut costs what it had not measured yet. Parts stand in order of what is wanted most; the parts are
in gpu_parts.py.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GATHERED = ROOT / "gpu"
# name: (Keras backend, limit in seconds)
PARTS = {
    "peak": ("jax", 40),
    "full": ("jax", 230),
    "full_torch": ("torch", 70),
    "full_labels_on_device": ("jax", 70),
    "full_float32": ("jax", 80),
    "full_tf32": ("jax", 80),
    "detect": ("jax", 90),
    "resume": ("jax", 70),
    "light": ("jax", 60),
    "mobilenet": ("jax", 60),
    "resume_deterministic": ("jax", 60),
}
SMALL_S = 300  # of each part with --small, on a busy CPU
SHORTEST_S = 15  # a part is not begun with less


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--packed", type=Path, default=GATHERED / "packed.h5")
    parser.add_argument("--seconds", type=float, default=520, help="for all parts together")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--small", action="store_true", help="small sizes, to try it on a CPU")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    limit_s = len(PARTS) * SMALL_S if arguments.small else arguments.seconds
    end, results = time.monotonic() + limit_s, {"machine": machine(), "parts": {}}
    for name in arguments.parts:
        left = end - time.monotonic()
        results["parts"][name] = run_part(name, arguments, left)
        (arguments.output / "gpu.json").write_text(json.dumps(results, indent=2) + "\n")
        part = results["parts"][name]
        print(f"{name}: {part['ended']}, {part['seconds']:.0f} s", flush=True)
        for row in part["rows"]:
            print("   ", ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def machine() -> dict:
    """The card, the processors, Python."""
    try:
        command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv"]
        card = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        card = "none\n"
    cores = len(os.sched_getaffinity(0))
    return {"card": card.splitlines()[-1], "cores": cores, "python": platform.python_version()}


def run_part(name: str, arguments: argparse.Namespace, left_s: float) -> dict:
    """Run one part; what it measured, how it ended, and how long it took."""
    backend, limit_s = PARTS[name]
    limit_s = SMALL_S if arguments.small else limit_s
    rows_path = arguments.output / f"{name}.json"
    rows_path.unlink(missing_ok=True)
    if left_s < SHORTEST_S:
        return {"ended": "not begun, no time left", "seconds": 0.0, "rows": []}
    command = [sys.executable, "-m", "benchmarks.gpu_parts", name, str(rows_path)]
    command += [str(arguments.packed), *(["--small"] if arguments.small else [])]
    began = time.monotonic()
    with open(arguments.output / f"{name}.log", "w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(name, backend, arguments.output), stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(timeout=min(limit_s, left_s))
            ended = "whole" if status == 0 else f"failed, see {name}.log"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ended = "cut"
    rows = json.loads(rows_path.read_text()) if rows_path.exists() else []
    return {"ended": ended, "seconds": time.monotonic() - began, "rows": rows}


def environment(name: str, backend: str, output: Path) -> dict[str, str]:
    """Environment of a part: what travelled is found, XLA's compilations are shared."""
    site = GATHERED / f"site-{sys.version_info[0]}.{sys.version_info[1]}"
    changes = {
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
        "JAX_COMPILATION_CACHE_DIR": str((output / "compiled").resolve()),
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.92",
    }
    if name == "resume_deterministic":
        flags = os.environ.get("XLA_FLAGS", "")
        changes["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    return os.environ | changes


if __name__ == "__main__":
    main()
