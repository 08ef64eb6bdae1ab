"""The blocks of a report, and how they look in HTML and in Markdown."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field


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
    """An SVG drawing; `name` is its file's."""

    name: str
    svg: bytes
    caption: str


@dataclass(frozen=True)
class Charts:
    """Charts side by side where there is room."""

    charts: Sequence[Chart]


@dataclass(frozen=True)
class GalleryImage:
    """JPEGs of one image side by side, each with what it shows, and a line below."""

    views: Sequence[tuple[str, bytes]]
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Images one below the other."""

    images: Sequence[GalleryImage]


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


STYLE = """
:root { --ink: #1d2730; --soft: #5b6874; --line: #dde3e8; --wash: #f5f7f9; --accent: #1f5fa8; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans",
  Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 52px 0 14px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 26px 0 8px; }
p { margin: 10px 0; max-width: 76ch; }
.lead { color: var(--soft); font-size: 17px; margin-bottom: 20px; }
nav { margin: 18px 0 26px; font-size: 14px; }
nav a { color: var(--accent); text-decoration: none; margin-right: 18px; white-space: nowrap; }
nav a:hover { text-decoration: underline; }
.box { max-width: none; padding: 11px 16px; border-left: 4px solid var(--soft);
  background: var(--wash); border-radius: 0 4px 4px 0; }
.good { border-color: #2f8f57; }
.bad { border-color: #c2402d; background: #fdf3f1; }
.unknown { border-color: #c58b1a; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px;
  margin: 22px 0; }
.figures div { border: 1px solid var(--line); border-radius: 6px; padding: 14px 16px 12px; }
.figures b { display: block; font-size: 28px; font-weight: 600; line-height: 1.15;
  font-variant-numeric: tabular-nums; }
.figures span { display: block; font-size: 14px; margin-top: 3px; }
.figures i { display: block; font-style: normal; font-size: 13px; color: var(--soft); }
.scroll { overflow-x: auto; margin: 16px 0 6px; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: 14px; padding-bottom: 6px; }
th { text-align: left; font-weight: 600; font-size: 13px; color: var(--soft);
  border-bottom: 2px solid var(--line); padding: 6px 18px 6px 0; vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); padding: 7px 18px 7px 0; vertical-align: top; }
.n { text-align: right; }
td.n, .absent { white-space: nowrap; }
tr.strong td { background: #eef4fb; font-weight: 600; }
tr.strong td:first-child, th:first-child, td:first-child { padding-left: 8px; }
td:first-child { min-width: 7em; }
table.wide td:first-child { min-width: 15em; }
.absent { color: #98a3ad; font-weight: 400; }
.notes { font-size: 13.5px; color: var(--soft); margin: 6px 0 0; padding-left: 22px;
  max-width: 90ch; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr));
  gap: 22px; margin: 16px 0; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; }
figcaption { font-size: 13.5px; color: var(--soft); margin-top: 5px; }
.image { margin: 0 0 26px; }
.views { display: grid; gap: 8px; }
.views span { display: block; font-size: 13px; color: var(--soft); margin-bottom: 3px; }
.views img { width: auto; max-width: 100%; border-radius: 3px; background: var(--wash); }
details { margin: 14px 0; } summary { cursor: pointer; color: var(--accent); }
pre { background: var(--wash); padding: 14px 16px; border-radius: 4px; overflow-x: auto;
  font-size: 13px; line-height: 1.45; }
@media print { main { max-width: none; padding: 0; } nav { display: none; }
  h2, .image { break-inside: avoid; } }
"""


def to_html(page: Page) -> str:
    """One HTML file that needs nothing else: styles, drawings and images are inside."""
    named = [block for block in page.blocks if isinstance(block, Section) and block.name]
    links = "\n".join(f'<a href="#{_anchor(block)}">{_text(block.name)}</a>' for block in named)
    body = "\n".join(_HTML[type(block)](block) for block in page.blocks)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta '
        f'charset="utf-8">\n<title>{_text(page.title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n'
        f"<h1>{_text(page.title)}</h1>\n"
        f'<p class="lead">{_text(page.lead)}</p>\n<nav>{links}</nav>\n{body}\n'
        "</main>\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


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
    def cells(row: Sequence[str], tag: str) -> str:
        markup = ""
        for column, text in enumerate(row):
            kinds = ["n"] * (column in block.numeric) + ["absent"] * (
                text in ("–", "not measured here")
            )
            markup += f"<{tag}{_class(kinds)}>{_text(text)}</{tag}>"
        return markup

    rows = "\n".join(
        f"<tr{_class(['strong'] * (index in block.strong))}>{cells(row, 'td')}</tr>"
        for index, row in enumerate(block.rows)
    )
    caption = f"<caption>{_text(block.caption)}</caption>" if block.caption else ""
    notes = "".join(f"<li>{_text(note)}</li>" for note in block.notes)
    kinds = ["wide"] * block.wide
    return (
        f'<div class="scroll"><table{_class(kinds)}>{caption}'
        f"<thead><tr>{cells(block.head, 'th')}</tr></thead>\n"
        f"<tbody>{rows}</tbody></table></div>"
        + (f'<ol class="notes">{notes}</ol>' if notes else "")
    )


def _html_charts(block: Charts) -> str:
    markup = "".join(
        f'<figure><img src="{_uri(chart.svg, "image/svg+xml")}" alt="{_text(chart.caption)}">'
        f"<figcaption>{_text(chart.caption)}</figcaption></figure>"
        for chart in block.charts
    )
    return f'<div class="charts">{markup}</div>'


def _html_gallery(block: Gallery) -> str:
    markup = ""
    for image in block.images:
        views = "".join(
            f"<div><span>{_text(what)}</span>"
            f'<img src="{_uri(jpeg, "image/jpeg")}" alt="{_text(what)}" loading="lazy"></div>'
            for what, jpeg in image.views
        )
        grid = f"grid-template-columns:repeat({len(image.views)},minmax(0,1fr))"
        markup += (
            f'<figure class="image"><div class="views" style="{grid}">{views}</div>'
            f"<figcaption>{_text(image.caption)}</figcaption></figure>\n"
        )
    return markup


def _html_folded(block: Folded) -> str:
    return (
        f"<details><summary>{_text(block.title)}</summary><pre>{_text(block.text)}</pre></details>"
    )


_HTML = {
    Section: _html_section,
    Text: _html_text,
    Figures: _html_figures,
    Table: _html_table,
    Charts: _html_charts,
    Gallery: _html_gallery,
    Folded: _html_folded,
}


def to_markdown(page: Page) -> str:
    """The same report in Markdown; charts are linked as figures/<name>.svg, images stand in the
    HTML file only.
    """
    texts = [
        f"# {page.title}",
        page.lead,
        *(_MARKDOWN[type(block)](block) for block in page.blocks),
    ]
    return "\n\n".join(text for text in texts if text) + "\n"


def _markdown_table(block: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = line(["---:" if column in block.numeric else "---" for column in range(len(block.head))])
    rows = [
        [f"**{cell}**" if cell else "" for cell in row] if i in block.strong else row
        for i, row in enumerate(block.rows)
    ]
    table = "\n".join([line(block.head), rule, *map(line, rows)])
    notes = "\n".join(f"{number}. {note}" for number, note in enumerate(block.notes, 1))
    return "\n\n".join(text for text in (block.caption, table, notes) if text)


_MARKDOWN = {
    Section: lambda block: f"{'##' if block.name else '###'} {block.title}",
    Text: lambda block: f"> {block.text}" if block.tone else block.text,
    Figures: lambda block: "\n".join(
        f"- {what}: **{value}** {remark}".rstrip() for value, what, remark in block.items
    ),
    Table: _markdown_table,
    Charts: lambda block: "\n\n".join(
        f"![{chart.caption}](figures/{chart.name}.svg)" for chart in block.charts
    ),
    Gallery: lambda block: f"{len(block.images)} images: see index.html." if block.images else "",
    Folded: lambda block: f"```\n{block.text.rstrip()}\n```",
}
