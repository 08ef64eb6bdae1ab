import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from stages import detect, evaluate, params
from stages.openpose.evaluation import scoring
from stages.openpose.report import inputs
from stages.openpose.skeleton import COCO
from tests.oracle import Oracle
from tests.test_detect import PEOPLE, SIZES, run, write_dataset, write_params

OUTPUTS = ("single", "multi", "multi_flip")


@pytest.fixture(scope="module")
def detected(tmp_path_factory):
    """The data set of test_detect and what stage detect found in it, in two shards."""
    folder = tmp_path_factory.mktemp("detected")
    write_dataset(folder / "data", PEOPLE, SIZES)
    (folder / "data/ids").mkdir()
    (folder / "data/ids/some.txt").write_text("5\n2\n3\n")
    model = folder / "model"
    model.mkdir()
    (model / "model.yaml").write_text("kind: keras\nnetwork: light\n")
    (model / "weights.weights.h5").write_text("")
    write_params(folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detect, "load_forward", lambda *_: Oracle(PEOPLE, SIZES, 184))
        for shard in (0, 1):
            run(
                patch,
                detect.main,
                *("--model", model, "--params", folder / "params.yaml", "--data", folder / "data"),
                *("--shard", shard, "--output", folder / f"found/val/{shard}"),
            )
    return folder


@pytest.fixture
def world(detected, tmp_path):
    """A copy of `detected` that a test may change."""
    return shutil.copytree(detected, tmp_path / "world")


def score(world, monkeypatch, *options):
    """Run the stage; its metrics."""
    run(
        monkeypatch,
        evaluate.main,
        *("--params", world / "params.yaml", "--detections", world / "found", *options),
        *("--output", world / "scores/val.json", "--plots", world / "scores/val"),
    )
    return json.loads((world / "scores/val.json").read_text())


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_exact_maps_score_nearly_one_with_every_inference(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data")
    assert metrics["images"] == 5
    assert metrics["people"] == 5
    for output in OUTPUTS:
        assert set(scoring.METRICS) < set(metrics[output])
        assert metrics[output]["AP"] > 0.9
        assert metrics[output]["AP_low"] <= metrics[output]["AP"] <= metrics[output]["AP_high"]


def test_metrics_are_those_of_pycocotools(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data", "--split", "some")
    truth = scoring.read_ground_truth(world / "data/annotations/val.json")
    results = [
        person
        for shard in (0, 1)
        for person in json.loads((world / f"found/val/{shard}/multi.json").read_text())
    ]
    want, _ = scoring.evaluate(truth, results, [2, 3, 5])
    assert metrics["images"] == 3
    assert {name: metrics["multi"][name] for name in want} == pytest.approx(want, abs=1e-6)


def test_explicit_paths_give_the_same_as_a_data_folder(world, monkeypatch):
    by_folder = score(world, monkeypatch, "--data", world / "data", "--split", "some")
    paths = [
        "--annotations",
        world / "data/annotations/val.json",
        "--ids",
        world / "data/ids/some.txt",
    ]
    assert score(world, monkeypatch, *paths) == by_folder


def test_two_runs_are_equal_byte_for_byte(world, monkeypatch):
    def content():
        score(world, monkeypatch, "--data", world / "data")
        files = sorted((world / "scores").rglob("*.*"))
        return {file.name: file.read_bytes() for file in files}

    assert content() == content()


def test_many_images_are_scored_side_by_side_with_the_same_result(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data")
    code = "from stages import evaluate; evaluate.MANY_IMAGES = 1; evaluate.main()"
    command = [sys.executable, "-c", code, "--params", world / "params.yaml"]
    command += ["--data", world / "data", "--detections", world / "found"]
    command += ["--output", world / "other/val.json", "--plots", world / "other/val"]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    subprocess.run([*map(str, command)], check=True, env=environment, timeout=120)
    assert json.loads((world / "other/val.json").read_text()) == metrics
    for path in (world / "scores/val").iterdir():
        assert path.read_bytes() == (world / "other/val" / path.name).read_bytes()


def test_a_process_that_is_killed_while_it_scores_is_one_line():
    code = (
        "import os\nfrom stages.evaluate import InputError, in_processes\n"
        "try: in_processes(lambda item: os.kill(os.getpid(), 9), (1, 2), 2)\n"
        "except InputError as problem: print(problem)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert "was ended from outside" in said


def test_tables_hold_what_plots_need(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data")
    folder = world / "scores/val"
    curves = table(folder / "pr.csv")
    assert len(curves) == 101
    assert set(curves[0]) == {
        "recall",
        *(f"{output}_{oks}" for output in OUTPUTS for oks in (50, 75)),
    }
    mean = np.mean([float(row["multi_50"]) for row in curves])
    assert mean == pytest.approx(metrics["multi"]["AP50"], abs=1e-5)
    assert sum(int(row["single"]) for row in table(folder / "oks.csv")) == 5
    errors = table(folder / "keypoints.csv")
    assert len(errors) == 3 * 17
    for row in errors:
        assert sum(
            float(row[kind]) for kind in ("good", "jitter", "inversion", "swap", "miss", "absent")
        ) == pytest.approx(1)
    groups = {(row["inference"], row["group"]): row for row in table(folder / "groups.csv")}
    assert float(groups["multi", "all"]["AP"]) == pytest.approx(metrics["multi"]["AP"])
    assert groups["multi", "people 9+"]["AP"] == ""
    assert {row["image_id"] for row in table(folder / "worst.csv")} == {"1", "2", "3", "5"}


def test_tables_say_what_the_headline_is_lost_to(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data")
    folder = world / "scores/val"
    steps = table(folder / "waterfall.csv")
    assert float(steps[0]["AP"]) == metrics["multi"]["AP"]
    assert {step["step"]: float(step["gain"]) for step in steps[1:]} == metrics["lost"]
    points = table(folder / "points.csv")
    assert [row["keypoint"] for row in points] == list(COCO.keypoints)
    assert all(float(row["median_sigmas"]) < 1 < 2 * float(row["AP"]) for row in points)
    groups = table(folder / "sensitivity.csv")
    assert sum(int(row["people"]) for row in groups if row["attribute"] == "size, px") == 5
    assert {row["of"] for row in table(folder / "reliability.csv")} == {"person", "keypoint"}
    assert len(table(folder / "thresholds.csv")) == 5


def test_a_second_judge_that_disagrees_is_named(world, monkeypatch, capsys):
    def wrong(*_):
        return lambda results: {"AP": 0.25, "AP50": None}

    monkeypatch.setattr(evaluate.second_judge, "judge", wrong)
    score(world, monkeypatch, "--data", world / "data")
    told = capsys.readouterr().out
    assert "differ: single AP 1.0 and 0.25, single AP50 1.0 and None, multi AP" in told


def test_images_that_were_not_looked_at_are_named(world, monkeypatch):
    (world / "found/val/1/images.json").write_text("[4]")
    with pytest.raises(SystemExit, match=r"1 of 5 images.*\[2\]"):
        score(world, monkeypatch, "--data", world / "data")
    assert not (world / "scores").exists()


def test_no_detections_folder_is_named(world, monkeypatch):
    (world / "found").rename(world / "elsewhere")
    with pytest.raises(SystemExit, match=r"found: no images\.json"):
        score(world, monkeypatch, "--data", world / "data")


def test_shards_left_over_from_an_earlier_plan_do_not_count(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data")
    leftover = world / "found/val/2"
    leftover.mkdir()
    (leftover / "images.json").write_text("[1, 2]")
    for output in OUTPUTS:
        (leftover / f"{output}.json").write_text("[]")
    assert score(world, monkeypatch, "--data", world / "data") == metrics


def test_an_image_in_two_shards_is_an_error(world, monkeypatch):
    (world / "found/val/1/images.json").write_text("[1, 2, 4]")
    with pytest.raises(SystemExit, match=r"image 1 is in .*val/0 and in .*val/1"):
        score(world, monkeypatch, "--data", world / "data")


def packed_with(monkeypatch, ids_by_name):
    """Let packed files hold the images of `ids_by_name`, by file name."""

    class Packed:
        def __init__(self, path):
            self.image_ids = np.array(ids_by_name[path.name], np.int64)
            self.sources = np.zeros(len(self.image_ids), np.uint8)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(evaluate, "open_packed", Packed)


def test_images_trained_on_make_the_figure_contaminated(world, monkeypatch):
    packed_with(monkeypatch, {"train.h5": [2, 100], "val.h5": [3]})
    packed = ["--train-packed", world / "train.h5", world / "val.h5"]
    metrics = score(world, monkeypatch, "--data", world / "data", "--split", "some", *packed)
    assert metrics["leaked_images"] == 2
    assert metrics["contaminated"] is True
    assert metrics["protocol"] == "contaminated", "not clean, whatever pack.protocol was"


def test_a_clean_figure_is_called_clean(world, monkeypatch):
    packed_with(monkeypatch, {"train.h5": [100, 101], "val.h5": []})
    packed = ["--train-packed", world / "train.h5", world / "val.h5"]
    metrics = score(world, monkeypatch, "--data", world / "data", *packed)
    assert metrics["leaked_images"] == 0
    assert metrics["contaminated"] is False
    assert metrics["protocol"] == "clean"


def test_without_packed_files_nothing_is_claimed(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data")
    assert metrics["leaked_images"] is None
    assert metrics["contaminated"] is None


def test_of_an_imported_model_only_its_own_statement_is_known(world, monkeypatch):
    packed_with(monkeypatch, {"train.h5": [100]})
    for shard in (0, 1):
        (world / f"found/val/{shard}/model.json").write_text(
            '{"imported": true, "trained_on": "COCO 2017 train"}'
        )
    metrics = score(
        world, monkeypatch, "--data", world / "data", "--train-packed", world / "train.h5"
    )
    assert metrics["contaminated"] is None
    assert metrics["trained_on"] == "COCO 2017 train"
    assert metrics["protocol"] is None, "that of the packed files says nothing about it"


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("multi", lambda people: "[{"),
        ("multi", lambda people: {"people": people}),
        ("multi", lambda people: [1, 2]),
        ("multi", lambda people: [people[0] | {"image_id": [2]}]),
        ("single", lambda people: [people[0] | {"keypoints": people[0]["keypoints"][3:]}]),
        ("single", lambda people: [people[0] | {"keypoints": "many"}]),
        ("single", lambda people: [people[0] | {"score": None}]),
        ("multi_flip", lambda people: [people[0] | {"keypoint_scores": [0.5] * 16}]),
        ("multi_flip", lambda people: [people[0] | {"keypoint_scores": ["0.5"] * 17}]),
        ("multi_flip", lambda people: [people[0] | {"keypoint_scores": [None] * 17}]),
        ("images", lambda ids: [*ids, {}]),
        ("model", lambda model: []),
    ],
)
def test_damaged_results_are_named(world, monkeypatch, file, damage):
    path = world / f"found/val/0/{file}.json"
    content = damage(json.loads(path.read_text()))
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(SystemExit, match=rf"error: .*val/0/{file}\.json: .*stage detect again"):
        score(world, monkeypatch, "--data", world / "data")


def test_a_person_that_is_no_numbers_is_named_by_file_and_image_id(world, monkeypatch):
    path = world / "found/val/0/multi.json"
    people = json.loads(path.read_text())
    people[-1]["keypoint_scores"] = [*[0.5] * 16, "NaN"]
    path.write_text(json.dumps(people))
    image = people[-1]["image_id"]
    told = rf"multi\.json: .*image {image}: `keypoint_scores`: expected 17 finite numbers"
    with pytest.raises(SystemExit, match=told):
        score(world, monkeypatch, "--data", world / "data")


def test_no_samples_of_the_bootstrap_leave_the_interval_open(world, monkeypatch):
    params.use(
        "coco2014", world / "params.yaml", ["evaluate.bootstrap_samples=0", "detect.shards=[0, 1]"]
    )
    metrics = score(world, monkeypatch, "--data", world / "data")
    assert (metrics["single"]["AP_low"], metrics["single"]["AP_high"]) == (None, None)
    gain = metrics["multi"]["AP"] - metrics["single"]["AP"]
    assert metrics["gains"]["multi"] == {
        "AP": pytest.approx(gain, abs=2e-6),
        "AP_low": None,
        "AP_high": None,
    }


def test_gains_are_paired_differences(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data")
    truth = scoring.read_ground_truth(world / "data/annotations/val.json")
    results_of = {}
    for output in ("single", "multi"):
        results = [
            person
            for shard in (0, 1)
            for person in json.loads((world / f"found/val/{shard}/{output}.json").read_text())
        ]
        results_of[output] = scoring.evaluate(truth, results, range(1, 6))[1]
    settings = params.load(world / "params.yaml").evaluate
    gain, (low, high) = scoring.paired_difference(
        results_of["multi"], results_of["single"], settings.bootstrap_samples, settings.seed
    )
    expected = {"AP": gain, "AP_low": low, "AP_high": high}
    assert metrics["gains"]["multi"] == pytest.approx(expected, abs=1e-6)


def test_what_was_matched_is_kept_for_the_report(world, monkeypatch):
    metrics = score(world, monkeypatch, "--data", world / "data")
    (evaluation,) = inputs.read_evaluations(world, "trained")
    assert evaluation.matches.image_ids.tolist() == [1, 2, 3, 4, 5]
    assert scoring.average_precision(evaluation.matches) == pytest.approx(
        metrics["multi"]["AP"], abs=1e-6
    )


@pytest.mark.parametrize(
    ("protocol", "contaminated", "expected"),
    [
        ("clean", False, "clean"),
        ("clean", True, "contaminated"),
        ("clean_and_val", True, "contaminated"),
        ("reference", True, "reference"),
        ("reference_persons", True, "reference_persons"),
    ],
)
def test_protocols_that_train_on_val_by_design_keep_their_name(protocol, contaminated, expected):
    audited = {"trained_on": evaluate.PACKED_FILES, "contaminated": contaminated}
    assert evaluate.protocol_of(audited, protocol) == expected
