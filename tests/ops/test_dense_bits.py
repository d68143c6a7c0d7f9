"""Tier T1 of the dense kernels: one answer for every ISA, thread count, layout, and batch.

It must not compare with formulas; test_dense_forward.py and test_dense_backward.py do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from checks import THREADS, assert_same_bits, configurations, sha256
from fastreg import _core
from reference import ELEMENTWISE

SIZES = [
    (1, 1, 1),
    (2, 9, 3),
    (33, 17, 65),
    (61, 67, 1),
    (1, 530, 40),
    (1, 771, 2333),
    (130, 300, 70),
    (300, 260, 9),
    (130, 70, 5),
    (257, 40, 300),
    (250, 400, 2100),  # blocks of rows, of columns and of steps
]


def random_arrays(*shapes: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


def forward(x: Any, w: Any, b: Any, kind: str, rate: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    out = np.empty((x.shape[0], w.shape[1]), x.dtype)
    z = np.empty_like(out)
    _core.dense_forward(x, w, b, kind, 0.3, rate, 1, 2, 3, out, z)
    return out, z


def backward(dy: Any, x: Any, w: Any, y: Any, z: Any, kind: str, rate: float = 0.0) -> tuple[np.ndarray, ...]:
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty(w.shape[1], w.dtype)
    _core.dense_backward(dy, x, w, y, z, kind, 0.3, rate, 1, 2, 3, dx, dw, db)
    return dx, dw, db


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_one_answer_for_all_isas_and_threads(size: tuple[int, int, int], dtype: str) -> None:
    nB, nI, nO = size
    x, w, b, dy = random_arrays((nB, nI), (nI, nO), (nO,), (nB, nO), dtype=dtype)
    for kind, rate in (("relu", 0.5), ("gelu", 0.5), ("tanh", 0.0)):
        digests = {}
        for name in configurations(THREADS):
            y, z = forward(x, w, b, kind, rate)
            digests[name] = sha256([y, z, *backward(dy, x, w, y, z, kind, rate)])
        assert len(set(digests.values())) == 1, f"{kind}, rate {rate}, size {size}, {dtype}: {digests}"


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_a_row_of_a_batch_equals_the_row_alone(isa: str, dtype: str, kind: str) -> None:
    for nB, nI, nO in [(67, 33, 17), (20, 600, 40), (35, 64, 1)]:
        x, w, b, dy = random_arrays((nB, nI), (nI, nO), (nO,), (nB, nO), dtype=dtype)
        y, z = forward(x, w, b, kind)
        dx, _, _ = backward(dy, x, w, y, z, kind)
        for rows in [slice(i, i + 1) for i in (0, 1, 7, nB - 1)] + [slice(3, 11), slice(5, nB)]:
            y_part, z_part = forward(x[rows], w, b, kind)
            dx_part, _, _ = backward(dy[rows].copy(), x[rows], w, y_part, z_part, kind)
            what = f"{kind}, rows {rows.start}:{rows.stop} of {(nB, nI, nO)}"
            assert_same_bits(y_part, y[rows], f"y: {what}")
            assert_same_bits(dx_part, dx[rows], f"dx: {what}")


def test_a_column_of_w_does_not_depend_on_the_others(isa: str, dtype: str) -> None:
    x, w, b = random_arrays((29, 300), (300, 67), (67,), dtype=dtype)
    whole, _ = forward(x, w, b, "tanh")
    for columns in (slice(0, 1), slice(0, 5), slice(13, 44), slice(66, 67)):
        part, _ = forward(x, w[:, columns], b[columns].copy(), "tanh")
        assert_same_bits(part, whole[:, columns], f"columns {columns.start}:{columns.stop} of 67")


def test_the_layout_of_inputs_changes_no_bit(isa: str, dtype: str) -> None:
    x, w, b, dy = random_arrays((35, 270), (270, 41), (41,), (35, 41), dtype=dtype)
    y, z = forward(x, w, b, "silu")
    gradients = backward(dy, x, w, y, z, "silu")
    fortran = np.asfortranarray(x), np.asfortranarray(w)
    assert_same_bits(forward(*fortran, b, "silu")[0], y, "transposed x and w")
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
    _core.dense_backward(dy, *fortran, y, z, "silu", 0.3, 0.0, 1, 2, 3, dx, dw, db)
    for name, got, wanted in zip(("dx", "dw", "db"), (dx, dw, db), gradients, strict=True):
        assert_same_bits(got, wanted, f"{name} of transposed x and w")


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_the_epilogue_is_the_same_rule_as_the_separate_ops(isa: str, dtype: str, kind: str) -> None:
    x, w, b = random_arrays((21, 13), (13, 35), (35,), dtype=dtype)
    for rate in (0.0, 0.3):
        y, z = forward(x, w, b, kind, rate)
        separate = np.empty_like(z)
        _core.activation_forward(z, kind, 0.3, separate)
        if rate:
            _core.dropout(separate.copy(), rate, 1, 2, 3, separate)
        assert_same_bits(y, separate, f"{kind}, rate {rate}: fused against separate")


# Products in which many numbers are 0 skip steps, short ones only where nearly all are; a handful of rows never does.
FEW = 4


def with_zeros(array: np.ndarray, share: float) -> np.ndarray:
    array[np.random.default_rng(4).random(array.shape) < share] = 0
    return array


def assert_zeros_change_no_bit(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, dy: np.ndarray, what: str
) -> None:
    y, _ = forward(x, w, b, "linear")
    dx, dw, _ = backward(dy, x, w, y, y, "linear")
    for i in range(0, x.shape[0], FEW):
        rows = slice(i, i + FEW)
        y_part, _ = forward(x[rows], w, b, "linear")
        dx_part, _, _ = backward(dy[rows], x[rows], w, y_part, y_part, "linear")
        assert_same_bits(y_part, y[rows], f"{what}: y, rows from {i} on")
        assert_same_bits(dx_part, dx[rows], f"{what}: dx, rows from {i} on")
    for i in range(0, x.shape[1], FEW):
        some = np.ascontiguousarray(x[:, i : i + FEW])
        dw_part = np.empty((some.shape[1], w.shape[1]), w.dtype)
        _core.dense_backward(dy, some, w[i : i + FEW], y, y, "linear", 0.3, 0.0, 1, 2, 3, None, dw_part, None)
        assert_same_bits(dw_part, dw[i : i + FEW], f"{what}: dw, rows from {i} on")


@pytest.mark.parametrize("size", [(32, 64, 64), (37, 161, 150), (17, 900, 140), (500, 130, 129)], ids=str)
@pytest.mark.parametrize("shares", [(0.75, 0.7), (0.6, 0.95), (0.0, 0.97), (0.9, 0.0), (1.0, 1.0)], ids=str)
def test_zeros_change_no_bit(
    isa: str, threads: int, dtype: str, size: tuple[int, int, int], shares: tuple[float, float]
) -> None:
    nB, nI, nO = size
    x, w, b, dy = random_arrays((nB, nI), (nI, nO), (nO,), (nB, nO), dtype=dtype)
    assert_zeros_change_no_bit(with_zeros(x, shares[0]), w, b, with_zeros(dy, shares[1]), "zeros")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "w", "dy"])
# Among whole vectors, in what is left of a row after them, and in the last row.
@pytest.mark.parametrize(("row", "col"), [(5, 7), (6, -1), (-1, 9)])
@pytest.mark.parametrize(("nB", "nI"), [(33, 70), (40, 72)])
def test_zeros_times_what_is_not_finite(
    isa: str, dtype: str, value: float, where: str, row: int, col: int, nB: int, nI: int
) -> None:
    x, w, b, dy = random_arrays((nB, nI), (nI, 150), (150,), (nB, 150), dtype=dtype)
    with_zeros(x, 0.8)
    with_zeros(dy, 0.9)
    array = {"x": x, "w": w, "dy": dy}[where]
    array[row, col] = value
    if where == "w":
        x[:, row] = 0  # the only chance to meet it is a product with 0
    y, _ = forward(x, w, b, "linear")
    if where == "w":
        assert np.isnan(y[:, col]).all(), "0 times infinity or NaN is NaN"
    with np.errstate(invalid="ignore"):
        assert_zeros_change_no_bit(x, w, b, dy, f"{value} in {where}")


@pytest.mark.parametrize("zeros_of_x", [True, False])
def test_zeros_and_the_sign_of_zero(isa: str, dtype: str, zeros_of_x: bool) -> None:
    """Sums that end as -0: from a start at -0, and from products too small for the dtype."""
    x, w, b, dy = random_arrays((40, 90), (90, 136), (136,), (40, 136), dtype=dtype)
    tiny = float(np.finfo(dtype).tiny) ** 0.75
    if zeros_of_x:
        with_zeros(x, 0.8)
        x[:, ::3] *= -0.0
    with_zeros(dy, 0.95)
    x *= tiny
    w *= tiny
    dy *= tiny
    b[:] = -0.0
    y, _ = forward(x, w, b, "linear")
    assert (y == 0).all()
    assert 0 < np.signbit(y).sum() < y.size, "the test is of both zeros"
    assert_zeros_change_no_bit(x, w, b, dy, "signs of zero")
