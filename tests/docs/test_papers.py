"""What the documentation names is there: pages, headings, modules, presets, parameters, targets of
make.
"""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# experiments and the changelog tell what was done once, by the names of that time
CURRENT = [
    page for page in PAGES if page.parent.name != "experiments" and page.name != "CHANGELOG.md"
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`[^`\n]+`")
# what follows a dot is no key of params.yaml but the end of a file's name
ENDINGS = {"csv", "h5", "html", "json", "jpg", "md", "py", "smk", "yaml", "zip"}


def ids(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_of(page: Path) -> str:
    """Commands and names: the fenced blocks and the spans of code of a page."""
    text = text_of(page)
    return "\n".join([*FENCE.findall(text), *SPAN.findall(FENCE.sub("", text))])


def anchors(page: Path) -> set[str]:
    """Addresses of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(pattern: str, page: Path) -> set[str]:
    return set(re.findall(pattern, code_of(page)))


def test_the_readme_has_at_most_900_words():
    assert len(text_of(ROOT / "README.md").split()) <= 900


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    broken = []
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_of_docs_is_in_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(text_of(index))}
    pages = set((ROOT / "docs").glob("*.md")) - {index}
    assert pages <= linked, f"docs/README.md lacks {sorted(page.name for page in pages - linked)}"


@pytest.mark.parametrize("page", CURRENT, ids=ids(CURRENT))
def test_every_module_that_is_run_by_name_exists(page):
    modules = named(r"python -m ((?:stages|benchmarks)\.[\w.]*\w)", page)
    made_there = {"stages.count"} if page.name == "adding-a-stage.md" else set()
    missing = {
        name
        for name in modules - made_there
        if not any(
            (ROOT / (name.replace(".", "/") + ending)).is_file()
            for ending in (".py", "/__main__.py")
        )
    }
    assert not missing


@pytest.mark.parametrize("page", CURRENT, ids=ids(CURRENT))
def test_every_preset_and_target_of_make_that_is_named_exists(page):
    presets = {path.stem for path in (ROOT / "workflow" / "presets").glob("*.yaml")}
    targets = set(
        re.findall(r"^([\w-]+):", text_of(ROOT / "Makefile").replace("(", ""), re.MULTILINE)
    )
    assert named(r"stages\.params use (\w+)", page) <= presets
    assert named(r"(?:^|`|&& )make ([\w-]+)", page) <= targets


@pytest.mark.parametrize("page", CURRENT, ids=ids(CURRENT))
def test_every_parameter_that_is_named_exists(page):
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    sections = "|".join(set(settings) - {"models"})
    keys = set(re.findall(rf"(?<![\w./-])({sections})\.([a-z]\w*)(?![\w(/])", code_of(page)))
    unknown = {
        f"{section}.{key}"
        for section, key in keys
        if key not in settings[section] and key not in ENDINGS
    }
    assert not unknown


@pytest.mark.parametrize("page", CURRENT, ids=ids(CURRENT))
def test_every_file_of_the_project_that_is_named_exists(page):
    folders = r"(?:stages|workflow|tests|benchmarks|envs|docs)"
    made_there = (
        {"stages/count.py", "tests/test_count.py"} if page.name == "adding-a-stage.md" else set()
    )
    files = named(rf"(?<![\w/.-])({folders}/[\w./-]*\w\.\w+)", page) - made_there
    missing = {name for name in files if not (ROOT / name).is_file()}
    assert not missing


def test_citation_and_changelog_tell_the_version_of_the_project():
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]
    citation = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", version)
    assert {"title", "message", "authors", "license"} <= set(citation)
    papers = [paper["identifiers"][0]["value"] for paper in citation["references"]]
    assert papers == ["arXiv:1611.08050", "arXiv:1812.08008"]
    releases = re.findall(r"^## \[([^\]]+)\]", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert releases[:2] == ["Unreleased", version]


def messages() -> list[str]:
    """Pieces of text between the gaps of all strings in the code, the Makefile, the Snakefile."""
    files = [*(ROOT / "stages").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(text_of(file))))
    strings = [str(node.value) for node in nodes if isinstance(node, ast.Constant)]
    whole = [text_of(ROOT / name) for name in ("Makefile", "workflow/Snakefile")]
    return [text.replace("`", "") for text in [*strings, *whole]]


def test_every_message_that_troubleshooting_quotes_is_one_of_the_code():
    rows = re.findall(r"^\| (.+?) \|", text_of(ROOT / "docs" / "troubleshooting.md"), re.MULTILINE)
    quoted = [
        piece.strip()
        for row in rows
        for span in re.findall(r"`([^`]+)`", row)
        for piece in span.split("...")
    ]
    said = messages()
    unknown = [
        piece for piece in quoted if " " in piece and not any(piece in text for text in said)
    ]
    assert not unknown
