"""Files: written so that a killed program never leaves half a file that looks whole, and known by
their hashes.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.openpose.errors import InputError


def file_digest(path: Path, kind: str = "sha256") -> str:
    """Hexadecimal hash of a file's bytes: sha256 or md5 (which protects from accidents only)."""
    with open(path, "rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


def refuse_file(folder: Path) -> None:
    """Raise InputError where a file stands in the place of a folder that is to be written."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder to write")


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, else
    delete it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Yield a new empty folder beside `path`; let it take the place of `path` when the block ends
    well.
    """
    path = Path(path)
    refuse_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


DISGUISES = {
    b"version https://git-lfs": "a Git LFS pointer, not the file: type git lfs pull there",
    b"<!doctype html": "a web page: the address is wrong, or wants a login",
    b"<html": "a web page: the address is wrong, or wants a login",
    b"\x80\x02": "a Python pickle, which is never read: it could run any code",
    b"\x80\x03": "a Python pickle, which is never read: it could run any code",
    b"\x80\x04": "a Python pickle, which is never read: it could run any code",
    b"\x80\x05": "a Python pickle, which is never read: it could run any code",
    b"PK\x03\x04": "a zip, as .keras files and PyTorch's are: save the weights alone, as HDF5",
}


def refuse_disguise(path: Path | str) -> None:
    """Raise InputError where the first bytes of what should be weights are those of another thing
    that often lies in their place; passes where there is no file.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(512).lstrip().lower()
    except FileNotFoundError:
        return
    for mark, said in DISGUISES.items():
        if start.startswith(mark.lower()):
            raise InputError(f"{path}: expected weights, found {said}")
