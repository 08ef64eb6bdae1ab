"""The sheets of images that two revisions are compared by."""

import json

import numpy as np
import pytest

from stages.openpose.coco.annotations import read_images, read_people
from stages.openpose.coco.image_files import open_images
from stages.openpose.report import sheets
from stages.openpose.skeleton import COCO
from tests.tiny_coco import image, keypoints, person, write_dataset

BOX = (20, 10, 60, 100)


@pytest.fixture
def val(tmp_path):
    """Three images, of which the second shows nobody; annotations, people, archive."""
    images = [image(number) for number in (1, 2, 3)]
    write_dataset(tmp_path, images, [person(1, 1, BOX), person(2, 3, BOX)], "val")
    read = read_images(tmp_path / "annotations/val.json")
    with open_images(tmp_path / "archives/val.zip") as archive:
        yield read, read_people(read.path, read), archive


def test_images_with_people_are_spread_evenly(val):
    images, people, _ = val
    assert images.ids[sheets.spread(images, people)].tolist() == [1, 3]
    assert images.ids[sheets.spread(images, people, count=1)].tolist() == [1]


def test_found_people_are_read_of_all_shards_without_guesses(tmp_path):
    guessed = keypoints(BOX)
    guessed[2] = 1
    for shard, image_id in enumerate((1, 3)):
        path = tmp_path / f"{shard}/multi.json"
        path.parent.mkdir()
        path.write_text(json.dumps([{"image_id": image_id, "keypoints": guessed}]))
    found = sheets.read_found(tmp_path, "multi", [1, 2])
    assert {image_id: len(points) for image_id, points in found.items()} == {1: 1, 2: 0}
    assert found[1][0, 0].tolist() == [0, 0, 0]
    assert found[1][0, 1, 2] == 2


def test_labelled_people_stand_beside_those_found(val):
    images, people, archive = val
    rows = sheets.spread(images, people)
    nobody = np.zeros((0, len(COCO.keypoints), 3))
    same = {1: people.keypoints[:1].astype(float), 3: nobody}
    sheet = sheets.people_sheet(images, people, rows, same, archive)
    height, width = sheets.TILE_HW_PX
    assert sheet.shape == (height, 2 * sheets.COLUMNS * width, 3)
    first, second, third, fourth = np.split(sheet, 4, axis=1)
    np.testing.assert_array_equal(first, second)
    assert np.abs(third.astype(int) - fourth).max() > 50
