"""Checkpoints: a folder of files that are whole or absent, verified when read, the newest two kept.

A file holds arrays and a JSON state. Its name carries the step and the SHA-256 of its bytes, so one
rename makes it valid and damage of any later kind is noticed.
"""

import hashlib
import io
import json
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.openpose.files import file_digest, whole_file

NAME = re.compile(r"step-(\d{10})-([0-9a-f]{16})\.npz")
CHUNK_BYTES = 1 << 24


def run_key(files: Iterable[Path], settings: Any) -> str:
    """16 hex digits that name a training run: the content of `files` in their order, and `settings`
    (plain values).
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in files:
        digest.update(file_digest(path).encode())
    return digest.hexdigest()[:16]


def code_files(packages: Sequence[str] = ("stages.openpose", "stages.train")) -> list[Path]:
    """Source files of `packages` that this process has imported, sorted by module name."""
    modules = {
        name: module for name, module in sys.modules.items() if name.startswith(tuple(packages))
    }
    return [
        Path(module.__file__)
        for _, module in sorted(modules.items())
        if getattr(module, "__file__", None)
    ]


class CheckpointFolder:
    """The checkpoints of one run, written by a thread while training goes on."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = Path(folder), keep
        self._writer: threading.Thread | None = None

    def save(
        self, step: int, arrays: Sequence, state: dict, to_numpy: Callable = np.asarray
    ) -> None:
        """Write a checkpoint in the background; `arrays` must not change afterwards. The writing
        thread fetches them, each by `to_numpy`.

        A checkpoint that cannot be written (full disk), or that holds values that are not finite,
        is reported by a warning and left out; earlier ones stay.
        """
        self.wait()
        text = json.dumps(state)
        self._writer = threading.Thread(
            target=self._write, args=(step, list(arrays), text, to_numpy), name="checkpoint"
        )
        self._writer.start()

    def wait(self) -> None:
        """Return when the last checkpoint is on disk."""
        if self._writer:
            self._writer.join()
            self._writer = None

    def load(self) -> tuple[list[np.ndarray], dict] | None:
        """Arrays and state of the newest undamaged checkpoint, or None; damaged ones are deleted
        with a warning.

        Deletes what a run killed while writing has left behind.
        """
        for leftover in self.folder.glob(".step-*.part"):
            leftover.unlink(missing_ok=True)
        for path in reversed(self.paths()):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest()[:16] == NAME.fullmatch(path.name)[2]:
                return _unpack(data)
            warnings.warn(
                f"{path}: damaged checkpoint, deleted; an earlier one is used", stacklevel=2
            )
            path.unlink()
        return None

    def paths(self) -> list[Path]:
        """Files of the folder that are checkpoints, oldest first."""
        files = self.folder.glob("step-*.npz") if self.folder.is_dir() else ()
        return sorted(path for path in files if NAME.fullmatch(path.name))

    def _write(self, step: int, arrays: list, text: str, to_numpy: Callable) -> None:
        for i, array in enumerate(arrays):
            arrays[i] = to_numpy(array)  # one by one: frees the copy on the device
        if not all(np.isfinite(array).all() for array in arrays):
            warnings.warn(
                f"step {step}: weights are not finite, no checkpoint is written", stacklevel=2
            )
            return
        data = _pack(arrays, text)
        path = self.folder / f"step-{step:010d}-{hashlib.sha256(data).hexdigest()[:16]}.npz"
        try:
            with whole_file(path) as temporary, open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            warnings.warn(
                f"{path}: cannot write ({problem}); earlier checkpoints stay", stacklevel=2
            )
            return
        for outdated in self.paths()[: -self.keep]:
            outdated.unlink(missing_ok=True)


def _pack(arrays: list[np.ndarray], text: str) -> memoryview:
    buffer = io.BytesIO()
    np.savez(buffer, state=np.array(text), **{f"a{i}": array for i, array in enumerate(arrays)})
    return buffer.getbuffer()


def _unpack(data: bytes) -> tuple[list[np.ndarray], dict]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return [file[f"a{i}"] for i in range(len(file.files) - 1)], json.loads(str(file["state"]))
