"""The networks: the reference's VGG19 + six CPM stages (`full`), a light one of the same family
(`light`), and that of Lightweight OpenPose (`mobilenet`, in mobilenet.py).

All take BGR images [B, H, W, 3] with values 0..255 (uint8 or float; H and W multiples of 8) and
give a list [pafs of stage 1, heatmaps of stage 1, pafs of stage 2, ...], each float32 [B, H / 8, W
/ 8, 38 or 19] for COCO's body. Sources: docs/sources.md 2; CVPR 2017 (arXiv:1611.08050) for the
stages; weight standardisation after arXiv:1903.10520 and 2101.08692. Nothing here belongs to one
Keras backend.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial

import keras
from keras import layers, ops

from stages.openpose.errors import InputError
from stages.openpose.network.mobilenet import mobilenet
from stages.openpose.skeleton import COCO, Skeleton

STRIDE_PX = 8
VGG_LAYERS = {
    "conv1_1": 64, "conv1_2": 64,
    "conv2_1": 128, "conv2_2": 128,
    "conv3_1": 256, "conv3_2": 256, "conv3_3": 256, "conv3_4": 256,
    "conv4_1": 512, "conv4_2": 512,
}  # fmt: skip
POOL_AFTER = ("conv1_2", "conv2_2", "conv3_4")
# What a network sees of an image of 0..255: image * scale + offset.
INPUT_SCALING = {
    "light": (1 / 256, -0.5),
    "full": (1 / 256, -0.5),
    "mobilenet": (1 / 255, -128 / 255),
}
REFINEMENT_STAGES = (2, 3, 4, 5, 6)
# A multiple of 32 suits the matrix units of processors (docs/experiments/recipe.md).
LIGHT_WIDTH = 96
# Residual branches start small (arXiv:1901.09321): the network begins shallow and learns faster.
RESIDUAL_GAIN = 0.2
# Keeps signals at unit variance through ReLU: the variance of a rectified unit normal is
# (1 - 1/pi) / 2. The digits are those of the source of arXiv:2101.08692.
RELU_GAIN = 1.7139588594436646


@keras.saving.register_keras_serializable("openpose")
class StandardConv2D(layers.Layer):
    """Convolution with a kernel standardised per output channel, then ReLU: the light network's
    normalised layer.

    kernel used = gain * (kernel - mean) / (std * sqrt(fan in)). Unlike batch normalisation it costs
    nothing per pixel (docs/experiments/recipe.md), does not depend on the batch, and is the same in
    training and use. ReLU is scaled so that signals keep unit variance.
    """

    def __init__(
        self, filters: int, size: int, strides: int = 1, first_gain: float = 1.0, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.size, self.strides, self.first_gain = filters, size, strides, first_gain
        self._held: keras.KerasTensor | None = None

    def build(self, input_shape: tuple) -> None:
        """Make kernel [size, size, in, out], gain [out] and bias [out]."""
        shape = (self.size, self.size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer="he_normal", name="kernel")
        self.gain = self.add_weight(
            shape=(self.filters,),
            initializer=keras.initializers.Constant(self.first_gain),
            name="gain",
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def standard_kernel(self) -> keras.KerasTensor:
        """The kernel that is convolved with, float32 [size, size, in, out]."""
        kernel = ops.convert_to_tensor(self.kernel, dtype="float32")
        fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
        centred = kernel - ops.mean(kernel, axis=(0, 1, 2))
        # 1e-4 keeps a constant kernel, whose variance is zero, from dividing by zero
        scale = ops.rsqrt(ops.mean(ops.square(centred), axis=(0, 1, 2)) * fan_in + 1e-4)
        return centred * (scale * ops.convert_to_tensor(self.gain, dtype="float32") * RELU_GAIN)

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """[B, H, W, in] -> [B, ceil(H / strides), ceil(W / strides), out]."""
        kernel = self._cast_kernel() if self._held is None else self._held
        outputs = ops.conv(inputs, kernel, strides=self.strides, padding="same")
        return ops.relu(outputs + self.bias)

    def _cast_kernel(self) -> keras.KerasTensor:
        return ops.cast(self.standard_kernel(), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """As `call` says; unknown sizes stay unknown."""
        sides = [side if side is None else -(-side // self.strides) for side in input_shape[1:3]]
        return (input_shape[0], *sides, self.filters)

    def get_config(self) -> dict:
        """What `from_config` needs."""
        own = {name: getattr(self, name) for name in ("filters", "size", "strides", "first_gain")}
        return {**super().get_config(), **own}


@contextmanager
def kernels_held(model: keras.Model) -> Iterator[None]:
    """Within the block every StandardConv2D standardises its kernel once, however often it is
    called.
    """
    standard = [layer for layer in model.layers if isinstance(layer, StandardConv2D)]
    for layer in standard:
        layer._held = layer._cast_kernel()
    try:
        yield
    finally:
        for layer in standard:
            layer._held = None


@keras.saving.register_keras_serializable("openpose")
class UpsampleLike(layers.Layer):
    """Double the size of the first input (nearest neighbour) and cut it to the size of the
    second.
    """

    def call(self, coarse: keras.KerasTensor, fine: keras.KerasTensor) -> keras.KerasTensor:
        """coarse [B, h, w, C], fine [B, H, W, D], H in {2 h, 2 h - 1} -> [B, H, W, C]."""
        height, width = ops.shape(fine)[1], ops.shape(fine)[2]
        batch, channels = ops.shape(coarse)[0], coarse.shape[3]
        if None in coarse.shape[1:3]:  # traced for images of any size, where resize wants numbers
            twice = ops.repeat(ops.repeat(coarse, 2, axis=1), 2, axis=2)
        else:
            twice = ops.image.resize(
                coarse, (2 * coarse.shape[1], 2 * coarse.shape[2]), interpolation="nearest"
            )
        return ops.slice(twice, (0, 0, 0, 0), (batch, height, width, channels))

    def compute_output_shape(self, coarse_shape: tuple, fine_shape: tuple) -> tuple:
        """[B, H, W of `fine`, C of `coarse`]."""
        return (*fine_shape[:3], coarse_shape[3])


def build(network: str, *, skeleton: Skeleton = COCO, precision: str = "float32") -> keras.Model:
    """Build a network with random weights.

    Args:
        network: "light", "full" or "mobilenet".
        skeleton: says how many PAF and heatmap channels a stage has.
        precision: Keras dtype policy of all layers, "float32" or "mixed_bfloat16"; outputs are
            always float32.

    Raises:
        InputError: no such network.
    """
    builders: dict[str, Callable] = {
        "light": _light,
        "full": _full,
        "mobilenet": partial(mobilenet, maps=_maps),
    }
    if network not in builders:
        raise InputError(f"network `{network}` does not exist; there are: {', '.join(builders)}")
    channels = (skeleton.paf_channels, skeleton.heatmap_channels)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        # the name stays as it was: models written earlier carry it
        image = keras.Input((None, None, 3), name="picture")
        scaled = layers.Rescaling(*INPUT_SCALING[network], name="scaled")(image)
        return keras.Model(image, builders[network](scaled, channels), name=network)
    finally:
        keras.config.set_dtype_policy(before)


def _full(x: keras.KerasTensor, channels: tuple[int, int]) -> list[keras.KerasTensor]:
    for name, filters in VGG_LAYERS.items():
        x = _conv(x, filters, 3, name)
        if name in POOL_AFTER:
            x = layers.MaxPooling2D(2, name=f"pool{name[4]}")(x)
    features = _conv(_conv(x, 256, 3, "conv4_3_CPM"), 128, 3, "conv4_4_CPM")
    first = [(128, 3)] * 3 + [(512, 1)]
    later = [(128, 7)] * 5 + [(128, 1)]
    last = [_branch(features, first, 1, branch, count) for branch, count in enumerate(channels, 1)]
    outputs = list(last)
    for stage in REFINEMENT_STAGES:
        joined = layers.Concatenate(name=f"stage{stage}_input")([*last, features])
        last = [
            _branch(joined, later, stage, branch, count) for branch, count in enumerate(channels, 1)
        ]
        outputs += last
    return outputs


def _branch(
    x: keras.KerasTensor, widths: list[tuple[int, int]], stage: int, branch: int, count: int
):
    for i, (filters, size) in enumerate(widths, 1):
        x = _conv(x, filters, size, f"Mconv{i}_stage{stage}_L{branch}")
    return _maps(x, count, f"Mconv{len(widths) + 1}_stage{stage}_L{branch}")


def _conv(x: keras.KerasTensor, filters: int, size: int, name: str) -> keras.KerasTensor:
    """Convolution and ReLU, started as the reference starts (docs/sources.md 2)."""
    start = keras.initializers.RandomNormal(stddev=0.01)
    conv = layers.Conv2D(
        filters, size, padding="same", activation="relu", kernel_initializer=start, name=name
    )
    return conv(x)


def _maps(x: keras.KerasTensor, count: int, name: str) -> keras.KerasTensor:
    """Maps of one kind: linear, float32 whatever the precision of the rest (bfloat16 has 3
    digits).
    """
    start = keras.initializers.RandomNormal(stddev=0.01)
    return layers.Conv2D(count, 1, kernel_initializer=start, dtype="float32", name=name)(x)


def _light(x: keras.KerasTensor, channels: tuple[int, int]) -> list[keras.KerasTensor]:
    """Strided stem, residual blocks at strides 8 and 16 (wide view at a quarter of the cost), two
    stages.
    """
    width = LIGHT_WIDTH
    x = _norm_conv(x, 32, 4, "stem1", strides=2)
    x = _norm_conv(x, 64, 3, "stem2", strides=2)
    x = _residual(_norm_conv(x, width, 3, "stem3", strides=2), width, "fine")
    coarse = layers.AveragePooling2D(2, padding="same", name="coarse_pool")(x)
    coarse = _residual(_residual(coarse, width, "coarse1"), width, "coarse2")
    x = layers.Add(name="both_strides")([x, UpsampleLike(name="coarse_up")(coarse, x)])
    features = _norm_conv(x, width, 3, "features")
    last = _heads(_norm_conv(features, 128, 1, "stage1_wide"), channels, 1)
    joined = layers.Concatenate(name="stage2_input")([*last, features])
    x = _norm_conv(joined, width, 1, "stage2_narrow")
    x = _residual(_residual(x, width, "stage2_a"), width, "stage2_b")
    return [*last, *_heads(_norm_conv(x, 128, 1, "stage2_wide"), channels, 2)]


def _heads(x: keras.KerasTensor, channels: tuple[int, int], stage: int) -> list[keras.KerasTensor]:
    return [
        _maps(x, count, f"stage{stage}_{kind}")
        for kind, count in zip(("pafs", "heatmaps"), channels, strict=True)
    ]


def _norm_conv(
    x: keras.KerasTensor, filters: int, size: int, name: str, **options
) -> keras.KerasTensor:
    return StandardConv2D(filters, size, name=name, **options)(x)


def _residual(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    y = _norm_conv(x, filters, 3, f"{name}_1")
    y = StandardConv2D(filters, 3, first_gain=RESIDUAL_GAIN, name=f"{name}_2")(y)
    return layers.Add(name=f"{name}_sum")([x, y])


def inference_outputs(model: keras.Model) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """(pafs [B, h, w, 2 limbs], heatmaps [B, h, w, parts + 1]) of the last stage, out of all
    outputs of a network.
    """
    return model.outputs[-2], model.outputs[-1]


def freeze(model: keras.Model, names: Iterable[str]) -> None:
    """Let layers keep their weights in training: those whose name is among `names` (`*` for any
    letters).

    Raises:
        InputError: no layer has such a name, or none is left to learn.
    """
    with_weights = [layer for layer in model.layers if layer.weights]
    for name in names:
        frozen = [layer for layer in with_weights if fnmatchcase(layer.name, name)]
        if not frozen:
            examples = ", ".join(layer.name for layer in with_weights[:12])
            raise InputError(
                f"parameter `train.freeze`: no layer of network `{model.name}` is called {name}; "
                f"it has {examples} ..."
            )
        for layer in frozen:
            layer.trainable = False
    if not model.trainable_variables:
        raise InputError("parameter `train.freeze`: all layers are frozen, none is left to learn")


def head_kernels(model: keras.Model) -> frozenset[str]:
    """Paths of the kernels whose layers make the maps of a network."""
    return frozenset(model.get_layer(name).kernel.path for name in model.output_names)


def rate_multipliers(model: keras.Model) -> dict[str, float]:
    """Learning-rate multiplier of each weight of `full` by its path, as the reference trained it
    (docs/sources.md 3).

    The layers from VGG and stage 1: kernel 1, bias 2; stages 2 to 6: kernel 4, bias 8.
    """
    later = tuple(f"_stage{stage}_" for stage in REFINEMENT_STAGES)
    return {
        weight.path: (4.0 if any(mark in layer.name for mark in later) else 1.0)
        * (2.0 if weight.name == "bias" else 1.0)
        for layer in model.layers
        for weight in layer.weights
    }
