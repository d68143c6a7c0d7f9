"""Whether there is a GPU to train on. `Sequential(..., device="cuda")` trains on the first one that is visible.

It must not load the CUDA plugin before somebody asks.
"""

from __future__ import annotations

from fastreg import _core
from fastreg._arguments import integer

__all__ = ["device_count", "device_name", "is_available"]


def is_available() -> bool:
    """Whether this build has the CUDA plugin and a GPU can be used.

    Examples
    --------
    >>> device = "cuda" if is_available() else "cpu"
    """
    try:
        return _core.cuda_device_count() > 0
    except RuntimeError:
        return False


def device_count() -> int:
    """The number of GPUs.

    Raises
    ------
    RuntimeError
        If there is none to use; the message says what is missing: plugin, driver or GPU.
    """
    try:
        return _core.cuda_device_count()
    except RuntimeError as error:
        raise RuntimeError(
            f'device="cuda" cannot be used: {error}; use "cpu", or "auto" for what there is'
        ) from None


def device_name(device: int = 0) -> str:
    """The name of GPU number `device`, which the environment variable CUDA_VISIBLE_DEVICES may choose."""
    device_count()
    return _core.cuda_device_name(integer(device, "device", low=0))
