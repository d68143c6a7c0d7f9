"""Metrics have one rule each: `update_state` counts what `evaluate` does, on random numbers and where rules have edges.

It must not know the metrics' definitions: test_metrics.py has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from fastreg import Sequential, losses, metrics
from fastreg.layers import Dense, LeakyReLU

NAN, INF = np.nan, np.inf
Rng = np.random.Generator


def that_predicts(prediction: Any) -> tuple[Sequential, Any]:
    """A model, and the x for which it gives `prediction`.

    What is not finite is in x where there is one output. Of several it would reach the others, so there an overflow
    makes infinity, and 0 times minus infinity NaN; the others must be at least 0 then.
    """
    x, units = prediction, prediction.shape[1]
    kernel, layers = np.eye(units), []
    if units > 1 and not np.isfinite(prediction).all():
        large = 1e30 if prediction.dtype == np.float32 else 1e300
        signs = np.where(np.isnan(prediction), -1, np.isinf(prediction))
        x = np.hstack([np.where(signs, 0, prediction), signs * large]).astype(prediction.dtype)
        kernel, layers = np.vstack([kernel, large * kernel]), [LeakyReLU(0.0)]
    model = Sequential([Dense(units, use_bias=False), *layers], dtype=str(prediction.dtype))
    model.build((None, x.shape[1]))
    model.set_weights([kernel])
    np.testing.assert_array_equal(model.predict(x), prediction)
    return model, x


def in_a_model(metric: metrics.Metric, target: Any, prediction: Any, weight: Any = None) -> float:
    """What `evaluate` says of a model that predicts `prediction`."""
    model, x = that_predicts(prediction)
    loss = losses.SparseCategoricalCrossentropy() if metric.sparse_targets else "mse"
    model.compile("sgd", loss, weighted_metrics=[metric])
    with patch("fastreg._dataset.check_finite"):
        return float(model.evaluate(x, target, sample_weight=weight, batch_size=8, verbose=0)[1])


def alone(metric: metrics.Metric, target: Any, prediction: Any, weight: Any = None) -> float:
    """What the metric says by itself, given the rows in two parts."""
    metric.reset_state()
    cut = len(target) // 2
    for rows in (slice(cut), slice(cut, None)):
        metric.update_state(target[rows], prediction[rows], None if weight is None else weight[rows])
    return float(metric.result())


def both(metric: metrics.Metric, target: Any, prediction: Any) -> tuple[float, float]:
    target, prediction = np.asarray(target), np.asarray(prediction)
    return alone(metric, target, prediction), in_a_model(metric, target, prediction)


def pool(dtype: str) -> Any:
    """Numbers at thresholds and next to them, in `dtype` and in the other one, outside [0, 1], and none at all."""
    edges = np.array([0.0, 1 / 199, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0])
    near = [np.nextafter(edges.astype(kind), kind(to)) for kind in (np.float32, np.float64) for to in (-9, 9)]
    strange = [0.5 + 1e-12, -5e-8, 1 + 5e-8, -2e-7, 1 + 2e-7, -0.5, 1.5, NAN, INF, -INF]
    return np.concatenate([edges, edges.astype(np.float32), *near, strange]).astype(dtype)


def shares(rng: Rng, rows: int, units: int) -> Any:
    return rng.choice([0.0, 1.0, 1.0, 0.3, 0.5, 0.5 + 1e-12, np.nextafter(0.5, 1)], (rows, units))


def several_shares(rng: Rng, rows: int, units: int) -> Any:
    """For metrics that need several outputs."""
    return shares(rng, rows, units)


def classes(rng: Rng, rows: int, units: int) -> Any:
    return rng.integers(0, units, rows)


def one_hot(rng: Rng, rows: int, units: int) -> Any:
    """Some rows are all equal."""
    return np.where(rng.uniform(size=(rows, 1)) < 0.2, 0.5, np.eye(units)[classes(rng, rows, units)])


def eighths(rng: Rng, rows: int, units: int) -> Any:
    """Numbers whose squares have exact sums."""
    return rng.integers(-8, 9, (rows, units)) / 8


CASES: dict[str, tuple[Callable[[], metrics.Metric], Callable[[Rng, int, int], Any]]] = {
    "BinaryAccuracy": (metrics.BinaryAccuracy, shares),
    "BinaryAccuracy 0.3": (lambda: metrics.BinaryAccuracy(threshold=0.3), shares),
    "BinaryAccuracy 1e300": (lambda: metrics.BinaryAccuracy(threshold=1e300), shares),
    "CategoricalAccuracy": (metrics.CategoricalAccuracy, one_hot),
    "SparseCategoricalAccuracy": (metrics.SparseCategoricalAccuracy, classes),
    "MeanSquaredError": (metrics.MeanSquaredError, shares),
    "RootMeanSquaredError": (metrics.RootMeanSquaredError, shares),
    "MeanAbsoluteError": (metrics.MeanAbsoluteError, shares),
    "MeanAbsolutePercentageError": (metrics.MeanAbsolutePercentageError, shares),
    "MeanSquaredLogarithmicError": (metrics.MeanSquaredLogarithmicError, shares),
    "LogCoshError": (metrics.LogCoshError, shares),
    "Hinge": (metrics.Hinge, shares),
    "Poisson": (metrics.Poisson, shares),
    "Huber": (lambda: metrics.Huber(delta=0.3), shares),
    "BinaryCrossentropy": (lambda: metrics.BinaryCrossentropy(label_smoothing=0.1), shares),
    "BinaryCrossentropy of logits": (lambda: metrics.BinaryCrossentropy(from_logits=True), shares),
    "CategoricalCrossentropy": (metrics.CategoricalCrossentropy, one_hot),
    "SparseCategoricalCrossentropy": (metrics.SparseCategoricalCrossentropy, classes),
    "Precision": (metrics.Precision, shares),
    "Precision 0.3": (lambda: metrics.Precision(0.3), shares),
    "Recall": (lambda: metrics.Recall(0.7), shares),
    "F1Score": (lambda: metrics.F1Score("micro", 0.5), shares),
    "FBetaScore": (lambda: metrics.FBetaScore("micro", 0.5, 0.3), shares),
    "F1Score macro": (lambda: metrics.F1Score("macro"), several_shares),
    "F1Score weighted": (lambda: metrics.F1Score("weighted"), one_hot),
    "TruePositives": (metrics.TruePositives, shares),
    "FalsePositives": (lambda: metrics.FalsePositives(0.3), shares),
    "FalseNegatives": (lambda: metrics.FalseNegatives(0.7), shares),
    "TrueNegatives": (metrics.TrueNegatives, shares),
    "AUC": (metrics.AUC, shares),
    "AUC of 2": (lambda: metrics.AUC(2, summation_method="minoring"), shares),
    "AUC of PR": (lambda: metrics.AUC(curve="PR"), shares),
    "R2Score": (metrics.R2Score, eighths),
    "R2Score weighted": (lambda: metrics.R2Score("variance_weighted_average"), eighths),
}


def test_no_metric_is_forgotten() -> None:
    kinds = {
        cls for cls in vars(metrics).values() if isinstance(cls, type) and issubclass(cls, metrics.Metric)
    }
    public = {cls for cls in kinds if cls.__name__ in metrics.__all__}
    assert public - {type(make()) for make, _ in CASES.values()} == {metrics.Metric, metrics.Accuracy}


@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_update_state_counts_what_evaluate_counts(name: str, finite: bool, dtype: str) -> None:
    make, targets = CASES[name]
    values = pool(dtype)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rows, units = int(rng.integers(1, 40)), 1 if seed % 2 and targets in (shares, eighths) else 4
        allowed = values[np.isfinite(values)] if finite else values if units == 1 else values[~(values < 0)]
        target, weight = targets(rng, rows, units), rng.choice([0.0, 0.1, 0.25, 1.0, 2.0], rows)
        prediction = rng.choice(allowed, (rows, units))
        if targets is eighths and finite:
            prediction = eighths(rng, rows, units).astype(dtype)
        for given in (None, weight):
            apart, within = (count(make(), target, prediction, given) for count in (alone, in_a_model))
            assert apart == pytest.approx(within, rel=1e-9, abs=1e-12, nan_ok=True), (seed, given is None)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_thresholds_are_float32(threshold: float) -> None:
    """Keras 3.15 with TensorFlow counts 0 of an output that is the threshold, and 1 of the next float32."""
    made = (
        metrics.BinaryAccuracy(threshold=threshold),
        metrics.Precision(threshold),
        metrics.Recall(threshold),
    )
    at = np.array([[threshold]], np.float32)
    for metric in made:
        assert both(metric, [[1.0]], at) == (0.0, 0.0)
        assert both(metric, [[1.0]], at.astype(np.float64)) == (0.0, 0.0)
        assert both(metric, [[1.0]], np.nextafter(at, np.float32(1))) == (1.0, 1.0)


def test_float64_outputs_are_not_rounded() -> None:
    for metric in (metrics.BinaryAccuracy(), metrics.Precision(), metrics.Recall()):
        assert both(metric, [[1.0]], [[0.5 + 1e-12]]) == (1.0, 1.0)


def test_an_output_that_is_nan_is_above_no_threshold() -> None:
    target, prediction = [[1.0], [0.0], [1.0]], [[NAN], [NAN], [0.9]]
    assert both(metrics.BinaryAccuracy(), target, prediction) == pytest.approx((2 / 3, 2 / 3))
    assert both(metrics.Precision(), target, prediction) == (1.0, 1.0)
    assert both(metrics.Recall(), target, prediction) == (0.5, 0.5)
    assert both(metrics.AUC(), [[1.0], [0.0]], [[NAN], [0.4]]) == (0.0, 0.0)


def test_auc_takes_outputs_beyond_the_ends_for_the_ends() -> None:
    """Keras 3.15 says 1.0 of the first."""
    assert both(metrics.AUC(), [[0.0], [0.0], [1.0], [1.0]], [[0.2], [-0.1], [1.5], [0.7]]) == (1.0, 1.0)
    rng = np.random.default_rng(0)
    prediction, target = rng.normal(0.5, 0.5, (40, 1)), rng.integers(0, 2, (40, 1))
    for curve in ("ROC", "PR"):
        for method in ("interpolation", "minoring", "majoring"):
            metric = metrics.AUC(curve=curve, summation_method=method)
            assert both(metric, target, prediction) == both(metric, target, prediction.clip(0, 1))


@pytest.mark.parametrize(
    ("row", "largest"),
    [
        ([1.0, 2.0, 2.0], 1),
        ([NAN, 1.0, 2.0], 0),
        ([1.0, NAN, 2.0], 2),
        ([2.0, NAN, 1.0], 0),
        ([1.0, 2.0, NAN], 1),
        ([0.0, NAN, 0.0], 0),
        ([NAN, NAN, INF], 0),
    ],
)
def test_the_largest_output_is_the_first_of_equals_and_no_nan_but_in_the_first_place(
    row: list[float], largest: int
) -> None:
    for place in range(3):
        hit = float(place == largest)
        assert both(metrics.SparseCategoricalAccuracy(), [place], [row]) == (hit, hit)
        assert both(metrics.CategoricalAccuracy(), np.eye(3)[[place]], [row]) == (hit, hit)
