"""The forms in which people are handed on."""

from dataclasses import replace

import numpy as np
import pytest

from stages.openpose.predicting.found import FoundPeople, best_first
from stages.openpose.skeleton import COCO
from tests.oracle import figure


@pytest.fixture
def people() -> FoundPeople:
    """Two people, the second better and without a left wrist."""
    parts = np.stack([figure(60, 30, 120), figure(170, 50, 100)]).astype(np.float32)
    parts[0, :, 2] = 0.5
    parts[1, COCO.parts.index("left_wrist")] = 0
    keypoints = parts[:, list(COCO.part_of_keypoint)]
    return FoundPeople(keypoints, parts, np.array([2.0, 3.0], np.float32))


def test_people_are_sorted_by_score(people):
    ordered = best_first(replace(people, ids=np.array([7, 8])))
    assert ordered.scores.tolist() == [3, 2]
    assert ordered.ids.tolist() == [8, 7]
    np.testing.assert_array_equal(ordered.parts[0], people.parts[1])


def test_certainty_is_the_mean_score_of_what_was_found(people):
    np.testing.assert_allclose(people.certainty, [0.5, 1.0])
    assert len(people.certain(0.6)) == 1


def test_a_drawing_is_rgb_and_leaves_the_image_as_it_was(people):
    image = np.zeros((200, 240, 3), np.uint8)
    drawn = people.draw(image)
    assert not image.any()
    assert drawn.any()
    np.testing.assert_array_equal(drawn[..., ::-1], people.draw_bgr(image))


def test_openposes_json_has_its_keys_and_all_parts_in_network_order(people):
    document = people.to_openpose()
    assert document["version"] == 1.3
    person = document["people"][1]
    values = np.reshape(person["pose_keypoints_2d"], (len(COCO.parts), 3))
    np.testing.assert_allclose(values, people.parts[1], atol=1e-3)
    assert (values[COCO.parts.index("left_wrist")] == 0).all()
    assert person["person_id"] == [-1]
    assert set(person) == {"person_id"} | {
        f"{what}_keypoints_{d}d"
        for what in ("pose", "face", "hand_left", "hand_right")
        for d in (2, 3)
    }
    followed = replace(people, ids=np.array([4, -1])).to_openpose()
    assert [entry["person_id"] for entry in followed["people"]] == [[4], [-1]]


def test_a_data_frame_has_a_row_for_each_keypoint_found(people):
    frame = people.to_dataframe()
    assert len(frame) == 2 * len(COCO.keypoints) - 1
    wrist = frame[(frame.person == 0) & (frame.keypoint == "left_wrist")].iloc[0]
    expected = people.keypoints[0, COCO.keypoints.index("left_wrist")]
    np.testing.assert_allclose([wrist.x, wrist.y, wrist.score], expected, atol=0.01)
    assert "id" in replace(people, ids=np.array([1, 2])).to_dataframe().columns
    assert people.select(np.array([], int)).to_dataframe().empty


def test_coco_results_carry_the_ids_of_their_people(people):
    assert all("track_id" not in result for result in people.to_coco(5))
    results = replace(people, ids=np.array([7, 8])).to_coco(5)
    assert [(r["image_id"], r["score"], r["track_id"]) for r in results] == [(5, 3, 8), (5, 2, 7)]
