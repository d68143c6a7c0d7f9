"""Dropout of bfloat16 in GPU memory: the decisions of float32, its products rounded to nearest; and who refuses it.

It must not know how masks are addressed: the CPU's are the reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from checks import EMULATED
from device_cases import bfloat_bits, from_bfloat_bits, needs_gpu
from fastreg import _core, ops

needs_gpu()
AT: dict[str, Any] = {"rate": 0.4, "seed": 2**64 - 7, "step": 3, "stream": 2}
PLACE = AT["rate"], AT["seed"], AT["step"], AT["stream"]


class Memory:
    """`n` numbers of 16 bits on the GPU, an emulated one's in the memory of the CPU; `array`: some of them."""

    def __init__(self, bits: np.ndarray) -> None:
        self.host = bits.astype(np.uint16)
        self.tensor: Any = None
        if not EMULATED:
            torch = pytest.importorskip("torch", reason="PyTorch is not installed")
            if not torch.cuda.is_available():
                pytest.skip("this PyTorch has no CUDA")
            self.tensor = torch.from_numpy(self.host.view(np.int16)).cuda()
            torch.cuda.synchronize()

    def array(
        self, shape: tuple[int, ...], first: int = 0, row: int | None = None, dtype: str = "bfloat16"
    ) -> Any:
        address = self.host.ctypes.data if self.tensor is None else self.tensor.data_ptr()
        strides = None if row is None else [2 * row, 2]
        return _core.RawArray(address + 2 * first, shape, strides, dtype, True, 1)

    def bits(self) -> np.ndarray:
        return self.host if self.tensor is None else self.tensor.cpu().numpy().view(np.uint16)


def numbers(n: int) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    x[:6] = [np.nan, np.inf, -np.inf, -0.0, 3.3e38, 1e-40]
    return bfloat_bits(x)


def expected(bits: np.ndarray) -> np.ndarray:
    """Of numbers 0, 1, ... of the operation."""
    mask = ops.dropout_mask(bits.size, **AT)
    k = np.round((1 - AT["rate"]) * 65536)
    with np.errstate(over="ignore"):
        kept = from_bfloat_bits(bits.ravel()) * np.float32(65536 / k)
    return np.where(mask == 1, bfloat_bits(kept), 0).astype(np.uint16).reshape(bits.shape)


def assert_same(got: np.ndarray, wanted: np.ndarray) -> None:
    """The same bits, but for those of a NaN, whose payload GPUs do not keep."""
    a, b = (np.where(bits & 0x7FFF > 0x7F80, 0x7FFF, bits) for bits in (got, wanted))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [1, 7, 8, 1000, 300_001])
@pytest.mark.parametrize("first", [0, 1, 8])
def test_a_piece(n: int, first: int) -> None:
    """Aligned or not, and nothing beside it is touched."""
    bits = numbers(n + first + 9)
    x, y = Memory(bits), Memory(np.full(bits.size, 0x1234))
    _core.dropout(x.array((n,), first), *PLACE, y.array((n,), first))
    got = y.bits()
    assert_same(got[first : first + n], expected(bits[first : first + n]))
    assert (got[:first] == 0x1234).all()
    assert (got[first + n :] == 0x1234).all()


@pytest.mark.parametrize(("cols", "row"), [(23, 25), (24, 32), (8, 8)])
def test_rows_in_place(cols: int, row: int) -> None:
    bits = numbers(37 * row)
    x = Memory(bits)
    _core.dropout(x.array((37, cols), 0, row), *PLACE, x.array((37, cols), 0, row))
    rows = bits.reshape(37, row)
    wanted = rows.copy()
    wanted[:, :cols] = expected(rows[:, :cols])
    assert_same(x.bits().reshape(37, row), wanted)


def test_nothing_and_everything_is_dropped() -> None:
    bits = numbers(100)
    for rate, wanted in ((0.0, bits), (1.0, np.zeros(100, np.uint16))):
        x, y = Memory(bits), Memory(bits)
        _core.dropout(x.array((100,)), rate, 1, 2, 3, y.array((100,)))
        assert_same(y.bits(), wanted)


REFUSED: dict[str, tuple[Callable[[Memory], Any], str]] = {
    "another operation": (
        lambda m: _core.prox(m.array((8,)), 0.1, 0.1, 1.0, m.array((8,))),
        "w must have dtype float32 or float64, got bfloat16; convert it first: w.float()",
    ),
    "float32 beside it": (
        lambda m: _core.dropout(m.array((8,)), *PLACE, m.array((4,), dtype="float32")),
        "out must have dtype bfloat16, that of x, got float32",
    ),
    "the CPU's beside it": (
        lambda m: _core.dropout(m.array((8,)), *PLACE, np.zeros(8, np.float32)),
        "out must have dtype bfloat16, that of x, got float32",
    ),
    "a shifted output": (
        lambda m: _core.dropout(m.array((8,)), *PLACE, m.array((8,), 1)),
        "out must not overlap x",
    ),
    "half an element": (
        lambda m: _core.dropout(
            _core.RawArray(1025, (8,), None, "bfloat16", True, 1), *PLACE, m.array((8,))
        ),
        "x must be aligned to its elements of 2 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    bits = numbers(32)
    memory = Memory(bits)
    call, message = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        call(memory)
    np.testing.assert_array_equal(memory.bits(), bits)


def test_tensors_of_torch_and_their_gradients() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    from fastreg.torch import Dropout, dropout, linear

    def bits(tensor: Any) -> np.ndarray:
        return tensor.detach().cpu().view(torch.int16).numpy().view(np.uint16)

    x = torch.from_numpy(numbers(3000).view(np.int16)).cuda().view(torch.bfloat16).view(60, 50)
    y = x.clone().requires_grad_()
    dropped = dropout(y, 0.4, *PLACE[1:])
    assert_same(bits(dropped), expected(bits(x)))
    dropped.backward(x)
    assert y.grad.dtype == torch.bfloat16
    assert_same(bits(y.grad), expected(bits(x)))
    out = torch.empty_like(x)
    assert ops.dropout(x, **AT, out=out) is out
    assert_same(bits(out), expected(bits(x)))
    module = Dropout(0.5, seed=1)
    assert torch.equal(module(x[1:]) == 0, Dropout(0.5, seed=1)(x[1:].float()) == 0)
    with pytest.raises(TypeError, match=r"x is torch\.bfloat16"):
        linear(x, x)
    with pytest.raises(TypeError, match="w must have dtype float32 or float64"):
        ops.prox(x, 0.1, 0.1, 1.0, out=out)
