"""A trained network as one plain function: images in, maps out. Whatever trained it and whatever
runs it.

A model is a folder with `model.yaml`, which says what it holds:

    kind: keras                 network: light | full | mobilenet      file: weights.weights.h5
    kind: openvino | onnx       file: name.xml | name.onnx   (an .xml has its .bin beside it)
        layout: NCHW | NHWC     of the input and of the outputs
        colour: BGR | RGB       channel order of the input
        mean, scale             the network gets (x - mean) / scale; a number, or one a channel in
                                the order of `colour`
        heatmaps, pafs          names of the two outputs, both at a stride of 8 pixels
        heatmap_channels        part names and `background` in the network's order; default: that
                                of docs/sources.md 1
        paf_channels            limbs [from, to] by part names in the network's order, two channels
                                (x, y) each; a limb named the other way round has its direction
                                turned; default: that of docs/sources.md 1
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stages.openpose.errors import InputError, damage_refused
from stages.openpose.network.backend import load_quietly
from stages.openpose.network.precision import precision_here
from stages.openpose.plain_yaml import parse_yaml
from stages.openpose.skeleton import COCO, Skeleton, check_whole, from_dict, to_dict
from stages.openpose.threads import asked_threads

# uint8 BGR [B, H, W, 3], H and W multiples of 8
# -> heatmaps float32 [B, h, w, parts + 1], pafs float32 [B, h, w, 2 limbs]; 19 and 38 of COCO
Forward = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

KERAS_WEIGHTS = "weights.weights.h5"
OPENVINO_SUFFIX = ".xml"  # its numbers lie beside it, in a .bin
OPENVINO_CHOICES = {"layout": ("NCHW", "NHWC"), "colour": ("BGR", "RGB")}
OPENVINO_DEFAULTS = {"layout": "NCHW", "colour": "BGR", "mean": 0.0, "scale": 1.0}


def load_forward(model_folder: Path | str, precision: str = "float32") -> Forward:
    """The network of a model folder as a function of images. InputError says what is missing or
    does not fit.

    `precision` ("auto", "float32" or "mixed_bfloat16") is for Keras networks; files of other kinds
    have their own.
    """
    folder = Path(model_folder)
    model = read_model(folder)
    if model["kind"] == "keras":
        weights = folder / model["file"]
        return keras_forward(weights, model["network"], precision, skeleton_of(model))
    return openvino_forward(folder / model["file"], model, skeleton_of(model))


def skeleton_of(model: dict[str, Any]) -> Skeleton:
    """The body that a model of `read_model` finds: COCO's where it names none."""
    with damage_refused("model.yaml: `skeleton`", "a body", "fetch or make the model again"):
        skeleton = from_dict(model.get("skeleton"))
        check_whole(skeleton)
    return skeleton


def described_skeleton(skeleton: Skeleton) -> dict[str, Any]:
    """What model.yaml must say of the body: nothing of COCO's."""
    return {} if skeleton == COCO else {"skeleton": to_dict(skeleton)}


def brought_folder(name: str, weights: Path | None, key: str) -> Path:
    """The model folder of a network that stage download brought by its name.

    Args:
        weights: the folder that download.weights fills, data/<name>/weights.
        key: the setting that names the network, for the error.
    """
    if weights is None or not (weights / name / "model.yaml").is_file():
        raise InputError(
            f"`{key}`: {name}: no such model in {weights or 'the folder --weights'}; add the "
            "name to `download.weights` (names: python -m stages.models list)"
        )
    return weights / name


def read_model(folder: Path) -> dict[str, Any]:
    """The content of `folder`/model.yaml, its kind and its file checked."""
    described = folder / "model.yaml"
    try:
        with damage_refused(described, "the description of a model", "fetch or make it again"):
            model = parse_yaml(described.read_text(encoding="utf-8"), str(described))
    except FileNotFoundError:
        raise InputError(
            f"{described}: no such file; expected the folder of a trained or imported model"
        ) from None
    except NotADirectoryError:
        raise InputError(
            f"{folder}: is a file; expected the folder of a model, which holds its model.yaml"
        ) from None
    kind = model.get("kind") if isinstance(model, dict) else None
    needed = {
        "keras": ("network",),
        "openvino": ("file", "heatmaps", "pafs"),
        "onnx": ("file", "heatmaps", "pafs"),
    }
    if not isinstance(kind, str) or kind not in needed:
        raise InputError(
            f"{described}: `kind`: expected one of {', '.join(needed)}, found {kind!r}"
        )
    missing = [key for key in needed[kind] if key not in model]
    if missing:
        raise InputError(
            f"{described}: a model of kind {kind} needs {', '.join(needed[kind])}; missing "
            f"{missing}"
        )
    model.setdefault("file", KERAS_WEIGHTS)
    for key in ("file", *needed[kind]):
        if not isinstance(model[key], str):
            raise InputError(f"{described}: `{key}`: expected text, found {model[key]!r}")
    if not model["file"].isprintable():
        raise InputError(f"{described}: `file`: expected a file's name, found {model['file']!r}")
    for key, choices in OPENVINO_CHOICES.items():
        if model.get(key, choices[0]) not in choices:
            raise InputError(
                f"{described}: `{key}`: expected {' or '.join(choices)}, found {model[key]!r}"
            )
    if not (folder / model["file"]).is_file():
        raise InputError(f"{folder / model['file']}: no such file, though {described} names it")
    return model


def model_files(model_folder: Path | str) -> list[Path]:
    """The files that a model folder's network is made of: model.yaml first."""
    folder = Path(model_folder)
    file = folder / read_model(folder)["file"]
    return [
        folder / "model.yaml",
        file,
        *([file.with_suffix(".bin")] if file.suffix == ".xml" else []),
    ]


def keras_forward(
    weights: Path, network: str, precision: str = "float32", skeleton: Skeleton = COCO
) -> Forward:
    """A network of ours with weights from a file, on the Keras backend of the environment
    (KERAS_BACKEND).
    """
    load_quietly()
    # here, because the backend is chosen by then
    from stages.openpose.network.architecture import (
        build,
    )
    from stages.openpose.network.weights import load_weights

    whole = build(network, skeleton=skeleton, precision=precision_here(precision)[0])
    load_weights(whole, weights)
    return network_forward(whole)


def network_forward(whole: Any) -> Forward:
    """A Keras model of ours, with the weights that it has whenever it is called."""
    import keras  # here, because other kinds do not need it

    from stages.openpose.network.architecture import inference_outputs

    model = keras.Model(whole.input, list(inference_outputs(whole)))

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pafs, heatmaps = model.predict_on_batch(batch)
        return np.asarray(heatmaps, np.float32), np.asarray(pafs, np.float32)

    return forward


def openvino_forward(file: Path, model: dict[str, Any], skeleton: Skeleton = COCO) -> Forward:
    """An OpenVINO IR or ONNX file, compiled once for images of any size.

    float32 is asked for, because OpenVINO would use bfloat16 where the processor has it: other
    machines, other results. Threads: INFERENCE_NUM_THREADS or OMP_NUM_THREADS of the environment.
    """
    model = OPENVINO_DEFAULTS | model
    compiled = _compile(file, model["layout"])
    names = {name for output in compiled.outputs for name in output.names}
    for key in ("heatmaps", "pafs"):
        if model[key] not in names:
            raise InputError(
                f"{file}: no output `{model[key]}` (setting `{key}`); it has "
                f"{', '.join(sorted(names))}"
            )
    heatmap_channels, (paf_channels, paf_signs) = (
        heatmap_order(model, skeleton),
        paf_order(model, skeleton),
    )
    with damage_refused(file, "a `mean` and a `scale` that are numbers", "correct model.yaml"):
        mean, scale = (np.asarray(model[key], np.float32) for key in ("mean", "scale"))
        np.broadcast_shapes(mean.shape, scale.shape, (3,))

    def forward(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        coloured = batch if model["colour"] == "BGR" else batch[..., ::-1]
        values = (coloured - mean) / scale
        planar = model["layout"] == "NCHW"
        results = compiled(np.ascontiguousarray(values.transpose(0, 3, 1, 2) if planar else values))
        heatmaps, pafs = (results[model[key]] for key in ("heatmaps", "pafs"))
        if planar:
            heatmaps, pafs = heatmaps.transpose(0, 2, 3, 1), pafs.transpose(0, 2, 3, 1)
        _check_shapes(file, batch.shape, heatmaps, pafs, skeleton)
        return heatmaps[..., heatmap_channels], pafs[..., paf_channels] * paf_signs

    return forward


def _compile(file: Path, layout: str) -> Any:
    try:
        import openvino
    except ImportError:
        raise InputError(
            f"{file}: needs OpenVINO, which is not installed; install envs/requirements-extras.lock"
        ) from None
    core = openvino.Core()
    try:
        network = core.read_model(file)
        network.reshape([-1, 3, -1, -1] if layout == "NCHW" else [-1, -1, -1, 3])
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads := os.environ.get("INFERENCE_NUM_THREADS") or asked_threads():
            options["INFERENCE_NUM_THREADS"] = threads
        return core.compile_model(network, "CPU", options)
    except RuntimeError as problem:
        raise InputError(
            f"{file}: OpenVINO cannot load it: {' '.join(str(problem).split())[:300]}"
        ) from None


def _check_shapes(
    file: Path, inputs: tuple[int, ...], heatmaps: np.ndarray, pafs: np.ndarray, skeleton: Skeleton
) -> None:
    grid = (inputs[0], inputs[1] // 8, inputs[2] // 8)
    for name, maps, channels in (
        ("heatmaps", heatmaps, skeleton.heatmap_channels),
        ("pafs", pafs, skeleton.paf_channels),
    ):
        if maps.shape != (*grid, channels):
            raise InputError(
                f"{file}: {name} of images {inputs[1]} x {inputs[2]}: expected [B, h, w, C] "
                f"{(*grid, channels)}, found {maps.shape}; check `layout`, `heatmaps` and `pafs` "
                f"of the model"
            )


def heatmap_order(model: dict[str, Any], skeleton: Skeleton = COCO) -> list[int]:
    """For each of our heatmaps the channel of the network's, by `heatmap_channels` of the model."""
    ours = [*skeleton.parts, "background"]
    theirs = model.get("heatmap_channels") or ours
    if sorted(map(repr, theirs if isinstance(theirs, list) else ())) != sorted(map(repr, ours)):
        raise InputError(
            f"`heatmap_channels`: expected each of {', '.join(ours)} once, found {theirs}"
        )
    return [theirs.index(name) for name in ours]


def paf_order(model: dict[str, Any], skeleton: Skeleton = COCO) -> tuple[list[int], np.ndarray]:
    """For each of our PAF channels the channel of the network's and its sign, by `paf_channels` of
    the model.
    """
    ours = [(skeleton.parts[a], skeleton.parts[b]) for a, b in skeleton.limbs]
    listed = model.get("paf_channels") or ours
    theirs = [tuple(limb) if isinstance(limb, list | tuple) else (limb,) for limb in listed]
    ends = [[sorted(map(repr, limb)) for limb in limbs] for limbs in (theirs, ours)]
    if sorted(ends[0]) != sorted(ends[1]):
        raise InputError(
            f"`paf_channels`: expected each of {ours} once (either way round), found "
            f"{str(theirs)[:300]}"
        )
    channels, signs = [], []
    for limb in ours:
        is_turned = limb not in theirs
        channel_pair = theirs.index(limb[::-1] if is_turned else limb)
        channels += [2 * channel_pair, 2 * channel_pair + 1]
        signs += [-1.0 if is_turned else 1.0] * 2
    return channels, np.array(signs, np.float32)
