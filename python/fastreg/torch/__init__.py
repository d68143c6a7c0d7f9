"""fastreg in PyTorch: optimizers whose L1 gives exact zeros, dropout by address, a fused linear layer; on the CPU and
on the GPU cuda:0, with the same bits.

This file only gathers names, and says what to do when PyTorch is missing. Nothing else of fastreg imports torch.
For early stopping, `fastreg.EarlyStoppingMonitor` copies any state: `monitor.step(value, model.state_dict())`.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":  # torch is there, but something that it needs is not
        raise
    raise ImportError("fastreg.torch needs PyTorch 2.4 or newer: pip install torch", name="torch") from error

from fastreg.torch._functions import dropout, linear
from fastreg.torch._modules import Dropout, Linear
from fastreg.torch._optimizers import ElasticNetAdam, ElasticNetAdamW, ElasticNetSGD

__all__ = ["Dropout", "ElasticNetAdam", "ElasticNetAdamW", "ElasticNetSGD", "Linear", "dropout", "linear"]
