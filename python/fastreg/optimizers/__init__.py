"""Optimizers: their words and settings, with Keras's names and defaults.

They must not know an update rule: the native core makes every step. It is over 250 lines because
arguments are documented in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fastreg._arguments import flag, integer, number, optional_number
from fastreg._configurable import Configurable, find
from fastreg._tensor import Count, Number
from fastreg._words import OtherWords
from fastreg.optimizers import schedules
from fastreg.optimizers.schedules import LearningRateSchedule

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get"]


_NO_AVERAGE = "no average of the weights is kept"
# Words of tf.keras.
_INSTEAD = {
    "lr": "use learning_rate",
    "decay": "use schedules.InverseTimeDecay(learning_rate, 1, decay) as learning_rate",
}


class LearningRate(Number):
    """The value of `Optimizer.learning_rate`: a float that also answers to the words of Keras's variable.

    Examples
    --------
    >>> sgd = SGD(0.5)
    >>> sgd.learning_rate.assign(sgd.learning_rate / 2)
    >>> sgd.learning_rate
    0.25
    """

    _optimizer: Optimizer

    def assign(self, value: float) -> None:
        """Sets the optimizer's learning rate to `value`."""
        self._optimizer.learning_rate = value


class Optimizer(Configurable, OtherWords):
    """Base of the optimizers. The arguments below are shared by all of them.

    Parameters
    ----------
    learning_rate : float or schedules.LearningRateSchedule
        At least 0. The attribute may be set while training (in a callback): the next step uses it. With a schedule it
        is the rate of the next step and cannot be set, but to another schedule.
    weight_decay : float, optional
        Decoupled decay: `w -= w * weight_decay * learning_rate` before the update, biases included
        (Loshchilov and Hutter 2019).
    clipnorm : float, optional
        Largest norm of each parameter's gradient.
    clipvalue : float, optional
        Largest size of each gradient element.
    global_clipnorm : float, optional
        Largest norm of all gradients together.
    name : str, optional
        Used in messages only.

    Notes
    -----
    At most one clip may be set. Clipping sees the gradient of the data loss and of the penalties; with
    `method="proximal"` the L1 part is not in the gradient, so it sees data and L2 only.
    """

    kind = ""
    _neutral: ClassVar = {
        "use_ema": ((False,), _NO_AVERAGE),
        "ema_momentum": ((), _NO_AVERAGE),
        "ema_overwrite_frequency": ((None,), _NO_AVERAGE),
        "loss_scale_factor": ((None,), "numbers are float32 or float64, and losses not scaled"),
        "gradient_accumulation_steps": ((None,), "every batch is a step"),
    }
    _may_change = ("iterations",)
    _learning_rate: float | LearningRateSchedule = 0.0

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = optional_number(weight_decay, "weight_decay", low=0.0)
        self.clipnorm = optional_number(clipnorm, "clipnorm", low=0.0, open_low=True)
        self.clipvalue = optional_number(clipvalue, "clipvalue", low=0.0, open_low=True)
        self.global_clipnorm = optional_number(global_clipnorm, "global_clipnorm", low=0.0, open_low=True)
        clips = [n for n in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, n) is not None]
        if len(clips) > 1:
            raise ValueError(
                f"only one of clipnorm, clipvalue, global_clipnorm may be set, not {' and '.join(clips)}"
            )
        self.name = type(self).__name__.lower() if name is None else name
        self.iterations = 0

    def _take(self, named: dict[str, Any]) -> None:
        for word in named.keys() & _INSTEAD.keys():
            raise TypeError(f"{type(self).__name__} has no argument {word}: {_INSTEAD[word]}")
        super()._take(named)

    @property
    def learning_rate(self) -> LearningRate:
        """The learning rate of the next step."""
        rate = LearningRate(self.rates(1)[0])
        rate._optimizer = self
        return rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, (LearningRateSchedule, Mapping)):
            self._learning_rate = schedules.get(value)
        elif callable(value):
            raise TypeError(
                f"learning_rate must be a number or of fastreg.optimizers.schedules, not {type(value).__name__}; "
                "for a function of the epoch use callbacks.LearningRateScheduler"
            )
        elif isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError(
                f"learning_rate follows {self._learning_rate} and cannot be set to a number; "
                "give the optimizer a number, or set another schedule"
            )
        else:
            self._learning_rate = number(value, "learning_rate", low=0.0)

    lr = learning_rate  # tf.keras's other name

    def rates(self, n: int) -> list[float]:
        """The learning rates of the coming `n` steps, without those at the end that are as the one before."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate.rates(self.iterations, n)
        return [self._learning_rate]

    @property
    def iterations(self) -> Count:
        """The steps taken; kept by the model that the optimizer is compiled into."""
        return Count(self._iterations)

    @iterations.setter
    def iterations(self, value: int) -> None:
        self._iterations = integer(value, "iterations", low=0)

    def native(self) -> dict[str, Any]:
        """The optimizer as the native core takes it: what is None stays out."""
        settings = {
            name: value for name, value in self._arguments().items() if value is not None and name != "name"
        }
        return {"kind": self.kind, **settings, "learning_rate": float(self.learning_rate)}

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "learning_rate": self._learning_rate}


class SGD(Optimizer):
    """Gradient descent: `v = momentum * v - lr * g`, `w += v`; nesterov: `w += momentum * v - lr * g`.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.01
    momentum : float in [0, 1), default 0
    nesterov : bool, default False
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    Examples
    --------
    >>> SGD(0.1, momentum=0.9).momentum
    0.9
    """

    kind = "sgd"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.momentum = number(momentum, "momentum", low=0.0, high=1.0, open_high=True)
        self.nesterov = flag(nesterov, "nesterov")


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), Keras's form: `w -= lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)`.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
    epsilon : float, default 1e-7
    amsgrad : bool, default False
        Keep the largest v seen (Reddi et al. 2018).
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    Examples
    --------
    >>> Adam().learning_rate
    0.001
    """

    kind = "adam"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.beta_1 = number(beta_1, "beta_1", low=0.0, high=1.0, open_high=True)
        self.beta_2 = number(beta_2, "beta_2", low=0.0, high=1.0, open_high=True)
        self.epsilon = number(epsilon, "epsilon", low=0.0)
        self.amsgrad = flag(amsgrad, "amsgrad")


class AdamW(Adam):
    """`Adam` with decoupled weight decay (Loshchilov and Hutter 2019).

    Examples
    --------
    >>> AdamW().weight_decay
    0.004
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        weight_decay = number(weight_decay, "weight_decay", low=0.0)
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            name,
        )


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012): `v = rho * v + (1 - rho) * g^2`, `w -= lr * g / sqrt(v + epsilon)`.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    rho : float in [0, 1), default 0.9
    momentum : float in [0, 1), default 0
    epsilon : float, default 1e-7
    centered : bool, default False
        Subtract the squared mean gradient from v.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.
    """

    kind = "rmsprop"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.rho = number(rho, "rho", low=0.0, high=1.0, open_high=True)
        self.momentum = number(momentum, "momentum", low=0.0, high=1.0, open_high=True)
        self.epsilon = number(epsilon, "epsilon", low=0.0)
        self.centered = flag(centered, "centered")


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011): `a += g^2`, `w -= lr * g / sqrt(a + epsilon)`.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
    initial_accumulator_value : float, default 0.1
        Where a starts, at least 0.
    epsilon : float, default 1e-7
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.
    """

    kind = "adagrad"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.initial_accumulator_value = number(
            initial_accumulator_value, "initial_accumulator_value", low=0.0
        )
        self.epsilon = number(epsilon, "epsilon", low=0.0)


_CLASSES: list[type[Optimizer]] = [SGD, Adam, AdamW, RMSprop, Adagrad]
_TABLE = {name: cls for cls in _CLASSES for name in (cls.__name__, cls.__name__.lower())}


def get(identifier: Any) -> Optimizer:
    """The optimizer that `identifier` means: an object, a name such as "adam" or a description."""
    return find(identifier, Optimizer, _TABLE, "optimizer")
