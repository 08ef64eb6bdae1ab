"""COCO keypoint annotations written in the forms of annotation tools, for tests; and the folders
that the tools make.

Each writer takes a COCO dict whose annotations all have `bbox`, and a folder; it returns the INPUT
for stages.convert. Images are those of `write_images`.
"""

import csv
import json
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import yaml

from tests.tiny_coco import jpeg

MOUSE = {
    "id": 1,
    "name": "mouse",
    "keypoints": ["snout", "left_ear", "right_ear", "tail base"],
    "skeleton": [[1, 2], [1, 3], [1, 4]],
}


def annotation(number, image_id, keypoints, box):
    """An annotation of category 1 with `num_keypoints` counted."""
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": keypoints,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "bbox": box,
    }


def two_mice():
    """Three images: two mice, one with a hidden and an absent point; one; none."""
    images = [
        {"id": 1, "file_name": "cage 1/frame_001.jpg", "width": 160, "height": 120},
        {"id": 2, "file_name": "cage 2/frame_001.jpg", "width": 100, "height": 200},
        {"id": 3, "file_name": "empty.jpg", "width": 64, "height": 48},
    ]
    people = [
        annotation(1, 1, [20, 30, 2, 25.5, 40, 1, 0, 0, 0, 60.25, 70, 2], [15, 25, 50, 50]),
        annotation(2, 1, [120, 30, 2, 125, 41, 2, 131.5, 40, 2, 140, 99, 2], [100, 20, 50, 90]),
        annotation(3, 2, [50, 100, 2, 44, 110, 2, 57, 110.75, 2, 51, 180, 2], [40, 90, 25, 95]),
    ]
    return {"images": images, "annotations": people, "categories": [MOUSE]}


def write_images(content, folder):
    """A JPEG of noise of the right size for every image."""
    for image in content["images"]:
        path = folder / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg((image["height"], image["width"]), image["id"]))
    return folder


def people_of(content, image):
    """Annotations of one image, in file order."""
    return [one for one in content["annotations"] if one["image_id"] == image["id"]]


def body_of(content, person):
    """The category of an annotation."""
    return next(c for c in content["categories"] if c["id"] == person["category_id"])


def points_of(content, person):
    """(name, x, y, visibility) of every keypoint."""
    values = person["keypoints"]
    names = body_of(content, person)["keypoints"]
    return [(name, *values[3 * i : 3 * i + 3]) for i, name in enumerate(names)]


def write_cvat(content, folder):
    """annotations.xml of "CVAT for images 1.1" and the folder `images`."""
    labels = "".join(_cvat_labels(category) for category in content["categories"])
    images = "".join(_cvat_image(content, image) for image in content["images"])
    write_images(content, folder / "images")
    (folder / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta><task><id>1</id><mode>annotation</mode><labels>{labels}</labels></task></meta>\n"
        f"{images}</annotations>\n",
        encoding="utf-8",
    )
    return folder


def _cvat_labels(category):
    names = category["keypoints"]
    # the drawing numbers its circles from 1, in an order of its own
    numbers = {name: len(names) - i for i, name in enumerate(names)}
    svg = "".join(
        f'<line x1="1" y1="1" x2="2" y2="2" stroke="black" data-type="edge" '
        f'data-node-from="{numbers[names[a - 1]]}" data-node-to="{numbers[names[b - 1]]}"></line>'
        for a, b in category["skeleton"]
    ) + "".join(
        f'<circle r="1.5" cx="1" cy="1" data-type="element node" data-element-id="{number}" '
        f'data-node-id="{number}" data-label-name={quoteattr(name)}></circle>'
        for name, number in numbers.items()
    )
    sublabels = "".join(
        f"<label><name>{escape(name)}</name><type>points</type><attributes></attributes>"
        f"<parent>{escape(category['name'])}</parent></label>"
        for name in names
    )
    return (
        f"<label><name>{escape(category['name'])}</name><type>skeleton</type><attributes>"
        f"</attributes><svg>{escape(svg)}</svg></label>{sublabels}"
    )


def _cvat_image(content, image):
    shapes = ""
    for group, person in enumerate(people_of(content, image), 1):
        x, y, width, height = person["bbox"]
        shapes += (
            f'<box label="box" source="manual" occluded="0" xtl="{x:.2f}" ytl="{y:.2f}" '
            f'xbr="{x + width:.2f}" ybr="{y + height:.2f}" z_order="0" group_id="{group}"></box>'
        )
        points = "".join(
            f'<points label={quoteattr(name)} source="manual" outside="{int(v == 0)}" '
            f'occluded="{int(v == 1)}" points="{px:.2f},{py:.2f}"></points>'
            for name, px, py, v in points_of(content, person)
        )
        shapes += (
            f"<skeleton label={quoteattr(body_of(content, person)['name'])} "
            f'source="manual" z_order="0" group_id="{group}">{points}</skeleton>'
        )
    return (
        f'<image id="{image["id"] - 1}" name={quoteattr(image["file_name"])} '
        f'width="{image["width"]}" height="{image["height"]}">{shapes}</image>\n'
    )


def write_label_studio(content, folder):
    """The JSON export and, beside it, the images without Label Studio's prefix."""
    write_images(content, folder)
    tasks = [_task(content, image) for image in content["images"]]
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


def _task(content, image):
    size = {"original_width": image["width"], "original_height": image["height"]}
    result = []
    for person in people_of(content, image):
        parent = f"box{person['id']}"
        x, y, width, height = person["bbox"]
        value = {
            "x": 100 * x / image["width"],
            "y": 100 * y / image["height"],
            "width": 100 * width / image["width"],
            "height": 100 * height / image["height"],
            "rotation": 0,
            "rectanglelabels": [body_of(content, person)["name"]],
        }
        result.append(_region(parent, "rectanglelabels", value, size))
        for name, px, py, v in points_of(content, person):
            if not v:
                continue
            number = f"{parent}-{name}"
            value = {
                "x": 100 * px / image["width"],
                "y": 100 * py / image["height"],
                "width": 0.5,
                "keypointlabels": [name],
            }
            result.append(_region(number, "keypointlabels", value, size) | {"parentID": parent})
            if v == 1:
                chosen = {"choices": ["occluded"]}
                result.append(_region(number, "choices", chosen, size))
    path = Path(image["file_name"])
    address = f"/data/upload/1/{path.parent}/0a1b2c3d-{path.name}"
    annotations = [{"id": 1, "was_cancelled": False, "result": result}]
    return {"id": image["id"], "data": {"image": address}, "annotations": annotations}


def _region(number, kind, value, size):
    named = {"id": number, "type": kind, "from_name": kind, "to_name": "image"}
    return named | size | {"image_rotation": 0, "value": value}


def write_yolo(content, folder, values=3, **settings):
    """data.yaml, images/train and labels/train."""
    write_images(content, folder / "images/train")
    for image in content["images"]:
        lines = [_yolo_line(content, person, image, values) for person in people_of(content, image)]
        path = (folder / "labels/train" / image["file_name"]).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
    names = [category["name"] for category in content["categories"]]
    keypoints = content["categories"][0]["keypoints"]
    described = {
        "path": ".",
        "train": "images/train",
        "val": "images/train",
        "kpt_shape": [len(keypoints), values],
        "names": dict(enumerate(names)),
        "kpt_names": {0: keypoints},
    }
    (folder / "data.yaml").write_text(yaml.safe_dump(described | settings))
    return folder


def _yolo_line(content, person, image, values):
    width, height = image["width"], image["height"]
    x, y, box_width, box_height = person["bbox"]
    shares = [
        (x + box_width / 2) / width,
        (y + box_height / 2) / height,
        box_width / width,
        box_height / height,
    ]
    for _, px, py, v in points_of(content, person):
        shares += [px / width, py / height, v][:values]
    return " ".join([str(person["category_id"] - 1), *(f"{value:.8f}" for value in shares)])


def write_labelme(content, folder):
    """A JSON beside each image."""
    write_images(content, folder)
    for image in content["images"]:
        shapes = []
        for group, person in enumerate(people_of(content, image)):
            x, y, width, height = person["bbox"]
            corners = [[x, y], [x + width, y + height]]
            shapes.append(_shape(body_of(content, person)["name"], corners, group, "rectangle"))
            for name, px, py, v in points_of(content, person):
                if v:
                    flags = {"occluded": v == 1}
                    shapes.append(_shape(name, [[px, py]], group, "point", flags))
        path = (folder / image["file_name"]).with_suffix(".json")
        described = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(image["file_name"]).name,
            "imageData": None,
            "imageHeight": image["height"],
            "imageWidth": image["width"],
        }
        path.write_text(json.dumps(described))
    return folder


def _shape(label, points, group, kind, flags=None):
    named = {"label": label, "points": points, "group_id": group, "shape_type": kind}
    return named | {"description": "", "flags": flags or {}, "mask": None}


def write_deeplabcut(content, folder, columns=3, individuals=True):
    """config.yaml and labeled-data/<video>/CollectedData_us.csv; `columns` of the frames' paths."""
    category = content["categories"][0]
    names = category["keypoints"]
    most = max(len(people_of(content, image)) for image in content["images"])
    animals = [f"animal{i}" for i in range(most)] if individuals else [""]
    header = [(a, name, coord) for a in animals for name in names for coord in ("x", "y")]
    blank = [""] * (columns - 1)
    rows = [["scorer", *blank, *("us" for _ in header)]]
    if individuals:
        rows.append(["individuals", *blank, *(a for a, _, _ in header)])
    rows.append(["bodyparts", *blank, *(name for _, name, _ in header)])
    rows.append(["coords", *blank, *(coord for *_, coord in header)])
    video = folder / "labeled-data/video"
    for image in content["images"]:
        file = image["file_name"].replace("/", "_")
        (video / file).parent.mkdir(parents=True, exist_ok=True)
        (video / file).write_bytes(jpeg((image["height"], image["width"]), image["id"]))
        path = ["labeled-data", "video", file]
        people = people_of(content, image)
        cells = ["" for _ in header]
        for i, person in enumerate(people):
            for j, (_, x, y, v) in enumerate(points_of(content, person)):
                at = 2 * (i * len(names) + j)
                cells[at : at + 2] = [x, y] if v else ["", ""]
        rows.append([*(path if columns == 3 else ["/".join(path)]), *cells])
    with open(video / "CollectedData_us.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    edges = [[names[a - 1], names[b - 1]] for a, b in category["skeleton"]]
    (folder / "config.yaml").write_text(yaml.safe_dump({"Task": "t", "skeleton": edges}))
    return folder


def sleap_labels(content, folder):
    """sleap_io.Labels of the people, with an instance that was predicted in every empty image."""
    import sleap_io

    category = content["categories"][0]
    names = list(category["keypoints"])  # sleap-io changes it
    edges = [(names[a - 1], names[b - 1]) for a, b in category["skeleton"]]
    skeleton = sleap_io.Skeleton(names, edges=edges, name=category["name"])

    def instance(values, kind=sleap_io.Instance, **more):
        points = np.array(values, float).reshape(-1, 3)
        points[points[:, 2] == 0, :2] = np.nan
        return kind.from_numpy(points[:, :2], skeleton=skeleton, **more)

    frames = []
    for image in content["images"]:
        video = sleap_io.Video.from_filename([str(folder / image["file_name"])])
        people = [instance(p["keypoints"]) for p in people_of(content, image)]
        if not people:
            more = {"point_scores": np.ones(len(names)), "score": 0.5}
            people = [instance([1, 1, 2] * len(names), sleap_io.PredictedInstance, **more)]
        frames.append(sleap_io.LabeledFrame(video=video, frame_idx=0, instances=people))
    return sleap_io.Labels(frames)


def write_coco(content, folder):
    """As CVAT lays "COCO Keypoints" out: a category without keypoints beside the others."""
    for image in content["images"]:
        path = folder / "images/default" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg((image["height"], image["width"]), image["id"]))
    box = {"id": 9, "name": "box", "supercategory": "", "keypoints": [], "skeleton": []}
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations/person_keypoints_default.json").write_text(
        json.dumps(content | {"categories": [box, *content["categories"]]})
    )
    return folder
