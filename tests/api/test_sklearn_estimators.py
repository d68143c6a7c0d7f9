"""fastreg.sklearn against scikit-learn's own checks of estimators, and what it makes of its settings.
It must not test training: the estimators must give what the same Sequential gives, or scikit-learn's linear models. It
is over 250 lines because settings, weights of rows, failures and messages each have their tests."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.ensemble import AdaBoostClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import ElasticNet, LogisticRegression, PoissonRegressor
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastreg import losses, optimizers
from fastreg.callbacks import EarlyStopping, LearningRateScheduler
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


def cancer() -> tuple[Any, Any]:
    x, y = load_breast_cancer(return_X_y=True)
    return scale(x), y


def diabetes() -> tuple[Any, Any]:
    x, y = load_diabetes(return_X_y=True)
    return scale(x), scale(y)


def shares(p: np.ndarray) -> np.ndarray:
    """Probabilities as the estimator gives them for float64 rows: what float32 rounded off is made good."""
    p = p.astype(np.float64)
    return p / p.sum(axis=1, keepdims=True)


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
    np.testing.assert_array_equal(found.predict_proba(x), shares(model.predict(x)))
    assert found.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert found.predict(x).tolist() == found.classes_[model.predict(x).argmax(axis=1)].tolist()
    np.testing.assert_allclose(np.exp(found.predict_log_proba(x)), found.predict_proba(x), rtol=1e-6)


def test_two_classes_have_one_output_and_two_probabilities() -> None:
    x, y = cancer()
    found = DenseClassifier(16, epochs=20, random_state=0).fit(x, y)
    p = found.predict_proba(x)
    assert found.model_.output_shape == (None, 1)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-6)
    assert found.score(x, y) > 0.95


def test_probabilities_sum_to_1_in_the_precision_of_x() -> None:
    x, y = iris()
    found = DenseClassifier(8, epochs=5, random_state=0).fit(x, y)
    for dtype in (np.float64, np.float32):
        p = found.predict_proba(x.astype(dtype))
        assert p.dtype == dtype
        np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=4 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(found.predict(x.astype(dtype)), found.classes_[p.argmax(axis=1)])
        log_loss(y, p)  # warns, and so fails, where rows do not sum to 1


def test_the_same_random_state_gives_the_same_bits() -> None:
    x, y = iris()
    one, other = (DenseClassifier(epochs=3, random_state=7, early_stopping=True).fit(x, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(x), other.predict_proba(x))
    another = DenseClassifier(epochs=3, random_state=8, early_stopping=True).fit(x, y)
    assert not np.array_equal(one.predict_proba(x), another.predict_proba(x))


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5], ids=["lasso", "elastic net"])
def test_a_linear_regressor_finds_scikit_learns_elastic_net(l1_ratio: float) -> None:
    x, y = diabetes()
    alpha = 0.1
    found = DenseRegressor(
        (),
        l1=2 * alpha * l1_ratio,
        l2=alpha * (1 - l1_ratio),
        optimizer=optimizers.SGD(0.1),
        batch_size=len(x),
        epochs=2000,
        random_state=0,
        dtype="float64",
    ).fit(x, y)
    expected = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-10).fit(x, y)
    kernel = found.model_.layers[0].kernel[:, 0]
    assert kernel.dtype == np.float64
    assert 0 < (expected.coef_ == 0).sum() < len(kernel)
    np.testing.assert_array_equal(kernel == 0, expected.coef_ == 0)
    np.testing.assert_allclose(kernel, expected.coef_, rtol=0, atol=1e-7)


def test_what_programs_for_mlp_classifier_look_at() -> None:
    x, y = iris()
    network = DenseClassifier((5, 4), epochs=3, l2=1e-3, random_state=0).fit(x, y)
    assert [k.shape for k in network.coefs_] == [(4, 5), (5, 4), (4, 3)]
    z = x
    for kernel, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        z = np.maximum(z @ kernel + bias, 0)
    z = np.exp(z @ network.coefs_[-1] + network.intercepts_[-1])
    np.testing.assert_allclose(network.predict_proba(x), z / z.sum(axis=1, keepdims=True), rtol=1e-5)
    assert network.loss_curve_ == network.history_["loss"]
    assert len(network.loss_curve_) == 3
    with pytest.raises(NotFittedError):
        _ = DenseClassifier().coefs_


@pytest.mark.filterwarnings("ignore:'penalty' was deprecated")  # scikit-learn 1.7 needs it
def test_a_linear_classifier_finds_scikit_learns_logistic_regression() -> None:
    x, y = cancer()
    n, c = len(x), 0.05
    settings = {"batch_size": n, "epochs": 3000, "random_state": 0, "dtype": "float64"}
    rate = optimizers.SGD(0.2, momentum=0.9)
    lasso = DenseClassifier((), l1=1 / (c * n), optimizer=rate, **settings).fit(x, y)
    expected = LogisticRegression(
        C=c, penalty="elasticnet", l1_ratio=1, solver="saga", tol=1e-8, max_iter=20000
    ).fit(x, y)
    kernel = lasso.model_.layers[0].kernel[:, 0]
    assert 0 < (expected.coef_ == 0).sum() < len(kernel)
    np.testing.assert_array_equal(kernel == 0, expected.coef_[0] == 0)
    np.testing.assert_allclose(kernel, expected.coef_[0], rtol=0, atol=1e-4)
    ridge = DenseClassifier((), l2=1 / (2 * c * n), optimizer=rate, **settings).fit(x, y)
    expected = LogisticRegression(C=c, tol=1e-8, max_iter=20000).fit(x, y)
    np.testing.assert_allclose(ridge.model_.layers[0].kernel[:, 0], expected.coef_[0], rtol=0, atol=1e-4)


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
    weight = np.linspace(1.0, 5.0, len(x))
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
    weight /= weight.mean()
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
    np.testing.assert_array_equal(found.predict_proba(x), shares(model.predict(x)))
    assert model.evaluate(x_val, y_val, sample_weight=w_val, verbose=0) == pytest.approx(seen[best], rel=1e-6)


def test_only_ratios_of_row_weights_count() -> None:
    x, y = iris()
    weight = np.random.default_rng(0).uniform(0.5, 4.0, len(x))

    def kernels(weight: Any, **settings: Any) -> list[np.ndarray]:
        found = DenseClassifier(4, l1=1e-3, epochs=5, random_state=0, **settings)
        return found.fit(x, y, sample_weight=weight).model_.get_weights()

    for settings in ({}, {"early_stopping": True}, {"dtype": "float64"}):
        expected = kernels(weight, **settings)
        for a, b in zip(expected, kernels(weight / 1024, **settings), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(expected, kernels(1000 * weight, **settings), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
        for a, b in zip(kernels(None, **settings), kernels(np.ones(len(x)), **settings), strict=True):
            np.testing.assert_array_equal(a, b)


def test_boosting_whose_weights_sum_to_1_does_not_strengthen_the_penalty() -> None:
    x, y = cancer()
    network = DenseClassifier(8, l1=1e-3, epochs=20, random_state=0)
    boosted = AdaBoostClassifier(network, n_estimators=5, random_state=0).fit(x[::2], y[::2])
    assert boosted.score(x[1::2], y[1::2]) > 0.9  # the more frequent class: 0.61


def test_early_stopping_needs_weight_on_both_sides_of_its_split() -> None:
    x, y = iris()
    rows = np.arange(len(x))
    random = np.random.RandomState(0)
    random.randint(2**31 - 1)
    held_back = train_test_split(rows, test_size=0.1, random_state=random, stratify=y)[1]
    for weight in (np.isin(rows, held_back), ~np.isin(rows, held_back)):
        with pytest.raises(ValueError, match=r"^sample_weight must be above 0 for a row that early_stopping"):
            DenseClassifier(early_stopping=True, random_state=0).fit(x, y, sample_weight=weight)


def test_class_weights_multiply_row_weights() -> None:
    x, y = iris()
    y[:40] = "virginica"
    weight = np.linspace(1.0, 5.0, len(x))
    for classes in ({"setosa": 3.0, "virginica": 0.5}, "balanced"):
        found = DenseClassifier(4, class_weight=classes, epochs=2, random_state=0)
        assert clone(found).get_params()["class_weight"] == classes
        other = clone(found).set_params(class_weight=None)
        for given in (None, weight):
            product = compute_sample_weight(classes, y) * (1.0 if given is None else given)
            np.testing.assert_array_equal(
                found.fit(x, y, sample_weight=given).predict_proba(x),
                other.fit(x, y, sample_weight=product).predict_proba(x),
            )
        assert not np.array_equal(found.predict_proba(x), other.fit(x, y).predict_proba(x))


def test_a_search_over_class_weights() -> None:
    x, y = cancer()
    x = x[:, 4:5]  # in which the classes overlap
    rare = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:30]]
    search = GridSearchCV(
        DenseClassifier((), epochs=10, learning_rate=0.1, random_state=0),
        {"class_weight": [None, "balanced"]},
        scoring="balanced_accuracy",
        cv=3,
    )
    assert search.fit(x[rare], y[rare]).best_params_["class_weight"] == "balanced"


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("even", 'be "balanced" or a dict of label to weight: '),
        ([1.0, 2.0, 3.0], 'be "balanced" or a dict of label to weight: '),
        ({"setosa": 1.0, "rose": 1.0}, 'be "balanced" or a dict .*versicolor'),
        ({"setosa": "heavy"}, 'be "balanced" or a dict .*heavy'),
        ({"setosa": -1.0}, "hold finite values of at least 0"),
        ({"setosa": np.nan}, "hold finite values of at least 0"),
        (dict.fromkeys(("setosa", "versicolor", "virginica"), 0.0), "have a finite mean above zero, not 0"),
    ],
)
def test_bad_class_weights_are_named(class_weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^class_weight must {message}"):
        DenseClassifier(class_weight=class_weight).fit(*iris())


def test_the_settings_of_both_estimators_differ_by_class_weight() -> None:
    classifier, regressor = (
        dict(inspect.signature(cls).parameters) for cls in (DenseClassifier, DenseRegressor)
    )
    assert classifier.pop("class_weight").kind is inspect.Parameter.KEYWORD_ONLY
    assert list(classifier.values()) == list(regressor.values())
    settings = {name: object() for name in classifier}
    assert DenseClassifier(**settings).get_params() == {**settings, "class_weight": None}


def test_features_that_a_network_looks_at_can_be_selected() -> None:
    x, y = cancer()
    network = DenseClassifier(8, l1=0.01, epochs=20, learning_rate=0.01, random_state=0)
    with pytest.raises(NotFittedError):
        _ = network.feature_importances_
    selection = make_pipeline(SelectFromModel(network, threshold=1e-12), DenseClassifier((), epochs=20)).fit(
        x, y
    )
    found = selection[0].estimator_
    np.testing.assert_allclose(found.feature_importances_, abs(found.model_.layers[0].kernel).sum(axis=1))
    used = selection[0].get_support()
    assert 2 < used.sum() < x.shape[1]
    np.testing.assert_array_equal(used, (found.model_.layers[0].kernel != 0).any(axis=1))
    np.testing.assert_array_equal(found.predict_proba(np.where(used, x, 0.0)), found.predict_proba(x))
    again = pickle.loads(pickle.dumps(selection))
    np.testing.assert_array_equal(again[0].transform(x), x[:, used])
    np.testing.assert_array_equal(again.predict_proba(x), selection.predict_proba(x))


@pytest.mark.parametrize(
    ("estimator", "settings", "message"),
    [
        (DenseClassifier, {"learning_rate": 1e38}, "the loss of epoch [1-9] is (inf|nan)"),
        (DenseRegressor, {"learning_rate": 10.0}, "the loss of epoch [1-9] is (inf|nan)"),
        (
            DenseRegressor,
            {"learning_rate": 1e3, "early_stopping": True},
            "the loss of epoch [1-9] is (inf|nan)",
        ),
        (DenseRegressor, {"learning_rate": 1e38, "epochs": 1}, "weights of the network are not finite"),
    ],
)
def test_divergence_is_an_error_at_once(estimator: Any, settings: dict[str, Any], message: str) -> None:
    x, y = load_iris(return_X_y=True)
    given = {"optimizer": "sgd", "batch_size": 150, "epochs": 10**6, "random_state": 0, **settings}
    with pytest.raises(ValueError, match=f"^training diverged: {message}; scale X .*lower learning_rate$"):
        estimator((), **given).fit(100 * x, y)


def test_an_optimizer_with_a_schedule() -> None:
    """Of fastreg or of one's own: each fit follows it from its start, and learning_rate takes its place."""

    class Halves(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: int) -> float:
            return 0.1 * 0.5**step

    x, y = load_iris(return_X_y=True)
    for schedule in (Halves(), optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)):
        network = DenseClassifier(
            (), optimizer=optimizers.SGD(schedule), batch_size=50, epochs=2, random_state=0
        )
        first = network.fit(x, y).model_.optimizer
        assert (int(first.iterations), float(first.learning_rate)) == (6, 0.1 * 0.5**6)
        again = clone(network).fit(x, y)
        np.testing.assert_array_equal(again.predict_proba(x), network.predict_proba(x))
        assert network.set_params(learning_rate=0.5).fit(x, y).model_.optimizer.learning_rate == 0.5


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("estimator", [DenseClassifier, DenseRegressor])
@pytest.mark.parametrize("failure", ["settings", "weights", "divergence", "interrupt"])
def test_a_fit_that_fails_changes_nothing(
    estimator: Any, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")
    x, y = load_iris(return_X_y=True)
    frame, other = pandas.DataFrame(x, columns=list("abcd")), 1e30 * x[:, :3]
    network = estimator((), optimizer="sgd", epochs=2, random_state=0)
    fitted = clone(network).fit(frame, y)
    expected = fitted.predict(frame)
    if failure == "interrupt":
        monkeypatch.setattr(Sequential, "fit", interrupt)
    settings = {"dropout": 2.0} if failure == "settings" else {}
    weight = -np.ones(len(x)) if failure == "weights" else None
    for candidate in (network, fitted):
        candidate.set_params(**settings)
        before = dict(vars(candidate))
        with pytest.raises(KeyboardInterrupt if failure == "interrupt" else ValueError):
            candidate.fit(other, y % 2, sample_weight=weight)
        assert vars(candidate).keys() == before.keys()
        assert all(vars(candidate)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(fitted.predict(frame), expected)
    with pytest.raises(NotFittedError):
        network.predict(x)


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
        ({"hidden_layer_sizes": (4, 0)}, "each of hidden_layer_sizes must"),
        ({"hidden_layer_sizes": 2.5}, "each of hidden_layer_sizes must"),
        ({"dropout": 1.5}, "dropout must"),
        ({"l1": -1.0}, "l1 must"),
        ({"epochs": 0}, "epochs must"),
        ({"learning_rate": -1.0}, "learning_rate must"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction must"),
        ({"early_stopping": "yes"}, "early_stopping must"),
        ({"early_stopping": True, "patience": -1}, "patience must"),
        ({"loss": "mope"}, "unknown loss"),
    ],
)
def test_bad_settings_are_named_by_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        DenseClassifier(**settings).fit(*iris())


def test_bad_data_is_named() -> None:
    x, _ = iris()
    for label, shown in (("setosa", "'setosa'"), (0.0, "0.0")):
        with pytest.raises(
            ValueError, match=f"^y must hold at least two classes; it holds one class, {shown}$"
        ):
            DenseClassifier().fit(x, np.full(len(x), label))


@pytest.mark.parametrize(
    "kind", [np.asarray, np.negative, sparse.csr_array], ids=["dense", "negative", "sparse"]
)
def test_numbers_beyond_float32_are_named(kind: Callable[[np.ndarray], Any]) -> None:
    x, y = iris()
    rows = kind(1e39 * (x == x.max()))
    message = r'^X holds values beyond 3.403e\+38, the largest of float32; scale X, or set dtype="float64"$'
    with pytest.raises(ValueError, match=message):
        DenseClassifier(epochs=1).fit(rows, y)
    with pytest.raises(ValueError, match=message):
        DenseClassifier(epochs=1).fit(x, y).predict(rows)
    with pytest.raises(ValueError, match=r"^y holds values beyond 3.403e\+38.*; scale y, or"):
        DenseRegressor(epochs=1).fit(x, 1e39 * x[:, 0])
    DenseClassifier(epochs=1, learning_rate=1e-300, dtype="float64").fit(rows, y).predict(rows)


@pytest.mark.parametrize(
    ("estimator", "classes", "loss", "message"),
    [
        (DenseClassifier, 3, "mse", "must be sparse_categorical_crossentropy for 3 classes, not 'mse'"),
        (DenseClassifier, 3, "cce", "must be sparse_categorical_crossentropy for 3 classes, not 'cce'"),
        (DenseClassifier, 3, "elastic_net", "must be sparse_.* for 3 classes, not 'elastic_net'"),
        (
            DenseClassifier,
            2,
            "scce",
            "must be one of binary_crossentropy, hinge, .* for 2 classes, not 'scce'",
        ),
        (DenseClassifier, 2, losses.ElasticNet("cce"), r"must be one of .* for 2 classes, not ElasticNet\("),
        (DenseRegressor, 2, "elastic_net", "must be one of .* for regression, not 'elastic_net'"),
        (DenseRegressor, 2, 3, "must be one of .* for regression, not 3"),
    ],
)
def test_a_loss_that_does_not_fit_is_named(estimator: Any, classes: int, loss: Any, message: str) -> None:
    x, _ = iris()
    with pytest.raises(ValueError, match=f"^loss {message}"):
        estimator(loss=loss).fit(x, np.arange(len(x)) % classes)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(150), "have a finite mean above zero, not 0$"),
        (np.full(150, 1e308), "have a finite mean above zero, not inf$"),
        (np.ones(3), r"have the shape \(150,\)"),
        (-np.ones(150), "hold finite values of at least 0"),
        (np.full(150, np.nan), "hold finite values of at least 0"),
        (np.full(150, np.inf), "hold finite values of at least 0"),
    ],
)
def test_bad_weights_of_rows_are_named(weight: np.ndarray, message: str) -> None:
    x, y = iris()
    with pytest.raises(ValueError, match=f"^sample_weight must {message}"):
        DenseClassifier(epochs=1).fit(x, y, sample_weight=weight)
    with pytest.raises(ValueError, match=f"^sample_weight must {message}"):
        DenseRegressor(epochs=1).fit(x, x, sample_weight=weight)


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


# ---- outputs that suit the loss --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("loss", "low", "high"),
    [
        ("poisson", 0.0, np.inf),
        ("msle", 0.0, np.inf),
        ("bce", 0.0, 1.0),
        ("cce", 0.0, 1.0),
        ("mse", -np.inf, np.inf),
    ],
)
def test_a_regressors_output_is_what_its_loss_takes(loss: str, low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    score = x @ rng.normal(size=(3, 3))
    y = {
        "poisson": rng.poisson(np.exp(score / 2)),
        "msle": np.exp(score),
        "bce": 1 / (1 + np.exp(-score)),
        "cce": np.exp(score) / np.exp(score).sum(axis=1, keepdims=True),
        "mse": score,
    }[loss]
    model = DenseRegressor(16, loss=loss, epochs=200, learning_rate=0.01, random_state=0).fit(x, y)
    found = model.predict(x)
    assert found.min() > low
    assert found.max() < high
    if loss == "cce":
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    best = np.exp(score / 2) if loss == "poisson" else y
    if loss == "msle":
        found, best = np.log1p(found), np.log1p(best)
    assert np.corrcoef(found.ravel(), best.ravel())[0, 1] > 0.95


def test_poisson_regression_is_that_of_scikit_learn() -> None:
    """But for the link: softplus here, exp there, which agree where the mean is a function of groups."""
    rng = np.random.default_rng(1)
    group = np.eye(3)[rng.integers(0, 3, 600)]
    y = rng.poisson(group @ [0.5, 2.0, 5.0])
    ours = DenseRegressor((), loss="poisson", batch_size=600, epochs=3000, learning_rate=0.02, random_state=0)
    theirs = PoissonRegressor(alpha=0.0, tol=1e-8).fit(group, y)
    np.testing.assert_allclose(ours.fit(group, y).predict(np.eye(3)), theirs.predict(np.eye(3)), rtol=2e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_losses_of_logits_are_refused(classes: int) -> None:
    loss = losses.BinaryCrossentropy(from_logits=True)
    if classes == 3:
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)  # type: ignore[assignment]
    x = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match="loss must have from_logits=False"):
        DenseClassifier(loss=loss).fit(x, np.arange(30) % classes)


# ---- several labels a row ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("in_csr", [False, True])
def test_several_labels(in_csr: bool) -> None:
    x, y = make_multilabel_classification(400, 10, n_classes=4, random_state=0)
    given = sparse.csr_array(y) if in_csr else y
    model = DenseClassifier(16, epochs=60, random_state=0, learning_rate=0.01).fit(scale(x), given)
    p, found = model.predict_proba(scale(x)), model.predict(scale(x))
    assert (p.shape, found.shape, model.classes_.tolist()) == ((400, 4), (400, 4), [0, 1, 2, 3])
    np.testing.assert_array_equal(found, p > 0.5)
    assert not np.allclose(p.sum(axis=1), 1)
    assert model.score(scale(x), y) == np.mean((found == y).all(axis=1)) > 0.5
    scores = cross_val_score(model, scale(x), y, cv=3, scoring="roc_auc")
    assert scores.mean() > 0.8
    model.set_params(early_stopping=True, class_weight="balanced").fit(scale(x), y)
    model.set_params(class_weight=None, loss="categorical_crossentropy")
    with pytest.raises(ValueError, match=r"loss must be one of binary_crossentropy, .* for 4 labels"):
        model.fit(scale(x), y)


def test_weights_of_several_labels() -> None:
    x, y = make_multilabel_classification(60, 4, n_classes=2, random_state=0)
    given = [{0: 1.0, 1: 2.0}, {0: 1.0, 1: 3.0}]
    one = DenseClassifier(epochs=2, random_state=0, class_weight=given).fit(x, y)
    other = DenseClassifier(epochs=2, random_state=0).fit(x, y, np.where(y, [2.0, 3.0], 1.0).prod(axis=1))
    np.testing.assert_array_equal(one.predict_proba(x), other.predict_proba(x))
    with pytest.raises(ValueError, match=r"class_weight must be .* a list with a dict for each column of y"):
        DenseClassifier(class_weight=given[0]).fit(x, y)


@pytest.mark.parametrize("loss", ["poisson", "msle"])
def test_counts_are_not_negative(loss: str) -> None:
    with pytest.raises(
        ValueError, match=r"y must not be negative for the loss .*, but its least number is -1"
    ):
        DenseRegressor(loss=loss).fit(np.eye(3), [1.0, -1.0, 2.0])


def test_labels_are_0_and_1() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    y = np.ones((20, 3), int)
    y[::2] = -1
    with pytest.raises(ValueError, match=r"y must hold 0 and 1 where it has columns, not \[-1, 1\]"):
        DenseClassifier().fit(x, y)
    with pytest.warns(Warning, match="column-vector y was passed"):
        assert DenseClassifier(epochs=1).fit(x, y[:, :1]).predict(x).shape == (20,)


@pytest.mark.skipif(sklearn.__version__.startswith("1.6"), reason="scikit-learn warns of it from 1.7 on")
def test_scikit_learns_warning_of_many_classes_is_passed_on() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    with pytest.warns(UserWarning, match="number of unique classes is greater than 50%"):
        DenseClassifier((), epochs=1).fit(x, np.arange(40))


def test_callbacks_are_copied_for_each_fit() -> None:
    x, y = iris()
    given = LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    found = DenseClassifier(4, learning_rate=0.01, epochs=3, callbacks=given, random_state=0).fit(x, y)
    assert found.history_["learning_rate"] == pytest.approx([0.005, 0.0025, 0.00125])
    assert getattr(given, "model", None) is None
    again = clone(found.set_params(callbacks=[given])).fit(x, y)
    np.testing.assert_array_equal(again.predict_proba(x), found.predict_proba(x))
    with pytest.raises(TypeError, match="callbacks"):
        found.set_params(callbacks=[3]).fit(x, y)


def test_early_stopping_on_few_rows_is_named() -> None:
    x, y = iris()
    few = [0, 1, 50, 51, 100, 101]
    with pytest.raises(
        ValueError,
        match=r"early_stopping cannot hold back 0.1 \(validation_fraction\) of 6 rows: The test_size",
    ):
        DenseClassifier(4, early_stopping=True).fit(x[few], y[few])
