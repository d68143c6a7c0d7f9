"""Tensor, Number and Count: an array, a float and an int that also answer to the words of Keras's tensors.

They must not know what they hold; what is computed with them are arrays and numbers of NumPy and Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastreg._arrays import Array


class Tensor(np.ndarray[Any, Any]):
    """An array with `numpy()`: the output of a model, or a weight.

    Slices of it and arrays that NumPy computes from it have `numpy()`, too; copies by `pickle` are plain arrays.

    Examples
    --------
    >>> np.zeros(2).view(Tensor).numpy()
    array([0., 0.])
    """

    def numpy(self) -> Array:
        """A plain array of its own, which can be written."""
        return np.array(self)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array.view(Tensor) if array.ndim else array[()]

    def __reduce__(self) -> Any:
        return self.numpy().__reduce__()


class Number(float):
    """A float with `numpy()`: a loss, a metric, a penalty."""

    def numpy(self) -> np.float64:
        """The value as a NumPy number."""
        return np.float64(self)

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)


class Count(int):
    """An int with `numpy()`: `Optimizer.iterations`."""

    def numpy(self) -> np.int64:
        """The value as a NumPy number."""
        return np.int64(self)

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)
