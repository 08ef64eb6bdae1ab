"""What each tool's form says beyond keypoints, and what is refused of it, by tool."""

import json

import pytest

from stages.openpose.coco.findings import Findings
from stages.openpose.convert import coco, cvat, deeplabcut, label_studio, labelme, yolo_pose
from stages.openpose.convert.fields import split_of
from stages.openpose.convert.labelled import Wanted, body_of, to_coco
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO
from tests import export_forms as forms


@pytest.fixture
def findings(tmp_path):
    return Findings(tmp_path)


def in_coco(export, findings):
    return to_coco(export.images, export.bodies, findings)


def points(person):
    return {one.name: (one.x, one.y, one.visibility) for one in person.keypoints}


# CVAT


def read_cvat(shapes, findings, head="", labels=None):
    labels = labels or (
        "<label><name>mouse</name><type>skeleton</type><svg></svg></label>"
        "<label><name>nose</name><type>points</type><parent>mouse</parent></label>"
        "<label><name>tail</name><type>points</type><parent>mouse</parent></label>"
    )
    text = (
        f"{head}<annotations><meta><task><labels>{labels}</labels></task></meta>"
        f'<image id="0" name="a.jpg" width="90" height="60">{shapes}</image></annotations>'
    )
    return cvat.read(text.encode(), "annotations.xml", findings)


NOSE = '<points label="nose" outside="0" occluded="0" points="1.00,2.00"></points>'


def test_cvat_outside_is_absent_and_occluded_is_hidden(findings):
    export = read_cvat(
        '<skeleton label="mouse" z_order="0">'
        '<points label="tail" outside="0" occluded="1" points="3.50,4.25"></points>'
        '<points label="nose" outside="1" occluded="0" points="1.00,2.00"></points></skeleton>',
        findings,
    )
    content = in_coco(export, findings)
    assert content["annotations"][0]["keypoints"] == [0, 0, 0, 3.5, 4.25, 1]
    assert content["annotations"][0]["num_keypoints"] == 1


def test_cvat_boxes_belong_to_the_skeleton_of_their_group(findings):
    export = read_cvat(
        f'<skeleton label="mouse" group_id="7">{NOSE}</skeleton>'
        '<box label="b" xtl="1" ytl="2" xbr="11" ybr="22" group_id="7"></box>'
        '<box label="b" xtl="0" ytl="0" xbr="1" ybr="1"></box>'
        '<polygon label="c" points="1,1;2,2;3,1"></polygon>',
        findings,
    )
    assert export.images[0].people[0].box == (1, 2, 10, 20)
    assert findings.derived["boxes that are grouped with no skeleton, or rotated: left out"] == 1
    assert findings.derived["shapes of other kinds, left out: polygon"] == 1


def test_cvat_edges_come_from_the_drawing_by_its_own_numbers(tmp_path, findings):
    source = forms.write_cvat(forms.two_mice(), tmp_path / "export")
    export = cvat.read((source / "annotations.xml").read_bytes(), "annotations.xml", findings)
    assert export.bodies[0].edges == ((0, 1), (0, 2), (0, 3))


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ('<points label="nose" points="1,2;3,4"></points>', "expected <skeleton> elements"),
        (f'<skeleton label="cat">{NOSE}</skeleton>', "skeleton 1: `label`: expected one of mouse"),
        (
            f'<skeleton label="mouse">{NOSE.replace("1.00", "left")}</skeleton>',
            "image a.jpg, skeleton 1: `nose`: expected a finite number, found 'left'",
        ),
        (f'<skeleton label="mouse">{NOSE}{NOSE}</skeleton>', "keypoint 'nose' is there twice"),
        (
            f'<skeleton label="mouse">{NOSE.replace("nose", "paw")}</skeleton>',
            "`keypoint`: expected one of nose, tail, found 'paw'",
        ),
    ],
)
def test_cvat_what_cannot_be_right_is_refused(shapes, words, findings):
    findings.strict = True
    with pytest.raises(InputError) as caught:
        in_coco(read_cvat(shapes, findings), findings)
    assert words in str(caught.value)


def test_cvat_files_that_define_entities_are_not_expanded(findings):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    with pytest.raises(InputError, match="expected XML without a document type"):
        read_cvat(f'<skeleton label="mouse">{NOSE}</skeleton>&b;', findings, head=bomb)


def test_cvat_tracks_of_videos_are_refused_with_the_right_form_named(findings):
    text = b"<annotations><meta></meta><track id='0' label='mouse'></track></annotations>"
    with pytest.raises(InputError, match=r"export it as `CVAT for images 1.1`"):
        cvat.read(text, "annotations.xml", findings)


# COCO as tools write it


def read_coco(findings, **changes):
    content = forms.two_mice() | changes
    return coco.read(json.dumps(content).encode(), "coco.json", findings)


def test_coco_annotations_of_categories_without_keypoints_are_left_out(findings):
    content = forms.two_mice()
    content["categories"].append({"id": 2, "name": "box", "keypoints": []})
    content["annotations"].append({"id": 9, "image_id": 1, "category_id": 2, "bbox": [1, 1, 2, 2]})
    export = coco.read(json.dumps(content).encode(), "coco.json", findings)
    assert [body.category for body in export.bodies] == ["mouse"]
    assert sum(len(image.people) for image in export.images) == 3
    assert findings.derived["annotations of categories without keypoints, left out"] == 1


@pytest.mark.parametrize(
    ("skeleton", "edges"),
    [
        ([[1, 2], [1, 4]], ((0, 1), (0, 3))),
        ([[0, 1], [0, 3]], ((0, 1), (0, 3))),
        ([[1, 2], [1, 9]], ()),
        (None, ()),
    ],
)
def test_coco_edges_from_one_from_zero_and_by_other_numbers(skeleton, edges, findings):
    category = forms.MOUSE | {"skeleton": skeleton}
    assert read_coco(findings, categories=[category]).bodies[0].edges == edges


def test_coco_of_label_studio_with_several_people_in_an_image_is_refused(findings):
    boxes = [
        {"id": 10 + i, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5]} for i in range(2)
    ]
    content = forms.two_mice()
    content["categories"].append({"id": 2, "name": "mouse box"})
    content["annotations"] += boxes
    content["info"] = {"contributor": "Label Studio"}
    with pytest.raises(InputError, match=r"makes one person of all keypoints .* export it as JSON"):
        coco.read(json.dumps(content).encode(), "result.json", findings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"categories": [{"id": 1, "name": "mouse"}]}, "expected one with `keypoints`"),
        ({"images": {}}, "expected COCO's lists images, annotations, categories"),
        (
            {"annotations": [forms.annotation(5, 1, [1, 2], [0, 0, 1, 1])]},
            "coco.json: annotation 5: `keypoints`: expected 12 numbers, found [1, 2]",
        ),
        (
            {"annotations": [forms.annotation(5, 99, [0] * 12, [0, 0, 1, 1])]},
            "coco.json: annotation: `image_id`: expected that of a listed image, found 99",
        ),
        (
            {"annotations": [forms.annotation(5, 1, [0] * 12, [0, 0, 1, 1]) | {"category_id": 7}]},
            "annotation 5: `category_id`: expected that of a listed category, found 7",
        ),
        ({"categories": [forms.MOUSE] * 2}, "category id 1 (`id`) is listed 2 times"),
    ],
)
def test_coco_what_cannot_be_right_is_refused(changes, words, findings):
    findings.strict = True
    with pytest.raises(InputError) as caught:
        read_coco(findings, **changes)
    assert words in str(caught.value)


# Label Studio


def region(number, kind, value, **more):
    size = {"original_width": 200, "original_height": 100}
    return {"id": number, "type": kind, "value": value} | size | more


def box(number, x, y, side=20.0):
    value = {"x": x, "y": y, "width": side, "height": side, "rectanglelabels": ["mouse"]}
    return region(number, "rectanglelabels", value)


def point(number, name, x, y, **more):
    return region(number, "keypointlabels", {"x": x, "y": y, "keypointlabels": [name]}, **more)


def read_tasks(findings, *regions, **more):
    task = {"id": 4, "data": {"image": "/data/upload/1/a.jpg"}, "annotations": []}
    task["annotations"] = [{"result": list(regions)}]
    return label_studio.read(json.dumps([task | more]).encode(), "export.json", findings)


def test_label_studio_parents_relations_and_boxes_say_whose_a_keypoint_is(findings):
    images = read_tasks(
        findings,
        box("A", 0, 0),
        box("B", 10, 10),  # overlaps A
        point("1", "nose", 12, 12, parentID="A"),
        point("2", "nose", 13, 13),
        {"type": "relation", "from_id": "2", "to_id": "B"},
        point("3", "tail", 25, 25),
    )
    one, two = images[0].people
    assert points(one) == {"nose": (0.12, 0.12, 2)}
    assert points(two) == {"nose": (0.13, 0.13, 2), "tail": (0.25, 0.25, 2)}
    assert findings.derived["keypoints without a parent: of the rectangle around them"] == 1
    assert images[0].hw == (100, 200)


def test_label_studio_a_choice_at_a_keypoint_hides_it(findings):
    images = read_tasks(
        findings,
        point("1", "nose", 12, 12),
        region("1", "choices", {"choices": ["Occluded"]}),
        point("2", "tail", 13, 13),
    )
    assert points(images[0].people[0]) == {"nose": (0.12, 0.12, 1), "tail": (0.13, 0.13, 2)}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/3/1a2b3c4d-my%20mouse.jpg", "data/upload/3/1a2b3c4d-my mouse.jpg"),
        ("/data/local-files/?d=cage/1.png", "cage/1.png"),
        ("https://example.org/set/1.jpg?token=5", "set/1.jpg"),
        ("s3://bucket/set/1.jpg", "set/1.jpg"),
        ("http://[1.jpg", "http://[1.jpg"),
    ],
)
def test_label_studio_addresses_of_images(address, name, findings):
    images = read_tasks(findings, point("1", "nose", 1, 1), data={"image": address})
    assert images[0].name == name


def test_label_studio_annotations_that_do_not_count_are_counted(findings):
    first = {"result": [point("1", "nose", 1, 1)]}
    truth = {"result": [point("1", "nose", 2, 2)], "ground_truth": True}
    images = read_tasks(findings, annotations=[{"was_cancelled": True}, first, truth])
    assert points(images[0].people[0])["nose"][0] == 0.02
    assert read_tasks(findings, annotations=[{"was_cancelled": True}]) == []
    assert findings.derived["tasks without an annotation, or skipped: left out"] == 1
    assert findings.derived["tasks with several annotations: ground truth, else the first"] == 1


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([box("A", 0, 0), box("B", 10, 10), point("1", "nose", 15, 15)], "`parentID`: expected"),
        ([point("1", "nose", "x", 1)], "task 4, region 1: `x`: expected a finite number"),
        ([point("1", "nose", 1, 1, image_rotation=90)], "`image_rotation`: expected 0, found 90"),
    ],
)
def test_label_studio_what_cannot_be_right_is_refused(regions, words, findings):
    read_tasks(findings, *regions)
    with pytest.raises(InputError) as caught:
        findings.check()
    assert words in str(caught.value)


def test_label_studio_short_form_is_refused(findings):
    with pytest.raises(InputError, match="export it as JSON, not as JSON-MIN"):
        label_studio.read(b'[{"id": 1, "image": "a.jpg", "kp": []}]', "min.json", findings)


# LabelMe


def read_labelme(findings, *shapes, path="a.jpg", where="a.json"):
    content = {"shapes": list(shapes), "imagePath": path, "imageHeight": 100, "imageWidth": 200}
    return labelme.read(json.dumps(content).encode(), where, findings)


def shape(label, *corners, group=None, kind="point", **more):
    described = {"label": label, "points": list(map(list, corners)), "group_id": group}
    return described | {"shape_type": kind, "flags": {}} | more


def test_labelme_groups_are_people_and_flags_hide(findings):
    image = read_labelme(
        findings,
        shape("nose", (1, 2), group=1, flags={"occluded": True}),
        shape("mouse", (9, 8), (1, 1), group=1, kind="rectangle"),
        shape("nose", (5, 6), group=2),
        shape("tail", (7, 7), group=2, difficult=True),
        shape("cage", (0, 0), (1, 1), kind="line"),
    )
    one, two = image.people
    assert (points(one), one.box, one.category) == ({"nose": (1, 2, 1)}, (1, 1, 8, 7), "mouse")
    assert (points(two), two.box) == ({"nose": (5, 6, 2), "tail": (7, 7, 1)}, None)
    assert findings.derived["shapes of other kinds, left out: line"] == 1
    bodies = body_of([image], Wanted(("tail", "nose")), findings)
    assert [(body.category, body.keypoints) for body in bodies] == [("mouse", ("tail", "nose"))]


def test_labelme_points_without_a_group_belong_to_the_only_box_around_them(findings):
    image = read_labelme(
        findings,
        shape("mouse", (0, 0), (10, 10), kind="rectangle"),
        shape("mouse", (20, 0), (30, 10), kind="rectangle"),
        shape("nose", (5, 5)),
        shape("nose", (25, 5)),
    )
    assert [points(one)["nose"][0] for one in image.people] == [5, 25]
    read_labelme(
        findings,
        shape("mouse", (0, 0), (10, 10), kind="rectangle"),
        shape("nose", (50, 5)),
    )
    with pytest.raises(InputError, match=r"a.json: keypoint nose: `group_id`: expected the number"):
        findings.check()


@pytest.mark.parametrize(
    ("path", "name"), [("..\\images\\a.jpg", "images/a.jpg"), ("a.jpg", "json/a.jpg")]
)
def test_labelme_image_paths_are_seen_from_the_json(path, name, findings):
    assert read_labelme(findings, path=path, where="json/a.json").name == name


# YOLO-pose


def yolo_names(findings, **changes):
    settings = {"kpt_shape": [3, 3], "names": ["mouse"]} | changes
    described = yolo_pose.read_settings(json.dumps(settings).encode(), "data.yaml")
    count = described["kpt_shape"][0]
    return yolo_pose.keypoint_names(described, count, "data.yaml", Wanted(), findings)


def test_yolo_names_are_given_else_made_up_so_that_mirroring_is_kept(findings):
    assert yolo_names(findings, kpt_names={0: ["a", "b", "c"]}) == ("a", "b", "c")
    assert yolo_names(findings, flip_idx=[0, 2, 1]) == ("keypoint_0", "left_1", "right_1")
    coco_flip = list(COCO.mirrored_keypoints)
    assert yolo_names(findings, kpt_shape=[17, 3], flip_idx=coco_flip) == COCO.keypoints
    assert sum(findings.derived.values()) == 2
    with pytest.raises(InputError, match="`flip_idx`: expected each of 0 to 2 once, in pairs"):
        yolo_names(findings, flip_idx=[1, 2, 0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kpt_names": 5}, "`kpt_names`: expected a list of names, found 5"),
        ({"kpt_names": {0: [["a"]] * 3}}, "`kpt_names`: expected a list of names"),
        ({"flip_idx": ["a", 1, 2]}, "`flip_idx`: expected each of 0 to 2"),
        ({"flip_idx": 7}, "`flip_idx`: expected each of 0 to 2"),
        ({"kpt_shape": [3, 3.0]}, "`kpt_shape`: expected [number of keypoints"),
        ({"kpt_shape": [10**9, 3]}, "`kpt_shape`: expected [number of keypoints"),
    ],
)
def test_yolo_settings_that_cannot_be_right_are_refused(changes, words, findings):
    with pytest.raises(InputError) as caught:
        yolo_names(findings, **changes)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 300, "2001-99-99", "{a: 1, a: 2}", "&a [*a]"])
def test_yaml_of_an_export_is_read_as_plain_values_or_refused(text, findings):
    for read in (
        lambda data: yolo_pose.read_settings(data, "data.yaml"),
        lambda data: read_csv(CSV, findings, data),
    ):
        with pytest.raises(InputError, match=r"\.yaml: "):
            read(f"skeleton: {text}".encode())


@pytest.mark.parametrize("values", [2, 3])
def test_yolo_lines_of_two_and_three_values_a_keypoint(values, findings):
    rows = [("0.5", "0.25", "1"), ("0", "0", "0")]
    line = " ".join(["0 0.5 0.5 0.2 0.4", *(" ".join(row[:values]) for row in rows)])
    (person,) = yolo_pose.people_of(line, "a.txt", ["mouse"], ("nose", "tail"), values, findings)
    assert points(person) == {"nose": (0.5, 0.25, 1 if values == 3 else 2)}
    assert person.box == pytest.approx((0.4, 0.3, 0.2, 0.4))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2 0.4 0.5 0.5", "a.txt: line 1: expected 5 values and 1 times 3"),
        ("3 0.5 0.5 0.2 0.4 0.5 0.5 2", "line 1: `class`: expected a class of `names`, 0 to 0"),
        ("0 0.5 0.5 0.2 0.4 320 0.5 2", "line 1: `nose x`: expected a share of the image"),
        ("0 0.5 0.5 0.2 0.4 0.5 0.5 7", "line 1: `nose`: expected a visibility 0, 1 or 2"),
        ("0 0.5 0.5 0.2 nan 0.5 0.5 2", "line 1: `value 5`: expected a finite number"),
    ],
)
def test_yolo_what_cannot_be_right_is_refused_by_line(line, words, findings):
    assert yolo_pose.people_of(line, "a.txt", ["mouse"], ("nose",), 3, findings) == []
    with pytest.raises(InputError) as caught:
        findings.check()
    assert words in str(caught.value)


def test_yolo_labels_stand_where_images_stands_last_in_the_path():
    assert yolo_pose.label_path("images/train/images/a.b.jpg") == "images/train/labels/a.b.txt"
    assert yolo_pose.label_path("train/a.jpg") == "train/a.txt"


# DeepLabCut

CSV = """scorer,,,us,us,us,us
individuals,,,m1,m1,single,single
bodyparts,,,nose,nose,corner,corner
coords,,,x,y,x,y
labeled-data,v,a.png,1.5,2,9,9
labeled-data,v,b.png,,,9,9
"""


def read_csv(text, findings, config=None):
    return deeplabcut.read(text.encode(), "CollectedData_us.csv", config, Wanted(), findings)


def test_deeplabcut_points_of_no_animal_and_frames_without_labels_are_left_out(findings):
    config = b"skeleton: [[nose, tail], [[nose], nose]]"
    assert read_csv(CSV, Findings(""), b"skeleton: nose").bodies[0].edges == ()
    export = read_csv(CSV, findings, config)
    assert [image.name for image in export.images] == ["labeled-data/v/a.png"]
    assert points(export.images[0].people[0]) == {"nose": (1.5, 2.0, 2)}
    assert export.bodies[0].keypoints == ("nose",)
    assert findings.derived["points that belong to no animal, left out: corner"] == 1
    assert findings.derived["frames without a labelled point, left out"] == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("coords,,,x,y,x,y", "coords,,,x,y,x,likelihood", "predictions, not labels"),
        ("scorer", "name", "it is no CollectedData file of DeepLabCut"),
        ("1.5,2", "1.5,", "line 5, m1: `nose y`: expected a finite number, found None"),
        ("1.5,2,9,9", "1.5,2,9", "line 5: expected 7 columns as in the header, found 6"),
        ("x,y,x,y", "x,y,x,x", "expected x and y of every body part, once"),
        ("1.5", "1" * 200_000, "not CSV (field larger than field limit"),
    ],
)
def test_deeplabcut_what_cannot_be_right_is_refused(old, new, words, findings):
    findings.strict = True
    with pytest.raises(InputError) as caught:
        read_csv(CSV.replace(old, new, 1), findings)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/person_keypoints_train2017.json", "train"),
        ("valid/_annotations.coco.json", "val"),
        ("annotations/person_keypoints_default.json", ""),
        ("", ""),
    ],
)
def test_splits_are_named_by_files_and_folders(path, split):
    assert split_of(path) == split
