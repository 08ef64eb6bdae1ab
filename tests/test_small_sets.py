"""Sets of few images and people: each goes from inspect_data to a page that says what it can."""

import csv
import json
import re

import pytest

from tests import tiny_coco, whole_run

pytestmark = pytest.mark.slow
HW = (64, 80)


def images(*ids):
    return [tiny_coco.image(number, HW) for number in ids]


def people(*ids, **changes):
    """One person in each of the images `ids`."""
    return [tiny_coco.person(number, number, (10, 8, 50, 50), **changes) for number in ids]


NO_PEOPLE = "No people with labelled keypoints in val: AP cannot be stated."
ONE_IMAGE = "Fewer than 2 images of val show people"
SETS = {
    "one image of one person": (
        (images(1), people(1)), (images(50), people(50)), {}, 0.0, ONE_IMAGE),
    "fewer samples than a batch, some held out; val of two images and one person": (
        (images(1, 2, 3), people(1, 2, 3)), (images(50, 51), people(51)),
        {"pack": {"holdout_images": 1}}, 0.0, ONE_IMAGE),
    "nobody in val, or without keypoints; nobody in the held-out image": (
        (images(1, 2, 3), people(1, 2)), (images(50, 51), people(50, labelled=0)),
        {"pack": {"holdout_images": 1}}, None, NO_PEOPLE),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_small_set_ends_in_a_page_that_says_what_it_can(name, tmp_path, monkeypatch, capfd):
    train, val, changes, ap, told = SETS[name]
    for source, content in (("train", train), ("val", val)):
        tiny_coco.write_dataset(tmp_path / "data", *content, source)
    whole_run.write_params(tmp_path / "params.yaml", **changes)
    whole_run.up_to_pack(tmp_path, monkeypatch)
    whole_run.train_network(tmp_path, monkeypatch)
    assert whole_run.to_report(tmp_path, monkeypatch)["multi"]["AP"] == ap
    printed = capfd.readouterr().out
    assert "shortened to 0" in printed
    assert ("AP cannot be stated" in printed) == (ap is None)
    page = (tmp_path / "results/report/report.md").read_text().partition("```")[0]
    assert told in page
    assert not re.search(r"\b[nN]a[nN]\b|\bNone\b|undefined", page + printed)
    html = (tmp_path / "results/report/index.html").read_text()
    assert not re.search(r">\s*[+-]?nan\b|>None<", html, re.IGNORECASE)
    rates = [float(row["learning_rate"]) for row in csv.DictReader(
        (tmp_path / "results/train/log.csv").open())]  # fmt: skip
    assert rates[-1] > 0
    runs = json.loads((tmp_path / "results/runs/train.json").read_text())
    assert runs["warm_up_samples"] == 0
