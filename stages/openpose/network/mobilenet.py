"""The network of Lightweight OpenPose (arXiv:1811.12004), 4.1 M parameters: `mobilenet`.

MobileNet v1 (arXiv:1704.04861) to conv5_5, at stride 8 because conv4_2 takes no second step and
conv5_1 looks twice as far instead; 1x1 and depthwise convolutions that bring it to 128 channels;
one initial and one refinement stage, whose two branches share all but their last two layers. Layers
bear the names that human-pose-estimation-0001 has in its OpenVINO file, with `_` for `/`, so its
weights fit; those of stage 1 are named as in `full`. Batch normalisations are folded into the
convolutions before them there, and so there are none here: this network is meant to start from
weights, `train.init`.
"""

from collections.abc import Callable

import keras
from keras import layers

# filters and stride of each depthwise separable convolution, dilation in SEEN_TWICE_AS_FAR
SEPARABLE = {
    "conv2_1": (64, 1), "conv2_2": (128, 2), "conv3_1": (128, 1), "conv3_2": (256, 2),
    "conv4_1": (256, 1), "conv4_2": (512, 1), "conv5_1": (512, 1), "conv5_2": (512, 1),
    "conv5_3": (512, 1), "conv5_4": (512, 1), "conv5_5": (512, 1),
}  # fmt: skip
SEEN_TWICE_AS_FAR = "conv5_1"
WIDTH = 128
# He's rule for 9 weights an output: Keras' own would count the channels, which a depthwise
# convolution does not mix.
DEPTHWISE_START = keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5)
Maps = Callable[[keras.KerasTensor, int, str], keras.KerasTensor]


def mobilenet(
    x: keras.KerasTensor, channels: tuple[int, int], maps: Maps
) -> list[keras.KerasTensor]:
    """[pafs of stage 1, heatmaps of stage 1, pafs of stage 2, heatmaps of stage 2] of images.

    `maps(x, count, name)` makes the last layer of a branch.
    """
    features = _features(x)
    y = features
    for i in (1, 2, 3):
        y = _conv(y, WIDTH, 3, f"Mconv{i}_stage1_L1")
    first = [_branch(y, 512, count, 1, branch, maps) for branch, count in enumerate(channels, 1)]
    y = layers.Concatenate(name="stage2_input")([*first, features])
    for i in (1, 2, 3, 4, 5):
        y = _refinement_block(y, f"Mconv{i}_stage2_L1")
    return first + [
        _branch(y, WIDTH, count, 2, branch, maps) for branch, count in enumerate(channels, 1)
    ]


def _features(x: keras.KerasTensor) -> keras.KerasTensor:
    x = _conv(_pad_before(x, "conv1"), 32, 3, "conv1", strides=2, padding="valid")
    for name, (filters, strides) in SEPARABLE.items():
        dilation = 2 if name == SEEN_TWICE_AS_FAR else 1
        x = _depthwise(x, f"{name}_dw", "relu", strides, dilation)
        x = _conv(x, filters, 1, f"{name}_sep")
    narrow = y = _conv(x, WIDTH, 1, "conv4_3_CPM_al", activation="elu")
    y = _conv(y, WIDTH, 1, "conv4_3_CPM_red", activation="elu")
    for i, after in enumerate(("dw1_1x1", "dw2_1x1", "inc"), 1):
        y = _depthwise(y, f"conv4_3_CPM_dw{i}", "elu")
        y = _conv(y, WIDTH, 1, f"conv4_3_CPM_{after}", activation="elu")
    return _conv(layers.Add(name="conv4_3_CPM_res")([narrow, y]), WIDTH, 3, "conv4_4_CPM")


def _refinement_block(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """1x1, then two 3x3 convolutions (the second sees 5x5), their result added; in place of 7x7."""
    squeezed = _conv(x, WIDTH, 1, f"{name}_sq")
    y = _conv(squeezed, WIDTH, 3, f"{name}_3x3")
    y = _conv(y, WIDTH, 3, f"{name}_3x3_2", dilation_rate=2)
    return layers.Add(name=f"{name}_res")([squeezed, y])


def _branch(
    x: keras.KerasTensor, width: int, count: int, stage: int, branch: int, maps: Maps
) -> keras.KerasTensor:
    last = {1: 4, 2: 6}[stage]
    x = _conv(x, width, 1, f"Mconv{last}_stage{stage}_L{branch}")
    return maps(x, count, f"Mconv{last + 1}_stage{stage}_L{branch}")


def _conv(
    x: keras.KerasTensor, filters: int, size: int, name: str, *, activation: str = "relu", **options
) -> keras.KerasTensor:
    options = {"padding": "same", "kernel_initializer": "he_normal"} | options
    return layers.Conv2D(filters, size, activation=activation, name=name, **options)(x)


def _depthwise(
    x: keras.KerasTensor, name: str, activation: str, strides: int = 1, dilation: int = 1
) -> keras.KerasTensor:
    padding = "same"
    if strides == 2:
        x, padding = _pad_before(x, name), "valid"
    options = {"dilation_rate": dilation, "depthwise_initializer": DEPTHWISE_START.clone()}
    return layers.DepthwiseConv2D(3, strides, padding, activation=activation, name=name, **options)(
        x
    )


def _pad_before(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """A row above, a column to the left, as Caffe pads; `same` pads the other sides at stride 2."""
    return layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"{name}_pad")(x)
