"""Weights of an OpenVINO IR (`.xml` beside its `.bin`) as arrays, without OpenVINO.

The XML lists layers (operations) and edges between their ports; a `Const` layer says where its
numbers lie in the `.bin`. Kernels and biases are constants or small sums of constants: float32,
float16, or 8-bit numbers with scale and zero point, so these sums are worked out here in float32.
What a file says about the rounding of activations (`FakeQuantize`) is left out: networks of ours
compute in floating point. Format: https://docs.openvino.ai, `Operation Sets in OpenVINO`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from stages.openpose.errors import InputError

OLDEST_VERSION = 10  # of the format; older files keep weights inside their layers
NUMBERS = {
    "f32": "<f4", "f16": "<f2", "i8": "<i1", "u8": "<u1", "i32": "<i4", "i64": "<i8",
}  # fmt: skip
WHOLE = ("i32", "i64")  # shapes; everything else becomes float32
ARITHMETIC = {"Add": np.add, "Subtract": np.subtract, "Multiply": np.multiply, "Divide": np.divide}
CONVOLUTIONS = ("Convolution", "GroupConvolution")
PASSED_THROUGH = ("Convert", "FakeQuantize")  # of the input, before its first convolution


class IrWeights(NamedTuple):
    """What a network of ours needs of an IR: arrays of each layer by its name, and the scaling.

    Kernels are [height, width, in, out], of depthwise convolutions [height, width, channels, 1];
    biases [out]. The first convolution sees image * scale + offset.
    """

    layers: dict[str, list[np.ndarray]]
    scale: np.ndarray
    offset: np.ndarray


@dataclass
class _Node:
    name: str
    kind: str
    data: dict[str, str]
    inputs: list[str] = field(default_factory=list)  # ids, in the order of the ports
    users: list[str] = field(default_factory=list)


class _Graph:
    """The layers of the XML by their ids, and the numbers of the `.bin`."""

    def __init__(self, path: Path, root: Element, numbers: bytes) -> None:
        self.path, self.numbers = path, numbers
        # many layers may share one, which may share one in turn: looked at once
        self.is_constant, self.value = cache(self._is_constant), cache(self._value)
        self.nodes = {
            layer.get("id"): _Node(layer.get("name", ""), layer.get("type", ""), _attributes(layer))
            for layer in root.iterfind("layers/layer")
        }
        edges = [edge.attrib for edge in root.iterfind("edges/edge")]
        for edge in sorted(edges, key=lambda edge: int(edge["to-port"])):
            self.nodes[edge["to-layer"]].inputs.append(edge["from-layer"])
            self.nodes[edge["from-layer"]].users.append(edge["to-layer"])

    def _is_constant(self, node_id: str) -> bool:
        """Whether nothing that reaches this layer depends on the image."""
        node = self.nodes[node_id]
        return node.kind == "Const" or (
            bool(node.inputs) and all(map(self.is_constant, node.inputs))
        )

    def _value(self, node_id: str) -> np.ndarray:
        """The numbers that a constant layer gives, float32 (shapes: int64)."""
        node = self.nodes[node_id]
        if node.kind == "Const":
            return self._constant(node)
        values = [self.value(source) for source in node.inputs]
        if node.kind == "Convert":
            return values[0]
        if node.kind in ARITHMETIC and len(values) == 2:
            if prod(np.broadcast_shapes(*(v.shape for v in values))) > max(v.size for v in values):
                raise InputError(
                    f"{self.path}: layer `{node.name}`: expected constants of one shape, or one "
                    f"that is repeated along the other, found {values[0].shape}, {values[1].shape}"
                )
            return ARITHMETIC[node.kind](*values)
        if node.kind == "Reshape" and len(values) == 2:
            return values[0].reshape(_target_shape(values[0].shape, values[1]))
        raise InputError(
            f"{self.path}: layer `{node.name}`: expected constants made by Convert, Reshape, "
            f"{', '.join(ARITHMETIC)}, found {node.kind}"
        )

    def _constant(self, node: _Node) -> np.ndarray:
        kind = node.data.get("element_type", "")
        if kind not in NUMBERS:
            raise InputError(
                f"{self.path}: layer `{node.name}`: expected numbers of type "
                f"{', '.join(NUMBERS)}, found {kind!r}"
            )
        shape = [int(side) for side in node.data.get("shape", "").split(",") if side.strip()]
        start, size = int(node.data["offset"]), int(node.data["size"])
        if (
            start < 0
            or start + size > len(self.numbers)
            or size != prod(shape) * np.dtype(NUMBERS[kind]).itemsize
        ):
            raise InputError(
                f"{self.path.with_suffix('.bin')}: layer `{node.name}`: expected {size} bytes of "
                f"{kind} {tuple(shape)} from byte {start} on, found {len(self.numbers)} bytes in "
                "all: cut off, or of another .xml"
            )
        array = np.frombuffer(self.numbers, NUMBERS[kind], prod(shape), start).reshape(shape)
        if not np.isfinite(array).all():
            raise InputError(
                f"{self.path.with_suffix('.bin')}: layer `{node.name}`: numbers that are not finite"
            )
        return array.astype(np.int64 if kind in WHOLE else np.float32)


def read_openvino_ir(path: Path | str) -> IrWeights:
    """Kernel and bias of every convolution of an IR, by its name with `_` for `/`, and its scaling.

    Raises:
        InputError: a file is missing, cut off, no IR, or older than version 10; no convolution in
            it; weights made by operations or of a type that this reader does not know.
    """
    path = Path(path)
    try:
        root = _parse(path, path.read_bytes())
        graph = _Graph(path, root, path.with_suffix(".bin").read_bytes())
        layers = dict(_convolutions(graph))
        scale, offset = _input_scaling(graph)
    except FileNotFoundError as problem:
        raise InputError(
            f"{problem.filename}: no such file; an OpenVINO IR is a .xml beside its .bin"
        ) from None
    except InputError:
        raise
    except (KeyError, ValueError, IndexError, RecursionError) as problem:
        what = f"{type(problem).__name__}: {problem}"[:200]
        raise InputError(
            f"{path}: expected an OpenVINO IR, found layers or edges that do not fit ({what})"
        ) from None
    if not layers:
        raise InputError(
            f"{path}: expected an OpenVINO IR of a network, found no convolution in it"
        )
    return IrWeights(layers, scale, offset)


def _parse(path: Path, content: bytes) -> Element:
    """The XML tree. A document type is refused: entities could blow up a small file to any size."""

    def refuse(*_: object) -> None:
        raise InputError(f"{path}: expected an OpenVINO IR, found XML with a document type")

    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as problem:
        raise InputError(
            f"{path}: expected an OpenVINO IR, found no whole XML: {problem}"
        ) from None
    root = builder.close()
    version = root.get("version", "")
    if root.tag != "net" or not version.isdigit() or int(version) < OLDEST_VERSION:
        raise InputError(
            f"{path}: expected <net> of version {OLDEST_VERSION} or later, found <{root.tag}> of "
            f"version {version!r}"
        )
    return root


def _attributes(layer: Element) -> dict[str, str]:
    data = layer.find("data")
    return {} if data is None else dict(data.attrib)


def _target_shape(before: tuple[int, ...], wanted: np.ndarray) -> list[int]:
    """0 keeps a side, as in the opset; -1 is what is left."""
    return [before[axis] if side == 0 else int(side) for axis, side in enumerate(wanted)]


def _convolutions(graph: _Graph) -> Iterator[tuple[str, list[np.ndarray]]]:
    seen = set()
    for node in graph.nodes.values():
        if node.kind not in CONVOLUTIONS:
            continue
        name = node.name.removesuffix("/WithoutBiases").replace("/", "_")
        if name in seen:
            raise InputError(f"{graph.path}: layer `{node.name}`: expected once, found twice")
        seen.add(name)
        yield name, [_kernel(graph, node), _bias(graph, node)]


def _kernel(graph: _Graph, node: _Node) -> np.ndarray:
    """[out, in, height, width], or [groups, 1, 1, height, width], turned to the order of Keras."""
    kernel = graph.value(node.inputs[1])
    if node.kind == "Convolution" and kernel.ndim == 4:
        return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
    if node.kind == "GroupConvolution" and kernel.ndim == 5 and kernel.shape[1:3] == (1, 1):
        return np.ascontiguousarray(kernel[:, 0].transpose(2, 3, 0, 1))
    raise InputError(
        f"{graph.path}: layer `{node.name}`: expected a kernel [out, in, height, width], or of a "
        f"depthwise convolution [groups, 1, 1, height, width], found {kernel.shape}"
    )


def _bias(graph: _Graph, node: _Node) -> np.ndarray:
    """The constant that is added to the result, one number a channel; zeros where there is none."""
    channels = graph.value(node.inputs[1]).shape[0]
    for user in (graph.nodes[user_id] for user_id in node.users):
        constants = [source for source in user.inputs if graph.is_constant(source)]
        if user.kind == "Add" and constants:
            return graph.value(constants[0]).reshape(channels)
    return np.zeros(channels, np.float32)


def _input_scaling(graph: _Graph) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of the image before the first convolution, one number or one a channel."""
    inputs = [node_id for node_id, node in graph.nodes.items() if node.kind == "Parameter"]
    if len(inputs) != 1:
        raise InputError(f"{graph.path}: expected one input, found {len(inputs)}")
    scale, offset, node_id = np.ones(1, np.float32), np.zeros(1, np.float32), inputs[0]
    passed: set[str | None] = set()
    while len(graph.nodes[node_id].users) == 1 and node_id not in passed:
        passed.add(node_id)
        source, node_id = node_id, graph.nodes[node_id].users[0]
        node = graph.nodes[node_id]
        if node.kind in ARITHMETIC and node.inputs[0] == source:
            operand = graph.value(node.inputs[1]).reshape(-1)
            offset = ARITHMETIC[node.kind](offset, operand)
            if node.kind in ("Multiply", "Divide"):
                scale = ARITHMETIC[node.kind](scale, operand)
        elif node.kind not in PASSED_THROUGH:
            break
    return scale, offset
