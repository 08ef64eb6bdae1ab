import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.openpose.coco import splits
from stages.openpose.samples import crowd_masks, packed
from tests.tiny_coco import image, person, write_dataset, write_json

ROOT = Path(__file__).resolve().parent.parent
HW = (90, 120)


def pack(*arguments):
    command = [sys.executable, "-m", "stages.pack", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def params(path, **changes):
    """The sample's settings with other values in the section `pack`."""
    values = yaml.safe_load((ROOT / "workflow" / "presets" / "sample.yaml").read_text())
    values["pack"] |= changes
    values["masks"]["sources"] = ["train", "val"]
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for source, ids in (("train", range(1, 7)), ("val", range(11, 16))):
        people = [person(i, i, (5, 5, 60, 70), labelled=0 if i == 11 else 17) for i in ids]
        write_dataset(folder, [image(i, HW) for i in reversed(ids)], people, source)
        for shard in (0, 1):
            path = folder / "masks" / f"{source}-{shard}.h5"
            crowd_masks.write_masks(path, folder / "annotations" / f"{source}.json", shard, 2)
    (folder / "ids").mkdir()
    (folder / "ids" / "some.txt").write_text("12\n14\n")
    return folder


@pytest.mark.parametrize(
    ("protocol", "train", "val"),
    [
        ("clean", [1, 2, 3, 4], [5, 6]),
        ("clean_and_val", [1, 2, 3, 4, 13, 15], [5, 6]),
        ("reference", [1, 2, 3, 4, 5, 6, 12, 13], [14, 15]),
        ("reference_persons", [1, 2, 3, 4, 5, 6, 14, 15], [12, 13]),
    ],
)
def test_protocols_say_which_images_are_packed(data, tmp_path, protocol, train, val):
    settings = params(
        tmp_path / "params.yaml", protocol=protocol, holdout_images=2, reference_images=2
    )
    for split, expected in (("train", train), ("val", val)):
        output = tmp_path / f"{split}.h5"
        done = pack("--params", settings, "--split", split, "--data", data, "--output", output)
        assert done.returncode == 0, done.stderr
        assert f"{len(expected)} samples of {len(expected)} images" in done.stdout
        with packed.open_packed(output) as file:
            assert file.image_ids.tolist() == expected
            assert file.provenance["protocol"] == protocol
            assert splits.leaks(file.image_ids, file.sources, range(11, 16)) == [
                i for i in expected if i > 10
            ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: None,
            "`pack.holdout_images`: expected fewer than the 6 train images, found 100",
        ),
        (lambda folder: (folder / "masks" / "train-1.h5").unlink(), "train-1.h5: no such file"),
        (
            lambda folder: (folder / "archives" / "train.zip").unlink(),
            "neither train.zip nor train.folder",
        ),
        (
            lambda folder: (folder / "annotations" / "train.json").unlink(),
            "train.json: no such file",
        ),
        (
            lambda folder: write_json(
                folder / "annotations" / "train.json", [image(1)], [person(1, 1, labelled=0)]
            ),
            "no person with a labelled keypoint",
        ),
    ],
)
def test_mistakes_give_one_line_and_nothing_written(data, tmp_path, change, message):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    change(folder)
    holdout = 100 if "holdout" in message else 1
    settings = params(tmp_path / "params.yaml", holdout_images=holdout)
    done = pack(
        "--params",
        settings,
        "--split",
        "train",
        "--data",
        folder,
        "--output",
        tmp_path / "out" / "train.h5",
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_nobody_large_enough_is_an_error_for_train(data, tmp_path):
    settings = params(tmp_path / "params.yaml", holdout_images=1, min_area_px2=10**6)
    done = pack(
        "--params", settings, "--split", "train", "--data", data, "--output", tmp_path / "train.h5"
    )
    assert done.returncode == 1
    assert "no person to learn from" in done.stderr


def test_val_images_are_not_taken_without_a_list_of_those_to_leave(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "ids")
    settings = params(tmp_path / "params.yaml", holdout_images=1, protocol="clean_and_val")
    done = pack(
        "--params",
        settings,
        "--split",
        "train",
        "--data",
        tmp_path / "data",
        "--output",
        tmp_path / "t.h5",
    )
    assert done.returncode == 1
    assert "ids: no id list; parameter `pack.protocol` clean_and_val" in done.stderr


def test_missing_arguments_are_named(tmp_path):
    done = pack("--split", "train")
    assert done.returncode == 2
    assert "arguments are required: --data, --output" in done.stderr


def test_record_tells_the_counts(data, tmp_path):
    settings = params(tmp_path / "params.yaml", holdout_images=1)
    record = tmp_path / "record.json"
    done = pack(
        "--params",
        settings,
        "--split",
        "train",
        "--data",
        data,
        "--output",
        tmp_path / "t.h5",
        "--record",
        record,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(record.read_text())
    assert (facts["images"], facts["samples"], facts["people"]) == (5, 5, 5)
