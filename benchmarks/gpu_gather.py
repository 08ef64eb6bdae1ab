"""Gather what benchmarks/gpu.py needs on a machine without a network, in gpu/ (not in git).

    python -m benchmarks.gpu_gather --python 3.12

gpu/site-3.12/  packages at the pins and hashes of envs/requirements.lock, unpacked for that Python
                on x86-64 Linux: Keras and what it needs, and what our own code imports
gpu/packed.h5   drawn images, packed as for training
The other machine has JAX, PyTorch, h5py, numba, OpenCV, NumPy, PyYAML and tqdm itself. Copy the
project's benchmarks/, stages/ and workflow/presets/, and gpu/.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks.gpu import GATHERED, ROOT
from benchmarks.real_images import pack_annotated
from stages.openpose.files import whole_folder
from stages.synthetic.dataset import write_sample

LOCK = ROOT / "envs" / "requirements.lock"
PACKAGES = (
    "keras", "absl-py", "markdown-it-py", "mdurl", "namex", "optree", "packaging", "pygments",
    "rich", "annotated-types", "orjson", "pydantic", "pydantic-core", "simplejpeg",
    "typing-extensions", "typing-inspection",
)  # fmt: skip
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
LARGEST_MB = 40  # of the packed file
SEED = 7


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default="3.12", help="version of Python on the other machine")
    parser.add_argument("--images", type=int, default=400, help="to draw")
    arguments = parser.parse_args()
    GATHERED.mkdir(exist_ok=True)
    unpack_packages(GATHERED / f"site-{arguments.python}", arguments.python)
    draw_packed(GATHERED / "packed.h5", arguments.images)
    megabytes = sum(p.stat().st_size for p in GATHERED.rglob("*") if p.is_file()) / 1e6
    print(f"{GATHERED}: {megabytes:.0f} MB; there: python -m benchmarks.gpu --output results/gpu")


def unpack_packages(folder: Path, python: str) -> None:
    """Download wheels at the lock's pins and hashes for another Python, and unpack them."""
    with tempfile.TemporaryDirectory() as wheels:
        wanted = Path(wheels) / "wanted.txt"
        wanted.write_text("".join(pin(name, LOCK.read_text()) for name in PACKAGES))
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            wheels,
        ]
        command += ["--only-binary=:all:", "--require-hashes", "--requirement", str(wanted)]
        command += ["--python-version", python, "--implementation", "cp"]
        for platform in PLATFORMS:
            command += ["--platform", platform]
        subprocess.run(command, check=True)
        with whole_folder(folder) as site:
            for wheel in sorted(Path(wheels).glob("*.whl")):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(site)


def pin(name: str, lock: str) -> str:
    """The lines of a package in a lock with hashes."""
    lines = lock.splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith(f"{name}=="))
    last = next(i for i in range(first, len(lines)) if not lines[i].endswith("\\\n"))
    return "".join(lines[first : last + 1])


def draw_packed(path: Path, images: int) -> None:
    """Draw images and pack them."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder)
        counts = {"train": images, "val": 1}
        write_sample(drawn, seed=SEED, counts=counts, val1k_images=1, workers=1)
        with zipfile.ZipFile(drawn / "annotations.zip") as archive:
            annotations = archive.extract("annotations/person_keypoints_train2014.json", drawn)
        packed = pack_annotated(drawn, Path(annotations), drawn / "train.zip")
        if packed.stat().st_size > LARGEST_MB * 1e6:
            raise SystemExit(f"{packed.stat().st_size / 1e6:.0f} MB packed, at most {LARGEST_MB}")
        path.write_bytes(packed.read_bytes())


if __name__ == "__main__":
    main()
