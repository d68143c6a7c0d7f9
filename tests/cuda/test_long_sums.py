"""Exact products of long sums, whose blocks of steps are added from a workspace, and of few columns, which have kernels
of their own: as operations, with the bits of the CPU.

It must not know which kernel makes what.
"""

from __future__ import annotations

import numpy as np
import pytest

from checks import assert_same_bits, running
from device_cases import needs_gpu
from fastreg import _core

needs_gpu()
AT = 0.3, 0.4, 1, 2, 3  # alpha, rate, seed, step, stream


def arrays(dtype: str, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, isa: str | None = None) -> list[np.ndarray]:
    """y and z, on the CPU or on `isa`."""
    out = np.empty((len(x), w.shape[1]), x.dtype)
    z = np.empty_like(out)
    with running(isa=isa):
        _core.dense_forward(x, w, b, "gelu", *AT, out, z)
    return [out, z]


def weight_gradients(x: np.ndarray, dy: np.ndarray, isa: str | None = None) -> list[np.ndarray]:
    """dw and db of a linear layer."""
    dw, db = np.empty((x.shape[1], dy.shape[1]), x.dtype), np.empty(dy.shape[1], x.dtype)
    w = np.zeros_like(dw)
    with running(isa=isa):
        _core.dense_backward(dy, x, w, dy, None, "linear", 0.0, 0.0, 0, 0, 0, None, dw, db)
    return [dw, db]


# Rows, features, outputs. A sum of n rows has about n / 384 blocks: 14, 17, 24, 43 and 44.
@pytest.mark.parametrize(
    "shape", [(5000, 33, 23), (6400, 41, 4), (9001, 40, 7), (16_400, 130, 3), (16_700, 37, 10)], ids=str
)
def test_gradients_over_many_rows(shape: tuple[int, int, int], dtype: str) -> None:
    rows, features, outputs = shape
    x, dy = arrays(dtype, (rows, features), (rows, outputs))
    expected = weight_gradients(x, dy)
    for name, got, want in zip(("dw", "db"), weight_gradients(x, dy, "cuda"), expected, strict=True):
        assert_same_bits(got, want, name)


@pytest.mark.parametrize("features", [5000, 6400, 9001])
def test_outputs_of_many_features(features: int, dtype: str) -> None:
    """What is done to a finished sum comes after the last block."""
    x, w, b = arrays(dtype, (33, features), (features, 23), (23,))
    for name, got, want in zip("yz", forward(x, w, b, "cuda"), forward(x, w, b), strict=True):
        assert_same_bits(got, want, name)


def test_a_gradient_of_biases_does_not_read_x() -> None:
    """Whatever stands in x, where one launch makes dw and db."""
    x, dy = arrays("float32", (16_400, 35), (16_400, 10))
    x[:, -1], x[5, 0] = np.nan, np.inf
    expected = weight_gradients(x, dy)
    dw, db = weight_gradients(x, dy, "cuda")
    assert np.isfinite(db).all()
    assert_same_bits(db, expected[1], "db")
    assert_same_bits(dw[1:-1], expected[0][1:-1], "dw of finite features")
    assert not np.isfinite(dw[[0, -1]]).any()


def test_a_sum_of_minus_zeros_stays_minus_zero() -> None:
    """Few outputs of many rows; the number of features is no multiple of 32."""
    x, w = np.zeros((16_384, 68), np.float32), np.full((68, 3), -1, np.float32)
    b = np.full(3, -0.0, np.float32)
    for isa in (None, "cuda"):
        z = forward(x, w, b, isa)[1]
        assert (z == 0).all()
        assert np.signbit(z).all(), isa
