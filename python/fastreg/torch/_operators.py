"""The kernels as operators of torch: fastreg::dropout, fastreg::linear and fastreg::linear_backward, each with its
kernel for the CPU and CUDA:0, its shapes (for torch.compile) and its gradient.

It must not know modules or defaults, nor check what the gates of the native core check. An address is an int64 tensor
(seed, step) with the seed's 64 bits in two's complement, so that a step that counts in a module can be traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastreg import _core
from fastreg.torch._memory import array

_SEED_BITS = 2**64 - 1

_TAGS = (torch.Tag.pt2_compliant_tag,)
torch.library.define(
    "fastreg::dropout", "(Tensor x, float p, Tensor address, int stream) -> Tensor", tags=_TAGS
)
torch.library.define(
    "fastreg::linear",
    "(Tensor x, Tensor weight, Tensor? bias, str activation, float alpha, float p, Tensor? address, int stream)"
    " -> (Tensor, Tensor)",
    tags=_TAGS,
)
torch.library.define(
    "fastreg::linear_backward",
    "(Tensor dy, Tensor x, Tensor weight, Tensor y, Tensor z, str activation, float alpha, float p, Tensor? address,"
    " int stream, bool need_dx, bool has_bias) -> (Tensor, Tensor, Tensor)",
    tags=_TAGS,
)


def _seed_and_step(address: Tensor | None) -> tuple[int, int]:
    if address is None:
        return 0, 0
    seed, step = address.tolist()
    return seed & _SEED_BITS, step


def _needs_z(activation: str, p: float) -> bool:
    """Whether the gradient needs the sum before the activation, or the result tells it. The gate checks this."""
    return activation not in ("linear", "relu") and (p > 0 or activation not in ("tanh", "sigmoid"))


# ---- dropout -----------------------------------------------------------------------------------------------------
def _dropout_shape(x: Tensor, p: float, address: Tensor, stream: int) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _dropout(x: Tensor, p: float, address: Tensor, stream: int) -> Tensor:
    seed, step = _seed_and_step(address)
    y = _dropout_shape(x, p, address, stream)
    _core.dropout(array(x.contiguous()), p, seed, step, stream, array(y))
    return y


def _dropout_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.p, address, ctx.stream = inputs
    ctx.save_for_backward(address)


def _dropout_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (address,) = ctx.saved_tensors
    return torch.ops.fastreg.dropout(dy, ctx.p, address, ctx.stream), None, None, None


torch.library.impl("fastreg::dropout", ("cpu", "cuda"), _dropout)
torch.library.register_fake("fastreg::dropout", _dropout_shape)
torch.library.register_autograd("fastreg::dropout", _dropout_gradient, setup_context=_dropout_context)


# ---- linear: y = dropout(activation(z)), z = x weight^T + bias; z is empty unless the gradient needs it -----------
def _linear_shapes(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str,
    alpha: float,
    p: float,
    address: Tensor | None,
    stream: int,
) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], weight.shape[0])
    return x.new_empty(shape), x.new_empty(shape if _needs_z(activation, p) else (0,))


def _linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str,
    alpha: float,
    p: float,
    address: Tensor | None,
    stream: int,
) -> tuple[Tensor, Tensor]:
    y, z = _linear_shapes(x, weight, bias, activation, alpha, p, address, stream)
    _core.dense_forward(
        array(x),
        array(weight.t()),
        None if bias is None else array(bias.contiguous()),
        activation,
        alpha,
        p,
        *_seed_and_step(address),
        stream,
        array(y),
        array(z) if _needs_z(activation, p) else None,
    )
    return y, z


def _linear_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, bias, ctx.activation, ctx.alpha, ctx.p, address, ctx.stream = inputs
    y, z = output
    ctx.has_bias = bias is not None
    ctx.mark_non_differentiable(z)
    ctx.set_materialize_grads(False)
    plain = (
        ctx.activation == "linear" and ctx.p == 0
    )  # then the gradient does not look at y, which may be overwritten
    ctx.save_for_backward(x, weight, None if plain else y, z, address)


def _linear_gradient(ctx: Any, dy: Tensor | None, dz: None) -> tuple[Tensor | None, ...]:
    if dy is None:  # y was not used
        return (None,) * 8
    x, weight, y, z, address = ctx.saved_tensors
    need_dx, need_dw, need_db = ctx.needs_input_grad[:3]
    dx, dw, db = torch.ops.fastreg.linear_backward(
        dy,
        x,
        weight,
        dy if y is None else y,
        z,
        ctx.activation,
        ctx.alpha,
        ctx.p,
        address,
        ctx.stream,
        need_dx,
        ctx.has_bias,
    )
    rest = (None,) * 5
    return dx if need_dx else None, dw if need_dw else None, db if need_db else None, *rest


torch.library.impl("fastreg::linear", ("cpu", "cuda"), _linear)
torch.library.register_fake("fastreg::linear", _linear_shapes)
torch.library.register_autograd("fastreg::linear", _linear_gradient, setup_context=_linear_context)


# ---- linear_backward: dx like x, dw like weight, db (out,); dx and db are empty where they are not wanted -----------
def _linear_backward_shapes(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor,
    z: Tensor,
    activation: str,
    alpha: float,
    p: float,
    address: Tensor | None,
    stream: int,
    need_dx: bool,
    has_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    outputs, inputs = weight.shape
    dx = x.new_empty((x.shape[0], inputs) if need_dx else (0,))
    return dx, x.new_empty((outputs, inputs)), x.new_empty((outputs,) if has_bias else (0,))


def _linear_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor,
    z: Tensor,
    activation: str,
    alpha: float,
    p: float,
    address: Tensor | None,
    stream: int,
    need_dx: bool,
    has_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    dx, dw, db = _linear_backward_shapes(
        dy, x, weight, y, z, activation, alpha, p, address, stream, need_dx, has_bias
    )
    _core.dense_backward(
        array(dy.contiguous()),
        array(x.contiguous()),
        array(weight.t()),
        array(y.contiguous()),
        array(z) if _needs_z(activation, p) else None,
        activation,
        alpha,
        p,
        *_seed_and_step(address),
        stream,
        array(dx) if need_dx else None,
        array(dw),
        array(db) if has_bias else None,
        dw_transposed=True,
    )
    return dx, dw, db


def _no_second_gradient(ctx: Any, *gradients: Any) -> None:
    raise NotImplementedError(
        "fastreg.torch.linear has no second derivatives; use torch.nn.functional.linear where they are needed"
    )


torch.library.impl("fastreg::linear_backward", ("cpu", "cuda"), _linear_backward)
torch.library.register_fake("fastreg::linear_backward", _linear_backward_shapes)
torch.library.register_autograd("fastreg::linear_backward", _no_second_gradient)
