"""CrowdPose and OCHuman: files in the form of their authors, through their presets."""

import json
from pathlib import Path

import numpy as np
import orjson
import pytest
from pycocotools.coco import COCO as CocoIndex
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import encode

from stages import convert, evaluate, inspect_data, layout, params
from stages.openpose.coco.annotations import read_images, read_people
from stages.openpose.skeleton import COCO, GIVEN
from stages.params import presets
from stages.params.reading import parse_yaml
from tests.test_detect import run
from tests.tiny_coco import image, jpeg, keypoints

CROWDPOSE = presets.preset_values("crowdpose")["skeleton"]
CROWDPOSE_CATEGORY = {
    "supercategory": "person",
    "id": 1,
    "name": "person",
    "keypoints": CROWDPOSE["keypoints"],
    # as CrowdPose's files have it: pairs of COCO's keypoints
    "skeleton": [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7]],
}
CROWD_INDICES = (0.0, 0.19, 0.2, 0.5, 0.8, 1.0)


def crowdpose_people(rng, image_id):
    """Two people without `area` and `segmentation`, as CrowdPose has them."""
    for number in (1, 2):
        points = np.c_[rng.uniform(5, 90, (14, 2)).round(1), rng.integers(0, 3, 14)]
        points[0, 2], points[points[:, 2] == 0, :2] = 2, 0
        yield {
            "num_keypoints": int((points[:, 2] > 0).sum()),
            "iscrowd": 0,
            "keypoints": points.ravel().tolist(),
            "image_id": image_id,
            "bbox": [4, 4, 90, 88],
            "category_id": 1,
            "id": 10 * image_id + number,
        }


def write_crowdpose(folder):
    """images/ and json/ as CrowdPose's authors hand them out."""
    rng = np.random.default_rng(3)
    (folder / "images").mkdir(parents=True)
    (folder / "json").mkdir()
    for name, first in (("trainval", 100000), ("test", 100100)):
        images = [
            image(first + i, (96, 100), f"{first + i}.jpg") | {"crowdIndex": crowd_index}
            for i, crowd_index in enumerate(CROWD_INDICES)
        ]
        for one in images:
            (folder / "images" / one["file_name"]).write_bytes(jpeg((96, 100), one["id"]))
        people = [person for one in images for person in crowdpose_people(rng, one["id"])]
        content = {"images": images, "annotations": people, "categories": [CROWDPOSE_CATEGORY]}
        (folder / "json" / f"crowdpose_{name}.json").write_text(json.dumps(content))
    return folder


def use(folder, preset, data):
    """Make a preset active in `folder`, and lay the data out as the stage download does."""
    params.use(preset, folder / "params.yaml", [f"download.root={data}"])
    sources = parse_yaml(Path(presets.WORKFLOW / "sources" / f"{preset}.yaml").read_text(), preset)
    for name, entry in sources["archives"].items():
        (folder / "data/archives").mkdir(parents=True, exist_ok=True)
        (folder / "data/archives" / f"{name}.folder").write_text(f"{data / entry['folder']}\n")
    for name, entry in sources["annotations"].items():
        (folder / "data/annotations").mkdir(exist_ok=True)
        (folder / "data/annotations" / f"{name}.json").write_bytes(
            (data / entry["url"]).read_bytes()
        )


def inspected(monkeypatch, folder):
    monkeypatch.chdir(folder)
    run(monkeypatch, inspect_data.main, "--data", "data", "--output", "data/inspected")


@pytest.fixture
def crowdpose(tmp_path, monkeypatch):
    """CrowdPose's form, converted and inspected under its preset; the folder of it."""
    source, converted = write_crowdpose(tmp_path / "theirs"), tmp_path / "converted"
    files = [source / f"json/crowdpose_{name}.json" for name in ("trainval", "test")]
    options = ("--images", source / "images", "--output", converted)
    run(monkeypatch, convert.main, "coco", *files, *options)
    use(tmp_path, "crowdpose", converted)
    inspected(monkeypatch, tmp_path)
    return tmp_path


def test_crowdpose_has_its_own_sigmas_limbs_and_areas(crowdpose):
    images = read_images(crowdpose / "data/inspected/annotations/val.json")
    skeleton = layout.read_skeleton(crowdpose / "data", images)
    assert skeleton.oks_sigmas == tuple(CROWDPOSE["sigmas"])
    assert skeleton.sigmas_from == GIVEN
    assert len(skeleton.limbs) == 13
    assert skeleton.mirrored_keypoints == (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13)
    np.testing.assert_allclose(read_people(images.path, images).areas, 0.53 * 90 * 88)


def write_detections(folder, annotations):
    """One person found for each labelled one, some pixels off, in the files of stage detect."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    content = orjson.loads(annotations.read_bytes())
    results = []
    for person in content["annotations"]:
        points = np.reshape(person["keypoints"], (-1, 3)).astype(float)
        points[:, :2] += rng.normal(0, 6, 2)
        found = {"image_id": person["image_id"], "category_id": 1, "score": float(rng.random())}
        results.append(found | {"keypoints": points.ravel().tolist()})
    for output in ("single", "multi", "multi_flip"):
        (folder / f"{output}.json").write_bytes(orjson.dumps(results))
    (folder / "images.json").write_bytes(orjson.dumps([one["id"] for one in content["images"]]))
    return results


def judge(annotations, results, ids):
    """AP by pycocotools alone, with CrowdPose's sigmas."""
    truth = CocoIndex(str(annotations))
    judged = COCOeval(truth, truth.loadRes(results), "keypoints")
    judged.params.imgIds, judged.params.kpt_oks_sigmas = ids, np.array(CROWDPOSE["sigmas"])
    judged.evaluate()
    judged.accumulate()
    return judged.eval["precision"][:, :, :, 0, :].mean()


def test_ap_by_crowd_index_is_that_of_pycocotools_on_the_images_of_each_level(
    crowdpose, monkeypatch
):
    annotations = crowdpose / "data/inspected/annotations/val.json"
    results = write_detections(crowdpose / "found/val/0", annotations)
    scores = crowdpose / "scores/val.json"
    options = ["--data", "data", "--detections", "found", "--output", scores]
    run(monkeypatch, evaluate.main, *options, "--plots", scores.with_suffix(""))
    metrics = json.loads(scores.read_text())
    ids = [one["id"] for one in orjson.loads(annotations.read_bytes())["images"]]
    levels = {"easy": ids[:2], "medium": ids[2:4], "hard": ids[4:]}
    expected = {level: judge(annotations, results, ids) for level, ids in levels.items()}
    assert metrics["crowd_index"]["multi"] == pytest.approx(expected, abs=1e-6)
    assert len(set(expected.values())) == 3
    assert metrics["multi"]["AP"] == pytest.approx(judge(annotations, results, ids), abs=1e-6)


def test_annotations_without_crowd_index_have_no_such_figure(tmp_path):
    path = tmp_path / "val.json"
    path.write_text(json.dumps({"images": [image(1)], "annotations": []}))
    assert evaluate.crowd_index.read(read_images(path)) is None


def test_ochuman_is_taken_as_its_authors_hand_it_out(tmp_path, monkeypatch):
    data = tmp_path / "theirs"
    (data / "images").mkdir(parents=True)
    category = {
        "id": 1,
        "name": "person",
        "keypoints": list(COCO.keypoints),
        "skeleton": [[16, 14]],
    }
    mask = encode(np.asfortranarray(np.ones((120, 160), np.uint8)))
    for name, number in (("val", 1), ("test", 1)):  # both files number their images from 1
        file_name = f"00{len(name)}.jpg"
        (data / "images" / file_name).write_bytes(jpeg((120, 160), len(name)))
        person = {
            "image_id": number, "area": 60 * 100, "num_keypoints": 17, "iscrowd": 0, "id": 1,
            "category_id": 1, "keypoints": keypoints((10, 10, 60, 100)), "bbox": [10, 10, 60, 100],
            "segmentation": mask | {"counts": mask["counts"].decode()},
        }  # fmt: skip
        content = {
            "categories": [category],
            "images": [image(number, name=file_name)],
            "annotations": [person],
        }
        (data / f"ochuman_coco_format_{name}_range_0.00_1.00.json").write_text(json.dumps(content))
    use(tmp_path, "ochuman", data)
    inspected(monkeypatch, tmp_path)
    for name in ("val", "test"):
        images = read_images(tmp_path / f"data/inspected/annotations/{name}.json")
        assert layout.read_skeleton(tmp_path / "data", images) == COCO
        assert read_people(images.path, images).areas.tolist() == [6000]
