"""Exports of annotation tools: each comes to the right AP, or to one line that names field and id.

K1: three images, four people, detections equal to the truth, so that AP is 1 where it is right.
"""

import io
import json
import math
import os
import shutil
import struct
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import evaluate, inspect_data
from stages.openpose.coco.image_files import Folder
from stages.openpose.skeleton import COCO, from_dict
from tests import tiny_coco
from tests.test_detect import run, write_params

HW = (120, 160)
PEOPLE = [
    tiny_coco.person(11, 1, (10, 10, 60, 100)),
    tiny_coco.person(12, 1, (80, 15, 50, 90), labelled=12),
    tiny_coco.person(13, 2, (30, 20, 60, 90)),
    tiny_coco.person(14, 5, (20, 10, 70, 100), labelled=9),
]
CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}
CONTENT = {
    "info": {},
    "licenses": [],
    "images": [tiny_coco.image(number, HW) for number in (1, 2, 5)],
    "annotations": PEOPLE,
    "categories": [CATEGORY],
}
SAME = None  # the right AP


def k1(folder, content=CONTENT, people=PEOPLE):
    """Write annotations, images and detections equal to `people`."""
    data = folder / "data"
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    for name in ("train", "val"):
        (data / "annotations").mkdir(parents=True, exist_ok=True)
        (data / "annotations" / f"{name}.json").write_bytes(text)
        (data / "archives" / name).mkdir(parents=True, exist_ok=True)
        for image in CONTENT["images"]:
            seed = image["id"] + (50 if name == "val" else 0)
            (data / "archives" / name / image["file_name"]).write_bytes(tiny_coco.jpeg(HW, seed))
    found = folder / "found/val/0"
    found.mkdir(parents=True, exist_ok=True)
    results = [
        {"image_id": one["image_id"], "category_id": 1, "score": 0.9, "keypoints": one["keypoints"]}
        for one in people
    ]
    for output in ("single", "multi", "multi_flip"):
        (found / f"{output}.json").write_text(json.dumps(results))
    (found / "images.json").write_text("[1, 2, 5]")
    write_params(folder / "params.yaml")
    return folder


def ap(folder, monkeypatch, annotations):
    """AP that the stage evaluate, run alone, finds for the truth itself."""
    run(
        monkeypatch,
        evaluate.main,
        *("--params", folder / "params.yaml", "--annotations", annotations),
        *("--detections", folder / "found"),
        *("--output", folder / "scores.json", "--plots", folder / "scores"),
    )
    return json.loads((folder / "scores.json").read_text())["multi"]["AP"]


def inspect(folder, monkeypatch):
    """Run the stage; its health report."""
    run(
        monkeypatch,
        inspect_data.main,
        *("--params", folder / "params.yaml", "--data", folder / "data"),
        *("--output", folder / "data/inspected"),
    )
    return json.loads((folder / "data/inspected/health/health.json").read_text())


def disturbed(change):
    """A copy of CONTENT that `change` was let loose on."""
    content = json.loads(json.dumps(CONTENT))
    changed = change(content)
    return content if changed is None else changed


def each(**fields):
    """Change fields of all annotations; a value that is `del` is taken out."""

    def change(content):
        for one in content["annotations"]:
            for name, value in fields.items():
                one[name] = value
                if value is del_:
                    del one[name]

    return change


def one(**fields):
    """Change fields of the second annotation (id 12)."""

    def change(content):
        for name, value in fields.items():
            content["annotations"][1][name] = value
            if value is del_:
                del content["annotations"][1][name]

    return change


del_ = object()


def people_are(number, *others):
    def change(content):
        content["categories"] = [*others, CATEGORY | {"id": number}]
        each(category_id=number)(content)

    return change


def alphabetical(content):
    order = sorted(range(17), key=lambda i: COCO.keypoints[i])
    content["categories"][0]["keypoints"] = [COCO.keypoints[i] for i in order]
    for person in content["annotations"]:
        person["keypoints"] = np.reshape(person["keypoints"], (17, 3))[order].ravel().tolist()


def without(*names):
    return lambda content: {key: value for key, value in content.items() if key not in names}


def point(place, value):
    def change(content):
        content["annotations"][1]["keypoints"][place] = value

    return change


def image(**fields):
    def change(content):
        content["images"][1] |= fields

    return change


def stranger(content):
    extra = tiny_coco.person(20, 2, (100, 5, 40, 90))
    content["annotations"].append({k: v for k, v in extra.items() if k != "keypoints"})


def dog(content):
    content["categories"].append({"id": 7, "name": "dog"})
    content["annotations"].append(
        {"id": 90, "image_id": 1, "category_id": 7, "bbox": [0, 0, 5, 5], "iscrowd": 0, "area": 25}
    )


def nested(depth):
    return [nested(depth - 1)] if depth else []


ROWS = {
    "as it is": (lambda content: None, SAME),
    "person is category 0": (people_are(0), SAME),
    "person is category 2 beside a dog of 1": (people_are(2, {"id": 1, "name": "dog"}), SAME),
    "people by their keypoints": (
        lambda content: content["categories"][0].update(name="climber"), SAME),
    "other annotations are left out": (dog, SAME),
    "names and keypoints in alphabetical order": (alphabetical, SAME),
    "names with blanks": (
        lambda content: content["categories"][0].update(
            keypoints=[name.replace("_", " ").title() for name in COCO.keypoints]), SAME),
    "all boxes 0": (each(bbox=[0, 0, 0, 0], area=0), SAME),
    "all boxes without height": (each(bbox=[5, 5, 40, 0]), SAME),
    "no num_keypoints": (each(num_keypoints=del_), SAME),
    "no iscrowd": (each(iscrowd=del_), SAME),
    "no area": (each(area=del_), SAME),
    "no segmentation": (each(segmentation=del_), SAME),
    "no box": (each(bbox=del_), SAME),
    "no area in one": (one(area=del_), SAME),
    "nothing that can be derived": (
        each(bbox=del_, area=del_, segmentation=del_, num_keypoints=del_, iscrowd=del_), SAME),
    "null segmentation": (each(segmentation=None), SAME),
    "a flat polygon": (one(segmentation=[80, 15, 130, 15, 130, 105]), SAME),
    "no info, licenses, categories": (without("info", "licenses", "categories"), SAME),
    "no categories, other category id": (
        lambda content: (each(category_id=0)(content), content.pop("categories"))[0], SAME),
    "no annotation ids": (each(id=del_), SAME),
    "annotation id 0": (one(id=0), SAME),
    "ids as text": (one(id="12", image_id="1", category_id="1"), SAME),
    "ids with a point": (one(id=12.0, image_id=1.0, category_id=1.0), SAME),
    "large ids": (one(id=10**20), SAME),
    "iscrowd false": (each(iscrowd=False), SAME),
    "one person without keypoints": (stranger, SAME),
    "a wrong num_keypoints": (one(num_keypoints=0), SAME),
    "image ids as text": (
        lambda content: [one.update(id=str(one["id"])) for one in content["images"]] and None,
        SAME),
    "sizes with a point": (image(height=120.0), SAME),
    "iscrowd text": (one(iscrowd="0"), r"annotation 12: `iscrowd`.*'0'"),
    "iscrowd null": (one(iscrowd=None), r"annotation 12: `iscrowd`.*None"),
    "iscrowd 2": (one(iscrowd=2), r"annotation 12: `iscrowd`"),
    "null box": (one(bbox=None), r"annotation 12: `bbox`.*None"),
    "text in a box": (one(bbox=["1", 2, 3, 4]), r"annotation 12: `bbox\[0\]`.*'1'"),
    "NaN in a box": (one(bbox=[math.nan, 2, 3, 4]), r"annotation 12: `bbox\[0\]`.*nan"),
    "null area": (one(area=None), r"annotation 12: `area`.*None"),
    "negative area": (one(area=-4), r"annotation 12: `area`.*-4"),
    "text num_keypoints": (one(num_keypoints="12"), r"annotation 12: `num_keypoints`.*'12'"),
    "NaN keypoint": (point(3, math.nan), r"annotation 12: `keypoints\[3\]`.*nan"),
    "keypoints as text": (one(keypoints=["1"] * 51), r"annotation 12: `keypoints\[0\]`.*'1'"),
    "keypoints as triples": (
        one(keypoints=[[1, 2, 2]] * 17), r"annotation 12: `keypoints`.*found a list of 17;"),
    "visibility -1": (point(2, -1), r"annotation 12: `keypoints\[2\]`.*found -1"),
    "visibility 0.9": (point(2, 0.9), r"annotation 12: `keypoints\[2\]`.*found 0\.9"),
    "area that pycocotools passes over": (one(area=1e12), r"annotation 12: `area`.*1e10"),
    "null keypoint": (point(4, None), r"annotation 12: `keypoints\[4\]`.*None"),
    "infinite keypoint": (point(4, math.inf), r"annotation 12: `keypoints\[4\]`.*inf"),
    "visibility 3": (point(2, 3), r"annotation 12: `keypoints\[2\]`.*found 3"),
    "too few keypoints": (one(keypoints=[1, 2, 2]), r"annotation 12: `keypoints`.*51"),
    "keypoints without visibility": (one(keypoints=[1.0] * 34), r"annotation 12: `keypoints`.*34"),
    "odd polygon": (one(segmentation=[[1, 2, 3]]), r"annotation 12: `segmentation\[0\]`"),
    "RLE of another size": (
        one(segmentation={"size": [2, 2], "counts": [4]}), r"annotation 12: `segmentation`"),
    "an id twice": (one(id=11), r"annotation 11: `id`: .*given twice"),
    "an id twice, as text": (one(id="11"), r"annotation 11: `id`: .*given twice"),
    "id null": (one(id=None), r"`id`.*None"),
    "id true": (one(id=True), r"`id`.*True"),
    "image of nobody": (one(image_id=77), r"annotation 12 belongs to image 77"),
    "image_id null": (one(image_id=None), r"annotation 12: `image_id`.*None"),
    "unknown category": (one(category_id=9), r"annotation 12: `category_id`.*9"),
    "categories unlisted and several": (
        lambda content: (one(category_id=2)(content), content.pop("categories"))[0],
        r"annotation 12: `category_id`"),
    "an image twice": (
        lambda content: content["images"].append(content["images"][0]), r"image id 1 is listed"),
    "image size text": (image(height="120"), r"image 2: `height`.*'120'"),
    "image size null": (image(width=None), r"image 2: `width`.*None"),
    "another body": (
        lambda content: content["categories"][0].update(keypoints=["head", "tail"]),
        r"annotation 11: `keypoints`.*6 numbers"),
    "nobody is a person": (
        lambda content: content["categories"].__setitem__(0, {"id": 1, "name": "cat"}),
        r"no category called `person`"),
    "path out": (image(file_name="../../../secret.jpg"), r"image 2: `file_name`.*secret"),
    "absolute path": (image(file_name="/etc/passwd.jpg"), r"image 2: `file_name`.*absolute"),
    "drive": (image(file_name="C:\\images\\2.jpg"), r"image 2: `file_name`.*absolute"),
    "file name null": (image(file_name=None), r"image 2: `file_name`.*None"),
    "categories an object": (
        lambda content: content.update(categories={"1": "person"}), r"a list `categories`"),
    "annotations an object": (
        lambda content: content.update(annotations={"11": PEOPLE[0]}), r"a list `annotations`"),
    "brackets without end": (
        lambda content: content["annotations"].append(nested(300)), r"303 deep .*`annotations`"),
    "no id, nor anything else": (
        lambda content: content["annotations"].insert(2, {}),
        r"annotation \(the 3\. of the list\): `image_id`.*found nothing"),
    "a line end in a name": (
        image(file_name="a\n/../../b"), r"image 2: `file_name`"),
    "not an object": (
        lambda content: content["annotations"].append("text"), r"objects in `annotations`"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_an_export_gives_the_right_ap_or_names_field_and_id(name, tmp_path, monkeypatch):
    change, message = ROWS[name]
    folder = k1(tmp_path, disturbed(change))
    raw = folder / "data/annotations/val.json"
    if message is SAME:
        assert ap(folder, monkeypatch, raw) == pytest.approx(1)
        inspect(folder, monkeypatch)
        normalised = folder / "data/inspected/annotations/val.json"
        assert ap(folder, monkeypatch, normalised) == pytest.approx(1)
        return
    with pytest.raises(SystemExit, match=rf"^error: .*val\.json: .*{message}"):
        ap(folder, monkeypatch, raw)
    with pytest.raises(SystemExit, match=rf"^error: .*\.json: .*{message}"):
        inspect(folder, monkeypatch)
    assert not (folder / "data/inspected").exists()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_harm(encoding, tmp_path, monkeypatch):
    folder = k1(tmp_path, json.dumps(CONTENT).encode(encoding))
    assert ap(folder, monkeypatch, folder / "data/annotations/val.json") == pytest.approx(1)
    inspect(folder, monkeypatch)
    assert ap(folder, monkeypatch, folder / "data/inspected/annotations/val.json") == 1


def test_a_clean_file_is_passed_on_byte_for_byte(tmp_path, monkeypatch):
    folder = k1(tmp_path)
    health = inspect(folder, monkeypatch)
    for name in ("train", "val"):
        assert (folder / f"data/inspected/annotations/{name}.json").read_bytes() == (
            folder / f"data/annotations/{name}.json"
        ).read_bytes()
        assert health["sets"][name]["derived"] == {}
    body = json.loads((folder / "data/inspected/body/skeleton.json").read_text())
    assert from_dict(body) is COCO


def test_boxes_without_extent_come_from_the_keypoints(tmp_path, monkeypatch):
    folder = k1(tmp_path, disturbed(each(bbox=[0, 0, 0, 0], area=0)))
    health = inspect(folder, monkeypatch)["sets"]["val"]
    assert health["derived"]["`bbox` without width or height: from the keypoints"] == 4
    assert (
        health["suspicious"]["boxes without width or height, put right by the keypoints"]["count"]
        == 4
    )
    written = json.loads((folder / "data/inspected/annotations/val.json").read_text())
    for was, now in zip(PEOPLE, written["annotations"], strict=True):
        points = np.reshape(was["keypoints"], (17, 3))
        xy = points[points[:, 2] > 0, :2]
        x, _, width, height = now["bbox"]
        assert x < xy[:, 0].min()
        assert xy[:, 0].max() < x + width
        assert 1 < height / np.ptp(xy[:, 1]) < 1.5


def test_all_problems_are_told_and_the_error_is_the_last_line(tmp_path, monkeypatch, capsys):
    content = disturbed(lambda content: (one(area=None)(content), image(width=0)(content))[0])
    content["annotations"][3]["iscrowd"] = "no"
    folder = k1(tmp_path, content)
    with pytest.raises(SystemExit, match=r"3 problems, the first: image 2: `width`"):
        inspect(folder, monkeypatch)
    told = capsys.readouterr().out
    for text in ("annotation 12: `area`", "annotation 14: `iscrowd`", "image 2: `width`"):
        assert text in told


def damaged_file(folder, make, name="000000000002.jpg"):
    path = folder / "data/archives/val" / name
    data = make(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)


def exif(data, orientation):
    block = (
        b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
        + b"\0\0\0\0"
    )  # fmt: skip
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def png(hw, pixels=b""):
    """A PNG whose header claims a size, whatever its pixels."""
    import zlib

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", hw[1], hw[0], 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: None, "not among its 2 files"),
        (lambda data: b"", "empty"),
        (lambda data: data[: len(data) // 2], "damaged JPEG|cut off"),
        (lambda data: data[:3000] + data[5000:], "damaged JPEG"),
        (lambda data: b"hello", "not an image"),
        (lambda data: b"\0\0\0\x18ftypheic" + data, "HEIC: save it as JPEG"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (lambda data: b"<html>404</html>", "error page"),
        (lambda data: tiny_coco.jpeg((60, 80)), "160 x 120 pixels, the image has 80 x 60"),
        (lambda data: png((40000, 30000)), "30000 x 40000 pixels .* are more than"),
        (lambda data: png(HW, bytes(100)), "damaged|decoded"),
    ],
)
def test_images_that_cannot_be_right_are_refused(make, message, tmp_path, monkeypatch):
    folder = k1(tmp_path)
    damaged_file(folder, make)
    with pytest.raises(SystemExit, match=rf"val\.json: image 2 \(.*{message}"):
        inspect(folder, monkeypatch)


@pytest.mark.parametrize("kind", ["pipe", "link to itself", "broken link", "folder"])
def test_what_is_no_file_is_refused_and_not_waited_for(kind, tmp_path, monkeypatch):
    folder = k1(tmp_path)
    path = folder / "data/archives/val/000000000002.jpg"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.name if kind == "link to itself" else "gone.jpg")
    with pytest.raises(SystemExit, match=r"image 2 .*(neither a file|not among its 2 files)"):
        inspect(folder, monkeypatch)


def test_a_link_that_leads_out_is_refused(tmp_path, monkeypatch):
    folder = k1(tmp_path)
    path = folder / "data/archives/val/000000000002.jpg"
    shutil.move(path, tmp_path / "secret.jpg")
    path.symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(SystemExit, match=r"image 2 .*leads out of the folder"):
        inspect(folder, monkeypatch)


@pytest.mark.parametrize("stored", [True, False])
def test_exif_orientation_is_told_and_the_other_frame_is_a_setting(stored, tmp_path, monkeypatch):
    content = CONTENT if stored else disturbed(image(height=HW[1], width=HW[0]))
    folder = k1(tmp_path, content)
    for name in ("train", "val"):
        path = folder / "data/archives" / name / "000000000002.jpg"
        path.write_bytes(exif(path.read_bytes(), 6))
    if stored:
        kinds = inspect(folder, monkeypatch)["sets"]["val"]["suspicious"]
        assert any(kind.startswith("EXIF orientation") for kind in kinds)
    else:
        with pytest.raises(SystemExit, match=r"image 2 .*set inspect_data\.exif: upright"):
            inspect(folder, monkeypatch)


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ("cam1/0001.jpg", "cam1/0001.jpg"),
        ("top/cam1/0001.jpg", "cam1/0001.jpg"),
        ("cam1/0001.jpg", "cam1\\0001.jpg"),
        ("cam1/0001.jpg", "https://host/bucket/cam1/0001.jpg?token=x/y.jpg"),
        ("cam1/0001.JPG", "cam1/0001.jpg"),
        ("cam1/0001.jpg", " cam1/0001.jpg \n"),
        ("cam1/0001.jpg ", "cam1/0001.jpg"),
        ("cam1/a b.jpg", "cam1/a%20b.jpg"),
        ("cam1/caf\u00e9.jpg", "cam1/cafe\u0301.jpg"),
        ("images/default/cam1/0001.jpg", "cam1/0001.jpg"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_harmless_names_find_their_file_in_zips_and_folders(tmp_path, stored, named, zipped):
    from stages.openpose.coco.image_files import open_images

    files = {stored: b"right", stored.replace("cam1", "cam2"): b"wrong"}
    place = tmp_path / "images"
    if zipped:
        place = tmp_path / "images.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
    with open_images(place) as opened:
        assert opened.read(named) == b"right"


def test_a_name_that_is_not_there_shows_the_nearest(tmp_path):
    (tmp_path / "frame_0001.jpg").write_bytes(b"x")
    with pytest.raises(Exception, match=r"nearest name is frame_0001\.jpg"):
        Folder(tmp_path).read("frame_001.jpg")


def test_photographs_of_val_that_are_in_train_are_told_whatever_their_ids(tmp_path, monkeypatch):
    folder = k1(tmp_path)
    archives = folder / "data/archives"
    pixels = cv2.imread(str(archives / "train/000000000001.jpg"))
    again = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()
    (archives / "val/000000000005.jpg").write_bytes(again)
    health = inspect(folder, monkeypatch)
    assert health["photographs_in_train_and_val"]["pairs"] == [[1, 5]]
    same = json.loads((folder / "data/inspected/health/same.json").read_text())
    assert same == {"train_val": [[1, 5]], "val_val": []}


def suspicious(folder, monkeypatch):
    return inspect(folder, monkeypatch)["sets"]["val"]["suspicious"]


def exchanged(content):
    """Twelve people who face us, left and right of shoulders exchanged."""
    content["annotations"] = []
    for number in range(12):
        points = np.zeros((17, 3))
        points[[0, 5, 6]] = (50, 20, 2), (30, 50, 2), (70, 50, 2)
        points[:, :2] += (number, 0)
        points[points[:, 2] == 0] = 0
        content["annotations"].append(
            tiny_coco.person(100 + number, 1 + number % 2, (20, 10, 70, 90), 3,
                             keypoints=points.ravel().tolist())
        )  # fmt: skip


def rewritten(change):
    """All people wide to the right of the image, their keypoints changed."""

    def changed(content):
        for number, one in enumerate(content["annotations"]):
            box = (70 + number, 10, 80, 40)
            one.update(bbox=list(box), area=3200)
            xyv = np.reshape(tiny_coco.keypoints(box), (17, 3))
            one.update(keypoints=change(xyv, box).ravel().tolist(), num_keypoints=17)

    return changed


def corners(content):
    for one in content["annotations"]:
        x, y, width, height = one["bbox"]
        one["bbox"] = [x, y, x + width, y + height]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (point(0, 400.0), "keypoints outside their image"),
        (one(bbox=[200, 10, 50, 50]), "boxes outside their image"),
        (one(bbox=[0, 0, 5, 5]), "most keypoints far outside their box"),
        (
            one(keypoints=(np.tile([0.3, 0.5, 2], 17)).tolist(), num_keypoints=17),
            "shares 0..1 in place of pixels, it seems",
        ),
        (
            lambda content: content["annotations"].append(PEOPLE[1] | {"id": 30}),
            "people labelled twice (duplicates)",
        ),
        (exchanged, "left and right exchanged on most people"),
        (
            one(iscrowd=1),
            "crowd regions with labelled keypoints: nobody is learned from or looked for there",
        ),
        (rewritten(lambda xyv, box: xyv[:, [1, 0, 2]]), "x and y exchanged, it seems"),
        (
            rewritten(lambda xyv, box: xyv - [*box[:2], 0]),
            "keypoints counted from the corner of their box, it seems",
        ),
        (corners, "boxes as corners x, y, x, y in place of x, y, width, height, it seems"),
    ],
)
def test_suspicious_annotations_are_counted(change, kind, tmp_path, monkeypatch):
    folder = k1(tmp_path, disturbed(change))
    assert suspicious(folder, monkeypatch)[kind]["count"] >= 1


def test_sixteen_bits_a_colour_are_told(tmp_path, monkeypatch):
    folder = k1(tmp_path)
    deep = cv2.imencode(".png", np.full((*HW, 3), 40_000, np.uint16))[1].tobytes()
    damaged_file(folder, lambda _: deep)
    assert suspicious(folder, monkeypatch)["unusual bit depth; read as 8 bits a colour"]["count"]


def test_a_scan_with_bytes_left_over_is_told(tmp_path, monkeypatch):
    folder = k1(tmp_path)
    damaged_file(folder, lambda data: data[:-2] + bytes(range(200)) + data[-2:])
    kinds = suspicious(folder, monkeypatch)
    assert kinds["JPEGs with bytes left over: damaged in the middle, perhaps"]["count"] == 1


def real_content(shared):
    """Three real images and their four people, numbered as those of CONTENT are."""
    listed = json.loads((shared / "coco-mini/annotations/person_keypoints.json").read_text())
    of_image = {}
    for one in listed["annotations"]:
        if one["num_keypoints"] and not one["iscrowd"]:
            of_image.setdefault(one["image_id"], []).append(one)
    by_count = {
        count: [i for i, people in of_image.items() if len(people) == count] for count in (1, 2)
    }
    chosen = [by_count[2][0], *by_count[1][:2]]
    numbers = dict(zip(chosen, (1, 2, 5), strict=True))
    people = [one | {"image_id": numbers[i]} for i in chosen for one in of_image[i]]
    sizes = {one["id"]: one for one in listed["images"]}
    return CONTENT | {
        "images": [sizes[i] | {"id": number} for i, number in numbers.items()],
        "annotations": [one | {"id": number} for number, one in enumerate(people, 11)],
    }


@pytest.mark.parametrize("name", ROWS)
def test_real_images_and_people_give_the_same(name, shared, tmp_path, monkeypatch):
    content = json.loads(json.dumps(real_content(shared)))  # CONTENT's lists stay as they are
    folder = k1(tmp_path, content, content["annotations"])
    path = folder / "data/annotations/val.json"
    assert name != "as it is" or ap(folder, monkeypatch, path) == pytest.approx(1)
    change, message = ROWS[name]
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed))
    if message is SAME:
        assert ap(folder, monkeypatch, path) == pytest.approx(1)
    else:
        with pytest.raises(SystemExit, match=rf"^error: .*val\.json: .*{message}"):
            ap(folder, monkeypatch, path)


def test_a_val_without_people_is_no_error_and_has_no_ap(tmp_path, monkeypatch):
    folder = k1(tmp_path)
    empty = disturbed(lambda content: content["annotations"].clear())
    (folder / "data/annotations/val.json").write_text(json.dumps(empty))
    assert inspect(folder, monkeypatch)["sets"]["val"]["people"] == 0
    assert ap(folder, monkeypatch, folder / "data/inspected/annotations/val.json") is None


def test_a_train_without_people_is_an_error(tmp_path, monkeypatch):
    folder = k1(tmp_path)
    empty = disturbed(each(keypoints=del_))
    (folder / "data/annotations/train.json").write_text(json.dumps(empty))
    with pytest.raises(SystemExit, match=r"train\.json: no person with a labelled keypoint"):
        inspect(folder, monkeypatch)


def test_what_is_suspicious_is_an_error_where_that_is_asked_for(tmp_path, monkeypatch):
    folder = k1(tmp_path, disturbed(point(0, 400.0)))
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("suspicious: report", "suspicious: fail"))
    with pytest.raises(SystemExit, match=r"suspicious data .*1 keypoints outside their image"):
        inspect(folder, monkeypatch)


JUNK = st.none() | st.booleans() | st.integers(-3, 10**19) | st.floats() | st.text(max_size=3) | (
    st.lists(st.integers(0, 3) | st.none(), max_size=5)
) | st.just({})  # fmt: skip
FIELDS = ("id", "image_id", "category_id", "iscrowd", "area", "bbox", "keypoints", "segmentation",
          "num_keypoints")  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    row=st.integers(0, 3),
    changes=st.dictionaries(st.sampled_from(FIELDS), JUNK | st.just(del_), min_size=1, max_size=2),
)
def test_whatever_stands_in_a_field_the_ap_is_right_or_field_and_id_are_named(
    row, changes, tmp_path, monkeypatch
):
    content = json.loads(json.dumps(CONTENT))
    person = content["annotations"][row]
    for name, value in changes.items():
        person[name] = value
        if value is del_:
            del person[name]
    folder = k1(tmp_path, content)
    said = io.StringIO()
    try:
        with monkeypatch.context() as patch:
            found = ap(folder, patch, folder / "data/annotations/val.json")
    except SystemExit as problem:
        said.write(str(problem))
        assert any(f"`{name}" in said.getvalue() for name in changes)
        return
    # a person may become a region to ignore, or belong to another image: that is what was said
    if not {"image_id", "iscrowd", "keypoints"} & set(changes):
        assert found == pytest.approx(1)
