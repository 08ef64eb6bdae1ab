import contextlib
import json
import sys

import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO as CocoIndex

from stages import detect, params
from stages.openpose.evaluation.scoring import evaluate, read_ground_truth
from stages.openpose.report.gallery import read_maps
from tests.oracle import SCALES, Oracle, figure, write_dataset

SIZES = {1: (184, 240), 2: (184, 184), 3: (200, 150), 4: (184, 240), 5: (190, 190)}
PEOPLE = {
    1: np.stack([figure(60, 30, 120), figure(170, 50, 100)]),
    2: figure(90, 40, 110)[None],
    3: figure(70, 40, 130)[None],
    4: np.zeros((0, 18, 3)),
    5: figure(100, 30, 140)[None],
}


def write_params(path, **detect_changes):
    """The sample's params with a smaller height, the oracle's scales and other changes of the
    section detect.
    """
    values = yaml.safe_load(params.preset_text("sample"))
    changes = {
        "height_px": 184,
        "scales": list(SCALES),
        "shards": [0, 1],
        "batch_size": 2,
    } | detect_changes
    values["detect"] |= changes
    path.write_text(yaml.safe_dump(values))
    return path


def run(monkeypatch, main, *options):
    """Run a command line in this process."""
    monkeypatch.setattr(sys, "argv", ["stage", *map(str, options)])
    main()


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A data set of five images, a model that is the oracle, params; the folder of it all."""
    write_dataset(tmp_path / "data", PEOPLE, SIZES)
    (tmp_path / "data/ids").mkdir()
    (tmp_path / "data/ids/some.txt").write_text("# a comment\n5\n2\n\n3\n")
    model = tmp_path / "models/oracle"
    model.mkdir(parents=True)
    (model / "model.yaml").write_text("kind: keras\nnetwork: light\n")
    (model / "weights.weights.h5").write_text("")
    monkeypatch.setattr(detect, "load_forward", lambda *_: Oracle(PEOPLE, SIZES, 184))
    write_params(tmp_path / "params.yaml")
    return tmp_path


def common(world):
    return ["--model", world / "models/oracle", "--params", world / "params.yaml"]


def images_of(folder):
    return json.loads((folder / "images.json").read_text())


def test_shards_together_are_the_whole_set(world, monkeypatch):
    for shard in (0, 1):
        output = world / f"results/val/{shard}"
        run(
            monkeypatch,
            detect.main,
            *common(world),
            "--data",
            world / "data",
            "--shard",
            shard,
            "--output",
            output,
        )
    assert images_of(world / "results/val/0") == [1, 3, 5]
    assert images_of(world / "results/val/1") == [2, 4]


def test_people_are_found_at_their_places_by_all_outputs(world, monkeypatch):
    output = world / "out"
    run(
        monkeypatch,
        detect.main,
        *common(world),
        "--data",
        world / "data",
        "--shards",
        1,
        "--output",
        output,
    )
    with contextlib.redirect_stdout(None):
        truth = CocoIndex(str(world / "data/annotations/val.json"))
    for name in ("single", "multi", "multi_flip"):
        results = json.loads((output / f"{name}.json").read_text())
        assert [person["image_id"] for person in results] == [1, 1, 2, 3, 5]
        for image_id in (2, 3, 5):
            (person,) = (person for person in results if person["image_id"] == image_id)
            want = np.reshape(truth.imgToAnns[image_id][0]["keypoints"], (17, 3))
            assert np.abs(np.reshape(person["keypoints"], (17, 3)) - want)[5:].max() < 1
            assert len(person["keypoint_scores"]) == 17
        assert len(truth.loadRes(results).anns) == 5
    maps = read_maps(world, SIZES)
    assert maps.keys() == SIZES.keys()
    for image_id in (2, 3, 5):
        x, y, _ = np.reshape(truth.imgToAnns[image_id][0]["keypoints"], (17, 3)).T
        heat, (height, width) = maps[image_id].heat, maps[image_id].covered_px
        rows = ((y + 0.5) / height * heat.shape[0]).astype(int)
        columns = ((x + 0.5) / width * heat.shape[1]).astype(int)
        assert heat[rows, columns].min() > 128 > np.median(heat)


def test_of_many_images_maps_are_kept_of_some_evenly_spread(world, monkeypatch):
    monkeypatch.setattr(detect, "MAPS_KEPT", 3)
    output = ["--data", world / "data", "--shards", 1, "--output", world / "out"]
    run(monkeypatch, detect.main, *common(world), *output)
    assert read_maps(world, SIZES).keys() == {1, 3, 5}


def test_an_id_list_chooses_images(world, monkeypatch):
    data = ["--data", world / "data", "--split", "some", "--shards", 1]
    run(monkeypatch, detect.main, *common(world), *data, "--output", world / "by_split")
    explicit = [
        *(
            "--annotations",
            world / "data/annotations/val.json",
            "--pictures",
            world / "data/archives/val.zip",
        ),
        *("--ids", world / "data/ids/some.txt", "--shards", 1),
    ]
    run(monkeypatch, detect.main, *common(world), *explicit, "--output", world / "by_path")
    assert images_of(world / "by_split") == [2, 3, 5]
    for name in ("single.json", "multi.json", "multi_flip.json", "images.json"):
        assert (world / "by_split" / name).read_bytes() == (world / "by_path" / name).read_bytes()


def test_two_runs_are_equal_byte_for_byte_whatever_the_threads(world, monkeypatch):
    for threads in (1, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        output = world / f"out{threads}"
        run(
            monkeypatch,
            detect.main,
            *common(world),
            "--data",
            world / "data",
            "--shards",
            1,
            "--output",
            output,
        )
    for name in ("single.json", "multi.json", "multi_flip.json", "images.json", "maps.npz"):
        assert (world / "out1" / name).read_bytes() == (world / "out3" / name).read_bytes()


def test_the_record_splits_the_time(world, monkeypatch):
    record = world / "record.json"
    run(
        monkeypatch,
        detect.main,
        *common(world),
        *("--data", world / "data", "--output", world / "out", "--record", record),
    )
    facts = json.loads(record.read_text())
    assert facts["images"] == 3
    assert set(facts["cpu_seconds_of"]) == {"read", "network", "average", "decode"}
    assert all(facts["cpu_seconds_of"][part] > 0 for part in ("read", "average", "decode"))
    assert facts["network_wall_seconds"] > 0


def test_an_empty_shard_writes_empty_results(world, monkeypatch):
    output = world / "out"
    run(
        monkeypatch,
        detect.main,
        *common(world),
        *("--data", world / "data", "--shards", 9, "--shard", 8, "--output", output),
    )
    assert images_of(output) == []
    assert json.loads((output / "multi.json").read_text()) == []


def fails(world, monkeypatch, *options):
    """Message of a command line that is expected to fail; nothing must have been written."""
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, detect.main, *common(world), *options, "--output", world / "out")
    assert not (world / "out").exists()
    assert not list(world.glob(".out*"))
    return str(caught.value.code)


def test_mistakes_are_named(world, monkeypatch):
    data = ["--data", world / "data"]
    assert "expected 0 to 1 of 2 shards, found 2" in fails(world, monkeypatch, *data, "--shard", 2)
    assert "nothing.txt" in fails(world, monkeypatch, *data, "--split", "nothing")
    assert "--annotations" in fails(world, monkeypatch)
    (world / "data/ids/wrong.txt").write_text("2\n77\n")
    assert "[77]" in fails(world, monkeypatch, *data, "--split", "wrong")
    (world / "data/ids/wrong.txt").write_text("two\n")
    assert "wrong.txt" in fails(world, monkeypatch, *data, "--split", "wrong")


def test_a_missing_image_is_named(world, monkeypatch):
    annotations = json.loads((world / "data/annotations/val.json").read_text())
    annotations["images"][1]["file_name"] = "lost.jpg"
    (world / "data/annotations/val.json").write_text(json.dumps(annotations))
    assert "lost.jpg" in fails(world, monkeypatch, "--data", world / "data", "--shards", 1)


def test_a_image_of_another_size_than_annotated_is_named(world, monkeypatch):
    annotations = json.loads((world / "data/annotations/val.json").read_text())
    annotations["images"][1]["height"] = 99
    (world / "data/annotations/val.json").write_text(json.dumps(annotations))
    assert "image 2" in fails(world, monkeypatch, "--data", world / "data", "--shards", 1)


RUN_BY_OPENVINO = {"kind": "openvino", "heatmaps": "Mconv7_stage2_L2", "pafs": "Mconv7_stage2_L1"}
RUN_BY_KERAS = {"kind": "keras", "network": "mobilenet"}


@pytest.mark.parametrize(
    ("model", "scales", "least"),
    [
        (RUN_BY_OPENVINO, [1.0], {"single": 0.345, "multi_flip": 0.372}),
        pytest.param(
            RUN_BY_KERAS, [1.0], {"single": 0.345, "multi_flip": 0.372}, marks=pytest.mark.slow
        ),
        pytest.param(
            RUN_BY_OPENVINO,
            [0.5, 1.0, 1.5, 2.0],
            {"multi": 0.432, "multi_flip": 0.435},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_real_network_reaches_its_level_on_real_images(
    shared, tmp_path, monkeypatch, model, scales, least
):
    pytest.importorskip(model["kind"])
    (tmp_path / "model").mkdir()
    for kind in ("xml", "bin"):
        content = (shared / f"real-net/human-pose-estimation-0001.{kind}").read_bytes()
        (tmp_path / f"model/net.{kind}").write_bytes(content)
    (tmp_path / "model/model.yaml").write_text(yaml.safe_dump(model | {"file": "net.xml"}))
    truth = read_ground_truth(shared / "coco-mini/annotations/person_keypoints.json")
    ids = sorted({annotation["image_id"] for annotation in truth.dataset["annotations"]})
    assert len(ids) == 36
    (tmp_path / "ids.txt").write_text("\n".join(map(str, ids)))
    run(
        monkeypatch,
        detect.main,
        *(
            "--model",
            tmp_path / "model",
            "--params",
            write_params(tmp_path / "p.yaml", height_px=368, scales=scales),
        ),
        *(
            "--annotations",
            shared / "coco-mini/annotations/person_keypoints.json",
            "--ids",
            tmp_path / "ids.txt",
        ),
        *("--pictures", shared / "coco-mini/images", "--shards", 1, "--output", tmp_path / "out"),
    )
    for output, ap in least.items():
        assert (
            evaluate(truth, json.loads((tmp_path / f"out/{output}.json").read_text()), ids)[0]["AP"]
            >= ap
        )
