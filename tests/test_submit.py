"""From images without annotations to the zip that COCO's server takes."""

import contextlib
import json
import zipfile

import pytest
import yaml
from pycocotools.coco import COCO as CocoIndex

from stages import detect, submit
from stages.openpose.errors import InputError
from stages.openpose.fetch import delivery, sources
from stages.params import WORKFLOW, Download
from tests.oracle import Oracle, write_dataset
from tests.test_detect import PEOPLE, SIZES, run, write_params

NAME = "person_keypoints_test-dev2017_ours-2_results"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Detections, in two shards, of five images of which only names, sizes and ids are known."""
    write_dataset(tmp_path / "data", PEOPLE, SIZES)
    annotations = json.loads((tmp_path / "data/annotations/val.json").read_text())
    info = {
        "info": {},
        "licenses": [],
        "images": annotations["images"],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "image_info.json").write_text(json.dumps(info))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.yaml").write_text("kind: keras\nnetwork: light\n")
    (tmp_path / "model/weights.weights.h5").write_text("")
    monkeypatch.setattr(detect, "load_forward", lambda *_: Oracle(PEOPLE, SIZES, 184))
    write_params(tmp_path / "params.yaml")
    images = [
        "--annotations",
        tmp_path / "image_info.json",
        "--pictures",
        tmp_path / "data/archives/val.zip",
    ]
    for shard in (0, 1):
        model = ["--model", tmp_path / "model", "--params", tmp_path / "params.yaml"]
        run(
            monkeypatch,
            detect.main,
            *model,
            *images,
            "--shard",
            shard,
            "--output",
            tmp_path / f"found/{shard}",
        )
    return tmp_path


def make(world, monkeypatch, **changes):
    options = {
        "images": world / "image_info.json",
        "detections": world / "found",
        "output": world / "out",
    }
    options |= {"set": "test-dev2017", "name": "ours-2"} | changes
    run(
        monkeypatch,
        submit.main,
        *(word for key, value in options.items() for word in (f"--{key}", value)),
    )


def test_the_zip_holds_one_json_of_its_name_with_all_people(world, monkeypatch, capsys):
    make(world, monkeypatch)
    assert sorted(path.name for path in (world / "out").iterdir()) == [
        f"{NAME}.json",
        f"{NAME}.zip",
    ]
    assert f"{NAME}.zip: 5 people in 5 images" in capsys.readouterr().out
    with zipfile.ZipFile(world / f"out/{NAME}.zip") as archive:
        assert archive.namelist() == [f"{NAME}.json"]
        content = archive.read(f"{NAME}.json")
    assert content == (world / f"out/{NAME}.json").read_bytes()
    results = json.loads(content)
    assert [person["image_id"] for person in results] == [1, 1, 2, 3, 5]
    for person in results:
        assert list(person) == ["image_id", "category_id", "keypoints", "score"]
        assert person["category_id"] == 1
        assert len(person["keypoints"]) == 51
        assert all(
            isinstance(value, int | float) for value in [*person["keypoints"], person["score"]]
        )
    assert results[0]["score"] >= results[1]["score"]


def test_the_coco_api_takes_it_as_results_for_the_image_list(world, monkeypatch):
    make(world, monkeypatch, inference="single")
    with contextlib.redirect_stdout(None):
        results = CocoIndex(str(world / "image_info.json")).loadRes(str(world / f"out/{NAME}.json"))
    assert len(results.anns) == 5


def test_a_set_without_annotations_is_a_split_of_its_data_set(world, monkeypatch):
    data = world / "data"
    (world / "image_info.json").rename(data / "annotations/test-dev.json")
    (data / "archives/val.zip").rename(data / "archives/test-dev.zip")
    (data / "annotations/val.json").unlink()
    model = [
        "--model",
        world / "model",
        "--params",
        world / "params.yaml",
        "--data",
        data,
        "--split",
        "test-dev",
    ]
    run(monkeypatch, detect.main, *model, "--shards", 1, "--output", world / "by_split/0")
    info = data / "annotations/test-dev.json"
    make(world, monkeypatch, images=info)
    expected = (world / f"out/{NAME}.json").read_bytes()
    make(world, monkeypatch, images=info, detections=world / "by_split")
    assert (world / f"out/{NAME}.json").read_bytes() == expected


def test_two_submissions_are_equal_byte_for_byte(world, monkeypatch):
    contents = []
    for _ in range(2):
        make(world, monkeypatch)
        contents.append((world / f"out/{NAME}.zip").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"set": "testdev"}, "--set: expected .* as test-dev2017, found 'testdev'"),
        ({"name": "my_method"}, "--name: expected letters, digits and hyphens, found 'my_method'"),
        ({"images": "lost.json"}, "lost.json"),
        ({"detections": "nowhere"}, "nowhere: no images.json below it"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(world, monkeypatch, changes, words):
    with pytest.raises(SystemExit, match=words):
        make(world, monkeypatch, **changes)
    assert not (world / "out").exists()


def test_images_that_were_not_looked_at_are_named(world, monkeypatch):
    with pytest.raises(
        SystemExit, match=r"2 of 5 images of the split were not looked at, ids \[2, 4\]"
    ):
        make(world, monkeypatch, detections=world / "found/0")


@pytest.mark.parametrize("name", ["coco2017", "coco2017_test_dev"])
def test_hashes_of_2017_are_asked_for_by_name_before_anything_is_fetched(name):
    file = WORKFLOW / "sources" / f"{name}.yaml"
    entries = sources.parse_sources(yaml.safe_load(file.read_text()), str(file))
    settings = Download(str(file), "", "", "", retries=0, timeout_s=1, parallel=1, weights=())
    with pytest.raises(InputError, match="to be supplied") as caught:
        delivery.plan(entries, settings, file)
    unverified = [entry for entry in entries if entry.md5 is None]
    assert {entry.file_name for entry in unverified} >= {
        "train2017.zip",
        "annotations_trainval2017.zip",
    }
    for entry in unverified:
        assert f"{entry.key}.md5 ({entry.file_name})" in str(caught.value)
    assert ("annotations.test-dev.md5 (image_info_test2017.zip)" in str(caught.value)) == (
        name != "coco2017"
    )
