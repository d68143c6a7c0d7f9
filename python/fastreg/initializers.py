"""Initial weights. Each value is a pure function of (seed, stream, index), computed by the native core.

They must not know layers or models.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastreg import _core, _seeds
from fastreg._arguments import choice, integer, number
from fastreg._arguments import seed as check_seed
from fastreg._arrays import DTYPES, Array, numeric
from fastreg._configurable import Configurable, find, table_of
from fastreg._tensor import Tensor

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Initializer", "LecunNormal",
    "LecunUniform", "Ones", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros",
    "constant", "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal",
    "lecun_uniform", "ones", "random_normal", "random_uniform", "truncated_normal", "variance_scaling", "zeros",
]  # fmt: skip

# Standard deviation of a standard normal cut off at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(Configurable):
    """Base of the initializers.

    Calling one gives an array. With a `seed` of its own an initializer gives the same values at every call, as
    in Keras; without, a layer's values come from the model's seed and the layer's index, and a call outside a
    model draws a new seed.
    """

    seed: int | None = None

    def __call__(self, shape: Any, dtype: str = "float32") -> Tensor:
        """An array of `shape` (an integer or a sequence of integers) and `dtype` ("float32" or "float64")."""
        sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
        sizes = tuple(integer(size, "shape", low=0) for size in sizes)
        return self.values(sizes, choice(str(np.dtype(dtype)), "dtype", DTYPES), None, 0).view(Tensor)

    def values(self, shape: tuple[int, ...], dtype: str, seed: int | None, stream: int) -> Array:
        """The values at (seed, stream); the initializer's own seed, if any, goes first and uses stream 0."""
        if self.seed is not None:
            seed, stream = self.seed, 0
        kind, a, b = self.drawn(shape)
        return _core.initialize(kind, shape, a, b, _seeds.fresh() if seed is None else seed, stream, dtype)

    def drawn(self, shape: tuple[int, ...]) -> tuple[Any, float, float]:
        """("uniform", low, high), or ("normal" or "truncated_normal", mean, standard deviation)."""
        raise NotImplementedError


class Constant(Initializer):
    """Every value is `value`, or that of the array `value` in its place: for a bias (units,) one value or `units`."""

    def __init__(self, value: ArrayLike = 0.0) -> None:
        if np.ndim(value) == 0:
            self.value: Any = number(value, "value")
        else:
            self.value = numeric(value, "value", "float64").tolist()
            for item in np.ravel(self.value).tolist():
                number(item, "value")

    def values(self, shape: tuple[int, ...], dtype: str, seed: int | None, stream: int) -> Array:
        try:
            return np.full(shape, self.value, dtype=dtype)
        except ValueError:
            given = np.shape(self.value)
            raise ValueError(f"Constant has a value of shape {given}, for weights of shape {shape}") from None


class Zeros(Constant):
    """Every value is 0.

    Examples
    --------
    >>> Zeros()(2).tolist()
    [0.0, 0.0]
    """

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """Every value is 1."""

    def __init__(self) -> None:
        super().__init__(1.0)


class RandomUniform(Initializer):
    """Uniform in [minval, maxval], `maxval` by rounding alone."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = number(minval, "minval")
        self.maxval = number(maxval, "maxval", low=self.minval)
        self.seed = check_seed(seed)

    def drawn(self, shape: tuple[int, ...]) -> tuple[Any, float, float]:
        return "uniform", self.minval, self.maxval


class RandomNormal(Initializer):
    """Normal with `mean` and `stddev`."""

    _kind = "normal"

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = number(mean, "mean")
        self.stddev = number(stddev, "stddev", low=0.0)
        self.seed = check_seed(seed)

    def drawn(self, shape: tuple[int, ...]) -> tuple[Any, float, float]:
        return self._kind, self.mean, self.stddev


class TruncatedNormal(RandomNormal):
    """Normal, values beyond two standard deviations drawn again."""

    _kind = "truncated_normal"


class VarianceScaling(Initializer):
    """Variance `scale / n`, with n the number of inputs, of outputs, or their mean (Glorot and Bengio 2010).

    Parameters
    ----------
    scale : float, default 1
        Above 0.
    mode : {"fan_in", "fan_out", "fan_avg"}
        What n counts. For a kernel (in, out), fan_in is in and fan_out is out; for a bias both are its length.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        "normal" means "truncated_normal", as in Keras.
    seed : int, optional
        See `Initializer`.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        kinds = ("truncated_normal", "normal", "untruncated_normal", "uniform")
        self.scale = number(scale, "scale", low=0.0, open_low=True)
        self.mode = choice(mode, "mode", ("fan_in", "fan_out", "fan_avg"))
        self.distribution = choice(distribution, "distribution", kinds)
        self.seed = check_seed(seed)

    def drawn(self, shape: tuple[int, ...]) -> tuple[Any, float, float]:
        fan_in, fan_out = (shape[0], shape[-1]) if shape else (1, 1)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return "uniform", -limit, limit
        if self.distribution == "untruncated_normal":
            return "normal", 0.0, math.sqrt(variance)
        return "truncated_normal", 0.0, math.sqrt(variance) / _TRUNCATED_STDDEV


class _NamedScaling(VarianceScaling):
    """A `VarianceScaling` whose only argument is the seed."""

    _settings: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._settings, seed=seed)


class GlorotUniform(_NamedScaling):
    """Uniform with limit `sqrt(6 / (in + out))`, the default of `Dense` (Glorot and Bengio 2010).

    Examples
    --------
    >>> GlorotUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    _settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal with variance `2 / (in + out)` (Glorot and Bengio 2010)."""

    _settings = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform with limit `sqrt(6 / in)` (He et al. 2015)."""

    _settings = (2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal with variance `2 / in` (He et al. 2015)."""

    _settings = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform with limit `sqrt(3 / in)` (LeCun et al. 1998)."""

    _settings = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Truncated normal with variance `1 / in` (LeCun et al. 1998)."""

    _settings = (1.0, "fan_in", "truncated_normal")


_SCALINGS = [VarianceScaling, GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal]
_TABLE = table_of(
    [Constant, Zeros, Ones, RandomUniform, RandomNormal, TruncatedNormal, *_SCALINGS],
    {"zero": Zeros, "one": Ones, "uniform": RandomUniform, "normal": RandomNormal},
)

# Keras's other names
constant, zeros, ones = Constant, Zeros, Ones
random_uniform, random_normal, truncated_normal = RandomUniform, RandomNormal, TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal


def get(identifier: Any) -> Initializer:
    """The initializer that `identifier` means: an object, a name such as "he_normal" or a description.

    None is "glorot_uniform", as in Keras's layers.
    """
    return find("glorot_uniform" if identifier is None else identifier, Initializer, _TABLE, "initializer")
