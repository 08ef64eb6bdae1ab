"""From the entries of a sources file to the folders of a data set: `archives`, `annotations`,
`ids`, `weights`.

What comes over the network goes to `partial` first, is verified there and then *linked* to its
place: no byte lies on the disk twice, and when a stage's outputs are deleted before it runs again,
nothing has to be fetched a second time. `partial` may be deleted at any time. Zips of the user are
linked too when they are large (they become read-only once the data set is under version control),
copied when small, and left where they lie, with a pointer, on another file system.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Protocol
from urllib.parse import urlsplit

from stages.openpose.errors import InputError
from stages.openpose.fetch.archives import check_archive, extract_member
from stages.openpose.fetch.sources import TO_BE_SUPPLIED, Entry, in_folder, places
from stages.openpose.fetch.transfer import Advance, Patience, Remote, Stopped, fetch
from stages.openpose.files import whole_folder

CHUNK_BYTES = 1 << 20
LINK_FROM_BYTES = 1 << 28


class Settings(Protocol):
    """The keys of params section `download` that are used here."""

    root: str
    mirror: str
    have: str
    retries: int
    timeout_s: float
    parallel: int


@dataclass(frozen=True)
class Item:
    """An entry and where it comes from: a `local` file or folder of images, else `urls`."""

    entry: Entry
    local: Path | None = None
    urls: tuple[str, ...] = ()

    @property
    def stored_name(self) -> str:
        """Name of the fetched file in `partial`: two versions of one file never share it."""
        name = Path(self.entry.file_name)
        return f"{name.stem}-{self.entry.md5[:8]}{name.suffix}"


def plan(entries: Iterable[Entry], settings: Settings, sources: Path) -> list[Item]:
    """Find every entry: in the folder `settings.have`, at its local place, or on a server.

    Raises:
        InputError: a folder or file that should be there is not; a file on a server whose hash is
            to be supplied.
    """
    have = Path(settings.have).expanduser() if settings.have else None
    if have and not have.is_dir():
        raise InputError(
            f"download.have: expected a folder with the archives or the unpacked images, found no "
            f"{have}"
        )
    items = [_locate(entry, settings, have, sources) for entry in entries]
    unknown = [item.entry for item in items if item.urls and not item.entry.md5]
    if unknown:
        names = ", ".join(f"{entry.key}.md5 ({entry.file_name})" for entry in unknown)
        raise InputError(
            f"{sources}: {TO_BE_SUPPLIED}: {names}. This project has not verified these files: "
            f"enter the md5 of a copy "
            "that you trust, or name a folder that holds the files: download.have"
        )
    return items


def _locate(entry: Entry, settings: Settings, have: Path | None, sources: Path) -> Item:
    if entry.folder:
        return Item(entry, local=_images(entry, settings, sources))
    own = in_folder(entry, have) if have else None
    if own:
        return Item(entry, local=own)
    found = places(
        entry.url, root=settings.root, mirror=settings.mirror, sources_folder=sources.parent
    )
    urls = tuple(place for place in found if isinstance(place, str))
    if urls:
        return Item(entry, urls=urls)
    for place in found:
        if place.is_file():
            return Item(entry, local=place)
    raise InputError(f"{sources}: {entry.key}: no file {found[0]}; {_advice(entry.url, settings)}")


def _images(entry: Entry, settings: Settings, sources: Path) -> Path:
    place = places(entry.folder, root=settings.root, mirror="", sources_folder=sources.parent)[0]
    if isinstance(place, str):
        raise InputError(f"{sources}: {entry.key}: a folder of images must be local, found {place}")
    if not place.is_dir():
        raise InputError(
            f"{sources}: {entry.key}: no folder {place}; {_advice(entry.folder, settings)}"
        )
    return place


def _advice(address: str, settings: Settings) -> str:
    if urlsplit(address).scheme or Path(address).is_absolute():
        return "correct the address"
    root = settings.root or "empty: the folder of the sources file"
    return f"it is relative to download.root ({root}): set that"


def deliver(
    items: Sequence[Item], output: Path, settings: Settings, advance: Advance = int
) -> dict[str, str]:
    """Bring every item to its place under `output`; returns how each came there, by key.

    Args:
        advance: called with the number of bytes newly in hand or checked.

    Raises:
        InputError: too little disk, wrong size or hash, damaged or encrypted zip, server trouble;
            nothing is placed.
    """
    store = output / "partial"
    ready, remote = _in_hand(items, output, store, advance)
    _check_disk(remote, output, store)
    jobs = {_as_remote(item): store / item.stored_name for item in remote}
    fetch_all(jobs, Patience(settings.retries, settings.timeout_s), settings.parallel, advance)
    ready.update({item.entry.key: store / item.stored_name for item in remote})
    return _place(items, ready, output)


def needed_bytes(items: Sequence[Item]) -> int:
    """Bytes that `deliver` is going to fetch or check, as far as they are known."""
    counted = [item for item in items if item.urls or item.entry.md5]
    return sum(
        {
            item.urls or item.local: item.entry.bytes or _size(item.local) for item in counted
        }.values()
    )


def _size(path: Path | None) -> int:
    return path.stat().st_size if path and path.is_file() else 0


def _as_remote(item: Item) -> Remote:
    return Remote(item.entry.file_name, item.urls, item.entry.bytes, item.entry.md5)


def _in_hand(
    items: Sequence[Item], output: Path, store: Path, advance: Advance
) -> tuple[dict[str, Path], list[Item]]:
    """Files that need no fetching, verified, by key of their entry; and the items that do."""
    ready, remote, checked = {}, [], {}
    for item in items:
        entry = item.entry
        if item.local:
            ready[entry.key] = item.local
            if item.local not in checked and item.local.is_file():
                checked[item.local] = verify(item.local, entry, advance)
            continue
        stored, placed = store / item.stored_name, output / "archives" / f"{entry.name}.zip"
        for path in (stored, placed) if entry.group == "archives" else (stored,):
            if path not in checked:
                checked[path] = _is(path, entry, advance)
            if checked[path]:
                ready[entry.key] = path
                break
        else:
            remote.append(item)
    return ready, remote


def _is(path: Path, entry: Entry, advance: Advance) -> bool:
    if not path.is_file() or (entry.bytes is not None and path.stat().st_size != entry.bytes):
        return False
    counted = []
    if md5_of(path, lambda n: (counted.append(n), advance(n))) == entry.md5:
        return True
    advance(-sum(counted))
    return False


def verify(path: Path, entry: Entry, advance: Advance = int) -> bool:
    """True; InputError where a local file has not the size or the hash of its entry."""
    size = path.stat().st_size
    if entry.bytes is not None and size != entry.bytes:
        raise InputError(
            f"{entry.key}: {path}: expected {entry.bytes} bytes, found {size}: an unfinished or "
            f"another file"
        )
    if entry.md5 and (found := md5_of(path, advance)) != entry.md5:
        raise InputError(
            f"{entry.key}: {path}: wrong content: expected md5 {entry.md5}, found {found}"
        )
    return True


def md5_of(path: Path, advance: Advance = int) -> str:
    """Hexadecimal md5 of a file."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def _check_disk(remote: Sequence[Item], output: Path, store: Path) -> None:
    """Room for what is still to come: the files, and as much again for annotations taken out of
    their zip.
    """
    fetched = {item.stored_name: item.entry.bytes or 0 for item in remote}
    unpacked = {item.stored_name: item.entry.bytes or 0 for item in remote if item.entry.member}
    here = sum(_size(store / f"{name}.part") for name in fetched)
    need = sum(fetched.values()) + sum(unpacked.values()) - here
    output.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output).free
    if need > free:
        raise InputError(
            f"{output}: the download needs {need / 1e9:.1f} GB more, {free / 1e9:.1f} GB of this "
            f"disk are free: "
            f"{(need - free) / 1e9:.1f} GB are missing; make room, or link {output} to a larger "
            f"disk"
        )


def fetch_all(
    jobs: dict[Remote, Path], patience: Patience, parallel: int, advance: Advance = int
) -> None:
    """Fetch several files at once. The first failure ends all; unfinished parts are kept."""
    waiting, problems, stop = SimpleQueue(), [], Event()
    for job in jobs.items():
        waiting.put(job)

    def work() -> None:
        try:
            while not stop.is_set():
                remote, path = waiting.get_nowait()
                fetch(remote, path, patience, advance=advance, stop=stop)
        except (Empty, Stopped):
            pass
        except Exception as problem:
            problems.append(problem)
            stop.set()

    # Daemons: a thread that waits for a silent server must not hold up Ctrl-C.
    threads = [Thread(target=work, daemon=True) for _ in range(min(parallel, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads) and not problems:
            threads[0].join(0.1) if threads[0].is_alive() else stop.wait(0.1)
    finally:
        stop.set()
    if problems:
        raise problems[0]


def _place(items: Sequence[Item], ready: dict[str, Path], output: Path) -> dict[str, str]:
    """Write the four folders. Whatever can fail comes before the first archive moves."""
    groups = {group: [item for item in items if item.entry.group == group] for group in _PLACERS}
    for item in groups["archives"]:
        if ready[item.entry.key].is_file():
            check_archive(ready[item.entry.key], item.entry.key)
    came = {}
    for group, place in _PLACERS.items():
        with whole_folder(output / group) as folder:
            for item in groups[group]:
                came[item.entry.key] = place(
                    item.entry, ready[item.entry.key], folder, output / "partial"
                )
    return came


def _place_ids(entry: Entry, path: Path, folder: Path, _: Path) -> str:
    ids = read_ids(path)
    (folder / f"{entry.name}.txt").write_text("".join(f"{image_id}\n" for image_id in ids))
    return f"{len(ids)} ids of {path}"


def read_ids(path: Path) -> list[int]:
    """Image ids of a text file, one a line, sorted; lines that begin with # are remarks."""
    ids = []
    for number, line in enumerate(
        path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
    ):
        text = line.strip()
        if text and not text.startswith("#"):
            if not text.isdecimal():
                raise InputError(
                    f"{path}: line {number}: expected one image id, found {text[:60]!r}"
                )
            ids.append(int(text))
    if not ids or len(set(ids)) < len(ids):
        raise InputError(
            f"{path}: expected image ids, each once; found {len(ids)}, {len(set(ids))} different"
        )
    return sorted(ids)


def _place_annotations(entry: Entry, path: Path, folder: Path, _: Path) -> str:
    target = folder / f"{entry.name}.json"
    with open(path, "rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped:
        if not entry.member:
            raise InputError(f"{entry.key}: {path} is a zip: name the JSON inside it as `member`")
        extract_member(path, entry.member, target, entry.key)
        return f"{entry.member} of {path}"
    shutil.copyfile(path, target)
    return f"copy of {path}"


def _place_archive(entry: Entry, path: Path, folder: Path, store: Path) -> str:
    if path.is_dir():
        _point(folder / f"{entry.name}.folder", path)
        return f"the images in {path}, where they lie"
    return _place_file(
        path, folder / f"{entry.name}.zip", store, pointer=folder / f"{entry.name}.folder"
    )


def _place_weights(entry: Entry, path: Path, folder: Path, store: Path) -> str:
    return _place_file(path, folder / entry.file_name, store)


def _place_file(path: Path, target: Path, store: Path, pointer: Path | None = None) -> str:
    fetched = path.parent in (store, store.parent / "archives")
    if not fetched and path.stat().st_size < LINK_FROM_BYTES:
        shutil.copyfile(path, target)
        return f"copy of {path}"
    try:
        os.link(path.resolve(), target)
        return f"{path}, linked"
    except OSError:  # another file system, or one without hard links
        if fetched:
            os.replace(path, target)
            return f"{path}, moved"
    if pointer:
        _point(pointer, path)
        return f"{path}, where it lies"
    shutil.copyfile(path, target)
    return f"copy of {path}"


def _point(pointer: Path, path: Path) -> None:
    """Name a folder or zip that stays where it lies, and beside that the md5 of its content: so
    that whoever reads it is run again when an image is exchanged.
    """
    pointer.write_text(f"{path.resolve()}\n")
    digest, count = hashlib.md5(usedforsecurity=False), 0
    for file in _files(path):
        with contextlib.suppress(PermissionError, FileNotFoundError):  # closed, or a broken link
            name = file.relative_to(path) if file != path else file.name
            digest.update(f"{name}\0{md5_of(file)}\n".encode(errors="surrogateescape"))
            count += 1
    pointer.with_suffix(".content").write_text(f"{digest.hexdigest()} {count} files\n")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(Path(folder, name) for folder, _, names in os.walk(path) for name in names)


_PLACERS = {
    "annotations": _place_annotations,
    "ids": _place_ids,
    "weights": _place_weights,
    "archives": _place_archive,
}
