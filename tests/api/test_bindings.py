"""Arrays at the gate of the native module: what is refused, in whose name, and that nothing is copied or half done.

It must not check numbers: tests/ops and tests/rules do.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from binding_cases import ADAM, data, raises, session
from fastreg import _core, ops


def dense_forward(**changes: Any) -> None:
    call = {
        "x": np.ones((4, 3)), "w": np.ones((3, 2)), "b": np.ones(2), "activation": "relu", "alpha": 0.0, "rate": 0.0,
        "seed": 0, "step": 0, "stream": 0, "out": np.empty((4, 2)), "z_out": None,
    } | changes  # fmt: skip
    _core.dense_forward(**call)


BAD_DTYPES = ["int32", "float16", "longdouble", "complex64", "bool", "object", ">f8", [("a", "f8")]]


@pytest.mark.parametrize("value", [[[1.0] * 3] * 4, None, 1.0, "x"], ids=repr)
def test_only_arrays_are_arrays(value: Any) -> None:
    with raises(TypeError, "x must be a numpy.ndarray, got " + type(value).__name__):
        dense_forward(x=value)


@pytest.mark.parametrize("form", ["f4", "f8"])
def test_an_order_of_bytes_that_is_named_is_native_too(form: str) -> None:
    """NumPy's way to swap bytes, and buffers of ctypes, give a dtype that says '<'."""
    given = np.arange(12, dtype=form).reshape(4, 3)
    swapped = given.astype(">" + form)
    named = swapped.byteswap().view(swapped.dtype.newbyteorder())
    c_type = ctypes.c_float if form == "f4" else ctypes.c_double
    from_ctypes = np.asarray((c_type * 12)(*given.ravel())).reshape(4, 3)
    assert named.dtype.byteorder == from_ctypes.dtype.byteorder == "<"
    wanted = ops.prox(given, 1.0, 0.0, 1.0)
    for x in (named, from_ctypes):
        np.testing.assert_array_equal(ops.prox(x, 1.0, 0.0, 1.0), wanted)
        np.testing.assert_array_equal(ops.prox(given, 1.0, 0.0, 1.0, out=x), wanted)
        np.testing.assert_array_equal(x, wanted)


@pytest.mark.parametrize("dtype", BAD_DTYPES, ids=str)
def test_only_native_floats_pass(dtype: Any) -> None:
    with raises(
        TypeError, "x must have dtype float32 or float64 in native byte order, got ", str(np.dtype(dtype))
    ):
        dense_forward(x=np.zeros((4, 3), dtype))
    with raises(TypeError, "y must have dtype float32 in native byte order, got ", str(np.dtype(dtype))):
        session().begin_epoch(data()[0], np.zeros((8, 2), dtype), None, 2, False)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("w", np.ones((3, 2), "f4")),
        ("b", np.ones(2, "f4")),
        ("out", np.ones((4, 2), "f4")),
        ("z_out", np.ones((4, 2), "f4")),
    ],
)
def test_one_dtype_a_call(name: str, array: np.ndarray) -> None:
    with raises(TypeError, f"{name} must have dtype float64, that of x, got float32"):
        dense_forward(**{name: array})


def test_a_session_has_one_dtype() -> None:
    with raises(TypeError, "x must have dtype float32, that of the session, got float64"):
        session().evaluate(*data(dtype="float64"), None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": np.ones(3)}, "x must have 2 dimensions, got shape (3,)"),
        ({"w": np.ones((3, 2, 1))}, "w must have 2 dimensions, got shape (3, 2, 1)"),
        ({"b": np.ones((1, 2))}, "b must have 1 dimension, got shape (1, 2)"),
        ({"w": np.ones((5, 2))}, "w has shape (5, 2)"),
    ],
)
def test_shapes_of_an_operation(changes: dict[str, Any], words: str) -> None:
    with raises(ValueError, words):
        dense_forward(**changes)


def test_elementwise_operations_want_one_shape() -> None:
    with raises(ValueError, "out must have shape (2, 3), that of x, got (3, 2)"):
        _core.dropout(np.ones((2, 3)), 0.5, 0, 0, 0, np.ones((3, 2)))
    with raises(ValueError, "slots[1] must have shape (2, 3), that of w, got (6,)"):
        w = np.ones((2, 3))
        _core.update(ADAM, w, w.copy(), [w.copy(), np.ones(6)], 1, 0.0, 0.0, True)


def test_layouts_of_an_operation() -> None:
    wide = np.ones((4, 6))
    with raises(ValueError, "out must have contiguous rows, got shape (4, 2) with strides (48, 16) in bytes",
                "np.ascontiguousarray(out)"):  # fmt: skip
        dense_forward(out=wide[:, :4:2])
    for out in (np.empty((2, 4)).T, wide[:, 1::-1]):
        with raises(ValueError, "out must have contiguous rows", str(out.strides)):
            dense_forward(out=out)
    with raises(ValueError, "b must be contiguous (C order)", "(16,)", "np.ascontiguousarray(b)"):
        dense_forward(b=np.ones(4)[::2])
    for view in (np.broadcast_to(1.0, 4), np.ones((2, 2, 4))[:, :, ::2]):
        with raises(ValueError, "x must have contiguous rows", str(view.strides)):
            _core.dropout(view, 0.5, 0, 0, 0, np.empty(view.shape))
    with raises(ValueError, "w must be contiguous (C order)", "(8, 32)"):
        _core.update(ADAM, np.ones((2, 4)).T, *(np.ones((4, 2)), []), 1, 0.0, 0.0, True)
    with raises(ValueError, "w must be contiguous (C order)", "; it is written in place: first say w = "):
        _core.update(ADAM, np.ones((2, 4)).T, *(np.ones((4, 2)), []), 1, 0.0, 0.0, True)
    with raises(ValueError, "x must be contiguous"):
        _core.all_finite(wide[:, :2])
    with raises(ValueError, "x must be contiguous (C order)"):
        _core.activation_forward(np.ones(8)[::2], "softmax", 0.0, np.empty(4))


def test_elements_must_be_whole_and_aligned() -> None:
    records = np.zeros(4, [("a", "u1"), ("b", "f8")])
    with raises(ValueError, "x must have contiguous rows", "(9,)"):
        _core.dropout(records["b"], 0.5, 0, 0, 0, np.empty(4))
    unaligned = np.frombuffer(bytes(33), np.uint8)[1:].view("f8")
    with raises(ValueError, "x must be aligned to its elements of 8 bytes; use x.copy()"):
        _core.all_finite(unaligned)


def test_contiguity_has_no_opinion_on_axes_of_length_one() -> None:
    x, one = np.ones((4, 6))[:1, ::6], np.ones((4, 6))[::2, :1]
    assert _core.all_finite(x)
    out = np.zeros((2, 1))
    _core.dropout(one, 0.0, 0, 0, 0, out)
    assert (out == 1).all()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 5)], ids=str)
def test_empty_arrays_are_arrays(shape: tuple[int, ...]) -> None:
    _core.dropout(np.ones(shape), 0.5, 0, 0, 0, np.ones(shape))
    assert _core.elastic_net(np.ones(shape), 1.0, 1.0) == 0
    assert _core.all_finite(np.ones(shape))


def test_outputs_must_be_writeable() -> None:
    locked = np.ones((4, 2))
    locked.flags.writeable = False
    for name in ("out", "z_out"):
        with raises(ValueError, f"{name} must be writeable, got a read-only array"):
            dense_forward(**{name: locked})
    with raises(ValueError, "slots[0] must be writeable"):
        _core.update(ADAM, np.ones((4, 2)), np.ones((4, 2)), [locked, np.ones((4, 2))], 1, 0.0, 0.0, True)
    with raises(ValueError, "out must be writeable"):
        frozen = np.empty((8, 2), "f4")
        frozen.flags.writeable = False
        session().predict(data()[0], frozen)
    dense_forward(x=np.broadcast_to(1.0, (4, 3)), b=locked[0])  # inputs need not be


def test_nothing_is_written_when_a_call_is_refused() -> None:
    w, m = np.ones(3), np.ones(3)
    with raises(ValueError, "slots[1]"):
        _core.update(ADAM, w, np.ones(3), [m, np.ones(4)], 1, 0.0, 0.0, True)
    assert (w == 1).all()
    assert (m == 1).all()
