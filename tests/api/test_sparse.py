"""Matrices of scipy.sparse as x: what a model makes of the same dense array, number for number, and what is refused.

Skipping zeros changes nothing but signs of zeros, so array_equal, to which 0 and -0 are one, is the comparison.
It must not test training itself. It is over 250 lines because it holds every refusal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from api_cases import Y, same_weights
from checks import THREADS, configurations, sha256
from fastreg import _core, callbacks
from fastreg.layers import Activation, Dense, Dropout
from fastreg.models import Sequential
from fastreg.regularizers import L1L2

sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")


def rows(n: int, features: int, seed: int = 0, density: float = 0.05) -> np.ndarray:
    """Dense rows with few elements; the first row and the first and last columns have none."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((n, features)) < density, rng.normal(size=(n, features)), 0.0)
    x[0] = x[:, 0] = x[:, -1] = 0.0
    return x


def network(dtype: str = "float32", units: int = 37, dropout: float = 0.3) -> Sequential:
    net = [
        Dense(units, activation="gelu", kernel_regularizer=L1L2(1e-3, 1e-3)),
        Dropout(dropout),
        Dense(5, activation="tanh"),
        Dense(1, activation="sigmoid"),
    ]
    model = Sequential(net, seed=3, dtype=dtype)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


# ---- numbers ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "features", "batch_size"), [(70, 23, 16), (900, 1000, 500), (40, 5000, 7)])
def test_training_is_that_of_the_dense_array(n: int, features: int, batch_size: int, dtype: str) -> None:
    x, y = rows(n, features), np.arange(n) % 2
    weight = np.linspace(0, 2, n)
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "epochs": 3,
        "verbose": 0,
        "validation_split": 0.2,
        "sample_weight": weight,
        "class_weight": {0: 2.0},
    }
    dense, thin = network(dtype), network(dtype)
    expected = dense.fit(x, y, **settings).history
    given = sparse.csr_array(x)
    assert thin.fit(given, y, **settings).history == expected
    assert same_weights(dense, thin)
    assert dense.evaluate(x, y, verbose=0) == thin.evaluate(given, y, verbose=0)
    assert np.array_equal(dense.predict(x), thin.predict(given))
    assert dense.train_on_batch(x, y) == thin.train_on_batch(given, y)
    assert dense.test_on_batch(x, y) == thin.test_on_batch(given, y)
    assert same_weights(dense, thin)
    for model, data in ((dense, x), (thin, given)):
        model.fit(data, y, shuffle=False, batch_size=batch_size, validation_data=(data, y), verbose=0)
    assert same_weights(dense, thin)


@pytest.mark.parametrize("units", [1, 67])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_for_every_isa_and_thread_count(dtype: str, units: int) -> None:
    x, y = sparse.csr_array(rows(420, 1100)), np.arange(420) % 2
    digests = {}
    for name in configurations(THREADS):
        model = network(dtype, units=units)
        model.fit(x, y, batch_size=400, epochs=2, verbose=0)
        digests[name] = sha256([*model.get_weights(), model.predict(x)])
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("shape", [(33, 60), (900, 1100)])
@pytest.mark.parametrize("units", [1, 3, 16, 31, 32, 33, 64, 65, 130])
def test_every_width(units: int, shape: tuple[int, int]) -> None:
    x, y = rows(*shape, density=0.3), np.arange(shape[0]) % 2
    dense, thin = network(units=units), network(units=units)
    dense.fit(x, y, batch_size=600, epochs=2, verbose=0)
    thin.fit(sparse.csr_matrix(x), y, batch_size=600, epochs=2, verbose=0)
    assert same_weights(dense, thin)


def test_outputs_do_not_overwrite_what_they_are_made_of() -> None:
    x = sparse.csr_array(rows(50, 40))
    model = network(units=1)
    model.predict(x)
    given = (x.indptr.astype(np.int64), x.indices.astype(np.int32), x.data.astype(np.float32), 40)
    before = given[2].copy()
    with pytest.raises(ValueError, match="out must not overlap x in memory"):
        model._session.predict(given, given[2][:50].reshape(50, 1))
    np.testing.assert_array_equal(given[2], before)


def test_a_single_layer_without_bias() -> None:
    x, y = rows(50, 40), np.arange(50) / 50
    both = []
    for data in (x, sparse.csr_array(x)):
        model = Sequential([Dense(1, use_bias=False)], seed=0)
        model.compile("sgd", "mse")
        model.fit(data, y, epochs=3, verbose=0)
        both.append(model)
    assert same_weights(*both)


def test_batch_hooks_see_the_same_epochs() -> None:
    x, y = rows(50, 40), np.arange(50) % 2
    both = []
    for data in (x, sparse.csr_array(x)):
        model, seen = network(), []
        hook = callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, seen=seen: seen.append(logs["loss"])
        )
        test = type("Test", (callbacks.Callback,), {"on_test_batch_end": lambda self, batch, logs: None})()
        model.fit(data, y, verbose=0, validation_data=(data, y), callbacks=[hook, test])
        both.append(seen)
    assert both[0] == both[1]


# ---- what comes in ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "kind", ["csr_matrix", "csc_array", "coo_array", "lil_array", "dok_array", "bsr_array"]
)
def test_every_format(kind: str) -> None:
    x = rows(30, 20)
    model = network()
    assert np.array_equal(model.predict(getattr(sparse, kind)(x)), model.predict(x))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_every_kind_of_number(dtype: str) -> None:
    x = (10 * rows(30, 20, density=0.3)).astype(dtype)
    model = network()
    assert np.array_equal(model.predict(sparse.csr_array(x)), model.predict(x))


def test_unordered_and_repeated_elements_are_taken_and_left_as_they_are() -> None:
    starts, columns, values = [0, 3, 3, 5], [4, 1, 4, 2, 2], [1.0, 2.0, 0.5, 0.0, -1.0]
    x = sparse.csr_array((values, columns, starts), shape=(3, 6))
    model = network()
    assert np.array_equal(model.predict(x), model.predict(x.toarray()))
    assert x.indices.tolist() == columns
    assert x.data.tolist() == values


def test_nothing_is_made_dense() -> None:
    n, features = 64, 2_000_000
    x = sparse.random_array((n, features), density=1e-6, rng=np.random.default_rng(0))  # dense: 512 MB
    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(x, np.ones(n), verbose=0)
    assert model.predict(x).shape == (n, 1)


# ---- refusals -----------------------------------------------------------------------------------------------------
def test_refusals_name_the_argument_and_the_fix() -> None:
    x = sparse.csr_array(rows(50, 4, density=0.5))
    model = network()
    dense = rows(50, 4)
    with pytest.raises(
        TypeError, match=r"y is sparse \(scipy.csr_array\) and must be dense; pass y.toarray\(\)"
    ):
        model.fit(dense, sparse.csr_array(Y.reshape(-1, 1)), verbose=0)
    with pytest.raises(TypeError, match=r"sample_weight is sparse .* pass sample_weight.toarray\(\)"):
        model.fit(dense, Y, sample_weight=sparse.csr_array(Y.reshape(-1, 1)), verbose=0)
    with pytest.raises(ValueError, match="y has 49 rows; x has 50"):
        model.fit(x, Y[:-1], verbose=0)
    model.predict(x)
    with pytest.raises(ValueError, match="x has 3 columns; layer 0 expects 4"):
        model.predict(x[:, :3])
    with pytest.raises(TypeError, match="x must hold real numbers, but its dtype is complex128"):
        model.predict(x.astype(complex))
    with pytest.raises(ValueError, match=r"x is empty: its shape is \(0, 4\)"):
        model.predict(x[:0])
    holed = x.copy()
    holed.data[2] = np.nan
    row, column = np.argwhere(np.isnan(holed.toarray()))[0]
    with pytest.raises(
        ValueError, match=rf"x holds values .* not finite in float32; the first is nan at \[{row}, {column}\]"
    ):
        model.fit(holed, Y, verbose=0)
    model.fit(holed, Y, verbose=0, allow_nonfinite=True)


@pytest.mark.parametrize("first", [Dropout(0.5), Activation("relu")])
def test_the_first_layer_must_be_dense(first: Any) -> None:
    model = Sequential([first, Dense(1)], seed=0)
    model.compile("sgd", "mse")
    x, message = (
        sparse.csr_array(rows(50, 4)),
        r"x is sparse, which only a Dense first layer takes; pass x.toarray\(\)",
    )
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(TypeError, match=message):
            call(x, Y)
    with pytest.raises(TypeError, match=message):
        model.predict(x)
    assert not model.built
    layers = [{"kind": "activation", "activation": "relu"}, {"kind": "dense", "units": 2}]
    session, nothing = _core.Session(layers, 3, "float64", 1), np.array([])
    with pytest.raises(TypeError, match=message):
        session.predict((np.array([0, 0]), nothing.astype(np.int32), nothing, 3), np.empty((1, 2)))


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "csc_array", "bsr_array"])
@pytest.mark.parametrize("start", [10**6, -1, 2**31 - 1])
def test_starts_that_lead_out_of_the_matrix_are_refused(kind: str, start: int) -> None:
    model = network()
    x = getattr(sparse, kind)(rows(30, 20, density=0.3))
    x.indptr[5] = start
    starts, places = x.indptr.copy(), x.indices
    message = f"x is no valid sparse matrix of the format {x.format}: "
    for call in (model.predict, lambda x: model.fit(x, np.ones(30), verbose=0)):
        with pytest.raises(ValueError, match=message):
            call(x)
    assert np.array_equal(x.indptr, starts)
    assert x.indices is places
    assert not model.built


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "bsr_array"])
def test_more_places_that_lead_out_of_the_matrix_are_refused(kind: str) -> None:
    model, make = network(), getattr(sparse, kind)
    message = "x is no valid sparse matrix of the format "
    for index in (10**6, -1):
        x = make(rows(30, 20, density=0.3))
        x.indices[0] = index
        with pytest.raises(ValueError, match=message):
            model.predict(x)
    x = make(rows(30, 20, density=0.3))
    x.indices = x.indices[:3]
    with pytest.raises(ValueError, match=message):
        model.predict(x)
    empty = make((30, 20))
    empty.indptr[5] = 10**6
    with pytest.raises(
        ValueError, match=f"{message}{empty.format}: indptr must be a non-decreasing sequence"
    ):
        model.predict(empty)


def test_elements_outside_of_a_coordinate_matrix_are_refused() -> None:
    model = network()
    for axis in (0, 1):
        for index in (10**6, -1):
            x = sparse.coo_array(rows(30, 20, density=0.3))
            (x.row, x.col)[axis][0] = index
            with pytest.raises(ValueError, match=f"format coo: the places on axis {axis} must be in "):
                model.predict(x)
    x = sparse.coo_array(rows(30, 20, density=0.3))
    x.data = x.data[:2]
    with pytest.raises(ValueError, match="x is no valid sparse matrix of the format coo: axis 0 has "):
        model.predict(x)


STARTS, COLUMNS, VALUES = [0, 2, 3], [0, 2, 1], [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("starts", "columns", "values", "message"),
    [
        ([0, 2, 4], COLUMNS, VALUES, "its rows go beyond its elements"),
        ([-1, 2, 3], COLUMNS, VALUES, "its rows go beyond its elements"),
        ([0, 3, 2], COLUMNS, VALUES, "a row ends before it starts"),
        ([0, 9, 3], COLUMNS, VALUES, "a row ends before it starts"),
        (STARTS, [2, 0, 1], VALUES, "columns must increase along row 0 and be below 3"),
        (STARTS, [0, 0, 1], VALUES, "columns must increase along row 0"),
        (STARTS, [0, 2, 3], VALUES, "columns must increase along row 1 and be below 3"),
        (STARTS, [-1, 2, 1], VALUES, "columns must increase along row 0"),
        (STARTS, COLUMNS, [1.0, 2.0], r"the values of x must have shape \(3,\), one for each column"),
        ([], COLUMNS, VALUES, "the starts of x must be one more than its rows"),
    ],
)
def test_the_native_gate(starts: Any, columns: Any, values: Any, message: str) -> None:
    session = _core.Session([{"kind": "dense", "units": 2}], 3, "float64", 1)
    x = np.array(starts, np.int64), np.array(columns, np.int32), np.array(values), 3
    out = np.zeros((max(len(starts) - 1, 0), 2))
    with pytest.raises(ValueError, match=message):
        session.predict(x, out)
    assert not out.any()
    with pytest.raises(TypeError, match="the columns of x must be a contiguous array of int32"):
        session.predict((np.array(STARTS, np.int64), np.array(COLUMNS, np.int64), values, 3), out)  # type: ignore[arg-type]
