"""The Python interface."""

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from stages import pose
from stages.openpose import Pose
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO
from tests.oracle import Oracle, figure, numbered_image
from tests.test_detect import write_params

HW = (184, 240)
PEOPLE = np.stack([figure(60, 30, 120), figure(170, 50, 100)])


def write_empty_model(folder) -> None:
    """A model folder that describes a network but has none."""
    folder.mkdir()
    (folder / "model.yaml").write_text("kind: keras\nnetwork: light\nfile: weights.h5\n")
    (folder / "weights.h5").write_bytes(b"")


@pytest.fixture
def loaded(tmp_path, monkeypatch) -> Pose:
    """A Pose whose network is the oracle."""
    write_empty_model(tmp_path / "model")
    write_params(tmp_path / "params.yaml")
    monkeypatch.setattr(pose, "load_fastest", lambda *_: Oracle({1: PEOPLE}, {1: HW}, 184))
    return Pose.load(tmp_path / "model", settings=tmp_path / "params.yaml")


def test_three_lines_find_the_people_of_an_rgb_array(loaded):
    image = np.ascontiguousarray(numbered_image(1, HW)[..., ::-1])
    people = loaded(image)
    assert people.keypoints.dtype == np.float32
    assert people.keypoints.shape == (2, len(COCO.keypoints), 3)
    assert people.scores[0] >= people.scores[1]
    truth = PEOPLE[:, list(COCO.part_of_keypoint), :2]
    order = np.argsort(people.keypoints[:, 0, 0])
    np.testing.assert_allclose(people.keypoints[order, :, :2], truth, atol=1)


def test_a_file_gives_what_its_pixels_give(loaded, tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), numbered_image(1, HW))
    from_file = loaded(str(tmp_path / "image.png"))
    from_array = loaded(numbered_image(1, HW)[..., ::-1])
    np.testing.assert_array_equal(from_file.keypoints, from_array.keypoints)


def test_maps_are_kept_on_request_only(loaded):
    image = numbered_image(1, HW)[..., ::-1]
    assert loaded(image).maps is None
    keeping = replace(loaded, keep_maps=True)
    assert keeping(image).maps.heatmaps.shape[2] == COCO.heatmap_channels


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), None]
)
def test_what_is_no_rgb_image_is_refused(loaded, image):
    with pytest.raises(InputError, match=r"expected uint8 \[H, W, 3\] in RGB order or a path"):
        loaded(image)


def test_an_unknown_way_of_inference_is_refused():
    with pytest.raises(InputError, match="inference: expected one of single"):
        Pose.load("light", inference="double")


def test_a_model_that_is_a_file_is_named_before_any_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no params.yaml here
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(InputError, match=r"weights\.h5: is a file; name the folder"):
        Pose.load("weights.h5")


def test_importing_the_package_loads_no_framework():
    code = (
        "import sys; import stages.openpose; assert 'numpy' not in sys.modules; "
        "from stages.openpose import Pose; "
        "assert not {'tensorflow', 'keras', 'pandas', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
