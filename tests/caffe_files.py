"""Generated Caffe files: weights in every way in which Caffe has written them, and OpenPose's COCO
network as text.

Written from the descriptions of protobuf's wire format and of Caffe's messages, apart from the
reader that is tested.
"""

import struct
from pathlib import Path

import numpy as np

# block, layers, filters; a pooling follows all but the last
VGG = [
    (1, 2, 64),
    (2, 2, 128),
    (3, 4, 256),
    (4, 2, 512),
]


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, content: bytes | int) -> bytes:
    """A field with a whole number or with bytes of a declared length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(
    array: np.ndarray, *, packed: bool = True, old_shape: bool = False, double: bool = False
) -> bytes:
    """A BlobProto; `old_shape` pads to four sizes in front, as old Caffe did."""
    if old_shape:
        sizes = (1,) * (4 - array.ndim) + array.shape
        encoded = b"".join(field(number, size) for number, size in enumerate(sizes, 1))
    else:
        encoded = field(7, field(1, b"".join(map(varint, array.shape))))
    kind, number, wire, letter = ("<f8", 8, 1, "<d") if double else ("<f4", 5, 5, "<f")
    if packed:
        return encoded + field(number, array.astype(kind).tobytes())
    tag = varint(number << 3 | wire)
    return encoded + b"".join(tag + struct.pack(letter, value) for value in array.ravel().tolist())


def model(layers: dict[str, list[np.ndarray]], *, old_layers: bool = False, **options) -> bytes:
    """A NetParameter with a layer without blobs in front, and fields that a reader must pass
    over.
    """
    layer, name, kind, blobs = (2, 4, 5, 6) if old_layers else (100, 1, 2, 7)
    encoded = field(1, b"generated") + field(
        layer, field(name, b"data") + field(5 if old_layers else 10, 5)
    )
    for title, arrays in layers.items():
        inner = field(name, title.encode()) + field(kind, 4 if old_layers else b"Convolution")
        inner += b"".join(field(blobs, blob(array, **options)) for array in arrays)
        encoded += field(layer, inner + varint(99 << 3 | 5) + struct.pack("<f", 1.0))
    return encoded


def openpose_shapes() -> dict[str, tuple[int, int, int]]:
    """(out, in, size) of each layer of OpenPose's COCO network by Caffe's names, in its order
    (docs/sources.md 2).
    """
    shapes, channels = {}, 3
    for block, count, filters in VGG:
        for i in range(1, count + 1):
            shapes[f"conv{block}_{i}"] = (filters, channels, 3)
            channels = filters
    shapes |= {"conv4_3_CPM": (256, 512, 3), "conv4_4_CPM": (128, 256, 3)}
    for branch, maps in ((1, 38), (2, 19)):
        sizes = [(128, 128, 3)] * 3 + [(512, 128, 1), (maps, 512, 1)]
        shapes |= {f"conv5_{i}_CPM_L{branch}": size for i, size in enumerate(sizes, 1)}
    for stage in range(2, 7):
        for branch, maps in ((1, 38), (2, 19)):
            sizes = [(128, 185, 7)] + [(128, 128, 7)] * 4 + [(128, 128, 1), (maps, 128, 1)]
            shapes |= {f"Mconv{i}_stage{stage}_L{branch}": size for i, size in enumerate(sizes, 1)}
    return shapes


def openpose_weights(rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Random weights in Caffe's order; kernels such that signals neither die nor explode."""
    return {
        name: [
            rng.standard_normal((outs, ins, size, size), np.float32)
            * np.float32((2 / (ins * size**2)) ** 0.5),
            rng.standard_normal(outs, np.float32) * np.float32(0.1),
        ]
        for name, (outs, ins, size) in openpose_shapes().items()
    }


def openpose_prototxt(height: int, width: int) -> str:
    """The network as Caffe's text format, for other readers; outputs Mconv7_stage6_L1 and _L2,
    input `image`.
    """
    text = [
        f'name: "generated"\ninput: "image"\ninput_dim: 1 input_dim: 3 input_dim: {height} '
        f"input_dim: {width}"
    ]
    last, features, ends = "image", "conv4_4_CPM", {1: "", 2: ""}
    for name, (outs, _, size) in openpose_shapes().items():
        branch = int(name[-1]) if name[-3:-1] == "_L" else 0
        if name.startswith(("conv5_1_", "Mconv1_")):
            last = features if name.startswith("conv5") else f"joined{name[12]}"
            if name.startswith("Mconv1_") and branch == 1:
                bottoms = " ".join(f'bottom: "{bottom}"' for bottom in (*ends.values(), features))
                text.append(f'layer {{ name: "{last}" type: "Concat" {bottoms} top: "{last}" }}')
        text.append(
            f'layer {{ name: "{name}" type: "Convolution" bottom: "{last}" top: "{name}" '
            f"convolution_param {{ num_output: {outs} pad: {size // 2} kernel_size: {size} }} }}"
        )
        last = name
        if outs in (38, 19):
            ends[branch] = name
            continue
        text.append(f'layer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}')
        if name in ("conv1_2", "conv2_2", "conv3_4"):
            last = f"pool{name[4]}"
            text.append(
                f'layer {{ name: "{last}" type: "Pooling" bottom: "{name}" top: "{last}" '
                "pooling_param { pool: MAX kernel_size: 2 stride: 2 } }"
            )
    return "\n".join(text) + "\n"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
