"""What the page says and holds without its script."""

import html
import json
import re

from stages.openpose.report import webpage
from stages.openpose.report.blocks import Chart, Charts, Page
from stages.openpose.report.webpage import to_html
from tests.openpose.report import explored


def test_without_the_script_all_images_stand_there_and_no_control_does():
    text = to_html(explored.page())
    assert text.count('<figure class="image"') == 3
    assert len(re.findall(r'<g class="person', text)) == 7, "3 labelled and 4 found people"
    assert all(" hidden" in form for form in re.findall(r"<form[^>]*>", text))
    assert "<noscript" not in text


def test_an_image_stands_in_the_page_once_and_each_layer_refers_to_it():
    text = to_html(explored.page())
    photos = re.findall(r'<image id="([^"]+)"', text)
    assert len(set(photos)) == len(photos) == 3
    assert set(re.findall(r'<use href="#([^"]+)"', text)) == set(photos)


def test_names_of_others_stay_text_everywhere():
    text = to_html(explored.page())
    assert "<b>" not in text
    assert "<i>nobody" not in text
    assert "&lt;i&gt;nobody&lt;/i&gt;.jpg" in text


def test_each_control_has_a_value_for_every_fact_that_the_script_makes_or_the_images_have():
    made_by_the_script = {"wrong", "missed"}
    facts = set().union(*(image.facts for image in explored.gallery().images)) | made_by_the_script
    words = [name.split(" ")[0] for name in [*webpage.SORTS, *webpage.FILTERS] if name]
    assert set(words) == facts


def test_the_slider_holds_the_curve_of_the_whole_split():
    text = to_html(explored.page())
    curve = json.loads(html.unescape(re.search(r'data-curve="([^"]+)"', text)[1]))
    # each threshold is a score that occurs, and is reached by the detection that has it
    assert curve == [[0.0, 2, 2], [0.3, 2, 2], [0.5, 2, 1], [0.7, 2, 0], [0.9, 1, 0]]
    assert re.search(r'data-people="3"', text)


def test_a_drawing_takes_the_colours_of_the_page_and_keeps_no_size_and_no_name():
    svg = b'<?xml version="1.0"?><svg width="9pt" viewBox="0 0 9 9"><g id="figure_1"/>'
    svg += b'<text style="fill: #1d2730">x</text></svg>'
    text = to_html(Page("t", "l", [Charts([Chart("n", svg, "caption")])]))
    assert '<svg viewBox="0 0 9 9"><g/><text style="fill: var(--ink)">' in text


def test_every_colour_of_the_drawings_is_known_to_the_styles_in_light_and_dark():
    style = webpage.STYLE.read_text()
    for name in webpage.THEMED.values():
        assert len(re.findall(rf"--{name}:", style)) == 2, name


def test_the_script_fetches_nothing_and_makes_no_markup_of_data():
    script = webpage.SCRIPT.read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|eval\(|fetch\(|import\b|https?:", script
    )
    assert "</" not in script, "would end the script inside the page"
