"""Reading the lists of a large JSON file piece by piece: memory stays at a few megabytes whatever
the file's size.

A COCO annotation file is one object whose long lists (`images`, `annotations`) hold hundreds of
thousands of small objects. Parsed at once, 200 MB of it become more than 1 GB of Python objects.
Here brackets and quotes are located with array operations, the text is cut between list elements,
and orjson parses one piece at a time.
"""

import codecs
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tqdm import tqdm

from stages.openpose.errors import InputError

BLOCK_BYTES = 1 << 20
DEEPEST = 100  # brackets within brackets; COCO has six
LARGEST_ELEMENT_BYTES = 1 << 26  # an annotation has thousands; what is larger is no COCO file
_AFTER_NAME = re.compile(rb"\s*:\s*(\[|[^\s\[,}]{1,20})")
_LONG_NUMBER = re.compile(rb"[:\[,]\s*-?\d{19}")
_DEPTH = np.zeros(256, np.int32)
_DEPTH[[ord("{"), ord("[")]] = 1
_DEPTH[[ord("}"), ord("]")]] = -1
_STRUCTURAL = _DEPTH != 0
_STRUCTURAL[ord('"')] = True


def read_lists(
    path: Path | str, names: tuple[str, ...], digest: "hashlib._Hash | None" = None
) -> Iterator[tuple[str, list[Any]]]:
    """Yield (name, some consecutive elements) of the lists called `names` at the top level of a
    JSON object.

    Pieces come in file order; a list that is present but empty yields nothing. `digest` is fed
    every byte of the file. The parts of the file that are not asked for are only checked for
    balanced brackets.

    Raises:
        InputError: the file is missing, no JSON object, or cut off; what is called so is no list
            (null is as good as absent), or stands there twice.
    """
    path = Path(path)
    scanner = _Scanner(path)
    rest = b""
    try:
        bar = {
            "desc": f"read {path.name}",
            "unit": "B",
            "unit_scale": True,
            "mininterval": 1,
            "delay": 2,
        }
        with path.open("rb") as file, tqdm(total=path.stat().st_size, **bar) as progress:
            to_utf8 = _transcoder(file.peek(2)[:2])
            while block := file.read(max(BLOCK_BYTES, len(rest))):
                progress.update(len(block))
                if digest is not None:
                    digest.update(block)
                block = to_utf8(block)
                pieces, rest = scanner.feed(rest + block)
                scanner.refuse_others(names)
                if len(rest) > LARGEST_ELEMENT_BYTES:
                    raise InputError(
                        f"{path}: expected lists of images and of annotations, found one object of "
                        f"more than {LARGEST_ELEMENT_BYTES >> 20} MB, beginning with {rest[:40]!r}"
                    )
                for name, text, depth in pieces:
                    if name not in names:
                        continue
                    if depth > DEEPEST:
                        raise InputError(
                            f"{path}: not COCO annotations: brackets stand {depth} deep within "
                            f"each other in `{name}`; expected {DEEPEST} at most"
                        )
                    if elements := scanner.parse(text):
                        yield name, elements
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; expected a JSON file of annotations") from None
    if scanner.depth != 0 or not scanner.opened or rest.strip():
        raise InputError(
            f"{path}: not whole JSON: the file ends in the middle of an object; fetch it again"
        )


def _transcoder(start: bytes) -> Callable[[bytes], bytes]:
    """To UTF-8 from what the first bytes of a file tell: UTF-16 where it begins with its mark."""
    if start not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return bytes
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    return lambda block: decoder.decode(block).encode("utf-8", "replace")


class _Scanner:
    """Where in the file the reader stands: depth of brackets, and the top-level list it is in."""

    def __init__(self, path: Path):
        self.path = path
        self.depth = 0
        self.opened = False
        self.list_name: str | None = None  # None between lists
        self.values: list[tuple[str, bytes]] = []  # name and start of all values met so far

    def feed(self, text: bytes) -> tuple[list[tuple[str, bytes, int]], bytes]:
        """Cut `text` after the last whole element; return pieces (list name, its elements' text,
        depth of brackets) and the remainder.
        """
        if not self.opened and text.strip():
            if not text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                raise InputError(
                    f"{self.path}: not a JSON object: expected "
                    f"`{{` at the start, found {text[:20]!r}"
                )
            self.opened = True
        at, chars, depths = self._structure(text)
        whole = np.flatnonzero((_DEPTH[chars] < 0) & (depths <= 2))
        if not len(whole):
            return [], text
        last = whole[-1]
        pieces = self._pieces(text, at[: last + 1], chars[: last + 1], depths[: last + 1])
        self.depth = int(depths[last])
        if self.depth < 0:
            raise InputError(f"{self.path}: not valid JSON: a closing bracket too many")
        return pieces, text[at[last] + 1 :]

    def _structure(self, text: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions and characters of quotes and of brackets outside strings, and the depth after
        each.
        """
        if b"\\" in text:  # an escaped quote ends no string; same length, so that positions stay
            text = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        codes = np.frombuffer(text, np.uint8)
        at = np.flatnonzero(_STRUCTURAL[codes])
        chars = codes[at]
        quotes = chars == ord('"')
        in_string = (np.cumsum(quotes) & 1).astype(bool)
        kept = quotes | ~in_string
        at, chars = at[kept], chars[kept]
        return at, chars, self.depth + np.cumsum(_DEPTH[chars])

    def _pieces(
        self, text: bytes, at: np.ndarray, chars: np.ndarray, depths: np.ndarray
    ) -> list[tuple[str, bytes, int]]:
        """The runs of list elements in a text that ends after a whole element, and how deep
        brackets stand in each.
        """
        self._note_values(text, at[(chars == ord('"')) & (depths == 1)])
        pieces = []
        start, first = 0, 0
        borders = np.flatnonzero(
            ((_DEPTH[chars] > 0) & (depths == 2)) | ((_DEPTH[chars] < 0) & (depths == 1))
        )
        for border in borders:
            if depths[border] == 1:
                if self.list_name is not None:
                    deepest = int(depths[first:border].max(initial=0))
                    pieces.append((self.list_name, text[start : at[border]], deepest))
                self.list_name = None
            else:
                is_list = chars[border] == ord("[") and border >= 2
                self.list_name = (
                    self.parse(text[at[border - 2] : at[border - 1] + 1])[0] if is_list else None
                )
                start, first = int(at[border]) + 1, int(border)
        if self.list_name is not None:
            deepest = int(depths[first:].max(initial=0))
            pieces.append((self.list_name, text[start : at[-1] + 1], deepest))
        return pieces

    def _note_values(self, text: bytes, quotes: np.ndarray) -> None:
        """Note names and values at the top level, whose strings stand between `quotes`."""
        for opening, closing in zip(quotes[::2].tolist(), quotes[1::2].tolist(), strict=True):
            if value := _AFTER_NAME.match(text, closing + 1):
                self.values.append((self.parse(text[opening : closing + 1])[0], value[1]))

    def refuse_others(self, names: tuple[str, ...]) -> None:
        """Raise InputError where one of `names` is no list, or was met before."""
        for name, value in self.values:
            if name in names and value not in (b"[", b"null"):
                raise InputError(
                    f"{self.path}: not COCO annotations: expected a list `{name}`, found "
                    f"{value.decode(errors='replace')} ..."
                )
            if name in names and [other for other, _ in self.values].count(name) > 1:
                raise InputError(f"{self.path}: `{name}` stands twice; leave one of them")

    def parse(self, text: bytes) -> list[Any]:
        """The Python objects of comma-separated JSON values."""
        listed = b"[" + text.strip(b", \t\r\n") + b"]"
        try:
            if _LONG_NUMBER.search(listed):  # orjson turns what exceeds 64 bits into floats
                return json.loads(listed)
            return orjson.loads(listed)
        except ValueError as problem:
            with contextlib.suppress(ValueError):
                return json.loads(listed)  # takes NaN and Infinity, which are refused by name later
            raise InputError(
                f"{self.path}: not valid JSON ({problem}) near {text[:60]!r}"
            ) from None
