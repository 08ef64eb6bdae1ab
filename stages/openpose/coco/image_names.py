"""File names as annotation tools write them, and the files that they mean.

Harmless differences are bridged: folders of the tool's or the archive's own, backslashes, percent
signs, addresses with a query, blanks around, upper and lower case, composed and decomposed letters.
A name that leads out of the folder of images is refused.
"""

import difflib
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable
from urllib.parse import unquote, urlsplit

from stages.openpose.errors import InputError

_DRIVE = re.compile(r"[A-Za-z]:")


def why_outside(name: str) -> str | None:
    """Why a file name leads out of the folder of images; None where it does not."""
    for text in (name, unquote(name)):
        path = text.replace("\\", "/")
        if "://" in path:
            if urlsplit(path).scheme.lower() == "file":
                return "it is absolute"
            path = urlsplit(path).path.lstrip("/")
        if path.startswith("/") or _DRIVE.match(path):
            return "it is absolute"
        if posixpath.normpath(path).split("/")[0] == "..":
            return "it leads out of the folder"
    return None


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _plain(name: str) -> str:
    """What names that differ harmlessly have in common."""
    text = name.strip().replace("\\", "/")
    text = urlsplit(text).path if "://" in text else text
    return unicodedata.normalize("NFC", unquote(text).strip()).casefold()


class Names:
    """The files of an archive or folder, found by the names that annotations give them.

    Args:
        names: paths inside the archive or folder, with slashes.
        place: what they are in, for errors.
    """

    def __init__(self, names: Iterable[str], place: str):
        self.place = place
        self._names = frozenset(names)
        self._by_base = _grouped(self._names, str)
        self._by_plain: dict[str, list[str]] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def find(self, wanted: str) -> str:
        """The one file that is meant: of that path; else the one of that base name, of several the
        one with most folders in common; else the same among names without harmless differences.

        Raises:
            InputError: none, several, or a name that leads out; says the nearest name.
        """
        where = f"{self.place}: image {wanted}"
        if problem := why_outside(wanted):
            raise InputError(
                f"{where}: {problem}; expected a path below the folder of images, nothing outside "
                f"is read"
            )
        if wanted in self._names:
            return wanted
        if (base := posixpath.basename(wanted)) in self._by_base:
            return self._best(wanted, self._by_base[base], str, where)
        if self._by_plain is None:
            self._by_plain = _grouped(self._names, _plain)
        if (base := posixpath.basename(_plain(wanted))) in self._by_plain:
            return self._best(wanted, self._by_plain[base], _plain, where)
        bases = difflib.get_close_matches(posixpath.basename(wanted), self._by_base, 1, 0.6)
        near = f"; the nearest name is {self._by_base[bases[0]][0]}" if bases else ""
        raise InputError(f"{where}: not among its {len(self)} files{near}")

    def _best(
        self, wanted: str, candidates: list[str], form: Callable[[str], str], where: str
    ) -> str:
        if len(candidates) == 1:
            return candidates[0]
        common = {
            name: _common_end(_parts(form(wanted)), _parts(form(name))) for name in candidates
        }
        best = max(common.values())
        found = [name for name, length in common.items() if length == best]
        if len(found) > 1:
            raise InputError(
                f"{where}: several files of this name ({', '.join(sorted(found)[:3])}); write the "
                f"path from the top folder on"
            )
        return found[0]


def _grouped(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    """Names by base name."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(posixpath.basename(form(name)), []).append(name)
    return groups


def _common_end(one: list[str], other: list[str]) -> int:
    length = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        length += 1
    return length
