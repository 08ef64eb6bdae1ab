"""The command that shows what a packed file holds."""

import cv2
import pytest

from stages import sheet
from tests.openpose.samples.test_loader import write_packed


def run(monkeypatch, *options) -> None:
    monkeypatch.setattr("sys.argv", ["sheet", *map(str, options)])
    sheet.main()


def test_numbers_are_printed_and_a_sheet_is_drawn(tmp_path, monkeypatch, capsys):
    write_packed(tmp_path / "train.h5", [1, 2], [(60, 80)] * 2)
    run(monkeypatch, tmp_path / "train.h5", "--output", tmp_path / "sheet.png")
    assert "samples  3 main persons" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "sheet.png")).std() > 10


def test_what_is_no_packed_file_is_named_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "train.h5").write_text("nothing")
    with pytest.raises(SystemExit, match=r"train\.h5: not a whole HDF5 file"):
        run(monkeypatch, tmp_path / "train.h5")
