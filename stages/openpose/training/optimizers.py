"""Optimizers and learning-rate schedules of training, for any Keras backend.

Added to Keras' own: learning-rate multipliers and weight decay per weight, and an exponential
moving average (EMA) of the weights that never replaces the weights being trained.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import keras
from keras import ops

from stages.openpose.errors import InputError

REFERENCE_STEP_SAMPLES = 121_746 * 17
REFERENCE_STEP_FACTOR = 0.333
WARM_UP_START = 1 / 25  # of the peak learning rate
WARM_UP_SHARE = 0.1  # of the samples of a run: the longest warm-up
ONE_CYCLE_END = 1e-3  # of the peak; not zero, so that the last steps still count
MUON_MOMENTUM = 0.95
# A step changes a kernel by learning rate times this, relative to the size it started with.
MUON_SHARE = 10.0
NEWTON_SCHULZ_STEPS = 5


@dataclass(frozen=True)
class Decay:
    """Weight decay of kernels; biases and gains have none.

    `meaning`: "decoupled" subtracts rate * amount * kernel (AdamW, arXiv:1711.05101); "caffe" adds
    amount * kernel to the gradient; "keras" adds 2 * amount * kernel, the gradient of Keras' l2
    (docs/sources.md 2).
    """

    amount: float
    meaning: str

    def gradient_share(self) -> float:
        """What is added to the gradient, as a multiple of the kernel."""
        return {"decoupled": 0.0, "caffe": 1.0, "keras": 2.0}[self.meaning] * self.amount

    def direct_share(self) -> float:
        """What is subtracted from the kernel, as a multiple of learning rate and kernel."""
        return self.amount if self.meaning == "decoupled" else 0.0


class _WithEMA:
    """Mixed into a Keras optimizer: multipliers, decay and EMA around its update of one weight."""

    def configure(
        self, decay: Decay, multipliers: Mapping[str, float], average_momentum: float
    ) -> None:
        """Set what `update_step` adds; to be called before `build`."""
        self.decay, self.multipliers, self.average_momentum = (
            decay,
            dict(multipliers),
            average_momentum,
        )

    def build(self, variables: list) -> None:
        """Make the optimizer's state for `variables`: Keras' own, and the EMA of each weight."""
        super().build(variables)
        self.ema_weights = self.add_optimizer_variables(variables, "average")
        self.rates = [self.multipliers.get(variable.path, 1.0) for variable in variables]
        self.decayed = [variable.name == "kernel" for variable in variables]

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Update one weight and its EMA."""
        index = self._get_variable_index(variable)
        rate = learning_rate * self.rates[index]
        if self.decayed[index] and self.decay.gradient_share():
            gradient = gradient + self.decay.gradient_share() * variable
        if self.decayed[index] and self.decay.direct_share():
            self.assign_sub(
                variable, variable * ops.cast(rate * self.decay.direct_share(), variable.dtype)
            )
        super().update_step(gradient, variable, rate)
        # The momentum grows as t / (t + 9), 0 at the first step: the EMA starts from the weights,
        # not from zero, and forgets the first ones fast.
        step = ops.cast(self.iterations, "float32")
        momentum = ops.minimum(self.average_momentum, step / (step + 9.0))
        ema = self.ema_weights[index]
        self.assign_add(ema, (variable - ema) * ops.cast(1.0 - momentum, ema.dtype))

    def finalize_variable_values(self, var_list: list) -> None:
        """Leave the weights as they are; Keras calls this at the end of every `fit`."""


class AdamWithEMA(_WithEMA, keras.optimizers.Adam):
    """Adam."""


class _Muon(keras.optimizers.Adam):
    """Muon for convolution kernels; Adam for all other weights, for the kernels that make maps and
    for depthwise ones.

    Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces the momentum of a kernel,
    as a matrix [fan in, filters], by a matrix of the same directions whose singular values are all
    about one, so that rare directions are learned as fast as frequent ones. Deviation: steps are
    scaled to the size that the kernel starts with (He), so that one learning rate suits all
    kernels, and Adam.
    """

    heads: frozenset[str] = frozenset()  # paths of the kernels that make maps

    def build(self, variables: list) -> None:
        """Make the state of `variables`, and note which of them are for Muon."""
        super().build(variables)
        # a depthwise kernel [height, width, channels, 1] mixes no channels: one column has no
        # directions to even out
        self.for_muon = [
            len(variable.shape) == 4 and variable.shape[3] > 1 and variable.path not in self.heads
            for variable in variables
        ]

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Update one weight."""
        index = self._get_variable_index(variable)
        if not self.for_muon[index]:
            super().update_step(gradient, variable, learning_rate)
            return
        fan_in, filters = math.prod(variable.shape[:3]), variable.shape[3]
        momentum = self._momentums[index]
        self.assign(momentum, MUON_MOMENTUM * momentum + (1.0 - MUON_MOMENTUM) * gradient)
        # Nesterov: the direction that the momentum will have after the next equal gradient
        ahead = MUON_MOMENTUM * momentum + (1.0 - MUON_MOMENTUM) * gradient
        direction = orthogonalised(ops.reshape(ahead, (fan_in, filters)))
        # orthogonal [n, m] has Frobenius norm sqrt(min(n, m)), a He kernel sqrt(2 m): their ratio
        size = MUON_SHARE * math.sqrt(max(fan_in, filters) * 2.0 / fan_in)
        self.assign_sub(variable, learning_rate * size * ops.reshape(direction, variable.shape))


def orthogonalised(matrix: keras.KerasTensor) -> keras.KerasTensor:
    """Matrix float32 [n, m] -> [n, m] with the same singular vectors, all singular values about
    one.

    Five quintic Newton-Schulz steps; a zero matrix stays zero. Each step multiplies by a polynomial
    of the Gram matrix, so all five are taken on that, which is small, and the matrix itself is
    multiplied once, at the end.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    # Frobenius norm 1 bounds the singular values by 1, where the steps converge; 1e-7 for zeros
    x = matrix / (ops.sqrt(ops.sum(ops.square(matrix))) + 1e-7)
    gram = ops.matmul(x, ops.transpose(x)) if wide else ops.matmul(ops.transpose(x), x)
    factor = None
    for step in range(NEWTON_SCHULZ_STEPS):
        # Muon's coefficients: steep at zero, so that small singular values grow in few steps; they
        # end near one, not at it (kellerjordan.github.io/posts/muon)
        polynomial = (
            3.4445 * ops.eye(gram.shape[0]) - 4.775 * gram + 2.0315 * ops.matmul(gram, gram)
        )
        factor = polynomial if factor is None else ops.matmul(polynomial, factor)
        if step + 1 < NEWTON_SCHULZ_STEPS:
            gram = ops.matmul(polynomial, ops.matmul(polynomial, gram))
    return ops.matmul(factor, x) if wide else ops.matmul(x, factor)


class MuonWithEMA(_WithEMA, _Muon):
    """Muon and Adam."""


class SGDWithEMA(_WithEMA, keras.optimizers.SGD):
    """Stochastic gradient descent."""


def make_optimizer(
    settings, steps: int, multipliers: Mapping[str, float], heads: frozenset[str] = frozenset()
) -> keras.optimizers.Optimizer:
    """The optimizer of a run.

    Args:
        settings: section `train` of the parameters.
        steps: steps of the whole run, all epochs.
        multipliers: learning-rate multiplier by weight path; 1 where a weight is not named.
        heads: paths of the kernels that make maps; muon leaves them to Adam.
    """
    rate = make_schedule(settings, steps)
    # beta_2: second moments reach about 100 steps back; epsilon: Adam's own, Keras has 1e-7
    clip = settings.clip_norm or None
    if settings.optimizer == "adam":
        optimizer = AdamWithEMA(rate, beta_2=0.99, epsilon=1e-8, global_clipnorm=clip)
    elif settings.optimizer == "muon":
        optimizer = MuonWithEMA(rate, beta_2=0.99, epsilon=1e-8, global_clipnorm=clip)
        optimizer.heads = heads
    elif settings.optimizer == "sgd":
        optimizer = SGDWithEMA(rate, momentum=0.9, global_clipnorm=clip)
    else:
        raise InputError(
            f"`train.optimizer`: expected muon, adam or sgd, found {settings.optimizer!r}"
        )
    optimizer.configure(
        Decay(settings.weight_decay, settings.decay_meaning), multipliers, settings.average_momentum
    )
    return optimizer


def fitted_warm_up(warm_up_samples: int, run_samples: int, batch_size: int) -> int:
    """Samples of warm-up that fit a run of `run_samples`, all epochs: no more than WARM_UP_SHARE of
    it, none where that is less than a step. So the learning rate of any run reaches its peak.
    """
    longest = int(WARM_UP_SHARE * run_samples)
    if warm_up_samples <= longest:
        return warm_up_samples
    return longest if longest >= batch_size else 0


def make_schedule(settings, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Learning rate by step, for `settings.schedule`: one_cycle, step or constant, each after a
    linear warm-up.
    """
    warm_up = settings.warm_up_samples / settings.batch_size
    peak = settings.learning_rate
    if settings.schedule == "one_cycle":
        return OneCycle(peak, warm_up, steps)
    if settings.schedule == "step":
        return Steps(
            peak, warm_up, REFERENCE_STEP_SAMPLES / settings.batch_size, REFERENCE_STEP_FACTOR
        )
    if settings.schedule == "constant":
        return Steps(peak, warm_up, 1.0, 1.0)
    raise InputError(
        f"`train.schedule`: expected one_cycle, step or constant, found {settings.schedule!r}"
    )


def _warmed_up(step, warm_up: float):
    if warm_up <= 0:
        return 1.0
    return ops.minimum(1.0, WARM_UP_START + (1.0 - WARM_UP_START) * step / warm_up)


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then half a cosine down to a thousandth of it at the last step."""

    def __init__(self, peak: float, warm_up: float, steps: int) -> None:
        self.peak, self.warm_up, self.steps = peak, warm_up, steps

    def __call__(self, step):
        """Learning rate at `step` (from 0), float32 scalar."""
        step = ops.cast(step, "float32")
        progress = ops.clip((step - self.warm_up) / max(self.steps - self.warm_up, 1.0), 0.0, 1.0)
        height = ONE_CYCLE_END + (1.0 - ONE_CYCLE_END) * 0.5 * (
            1.0 + ops.cos(progress * 3.141592653589793)
        )
        return self.peak * height * _warmed_up(step, self.warm_up)

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return {"peak": self.peak, "warm_up": self.warm_up, "steps": self.steps}


class Steps(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then times `factor` after every `every` steps."""

    def __init__(self, peak: float, warm_up: float, every: float, factor: float) -> None:
        self.peak, self.warm_up, self.every, self.factor = peak, warm_up, every, factor

    def __call__(self, step):
        """Learning rate at `step` (from 0), float32 scalar."""
        step = ops.cast(step, "float32")
        return (
            self.peak * self.factor ** ops.floor(step / self.every) * _warmed_up(step, self.warm_up)
        )

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return {
            "peak": self.peak,
            "warm_up": self.warm_up,
            "every": self.every,
            "factor": self.factor,
        }
