"""Checkpoints: whole or absent, verified, the newest two."""

import errno
import os

import numpy as np
import pytest

from stages.openpose.training.checkpoints import CheckpointFolder, code_files, run_key


def arrays(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(3, 4)).astype(np.float32), np.array(7, np.int64), rng.random(2)]


def saved(folder, *steps: int) -> CheckpointFolder:
    checkpoints = CheckpointFolder(folder)
    for step in steps:
        save_now(checkpoints, step, arrays(step))
    return checkpoints


def save_now(checkpoints: CheckpointFolder, step: int, of: list[np.ndarray]) -> None:
    checkpoints.save(step, of, {"step": step, "sums": {"loss": 0.1 + step}})
    checkpoints.wait()


def test_arrays_and_state_come_back_exactly(tmp_path):
    loaded, state = saved(tmp_path, 5).load()
    for a, b in zip(loaded, arrays(5), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert state == {"step": 5, "sums": {"loss": 0.1 + 5}}


def test_only_the_newest_two_are_kept(tmp_path):
    checkpoints = saved(tmp_path, 1, 2, 30, 4)
    assert [path.name[:15] for path in checkpoints.paths()] == [
        "step-0000000004",
        "step-0000000030",
    ]
    assert checkpoints.load()[1]["step"] == 30


def test_no_checkpoint_is_no_error(tmp_path):
    assert CheckpointFolder(tmp_path / "none").load() is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    checkpoints = saved(tmp_path, 1, 2)
    newest = checkpoints.paths()[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes({"cut": data[:-9], "flip": data, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="damaged checkpoint"):
        assert checkpoints.load()[1]["step"] == 1


def test_a_damaged_checkpoint_does_not_push_a_good_one_out(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    checkpoints.paths()[-1].write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="damaged"):
        checkpoints.load()
    save_now(checkpoints, 3, arrays(3))
    checkpoints.paths()[-1].write_bytes(b"damaged too")
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.load()[1]["step"] == 1


def test_what_a_killed_run_left_half_written_is_deleted(tmp_path):
    checkpoints = saved(tmp_path, 1)
    (tmp_path / f".{checkpoints.paths()[0].name}.123.part").write_bytes(b"half")
    assert checkpoints.load()[1]["step"] == 1
    assert list(tmp_path.iterdir()) == checkpoints.paths()


def test_full_disk_loses_no_earlier_checkpoint(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path, 1)

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.warns(UserWarning, match="No space left"):
        save_now(checkpoints, 2, arrays(2))
    assert [path.name for path in tmp_path.iterdir()] == [checkpoints.paths()[0].name]
    assert checkpoints.load()[1]["step"] == 1


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    checkpoints = saved(tmp_path, 1)
    with pytest.warns(UserWarning, match="not finite"):
        save_now(checkpoints, 2, [np.array([1.0, np.nan])])
    assert checkpoints.load()[1]["step"] == 1


def test_key_follows_contents_and_settings_and_nothing_else(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(text)
    key = run_key([tmp_path / "a"], {"rate": 0.1, "seed": 1})
    assert key == run_key([tmp_path / "b"], {"seed": 1, "rate": 0.1})
    assert key != run_key([tmp_path / "c"], {"rate": 0.1, "seed": 1})
    assert key != run_key([tmp_path / "a"], {"rate": 0.2, "seed": 1})
    assert key != run_key([tmp_path / "a", tmp_path / "a"], {"rate": 0.1, "seed": 1})


def test_code_files_are_the_imported_modules_of_the_method():
    names = [path.name for path in code_files(("stages.openpose",))]
    assert "checkpoints.py" in names
    assert "files.py" in names
    assert code_files(("stages.nothing",)) == []
