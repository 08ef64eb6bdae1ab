"""Settings: what is generated from their one home, and what is refused before it costs time."""

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path

import pytest
import yaml

from stages import params
from stages.openpose.errors import InputError
from stages.params import keys, pages

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = yaml.safe_load(params.preset_text("sample"))


def changed(name: str, value) -> dict:
    """The sample's settings with another value of one key."""
    section, _, key = name.partition(".")
    return {**SAMPLE, section: {**SAMPLE[section], key: value}}


@pytest.mark.parametrize("number", [2**31, -(10**3000), 16**6000], ids=int.bit_length)
def test_whole_numbers_without_end_are_refused_in_one_line(number, tmp_path):
    with pytest.raises(InputError, match=r"`train\.epochs`: .* at most 2147483647, found one of"):
        params.build(changed("train.epochs", number), "mine")
    with pytest.raises(InputError, match=r"`detect\.scales\.0`: .* at most 2147483647"):
        params.build(changed("detect.scales", [number]), "mine")
    with pytest.raises(InputError, match=r"train\.epochs.* at most 2147483647"):
        params.use("tiny", tmp_path / "params.yaml", [f"train.epochs={number:#x}"])


@pytest.mark.parametrize("path", pages.generated(), ids=lambda path: path.name)
def test_generated_file_is_as_the_code_would_write_it(path):
    assert path.read_text(encoding="utf-8") == pages.generated()[path], (
        "run: python -m stages.params document"
    )


def test_the_defaults_are_the_sample_preset():
    assert params.build(SAMPLE, "sample") == params.Params()


@pytest.mark.parametrize("name", params.preset_names())
def test_settings_hold_every_value_as_it_is_written(name):
    values = yaml.safe_load(params.preset_text(name))
    assert json.dumps(asdict(params.build(values, name))) == json.dumps(values)


@pytest.mark.parametrize("name", params.preset_names())
def test_the_schema_allows_every_preset_and_no_gap_in_it(name):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(params.SCHEMA.read_text(encoding="utf-8"))
    values = yaml.safe_load(params.preset_text(name))
    jsonschema.validate(values, schema, jsonschema.Draft202012Validator)
    del values["train"]["epochs"]
    with pytest.raises(jsonschema.ValidationError, match="'epochs' is a required property"):
        jsonschema.validate(values, schema, jsonschema.Draft202012Validator)


def test_every_key_says_what_it_means():
    for name in keys.names(["any"]):
        assert keys.find(name.split("."))["description"].strip(), name


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        params.Params().train.epochs = 3


@pytest.mark.parametrize("section", [field.name for field in fields(params.Params)])
def test_section_that_is_missing_or_no_section_is_named(section):
    without = {name: values for name, values in SAMPLE.items() if name != section}
    with pytest.raises(InputError, match=f"the file lacks `{section}`"):
        params.build(without, "params.yaml")
    with pytest.raises(InputError, match=f"`{section}`: expected a section of keys, found None"):
        params.build({**SAMPLE, section: None}, "params.yaml")


def test_key_that_is_missing_is_named_with_its_default():
    train = {name: value for name, value in SAMPLE["train"].items() if name != "epochs"}
    with pytest.raises(InputError, match="`train` lacks epochs; its default is 31"):
        params.build({**SAMPLE, "train": train}, "params.yaml")


@pytest.mark.parametrize(
    "name", ["$(touch pwned)", "a;b", "../x", "..", "a b", "", "-a", "a/b", "a\n"]
)
@pytest.mark.parametrize(
    "key", ["dataset.name", "dataset.generated", "detect.models", "detect.splits",
            "evaluate.splits", "masks.sources"],
)  # fmt: skip
def test_name_that_would_reach_a_command_is_refused(key, name):
    value = name if key == "dataset.name" else [name]
    with pytest.raises(InputError, match=rf"`{key}(\.0)?`: expected a name of letters"):
        params.build(changed(key, value), "params.yaml")


@pytest.mark.parametrize("name", ["$(touch pwned)", "a;b", "../x", "a.b", "", "trained"])
def test_bad_name_of_a_network_is_refused(name):
    entry = {"kind": "onnx", "folder": "x", "files": {"a.onnx": "0" * 64}}
    with pytest.raises(InputError, match="models"):
        params.build({**SAMPLE, "models": {name: entry}}, "params.yaml")


@pytest.mark.parametrize("name", ["../a.onnx", "/a.onnx", "..", "a/b.onnx"])
def test_file_of_a_network_that_lies_elsewhere_than_its_folder_is_refused(name):
    entry = {"kind": "onnx", "folder": "x", "files": {name: "0" * 64}}
    with pytest.raises(InputError, match="expected the name of a file, without its folder"):
        params.build({**SAMPLE, "models": {"net": entry}}, "params.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dataset.generated", ["other"], r"`dataset\.generated`: expected \[\] or \[sample\]"),
        ("detect.scales", [0.5, 2], r"`detect\.scales`: expected 1\.0 among them"),
        ("detect.models", ["traned"], r"`detect\.models` has traned \(did you mean trained\?\)"),
        ("detect.models", ["trained", "trained"], r"`detect\.models`: expected each value once"),
        ("detect.shards", [0, 2], r"`detect\.shards`: expected shard numbers from 0 without a gap"),
        ("pack.protocol", "reference", r"`masks\.sources` \['train'\] lacks val: `pack\.protocol`"),
        ("masks.sources", ["val"], r"`masks\.sources` \['val'\] lacks train"),
        ("pack.holdout_images", 3000, r"`pack\.holdout_images` 3000: expected fewer than .* 3000"),
        ("masks.shards", [1], r"`masks\.shards`: expected shard numbers from 0 without a gap"),
        ("masks.shards", [0, 0], r"`masks\.shards`: expected shard numbers from 0 without a gap"),
        ("train.batch_parts", 5, r"`train\.batch_size` 12 is not divisible by .* 5"),
        ("augment.scale_min", 1.8, r"`augment\.scale_min` 1\.8 is above `augment\.scale_max` 1\.7"),
        (
            "labels.stride_px",
            12,
            r"`augment\.crop_px` 160 is no multiple of `labels\.stride_px` 12",
        ),
        (
            "detect.splits",
            ["val1k"],
            r"`evaluate\.splits` has val, but `detect\.splits` \['val1k'\]",
        ),
    ],
)
def test_keys_that_cannot_go_together_are_named(key, value, message):
    with pytest.raises(InputError, match=f"params.yaml: {message}") as problem:
        params.build(changed(key, value), "params.yaml")
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment.variants": 0}, r"`augment\.variants`: expected at least 1"),
        ({"labels.made_on": "device"}, r"`labels\.made_on`: expected host"),
        ({"train.teacher_margin_px": 12}, r"`train\.teacher_margin_px` 12 is no multiple of"),
    ],
)
def test_settings_that_a_teacher_cannot_use_are_refused(changes, message):
    values = copy.deepcopy(changed("train.teacher", "models/teacher"))
    values["augment"]["variants"] = 4
    for key, value in changes.items():
        section, name = key.split(".")
        values[section][name] = value
    with pytest.raises(InputError, match=f"params.yaml: {message}"):
        params.build(values, "params.yaml")


def test_early_stopping_without_images_held_out_is_refused():
    values = copy.deepcopy(SAMPLE)
    values["train"]["early_stop_epochs"], values["pack"]["holdout_images"] = 3, 0
    with pytest.raises(InputError, match=r"`train\.early_stop_epochs` 3 .*`pack\.holdout_images`"):
        params.build(values, "params.yaml")


def own_data(folder, **download):
    """Params of own data in `folder`, beside the workflow's files."""
    values = yaml.safe_load(params.preset_text("own_data"))
    values["download"] |= {"root": str(folder / "mine"), **download}
    (folder / "workflow").symlink_to(params.WORKFLOW)
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    return folder / "params.yaml"


def test_data_that_are_not_where_the_settings_say_are_named_with_what_to_do(tmp_path):
    path = own_data(tmp_path)
    with pytest.raises(InputError, match=r"`download\.root` .*mine/images, .*archives\.tra.*--set"):
        params.check(path)
    (tmp_path / "mine/images").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no .*mine/annotations/person_keypoints\.json"):
        params.check(path)
    (tmp_path / "mine/annotations").mkdir()
    (tmp_path / "mine/annotations/person_keypoints.json").touch()
    params.check(path)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("train.init=lost.h5", True),
        ("train.init=light", True),  # not in download.weights of the sample
        ("train.teacher=data/sample/weights/far", True),
        ("train.init=here.h5", False),
    ],
)
def test_weights_to_start_from_that_nobody_brings_are_refused_at_once(tmp_path, change, refused):
    (tmp_path / "here.h5").touch()
    params.use("sample", tmp_path / "params.yaml", ["augment.variants=1", change])
    if not refused:
        params.check(tmp_path / "params.yaml")
        return
    key, _, value = change.partition("=")
    with pytest.raises(InputError, match=rf"`{key}`: no {value}; .*`download\.weights`"):
        params.check(tmp_path / "params.yaml")


def test_a_teacher_that_the_download_brings_need_not_be_there_yet(tmp_path):
    shutil.copytree(ROOT / "workflow/sources", tmp_path / "workflow/sources")
    (tmp_path / "annotations").mkdir()
    for name in ("train.zip", "dev.zip", "annotations/train.json", "annotations/dev.json"):
        (tmp_path / name).touch()
    params.use("photos", tmp_path / "params.yaml", [f"download.root={tmp_path}"])
    params.check(tmp_path / "params.yaml")


def test_a_file_of_sources_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"`download\.sources`: no file gone\.yaml"):
        params.check(own_data(tmp_path, sources="gone.yaml"))


def test_use_notes_that_the_data_are_not_there_yet(tmp_path):
    (tmp_path / "workflow").symlink_to(params.WORKFLOW)
    command = [sys.executable, "-m", "stages.params", "--params", tmp_path / "params.yaml"]
    ended = subprocess.run([*command, "use", "own_data"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0
    assert "note: " in ended.stdout
    assert "path/to/your/data" in ended.stdout


def test_a_protocol_without_its_id_lists_is_refused(tmp_path):
    values = yaml.safe_load(own_data(tmp_path).read_text())
    values["pack"]["protocol"], values["masks"]["sources"] = "clean_and_val", ["train", "val"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=r"`pack\.protocol` clean_and_val .*has no `ids`"):
        params.check(tmp_path / "params.yaml")


def test_whole_scale_of_one_is_one():
    assert params.build(changed("detect.scales", [1, 2]), "params.yaml").detect.scales == (1, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "100", None, True])
def test_number_that_is_none_is_refused(value):
    with pytest.raises(InputError, match=r"`train\.clip_norm`: expected (type|a finite) number"):
        params.build(changed("train.clip_norm", value), "params.yaml")


def test_key_that_stands_twice_is_named_with_its_lines(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        params.preset_text("sample").replace("  epochs: 31\n", "  epochs: 31\n  seed: 2\n")
    )
    lines = [i for i, line in enumerate(path.read_text().splitlines(), 1) if "epochs: 31" in line]
    with pytest.raises(
        InputError, match=rf"`train\.seed` stands twice, in lines \d+ and {lines[0] + 1}"
    ):
        params.load(path)


@pytest.mark.parametrize(
    "text", ["", "[1", "- 1", "train: !!python/object:a.b {}", "train: 2001-99-99"]
)
def test_file_of_another_form_is_one_line(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"^\S+params\.yaml: ") as problem:
        params.load(path)
    assert "\n" not in str(problem.value)


@pytest.fixture
def active(tmp_path) -> Path:
    params.use("coco2017", tmp_path / "params.yaml", ["train.clip_norm=3"])
    return tmp_path / "params.yaml"


def test_explain_tells_meaning_bounds_default_and_value(active):
    lines = pages.explain("augment.shift_px", active).splitlines()
    assert lines[0] == "augment.shift_px"
    assert {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:]} == {
        "meaning": "Shift is uniform within plus and minus this in x and y, pixels.",
        "type": "number",
        "unit": "pixels",
        "bounds": "at least 0",
        "default": "22.0",
        "active": "40.0 (from preset coco2014, over which coco2017 is laid)",
    }


@pytest.mark.parametrize(
    ("key", "active_line"),
    [
        ("evaluate.splits", "[val] (from preset coco2017)"),
        ("train.seed", "1 (from preset sample, over which coco2017 is laid)"),
        ("train.clip_norm", "3 (changed by hand or --set; 0.0 in preset coco2017)"),
    ],
)
def test_explain_tells_where_a_value_comes_from(active, key, active_line):
    assert pages.explain(key, active).splitlines()[-1].endswith(active_line)


def test_explain_names_the_nearest_key(active):
    with pytest.raises(InputError, match=r"did you mean `train\.clip_norm`\?"):
        pages.explain("train.clipnorm", active)


def test_mistakes_on_the_command_line_are_one_line(tmp_path):
    command = [sys.executable, "-m", "stages.params", "--params", tmp_path / "params.yaml"]
    for words in (["check"], ["explain", "train.epoch"], ["use", "sampel"]):
        ended = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("error: ")
        assert ended.stderr.count("\n") == 1
