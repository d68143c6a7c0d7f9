"""Targets: whether y fits the loss and the model's output, and what class_weight makes of it.

It must not know models or training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastreg._arguments import integer, number
from fastreg._arrays import Array, numeric, of_one
from fastreg.losses import Loss


def targets(y: ArrayLike, loss: Loss, output_units: int, dtype: str, name: str) -> Array:
    """`y` as (rows, columns), checked against the loss: (rows, output_units), or (rows, 1) for class indices.

    Raises ValueError where Keras would train on nonsense: shapes that broadcast, labels out of range.
    """
    kind = loss.kind
    columns = 1 if kind == "sparse_categorical_crossentropy" else output_units
    array = numeric(of_one(y, *((1, 2) if columns == 1 else (2,))), name, dtype)
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise ValueError(f"{name} must have the shape (n,) or (n, outputs), not {array.shape}")
    if array.shape[1] != columns:
        raise ValueError(
            f"{name} has {array.shape[1]} columns; the loss {kind} with {output_units} output units "
            f"needs {columns}{_hint(kind, array.shape[1], output_units)}"
        )
    if kind == "categorical_crossentropy" and output_units == 1:
        raise ValueError(
            "categorical_crossentropy needs at least 2 output units; for 1 use binary_crossentropy"
        )
    _check_values(array, kind, output_units, name)
    return array


def _hint(kind: str, columns: int, output_units: int) -> str:
    if kind == "categorical_crossentropy" and columns == 1:
        return "; for class indices use sparse_categorical_crossentropy or utils.to_categorical"
    if kind == "sparse_categorical_crossentropy" and columns == output_units:
        return "; for one-hot targets use categorical_crossentropy"
    return ""


def _check_values(y: Array, kind: str, output_units: int, name: str) -> None:
    if kind == "sparse_categorical_crossentropy":  # NaN and infinity are no class either
        bad = y[(y != np.floor(y)) | ~(y >= 0) | (y >= output_units)]
        expected = f"integer class indices in [0, {output_units})"
    elif kind in ("binary_crossentropy", "categorical_crossentropy"):
        bad, expected = y[(y < 0) | (y > 1)], "values in [0, 1]"
    elif kind == "hinge":
        bad, expected = y[(y != -1) & (y != 0) & (y != 1)], "labels -1 and 1, or 0 and 1"
        if not bad.size and np.any(y == -1):
            bad = y[y == 0]  # which would stand for -1 in batches without it
    else:
        return
    if bad.size and kind != "sparse_categorical_crossentropy":
        bad = bad[np.isfinite(bad)]  # the others are check_finite's
    if bad.size:
        raise ValueError(f"{name} holds {bad[0]:g}; the loss {kind} needs {expected}")


def class_weights(class_weight: Any, y: Array, loss: Loss, output_units: int) -> Array:
    """The weight of each row's class, (rows,); a class that `class_weight` lacks counts 1.

    Classes are: the index in y; for one output the label, 0 and 1, or -1 and 1 where a hinge loss is given them; for
    one-hot rows the column of the largest value.
    """
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be a dict of class to weight, not {type(class_weight).__name__}")
    n_classes = 2 if output_units == 1 else output_units
    signed = loss.kind == "hinge" and output_units == 1 and (-1 in class_weight or bool(np.any(y < 0)))
    # label: place in the table
    named = {-1: 0, 1: 1} if signed else {label: label for label in range(n_classes)}
    table = np.ones(n_classes, dtype=y.dtype)
    for key, value in class_weight.items():
        label = _label(key)
        if label not in named:
            classes = "-1 and 1" if signed else f"0 to {n_classes - 1}"
            raise ValueError(f"class_weight has the class {label}; the classes are {classes}")
        with np.errstate(over="ignore"):
            table[named[label]] = number(value, f"class_weight[{label}]", low=0.0)
        if not np.isfinite(table[named[label]]):
            raise ValueError(f"class_weight[{label}] must be finite in {y.dtype}, not {value!r}")
    weights: Array = table[_classes(y, n_classes, signed)]
    return weights


def _label(key: Any) -> int:
    """A class, which may be a whole float or a bool, as the keys made from y are."""
    whole = isinstance(key, (bool, np.bool_)) or (
        isinstance(key, (float, np.floating)) and float(key).is_integer()
    )
    return int(key) if whole else integer(key, "a key of class_weight")


def _classes(y: Array, n_classes: int, signed: bool) -> Any:
    if y.shape[1] > 1:
        return y.argmax(axis=1)
    labels = np.maximum(y[:, 0], 0) if signed else y[:, 0]
    if np.any(labels != np.floor(labels)) or np.any(labels < 0) or np.any(labels >= n_classes):
        raise ValueError(f"class_weight needs y to hold classes 0 to {n_classes - 1}")
    return labels.astype(np.int64)
