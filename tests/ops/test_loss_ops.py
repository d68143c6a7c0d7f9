"""loss_forward against the float64 oracle and against finite differences, Keras's conventions included.

It must not know layers or sessions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference as ref
from checks import assert_close, assert_same_bits, eps
from fastreg import _core
from reference import LOSSES, Spec, loss_spec

CASES: dict[str, Spec] = {kind: loss_spec(kind) for kind in LOSSES} | {
    "huber_wide": loss_spec("huber", delta=2.5),
    "bce_logits": loss_spec("binary_crossentropy", from_logits=True),
    "bce_smooth": loss_spec("binary_crossentropy", label_smoothing=0.2),
    "bce_logits_smooth": loss_spec("binary_crossentropy", from_logits=True, label_smoothing=0.2),
    "cce_logits": loss_spec("categorical_crossentropy", from_logits=True),
    "cce_smooth": loss_spec("categorical_crossentropy", label_smoothing=0.1),
    "cce_logits_smooth": loss_spec("categorical_crossentropy", from_logits=True, label_smoothing=0.1),
    "scce_logits": loss_spec("sparse_categorical_crossentropy", from_logits=True),
}
SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (3, 8),
    (5, 7),
    (8, 3),
    (13, 17),
    (33, 67),
    (67, 33),
    (64, 10),
    (300, 1),
    (2, 1000),
]


def sample(spec: Spec, rows: int, outputs: int, dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(y_true, y_pred) of the kind the loss expects."""
    rng = np.random.default_rng([rows, outputs, seed])
    kind = spec["kind"]
    y_true, y_pred = rng.normal(size=(rows, outputs)), rng.normal(size=(rows, outputs))
    if kind == "binary_crossentropy":
        y_true = (rng.random((rows, outputs)) < 0.5).astype(float)
        y_pred = 3 * y_pred if spec["from_logits"] else rng.uniform(0.001, 0.999, (rows, outputs))
    elif kind.endswith("categorical_crossentropy"):
        labels = rng.integers(0, outputs, rows)
        y_true = labels[:, None].astype(float) if kind.startswith("sparse") else np.eye(outputs)[labels]
        y_pred = 3 * y_pred if spec["from_logits"] else ref.activation(y_pred, "softmax")
    elif kind == "hinge":
        y_true = np.where(y_true > 0, 1.0, -1.0)
    elif kind == "mean_squared_logarithmic_error":
        y_true, y_pred = np.exp(y_true), np.exp(y_pred) - 0.2
    elif kind == "poisson":
        y_true, y_pred = rng.poisson(2.0, (rows, outputs)).astype(float), rng.uniform(0.1, 4, (rows, outputs))
    return y_true.astype(dtype), y_pred.astype(dtype)


def run(y_true: Any, y_pred: Any, weight: Any, spec: Spec) -> tuple[float, np.ndarray, np.ndarray]:
    per_row, gradient = (
        np.full(len(y_pred), np.nan, y_pred.dtype),
        np.full(y_pred.shape, np.nan, y_pred.dtype),
    )
    return _core.loss_forward(y_true, y_pred, weight, spec, per_row, gradient), per_row, gradient


def check(y_true: np.ndarray, y_pred: np.ndarray, weight: Any, spec: Spec, what: str) -> None:
    dtype, outputs = y_pred.dtype, y_pred.shape[1]
    mean, per_row, gradient = run(y_true, y_pred, weight, spec)
    want_mean, want_rows, want_gradient = ref.mean_loss(y_true, y_pred, weight, spec, dtype)
    what = f"{spec}, {what}, {y_pred.shape}, {dtype}"
    # A row sums `outputs` terms; the terms of a logit loss are at most as large as the logits and may cancel.
    size = 1 + np.abs(want_rows) + np.abs(y_pred.astype(float)).max(axis=1, initial=0)
    row_bound = (8 + outputs) * eps(dtype) * size
    assert_close(per_row, want_rows, row_bound, f"per row: {what}")
    w = np.ones(len(per_row)) if weight is None else np.abs(weight.astype(float))
    mean_bound = (w * (row_bound + len(w) * eps(dtype) * size)).sum() / len(w)
    assert_close(mean, want_mean, mean_bound, f"mean: {what}")
    peak = np.abs(want_gradient).max(axis=1, keepdims=True, initial=0)
    peak = peak + (w / len(w))[:, None] * slope_terms(y_true, y_pred, spec)
    assert_close(gradient, want_gradient, (16 + 2 * outputs) * eps(dtype) * peak, f"gradient: {what}")


def slope_terms(y_true: np.ndarray, y_pred: np.ndarray, spec: Spec) -> np.ndarray:
    """How large the terms are whose difference is the derivative: what it can lose by cancellation."""
    t, p = y_true.astype(float), y_pred.astype(float)
    if spec["kind"] == "poisson":
        return (1 + t / p) / p.shape[1]
    if spec["kind"] == "mean_squared_logarithmic_error":
        return 2 * (np.log1p(np.maximum(p, 0)) + np.log1p(t)) / (1 + np.maximum(p, 0)) / p.shape[1]
    if spec["kind"] == "binary_crossentropy" and not spec["from_logits"]:
        q = np.clip(p, *ref.clip_bounds(y_pred.dtype))
        return 1 / (q * (1 - q)) / p.shape[1]
    return np.full(p.shape, 1.0 if spec["kind"].endswith("categorical_crossentropy") else 1 / p.shape[1])


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient(isa: str, dtype: str, name: str) -> None:
    spec = CASES[name]
    for rows, outputs in SIZES:
        y_true, y_pred = sample(spec, rows, outputs, dtype)
        check(y_true, y_pred, None, spec, isa)
        weight = np.random.default_rng(rows).choice([0.0, 0.5, 1.0, 3.0], rows).astype(dtype)
        check(y_true, y_pred, weight, spec, f"{isa}, weighted")


@pytest.mark.parametrize("name", CASES)
def test_a_row_alone_has_the_bits_that_it_has_among_others(isa: str, dtype: str, name: str) -> None:
    """However many rows are made side by side. A mean over 64 rows scales gradients by a power of two."""
    spec = CASES[name]
    for outputs in (1, 2, 3, 10, 16, 17, 33, 64, 65):
        y_true, y_pred = sample(spec, 64, outputs, dtype)
        _, per_row, gradient = run(y_true, y_pred, None, spec)
        for r in (0, 7, 17, 63):
            _, alone, slope = run(y_true[r : r + 1], y_pred[r : r + 1], None, spec)
            what = f"{name}, row {r} of {outputs} outputs, {isa}, {dtype}"
            assert_same_bits(per_row[r : r + 1], alone, what)
            assert_same_bits(64 * gradient[r : r + 1], slope, f"gradient: {what}")


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_slope_of_the_value(name: str) -> None:
    spec, h = CASES[name], 1e-6
    for rows, outputs in [(1, 1), (3, 4)]:
        y_true, y_pred = sample(spec, rows, outputs, "float64", 5)
        weight = np.array([0.5, 2.0, 1.0])[:rows]
        _, _, gradient = run(y_true, y_pred, weight, spec)
        for i in np.ndindex(y_pred.shape):
            shift = np.zeros_like(y_pred)
            shift[i] = h
            high, low = (run(y_true, y_pred + sign * shift, weight, spec)[0] for sign in (1, -1))
            slope = (high - low) / (2 * h)
            assert_close(gradient[i], slope, 1e-7 * (1 + abs(slope)), f"{name}: slope in y_pred{list(i)}")


def test_probabilities_are_clipped(isa: str, dtype: str) -> None:
    """0 and 1 count as 1e-7 and 1 - 1e-7: the loss stays finite, and what is clipped has no gradient."""
    y_true, y_pred = np.array([[1.0, 0.0, 1.0, 0.0]], dtype), np.array([[0.0, 1.0, 1.0, 0.0]], dtype)
    _, per_row, gradient = run(y_true, y_pred, None, loss_spec("binary_crossentropy"))
    low, high = ref.clip_bounds(dtype)
    expected = (-np.log(low) - np.log1p(-high) - np.log(high) - np.log1p(-low)) / 4
    assert_close(per_row, [expected], 8 * eps(dtype) * expected, "binary_crossentropy of 0 and 1")
    assert_close(gradient, np.zeros((1, 4)), 0, "binary_crossentropy: gradient of clipped probabilities")
    for kind, target in (
        ("categorical_crossentropy", [[0, 1, 0]]),
        ("sparse_categorical_crossentropy", [[1]]),
    ):
        y_true, y_pred = np.array(target, dtype), np.array([[1.0, 0.0, 0.0]], dtype)
        check(y_true, y_pred, None, loss_spec(kind), f"{isa}, a probability 0")
        per_row = run(y_true, y_pred, None, loss_spec(kind))[1]
        assert_close(per_row, [-np.log(1e-7)], 1e-5, f"{kind} of a probability 0")


def test_categorical_crossentropy_renormalises(isa: str, dtype: str) -> None:
    """Rows that do not sum to 1 are divided by their sum first, as Keras does."""
    y_true, y_pred = np.eye(3, dtype=dtype), np.array([[1, 2, 3], [0.1, 0.2, 0.1], [5, 4, 1]], dtype)
    check(y_true, y_pred, None, loss_spec("categorical_crossentropy"), isa)
    per_row = run(y_true, y_pred, None, loss_spec("categorical_crossentropy"))[1]
    assert_close(per_row, -np.log([1 / 6, 0.5, 0.1]), 8 * eps(dtype), "renormalised rows")


def test_hinge_reads_zero_as_minus_one(isa: str, dtype: str) -> None:
    y_pred = np.array([[0.5], [-2.0], [0.3], [3.0]], dtype)
    zero_one, signs = np.array([[1], [0], [0], [1]], dtype), np.array([[1], [-1], [-1], [1]], dtype)
    for name, y_true in (("0/1", zero_one), ("-1/1", signs)):
        _, per_row, _ = run(y_true, y_pred, None, loss_spec("hinge"))
        assert_close(per_row, [0.5, 0.0, 1.3, 0.0], 4 * eps(dtype), f"hinge with {name} labels")
        check(y_true, y_pred, None, loss_spec("hinge"), f"{name} labels, {isa}")


def test_extreme_logits_stay_finite(isa: str, dtype: str) -> None:
    logits = np.array([[1000.0, -1000.0, 0.0], [-80.0, 80.0, 90.0]], dtype)
    for kind, y_true in (
        ("binary_crossentropy", np.array([[1, 0, 1], [0, 1, 0]], dtype)),
        ("categorical_crossentropy", np.array([[1, 0, 0], [1, 0, 0]], dtype)),
        ("sparse_categorical_crossentropy", np.array([[0], [0]], dtype)),
    ):
        check(y_true, logits, None, loss_spec(kind, from_logits=True), isa)


def test_losses_of_sure_predictions_keep_their_digits(isa: str, dtype: str) -> None:
    """log(1 + e^-z) of a label 1 is much smaller than z; and z of a label 1 is -z of a label 0, to the bit."""
    logits = np.array([[0.5], [3.0], [12.0], [15.0], [40.0], [80.0]], dtype)
    spec = loss_spec("binary_crossentropy", from_logits=True)
    ones = run(np.ones_like(logits), logits, None, spec)[1]
    expected = np.log1p(np.exp(-logits[:, 0].astype(np.float64)))
    assert_close(ones, expected, 8 * eps(dtype) * expected, f"sure of 1, {isa}")
    np.testing.assert_array_equal(ones, run(np.zeros_like(logits), -logits, None, spec)[1])


def test_log_cosh_keeps_its_digits(isa: str, dtype: str) -> None:
    e = np.array([[1e-6], [0.01], [0.3], [1.9], [2.1], [5.0], [400.0]], dtype)
    small = e[:, 0].astype(np.float64)
    expected = np.where(
        small < 1, np.log1p(2 * np.sinh(small / 2) ** 2), np.logaddexp(small, -small) - np.log(2)
    )
    for sign in (1, -1):
        per_row = run(np.zeros_like(e), sign * e, None, loss_spec("log_cosh"))[1]
        assert_close(per_row, expected, 8 * eps(dtype) * expected, f"log cosh, {isa}")


def test_logarithms_and_shares_of_numbers_near_0(isa: str, dtype: str) -> None:
    """What is below 1e-7 counts as 1e-7: no loss is infinite, and what is raised has no gradient."""
    y_true, y_pred = (
        np.array([[0.0], [0.0], [-3.0], [1.0]], dtype),
        np.array([[-0.5], [2.0], [2.0], [0.0]], dtype),
    )
    _, per_row, gradient = run(y_true, y_pred, None, loss_spec("mean_squared_logarithmic_error"))
    expected = [0.0, np.log(3) ** 2, np.log(3) ** 2, np.log(2) ** 2]
    assert_close(per_row, expected, 1e-6, "squared logarithmic error")
    assert gradient[[0, 3]].tolist() == [[0.0], [0.0]]
    per_row = run(y_true, y_pred, None, loss_spec("mean_absolute_percentage_error"))[1]
    shares = [0.5e9, 2e9, 500 / 3, 100.0]
    assert_close(per_row, shares, 8 * eps(dtype) * np.array(shares), "absolute percentage error")


def test_sample_weights_scale_rows_and_divide_by_their_count(dtype: str) -> None:
    """sum(w l) / n, not / sum(w); the per-row losses stay unweighted."""
    y_true, y_pred = sample(CASES["mean_squared_error"], 4, 2, dtype)
    weight = np.array([0, 1, 2, 4], dtype)
    mean, per_row, _ = run(y_true, y_pred, weight, CASES["mean_squared_error"])
    _, unweighted, _ = run(y_true, y_pred, None, CASES["mean_squared_error"])
    assert_same_bits(per_row, unweighted, "per-row losses with weights")
    assert_close(mean, (weight * per_row.astype(float)).sum() / 4, 16 * eps(dtype), "weighted mean")


def test_predictions_and_targets_with_gaps(dtype: str) -> None:
    spec = CASES["binary_crossentropy"]
    y_true, y_pred = sample(spec, 9, 5, dtype)
    wide = np.full((9, 12), np.nan, dtype)
    wide[:, 1:6], wide[:, 6:11] = y_true, y_pred
    for got, wanted in zip(
        run(wide[:, 1:6], wide[:, 6:11], None, spec), run(y_true, y_pred, None, spec), strict=True
    ):
        assert_same_bits(got, wanted, "binary_crossentropy of views")


def test_a_prediction_that_is_nan_has_a_gradient_that_is_nan() -> None:
    y_true, y_pred = np.array([[1.0], [0.0]]), np.array([[np.nan], [0.5]])
    per_row, gradient = np.empty(2), np.empty((2, 1))
    _core.loss_forward(y_true, y_pred, None, {"kind": "binary_crossentropy"}, per_row, gradient)
    assert np.isnan(per_row[0])
    assert np.isnan(gradient[0, 0])
    assert gradient[1, 0] == pytest.approx(1.0)
