"""Penalties on weights: L1, L2 and both, with how the L1 part is applied.

They must not know how a penalty is computed: the native core does that.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from fastreg import _core
from fastreg._arguments import choice, number
from fastreg._arrays import numeric
from fastreg._configurable import Configurable, find, table_of
from fastreg._tensor import Number

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]

METHODS = ("proximal", "subgradient")


def factor(value: Any, name: str) -> float:
    """A factor of a penalty: a number from 0 to 1e38, so that it and its gradient are finite in float32."""
    return number(value, name, low=0.0, high=1e38)


class Regularizer(Configurable):
    """Base of the penalties `l1 * sum|w| + l2 * sum(w**2)`. Use `L1`, `L2` or `L1L2`."""

    l1: float
    l2: float
    method: str

    def __call__(self, x: ArrayLike) -> Number:
        """The penalty of the array `x`, of any shape: summed in float32 where x is float32, else in float64."""
        return Number(_core.elastic_net(numeric(x, "x"), self.l1, self.l2))

    def native(self) -> dict[str, Any]:
        """The penalty as the native core takes it."""
        return {"l1": self.l1, "l2": self.l2, "proximal": self.method == "proximal"}


class L1(Regularizer):
    """L1 penalty (lasso) `l1 * sum|w|`: it drives weights to exactly 0.

    Parameters
    ----------
    l1 : float, default 0.01
        Factor, from 0 to 1e38.
    method : {"proximal", "subgradient"}
        "proximal" soft-thresholds the weights after each step, so they become exactly 0 (Parikh and Boyd, Proximal
        Algorithms, 2014; under Adam, per weight: Yun et al., ProxGen, 2020). "subgradient" adds `l1 * sign(w)`
        to the gradient, as Keras does: weights hover around 0 and never reach it.

    Raises
    ------
    ValueError
        If `l1` is out of range, or `method` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> float(L1(0.5)(np.array([1.0, -3.0])))
    2.0
    """

    def __init__(self, l1: float = 0.01, method: str = "proximal") -> None:
        self.l1 = factor(l1, "l1")
        self.l2 = 0.0
        self.method = choice(method, "method", METHODS)


class L2(Regularizer):
    """L2 penalty (ridge) `l2 * sum(w**2)`: it shrinks weights, none to exactly 0. Its gradient is `2 * l2 * w`.

    Parameters
    ----------
    l2 : float, default 0.01
        Factor, from 0 to 1e38.

    Raises
    ------
    ValueError
        If `l2` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> float(L2(0.5)(np.array([1.0, -3.0])))
    5.0
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l1 = 0.0
        self.l2 = factor(l2, "l2")
        self.method = "proximal"


class L1L2(Regularizer):
    """Both penalties (elastic net; Zou and Hastie 2005): `l1 * sum|w| + l2 * sum(w**2)`.

    Parameters
    ----------
    l1, l2 : float, default 0
        Factors, from 0 to 1e38; None is 0.
    method : {"proximal", "subgradient"}
        How the L1 part is applied; see `L1`. The L2 part always stays in the gradient.

    Raises
    ------
    ValueError
        If a factor is out of range, or `method` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> float(L1L2(l1=1.0, l2=0.5)(np.array([1.0, -3.0])))
    9.0
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0, method: str = "proximal") -> None:
        self.l1 = factor(0.0 if l1 is None else l1, "l1")
        self.l2 = factor(0.0 if l2 is None else l2, "l2")
        self.method = choice(method, "method", METHODS)


NO_PENALTY = L1L2()  # what no regularizer comes to


def l1(l1: float = 0.01, method: str = "proximal") -> L1:
    """The function form of `L1`."""
    return L1(l1, method)


def l2(l2: float = 0.01) -> L2:
    """The function form of `L2`."""
    return L2(l2)


def l1_l2(l1: float = 0.01, l2: float = 0.01, method: str = "proximal") -> L1L2:
    """The function form of `L1L2`; its factors default to 0.01, as in tf.keras."""
    return L1L2(l1, l2, method)


_TABLE = table_of([L1, L2, L1L2], {"l1": l1, "l2": l2, "l1_l2": l1_l2, "l1l2": l1_l2})


def get(identifier: Any) -> Regularizer | None:
    """The regularizer that `identifier` means: None, an object, "l1", "l2", "l1_l2" or a description."""
    return None if identifier is None else find(identifier, Regularizer, _TABLE, "regularizer")
