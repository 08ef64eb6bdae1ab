import json
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tests.tiny_coco import image, person, write_json

ROOT = Path(__file__).resolve().parent.parent


def masks(*arguments):
    command = [sys.executable, "-m", "stages.masks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_command_line_writes_a_shard_and_its_record(tmp_path):
    path = write_json(
        tmp_path / "a.json", [image(1), image(2), image(3)], [person(1, 3, labelled=0)]
    )
    done = masks(
        "--annotations", path, "--shard", 1, "--shards", 2, "--output",
        tmp_path / "m" / "train-1.h5", "--record",
        tmp_path / "record.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 of 2 images" in done.stdout
    assert json.loads((tmp_path / "record.json").read_text())["masked"] == 1
    with h5py.File(tmp_path / "m" / "train-1.h5") as file:
        assert file["image_id"][:].tolist() == [3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--annotations", "none.json"), "none.json: no such file"),
        (
            ("--annotations", "none.json", "--shard", 2, "--shards", 2),
            "--shard: expected 0 .. 1, found 2",
        ),
    ],
)
def test_mistakes_give_one_line_and_nothing_written(tmp_path, arguments, message):
    done = masks(*arguments, "--output", tmp_path / "out.h5")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
