"""What programs need around a model: seeds, one-hot targets and the end of a session, under Keras's names.

It must not know models.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import ArrayLike

from fastreg import _seeds
from fastreg._arguments import integer
from fastreg._arrays import Array, numeric

__all__ = ["clear_session", "set_random_seed", "to_categorical"]


def clear_session(free_memory: bool = True) -> None:
    """Nothing: there is no state beyond the models, and a model's memory is freed with the model."""


def set_random_seed(seed: int) -> None:
    """Seed `random`, `numpy.random` and fastreg: models made from now on get the same seeds in the same order.

    Parameters
    ----------
    seed : int in [0, 2**32)

    Examples
    --------
    >>> from fastreg import Sequential
    >>> set_random_seed(1)
    >>> first = Sequential().seed
    >>> set_random_seed(1)
    >>> Sequential().seed == first
    True
    """
    checked = integer(seed, "seed", low=0, high=2**32 - 1)
    random.seed(checked)
    # Programs draw their data from the global state, so that is what is to be seeded.
    np.random.seed(checked)  # noqa: NPY002
    _seeds.restart(checked)


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> Array:
    """One-hot rows, float32, of class indices: (n,) becomes (n, num_classes).

    Parameters
    ----------
    x : array of integers of at least 0
        Any shape; a last axis of length 1 is dropped.
    num_classes : int, optional
        By default the largest index and 1.

    Raises
    ------
    ValueError
        If `x` holds anything but integers in [0, num_classes), or is empty and `num_classes` is not given.

    Examples
    --------
    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    values = numeric(x, "x")
    if values.ndim > 1 and values.shape[-1] == 1:
        values = values[..., 0]
    if not np.all(np.isfinite(values)) or np.any(values != np.floor(values)) or np.any(values < 0):
        raise ValueError("x must hold integer class indices of at least 0")
    if num_classes is None:
        if values.size == 0:
            raise ValueError("num_classes is needed for an empty x")
        num_classes = int(values.max()) + 1
    classes = integer(num_classes, "num_classes", low=1)
    if values.size and values.max() >= classes:
        raise ValueError(
            f"x holds the class {int(values.max())}; num_classes={classes} allows 0 to {classes - 1}"
        )
    out = np.zeros((values.size, classes), dtype=np.float32)
    out[np.arange(values.size), values.astype(np.int64).ravel()] = 1.0
    return out.reshape(*values.shape, classes)
