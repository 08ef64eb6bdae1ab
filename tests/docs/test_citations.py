"""Whoever cites `docs/sources.md` by section, or another page of docs/, cites something that is
there.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("stages", "workflow", "tests", "benchmarks", "docs")
SUFFIXES = {".py", ".smk", ".yaml", ".md", ".csv", ".json", ".txt", ".sh"}
# `docs/sources.md 9.11`, `docs/sources.md section 4, 9.7 and 9.8`; the end of a line may stand in
# between
NUMBER = r"\d+(?:\.\d+)?"
GAP = r"[\s#`*]+"
CITATION = re.compile(
    rf"docs/sources\.md{GAP}(?:sections?{GAP})?({NUMBER}(?:(?:,|,?{GAP}and){GAP}{NUMBER})*)(?![\w%])"
)
PAGE = re.compile(r"docs/[\w./-]+\.md")
OLD_NAME = re.compile(r"\bFACTS\b")


def texts() -> Iterator[tuple[Path, str]]:
    """Every text of the project that may cite, but for this file; with its path from the root."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path != Path(__file__).resolve():
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def items(page: str) -> set[str]:
    """Sections and numbered items of a page: `9` for the heading `## 9. …`, `9.11` for item 11
    below it.
    """
    found, section = set(), ""
    for line in page.splitlines():
        if heading := re.match(r"## (\d+)\. ", line):
            section = heading[1]
            found.add(section)
        elif item := re.match(r"(\d+)\. ", line):
            found.add(f"{section}.{item[1]}")
    return found


def citations(text: str) -> list[str]:
    """The sections and items of docs/sources.md that a text names."""
    return [number for match in CITATION.finditer(text) for number in re.findall(NUMBER, match[1])]


SOURCES = items((ROOT / "docs" / "sources.md").read_text(encoding="utf-8"))


def test_the_sources_have_ten_sections_and_eleven_defects():
    assert {str(section) for section in range(1, 11)} <= SOURCES
    assert {f"9.{item}" for item in range(1, 12)} <= SOURCES
    assert not {"0", "9.0", "9.99"} & SOURCES


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("(docs/sources.md 9.11)", ["9.11"]),
        ("docs/sources.md section 4, 9.7 and 9.8.", ["4", "9.7", "9.8"]),
        ("docs/sources.md sections 4 and 8: the file", ["4", "8"]),
        ("see docs/sources.md\n    # section 12", ["12"]),
        ("`docs/sources.md` 3", ["3"]),
        ("docs/sources.md, with 5 exceptions", []),
    ],
)
def test_citations_are_recognised_as_they_are_written(text, cited):
    assert citations(text) == cited


def test_every_cited_section_of_the_sources_exists():
    dangling = [
        f"{path}: {number}"
        for path, text in texts()
        for number in citations(text)
        if number not in SOURCES
    ]
    assert not dangling, f"docs/sources.md has no such section or item: {dangling}"


def test_every_page_of_docs_that_is_named_exists():
    missing = {
        f"{path}: {page}"
        for path, text in texts()
        for page in PAGE.findall(text)
        if not (ROOT / page).is_file()
    }
    assert not missing, f"no such page: {sorted(missing)}"


def test_nothing_is_cited_by_the_old_name_of_the_sources():
    places = [str(path) for path, text in texts() if OLD_NAME.search(text)]
    assert not places, f"cite docs/sources.md instead: {places}"


def test_every_test_that_the_docs_name_exists():
    named = {
        name
        for page in (ROOT / "docs").rglob("*.md")
        for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
    }
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert len(named) > 40
    assert named <= set(re.findall(r"def (test_\w+)\(", code))
