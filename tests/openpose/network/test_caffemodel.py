"""Reading Caffe's files: every encoding, and every kind of damage."""

import contextlib

import numpy as np
import pytest

from stages.openpose.errors import InputError
from stages.openpose.network.caffemodel import read_caffemodel
from tests.caffe_files import blob, field, model, varint, write


def drawn() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(4)
    shapes = {"conv": [(4, 3, 2, 5), (4,)], "one": [(1, 4, 1, 1), (1,)], "unbiased": [(2, 1, 3, 3)]}
    return {
        name: [rng.normal(size=shape).astype(np.float32) for shape in of]
        for name, of in shapes.items()
    }


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("old_shape", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("old_layers", [False, True])
def test_every_encoding_gives_the_same_weights(tmp_path, old_layers, packed, old_shape, double):
    layers = drawn()
    content = model(
        layers, old_layers=old_layers, packed=packed, old_shape=old_shape, double=double
    )
    weights = read_caffemodel(write(tmp_path / "net.caffemodel", content))
    assert list(weights) == list(layers)  # the layer without blobs is none
    for name, (kernel, *bias) in layers.items():
        np.testing.assert_array_equal(weights[name][0], np.moveaxis(kernel, (0, 1), (3, 2)))
        for ours, theirs in zip(weights[name][1:], bias, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert all(array.dtype == np.float32 for array in weights[name])


def test_sizes_one_a_field_and_numbers_in_pieces_are_read(tmp_path):
    values = np.arange(6, dtype=np.float32)
    shape = field(7, b"".join(field(1, size) for size in (3, 2, 1, 1)))
    pieces = (
        field(5, values[:2].tobytes())
        + varint(5 << 3 | 5)
        + values[2:3].tobytes()
        + field(5, values[3:].tobytes())
    )
    layer = field(7, shape + pieces) + field(1, b"conv")  # the name may come last
    layers = read_caffemodel(write(tmp_path / "net.caffemodel", field(100, layer)))
    np.testing.assert_array_equal(layers["conv"][0][0, 0], values.reshape(3, 2).T)


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_cut_anywhere_is_refused_or_lacks_layers(tmp_path, packed):
    layers = {name: arrays for name, arrays in drawn().items() if name != "conv"}
    content = model(layers, packed=packed)
    refused = 0
    for length in range(len(content)):
        path = write(tmp_path / "cut.caffemodel", content[:length])
        try:
            assert len(read_caffemodel(path)) < len(layers)
        except InputError:
            refused += 1
    assert refused > len(content) - 4  # all but the ends of layers


def test_flipped_bits_never_end_in_another_exception(tmp_path):
    content = bytearray(model({"one": drawn()["one"]}))
    for bit in range(8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(InputError):
            read_caffemodel(write(tmp_path / "net.caffemodel", content))
        content[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found no layer with weights"),
        (
            b"<!DOCTYPE html><html><body>Not Found</body></html>",
            "expected a whole Caffe model.*fetch it again",
        ),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "expected a whole Caffe model.*fetch it again"),
        (model({}), "found no layer with weights"),
        (model({"a": [np.ones((1, 1, 1, 1))]}) * 2, "layer `a`: expected once, found twice"),
        (
            model({"a": [np.full((2, 1, 1, 1), np.nan)]}),
            "layer `a`: blob 0: expected finite numbers, found 2",
        ),
        (
            field(100, field(1, b"a") + field(7, blob(np.ones((2, 1, 1, 1))) + field(5, bytes(8)))),
            r"layer `a`: blob 0: expected 2 numbers for its shape \(2, 1, 1, 1\), found 4",
        ),
        (
            field(100, field(1, b"a") + field(7, field(7, field(1, 0) + field(1, 2**62)))),
            "layer `a`: expected blobs with a shape",
        ),
        (model({"a\n": [np.ones(1)]}) * 2, r"layer `a\?`: expected once"),
        (
            field(100, field(1, b"a") + field(7, field(5, bytes(7)))),
            "7 bytes in a blob of layer `a`",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, words):
    path = write(tmp_path / "net.caffemodel", content)
    with pytest.raises(InputError, match=rf"net\.caffemodel: .*{words}"):
        read_caffemodel(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no\.caffemodel: no such weights file"):
        read_caffemodel(tmp_path / "no.caffemodel")
