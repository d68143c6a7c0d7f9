"""SparseRows: the rows of a scipy.sparse matrix as the native core takes them, without zeros.

It must not know models, nor import SciPy: whoever passes such a matrix has.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastreg import _core
from fastreg._arrays import nonfinite

if TYPE_CHECKING:
    from fastreg._core import Sparse


@dataclass(frozen=True)
class SparseRows:
    """The elements of row r are those from starts[r] to starts[r + 1], by increasing column, each column once."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[Any]
    features: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.features

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: slice) -> SparseRows:
        """Some rows that follow one another, in the same memory."""
        begin, end, _ = rows.indices(len(self))
        return SparseRows(self.starts[begin : end + 1], self.columns, self.values, self.features)

    @property
    def native(self) -> Sparse:
        return self.starts, self.columns, self.values, self.features


def check_finite_elements(x: SparseRows, name: str) -> None:
    """Raise ValueError, naming the first bad place, if an element of `x` is NaN or infinite."""
    if _core.all_finite(x.values):
        return
    element = int(np.flatnonzero(~np.isfinite(x.values))[0])
    row = int(np.searchsorted(x.starts, element, side="right")) - 1
    raise nonfinite(x.values[element], [row, int(x.columns[element])], name)


def is_sparse(value: Any) -> bool:
    """Whether `value` is a matrix or an array of scipy.sparse."""
    scipy_sparse = sys.modules.get("scipy.sparse")
    return scipy_sparse is not None and bool(scipy_sparse.issparse(value))


def sparse_rows(value: Any, name: str, dtype: str) -> SparseRows:
    """A copy of `value`, of any format of scipy.sparse; what it holds twice is added, what it holds as 0 stays."""
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, but its dtype is {value.dtype}")
    if value.ndim != 2:
        raise ValueError(
            f"{name} must have the shape (n, features), not {value.shape}; pass {name}.reshape(1, -1)"
        )
    if 0 in value.shape:
        raise ValueError(f"{name} is empty: its shape is {value.shape}")
    if value.shape[1] > np.iinfo(np.int32).max:
        raise ValueError(f"{name} has {value.shape[1]} columns; a sparse one may have 2**31 - 1")
    _check_format(value, name)
    csr = value.tocsr(copy=True)
    csr.sum_duplicates()  # and in order
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found by check_finite
        values = csr.data.astype(dtype, copy=False)
    starts, columns = csr.indptr.astype(np.int64, copy=False), csr.indices.astype(np.int32, copy=False)
    return SparseRows(starts, columns, values, value.shape[1])


def _check_format(value: Any, name: str) -> None:
    """Raise ValueError where the places in `value` lead out of it: SciPy would follow them."""
    try:
        if value.format in ("csr", "csc", "bsr"):
            starts = np.asarray(value.indptr)
            copy.copy(value).check_format(full_check=True)  # which may change the object, not its arrays
            if np.any(starts[1:] < starts[:-1]):  # not looked at where the last is 0
                raise ValueError("indptr must be a non-decreasing sequence")
        elif value.format == "coo":
            for axis, (places, size) in enumerate(zip((value.row, value.col), value.shape)):
                if places.shape != value.data.shape:
                    raise ValueError(f"axis {axis} has {places.shape} places for {value.data.shape} elements")
                if places.size and (places.min() < 0 or places.max() >= size):
                    raise ValueError(f"the places on axis {axis} must be in [0, {size})")
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name} is no valid sparse matrix of the format {value.format}: {error}") from None
