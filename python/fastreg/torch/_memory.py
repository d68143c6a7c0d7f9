"""Tensors as arrays over the same memory, on the CPU and on CUDA:0, and the stream that work on a GPU goes to.

It must not know kernels, modules or optimizers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fastreg import _core

_DEFAULT_STREAM = 1  # CUDA's legacy default stream, as DLPack numbers it
_NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}


def current_stream() -> int:
    """Torch's current stream of CUDA:0, as the native core takes it."""
    return int(torch.cuda.current_stream(0).cuda_stream) or _DEFAULT_STREAM


def array(tensor: Tensor, stream: int | None = None, owned: bool = True) -> _core.RawArray:
    """The tensor's memory as an array, without its graph. `stream`, by default torch's current one, is for a GPU.
    Unless `owned`, the caller keeps the tensor."""
    # Not Tensor.numpy(), which takes longer and forbids torch to resize the memory from then on.
    size = tensor.element_size()
    strides = None if tensor.is_contiguous() else [stride * size for stride in tensor.stride()]
    where = None if tensor.is_cpu else current_stream() if stream is None else stream
    owner = tensor if owned else None
    return _core.RawArray(
        tensor.data_ptr(),
        tensor.shape,
        strides,
        _NAMES.get(tensor.dtype, str(tensor.dtype)),
        True,
        where,
        owner,
    )
