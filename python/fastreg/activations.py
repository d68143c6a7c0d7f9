"""Activation functions: their names, and the functions on arrays.

They must not know a formula: the native core computes them.

Notes
-----
The functions take an array of any shape, or what `np.asarray` makes one of, and give a new array of that shape: float32
for float32, else float64. NaN gives NaN. They raise TypeError for what is no array of real numbers, or a masked one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastreg import _core
from fastreg._arrays import Array, numeric
from fastreg._tensor import Tensor

__all__ = [
    "elu", "gelu", "get", "leaky_relu", "linear", "relu", "selu", "sigmoid", "silu", "softmax", "softplus", "swish",
    "tanh",
]  # fmt: skip

Activation = Callable[..., Array]


def _apply(x: ArrayLike, kind: str, alpha: float = 0.0) -> Array:
    values = numeric(x, "x")
    columns = values.shape[-1] if values.ndim > 1 else values.size
    # -1 for the rows would not tell how many there are of none
    rows = values.reshape(math.prod(values.shape[:-1]), columns)
    out = np.empty_like(rows)
    _core.activation_forward(rows, kind, alpha, out)
    return out.reshape(values.shape).view(Tensor)


def linear(x: ArrayLike) -> Array:
    """`x` itself, in a new array.

    Examples
    --------
    >>> linear([-1.0, 2.0]).tolist()
    [-1.0, 2.0]
    """
    return _apply(x, "linear")


def relu(x: ArrayLike) -> Array:
    """`max(x, 0)`, in [0, inf].

    Examples
    --------
    >>> relu([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    return _apply(x, "relu")


def leaky_relu(x: ArrayLike, negative_slope: float = 0.2) -> Array:
    """`x` where `x >= 0`, else `negative_slope * x`.

    Raises ValueError unless `negative_slope` is finite and at least 0.

    Examples
    --------
    >>> leaky_relu([-1.0, 2.0], negative_slope=0.25).tolist()
    [-0.25, 2.0]
    """
    return _apply(x, "leaky_relu", negative_slope)


def elu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """`x` where `x > 0`, else `alpha * (exp(x) - 1)`, in [-alpha, inf] (Clevert et al. 2016).

    Raises ValueError unless `alpha` is finite and at least 0.

    Examples
    --------
    >>> elu([-1.0, 2.0]).round(4).tolist()
    [-0.6321, 2.0]
    """
    return _apply(x, "elu", alpha)


def selu(x: ArrayLike) -> Array:
    """Scaled `elu` that keeps mean 0 and variance 1, in [-1.7581, inf] (Klambauer et al. 2017).

    Examples
    --------
    >>> selu([-1.0, 2.0]).round(4).tolist()
    [-1.1113, 2.1014]
    """
    return _apply(x, "selu")


def gelu(x: ArrayLike, approximate: bool = False) -> Array:
    """`x * P(N(0, 1) <= x)`, in [-0.1701, inf]; `approximate` takes the tanh form (Hendrycks and Gimpel 2016).

    Examples
    --------
    >>> gelu([-1.0, 2.0]).round(4).tolist()
    [-0.1587, 1.9545]
    """
    return _apply(x, "gelu_tanh" if approximate else "gelu")


def silu(x: ArrayLike) -> Array:
    """`x * sigmoid(x)`, in [-0.279, inf]; also called swish.

    Examples
    --------
    >>> silu([-1.0, 2.0]).round(4).tolist()
    [-0.2689, 1.7616]
    """
    return _apply(x, "silu")


def tanh(x: ArrayLike) -> Array:
    """Hyperbolic tangent, in [-1, 1].

    Examples
    --------
    >>> tanh([0.0, 1.0]).round(4).tolist()
    [0.0, 0.7616]
    """
    return _apply(x, "tanh")


def sigmoid(x: ArrayLike) -> Array:
    """`1 / (1 + exp(-x))`, in [0, 1].

    Examples
    --------
    >>> sigmoid([0.0]).tolist()
    [0.5]
    """
    return _apply(x, "sigmoid")


def softplus(x: ArrayLike) -> Array:
    """`log(1 + exp(x))`, in [0, inf].

    Examples
    --------
    >>> softplus([0.0, 1.0]).round(4).tolist()
    [0.6931, 1.3133]
    """
    return _apply(x, "softplus")


def softmax(x: ArrayLike) -> Array:
    """`exp(x) / sum(exp(x))` along the last axis: numbers in [0, 1] whose sum is 1, as far as rounding goes.

    Examples
    --------
    >>> softmax([[0.0, 0.0], [0.0, 1.0]]).round(4).tolist()
    [[0.5, 0.5], [0.2689, 0.7311]]
    """
    return _apply(x, "softmax")


swish = silu

_FUNCTIONS = (linear, relu, leaky_relu, elu, selu, gelu, silu, tanh, sigmoid, softplus, softmax)
_TABLE: dict[str, Activation] = {**{f.__name__: f for f in _FUNCTIONS}, "swish": silu}
_ALPHA = {"leaky_relu": 0.2, "elu": 1.0}


def get(identifier: Any) -> Activation:
    """The function that `identifier` means: None (linear), a name, one of the functions of this module or of tf.nn.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        if identifier.lower() not in _TABLE:
            raise ValueError(f"unknown activation {identifier!r}; known: {', '.join(sorted(_TABLE))}")
        return _TABLE[identifier.lower()]
    if identifier in _FUNCTIONS:
        return _TABLE[identifier.__name__]
    if str(getattr(identifier, "__module__", "")).partition(".")[0] == "tensorflow":
        name = getattr(identifier, "__name__", "").removesuffix("_v2")
        if name in _TABLE:  # tf.nn.relu
            return _TABLE[name]
    raise TypeError(f"activation must be a name or a function of fastreg.activations, not {identifier!r}")


def native(activation: Activation) -> dict[str, Any]:
    """The activation as the native core takes it."""
    return {"activation": activation.__name__, "alpha": default_alpha(activation.__name__)}


def default_alpha(kind: str) -> float:
    """The parameter of a native activation when none is given: the slope of leaky_relu, the scale of elu."""
    try:
        return _ALPHA.get(kind, 0.0)
    except TypeError:  # what cannot be a key; what can but is no name is refused by the native core
        raise TypeError(f"activation must be a str, not {type(kind).__name__}: {kind!r}") from None
