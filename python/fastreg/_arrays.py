"""Arrays on their way in: what a user passed becomes a C-contiguous array of numbers, or a clear error.

It must not know models, losses or labels, nor other libraries' arrays and data frames: _foreign.py does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastreg import _core
from fastreg._foreign import FLOATS, numbers

Array = NDArray[Any]  # float32 or float64
Shape = tuple[int, ...]  # of a row: without the batch

DTYPES = ("float32", "float64")

_OURS = (np.ndarray, list, tuple, int, float, complex, np.generic)  # what NumPy alone makes an array of


def numeric(value: ArrayLike, name: str, dtype: DTypeLike | None = None) -> Array:
    """`value` as a C-contiguous array of `dtype`, copied only when needed.

    `dtype` None keeps float32 and float64 and turns all other numbers into float64. `value` is what `np.asarray`
    takes, an array of another library in the memory of the CPU, or a data frame or a column of one.
    Raises TypeError for complex numbers, text, objects, ragged lists, masked and sparse arrays; ValueError for missing
    values.
    """
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    if isinstance(first, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill it first: what is masked would count")
    if not isinstance(value, _OURS):
        value = numbers(value, name, dtype)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:  # also of the tensors in a list
        raise TypeError(f"{name} must be a rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        hint = '; if they are numbers, take astype("float32") of it' if array.dtype == object else ""
        raise TypeError(
            f"{name} must hold real numbers, but its dtype is {array.dtype} (from {type(value).__name__}){hint}"
        )
    if dtype is None:
        dtype = array.dtype if array.dtype in FLOATS else "float64"
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:  # sooner seen than done by `require`
        return array
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found by check_finite
        return np.require(array, dtype, ["C", "A"])


def of_one(value: Any, *axes: int) -> Any:
    """x of `[x]`, as Keras takes the data of one input or output, where x has so many `axes`; all else as it is."""
    alone = isinstance(value, (list, tuple)) and len(value) == 1 and getattr(value[0], "ndim", 0) in axes
    return value[0] if alone else value


def check_finite(array: Array, name: str, given: Any) -> None:
    """Raise ValueError, naming the first bad place, if `array`, made of `given`, holds NaN or an infinity."""
    if _core.all_finite(array):
        return
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    if not isinstance(given, _OURS):
        from fastreg import _frames  # and narwhals with it

        name = _frames.column(given, place[-1], name)
    raise nonfinite(array[place], list(place), name)


def nonfinite(value: np.floating[Any], place: list[int], name: str) -> ValueError:
    """The error for an array that holds `value`, the first that is not finite, at `place`."""
    return ValueError(
        f"{name} holds values that are not finite in {value.dtype}; the first is {value} at {place}. "
        "Clean them; only Sequential.fit can be told to take them, by allow_nonfinite=True"
    )


def rows(value: ArrayLike, name: str, dtype: str, shape: Shape | None, more_axes: bool) -> Array:
    """`value` as (rows, features), both at least 1, or with `more_axes`; (rows,) where the `shape` of a row, if known,
    is (1,)."""
    axes = [2] if not more_axes else [] if shape is None else [len(shape) + 1]
    array = numeric(of_one(value, *axes, *([1] if shape == (1,) else [])), name, dtype)
    if array.ndim == 1 and shape == (1,):
        array = array.reshape(-1, 1)
    if array.ndim < 2 or (array.ndim > 2 and not more_axes):
        hint = "; a first layer Flatten takes more axes"
        if array.ndim == 1:
            hint = "; reshape one feature to (n, 1), one sample to (1, n)"
        raise ValueError(f"{name} must have the shape (n, features), not {array.shape}{hint}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    return array


def row_weights(weight: ArrayLike | None, rows: int, dtype: DTypeLike, name: str) -> Array | None:
    """`sample_weight` as (rows,): finite and at least 0."""
    if weight is None:
        return None
    array = numeric(weight, name, dtype)
    if array.shape not in ((rows,), (rows, 1)):
        raise ValueError(f"{name} must have the shape ({rows},), one weight for each row, not {array.shape}")
    if not np.all(np.isfinite(array)) or np.any(array < 0):
        raise ValueError(f"{name} must hold finite values of at least 0")
    return array.reshape(-1)


def pair(y_true: ArrayLike, y_pred: ArrayLike, name: str, class_indices: bool) -> tuple[Array, Array]:
    """Targets and predictions of one dtype, (rows, columns) each, for the loss or metric `name`; a vector is one
    column, and so are class indices."""
    prediction = _columns(y_pred, "y_pred", None)
    target = _columns(y_true, "y_true", prediction.dtype)
    expected = (len(prediction), 1 if class_indices else prediction.shape[1])
    if target.shape != expected:
        raise ValueError(
            f"y_true has the shape {target.shape}; {name} of y_pred {prediction.shape} needs {expected}"
        )
    return target, prediction


def _columns(value: ArrayLike, name: str, dtype: DTypeLike | None) -> Array:
    array = numeric(value, name, dtype)
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise ValueError(f"{name} must have the shape (rows,) or (rows, outputs), not {array.shape}")
    return array.reshape(-1, 1) if array.ndim == 1 else array
