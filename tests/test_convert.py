"""Exports of annotation tools become the same keypoints, or one line that says why not."""

import io
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stages import convert, inspect_data
from stages.openpose.convert.sources import READERS
from stages.openpose.fetch.sources import parse_sources
from stages.openpose.skeleton import COCO
from tests import export_forms as forms
from tests.test_detect import run, write_params
from tests.tiny_coco import jpeg

WRITERS = {
    "cvat": forms.write_cvat,
    "coco": forms.write_coco,
    "label-studio": forms.write_label_studio,
    "labelme": forms.write_labelme,
    "yolo-pose": forms.write_yolo,
    "deeplabcut": forms.write_deeplabcut,
}
WITH_EDGES = {"cvat", "coco", "deeplabcut"}  # the others have no place for them
OPTIONS = {
    "label-studio": ("--keypoints", *forms.MOUSE["keypoints"]),
    "labelme": ("--keypoints", *forms.MOUSE["keypoints"]),
    "deeplabcut": ("--category", "mouse"),
}
NAMES = (
    st.text("abcXYZ019_- é", min_size=1, max_size=8).map(lambda text: text.strip(" -")).filter(bool)
)
JUNK = [None, "", "x", -1, 0, 1e300, True, [], {}, [None], {"x": None}, "../../x.jpg", "nan"]
LABELS_ONLY = {"deeplabcut"}  # no boxes, no hidden points, no frames without labels


def converted(monkeypatch, form, source, output, *options):
    """Run the command; the annotations of its one file."""
    run(monkeypatch, convert.main, form, source, "--output", output, *options)
    return json.loads((output / "annotations/person_keypoints.json").read_text())


def refused(monkeypatch, form, source, output, *options):
    """The one line that the command ends with; nothing may have been written."""
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, convert.main, form, source, "--output", output, *options)
    line = str(ended.value.code)
    assert line.startswith("error: ")
    assert "\n" not in line
    assert not output.exists()
    return line


def by_name(content):
    """{(image, i-th person): ({keypoint: (x, y, v)}, box, category)} with image names made flat."""
    bodies = {one["id"]: one for one in content["categories"]}
    found = {}
    for image in content["images"]:
        for i, one in enumerate(forms.people_of(content, image)):
            body = bodies[one["category_id"]]
            points = {name: (x, y, v) for name, x, y, v in forms.points_of(content, one) if v}
            name = re.sub("^(train|default|labeled-data/video)/", "", image["file_name"])
            key = name.replace("/", "_"), i
            found[key] = points, one.get("bbox"), body["name"]
    return found


def assert_same_people(content, truth, form):
    """The converted annotations say of every person what the form can say of the truth."""
    found, expected = by_name(content), by_name(truth)
    if form in LABELS_ONLY:
        expected = {key: value for key, value in expected.items() if value[0]}
    assert sorted(found) == sorted(expected)
    for key, (points, box, category) in expected.items():
        own_points, own_box, own_category = found[key]
        assert set(own_points) == set(points)
        for name, (x, y, v) in points.items():
            assert own_points[name][:2] == pytest.approx((x, y), abs=6e-3)
            assert own_points[name][2] == (2 if form in LABELS_ONLY else v)
        if form not in LABELS_ONLY:
            assert own_box == pytest.approx(box, abs=1.1e-2)
        assert own_category == category


@pytest.mark.parametrize("form", WRITERS)
def test_keypoints_come_back_from_every_form(form, tmp_path, monkeypatch, capsys):
    truth = forms.two_mice()
    source = WRITERS[form](truth, tmp_path / "export")
    content = converted(monkeypatch, form, source, tmp_path / "out", *OPTIONS.get(form, ()))
    assert_same_people(content, truth, form)
    category = content["categories"][0]
    assert category["keypoints"] == forms.MOUSE["keypoints"]
    assert category["skeleton"] == (forms.MOUSE["skeleton"] if form in WITH_EDGES else [])
    for image in content["images"]:
        pixels = cv2.imread(str(tmp_path / "out/images" / image["file_name"]))
        assert pixels.shape[:2] == (image["height"], image["width"])
    assert "3 people, 11 keypoints" in capsys.readouterr().out
    assert {one["num_keypoints"] for one in content["annotations"]} == {3, 4}


@pytest.mark.parametrize("form", sorted(set(WRITERS) - {"label-studio"}))
def test_a_zip_of_an_export_is_read_as_its_folder_is(form, tmp_path, monkeypatch):
    source = WRITERS[form](forms.two_mice(), tmp_path / "export")
    packed = Path(shutil.make_archive(str(tmp_path / "export"), "zip", source))
    options = OPTIONS.get(form, ())
    from_folder = converted(monkeypatch, form, source, tmp_path / "one", *options)
    assert converted(monkeypatch, form, packed, tmp_path / "two", *options) == from_folder
    for image in from_folder["images"]:
        place = Path("images") / image["file_name"]
        assert (tmp_path / "one" / place).read_bytes() == (tmp_path / "two" / place).read_bytes()


@st.composite
def truths(draw):
    """Annotations of up to three images with up to three people of up to five keypoints."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=str.casefold))
    pairs = st.lists(st.integers(1, len(names)), min_size=2, max_size=2, unique=True)
    edges = draw(st.lists(pairs, max_size=4, unique_by=tuple)) if len(names) > 1 else []
    images, people = [], []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        width, height = draw(st.integers(20, 90)), draw(st.integers(20, 90))
        name = f"sub {number % 2}/{number}.jpg"
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for _ in range(draw(st.integers(0 if number > 1 else 1, 3))):
            seen = draw(st.lists(st.integers(0, 2), min_size=len(names), max_size=len(names)))
            seen[0] = seen[0] or 2
            points = [draw(st.integers(1, side - 1)) / 1 for side in (width, height)] * len(names)
            values = [w for i, v in enumerate(seen) for w in [*points[2 * i : 2 * i + 2], v]]
            values = [w if values[3 * (i // 3) + 2] else 0 for i, w in enumerate(values)]
            box = [1, 2, width - 3, height - 4]
            people.append(forms.annotation(len(people) + 1, number, values, box))
    category = {"id": 1, "name": "person", "keypoints": names, "skeleton": edges}
    return {"images": images, "annotations": people, "categories": [category]}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(truth=truths())
@pytest.mark.parametrize("form", WRITERS)
def test_any_body_comes_back_from_every_form(form, truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp(form)
    names = truth["categories"][0]["keypoints"]
    with pytest.MonkeyPatch.context() as patch:
        source = WRITERS[form](truth, folder / "export")
        options = ("--keypoints", *names) if form in ("labelme", "label-studio") else ()
        content = converted(patch, form, source, folder / "out", *options)
    assert_same_people(content, truth, form)
    category = content["categories"][0]
    assert category["keypoints"] == names
    if form in WITH_EDGES:
        assert category["skeleton"] == truth["categories"][0]["skeleton"]


def leaves(value, path=()):
    """Paths of all values of a JSON that hold no others."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, inner in items for leaf in leaves(inner, (*path, key))]
    return [path]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("form", ["coco", "label-studio", "labelme"])
def test_a_disturbed_field_is_read_or_refused_in_one_line(form, data, tmp_path_factory):
    """Whatever one value of a JSON is exchanged for, nothing ends in a traceback."""
    folder = tmp_path_factory.mktemp(form)
    source = WRITERS[form](forms.two_mice(), folder / "export")
    file = sorted((folder / "export").rglob("*.json"))[0]
    content = json.loads(file.read_text())
    path = data.draw(st.sampled_from(leaves(content)))
    cut = data.draw(st.integers(1, len(path)))  # the value itself, or one that holds it
    inner = content
    for key in path[: cut - 1]:
        inner = inner[key]
    inner[path[cut - 1]] = data.draw(st.sampled_from(JUNK))
    file.write_text(json.dumps(content))
    with pytest.MonkeyPatch.context() as patch:
        ended = None
        try:
            converted(patch, form, source, folder / "out")
        except SystemExit as stopped:
            ended = stopped.code
    assert ended is None or re.fullmatch(r"error: .+", ended)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize(
    ("form", "pattern"),
    [("cvat", "*.xml"), ("yolo-pose", "*.yaml"), ("yolo-pose", "*.txt"), ("deeplabcut", "*.csv")],
)
def test_a_disturbed_word_is_read_or_refused_in_one_line(form, pattern, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp(form)
    source = WRITERS[form](forms.two_mice(), folder / "export")
    file = sorted(path for path in source.rglob(pattern) if path.stat().st_size)[0]
    words = re.split(r"([\w.-]+)", file.read_text())
    place = data.draw(st.integers(0, len(words) - 1))
    words[place] = data.draw(st.sampled_from(["", "x", "-1", "nan", "1e99", "<", '"', ",", "\n"]))
    file.write_text("".join(words))
    ended = None
    with pytest.MonkeyPatch.context() as patch:
        try:
            run(patch, convert.main, form, source, "--output", folder / "out")
        except SystemExit as stopped:
            ended = stopped.code
    assert ended is None or re.fullmatch(r"error: .+", ended)


def test_the_result_is_what_inspect_data_takes(tmp_path, monkeypatch):
    truth = forms.two_mice()
    person = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": []}
    for one in truth["annotations"]:
        one["keypoints"] += [0] * (3 * len(COCO.keypoints) - len(one["keypoints"]))
    source = forms.write_cvat(truth | {"categories": [person]}, tmp_path / "export")
    converted(monkeypatch, "cvat", source, tmp_path / "out")
    write_params(tmp_path / "params.yaml")
    run(
        monkeypatch,
        inspect_data.main,
        *("--params", tmp_path / "params.yaml", "--images", tmp_path / "out/images"),
        *("--annotations", tmp_path / "out/annotations/person_keypoints.json"),
        *("--output", tmp_path / "inspected"),
    )
    health = json.loads((tmp_path / "inspected/health/health.json").read_text())
    assert health["sets"]["person_keypoints"]["problems"] == 0


def test_images_are_linked_not_moved(tmp_path, monkeypatch):
    source = forms.write_cvat(forms.two_mice(), tmp_path / "export")
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    converted(monkeypatch, "cvat", source, tmp_path / "out")
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    assert os.path.samefile(source / "images/empty.jpg", tmp_path / "out/images/empty.jpg")


def test_a_folder_with_files_is_not_overwritten(tmp_path, monkeypatch):
    source = forms.write_cvat(forms.two_mice(), tmp_path / "export")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(SystemExit, match="expected a new or empty folder, found files"):
        run(monkeypatch, convert.main, "cvat", source, "--output", tmp_path / "mine")
    with pytest.raises(SystemExit, match="lies inside the input"):
        run(monkeypatch, convert.main, "cvat", source, "--output", source / "out")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_missing_image_is_refused_and_nothing_is_written(tmp_path, monkeypatch):
    source = forms.write_cvat(forms.two_mice(), tmp_path / "export")
    (source / "images/empty.jpg").unlink()
    line = refused(monkeypatch, "cvat", source, tmp_path / "out")
    assert "image empty.jpg: not among its 3 files" in line
    assert "--images" in line
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_an_image_of_another_size_is_refused(tmp_path, monkeypatch):
    source = forms.write_cvat(forms.two_mice(), tmp_path / "export")
    (source / "images/empty.jpg").write_bytes(jpeg((96, 128)))
    line = refused(monkeypatch, "cvat", source, tmp_path / "out")
    assert "image empty.jpg: `width`, `height`: the labels are of 64 x 48 pixels" in line
    assert "128 x 96" in line


def test_images_elsewhere_are_named_by_an_option(tmp_path, monkeypatch):
    truth = forms.two_mice()
    source = forms.write_cvat(truth, tmp_path / "export")
    (source / "images").rename(tmp_path / "photographs")
    options = "--images", tmp_path / "photographs"
    file = source / "annotations.xml"
    assert_same_people(
        converted(monkeypatch, "cvat", file, tmp_path / "out", *options), truth, "cvat"
    )


def test_several_exports_become_one_set_and_images_of_one_name_stay_apart(tmp_path, monkeypatch):
    truth = forms.two_mice()
    one, two = (forms.write_cvat(truth, tmp_path / name) for name in ("monday", "tuesday"))
    run(monkeypatch, convert.main, "cvat", one, two, "--output", tmp_path / "out")
    content = json.loads((tmp_path / "out/annotations/person_keypoints.json").read_text())
    assert len(content["annotations"]) == 6
    assert len({image["file_name"] for image in content["images"]}) == 6
    assert len(content["categories"]) == 1


def oriented(pixels_hw, orientation):
    """A JPEG that EXIF says to turn."""
    image = Image.fromarray(np.zeros((*pixels_hw, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_images_that_a_tool_showed_upright_ask_for_that_setting(tmp_path, monkeypatch, capsys):
    truth = forms.two_mice()
    source = forms.write_cvat(truth, tmp_path / "export")
    (source / "images/empty.jpg").write_bytes(oriented((64, 48), 6))  # upright 48 x 64
    content = converted(monkeypatch, "cvat", source, tmp_path / "out")
    assert content["images"][2]["width"] == 64
    told = capsys.readouterr().out
    assert "1 x images with an EXIF orientation, labelled upright" in told
    assert "--set inspect_data.exif=upright" in told


def test_splits_become_files_and_a_list_of_sources_that_download_takes(
    tmp_path, monkeypatch, capsys
):
    truth = forms.two_mice()
    source = forms.write_yolo(truth, tmp_path / "export", val="images/val")
    for kind in ("images", "labels"):
        (source / kind / "val").mkdir()
        for file in (source / kind / "train/cage 2").iterdir():
            file.rename(source / kind / "val" / file.name)
    run(monkeypatch, convert.main, "yolo-pose", source, "--output", tmp_path / "out")
    counts = {
        name: len(json.loads((tmp_path / f"out/annotations/{name}.json").read_text())["images"])
        for name in ("train", "val")
    }
    assert counts == {"train": 2, "val": 1}
    file = tmp_path / "out/sources.yaml"
    entries = parse_sources(yaml.safe_load(file.read_text()), str(file))
    assert {entry.url for entry in entries if entry.group == "annotations"} == {
        "annotations/train.json",
        "annotations/val.json",
    }
    assert f"--set download.sources={file}" in capsys.readouterr().out


def test_subsets_of_a_cvat_project_are_splits_with_folders_of_their_own(tmp_path, monkeypatch):
    truth = forms.two_mice()
    source = forms.write_cvat(truth, tmp_path / "export")
    text = (source / "annotations.xml").read_text()
    for number, subset in ((1, "Train"), (2, "Validation"), (3, "Train")):
        name = truth["images"][number - 1]["file_name"]
        file = source / "images" / subset / "same.jpg" if number < 3 else source / "images" / name
        file.parent.mkdir(exist_ok=True)
        (source / "images" / name).rename(file)
        text = text.replace(f'name="{name}"', f'name="{file.name}" subset="{subset}"')
    (source / "annotations.xml").write_text(text)
    run(monkeypatch, convert.main, "cvat", source, "--output", tmp_path / "out")
    for name, file, people in (("train", "Train/same.jpg", 2), ("val", "Validation/same.jpg", 1)):
        content = json.loads((tmp_path / f"out/annotations/{name}.json").read_text())
        assert content["images"][0]["file_name"] == file
        assert len(content["annotations"]) == people


def test_a_deeplabcut_file_is_seen_from_its_project_and_a_lost_config_is_told(
    tmp_path, monkeypatch, capsys
):
    source = forms.write_deeplabcut(forms.two_mice(), tmp_path / "project")
    file = source / "labeled-data/video/CollectedData_us.csv"
    content = converted(monkeypatch, "deeplabcut", file, tmp_path / "one")
    assert content["categories"][0]["skeleton"] == forms.MOUSE["skeleton"]
    assert "category: person, since none is named" in capsys.readouterr().out
    (source / "config.yaml").unlink()
    content = converted(monkeypatch, "deeplabcut", file, tmp_path / "two")
    assert content["categories"][0]["skeleton"] == []
    assert "no config.yaml of the project: no edges" in capsys.readouterr().out


def test_labels_without_any_keypoint_are_refused(tmp_path, monkeypatch):
    truth = forms.two_mice()
    for one in truth["annotations"]:
        one["keypoints"] = [0] * 12
    source = forms.write_labelme(truth, tmp_path / "export")
    assert "no labelled keypoint" in refused(monkeypatch, "labelme", source, tmp_path / "out")


def test_the_set_of_mice_comes_back_from_deeplabcut(shared, tmp_path, monkeypatch):
    truth = json.loads(
        (shared / "other-skeletons/mice/annotations/person_keypoints.json").read_text()
    )
    source = forms.write_deeplabcut(truth, tmp_path / "project", columns=1, individuals=False)
    for image in truth["images"]:
        file = source / "labeled-data/video" / image["file_name"]
        shutil.copy(shared / "other-skeletons/mice/images" / image["file_name"], file)
    content = converted(monkeypatch, "deeplabcut", source, tmp_path / "out", "--category", "mouse")
    assert content["categories"] == truth["categories"]
    assert [one["keypoints"] for one in content["annotations"]] == [
        pytest.approx(one["keypoints"], abs=1e-4) for one in truth["annotations"]
    ]
    for image in truth["images"]:
        place = tmp_path / "out/images/labeled-data/video" / image["file_name"]
        assert (
            place.read_bytes()
            == (shared / "other-skeletons/mice/images" / image["file_name"]).read_bytes()
        )


def test_lsp_comes_back_from_every_form(shared, tmp_path, monkeypatch):
    """Real photographs of people with 14 keypoints, absent ones among them."""
    truth = json.loads(
        (shared / "other-skeletons/lsp-val/annotations/person_keypoints.json").read_text()
    )
    ids = {image["id"] for image in truth["images"][:12]}
    truth["images"] = truth["images"][:12]
    truth["annotations"] = [one for one in truth["annotations"] if one["image_id"] in ids]
    names = truth["categories"][0]["keypoints"]
    for form, writer in WRITERS.items():
        source = writer(truth, tmp_path / form)
        options = ("--keypoints", *names) if form in ("labelme", "label-studio") else ()
        content = converted(monkeypatch, form, source, tmp_path / f"{form}-out", *options)
        assert_same_people(content, truth, form)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("cvat", "nowhere.xml"), "nowhere.xml: no such file, folder or zip"),
        (("cvat", "empty"), "empty: expected a file .xml in it, found none"),
        (("sleap", "file.slp"), "pip install sleap-io"),
        (("cvat", "empty", "--category", "x"), "--category: format cvat says it itself"),
        (("deeplabcut", "empty", "--keypoints", "x"), "--keypoints: format deeplabcut says it"),
    ],
)
def test_mistakes_are_named_in_one_line(options, words, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.slp").touch()
    (tmp_path / "empty").mkdir()
    form, source, *more = options
    assert words in refused(monkeypatch, form, source, tmp_path / "out", *more)


def documented_commands():
    """Every command of the page whose first line begins so, as lists of words."""
    page = Path(__file__).resolve().parents[1] / "docs/own-data.md"
    lines = re.findall(r"^python -m stages\.convert (.+)", page.read_text(), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def exports(tmp_path):
    """A folder with the exports that the page names."""
    truth = forms.two_mice()
    for name, writer in (("task", forms.write_cvat), ("keypoints", forms.write_coco)):
        shutil.make_archive(str(tmp_path / name), "zip", writer(truth, tmp_path / f"{name}_folder"))
    forms.write_label_studio(truth, tmp_path / "photographs").rename(tmp_path / "export.json")
    forms.write_labelme(truth, tmp_path / "labelled")
    forms.write_yolo(truth, tmp_path / "dataset")
    forms.write_deeplabcut(truth, tmp_path / "project")
    return tmp_path


@pytest.mark.parametrize("words", documented_commands(), ids=lambda words: words[0])
def test_documented_commands_run_as_written(words, exports, monkeypatch):
    if words[0] == "sleap":
        pytest.importorskip("sleap_io", reason="sleap-io (extra convert) is not installed")
        exports = exports / "sleap"  # by itself: the other exports hold images of the same names
        images = forms.write_images(forms.two_mice(), exports / "images")
        forms.sleap_labels(forms.two_mice(), images).save(str(exports / "mice.slp"), embed=False)
    monkeypatch.chdir(exports)
    run(monkeypatch, convert.main, *words)
    content = json.loads((exports / "mydata/annotations/person_keypoints.json").read_text())
    assert len(content["annotations"]) == 3


def test_every_format_has_a_documented_command():
    assert sorted(words[0] for words in documented_commands()) == sorted(READERS)
