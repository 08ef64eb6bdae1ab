"""AP of images of a packed file, with their people as ground truth."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stages.openpose.coco.annotations import network_parts
from stages.openpose.decoding.decoder import decode
from stages.openpose.evaluation.held_out import (
    average_precision,
    coco_keypoints,
    matched_people,
    packed_ground_truth,
)
from stages.openpose.skeleton import COCO
from stages.params import Detect
from tests.oracle import Oracle, figure, numbered_image

SIZES = {1: (240, 320), 2: (200, 150), 3: (240, 320)}
PEOPLE = {
    1: np.stack([figure(80, 60, 150), figure(220, 80, 120)]),
    2: np.stack([figure(70, 40, 130)]),
    3: np.stack([figure(150, 50, 160)]),
}


def packed(people=PEOPLE, masks=None):
    """What held_out reads of a packed file."""
    numbers = list(SIZES)
    return SimpleNamespace(
        skeleton=COCO,
        image_ids=np.array(numbers),
        sizes=np.array([SIZES[number] for number in numbers]),
        image=lambda row: numbered_image(numbers[row], SIZES[numbers[row]]),
        parts=lambda row: people[numbers[row]].astype(np.float32),
        mask_miss=lambda row: (masks or {}).get(numbers[row]),
    )


def oracle(people=PEOPLE):
    return Oracle(people, SIZES, height_px=368)


@given(arrays.arrays(np.float32, (3, 17, 3), elements=st.integers(0, 2).map(float)))
def test_keypoints_come_back_from_parts(keypoints):
    keypoints[keypoints[..., 2] == 0] = 0
    np.testing.assert_array_equal(coco_keypoints(network_parts(keypoints)), keypoints)


def test_perfect_maps_give_all_people():
    assert average_precision(oracle(), packed(), images=10)() > 0.95


def test_people_that_are_missed_cost_ap():
    one_missing = PEOPLE | {1: PEOPLE[1][:1]}
    assert average_precision(oracle(one_missing), packed(), 10)() == pytest.approx(0.75, abs=0.05)


def test_who_is_found_in_a_region_not_to_learn_from_counts_neither_way():
    known = PEOPLE | {1: PEOPLE[1][:1]}
    mask = np.full(SIZES[1], 255, np.uint8)
    mask[60:220, 190:250] = 0
    plain, masked = (average_precision(oracle(), packed(known, m), 10)() for m in (None, {1: mask}))
    assert masked > 0.95 > plain


def test_images_are_spread_over_the_file_and_stay_the_same():
    forward = oracle()
    measure = average_precision(forward, packed(), images=2)
    assert measure() == measure()
    widths = [shape[2] for shape in forward.shapes]
    assert widths == [512, 512] * 2  # images 1 and 3, padded to multiples of 64


def test_weights_of_the_moment_are_measured():
    forward = oracle()
    measure = average_precision(forward, packed(), 10)
    before = measure()
    forward.people = {number: people[:0] for number, people in PEOPLE.items()}
    assert before > 0.95
    assert measure() == 0


def test_person_with_one_keypoint_has_an_area():
    people = PEOPLE[2].copy()
    people[:, 1:, 2] = 2
    truth = packed_ground_truth(packed(PEOPLE | {2: people}), [1])
    (annotation,) = truth.dataset["annotations"]
    assert annotation["num_keypoints"] == 1
    assert annotation["area"] > 0


def test_people_found_at_several_scales_are_matched_to_those_of_the_file():
    known = PEOPLE | {1: PEOPLE[1][:1]}
    matches = matched_people(
        oracle(),
        packed(known),
        10,
        inference="multi",
        settings=Detect(height_px=368),
        decode=decode,
    )
    assert (matches.people.sum(), matches.hit[0].sum()) == (3, 3)
    assert len(matches.scores) > 3, "who is not in the file was found too"
