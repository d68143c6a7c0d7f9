"""Data frames and single columns of pandas, polars and Arrow as arrays of numbers, through narwhals.

It must not know models. Whoever imports it imports narwhals: only when something that is no array has come.
"""

from __future__ import annotations

import sys
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import DTypeLike, NDArray

_ROWS = 4096  # written at a time, so that what is written of a row is still in the cache when its next column comes


def table(value: Any, name: str, dtype: DTypeLike | None) -> NDArray[Any] | None:
    """The numbers of a frame (rows, columns) as `dtype`, or of a column (rows,) as they are; None for anything else.

    `dtype` None is float32 if every column is, else float64. Raises TypeError for columns that hold no numbers and
    ValueError for missing values (NaN in a column that cannot tell it from a missing value is a number), naming the
    column.
    """
    try:
        frame = _narwhals(value)
    except ValueError as error:  # columns of one name
        raise ValueError(f"{name} is no table: {error}") from None
    if isinstance(frame, nw.LazyFrame):
        raise TypeError(f"{name} is a lazy {type(value).__name__}; pass {name}.collect()")
    if isinstance(frame, nw.Series):
        return _numbers(frame, _column(frame.name, name))
    if not isinstance(frame, nw.DataFrame):
        return None
    plain = _plain(frame, dtype)
    if plain is not None:
        return plain
    columns = [_numbers(column, _column(column.name, name)) for column in frame.iter_columns()]
    if dtype is None:
        dtype = "float32" if all(column.dtype == np.float32 for column in columns) else "float64"
    array = np.empty((len(frame), len(columns)), dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found by check_finite
        for start in range(0, len(array), _ROWS):
            rows = slice(start, start + _ROWS)
            for index, column in enumerate(columns):
                array[rows, index] = column[rows]
    return array


def _plain(frame: nw.DataFrame[Any], dtype: DTypeLike | None) -> NDArray[Any] | None:
    """What `table` gives of a frame of pandas whose columns are arrays of NumPy; None for any other. To look at each
    column takes longer than to copy a thousand of its numbers."""
    if not frame.implementation.is_pandas():
        return None
    native: Any = frame.to_native()
    kinds = set(native.dtypes)
    if not all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in kinds):
        return None
    if dtype is None:
        dtype = "float32" if kinds == {np.dtype("float32")} else "float64"
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found by check_finite
        return np.array(native.to_numpy(dtype=dtype), order="C")


def column(value: Any, index: int, name: str) -> str:
    """What messages call column `index` of a frame, or a column; `name` for anything else."""
    frame = _narwhals(value)
    if isinstance(frame, nw.Series):
        return _column(frame.name, name)
    return _column(frame.columns[index], name) if isinstance(frame, nw.DataFrame) else name


def _column(label: Any, name: str) -> str:
    return name if label in (None, "") else f"column {label!r} of {name}"


def _narwhals(value: Any) -> Any:
    return nw.from_native(_as_table(value), pass_through=True, allow_series=True)


def _as_table(value: Any) -> Any:
    """`value`, or, of the Arrow types that narwhals does not know, the one that it knows."""
    arrow = sys.modules.get("pyarrow")
    if arrow is None:
        return value
    if isinstance(value, arrow.RecordBatch):
        return arrow.Table.from_batches([value])
    return arrow.chunked_array([value]) if isinstance(value, arrow.Array) else value


def _numbers(column: nw.Series[Any], where: str) -> NDArray[Any]:
    native: Any = getattr(column.to_native(), "dtype", None)
    kind = column.dtype
    plain = isinstance(native, np.dtype)  # a NumPy array within: nothing is missing in it
    if isinstance(kind, (nw.Categorical, nw.Enum)):
        raise TypeError(
            f"{where} is categorical; encode it as numbers first: its codes (pandas .cat.codes, polars .to_physical()) "
            "or one column for each category (pandas.get_dummies, polars .to_dummies())"
        )
    holds_numbers = native.kind in "fiub" if plain else kind.is_numeric() or isinstance(kind, nw.Boolean)
    if not holds_numbers:
        what = native if plain or isinstance(kind, nw.Unknown) else kind  # Sparse[float64, 0] of pandas
        raise TypeError(
            f"{where} must hold real numbers, but its dtype is {what}; convert it with astype, or drop it"
        )
    if not plain and (missing := column.null_count()):
        values = "1 missing value" if missing == 1 else f"{missing} missing values"
        raise ValueError(f"{where} has {values}; fill or drop them first (pandas .fillna, polars .fill_null)")
    if str(kind) in ("Int128", "UInt128"):  # which NumPy has not
        column = column.cast(nw.Float64)
    array: NDArray[Any] = column.to_numpy()
    return array.astype("float64") if array.dtype.kind == "O" else array  # Decimal
