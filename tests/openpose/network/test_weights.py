"""Reading and writing weights by layer name."""

import os
import pickle

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import h5py
import keras
import numpy as np
import pytest

from stages.openpose.errors import InputError
from stages.openpose.network.architecture import VGG_LAYERS, build
from stages.openpose.network.weights import initialise, load_weights, read_layers


@pytest.fixture(scope="module")
def full() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build("full")


@pytest.fixture
def light() -> keras.Model:
    keras.utils.set_random_seed(2)
    return build("light")


def write_keras2(path, layers: dict[str, list[np.ndarray]], prefix: str = "") -> None:
    """A weights file as Keras 1 and 2 wrote it; whole models keep theirs under `model_weights`."""
    with h5py.File(path, "w") as file:
        root = file.create_group(prefix) if prefix else file
        root.attrs["layer_names"] = [name.encode() for name in layers]
        for name, arrays in layers.items():
            group = root.create_group(name)
            names = [f"{name}_1/{kind}:0".encode() for kind in ("kernel", "bias")[: len(arrays)]]
            group.attrs["weight_names"] = names
            for weight, array in zip(names, arrays, strict=True):
                group.create_dataset(weight.decode(), data=array)


def values(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def drawn(shapes: dict[str, list[tuple]]) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(3)
    return {
        name: [rng.normal(size=shape).astype(np.float32) for shape in of]
        for name, of in shapes.items()
    }


def vgg19_notop() -> dict[str, list[np.ndarray]]:
    """All 16 convolutions of keras.applications' VGG19 by its names, pooling and input layers
    included.
    """
    depths, shapes, channels = (2, 2, 4, 4, 4), {"input_1": []}, 3
    for block, depth in enumerate(depths, 1):
        for i in range(1, depth + 1):
            filters = min(64 * 2 ** (block - 1), 512)
            shapes[f"block{block}_conv{i}"] = [(3, 3, channels, filters), (filters,)]
            channels = filters
        shapes[f"block{block}_pool"] = []
    return drawn(shapes)


def test_saved_weights_come_back_bit_for_bit(light, tmp_path):
    light.save_weights(tmp_path / "a.weights.h5")
    other = build("light")
    load_weights(other, tmp_path / "a.weights.h5")
    for a, b in zip(light.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any("gain" in weight.path for weight in light.weights)


def test_equal_weights_are_equal_files(light, tmp_path):
    for name in "ab":
        light.save_weights(tmp_path / f"{name}.weights.h5")
    assert (tmp_path / "a.weights.h5").read_bytes() == (tmp_path / "b.weights.h5").read_bytes()


@pytest.mark.parametrize("prefix", ["", "model_weights"])
def test_reference_h5_fills_the_full_network_by_layer_name(full, tmp_path, prefix):
    expected = drawn(
        {
            name: [a.shape for a in arrays]
            for name, arrays in values(full).items()
            if "stage" not in name
        }
    )
    whole = values(full) | expected
    backwards = dict(reversed(whole.items()))
    write_keras2(tmp_path / "w.h5", backwards, prefix)
    load_weights(full, tmp_path / "w.h5")
    for name, arrays in expected.items():
        np.testing.assert_array_equal(full.get_layer(name).get_weights()[0], arrays[0])


def test_first_stage_is_read_under_its_older_names_too(tmp_path):
    arrays = drawn({"conv5_4_CPM_L2": [(1, 1, 128, 512), (512,)]})
    write_keras2(tmp_path / "w.h5", arrays)
    assert list(read_layers(tmp_path / "w.h5")) == ["Mconv4_stage1_L2"]


def test_imagenet_vgg19_fills_the_ten_front_layers(full, tmp_path):
    imagenet = vgg19_notop()
    write_keras2(tmp_path / "vgg19.h5", imagenet)
    fresh = initialise(full, tmp_path / "vgg19.h5")
    assert set(values(full)) - set(fresh) == set(VGG_LAYERS)
    for name, source in (
        ("conv1_1", "block1_conv1"),
        ("conv3_4", "block3_conv4"),
        ("conv4_2", "block4_conv2"),
    ):
        for a, b in zip(full.get_layer(name).get_weights(), imagenet[source], strict=True):
            np.testing.assert_array_equal(a, b)


def test_layers_of_other_shape_stay_fresh_when_initialising(light, tmp_path):
    arrays = values(light)
    arrays["stage2_pafs"] = [np.zeros((1, 1, 128, 20), np.float32), np.zeros(20, np.float32)]
    write_keras3(tmp_path / "w.h5", arrays)
    other = build("light")
    assert initialise(other, tmp_path / "w.h5") == ["stage2_pafs"]
    np.testing.assert_array_equal(other.get_layer("stem1").get_weights()[0], arrays["stem1"][0])


def write_keras3(path, layers: dict[str, list[np.ndarray]]) -> None:
    with h5py.File(path, "w") as file:
        for i, (name, arrays) in enumerate(layers.items()):
            group = file.create_group(f"layers/any_{i}/vars")
            group.attrs["name"] = name
            for j, array in enumerate(arrays):
                group.create_dataset(str(j), data=array)


def test_weights_of_another_network_are_refused(light, tmp_path):
    write_keras2(tmp_path / "vgg19.h5", vgg19_notop())
    with pytest.raises(
        InputError, match="not weights of network `light`: layer `stem1` is not in the file"
    ):
        load_weights(light, tmp_path / "vgg19.h5")
    with pytest.raises(InputError, match="no layer fits network `light`"):
        initialise(light, tmp_path / "vgg19.h5")


def test_wrong_shape_is_named(light, tmp_path):
    arrays = values(light)
    arrays["stem1"][0] = arrays["stem1"][0][..., :5]
    write_keras3(tmp_path / "w.h5", arrays)
    with pytest.raises(InputError, match=r"layer `stem1` has shapes .*4, 4, 3, 5.*expected"):
        load_weights(light, tmp_path / "w.h5")


def test_missing_or_foreign_files_are_refused(light, tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    h5py.File(tmp_path / "empty.h5", "w").close()
    for name, message in (
        ("none.h5", "no such"),
        ("text.h5", "expected an HDF5"),
        ("empty.h5", "no layer"),
    ):
        with pytest.raises(InputError, match=message):
            load_weights(light, tmp_path / name)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"a": np.array([1.0, np.nan], "f4")}, "layer `a`: numbers that are not finite"),
        ({"a": np.array([b"one", b"two"])}, "layer `a`: expected numbers"),
        ({"a": np.array([1, 2])}, "layer `a`: expected numbers"),
        ({"a/b": np.zeros(2, "f4")}, "expected an HDF5 file of Keras weights, found one that is"),
    ],
)
def test_weights_that_are_no_finite_numbers_are_refused(tmp_path, damage, message):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for name, array in damage.items():
            file[f"layers/{name}/0"] = array
            file[f"layers/{name.split('/')[0]}"].attrs["name"] = name
    with pytest.raises(InputError, match=rf"w\.h5: {message}"):
        read_layers(tmp_path / "w.h5")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer.*pull"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page.*login"),
        (pickle.dumps({"weights": [1, 2]}), "pickle.*never read"),
        (b"PK\x03\x04model.keras", "zip.*save the weights alone"),
    ],
    ids=["lfs", "html", "pickle", "keras"],
)
@pytest.mark.parametrize("name", ["a.h5", "a.caffemodel", "a.xml"])
def test_what_lies_in_the_place_of_weights_is_told(tmp_path, content, message, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: expected weights, found a .*{message}"):
        read_layers(tmp_path / name)
