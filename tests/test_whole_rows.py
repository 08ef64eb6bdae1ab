"""Exports of annotation tools through the whole pipeline: what may be right comes to the packed
file, the detections and the AP of the file as it should be; what cannot be is refused at the start.

One network is trained, on the file as it should be; equal packed files would train the same.
"""

import functools
import json
import shutil

import cv2
import h5py
import numpy as np
import pytest

from stages import detect
from stages.openpose.skeleton import COCO
from tests import tiny_coco, whole_run
from tests.test_inspect_data import exif

HW = (64, 64)
FIRST = {"train": 1, "val": 101}
COUNT = {"train": 8, "val": 3}
CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}


def content_of(source):
    """Annotations as they should be: a person in each image, two in the first."""
    first = FIRST[source]
    ids = range(first, first + COUNT[source])
    people = [tiny_coco.person(10 * i, i, (8 + i % 3, 6, 40, 50), 17 - i % 4) for i in ids]
    people.append(tiny_coco.person(10 * first + 1, first, (30, 20, 30, 40)))
    names = [f"cam{1 + i % 2}/{i // 2:04d}.jpg" for i in ids]
    images = [tiny_coco.image(i, HW, name) for i, name in zip(ids, names, strict=True)]
    return {"images": images, "annotations": people, "categories": [CATEGORY]}


def write(folder, change=lambda content, files: None):
    """A data set as download leaves it, after `change` of the content and the files of a source."""
    for source in ("train", "val"):
        content = content_of(source)
        files = {one["file_name"]: tiny_coco.jpeg(HW, one["id"]) for one in content["images"]}
        changed = change(content, files)
        text = changed if isinstance(changed, bytes) else json.dumps(content).encode()
        (folder / "data/annotations").mkdir(parents=True, exist_ok=True)
        (folder / f"data/annotations/{source}.json").write_bytes(text)
        place = folder / f"data/archives/{source}"
        place.mkdir(parents=True)
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
    return folder


def packed(folder):
    """All arrays of the packed training file by name, without provenance and bytes of images."""
    with h5py.File(folder / "data/packed/train.h5") as file:
        found = {}
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset) and not name.startswith("jpeg")
                else None
            )
        )
    return found


def detections(folder):
    found = folder / "results/detect/trained/val"
    return [json.loads((found / f"{shard}/multi.json").read_text()) for shard in (0, 1)]


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """The whole pipeline on the files as they should be."""
    folder = write(tmp_path_factory.mktemp("right"))
    whole_run.write_params(folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        whole_run.up_to_pack(folder, patch)
        whole_run.train_network(folder, patch)
        whole_run.to_report(folder, patch)
    return folder


@pytest.fixture(scope="module")
def load_once(right):
    """`load_forward` that loads the network of `right` once, whatever it is asked for."""
    load = functools.cache(functools.partial(detect.load_forward, right / "models/trained"))
    return lambda _, *more: load(*more)


def each(**fields):
    def change(content, files):
        for one in content["annotations"]:
            one.update(fields)

    return change


def without(*names, every=True):
    def change(content, files):
        for one in content["annotations"][: None if every else 1]:
            for name in names:
                del one[name]

    return change


def categories(number, *others):
    def change(content, files):
        content["categories"] = [*others, CATEGORY | {"id": number}]
        each(category_id=number)(content, files)

    return change


def alphabetical(content, files):
    order = sorted(range(17), key=lambda i: COCO.keypoints[i])
    content["categories"] = [CATEGORY | {"keypoints": [COCO.keypoints[i] for i in order]}]
    for one in content["annotations"]:
        one["keypoints"] = np.reshape(one["keypoints"], (17, 3))[order].ravel().tolist()


def as_text(content, files):
    for one in content["annotations"]:
        one.update(id=str(one["id"]), image_id=str(one["image_id"]), category_id="1")
    for one in content["images"]:
        one["id"] = str(one["id"])


def ignored(content, files):
    first = content["images"][0]["id"]
    extra = tiny_coco.person(5000 + first, first, (0, 0, 7, 7), labelled=0)
    del extra["keypoints"]
    content["annotations"].append(extra)


def oriented(number):
    def change(content, files):
        for name, data in files.items():
            files[name] = exif(data, number)

    return change


def turned(content, files):
    """Images stored lying, with EXIF that turns them; annotations are of the upright ones."""
    left = cv2.ROTATE_90_COUNTERCLOCKWISE
    for name, data in files.items():
        pixels = cv2.rotate(cv2.imdecode(np.frombuffer(data, np.uint8), 1), left)
        files[name] = exif(cv2.imencode(".jpg", pixels)[1].tobytes(), 6)


def moved(prefix):
    def change(content, files):
        for name in list(files):
            files[f"{prefix}/{name}"] = files.pop(name)

    return change


EQUAL, NEAR, OTHER_IDS = "equal", "boxes from the keypoints", "ids of annotations are ours"
HARMLESS = {
    "person is category 0": (categories(0), EQUAL),
    "person is 2 beside a dog of 1": (categories(2, {"id": 1, "name": "dog"}), EQUAL),
    "names and keypoints in alphabetical order": (alphabetical, EQUAL),
    "all boxes 0": (each(bbox=[0, 0, 0, 0]), NEAR),
    "all boxes without height": (each(bbox=[5, 5, 9, 0]), NEAR),
    "all areas 0": (each(area=0), EQUAL),
    "no num_keypoints, iscrowd, area": (without("num_keypoints", "iscrowd", "area"), EQUAL),
    "the same in one annotation": (without("num_keypoints", "iscrowd", every=False), EQUAL),
    "no categories": (lambda content, files: content.pop("categories") and None, EQUAL),
    "no annotation ids": (without("id"), OTHER_IDS),
    "ids as text": (as_text, EQUAL),
    "byte-order mark": (
        lambda content, files: b"\xef\xbb\xbf" + json.dumps(content).encode(), EQUAL),
    "a person without keypoints": (ignored, EQUAL),
    "EXIF 3": (oriented(3), EQUAL),
    "EXIF 6 on square images": (oriented(6), EQUAL),
    "a folder images/default": (moved("images/default"), EQUAL),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_export_gives_what_the_right_file_gives(
    name, right, load_once, tmp_path, monkeypatch
):
    change, expected = HARMLESS[name]
    shutil.copytree(right / "models", tmp_path / "models")
    (tmp_path / "params.yaml").write_bytes((right / "params.yaml").read_bytes())
    whole_run.up_to_pack(write(tmp_path, change), monkeypatch)
    assert_same_packed(packed(tmp_path), packed(right), expected)
    monkeypatch.setattr(detect, "load_forward", load_once)
    metrics = whole_run.to_report(tmp_path, monkeypatch)
    assert detections(tmp_path) == detections(right)
    assert (
        metrics["multi"]
        == json.loads((right / "results/evaluate/trained/val.json").read_text())["multi"]
    )
    assert ap_of_the_truth(tmp_path, monkeypatch) == pytest.approx(1)


def assert_same_packed(found, expected, how):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        if how == NEAR and any(word in name for word in ("centre", "scale")):
            np.testing.assert_allclose(found[name], array, rtol=0.3, atol=6)
        elif how == OTHER_IDS and name == "people/id":
            continue
        elif "mask" not in name:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def ap_of_the_truth(folder, monkeypatch):
    """AP of detections equal to the people as they should be."""
    for shard in (0, 1):
        for output in ("single", "multi", "multi_flip"):
            place = folder / f"results/detect/trained/val/{shard}"
            ids = json.loads((place / "images.json").read_text())
            results = [
                {"image_id": one["image_id"], "category_id": 1, "score": 0.9,
                 "keypoints": one["keypoints"]}
                for one in content_of("val")["annotations"] if one["image_id"] in ids
            ]  # fmt: skip
            (place / f"{output}.json").write_text(json.dumps(results))
    return whole_run.score(folder, monkeypatch)["multi"]["AP"]


def change_file(make):
    def change(content, files):
        name = content["images"][1]["file_name"]
        data = make(files.pop(name))
        if data is not None:
            files[name] = data

    return change


def first(**fields):
    return lambda content, files: content["annotations"][0].update(fields)


REFUSED = {
    "iscrowd text": (first(iscrowd="0"), r"annotation 10: `iscrowd`"),
    "null box": (first(bbox=None), r"annotation 10: `bbox`"),
    "image of nobody": (first(image_id="177"), r"annotation 10 .*177"),
    "image deleted": (change_file(lambda data: None), r"image 2 \(cam1/0001\.jpg"),
    "image empty": (change_file(lambda data: b""), r"image 2 .*empty"),
    "half an image": (change_file(lambda data: data[: len(data) // 2]), r"image 2 .*damaged"),
    "2 kB cut out": (change_file(lambda data: data[:1500] + data[3500:]), r"image 1?0?2 .*damaged"),
    "a secret": (lambda content, files: content["images"][1].update(file_name="../../../s.jpg"),
                 r"image 2: `file_name`.*leads out"),
    "EXIF 6, annotations upright": (
        lambda content, files: [content["images"][1].update(height=80), change_file(
            lambda data: exif(tiny_coco.jpeg((64, 80), 2), 6))(content, files)][1],
        r"image 2 .*inspect_data\.exif: upright"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_right_is_refused_at_the_start(name, tmp_path, monkeypatch):
    change, message = REFUSED[name]
    whole_run.write_params(write(tmp_path, change) / "params.yaml")
    with pytest.raises(SystemExit, match=rf"error: .*(train|val)\.json: .*{message}"):
        whole_run.up_to_pack(tmp_path, monkeypatch)
    assert not (tmp_path / "data/inspected").exists()


@pytest.mark.slow
def test_images_are_turned_where_annotations_are_of_upright_ones(
    right, load_once, tmp_path, monkeypatch
):
    whole_run.write_params(tmp_path / "params.yaml", inspect_data={"exif": "upright"})
    whole_run.up_to_pack(write(tmp_path, turned), monkeypatch)
    assert_same_packed(packed(tmp_path), packed(right), EQUAL)


@pytest.mark.slow
@pytest.mark.parametrize(("same", "leaked"), [(True, 3), (False, 0)])
def test_the_audit_knows_photographs_and_not_ids(
    same, leaked, right, load_once, tmp_path, monkeypatch
):
    """The same photographs in train under other ids; other photographs under the same ids."""

    def change(content, files):
        for one in content["images"]:
            photograph = one["id"] % 100 if same else one["id"]
            files[one["file_name"]] = tiny_coco.jpeg(HW, photograph)
            if not same and one["id"] > 100:
                content["annotations"] = [
                    other | {"image_id": other["image_id"] - 100}
                    if other["image_id"] == one["id"] else other
                    for other in content["annotations"]
                ]  # fmt: skip
                one["id"] -= 100

    shutil.copytree(right / "models", tmp_path / "models")
    whole_run.write_params(tmp_path / "params.yaml")
    whole_run.up_to_pack(write(tmp_path, change), monkeypatch)
    monkeypatch.setattr(detect, "load_forward", load_once)
    metrics = whole_run.to_report(tmp_path, monkeypatch)
    assert metrics["leaked_images"] == leaked
    assert metrics["contaminated"] is bool(leaked)
