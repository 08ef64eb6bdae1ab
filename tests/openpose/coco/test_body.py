"""The skeleton of a data set, from its annotations and its people."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.openpose.coco import annotations
from stages.openpose.coco.body import Given, counterpart, derive, places_of
from stages.openpose.coco.pose_prior import fit_where_it_tells
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO, ESTIMATED, GIVEN, from_dict, to_dict
from tests.bodies import SIDED, body, chains, people_at, sided


def limb_names(skeleton):
    return {frozenset((skeleton.parts[a], skeleton.parts[b])) for a, b in skeleton.limbs}


def test_cocos_keypoints_are_cocos_body():
    people = people_at(np.zeros((1, 17, 2)))
    assert derive(COCO.keypoints, (), people).skeleton is COCO
    assert derive(COCO.keypoints, (), people, Given([], [], [], {})).skeleton is COCO


def test_without_edges_the_limbs_are_the_links_whose_length_does_not_vary():
    skeleton = body(7)
    main = [limb for i, limb in enumerate(skeleton.limbs) if i not in skeleton.late_limbs]
    assert {frozenset(limb) for limb in main} == {frozenset((i, i + 1)) for i in range(6)}


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 12),
    seed=st.integers(0, 99),
    edges=st.lists(st.tuples(*[st.integers(0, 11)] * 2)),
)
def test_limbs_connect_every_body_and_are_symmetric(count, seed, edges):
    names = tuple(f"left_{i // 2}" if i % 2 else f"right_{i // 2}" for i in range(count))
    edges = [(a, b) for a, b in edges if a != b and max(a, b) < count]
    people = people_at(chains(np.random.default_rng(seed), 30, count))
    skeleton = derive(names, edges, people).skeleton
    reached, before = {0}, set()
    while reached != before:
        before = set(reached)
        reached |= {i for limb in skeleton.limbs if reached & set(limb) for i in limb}
    assert reached == set(range(count))
    assert sorted(skeleton.decode_order) == list(range(len(skeleton.limbs)))
    assert sorted(skeleton.mirrored_limbs) == list(range(len(skeleton.limbs)))
    assert {frozenset((names[a], names[b])) for a, b in edges} <= limb_names(skeleton)
    assert from_dict(json.loads(json.dumps(to_dict(skeleton)))) == skeleton


def test_edges_of_one_side_hold_for_the_other():
    assert limb_names(sided()) == {
        frozenset(pair)
        for pair in [
            ("snout", "left_ear"), ("snout", "right_ear"), ("left_ear", "right_ear"),
            ("left_ear", "tail"), ("right_ear", "tail"),
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("left_eye", "right_eye"), ("l_eye", "r_eye"), ("eye_l", "eye_r"), ("leftear", "rightear"),
        ("ear_left_tip", "ear_right_tip"), ("earleft", "earright"), ("tail", None),
        ("left_paw", None), ("bottleft_x", None), ("right_eye", None),
    ],
)  # fmt: skip
def test_the_other_side_is_found_by_the_words_of_the_name(name, other):
    names = ["right_eye", "r_eye", "eye_r", "rightear", "ear_right_tip", "earright", "tail", name]
    assert counterpart(name, names) == other


def test_pairs_without_sides_in_their_names_are_suspicious():
    names = ("brow0", "brow1", "chin")
    rng = np.random.default_rng(1)
    points = np.array([(-20, 0), (20, 0), (0, 50)]) + rng.normal(0, 1, (40, 3, 2)) + 100
    found = derive(names, (), people_at(points))
    assert found.skeleton.mirrored_parts == (0, 1, 2)
    assert "[brow0, brow1]" in found.suspicions[0]
    told = derive(names, (), people_at(points), Given(mirror=[("brow0", "brow1")]))
    assert told.skeleton.mirrored_parts == (1, 0, 2)
    assert told.suspicions == []


def test_pairs_that_are_no_mirror_images_are_suspicious():
    points = np.array([(0, 0), (10, 8), (-60, 90), (0, 60)]) + np.zeros((40, 4, 2)) + 100
    found = derive(SIDED, (), people_at(points))
    assert found.suspicions == [
        "left_ear and right_ear do not look like mirror images of each other"
    ]


def test_sigmas_are_estimated_by_the_distance_to_the_nearest_keypoint_or_given():
    points = np.array([(0.0, 0.0), (10, 0), (90, 0)]) + np.zeros((30, 3, 2)) + 100
    people = people_at(points, np.full(30, 100.0**2))
    skeleton = derive(("a", "b", "c"), (), people).skeleton
    assert skeleton.oks_sigmas == pytest.approx((0.0284, 0.0284, 0.15))
    assert skeleton.sigmas_from == ESTIMATED
    told = derive(("a", "b", "c"), (), people, Given(sigmas=(0.1, 0.2, 0.3))).skeleton
    assert (told.oks_sigmas, told.sigmas_from) == ((0.1, 0.2, 0.3), GIVEN)


def test_estimated_sigmas_are_near_cocos_own(shared):
    path = shared / "coco-mini/annotations/person_keypoints.json"
    images = annotations.read_images(path)
    people = annotations.read_people(path, images)
    derived = {"neck": ("left_shoulder", "right_shoulder")}
    skeleton = derive(COCO.keypoints, (), people, Given(derived=derived)).skeleton
    ratio = np.array(skeleton.oks_sigmas) / COCO.oks_sigmas
    assert ((ratio > 0.6) & (ratio < 1.6)).all()
    assert frozenset(("left_hip", "left_knee")) in limb_names(skeleton)


def test_derived_parts_lie_between_their_two():
    points = chains(np.random.default_rng(0), 20, 3)
    people = people_at(points)
    skeleton = derive(("a", "b", "c"), (), people, Given(derived={"mid": ("a", "b")})).skeleton
    parts = annotations.network_parts(people.keypoints, skeleton)
    np.testing.assert_allclose(parts[:, 3, :2], points[:, :2].mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": [("a", "x")]}, "skeleton.edges.*a, x"),
        ({"mirror": [("a", "a")]}, "skeleton.mirror"),
        ({"sigmas": (0.1,)}, "skeleton.sigmas.*3 numbers.*found 1"),
        ({"derived": {"a": ("b", "c")}}, "skeleton.derived"),
        ({"derived": {"d": ("b", "x")}}, "skeleton.derived"),
    ],
)
def test_settings_that_name_what_is_not_there_are_refused(changes, message):
    people = people_at(chains(np.random.default_rng(0), 5, 3))
    with pytest.raises(InputError, match=message):
        derive(("a", "b", "c"), (), people, Given(**changes))


def test_nobody_to_measure_still_gives_a_connected_body():
    skeleton = derive(("a", "b", "c"), (), people_at(np.zeros((0, 3, 2)))).skeleton
    assert len(skeleton.limbs) == 2
    assert set(skeleton.oks_sigmas) == {0.06}


def test_a_prior_is_made_of_bodies_that_stand_one_way_only():
    rng = np.random.default_rng(0)
    at_rest = np.array([(0, 0), (10, 30), (-10, 30), (0, 60)], float)
    standing = people_at(at_rest + rng.normal(0, 2, (80, 4, 2)))
    angle = rng.uniform(0, 2 * np.pi, 80)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lying = people_at(np.einsum("ijp,kj->pki", turn, at_rest) + 100)
    priors = []
    for people in (standing, lying):
        places = places_of(people, derive(tuple("abcd"), (), people).skeleton)
        priors.append(fit_where_it_tells(places.xy, places.known))
    assert priors[0] is not None
    assert priors[1] is None


def test_what_is_said_of_a_body_names_six_keypoints_and_shows_eight_sigmas():
    def said(count):
        names, people = tuple("abcdefghij"[:count]), people_at(np.zeros((1, count, 2)))
        notes = derive(names, (), people, Given(sigmas=[0.1] * count)).notes
        return notes[0], notes[3]

    assert said(6)[0] == "body: 6 keypoints (a, b, c, d, e, f)"
    assert said(7)[0] == "body: 7 keypoints (a, b, c, d, e, f ...)"
    assert said(8)[1] == f"OKS sigmas {GIVEN}: " + ", ".join(["0.100"] * 8)
    assert said(9)[1] == f"OKS sigmas {GIVEN}: " + ", ".join(["0.100"] * 8) + " ..."
