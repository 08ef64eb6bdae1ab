import io
import json
import sys
from fractions import Fraction

import cv2
import numpy as np
import pandas
import pytest
import yaml

from benchmarks.painted import crowd, maps
from stages import params, pose, predict
from stages.openpose.evaluation.calibration import Calibration, settings_of, to_json
from stages.openpose.files import file_digest
from stages.openpose.predicting import films
from stages.openpose.predicting.found import FoundPeople, best_first
from stages.openpose.skeleton import COCO
from stages.params import Decoder, Params
from tests.oracle import Oracle, figure, numbered_image
from tests.test_detect import write_params
from tests.test_pose import write_empty_model

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
    write_empty_model(tmp_path / "model")
    monkeypatch.setattr(pose, "load_fastest", lambda *_: Oracle(PEOPLE, SIZES, 184))
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
    monkeypatch.setattr(pose, "load_fastest", lambda *_: oracle)
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
    guessing = pose.Pose(None, Params(decoder=Decoder(complete=True)))
    found = pose._decode(*maps(people, grid), stride=8, pose=guessing)
    assert not found.parts[:, wrist].any()
    assert (np.delete(found.parts[..., 2], wrist, axis=1) > 0).all()


def test_certainty_is_the_mean_score_of_the_keypoints_that_were_found():
    keypoints = np.zeros((2, 17, 3), np.float32)
    keypoints[0, [3, 9], 2] = 0.9, 0.5
    nobody = FoundPeople(keypoints, np.zeros((2, 18, 3), np.float32), np.ones(2, np.float32))
    np.testing.assert_allclose(nobody.certainty, [0.7, 0.0])


def test_calibrated_people_carry_a_probability_and_unlikely_ones_are_left_out(world, monkeypatch):
    settings = params.load(world / "params.yaml")
    fitted = Calibration(
        np.array([0.0, 9.0]),
        np.array([0.0, 0.9]),
        people=60,
        images=9,
        weights=file_digest(world / "model/weights.h5"),
        settings=settings_of("multi", settings.detect, settings.decoder),
    )
    (world / "calibration.json").write_text(to_json(fitted))
    options = (world / "images", "--calibration", world / "calibration.json")
    run(world, monkeypatch, *options)
    listed = json.loads((world / "out/people.json").read_text())["images"]
    people = [person for entry in listed for person in entry["people"]]
    for person in people:
        assert person["probability"] == pytest.approx(person["score"] / 10, abs=1e-4)
    least = sorted(person["probability"] for person in people)[1] - 1e-4
    run(world, monkeypatch, *options, "--min-probability", least)
    listed = json.loads((world / "out/people.json").read_text())["images"]
    assert sum(len(entry["people"]) for entry in listed) == 2
    with pytest.raises(SystemExit, match=r"fitted with other settings: inference multi"):
        run(world, monkeypatch, *options, "--inference", "single")
    with pytest.raises(SystemExit, match="--min-probability: needs --calibration"):
        run(world, monkeypatch, world / "images", "--min-probability", 0.5)


def test_people_are_listed_best_first():
    scores = np.array([1.0, 3.0, 2.0, 3.0], np.float32)
    keypoints = np.ones((4, 17, 3), np.float32) * np.arange(4)[:, None, None]
    people = best_first(FoundPeople(keypoints, np.zeros((4, 18, 3), np.float32), scores))
    assert people.scores.tolist() == [3.0, 3.0, 2.0, 1.0]
    assert people.keypoints[:, 0, 0].tolist() == [1, 3, 2, 0]


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
    photos = pose.settings_for("light", None)
    assert photos.detect.scales == (0.5, 1.0, 1.5, 2.0)
    assert photos.detect.precision == "auto"
    assert pose.settings_for("light", world / "params.yaml").detect.height_px == 184


def test_one_broken_file_costs_an_exit_code_and_not_the_run(world, monkeypatch):
    (world / "images/broken.jpg").write_bytes(b"\xff\xd8broken")
    with pytest.raises(SystemExit, match=r"(?s)1 could not be read, all else is done.*broken\.jpg"):
        run(world, monkeypatch, world / "images")
    document = json.loads((world / "out/people.json").read_text())
    assert [len(entry["people"]) for entry in document["images"]] == [2, 1]


def test_what_is_left_out_is_said(world, monkeypatch, capsys):
    (world / "images/photo.HEIC").write_bytes(b"")
    run(world, monkeypatch, world / "images")
    assert "left out, not images or films that are known: 1 .heic, 1 .txt" in capsys.readouterr()[0]


def test_equal_names_in_two_folders_both_survive(world, monkeypatch):
    (world / "images/deep").mkdir()
    (world / "images/image 2.png").rename(world / "images/deep/image 1.png")
    run(world, monkeypatch, world / "images")
    assert cv2.imread(str(world / "out/image 1.jpg")).shape[:2] == SIZES[1]
    assert cv2.imread(str(world / "out/deep/image 1.jpg")).shape[:2] == SIZES[2]
    document = json.loads((world / "out/people.json").read_text())
    assert [entry["image"] for entry in document["images"]] == ["deep/image 1.png", "image 1.png"]


def test_a_list_on_standard_input_is_read(world, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{world / 'images/image 2.png'}\n\n"))
    run(world, monkeypatch, "-")
    assert len(json.loads((world / "out/people.json").read_text())["images"]) == 1


def test_an_output_that_is_a_file_is_refused(world, monkeypatch):
    with pytest.raises(SystemExit, match=r"notes\.txt: is a file; name a folder"):
        run(world, monkeypatch, world / "images", "--output", world / "images/notes.txt")


def test_every_form_of_output_holds_the_same_people(world, monkeypatch):
    run(world, monkeypatch, world / "images", "--save", "coco,openpose,csv")
    results = json.loads((world / "out/coco.json").read_text())
    images = json.loads((world / "out/coco_images.json").read_text())
    assert [(image["id"], image["file_name"]) for image in images] == [
        (1, "image 1.png"), (2, "image 2.png"),
    ]  # fmt: skip
    assert [result["image_id"] for result in results] == [1, 1, 2]
    table = pandas.read_csv(world / "out/people.csv")
    for name, image_id in (("image 1", 1), ("image 2", 2)):
        points = np.reshape([r["keypoints"] for r in results if r["image_id"] == image_id], (-1, 3))
        rows = table[table.image == f"{name}.png"]
        np.testing.assert_allclose(rows[["x", "y"]], points[points[:, 2] > 0, :2])
        document = json.loads((world / f"out/openpose/{name}_keypoints.json").read_text())
        parts = np.reshape([p["pose_keypoints_2d"] for p in document["people"]], (-1, 18, 3))
        in_keypoint_order = parts[:, list(COCO.part_of_keypoint)].reshape(-1, 3)
        np.testing.assert_allclose(in_keypoint_order[:, :2], points[:, :2], atol=0.01)
    assert not (world / "out/people.json").exists()
    assert not (world / "out/image 1.jpg").exists()


def test_a_film_becomes_a_film_with_ids_that_stay(world, monkeypatch):
    pytest.importorskip("av", reason="PyAV is not installed")
    with films.FilmWriter(world / "film.mov", Fraction(10)) as writer:
        for number in range(4):
            pixels = numbered_image(1, SIZES[1])
            writer.write(pixels, films.Frame(number, pixels, number, Fraction(1, 10)))
    run(world, monkeypatch, world / "film.mov", "--smooth", "--inference", "single", "--every", "2")
    document = json.loads((world / "out/people.json").read_text())
    assert [(entry["frame"], entry["time_s"]) for entry in document["images"]] == [(0, 0), (2, 0.2)]
    ids = [[person["id"] for person in entry["people"]] for entry in document["images"]]
    assert sorted(ids[0]) == [1, 2]
    assert ids[0] == ids[1]
    drawn = list(films.frames_of(world / "out/film.mp4"))
    assert [frame.time_s for frame in drawn] == [0, 0.2]
    assert (np.abs(drawn[0].pixels.astype(int) - numbered_image(1, SIZES[1])) > 60).mean() > 0.01


def test_without_pyav_a_film_is_refused_in_one_line(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (world / "film.mp4").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"films need PyAV, .* pip install av"):
        run(world, monkeypatch, world / "images", world / "film.mp4")


@pytest.mark.parametrize("options", [["--save", "png"], ["--save", ","], ["--every", "0"]])
def test_options_that_mean_nothing_are_refused(world, monkeypatch, options):
    with pytest.raises(SystemExit):
        run(world, monkeypatch, world / "images", *options)
