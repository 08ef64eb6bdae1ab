"""What a data set is made of: the entries of a sources file, and where each of them is to be found.

A sources file (workflow/sources/*.yaml) has up to four groups of named entries: `archives` (zips of
images, or a `folder` of images used where it lies), `annotations` (COCO keypoint JSON, alone or as
`member` of a zip), `ids` (lists of image ids, one a line) and `weights`. Nothing here opens a
connection.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from stages.openpose.errors import InputError

TO_BE_SUPPLIED = "to be supplied"
KEYS_OF_GROUP = {
    "archives": ("url", "bytes", "md5", "folder"),
    "annotations": ("url", "bytes", "md5", "member"),
    "ids": ("url", "bytes", "md5"),
    "weights": ("url", "bytes", "md5"),
}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # becomes the name of a file
Place = Path | str  # a local file, or an http(s) URL


@dataclass(frozen=True)
class Entry:
    """One line of a sources file. `md5` and `bytes` are None where unknown; `key` is its name in
    errors.
    """

    group: str
    name: str
    url: str = ""
    bytes: int | None = None
    md5: str | None = None
    member: str = ""
    folder: str = ""

    @property
    def key(self) -> str:
        """Name of the entry inside its file."""
        return f"{self.group}.{self.name}"

    @property
    def file_name(self) -> str:
        """Last part of the URL."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


def parse_sources(values: Any, origin: str) -> list[Entry]:
    """Check the content of a sources file and list its entries.

    Args:
        values: the parsed YAML.
        origin: name of the file, for errors.

    Raises:
        InputError: unknown group or key, missing or ill-formed value; names file and entry.
    """
    if not isinstance(values, dict):
        raise InputError(
            f"{origin}: expected groups {', '.join(KEYS_OF_GROUP)}, found {type(values).__name__}"
        )
    for group in values:
        if group not in KEYS_OF_GROUP:
            raise InputError(
                f"{origin}: unknown group `{_on_one_line(group)}`; known: "
                f"{', '.join(KEYS_OF_GROUP)}"
            )
        if values[group] is not None and not isinstance(values[group], dict):
            raise InputError(
                f"{origin}: `{group}`: expected entries by name, found {values[group]!r:.60}"
            )
    for group in ("archives", "annotations"):
        missing = {"train", "val"} - set(values.get(group) or ())
        if missing:
            raise InputError(f"{origin}: `{group}` lacks {' and '.join(sorted(missing))}")
    return [
        _entry(group, str(name), given, origin)
        for group in values
        for name, given in (values[group] or {}).items()
    ]


def _on_one_line(name: Any) -> str:
    return " ".join(str(name).split())


def _entry(group: str, name: str, given: Any, origin: str) -> Entry:
    where = f"{origin}: {group}.{name}"
    if not NAME.fullmatch(name):
        raise InputError(
            f"{where}: expected a name of letters, digits, `_`, `-` and `.`, found {name!r:.60}"
        )
    if not isinstance(given, dict):
        raise InputError(
            f"{where}: expected keys {', '.join(KEYS_OF_GROUP[group])}, found {given!r}"
        )
    for key in given:
        if key not in KEYS_OF_GROUP[group]:
            raise InputError(
                f"{where}: unknown key `{_on_one_line(key)}`; known: "
                f"{', '.join(KEYS_OF_GROUP[group])}"
            )
    if ("url" in given) == ("folder" in given):
        raise InputError(
            f"{where}: expected a `url`"
            + (" or a `folder`, one of both" if group == "archives" else "")
        )
    for key in ("url", "folder", "member"):
        if key in given and not (isinstance(given[key], str) and given[key]):
            raise InputError(f"{where}: `{key}`: expected text, found {given[key]!r}")
    _check_address(given.get("url", ""), f"{where}: ")
    known = {key: value for key, value in given.items() if value != TO_BE_SUPPLIED}
    md5, size = known.get("md5"), known.get("bytes")
    if md5 is not None and not re.fullmatch("[0-9a-f]{32}", str(md5).lower()):
        raise InputError(
            f"{where}: `md5`: expected 32 hexadecimal digits or `{TO_BE_SUPPLIED}`, found {md5!r}"
        )
    if size is not None and not (isinstance(size, int) and size > 0):
        raise InputError(
            f"{where}: `bytes`: expected a positive whole number or `{TO_BE_SUPPLIED}`, found "
            f"{size!r}"
        )
    return Entry(group, name, **{**known, "md5": str(md5).lower() if md5 is not None else None})


def places(url: str, *, root: str, mirror: str, sources_folder: Path) -> list[Place]:
    """Where `url` may be fetched, best first: local paths or http(s) URLs.

    Args:
        url: absolute (http, https, file), or relative to `root`.
        root: folder or URL prefix for relative URLs; empty for the folder of the sources file.
        mirror: folder or URL prefix that replaces the host of http(s) URLs; the file may lie there
            under its full path or directly; empty for none.
        sources_folder: folder of the sources file.
    """
    for address in (url, root, mirror):
        _check_address(address)
    for base in (root, mirror):
        if shown(base) != base:
            raise InputError(
                f"{shown(base)}: expected a folder or the beginning of addresses, found one with a "
                "query, which would stand in params.yaml, dvc.lock and logs"
            )
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        if not mirror:
            return [url]
        path = unquote(urlsplit(url).path).lstrip("/")
        return [_join(mirror, path), _join(mirror, PurePosixPath(path).name)]
    if scheme == "file":
        return [_local(url)]
    if len(scheme) > 1:
        raise InputError(f"{url}: expected an address with http, https or file, found {scheme}")
    return [_join(root or str(sources_folder), url)]


def _check_address(address: str, where: str = "") -> None:
    """Raise InputError where an address is none, or (without repeating them) holds a user name or
    password.
    """
    try:
        host = urlsplit(address).netloc
    except ValueError as problem:
        raise InputError(f"{where}{address}: no address ({problem})") from None
    if "@" in host:
        raise InputError(
            f"{where}the address at {host.rpartition('@')[2]} holds a user name or password, which "
            "would stand in params.yaml, dvc.lock and logs; fetch the file yourself and name its "
            "folder: --set download.have=/folder"
        )


def shown(address: str) -> str:
    """An address as messages and files may hold it: what follows `?` or `#` may be a password."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        return address
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def _join(base: str, path: str) -> Place:
    if urlsplit(base).scheme in ("http", "https"):
        return f"{base.rstrip('/')}/{quote(path)}"
    return _local(base) / path


def _local(place: str) -> Path:
    if urlsplit(place).scheme == "file":
        return Path(unquote(urlsplit(place).path))
    return Path(place).expanduser()


def in_folder(entry: Entry, have: Path) -> Path | None:
    """The user's own copy of an entry in the folder `have`, or None.

    Found are: the file under the last part of its URL, in `have` or in a folder of it (zips,
    annotations); images unpacked into a folder named like the zip (`train2014` or
    `images/train2014`); unpacked annotations under their name in the zip.
    """
    names = [entry.file_name]
    if entry.group == "archives":
        names += [PurePosixPath(entry.file_name).stem]
    if entry.member:
        names = [entry.member, PurePosixPath(entry.member).name, *names]
    # os.path says no where a folder is closed to us (lost+found of a disk), pathlib raises
    folders = [have, *sorted(path for path in have.iterdir() if os.path.isdir(path))]
    return next(
        (folder / name for name in names for folder in folders if os.path.exists(folder / name)),
        None,
    )
