"""Words of a command line -> sources with names of their own."""

import time
from pathlib import Path

import pytest

from stages.openpose.errors import InputError
from stages.openpose.predicting.inputs import CAMERA, FILM, IMAGE, ahead, gather, read_upright


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder of images, films and other files, which is the working directory."""
    for name in (
        "album/a.jpg", "album/a.png", "album/deep/a.jpg", "album/film.MOV", "album/b.heic",
        "album/.thumbs/c.jpg", "other/a.jpg", "out/old.jpg",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(gathered) -> list[str]:
    return [source.name.as_posix() for source in gathered.sources]


def test_a_folder_is_read_with_all_below_it_and_what_is_left_out_is_counted(world):
    gathered = gather(["album"], Path("out"))
    kinds = {source.path.as_posix(): source.kind for source in gathered.sources}
    assert kinds == {
        "album/a.jpg": IMAGE,
        "album/a.png": IMAGE,
        "album/deep/a.jpg": IMAGE,
        "album/film.MOV": FILM,
    }
    assert gathered.left_out == {".heic": 1}


def test_equal_names_get_names_of_their_own(world):
    assert names(gather(["album/a.jpg", "album/a.png"], Path("out"))) == ["a.jpg", "a.png"]
    gathered = gather(["album", "other"], Path("out"))
    assert sorted(names(gathered)) == ["a.png", "album/a.jpg", "deep/a", "film", "other/a.jpg"]
    assert len({source.label for source in gathered.sources}) == len(gathered.sources)


def test_a_file_that_is_named_twice_is_read_once(world):
    assert len(gather(["album/a.jpg", "album", "album/*.jpg"], Path("out")).sources) == 4


def test_globs_are_expanded_and_numbers_are_cameras(world):
    gathered = gather(["album/**/a.*", "0"], Path("out"))
    assert [source.kind for source in gathered.sources] == [IMAGE, IMAGE, IMAGE, CAMERA]


def test_results_of_an_earlier_run_are_passed_over(world):
    gathered = gather(["."], Path("out"))
    assert "out/old" not in names(gathered)
    assert gathered.left_out["below --output"] == 1
    assert names(gather(["out"], Path("out"))) == ["old"]  # asked for by name


@pytest.mark.parametrize("word", ["nothing.jpg", "*.tiff", "12x"])
def test_a_word_that_names_nothing_is_refused(world, word):
    with pytest.raises(InputError, match="no such image, film or folder"):
        gather([word], Path("out"))


def test_a_file_that_vanished_is_an_input_error(world):
    with pytest.raises(InputError, match=r"gone\.jpg: No such file"):
        read_upright(world / "gone.jpg")


def test_items_are_made_ahead_of_their_use_in_order_and_no_farther_than_asked():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    stream = ahead(items(), 3)
    assert next(stream) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(made) == 4  # the one in use and three ahead
    assert list(stream) == list(range(1, 20))


def test_what_goes_wrong_ahead_is_raised_where_it_is_used():
    def items():
        yield 1
        raise InputError("broken")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(InputError, match="broken"):
        next(stream)
