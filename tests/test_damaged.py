"""Files of every kind that the project reads, damaged anywhere: each is read, or refused in one
line that names it. Never another exception, never a wait without end.

    python -m pytest tests/test_damaged.py --hypothesis-profile thorough -n 0

draws 10,000 of each kind. COCO files have tests of their own:
tests/openpose/coco/test_disturbed.py.
"""

import argparse
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import convert, params
from stages.openpose.coco.image_files import decode_bgr, open_images, read_header
from stages.openpose.convert import sources as formats
from stages.openpose.errors import InputError
from stages.openpose.fetch.archives import check_archive
from stages.openpose.fetch.delivery import read_ids
from stages.openpose.fetch.sources import parse_sources
from stages.openpose.network import forward
from stages.openpose.network.caffemodel import read_caffemodel
from stages.openpose.network.weights import read_layers
from stages.openpose.skeleton import COCO
from stages.openpose.training.checkpoints import CheckpointFolder
from tests import caffe_files, tiny_coco
from tests import export_forms as forms
from tests.openpose.coco.test_disturbed import CHANGES, DEEP, GONE, JUNK
from tests.test_convert import OPTIONS, WRITERS


@dataclass
class Case:
    """A whole file and what reads it."""

    path: Path
    read: Callable[[], object]


def an_export(form: str, name: str):
    def make(folder: Path) -> Case:
        source = WRITERS[form](forms.two_mice(), folder / "export")
        option, *values = OPTIONS.get(form, ("",))
        arguments = argparse.Namespace(
            format=form, inputs=[source], images=None, output=folder / "out",
            keypoints=values if option == "--keypoints" else [],
            category=values[0] if option == "--category" else "",
        )  # fmt: skip

        def read() -> None:
            shutil.rmtree(arguments.output, ignore_errors=True)
            convert.convert(arguments)

        return Case(next((folder / "export").rglob(name)), read)

    return make


def a_file(name: str, content: bytes, read: Callable[[Path], object]):
    def make(folder: Path) -> Case:
        (folder / name).write_bytes(content)
        return Case(folder / name, lambda: read(folder / name))

    return make


def a_zip(folder: Path) -> Case:
    path = tiny_coco.write_zip(folder / "a.zip", {"a.jpg": b"a" * 90}, method=zipfile.ZIP_DEFLATED)

    def read() -> None:
        check_archive(path, "archives.train")
        with open_images(path) as archive:
            archive.read("a.jpg")

    return Case(path, read)


def weights(folder: Path) -> Case:
    with h5py.File(folder / "w.h5", "w") as file:
        file["layers/conv/0"] = np.ones((3, 3, 2, 2), "f4")
        file["layers/conv"].attrs["name"] = "conv"
    return Case(folder / "w.h5", lambda: read_layers(folder / "w.h5"))


def checkpoint(folder: Path) -> Case:
    checkpoints = CheckpointFolder(folder / "checkpoints")
    checkpoints.save(1, [np.ones(9)], {"step": 1})
    checkpoints.wait()
    return Case(checkpoints.paths()[0], CheckpointFolder(folder / "checkpoints").load)


def read_image(path: Path) -> None:
    read_header(path.read_bytes())
    assert decode_bgr(path.read_bytes(), str(path)).dtype == np.uint8


def read_model(path: Path) -> None:
    model = forward.read_model(path.parent)
    forward.skeleton_of(model), forward.heatmap_order(model), forward.paf_order(model)


def read_sources(path: Path) -> None:
    parse_sources(params.read_yaml(path), str(path))


MODEL = {
    "kind": "onnx", "file": "model.yaml", "heatmaps": "h", "pafs": "p", "colour": "RGB",
    "heatmap_channels": [*COCO.parts, "background"], "skeleton": forward.to_dict(COCO),
}  # fmt: skip
FILES = {
    "cvat": an_export("cvat", "annotations.xml"),
    "coco export": an_export("coco", "*.json"),
    "label studio": an_export("label-studio", "export.json"),
    "labelme": an_export("labelme", "frame_001.json"),
    "yolo settings": an_export("yolo-pose", "data.yaml"),
    "yolo labels": an_export("yolo-pose", "frame_001.txt"),
    "deeplabcut": an_export("deeplabcut", "*.csv"),
    "deeplabcut settings": an_export("deeplabcut", "config.yaml"),
    "params": a_file("params.yaml", params.preset_text("tiny").encode(), params.load),
    "sources": a_file(
        "sources.yaml", (params.WORKFLOW / "sources/coco2014.yaml").read_bytes(), read_sources
    ),
    "ids": a_file("ids.txt", b"# ids\n136\n192\n 71209\n", read_ids),
    "model.yaml": a_file("model.yaml", yaml.safe_dump(MODEL).encode(), read_model),
    "caffemodel": a_file(
        "w.caffemodel", caffe_files.model({"a": [np.ones((2, 1, 1, 1)), np.ones(2)]}),
        read_caffemodel,
    ),
    "jpeg": a_file("a.jpg", tiny_coco.jpeg((20, 30)), read_image),
    "zip": a_zip,
    "weights": weights,
}  # fmt: skip
TREES = {
    "coco export": (json.loads, json.dumps),
    "label studio": (json.loads, json.dumps),
    "labelme": (json.loads, json.dumps),
    "yolo settings": (yaml.safe_load, yaml.safe_dump),
    "deeplabcut settings": (yaml.safe_load, yaml.safe_dump),
    "params": (yaml.safe_load, yaml.safe_dump),
    "sources": (yaml.safe_load, yaml.safe_dump),
    "model.yaml": (yaml.safe_load, yaml.safe_dump),
}
FEW = settings(
    max_examples=12 if settings.default.max_examples == 100 else settings.default.max_examples,
    deadline=10_000,
    suppress_health_check=list(HealthCheck),
)
assert set(formats.READERS) - {"sleap"} == set(WRITERS)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return {name: make(tmp_path_factory.mktemp("damaged")) for name, make in FILES.items()}


def assert_read_or_refused(case: Case, content: bytes) -> None:
    whole = case.path.read_bytes()
    case.path.write_bytes(content)
    refusal = ""
    try:
        case.read()
    except InputError as problem:
        refusal = str(problem)
    finally:
        case.path.write_bytes(whole)
    assert "\n" not in refusal
    assert len(refusal) < 3000


@FEW
@given(
    place=st.floats(0, 1),
    length=st.integers(0, 40),
    instead=st.binary(max_size=12)
    | st.sampled_from(
        [b"\n", b'"', b"[", b"{", b",", b"\0", b"9" * 400, b"2001-99-99", b"[" * 4000]
    ),
)
@pytest.mark.parametrize("kind", FILES)
def test_bytes_that_were_changed_are_read_or_refused(kind, place, length, instead, cases):
    whole = cases[kind].path.read_bytes()
    start = int(place * len(whole))
    assert_read_or_refused(cases[kind], whole[:start] + instead + whole[start + length :])


@FEW
@given(data=st.data())
@pytest.mark.parametrize("kind", TREES)
def test_values_that_were_changed_are_read_or_refused(kind, data, cases):
    load, dump = TREES[kind]
    holder = [load(cases[kind].path.read_text())]
    node, key = holder, 0
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.integers(0, 3)):
        node = node[key]
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
    junk = data.draw(JUNK | st.sampled_from(list(CHANGES)))
    if junk is GONE:
        del node[key]
    else:
        node[key] = CHANGES[junk](node[key]) if junk in list(CHANGES) else junk
    text = dump(holder[0] if holder else None).replace(DEEP, "[" * 3000 + "]" * 3000)
    assert_read_or_refused(cases[kind], text.encode("utf-8", "surrogatepass"))
