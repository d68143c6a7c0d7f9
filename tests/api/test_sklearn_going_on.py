"""fastreg.sklearn's fits that start from the last (`warm_start`) and that train on (`partial_fit`): they must be the
Sequential that the same calls make. It must not test what a first fit does (test_sklearn_estimators.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.preprocessing import scale

from fastreg.layers import Dense
from fastreg.models import Sequential
from fastreg.regularizers import L1L2
from fastreg.sklearn import DenseClassifier, DenseRegressor


def iris() -> tuple[Any, Any]:
    x, y = load_iris(return_X_y=True)
    return scale(x), np.array(["setosa", "versicolor", "virginica"])[y]


def diabetes() -> tuple[Any, Any]:
    x, y = load_diabetes(return_X_y=True)
    return scale(x), scale(y)


def linear(y: Any, l1: float = 0.0) -> Sequential:
    """What DenseRegressor((), random_state=0) builds for diabetes and `y`."""
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    model = Sequential([Dense(1, kernel_regularizer=L1L2(l1, 0.0))], seed=seed)
    model.compile("adam", "mean_squared_error")
    model.build((None, 10))
    model.set_weights([model.get_weights()[0], [y.mean()]])
    return model


def assert_same_weights(found: Any, model: Sequential) -> None:
    for a, b in zip(found.model_.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_warm_start_begins_with_the_last_weights_and_a_new_optimizer() -> None:
    x, y = diabetes()
    found = DenseRegressor((), epochs=3, random_state=0, warm_start=True).fit(x, y)
    model = linear(y)
    model.fit(x, y, epochs=3, verbose=0)
    assert_same_weights(found, model)
    found.set_params(l1=0.1, epochs=2).fit(x, y)
    warm = linear(y, 0.1)
    warm.set_weights(model.get_weights())
    history = warm.fit(x, y, epochs=2, verbose=0)
    assert_same_weights(found, warm)
    assert (found.history_, found.n_iter_) == (history.history, 2)


def test_a_path_of_penalties_needs_few_epochs_with_a_warm_start() -> None:
    """The Lasso's path from the largest penalty down: each fit, though short, finds the zeros of a long one."""
    x, y = diabetes()
    settings = {"batch_size": len(x), "learning_rate": 0.01, "random_state": 0}
    path = DenseRegressor((), warm_start=True, epochs=400, **settings)
    for l1 in (0.8, 0.4, 0.2):
        path.set_params(l1=l1).fit(x, y)
        alone = DenseRegressor((), l1=l1, epochs=4000, **settings).fit(x, y)
        found = path.model_.get_weights()[0], alone.model_.get_weights()[0]
        np.testing.assert_array_equal(*(w == 0 for w in found))
        np.testing.assert_allclose(*found, atol=1e-3)


def test_parts_are_epochs_of_one_model() -> None:
    x, y = diabetes()
    found, model = DenseRegressor((), random_state=0), linear(y[:200])
    logs = []
    for part in (slice(0, 200), slice(200, 442), slice(0, 100)):
        assert found.partial_fit(x[part], y[part]) is found
        logs.append(model.fit(x[part], y[part], verbose=0).history["loss"][0])
    assert_same_weights(found, model)
    assert found.model_.optimizer.iterations == model.optimizer.iterations == 7 + 8 + 4
    assert (found.history_["loss"], found.n_iter_) == (logs, 3)
    weight = np.random.default_rng(0).random(442)
    found.partial_fit(x, y, sample_weight=weight)
    model.fit(x, y, sample_weight=weight / weight.mean(), verbose=0)
    assert_same_weights(found, model)
    found.fit(x, y).partial_fit(x, y)
    assert found.n_iter_ == len(found.history_["loss"]) == 101


def test_parts_need_not_hold_every_class() -> None:
    x, y = iris()
    found = DenseClassifier(8, learning_rate=0.01, random_state=0)
    for label in np.unique(y):
        found.partial_fit(x[y == label], y[y == label], classes=np.unique(y))
    assert found.classes_.tolist() == np.unique(y).tolist()
    order = np.random.default_rng(0).permutation(len(x))
    for _ in range(40):
        for part in np.array_split(order, 3):
            found.partial_fit(x[part], y[part])
    assert found.score(x, y) > 0.95


def test_parts_of_several_labels() -> None:
    x, y = make_multilabel_classification(200, 8, n_classes=3, random_state=0)
    found = DenseClassifier(16, learning_rate=0.01, random_state=0)
    for _ in range(60):
        found.partial_fit(scale(x)[:100], y[:100]).partial_fit(scale(x)[100:], y[100:])
    assert found.predict_proba(x).shape == y.shape
    assert (found.predict(scale(x)) == y).mean() > 0.9


def test_a_penalty_counts_from_the_next_part_on() -> None:
    x, y = diabetes()
    found = DenseRegressor((), batch_size=442, learning_rate=0.01, random_state=0)
    for _ in range(50):
        found.partial_fit(x, y)
    assert (found.model_.get_weights()[0] != 0).all()
    found.set_params(l1=0.8)
    for _ in range(300):
        found.partial_fit(x, y)
    alone = DenseRegressor((), l1=0.8, batch_size=442, learning_rate=0.01, epochs=2000, random_state=0).fit(
        x, y
    )
    np.testing.assert_array_equal(found.feature_importances_ == 0, alone.feature_importances_ == 0)


def test_a_part_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = diabetes()
    found = DenseRegressor((), optimizer="sgd", random_state=0).partial_fit(x, y)
    before, weights, steps = dict(vars(found)), found.model_.get_weights(), found.model_.optimizer.iterations
    with pytest.raises(ValueError, match="training diverged: the loss of epoch 1 is"):
        found.partial_fit(1e30 * x, y)
    with pytest.raises(ValueError, match="X has 3 features, but DenseRegressor is expecting 10"):
        found.partial_fit(x[:, :3], y)

    def interrupted(self: Sequential, *_: Any, **__: Any) -> None:
        self.set_weights([w + 1 for w in self.get_weights()])
        raise KeyboardInterrupt

    monkeypatch.setattr(Sequential, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found.partial_fit(x, y)
    assert all(vars(found)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(found.model_.get_weights()[0], weights[0])
    assert found.model_.optimizer.iterations == steps


def fails(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_what_cannot_go_on_is_named() -> None:
    x, y = iris()
    two = np.isin(y, ("setosa", "virginica"))
    first = DenseClassifier(4, epochs=1, random_state=0, warm_start=True)
    fails("classes must be given to the first partial_fit", lambda: first.partial_fit(x, y))
    fails(
        r"y must hold the classes \['setosa', 'versicolor'\].*it holds \['setosa', 'versicolor', 'virginica'\]",
        lambda: first.partial_fit(x, y, classes=["versicolor", "setosa"]),
    )
    assert not hasattr(first, "classes_")
    first.fit(x[two], y[two])
    fails(
        r"y must hold the classes \['setosa', 'virginica'\], those of `classes` or of the fit before",
        lambda: first.fit(x, y),
    )
    fails(
        r"classes must be those of the first call, \['setosa', 'virginica'\], not \['setosa'\]",
        lambda: first.partial_fit(x[two], y[two], classes=["setosa"]),
    )
    fails("shapes are .*4, 4.*now ask for .*3, 4", lambda: first.fit(x[two, :3], y[two]))
    fails(
        "shapes are .*4, 4.*now ask for .*4, 8",
        lambda: first.set_params(hidden_layer_sizes=8).fit(x[two], y[two]),
    )
    assert first.set_params(warm_start=False).fit(x, y).classes_.tolist() == np.unique(y).tolist()
    first.set_params(early_stopping=True)
    fails("early_stopping must be False for partial_fit", lambda: first.partial_fit(x, y))
    first.set_params(early_stopping=False, class_weight="balanced")
    fails("class_weight must be a dict for partial_fit, not 'balanced'", lambda: first.partial_fit(x, y))
    first.set_params(warm_start="yes")
    with pytest.raises(TypeError, match="warm_start"):
        first.fit(x, y)
    numbers = DenseRegressor(4, epochs=1).fit(x, np.ones((150, 2)))
    fails(
        r"y must have rows of shape \(2,\), as in the first call, not \(\)",
        lambda: numbers.partial_fit(x, np.ones(150)),
    )
