"""Disk that download, masks and packing need at any moment, DVC's cache included, against the bytes
downloaded.

python -m benchmarks.disk --divisor 128

A clone of this repository fetches archives of COCO 2014's shape (coco_shape.py, every image of
COCO's mean size) from a local HTTP server and runs `dvc repro` up to pack, while the disk that its
data and its cache take is measured all the time: like `du`, which counts a file once, however many
names link to it.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import yaml

from benchmarks.coco_shape import write_data
from benchmarks.scale import COCO_MEAN_BYTES
from stages.openpose.coco.image_files import open_images

ROOT = Path(__file__).resolve().parent.parent
MEMBER = "annotations/person_keypoints_{}2014.json"
COUNTED = ("data", ".dvc/cache", ".dvc/tmp")
PAUSE_S = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--divisor", type=int, default=128, help="1/128 of COCO 2014 by default: 160 MB"
    )
    parser.add_argument(
        "--preset", default="coco2014_reference", help="coco2014_reference packs the most"
    )
    parser.add_argument("--folder", type=Path, help="where the temporary files go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        project = Path(folder) / "project"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(project)], check=True)
        downloaded, most = measure(
            project, Path(folder) / "served", arguments.preset, arguments.divisor
        )
        print_sizes(project, downloaded, most)


def measure(project: Path, served: Path, preset: str, divisor: int) -> tuple[int, int]:
    """Bytes downloaded, and the most bytes that lay on the disk at any moment, of a run of
    `project` up to pack.
    """
    downloaded = write_served(served, divisor)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sources = write_sources(served, f"http://127.0.0.1:{server.server_address[1]}")
    try:
        return downloaded, run(project, preset, sources, divisor)
    finally:
        server.shutdown()
        server.server_close()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


def write_served(folder: Path, divisor: int) -> int:
    """Write the files that the server holds, images brought to COCO's mean size; their bytes."""
    write_data(folder / "shape", 1 / divisor)
    rng = np.random.default_rng(0)
    for source in ("train", "val"):
        shape = folder / "shape" / "archives" / f"{source}.zip"
        images = json.loads((folder / "shape" / "annotations" / f"{source}.json").read_bytes())[
            "images"
        ]
        with (
            open_images(shape) as small,
            zipfile.ZipFile(folder / f"{source}2014.zip", "w") as archive,
        ):
            for image in images:
                content = small.read(image["file_name"])
                # decoders stop at the first end
                filling = rng.bytes(max(round(COCO_MEAN_BYTES) - len(content), 0))
                archive.writestr(
                    f"{source}2014/{image['file_name']}", content + filling + content[-2:]
                )
    with zipfile.ZipFile(folder / "annotations.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for source in ("train", "val"):
            archive.write(
                folder / "shape" / "annotations" / f"{source}.json", MEMBER.format(source)
            )
    return sum(path.stat().st_size for path in folder.glob("*.zip"))


def write_sources(folder: Path, address: str) -> Path:
    """The sources file of what is served."""

    def entry(name: str, **more: str) -> dict:
        content = (folder / name).read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return {"url": f"{address}/{name}", "bytes": len(content), "md5": md5, **more}

    both = ("train", "val")
    groups = {
        "archives": {source: entry(f"{source}2014.zip") for source in both},
        "annotations": {
            source: entry("annotations.zip", member=MEMBER.format(source)) for source in both
        },
    }
    (folder / "sources.yaml").write_text(yaml.safe_dump(groups))
    return folder / "sources.yaml"


def run(project: Path, preset: str, sources: Path, divisor: int) -> int:
    """Choose settings, run up to pack; the most bytes that lay on the disk at any moment."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    call = partial(subprocess.run, check=True, env=environment, stdout=subprocess.DEVNULL)
    changes = (
        f"download.sources={sources}",
        f"download.root={sources.parent}",
        "download.weights=[]",
        "train.init=",
        "evaluate.splits=[val]",
        f"pack.holdout_images={round(2645 / divisor)}",
        f"pack.reference_images={round(2645 / divisor)}",
    )
    call(
        [
            "python",
            "-m",
            "stages.params",
            "use",
            preset,
            *(argument for change in changes for argument in ("--set", change)),
        ],
        cwd=project,
    )
    process = subprocess.Popen(
        ["dvc", "repro", "pack@train", "pack@val"],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    most = 0
    while True:
        ended = process.poll() is not None
        most = max(most, on_disk(*(project / name for name in COUNTED)))
        if ended:
            break
        threading.Event().wait(PAUSE_S)
    if process.returncode:
        raise SystemExit(f"dvc repro exited with {process.returncode}")
    return most


def on_disk(*folders: Path) -> int:
    """Bytes of all files below `folders`; one that several names link to counts once."""
    sizes = {}
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                try:
                    status = os.lstat(os.path.join(parent, name))
                except FileNotFoundError:  # gone since it was listed
                    continue
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def print_sizes(project: Path, downloaded: int, most: int) -> None:
    """A Markdown table of what lies where in the end, and the most there was."""
    (data,) = (path for path in (project / "data").iterdir() if (path / "packed").exists())
    sizes = {name: on_disk(data / name) for name in ("archives", "annotations", "masks", "packed")}
    sizes |= {"all of data": on_disk(project / "data")}
    sizes |= {
        "data and DVC's cache": on_disk(*(project / name for name in COUNTED)),
        "the most at any moment": most,
    }
    print("| what | MB | share of the download |\n|---|---|---|")
    for place, size in {"downloaded": downloaded, **sizes}.items():
        print(f"| {place} | {size / 1e6:.1f} | {size / downloaded:.2f} |")


if __name__ == "__main__":
    main()
