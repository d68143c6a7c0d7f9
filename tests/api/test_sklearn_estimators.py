"""fastreg.sklearn against scikit-learn's own checks of estimators, and what it makes of its settings.
It must not test training: the estimators must give what the same Sequential gives."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import Lasso
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastreg import losses, optimizers
from fastreg.callbacks import EarlyStopping
from fastreg.layers import Dense, Dropout
from fastreg.models import Sequential
from fastreg.regularizers import L1L2
from fastreg.sklearn import DenseClassifier, DenseRegressor

# A weight of 0 removes a row's gradient from its batch, not the row: the batches are others then. So it is with
# scikit-learn's MLPClassifier.
BATCHES = "batches of shuffled rows: leaving a row out changes them"
EXPECTED = dict.fromkeys(
    (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    ),
    BATCHES,
)


CHECKS = [
    case
    for estimator in (DenseClassifier(), DenseRegressor())
    for case in estimator_checks_generator(estimator, expected_failed_checks=EXPECTED, mark="xfail")
]


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=lambda part: getattr(part, "func", type(part)).__name__
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def iris() -> tuple[Any, Any]:
    x, y = load_iris(return_X_y=True)
    return scale(x), np.array(["setosa", "versicolor", "virginica"])[y]


def test_a_classifier_is_the_sequential_that_its_settings_describe() -> None:
    x, y = iris()
    found = DenseClassifier((8, 4), "tanh", l1=1e-3, l2=1e-2, dropout=0.25, epochs=5, random_state=3).fit(
        x, y
    )
    seed = int(np.random.RandomState(3).randint(2**31 - 1))
    penalty = L1L2(1e-3, 1e-2)
    model = Sequential(
        [
            Dense(8, "tanh", kernel_regularizer=penalty),
            Dropout(0.25),
            Dense(4, "tanh", kernel_regularizer=penalty),
            Dropout(0.25),
            Dense(3, "softmax", kernel_regularizer=penalty),
        ],
        seed=seed,
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, np.unique(y, return_inverse=True)[1], epochs=5, verbose=0)
    assert found.history_ == history.history
    assert found.n_iter_ == 5
    np.testing.assert_array_equal(found.predict_proba(x), model.predict(x))
    assert found.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert found.predict(x).tolist() == found.classes_[model.predict(x).argmax(axis=1)].tolist()
    np.testing.assert_allclose(np.exp(found.predict_log_proba(x)), found.predict_proba(x), rtol=1e-6)


def test_two_classes_have_one_output_and_two_probabilities() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    found = DenseClassifier(16, epochs=20, random_state=0).fit(scale(x), y)
    p = found.predict_proba(scale(x))
    assert found.model_.output_shape == (None, 1)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-6)
    assert found.score(scale(x), y) > 0.95


def test_the_same_random_state_gives_the_same_bits() -> None:
    x, y = iris()
    one, other = (DenseClassifier(epochs=3, random_state=7, early_stopping=True).fit(x, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(x), other.predict_proba(x))
    another = DenseClassifier(epochs=3, random_state=8, early_stopping=True).fit(x, y)
    assert not np.array_equal(one.predict_proba(x), another.predict_proba(x))


def test_a_linear_regressor_finds_the_lasso() -> None:
    x, y = load_diabetes(return_X_y=True)
    x, y = scale(x), scale(y)
    found = DenseRegressor(
        (),
        l1=0.2,
        optimizer=optimizers.SGD(0.1),
        batch_size=len(x),
        epochs=2000,
        random_state=0,
        dtype="float64",
    ).fit(x, y)
    expected = Lasso(alpha=0.1, tol=1e-10).fit(x, y)  # half the squares, half the penalty
    kernel = found.model_.layers[0].kernel[:, 0]
    assert kernel.dtype == np.float64
    assert 0 < (expected.coef_ == 0).sum() < len(kernel)
    np.testing.assert_array_equal(kernel == 0, expected.coef_ == 0)
    np.testing.assert_allclose(kernel, expected.coef_, rtol=0, atol=1e-7)


def test_a_regressor_answers_in_the_shape_of_y() -> None:
    x, y = load_diabetes(return_X_y=True)
    x = scale(x)
    for target in (y, y[:, None], np.stack([y, -y], axis=1)):
        found = DenseRegressor(8, epochs=1, random_state=0).fit(x, target)
        assert found.predict(x).shape == target.shape


def test_a_search_over_penalties_in_a_pipeline() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), DenseClassifier(16, epochs=15, random_state=0))
    search = GridSearchCV(
        pipeline, {"denseclassifier__l1": [1e-4, 0.1], "denseclassifier__dropout": [0.0, 0.5]}, cv=3
    )
    search.fit(x, y)
    assert search.best_params_["denseclassifier__l1"] == 1e-4  # 0.1 takes every weight
    assert search.best_score_ > 0.95


def test_early_stopping_holds_rows_back_and_keeps_the_best_weights() -> None:
    x, y = iris()
    weight = np.linspace(0.5, 1.5, len(x))
    settings = {
        "epochs": 200,
        "early_stopping": True,
        "validation_fraction": 0.2,
        "patience": 3,
        "learning_rate": 0.05,
    }
    found = DenseClassifier(16, random_state=1, **settings).fit(x, y, sample_weight=weight)
    assert found.n_iter_ < 200
    seen = found.history_["val_loss"]
    best = int(np.argmin(seen))
    assert found.n_iter_ == best + 1 + 3
    random = np.random.RandomState(1)
    seed = int(random.randint(2**31 - 1))
    labels = np.unique(y, return_inverse=True)[1]
    parts = train_test_split(x, labels, weight, test_size=0.2, random_state=random, stratify=labels)
    model = Sequential([Dense(16, "relu"), Dense(3, "softmax")], seed=seed)
    model.compile(optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    x_train, x_val, y_train, y_val, w_train, w_val = parts
    stopping = EarlyStopping(patience=3, restore_best_weights=True)
    history = model.fit(
        x_train, y_train, sample_weight=w_train, validation_data=(x_val, y_val, w_val), epochs=200, verbose=0,
        callbacks=[stopping],
    )  # fmt: skip
    assert found.history_ == history.history
    np.testing.assert_array_equal(found.predict_proba(x), model.predict(x))
    assert model.evaluate(x_val, y_val, sample_weight=w_val, verbose=0) == pytest.approx(seen[best], rel=1e-6)


def test_settings_are_neither_changed_nor_shared() -> None:
    x, y = iris()
    rate = optimizers.SGD(0.25, momentum=0.5)
    estimator = DenseClassifier(4, optimizer=rate, learning_rate=0.125, epochs=1, random_state=0)
    estimator.fit(x, y)
    again = clone(estimator).fit(x, y)
    assert (rate.learning_rate, rate.iterations) == (0.25, 0)
    trained = estimator.model_.optimizer
    assert (type(trained), trained.learning_rate, trained.momentum) == (optimizers.SGD, 0.125, 0.5)
    np.testing.assert_array_equal(again.predict_proba(x), estimator.predict_proba(x))


def test_a_loss_of_ones_own_choice() -> None:
    x, y = load_diabetes(return_X_y=True)
    found = DenseRegressor(4, loss=losses.Huber(0.5), epochs=1, random_state=0).fit(scale(x), scale(y))
    assert found.model_.loss.get_config()["delta"] == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes must"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes must"),
        ({"dropout": 1.5}, "dropout must"),
        ({"l1": -1.0}, "l1 must"),
        ({"epochs": 0}, "epochs must"),
        ({"learning_rate": -1.0}, "learning_rate must"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction must"),
        ({"early_stopping": "yes"}, "early_stopping must"),
        ({"early_stopping": True, "patience": -1}, "patience must"),
        ({"loss": "mape"}, "unknown loss"),
    ],
)
def test_bad_settings_are_named_by_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        DenseClassifier(**settings).fit(*iris())


def test_bad_data_is_named() -> None:
    x, y = iris()
    with pytest.raises(ValueError, match=r"^y must hold at least two classes; it holds one class"):
        DenseClassifier().fit(x, np.full(len(x), "setosa"))
    with pytest.raises(ValueError, match=r"^sample_weight must hold a weight above 0"):
        DenseClassifier().fit(x, y, sample_weight=np.zeros(len(x)))
    with pytest.raises(ValueError, match=r"^sample_weight must have the shape \(150,\)"):
        DenseClassifier(epochs=1).fit(x, y, sample_weight=np.ones(3))


def test_a_missing_scikit_learn_is_explained() -> None:
    program = """
import sys
sys.modules["sklearn"] = None
import fastreg
try:
    import fastreg.sklearn
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.startswith("fastreg.sklearn needs scikit-learn 1.6 or newer (")
