"""The sample as files: layout, determinism, annotations that agree with each other."""

import argparse
import hashlib
import io
import json
import zipfile
from contextlib import redirect_stdout

import numpy as np
import pytest
import simplejpeg
import yaml
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO as CocoApi

from stages import sample
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO
from stages.synthetic.dataset import count_people, make_ids, write_sample

FILES = ("train.zip", "val.zip", "annotations.zip", "val1k.txt", "sources.yaml")
COUNTS = {"train": 30, "val": 14}


def _write(folder, workers=1, seed=5, counts=COUNTS):
    folder.mkdir()
    facts = write_sample(folder, seed=seed, counts=counts, val1k_images=6, workers=workers)
    return folder, facts


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return _write(tmp_path_factory.mktemp("sample") / "source")


@pytest.fixture(scope="module")
def document(written):
    with zipfile.ZipFile(written[0] / "annotations.zip") as archive:
        return json.loads(archive.read("annotations/person_keypoints_train2014.json"))


@pytest.fixture(scope="module")
def people(document):
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    return [(a, *sizes[a["image_id"]]) for a in document["annotations"] if not a["iscrowd"]]


def test_same_seed_gives_same_bytes_with_one_or_two_workers(written, tmp_path):
    again, _ = _write(tmp_path / "again", workers=2)
    for name in FILES:
        assert (again / name).read_bytes() == (written[0] / name).read_bytes(), name


def test_other_seed_gives_other_images(written, tmp_path):
    other, _ = _write(tmp_path / "other", seed=6, counts={"train": 1, "val": 6})
    with zipfile.ZipFile(other / "train.zip") as a, zipfile.ZipFile(written[0] / "train.zip") as b:
        assert a.read(a.namelist()[0]) != b.read(b.namelist()[0])


def test_first_images_do_not_depend_on_how_many_follow(written, tmp_path):
    fewer, _ = _write(tmp_path / "fewer", counts={"train": 2, "val": 6})
    for name in ("train.zip", "val.zip"):
        with zipfile.ZipFile(fewer / name) as a, zipfile.ZipFile(written[0] / name) as b:
            for member in a.namelist():
                assert a.read(member) == b.read(member)


def test_archives_are_laid_out_as_those_of_coco_2014(written):
    for name, count in COUNTS.items():
        with zipfile.ZipFile(written[0] / f"{name}.zip") as archive:
            members = archive.infolist()
        assert len(members) == count
        assert members[0].filename.startswith(f"{name}2014/COCO_{name}2014_0000")
        assert [m.filename for m in members] == sorted(m.filename for m in members)
        assert {m.compress_type for m in members} == {zipfile.ZIP_STORED}
        assert {m.date_time for m in members} == {(2014, 5, 31, 0, 0, 0)}
    with zipfile.ZipFile(written[0] / "annotations.zip") as archive:
        assert archive.namelist() == [f"annotations/person_keypoints_{n}2014.json" for n in COUNTS]


def test_sources_list_names_true_sizes_and_hashes(written):
    sources = yaml.safe_load((written[0] / "sources.yaml").read_text())
    entries = [
        *sources["archives"].values(),
        *sources["annotations"].values(),
        *sources["ids"].values(),
    ]
    assert len(entries) == 5
    for entry in entries:
        content = (written[0] / entry["url"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["md5"] == hashlib.md5(content).hexdigest()
    with zipfile.ZipFile(written[0] / "annotations.zip") as archive:
        assert {e["member"] for e in sources["annotations"].values()} == set(archive.namelist())


def test_id_list_names_validation_images(written):
    with zipfile.ZipFile(written[0] / "annotations.zip") as archive:
        images = json.loads(archive.read("annotations/person_keypoints_val2014.json"))["images"]
    ids = [int(line) for line in (written[0] / "val1k.txt").read_text().splitlines()]
    assert len(ids) == 6
    assert ids == sorted(set(ids) & {image["id"] for image in images})


def test_ids_ascend_with_gaps_and_sets_share_none():
    train, val = make_ids(3, 0, 500), make_ids(3, 1, 500)
    assert train[0] == 9
    for ids in (train, val):
        steps = np.diff(ids)
        assert steps.min() > 0
        assert steps.max() > 3
    assert not set(train) & set(val)


def test_images_have_the_annotated_size(written, document):
    with zipfile.ZipFile(written[0] / "train.zip") as archive:
        for image in document["images"]:
            height, width, _, _ = simplejpeg.decode_jpeg_header(
                archive.read(f"train2014/{image['file_name']}")
            )
            assert (height, width) == (image["height"], image["width"])


def test_pycocotools_loads_the_annotations(document, tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(document))
    with redirect_stdout(io.StringIO()):
        api = CocoApi(str(path))
    assert api.getCatIds(catNms=["person"]) == [1]
    assert len(api.getAnnIds(iscrowd=False)) == sum(
        not a["iscrowd"] for a in document["annotations"]
    )
    for annotation in document["annotations"]:
        assert api.annToMask(annotation).sum() == pytest.approx(annotation["area"])


def test_category_holds_the_skeleton_of_the_method(document):
    (category,) = document["categories"]
    assert tuple(category["keypoints"]) == COCO.keypoints
    assert len(category["skeleton"]) == 19
    assert {i for limb in category["skeleton"] for i in limb} == set(range(1, 18))


def test_annotation_ids_are_unique_and_refer_to_images(document):
    ids = [a["id"] for a in document["annotations"]]
    assert len(set(ids)) == len(ids)
    assert {a["image_id"] for a in document["annotations"]} <= {i["id"] for i in document["images"]}


def test_num_keypoints_counts_the_labelled(document):
    for a in document["annotations"]:
        assert a["num_keypoints"] == sum(v > 0 for v in a["keypoints"][2::3])


def test_keypoints_lie_in_the_image_and_are_zero_where_absent(people):
    for annotation, height, width in people:
        for x, y, seen in np.reshape(annotation["keypoints"], (-1, 3)):
            assert seen in (0, 1, 2)
            assert (0 <= x < width and 0 <= y < height) if seen else (x == 0 and y == 0)


def test_visible_keypoints_lie_on_the_visible_mask(people):
    inside = total = 0
    for annotation, height, width in people:
        mask = mask_utils.decode(
            mask_utils.merge(mask_utils.frPyObjects(annotation["segmentation"], height, width))
        )
        for x, y, seen in np.reshape(annotation["keypoints"], (-1, 3)):
            if seen == 2:
                inside += mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].any()
                total += 1
    assert total > 200
    assert inside / total > 0.99


def test_boxes_enclose_the_polygons_tightly(people):
    for annotation, height, width in people:
        points = np.concatenate([np.reshape(p, (-1, 2)) for p in annotation["segmentation"]])
        x, y, w, h = annotation["bbox"]
        np.testing.assert_allclose(
            [x, y, x + w, y + h], [*points.min(0), *points.max(0)], atol=0.02
        )
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height


def test_facts_count_what_is_in_the_file(written, document):
    assert written[1]["train"] == count_people(document)


def test_id_list_longer_than_the_validation_set_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="val1k_images"):
        write_sample(tmp_path, seed=1, counts={"train": 1, "val": 2}, val1k_images=3, workers=1)


def _arguments(**changes):
    values = {"params": "params.yaml", "output": None, "sheet": None, "plain": False}
    return argparse.Namespace(**{**values, **changes})


def test_contact_sheet_shows_thirty_images(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sample.draw_sample(_arguments(sheet=tmp_path / "sheet.jpg"))
    height, width, _, _ = simplejpeg.decode_jpeg_header((tmp_path / "sheet.jpg").read_bytes())
    assert (height, width) == (5 * 324, 6 * 324)


def test_contact_sheet_of_unknown_kind_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"\.png or \.jpg"):
        sample.draw_sample(_arguments(sheet=tmp_path / "sheet.xyz"))


@pytest.mark.parametrize("asked", ["0", "many", "-2"])
def test_senseless_number_of_threads_is_an_input_error(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    with pytest.raises(InputError, match="OMP_NUM_THREADS"):
        sample.available_workers()


def test_failure_leaves_nothing_half_written(tmp_path, monkeypatch):
    text = (
        sample.params.PRESETS.joinpath("sample.yaml")
        .read_text()
        .replace("val1k_images: 200", "val1k_images: 401")
    )
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match="val1k_images"):
        sample.draw_sample(_arguments(params=tmp_path / "params.yaml", output=tmp_path / "source"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["params.yaml"]
