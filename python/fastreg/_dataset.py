"""Dataset: checked arrays as fit and evaluate need them, and how fit splits off validation data.

It must not know sessions or callbacks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastreg._arrays import Array, Shape, check_finite, row_weights, rows
from fastreg._sparse import SparseRows, check_finite_elements, is_sparse, sparse_rows
from fastreg._targets import class_weights, targets
from fastreg.losses import Loss

if TYPE_CHECKING:
    from fastreg._core import Sparse


class Dataset(NamedTuple):
    """x (rows, features), perhaps sparse or of more axes, y (rows, columns), sample_weight (rows,) or None:
    C-contiguous, of one dtype."""

    x: Array | SparseRows
    y: Array
    sample_weight: Array | None

    @property
    def rows(self) -> int:
        return int(self.x.shape[0])

    def split(self, validation_split: float) -> tuple[Dataset, Dataset]:
        """The first rows for training and the last, from floor(rows * (1 - split)), for validation."""
        cut = math.floor(self.rows * (1.0 - validation_split))
        if cut in (0, self.rows):
            lacking = "training" if cut == 0 else "validation"
            raise ValueError(
                f"validation_split={validation_split:g} of {self.rows} rows leaves none for {lacking}"
            )
        return self._part(slice(cut)), self._part(slice(cut, None))

    def _part(self, rows: slice) -> Dataset:
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return Dataset(self.x[rows], self.y[rows], weight)


class Expectation(NamedTuple):
    """What a model takes: its loss, the shape of a row (None: not known yet), whether that may have more axes, the
    width of the output and the dtype."""

    loss: Loss
    input_shape: Shape | None
    flattens: bool
    output_units: int
    dtype: str
    allow_nonfinite: bool = False

    def dataset(self, x: ArrayLike, y: Any, sample_weight: Any, suffix: str = "") -> Dataset:
        """The checked data; `suffix` follows the names in messages."""
        if y is None:
            raise ValueError(
                f"y{suffix} is missing: x and y must be arrays, not one object that yields both "
                "(train_on_batch takes batches one by one)"
            )
        x_array = inputs(x, self.input_shape, self.flattens, self.dtype, f"x{suffix}", self.allow_nonfinite)
        y_array = targets(y, self.loss, self.output_units, self.dtype, f"y{suffix}")
        if len(y_array) != len(x_array):
            raise ValueError(f"y{suffix} has {len(y_array)} rows; x has {len(x_array)}")
        if not self.allow_nonfinite:
            check_finite(y_array, f"y{suffix}", y)
        weight = row_weights(sample_weight, len(x_array), self.dtype, f"sample_weight{suffix}")
        return Dataset(x_array, y_array, weight)

    def weigh_classes(self, data: Dataset, class_weight: Any) -> Dataset:
        """`data` with its row weights multiplied by the weights of the rows' classes."""
        if class_weight is None:
            return data
        weight = class_weights(class_weight, data.y, self.loss, self.output_units)
        if data.sample_weight is not None:
            with np.errstate(over="ignore"):
                weight = weight * data.sample_weight
            if not np.isfinite(weight).all():
                raise ValueError(f"class_weight times sample_weight must be finite in {weight.dtype}")
        return data._replace(sample_weight=weight)

    def validation(self, validation_data: Any, input_shape: Shape) -> Dataset:
        """The checked data of `validation_data=(x, y)` or `(x, y, sample_weight)`."""
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            what = type(validation_data).__name__
            raise ValueError(f"validation_data must be (x, y) or (x, y, sample_weight), not {what}")
        x, y, *rest = validation_data
        same_shape = self._replace(input_shape=input_shape)
        return same_shape.dataset(x, y, rest[0] if rest else None, " of validation_data")


def inputs(
    x: Any,
    shape: Shape | None,
    flattens: bool,
    dtype: str,
    name: str = "x",
    allow_nonfinite: bool = False,
) -> Array | SparseRows:
    """`x` with rows of the shape that layer 0 expects; sparse as it is."""
    array = sparse_rows(x, name, dtype) if is_sparse(x) else rows(x, name, dtype, shape, flattens)
    if shape is not None and array.shape[1:] != shape:
        if flattens:
            raise ValueError(f"{name} has rows of the shape {array.shape[1:]}; layer 0 expects {shape}")
        raise ValueError(f"{name} has {array.shape[1]} columns; layer 0 expects {shape[0]}")
    if allow_nonfinite:
        return array
    if isinstance(array, SparseRows):
        check_finite_elements(array, name)
    else:
        check_finite(array, name, x)
    return array


def native(x: Array | SparseRows) -> Array | Sparse:
    """x as a session takes it."""
    return x.native if isinstance(x, SparseRows) else x.reshape(len(x), -1)
