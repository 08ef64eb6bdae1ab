import dataclasses
import fcntl
import json
import os
import pickle
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from stages.openpose.coco import annotations, image_files
from stages.openpose.errors import InputError
from stages.openpose.samples import crowd_masks, packed, packing
from tests.tiny_coco import crowd, image, jpeg, person, write_dataset, write_json, write_zip

HW = (90, 120)
MAIN = {"duplicate_radius": "fixed", "min_keypoints": 5, "min_area_px2": 1024}


def source(data, name="train", only=None):
    """A packing.Source of the data set in `data`, of all its main persons or those of the image ids
    `only`.
    """
    images = annotations.read_images(data / "annotations" / f"{name}.json")
    people = annotations.read_people(images.path, images)
    samples = annotations.main_persons(people, **MAIN)
    if only is not None:
        samples = samples[np.isin(images.ids[people.image[samples]], only)]
    crowd_masks.write_masks(data / "masks" / f"{name}-0.h5", images.path, 0, 1)
    masks = crowd_masks.read_masks(data / "masks", name, images.sha256)
    archive = image_files.open_images(image_files.find_images(data / "archives", name))
    return packing.Source(name, images, people, samples, masks, archive)


@pytest.fixture
def data(tmp_path):
    """Five images: 12 has two main persons and a bystander, 14 a crowd, 13 no sample, 15 nobody; 11
    comes last.
    """
    mask = np.zeros(HW, bool)
    mask[30:60, 40:90] = True
    people = [
        person(4, 12, (60, 5, 50, 80)),
        person(3, 12, (5, 5, 40, 60)),
        person(5, 12, (1, 1, 9, 9), labelled=2),
        person(6, 13, (1, 1, 60, 60), labelled=3),
        person(7, 14, (30, 20, 40, 50), labelled=9),
        person(8, 14, (1, 60, 20, 20), labelled=0),
        crowd(9, 14, mask),
        person(10, 11, (10, 10, 64, 64)),
    ]
    write_dataset(tmp_path, [image(i, HW) for i in (12, 13, 14, 15, 11)], people)
    return tmp_path


@pytest.fixture
def file(data):
    packing.write(data / "train.h5", [source(data)], {"protocol": "clean"})
    with packed.open_packed(data / "train.h5") as opened:
        yield opened


def test_only_images_with_a_sample_are_in_the_file_by_id(file):
    assert file.image_ids.tolist() == [11, 12, 14]
    assert file.sizes.tolist() == [list(HW)] * 3
    assert file.sources.tolist() == [0, 0, 0]
    assert file.provenance == {"protocol": "clean"}


def test_samples_are_the_main_persons_with_their_place_and_scale(file):
    assert len(file) == 4
    assert file.sample_image.tolist() == [0, 1, 1, 2]
    assert file.sample_person.tolist() == [0, 0, 1, 0]
    assert file.centres.tolist() == [[42, 42], [25, 35], [85, 45], [50, 45]]
    np.testing.assert_array_equal(file.scales, np.array([64, 60, 80, 50]) / 368)


def test_all_labelled_people_of_an_image_are_there_not_only_the_samples(file):
    assert [len(file.parts(i)) for i in range(3)] == [1, 3, 1]
    assert file.parts(1).dtype == np.float32
    assert (file.parts(1)[2, :, 2] < annotations.ABSENT).sum() == 2


def test_every_sample_is_the_person_around_its_centre(file):
    for row, (number, person_number) in enumerate(
        zip(file.sample_image, file.sample_person, strict=True)
    ):
        parts = file.parts(number)[person_number]
        labelled = parts[parts[:, 2] < annotations.ABSENT, :2]
        assert np.abs(labelled - file.centres[row]).max() <= 0.5 * 368 * file.scales[row]


def test_images_come_back_byte_for_byte(file):
    for row, image_id in enumerate(file.image_ids):
        assert file.jpeg(row) == jpeg(HW, image_id)
        assert file.image(row).shape == (*HW, 3)


def test_masks_come_back_and_are_none_where_all_may_be_learned_from(file):
    assert file.mask_miss(0) is None
    assert file.mask_rle(0) == b""
    expected = np.full(HW, 255, np.uint8)
    expected[30:60, 70:90] = 0  # the crowd beside the labelled person (30..70)
    expected[60:80, 1:21] = 0
    np.testing.assert_array_equal(file.mask_miss(2), expected)


def test_plain_h5py_reads_a_record_in_five_lines(data, file):
    i = 2
    with h5py.File(data / "train.h5") as f:
        a, b = f["jpeg/offset"][i : i + 2]
        bgr = cv2.imdecode(f["jpeg/bytes"][a:b], cv2.IMREAD_COLOR)
        c, d = f["people/offset"][i : i + 2]
        parts = f["people/parts"][c:d]  # [P, 18, 3]: x, y, 0 hidden / 1 visible / 2 absent
        e, g = f["mask/offset"][i : i + 2]
        region = {"size": f["images/size"][i].tolist(), "counts": f["mask/bytes"][e:g].tobytes()}
    np.testing.assert_array_equal(bgr, file.image(i))
    np.testing.assert_array_equal(coco_mask.decode(region) == 0, file.mask_miss(i) == 255)
    np.testing.assert_array_equal(parts, file.parts(i))


def test_same_input_gives_the_same_bytes(data):
    for name in ("one.h5", "two.h5"):
        packing.write(data / name, [source(data)], {"b": 1, "a": 2})
    assert (data / "one.h5").read_bytes() == (data / "two.h5").read_bytes()


def test_two_sources_stand_one_after_the_other(data):
    people = [person(1, 12, (5, 5, 60, 70)), person(2, 40, (5, 5, 50, 60))]
    write_dataset(data, [image(40, HW), image(12, HW)], people, "val")
    facts = packing.write(data / "both.h5", [source(data, only=[12, 14]), source(data, "val")], {})
    assert {name: facts[name] for name in ("images", "samples", "people")} == {
        "images": 4,
        "samples": 5,
        "people": 6,
    }
    with packed.open_packed(data / "both.h5") as file:
        assert file.image_ids.tolist() == [12, 14, 12, 40]
        assert file.sources.tolist() == [0, 0, 1, 1]
        assert file.sample_image.tolist() == [0, 0, 1, 2, 3]
        assert file.sample_person.tolist() == [0, 1, 0, 0, 0]
        assert [len(file.parts(i)) for i in range(4)] == [3, 1, 1, 1]
        assert file.parts(3)[0, 0, :2] == pytest.approx(np.array([5, 5]) + 0.1 * np.array([50, 60]))


def test_a_file_may_hold_nothing(data):
    packing.write(data / "empty.h5", [source(data, only=[])], {})
    with packed.open_packed(data / "empty.h5") as file:
        assert len(file) == len(file.image_ids) == 0
        assert "0 main persons" in packed.describe(file)


def test_many_threads_read_the_same_file(file):
    with ThreadPoolExecutor(8) as pool:
        rows = [0, 1, 2] * 50
        assert list(pool.map(file.jpeg, rows)) == [file.jpeg(row) for row in rows]


def test_a_reader_can_be_sent_to_another_process(file):
    with pickle.loads(pickle.dumps(file)) as copy:
        assert copy.jpeg(1) == file.jpeg(1)


@pytest.mark.parametrize("lock", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_a_file_that_another_program_has_locked_is_read(data, file, lock):
    with open(data / "train.h5", "r+b") as other:
        fcntl.flock(other, lock)
        with packed.open_packed(data / "train.h5") as opened:
            assert opened.jpeg(1) == file.jpeg(1)


def test_description_names_counts_and_provenance(file):
    text = packed.describe(file)
    for part in (
        "images   3 (3 of train, 0 of val)",
        "4 main persons",
        "5 labelled, at most 3",
        "protocol clean",
    ):
        assert part in text


@pytest.mark.parametrize("key", ["version", "format"])
def test_other_versions_and_formats_are_refused(data, file, key):
    with h5py.File(data / "train.h5", "a") as changed:
        changed.attrs[key] = "other"
    with pytest.raises(
        InputError, match=r"train\.h5: expected a packed file \(openpose-packed, version 1\)"
    ):
        packed.open_packed(data / "train.h5")


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_a_packed_file_that_is_cut_off_is_an_error(data, file, keep):
    os.truncate(data / "train.h5", keep)
    with pytest.raises(InputError, match=r"train\.h5"):
        packed.open_packed(data / "train.h5")


def _changed(name, change):
    def apply(file):
        values = change(file[name][:])
        del file[name]
        file[name] = values

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.pop("samples"),
        lambda file: file.attrs.__setitem__("provenance", "{"),
        lambda file: file.move("jpeg/bytes", "jpeg/other"),
        _changed("jpeg/offset", lambda offset: offset[::-1]),
        _changed("jpeg/offset", lambda offset: offset + 1),
        _changed("mask/offset", lambda offset: offset[:-1]),
        _changed("people/offset", lambda offset: offset.astype(float)),
        _changed("people/parts", lambda parts: parts.astype(np.float64)),
        _changed("images/size", lambda sizes: sizes * 0),
        _changed("images/source", lambda sources: sources + 2),
        _changed("samples/image", lambda image: image + 1000),
        _changed("samples/person", lambda person: person - 1),
        _changed("samples/person", lambda person: person + 1000),
        _changed("samples/centre", lambda centres: centres * np.nan),
        _changed("samples/scale", lambda scales: scales * 0),
    ],
)
def test_arrays_that_do_not_go_together_are_refused(data, file, damage):
    with h5py.File(data / "train.h5", "a") as changed:
        damage(changed)
    with pytest.raises(InputError, match=r"train\.h5: .* damaged .*run the stage pack again"):
        packed.open_packed(data / "train.h5")


def test_records_that_another_program_has_compressed_are_refused(data, file):
    with h5py.File(data / "train.h5", "a") as changed:
        content = changed["jpeg/bytes"][:]
        del changed["jpeg/bytes"]
        changed.create_dataset("jpeg/bytes", data=content, compression="gzip")
    with pytest.raises(InputError, match="/jpeg/bytes is not in one piece"):
        packed.open_packed(data / "train.h5")


def test_a_missing_packed_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="run the stage pack"):
        packed.open_packed(tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (None, "not among its 2 files"),
        (jpeg((HW[1], HW[0])), "says 120 x 90 pixels .* has 90 x 120"),
        (jpeg((HW[0], HW[1] + 1)), "says 120 x 90 pixels .* has 121 x 90"),
        (jpeg((HW[0] + 1, HW[1])), "says 120 x 90 pixels .* has 120 x 91"),
        (jpeg(HW)[:-40], "cut off"),
        (b"hello", "not an image"),
    ],
)
def test_bad_images_are_named_and_nothing_is_written(data, replacement, message):
    files = {f"{i:012d}.jpg": jpeg(HW, i) for i in (11, 12, 14)}
    if replacement is None:
        del files["000000000012.jpg"]
    else:
        files["000000000012.jpg"] = replacement
    write_zip(data / "archives" / "train.zip", files)
    before = sorted(os.listdir(data))
    with pytest.raises(InputError, match=rf"000000000012\.jpg.*{message}") as problem:
        packing.write(data / "new.h5", [source(data)], {})
    assert "image 12" in str(problem.value) or replacement is None
    assert sorted(os.listdir(data)) in (before, sorted([*before, "masks"]))


def test_a_disk_too_full_is_said_before_anything_is_written(data, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"new\.h5: needs 0\.00 GB of disk"):
        packing.write(data / "new.h5", [source(data)], {})
    assert not (data / "new.h5").exists()


class LargeImages:
    """60 images of a megabyte each, never more than one of them in memory."""

    path = "large"
    tail = 1_000_000

    def size(self, _):
        return len(jpeg(HW)) + self.tail

    def read(self, _):
        return jpeg(HW) + bytes(self.tail)


def test_memory_does_not_grow_with_the_number_of_images(data):
    write_dataset(
        data, [image(i, HW) for i in range(60)], [person(i, i, (5, 5, 60, 70)) for i in range(60)]
    )
    large = dataclasses.replace(source(data), archive=LargeImages())
    tracemalloc.start()
    packing.write(data / "large.h5", [large], {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (data / "large.h5").stat().st_size > 60_000_000
    assert peak < 8_000_000


def test_a_folder_of_images_packs_to_the_same_bytes_as_an_archive(data):
    packing.write(data / "zip.h5", [source(data)], {})
    folder = data / "images"
    shutil.unpack_archive(data / "archives" / "train.zip", folder)
    (data / "archives" / "train.zip").unlink()
    (data / "archives" / "train.folder").write_text(str(folder / "train2014"))
    packing.write(data / "folder.h5", [source(data)], {})
    assert (data / "zip.h5").read_bytes() == (data / "folder.h5").read_bytes()


def test_fifty_people_and_one_pixel_images_pack(tmp_path):
    crowded = [person(i, 1, (i, i, 40, 40 + i)) for i in range(50)]
    write_dataset(tmp_path, [image(1, HW), image(2, (1, 1)), image(3, (300, 3))], [
        *crowded, person(90, 2, (0, 0, 1, 1), area=2000), person(91, 3, (0, 0, 3, 300), area=2000)
    ])  # fmt: skip
    packing.write(tmp_path / "train.h5", [source(tmp_path)], {})
    with packed.open_packed(tmp_path / "train.h5") as file:
        assert [len(file.parts(i)) for i in range(3)] == [50, 1, 1]
        assert [file.image(i).shape for i in range(3)] == [(*HW, 3), (1, 1, 3), (300, 3, 3)]


def test_real_images_pack_below_100_kb_a_sample(shared, tmp_path):
    coco = shared / "coco-mini"
    content = json.loads((coco / "annotations" / "person_keypoints.json").read_text())
    write_json(tmp_path / "annotations" / "train.json", content["images"], content["annotations"])
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "train.folder").write_text(str(coco / "images"))
    facts = packing.write(tmp_path / "train.h5", [source(tmp_path)], {})
    assert facts["samples"] == 65
    assert (tmp_path / "train.h5").stat().st_size / facts["samples"] <= 100_000


def test_images_that_annotations_show_turned_upright_are_packed_so(tmp_path):
    pixels = np.zeros((*HW, 3), np.uint8)
    pixels[:30, :40] = 255  # stored at the top left; orientation 6 turns it to the top right
    upright = image(1, HW[::-1]) | {"exif_turn": 6}
    write_json(tmp_path / "annotations/train.json", [upright], [person(1, 1, (10, 10, 60, 80))])
    data = cv2.imencode(".png", pixels)[1].tobytes()
    write_zip(tmp_path / "archives/train.zip", {image(1)["file_name"]: data})
    packing.write(tmp_path / "train.h5", [source(tmp_path)], {})
    with packed.open_packed(tmp_path / "train.h5") as opened:
        turned = opened.image(0)
    assert turned.shape == (*HW[::-1], 3)
    assert turned[5, -5].min() > 240
    assert turned[5, 5].max() < 15


def test_a_field_that_no_sample_uses_changes_no_byte(data):
    written = []
    for area in (9.0, 8.0):  # of a bystander, too small to be learned from
        path = data / "annotations/train.json"
        content = json.loads(path.read_text())
        content["annotations"][2] |= {"area": area, "note": str(area)}
        path.write_text(json.dumps(content))
        packing.write(data / "train.h5", [source(data)], {})
        written.append((data / "train.h5").read_bytes())
    assert written[0] == written[1]


def test_what_is_no_packed_file_is_told(tmp_path):
    (tmp_path / "train.h5").write_text("<html>")
    with pytest.raises(InputError, match=r"not a whole HDF5 file .*run the stage pack again"):
        packed.open_packed(tmp_path / "train.h5")
