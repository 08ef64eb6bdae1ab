"""Which categories are people, and whose keypoints are labelled."""

from pathlib import Path

import pytest

from stages.openpose.coco.categories import ANY_BODY, Wanted, read_categories
from stages.openpose.coco.findings import Findings
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO_KEYPOINTS

MOUSE = {"id": 3, "name": "mouse", "keypoints": ["snout", "leftEar", "tail base"]}


def read(*listed, wanted=ANY_BODY):
    return read_categories(listed, Findings(Path("a.json"), strict=True), wanted)


def test_the_only_list_of_keypoints_is_the_body():
    found = read({"id": 1, "name": "cage"}, MOUSE)
    assert found.keypoints == ("snout", "left_ear", "tail_base")
    assert found.people == {3: None}


def test_edges_count_from_one_or_from_zero():
    assert read(MOUSE | {"skeleton": [[1, 2], [3, 1]]}).edges == ((0, 1), (2, 0))
    assert read(MOUSE | {"skeleton": [[0, 1], [2, 0]]}).edges == ((0, 1), (2, 0))


def test_another_order_is_put_in_that_of_the_data_set():
    turned = MOUSE | {"keypoints": MOUSE["keypoints"][::-1], "skeleton": [[1, 2]]}
    found = read(turned, wanted=Wanted(("snout", "left_ear", "tail_base")))
    assert found.people == {3: (2, 1, 0)}
    assert found.edges == ((2, 1),)


def test_cocos_keypoints_win_over_others():
    coco = {"id": 1, "name": "person", "keypoints": list(COCO_KEYPOINTS)}
    assert read(MOUSE, coco).people == {1: None}
    assert read(MOUSE, coco, wanted=Wanted(category="Mouse")).people == {3: None}


def test_names_may_stand_in_the_settings_alone():
    wanted = Wanted(("a", "b"))
    assert read({"id": 2, "name": "fish"}, wanted=wanted).people == {2: None}
    assert read(wanted=wanted).keypoints == ("a", "b")


@pytest.mark.parametrize(
    ("listed", "wanted", "message"),
    [
        ([MOUSE, {"id": 4, "name": "rat", "keypoints": ["nose"]}], ANY_BODY, "mouse .3., rat .1."),
        ([MOUSE], Wanted(("snout", "tail")), "unknown: left_ear, tail_base, missing: tail"),
        ([MOUSE | {"skeleton": [[1, 9]]}], ANY_BODY, "`skeleton`.*1 to 3.*9"),
        ([MOUSE | {"skeleton": [[1, 1]]}], ANY_BODY, "`skeleton`"),
        ([MOUSE | {"skeleton": "ring"}], ANY_BODY, "`skeleton`.*r"),
        ([MOUSE | {"skeleton": [[1, "ear"]]}], ANY_BODY, "`skeleton`.*ear"),
        ([MOUSE | {"keypoints": ["a", "A"]}], ANY_BODY, "a is there twice"),
        ([MOUSE | {"keypoints": ["a", ""]}], ANY_BODY, "empty"),
        ([MOUSE | {"keypoints": ["a", 7]}], ANY_BODY, "not a list of text"),
        ([MOUSE], Wanted(category="rat"), "skeleton.category"),
        ([{"id": 1, "name": "cat"}], ANY_BODY, "person"),
    ],
)
def test_what_does_not_tell_one_body_is_refused(listed, wanted, message):
    with pytest.raises(InputError, match=message):
        read(*listed, wanted=wanted)


def test_cocos_names_with_a_misspelt_one_are_refused_unless_meant():
    names = ["nosee", *COCO_KEYPOINTS[1:]]
    with pytest.raises(
        InputError, match="16 of the names are COCO's, unknown: nosee, missing: nose"
    ):
        read({"id": 1, "name": "person", "keypoints": names})
    meant = read({"id": 1, "name": "person", "keypoints": names}, wanted=Wanted(tuple(names)))
    assert meant.keypoints[0] == "nosee"


def test_two_bodies_are_refused_and_the_first_looked_at_for_misspelt_names():
    people = {"id": 1, "name": "person", "keypoints": ["nosee", *COCO_KEYPOINTS[1:]]}
    findings = Findings(Path("a.json"))
    read_categories([people, MOUSE], findings)
    assert ["2 different bodies" in text for text in findings.problems] == [True, False]
    assert "unknown: nosee" in findings.problems[1]
