"""The check of pycocotools notices what it is there to notice."""

import json
from argparse import Namespace

import pytest

from stages import params
from stages.coco_api import coco_api
from stages.openpose.errors import InputError
from stages.openpose.evaluation import self_test


@pytest.fixture
def command(tmp_path):
    params.use("tiny", tmp_path / "params.yaml")
    return Namespace(params=tmp_path / "params.yaml", output=tmp_path / "data" / "coco_api.json")


def test_installed_pycocotools_passes_and_its_version_is_recorded(command):
    coco_api(command)
    report = json.loads(command.output.read_text())
    assert report["versions"] == self_test.versions()
    assert report["self_test"]["AP"] == round((84.25 + 56) / 101 / 2, 6)


def test_record_is_the_same_every_time(command):
    coco_api(command)
    first = command.output.read_bytes()
    coco_api(command)
    assert command.output.read_bytes() == first


@pytest.mark.parametrize("name", ["area", "iou", "decode"])
def test_wrong_mask_function_is_noticed(command, monkeypatch, name):
    from pycocotools import mask

    right = getattr(mask, name)
    monkeypatch.setattr(mask, name, lambda *arguments: right(*arguments) * 0)
    with pytest.raises(
        InputError, match=r"pycocotools does not work here.*self-test `.*expected .*, found"
    ):
        coco_api(command)
    assert not command.output.exists()


def test_wrong_oks_is_noticed(command, monkeypatch):
    from pycocotools.cocoeval import COCOeval

    right = COCOeval.computeOks
    monkeypatch.setattr(
        COCOeval, "computeOks", lambda self, image, kind: right(self, image, kind) * 0.9
    )
    with pytest.raises(InputError, match="self-test `AP`"):
        coco_api(command)


def test_pycocotools_that_cannot_run_is_named(command, monkeypatch):
    from pycocotools import mask

    def incompatible(*_):
        raise ValueError("numpy.dtype size changed")

    monkeypatch.setattr(mask, "encode", incompatible)
    with pytest.raises(InputError, match=r"make env.*numpy\.dtype size changed"):
        coco_api(command)


def test_self_test_can_be_left_out(command):
    params.use("tiny", command.params, ["coco_api.self_test=false"])
    coco_api(command)
    assert json.loads(command.output.read_text())["self_test"] == "not run"
