"""How a call gets to a kernel: past torch's dispatcher, through torch.func, or by an operator of torch.

It must not know kernels. It is the one place that asks torch what is not documented: what looks on at a call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

Inputs = tuple[Any, ...]
Address = Any  # (seed, step), a Tensor of them, or None: see _operators.py

_SEED_BITS = 2**64 - 1
_DEVICES = ("cpu", "cuda")
_TYPES = (Tensor, torch.nn.Parameter)


class Ways:
    """An operator of the namespace fastreg, and the ways to its kernel.

    A call of plain tensors, as most are, goes to the kernel at once: torch's dispatcher of Python kernels takes longer
    than a small layer. torch.func needs a Function that has a rule for vmap. Whatever else looks on at a call, such as
    torch.compile, a tensor subclass or a mode, gets to see the operator.

    Parameters
    ----------
    kernel, shapes
        Take what the operator takes, and return results, or empty tensors like them.
    context, gradient
        `setup_context` and `backward` of torch.autograd.Function.
    """

    def __init__(
        self,
        name: str,
        kernel: Callable[..., Any],
        shapes: Callable[..., Any],
        context: Callable[[Any, Inputs, Any], None],
        gradient: Callable[..., Any],
    ) -> None:
        operator = getattr(torch.ops.fastreg, name)

        class Plain(Function):
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                output = kernel(*inputs)
                context(ctx, inputs, output)
                return output

            backward = staticmethod(gradient)

        class Transformed(Function):
            generate_vmap_rule = True

            @staticmethod
            def forward(*inputs: Any) -> Any:
                return operator(*inputs)

            setup_context = staticmethod(context)
            backward = staticmethod(gradient)

        torch.library.impl(f"fastreg::{name}", _DEVICES, kernel)
        torch.library.register_fake(f"fastreg::{name}", shapes)
        torch.library.register_autograd(f"fastreg::{name}", gradient, setup_context=context)
        self._operator, self._kernel, self._transformed = operator, kernel, Transformed
        # Not Function's own `apply`, which first looks for what cannot be there.
        self._recorded = super(Function, Plain).apply  # type: ignore[misc]

    def __call__(self, tensors: Inputs, settings: Inputs, address: Address, *rest: Any) -> Any:
        if torch.compiler.is_compiling():
            return self._operator(*tensors, *settings, _traced(address), *rest)
        if torch._C._are_functorch_transforms_active():
            return self._transformed.apply(*tensors, *settings, _traced(address), *rest)
        if _are_plain(tensors):
            record = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
            call = self._recorded if record else self._kernel
            return call(*tensors, *settings, numbers(address), *rest)
        return self._operator(*tensors, *settings, _traced(address), *rest)


def _are_plain(tensors: Inputs) -> bool:
    """Whether these are numbers in memory, of which autograd alone keeps a record."""
    if torch._C._len_torch_dispatch_stack() > 0 or torch._C._is_tracing():
        return False
    return all(tensor is None or _is_plain(tensor) for tensor in tensors)


def _is_plain(tensor: Tensor) -> bool:
    if type(tensor) not in _TYPES or not (tensor.is_cpu or tensor.is_cuda):
        return False
    return torch._C._dispatch_keys(tensor).raw_repr() in _plain_keys("cpu" if tensor.is_cpu else "cuda")


@functools.cache
def _plain_keys(device: str) -> tuple[int, ...]:
    """What the dispatcher sees of plain tensors. Of views that are negated lazily, for one, it sees more."""
    plain = [torch.empty(0, device=device)]
    with torch.inference_mode():
        plain.append(torch.empty(0, device=device))
    return tuple(torch._C._dispatch_keys(tensor).raw_repr() for tensor in plain)


# ---- addresses -----------------------------------------------------------------------------------------------------
def numbers(address: Address) -> tuple[int, int]:
    """(seed, step) as the native core takes them."""
    if address is None:
        return 0, 0
    seed, step = address.tolist() if isinstance(address, Tensor) else address
    return int(seed) & _SEED_BITS, int(step)


def _traced(address: Address) -> Tensor | None:
    """As the operators take it."""
    if address is None or isinstance(address, Tensor):
        return address
    seed, step = address
    if not isinstance(seed, Tensor):
        seed = signed(seed)
        if not isinstance(step, Tensor):
            return torch.tensor([seed, step], dtype=torch.int64, device="cpu")
    return torch.stack(tuple(torch.as_tensor(n, dtype=torch.int64, device="cpu") for n in (seed, step)))


def signed(seed: int) -> int:
    """A seed in [0, 2**64) as the int64 with the same bits."""
    return seed if seed < 2**63 else seed - 2**64


def save(ctx: Any, address: Address, *tensors: Tensor | None) -> None:
    """What the gradient needs: tensors where torch looks after them."""
    traced = isinstance(address, Tensor)
    ctx.address = None if traced else address
    ctx.save_for_backward(*tensors, address if traced else None)


def kept(ctx: Any) -> tuple[Any, ...]:
    """The tensors that were saved, and the address."""
    *tensors, address = ctx.saved_tensors
    return *tensors, ctx.address if address is None else address
