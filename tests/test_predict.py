import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from benchmarks.painted import crowd, maps
from stages import predict
from stages.openpose.decoding.people import People
from stages.openpose.skeleton import COCO
from stages.params import Decoder
from tests.oracle import Oracle, figure, numbered_image
from tests.test_detect import write_params

SIZES = {1: (184, 240), 2: (190, 184)}
PEOPLE = {1: np.stack([figure(60, 30, 120), figure(170, 50, 100)]), 2: figure(90, 40, 110)[None]}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Two images in a folder, a model that is the oracle, params; the folder of it all."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, hw in SIZES.items():
        cv2.imwrite(str(folder / f"image {number}.png"), numbered_image(number, hw))
    (folder / "notes.txt").write_text("no image")
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(predict, "load_forward", lambda *_: Oracle(PEOPLE, SIZES, 184))
    write_params(tmp_path / "params.yaml")
    return tmp_path


def run(world, monkeypatch, *options):
    options = [
        "--model",
        world / "model",
        "--params",
        world / "params.yaml",
        "--output",
        world / "out",
        *options,
    ]
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, options)])
    predict.main()


@pytest.mark.parametrize("inference", ["single", "multi", "multi_flip"])
def test_people_of_a_folder_are_listed_and_drawn(world, monkeypatch, inference):
    run(world, monkeypatch, world / "images", "--inference", inference)
    document = json.loads((world / "out/people.json").read_text())
    assert document["keypoints"] == list(COCO.keypoints)
    assert [(entry["image"], entry["height"], entry["width"]) for entry in document["images"]] == [
        ("image 1.png", 184, 240),
        ("image 2.png", 190, 184),
    ]
    assert [len(entry["people"]) for entry in document["images"]] == [2, 1]
    wrist = document["images"][1]["people"][0]["keypoints"][COCO.keypoints.index("left_wrist")]
    np.testing.assert_allclose(wrist[:2], PEOPLE[2][0, COCO.parts.index("left_wrist"), :2], atol=1)
    image = cv2.imread(str(world / "out/image 2.jpg"))
    assert (np.abs(image.astype(int) - numbered_image(2, SIZES[2])).max(axis=2) > 60).mean() > 0.01


def test_one_scale_looks_once(world, monkeypatch):
    oracle = Oracle(PEOPLE, SIZES, 184)
    monkeypatch.setattr(predict, "load_forward", lambda *_: oracle)
    run(world, monkeypatch, world / "images/image 1.png", "--inference", "single")
    assert len(oracle.shapes) == 1


def test_maps_are_drawn_on_request(world, monkeypatch):
    run(world, monkeypatch, world / "images", "--maps")
    assert cv2.imread(str(world / "out/image 1.maps.jpg")).shape == (184, 3 * 240, 3)


def test_the_references_way_works_too(world, monkeypatch):
    values = yaml.safe_load((world / "params.yaml").read_text())
    values["decoder"]["mode"] = "parity"
    (world / "params.yaml").write_text(yaml.safe_dump(values))
    run(world, monkeypatch, world / "images")
    document = json.loads((world / "out/people.json").read_text())
    assert [len(entry["people"]) for entry in document["images"]] == [2, 1]
    with pytest.raises(SystemExit, match="--maps: not with"):
        run(world, monkeypatch, world / "images", "--maps")


def test_uncertain_people_are_listed_but_not_drawn(world, monkeypatch):
    run(world, monkeypatch, world / "images", "--min-score", "2")
    assert len(json.loads((world / "out/people.json").read_text())["images"][0]["people"]) == 2
    image = cv2.imread(str(world / "out/image 2.jpg"))
    assert np.abs(image.astype(int) - numbered_image(2, SIZES[2])).max() < 60


def test_keypoints_that_the_network_did_not_see_are_neither_listed_nor_drawn():
    people, grid = crowd(np.random.default_rng(0), 2)
    wrist = COCO.parts.index("left_wrist")
    people[:, wrist, 2] = 2
    guessing = Decoder(complete=True)
    found = predict.decode_keeping_maps(*maps(people, grid), stride=8, settings=guessing)
    assert not found.parts[:, wrist].any()
    assert (np.delete(found.parts[..., 2], wrist, axis=1) > 0).all()


def test_certainty_is_the_mean_score_of_the_keypoints_that_were_found():
    keypoints = np.zeros((2, 17, 3), np.float32)
    keypoints[0, [3, 9], 2] = 0.9, 0.5
    nobody = People(keypoints, np.zeros((2, 18, 3), np.float32), np.ones(2, np.float32))
    np.testing.assert_allclose(predict.certainty(nobody), [0.7, 0.0])


def test_people_are_listed_best_first():
    scores = np.array([1.0, 3.0, 2.0, 3.0], np.float32)
    keypoints = np.ones((4, 17, 3), np.float32) * np.arange(4)[:, None, None]
    people = People(keypoints, np.zeros((4, 18, 3), np.float32), scores)
    listed = predict.described(Path("a.jpg"), (10, 20), people)["people"]
    assert [person["score"] for person in listed] == [3.0, 3.0, 2.0, 1.0]
    assert [(person["keypoints"][0] or [0])[0] for person in listed] == [1, 3, 2, 0]


def test_mistakes_are_named(world, monkeypatch):
    (world / "empty").mkdir()
    (world / "images/broken.jpg").write_bytes(b"\xff\xd8broken")
    (world / "again").mkdir()
    (world / "again/image 1.jpg").write_bytes(b"")
    for options, words in (
        ([world / "nothing.jpg"], "nothing.jpg: no such image"),
        ([world / "empty"], "empty: no image in this folder"),
        ([world / "images/broken.jpg"], "broken.jpg: not an image"),
        ([world / "images/notes.txt"], "notes.txt: not an image"),
        ([world / "images/image 1.png", world / "again"], "run them apart"),
    ):
        with pytest.raises(SystemExit, match=words):
            run(world, monkeypatch, *options)


def test_an_image_that_is_read_is_never_written_over(world, monkeypatch):
    photo = world / "images/image 1.jpg"
    (world / "images/image 1.png").rename(photo)
    before = photo.read_bytes()
    with pytest.raises(SystemExit, match=r"image 1\.jpg would replace .*; name another folder"):
        run(world, monkeypatch, world / "images", "--output", world / "images")
    assert photo.read_bytes() == before
    assert not (world / "images/people.json").exists()


def test_a_network_by_name_comes_with_the_settings_for_photographs(world):
    photos = predict.settings_for("light", None)
    assert photos.detect.scales == (0.5, 1.0, 1.5, 2.0)
    assert photos.detect.precision == "auto"
    assert predict.settings_for("light", world / "params.yaml").detect.height_px == 184
