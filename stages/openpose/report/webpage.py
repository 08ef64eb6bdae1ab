"""A report as one HTML file that needs nothing else."""

import hashlib
import html
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stages.openpose.report import charts
from stages.openpose.report.blocks import (
    Chart,
    Charts,
    Figures,
    Folded,
    Gallery,
    GalleryImage,
    Page,
    Section,
    Table,
    Text,
    View,
    jpeg_uri,
)
from stages.openpose.report.thresholds import ThresholdCurve

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")
# colours of the drawings that are others in the dark (page.css)
THEMED = {
    "#ffffff": "paper",
    charts.INK: "ink",
    charts.GRID: "grid",
    charts.BLUE: "blue",
    charts.ORANGE: "orange",
    charts.GREEN: "green",
    charts.GREY: "grey",
    charts.RED: "red",
    charts.VIOLET: "violet",
}
SHORT = 12  # characters: two such cells stand side by side on a phone
# what images can be sorted and filtered by: page.js reads the words
SORTS = {
    "lost -1": "most OKS lost (worst)",
    "lost 1": "least OKS lost (best)",
    "people -1": "most people",
    "wrong -1": "most false positives",
    "missed -1": "most people missed",
    "size 1": "smallest people",
    "size -1": "largest people",
}
FILTERS = {
    "": "all images",
    "wrong > 0": "with false positives",
    "missed > 0": "with people missed",
    "people = 1": "one person",
    "people > 1": "several people",
}


def to_html(page: Page) -> str:
    """One HTML file that needs nothing else: styles, script, drawings and images are inside.

    All of it can be seen without the script, which adds sorting, filters and read-outs.
    """
    named = [block for block in page.blocks if isinstance(block, Section) and block.name]
    links = "\n".join(f'<a href="#{_anchor(block)}">{_text(block.name)}</a>' for block in named)
    body = "\n".join(_HTML[type(block)](block) for block in page.blocks)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta '
        f'charset="utf-8">\n<title>{_text(page.title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_text(page.title)}</h1>\n"
        f'<p class="lead">{_text(page.lead)}</p>\n'
        f'<nav aria-label="Sections">{links}</nav>\n{body}\n'
        f"</main>\n<script>{SCRIPT.read_text(encoding='utf-8')}</script>\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _html_section(block: Section) -> str:
    if not block.name:
        return f"<h3>{_text(block.title)}</h3>"
    return f'<h2 id="{_anchor(block)}">{_text(block.title)}</h2>'


def _anchor(block: Section) -> str:
    return block.name.lower().replace(" ", "-")


def _html_text(block: Text) -> str:
    return f"<p{_class(['box', block.tone] if block.tone else [])}>{_text(block.text)}</p>"


def _html_figures(block: Figures) -> str:
    cells = "".join(
        f"<div><b>{_text(value)}</b><span>{_text(what)}</span><i>{_text(remark)}</i></div>"
        for value, what, remark in block.items
    )
    return f'<div class="figures">{cells}</div>'


def _class(names: Sequence[str]) -> str:
    return ' class="' + " ".join(names) + '"' if names else ""


def _html_table(block: Table) -> str:
    columns = list(zip(block.head, *block.rows, strict=True))
    short = [n for n, cells in enumerate(columns) if max(map(len, cells)) <= SHORT]

    def cells(row: Sequence[str], tag: str) -> str:
        markup = ""
        for column, text in enumerate(row):
            kinds = ["n"] * (column in block.numeric) + ["short"] * (column in short)
            kinds += ["absent"] * (text in ("–", "not measured here"))
            # on a narrow screen each cell stands on its own line, behind its column's name
            name = f' data-head="{_text(block.head[column])}"' if tag == "td" else ""
            cell = tag if text else "td"  # an empty heading is none
            markup += f"<{cell}{_class(kinds)}{name}>{_text(text)}</{cell}>"
        return markup

    rows = "\n".join(
        f"<tr{_class(['strong'] * (index in block.strong))}>{cells(row, 'td')}</tr>"
        for index, row in enumerate(block.rows)
    )
    caption = f"<caption>{_text(block.caption)}</caption>" if block.caption else ""
    notes = "".join(f"<li>{_text(note)}</li>" for note in block.notes)
    head = f"<thead><tr>{cells(block.head, 'th')}</tr></thead>\n" if any(block.head) else ""
    kinds = ["wide"] * block.wide
    return f"<table{_class(kinds)}>{caption}{head}<tbody>{rows}</tbody></table>" + (
        f'<ol class="notes">{notes}</ol>' if notes else ""
    )


def _html_charts(block: Charts) -> str:
    return f'<div class="charts">{"".join(map(_html_chart, block.charts))}</div>'


def _html_chart(chart: Chart) -> str:
    told = _themed(_json("readout", chart.readout)) if chart.readout else ""
    model = f' data-model="{_text(chart.model)}"' if chart.model else ""
    label = f' role="img" aria-label="{_text(chart.caption)}"'
    return (
        f'<figure class="chart"{told}{model}><div class="plot"{label}>{_inline(chart.svg)}</div>'
        f"<figcaption>{_text(chart.caption)}</figcaption></figure>"
    )


def _inline(svg: bytes) -> str:
    """A drawing of matplotlib as part of the page: in the page's colours, without sizes and names
    of its own."""
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1">', text, count=1)
    text = re.sub(r' id="[\w.]+_\d+"', "", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return _themed(text)


def _themed(text: str) -> str:
    for colour, name in THEMED.items():
        text = text.replace(colour, f"var(--{name})")
    return text


def _json(name: str, value: object) -> str:
    return f' data-{name}="{_text(json.dumps(value, separators=(",", ":")))}"'


def _html_gallery(block: Gallery) -> str:
    images = "\n".join(_html_image(image) for image in block.images)
    gallery = f'<div class="images">{images}</div>'
    if not block.curves:
        return gallery
    sliders = "".join(_slider(curve) for curve in block.curves)
    return (
        f'<div class="explore">{_controls(block.images)}'
        f'<form class="thresholds" hidden>{sliders}</form>{gallery}</div>'
    )


def _html_image(image: GalleryImage) -> str:
    facts = "".join(f' data-{name}="{value:g}"' for name, value in image.facts.items())
    views = "".join(_html_view(image, view, view is image.views[0]) for view in image.views)
    return (
        f'<figure class="image"{facts}><div class="views">{views}</div>'
        f"<figcaption>{_text(image.caption)}</figcaption></figure>"
    )


def _html_view(image: GalleryImage, view: View, first: bool) -> str:
    """A layer over the photograph, whose bytes stand in the page once: in the first view."""
    height, width = image.size_px
    name = "photo-" + hashlib.sha256(image.jpeg + image.caption.encode()).hexdigest()[:12]
    photo = (
        f'<image id="{name}" width="{width}" height="{height}" href="{jpeg_uri(image.jpeg)}"/>'
        if first
        else f'<use href="#{name}"/>'
    )
    kinds = _class(["view"] + ["map"] * view.is_map)
    return (
        f'<div{kinds} data-layer="{_text(view.layer)}" data-model="{_text(view.model)}">'
        f'<span>{_text(view.title)}</span><svg viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{_text(f"{image.caption}, {view.title}")}">'
        f'<g class="photo">{photo}</g><g class="drawn">{view.markup}</g></svg></div>'
    )


def _controls(images: Sequence[GalleryImage]) -> str:
    layers = {view.layer: view.is_map for image in images for view in image.views}
    boxes = "".join(
        f'<label><input type="checkbox" name="layer" value="{_text(layer)}"'
        f"{' data-map' if is_map else ' checked'}> {_text(layer)}</label>"
        for layer, is_map in layers.items()
    )
    return (
        '<form class="controls" hidden>'
        f'<label>Sort by <select name="sort">{_options(SORTS)}</select></label>'
        f'<label>Show <select name="show">{_options(FILTERS)}</select></label>'
        f"<fieldset><legend>Layers</legend>{boxes}"
        '<label><input type="checkbox" name="beside"> side by side</label></fieldset>'
        '<p role="status"></p></form>'
    )


def _options(names: dict[str, str]) -> str:
    return "".join(
        f'<option value="{value}">{_text(name)}</option>' for value, name in names.items()
    )


def _slider(curve: ThresholdCurve) -> str:
    """The score threshold of a model, with what the whole split gives at each."""
    places = zip(curve.thresholds.tolist(), curve.right.tolist(), curve.wrong.tolist(), strict=True)
    told = _json("curve", list(places)) + _json("people", curve.people)
    name = f"{_text(curve.model)}: score from"
    return (
        f'<label data-model="{_text(curve.model)}"{told}>{name} <input type="range" min="0" '
        f'max="{len(curve.thresholds) - 1}" value="0"><output></output></label>'
    )


def _html_folded(block: Folded) -> str:
    return (
        f"<details><summary>{_text(block.title)}</summary><pre>{_text(block.text)}</pre></details>"
    )


_HTML: dict[type, Callable[[Any], str]] = {
    Section: _html_section,
    Text: _html_text,
    Figures: _html_figures,
    Table: _html_table,
    Charts: _html_charts,
    Gallery: _html_gallery,
    Folded: _html_folded,
}
