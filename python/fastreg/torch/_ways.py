"""How a call gets to a kernel: past torch's dispatcher, through torch.func, or by an operator of torch.

It must not know kernels. It is the one place that asks torch what is not documented: what looks on at a call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

Inputs = tuple[Any, ...]
Address = Any  # (seed, step), a Tensor of them, or None: see _operators.py

_SEED_BITS = 2**64 - 1
_DEVICES = ("cpu", "cuda")
_TYPES = (Tensor, torch.nn.Parameter)


class Ways:
    """An operator of the namespace fastreg, and the ways to its kernel.

    A call of plain tensors, as most are, goes to the kernel at once: torch's dispatcher of Python kernels takes longer
    than a small layer. torch.func needs a Function that has a rule for vmap. Whatever else looks on at a call, such as
    torch.compile, a tensor subclass or a dispatch mode, gets to see the operator.

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
        self._name = name.removesuffix("_backward")

        def forward(ctx: Any, *inputs: Any) -> Any:
            output = kernel(*inputs)
            context(ctx, inputs, output)
            return output

        members = {"forward": staticmethod(forward), "backward": staticmethod(gradient)}
        plain: Any = type(Function)(f"fastreg_{name}_", (Function,), members)  # what graphs and profiles show

        class Transformed(Function):
            generate_vmap_rule = True

            @staticmethod
            def forward(*inputs: Any) -> Any:
                return operator(*inputs)

            @staticmethod
            def jvp(ctx: Any, *tangents: Any) -> Any:
                self._refuse_forward_mode()

            setup_context = staticmethod(context)
            backward = staticmethod(gradient)

        torch.library.impl(f"fastreg::{name}", _DEVICES, kernel)
        torch.library.register_fake(f"fastreg::{name}", shapes)
        torch.library.register_autograd(f"fastreg::{name}", gradient, setup_context=context)
        self._operator, self._kernel, self._transformed = operator, kernel, Transformed
        # Not Function's own `apply`, which first looks for what cannot be there.
        self._recorded: Any = super(Function, plain).apply  # type: ignore[misc]

    def __call__(self, tensors: Inputs, settings: Inputs, address: Address, *rest: Any) -> Any:
        if torch.compiler.is_compiling():
            return self._operator(*tensors, *settings, _traced(address), *rest)
        if forward_ad._current_level >= 0 and any(
            t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors
        ):
            self._refuse_forward_mode()
        if _are_plain(tensors):
            record = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
            call = self._recorded if record else self._kernel
            return call(*tensors, *settings, numbers(address), *rest)
        transformed = torch._C._are_functorch_transforms_active()
        call = self._transformed.apply if transformed else self._operator
        return call(*tensors, *settings, _traced(address), *rest)

    def _refuse_forward_mode(self) -> None:
        """The kernels would lose tangents."""
        raise NotImplementedError(
            f"fastreg.torch.{self._name} has no forward-mode derivatives; use reverse mode (jacrev, grad), or "
            "torch.nn.functional where they are needed"
        )


def _are_plain(tensors: Inputs) -> bool:
    """Whether these are numbers in memory, of which autograd alone keeps a record."""
    if torch._C._dispatch_tls_local_include_set().raw_repr() not in _ADDED:
        return False
    return all(tensor is None or _is_plain(tensor) for tensor in tensors)


def _is_plain(tensor: Tensor) -> bool:
    if type(tensor) not in _TYPES or not (tensor.is_cpu or tensor.is_cuda):
        return False
    return torch._C._dispatch_keys(tensor).raw_repr() in _plain_keys("cpu" if tensor.is_cpu else "cuda")


def _in_both_modes(keys: Callable[[], Any]) -> tuple[int, ...]:
    """`keys()`, a set of dispatch keys, without and with inference_mode."""
    seen = []
    for inference in (False, True):
        with torch.inference_mode(inference):
            seen.append(keys().raw_repr())
    return tuple(seen)


# What the dispatcher adds to the keys of tensors while nothing looks on, as when this is imported.
_ADDED = _in_both_modes(torch._C._dispatch_tls_local_include_set)


@functools.cache
def _plain_keys(device: str) -> tuple[int, ...]:
    """What the dispatcher sees of plain tensors. Of views that are negated lazily, for one, it sees more."""
    return _in_both_modes(lambda: torch._C._dispatch_keys(torch.empty(0, device=device)))


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
