"""Files and folders that appear whole or not at all."""

import pytest

from stages.openpose.errors import InputError
from stages.openpose.files import whole_folder


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path):
    (tmp_path / "out").write_text("mine")
    with (
        pytest.raises(InputError, match="out: is a file; expected a folder"),
        whole_folder(tmp_path / "out"),
    ):
        raise AssertionError("refused before any work")
    assert (tmp_path / "out").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
