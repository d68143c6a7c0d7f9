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


MASKED = np.ma.masked_array(np.ones((5, 4)), np.eye(5, 4))
VECTOR = np.ma.masked_array(np.ones(3), [0, 1, 0])
SQUARE, Z = np.ones((4, 4)), np.ones((5, 4))
MASKS: list[tuple[str, Any]] = [
    ("x", lambda: ops.dense_forward(MASKED, W)),
    ("x", lambda: ops.dense_forward(MASKED, W, out=np.empty((5, 3)))),
    ("w", lambda: ops.dense_forward(X, np.ma.masked_array(W))),
    ("b", lambda: ops.dense_forward(X, W, VECTOR)),
    ("out", lambda: ops.dense_forward(X, SQUARE, out=MASKED)),
    ("z_out", lambda: ops.dense_forward(X, SQUARE, z_out=MASKED)),
    ("dy", lambda: ops.dense_backward(MASKED, X, SQUARE, Z)),
    ("x", lambda: ops.dense_backward(Z, MASKED, SQUARE, Z)),
    ("w", lambda: ops.dense_backward(Z, X, np.ma.masked_array(SQUARE), Z)),
    ("y", lambda: ops.dense_backward(Z, X, SQUARE, MASKED)),
    ("z", lambda: ops.dense_backward(Z, X, SQUARE, Z, MASKED)),
    ("dx", lambda: ops.dense_backward(Z, X, SQUARE, Z, dx=MASKED)),
    ("dw", lambda: ops.dense_backward(Z, X, SQUARE, Z, dw=np.ma.masked_array(SQUARE.copy()))),
    ("db", lambda: ops.dense_backward(X[:, :3], X, W, X[:, :3], db=VECTOR)),
    ("x", lambda: ops.dropout(MASKED, **AT, rate=0.5)),
    ("out", lambda: ops.dropout(X, **AT, rate=0.5, out=MASKED)),
    ("dy", lambda: ops.dropout_backward(MASKED, **AT, rate=0.5)),
    ("out", lambda: ops.dropout_backward(X, **AT, rate=0.5, out=MASKED)),
    ("w", lambda: ops.elastic_net(MASKED, 1, 0)),
    ("w", lambda: ops.elastic_net_gradient(MASKED, 1, 0)),
    ("out", lambda: ops.elastic_net_gradient(X, 1, 0, out=MASKED)),
    ("w", lambda: ops.prox(MASKED, 1, 0, 1)),
    ("w", lambda: ops.prox(MASKED, 1, 0, 1, out=np.empty_like(X))),
    ("out", lambda: ops.prox(X, 1, 0, 1, out=MASKED)),
    ("w", lambda: ops.prox(MASKED, 1, 0, 1, out=memoryview(np.empty_like(X)))),
    ("w", lambda: ops.sgd_update(MASKED, X)),
    ("g", lambda: ops.sgd_update(Z, MASKED)),
    ("velocity", lambda: ops.sgd_update(Z, X, MASKED, momentum=0.9)),
    ("w", lambda: ops.adam_update(MASKED, X, Z, Z, 1)),
    ("g", lambda: ops.adam_update(Z, MASKED, Z, Z, 1)),
    ("m", lambda: ops.adam_update(Z, X, MASKED, Z, 1)),
    ("v", lambda: ops.adam_update(Z, X, Z, MASKED, 1)),
]


@pytest.mark.parametrize(("name", "call"), MASKS)
def test_masked_arrays_are_refused_and_nothing_is_written(name: str, call: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name} is a masked array; pass {name}.filled"):
        call()
    for array, expected in ((MASKED.data, 1), (VECTOR.data, 1), (SQUARE, 1), (Z, 1)):
        assert (array == expected).all()


REFUSALS: list[tuple[Any, type[Exception], str]] = [
    (lambda: ops.dropout_backward(np.arange(4), 0.5, 1), TypeError, "^dy must have dtype float32 or float64"),
    (lambda: ops.dropout_backward(np.arange(4), 0.5, 1, out=np.ones(4)), TypeError, "^dy must have dtype"),
    (lambda: ops.dropout_backward(X[:, ::2], 0.5, 1), ValueError, r"^dy must have .*ascontiguousarray\(dy\)"),
    (
        lambda: ops.dropout_backward(memoryview(X[:, ::2]), 0.5, 1),
        ValueError,
        "^dy must have contiguous rows",
    ),
    (
        lambda: ops.dropout_backward(memoryview(X), 0.5, 1, out=np.ones((5, 4), np.float32)),
        TypeError,
        "that of dy, got float32",
    ),
    (lambda: ops.dropout_backward(X, "a", 1), TypeError, "^rate must be a real number, got str"),
    (lambda: ops.dropout_backward(X, 0.5, -1), ValueError, "^seed must be"),
    (lambda: ops.dropout_mask((2**40, 2**40), 0.5, 1), ValueError, "^the product of shape must be at most"),
    (lambda: ops.dropout_mask((10**5000, 2), 0.5, 1), ValueError, "^the product of shape must be at most"),
    (lambda: ops.dropout_mask(2**70, 0.5, 1), ValueError, "^shape must be at most"),
    (lambda: ops.dropout_mask(-1, 0.5, 1), ValueError, "^shape must be at least 0"),
    (lambda: ops.sgd_update(Z, X, momentum="a"), TypeError, "^momentum must be a number, not str: 'a'"),
    (lambda: ops.sgd_update(Z, X, momentum=None), TypeError, "^momentum must be a number, not NoneType"),
    (lambda: ops.sgd_update(Z, X, momentum=np.ones(2)), TypeError, "^momentum must be a number, not ndarray"),
    (lambda: ops.sgd_update(Z, X, momentum=True), TypeError, "^momentum must be a number, not bool"),
    (lambda: ops.sgd_update(Z, X, momentum=float("nan")), ValueError, "^momentum must be"),
    (lambda: ops.sgd_update(Z, X, momentum=0.5), ValueError, "^velocity is needed when momentum > 0"),
    (lambda: ops.sgd_update(Z, X, method=[]), ValueError, "^method must be one of"),
    (lambda: ops.dense_forward(X, W, activation=[]), TypeError, r"^activation must be a str, not list: \[\]"),
    (lambda: ops.dense_forward(X, W, activation=None), TypeError, "^activation must be a str, got NoneType"),
    (
        lambda: ops.dense_backward(X[:, :3], X, W, X[:, :3], activation=[]),
        TypeError,
        "^activation must be a str, not list",
    ),
]


@pytest.mark.parametrize("case", range(len(REFUSALS)))
def test_refusals_name_the_argument(case: int) -> None:
    call, kind, message = REFUSALS[case]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert (Z == 1).all()


LINE, TABLE = np.arange(8.0), np.arange(32.0).reshape(4, 8)
ROWS: list[tuple[str, Any]] = [
    ("x", lambda w: ops.dropout(w, 0.5, 1)),
    ("dy", lambda w: ops.dropout_backward(w, 0.5, 1)),
    ("w", lambda w: ops.elastic_net_gradient(w, 1, 1)),
    ("w", lambda w: ops.prox(w, 1, 1, 1)),
]
PACKED: list[tuple[str, Any]] = [
    ("w", lambda w: ops.elastic_net(w, 1, 1)),
    ("w", lambda w: ops.sgd_update(w, np.ones_like(w))),
    ("w", lambda w: ops.adam_update(w, np.ones_like(w), np.ones_like(w), np.ones_like(w), 1)),
]
LAYOUTS: list[tuple[Any, bool]] = [  # of an array, and whether it may have it in ROWS
    (LINE[::-2], True),
    (TABLE[:, :4], True),
    (TABLE[::-2], True),
    (np.broadcast_to(1.0, (3,)), False),
    (TABLE.T, False),
    (TABLE[:, ::2], False),
    (np.lib.stride_tricks.as_strided(LINE, (3, 3), (16, 8)), False),  # rows that overlap
    (TABLE.reshape(4, 2, 4)[:, :, :2], False),
]


@pytest.mark.parametrize(("array", "rows"), LAYOUTS, ids=lambda value: str(getattr(value, "strides", value)))
def test_layouts_are_those_that_the_module_tells(array: Any, rows: bool) -> None:
    for name, call in ROWS if rows else []:
        assert np.array_equal(call(array), call(array.copy(order="C"))), name
    for name, call in PACKED if rows else ROWS + PACKED:
        with pytest.raises(ValueError, match=rf"^{name} must (be contiguous|have contiguous rows)"):
            call(array)
    assert np.array_equal(TABLE.ravel(), np.arange(32.0))


def test_momentum_may_be_any_number() -> None:
    for momentum in (0, np.float32(0.5), np.float64(0.5), np.array(0.5)):
        w, expected = X.copy(), X.copy()
        ops.sgd_update(w, X, np.ones_like(X), momentum=momentum)
        ops.sgd_update(expected, X, np.ones_like(X), momentum=float(momentum))
        assert np.array_equal(w, expected)


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
