"""dense_backward against the float64 oracle and against finite differences.

It must not compare bits; test_dense_bits.py does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference as ref
import reference_random as random
from cases import odd_sizes
from checks import assert_close, assert_same_bits, eps
from fastreg import _core

ALPHA = 0.3
ADDRESS = (77, 5, 2)  # seed, step, stream


class Case:
    """One dense layer: its operands, its forward pass by the oracle rounded to dtype, and the expected gradients."""

    def __init__(self, nB: int, nI: int, nO: int, dtype: str, kind: str, rate: float) -> None:
        rng = np.random.default_rng([nB, nI, nO])
        self.kind, self.rate, self.dtype = kind, rate, dtype
        self.x, self.dy = rng.normal(size=(nB, nI)).astype(dtype), rng.normal(size=(nB, nO)).astype(dtype)
        self.w, self.z = (
            rng.normal(size=(nI, nO)).astype(dtype),
            (2 * rng.normal(size=(nB, nO))).astype(dtype),
        )
        y = ref.activation(self.z, kind, ALPHA)
        self.y = random.dropout(y, rate, *ADDRESS).astype(dtype)
        self.scale = 65536 / max(random.keep_count(rate), 1)
        dy = random.dropout(self.dy.astype(np.float64), rate, *ADDRESS)
        self.dz = ref.activation_backward(dy, self.z, kind, ALPHA)
        # f' is at most 1.76 and is known to a few eps.
        self.dz_error = 16 * eps(dtype) * np.abs(dy)

    def run(
        self, x: Any = None, w: Any = None, z: Any = "kept", with_dx: bool = True, with_db: bool = True
    ) -> Any:
        (nB, nI), nO = self.x.shape, self.dy.shape[1]
        dx = np.full((nB, nI), np.nan, self.dtype) if with_dx else None
        dw, db = np.full((nI, nO), np.nan, self.dtype), np.full(nO, np.nan, self.dtype) if with_db else None
        z = self.z if isinstance(z, str) else z
        x, w = self.x if x is None else x, self.w if w is None else w
        _core.dense_backward(self.dy, x, w, self.y, z, self.kind, ALPHA, self.rate, *ADDRESS, dx, dw, db)
        return dx, dw, db

    def check(self, dx: Any, dw: Any, db: Any, what: str) -> None:
        x, w, dz, e = self.x.astype(np.float64), self.w.astype(np.float64), self.dz, eps(self.dtype)
        (nB, nI), nO = x.shape, dz.shape[1]
        size = np.abs(dz) + self.dz_error
        what = f"{what}: {self.kind}, dropout {self.rate}, ({nB}, {nI}) @ ({nI}, {nO}), {self.dtype}"
        if dx is not None:
            assert_close(dx, dz @ w.T, (self.dz_error + (nO + 2) * e * size) @ np.abs(w).T, f"dx {what}")
        assert_close(dw, x.T @ dz, np.abs(x).T @ (self.dz_error + (nB + 2) * e * size), f"dw {what}")
        if db is not None:
            assert_close(db, dz.sum(axis=0), (self.dz_error + (nB + 2) * e * size).sum(axis=0), f"db {what}")


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("kind", ref.ELEMENTWISE)
def test_every_odd_size(isa: str, dtype: str, kind: str, rate: float) -> None:
    for nB, nI, nO in odd_sizes(100 + ref.ELEMENTWISE.index(kind))[:: 3 if rate else 1]:
        case = Case(nB, nI, nO, dtype, kind, rate)
        case.check(*case.run(), isa)


@pytest.mark.parametrize(
    "size",
    [
        (257, 300, 130),
        (1300, 9, 5),
        (3, 700, 1),
        (1, 1, 2000),
        (64, 33, 1025),
        (250, 400, 2100),
        (40, 130, 3),
        (600, 517, 12),
    ],
    ids=str,
)
def test_large_sizes(isa: str, dtype: str, size: tuple[int, int, int]) -> None:
    for kind, rate in (("linear", 0.0), ("relu", 0.3)):
        case = Case(*size, dtype, kind, rate)
        case.check(*case.run(), isa)


@pytest.mark.parametrize(
    ("kind", "rate"),
    [("linear", 0.0), ("linear", 0.5), ("relu", 0.0), ("relu", 0.5), ("tanh", 0.0), ("sigmoid", 0.0)],
)
def test_without_z_where_the_output_tells_the_slope(isa: str, dtype: str, kind: str, rate: float) -> None:
    for size in [(9, 7, 5), (33, 20, 41)]:
        case = Case(*size, dtype, kind, rate)
        case.check(*case.run(z=None), f"{isa}, no z")


def test_optional_outputs(isa: str, dtype: str) -> None:
    case = Case(19, 8, 11, dtype, "gelu", 0.0)
    for with_dx, with_db in ((False, True), (True, False), (False, False)):
        case.check(*case.run(with_dx=with_dx, with_db=with_db), f"{isa}, dx {with_dx}, db {with_db}")


def test_any_layout_of_x_and_w(isa: str, dtype: str) -> None:
    case = Case(33, 21, 19, dtype, "tanh", 0.0)
    spread = np.full((66, 63), np.nan, dtype)
    for x in (np.asfortranarray(case.x), spread[1::2, ::3]):
        x[...] = case.x
        case.check(*case.run(x=x), f"{isa}, x strides {x.strides}")
    for w in (np.asfortranarray(case.w), spread[:21, 3:60:3]):
        w[...] = case.w
        case.check(*case.run(w=w), f"{isa}, w strides {w.strides}")


@pytest.mark.parametrize(
    "size", [(9, 7, 5), (33, 20, 41), (257, 300, 130), (3, 0, 4), (3, 4, 0), (0, 3, 2), (64, 33, 1)]
)
def test_dw_transposed_has_the_same_bits(isa: str, dtype: str, size: tuple[int, int, int]) -> None:
    """Also where x is rows of a larger array."""
    for kind, rate in (("linear", 0.0), ("relu", 0.5), ("gelu", 0.3)):
        case = Case(*size, dtype, kind, rate)
        dx, dw, db = case.run()
        (nB, nI), nO = case.x.shape, case.dy.shape[1]
        frame = np.full((nB, nI + 3), np.nan, dtype)
        frame[:, 1 : nI + 1] = case.x
        for x in (case.x, frame[:, 1 : nI + 1]):
            dx_too, db_too = np.full_like(dx, np.nan), np.full_like(db, np.nan)
            turned = np.full((nO, nI + 2), np.nan, dtype)[:, :nI]
            _core.dense_backward(
                case.dy, x, case.w, case.y, case.z, kind, ALPHA, rate, *ADDRESS, dx_too, turned, db_too, True
            )
            what = f"{isa}, {kind}, {size}"
            for got, wanted in ((dx_too, dx), (turned.T, dw), (db_too, db)):
                assert_same_bits(np.ascontiguousarray(got), wanted, what)


def test_dy_may_be_rows_of_a_larger_array(isa: str, dtype: str) -> None:
    """A linear layer reads it where it is."""
    for kind, rate in (("linear", 0.0), ("linear", 0.5), ("relu", 0.0)):
        for nO in (1, 19):
            case = Case(33, 21, nO, dtype, kind, rate)
            frame = np.full((66, 40), np.nan, dtype)
            for dy in (frame[1::2, 3 : 3 + nO], frame[32::-1, 3 : 3 + nO]):
                dy[...] = case.dy
                case.dy, given = dy, frame.copy()
                case.check(*case.run(), f"{isa}, {kind}, dy strides {dy.strides}")
                np.testing.assert_array_equal(frame, given)


@pytest.mark.parametrize("kind", ref.ELEMENTWISE)
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_forward_then_backward_is_the_slope_of_forward(kind: str, rate: float) -> None:
    """float64 central differences of sum(dy * dense_forward(x, w, b)) in every element of x, w and b."""
    rng = np.random.default_rng(4)
    (nB, nI, nO), h = (5, 4, 3), 1e-6
    x, w, b, dy = (rng.normal(size=s) for s in ((nB, nI), (nI, nO), (nO,), (nB, nO)))

    def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        out, z = np.empty((nB, nO)), np.empty((nB, nO))
        _core.dense_forward(x, w, b, kind, ALPHA, rate, *ADDRESS, out, z)
        return out, z

    y, z = forward(x, w, b)
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
    _core.dense_backward(dy, x, w, y, z, kind, ALPHA, rate, *ADDRESS, dx, dw, db)
    for name, array, gradient in (("dx", x, dx), ("dw", w, dw), ("db", b, db)):
        for i in np.ndindex(array.shape):
            center = array[i]
            array[i] = center + h
            high = (dy * forward(x, w, b)[0]).sum()
            array[i] = center - h
            low = (dy * forward(x, w, b)[0]).sum()
            array[i] = center
            assert_close(gradient[i], (high - low) / (2 * h), 1e-7, f"{kind}, rate {rate}: {name}{list(i)}")


def test_softmax_is_refused_and_a_missing_z_is_named() -> None:
    with pytest.raises(ValueError, match=r"softmax.*dy taken through softmax"):
        Case(3, 2, 4, "float32", "softmax", 0.0).run()
    for kind, rate in (("gelu", 0.0), ("softplus", 0.0), ("tanh", 0.5), ("elu", 0.5)):
        with pytest.raises(ValueError, match="z "):
            Case(3, 2, 4, "float32", kind, rate).run(z=None)
