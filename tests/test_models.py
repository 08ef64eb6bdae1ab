"""Networks by name, through the command lines: list and fetch, predict, and the pipeline."""

import hashlib
import json
import sys
from argparse import Namespace
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
import yaml

from stages import download, import_model, models, params, predict, train
from stages.openpose.errors import InputError
from stages.openpose.network.architecture import INPUT_SCALING, build
from stages.openpose.network.forward import load_forward, read_model
from stages.openpose.network.weights import load_weights
from stages.openpose.skeleton import COCO
from tests.http_server import FileServer
from tests.ir_files import write_ir
from tests.test_download import FILES, coco_like

COMMON = {"about": "a toy", "licence": "MIT", "trained_on": "noise", "input": "BGR"}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A table with `far` (an IR on a server), `ours` (in the repository), `theirs` (supplied)."""
    server = FileServer()
    keras.utils.set_random_seed(8)
    (tmp_path / "made").mkdir()
    write_ir(build("mobilenet"), tmp_path / "made/net.xml", "f16")
    far = {}
    for file in sorted((tmp_path / "made").iterdir(), reverse=True):
        server.files[f"/far/{file.name}"] = file.read_bytes()
        far[file.name] = listed(file) | {"url": server.url(f"/far/{file.name}")}
    train.write_model(build("light"), tmp_path / "shipped/ours")
    weights = tmp_path / "shipped/ours/weights.weights.h5"
    ours = {weights.name: listed(weights) | {"path": "shipped/ours/weights.weights.h5"}}
    published = {"value": 0.428, "images": "COCO2014-Val-1k", "source": "a page"}
    table = {
        "far": COMMON | {"network": "mobilenet", "files": far, "AP": published, "milliseconds": 40},
        "ours": COMMON | {"network": "light", "files": ours},
        "theirs": COMMON | {"network": "full", "files": {"w.h5": {}}},
    }
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    monkeypatch.setattr(models, "TABLE", tmp_path / "models.yaml")
    monkeypatch.setattr(models, "REPOSITORY", tmp_path)
    monkeypatch.setenv("OPENPOSE_MODELS", str(tmp_path / "cache"))
    # random maps are full of people: a small image without peaks keeps predict short
    small = ["detect.height_px=64", "detect.scales=[1.0]", "decoder.peak_threshold=1.0"]
    params.use("sample", tmp_path / "params.yaml", small)
    yield Namespace(folder=tmp_path, server=server)
    server.close()


def listed(file) -> dict:
    content = file.read_bytes()
    return {"bytes": len(content), "hash": hashlib.sha256(content).hexdigest()}


def run(monkeypatch, stage, *options) -> None:
    monkeypatch.setattr(sys, "argv", [stage.__name__, *map(str, options)])
    stage.main()


def test_the_table_of_the_project_is_sound():
    table = models.table()
    assert {"light", "human-pose-estimation-0001", "openpose"} <= set(table)
    for model in table.values():
        assert model.network in INPUT_SCALING
        assert model.shipped or all(file.known_hash for file in model.files.values() if file.url)


def test_real_files_have_the_hashes_of_the_table(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENPOSE_MODELS", str(tmp_path))
    name = "human-pose-estimation-0001-int8"
    (tmp_path / name).symlink_to(shared / "real-net")
    assert models.missing_files(models.table()[name], tmp_path / name) == []


def test_list_shows_ap_size_licence_and_where_the_files_are(world, monkeypatch, capsys):
    run(monkeypatch, models, "list")
    far, ours, theirs = capsys.readouterr().out.splitlines()[1:4]
    assert far.split()[:6] == ["far", "0.428", "COCO2014-Val-1k", "8.3", "40", "MIT"]
    assert "to be fetched" in far
    assert "in the repository" in ours
    assert "to be supplied" in theirs
    run(monkeypatch, models, "fetch", "far")
    assert capsys.readouterr().out.strip() == str(world.folder / "cache/far")
    (world.folder / "cache/theirs").mkdir()
    (world.folder / "cache/theirs/w.h5").write_bytes(b"")
    run(monkeypatch, models, "list")
    far, _, theirs = capsys.readouterr().out.splitlines()[1:4]
    assert "in the cache" in far
    assert "in the cache" in theirs
    (world.folder / "cache/far/net.bin").write_bytes(b"other")
    run(monkeypatch, models, "list")
    assert "wrong content" in capsys.readouterr().out.splitlines()[1]


def test_fetching_an_unknown_name_lists_the_names(world, monkeypatch):
    with pytest.raises(SystemExit, match="no model is called near; names: far, ours, theirs"):
        run(monkeypatch, models, "fetch", "near")


@pytest.mark.parametrize("name", ["far", "ours"])
def test_predict_takes_a_name(world, monkeypatch, name):
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    cv2.imwrite(str(world.folder / "image.png"), image)
    options = ["--params", world.folder / "params.yaml", "--inference", "single"]
    options += ["--model", name, "--output", world.folder / "out", world.folder / "image.png"]
    for _ in range(2):
        run(monkeypatch, predict, *options)
        assert len(json.loads((world.folder / "out/people.json").read_text())["images"]) == 1
    assert len(world.server.asked) == (2 if name == "far" else 0)


def test_a_model_that_is_neither_folder_nor_name_is_named(world, monkeypatch):
    (world.folder / "image.png").write_bytes(b"")
    options = ["--params", world.folder / "params.yaml", "--output", world.folder / "out"]
    with pytest.raises(SystemExit, match="lost: no such folder, and no model of that name; names"):
        run(monkeypatch, predict, *options, "--model", "lost", world.folder / "image.png")


@pytest.fixture
def brought(world):
    """The folder weights of a data set, as stage download fills it with `far` and `ours`."""
    world.server.files.update(FILES)
    sources = coco_like()
    for group in ("archives", "annotations", "weights"):
        for entry in sources[group].values():
            entry["url"] = world.server.url(entry["url"])
    (world.folder / "ids.txt").write_text("3\n")
    (world.folder / "sources.yaml").write_text(yaml.safe_dump(sources))
    changes = ["download.weights=[vgg, far, ours]", "download.root="]
    changes += [f"download.sources={world.folder / 'sources.yaml'}"]
    params.use("sample", world.folder / "params.yaml", changes)
    output = world.folder / "data/case"
    command = {"params": world.folder / "params.yaml", "output": output}
    download.download(Namespace(**command, mirror=None, have=None))
    return output / "weights"


def test_download_brings_names_beside_weights_of_the_list(world, brought):
    files = (path for path in brought.rglob("*") if path.is_file())
    named = [f"far/{name}" for name in ("model.yaml", "net.bin", "net.xml")]
    names = sorted(str(path.relative_to(brought)) for path in files)
    assert names == [*named, "ours/model.yaml", "ours/weights.weights.h5", "vgg.h5"]


def test_an_unknown_weight_is_named_before_anything_is_fetched(world):
    params.use("sample", world.folder / "params.yaml", ["download.weights=[near]"])
    (world.folder / "data/sample/source").mkdir(parents=True)
    (world.folder / "data/sample/source/sources.yaml").write_text(yaml.safe_dump(coco_like()))
    values = yaml.safe_load((world.folder / "params.yaml").read_text())
    values["download"]["sources"] = str(world.folder / "data/sample/source/sources.yaml")
    (world.folder / "params.yaml").write_text(yaml.safe_dump(values))
    command = {"params": world.folder / "params.yaml", "output": world.folder / "out"}
    with pytest.raises(InputError, match="nor the table of models lists near; see python -m"):
        download.download(Namespace(**command, mirror=None, have=None))
    assert not world.server.asked


def named_entry(world, name) -> None:
    values = yaml.safe_load((world.folder / "params.yaml").read_text())
    values["models"] = {"open": name}
    (world.folder / "params.yaml").write_text(yaml.safe_dump(values))


@pytest.mark.parametrize("name", ["far", "ours"])
def test_an_entry_of_models_may_be_a_name(world, brought, monkeypatch, name):
    named_entry(world, name)
    options = ["--params", world.folder / "params.yaml", "--name", "open"]
    asked = len(world.server.asked)
    run(monkeypatch, import_model, *options, "--weights", brought, "--output", world.folder / "net")
    described = read_model(world.folder / "net")
    assert (described["name"], described["trained_on"]) == (name, "noise")
    assert set(described["sha256"]) == {path.name for path in (brought / name).iterdir()} - {
        "model.yaml"
    }
    maps = [
        load_forward(folder)(np.zeros((1, 16, 16, 3), np.uint8))
        for folder in (world.folder / "net", brought / name)
    ]
    np.testing.assert_array_equal(maps[0][0], maps[1][0])
    assert len(world.server.asked) == asked


def test_a_name_that_download_did_not_bring_is_refused(world, brought, monkeypatch):
    options = ["--params", world.folder / "params.yaml", "--name", "open"]
    options += ["--weights", brought, "--output", world.folder / "x"]
    named_entry(world, "theirs")
    with pytest.raises(SystemExit, match=r"`models\.open` is the network theirs, which stage down"):
        run(monkeypatch, import_model, *options)
    (brought / "far/model.yaml").unlink()
    named_entry(world, "far")
    words = r"`models\.open`: far: no such model in .*weights; add the name to `download\.weights`"
    with pytest.raises(SystemExit, match=words):
        run(monkeypatch, import_model, *options)


def test_training_starts_from_a_name(world, brought):
    files = train._initial_weights("far", brought)
    assert files == [brought / "far/net.xml", brought / "far/net.bin"]
    settings = params.load(world.folder / "params.yaml").train
    settings = replace(settings, network="mobilenet", precision="float32")
    network = train._network(settings, files, COCO)
    expected = build("mobilenet")
    load_weights(expected, world.folder / "made/net.xml")
    for a, b in zip(network.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert train._initial_weights("", brought) == []
    assert train._initial_weights("a/lost.h5", brought) == [train.Path("a/lost.h5")]
    with pytest.raises(InputError, match=r"`train\.init`: near: no such model in .*weights"):
        train._initial_weights("near", brought)
    with pytest.raises(InputError, match=r"`train\.init`: far: no such model in the folder --weig"):
        train._initial_weights("far", None)
