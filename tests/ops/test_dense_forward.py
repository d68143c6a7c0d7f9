"""dense_forward against the float64 oracle: sizes, dtypes, activations, dropout, layouts.

It must not compare bits; test_dense_bits.py does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference as ref
import reference_random as random
from cases import odd_sizes
from checks import assert_close, eps
from fastreg import _core

ALPHA = 0.3
# max |f'|: how much an activation can enlarge an error of its argument.
LIPSCHITZ = {"gelu": 1.13, "gelu_tanh": 1.13, "silu": 1.1, "selu": 1.7581}


def operands(
    nB: int, nI: int, nO: int, dtype: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([nB, nI, nO, seed])
    x, w, b = rng.normal(size=(nB, nI)), rng.normal(size=(nI, nO)) / np.sqrt(max(nI, 1)), rng.normal(size=nO)
    return x.astype(dtype), w.astype(dtype), b.astype(dtype)


def expected(
    x: Any, w: Any, b: Any, kind: str, dtype: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(z, bound of z, y, bound of y). A dot product of n terms errs by at most n eps/2 sum|x w| (Higham 2002, 3.1)."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    b = np.zeros(w.shape[1]) if b is None else b.astype(np.float64)
    z = x @ w + b
    z_bound = (x.shape[1] + 2) * eps(dtype) * (np.abs(x) @ np.abs(w) + np.abs(b))
    y = ref.activation(z, kind, ALPHA)
    rounding = np.abs(y) + (np.abs(z) if kind == "gelu_tanh" else 0)
    y_bound = LIPSCHITZ.get(kind, 1.0) * z_bound + 8 * eps(dtype) * rounding
    return z, z_bound, y, y_bound


def run(x: Any, w: Any, b: Any, kind: str, rate: float = 0.0, keep_z: bool = True) -> tuple[np.ndarray, Any]:
    out = np.full((x.shape[0], w.shape[1]), np.nan, x.dtype)
    z = np.full_like(out, np.nan) if keep_z else None
    _core.dense_forward(x, w, b, kind, ALPHA, rate, 77, 5, 2, out, z)
    return out, z


@pytest.mark.parametrize("kind", ref.ELEMENTWISE)
def test_every_odd_size(isa: str, dtype: str, kind: str) -> None:
    for index, (nB, nI, nO) in enumerate(odd_sizes(ref.ELEMENTWISE.index(kind))):
        x, w, b = operands(nB, nI, nO, dtype)
        bias = b if index % 3 else None
        z, z_bound, y, y_bound = expected(x, w, bias, kind, dtype)
        what = f"{kind} of ({nB}, {nI}) @ ({nI}, {nO}){'' if bias is None else ' + b'}, {dtype}, {isa}"
        out, z_out = run(x, w, bias, kind)
        assert_close(z_out, z, z_bound, f"z: {what}")
        assert_close(out, y, y_bound, f"out: {what}")


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("kind", ref.ELEMENTWISE)
def test_dropout_in_the_epilogue(isa: str, dtype: str, kind: str, rate: float) -> None:
    for nB, nI, nO in odd_sizes(50)[:: 4 if rate == 0.5 else 17]:
        x, w, b = operands(nB, nI, nO, dtype)
        _, _, y, y_bound = expected(x, w, b, kind, dtype)
        scale = 65536 / max(random.keep_count(rate), 1)
        out, _ = run(x, w, b, kind, rate, keep_z=False)
        what = f"dropout {rate} after {kind} of ({nB}, {nI}) @ ({nI}, {nO}), {dtype}, {isa}"
        dropped = random.dropout(y, rate, 77, 5, 2)
        assert_close(out, dropped, scale * (y_bound + eps(dtype) * np.abs(y)) * (dropped != 0), what)


# Beyond the tiles: several blocks of inputs, rows and units that no tile divides, one row, one column, one term.
LARGE = [
    (257, 300, 130),
    (1, 3001, 5),
    (5, 1300, 1),
    (1000, 1, 37),
    (1, 1, 4099),
    (4099, 3, 1),
    (64, 1025, 96),
    (250, 400, 2100),
]
LARGE += [(33, 7, 700), (1, 771, 2333), (1, 69, 134)]


@pytest.mark.parametrize("size", LARGE, ids=str)
def test_large_sizes(isa: str, dtype: str, size: tuple[int, int, int]) -> None:
    x, w, b = operands(*size, dtype)
    z, z_bound, y, y_bound = expected(x, w, b, "tanh", dtype)
    out, z_out = run(x, w, b, "tanh")
    assert_close(z_out, z, z_bound, f"z of size {size}, {dtype}, {isa}")
    assert_close(out, y, y_bound, f"tanh of size {size}, {dtype}, {isa}")


def layouts(a: np.ndarray) -> dict[str, np.ndarray]:
    """The same matrix in every layout an input may have."""
    rows, cols = a.shape
    big = np.full((2 * rows + 3, 3 * cols + 5), np.nan, a.dtype)
    big[1 : 1 + rows, 2 : 2 + cols] = a
    views = {"gaps between rows": big[1 : 1 + rows, 2 : 2 + cols], "transposed": np.asfortranarray(a)}
    for name, view in (
        ("every second row", np.full((2 * rows, cols), np.nan, a.dtype)[::2]),
        ("every third column", np.full((rows, 3 * cols), np.nan, a.dtype)[:, 1::3]),
        ("backwards", np.full((rows, cols), np.nan, a.dtype)[::-1, ::-1]),
    ):
        view[...] = a
        views[name] = view
    assert all(np.array_equal(v, a) for v in views.values())
    return views


@pytest.mark.parametrize("size", [(7, 5, 3), (33, 19, 21), (1, 40, 17), (66, 300, 35)], ids=str)
def test_any_layout_of_x_and_w(isa: str, dtype: str, size: tuple[int, int, int]) -> None:
    x, w, b = operands(*size, dtype)
    z, z_bound, _, _ = expected(x, w, b, "linear", dtype)
    for x_name, x_view in layouts(x).items():
        out, _ = run(x_view, w, b, "linear")
        assert_close(out, z, z_bound, f"x {x_name}, size {size}, {dtype}, {isa}")
    for w_name, w_view in layouts(w).items():
        out, _ = run(x, w_view, b, "linear")
        assert_close(out, z, z_bound, f"w {w_name}, size {size}, {dtype}, {isa}")


def test_outputs_with_gaps_leave_the_gaps_alone(isa: str, dtype: str) -> None:
    for nB, nI, nO in [(1, 1, 1), (9, 5, 7), (35, 20, 33)]:
        x, w, b = operands(nB, nI, nO, dtype)
        y, frame = run(x, w, b, "relu")[0], np.full((nB + 2, nO + 6), 9, dtype)
        z_frame = frame.copy()
        inside = (slice(1, nB + 1), slice(2, nO + 2))
        _core.dense_forward(x, w, b, "relu", 0.0, 0.0, 0, 0, 0, frame[inside], z_frame[inside])
        assert_close(frame[inside], y, 0, f"out with gaps, {(nB, nI, nO)}")
        for name, f in (("out", frame), ("z_out", z_frame)):
            f[inside] = 9
            assert (f == 9).all(), f"{name}: elements between the rows were written, size {(nB, nI, nO)}"


def test_nonfinite_inputs_reach_the_output(isa: str, dtype: str) -> None:
    x, w, b = operands(4, 6, 5, dtype)
    x[1, 2], x[2, 3] = np.nan, np.inf
    out, _ = run(x, np.abs(w) + 1, b, "linear")
    assert np.isnan(out[1]).all()
    assert np.isposinf(out[2]).all()
    assert np.isfinite(out[[0, 3]]).all()


def test_softmax_is_refused_because_it_mixes_a_row() -> None:
    x, w, b = operands(2, 3, 4, "float32")
    with pytest.raises(ValueError, match=r"softmax.*\"linear\", then the softmax"):
        run(x, w, b, "softmax")
