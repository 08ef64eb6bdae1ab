"""One file over HTTP: resumed where it broke, taken up again after a pause, hashed while it
streams.

The unfinished file is `<name>.part`; it survives kills. Beside it `<name>.part.json` keeps the
server's version of the file (ETag or Last-Modified), so that two versions are never joined
(If-Range, RFC 9110 section 13.1.5).
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Event
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from stages.openpose.errors import InputError
from stages.openpose.fetch.sources import shown

CHUNK_BYTES = 1 << 18
PROGRESS_BYTES = 1 << 20
MD5_DIGITS = 32
LONGEST_PAUSE_S = 60.0
WORTH_ANOTHER_TRY = (408, 425, 429)
Advance = Callable[[int], object]


@dataclass(frozen=True)
class Remote:
    """A file on a server: name for messages, addresses (the next is tried where one does not have
    it), size, hash (md5 or sha256).
    """

    name: str
    urls: tuple[str, ...]
    bytes: int | None
    hash: str


@dataclass(frozen=True)
class Patience:
    """When to give up. A try that brought the file at least 1 MiB further does not count towards
    `retries`.
    """

    retries: int
    timeout_s: float
    first_pause_s: float = 1.0


class Stopped(Exception):
    """The transfer ended because `stop` was set; its part is kept."""


class _Broken(Exception):
    """A try failed in a way that may pass."""

    def __init__(self, reason: str, pause_s: float = 0.0):
        super().__init__(reason)
        self.pause_s = pause_s


class _Absent(Exception):
    """This address does not have the file."""


def hash_name(digest: str) -> str:
    """Which hash a hexadecimal digest is of, by its length: "md5" or "sha256"."""
    return "md5" if len(digest) == MD5_DIGITS else "sha256"


def fetch(
    remote: Remote,
    path: Path,
    patience: Patience,
    *,
    advance: Advance = int,
    stop: Event | None = None,
) -> None:
    """Fetch `remote` to `path`, going on with `<path>.part` where an earlier call left it.

    Args:
        advance: called with the number of bytes newly in hand; negative where bytes had to be
            thrown away.
        stop: ends the transfer soon after it is set.

    Raises:
        InputError: the server does not have the file, has another one (size or hash), or stays
            unreachable.
        Stopped: `stop` was set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = hash_name(remote.hash)
    with _Part(path.with_name(path.name + ".part"), kind, advance) as part:
        _complete(remote, part, patience, stop or Event())
        if part.hash.hexdigest() != remote.hash and part.joined:
            part.restart()
            _complete(remote, part, patience, stop or Event())
        found = part.hash.hexdigest()
        if found != remote.hash:
            part.discard()
            raise InputError(
                f"{remote.name}: {shown(remote.urls[-1])}: wrong content: expected {kind} "
                f"{remote.hash}, found {found} ({part.size} bytes); check the address, or the hash "
                "in the list that names it"
            )
        os.replace(part.path, path)
        part.note.unlink(missing_ok=True)


class _Part:
    """The unfinished file, its running hash, and what is known of the server's version of it."""

    def __init__(self, path: Path, hash_kind: str, advance: Advance):
        self.hash_kind = hash_kind
        self.path, self.note, self.advance = path, path.with_name(path.name + ".json"), advance
        self.file = open(path, "a+b", buffering=0)  # noqa: SIM115  closed by __exit__
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise InputError(
                f"{path}: another process is fetching this file; wait for it or end it"
            ) from None
        except OSError:  # a file system without locks
            pass
        self.hash, self.size = hashlib.new(hash_kind, usedforsecurity=False), 0
        self.file.seek(0)
        while chunk := self.file.read(CHUNK_BYTES):
            self._count(chunk)
        self.joined = self.size > 0

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _count(self, chunk: bytes) -> None:
        self.hash.update(chunk)
        self.size += len(chunk)
        self.advance(len(chunk))

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as problem:
            self.file.truncate(self.size)
            raise InputError(
                f"{self.path}: cannot write: {problem.strerror}; what was received before is kept"
            ) from None
        self._count(chunk)

    def restart(self) -> None:
        self.file.truncate(0)
        self.advance(-self.size)
        self.hash = hashlib.new(self.hash_kind, usedforsecurity=False)
        self.size, self.joined = 0, False
        self.note.unlink(missing_ok=True)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def version(self, url: str) -> str | None:
        """The validator under which `url` served the bytes in hand, for If-Range."""
        try:
            note = json.loads(self.note.read_text())
        except (OSError, ValueError):
            return None
        return note.get("version") if note.get("address") == _digest(url) else None

    def remember(self, url: str, answer: HTTPResponse) -> None:
        tag = answer.headers.get("ETag", "")
        version = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
        self.note.write_text(json.dumps({"address": _digest(url), "version": version}) + "\n")


def _digest(url: str) -> str:
    """What tells addresses apart without holding them: they may end in a password."""
    return hashlib.sha256(url.encode()).hexdigest()


def _complete(remote: Remote, part: _Part, patience: Patience, stop: Event) -> None:
    urls, failures, farthest = list(remote.urls), 0, part.size
    while True:
        try:
            return _try(remote, urls[0], part, patience.timeout_s, stop)
        except _Absent as absent:
            if len(urls) == 1:
                raise InputError(
                    f"{remote.name}: {shown(urls[0])}: {absent}; correct it, or set download.mirror"
                ) from None
            urls.pop(0)
            continue
        except _Broken as broken:
            failures = 1 if part.size >= farthest + PROGRESS_BYTES else failures + 1
            farthest = max(farthest, part.size)
            if failures > patience.retries:
                raise InputError(
                    f"{remote.name}: {shown(urls[0])}: {broken}; gave up after {failures} tries in "
                    f"a row; the {part.size} bytes received are kept, the same command goes on "
                    f"from there"
                ) from None
            pause_s = max(broken.pause_s, patience.first_pause_s * 2 ** (failures - 1))
        if stop.wait(min(pause_s, LONGEST_PAUSE_S)):
            raise Stopped(remote.name)


def _try(remote: Remote, url: str, part: _Part, timeout_s: float, stop: Event) -> None:
    if remote.bytes is not None and part.size > remote.bytes:
        part.restart()
    if part.size and part.size == remote.bytes:
        return
    headers = {"User-Agent": "openpose-pipeline", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if version := part.version(url):
            headers["If-Range"] = version
    try:
        with urlopen(Request(url, headers=headers), timeout=timeout_s) as answer:
            _receive(answer, remote, url, part, stop)
    except HTTPError as problem:
        _judge(problem, part)
    except InputError:
        raise
    except ValueError as problem:
        raise InputError(f"{remote.name}: {shown(url)}: no address ({problem})") from None
    except TimeoutError:
        raise _Broken(f"no byte for {timeout_s:g} s") from None
    except (OSError, HTTPException) as problem:
        raise _Broken(str(getattr(problem, "reason", problem)) or type(problem).__name__) from None


def _judge(problem: HTTPError, part: _Part) -> None:
    answer = f"the server answers {problem.code} {problem.reason}"
    if (
        problem.code == 416
    ):  # nothing to send from there on: the part is whole, or it belongs to another version
        if problem.headers.get("Content-Range", "") == f"bytes */{part.size}":
            return
        part.restart()
        raise _Broken(answer)
    if problem.code in WORTH_ANOTHER_TRY or problem.code >= 500:
        raise _Broken(answer, _seconds(problem.headers.get("Retry-After", "")))
    raise _Absent(answer)


def _seconds(retry_after: str) -> float:
    if retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0


def _receive(answer: HTTPResponse, remote: Remote, url: str, part: _Part, stop: Event) -> None:
    start, total = _span(answer)
    _check_size(remote, url, total)
    if start != part.size:
        part.restart()
        if start:
            raise _Broken(f"the server sent bytes from {start} on, not those asked for")
    part.joined = part.joined or start > 0
    part.remember(url, answer)
    while total is None or part.size < total:
        if stop.is_set():
            raise Stopped(remote.name)
        chunk = answer.read1(CHUNK_BYTES)
        if not chunk:
            break
        part.write(chunk)
        if remote.bytes is not None and part.size > remote.bytes:
            part.discard()
            raise InputError(
                f"{remote.name}: {shown(url)}: sends more than the {remote.bytes} bytes expected: "
                f"another file"
            )
    end = total or remote.bytes
    if end is not None and part.size < end:
        raise _Broken(f"the connection closed after {part.size} of {end} bytes")


def _span(answer: HTTPResponse) -> tuple[int, int | None]:
    """First byte of this answer and size of the whole file, None where the server does not say
    it.
    """
    if answer.status == 206:
        span, _, total = (
            answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        )
        start = span.partition("-")[0]
        if not start.isdigit():
            raise _Broken("the server sent a part without saying which")
        return int(start), int(total) if total.isdigit() else None
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _check_size(remote: Remote, url: str, total: int | None) -> None:
    if remote.bytes is not None and total is not None and total != remote.bytes:
        raise InputError(
            f"{remote.name}: {shown(url)}: expected {remote.bytes} bytes, the server has {total}: "
            f"another file, or an error"
            " page"
        )
