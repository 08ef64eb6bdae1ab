"""The networks: layers, sizes, names."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

from stages.openpose.errors import InputError
from stages.openpose.network.architecture import (
    STRIDE_PX,
    build,
    freeze,
    inference_outputs,
    rate_multipliers,
)
from stages.openpose.skeleton import COCO
from stages.openpose.training.loss import TrainingModel


@pytest.fixture(scope="module")
def full() -> keras.Model:
    return build("full")


@pytest.fixture(scope="module")
def light() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build("light")


def image(height: int, width: int, batch: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def test_full_network_has_the_parameters_of_the_reference(full):
    assert full.count_params() == 52_311_446


def test_full_network_has_the_layers_of_the_reference(full):
    shapes = {layer.name: tuple(layer.kernel.shape) for layer in full.layers if layer.weights}
    assert len(shapes) == 12 + 2 * 5 + 5 * 2 * 7
    assert shapes["conv1_1"] == (3, 3, 3, 64)
    assert shapes["conv4_2"] == (3, 3, 512, 512)
    assert shapes["conv4_3_CPM"] == (3, 3, 512, 256)
    assert shapes["conv4_4_CPM"] == (3, 3, 256, 128)
    assert shapes["Mconv1_stage1_L1"] == (3, 3, 128, 128)
    assert shapes["Mconv4_stage1_L2"] == (1, 1, 128, 512)
    assert shapes["Mconv5_stage1_L1"] == (1, 1, 512, 38)
    assert shapes["Mconv5_stage1_L2"] == (1, 1, 512, 19)
    assert shapes["Mconv1_stage2_L1"] == (7, 7, 38 + 19 + 128, 128)
    assert shapes["Mconv5_stage6_L2"] == (7, 7, 128, 128)
    assert shapes["Mconv7_stage6_L1"] == (1, 1, 128, 38)
    assert shapes["Mconv7_stage6_L2"] == (1, 1, 128, 19)


def test_full_network_starts_from_small_normal_kernels_and_zero_biases(full):
    layer = full.get_layer("Mconv2_stage3_L1")
    assert abs(float(np.std(layer.kernel)) - 0.01) < 2e-4
    assert not np.any(layer.bias)


def test_last_map_layers_of_the_full_network_have_no_relu(full):
    assert full.get_layer("Mconv7_stage6_L1").activation is keras.activations.linear
    assert full.get_layer("Mconv6_stage6_L1").activation is keras.activations.relu


def test_reference_multipliers_are_1_2_before_stage_2_and_4_8_after(full):
    rates = rate_multipliers(full)
    assert rates["conv1_1/kernel"] == 1
    assert rates["conv4_4_CPM/bias"] == 2
    assert rates["Mconv5_stage1_L1/bias"] == 2
    assert rates["Mconv1_stage2_L1/kernel"] == 4
    assert rates["Mconv7_stage6_L2/bias"] == 8
    assert set(rates) == {weight.path for weight in full.trainable_weights}


def test_light_network_is_light(light):
    assert 400_000 <= light.count_params() <= 52_000_000 / 40  # `full` has 52 million


@pytest.mark.parametrize("size", [(184, 184), (64, 96), (72, 136)])
def test_light_maps_are_an_eighth_of_the_image(light, size):
    outputs = light(image(*size))
    cells = (1, size[0] // STRIDE_PX, size[1] // STRIDE_PX)
    assert [tuple(maps.shape) for maps in outputs] == [(*cells, 38), (*cells, 19)] * 2
    assert COCO.paf_channels == 38
    assert COCO.heatmap_channels == 19


def test_uint8_and_float_images_give_equal_maps(light):
    bytes_ = image(64, 64)
    for a, b in zip(light(bytes_), light(bytes_.astype(np.float32)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_maps_of_a_image_do_not_depend_on_its_batch(light):
    batch = image(64, 64, batch=3)
    for together, alone in zip(light(batch), light(batch[1:2]), strict=True):
        np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


def test_shifting_the_image_by_16_pixels_shifts_inner_light_maps_by_2_cells(light):
    # Fails when strided layers are aligned differently at even and odd sizes.
    wide = image(400, 416)
    whole, shifted = light(wide)[0], light(wide[:, 16:, 16:])[0]
    np.testing.assert_allclose(whole[0, 23:28, 23:28], shifted[0, 21:26, 21:26], atol=1e-4)


def test_bfloat16_network_gives_float32_maps_near_those_of_float32(light):
    lower = build("light", precision="mixed_bfloat16")
    lower.set_weights(light.get_weights())
    for a, b in zip(lower(image(64, 64)), light(image(64, 64)), strict=True):
        assert np.asarray(a).dtype == np.float32
        assert np.abs(a - b).max() < 0.05 * np.abs(b).max() + 0.01


def test_scaling_a_standardised_kernel_changes_no_map(light):
    before = np.asarray(light(image(64, 64))[-1])
    layer = light.get_layer("fine_1")
    layer.kernel.assign(layer.kernel * 3.0)
    np.testing.assert_allclose(light(image(64, 64))[-1], before, atol=2e-3)


def test_building_leaves_the_global_precision_alone():
    before = keras.config.dtype_policy().name
    build("light", precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == before


def test_inference_outputs_are_the_last_pafs_and_heatmaps(light):
    pafs, heatmaps = inference_outputs(light)
    assert pafs.shape[-1] == 38
    assert heatmaps.shape[-1] == 19
    assert pafs is light.outputs[-2]
    assert heatmaps is light.outputs[-1]


def test_unknown_network_is_refused_by_name():
    with pytest.raises(
        InputError, match="`huge` does not exist; there are: light, full, mobilenet"
    ):
        build("huge")


def test_one_network_runs_on_images_of_one_size_after_another():
    model = build("light")
    maps = keras.Model(model.inputs, list(inference_outputs(model)))
    for height, width in ((32, 48), (48, 40), (40, 40)):
        pafs, heatmaps = maps.predict_on_batch(np.zeros((1, height, width, 3), np.uint8))
        assert pafs.shape == (1, height // 8, width // 8, 38)
        assert heatmaps.shape == (1, height // 8, width // 8, 19)


def test_frozen_layers_keep_their_weights_and_the_others_learn():
    network = build("light")
    freeze(network, ["stem*", "stage1_pafs"])
    model = TrainingModel(network)
    model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    before = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}
    targets, mask = np.ones((1, 4, 4, 57), np.float32), np.ones((1, 4, 4, 1), np.float32)
    model.train_on_batch(image(32, 32), (targets, mask))
    unchanged = [
        name
        for name, arrays in before.items()
        if all(map(np.array_equal, arrays, network.get_layer(name).get_weights()))
    ]
    assert unchanged == [
        name for name in before if name.startswith("stem") or name == "stage1_pafs"
    ]
    assert 1 < len(unchanged) < len(before)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["conv9*"], "no layer of network `light` is called conv9"), (["*"], "none is left")],
)
def test_layers_that_cannot_be_frozen_are_named(names, message):
    with pytest.raises(InputError, match=message):
        freeze(build("light"), names)
