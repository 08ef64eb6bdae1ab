import io
import os
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.openpose.coco import image_files
from stages.openpose.errors import InputError
from tests.tiny_coco import jpeg, write_zip

FILES = {f"{i:012d}.jpg": bytes([i]) * (1000 + 37 * i) for i in range(40)}


def central_entry(path, offset, value):
    """Overwrite a little-endian 32-bit field of the first central directory entry."""
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + offset
    data[at : at + 4] = struct.pack("<I", value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("folder", ["", "train2014/"])
def test_archive_gives_every_image_by_name(tmp_path, method, folder):
    with image_files.open_images(
        write_zip(tmp_path / "train.zip", FILES, folder, method)
    ) as archive:
        assert archive.names() == [folder + name for name in sorted(FILES)]
        assert {name: archive.read(name) for name in FILES} == FILES
        assert {name: archive.size(name) for name in FILES} == {
            name: len(data) for name, data in FILES.items()
        }
        assert archive.read("elsewhere/" + next(iter(FILES))) == next(iter(FILES.values()))


def test_entries_with_long_extra_fields_are_read_whole(tmp_path):
    path = tmp_path / "a.zip"
    info = zipfile.ZipInfo("train/" + "x" * 900 + ".jpg")
    info.extra = struct.pack("<HH", 0x9999, 2000) + bytes(2000)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"image" * 300)
    with image_files.open_images(path) as archive:
        assert archive.read("x" * 900 + ".jpg") == b"image" * 300


def test_many_threads_read_the_same_archive(tmp_path):
    with (
        image_files.open_images(
            write_zip(tmp_path / "a.zip", FILES, method=zipfile.ZIP_DEFLATED)
        ) as archive,
        ThreadPoolExecutor(8) as pool,
    ):
        names = sorted(FILES) * 20
        assert list(pool.map(archive.read, names)) == [FILES[name] for name in names]


def test_folder_and_pointer_to_a_folder_read_alike(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"abc")
    (tmp_path / "train.folder").write_text(f"{folder}\n")
    for source in (folder, tmp_path / "train.folder"):
        with image_files.open_images(source) as opened:
            assert opened.names() == ["a.jpg"]
            assert opened.read("a.jpg") == opened.read("train2014/a.jpg") == b"abc"
            assert opened.size("a.jpg") == 3
            with pytest.raises(InputError, match=r"images: image b\.jpg"):
                opened.read("b.jpg")


def test_file_names_with_folders_find_the_file_in_that_folder(tmp_path):
    for part in ("one", "two"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.jpg").write_bytes(part.encode())
    with image_files.open_images(tmp_path) as opened:
        assert opened.read("two/a.jpg") == b"two"


def test_missing_image_is_named(tmp_path):
    with (
        image_files.open_images(write_zip(tmp_path / "a.zip", FILES)) as archive,
        pytest.raises(InputError, match=r"a\.zip: image 7\.jpg: not among its 40 files"),
    ):
        archive.read("7.jpg")


def test_two_entries_of_one_name_are_named_when_read(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"one/a.jpg": b"1", "two/a.jpg": b"2", "b.jpg": b"3"})
    with image_files.open_images(path) as archive:
        assert archive.read("b.jpg") == b"3"
        with pytest.raises(InputError, match=r"image a\.jpg: several files of this name"):
            archive.read("a.jpg")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: central_entry(path, 24, 999), "larger than the 999 bytes"),
        (lambda path: central_entry(path, 24, 1001), "smaller than the 1001 bytes"),
        (lambda path: central_entry(path, 16, 12345), "checksum is wrong"),
        (lambda path: central_entry(path, 42, 5), "no entry at its place"),
        (lambda path: central_entry(path, 6, 0x00010014), "encrypted"),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_forged_and_damaged_entries_are_named(tmp_path, method, damage, message):
    name = "000000000000.jpg"
    path = damage(write_zip(tmp_path / "a.zip", {name: os.urandom(500) * 2}, method=method))
    with (
        image_files.open_images(path) as archive,
        pytest.raises(InputError, match=rf"a\.zip: image {name}: .*{message}"),
    ):
        archive.read(name)


def test_a_bomb_is_not_inflated_beyond_its_declared_size(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(50_000_000)}, method=zipfile.ZIP_DEFLATED)
    central_entry(path, 24, 1000)
    with (
        image_files.open_images(path) as archive,
        pytest.raises(InputError, match="larger than the 1000"),
    ):
        archive.read("a.jpg")


def test_deflated_garbage_is_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(1000)}, method=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    start = 30 + len("train2014/a.jpg")
    data[start] ^= 0xFF
    path.write_bytes(data)
    with (
        image_files.open_images(path) as archive,
        pytest.raises(InputError, match=r"image a\.jpg: "),
    ):
        archive.read("a.jpg")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x05\x06"])
def test_what_is_no_archive_is_an_error(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip: expected a whole zip archive"):
        image_files.open_images(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("place", "value"), [(6, b"\xfe\x00"), (20, b"\xff\xff\xff\x7f"), (24, b"\xff\xff\xff\x7f"),
                        (42, b"\xff\xff\xff\x7f"), (28, b"\x00\x00"), (46, b"\x00")],
)  # fmt: skip
def test_a_directory_that_claims_what_cannot_be_is_refused_before_memory_is_taken(
    tmp_path, place, value
):
    content = bytearray(write_zip(tmp_path / "a.zip", {"a.jpg": b"x" * 100}, "").read_bytes())
    start = content.rindex(b"PK\x01\x02") + place
    content[start : start + len(value)] = value
    (tmp_path / "a.zip").write_bytes(content)
    with (
        pytest.raises(InputError, match=r"a\.zip: "),
        image_files.open_images(tmp_path / "a.zip") as archive,
    ):
        archive.read("a.jpg")


def test_missing_archives_and_folders_are_errors(tmp_path):
    with pytest.raises(InputError, match="no such archive"):
        image_files.open_images(tmp_path / "none.zip")
    (tmp_path / "train.folder").write_text(str(tmp_path / "gone"))
    with pytest.raises(InputError, match="gone, which does not exist"):
        image_files.open_images(tmp_path / "train.folder")
    with pytest.raises(InputError, match=r"neither val\.zip nor val\.folder"):
        image_files.find_images(tmp_path, "val")
    assert image_files.find_images(tmp_path, "train") == tmp_path / "train.folder"


def test_decoding_gives_bgr_like_opencv(shared):
    for path in sorted((shared / "coco-mini" / "images").glob("*.jpg"))[:20]:
        data = path.read_bytes()
        image = image_files.decode_bgr(data, path.name)
        expected = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
        np.testing.assert_array_equal(image, expected)
        assert image_files.size_hw(data, path.name) == image.shape[:2]


def test_blue_comes_first_and_grey_becomes_three_channels():
    blue = np.full((8, 8, 3), (250, 10, 20), np.uint8)
    for suffix in (".jpg", ".png"):
        image = image_files.decode_bgr(cv2.imencode(suffix, blue)[1].tobytes(), "blue")
        assert np.abs(image.astype(int) - blue).max() <= 6
    grey = cv2.imencode(".jpg", np.full((9, 7), 77, np.uint8))[1].tobytes()
    assert image_files.decode_bgr(grey, "grey").shape == (9, 7, 3)


def test_exif_orientation_is_ignored():
    data = jpeg((10, 20))
    exif = (
        b"Exif\0\0"
        + b"II*\0\x08\0\0\0"
        + b"\x01\0"
        + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
        + b"\0\0\0\0"
    )
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    np.testing.assert_array_equal(
        image_files.decode_bgr(turned, "turned"), image_files.decode_bgr(data, "plain")
    )
    assert image_files.size_hw(turned, "turned") == (10, 20)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\xff\xd8", b"\xff\xd8\xff\xe0garbage", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_image_is_named(data):
    for read in (image_files.decode_bgr, image_files.size_hw):
        with pytest.raises(InputError, match=r"thing\.jpg"):
            read(data, "thing.jpg")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_jpeg_that_is_cut_off_is_named(kept):
    data = jpeg((64, 64))
    data = data[: int(len(data) * kept)]
    for read in (image_files.decode_bgr, image_files.size_hw):
        with pytest.raises(InputError, match=r"cut\.jpg"):
            read(data, "cut.jpg")


def test_bytes_after_the_end_of_a_jpeg_are_no_damage():
    assert image_files.size_hw(jpeg((16, 24)) + b"\0\0trailing", "a") == (16, 24)


def test_bytes_between_markers_of_a_jpeg_are_no_damage():
    data = jpeg((16, 24))
    scan = data.index(b"\xff\xda")
    padded = data[:scan] + bytes(7) + data[scan:]
    np.testing.assert_array_equal(
        image_files.decode_bgr(padded, "padded"), image_files.decode_bgr(data, "plain")
    )
    assert image_files.size_hw(padded, "padded") == (16, 24)


def test_a_pointer_may_name_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr("some/where/1.jpg", b"bytes")
    (tmp_path / "train.folder").write_text(f"{tmp_path / 'own.zip'}\n")
    with image_files.open_images(tmp_path / "train.folder") as opened:
        assert opened.read("1.jpg") == b"bytes"


def test_an_archive_frees_its_file_once(tmp_path):
    with image_files.Archive(write_zip(tmp_path / "a.zip", FILES)) as archive:
        number = archive._file
    archive.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    os.fstat(1)  # closing twice closes nothing else


def test_a_image_of_too_many_pixels_is_named_with_its_size(monkeypatch):
    assert image_files.LARGEST_IMAGE_PX == 2**27
    monkeypatch.setattr(image_files, "LARGEST_IMAGE_PX", 23)
    for suffix in (".jpg", ".png"):
        data = cv2.imencode(suffix, np.zeros((4, 6, 3), np.uint8))[1].tobytes()
        with pytest.raises(InputError, match=r"big: 6 x 4 pixels \(width x height\)"):
            image_files.decode_bgr(data, "big")
    monkeypatch.setattr(image_files, "LARGEST_IMAGE_PX", 24)
    assert image_files.decode_bgr(data, "big").shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is a HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\n <!DOCTYPE html>", "error page"),
    ],
)
def test_what_is_taken_for_images_now_and_then_is_told(data, message):
    with pytest.raises(InputError, match=message):
        image_files.decode_bgr(data, "1.jpg")


@pytest.mark.parametrize(("number", "read"), [(1, 1), (6, 6), (8, 8), (9, 1), (0, 1)])
def test_an_orientation_that_exif_does_not_know_is_none(number, read):
    exif = Image.Exif()
    exif[0x0112] = number
    data = io.BytesIO()
    Image.new("RGB", (6, 4)).save(data, "JPEG", exif=exif)
    header = image_files.read_header(data.getvalue())
    assert (header.hw, header.orientation) == ((4, 6), read)


def test_of_files_of_one_name_the_one_with_most_folders_in_common_is_meant(tmp_path):
    files = {"a/x/1.jpg": b"a", "b/y/1.jpg": b"b"}
    with image_files.Archive(write_zip(tmp_path / "a.zip", files, folder="")) as archive:
        assert archive.locate("data/y/1.jpg") == "b/y/1.jpg"
        assert archive.locate("data/x/1.jpg") == "a/x/1.jpg"
        with pytest.raises(InputError, match=r"several files of this name \(a/x/1.jpg, b/y/1.jpg"):
            archive.locate("data/1.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(image_files.turned(pixels, orientation), expected)


def test_the_size_of_an_image_that_is_no_jpeg_is_that_of_its_pixels():
    data = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    assert image_files.size_hw(data, "1.png") == (4, 6)
