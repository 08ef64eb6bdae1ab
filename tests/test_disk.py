"""What download, masks and packing need of the disk, through DVC."""

import pytest

from benchmarks import disk
from tests.test_pipeline import project

pytestmark = pytest.mark.slow


def test_nothing_lies_on_the_disk_twice_at_any_moment(tmp_path):
    folder = project(tmp_path / "project", "coco2014_reference")
    downloaded, most = disk.measure(folder, tmp_path / "served", "coco2014_reference", 256)
    counted = [folder / name for name in disk.COUNTED]
    assert (folder / "data/coco2014/packed/train.h5").exists()
    assert list((folder / ".dvc/cache").rglob("*")), "the cache holds what data holds"
    assert disk.on_disk(*counted) < 1.02 * disk.on_disk(folder / "data")
    assert most < 1.6 * downloaded


def test_a_file_with_two_names_counts_once(tmp_path):
    (tmp_path / "a").write_bytes(bytes(1000))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert disk.on_disk(tmp_path) == 1000
