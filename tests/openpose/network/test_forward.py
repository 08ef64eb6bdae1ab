import json
import sys

import numpy as np
import pytest
import yaml

from stages.openpose.errors import InputError
from stages.openpose.network import forward
from stages.openpose.skeleton import COCO

HEATMAPS, PAFS = COCO.heatmap_channels, COCO.paf_channels
LIMBS = [[COCO.parts[a], COCO.parts[b]] for a, b in COCO.limbs]


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number, value):
    """A protobuf field: whole numbers as varints, bytes and text with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name, array):
    dims = b"".join(field(1, side) for side in array.shape)
    return dims + field(2, 1) + field(8, name) + field(9, array.astype("<f4").tobytes())


def value_info(name, dims):
    shape = b"".join(
        field(1, field(2, size) if isinstance(size, str) else field(1, size)) for size in dims
    )
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def convolution(weights, output):
    """A node that takes the mean of 8 x 8 pixels, mixed by `weights` [C, 3], as channels of
    `output`.
    """
    attributes = [("kernel_shape", [8, 8]), ("strides", [8, 8])]
    ints = b"".join(
        field(5, field(1, name) + b"".join(field(8, number) for number in values) + field(20, 7))
        for name, values in attributes
    )
    return (
        field(1, "data")
        + field(1, f"{output}_weights")
        + field(2, output)
        + field(4, "Conv")
        + ints
    )


def write_onnx(path, heat_weights, paf_weights):
    """An ONNX network: heatmaps and pafs are mixtures of the mean colours of 8 x 8 cells."""
    graph = b""
    for name, weights in (("heat", heat_weights), ("paf", paf_weights)):
        kernel = np.repeat(np.repeat(weights[:, :, None, None] / 64, 8, axis=2), 8, axis=3)
        graph += field(1, convolution(weights, name)) + field(5, tensor(f"{name}_weights", kernel))
        graph += field(12, value_info(name, ["b", len(weights), "h", "w"]))
    graph += field(2, "toy") + field(11, value_info("data", [1, 3, 64, 64]))
    path.write_bytes(field(8, field(2, 13)) + field(7, graph) + field(1, 8))


@pytest.fixture
def weights():
    rng = np.random.default_rng(5)
    return rng.normal(size=(HEATMAPS, 3)), rng.normal(size=(PAFS, 3))


@pytest.fixture
def model(tmp_path, weights):
    """Describe and load the toy network; settings that are not given are left out."""
    pytest.importorskip("openvino")
    write_onnx(tmp_path / "toy.onnx", *weights)

    def load(**changes):
        described = {
            "kind": "onnx",
            "file": "toy.onnx",
            "heatmaps": "heat",
            "pafs": "paf",
        } | changes
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(described))
        return forward.load_forward(tmp_path)

    return load


def images(count=2, height=24, width=40):
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3), np.uint8)


def cells(batch):
    """Mean colour of 8 x 8 cells."""
    b, h, w, _ = batch.shape
    return batch.reshape(b, h // 8, 8, w // 8, 8, 3).mean(axis=(2, 4))


def test_an_onnx_file_runs_on_images_of_any_size(model, weights):
    run = model()
    for size in ((24, 40), (64, 64), (8, 16)):
        batch = images(2, *size)
        heatmaps, pafs = run(batch)
        np.testing.assert_allclose(heatmaps, cells(batch) @ weights[0].T, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(pafs, cells(batch) @ weights[1].T, rtol=1e-4, atol=1e-3)
        assert heatmaps.dtype == pafs.dtype == np.float32


def test_colour_order_mean_and_scale_are_those_of_the_settings(model, weights):
    batch = images()
    heatmaps, _ = model(colour="RGB", mean=[10, 20, 30], scale=[1, 2, 4])(batch)
    seen = (cells(batch)[..., ::-1] - (10, 20, 30)) / (1, 2, 4)
    np.testing.assert_allclose(heatmaps, seen @ weights[0].T, rtol=1e-4, atol=1e-3)


def test_channels_are_put_into_our_order(model, weights):
    batch = images()
    parts = ["background", *reversed(COCO.parts)]
    # the first of theirs is our second, turned round
    limbs = [
        LIMBS[1][::-1],
        *LIMBS[2:],
        LIMBS[0],
    ]
    heatmaps, pafs = model(heatmap_channels=parts, paf_channels=limbs)(batch)
    theirs = cells(batch) @ weights[0].T, cells(batch) @ weights[1].T
    np.testing.assert_allclose(heatmaps[..., 18], theirs[0][..., 0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(heatmaps[..., 0], theirs[0][..., 18], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(pafs[..., 0:2], theirs[1][..., 36:38], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(pafs[..., 2:4], -theirs[1][..., 0:2], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(pafs[..., 4:6], theirs[1][..., 2:4], rtol=1e-4, atol=1e-3)


def test_a_image_gives_the_same_alone_and_in_a_batch(model):
    run, batch = model(), images(3)
    np.testing.assert_array_equal(run(batch)[0][1], run(batch[1:2])[0][0])


def test_settings_that_do_not_fit_the_file_are_named(model):
    with pytest.raises(
        InputError, match=r"no output `maps` \(setting `heatmaps`\); it has heat, paf"
    ):
        model(heatmaps="maps")
    with pytest.raises(InputError, match="heatmaps of images 24 x 40"):
        model(heatmaps="paf", pafs="heat")(images())
    with pytest.raises(InputError, match="heatmap_channels"):
        model(heatmap_channels=["nose"])
    with pytest.raises(InputError, match="paf_channels"):
        model(paf_channels=LIMBS[:-1])


def test_a_damaged_file_is_named(model, tmp_path):
    (tmp_path / "toy.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"toy\.onnx: OpenVINO cannot load it"):
        model()


def test_without_openvino_the_message_names_the_lock_of_extras(tmp_path, monkeypatch):
    (tmp_path / "toy.onnx").write_bytes(b"")
    (tmp_path / "model.yaml").write_text("{kind: onnx, file: toy.onnx, heatmaps: heat, pafs: paf}")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"install envs/requirements-extras\.lock"):
        forward.load_forward(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: caffe", "`kind`: expected one of keras, openvino, onnx, found 'caffe'"),
        ("- list", "`kind`"),
        ("{", "not valid YAML"),
        ("{kind: openvino, file: a.xml, pafs: p}", r"missing \['heatmaps'\]"),
        ("{kind: onnx, file: lost.onnx, heatmaps: h, pafs: p}", r"lost\.onnx: no such file"),
        ("kind: keras", r"missing \['network'\]"),
    ],
)
def test_a_description_that_says_too_little_is_named(tmp_path, text, words):
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        forward.load_forward(tmp_path)


def test_a_folder_without_description_is_named(tmp_path):
    with pytest.raises(InputError, match=r"model\.yaml: no such file"):
        forward.load_forward(tmp_path)


def test_a_keras_network_gives_its_last_stage(tmp_path):
    keras = pytest.importorskip("keras")
    from stages.openpose.network.architecture import build, inference_outputs

    network = build("light")
    network.save_weights(tmp_path / "weights.weights.h5")
    (tmp_path / "model.yaml").write_text("{kind: keras, network: light, stride_px: 8}")
    batch = images(1, 40, 48)
    heatmaps, pafs = forward.load_forward(tmp_path)(batch)
    assert heatmaps.shape == (1, 5, 6, HEATMAPS)
    want_pafs, want_heatmaps = (
        keras.ops.convert_to_numpy(maps)
        for maps in (keras.Model(network.input, list(inference_outputs(network)))(batch))
    )
    np.testing.assert_allclose(heatmaps, want_heatmaps, atol=1e-4)
    np.testing.assert_allclose(pafs, want_pafs, atol=1e-4)


def test_the_real_network_gives_the_golden_maps(shared, tmp_path):
    pytest.importorskip("openvino")
    import cv2

    for kind in ("xml", "bin"):
        name = f"human-pose-estimation-0001.{kind}"
        (tmp_path / name).symlink_to(shared / "real-net" / name)
    described = {"kind": "openvino", "file": "human-pose-estimation-0001.xml"}
    described |= {"heatmaps": "Mconv7_stage2_L2", "pafs": "Mconv7_stage2_L1"}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(described))
    golden = np.load(shared / "real-maps/000000000790.npz")
    height, width = golden["resized"]
    image = cv2.imread(str(shared / "coco-mini/images/000000000790.jpg"))
    scaled = cv2.resize(image, (int(width), int(height)), interpolation=cv2.INTER_CUBIC)
    padded = cv2.copyMakeBorder(
        scaled, 0, -height % 8, 0, -width % 8, cv2.BORDER_CONSTANT, value=(128,) * 3
    )
    heatmaps, pafs = forward.load_forward(tmp_path)(padded[None])
    # 8-bit arithmetic differs between processors
    assert np.abs(heatmaps[0] - golden["heat"]).max() < 0.12
    assert np.abs(heatmaps[0] - golden["heat"]).mean() < 0.002
    assert np.abs(pafs[0] - golden["paf"]).mean() < 0.004


def test_bfloat16_gives_nearly_the_maps_of_float32(tmp_path):
    from stages.openpose.network.architecture import build

    network = build("light")
    network.save_weights(tmp_path / "light.weights.h5")
    batch = images(2, 64, 96)
    exact, quick = (
        forward.keras_forward(tmp_path / "light.weights.h5", "light", precision)(batch)
        for precision in ("float32", "mixed_bfloat16")
    )
    for exact_maps, quick_maps in zip(exact, quick, strict=True):
        assert quick_maps.dtype == np.float32
        assert 0 < np.abs(exact_maps - quick_maps).max() < 0.03 * np.abs(exact_maps).max()


def test_a_file_in_place_of_a_model_folder_is_named(tmp_path):
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(InputError, match=r"weights\.h5: is a file; expected the folder of a model"):
        forward.read_model(tmp_path / "weights.h5")


def read_whole(folder):
    model = forward.read_model(folder)
    return forward.skeleton_of(model), forward.heatmap_order(model), forward.paf_order(model)


ONNX = {"kind": "onnx", "file": "n.onnx", "heatmaps": "h", "pafs": "p"}


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ("[" * 300, "not valid YAML"),
        ("kind: 2001-99-99", "not valid YAML"),
        ("{a: 1, a: 2}", "key `a` stands twice"),
        (ONNX | {"kind": ["onnx"]}, "`kind`: expected one of"),
        (ONNX | {"file": 5}, "`file`: expected text, found 5"),
        (ONNX | {"pafs": ["p"]}, "`pafs`: expected text"),
        (ONNX | {"colour": "bgr"}, "`colour`: expected BGR or RGB, found 'bgr'"),
        (ONNX | {"layout": "CHW"}, "`layout`: expected NCHW or NHWC"),
        (ONNX | {"skeleton": 5}, "`skeleton`: expected a body"),
        (
            ONNX | {"skeleton": forward.to_dict(COCO) | {"limbs": [[0, 99]]}},
            "`skeleton`: .*a limb to a part that is not there",
        ),
        (ONNX | {"heatmap_channels": 5}, "`heatmap_channels`: expected each of"),
        (ONNX | {"paf_channels": [1, 2]}, "`paf_channels`: expected each of"),
    ],
)
def test_a_description_that_cannot_be_right_is_named(tmp_path, described, message):
    text = described if isinstance(described, str) else json.dumps(described)
    (tmp_path / "model.yaml").write_text(text)
    (tmp_path / "n.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=message):
        read_whole(tmp_path)


def test_a_description_that_is_no_text_is_named(tmp_path):
    (tmp_path / "model.yaml").write_bytes(b"kind: \xff")
    with pytest.raises(InputError, match=r"model\.yaml: expected the description of a model"):
        forward.read_model(tmp_path)
