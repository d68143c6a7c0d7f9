"""Learning-rate schedules: the rate of a step, by Keras's names and formulas.

They must not know optimizers or sessions. Powers and cosines come from the native core, since those of the system's
library differ in their last bit between machines: the same steps have the same rates everywhere. It is over 250 lines
because arguments are documented in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastreg._arguments import flag, listed, number, optional_number
from fastreg._arrays import Array, numeric
from fastreg._configurable import Configurable, find, table_of
from fastreg._core import math_function
from fastreg._tensor import Number, Tensor

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "LearningRateSchedule",
    "PiecewiseConstantDecay", "PolynomialDecay",
]  # fmt: skip


class LearningRateSchedule(Configurable):
    """Base of the schedules. A subclass has `__call__(step)`, with the steps taken so far: the rate of the next.

    A model with a schedule of your own can be saved; to load it pass `compile=False`, and compile it. It cannot be
    copied or pickled.

    Examples
    --------
    >>> class Warmup(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.01 * min(1.0, (step + 1) / 100)
    >>> from fastreg.optimizers import SGD
    >>> float(SGD(Warmup()).learning_rate)
    0.0001
    """

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} must implement __call__(step)")

    def rates(self, first: int, n: int) -> list[float]:
        """The rates of `n` steps, the first of which follows on `first` steps."""
        name = f"the result of {type(self).__name__}"
        return [_checked(self(step), name) for step in range(first, first + n)]


def _checked(rate: Any, name: str) -> float:
    """A rate that a subclass gave: a number, or a scalar of an array library."""
    is_scalar = hasattr(rate, "__float__") and getattr(rate, "shape", None) == ()
    return number(float(rate) if is_scalar else rate, name, low=0.0)


class _Formula(LearningRateSchedule):
    """A schedule that knows the rates of many steps at once: float64 (n,) of both steps and rates."""

    def __call__(self, step: Any) -> Any:
        """The rate of the step that follows on `step` steps; an array of them for an array."""
        if np.ndim(step) == 0:
            return Number(self._rates(np.array([number(step, "step", low=0.0)]))[0])
        steps = numeric(step, "step", "float64")
        if not np.all(steps >= 0) or not np.all(np.isfinite(steps)):
            raise ValueError("step must hold finite numbers of at least 0")
        return self._rates(steps.ravel()).reshape(steps.shape).view(Tensor)

    def rates(self, first: int, n: int) -> list[float]:
        rates: list[float] = self._rates(np.arange(first, first + n, dtype=np.float64)).tolist()
        return rates

    def _rates(self, steps: Array) -> Array:
        raise NotImplementedError


class _Decay(_Formula):
    """`initial_learning_rate` times a share that falls, or rises, with the periods of `decay_steps` that are over."""

    _least_is_open = False  # whether decay_rate must be above 0

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        self.initial_learning_rate = number(initial_learning_rate, "initial_learning_rate", low=0.0)
        self.decay_steps = number(decay_steps, "decay_steps", low=0.0, open_low=True)
        self.decay_rate = number(decay_rate, "decay_rate", low=0.0, open_low=self._least_is_open)
        self.staircase = flag(staircase, "staircase")
        self.name = type(self).__name__ if name is None else name

    def _rates(self, steps: Array) -> Array:
        periods = steps / self.decay_steps
        return self.initial_learning_rate * self._share(np.floor(periods) if self.staircase else periods)

    def _share(self, periods: Array) -> Array:
        raise NotImplementedError


class ExponentialDecay(_Decay):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : float
        Above 0.
    decay_rate : float
        Above 0.
    staircase : bool, default False
        Round `step / decay_steps` down.
    name : str
        Kept, as in Keras.

    Examples
    --------
    >>> halving = ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5, staircase=True)
    >>> float(halving(99)), float(halving(200))
    (0.1, 0.025)
    """

    _least_is_open = True

    def _share(self, periods: Array) -> Array:
        return _power(np.full_like(periods, self.decay_rate), periods)


class InverseTimeDecay(_Decay):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`.

    Parameters
    ----------
    initial_learning_rate, decay_rate : float
        At least 0.
    decay_steps : float
        Above 0.
    staircase : bool, default False
        Round `step / decay_steps` down.
    name : str
        Kept, as in Keras.

    Examples
    --------
    >>> float(InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)(2))
    0.05
    """

    def _share(self, periods: Array) -> Array:
        return 1.0 / (1.0 + self.decay_rate * periods)


class PiecewiseConstantDecay(_Formula):
    """`values[0]` up to and including step `boundaries[0]`, then `values[1]`, and so on.

    Parameters
    ----------
    boundaries : sequence of float
        Increasing steps, one fewer than `values`.
    values : sequence of float
        Rates, at least 0.
    name : str
        Kept, as in Keras.

    Examples
    --------
    >>> steps = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> float(steps(100)), float(steps(101))
    (0.1, 0.01)
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        self.boundaries = [
            number(b, f"boundaries[{i}]", low=0.0) for i, b in enumerate(listed(boundaries, "boundaries"))
        ]
        self.values = [number(v, f"values[{i}]", low=0.0) for i, v in enumerate(listed(values, "values"))]
        self.name = name
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values must have one item more than boundaries, not {len(self.values)} for {len(self.boundaries)}"
            )
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"boundaries must increase, not {self.boundaries}")

    def _rates(self, steps: Array) -> Array:
        return np.array(self.values)[np.searchsorted(self.boundaries, steps, side="left")]


class PolynomialDecay(_Formula):
    """From `initial_learning_rate` to `end_learning_rate` within `decay_steps`, by `(1 - step / decay_steps) ** power`.

    Parameters
    ----------
    initial_learning_rate, end_learning_rate : float
        At least 0; the second 0.0001 by default.
    decay_steps : float
        Above 0.
    power : float, default 1
        Above 0; 1 is a straight line.
    cycle : bool, default False
        Beyond `decay_steps`, decay anew, within twice, three times, ... `decay_steps`; else the rate stays at its end.
    name : str
        Kept, as in Keras.

    Examples
    --------
    >>> line = PolynomialDecay(0.1, decay_steps=100, end_learning_rate=0.0)
    >>> float(line(50)), float(line(1000))
    (0.05, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = number(initial_learning_rate, "initial_learning_rate", low=0.0)
        self.decay_steps = number(decay_steps, "decay_steps", low=0.0, open_low=True)
        self.end_learning_rate = number(end_learning_rate, "end_learning_rate", low=0.0)
        self.power = number(power, "power", low=0.0, open_low=True)
        self.cycle = flag(cycle, "cycle")
        self.name = name

    def _rates(self, steps: Array) -> Array:
        length = np.full_like(steps, self.decay_steps)
        if self.cycle:
            length *= np.maximum(np.ceil(steps / self.decay_steps), 1.0)
        left = 1.0 - np.minimum(steps, length) / length
        height = self.initial_learning_rate - self.end_learning_rate
        return height * _power(left, np.full_like(left, self.power)) + self.end_learning_rate


class CosineDecay(_Formula):
    """Half a cosine from `initial_learning_rate` to `alpha` times that (Loshchilov and Hutter 2017), after a warmup.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : float
        Above 0; they follow on the warmup.
    alpha : float, default 0
        The last rate, as a share of the highest.
    name : str
        Kept, as in Keras.
    warmup_target : float, optional
        Where a straight line leads from `initial_learning_rate` first; the cosine starts there.
    warmup_steps : float, default 0
        The length of that line.

    Examples
    --------
    >>> cosine = CosineDecay(0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10)
    >>> [round(float(cosine(step)), 12) for step in (0, 5, 10, 60, 110)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = number(initial_learning_rate, "initial_learning_rate", low=0.0)
        self.decay_steps = number(decay_steps, "decay_steps", low=0.0, open_low=True)
        self.alpha = number(alpha, "alpha", low=0.0)
        self.name = name
        self.warmup_target = optional_number(warmup_target, "warmup_target", low=0.0)
        self.warmup_steps = number(warmup_steps, "warmup_steps", low=0.0)

    def _rates(self, steps: Array) -> Array:
        if self.warmup_target is None:
            return self.initial_learning_rate * self._decayed(steps)
        decayed = self.warmup_target * self._decayed(steps - self.warmup_steps)
        warm = (self.warmup_target - self.initial_learning_rate) * steps / (self.warmup_steps or 1.0)
        return np.where(steps < self.warmup_steps, self.initial_learning_rate + warm, decayed)

    def _decayed(self, steps: Array) -> Array:
        cosine = _half_cosine(np.clip(steps / self.decay_steps, 0.0, 1.0))
        return (1.0 - self.alpha) * cosine + self.alpha


class CosineDecayRestarts(_Formula):
    """`CosineDecay` that starts anew at the end of each period (SGDR; Loshchilov and Hutter 2017).

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    first_decay_steps : float
        The length of the first period, above 0.
    t_mul : float, default 2
        How many times as long each period is as the one before; at least 1.
    m_mul : float, default 1
        How many times as high each period starts as the one before; at least 0.
    alpha : float, default 0
        The last rate, as a share of `initial_learning_rate`.
    name : str
        Kept, as in Keras.

    Examples
    --------
    >>> restarts = CosineDecayRestarts(0.1, first_decay_steps=10)
    >>> [round(float(restarts(step)), 12) for step in (0, 5, 10, 20, 30)]
    [0.1, 0.05, 0.1, 0.05, 0.1]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = number(initial_learning_rate, "initial_learning_rate", low=0.0)
        self.first_decay_steps = number(first_decay_steps, "first_decay_steps", low=1e-6)
        self.t_mul = number(t_mul, "t_mul", low=1.0)
        self.m_mul = number(m_mul, "m_mul", low=0.0)
        self.alpha = number(alpha, "alpha", low=0.0)
        self.name = name

    def _rates(self, steps: Array) -> Array:
        period, done = self._periods(steps / self.first_decay_steps)
        cosine = _power(np.full_like(period, self.m_mul), period) * _half_cosine(done)
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)

    def _periods(self, firsts: Array) -> tuple[Array, Array]:
        """After so many times the first period: how many periods are over, and how much of the next."""
        if self.t_mul == 1.0:
            period = np.floor(firsts)
            return period, firsts - period
        starts, lengths = [0.0], [1.0]
        while starts[-1] + lengths[-1] <= firsts.max():
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * self.t_mul)
        at = np.searchsorted(starts, firsts, side="right") - 1
        return at.astype(np.float64), (firsts - np.array(starts)[at]) / np.array(lengths)[at]


def _native(name: str, x: Array) -> Array:
    out = np.empty_like(x)
    math_function(name, x, out)
    return out


def _half_cosine(done: Array) -> Array:
    """From 1 at 0 to 0 at 1."""
    return 0.5 * (1.0 + _native("cos_2pi", 0.5 * done))


def _power(base: Array, exponent: Array) -> Array:
    """base ** exponent, both at least 0: what is whole of an exponent by products, as exact as they are."""
    whole = np.floor(exponent)
    part = exponent - whole
    with np.errstate(invalid="ignore"):  # 0 * log(0), which is not taken
        result = np.where(part == 0.0, 1.0, _native("exp", part * _native("log", base)))
    left, square = np.minimum(whole, 2.0**62).astype(np.int64), base.copy()
    with np.errstate(over="ignore", under="ignore"):
        for _ in range(int(left.max(initial=0)).bit_length()):
            result = np.where(left & 1, result * square, result)
            square *= square
            left >>= 1
    return result


_TABLE = table_of(
    [
        CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay,
        PolynomialDecay,
    ],
    {},
)  # fmt: skip


def get(identifier: Any) -> LearningRateSchedule:
    """The schedule that `identifier` means: an object or a description."""
    if isinstance(identifier, LearningRateSchedule):
        return identifier
    return find(identifier, LearningRateSchedule, _TABLE, "learning_rate")
