"""Weights by layer name: read from all Keras layouts, from Caffe and from OpenVINO; written so that
equal weights are equal bytes.
"""

from pathlib import Path

import h5py
import keras
import numpy as np

from stages.openpose.errors import InputError, damage_refused
from stages.openpose.files import refuse_disguise, whole_file
from stages.openpose.network.architecture import INPUT_SCALING, VGG_LAYERS, build
from stages.openpose.network.caffemodel import read_caffemodel
from stages.openpose.network.forward import OPENVINO_SUFFIX
from stages.openpose.network.openvino_ir import read_openvino_ir
from stages.openpose.skeleton import COCO, Skeleton

# Layer of keras.applications' VGG19 -> ours: block3_conv2 is conv3_2.
VGG19_NAMES = {f"block{name[4]}_conv{name[6]}": name for name in VGG_LAYERS}
# Names that older files of the same network give its first stage.
STAGE1_ALIASES = {
    f"conv5_{i}_CPM_L{branch}": f"Mconv{i}_stage1_L{branch}"
    for i in range(1, 6)
    for branch in (1, 2)
}
ALIASES = VGG19_NAMES | STAGE1_ALIASES
CAFFE_SUFFIX = ".caffemodel"
SCALING_TOLERANCE = 1e-3  # relative; float16 has 3 digits


def read_layers(path: Path | str) -> dict[str, list[np.ndarray]]:
    """Arrays of each layer by its name, in the layer's own order (kernel, bias ...), aliases
    resolved.

    Read are Keras 3 `.weights.h5` files, `.h5` files of Keras 1 and 2 (weights alone or a whole
    model; the reference network's, VGG19 ImageNet's), whose layouts differ, `.caffemodel` files,
    and OpenVINO IRs (`.xml`) of `mobilenet`.

    Raises:
        InputError: missing file, none of these formats, no layer in it, or an IR that scales its
            input in another way.
    """
    refuse_disguise(path)
    if Path(path).suffix == CAFFE_SUFFIX:
        return _ours(read_caffemodel(path))
    if Path(path).suffix == OPENVINO_SUFFIX:
        return _ours(_openvino_layers(path))
    try:
        expected = "an HDF5 file of Keras weights"
        with damage_refused(path, expected, "fetch it again"), h5py.File(path) as file:
            root = file.get("model_weights", file)
            layers = _legacy_layers(root) if "layer_names" in root.attrs else _keras3_layers(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such weights file") from None
    except OSError as problem:
        raise InputError(f"{path}: expected an HDF5 file of Keras weights, but {problem}") from None
    if not layers:
        raise InputError(
            f"{path}: expected an HDF5 file of Keras weights, found no layer with weights in it"
        )
    for name, arrays in layers.items():
        for array in arrays:
            if getattr(array, "dtype", np.dtype(object)).kind != "f":
                kind = getattr(array, "dtype", type(array).__name__)
                raise InputError(f"{path}: layer `{name}`: expected numbers, found {kind}")
            if not np.isfinite(array).all():
                raise InputError(f"{path}: layer `{name}`: numbers that are not finite")
    return _ours(layers)


def _ours(layers: dict[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    return {ALIASES.get(name, name): arrays for name, arrays in layers.items()}


def _openvino_layers(path: Path | str) -> dict[str, list[np.ndarray]]:
    ir = read_openvino_ir(path)
    scale, offset = INPUT_SCALING["mobilenet"]
    pairs = {"scale": (ir.scale, scale), "offset": (ir.offset, offset)}
    for name, (theirs, ours) in pairs.items():
        if not np.allclose(theirs, ours, rtol=SCALING_TOLERANCE):
            raise InputError(
                f"{path}: expected a network that sees image * scale + offset with {name} "
                f"{ours:.5f}, as `mobilenet` does, found {name} {theirs.tolist()}"
            )
    return ir.layers


def _legacy_layers(root: h5py.Group) -> dict[str, list[np.ndarray]]:
    groups = {_text(name): root[_text(name)] for name in root.attrs["layer_names"]}
    layers = {
        name: [g[_text(w)][()] for w in g.attrs.get("weight_names", ())]
        for name, g in groups.items()
    }
    return {name: arrays for name, arrays in layers.items() if arrays}


def _keras3_layers(file: h5py.File) -> dict[str, list[np.ndarray]]:
    layers = {}

    def visit(_: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Group) and "name" in node.attrs and len(node):
            layers[_text(node.attrs["name"])] = [node[key][()] for key in sorted(node, key=int)]

    file.visititems(visit)
    return layers


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def load_weights(model: keras.Model, path: Path | str) -> None:
    """Give every layer of `model` the weights of the layer of that name in `path`.

    Raises:
        InputError: a layer is missing in the file, or has other shapes there.
    """
    _set_layers(model, read_layers(path), path)


def save_half(model: keras.Model, path: Path | str) -> None:
    """Write the weights in float16, half the size; `load_weights` reads them.

    Weights are rounded to 3 digits. Equal weights are equal bytes.
    """
    with whole_file(path) as part, h5py.File(part, "w") as file:
        for layer in _layers(model):
            group = file.create_group(f"layers/{layer.name}", track_order=False)
            group.attrs["name"] = layer.name
            for number, array in enumerate(layer.get_weights()):
                group.create_dataset(str(number), data=array.astype(np.float16), track_times=False)


def convert_weights(path: Path | str, network: str, target: Path | str) -> None:
    """Write somebody else's weights of `network` as Keras weights.

    OpenPose's COCO model (`.caffemodel`) is `full`, human-pose-estimation-0001 (OpenVINO's `.xml`)
    is `mobilenet`. Only kernels are turned: colours (BGR), scaling of the image, and order of the
    maps (branch L1 PAFs, L2 heatmaps, channels as in skeleton.py) are those of our networks already
    (docs/sources.md 1, 2).

    Raises:
        InputError: a layer is missing, has other shapes, or does not belong to `network`; whatever
            read_layers raises.
    """
    layers = read_layers(path)
    model = build(network)
    _set_layers(model, layers, path)
    extra = layers.keys() - {layer.name for layer in _layers(model)}
    if extra:
        raise InputError(
            f"{path}: not weights of network `{network}`: expected {len(layers) - len(extra)} "
            f"layers, found {len(extra)} more: {', '.join(sorted(extra)[:4])}"
        )
    model.save_weights(target)


def _set_layers(model: keras.Model, layers: dict[str, list[np.ndarray]], path: Path | str) -> None:
    for layer in _layers(model):
        problem = _mismatch(layer, layers)
        if problem:
            raise InputError(f"{path}: not weights of network `{model.name}`: {problem}")
    for layer in _layers(model):
        layer.set_weights(layers[layer.name])


def initialise(
    model: keras.Model, path: Path | str, ours: Skeleton = COCO, theirs: Skeleton = COCO
) -> list[str]:
    """Start `model` from the layers of `path` that fit by name and shape; return the names of those
    left random.

    VGG19's ImageNet weights fill the front of `full`. A network trained for another body fills all
    but the layers that make or read maps; of those the channels of parts and limbs that both bodies
    have by name.

    Args:
        ours: the body of `model`. theirs: that of the file.

    Raises:
        InputError: no layer fits.
    """
    layers = read_layers(path)
    if ours != theirs:
        layers |= _of_another_body(model, layers, ours, theirs)
    problems = {layer.name: _mismatch(layer, layers) for layer in _layers(model)}
    if all(problems.values()):
        raise InputError(
            f"{path}: no layer fits network `{model.name}`: {next(iter(problems.values()))}"
        )
    for layer in _layers(model):
        if not problems[layer.name]:
            layer.set_weights(layers[layer.name])
    return [name for name, problem in problems.items() if problem]


def _of_another_body(
    model: keras.Model, layers: dict[str, list[np.ndarray]], ours: Skeleton, theirs: Skeleton
) -> dict[str, list[np.ndarray]]:
    """The layers that make or read maps, with the channels that both bodies have; the rest of them
    is as the model starts.
    """
    pafs, heatmaps = shared_channels(ours, theirs)
    behind = heatmaps + np.array([ours.paf_channels, theirs.paf_channels, 0])
    joined = np.concatenate([pafs, behind])
    channels_of = dict(zip(model.output_names, [pafs, heatmaps] * len(model.outputs), strict=False))
    sizes = [body.paf_channels + body.heatmap_channels for body in (ours, theirs)]
    result = {}
    for layer in _layers(model):
        reads_maps = isinstance(layer.input._keras_history.operation, keras.layers.Concatenate)
        if layer.name not in layers or not (reads_maps or layer.name in channels_of):
            continue
        kernel, *rest = layer.get_weights()
        old_kernel, *old_rest = layers[layer.name]
        if reads_maps:
            our, their, signs = joined.T
            kernel[:, :, our] = old_kernel[:, :, their] * signs[:, None]
            kernel[:, :, sizes[0] :] = old_kernel[:, :, sizes[1] :]
            rest = old_rest
        else:
            our, their, signs = channels_of[layer.name].T
            kernel[..., our] = old_kernel[..., their] * signs
            rest[0][our] = old_rest[0][their] * signs
        result[layer.name] = [kernel, *rest]
    return result


def shared_channels(ours: Skeleton, theirs: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Channels of PAFs and of heatmaps that two bodies have in common: int64 [n, 3] each of (ours,
    theirs, sign); a limb that runs the other way has sign -1.
    """
    limbs = [
        {(b.parts[i], b.parts[j]): n for n, (i, j) in enumerate(b.limbs)} for b in (ours, theirs)
    ]
    pafs = [
        (2 * here + axis, 2 * limbs[1][name] + axis, sign)
        for ends, here in limbs[0].items()
        for name, sign in ((ends, 1), (ends[::-1], -1))
        if name in limbs[1]
        for axis in (0, 1)
    ]
    heatmaps = [
        (here, theirs.parts.index(name), 1)
        for here, name in enumerate(ours.parts)
        if name in theirs.parts
    ]
    heatmaps.append((len(ours.parts), len(theirs.parts), 1))  # background
    return np.array(pafs, np.int64).reshape(-1, 3), np.array(heatmaps, np.int64)


def _layers(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if layer.weights]


def _mismatch(layer: keras.Layer, layers: dict[str, list[np.ndarray]]) -> str:
    if layer.name not in layers:
        return (
            f"layer `{layer.name}` is not in the file, which has {', '.join(list(layers)[:4])} ..."
        )
    expected = [tuple(weight.shape) for weight in layer.weights]
    shapes = [array.shape for array in layers[layer.name]]
    return (
        ""
        if shapes == expected
        else f"layer `{layer.name}` has shapes {shapes}, expected {expected}"
    )
