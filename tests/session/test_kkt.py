"""A fitted linear elastic net satisfies its optimality conditions, whichever optimizer found it.

It must not use the oracle: the Karush-Kuhn-Tucker conditions of the objective are the judge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from checks import assert_close
from networks import dense, session
from reference import Spec, loss_spec
from reference_update import optimizer_spec

ROWS, INPUTS, L1, L2 = 80, 20, 0.15, 0.02
MSE = loss_spec("mean_squared_error")
OPTIMIZERS: dict[str, Spec] = {
    "sgd": optimizer_spec("sgd", learning_rate=0.1),
    "momentum": optimizer_spec("sgd", learning_rate=0.02, momentum=0.9),
    "nesterov": optimizer_spec("sgd", learning_rate=0.02, momentum=0.9, nesterov=True),
    "adam": optimizer_spec("adam", learning_rate=0.01),
    "amsgrad": optimizer_spec("adam", learning_rate=0.01, amsgrad=True),
    "rmsprop": optimizer_spec("rmsprop", learning_rate=0.01),
    "adagrad": optimizer_spec("adagrad", learning_rate=0.3),
}


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Correlated inputs, five of twenty matter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS)) + 0.5 * rng.normal(size=(ROWS, 1))
    truth = np.zeros(INPUTS)
    truth[[0, 3, 7, 11, 16]] = [1.5, -1.0, 0.7, -2.0, 0.4]
    return x, (x @ truth + 0.3 * rng.normal(size=ROWS))[:, None]


def fit(optimizer: Spec, proximal: bool, bias: bool, steps: int) -> Any:
    """Full batches; the rate falls by 10 in each of four stages, so that adaptive steps settle."""
    x, y = problem()
    penalty = {"l1": L1, "l2": L2, "proximal": proximal}
    layers = [dense(1, use_bias=bias, kernel_penalty=penalty)]
    weights = [np.full((INPUTS, 1), 0.1), np.zeros(1)][: 1 + bias]
    s = session(layers, weights, MSE, optimizer, inputs=INPUTS)
    for stage in range(4 if optimizer["kind"] != "sgd" else 1):
        s.learning_rate = optimizer["learning_rate"] * 0.1**stage
        for _ in range(steps):
            s.begin_epoch(x, y, None, ROWS, False)
            s.run_steps(-1)
    return s.get_weights()


def violation(w: np.ndarray, b: float) -> tuple[np.ndarray, float]:
    """Distance of 0 from the subdifferential of mean((x w + b - y)^2) + L1 |w| + L2 w^2, per weight and for b."""
    x, y = problem()
    residual = x @ w + b - y
    slope = 2 / ROWS * (x.T @ residual) + 2 * L2 * w
    off = np.where(w != 0, np.abs(slope + L1 * np.sign(w)), np.maximum(np.abs(slope) - L1, 0))
    return off, float(abs(2 * residual.mean()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_proximal_training_ends_at_the_optimum(name: str) -> None:
    exact = name in ("sgd", "momentum", "nesterov")
    weights = fit(OPTIMIZERS[name], True, exact, 4000 if exact else 3000)
    w, b = weights[0], float(weights[1][0]) if exact else 0.0
    off, off_bias = violation(w, b)
    bound = 1e-9 if exact else 1e-4
    assert_close(off, np.zeros_like(off), bound, f"{name}: distance to the optimality conditions")
    if exact:
        assert_close(off_bias, 0.0, bound, f"{name}: slope of the bias")
    assert 5 <= (w == 0).sum() < INPUTS, f"{name}: {(w == 0).sum()} exact zeros of {INPUTS}: {w.ravel()}"


def test_all_optimizers_agree_on_the_support() -> None:
    supports = {
        name: tuple(np.flatnonzero(fit(spec, True, False, 3000)[0])) for name, spec in OPTIMIZERS.items()
    }
    assert len(set(supports.values())) == 1, supports


def test_subgradient_training_has_no_exact_zeros() -> None:
    """Keras's way: the same objective, but weights hover around 0."""
    w = fit(OPTIMIZERS["momentum"], False, True, 2000)[0]
    assert (w != 0).all()


def test_l2_alone_is_ridge_regression() -> None:
    x, y = problem()
    layers = [dense(1, use_bias=False, kernel_penalty={"l1": 0.0, "l2": 0.3, "proximal": True})]
    s = session(layers, [np.zeros((INPUTS, 1))], MSE, OPTIMIZERS["sgd"], inputs=INPUTS)
    for _ in range(3000):
        s.train_batch(x, y, None)
    closed_form = np.linalg.solve(x.T @ x / ROWS + 0.3 * np.eye(INPUTS), x.T @ y / ROWS)
    assert_close(s.get_weights()[0], closed_form, 1e-10, "ridge regression against its closed form")
