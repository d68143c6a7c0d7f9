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
    (130, 300, 70),
    (300, 260, 9),
    (257, 40, 300),
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
