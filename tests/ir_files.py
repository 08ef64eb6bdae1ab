"""OpenVINO IRs of `mobilenet`, as its converter wrote human-pose-estimation-0001."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

import keras
import numpy as np

# `compressed`: float16 constants that are converted, as OpenVINO saves float32 networks by default.
KINDS = ("f32", "f16", "compressed", "i8")
NUMPY = {"f32": "<f4", "f16": "<f2", "i8": "<i1", "i64": "<i8"}
PORT = {"f32": "FP32", "f16": "FP16", "i8": "I8", "i64": "I64"}
STAGE1 = re.compile(r"Mconv(\d)_stage1_(L\d)")
SUB_LAYER = re.compile(r"_(dw\d?|sep|sq|3x3(?:_2)?|1x1|al|red|inc)(?=_|$)")


def name_in_ir(name: str) -> str:
    """Mconv2_stage1_L1 -> conv5_2_CPM_L1; conv4_3_CPM_dw1_1x1 -> conv4_3_CPM/dw1/1x1."""
    name = STAGE1.sub(r"conv5_\1_CPM_\2", name)
    return SUB_LAYER.sub(lambda match: "/" + match[1].replace("_", "/"), name)


class IrWriter:
    """The layers, edges and numbers of one IR."""

    def __init__(self, kind: str) -> None:
        self.kind, self.numbers, self.edges = kind, b"", []
        self.real = "f16" if kind in ("f16", "i8") else "f32"  # type of what is computed
        self.layers = Element("layers")

    def node(
        self,
        name: str,
        kind: str,
        inputs=(),
        *,
        element: str | None = None,
        outputs: int = 1,
        **data,
    ) -> str:
        """Add a layer; returns its id."""
        number = str(len(self.layers))
        layer = SubElement(self.layers, "layer", id=number, name=name, type=kind, version="opset1")
        if data:
            SubElement(layer, "data", {key: str(value) for key, value in data.items()})
        if inputs:
            ports = SubElement(layer, "input")
            for port, source in enumerate(inputs):
                SubElement(ports, "port", id=str(port))
                from_port = str(len(self.layers[int(source)].findall("input/port")))
                self.edges.append(
                    {
                        "from-layer": source,
                        "from-port": from_port,
                        "to-layer": number,
                        "to-port": str(port),
                    }
                )
        if outputs:
            SubElement(
                SubElement(layer, "output"),
                "port",
                id=str(len(inputs)),
                precision=PORT[element or self.real],
            )
        return number

    def constant(self, array: np.ndarray, element: str) -> str:
        """A Const layer."""
        content = np.asarray(array).astype(NUMPY[element]).tobytes()
        shape = ",".join(map(str, np.shape(array)))
        place = {"shape": shape, "offset": len(self.numbers), "size": len(content)}
        self.numbers += content
        name = f"constant{len(self.layers)}"
        return self.node(name, "Const", element=element, element_type=element, **place)

    def weight(self, array: np.ndarray) -> str:
        """Numbers in the type of this file, brought to the type of what is computed."""
        if self.kind == "compressed":
            return self.node(
                "decompressed", "Convert", [self.constant(array, "f16")], destination_type="f32"
            )
        return self.constant(array, self.real)

    def kernel(self, array: np.ndarray) -> str:
        """A kernel [out, in, height, width]; in 8 bits with scale and zero point a channel."""
        if self.kind != "i8":
            return self.weight(array)
        whole, zero, scale = quantised(array)
        converted = self.node(
            "to_f16", "Convert", [self.constant(whole, "i8")], destination_type="f16"
        )
        shifted = self.node("minus_zp", "Subtract", [converted, self.constant(zero, "f16")])
        return self.node("by_scale", "Multiply", [shifted, self.constant(scale, "f16")])

    def convolution(self, layer: keras.Layer, source: str, *, padded: bool) -> str:
        """A convolution, its bias and its activation."""
        kernel, bias = layer.get_weights()
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        dilation = layer.dilation_rate[0]
        pad = dilation if kernel.shape[0] == 3 else 0
        geometry = {"strides": layer.strides, "dilations": layer.dilation_rate}
        geometry |= {"pads_begin": (pad, pad), "pads_end": (pad, pad)}
        data = {key: f"{pair[0]},{pair[1]}" for key, pair in geometry.items()} | {
            "auto_pad": "explicit"
        }
        assert padded == (layer.padding == "valid" and kernel.shape[0] == 3)
        weights = self.kernel(
            kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
        )
        name = name_in_ir(layer.name)
        if depthwise:
            shape = self.constant(np.array([kernel.shape[2], 1, 1, 3, 3]), "i64")
            weights = self.node("grouped", "Reshape", [weights, shape], special_zero="true")
            x = self.node(name, "GroupConvolution", [source, weights], **data)
        else:
            x = self.node(f"{name}/WithoutBiases", "Convolution", [source, weights], **data)
        x = self.node(
            f"{name}/bias",
            "Add",
            [x, self.weight(bias[None, :, None, None])],
            auto_broadcast="numpy",
        )
        activation = {"relu": ("ReLU", {}), "elu": ("Elu", {"alpha": 1.0}), "linear": None}[
            layer.activation.__name__
        ]
        return (
            self.node(f"{name}/activation", activation[0], [x], **activation[1])
            if activation
            else x
        )

    def save(self, path: Path) -> None:
        """Write `path` (.xml) and the .bin beside it."""
        net = Element("net", name="mobilenet", version="10")
        net.append(self.layers)
        edges = SubElement(net, "edges")
        for edge in self.edges:
            SubElement(edges, "edge", edge)
        ElementTree(net).write(path, encoding="unicode", xml_declaration=True)
        path.with_suffix(".bin").write_bytes(self.numbers)


def quantised(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(int8 numbers, zero points, scales): (numbers - zero) * scale is nearly the kernel."""
    low, high = kernel.min(axis=(1, 2, 3), keepdims=True), kernel.max(axis=(1, 2, 3), keepdims=True)
    scale = np.float16((high - low) / 255).astype(np.float32)
    zero = np.round(-128 - low / scale)
    return np.clip(np.round(kernel / scale + zero), -128, 127), zero, scale


def write_ir(model: keras.Model, path: Path, kind: str = "f32", *, scale: float = 1 / 255) -> None:
    """Write `mobilenet` as an IR of images [1, 3, 64, 96]; outputs are those of the last stage."""
    writer, node_ids, padded = IrWriter(kind), {}, set()
    for layer in model.layers:
        sources = [tensor._keras_history.operation.name for tensor in _inputs(layer)]
        inputs = [node_ids[name] for name in sources]
        if isinstance(layer, keras.layers.InputLayer):
            x = writer.node("data", "Parameter", element_type=writer.real, shape="1,3,64,96")
        elif isinstance(layer, keras.layers.Rescaling):
            x = writer.node(
                "scale", "Multiply", [*inputs, writer.weight(np.full((1, 1, 1, 1), scale))]
            )
            x = writer.node("mean", "Add", [x, writer.weight(np.full((1, 3, 1, 1), -128 / 255))])
        elif isinstance(layer, keras.layers.ZeroPadding2D):
            x = inputs[0]
            padded.add(layer.name)
        elif isinstance(layer, keras.layers.Add):
            x = writer.node(layer.name, "Add", inputs)
        elif isinstance(layer, keras.layers.Concatenate):
            x = writer.node(layer.name, "Concat", inputs, axis=1)
        else:
            x = writer.convolution(layer, inputs[0], padded=sources[0] in padded)
        node_ids[layer.name] = x
    for name in model.output_names[-2:]:
        writer.node(f"{name}/result", "Result", [node_ids[name]], outputs=0)
    writer.save(path)


def _inputs(layer: keras.Layer) -> list:
    if isinstance(layer, keras.layers.InputLayer):
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]
