"""Weights of a Caffe network (`.caffemodel`) as arrays, without Caffe.

The file is one protobuf message, NetParameter. Read are its layers in both encodings: `layer`
(field 100, the layer's name in 1 and its blobs in 7) and `layers` of older files (field 2; name 4,
blobs 6). A blob holds float `data` (5) or `double_data` (8), packed or not, and its `shape` (7) or,
in older files, num, channels, height and width (1 to 4).
Sources: docs/sources.md 2; https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from stages.openpose.errors import InputError, damage_refused

LAYER, LAYER_NAME, LAYER_BLOBS = 100, 1, 7
OLD_LAYER, OLD_NAME, OLD_BLOBS = 2, 4, 6
FIELDS_OF_LAYER = {LAYER: (LAYER_NAME, LAYER_BLOBS), OLD_LAYER: (OLD_NAME, OLD_BLOBS)}
OLD_SHAPE, DATA, SHAPE, DOUBLE_DATA = (1, 2, 3, 4), 5, 7, 8
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
WIDTH = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


class _Damaged(Exception):
    """The bytes are no protobuf message."""


@dataclass
class _Blob:
    shape: list[int] | None = None
    old_shape: dict[int, int] = field(default_factory=dict)
    values: list[np.ndarray] = field(default_factory=list)


def read_caffemodel(path: Path | str) -> dict[str, list[np.ndarray]]:
    """Arrays of each layer that has weights, by its name in the file, in the order of the file.

    Returns:
        {name: [kernel, bias]}, float32. Caffe's kernels [out, in, height, width] come as [height,
        width, in, out], as Keras has them. Everything else keeps its shape, but the leading ones of
        old biases (1, 1, 1, out).

    Raises:
        InputError: no such file; no protobuf, or cut off; no layer with weights; a layer twice; as
            many numbers as its shape does not have; numbers that are not finite.
    """
    path = Path(path)
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such weights file") from None
    layers: dict[str, list[np.ndarray]] = {}
    try:
        for name, blobs in _layers(content):
            if name in layers:
                raise InputError(f"{path}: layer `{name}`: expected once, found twice")
            where = f"{path}: layer `{name}`"
            with damage_refused(where, "blobs with a shape", "fetch it again"):
                layers[name] = [
                    _array(blob, i, f"{where}: blob {i}") for i, blob in enumerate(blobs)
                ]
    except _Damaged as problem:
        raise InputError(
            f"{path}: expected a whole Caffe model (.caffemodel), found {len(content)} bytes of "
            f"which {problem}; "
            "cut off or another file: fetch it again"
        ) from None
    if not layers:
        raise InputError(
            f"{path}: expected a Caffe model (.caffemodel), found no layer with weights in it"
        )
    return layers


def _layers(content: memoryview) -> Iterator[tuple[str, list[_Blob]]]:
    """Name and blobs of every layer that has blobs."""
    for number, wire_type, value in _fields(content, "the model"):
        if number not in FIELDS_OF_LAYER or wire_type != LENGTH:
            continue
        name_field, blobs_field = FIELDS_OF_LAYER[number]
        name, blobs = "", []
        for inner, inner_type, content_of in _fields(value, "a layer"):
            if inner == name_field and inner_type == LENGTH:
                name = "".join(
                    letter if letter.isprintable() else "?"
                    for letter in bytes(content_of).decode(errors="replace")
                )
            elif inner == blobs_field and inner_type == LENGTH:
                blobs.append(_blob(content_of, f"a blob of layer `{name}`"))
        if blobs:
            yield name, blobs


def _blob(content: memoryview, what: str) -> _Blob:
    blob = _Blob()
    for number, wire_type, value in _fields(content, what):
        if number in OLD_SHAPE and wire_type == VARINT:
            blob.old_shape[number] = value
        elif number == SHAPE and wire_type == LENGTH:
            blob.shape = [
                dim
                for field_number, *rest in _fields(value, f"the shape of {what}")
                if field_number == 1
                for dim in _dims(*rest)
            ]
        elif number in (DATA, DOUBLE_DATA) and wire_type != VARINT:
            blob.values.append(_numbers(value, "<f4" if number == DATA else "<f8", what))
    return blob


def _dims(wire_type: int, value: int | memoryview | np.ndarray) -> Iterator[int]:
    """Sizes of a shape, packed (all in one field) or one a field."""
    if wire_type == VARINT:
        yield value
        return
    position, packed = 0, memoryview(value)
    while position < len(packed):
        dim, position = _varint(packed, position, "a shape")
        yield dim


def _numbers(value: memoryview | np.ndarray, kind: str, what: str) -> np.ndarray:
    if len(value) % np.dtype(kind).itemsize:
        raise _Damaged(f"{len(value)} bytes in {what} are no whole number of values")
    return np.frombuffer(value, kind)


def _array(blob: _Blob, index: int, where: str) -> np.ndarray:
    """The blob as float32 array; a kernel (the first blob) in Keras' order."""
    values = np.concatenate(blob.values) if blob.values else np.empty(0, np.float32)
    old = (
        [blob.old_shape.get(number, 1) for number in OLD_SHAPE] if blob.old_shape else [len(values)]
    )
    shape = old if blob.shape is None else blob.shape
    if prod(shape) != len(values):
        raise InputError(
            f"{where}: expected {prod(shape)} numbers for its shape {tuple(shape)}, found "
            f"{len(values)}"
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"{where}: expected finite numbers, found {np.count_nonzero(~np.isfinite(values))} "
            f"others"
        )
    array = values.astype(np.float32, copy=False).reshape(shape)
    if index == 0 and array.ndim == 4:
        return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
    return array.reshape(-1) if array.ndim > 1 and prod(array.shape[:-1]) == 1 else array


def _fields(
    content: memoryview, what: str
) -> Iterator[tuple[int, int, int | memoryview | np.ndarray]]:
    """(field number, wire type, value) of one message.

    The value of a varint is an int, else it is bytes. A run of fixed-size fields of one number
    comes as one value: so are unpacked arrays of millions of numbers read at once.
    """
    position = 0
    while position < len(content):
        start = position
        tag, position = _varint(content, position, what)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            value, position = _varint(content, position, what)
        elif wire_type == LENGTH:
            length, position = _varint(content, position, what)
            if length > len(content) - position:
                raise _Damaged(
                    f"{what} is cut off: {length} bytes expected at its byte {position}, "
                    f"{len(content) - position} left"
                )
            value, position = content[position : position + length], position + length
        elif wire_type in WIDTH:
            value, position = _run(content, start, position, WIDTH[wire_type], what)
        else:
            raise _Damaged(f"{what} has an unknown kind of field, {wire_type}, at its byte {start}")
        if number == 0:
            raise _Damaged(f"{what} has a field of number 0 at its byte {start}")
        yield number, wire_type, value


def _run(
    content: memoryview, start: int, position: int, width: int, what: str
) -> tuple[np.ndarray, int]:
    """Bytes of the fixed-size values from `start` on that have the same tag, and where they end."""
    step = position - start + width
    if start + step > len(content):
        raise _Damaged(
            f"{what} is cut off: {width} bytes expected at its byte {position}, "
            f"{len(content) - position} left"
        )
    whole = (len(content) - start) // step
    table = np.frombuffer(content[start : start + whole * step], np.uint8).reshape(whole, step)
    tags = table[:, : position - start]
    same = (tags == tags[0]).all(axis=1)
    count = whole if same.all() else int(same.argmin())
    return np.ascontiguousarray(table[:count, position - start :]).reshape(-1), start + count * step


def _varint(content: memoryview, position: int, what: str) -> tuple[int, int]:
    """The number that begins at byte `position`, and where it ends: seven bits a byte, the lowest
    first; the eighth says that more follow.
    """
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise _Damaged(f"{what} is cut off inside a number at its byte {position}")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Damaged(f"{what} has a number of more than 10 bytes at its byte {position - 10}")
