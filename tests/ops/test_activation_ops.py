"""activation_forward and activation_backward against the float64 oracle, softmax included.

It must not know dense layers.
"""

from __future__ import annotations

import numpy as np
import pytest

from checks import assert_close, assert_same_bits, eps
from fastreg import _core
from reference import ACTIVATIONS, activation, activation_backward


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_value_and_gradient(isa: str, dtype: str, kind: str, alpha: float) -> None:
    for rows, cols in [(0, 3), (3, 0), (1, 1), (1, 67), (67, 1), (5, 8), (3, 17), (9, 33), (40, 100)]:
        rng = np.random.default_rng([rows, cols])
        z, dy = (4 * rng.normal(size=(rows, cols))).astype(dtype), rng.normal(size=(rows, cols)).astype(dtype)
        y, dz = np.full_like(z, np.nan), np.full_like(z, np.nan)
        _core.activation_forward(z, kind, alpha, y)
        _core.activation_backward(dy, z, kind, alpha, dz)
        what = f"{kind}, alpha {alpha}, {rows} x {cols}, {dtype}, {isa}"
        wanted = activation(z, kind, alpha)
        # Relative to the value. Softmax adds the rounding of z - max and of the sum, gelu_tanh that of 1 + tanh, gelu
        # that of z / sqrt(2) in the tail. Below the smallest normal number the spacing is absolute.
        slack = {
            "softmax": (cols + 20) * np.abs(wanted),
            "gelu_tanh": np.abs(z),
            "gelu": z**2 * np.abs(wanted),
        }
        bound = (
            eps(dtype) * (8 * np.abs(wanted) + slack.get(kind, 0.0)) + 8 * np.finfo(dtype).smallest_subnormal
        )
        assert_close(y, wanted, bound, f"value: {what}")
        size = np.abs(dy.astype(float))
        if kind == "softmax":
            size = (cols + 20) * size.max(axis=1, keepdims=True, initial=0)
        assert_close(dz, activation_backward(dy, z, kind, alpha), 16 * eps(dtype) * size, f"gradient: {what}")


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_gradient_is_the_slope_of_the_value(kind: str) -> None:
    z, dy, h = (
        np.array([[-3.0, -0.7, -0.01, 0.02, 0.9, 4.0]]),
        np.array([[1.0, -2.0, 0.5, 3.0, -1.0, 0.7]]),
        1e-6,
    )
    dz, high, low = (np.empty_like(z) for _ in range(3))
    _core.activation_backward(dy, z, kind, 0.4, dz)
    for i in range(z.size):
        shift = np.eye(z.size)[i : i + 1] * h
        _core.activation_forward(z + shift, kind, 0.4, high)
        _core.activation_forward(z - shift, kind, 0.4, low)
        assert_close(dz[0, i], (dy * (high - low)).sum() / (2 * h), 1e-8, f"{kind}'({z[0, i]})")


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_views_and_in_place(isa: str, dtype: str, kind: str) -> None:
    block = np.random.default_rng(0).normal(size=(20, 30)).astype(dtype)
    for view in (block[:, 3:20], block[::3], block[:, :1]):
        packed = np.ascontiguousarray(view)
        y, gap = np.empty_like(packed), np.zeros((*view.shape[:1], view.shape[1] + 3), dtype)[:, 2:-1]
        _core.activation_forward(packed, kind, 0.3, y)
        _core.activation_forward(view, kind, 0.3, gap)
        assert_same_bits(gap, y, f"{kind} of strides {view.strides}")
        _core.activation_forward(packed, kind, 0.3, packed)
        assert_same_bits(packed, y, f"{kind} in place")


def test_softmax_of_a_row_alone_has_the_bits_that_it_has_among_others(isa: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for cols in (1, 2, 3, 10, 16, 17, 33, 64, 65, 100):
        z, dy = (3 * rng.normal(size=(2, 64, cols))).astype(dtype)
        y, dz = np.empty_like(z), np.empty_like(z)
        _core.activation_forward(z, "softmax", 0.0, y)
        _core.activation_backward(dy, z, "softmax", 0.0, dz)
        for r in (slice(0, 1), slice(17, 18), slice(63, 64)):
            alone, slope = np.empty_like(z[r]), np.empty_like(z[r])
            _core.activation_forward(z[r], "softmax", 0.0, alone)
            _core.activation_backward(dy[r], z[r], "softmax", 0.0, slope)
            assert_same_bits(y[r], alone, f"{cols} columns, {isa}, {dtype}")
            assert_same_bits(dz[r], slope, f"gradient: {cols} columns, {isa}, {dtype}")


def test_softmax_is_exact_where_it_must_be(isa: str, dtype: str) -> None:
    """Equal logits give equal shares, a shift of the row changes nothing, huge logits do not overflow."""
    y = np.empty((2, 4), dtype)
    _core.activation_forward(np.array([[7, 7, 7, 7], [-1e4, -1e4, -1e4, -1e4]], dtype), "softmax", 0.0, y)
    assert_same_bits(y, np.full((2, 4), 0.25, dtype), "softmax of equal logits")
    z = np.array([[1, 2, 3, 4], [1025, 1026, 1027, 1028]], dtype)
    _core.activation_forward(z, "softmax", 0.0, y)
    assert_same_bits(y[1], y[0], "softmax of a shifted row")
    _core.activation_forward(
        np.array([[1e30, 0, -1e30, 0], [-1e30, -1e30, 1e30, 1e30]], dtype), "softmax", 0.0, y
    )
    assert_same_bits(y, np.array([[1, 0, 0, 0], [0, 0, 0.5, 0.5]], dtype), "softmax of huge logits")
