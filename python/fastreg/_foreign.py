"""Arrays of other libraries: NumPy arrays over their memory (buffer protocol, DLPack), GPU arrays over that of CUDA:0
(DLPack, __cuda_array_interface__), or their numbers.

It must not know kernels or models, nor import another library: NumPy and the native core read the protocols. It is over
250 lines because each protocol is read here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastreg import _core

# A NumPy array, or anything that offers its memory by the buffer protocol or DLPack: a PyTorch tensor, a JAX array,
# an array.array, a memoryview. For an output the memory must be writeable. In fastreg.ops it may be that of CUDA:0.
AnyArray: TypeAlias = Any

Result = TypeVar("Result")

# To compare with them takes a dtype a hundredth of the time (3.7 us) that its name does.
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_DEFAULT_STREAM = 1  # CUDA's legacy default stream, in the numbers of DLPack
_GPU_MEMORY = (2, 13)  # DLPack's device types CUDA and CUDA managed memory
_CPU_MEMORY = (1, 3, 11)  # DLPack's device types CPU, CUDA host and ROCm host
_DEVICES = {
    2: "CUDA",
    4: "OpenCL",
    7: "Vulkan",
    8: "Metal",
    10: "ROCm",
    13: "CUDA managed memory",
    14: "oneAPI",
}
# Before, all that came by DLPack was read-only.
_DLPACK_WRITES = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


def again(
    error: TypeError,
    kernel: Callable[..., Result],
    reads: Mapping[str, Any],
    writes: Mapping[str, Any],
    **others: Any,
) -> Result:
    """Call `kernel`, which refused its arguments with `error`, with the arrays among them as NumPy arrays.

    Raises `error` again if they were NumPy arrays (or None) all along.
    """
    given = {**reads, **writes}
    try:
        stream = _stream_of_call(given.values())
        arrays = {
            name: None if value is None else shared(value, name, name in writes, stream)
            for name, value in given.items()
        }
        if any(arrays[name] is not value for name, value in given.items()):
            return kernel(**arrays, **others)
    except (TypeError, ValueError) as second:
        raise second from second.__cause__  # without the refusal as its context
    raise error from error.__cause__  # without what it may have been made of


def shared(value: AnyArray, name: str, write: bool = False, stream: int | None = None) -> Any:
    """`value` as an array of float32 or float64 over the same memory, NumPy's or a RawArray; `write`: it is an output.

    `stream` is where the numbers of a GPU must be ready, by default where the library of `value` works.
    Raises TypeError or ValueError, naming the argument and what to do.
    """
    if isinstance(value, np.ndarray):
        refuse_masked(**{name: value})
        return value
    gpu = gpu_of(value)
    if gpu is not None:
        _refuse_more_than_memory(value, name)
        return _on_gpu(value, name, write, gpu, stream or _stream_of_call([value]) or _DEFAULT_STREAM)
    array = _over_memory(value, name, write)
    if array.dtype not in FLOATS:
        fix = "give one of that dtype" if write else _conversion(name)
        raise TypeError(f"{name} must have dtype float32 or float64, got {array.dtype}; {fix}")
    if write and not array.flags.writeable:
        raise ValueError(
            f"{name} must be writeable, got a read-only {_kind(value)}; give a NumPy array or a writeable tensor"
        )
    return array


def gpu_of(value: Any) -> int | None:
    """The number of the NVIDIA GPU in whose memory `value` is; None: in that of none."""
    try:
        if hasattr(value, "__dlpack_device__"):
            device, index = (int(number) for number in value.__dlpack_device__())
            return index if device in _GPU_MEMORY else None
        interface = getattr(value, "__cuda_array_interface__", None)
    except (TypeError, ValueError, RuntimeError, BufferError):
        return None  # whoever reads it next says so
    return None if interface is None else max(_core.cuda_device_of(interface["data"][0]), 0)


def _stream_of(value: Any) -> int | None:
    """The stream on which the library of `value` works now, if it tells."""
    room = type(value).__module__.partition(".")[0]
    library: Any = sys.modules.get(room)
    if room == "torch":
        return int(library.cuda.current_stream().cuda_stream) or _DEFAULT_STREAM
    if room == "cupy":
        return int(library.cuda.get_current_stream().ptr) or _DEFAULT_STREAM
    interface = getattr(value, "__cuda_array_interface__", None) or {}
    return interface.get("stream")


def _stream_of_call(values: Iterable[Any]) -> int | None:
    """The stream that a call on `values` runs on: of the first that tells one; None: there is none on a GPU."""
    found = None
    for value in values:
        if value is not None and not isinstance(value, np.ndarray) and gpu_of(value) is not None:
            found = _DEFAULT_STREAM
            if told := _stream_of(value):
                return told
    return found


def _on_gpu(value: Any, name: str, write: bool, index: int, stream: int) -> _core.RawArray:
    """A RawArray over the memory of `value`, whose numbers are ready on `stream`."""
    if index != 0:
        raise ValueError(
            f"{name} is on CUDA:{index}; fastreg computes on CUDA:0 (CUDA_VISIBLE_DEVICES chooses which that is)"
        )
    try:
        _core.cuda_device_count()
    except RuntimeError as error:
        raise TypeError(
            f"{name} is on CUDA:0, where fastreg cannot compute: {error}; pass {name}.cpu() of a PyTorch tensor, "
            f"jax.device_get({name}) of a JAX array"
        ) from None
    own = _stream_of(value)
    try:
        if hasattr(value, "__dlpack__"):
            array = _core.RawArray.from_dlpack(_capsule(value, -1 if own == stream else stream), stream)
        else:
            array = _from_interface(value.__cuda_array_interface__, stream)
            if own is not None and own != stream:
                _core.cuda_order(own, stream)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        what = f"{_kind(value)} of dtype {getattr(value, 'dtype', 'unknown')}"
        fix = "give one of that dtype" if write else f"convert it first: {name}.float() of a tensor"
        raise TypeError(
            f"{name} must hold float32 or float64 on CUDA:0, but the {what} cannot be read: {error}; {fix}"
        ) from error
    if write and not array.writeable:
        raise ValueError(f"{name} must be writeable, got a read-only {_kind(value)}; give a writeable tensor")
    return array


def _capsule(value: Any, stream: int) -> Any:
    try:
        return value.__dlpack__(stream=stream, max_version=(1, 0))  # which tells what is read-only
    except TypeError:  # older than that
        return value.__dlpack__(stream=stream)


def _from_interface(interface: Mapping[str, Any], stream: int) -> _core.RawArray:
    """https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html"""
    if interface.get("mask") is not None:
        raise TypeError("masked arrays are not read")
    dtype = np.dtype(interface["typestr"])
    if dtype not in FLOATS or not dtype.isnative:
        raise TypeError(f"the dtype must be float32 or float64, got {dtype}")
    address, read_only = interface["data"]
    shape, strides = tuple(interface["shape"]), interface.get("strides")
    return _core.RawArray(
        address, shape, None if strides is None else tuple(strides), dtype.name, not read_only, stream
    )


def numbers(value: Any, name: str, dtype: DTypeLike | None) -> Any:
    """`value`, which is no NumPy array, list or number, as something `np.asarray` takes as it should; may copy.

    `dtype` is what the numbers of a data frame become; None as for `numeric`.
    """
    if hasattr(value, "tocsr"):
        raise TypeError(f"{name} is sparse ({_kind(value)}) and must be dense; pass {name}.toarray()")
    _refuse_more_than_memory(value, name)
    if not _is_array(value):
        from fastreg import _frames  # and narwhals with it

        table = _frames.table(value, name, dtype)
        return value if table is None else table
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return _from_dlpack(value, name, write=False)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"{name} ({_kind(value)}) is no NumPy array: {error}; {_conversion(name)}") from error
    if array.dtype.kind == "V":  # bfloat16 and its like
        raise TypeError(f"{name} must hold real numbers, but its dtype is {array.dtype}; {_conversion(name)}")
    return array


def _is_array(value: Any) -> bool:
    if type(value).__module__.partition(".")[0] == "pyarrow":  # which may lack values
        return False
    if hasattr(value, "__dlpack__") or hasattr(value, "__array_interface__"):
        return True
    return _buffer(value) is not None


def _buffer(value: Any) -> memoryview | None:
    try:
        return memoryview(value)
    except (TypeError, ValueError, BufferError):
        return None


def _over_memory(value: Any, name: str, write: bool) -> NDArray[Any]:
    if hasattr(value, "__dlpack__"):
        return _from_dlpack(value, name, write)
    view = _buffer(value)
    if view is None:
        fix = "" if write else f"; pass np.asarray({name})"
        raise TypeError(
            f"{name} must be a NumPy array, or offer its memory by the buffer protocol or DLPack, "
            f"not {_kind(value)}{fix}"
        )
    return np.asarray(view)


def _from_dlpack(value: Any, name: str, write: bool) -> NDArray[Any]:
    _refuse_more_than_memory(value, name)
    if write and not _DLPACK_WRITES:
        raise TypeError(
            f"{name}: outputs by DLPack need NumPy 2.1 or newer, this is {np.__version__}; "
            f"give {name}.numpy() of a PyTorch tensor, or a NumPy array"
        )
    try:
        device, index = (int(number) for number in value.__dlpack_device__())
        if device in _CPU_MEMORY:
            return np.from_dlpack(value, copy=False) if write else np.from_dlpack(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        what = f"{_kind(value)} of dtype {getattr(value, 'dtype', 'unknown')}"
        raise TypeError(
            f"{name} must hold float32 or float64 in the memory of the CPU, but DLPack refuses the {what}: {error}; "
            f"{_conversion(name)}"
        ) from error
    raise TypeError(
        f"{name} must be in the memory of the CPU, but is on {_DEVICES.get(device, f'device type {device}')}:{index}; "
        f"pass {name}.cpu() of a PyTorch tensor, jax.device_get({name}) of a JAX array"
    )


def refuse_masked(**arrays: Any) -> None:
    """Raise TypeError, naming the first masked array among `arrays`: what is masked would count."""
    for name, value in arrays.items():
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array; pass {name}.filled(...): what is masked would count")


def _refuse_more_than_memory(value: Any, name: str) -> None:
    """Raise TypeError for a tensor that is not just the numbers in its memory."""
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(f"{name} requires grad, which fastreg does not record; pass {name}.detach()")
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return
    if value.is_neg():  # the numbers in memory have the other sign
        raise TypeError(
            f"{name} is a lazy negation, which its memory does not show; pass {name}.resolve_neg()"
        )
    if value._is_zerotensor():  # there is no memory
        raise TypeError(f"{name} is a zero tensor without memory; pass {name}.clone()")


def _conversion(name: str) -> str:
    return f"convert it first: {name}.float() of a tensor, np.asarray({name}, 'float32') of other arrays"


def _kind(value: Any) -> str:
    room, kind = type(value).__module__.partition(".")[0], type(value).__name__
    return kind if room == "builtins" else f"{room}.{kind}"
