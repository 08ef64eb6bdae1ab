"""A report as Markdown."""

from collections.abc import Callable, Sequence
from typing import Any

from stages.openpose.report.blocks import (
    Charts,
    Figures,
    Folded,
    Gallery,
    Page,
    Section,
    Table,
    Text,
)


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


_MARKDOWN: dict[type, Callable[[Any], str]] = {
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
