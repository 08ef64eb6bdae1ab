"""The page in a real browser: every control does what it says, nothing is cut, no error."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from stages.openpose.report.webpage import to_html
from tests.browser import Browser, installed
from tests.openpose.report import explored

pytestmark = pytest.mark.slow
READ = """{
  names: [...document.querySelectorAll('.image:not([hidden]) figcaption')]
    .map(caption => caption.firstChild.textContent),
  told: document.querySelector('.thresholds output').textContent,
  counts: [...document.querySelectorAll('.counts')].map(one => one.textContent),
  status: document.querySelector('[role=status]').textContent,
  seen: [...document.querySelectorAll('.person')]
    .filter(one => one.getClientRects().length).map(one => one.dataset.score || 'labelled'),
  side: document.querySelector('.explored').classList.contains('beside'),
}"""
CHOOSE = """(name, value) => {
  const control = document.querySelector(`[name=${name}]`);
  control.value = value;
  control.dispatchEvent(new Event('change', {bubbles: true}));
}"""


def axe_core() -> Path:
    """The file axe.min.js that AXE_CORE names, else that of the package axe-core-python."""
    package = find_spec("axe_core_python")
    packed = Path(package.origin).with_name("axe.min.js") if package else ""
    return Path(os.environ.get("AXE_CORE", packed))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    command = installed()
    if not command:
        pytest.skip("no chromium (Debian: apt install chromium)")
    with Browser(command, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(to_html(explored.page()), encoding="utf-8")
    return path


def choose(browser, name, value):
    browser.run(f"({CHOOSE})('{name}', '{value}')")
    return browser.run(f"({READ})")


def test_images_are_sorted_and_filtered(browser, page):
    browser.open(page)
    assert browser.run(f"({READ})")["names"] == ["two.jpg", "one.jpg", "<i>nobody</i>.jpg"]
    assert choose(browser, "sort", "lost 1")["names"][0] == "one.jpg"
    assert choose(browser, "sort", "people -1")["names"][0] == "two.jpg"
    assert choose(browser, "sort", "size 1")["names"] == ["<i>nobody</i>.jpg", "one.jpg", "two.jpg"]
    assert choose(browser, "sort", "missed -1")["names"][0] == "two.jpg"
    shown = choose(browser, "show", "wrong > 0")
    assert set(shown["names"]) == {"two.jpg", "<i>nobody</i>.jpg"}
    assert shown["status"] == "2 of 3 images"
    assert choose(browser, "show", "people = 1")["names"] == ["one.jpg"]
    assert len(choose(browser, "show", "")["names"]) == 3
    assert browser.errors == []


def test_the_threshold_redraws_people_and_tells_precision_and_recall(browser, page):
    browser.open(page)
    first = browser.run(f"({READ})")
    assert "precision 50.0 %, recall 66.7 % (2 of 3 people found, 2 false" in first["told"]
    assert first["counts"][0].endswith("1 right, 1 false, 1 missed")
    browser.run("document.querySelector('.thresholds input').focus()")
    for _ in range(3):
        browser.press("ArrowRight")
    cut = browser.run(f"({READ})")
    assert cut["told"].startswith("0.70: precision 100.0 %, recall 66.7 %")
    assert sorted(cut["seen"]) == ["0.70000", "0.90000", *["labelled"] * 3]
    assert cut["counts"][0].endswith("1 right, 0 false, 1 missed")
    assert browser.run("document.querySelector('.thresholds input').ariaValueText") == cut["told"]
    assert choose(browser, "show", "wrong > 0")["names"] == []
    marked = browser.run("document.querySelector('.chosen').getBoundingClientRect().x")
    browser.run("document.querySelector('.thresholds input').focus()")
    browser.press("ArrowRight")
    assert browser.run("document.querySelector('.chosen').getBoundingClientRect().x") > marked
    assert browser.errors == []


def test_layers_are_switched_by_keyboard_and_stand_side_by_side(browser, page):
    browser.open(page)
    overlaid = browser.run(
        "[...document.querySelector('.image').querySelectorAll('.view')]"
        ".map(one => one.getBoundingClientRect().x)"
    )
    assert overlaid[0] == overlaid[1]
    for layer, left in (("labelled", 4), ("found", 0)):
        browser.run(f"document.querySelector('[name=layer][value^={layer}]').focus()")
        browser.press("Space")
        assert len(browser.run(f"({READ})")["seen"]) == left
        assert browser.run("document.querySelector('.image .photo image').checkVisibility()"), (
            "the photograph stays"
        )
    maps = "[...document.querySelectorAll('.map image')].filter(one => one.getClientRects().length)"
    assert browser.run(f"{maps}.length") == 0, "maps are seen only when switched on"
    browser.run("document.querySelector('[name=layer][value=heatmaps]').focus()")
    browser.press("Space")
    assert browser.run(f"{maps}.length") == 3
    browser.open(page)
    browser.run("document.querySelector('[name=beside]').focus()")
    browser.press("Space")
    beside = browser.run(
        "[...document.querySelector('.image').querySelectorAll('.view')]"
        ".map(one => one.getBoundingClientRect().x)"
    )
    assert beside[1] > beside[0] + 100
    assert browser.errors == []


def test_charts_are_read_by_pointer_and_by_keyboard(browser, page):
    browser.open(page)
    browser.run("document.querySelector('.plot').scrollIntoView()")
    x, y = browser.run(
        "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
        "(document.querySelector('.plot').getBoundingClientRect())"
    )
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    told = browser.run("document.querySelector('.readout').textContent")
    assert told.startswith("score threshold 0.5")
    assert "precision: 0.6667" in told
    browser.run("document.querySelector('.plot').focus()")
    browser.press("End")
    assert "score threshold 0.9" in browser.run("document.querySelector('.plot').ariaValueText")
    assert browser.run("document.querySelectorAll('.hair').length") == 1
    assert browser.errors == []


@pytest.mark.parametrize(("width_px", "dark"), [(400, True), (900, False), (1280, False)])
def test_nothing_lies_behind_an_edge_and_nothing_is_fetched(browser, page, width_px, dark):
    browser.open(page, width_px, dark)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    beyond = "[...document.querySelectorAll('main *')].filter(one => one.getClientRects().length"
    beyond += " && !one.closest('svg') && (one.getBoundingClientRect().right > innerWidth + 1"
    beyond += " || one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX"
    beyond += " !== 'visible')).map(one => one.outerHTML.slice(0, 80))"
    assert browser.run(beyond) == []
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 120) == dark
    assert browser.errors == []


def test_without_script_all_people_are_seen_side_by_side(browser, page):
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page)
    seen, controls = (
        browser.run(f"[...document.querySelectorAll('{what}')]"
                    ".filter(one => one.getClientRects().length).length")
        for what in (".person", "form, .map")
    )  # fmt: skip
    browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    assert (seen, controls) == (7, 0)


@pytest.mark.skipif(
    not axe_core().is_file(),
    reason="no axe.min.js (envs/requirements-extras.lock, or name the file in AXE_CORE)",
)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_violation(browser, page, dark):
    browser.open(page, 1280, dark)
    browser.run(axe_core().read_text(encoding="utf-8") + "; 0")
    found = browser.run("axe.run().then(({violations}) => violations.map(one => "
                        "[one.id, one.impact, one.nodes.map(node => node.html)]))")  # fmt: skip
    assert found == []
