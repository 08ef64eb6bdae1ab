"""Which images the gallery shows, and what is drawn over them."""

import re
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from stages.openpose.report.gallery import choose, jpeg_of
from stages.openpose.report.skeletons import IGNORED, RIGHT, WRONG, found_markup, labelled_markup
from stages.openpose.skeleton import COCO
from tests.bodies import body
from tests.openpose.report import explored


def image_set(count):
    """Images with ids from 100 on, a person in each but the last."""
    ids = np.arange(100, 100 + count)
    images = SimpleNamespace(ids=ids, rows=lambda: {int(i): row for row, i in enumerate(ids)})
    return images, SimpleNamespace(image=np.arange(count - 1))


def wrong_in(image_ids, rows):
    """Matches with one wrong detection in the image of each of `rows`."""
    hit = np.zeros((10, len(rows)), bool)
    return explored.matches().__class__(
        image_ids=image_ids,
        image=np.array(rows),
        scores=np.ones(len(rows)),
        hit=hit,
        counted=~hit,
        people=np.ones(len(image_ids), int),
        thresholds=np.linspace(0.5, 0.95, 10),
        recalls=np.linspace(0, 1, 101),
    )


def test_the_worst_the_best_and_those_with_most_false_positives_are_chosen_worst_first():
    images, people = image_set(21)
    lost = {100 + row: float(row % 10) for row in range(20)}
    matches = wrong_in(images.ids, [20, 20, 5])
    rows = choose(images, people, 8, images.ids.tolist(), lost, matches)
    assert len(rows) == len(set(rows)) == 8
    assert {9, 19, 0, 10, 20, 5} <= set(rows), "two of each kind; image 20 has nobody labelled"
    losses = [lost.get(100 + row, 0.0) for row in rows]
    assert losses == sorted(losses, reverse=True)


def test_images_that_nobody_looked_at_are_not_chosen():
    images, people = image_set(9)
    lost = {100 + row: float(row) for row in range(8)}
    assert choose(images, people, 8, [101, 103], lost) == [3, 1]
    assert choose(images, people, 8, [], lost) == []


def test_a_skeleton_lies_where_the_keypoints_are():
    keypoints = explored.people(1)
    markup = labelled_markup(keypoints)
    dots = re.findall(r"M([\d.]+) ([\d.]+)h0", markup)
    # parts in network order; pixel centres lie half a pixel inside
    expected = keypoints[0, :, :2] + 0.5
    for x, y in expected:
        assert (f"{x:.1f}", f"{y:.1f}") in dots
    assert len(dots) == len(COCO.parts)


def test_absent_keypoints_are_not_drawn():
    keypoints = explored.people(1)
    assert labelled_markup(keypoints * [1, 1, 0]) == ""
    keypoints[0, 1:, 2] = 0
    markup = found_markup(keypoints, np.array([0.5]), [RIGHT], (200, 300))
    assert len(re.findall("h0", markup)) == 1
    assert "L" not in markup, "no limb has both ends"


def test_only_wrong_detections_are_boxed_and_all_tell_their_score():
    kinds = [RIGHT, WRONG, IGNORED]
    markup = found_markup(explored.people(3), np.array([0.9, 0.8, 0.7]), kinds, (200, 300))
    people = re.findall(r'<g class="person (\w+)" data-score="([\d.]+)".*?</g></g>', markup)
    assert people == [("right", "0.90000"), ("wrong", "0.80000"), ("ignored", "0.70000")]
    assert markup.count("<rect") == 1
    assert re.findall(r">([\d.]+)</text>", markup) == ["0.90", "0.80", "0.70"]


@pytest.mark.parametrize("count", [1, 3, 14])
def test_any_body_is_drawn_with_its_own_limbs(count):
    skeleton = body(count)
    markup = labelled_markup(explored.people(2, skeleton), skeleton)
    assert markup.count("h0") == 2 * len(skeleton.parts)
    assert markup.count("L") == 2 * 2 * (len(skeleton.limbs) - len(skeleton.late_limbs))


def test_large_images_are_made_smaller_and_small_ones_stay():
    def size(height, width):
        return explored.decoded(jpeg_of(np.zeros((height, width, 3), np.uint8))).shape[:2]

    assert size(100, 100) == (100, 100)
    assert size(1024, 1024) == (512, 512)
    assert size(100, 6400) == (10, 640)


def test_24_photographs_fit_into_a_page_of_4_mb(shared):
    archive = shared / "real-coco" / "dev.zip"
    if not archive.exists():
        pytest.skip("../shared/real-coco (photographs) is absent")
    with zipfile.ZipFile(archive) as photographs:
        names = [name for name in photographs.namelist() if name.endswith(".jpg")][:24]
        jpegs = [jpeg_of(explored.decoded(photographs.read(name))) for name in names]
    in_base64 = sum(4 / 3 * len(jpeg) for jpeg in jpegs)
    assert len(jpegs) == 24
    assert in_base64 < 3e6, "a megabyte is for all else"
