"""fastreg.ops: outputs given and made, gradients that fit their functions, updates in place.

It must not test the kernels' numbers or bits in full: tests/ops and tests/rules do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastreg import ops

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(5, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=3)
AT: dict[str, int] = {"seed": 7, "step": 3, "stream": 2}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_are_made_or_written_in_place(dtype: str) -> None:
    x, w, b = X.astype(dtype), W.astype(dtype), B.astype(dtype)
    made = ops.dense_forward(x, w, b, "relu")
    assert made.dtype == dtype
    np.testing.assert_allclose(made, np.maximum(x @ w + b, 0), rtol=1e-5, atol=1e-6)
    out, z = np.empty_like(made), np.empty_like(made)
    assert ops.dense_forward(x, w, b, "relu", out=out, z_out=z) is out
    assert np.array_equal(out, made)
    np.testing.assert_allclose(z, x @ w + b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ["linear", "relu", "leaky_relu", "elu", "gelu", "tanh", "sigmoid"])
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_backward_is_the_gradient_of_forward(activation: str, rate: float) -> None:
    z, dy = np.empty((5, 3)), RNG.normal(size=(5, 3))
    y = ops.dense_forward(X, W, B, activation, rate=rate, **AT, z_out=z)  # type: ignore[arg-type]
    gradients = ops.dense_backward(dy, X, W, y, z, activation, rate=rate, **AT)  # type: ignore[arg-type]
    for position, (array, gradient) in enumerate(zip((X, W, B), gradients, strict=True)):
        numeric = np.zeros_like(array)
        for i in np.ndindex(array.shape):
            values = []
            for h in (1e-6, -1e-6):
                moved = [X, W, B]
                moved[position] = array.copy()
                moved[position][i] += h
                forward = ops.dense_forward(*moved, activation, rate=rate, **AT)  # type: ignore[arg-type]
                values.append((dy * forward).sum())
            numeric[i] = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7)


def test_softmax_is_refused() -> None:
    with pytest.raises(ValueError, match="softmax mixes a row and is not fused"):
        ops.dense_forward(X, W, B, "softmax")


def test_the_first_layer_needs_no_input_gradient() -> None:
    y = ops.dense_forward(X, W, B)
    dx, dw, db = ops.dense_backward(np.ones_like(y), X, W, y, need_dx=False)
    assert dx is None
    assert (dw.shape, db.shape) == (W.shape, B.shape)


def test_dropout_its_mask_and_its_backward_agree() -> None:
    x = np.ones((64, 33), np.float32)
    y = ops.dropout(x, 0.25, **AT)
    mask = ops.dropout_mask(x.shape, 0.25, **AT)
    assert np.array_equal(y != 0, mask == 1)
    assert np.array_equal(ops.dropout_backward(x, 0.25, **AT), y)
    packed = ops.dropout_mask(x.size, 0.25, **AT, packed=True)  # type: ignore[arg-type]
    assert np.array_equal(np.unpackbits(packed, bitorder="little", count=x.size), mask.ravel())
    assert ops.dropout(x, 0.25, **AT, out=x) is x  # type: ignore[arg-type]
    assert np.array_equal(x, y)
    assert not np.array_equal(ops.dropout(np.ones_like(x), 0.25, 7, 4, 2), y)


def test_prox_minimises_its_objective() -> None:
    w, grid = RNG.normal(size=50), np.linspace(-4, 4, 80_001)
    u = ops.prox(w, 0.7, 0.3, 0.5)
    objective = (grid - w[:, None]) ** 2 / 2 + 0.5 * (0.7 * np.abs(grid) + 0.3 * grid**2)
    np.testing.assert_allclose(u, grid[objective.argmin(axis=1)], atol=1e-4)
    assert (u == 0).any()


def test_elastic_net_and_its_gradient() -> None:
    w = np.array([[1.0, -2.0], [0.0, 3.0]])
    assert ops.elastic_net(w, 0.5, 0.25) == pytest.approx(0.5 * 6 + 0.25 * 14)
    assert ops.elastic_net_gradient(w, 0.5, 0.25).tolist() == [[1.0, -1.5], [0.0, 2.0]]


@pytest.mark.parametrize("method", ["proximal", "subgradient"])
def test_updates_change_their_arrays_and_return_the_penalty(method: str) -> None:
    def penalty(w: Any) -> float:
        return float(0.1 * np.abs(w).sum() + 0.2 * (w**2).sum())

    w, velocity = W.copy(), np.zeros_like(W)
    before = penalty(w)
    settings: dict[str, Any] = {"l1": 0.1, "l2": 0.2, "method": method}
    assert ops.sgd_update(w, W, velocity, momentum=0.9, **settings) == pytest.approx(before, rel=1e-9)
    assert not np.array_equal(w, W)
    assert velocity.any()
    m, v = np.zeros_like(W), np.zeros_like(W)
    before = penalty(w)
    assert ops.adam_update(w, W, m, v, 1, **settings) == pytest.approx(before, rel=1e-9)
    assert m.any()
    assert (v > 0).all()


def test_only_the_proximal_method_reaches_zero() -> None:
    for method, zeros in (("proximal", True), ("subgradient", False)):
        w = np.linspace(-1, 1, 20)
        for _ in range(300):
            ops.sgd_update(w, np.zeros(20), learning_rate=0.013, l1=1.0, method=method)
        assert bool((w == 0).all()) == zeros
