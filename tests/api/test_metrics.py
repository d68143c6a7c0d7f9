"""Metrics: against their definitions in NumPy, alone and inside a model, which must agree.

It must not use the classes' own formulas. It is over 250 lines because each metric's definition stands here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from binding_cases import raises
from fastreg import Dense, Input, Sequential, losses, metrics
from fastreg.models import load_model

RNG = np.random.default_rng(0)
ROWS = 61
PROBABILITY = RNG.uniform(size=(ROWS, 1))
BINARY = (RNG.uniform(size=(ROWS, 1)) > 0.4).astype(float)
WEIGHT = RNG.uniform(size=ROWS)
SCORES = RNG.uniform(size=(ROWS, 4))
CLASS = RNG.integers(0, 4, ROWS)
ONE_HOT = np.eye(4)[CLASS]
TARGET, OUTPUT = RNG.normal(size=(ROWS, 3)), RNG.normal(size=(ROWS, 3))


def mean(values: Any, weight: Any) -> float:
    return float(np.dot(values, weight) / weight.sum())


def auc_by_pairs(target: Any, prediction: Any) -> float:
    """The probability that a positive is above a negative: what the area under the ROC curve is."""
    positive, negative = prediction[target == 1], prediction[target == 0]
    above = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    return float(above)


def counted(chosen: Any, weight: Any) -> float:
    return float(np.dot(weight, chosen).sum())


def precision(target: Any, prediction: Any, weight: Any, threshold: float = 0.5) -> float:
    chosen = prediction[:, 0] > threshold
    return float((weight * chosen * target[:, 0]).sum() / (weight * chosen).sum())


def recall(target: Any, prediction: Any, weight: Any, threshold: float = 0.5) -> float:
    return float(
        (weight * (prediction[:, 0] > threshold) * target[:, 0]).sum() / (weight * target[:, 0]).sum()
    )


def f_beta(target: Any, prediction: Any, weight: Any, beta: float, threshold: float) -> float:
    p, r = (score(target, prediction, weight, threshold) for score in (precision, recall))
    return (1 + beta**2) * p * r / (beta**2 * p + r)


def f_scores(target: Any, chosen: Any, weight: Any, beta: float = 1.0) -> Any:
    """Of each class, by its precision and its recall."""
    w = weight[:, None]
    right = (w * chosen * target).sum(0)
    p, r = right / (w * chosen).sum(0), right / (w * target).sum(0)
    return (1 + beta**2) * p * r / (beta**2 * p + r)


def largest(prediction: Any) -> Any:
    return prediction == prediction.max(1, keepdims=True)


def r2(target: Any, prediction: Any, weight: Any) -> Any:
    center = (weight[:, None] * target).sum(0) / weight.sum()
    residual = (weight[:, None] * (target - prediction) ** 2).sum(0)
    return residual, (weight[:, None] * (target - center) ** 2).sum(0)


CASES: dict[str, tuple[metrics.Metric, Any, Any, Any]] = {
    "Accuracy": (metrics.Accuracy(), CLASS, CLASS[::-1], lambda t, p, w: mean(t[:, 0] == p[:, 0], w)),
    "BinaryAccuracy": (
        metrics.BinaryAccuracy(), BINARY, PROBABILITY, lambda t, p, w: mean((t == (p > 0.5)).mean(1), w)
    ),
    "BinaryAccuracy 0.3": (
        metrics.BinaryAccuracy(threshold=0.3), BINARY, PROBABILITY, lambda t, p, w: mean((t == (p > 0.3)).mean(1), w)
    ),
    "CategoricalAccuracy": (
        metrics.CategoricalAccuracy(), ONE_HOT, SCORES, lambda t, p, w: mean(t.argmax(1) == p.argmax(1), w)
    ),
    "SparseCategoricalAccuracy": (
        metrics.SparseCategoricalAccuracy(), CLASS, SCORES, lambda t, p, w: mean(t[:, 0] == p.argmax(1), w)
    ),
    "MeanSquaredError": (metrics.MeanSquaredError(), TARGET, OUTPUT, lambda t, p, w: mean(((t - p) ** 2).mean(1), w)),
    "RootMeanSquaredError": (
        metrics.RootMeanSquaredError(), TARGET, OUTPUT, lambda t, p, w: mean(((t - p) ** 2).mean(1), w) ** 0.5
    ),
    "MeanAbsoluteError": (metrics.MeanAbsoluteError(), TARGET, OUTPUT, lambda t, p, w: mean(np.abs(t - p).mean(1), w)),
    "Huber": (
        metrics.Huber(delta=0.5), TARGET, OUTPUT,
        lambda t, p, w: mean(
            np.where(np.abs(t - p) <= 0.5, (t - p) ** 2 / 2, 0.5 * np.abs(t - p) - 0.125).mean(1), w
        ),
    ),
    "Hinge": (
        metrics.Hinge(), 2 * BINARY - 1, PROBABILITY, lambda t, p, w: mean(np.maximum(1 - t * p, 0).mean(1), w)
    ),
    "Poisson": (
        metrics.Poisson(), BINARY, PROBABILITY, lambda t, p, w: mean((p - t * np.log(p + 1e-7)).mean(1), w)
    ),
    "BinaryCrossentropy": (
        metrics.BinaryCrossentropy(), BINARY, PROBABILITY,
        lambda t, p, w: mean(-(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(1), w),
    ),
    "CategoricalCrossentropy": (
        metrics.CategoricalCrossentropy(), ONE_HOT, SCORES,
        lambda t, p, w: mean(-(t * np.log(p / p.sum(1, keepdims=True))).sum(1), w),
    ),
    "SparseCategoricalCrossentropy": (
        metrics.SparseCategoricalCrossentropy(from_logits=True), CLASS, SCORES,
        lambda t, p, w: mean(np.log(np.exp(p).sum(1)) - p[np.arange(len(p)), t[:, 0].astype(int)], w),
    ),
    "Precision": (metrics.Precision(), BINARY, PROBABILITY, precision),
    "Precision 0.25": (metrics.Precision(0.25), BINARY, PROBABILITY, lambda t, p, w: precision(t, p, w, 0.25)),
    "Recall": (metrics.Recall(), BINARY, PROBABILITY, recall),
    "F1Score": (metrics.F1Score("micro", 0.5), BINARY, PROBABILITY, lambda t, p, w: f_beta(t, p, w, 1.0, 0.5)),
    "FBetaScore": (
        metrics.FBetaScore("micro", 2.0, 0.3), BINARY, PROBABILITY, lambda t, p, w: f_beta(t, p, w, 2.0, 0.3)
    ),
    "F1Score macro": (
        metrics.F1Score("macro"), ONE_HOT, SCORES, lambda t, p, w: float(f_scores(t, largest(p), w).mean())
    ),
    "F1Score weighted": (
        metrics.F1Score("weighted"), ONE_HOT, SCORES,
        lambda t, p, w: float(np.average(f_scores(t, largest(p), w), weights=w @ t)),
    ),
    "F1Score micro": (  # of one class a row, each choice is right or wrong: it is the accuracy
        metrics.F1Score("micro"), ONE_HOT, SCORES, lambda t, p, w: mean(t.argmax(1) == p.argmax(1), w)
    ),
    "FBetaScore macro": (
        metrics.FBetaScore("macro", 0.5, 0.3), ONE_HOT, SCORES,
        lambda t, p, w: float(f_scores(t, p > 0.3, w, 0.5).mean()),
    ),
    "TruePositives": (metrics.TruePositives(), BINARY, PROBABILITY, lambda t, p, w: counted(t * (p > 0.5), w)),
    "FalsePositives": (
        metrics.FalsePositives(0.3), BINARY, PROBABILITY, lambda t, p, w: counted((1 - t) * (p > 0.3), w)
    ),
    "FalseNegatives": (metrics.FalseNegatives(), BINARY, PROBABILITY, lambda t, p, w: counted(t * (p <= 0.5), w)),
    "TrueNegatives": (
        metrics.TrueNegatives(0.7), BINARY, PROBABILITY, lambda t, p, w: counted((1 - t) * (p <= 0.7), w)
    ),
    "R2Score": (
        metrics.R2Score(), TARGET, OUTPUT, lambda t, p, w: float(np.mean(1 - r2(t, p, w)[0] / r2(t, p, w)[1]))
    ),
    "R2Score weighted": (
        metrics.R2Score("variance_weighted_average"), TARGET, OUTPUT,
        lambda t, p, w: float(1 - r2(t, p, w)[0].sum() / r2(t, p, w)[1].sum()),
    ),
}  # fmt: skip


def columns(value: Any) -> Any:
    return np.asarray(value, float).reshape(len(value), -1)


@pytest.mark.parametrize("name", CASES)
def test_alone(name: str) -> None:
    metric, target, prediction, definition = CASES[name]
    metric.reset_state()
    assert metric.result() == 0.0
    metric.update_state(target, prediction)
    ones = np.ones(ROWS)
    assert metric.result() == pytest.approx(definition(columns(target), columns(prediction), ones), rel=1e-6)
    metric.reset_state()
    metric.update_state(target[:20], prediction[:20], WEIGHT[:20])
    metric.update_state(target[20:], prediction[20:], sample_weight=WEIGHT[20:])
    assert metric.result() == pytest.approx(
        definition(columns(target), columns(prediction), WEIGHT), rel=1e-6
    )


def identity(units: int, activation: str | None = None) -> Sequential:
    """A model whose predictions are its inputs."""
    model = Sequential([Dense(units, activation, use_bias=False, input_shape=(units,))], dtype="float64")
    model.set_weights([np.eye(units)])
    return model


@pytest.mark.parametrize("name", [name for name in CASES if name != "Accuracy"])
@pytest.mark.parametrize("weighted", [False, True])
def test_in_a_model(name: str, weighted: bool) -> None:
    metric, target, prediction, definition = CASES[name]
    model = identity(prediction.shape[1])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True) if metric.sparse_targets else "mse"
    model.compile("sgd", loss, **{"weighted_metrics" if weighted else "metrics": [metric]})
    value = model.evaluate(prediction, target, sample_weight=WEIGHT, batch_size=8, verbose=0)[1]
    weight = WEIGHT if weighted else np.ones(ROWS)
    assert value == pytest.approx(definition(columns(target), columns(prediction), weight), rel=1e-6)


def test_auc_nears_the_exact_area_with_more_thresholds() -> None:
    exact = auc_by_pairs(BINARY, PROBABILITY)
    errors = []
    for n in (5, 50, 5000):
        metric = metrics.AUC(num_thresholds=n)
        metric.update_state(BINARY, PROBABILITY)
        errors.append(abs(metric.result() - exact))
    assert errors[2] < 1e-12
    assert errors[0] > 1e-4


def test_auc_by_hand() -> None:
    """Keras's documented example: [0, 0, 1, 1] against [0, 0.5, 0.3, 0.9] at 3 thresholds is 0.75."""
    metric = metrics.AUC(num_thresholds=3)
    metric.update_state([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    assert metric.result() == pytest.approx(0.75)
    metric.reset_state()
    metric.update_state([0, 0, 1, 1], [0, 0.5, 0.3, 0.9], sample_weight=[1, 0, 0, 1])
    assert metric.result() == pytest.approx(1.0)


@pytest.mark.parametrize("curve", ["ROC", "PR"])
@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
def test_auc_in_a_model_is_auc_alone(curve: str, method: str) -> None:
    metric = metrics.AUC(curve=curve, summation_method=method)
    metric.update_state(BINARY, PROBABILITY)
    model = identity(1)
    model.compile("sgd", "mse", metrics=[metrics.AUC(curve=curve, summation_method=method)])
    assert model.evaluate(PROBABILITY, BINARY, verbose=0)[1] == pytest.approx(metric.result(), rel=1e-12)
    assert 0.0 <= metric.result() <= 1.0


def test_auc_ends_are_moved_out() -> None:
    """Predictions of exactly 0 and 1 are above the first threshold and not above the last."""
    metric = metrics.AUC()
    metric.update_state([0, 1], [0.0, 1.0])
    assert metric.result() == 1.0
    assert metrics.AUC(curve="PR")([0, 1], [0.0, 1.0]) == pytest.approx(1.0)


def test_nothing_chosen_counts_zero() -> None:
    assert metrics.Precision()([1, 0], [0.1, 0.2]) == 0.0
    assert metrics.Recall()([0, 0], [0.9, 0.9]) == 0.0
    assert metrics.AUC()([1, 1], [0.2, 0.3]) == 0.0


def test_f_scores_need_what_makes_them_one_number() -> None:
    assert metrics.F1Score(threshold=0.5)([[1], [0]], [[0.4], [0.4]]) == 0.0
    for average in ("micro", "macro", "weighted", None):
        assert metrics.F1Score(average, 0.5)([[1], [1], [0]], [[0.9], [0.4], [0.6]]) == 0.5
        with raises(
            ValueError, "'f1_score' must have a threshold for one output, which is always the largest"
        ):
            metrics.F1Score(average)([[1], [0]], [[0.4], [0.4]])
    message = '\'f1_score\' must have average="micro", "macro" or "weighted" for 2 outputs, not None'
    with raises(ValueError, message):
        metrics.F1Score(threshold=0.5)([[1, 0]], [[0.5, 0.5]])
    with raises(ValueError, message):
        Sequential([Input((3,)), Dense(2)]).compile("sgd", "mse", metrics=["f1_score"])
    with raises(TypeError, "threshold must be a number, not str"):
        metrics.F1Score(threshold="0.5")  # type: ignore[arg-type]
    with raises(ValueError, "beta must be a finite number above 0"):
        metrics.FBetaScore(beta=0.0, threshold=0.5)
    with raises(ValueError, "average must be one of 'micro', 'macro', 'weighted'"):
        metrics.F1Score("samples", 0.5)
    assert metrics.get({"class_name": "FBetaScore", "config": {"threshold": 0.5}}).name == "fbeta_score"


def test_the_largest_are_chosen_unless_they_are_zero() -> None:
    """Keras's rule: of equals all, of zeros none."""
    target = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    prediction = [[0.5, 0.5, 0.1], [0.0, 0.0, 0.0], [-2.0, -3.0, -1.0]]
    # The first class is chosen once and right, the second once and wrong, the third once and right.
    assert metrics.F1Score("macro")(target, prediction) == pytest.approx((1 + 0 + 1) / 3)
    assert metrics.F1Score("micro")(target, prediction) == pytest.approx(2 * 2 / (3 + 3))


def test_a_constant_target_counts_zero_in_r2() -> None:
    assert metrics.R2Score()([[1.0], [1.0]], [[0.0], [2.0]]) == 0.0
    for rows in (7, 1000, 300_000):  # whose sums are rounded
        target, other = np.full((rows, 2), 0.1), np.full((rows, 2), 0.6)
        for aggregation in ("uniform_average", "variance_weighted_average"):
            assert metrics.R2Score(aggregation)(target, other) == 0.0
    target = 100.0 + 1e-3 * np.arange(1000.0)[:, None]  # which has a variance, if small
    assert metrics.R2Score()(target, target + 1e-2) == pytest.approx(
        1 - 1e-4 / (1e-6 * (1000**2 - 1) / 12), rel=1e-4
    )


def test_names() -> None:
    assert metrics.AUC().name == "auc"
    assert metrics.R2Score().name == "r2_score"
    assert metrics.MeanSquaredError(name="error").name == "error"
    assert isinstance(metrics.get("auc"), metrics.AUC)
    assert isinstance(metrics.get("AUC"), metrics.AUC)
    assert isinstance(metrics.get("rmse"), metrics.RootMeanSquaredError)
    assert isinstance(metrics.get(losses.mean_absolute_error), metrics.MeanAbsoluteError)
    assert isinstance(metrics.get({"class_name": "Recall", "config": {"thresholds": 0.2}}), metrics.Recall)


def test_functions_give_a_value_per_row() -> None:
    np.testing.assert_allclose(metrics.mean_squared_error(TARGET, OUTPUT), ((TARGET - OUTPUT) ** 2).mean(1))
    assert metrics.mean_absolute_error([1.0, 2.0], [0.0, 0.0]) == pytest.approx(1.5)


def test_result_is_that_of_the_last_epoch_or_evaluation() -> None:
    model = Sequential([Dense(1, activation="sigmoid")], seed=0)
    area = metrics.AUC()
    model.compile("sgd", "binary_crossentropy", metrics=[area, "accuracy"])
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = x[:, 0] > 0
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert [float(metric.result()) for metric in model.metrics] == [
        history["auc"][-1],
        history["accuracy"][-1],
    ]
    logs = model.evaluate(x[:20], y[:20], verbose=0, return_dict=True)
    assert float(area.result()) == logs["auc"] != history["auc"][-1]
    area.update_state(y[20:, None], model.predict(x[20:], verbose=0))
    assert float(area.result()) == model.evaluate(x, y, verbose=0, return_dict=True)["auc"]
    assert float(metrics.AUC()(np.empty((0, 2)), np.empty((0, 2)))) == 0.0


def test_metrics_survive_saving(tmp_path: Any) -> None:
    model = identity(1)
    model.compile(
        "sgd", "mse", metrics=["mae", metrics.AUC(30, name="area")], weighted_metrics=[losses.hinge]
    )
    model.save(tmp_path / "m")
    other = load_model(tmp_path / "m")
    assert other.metrics_names == model.metrics_names == ["loss", "mae", "area", "hinge"]
    arguments = {"x": PROBABILITY, "y": BINARY, "sample_weight": WEIGHT, "verbose": 0}
    assert other.evaluate(**arguments) == model.evaluate(**arguments)
