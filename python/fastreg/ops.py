"""The kernels on arrays. Inputs and outputs are float32 or float64, all of one call the same; nothing is converted, and
an output given by `out=` is written in place or refused, never copied. This file is over 250 lines because arguments
are documented in full.

An array is NumPy's, or anything that offers its memory by the buffer protocol or DLPack: a PyTorch tensor, a JAX array
(to read only), an array.array, a memoryview. New arrays are NumPy's.

All arrays of a call may be in the memory of the GPU CUDA:0 instead: PyTorch's, CuPy's, or any by DLPack or
__cuda_array_interface__. Results have the bits of the CPU, and outputs must be given. The call is enqueued on the
stream of the first array that tells one (PyTorch's and CuPy's current stream; else the legacy default stream, for
which the producers are asked to make their arrays ready) and returns without waiting, unless it returns a
number.

Arrays must be C-contiguous, but for these. In dropout, dropout_backward, elastic_net_gradient and prox an array of one
axis may have any stride but 0, and one of two axes contiguous rows at any distance, if they do not overlap. In
dense_forward and dense_backward x and w may have any strides, and the others of two axes such rows. An output must not
overlap what is read, but may be that very array where its description says so.

It must not know models. Everything random is a function of (seed, stream, step, index): the same arguments give the
same bits on every CPU and for any number of threads.

Raises
------
TypeError
    For what is no array, a masked array, a dtype that is neither float32 nor float64 or not that of the call's first
    array, and settings that are no numbers.
ValueError
    For another shape, another layout, memory that overlaps, an output that is read-only, and settings out of range.
    The message names the argument, and nothing has been written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastreg import _core
from fastreg._arguments import choice, integer, number
from fastreg._arrays import Array
from fastreg._foreign import AnyArray, again, gpu_of, refuse_masked, shared
from fastreg.activations import default_alpha
from fastreg.regularizers import METHODS

__all__ = [
    "adam_update",
    "dense_backward",
    "dense_forward",
    "dropout",
    "dropout_backward",
    "dropout_mask",
    "elastic_net",
    "elastic_net_gradient",
    "prox",
    "sgd_update",
]


# Python checks only what it needs to make an output, and whatever is given goes to the gate, which checks all and takes
# NumPy arrays alone; where it refuses, the call is made `again` over the memory of what is no NumPy array. A kernel may
# take less time than one isinstance, so NumPy arrays must not pay for the others, nor for a function between (0.4 us).
# The gate would take the memory of a masked array without its mask, so all but plain arrays are looked at before.
# What follows is found sooner than an attribute of its module.
_ndarray = np.ndarray
_dense_forward, _dense_backward, _dropout = _core.dense_forward, _core.dense_backward, _core.dropout
_elastic_net, _elastic_net_gradient, _prox = _core.elastic_net, _core.elastic_net_gradient, _core.prox
_sgd_update, _adam_update = _core.sgd_update, _core.adam_update


def _array(value: AnyArray, name: str, ndim: int | None = None, output: str = "out") -> Array:
    """`value` as what a new array is made like; `output` is the argument that is not given."""
    if value.__class__ is _ndarray:
        array: Array = value
    elif not isinstance(value, np.ndarray) and gpu_of(value) is not None:
        raise TypeError(
            f"{output} is needed where {name} is on a GPU, since new arrays are NumPy's; "
            f"pass {output}=torch.empty(...) of PyTorch or {output}=cupy.empty(...) of CuPy, in the shape of the result"
        )
    else:
        array = shared(value, name)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, not the shape {array.shape}")
    return array


def _with_out(value: AnyArray, name: str, out: AnyArray | None) -> tuple[AnyArray, AnyArray]:
    """`value` and `out`, one of which is no plain array: a new array like `value` where `out` is not given."""
    if out is None:
        value = _array(value, name)
        return value, np.empty(value.shape, value.dtype)
    refuse_masked(**{name: value, "out": out})
    return value, out


def dense_forward(
    x: AnyArray,
    w: AnyArray,
    b: AnyArray | None = None,
    activation: str = "linear",
    alpha: float | None = None,
    rate: float = 0.0,
    seed: int = 0,
    step: int = 0,
    stream: int = 0,
    out: AnyArray | None = None,
    z_out: AnyArray | None = None,
) -> Array:
    """`dropout(activation(x @ w + b))`, in one pass.

    Parameters
    ----------
    x : array (batch, in)
        Any strides.
    w : array (in, units)
        Any strides.
    b : array (units,), optional
    activation : str
        linear, relu, leaky_relu, elu, selu, gelu, gelu_tanh, silu, tanh, sigmoid or softplus. softmax mixes a row and
        is refused: take `activations.softmax` of the linear result.
    alpha : float, optional
        Slope of leaky_relu (default 0.2) or scale of elu (default 1) below 0.
    rate : float in [0, 1]
        Of the dropout; 0 is none.
    seed, step, stream : int
        Where the dropout's random bits are: seed in [0, 2**64), step and stream in [0, 2**32).
    out : array (batch, units), optional
        Where to write the result.
    z_out : array (batch, units), optional
        Where to write `x @ w + b`.

    Returns
    -------
    array (batch, units)
        `out`, or a new NumPy array, which is refused where x is on a GPU.

    Examples
    --------
    >>> import numpy as np
    >>> dense_forward(np.array([[1.0, -2.0]]), np.eye(2), activation="relu").tolist()
    [[1.0, 0.0]]
    """
    if out is None:
        x, w = _array(x, "x", 2), _array(w, "w", 2)
        out = np.empty((x.shape[0], w.shape[1]), x.dtype)
    if (
        x.__class__ is not _ndarray
        or w.__class__ is not _ndarray
        or out.__class__ is not _ndarray
        or (b is not None and b.__class__ is not _ndarray)
        or (z_out is not None and z_out.__class__ is not _ndarray)
    ):
        refuse_masked(x=x, w=w, b=b, out=out, z_out=z_out)
    slope = default_alpha(activation) if alpha is None else alpha
    try:
        _dense_forward(x, w, b, activation, slope, rate, seed, step, stream, out, z_out)
    except TypeError as error:
        reads, writes = {"x": x, "w": w, "b": b}, {"out": out, "z_out": z_out}
        at = {"rate": rate, "seed": seed, "step": step, "stream": stream}
        again(error, _dense_forward, reads, writes, activation=activation, alpha=slope, **at)
    return out


def dense_backward(
    dy: AnyArray,
    x: AnyArray,
    w: AnyArray,
    y: AnyArray,
    z: AnyArray | None = None,
    activation: str = "linear",
    alpha: float | None = None,
    rate: float = 0.0,
    seed: int = 0,
    step: int = 0,
    stream: int = 0,
    dx: AnyArray | None = None,
    dw: AnyArray | None = None,
    db: AnyArray | None = None,
    need_dx: bool = True,
) -> tuple[Array | None, Array, Array]:
    """The gradients of `dense_forward`: from dL/dy to dL/dx, dL/dw and dL/db.

    Parameters
    ----------
    dy : array (batch, units)
        Gradient with respect to the result of `dense_forward`.
    x, w
        What `dense_forward` was given.
    y : array (batch, units)
        What it returned.
    z : array (batch, units), optional
        Its `z_out`; needed by all activations but linear, relu, tanh and sigmoid, and by these last two when rate > 0.
    activation, alpha, rate, seed, step, stream
        What it was given: the mask is computed again, not stored.
    dx, dw, db : arrays (batch, in), (in, units), (units,), optional
        Where to write the gradients.
    need_dx : bool
        Whether dL/dx is wanted; the first layer of a network does not need it.

    Returns
    -------
    (dx, dw, db)
        dx is None when it is not wanted.

    Examples
    --------
    >>> import numpy as np
    >>> x, w = np.array([[1.0, -2.0]]), np.eye(2)
    >>> y = dense_forward(x, w, activation="relu")
    >>> dx, dw, db = dense_backward(np.ones((1, 2)), x, w, y, activation="relu")
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[1.0, 0.0]], [[1.0, 0.0], [-2.0, 0.0]], [1.0, 0.0])
    """
    if not need_dx:
        dx = None
    elif dx is None:
        x = _array(x, "x", 2, "dx")
        dx = np.empty(x.shape, x.dtype)
    if dw is None:
        w = _array(w, "w", 2, "dw")
        dw = np.empty(w.shape, w.dtype)
    if db is None:
        w = _array(w, "w", 2, "db")
        db = np.empty(w.shape[1], w.dtype)
    if (
        dy.__class__ is not _ndarray
        or x.__class__ is not _ndarray
        or w.__class__ is not _ndarray
        or y.__class__ is not _ndarray
        or dw.__class__ is not _ndarray
        or db.__class__ is not _ndarray
        or (z is not None and z.__class__ is not _ndarray)
        or (dx is not None and dx.__class__ is not _ndarray)
    ):
        refuse_masked(dy=dy, x=x, w=w, y=y, z=z, dx=dx, dw=dw, db=db)
    slope = default_alpha(activation) if alpha is None else alpha
    try:
        _dense_backward(dy, x, w, y, z, activation, slope, rate, seed, step, stream, dx, dw, db)
    except TypeError as error:
        reads, writes = {"dy": dy, "x": x, "w": w, "y": y, "z": z}, {"dx": dx, "dw": dw, "db": db}
        at = {"rate": rate, "seed": seed, "step": step, "stream": stream}
        again(error, _dense_backward, reads, writes, activation=activation, alpha=slope, **at)
    return dx, dw, db


def dropout(
    x: AnyArray, rate: float, seed: int, step: int = 0, stream: int = 0, out: AnyArray | None = None
) -> Array:
    """Inverted dropout (Srivastava et al. 2014): 0 with probability `rate`, else x divided by the share kept.

    Element i is kept when the 16 random bits at (seed, stream, step, i) are below k = round((1 - rate) * 65536), and
    then multiplied by 65536 / k: the expectation is exactly x.

    Parameters
    ----------
    x : array
        On a GPU also of bfloat16, which is multiplied as float32 and rounded to nearest.
    rate : float in [0, 1]
    seed : int in [0, 2**64)
    step, stream : int in [0, 2**32)
    out : array of the shape of x, optional
        May be x.

    Returns
    -------
    array
        `out`, or a new NumPy array, which is refused where x is on a GPU.

    Examples
    --------
    >>> import numpy as np
    >>> y = dropout(np.ones(1000), 0.5, seed=1)
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """
    if x.__class__ is not _ndarray or out.__class__ is not _ndarray:
        x, out = _with_out(x, "x", out)
    try:
        _dropout(x, rate, seed, step, stream, out)
    except TypeError as error:
        again(error, _dropout, {"x": x}, {"out": out}, rate=rate, seed=seed, step=step, stream=stream)
    return out


def dropout_backward(
    dy: AnyArray, rate: float, seed: int, step: int = 0, stream: int = 0, out: AnyArray | None = None
) -> Array:
    """The gradient with respect to the input of `dropout`: the same mask and scale, applied to dy.

    Parameters
    ----------
    dy : array
        Gradient with respect to the result of `dropout`, of any shape.
    rate, seed, step, stream
        What `dropout` was given.
    out : array of the shape of dy, optional
        May be dy.

    Returns
    -------
    array
        `out`, or a new NumPy array, which is refused where dy is on a GPU.

    Raises
    ------
    TypeError, ValueError
        See `fastreg.ops`; ValueError also for rate, seed, step or stream out of range.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(1000.0)
    >>> bool((dropout(x, 0.5, seed=1) == x * dropout_backward(np.ones(1000), 0.5, seed=1)).all())
    True
    """
    if dy.__class__ is not _ndarray or out.__class__ is not _ndarray:
        dy, out = _with_out(dy, "dy", out)
    try:
        _dropout(dy, rate, seed, step, stream, out)
    except TypeError as error:
        at = {"rate": rate, "seed": seed, "step": step, "stream": stream}
        again(TypeError(_of_dy(error)), _dropout_backward, {"dy": dy}, {"out": out}, **at)
    except ValueError as error:
        raise ValueError(_of_dy(error)) from None
    return out


def _dropout_backward(dy: AnyArray, **others: Any) -> None:
    try:
        _dropout(dy, **others)
    except TypeError as error:
        raise TypeError(_of_dy(error)) from None
    except ValueError as error:
        raise ValueError(_of_dy(error)) from None


def _of_dy(error: Exception) -> str:
    """The words of the gate of `dropout`, which calls x what is dy here."""
    return re.sub(r"\bx\b", "dy", str(error))


def dropout_mask(
    shape: int | Sequence[int], rate: float, seed: int, step: int = 0, stream: int = 0, packed: bool = False
) -> NDArray[np.uint8]:
    """What `dropout` keeps: 1 kept, 0 dropped.

    Parameters
    ----------
    shape : int or sequence of int
        Of the array that is dropped from; each at least 0.
    rate, seed, step, stream
        As for `dropout`.
    packed : bool
        Whether to give bits instead of bytes: element i is in byte i // 8, lowest bit first.

    Returns
    -------
    array of uint8
        Of `shape`; packed, of (n + 7) // 8 bytes for n elements.

    Raises
    ------
    TypeError, ValueError
        See `fastreg.ops`; ValueError also for a shape, rate, seed, step or stream out of range.

    Examples
    --------
    >>> dropout_mask((2, 3), 0.0, seed=1).tolist()
    [[1, 1, 1], [1, 1, 1]]
    """
    if not isinstance(shape, (tuple, list, Sequence)):  # the abstract class last: it takes longest to ask
        return _core.dropout_mask(
            integer(shape, "shape", low=0, high=2**63 - 1), rate, seed, step, stream, packed
        )
    sizes = [integer(size, "shape", low=0) for size in shape]
    mask = _core.dropout_mask(
        integer(math.prod(sizes), "the product of shape", high=2**63 - 1), rate, seed, step, stream, packed
    )
    return mask if packed else mask.reshape(sizes)


def elastic_net(w: AnyArray, l1: float, l2: float) -> float:
    """The penalty `l1 * sum|w| + l2 * sum(w**2)` (Zou and Hastie 2005, with factors instead of a budget).

    Parameters
    ----------
    w : array
        Of any shape; C-contiguous.
    l1, l2 : float
        From 0 to 1e38.

    Returns
    -------
    float
        Summed in the dtype of w. Of an array on a GPU it waits for that.

    Raises
    ------
    TypeError, ValueError
        See `fastreg.ops`; ValueError also for l1 or l2 out of range.

    Examples
    --------
    >>> import numpy as np
    >>> elastic_net(np.array([1.0, -3.0]), 1.0, 0.5)
    9.0
    """
    return _elastic_net(w if w.__class__ is _ndarray else shared(w, "w"), l1, l2)


def elastic_net_gradient(w: AnyArray, l1: float, l2: float, out: AnyArray | None = None) -> Array:
    """The subgradient of `elastic_net`: `l1 * sign(w) + 2 * l2 * w`, with sign(0) = 0.

    Parameters
    ----------
    w : array
        Of any shape; see `fastreg.ops` for its layout.
    l1, l2 : float
        From 0 to 1e38.
    out : array of the shape of w, optional
        May be w.

    Returns
    -------
    array
        `out`, or a new NumPy array, which is refused where w is on a GPU.

    Raises
    ------
    TypeError, ValueError
        See `fastreg.ops`; ValueError also for l1 or l2 out of range.

    Examples
    --------
    >>> import numpy as np
    >>> elastic_net_gradient(np.array([0.0, -3.0]), 1.0, 0.5).tolist()
    [0.0, -4.0]
    """
    if w.__class__ is not _ndarray or out.__class__ is not _ndarray:
        w, out = _with_out(w, "w", out)
    try:
        _elastic_net_gradient(w, l1, l2, out)
    except TypeError as error:
        again(error, _elastic_net_gradient, {"w": w}, {"out": out}, l1=l1, l2=l2)
    return out


def prox(w: AnyArray, l1: float, l2: float, step: float, out: AnyArray | None = None) -> Array:
    """The proximal step `argmin_u (u - w)**2 / 2 + step * (l1 * |u| + l2 * u**2)`, elementwise.

    That is `sign(w) * max(|w| - step * l1, 0) / (1 + 2 * step * l2)` (Parikh and Boyd 2014, section 6.5).

    Parameters
    ----------
    w : array
        Of any shape; see `fastreg.ops` for its layout.
    l1, l2, step : float
        From 0 to 1e38; step finite, at least 0.
    out : array of the shape of w, optional
        May be w.

    Returns
    -------
    array
        `out`, or a new NumPy array, which is refused where w is on a GPU.

    Raises
    ------
    TypeError, ValueError
        See `fastreg.ops`; ValueError also for l1, l2 or step out of range.

    Examples
    --------
    >>> import numpy as np
    >>> prox(np.array([0.5, -3.0]), l1=1.0, l2=0.0, step=1.0).tolist()
    [0.0, -2.0]
    """
    if w.__class__ is not _ndarray or out.__class__ is not _ndarray:
        w, out = _with_out(w, "w", out)
    try:
        _prox(w, l1, l2, step, out)
    except TypeError as error:
        again(error, _prox, {"w": w}, {"out": out}, l1=l1, l2=l2, step=step)
    return out


def sgd_update(
    w: AnyArray,
    g: AnyArray,
    velocity: AnyArray | None = None,
    *,
    learning_rate: float = 0.01,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    method: str = "proximal",
) -> float:
    """One step of SGD with an elastic net penalty, in place; returns the penalty of w before the step.

    It waits for the GPU where w is there; `fastreg.torch.ElasticNetSGD` does not.

    Parameters
    ----------
    w : array
        Weights, of any shape, changed in place; C-contiguous, and so are the others. Of a copy, as
        `np.ascontiguousarray` makes of another layout, the copy would change.
    g : array of the shape of w
        Gradient of the data loss. With the penalty's gradient added, numbers below 2^-56 (float64: 2^-504) count
        as 0.
    velocity : array of the shape of w
        Needed when momentum > 0; changed in place. Start with zeros.
    learning_rate, momentum, nesterov, weight_decay
        See `optimizers.SGD`.
    l1, l2 : float
        Factors of the penalty, at least 0.
    method : {"proximal", "subgradient"}
        See `regularizers.L1`.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([1.0, 0.01])
    >>> sgd_update(w, np.zeros(2), learning_rate=0.1, l1=1.0)
    1.01
    >>> w.tolist()
    [0.9, 0.0]
    """
    if type(momentum) is not float:
        momentum = number(momentum, "momentum")
    if momentum == 0:
        velocity = None
    elif velocity is None and momentum > 0:
        raise ValueError("velocity is needed when momentum > 0")
    if (
        w.__class__ is not _ndarray
        or g.__class__ is not _ndarray
        or (velocity is not None and velocity.__class__ is not _ndarray)
    ):
        refuse_masked(w=w, g=g, velocity=velocity)
    proximal = method == "proximal" or choice(method, "method", METHODS) == "proximal"
    try:
        return _sgd_update(w, g, velocity, learning_rate, momentum, nesterov, weight_decay, l1, l2, proximal)
    except TypeError as error:
        return again(
            error,
            _sgd_update,
            {"g": g},
            {"w": w, "velocity": velocity},
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            l1=l1,
            l2=l2,
            proximal=proximal,
        )


def adam_update(
    w: AnyArray,
    g: AnyArray,
    m: AnyArray,
    v: AnyArray,
    step: int,
    *,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    method: str = "proximal",
) -> float:
    """One step of Adam (AdamW when weight_decay > 0) with an elastic net penalty, in place.

    It waits for the GPU where w is there; `fastreg.torch.ElasticNetAdam` does not.

    Parameters
    ----------
    w, g
        As for `sgd_update`.
    m, v : arrays of the shape of w
        The running means of g and g**2, changed in place. Start with zeros.
    step : int
        Counts from 1.
    learning_rate, beta_1, beta_2, epsilon, weight_decay
        See `optimizers.Adam`.
    l1, l2, method
        As for `sgd_update`; the proximal threshold is per weight,
        `lr * l1 * sqrt(1 - beta_2**step) / (sqrt(v) + epsilon)`, by the denominator of the step.

    Returns
    -------
    float
        The penalty of w before the step.

    Examples
    --------
    >>> import numpy as np
    >>> w, m, v = np.array([1.0, -1.0]), np.zeros(2), np.zeros(2)
    >>> adam_update(w, np.array([2.0, 0.0]), m, v, step=1, learning_rate=0.1)
    0.0
    >>> w.round(4).tolist()
    [0.9, -1.0]
    """
    if (
        w.__class__ is not _ndarray
        or g.__class__ is not _ndarray
        or m.__class__ is not _ndarray
        or v.__class__ is not _ndarray
    ):
        refuse_masked(w=w, g=g, m=m, v=v)
    proximal = method == "proximal" or choice(method, "method", METHODS) == "proximal"
    try:
        return _adam_update(
            w, g, m, v, step, learning_rate, beta_1, beta_2, epsilon, weight_decay, l1, l2, proximal
        )
    except TypeError as error:
        return again(
            error,
            _adam_update,
            {"g": g},
            {"w": w, "m": m, "v": v},
            step=step,
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            l1=l1,
            l2=l2,
            proximal=proximal,
        )
