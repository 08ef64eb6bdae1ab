"""Records of annotation files, one by one: what is passed on, put right, derived, refused."""

from pathlib import Path

import numpy as np
import pytest

from stages.openpose.coco.categories import Categories
from stages.openpose.coco.findings import Findings
from stages.openpose.coco.normalise import LARGEST_ID, Annotations, area_of, image_record
from tests.tiny_coco import crowd, image, person

BOX = (10, 10, 60, 100)
GONE = object()


def annotations(**changes):
    arguments = {
        "rows": {1: 0, 2: 1},
        "sizes": [(120, 160), (120, 160)],
        "categories": Categories(frozenset({1, 7}), {1: None}),
        "renumbered": {},
        "findings": Findings(Path("train.json")),
    }
    return Annotations(**arguments | changes)


def with_changes(raw, changes):
    return {key: value for key, value in (raw | changes).items() if value is not GONE}


def read(changes, **more):
    """The annotation of a person with `changes`, as it is passed on, and the findings."""
    reader = annotations(**more)
    found = reader.record(with_changes(person(11, 1, BOX), changes))
    return found and found[1], reader.findings


def visibilities(*values):
    """17 keypoints, the first of them with these visibilities."""
    return [
        number
        for place, value in enumerate([*values, *[2] * (17 - len(values))])
        for number in (20 + place, 30 + place, value)
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "x"}, "`id`: expected a whole number, found 'x'"),
        ({"id": None}, "`id`: expected a whole number, found None"),
        ({"image_id": 9}, "annotation 11 belongs to image 9"),
        ({"image_id": []}, "`image_id`: expected the id of an image, found []"),
        ({"category_id": 3}, "`category_id`: expected one of [1, 7], found 3"),
        ({"category_id": GONE}, "`category_id`: expected the id of a category, found nothing"),
        ({"iscrowd": 2}, "`iscrowd`: expected the number 0 or 1, found 2"),
        ({"iscrowd": "1"}, "`iscrowd`: expected the number 0 or 1, found '1'"),
        ({"iscrowd": "yes"}, "`iscrowd`: expected the number 0 or 1, found 'yes'"),
        ({"iscrowd": None}, "`iscrowd`: expected the number 0 or 1, found None"),
        ({"keypoints": [1] * 34}, "`keypoints`: expected 51 numbers"),
        ({"keypoints": "x"}, "found 'x'"),
        ({"keypoints": [None] * 51}, "`keypoints[0]`: expected a finite number, found None"),
        ({"keypoints": visibilities(1, 0, 3)}, "`keypoints[8]`: expected a visibility 0, 1 or 2"),
        ({"num_keypoints": "17"}, "`num_keypoints`: expected a finite number, found '17'"),
        ({"num_keypoints": True}, "`num_keypoints`: expected a finite number, found True"),
        ({"segmentation": "x"}, "`segmentation[0]`: expected a list of x, y, x, y ..., found 'x'"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "`segmentation[0]`: expected a list"),
        ({"segmentation": [[1, 2, 3, 4], 5]}, "`segmentation[1]`: expected a list"),
        ({"segmentation": [[1, 2, 3, None]]}, "`segmentation[0][3]`: expected a finite number"),
        ({"bbox": 5}, "`bbox`: expected 4 numbers"),
        ({"bbox": [1, 2, 3]}, "`bbox`: expected 4 numbers"),
        ({"bbox": [1, 2, 3, "4"]}, "`bbox[3]`: expected a finite number, found '4'"),
        ({"area": -1}, "`area`: expected a number of square pixels"),
        ({"area": 1e11}, "`area`: expected a number of square pixels"),
        ({"area": "5"}, "`area`: expected a number of square pixels"),
    ],
)
def test_what_cannot_be_right_is_refused_by_field_and_value(changes, message):
    found, findings = read(changes)
    assert found is None
    assert findings.problem_count == 1
    assert message in findings.problems[0]


@pytest.mark.parametrize(
    ("changes", "expected", "derived"),
    [
        ({}, {}, {}),
        ({"id": "5"}, {"id": 5}, {"ids of annotations as text or with a decimal point": 1}),
        ({"image_id": 2.0}, {"image_id": 2}, {"`image_id` as text or with a decimal point": 1}),
        (
            {"category_id": "1"},
            {"category_id": 1},
            {"`category_id` as text or with a decimal point": 1},
        ),
        (
            {"category_id": 1.0},
            {"category_id": 1},
            {"`category_id` as text or with a decimal point": 1},
        ),
        ({"iscrowd": GONE}, {"iscrowd": 0}, {"`iscrowd`: no crowd": 1}),
        (
            {"iscrowd": False},
            {"iscrowd": 0},
            {"`iscrowd` as true, false or with a decimal point": 1},
        ),
        ({"num_keypoints": GONE}, {"num_keypoints": 17}, {"`num_keypoints`: counted": 1}),
        (
            {"num_keypoints": 17.0},
            {"num_keypoints": 17},
            {"`num_keypoints` with a decimal point": 1},
        ),
        (
            {"num_keypoints": 3},
            {"num_keypoints": 17},
            {"`num_keypoints` other than the number of labelled ones": 1},
        ),
        (
            {"segmentation": [10, 10, 40, 10, 40, 40]},
            {"segmentation": [[10, 10, 40, 10, 40, 40]]},
            {"`segmentation`: a polygon without a list around it": 1},
        ),
        (
            {"segmentation": GONE},
            {"segmentation": [[10, 10, 70, 10, 70, 110, 10, 110]]},
            {"`segmentation`: the box": 1},
        ),
        (
            {"area": GONE},
            {"area": 6000.0},
            {"`area`: of the segmentation, else 0.53 of the box": 1},
        ),
    ],
)
def test_what_is_missing_or_harmless_is_put_right_and_counted(changes, expected, derived):
    found, findings = read(changes)
    assert found == person(11, 1, BOX) | expected
    whole = ("id", "image_id", "category_id", "iscrowd", "num_keypoints")
    assert {type(found[name]) for name in whole} == {int}
    assert findings.derived == derived


@pytest.mark.parametrize("box", [GONE, [], [10, 10, 0, 100], [10, 10, 60, 0], [10, 10, -1, 100]])
def test_a_box_that_says_nothing_is_that_of_the_keypoints_and_a_tenth_more(box):
    found, findings = read({"bbox": box})
    # keypoints reach from 0.1 to 0.9 of the person's box
    assert found["bbox"] == pytest.approx([40 - 0.48 * 60, 60 - 0.48 * 100, 0.96 * 60, 0.96 * 100])
    about = "`bbox`" + (": from" if box is GONE or box == [] else " without width or height: from")
    assert [key[: len(about)] for key in findings.derived] == [about]


def test_a_box_around_one_keypoint_is_eight_pixels_wide():
    found, _ = read({"bbox": GONE, "keypoints": visibilities(2, *[0] * 16)})
    assert found["bbox"] == [16.0, 26.0, 8.0, 8.0]


def test_a_person_without_keypoints_has_the_box_of_its_segment_and_no_keypoints():
    segment = [[10, 10, 40, 10, 40, 60]]
    found, _ = read({"bbox": GONE, "keypoints": GONE, "segmentation": segment})
    assert found["bbox"] == [10, 10, 30, 50]
    assert (found["keypoints"], found["num_keypoints"]) == ([0] * 51, 0)
    assert read({"bbox": GONE, "keypoints": [], "segmentation": GONE})[1].problem_count == 1


def test_a_missing_area_without_a_segment_is_that_of_the_box_by_both_its_sides():
    found, _ = read({"area": GONE, "segmentation": GONE})
    assert found["area"] == pytest.approx(0.53 * 60 * 100)


@pytest.mark.parametrize(
    ("polygons", "area"),
    [
        ([[0, 0, 6, 0, 6, 2, 2, 2, 2, 5, 0, 5]], 18.0),
        ([[0, 0, 4, 0, 4, 4], [10, 10, 10, 13, 12, 10]], 8.0 + 3.0),
        (None, 0.0),
    ],
)
def test_the_area_of_polygons_is_that_inside_their_corners(polygons, area):
    assert area_of(polygons) == area


def test_annotations_without_ids_get_different_ones():
    reader = annotations()
    found = [
        reader.record(with_changes(person(11, 1, BOX), {"id": number}))[1]["id"]
        for number in (GONE, GONE, 0, LARGEST_ID + 7)
    ]
    assert len(set(found)) == 4
    assert min(found) > LARGEST_ID
    reader.finish()
    assert reader.findings.problem_count == 0


def test_images_whose_ids_were_too_large_are_found_by_their_new_ids():
    found, _ = read({"image_id": 2**60}, renumbered={2**60: 2})
    assert found["image_id"] == 2


def test_an_element_that_is_no_object_is_named_by_its_place_in_the_list():
    reader = annotations()
    for raw in (person(11, 1, BOX), person(12, 1, BOX), 5):
        reader.record(raw)
    assert "found as the 3. 5" in reader.findings.problems[0]


def test_a_crowd_with_labelled_keypoints_is_suspicious():
    reader = annotations()
    mask = np.ones((120, 160), bool)
    reader.record(crowd(3, 1, mask))
    assert not reader.findings.suspicious
    reader.record(person(4, 1, BOX, iscrowd=1, labelled=5))
    (suspicion,) = reader.findings.suspicious.values()
    assert suspicion.examples == ["annotation 4: iscrowd 1, 5 keypoints"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"height": 120.0}, {"height": 120}),
        ({"width": 2**31 - 1}, {"width": 2**31 - 1}),
        ({"id": "7"}, {"id": 7}),
        ({"id": 0}, {"id": 0}),
        ({"height": "120"}, "`height`: expected a whole number of pixels, at least 1"),
        ({"height": 0}, "`height`: expected a whole number of pixels, at least 1"),
        ({"width": 2**31}, "`width`: expected a whole number of pixels, at least 1"),
        ({"width": 0.5}, "`width`: expected a whole number of pixels, at least 1"),
        ({"height": GONE}, "image 3 has no `height`"),
        ({"id": "x"}, "`id`: expected a whole number, found 'x'"),
        ({"file_name": " "}, "`file_name`: expected text"),
        ({"file_name": "../x.jpg"}, "`file_name`: expected a path inside the folder of images"),
    ],
)
def test_an_image_has_a_whole_id_and_sides_and_a_name_inside_its_folder(changes, expected):
    findings = Findings(Path("train.json"))
    found = image_record(with_changes(image(3), changes), findings)
    if isinstance(expected, dict):
        assert found == image(3) | expected
        assert all(type(found[name]) is int for name in ("id", "height", "width"))
    else:
        assert found is None
        assert expected in findings.problems[0]
