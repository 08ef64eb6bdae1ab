"""OpenVINO's files are read without OpenVINO, and damaged ones are named."""

from itertools import pairwise

import keras
import numpy as np
import pytest

from stages.openpose.errors import InputError
from stages.openpose.network.architecture import build
from stages.openpose.network.openvino_ir import read_openvino_ir
from stages.openpose.network.weights import convert_weights, initialise, load_weights
from tests.ir_files import name_in_ir, quantised, write_ir

TOLERANCE = {"f32": 0.0, "f16": 2**-11, "compressed": 2**-11}


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(4)
    rng, model = np.random.default_rng(4), build("mobilenet")
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, rng.normal(0, 0.1, bias.shape)])
    return model


@pytest.mark.parametrize("kind", TOLERANCE)
def test_weights_come_back_in_the_precision_of_the_file(network, tmp_path, kind):
    write_ir(network, tmp_path / "net.xml", kind)
    other = build("mobilenet")
    load_weights(other, tmp_path / "net.xml")
    for loaded, original in zip(other.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(
            loaded, original, rtol=TOLERANCE[kind], atol=TOLERANCE[kind] / 1e4
        )


def test_8_bit_weights_are_the_whole_numbers_times_their_scale(network, tmp_path):
    write_ir(network, tmp_path / "net.xml", "i8")
    layers = read_openvino_ir(tmp_path / "net.xml").layers
    kernel = network.get_layer("conv5_1_sep").kernel.numpy()
    whole, zero, scale = quantised(kernel.transpose(3, 2, 0, 1))
    expected = ((whole - zero) * scale).transpose(2, 3, 1, 0)
    np.testing.assert_allclose(layers["conv5_1_sep"][0], expected, rtol=1e-6)
    assert 0 < np.abs(layers["conv5_1_sep"][0] - kernel).max() <= scale.max()


def test_names_of_the_published_file_are_those_of_the_network_with_other_joints(network):
    assert name_in_ir("conv4_3_CPM_dw1_1x1") == "conv4_3_CPM/dw1/1x1"
    assert name_in_ir("Mconv1_stage2_L1_3x3_2") == "Mconv1_stage2_L1/3x3/2"
    assert name_in_ir("Mconv4_stage1_L2") == "conv5_4_CPM_L2"


def test_image_scaling_of_the_file_is_found(network, tmp_path):
    write_ir(network, tmp_path / "net.xml", "f16")
    ir = read_openvino_ir(tmp_path / "net.xml")
    np.testing.assert_allclose(ir.scale, 1 / 255, rtol=1e-3)
    np.testing.assert_allclose(ir.offset, [-128 / 255] * 3, rtol=1e-3)


def test_a_network_that_scales_its_input_otherwise_is_refused(network, tmp_path):
    write_ir(network, tmp_path / "net.xml", scale=1.0)
    with pytest.raises(
        InputError, match=r"net\.xml: expected .* with scale 0\.00392, .* found scale \[1\.0\]"
    ):
        load_weights(build("mobilenet"), tmp_path / "net.xml")


def test_other_networks_do_not_take_the_weights(network, tmp_path):
    write_ir(network, tmp_path / "net.xml", "f16")
    with pytest.raises(
        InputError, match="not weights of network `light`: layer `stem1` is not in the file"
    ):
        convert_weights(tmp_path / "net.xml", "light", tmp_path / "w.weights.h5")
    assert not (tmp_path / "w.weights.h5").exists()


def test_heads_for_another_skeleton_start_fresh(network, tmp_path):
    write_ir(network, tmp_path / "net.xml", "f16")
    text = (
        (tmp_path / "net.xml")
        .read_text()
        .replace('name="Mconv7_stage2_L2/WithoutBiases"', 'name="other"')
    )
    (tmp_path / "net.xml").write_text(text)
    assert initialise(build("mobilenet"), tmp_path / "net.xml") == ["Mconv7_stage2_L2"]
    with pytest.raises(InputError, match=r"layer `Mconv7_stage2_L2` is not in the file"):
        load_weights(build("mobilenet"), tmp_path / "net.xml")


def test_layers_that_the_network_does_not_have_are_named(network, tmp_path):
    deeper = keras.Model(
        network.input,
        [*network.outputs, keras.layers.Conv2D(8, 1, name="deep")(network.outputs[-1])],
    )
    write_ir(deeper, tmp_path / "net.xml")
    with pytest.raises(InputError, match="expected 58 layers, found 1 more: deep"):
        convert_weights(tmp_path / "net.xml", "mobilenet", tmp_path / "w.weights.h5")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'version="10"',
            'version="6"',
            "expected <net> of version 10 or later, found <net> of version '6'",
        ),
        ("<net ", "<!DOCTYPE net><net ", "found XML with a document type"),
        ("</net>", "", "found no whole XML"),
        ('element_type="f32"', 'element_type="u4"', "expected numbers of type f32.*found 'u4'"),
        (
            'offset="0"',
            'offset="99999999"',
            r"net\.bin: layer `constant.`: expected .* cut off, or of another",
        ),
        ('from-layer="1"', 'from-layer="none"', "layers or edges that do not fit"),
        ('type="Parameter"', 'type="Other"', "expected one input, found 0"),
    ],
)
def test_damaged_files_are_named(network, tmp_path, old, new, words):
    write_ir(network, tmp_path / "net.xml")
    text = (tmp_path / "net.xml").read_text()
    assert old in text
    (tmp_path / "net.xml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words):
        read_openvino_ir(tmp_path / "net.xml")


def write_graph(path, layers, edges):
    """An IR of `layers` (id: type, shape of a constant) and `edges` (from, to, port)."""
    texts = [
        f'<layer id="{name}" name="{name}" type="{kind}">'
        f'<data element_type="f32" shape="{shape}" offset="0" size="{4 * int(size)}"/></layer>'
        for name, (kind, shape, size) in layers.items()
    ]
    joined = [
        f'<edge from-layer="{a}" from-port="0" to-layer="{b}" to-port="{port}"/>'
        for a, b, port in edges
    ]
    path.write_text(
        f'<net version="10"><layers>{"".join(texts)}</layers><edges>{"".join(joined)}</edges></net>'
    )
    path.with_suffix(".bin").write_bytes(bytes(40_000))


CONVOLUTION = {"image": ("Parameter", "", 0), "conv": ("Convolution", "", 0)}


def test_constants_that_are_doubled_a_hundred_times_are_worked_out_once_each(tmp_path):
    sums = {f"s{i}": ("Add", "", 0) for i in range(100)}
    layers = {"s": ("Const", "1,1,1,1", 1)} | sums | CONVOLUTION
    edges = [(a, b, port) for a, b in pairwise(["s", *sums]) for port in (0, 1)]
    write_graph(tmp_path / "net.xml", layers, [*edges, ("image", "conv", 0), ("s99", "conv", 1)])
    assert read_openvino_ir(tmp_path / "net.xml").layers["conv"][0].shape == (1, 1, 1, 1)


def test_constants_whose_sum_would_fill_the_memory_are_refused(tmp_path):
    layers = {"a": ("Const", "10000,1", 10_000), "b": ("Const", "1,10000", 10_000)}
    layers |= {"sum": ("Add", "", 0)} | CONVOLUTION
    edges = [("a", "sum", 0), ("b", "sum", 1), ("image", "conv", 0), ("sum", "conv", 1)]
    write_graph(tmp_path / "net.xml", layers, edges)
    with pytest.raises(InputError, match=r"layer `sum`: .* found \(10000, 1\), \(1, 10000\)"):
        read_openvino_ir(tmp_path / "net.xml")


def test_layers_in_a_circle_end(tmp_path):
    layers = {"k": ("Const", "1,1,1,1", 1), "turn": ("Convert", "", 0)} | CONVOLUTION
    edges = [("image", "turn", 0), ("turn", "turn", 0), ("k", "conv", 0), ("k", "conv", 1)]
    write_graph(tmp_path / "net.xml", layers, edges)
    assert list(read_openvino_ir(tmp_path / "net.xml").layers) == ["conv"]


def test_a_missing_or_short_bin_is_named(network, tmp_path):
    write_ir(network, tmp_path / "net.xml", "f16")
    content = (tmp_path / "net.bin").read_bytes()
    (tmp_path / "net.bin").write_bytes(content[:-2])
    with pytest.raises(InputError, match=r"net\.bin: layer .* found 8198682 bytes in all"):
        read_openvino_ir(tmp_path / "net.xml")
    (tmp_path / "net.bin").write_bytes(np.full(len(content) // 2, np.nan, np.float16).tobytes())
    with pytest.raises(InputError, match=r"net\.bin: layer .*: numbers that are not finite"):
        read_openvino_ir(tmp_path / "net.xml")
    (tmp_path / "net.bin").unlink()
    with pytest.raises(
        InputError, match=r"net\.bin: no such file; an OpenVINO IR is a \.xml beside its \.bin"
    ):
        read_openvino_ir(tmp_path / "net.xml")
