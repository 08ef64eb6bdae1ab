"""The blocks of a report. How they look: webpage.py and markdown.py."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.openpose.report.thresholds import ThresholdCurve


@dataclass(frozen=True)
class Section:
    """A heading. One with a name has a link to it at the top of the page; one without is a smaller
    heading.
    """

    title: str
    name: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph. `tone` is "", "good", "bad" or "unknown": the last three stand in a box."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Figures:
    """A few large figures: (value, what it is, remark)."""

    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Table:
    """Columns and rows of text. `numeric` columns stand right; rows in `strong` are set off;
    `notes` follow. A `wide` table gives its first column room."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numeric: Sequence[int] = ()
    strong: Sequence[int] = ()
    notes: Sequence[str] = ()
    wide: bool = False


@dataclass(frozen=True)
class Chart:
    """An SVG drawing; `name` is its file's, `readout` of readout.py. Where `model` is named, the
    chart has score thresholds across and shows which one the reader has chosen for that model."""

    name: str
    svg: bytes
    caption: str
    readout: dict[str, Any] | None = None
    model: str = ""


@dataclass(frozen=True)
class Charts:
    """Charts side by side where there is room."""

    charts: Sequence[Chart]


@dataclass(frozen=True)
class View:
    """A layer over an image, which readers switch by its name `layer`.

    `markup` is SVG in pixels of the image, without any text of others; `model` is whose people it
    shows; a `is_map` layer is seen only when switched on.
    """

    layer: str
    title: str
    markup: str
    model: str = ""
    is_map: bool = False


@dataclass(frozen=True)
class GalleryImage:
    """A JPEG of an image of (height, width) `size_px`, its layers, and a line below. `facts` are
    numbers by which images can be sorted and filtered."""

    jpeg: bytes
    size_px: tuple[int, int]
    views: Sequence[View]
    caption: str
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Gallery:
    """Images; with `curves`, one for each model, they can be sorted, filtered and cut at a score
    threshold."""

    images: Sequence[GalleryImage]
    curves: Sequence[ThresholdCurve] = ()


@dataclass(frozen=True)
class Folded:
    """Preformatted text that opens on a click."""

    title: str
    text: str


Block = Section | Text | Figures | Table | Charts | Gallery | Folded


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    lead: str
    blocks: Sequence[Block] = field(default_factory=list)


def jpeg_uri(jpeg: bytes) -> str:
    """An address that holds the image itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
