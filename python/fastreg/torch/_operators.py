"""The kernels in torch: the operators fastreg::dropout, fastreg::linear and fastreg::linear_backward, each with its
kernel for the CPU and CUDA:0, its shapes (for torch.compile) and its gradient; `Ways` leads to them.

It must not know modules or defaults, nor check what the gates of the native core check. An address is a seed and a
step, integers or tensors; or, as operators take it, an int64 tensor of both on the CPU, so that a step that counts in a
module can be traced. The seed of a tensor has its 64 bits in two's complement.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastreg import _core
from fastreg.torch._memory import array
from fastreg.torch._ways import Address, Inputs, Ways, kept, numbers, save

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


# ---- dropout -----------------------------------------------------------------------------------------------------
def _dropout_shape(x: Tensor, p: float, address: Address, stream: int) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _dropout(x: Tensor, p: float, address: Address, stream: int) -> Tensor:
    y = _dropout_shape(x, p, address, stream)
    _core.dropout(array(x.contiguous()), p, *numbers(address), stream, array(y))
    return y


def _dropout_context(ctx: Any, inputs: Inputs, output: Tensor) -> None:
    _, ctx.p, address, ctx.stream = inputs
    save(ctx, address)


def _dropout_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (address,) = kept(ctx)
    return dropout((dy,), (ctx.p,), address, ctx.stream), None, None, None


dropout = Ways("dropout", _dropout, _dropout_shape, _dropout_context, _dropout_gradient)


# ---- linear: y = dropout(activation(z)), z = x weight^T + bias; z is empty unless the gradient needs it -----------
def _linear_shapes(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str,
    alpha: float,
    p: float,
    address: Address,
    stream: int,
) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], weight.shape[0])
    return x.new_empty(shape), x.new_empty(shape if _core.needs_z(activation, p > 0) else (0,))


def _linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str,
    alpha: float,
    p: float,
    address: Address,
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
        *numbers(address),
        stream,
        array(y),
        array(z) if _core.needs_z(activation, p > 0) else None,
    )
    return y, z


def _linear_context(ctx: Any, inputs: Inputs, output: tuple[Tensor, Tensor]) -> None:
    x, weight, bias, ctx.activation, ctx.alpha, ctx.p, address, ctx.stream = inputs
    y, z = output
    ctx.has_bias = bias is not None
    ctx.mark_non_differentiable(z)
    ctx.set_materialize_grads(False)
    needs_y = ctx.activation != "linear" or ctx.p > 0  # else y may be overwritten
    save(ctx, address, x, weight, y if needs_y else None, z)


def _linear_gradient(ctx: Any, dy: Tensor | None, dz: None) -> tuple[Tensor | None, ...]:
    if dy is None:  # y was not used
        return (None,) * 8
    x, weight, y, z, address = kept(ctx)
    need_dx, need_dw, need_db = ctx.needs_input_grad[:3]
    dx, dw, db = linear_backward(
        (dy, x, weight, dy if y is None else y, z),
        (ctx.activation, ctx.alpha, ctx.p),
        address,
        ctx.stream,
        need_dx,
        ctx.has_bias,
    )
    rest = (None,) * 5
    return dx if need_dx else None, dw if need_dw else None, db if need_db else None, *rest


linear = Ways("linear", _linear, _linear_shapes, _linear_context, _linear_gradient)


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
    address: Address,
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
    address: Address,
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
        array(z.contiguous()) if _core.needs_z(activation, p > 0) else None,
        activation,
        alpha,
        p,
        *numbers(address),
        stream,
        array(dx) if need_dx else None,
        array(dw),
        array(db) if has_bias else None,
        dw_transposed=True,
    )
    return dx, dw, db


def _no_context(ctx: Any, inputs: Inputs, output: Any) -> None:
    pass


def _no_second_gradient(ctx: Any, *gradients: Any) -> None:
    raise NotImplementedError(
        "fastreg.torch.linear has no second derivatives; use torch.nn.functional.linear where they are needed"
    )


linear_backward = Ways(
    "linear_backward", _linear_backward, _linear_backward_shapes, _no_context, _no_second_gradient
)
