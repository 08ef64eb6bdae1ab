"""The network of Lightweight OpenPose: its layers, and its maps against OpenVINO's."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from stages.openpose.network.architecture import build, head_kernels, inference_outputs
from stages.openpose.network.forward import network_forward
from stages.openpose.network.weights import load_weights
from tests.ir_files import write_ir

OUTPUTS = ("Mconv7_stage2_L2", "Mconv7_stage2_L1")  # heatmaps, pafs
IMAGES = ("000000000790", "000000037666")


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build("mobilenet")


@pytest.fixture
def published(shared) -> Path:
    """human-pose-estimation-0001 in 8 bits."""
    return shared / "real-net/human-pose-estimation-0001.xml"


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def real_images(shared: Path) -> list[np.ndarray]:
    """Real images cut to multiples of 8, uint8 [1, H, W, 3]."""
    images = [cv2.imread(str(shared / f"coco-mini/images/{name}.jpg")) for name in IMAGES]
    return [image[None, : image.shape[0] // 8 * 8, : image.shape[1] // 8 * 8] for image in images]


def openvino_maps(
    xml: Path, batch: np.ndarray, *, round_activations: bool = True
) -> list[np.ndarray]:
    """Heatmaps and pafs of OpenVINO in float32; without rounding, `FakeQuantize` is taken out."""
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    model = core.read_model(xml)
    for operation in model.get_ops():
        if operation.get_type_name() == "FakeQuantize" and not round_activations:
            for user in list(operation.output(0).get_target_inputs()):
                user.replace_source_output(operation.input_value(0))
    model.reshape([1, 3, *batch.shape[1:3]])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(np.ascontiguousarray(batch.transpose(0, 3, 1, 2), np.float32))
    return [
        results[output].transpose(0, 2, 3, 1)
        for output in sorted(results, key=lambda output: output.shape[1])
    ]


def test_parameters_are_those_of_the_paper(mobilenet):
    assert mobilenet.count_params() == 4_099_058  # arXiv:1811.12004 says 4.1 M


def test_maps_are_an_eighth_of_the_image(mobilenet):
    outputs = mobilenet(noise(72, 136))
    assert [tuple(maps.shape) for maps in outputs] == [(1, 9, 17, 38), (1, 9, 17, 19)] * 2
    assert [maps.shape[-1] for maps in inference_outputs(mobilenet)] == [38, 19]
    assert {path.split("/")[0] for path in head_kernels(mobilenet)} == {
        "Mconv5_stage1_L1", "Mconv5_stage1_L2", "Mconv7_stage2_L1", "Mconv7_stage2_L2"
    }  # fmt: skip


def test_random_weights_keep_signals_alive_to_the_last_stage(mobilenet):
    features = keras.Model(mobilenet.input, mobilenet.get_layer("Mconv5_stage2_L1_res").output)(
        noise(64, 96)
    )
    assert 0.05 < float(np.std(features)) < 50


def test_it_learns(mobilenet):
    keras.utils.set_random_seed(2)
    model = build("mobilenet")
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    targets = [np.full((1, 8, 12, maps.shape[-1]), 0.5, np.float32) for maps in model.outputs]
    losses = [
        model.train_on_batch(noise(64, 96), targets, return_dict=True)["loss"] for _ in range(4)
    ]
    assert losses[-1] < 0.5 * losses[0]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("f32", 2e-5), ("f16", 1e-4), ("compressed", 1e-4), ("i8", 5e-3)]
)
def test_openvino_gives_the_same_maps_of_the_same_file(tmp_path, kind, tolerance):
    keras.utils.set_random_seed(3)
    model = build("mobilenet")
    write_ir(model, tmp_path / "net.xml", kind)
    load_weights(model, tmp_path / "net.xml")
    batch = noise(64, 104)
    for ours, theirs in zip(
        network_forward(model)(batch), openvino_maps(tmp_path / "net.xml", batch), strict=True
    ):
        assert np.abs(theirs).max() > 0.1
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_published_weights_give_the_maps_of_openvino_on_real_images(mobilenet, published, shared):
    load_weights(mobilenet, published)
    forward = network_forward(mobilenet)
    for batch in real_images(shared):
        for ours, theirs in zip(
            forward(batch), openvino_maps(published, batch, round_activations=False), strict=True
        ):
            assert np.abs(theirs).max() > 0.8
            # OpenVINO multiplies the 8-bit kernels by their scales in float16
            assert np.abs(ours - theirs).max() < 0.01
            assert np.abs(ours - theirs).mean() < 5e-5


def test_rounded_activations_change_published_maps_as_little_as_8_bits_do(
    mobilenet, published, shared
):
    load_weights(mobilenet, published)
    forward = network_forward(mobilenet)
    for batch in real_images(shared):
        for ours, theirs in zip(forward(batch), openvino_maps(published, batch), strict=True):
            assert np.abs(ours - theirs).mean() < 0.006
            assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9


def test_published_weights_give_the_golden_maps(mobilenet, published, shared):
    load_weights(mobilenet, published)
    golden = np.load(shared / "real-maps/000000000790.npz")
    height, width = map(int, golden["resized"])
    image = cv2.imread(str(shared / "coco-mini/images/000000000790.jpg"))
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    padded = cv2.copyMakeBorder(
        scaled, 0, -height % 8, 0, -width % 8, cv2.BORDER_CONSTANT, value=(128,) * 3
    )
    heatmaps, pafs = network_forward(mobilenet)(padded[None])
    assert np.abs(heatmaps[0] - golden["heat"]).mean() < 0.006
    assert np.abs(pafs[0] - golden["paf"]).mean() < 0.005
