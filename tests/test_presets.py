"""Presets, and single keys changed on the command line."""

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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
        ("download.root=/data/set #2", "/data/set #2"),
        ("download.root=!y", "!y"),
        ("download.root={a: [", "{a: ["),
        ("train.init=it's", "it's"),
        ("train.init=1e5", "1e5"),
        ("train.init=null", "null"),
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
        ("download.rot=1", r"unknown key `download\.rot`; did you mean `download\.root`\?"),
        ("downlod.root=1", r"unknown key `downlod\.root`; did you mean `download\.root`\?"),
        ("zzz.root=1", r"unknown key `zzz\.root`; did you mean `download\.root`\?"),
        ("zzz.yyy=1", r"unknown key `zzz\.yyy`; keys: dataset, sample"),
        ("download.qqqqqqqqq=1", r"unknown key `download\.qqqqqqqqq`; keys: sources, root"),
        ("train.crop_px=8", r"did you mean `augment\.crop_px`\?"),
        ("models.net.folder=/x", r"names in section models: none"),
        ("root=1", r"expected section\.key=value"),
        ("download.root", r"expected section\.key=value"),
        ("train.epochs=many", r"`train\.epochs`: expected type integer, found 'many'"),
        ("train.epochs=0", r"`train\.epochs`: expected at least 1, found 0"),
        ("detect.scales=[1", "not a YAML value"),
        ("train.epochs=!y", "not a YAML value"),
        ("train.epochs=1.0", r"expected type integer, found 1\.0"),
        ("detect.scales.a=1", r"unknown key"),
        ("train=\n- a", r"--set train= - a: expected section\.key=value"),
        ("detect.scales=['\ud800']", "not a YAML value"),
        ("train.epochs=2001-99-99", "not a YAML value"),
        ("train.epochs=" + "x" * 3000, r"^.{,900}$"),
        ("train.epochs=", r"expected type integer, found None"),
        ("train.backend=tensorflo", r"expected one of tensorflow, jax, torch, found"),
        ("coco_api.self_test=1", r"expected true or false, found 1"),
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


NET = "human-pose-estimation-0001.xml"


@pytest.mark.parametrize(
    ("change", "steps", "found"),
    [
        ("models.real_net.folder=/x #1", ("real_net", "folder"), "/x #1"),
        ("models.real_net.mean=[1, 2.5, 3]", ("real_net", "mean"), [1, 2.5, 3]),
        ("models.real_net.layout=NHWC", ("real_net", "layout"), "NHWC"),
        (f"models.real_net.files.{NET}={'0' * 32}", ("real_net", "files", NET), "0" * 32),
        (
            f"models.other={{kind: onnx, folder: /x, files: {{a.onnx: {'a' * 64}}}}}",
            ("other",),
            {"kind": "onnx", "folder": "/x", "files": {"a.onnx": "a" * 64}},
        ),
    ],
)
def test_set_reaches_the_keys_of_a_network(tmp_path, change, steps, found):
    params.use("coco_mini_real_net", tmp_path / "params.yaml", [change])
    expected = values(params.preset_text("coco_mini_real_net"))
    place = expected["models"]
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = found
    assert values((tmp_path / "params.yaml").read_text()) == expected


def test_mistyped_name_of_a_network_is_told_the_nearest(tmp_path):
    change = "models.real_nt.folder=/x"
    with pytest.raises(InputError, match=r"did you mean `models\.real_net\.folder`\?"):
        params.use("coco_mini_real_net", tmp_path / "params.yaml", [change])


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20))
def test_text_is_taken_as_it_stands(text):
    assume(not (len(text) > 1 and text[0] == text[-1] and text[0] in "'\""))
    changed = params.with_changes(params.preset_text("tiny"), [f"download.root={text}"])
    assert params.build(params.parse_yaml(changed, "tiny"), "tiny").download.root == text


def test_split_that_the_sources_do_not_list_is_refused_with_the_nearest(tmp_path):
    (tmp_path / "workflow").symlink_to(params.WORKFLOW)
    with pytest.raises(InputError, match=r"`evaluate\.splits` has val2k \(did you mean val1k\?\)"):
        params.use("coco2014", tmp_path / "params.yaml", ["evaluate.splits=[val2k]"])


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("../photos", "{parent}/photos"),
        ("data/mine", "data/mine"),
        ("/elsewhere/photos", "/elsewhere/photos"),
        ("https://example.org/photos", "https://example.org/photos"),
    ],
)
def test_a_root_out_of_the_project_is_written_in_full(tmp_path, given, written):
    """Copies of the project, in which DVC runs queued experiments, lie elsewhere."""
    path = tmp_path / "project" / "params.yaml"
    path.parent.mkdir()
    params.use("own_data", path, [f"download.root={given}"])
    assert params.load(path).download.root == written.format(parent=tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        "!y", "!!python/object/apply:os.system [touch pwned]", "&a [*a]", "{", "[[[[", "[" * 5000,
        "[" * 10**6, "? " * 10**5,
        "[&a [1], *a]", "{a: &a [1, 1], b: &b [*a, *a], c: &c [*b, *b], d: [*c, *c]}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["train.epochs", "detect.scales", "models.mine.files"])
def test_yaml_that_runs_code_holds_itself_or_explodes_is_one_line(
    tmp_path, monkeypatch, key, value
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as problem:
        params.use("tiny", tmp_path / "params.yaml", [f"{key}={value}"])
    assert "\n" not in str(problem.value)
    assert list(tmp_path.iterdir()) == []
