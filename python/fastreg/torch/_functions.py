"""The functions `dropout` and `linear` on tensors: words, defaults, and checks that name what to do.

They must not know modules or kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastreg._arguments import choice, integer, number
from fastreg.activations import default_alpha
from fastreg.torch import _operators

_DTYPES = (torch.float32, torch.float64)
_HALVES = (torch.float16, torch.bfloat16)
_ACTIVATIONS = (
    "linear", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid", "softplus"
)  # fmt: skip
_INTEGERS = (
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64
)  # fmt: skip


def check_tensor(
    tensor: Tensor, name: str, devices: tuple[str, ...] = ("cpu", "cuda", "meta"), bfloat16: bool = False
) -> None:
    """Raise unless `tensor` is what the kernels take: dense float32 or float64 on the CPU or CUDA:0 (or meta: shapes
    only); `bfloat16`: that too, elsewhere than on the CPU."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, not {type(tensor).__name__}")
    if tensor.is_cpu and tensor.dtype in _DTYPES and tensor.layout is torch.strided and "cpu" in devices:
        return
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name} is sparse ({tensor.layout}); use .to_dense()")
    if tensor.dtype not in _DTYPES and not (
        bfloat16 and tensor.dtype == torch.bfloat16 and not tensor.is_cpu
    ):
        hint = "torch.view_as_real" if tensor.dtype.is_complex else ".float()"
        more = ", on cuda:0 bfloat16" if bfloat16 else ""
        raise TypeError(f"{name} is {tensor.dtype}; fastreg takes float32 and float64{more}: use {hint}")
    if tensor.device.type not in devices or (tensor.is_cuda and tensor.device.index not in (0, None)):
        raise ValueError(
            f"{name} is on {tensor.device}; fastreg computes on the CPU and on cuda:0: use .cpu()"
        )


def _autocast(tensor: Any, bfloat16: bool = False) -> Any:
    """The tensor; under torch.autocast in float32 if it has 16 bits, as torch.amp.custom_fwd(cast_inputs=torch.float32)
    does, unless it is bfloat16 and the kernels, as `bfloat16` says, take that elsewhere than on the CPU."""
    if not isinstance(tensor, Tensor) or tensor.dtype not in _HALVES:
        return tensor
    if tensor.device.type not in ("cpu", "cuda") or not torch.is_autocast_enabled(tensor.device.type):
        return tensor
    return tensor if bfloat16 and tensor.dtype == torch.bfloat16 and not tensor.is_cpu else tensor.float()


def check_activation(activation: str) -> None:
    """Raise unless `linear` takes this activation."""
    if not isinstance(activation, str):
        raise TypeError(f"activation must be a str, not {type(activation).__name__}: {activation!r}")
    if activation == "softmax":
        raise ValueError(
            "activation softmax mixes a row and is not fused; use torch.softmax on the result of a linear layer"
        )
    choice(activation, "activation", _ACTIVATIONS)


def _check_like(tensor: Tensor, name: str, x: Tensor) -> None:
    """Raise unless `tensor` is what the kernels take together with x."""
    check_tensor(tensor, name)
    if tensor.dtype != x.dtype or tensor.device != x.device:
        kind = TypeError if tensor.dtype != x.dtype else ValueError
        raise kind(
            f"{name} must be {x.dtype} on {x.device} as x is, not {tensor.dtype} on {tensor.device}; use {name}.to(x)"
        )


def _place(seed: int | Tensor, step: int | Tensor) -> tuple[int | Tensor, int | Tensor]:
    return _integer(seed, "seed", 2**64 - 1), _integer(step, "step", 2**32 - 1)


def _integer(value: int | Tensor, name: str, high: int) -> int | Tensor:
    """An integer in [0, high], or a tensor that is one."""
    if not isinstance(value, Tensor):
        return integer(value, name, low=0, high=high)
    if value.dtype not in _INTEGERS or value.dim() != 0:
        raise TypeError(
            f"{name} must be an integer or an integer tensor of no axes, not {value.dtype} of shape "
            f"{tuple(value.shape)}"
        )
    return value


# torch.compile traces comparisons of a float that changes, but not all that `number` does.
def _real(value: float, name: str) -> float:
    return float(value) if isinstance(value, float) else number(value, name)


def _rate(p: float) -> float:
    return float(p) if isinstance(p, float) and 0 <= p <= 1 else number(p, "p", low=0.0, high=1.0)


def _stream(stream: int) -> int:
    return integer(stream, "stream", low=0, high=2**32 - 1)


def dropout(
    x: Tensor, p: float, seed: int | Tensor, step: int | Tensor, stream: int = 0, training: bool = True
) -> Tensor:
    """`fastreg.ops.dropout` on a tensor, bit for bit; its gradient computes the mask again instead of storing it.

    Parameters
    ----------
    x : tensor of float32 or float64, on the CPU or cuda:0, or of bfloat16 on cuda:0
        Under torch.autocast any 16-bit float is taken; where there is no kernel for it, it is computed in float32.
    p : float in [0, 1]
        Probability of 0; what is kept is scaled so that the expectation is x.
    seed, step, stream : int
        Where the random bits are: seed in [0, 2**64), step and stream in [0, 2**32). The same place gives the same
        mask, so count the step. Seed and step may be integer tensors of no axes, the seed's 64 bits in two's
        complement, best on the CPU: of a GPU they are waited for. Under torch.func.vmap all slices have one mask.
    training : bool
        False returns x.

    Examples
    --------
    >>> import torch
    >>> sorted(set(dropout(torch.ones(1000), 0.5, seed=1, step=0).tolist()))
    [0.0, 2.0]
    """
    rate = _rate(p)
    taken = _autocast(x, bfloat16=True)
    check_tensor(taken, "x", bfloat16=True)
    if not training or rate == 0:
        return x
    result: Tensor = _operators.dropout((taken,), (rate,), _place(seed, step), _stream(stream))
    return result if taken is x else result.to(x.dtype)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str = "linear",
    *,
    alpha: float | None = None,
    p: float = 0.0,
    seed: int | Tensor = 0,
    step: int | Tensor = 0,
    stream: int = 0,
    training: bool = True,
) -> Tensor:
    """`dropout(activation(x @ weight.T + bias))` in one pass. First derivatives only.

    Parameters
    ----------
    x : tensor (..., in) of float32 or float64, on the CPU or cuda:0
        Under torch.autocast 16-bit floats (of weight and bias, too) are cast to float32, and so is the result.
    weight : tensor (out, in)
        As `torch.nn.Linear` keeps it; read through its strides, not copied.
    bias : tensor (out,), optional
    activation : str
        linear, relu, leaky_relu, elu, selu, gelu, gelu_tanh, silu, tanh, sigmoid or softplus.
    alpha : float, optional
        Slope of leaky_relu (default 0.2, as in Keras; torch's is 0.01) or scale of elu (default 1) below 0.
    p, seed, step, stream, training
        Of the dropout; see `dropout`.

    Returns
    -------
    tensor (..., out)

    Examples
    --------
    >>> import torch
    >>> linear(torch.tensor([[1.0, -2.0]]), torch.eye(2), activation="relu").tolist()
    [[1.0, 0.0]]
    """
    rate = _rate(p)
    x, weight, bias = _autocast(x), _autocast(weight), _autocast(bias)
    check_tensor(x, "x")
    _check_like(weight, "weight", x)
    if bias is not None:
        _check_like(bias, "bias", x)
    check_activation(activation)
    if weight.dim() != 2 or x.dim() == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"x of shape {tuple(x.shape)} does not fit weight of shape {tuple(weight.shape)}; "
            "expected (..., in) and (out, in)"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias must have the shape ({weight.shape[0]},), not {tuple(bias.shape)}")
    rows = x if x.dim() == 2 else x.unsqueeze(0) if x.dim() == 1 else x.flatten(0, -2)
    slope = default_alpha(activation) if alpha is None else _real(alpha, "alpha")
    drops = training and rate > 0
    y: Tensor
    y, _ = _operators.linear(
        (rows, weight, bias),
        (activation, slope, rate if drops else 0.0),
        _place(seed, step) if drops else None,
        _stream(stream),
    )
    return y if x.dim() == 2 else y.reshape(*x.shape[:-1], weight.shape[0])
