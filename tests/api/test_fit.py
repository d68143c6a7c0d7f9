"""What compile, fit, evaluate, predict and the methods of single batches do and return.

It must not check numbers of training: test_keras_semantics.py does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastreg
from api_cases import X, Y, classifier, same_weights
from fastreg import utils
from fastreg.layers import Dense
from fastreg.models import Sequential


# ---- compile ------------------------------------------------------------------------------------------------------
def test_compiling_again_resets_the_optimizer_and_keeps_weights() -> None:
    model = classifier()
    model.fit(X, Y, verbose=0)
    weights = model.get_weights()
    assert model.optimizer.iterations == 2
    model.compile("adam", "binary_crossentropy")
    assert model.optimizer.iterations == 0
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_uncompiled_models_say_so_and_predict() -> None:
    model = Sequential([Dense(1)])
    assert model.predict(X).shape == (50, 1)
    for call in (lambda: model.fit(X, Y), lambda: model.evaluate(X, Y), lambda: model.train_on_batch(X, Y)):
        with pytest.raises(RuntimeError, match="not compiled"):
            call()
    model.compile("adam")
    with pytest.raises(RuntimeError, match="without a loss"):
        model.fit(X, Y)


@pytest.mark.parametrize(
    ("units", "loss", "y", "expected"),
    [
        (1, "binary_crossentropy", Y, fastreg.metrics.BinaryAccuracy),
        (3, "sparse_categorical_crossentropy", Y, fastreg.metrics.SparseCategoricalAccuracy),
        (2, "categorical_crossentropy", utils.to_categorical(Y), fastreg.metrics.CategoricalAccuracy),
    ],
)
@pytest.mark.parametrize("word", ["accuracy", "acc"])
def test_accuracy_goes_by_loss_and_shapes(units: int, loss: str, y: Any, expected: type, word: str) -> None:
    model = Sequential([Dense(units, activation="softmax" if units > 1 else "sigmoid")], seed=0)
    model.compile("adam", loss, metrics=[word, expected()])
    history = model.fit(X, y, verbose=0).history
    assert history[word] == history[expected().name]


def test_names_of_metrics_in_the_history() -> None:
    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse", metrics=["mse", "mae", fastreg.metrics.MeanSquaredError(), "mse"])
    history = model.fit(X, Y, verbose=0, validation_split=0.2).history
    names = ["loss", "mse", "mae", "mean_squared_error", "mse_1", "data_loss", "penalty", "sparsity"]
    assert list(history) == names + [f"val_{name}" for name in names]
    assert model.metrics_names == ["loss", "mse", "mae", "mean_squared_error", "mse_1"]


def test_weighted_metrics_count_the_weights() -> None:
    weight = np.linspace(0, 2, len(X))
    model = Sequential([Dense(1)], seed=0, dtype="float64")
    model.compile("sgd", "mse", metrics=["mse"], weighted_metrics=["mae"])
    loss, mse, mae = model.evaluate(X, Y, sample_weight=weight, verbose=0)
    error = model.predict(X)[:, 0] - Y
    assert mse == pytest.approx((error**2).mean())
    assert mae == pytest.approx((weight * np.abs(error)).sum() / weight.sum())
    assert loss == pytest.approx((weight * error**2).mean())


# ---- fit ----------------------------------------------------------------------------------------------------------
def test_history_has_keras_keys_and_ours() -> None:
    history = classifier().fit(X, Y, epochs=3, verbose=0, validation_data=(X, Y))
    own = ["loss", "accuracy", "data_loss", "penalty", "sparsity"]
    assert list(history.history) == own + [f"val_{key}" for key in own]
    assert history.epoch == [0, 1, 2]
    assert all(len(values) == 3 for values in history.history.values())


def test_the_split_takes_the_last_rows() -> None:
    a, b = classifier(), classifier()
    with_split = a.fit(X, Y, validation_split=0.25, verbose=0).history
    with_data = b.fit(X[:37], Y[:37], validation_data=(X[37:], Y[37:]), verbose=0).history
    assert with_split == with_data  # 37 = floor(50 * 0.75)


def test_validation_data_overrides_the_split() -> None:
    a, b = classifier(), classifier()
    both = a.fit(X, Y, validation_split=0.5, validation_data=(X, Y), verbose=0).history
    assert both == b.fit(X, Y, validation_data=(X, Y), verbose=0).history


def test_validation_uses_its_sample_weights() -> None:
    weight = np.zeros(len(X))
    history = classifier().fit(X, Y, validation_data=(X, Y, weight), verbose=0).history
    assert history["val_data_loss"] == [0.0]
    assert history["val_accuracy"][0] > 0  # metrics do not count the weights


@pytest.mark.parametrize(("freq", "count"), [(1, 4), (2, 2), ([1, 4], 2), (3, 1)])
def test_validation_freq(freq: Any, count: int) -> None:
    history = classifier().fit(X, Y, epochs=4, verbose=0, validation_split=0.2, validation_freq=freq).history
    assert len(history["val_loss"]) == count
    assert len(history["loss"]) == 4


def test_epochs_is_the_last_index_and_goes_on_from_initial_epoch() -> None:
    whole, parts = classifier(), classifier()
    whole.fit(X, Y, epochs=5, verbose=0)
    parts.fit(X, Y, epochs=2, verbose=0)
    assert parts.fit(X, Y, epochs=5, initial_epoch=2, verbose=0).epoch == [2, 3, 4]
    assert same_weights(whole, parts)
    assert parts.fit(X, Y, epochs=5, initial_epoch=5, verbose=0).epoch == []


class Frame:
    """Like a data frame: no array, but able to become one."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values if dtype is None else self.values.astype(dtype)


@pytest.mark.parametrize(
    "convert",
    [lambda a: a.tolist(), np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2], Frame],
    ids=["lists", "fortran", "strided", "frame"],
)
def test_x_is_anything_numpy_takes(convert: Any) -> None:
    a, b = classifier(), classifier()
    a.fit(convert(X.astype(np.float64)), Y.reshape(-1, 1), verbose=0)
    b.fit(X, Y.astype(bool), verbose=0)
    assert same_weights(a, b)


def test_arrays_are_not_changed() -> None:
    x, y = X.copy(), Y.copy()
    classifier().fit(x, y, epochs=2, verbose=0, validation_split=0.2)
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)


def test_class_indices_as_a_column_or_a_vector() -> None:
    runs = []
    for y in (Y, Y.reshape(-1, 1), Y.astype(np.float64)):
        model = Sequential([Dense(2, activation="softmax")], seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy")
        runs.append(model.fit(X, y, verbose=0).history)
    assert runs[0] == runs[1] == runs[2]


def test_nonfinite_data_is_accepted_when_asked() -> None:
    x = X.copy()
    x[3, 1] = np.nan
    model = classifier()
    history = model.fit(x, Y, verbose=0, allow_nonfinite=True).history
    assert np.isnan(history["loss"][0])
    for method in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(
            ValueError,
            match=r"^x holds values that are not finite in float32; the first is nan at \[3, 1\]. Clean them; "
            r"only Sequential.fit can be told to take them, by allow_nonfinite=True$",
        ):
            method(x, Y)


# ---- evaluate, predict, single batches ----------------------------------------------------------------------------
def test_what_evaluate_returns(capsys: pytest.CaptureFixture[str]) -> None:
    model = classifier()
    values = model.evaluate(X, Y)
    assert "loss: " in capsys.readouterr().out
    as_dict = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert values == [as_dict["loss"], as_dict["accuracy"]]
    model.compile("adam", "binary_crossentropy")
    assert model.evaluate(X, Y, verbose=0) == values[0]
    assert capsys.readouterr().out == ""


def test_predictions_do_not_depend_on_the_batch_size() -> None:
    model = classifier()
    whole = model.predict(X)
    for size in (1, 7, 50):
        assert np.array_equal(model.predict(X, batch_size=size), whole)
    assert np.array_equal(model.predict_on_batch(X[3:4]), whole[3:4])
    assert np.array_equal(model(X), whole)


def test_single_batches_train_like_fit() -> None:
    a, b = classifier(), classifier()
    for start in range(0, 50, 16):
        values = a.train_on_batch(X[start : start + 16], Y[start : start + 16])
    b.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    assert same_weights(a, b)
    assert len(values) == 2
    assert a.optimizer.iterations == 4
    assert a.test_on_batch(X, Y) == a.evaluate(X, Y, batch_size=50, verbose=0)
    assert set(a.train_on_batch(X, Y, return_dict=True)) >= {"loss", "accuracy"}
