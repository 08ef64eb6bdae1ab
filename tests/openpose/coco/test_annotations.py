import hashlib
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.openpose.coco import annotations, json_stream
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO
from tests.tiny_coco import image, keypoints, person, write_json

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
MAIN = {"duplicate_radius": "fixed", "min_keypoints": 5, "min_area_px2": 1024}


def mains(path, **changes):
    images = annotations.read_images(path)
    people = annotations.read_people(
        path, images, file_order=changes.get("duplicate_radius") == "reference"
    )
    return people.ids[annotations.main_persons(people, **(MAIN | changes))].tolist()


@settings(max_examples=150, deadline=None)
@given(
    content=st.dictionaries(
        st.text(max_size=5), JSON_VALUES | st.lists(JSON_VALUES, max_size=6), max_size=5
    ),
    block=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_lists_read_in_pieces_equal_the_parsed_file(
    tmp_path_factory, content, block, indent, ascii_only
):
    path = tmp_path_factory.mktemp("json") / "any.json"
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    found = {name: [] for name in lists}
    digest = hashlib.sha256()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "BLOCK_BYTES", block)
        for name, elements in json_stream.read_lists(path, tuple(lists), digest):
            found[name] += elements
    assert found == lists
    assert digest.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -2])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, cut):
    path = write_json(tmp_path / "train.json", [image(1)], [person(1, 1)])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"train\.json"):
        list(json_stream.read_lists(path, ("images", "annotations")))


@pytest.mark.parametrize(
    "start", [b'{"images": [', b'{"images": [{"a":', b'{"images": ["x', b'{"info": {"a": [']
)
@pytest.mark.parametrize("endless", [b"[", b'{"a":', b"x"])
def test_a_file_of_endless_brackets_is_given_up_early(tmp_path, monkeypatch, start, endless):
    monkeypatch.setattr(json_stream, "LARGEST_ELEMENT_BYTES", 1 << 21)
    path = tmp_path / "brackets.json"
    path.write_bytes(start + endless * (1 << 22))
    with pytest.raises(InputError, match=r"brackets\.json: .*more than 2 MB, beginning with"):
        annotations.read_images(path)


def test_invalid_json_inside_a_list_shows_the_place(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('{"images": [{"id": 1,, "x": 2}], "annotations": []}')
    with pytest.raises(InputError, match=r"bad\.json.*1,, "):
        annotations.read_images(path)


@pytest.mark.parametrize("text", ["[]", "hello", '"text"', ""])
def test_a_file_that_is_no_json_object_is_an_error(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.json"):
        annotations.read_images(path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        annotations.read_images(tmp_path / "none.json")


def test_images_come_by_id_and_remember_the_order_of_the_file(tmp_path):
    path = write_json(
        tmp_path / "a.json", [image(7, (10, 20)), image(3, (30, 40)), image(5, (1, 2))], []
    )
    images = annotations.read_images(path)
    assert images.ids.tolist() == [3, 5, 7]
    assert images.sizes.tolist() == [[30, 40], [1, 2], [10, 20]]
    assert images.ids[images.file_order].tolist() == [7, 3, 5]
    assert images.file_names[0] == "000000000003.jpg"
    assert images.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("images", "people", "message"),
    [
        ([], [], "`images` that is not empty"),
        ([{"id": 1}], [], "`height`"),
        ([{"id": "a", "height": 1, "width": 1, "file_name": "a"}], [], "`id`"),
        ([image(1), image(1)], [], "image id 1 is listed twice"),
        ([image(1, (0, 5))], [], "image 1: `height`.*at least 1"),
        ([image(1)], [person(1, 2)], "annotation 1 belongs to image 2"),
        ([image(1)], [person(4, 1, keypoints=[0, 0, 2])], "annotation 4: `keypoints`.*51 numbers"),
        (
            [image(1)],
            [person(4, 1, keypoints=keypoints((0, 0, 9, 9), visibility=3))],
            r"annotation 4: `keypoints\[2\]`: expected a visibility 0, 1 or 2, found 3",
        ),
        ([image(1)], [person(4, 1, keypoints=["a"] * 51)], "annotation 4"),
        ([image(1)], [person(4, 1, bbox=[1, 2])], "annotation 4"),
        ([image(1)], ["text"], "expected objects in `annotations`"),
    ],
)
def test_what_is_no_coco_keypoint_file_is_named(tmp_path, images, people, message):
    path = write_json(tmp_path / "train.json", images, people)
    with pytest.raises(InputError, match=message) as problem:
        annotations.read_people(path, annotations.read_images(path))
    assert str(path) in str(problem.value)


def test_reading_people_takes_less_memory_than_the_file(tmp_path, monkeypatch):
    outline = np.random.default_rng(0).integers(0, 640, 80).tolist()
    people = [person(i, i % 40, segmentation=[outline]) for i in range(5000)]
    path = write_json(tmp_path / "a.json", [image(i) for i in range(40)], people)
    images = annotations.read_images(path)
    monkeypatch.setattr(json_stream, "BLOCK_BYTES", 1 << 16)
    tracemalloc.start()
    assert len(annotations.read_people(path, images)) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * path.stat().st_size


def test_a_file_without_a_person_category_is_an_error(tmp_path):
    path = write_json(
        tmp_path / "a.json", [image(1)], [person(1, 1)], categories=[{"id": 1, "name": "cat"}]
    )
    with pytest.raises(InputError, match=r"no category called `person`.*cat"):
        annotations.read_images(path)


def test_annotations_of_other_categories_are_left_out(tmp_path):
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "cat"}]
    cat = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5]}
    path = write_json(tmp_path / "a.json", [image(1)], [cat, person(2, 1)], categories)
    assert annotations.read_people(path, annotations.read_images(path)).ids.tolist() == [2]


def test_crowd_regions_are_never_labelled_people(tmp_path):
    path = write_json(tmp_path / "a.json", [image(1)], [person(1, 1, iscrowd=1), person(2, 1)])
    assert annotations.read_people(path, annotations.read_images(path)).ids.tolist() == [2]


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(8)))
def test_order_of_annotations_does_not_matter(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("order")
    people = [person(i, i % 2 + 1, (5 * i, 4 * i, 40 + i, 60 + 2 * i)) for i in range(8)]
    images = [image(1), image(2)]
    assert mains(write_json(folder / "a.json", images, people)) == mains(
        write_json(folder / "b.json", images, [people[i] for i in order])
    )


def test_neck_is_the_mean_of_the_shoulders_with_the_lower_visibility():
    points = np.zeros((4, 17, 3), np.float32)
    left, right = COCO.keypoints.index("left_shoulder"), COCO.keypoints.index("right_shoulder")
    points[:, left] = (10, 20, 2)
    points[:, right] = (30, 21, 2)
    points[1, right, 2] = 1
    points[2, right, 2] = 0
    points[3, (left, right), 2] = 0
    necks = annotations.network_parts(points)[:, COCO.parts.index("neck")]
    assert necks.tolist() == [[20, 20.5, 1], [20, 20.5, 0], [0, 0, 2], [0, 0, 2]]


def test_every_keypoint_lands_on_the_part_of_its_name():
    points = np.stack([np.arange(17), np.arange(17) + 100, np.full(17, 2)], axis=1)[None]
    parts = annotations.network_parts(points)[0]
    for i, name in enumerate(COCO.keypoints):
        assert parts[COCO.parts.index(name)].tolist() == [i, i + 100, annotations.VISIBLE]


def test_parts_equal_the_golden_ones(shared):
    golden = np.load(shared / "golden" / "seed_labels.npz")
    path = shared / "coco-mini" / "annotations" / "person_keypoints.json"
    images = annotations.read_images(path)
    people = annotations.read_people(path, images, file_order=True)
    samples = annotations.main_persons(people, **(MAIN | {"duplicate_radius": "reference"}))
    parts, centres = annotations.network_parts(people.keypoints), annotations.centres(people.boxes)
    scales = annotations.scales_provided(people.boxes)
    for i, image_id in enumerate(golden["image_id"]):
        here = np.flatnonzero(images.ids[people.image] == image_id)
        (main,) = [row for row in here if np.allclose(centres[row], golden["objpos"][i], atol=1e-9)]
        assert main in samples
        assert scales[main] == pytest.approx(golden["scale_provided"][i], abs=1e-12)
        order = [main, *(row for row in here if row != main)]
        np.testing.assert_array_equal(
            parts[order], golden["joints_image"][i, : golden["n_people"][i]]
        )


def test_too_few_keypoints_or_too_small_a_segment_is_no_main_person(tmp_path):
    people = [
        person(1, 1, (0, 0, 32, 32), labelled=5),
        person(2, 2, labelled=4),
        person(3, 3, area=1023.9),
        person(4, 4, labelled=5, area=1024),
    ]
    path = write_json(tmp_path / "a.json", [image(i) for i in (1, 2, 3, 4)], people)
    assert mains(path) == [1, 4]
    assert mains(path, min_keypoints=4, min_area_px2=1000) == [1, 2, 3, 4]


def test_a_person_close_to_an_earlier_main_person_is_no_sample_of_its_own(tmp_path):
    people = [
        person(1, 1, (0, 0, 60, 100)),
        person(2, 1, (29, 0, 60, 100)),  # 29 px away, within 0.3 x 100
        person(3, 1, (31, 0, 60, 100)),
        person(4, 2, (29, 0, 60, 100)),  # another image
    ]
    path = write_json(tmp_path / "a.json", [image(1), image(2)], people)
    assert mains(path) == [1, 3, 4]


def test_reference_radius_is_that_of_the_last_annotation_of_the_image(tmp_path):
    people = [
        person(1, 1, (0, 0, 40, 40)),
        person(2, 1, (50, 0, 40, 40)),
        person(3, 1, (0, 0, 150, 200), labelled=0),  # 0.3 x 200 > 50
    ]
    path = write_json(tmp_path / "a.json", [image(1)], people)
    assert mains(path) == [1, 2]
    assert mains(path, duplicate_radius="reference") == [1]


def test_reference_radius_loses_main_persons_on_real_images(shared):
    path = shared / "coco-mini" / "annotations" / "person_keypoints.json"
    assert len(mains(path)) == 65
    assert len(mains(path, duplicate_radius="reference")) == 47


def test_a_missing_area_is_that_of_the_segment_else_about_half_of_the_box(tmp_path):
    box = (10, 10, 60, 100)
    square = [[10, 10, 40, 10, 40, 40, 10, 40]]
    raw = [person(1, 1, box, segmentation=square), person(2, 1, box)]
    for annotation in raw:
        del annotation["area"]
    del raw[1]["segmentation"]
    path = write_json(tmp_path / "train.json", [image(1)], raw)
    people = annotations.read_people(path, annotations.read_images(path))
    np.testing.assert_allclose(people.areas, [30 * 30, 0.53 * 60 * 100])


def test_size_is_the_height_of_cocos_people_and_the_longer_side_of_other_bodies():
    boxes = np.array([[0, 900, 20, 50], [900, 0, 70, 30]], np.float64)
    other = replace(COCO, late_limbs=())
    np.testing.assert_allclose(annotations.scales_provided(boxes) * 368, [50, 30])
    np.testing.assert_allclose(annotations.scales_provided(boxes, other) * 368, [50, 70])


def test_people_of_an_image_come_by_id_or_in_the_order_of_the_file(tmp_path):
    path = write_json(tmp_path / "a.json", [image(1)], [person(7, 1), person(3, 1)])
    images = annotations.read_images(path)
    assert annotations.read_people(path, images).ids.tolist() == [3, 7]
    assert annotations.read_people(path, images, file_order=True).ids.tolist() == [7, 3]


def test_a_file_that_is_no_json_object_is_shown_by_its_first_20_bytes(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text("<html><body>no such page")
    with pytest.raises(InputError, match=r"found b'<html><body>no such '$"):
        annotations.read_images(path)
