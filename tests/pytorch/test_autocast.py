"""Under torch.autocast the modules follow layers that give 16-bit floats, and hand on what such layers take.

It must not test values in float32: test_dropout.py and test_linear.py do.
"""

from __future__ import annotations

from typing import Any

import pytest

from binding_cases import raises

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import Dropout, Linear, dropout, linear  # noqa: E402

HALVES = (torch.bfloat16, torch.float16)
AT: dict[str, Any] = {"seed": 5, "step": 3, "stream": 1}


def half(*shape: int, dtype: Any, grad: bool = False) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_(grad)


def autocast(dtype: Any = torch.bfloat16, enabled: bool = True) -> Any:
    return torch.autocast(device_type="cpu", dtype=dtype, enabled=enabled)


@pytest.mark.parametrize("dtype", HALVES)
def test_dropout_gives_the_type_it_takes(dtype: Any) -> None:
    x = half(40, 30, dtype=dtype, grad=True)
    with autocast(dtype):
        y = dropout(x, 0.4, **AT)
    y.backward(torch.ones_like(y))
    expected = dropout(x.detach().float(), 0.4, **AT).to(dtype)
    assert y.dtype == x.grad.dtype == dtype
    assert torch.equal(y, expected)
    assert torch.equal(x.grad, dropout(torch.ones(40, 30), 0.4, **AT).to(dtype))
    with autocast(dtype):
        assert dropout(x, 0.4, **AT, training=False) is x
        assert dropout(x, 0.0, **AT) is x


@pytest.mark.parametrize("dtype", HALVES)
def test_linear_computes_in_float32(dtype: Any) -> None:
    x, w, b = (
        half(6, 5, dtype=dtype, grad=True),
        half(4, 5, dtype=torch.float32, grad=True),
        half(4, dtype=dtype),
    )
    with autocast(dtype):
        y = linear(x, w, b, "gelu")
        y.sum().backward()
    expected = linear(x.detach().float(), w.detach(), b.float(), "gelu")
    assert y.dtype == w.grad.dtype == torch.float32
    assert x.grad.dtype == dtype
    assert torch.equal(y, expected)


def test_other_types_are_left_alone() -> None:
    for dtype in (torch.float32, torch.float64):
        x, w = half(6, 5, dtype=dtype), half(4, 5, dtype=dtype)
        with autocast():
            got = linear(x, w), dropout(x, 0.4, **AT)
        assert [t.dtype for t in got] == [dtype, dtype]
        assert torch.equal(got[0], linear(x, w))
    with autocast(), raises(TypeError, "x is torch.int64"):
        dropout(torch.arange(3), 0.4, **AT)


@pytest.mark.parametrize("dtype", HALVES)
def test_sixteen_bits_without_autocast_are_refused(dtype: Any) -> None:
    x = half(3, 5, dtype=dtype)
    for module in (Dropout(0.5), Linear(5, 4), Linear(5, 4, p=0.5)):
        with raises(TypeError, f"x is {dtype}; fastreg takes float32 and float64"):
            module(x)
        with autocast(enabled=False), raises(TypeError, f"x is {dtype}"):
            module(x)
    with autocast(), raises(TypeError, f"x is {dtype}"):  # it is on for the CPU only
        linear(x.to("meta"), half(4, 5, dtype=dtype).to("meta"))


def network() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 33),
        Dropout(0.5, seed=1),
        Linear(33, 17, activation="gelu", p=0.3, seed=2),
        torch.nn.Linear(17, 8),
        Linear(8, 1),
    )


def trained(run: Any, model: Any, dtype: Any) -> list[Any]:
    """Results and gradients of two passes."""
    passes = []
    for t in range(2):
        x = torch.randn(10, 6, generator=torch.Generator().manual_seed(t))
        with autocast(dtype):
            y = run(x)
        model.zero_grad()
        y.float().square().sum().backward()
        passes += [y, *(p.grad.clone() for p in model.parameters())]
    return passes


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_network_trains_compiled_or_not(backend: str, dtype: Any) -> None:
    torch._dynamo.reset()
    plain, compiled = network(), network()
    expected = trained(plain, plain, dtype)
    got = trained(torch.compile(compiled, backend=backend, fullgraph=True), compiled, dtype)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert all(torch.isfinite(t).all() and t.any() for t in got)
    assert [int(module.step) for module in plain[1:3]] == [2, 2]
