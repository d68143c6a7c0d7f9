"""What fastreg.sklearn's estimators have in common with scikit-learn's linear models: `coef_`, `intercept_`, and a
regressor that starts at the mean of `y`. It must not test training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.preprocessing import scale

from fastreg import optimizers
from fastreg.sklearn import DenseClassifier, DenseRegressor


def diabetes() -> tuple[Any, Any]:
    x, y = load_diabetes(return_X_y=True)
    return scale(x), scale(y)


@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
def test_predictions_of_a_linear_regressor(outputs: tuple[int, ...]) -> None:
    x, y = diabetes()
    y = np.linspace(1, 2, int(np.prod(outputs))) * y[:, None] if outputs else y
    found = DenseRegressor((), epochs=3, dtype="float64", random_state=0).fit(x, y)
    assert found.coef_.shape == (*outputs, 10)
    assert np.shape(found.intercept_) == outputs
    np.testing.assert_allclose(found.predict(x), x @ found.coef_.T + found.intercept_, rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_of_a_linear_classifier(classes: int) -> None:
    x, y = (part[: 50 * classes] for part in load_iris(return_X_y=True))
    found = DenseClassifier((), epochs=3, dtype="float64", random_state=0).fit(x, y)
    rows = 1 if classes == 2 else 3
    assert (found.coef_.shape, found.intercept_.shape) == ((rows, 4), (rows,))
    z = x @ found.coef_.T + found.intercept_
    p = 1 / (1 + np.exp(-z)) if classes == 2 else np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.predict_proba(x)[:, -1], p[:, -1], rtol=1e-12)


def test_only_linear_networks_have_coefficients() -> None:
    x, y = diabetes()
    with pytest.raises(NotFittedError):
        _ = DenseRegressor(()).coef_
    hidden = DenseRegressor(4, epochs=1).fit(x, y)
    assert not hasattr(hidden, "coef_")
    with pytest.raises(AttributeError, match=r"intercept_ is of networks without hidden layers"):
        _ = hidden.intercept_
    lasso = DenseRegressor((), l1=0.5, batch_size=442, learning_rate=0.01, epochs=1000, random_state=0)
    kept = SelectFromModel(lasso, threshold=1e-12).fit(x, y)
    assert kept.get_support().tolist() == (kept.estimator_.coef_ != 0).tolist()
    assert 0 < kept.get_support().sum() < 10


@pytest.mark.parametrize("offset", [1000.0, -1000.0])
def test_what_is_added_to_y_is_added_to_predictions(offset: float) -> None:
    x, y = diabetes()
    settings: dict[str, Any] = {"epochs": 20, "dtype": "float64", "random_state": 0}
    found = DenseRegressor(16, **settings).fit(x, y + offset).predict(x)
    np.testing.assert_allclose(found - offset, DenseRegressor(16, **settings).fit(x, y).predict(x), atol=1e-8)


@pytest.mark.parametrize(
    "loss",
    [
        "mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "poisson", "mean_squared_logarithmic_error",
        "binary_crossentropy", "categorical_crossentropy",
    ],
)  # fmt: skip
def test_a_regressor_starts_at_the_mean(loss: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.random((200, 3)) * [0.2, 1.0, 0.01]
    y /= y.sum(axis=1, keepdims=True)
    x, weight = np.zeros((200, 2)), rng.random(200)
    still = DenseRegressor((), loss=loss, optimizer=optimizers.SGD(0.0), epochs=1, dtype="float64")
    np.testing.assert_allclose(still.fit(x, y).predict(x[:1]), y.mean(axis=0)[None], rtol=1e-12)
    weighted = np.average(y, axis=0, weights=weight)[None]
    np.testing.assert_allclose(still.fit(x, y, sample_weight=weight).predict(x[:1]), weighted, rtol=1e-12)


def test_a_mean_at_the_end_of_its_range_is_finite() -> None:
    x = np.zeros((20, 2))
    for loss, value in (("poisson", 0.0), ("binary_crossentropy", 0.0), ("binary_crossentropy", 1.0)):
        y = np.full(20, value)
        found = DenseRegressor((), loss=loss, optimizer=optimizers.SGD(0.0), epochs=1).fit(x, y)
        np.testing.assert_allclose(found.predict(x), y, atol=2e-7)
