"""The report: what it reads, what it says, and that its page needs nothing else."""

import json
import re
import shutil
from argparse import Namespace
from html.parser import HTMLParser

import cv2
import h5py
import numpy as np
import pytest

from stages import params
from stages.openpose.errors import InputError
from stages.openpose.evaluation.scoring import Matches
from stages.openpose.report import blocks, charts, inputs, page, published
from stages.openpose.report.inputs import Evaluation
from stages.openpose.report.webpage import to_html
from stages.report import report
from tests.openpose.samples.test_loader import write_packed

METRICS = {
    "AP": 0.5123,
    "AP50": 0.8,
    "AP75": 0.5,
    "APm": 0.4,
    "APl": None,
    "AR": 0.6,
    "AP_low": 0.48,
    "AP_high": 0.55,
}


def evaluation(model="trained", split="val", leaked=0, **more):
    metrics = {name: dict(METRICS) for name in inputs.INFERENCES}
    known = None if leaked is None else bool(leaked)
    metrics |= {
        "images": 3,
        "people": 4,
        "leaked_images": leaked,
        "contaminated": known,
        "protocol": "clean",
    }
    return Evaluation(model, split, {**metrics, "trained_on": "the packed files", **more})


def person(image_id, x, **more):
    keypoints = [value for k in range(17) for value in (x + 2 * k, 20 + 3 * k, 2)]
    return {"image_id": image_id, "category_id": 1, "keypoints": keypoints, **more}


def matches(found_in, hits, ids):
    """Detections in images `found_in`, best first, that hit people or not, one person an image."""
    ids, hit = np.array(ids), np.tile(np.array(hits, bool), (10, 1))
    return Matches(
        image_ids=ids,
        image=np.searchsorted(ids, found_in),
        scores=np.array([0.9, 0.7, 0.3, 0.2])[: len(hits)],
        hit=hit,
        counted=np.ones_like(hit),
        people=np.ones(len(ids), np.int64),
        thresholds=np.linspace(0.5, 0.95, 10),
        recalls=np.linspace(0, 1, 101),
    )


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def arguments(tmp_path):
    """A folder with what all stages leave behind, of a data set of three images."""
    data, results = tmp_path / "data", tmp_path / "results"
    folder_of_images = tmp_path / "images"
    folder_of_images.mkdir()
    for image_id in (1, 2, 3):
        cv2.imwrite(
            str(folder_of_images / f"{image_id}.jpg"),
            np.full((90, 120, 3), 60 * image_id, np.uint8),
        )
    write(data / "archives/val.folder", f"{folder_of_images}\n")
    people = [
        person(i, 10 * i, id=i, iscrowd=0, area=900, bbox=[10, 10, 60, 60], num_keypoints=17)
        for i in (1, 2, 3)
    ]
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 90, "width": 120} for i in (1, 2, 3)]
    categories = [{"id": 1, "name": "person"}]
    write(
        data / "annotations/val.json",
        {"images": images, "annotations": people, "categories": categories},
    )
    for shard, ids in enumerate(([1, 3], [2])):
        folder = results / f"detect/trained/val/{shard}"
        write(folder / "images.json", ids)
        people = [person(1, 12, score=0.9), person(2, 24, score=0.7), person(1, 60, score=0.3)]
        for name in inputs.INFERENCES:
            found = [one for one in people if one["image_id"] in ids]
            write(folder / f"{name}.json", found)
    for split in ("val", "val1k"):
        write(results / f"evaluate/trained/{split}.json", evaluation().metrics)
        tables = results / f"evaluate/trained/{split}"
        heads = [f"{name}_{oks}" for name in inputs.INFERENCES for oks in (50, 75)]
        write(tables / "pr.csv", f"recall,{','.join(heads)}\n0.0{',1.0' * 6}\n1.0{',0.2' * 6}\n")
        write(tables / "oks.csv", "oks_from,single,multi,multi_flip\n0.0,1,1,1\n0.5,2,2,2\n")
        write(
            tables / "worst.csv",
            "image_id,file_name,people,found,lost_oks\n3,3.jpg,1,0,1.0\n2,2.jpg,1,1,0.4\n",
        )
        np.savez(tables / "matches.npz", **vars(matches([1, 2, 1], [1, 1, 0], [1, 2, 3])))
    write(
        results / "train/log.csv",
        "epoch,samples,loss,val_loss,val_paf\n1,10,5.0,6.0,2.0\n2,20,4.0,5.0,1.5\n",
    )
    run = {"seconds": 125.0, "cpu_seconds": 240.0, "peak_memory_mb": 2100.0, "samples_per_s": 80.5}
    write(results / "runs/train.json", run)
    (tmp_path / "models/trained").mkdir(parents=True)
    write(tmp_path / "models/trained/model.yaml", "kind: keras\nfile: w.h5\n")
    with h5py.File(tmp_path / "models/trained/w.h5", "w") as file:
        file.update({"layers/a/0": np.zeros((3, 3, 4, 5)), "layers/a/1": np.zeros(5)})
    params.use("tiny", tmp_path / "params.yaml", ["report.gallery_images=3"])
    return Namespace(
        params=tmp_path / "params.yaml",
        results=results,
        data=data,
        models=tmp_path / "models",
        output=results / "report",
    )


class Links(HTMLParser):
    """Every address in a page, and every tag that was opened but not closed."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_needs_nothing_else_and_is_well_formed(arguments):
    report(arguments)
    text = (arguments.output / "index.html").read_text()
    page = Links(text)
    assert page.open == []
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not re.search(r"url\([^#]|@import|<script[^>]", text)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    anchors = {address[1:] for address in page.addresses if address.startswith("#")}
    assert anchors <= set(ids)
    assert set(re.findall(r'<h2 id="([^"]+)"', text)) <= anchors


def test_page_and_markdown_hold_figures_curves_and_images(arguments):
    facts = report(arguments)
    assert facts == {"evaluations": 2}
    text, markdown = (
        (arguments.output / "index.html").read_text(),
        (arguments.output / "report.md").read_text(),
    )
    for said in (
        "51.2 [48.0, 55.0]",
        "58.4",
        "58.9",
        "not measured here",
        "2 min 05 s",
        "samples_per_s 80.5",
        "Clean",
        "kind keras",
    ):
        assert said in text
        assert said in markdown
    assert "| parameters | 185 |" in markdown
    drawings = len(list((arguments.output / "figures").glob("*.svg")))
    assert text.count('class="chart"') == drawings == 6
    assert text.count("data:image/jpeg") == 3, "each image stands in the page once"
    assert re.findall(r"<span>(found by trained: \d)", text) == [
        "found by trained: 0",  # the worst image first
        "found by trained: 1",
        "found by trained: 2",
    ]
    assert all(
        (arguments.output / link).exists()
        for link in re.findall(r"\]\((figures/[^)]+)\)", markdown)
    )


def test_evaluations_of_former_settings_are_left_out_and_said(arguments, capsys):
    former = arguments.results / "evaluate/former"
    write(former / "val.json", evaluation().metrics)
    (former / "val").mkdir()
    np.savez(former / "val/matches.npz", **vars(matches([1], [1], [7, 8])))
    assert report(arguments) == {"evaluations": 2}, "val and val1k of trained"
    assert "former on val left out" in capsys.readouterr().out
    assert "former" not in (arguments.output / "report.md").read_text()


def test_same_results_give_the_same_report(arguments):
    report(arguments)
    first = {path.name: path.read_bytes() for path in arguments.output.rglob("*.*")}
    report(arguments)
    assert {path.name: path.read_bytes() for path in arguments.output.rglob("*.*")} == first


def test_sheets_of_images_for_dvc_plots_are_written(arguments):
    write_packed(arguments.data / "packed/train.h5", [1, 2], [(60, 80)] * 2)
    report(arguments)
    sheets = {path.name: cv2.imread(str(path)) for path in (arguments.output / "images").iterdir()}
    assert sorted(sheets) == ["labels.jpg", "people.jpg"]
    assert all(sheet.std() > 10 for sheet in sheets.values())


def test_a_larger_set_without_annotations_changes_no_image(arguments):
    report(arguments)
    before = (arguments.output / "index.html").read_text()
    write(arguments.results / "detect/trained/test-dev/0/images.json", list(range(100, 200)))
    report(arguments)
    assert (arguments.output / "index.html").read_text() == before


@pytest.mark.parametrize(
    "missing",
    [
        "results/evaluate",
        "results/detect",
        "results/train",
        "results/runs",
        "data",
        "data/archives",
        "results",
    ],
)
def test_what_is_missing_is_left_out(arguments, missing):
    shutil.rmtree(arguments.results.parent / missing)
    report(arguments)
    Links((arguments.output / "index.html").read_text())
    nothing = "Nothing has been evaluated" in (arguments.output / "report.md").read_text()
    assert nothing == (missing in ("results/evaluate", "results"))


def test_detections_that_are_not_those_evaluated_are_refused(arguments):
    folder = arguments.results / "detect/trained/val/1"
    write(folder / "multi.json", [person(2, 24, score=0.8)])
    with pytest.raises(InputError, match="image 2 has other detections than those"):
        report(arguments)


def test_damaged_metrics_are_named(arguments):
    (arguments.results / "evaluate/trained/val.json").write_text("{")
    with pytest.raises(InputError, match=r"trained/val\.json: expected JSON"):
        report(arguments)
    assert not arguments.output.exists()


def test_leaked_images_are_said_first_and_counted():
    box = page.verdict([evaluation(), evaluation(split="val1k", leaked=7)])
    assert (box.tone, "trained on val1k: 7 of its images" in box.text) == ("bad", True)
    assert page.verdict([evaluation()]).tone == "good"
    assert page.verdict([evaluation(), evaluation("other", leaked=None)]).tone == "unknown"
    table = page.audit([evaluation(leaked=7), evaluation("other", leaked=None)])
    assert [row[-2:] for row in table.rows] == [["7", "contaminated"], ["not known", "not known"]]


def test_published_rows_stand_as_in_the_facts():
    known = {(row.val1k, row.val) for row in published.ROWS}
    assert known == {
        (58.4, None),
        (56.3, 58.9),
        (58.9, 59.0),
        (48.6, None),
        (57.0, None),
        (42.8, None),
    }
    reference = next(row for row in published.ROWS if row.model == "reference")
    assert "58.2" in reference.notes[0]


def test_model_with_a_published_row_is_measured_in_that_row_and_others_get_their_own():
    several = [
        evaluation(),
        evaluation(split="val1k"),
        evaluation("openpose", leaked=None),
        evaluation("mine"),
    ]
    table = page.comparison("coco2014", several)[0]
    rows = {row[0]: row for row in table.rows}
    assert rows["OpenPose model, converted to Keras"][1:] == [
        "56.3", "not measured here", "58.9", "51.2 [48.0, 55.0]", "clean", "not known",
    ]  # fmt: skip
    assert rows["this run"][1:] == [
        "–",
        "51.2 [48.0, 55.0]",
        "–",
        "51.2 [48.0, 55.0]",
        "clean",
        "0",
    ]
    assert rows["mine"][2] == "not measured here"
    unmeasured = {row[0]: row for row in page.comparison("coco2014", [evaluation("mine")])[0].rows}
    assert unmeasured["this run"][1:] == [
        "–",
        "not measured here",
        "–",
        "not measured here",
        "",
        "",
    ]
    assert [table.rows[index][0] for index in table.strong] == ["this run"]
    assert rows["keras-openpose-reproduce (the reference) (1) (2)"][1] == "58.9"


def test_other_data_than_coco_2014_is_not_to_be_compared():
    blocks = page.comparison("sample", [evaluation()])
    assert "must not be compared" in blocks[0].text
    assert len(page.comparison("coco2014", [evaluation()])) == 1


def test_two_models_are_compared_image_by_image(tmp_path):
    for model, hits in (("trained", [1, 1, 1, 1]), ("other", [0, 0, 0, 0])):
        write(tmp_path / model / "val.json", evaluation(model).metrics)
        (tmp_path / model / "val").mkdir()
        kept = matches(range(4), hits, range(4))
        np.savez(tmp_path / model / "val" / "matches.npz", **vars(kept))
    evaluations = inputs.read_evaluations(tmp_path, "trained")
    table = page.differences(evaluations, 50, 1)[0]
    assert table.rows == [["val", "this run", "other", "+100.0", "100.0, 100.0"]]
    alone = [evaluation(), evaluation("other")]
    assert page.differences(alone, 50, 1) == [], "nothing was kept image by image"


def test_text_of_others_cannot_become_markup():
    page = blocks.Page("<b>", "a & b", [blocks.Table(["<i>"], [["<script>x</script>"]])])
    text = to_html(page)
    assert "<script>x" not in text
    assert "&lt;script&gt;" in text


def test_names_of_images_and_of_models_cannot_become_markup(arguments):
    name = "<img src=x onerror=alert(1)>.jpg"
    content = json.loads((arguments.data / "annotations/val.json").read_text())
    for image in content["images"]:
        (arguments.data.parent / "images" / image["file_name"]).rename(
            arguments.data.parent / "images" / f"{image['id']}{name}"
        )
        image["file_name"] = f"{image['id']}{name}"
    write(arguments.data / "annotations/val.json", content)
    report(arguments)
    text = (arguments.output / "index.html").read_text()
    assert "onerror" in text, "the gallery names its images"
    assert not re.search(r"<img[^>]*onerror", text)
    Links(text)


def test_evaluations_come_in_reading_order(tmp_path):
    for name in ("b/val", "b/val1k", "trained/val", "a/val"):
        write(tmp_path / f"{name}.json", {})
    names = [
        (evaluation.model, evaluation.split)
        for evaluation in inputs.read_evaluations(tmp_path, "trained")
    ]
    assert names == [("trained", "val"), ("a", "val"), ("b", "val1k"), ("b", "val")]


def test_runs_come_in_the_order_of_the_pipeline_without_the_report(tmp_path):
    for name in (
        "train",
        "report",
        "detect@trained-val-0",
        "masks@train-0",
        "other",
        "sample@tiny",
    ):
        write(tmp_path / f"{name}.json", {"seconds": 1})
    names = [run.name for run in inputs.read_runs(tmp_path)]
    assert names == ["sample@tiny", "masks@train-0", "train", "detect@trained-val-0", "other"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (7260, "2 h 01 min")],
)
def test_duration_is_said_as_people_say_it(seconds, said):
    assert inputs.duration(seconds) == said


def test_charts_of_unfinished_tables_are_drawn_or_left_out():
    assert charts.loss_charts([]) == []
    log = [
        {"epoch": "1", "loss": "2.0", "val_loss": ""},
        {"epoch": "2", "loss": "1.0", "val_loss": ""},
    ]
    assert [chart.name for chart in charts.loss_charts(log)] == ["loss"]
    assert charts.precision_chart(evaluation()) == []
    groups = [
        {"inference": "multi", "group": "people 2-3", "AP": ""},
        {"inference": "multi", "group": "all", "AP": "0.5"},
    ]
    chart = charts.group_chart(Evaluation("m", "val", {"multi": METRICS}, {"groups": groups}))[0]
    assert b"2 to 3 people" in chart.svg
