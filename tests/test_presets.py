"""Presets, and single keys changed on the command line."""

import pytest
import yaml

from stages import params
from stages.openpose.errors import InputError


def values(text):
    return yaml.safe_load(text)


@pytest.mark.parametrize("name", params.preset_names())
def test_preset_is_complete_and_allowed(name):
    settings = params.build(values(params.preset_text(name)), name)
    assert settings.dataset.generated in ((), (settings.dataset.name,))
    assert name in ("sample", "tiny") or not settings.dataset.generated


@pytest.mark.parametrize(
    "name", [name for name in params.preset_names() if name not in ("sample", "tiny")]
)
def test_presets_for_real_images_look_at_the_four_scales_of_the_paper(name):
    assert values(params.preset_text(name))["detect"]["scales"] == [0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("download.root=/a b", "/a b"),
        ("download.mirror=", ""),
        ("augment.scale=off", "off"),
        ("train.learning_rate=2e-5", 2e-5),
        ("train.learning_rate=0.001", 0.001),
        ("detect.scales=[1.0, 2.0]", [1.0, 2.0]),
        ("train.init=0123", "0123"),
        ("download.have='it''s'", "it's"),
    ],
)
def test_key_set_on_the_command_line_is_read_back_the_same(tmp_path, change, found):
    if change == "train.init=0123":
        change = "train.init='0123'"
    params.use("sample", tmp_path / "params.yaml", [change])
    section, key = change.partition("=")[0].split(".")
    expected = values(params.preset_text("sample"))
    expected[section][key] = found
    assert values((tmp_path / "params.yaml").read_text()) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("download.rot=1", r"unknown key download\.rot; keys: sources, root"),
        ("downlod.root=1", r"unknown key downlod\.root; keys: dataset, sample"),
        ("root=1", r"expected section\.key=value"),
        ("download.root", r"expected section\.key=value"),
        ("train.epochs=many", r"`train\.epochs`: expected type integer, found 'many'"),
        ("train.epochs=0", r"`train\.epochs`: expected at least 1, found 0"),
        ("detect.scales=[1", "not a YAML value"),
    ],
)
def test_bad_change_is_named_and_leaves_params_alone(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        params.use("sample", tmp_path / "params.yaml", [change])
    assert not (tmp_path / "params.yaml").exists()


def test_number_as_dvc_writes_it_is_a_number(tmp_path):
    text = params.preset_text("sample").replace("weight_decay: 0.0005", "weight_decay: 5e-05")
    (tmp_path / "params.yaml").write_text(text)
    assert params.load(tmp_path / "params.yaml").train.weight_decay == 5e-5


def test_preset_that_does_not_exist_is_named():
    with pytest.raises(InputError, match=r"preset `coco` does not exist; there are: coco2014, "):
        params.preset_text("coco")
