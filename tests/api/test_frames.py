"""Data frames and single columns of pandas, polars and Arrow as x, y and sample_weight: the bits of NumPy's arrays.

It must not test training. Each library's tests are skipped where it is not installed. It is over 250 lines
since each library says the same in its own words.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from api_cases import X, Y, classifier, same_weights
from checks import assert_same_bits
from fastreg import models
from fastreg._arrays import numeric

LIBRARIES = ("pandas", "polars", "pyarrow")


def library(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed")


def frame(name: str, columns: dict[str, Any]) -> Any:
    """A frame of the library with these columns."""
    module = library(name)
    return module.table(columns) if name == "pyarrow" else module.DataFrame(columns)


def column(name: str, values: Any) -> Any:
    """A single column, called "target" where columns have names."""
    module = library(name)
    if name == "pyarrow":
        return module.chunked_array([values])
    return module.Series(values, name="target") if name == "pandas" else module.Series("target", values)


def named(x: np.ndarray) -> dict[str, np.ndarray]:
    return {f"c{index}": x[:, index] for index in range(x.shape[1])}


RNG = np.random.default_rng(1)
MIXED: dict[str, np.ndarray] = {
    "double": RNG.normal(size=70),
    "single": RNG.normal(size=70).astype(np.float32),
    "large": RNG.integers(-(2**62), 2**62, 70),
    "bytes": RNG.integers(0, 255, 70).astype(np.uint8),
    "flags": RNG.integers(0, 2, 70).astype(bool),
}

each = pytest.mark.parametrize("name", LIBRARIES)


# ---- bits ---------------------------------------------------------------------------------------------------------
@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_become_the_numbers_that_numpy_makes_of_them(name: str, dtype: str) -> None:
    got = numeric(frame(name, MIXED), "x", dtype)
    assert got.flags.c_contiguous
    assert_same_bits(got, np.column_stack([values.astype(dtype) for values in MIXED.values()]), name)
    for values in MIXED.values():
        assert_same_bits(numeric(column(name, values), "y", dtype), values.astype(dtype), name)


@each
def test_a_long_frame(name: str) -> None:
    x = np.random.default_rng(2).normal(size=(10_001, 3))
    assert_same_bits(numeric(frame(name, named(x)), "x", "float64"), x, name)


@each
def test_a_frame_keeps_float32_only_where_all_is_float32(name: str) -> None:
    single = MIXED["single"]
    assert numeric(frame(name, {"a": single, "b": single}), "x").dtype == np.float32
    assert numeric(frame(name, {"a": single, "b": MIXED["bytes"]}), "x").dtype == np.float64


@each
def test_models_train_as_on_arrays(name: str) -> None:
    weight = np.linspace(0, 1, len(X))
    ours, theirs = classifier(), classifier()
    ours.fit(X, Y, sample_weight=weight, validation_split=0.2, epochs=2, verbose=0)
    x, y, w = frame(name, named(X)), column(name, Y), column(name, weight)
    theirs.fit(x, y, sample_weight=w, validation_split=0.2, epochs=2, verbose=0)
    assert same_weights(ours, theirs)
    one_column = frame(name, {"target": Y})
    for target in (y, one_column):
        assert ours.evaluate(X, Y, verbose=0) == theirs.evaluate(x, target, verbose=0)
        ours.fit(X, Y, validation_data=(X, Y, weight), verbose=0)
        theirs.fit(x, target, validation_data=(x, target, w), verbose=0)
        assert same_weights(ours, theirs)
        assert ours.train_on_batch(X, Y) == theirs.train_on_batch(x, target)
    assert_same_bits(theirs.predict(x), ours.predict(X), name)


@each
def test_several_outputs(name: str) -> None:
    targets = {"a": X[:, 0], "b": X[:, 1]}
    both = []
    for x, y in ((X, np.column_stack(list(targets.values()))), (frame(name, named(X)), frame(name, targets))):
        model = models.Sequential([models._layers.Dense(2)], seed=0)
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)
        both.append(model)
    assert same_weights(*both)


def test_nullable_columns_of_pandas_without_missing_values() -> None:
    pandas = library("pandas")
    kinds = {"a": "Int64", "b": "Float32", "c": "boolean", "d": "UInt8", "e": "Float64"}
    values = {"a": [3, -5], "b": [0.1, 2.5], "c": [True, False], "d": [7, 255], "e": [0.1, -1e300]}
    table = pandas.DataFrame({name: pandas.array(values[name], dtype=kind) for name, kind in kinds.items()})
    expected = np.column_stack([np.array(column, np.float64) for column in values.values()])
    expected[:, 1] = np.array(values["b"], np.float32)
    assert_same_bits(numeric(table, "x", "float64"), expected, "nullable")
    library("pyarrow")
    arrow = table.astype({"a": "int64[pyarrow]", "b": "float[pyarrow]", "c": "bool[pyarrow]"})
    assert_same_bits(numeric(arrow, "x", "float64"), expected, "arrow-backed")


def test_arrow_arrays_and_batches() -> None:
    arrow = library("pyarrow")
    batch = arrow.record_batch({"a": [1.0, 2.0], "b": [3, 4]})
    assert numeric(batch, "x", "float64").tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert numeric(arrow.array([1, 2]), "y", "float64").tolist() == [1.0, 2.0]
    assert numeric(arrow.chunked_array([[1, 2], [3]]), "y", "float64").tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"^y has 1 missing value; fill or drop"):
        numeric(arrow.array([1, None]), "y", "float64")


def test_nan_in_a_plain_column_is_a_number() -> None:
    pandas = library("pandas")
    holed = X.copy()
    holed[3, 2] = np.nan
    model = classifier()
    got = model.predict(pandas.DataFrame(named(holed)))
    assert np.isnan(got[3, 0])
    assert_same_bits(got, model.predict(holed), "NaN")


@each
def test_the_column_of_a_value_that_is_not_finite_is_named(name: str) -> None:
    holed = X.copy()
    holed[3, 2] = np.nan
    x, end = (
        frame(name, named(holed)),
        r" holds values that are not finite in float32; the first is (nan|inf) at \[",
    )
    model = classifier()
    with pytest.raises(ValueError, match=rf"^column 'c2' of x{end}3, 2\]"):
        model.fit(x, Y, verbose=0)
    with pytest.raises(ValueError, match=rf"^column 'c2' of x of validation_data{end}3, 2\]"):
        model.fit(X, Y, validation_data=(x, Y), verbose=0)
    y = np.where(np.arange(len(Y)) == 5, np.inf, Y)
    owner = "y" if name == "pyarrow" else "column 'target' of y"  # its arrays have no names
    with pytest.raises(ValueError, match=rf"^{owner}{end}5, 0\]"):
        model.fit(X, column(name, y), verbose=0)


# ---- refusals -----------------------------------------------------------------------------------------------------
@each
@pytest.mark.parametrize(
    ("values", "dtype"), [(["u", "v"], "[Ss]tr|object"), ([datetime.datetime(2026, 1, 2)] * 2, "[Dd]ate")]
)
def test_a_column_without_numbers_is_named(name: str, values: list[Any], dtype: str) -> None:
    x = frame(name, {"age": [1.0, 2.0], "city": values})
    with pytest.raises(
        TypeError, match=f"column 'city' of x must hold real numbers, but its dtype is .*({dtype})"
    ):
        classifier().predict(x)


def categories(name: str) -> Any:
    module = library(name)
    if name == "pandas":
        return module.Categorical(["u", "v", "u"])
    if name == "polars":
        return module.Series(["u", "v", "u"], dtype=module.Categorical)
    return module.array(["u", "v", "u"]).dictionary_encode()


@each
def test_categories_are_refused_with_the_fix(name: str) -> None:
    x = frame(name, {"age": [1.0, 2.0, 3.0], "city": categories(name)})
    with pytest.raises(
        TypeError, match=r"column 'city' of x is categorical; encode it as numbers first.*get_dummies"
    ):
        classifier().predict(x)


def holed(name: str, values: list[Any]) -> Any:
    return library(name).array(values, dtype="Int64") if name == "pandas" else values


@each
def test_missing_values_are_refused_by_name(name: str) -> None:
    model = classifier()
    x = frame(name, {**named(X[:3]), "c1": holed(name, [1, None, None])})
    for call in (lambda: model.predict(x), lambda: model.fit(x, Y[:3], allow_nonfinite=True, verbose=0)):
        with pytest.raises(
            ValueError, match="column 'c1' of x has 2 missing values; fill or drop them first"
        ):
            call()
    y = frame(name, {"target": holed(name, [0, 1, None])})
    with pytest.raises(ValueError, match="column 'target' of y has 1 missing value; fill or drop"):
        model.fit(X[:3], y, verbose=0)
    weight = frame(name, {"w": holed(name, [1, None, 2])})
    with pytest.raises(ValueError, match="column 'w' of sample_weight has 1 missing value"):
        model.fit(X[:3], Y[:3], sample_weight=weight, verbose=0)
    with pytest.raises(ValueError, match="column 'c1' of x of validation_data has 2 missing values"):
        model.fit(X, Y, validation_data=(x, Y[:3]), verbose=0)


@each
def test_a_single_column_is_named_where_it_has_a_name(name: str) -> None:
    where = "y" if name == "pyarrow" else "column 'target' of y"
    with pytest.raises(ValueError, match=f"^{where} has 1 missing value"):
        classifier().fit(X[:2], column(name, holed(name, [1, None])), verbose=0)
    with pytest.raises(TypeError, match=f"^{where} must hold real numbers"):
        classifier().fit(X[:2], column(name, ["a", "b"]), verbose=0)


@each
def test_shapes_are_checked_as_for_arrays(name: str) -> None:
    model = classifier()
    model.predict(X)
    with pytest.raises(ValueError, match="x has 3 columns; layer 0 expects 4"):
        model.predict(frame(name, named(X[:, :3])))
    with pytest.raises(ValueError, match=r"x must have the shape \(n, features\)"):
        model.predict(column(name, X[:, 0]))
    with pytest.raises(ValueError, match="x is empty"):
        model.predict(frame(name, {"a": np.empty(0)}))


def test_frames_that_are_no_table_of_numbers() -> None:
    pandas = library("pandas")
    twice = pandas.DataFrame(X[:, :2], columns=["a", "a"])
    with pytest.raises(ValueError, match=r"x is no table: .*unique"):
        classifier().predict(twice)
    text: Callable[..., Any] = pandas.DataFrame({"a": np.array([1.0, "b"], object)})
    with pytest.raises(
        TypeError, match="column 'a' of x must hold real numbers, but its dtype is object; convert"
    ):
        classifier().predict(text)


def test_lazy_frames_are_refused_with_the_fix() -> None:
    polars = library("polars")
    with pytest.raises(TypeError, match=r"x is a lazy LazyFrame; pass x.collect\(\)"):
        classifier().predict(polars.LazyFrame(named(X)))


# ---- imports ------------------------------------------------------------------------------------------------------
def test_arrays_do_not_import_narwhals() -> None:
    program = """
import sys
import numpy as np
import fastreg
model = fastreg.Sequential([fastreg.layers.Dense(1)], seed=0)
model.compile("sgd", "mse")
model.fit(np.ones((4, 2)), [1, 2, 3, 4], sample_weight=memoryview(np.ones(4)), verbose=0)
sys.exit("narwhals" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
