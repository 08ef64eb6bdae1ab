"""What may be wrong with a zip, said by name: damaged, encrypted, or with an entry larger than it
declares.
"""

import copy
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.openpose.errors import InputError, damage_refused
from stages.openpose.files import whole_file

CHUNK_BYTES = 1 << 20
ENCRYPTED = 0x1


def check_archive(path: Path, name: str) -> int:
    """Number of files in the zip `path`; InputError where its directory cannot be used. Reads no
    entry's content.
    """
    with _opened(path, name) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        locked = next((info for info in files if info.flag_bits & ENCRYPTED), None)
        if locked:
            raise InputError(
                f"{name}: {path}: entry {locked.filename} is encrypted; expected a plain zip"
            )
        if not files:
            raise InputError(f"{name}: {path}: the zip is empty")
        return len(files)


def extract_member(path: Path, member: str, target: Path, name: str) -> None:
    """Write entry `member` of the zip `path` to `target`, never more than the entry declares.

    Raises:
        InputError: no such entry, encrypted, damaged, larger or smaller than declared, or no room
            for it on the disk.
    """
    with _opened(path, name) as archive:
        info = _find(archive, member, path, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if info.file_size > free:
            raise InputError(
                f"{name}: {member} of {path} needs {info.file_size} bytes of disk, {free} are free"
            )
        with whole_file(target) as part, open(part, "wb") as out:
            checksum = 0
            for chunk in _declared_content(archive, info, path, name):
                out.write(chunk)
                checksum = zlib.crc32(chunk, checksum)
            if checksum != info.CRC:
                raise InputError(
                    f"{name}: {path}: entry {member} is damaged: its checksum is wrong; fetch the "
                    f"zip anew"
                )


def _declared_content(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, name: str
) -> Iterator[bytes]:
    """The entry's bytes; one byte beyond the declared size is asked for, so that a larger entry is
    noticed.
    """
    probe = copy.copy(info)
    probe.file_size, probe.CRC = info.file_size + 1, None
    size = 0
    try:
        with archive.open(probe) as entry:
            while chunk := entry.read(CHUNK_BYTES):
                size += len(chunk)
                if size > info.file_size:
                    raise InputError(
                        f"{name}: {path}: entry {info.filename} is larger than the "
                        f"{info.file_size} bytes declared"
                    )
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as problem:
        raise InputError(
            f"{name}: {path}: entry {info.filename} is damaged: {problem}; fetch the zip anew"
        ) from None
    if size < info.file_size:
        raise InputError(
            f"{name}: {path}: entry {info.filename} ends after {size} of {info.file_size} bytes"
        )


def _find(archive: zipfile.ZipFile, member: str, path: Path, name: str) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(member)
    except KeyError:
        held = [entry for entry in archive.namelist() if not entry.endswith("/")]
        shown = ", ".join(held[:6]) + (", ..." if len(held) > 6 else "")
        raise InputError(f"{name}: {path} has no entry {member}; it has: {shown}") from None
    if info.flag_bits & ENCRYPTED:
        raise InputError(f"{name}: {path}: entry {member} is encrypted; expected a plain zip")
    return info


@contextmanager
def _opened(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    expected, advice = "a usable zip", "fetch it anew"
    with damage_refused(f"{name}: {path}", expected, advice), zipfile.ZipFile(path) as archive:
        yield archive
