"""The kernels of the C interface are those of fastreg.ops, and their arguments mean what the header says.

It must not repeat the oracle's tests: tests/ops holds fastreg.ops to it. It is over 250 lines because it is a list of
kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastreg
from c_library import (
    INVALID_ARGUMENT,
    SUFFIX,
    Dense,
    Penalty,
    argument,
    call,
    check,
    enum,
    error,
    lib,
    loss,
    made,
    optimizer,
)  # fmt: skip
from fastreg import _core, ops
from reference import ACTIVATIONS
from reference_update import optimizer_spec, update

RNG = np.random.default_rng(5)
BATCH, INPUTS, OUTPUTS = 7, 11, 5


def normal(dtype: str, *shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def activation(name: str) -> int:
    return enum("fr_activation")[f"FR_{name.upper()}"]


@pytest.mark.parametrize("name", ["linear", "relu", "leaky_relu", "gelu", "tanh"])
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_dense(dtype: str, name: str, rate: float) -> None:
    """x as columns of a wider array, w transposed, y in a wider array: all strides are used."""
    x = normal(dtype, BATCH, INPUTS + 4)[:, 2 : 2 + INPUTS]
    w, b, dy = normal(dtype, OUTPUTS, INPUTS).T, normal(dtype, OUTPUTS), normal(dtype, BATCH, OUTPUTS)
    y, z = np.zeros((BATCH, OUTPUTS + 3), dtype), np.zeros((BATCH, OUTPUTS), dtype)
    options = made(Dense, activation=activation(name), alpha=0.1, rate=rate, seed=3, stream=9, step=4)
    sizes, suffix, wide = (BATCH, INPUTS, OUTPUTS), SUFFIX[dtype], (INPUTS + 4, 1)
    check(f"dense_forward_{suffix}", *sizes, x, *wide, w, 1, INPUTS, b, options, y, OUTPUTS + 3, z, OUTPUTS)
    words: dict[str, Any] = {"activation": name, "rate": rate, "seed": 3, "stream": 9, "step": 4}
    if name == "leaky_relu":
        words["alpha"] = 0.1
    expected_z = np.empty_like(z)
    expected = ops.dense_forward(x, w, b, z_out=expected_z, **words)
    np.testing.assert_array_equal(y[:, :OUTPUTS], expected)
    np.testing.assert_array_equal(z, expected_z)
    assert not y[:, OUTPUTS:].any(), "written beyond the columns"

    dx, dw, db = (np.zeros(s, dtype) for s in ((BATCH, INPUTS), (INPUTS, OUTPUTS), (OUTPUTS,)))
    for given_dx, given_db in ((dx, db), (None, None)):
        check(
            f"dense_backward_{suffix}", *sizes, dy, OUTPUTS, x, *wide, w, 1, INPUTS, y, OUTPUTS + 3, z, OUTPUTS,
            options, given_dx, INPUTS, dw, OUTPUTS, given_db,
        )  # fmt: skip
        theirs = ops.dense_backward(dy, x, w, expected, expected_z, **words)
        for ours, other in zip((dx, dw, db), theirs, strict=True):
            np.testing.assert_array_equal(ours, other)


def test_dense_without_options_is_a_product(dtype: str) -> None:
    x, w, y = normal(dtype, BATCH, INPUTS), normal(dtype, INPUTS, OUTPUTS), np.zeros((BATCH, OUTPUTS), dtype)
    check(
        f"dense_forward_{SUFFIX[dtype]}", BATCH, INPUTS, OUTPUTS, x, INPUTS, 1, w, OUTPUTS, 1, None, None, y, OUTPUTS,
        None, 0,
    )  # fmt: skip
    np.testing.assert_allclose(y, x.astype(np.float64) @ w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gradient_of_an_activation(name: str) -> None:
    """Central differences of the forward function, through wider arrays; then in place of dy."""
    kind, h = activation(name), 1e-6
    x, dy = normal("float64", BATCH, OUTPUTS + 2), normal("float64", BATCH, OUTPUTS)
    x[np.abs(x) < 0.01] = 0.5  # where relu and its like have a corner
    dx = np.full((BATCH, OUTPUTS + 1), 9.0)

    def forward() -> np.ndarray:
        y = np.empty((BATCH, OUTPUTS))
        check("activation_forward_f64", BATCH, OUTPUTS, x, OUTPUTS + 2, kind, 0.3, y, OUTPUTS)
        return y

    what = (x, OUTPUTS + 2, kind, 0.3)
    check("activation_backward_f64", BATCH, OUTPUTS, dy, OUTPUTS, *what, dx, OUTPUTS + 1)
    for i, j in np.ndindex(BATCH, OUTPUTS):
        center = x[i, j]
        x[i, j] = center + h
        high = (dy * forward()).sum()
        x[i, j] = center - h
        low = (dy * forward()).sum()
        x[i, j] = center
        assert dx[i, j] == pytest.approx((high - low) / (2 * h), abs=1e-7), (i, j)
    assert (dx[:, OUTPUTS] == 9.0).all(), "written beyond the columns"
    single, place = dy.astype(np.float32), dy.copy()
    check("activation_backward_f64", BATCH, OUTPUTS, place, OUTPUTS, *what, place, OUTPUTS)
    np.testing.assert_array_equal(place, dx[:, :OUTPUTS])
    what = (x.astype(np.float32), *what[1:])
    check("activation_backward_f32", BATCH, OUTPUTS, single, OUTPUTS, *what, single, OUTPUTS)
    np.testing.assert_allclose(single, place, rtol=1e-5, atol=1e-6)


def test_a_softmax_layer_can_be_differentiated() -> None:
    """Dense and softmax, forward and back, as the messages of fr_dense_forward and fr_dense_backward say."""
    x, w, dy = (normal("float64", *s) for s in ((BATCH, INPUTS), (INPUTS, OUTPUTS), (BATCH, OUTPUTS)))
    z, y, dz, dw = (
        np.zeros(s) for s in ((BATCH, OUTPUTS), (BATCH, OUTPUTS), (BATCH, OUTPUTS), (INPUTS, OUTPUTS))
    )
    sizes, softmax = (BATCH, INPUTS, OUTPUTS), (activation("softmax"), 0.0)
    operands = (x, INPUTS, 1, w, OUTPUTS, 1)

    def loss_of_batch() -> float:
        check("dense_forward_f64", *sizes, *operands, None, None, z, OUTPUTS, None, 0)
        check("activation_forward_f64", BATCH, OUTPUTS, z, OUTPUTS, *softmax, y, OUTPUTS)
        return float((dy * y).sum())

    loss_of_batch()
    check("activation_backward_f64", BATCH, OUTPUTS, dy, OUTPUTS, z, OUTPUTS, *softmax, dz, OUTPUTS)
    tail = (None, None, 0, dw, OUTPUTS, None)
    check("dense_backward_f64", *sizes, dz, OUTPUTS, *operands, z, OUTPUTS, None, 0, *tail)
    for i, j in [(0, 0), (3, 4), (INPUTS - 1, 2)]:
        differences = []
        for h in (1e-6, -1e-6):
            w[i, j] += h
            differences.append(loss_of_batch() / h)
            w[i, j] -= h
        assert dw[i, j] == pytest.approx(sum(differences) / 2, abs=1e-7)


def test_softmax_and_a_loss(dtype: str) -> None:
    z, p = normal(dtype, BATCH, OUTPUTS), np.zeros((BATCH, OUTPUTS), dtype)
    suffix = SUFFIX[dtype]
    check(f"activation_forward_{suffix}", BATCH, OUTPUTS, z, OUTPUTS, activation("softmax"), 0.0, p, OUTPUTS)
    exact = np.exp(z.astype(np.float64))
    exact /= exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, exact, rtol=1e-5)
    classes = (np.arange(BATCH) % OUTPUTS).astype(dtype)
    weight, per_row, mean = np.linspace(0.5, 2, BATCH).astype(dtype), np.zeros(BATCH, dtype), np.zeros(1)
    gradient = np.zeros((BATCH, OUTPUTS), dtype)
    spec = loss("sparse_categorical_crossentropy", from_logits=1)
    check(f"loss_{suffix}", BATCH, OUTPUTS, classes, 1, z, OUTPUTS, weight, spec, per_row, gradient, mean)
    rows = -np.log(exact[np.arange(BATCH), classes.astype(int)])
    np.testing.assert_allclose(per_row, rows, rtol=1e-5)
    assert mean[0] == pytest.approx((weight * rows).sum() / BATCH, rel=1e-5)
    one_hot = np.eye(OUTPUTS)[classes.astype(int)]
    np.testing.assert_allclose(gradient, weight[:, None] * (exact - one_hot) / BATCH, rtol=1e-4, atol=1e-6)


def test_elastic_net_value_gradient_and_prox(dtype: str) -> None:
    suffix = SUFFIX[dtype]
    w = np.array([-3.0, -0.25, 0.0, 0.5, 2.0], dtype)
    out, value = np.empty_like(w), np.zeros(1)
    check(f"prox_{suffix}", w, 5, 1.0, 0.5, 0.5, out)
    np.testing.assert_allclose(out, np.sign(w) * np.maximum(np.abs(w) - 0.5, 0) / 1.5, rtol=1e-6)
    assert np.count_nonzero(out == 0) == 3
    check(f"elastic_net_{suffix}", w, 5, 2.0, 3.0, value)
    assert value[0] == pytest.approx(2.0 * 5.75 + 3.0 * (9 + 0.0625 + 0.25 + 4))
    check(f"elastic_net_gradient_{suffix}", w, 5, 2.0, 3.0, out)
    np.testing.assert_allclose(out, 2.0 * np.sign(w) + 6.0 * w)
    check(f"elastic_net_gradient_{suffix}", w, 5, 2.0, 3.0, w)  # in place
    np.testing.assert_array_equal(w, out)


def test_dropout_and_masks(dtype: str) -> None:
    n = 1003
    x, out = np.linspace(1, 2, n).astype(dtype), np.zeros(n, dtype)
    check(f"dropout_{SUFFIX[dtype]}", x, n, 0.3, 11, 5, 7, out)
    np.testing.assert_array_equal(out, ops.dropout(x, 0.3, seed=11, step=7, stream=5))
    mask, packed = np.full(n, 9, np.uint8), np.full((n + 7) // 8, 9, np.uint8)
    check("dropout_mask", n, 0.3, 11, 5, 7, 0, mask)
    check("dropout_mask", n, 0.3, 11, 5, 7, 1, packed)
    np.testing.assert_array_equal(mask, out != 0)
    np.testing.assert_array_equal(np.unpackbits(packed, count=n, bitorder="little"), mask)


UPDATES: list[tuple[str, dict[str, Any], int]] = [
    ("sgd", {}, 0), ("sgd", {"momentum": 0.9, "nesterov": 1}, 1), ("adam", {"weight_decay": 0.01}, 2),
    ("adam", {"amsgrad": 1}, 3), ("rmsprop", {"momentum": 0.5, "centered": 1}, 3), ("adagrad", {}, 1),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values", "n_slots"), UPDATES)
@pytest.mark.parametrize("subgradient", [0, 1])
def test_update(dtype: str, kind: str, values: dict[str, Any], n_slots: int, subgradient: int) -> None:
    """Three steps against the oracle."""
    n, suffix = 37, SUFFIX[dtype]
    options = optimizer(kind, 0.05, **values)
    assert lib.fr_n_slots(argument(options)) == n_slots
    w = normal(dtype, n)
    start = 0.1 if kind == "adagrad" else 0.0
    slots = [np.full(n, start, dtype) for _ in range(n_slots)]
    pointers = np.array([s.ctypes.data for s in slots], np.uint64)
    penalty, value = Penalty(l1=0.03, l2=0.02, subgradient=subgradient), np.zeros(1)
    names = {"nesterov": bool, "amsgrad": bool, "centered": bool}
    spec = optimizer_spec(
        kind, learning_rate=0.05, **{k: names[k](v) if k in names else v for k, v in values.items()}
    )
    terms = {"l1": 0.03, "l2": 0.02, "proximal": not subgradient}
    exact, exact_slots = w.astype(np.float64), [s.astype(np.float64) for s in slots]
    for step in (1, 2, 3):
        g = normal(dtype, n)
        before = 0.03 * np.abs(exact).sum() + 0.02 * (exact**2).sum()
        check(f"update_{suffix}", options, w, g, pointers, n, step, penalty, value)
        assert value[0] == pytest.approx(before, rel=1e-5)
        exact, exact_slots = update(exact, g.astype(np.float64), exact_slots, step, spec, terms)
        np.testing.assert_allclose(w, exact, rtol=2e-4 if dtype == "float32" else 1e-10, atol=1e-6)
        for ours, theirs in zip(slots, exact_slots, strict=True):  # in the order that the header names
            np.testing.assert_allclose(ours, theirs, rtol=2e-4 if dtype == "float32" else 1e-10, atol=1e-6)


def test_update_without_penalty_or_value() -> None:
    w, g = np.ones(3, np.float32), np.full(3, 2.0, np.float32)
    check("update_f32", optimizer("sgd", 0.25), w, g, None, 3, 1, None, None)
    np.testing.assert_array_equal(w, 0.5)


@pytest.mark.parametrize(
    ("kind", "a", "b"), [("uniform", -0.5, 0.5), ("normal", 1.0, 2.0), ("truncated_normal", 0.0, 1.0)]
)
def test_initial_numbers(dtype: str, kind: str, a: float, b: float) -> None:
    """Those of Python at the same address, and others at another."""
    n, number = 50, enum("fr_initializer")[f"FR_{kind.upper()}"]
    out, other = np.zeros(n, dtype), np.zeros(n, dtype)
    check(f"initialize_{SUFFIX[dtype]}", number, a, b, 7, 3, n, out)
    check(f"initialize_{SUFFIX[dtype]}", number, a, b, 7, 4, n, other)
    np.testing.assert_array_equal(out, _core.initialize(kind, (n,), a, b, 7, 3, dtype))
    assert not np.array_equal(out, other)


def test_threads() -> None:
    before = lib.fr_get_num_threads()
    check("set_num_threads", 3)
    assert fastreg.get_num_threads() == lib.fr_get_num_threads() == 3
    check("set_num_threads", before)
    for wrong in (0, -1, 1025):
        assert call("set_num_threads", wrong) == INVALID_ARGUMENT
        assert "n must be from 1 to 1024" in error()
    assert lib.fr_get_num_threads() == before
