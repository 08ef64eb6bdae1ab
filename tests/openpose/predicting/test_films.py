"""Films: times, rotation, odd sides, and what is broken."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from stages.openpose.errors import InputError
from stages.openpose.predicting import films
from stages.openpose.predicting.films import FilmWriter, Frame, about, frames_of

av = pytest.importorskip("av", reason="PyAV is not installed")


def image(number: int, hw=(48, 64)) -> np.ndarray:
    """Grey, brighter with each number, the upper left quarter white."""
    pixels = np.full((*hw, 3), 20 * number, np.uint8)
    pixels[: hw[0] // 2, : hw[1] // 2] = 255
    return pixels


def write(path, times_ms, hw=(48, 64)) -> None:
    with FilmWriter(path, Fraction(25)) as writer:
        for number, time_ms in enumerate(times_ms):
            pixels = image(number, hw)
            writer.write(pixels, Frame(number, pixels, time_ms, Fraction(1, 1000)))


def test_frames_come_back_at_their_times_also_where_these_are_uneven(tmp_path):
    times = [0, 40, 200, 210, 500]
    write(tmp_path / "film.mp4", times)
    frames = list(frames_of(tmp_path / "film.mp4"))
    assert [round(1000 * frame.time_s) for frame in frames] == times
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    for frame in frames:
        np.testing.assert_allclose(frame.pixels, image(frame.index), atol=12)
    assert about(tmp_path / "film.mp4").frames == 5


def test_every_nth_frame_keeps_its_time(tmp_path):
    write(tmp_path / "film.mp4", [0, 40, 80, 120, 160])
    frames = list(frames_of(tmp_path / "film.mp4", every=2))
    assert [(frame.index, round(1000 * frame.time_s)) for frame in frames] == [
        (0, 0), (2, 80), (4, 160),
    ]  # fmt: skip


def test_sides_of_odd_lengths_are_filled_to_even_ones(tmp_path):
    write(tmp_path / "film.mp4", [0, 40], hw=(47, 63))
    assert next(frames_of(tmp_path / "film.mp4")).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_film_is_turned_as_its_metadata_say(tmp_path, degrees):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(image(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    # OpenCV turns by the same metadata, by code of its own
    expected = cv2.VideoCapture(str(path)).read()[1]
    upright = next(frames_of(path)).pixels
    assert upright.shape == expected.shape == ((48, 64, 3) if degrees == 180 else (64, 48, 3))
    np.testing.assert_allclose(upright, expected, atol=12)


def test_a_film_that_breaks_off_gives_its_frames_and_says_so(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": "1"})
        stream.width, stream.height = 64, 48
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(image(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    frames = []
    try:
        for frame in frames_of(path):
            frames.append(frame)
    except InputError as problem:
        assert "breaks off after" in str(problem)  # noqa: PT017 - frames before it count too
    assert 0 < len(frames) < 10


@pytest.mark.parametrize("content", [b"", b"no film"])
def test_what_is_no_film_is_an_input_error(tmp_path, content):
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(InputError, match=r"film\.mp4: not a film"):
        list(frames_of(tmp_path / "film.mp4"))


def test_a_title_that_is_no_text_is_no_reason_not_to_look_at_a_film(tmp_path):
    write(tmp_path / "film.mp4", [0, 40])
    content = (tmp_path / "film.mp4").read_bytes()
    assert b"Lavf" in content  # the name of the program, in the metadata
    (tmp_path / "film.mp4").write_bytes(content.replace(b"Lavf", b"\xff\xfe\xfdf"))
    assert len(list(frames_of(tmp_path / "film.mp4"))) == 2


def test_a_film_that_is_interrupted_keeps_its_frames(tmp_path):
    def interrupted():
        with FilmWriter(tmp_path / "film.mp4", Fraction(25)) as writer:
            for number in range(3):
                writer.write(image(number), Frame(number, image(number), number, Fraction(1, 25)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(list(frames_of(tmp_path / "film.mp4"))) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


class Camera:
    """Gives three frames."""

    def __init__(self, number):
        self.left = 3 if number == 0 else 0

    def isOpened(self):
        return self.left > 0

    def read(self):
        self.left -= 1
        return self.left >= 0, image(1)

    def release(self):
        pass


def test_a_camera_gives_frames_until_its_end(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    assert [frame.index for frame in films.frames_of_camera(0)] == [0, 1, 2]
    with pytest.raises(InputError, match="camera 1: there is none"):
        next(films.frames_of_camera(1))
