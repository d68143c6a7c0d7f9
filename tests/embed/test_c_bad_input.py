"""Every kernel of the C interface against wrong pointers, sizes, strides and options: a status, and nothing changed.

It must not know right answers: test_c_kernels.py does. It is over 250 lines because every kernel has many ways to be
called wrongly.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from c_library import (
    INVALID_ARGUMENT,
    OK,
    SUFFIX,
    Dense,
    Optimizer,
    Penalty,
    argument,
    call,
    error,
    lib,
    loss,
    made,
    optimizer,
)

N = 12
MEMORY = np.zeros((2, N))  # of an optimizer with two slots, in either type of numbers
SLOTS = np.array([m.ctypes.data for m in MEMORY], np.uint64)


class Call:
    """A call that works, as names and values, of which tests replace some."""

    def __init__(self, name: str, arrays: dict[str, tuple[int, ...]], order: str, **values: Any) -> None:
        self.name, self.shapes, self.order, self.values = name, arrays, order.split(), values

    def arguments(self, dtype: str) -> dict[str, Any]:
        rng = np.random.default_rng(3)
        made_arrays = {k: rng.uniform(0.1, 0.9, shape).astype(dtype) for k, shape in self.shapes.items()}
        return self.values | made_arrays

    def status(self, dtype: str, arguments: dict[str, Any]) -> int:
        return call(f"{self.name}_{SUFFIX[dtype]}", *(arguments[k] for k in self.order))


CALLS = [
    Call("dense_forward", {"x": (3, 4), "w": (4, 2), "b": (2,), "y": (3, 2), "z": (3, 2)},
         "batch inputs outputs x x_rs x_cs w w_rs w_cs b options y y_rs z z_rs",
         batch=3, inputs=4, outputs=2, x_rs=4, x_cs=1, w_rs=2, w_cs=1, y_rs=2, z_rs=2, options=made(Dense)),
    Call("dense_backward",
         {"dy": (3, 2), "x": (3, 4), "w": (4, 2), "y": (3, 2), "z": (3, 2), "dx": (3, 4), "dw": (4, 2), "db": (2,)},
         "batch inputs outputs dy dy_rs x x_rs x_cs w w_rs w_cs y y_rs z z_rs options dx dx_rs dw dw_rs db",
         batch=3, inputs=4, outputs=2, dy_rs=2, x_rs=4, x_cs=1, w_rs=2, w_cs=1, y_rs=2, z_rs=2, dx_rs=4, dw_rs=2,
         options=made(Dense)),
    Call("activation_forward", {"x": (3, 4), "y": (3, 4)}, "rows cols x x_rs activation alpha y y_rs",
         rows=3, cols=4, x_rs=4, y_rs=4, activation=1, alpha=0.0),
    Call("activation_backward", {"dy": (3, 4), "x": (3, 4), "dx": (3, 4)},
         "rows cols dy dy_rs x x_rs activation alpha dx dx_rs",
         rows=3, cols=4, dy_rs=4, x_rs=4, dx_rs=4, activation=1, alpha=0.0),
    Call("loss", {"y_true": (3, 2), "y_pred": (3, 2), "sample_weight": (3,), "per_row": (3,), "gradient": (3, 2)},
         "batch outputs y_true y_true_rs y_pred y_pred_rs sample_weight options per_row gradient mean",
         batch=3, outputs=2, y_true_rs=2, y_pred_rs=2, options=loss("mean_squared_error"), mean=np.zeros(1)),
    Call("elastic_net", {"w": (N,)}, "w n l1 l2 value", n=N, l1=0.1, l2=0.2, value=np.zeros(1)),
    Call("elastic_net_gradient", {"w": (N,), "out": (N,)}, "w n l1 l2 out", n=N, l1=0.1, l2=0.2),
    Call("prox", {"w": (N,), "out": (N,)}, "w n l1 l2 step out", n=N, l1=0.1, l2=0.2, step=0.5),
    Call("dropout", {"x": (N,), "out": (N,)}, "x n rate seed stream step out", n=N, rate=0.5, seed=1, stream=2, step=3),
    Call("update", {"w": (N,), "g": (N,)}, "options w g slots n step penalty value",
         n=N, step=1, options=optimizer("sgd", 0.1), slots=None, penalty=Penalty(l1=0.1), value=np.zeros(1)),
    Call("initialize", {"out": (N,)}, "kind a b seed stream n out", n=N, kind=0, a=-1.0, b=1.0, seed=1, stream=2),
]  # fmt: skip
OPTIONAL = {"b", "z", "dx", "db", "sample_weight", "gradient", "penalty", "options", "slots"}
MAY_BE_NULL = {("update", "value")} | {(c.name, k) for c in CALLS for k in OPTIONAL} - {
    ("loss", "options"),
    ("update", "options"),
    ("activation_backward", "dx"),
}
SIZES = {"batch", "inputs", "outputs", "rows", "cols", "n"}
BY_NAME = {c.name: c for c in CALLS}
each_call = pytest.mark.parametrize("c", CALLS, ids=lambda c: c.name)


def refused(c: Call, dtype: str, words: str, **changes: Any) -> None:
    """The call with these changes is refused with these words, and every array is as it was."""
    arguments = c.arguments(dtype) | changes
    arrays = {k: a for k, a in arguments.items() if isinstance(a, np.ndarray)}
    before = {k: a.copy() for k, a in arrays.items()}
    assert c.status(dtype, arguments) == INVALID_ARGUMENT, f"{c.name}({changes})"
    assert words in error(), f"{c.name}({changes}): {error()}"
    for k, a in arrays.items():
        np.testing.assert_array_equal(a, before[k], f"{c.name}({changes}) changed {k}")


@each_call
def test_the_call_itself_works(c: Call, dtype: str) -> None:
    arguments = c.arguments(dtype)
    assert c.status(dtype, arguments) == OK, error()


@each_call
def test_null(c: Call, dtype: str) -> None:
    pointers = [k for k, v in c.arguments(dtype).items() if not isinstance(v, int | float)]
    for k in pointers:
        if (c.name, k) in MAY_BE_NULL:
            assert c.status(dtype, c.arguments(dtype) | {k: None}) == OK, f"{c.name} {k}: {error()}"
        else:
            name = {"options": "loss" if c.name == "loss" else "optimizer"}.get(k, k)
            refused(c, dtype, f"{name} must not be NULL", **{k: None})


@each_call
def test_sizes(c: Call, dtype: str) -> None:
    for k in SIZES & set(c.order):
        refused(c, dtype, f"{k} must be >= ", **{k: -1})
        refused(c, dtype, "is too large", **{k: 2**62})


@each_call
def test_no_elements(c: Call, dtype: str) -> None:
    """Nothing to do is done, and needs no memory."""
    for k in (SIZES & set(c.order)) - ({"outputs"} if c.name == "loss" else set()):
        arguments = c.arguments(dtype) | {k: 0}
        untouched = {a: v.copy() for a, v in arguments.items() if isinstance(v, np.ndarray)}
        assert c.status(dtype, arguments) == OK, f"{c.name} {k}=0: {error()}"
        if k in ("n", "batch", "rows"):
            for a in set(untouched) & {"x", "w", "g", "y_true", "y_pred", "dy"}:
                np.testing.assert_array_equal(arguments[a], untouched[a])
    if "n" in c.order:
        arguments = {k: None if k in c.shapes else v for k, v in c.arguments(dtype).items()} | {"n": 0}
        assert c.status(dtype, arguments) == OK, error()


@each_call
def test_misaligned(c: Call, dtype: str) -> None:
    for k, shape in c.shapes.items():
        size = np.dtype(dtype).itemsize
        crooked = np.zeros(int(np.prod(shape)) * size + size, np.uint8)[1 : -size + 1].view()
        refused(c, dtype, f"{k} must be aligned to {size} bytes", **{k: crooked})


def test_misaligned_numbers_and_structs(dtype: str) -> None:
    for name, k in [("loss", "mean"), ("elastic_net", "value"), ("update", "value"), ("update", "penalty")]:
        refused(BY_NAME[name], dtype, f"{k} must be aligned to 8 bytes", **{k: np.zeros(40, np.uint8)[1:]})


@each_call
def test_rows_that_overlap(c: Call, dtype: str) -> None:
    for k in c.order:
        if k.endswith("_rs") and k not in ("x_rs", "w_rs") and c.values[k] > 1:
            refused(c, dtype, f"{k} must be at least the ", **{k: 1})


def test_outputs_that_overlap_inputs(dtype: str) -> None:
    for name, output, array in [
        ("dense_forward", "y", "x"), ("dense_forward", "z", "y"), ("dense_backward", "dw", "w"),
        ("dense_backward", "dx", "x"), ("dense_backward", "db", "dy"), ("loss", "gradient", "y_pred"),
        ("activation_backward", "dx", "x"), ("activation_backward", "dx", "dy"),
        ("loss", "per_row", "sample_weight"), ("update", "w", "g"),
    ]:  # fmt: skip
        c = BY_NAME[name]
        arguments = c.arguments(dtype)
        big = np.full(64, 0.5, dtype)
        refused(c, dtype, "must not overlap", **{output: big, array: big[1:]})
        assert c.status(dtype, arguments) == OK
    for name, x in (("prox", "w"), ("dropout", "x"), ("elastic_net_gradient", "w")):  # the same array may be
        shared = np.full(N + 1, 0.5, dtype)
        assert BY_NAME[name].status(dtype, BY_NAME[name].arguments(dtype) | {x: shared, "out": shared}) == OK
        refused(BY_NAME[name], dtype, "must not overlap", **{x: shared, "out": shared[1:]})
    row = np.array([-1.0, 2.0, -3.0, 4.0], dtype)  # which has no stride that could differ
    of_row = {"x": row, "y": row, "rows": 1, "x_rs": 4, "y_rs": 0}
    c = BY_NAME["activation_forward"]
    assert c.status(dtype, c.arguments(dtype) | of_row) == OK
    assert row.tolist() == [0.0, 2.0, 0.0, 4.0]


def test_numbers_out_of_range(dtype: str) -> None:
    nan, inf = float("nan"), float("inf")
    for name, words, changes in [
        ("prox", "l1 must be finite and >= 0, got -1", {"l1": -1.0}),
        ("prox", "l2 must be finite and >= 0, got nan", {"l2": nan}),
        ("prox", "step must be finite and >= 0, got inf", {"step": inf}),
        ("elastic_net", "l1 must be finite and >= 0, got inf", {"l1": inf}),
        ("elastic_net_gradient", "l2 must be finite and >= 0, got -2", {"l2": -2.0}),
        ("dropout", "rate must be in [0, 1], got 1.5", {"rate": 1.5}),
        ("dropout", "rate must be in [0, 1], got nan", {"rate": nan}),
        ("activation_forward", "activation must be from 0 to 11, got 12", {"activation": 12}),
        ("activation_forward", "alpha must be finite and >= 0, got nan", {"activation": 2, "alpha": nan}),
        ("dense_forward", "options.activation must be from 0 to 11, got -1", {"options": made(Dense, activation=-1)}),
        ("dense_forward", "softmax mixes a row", {"options": made(Dense, activation=11)}),
        ("dense_forward", "rate must be in [0, 1], got 2", {"options": made(Dense, rate=2.0)}),
        ("dense_backward", "with dy taken through softmax before", {"options": made(Dense, activation=11)}),
        ("activation_backward", "activation must be from 0 to 11, got 12", {"activation": 12}),
        ("activation_backward", "alpha must be finite and >= 0, got -1", {"activation": 3, "alpha": -1.0}),
        ("dense_backward", "z (x @ w + b) is needed", {"options": made(Dense, activation=5), "z": None}),
        ("loss", "loss.kind must be from 0 to 10, got 11", {"options": made(type(loss("huber")), kind=11, delta=1.0)}),
        ("loss", "loss.from_logits must be 0 or 1, got 5", {"options": loss("huber", from_logits=5)}),
        ("loss", "delta must be finite and > 0, got 0", {"options": loss("huber", delta=0.0)}),
        ("loss", "label_smoothing must be 0 for sparse_categorical_crossentropy, got 0.1",
         {"options": loss("sparse_categorical_crossentropy", label_smoothing=0.1)}),
        ("update", "optimizer.kind must be from 0 to 3, got 4", {"options": made(Optimizer, kind=4)}),
        ("update", "learning_rate must be finite and >= 0, got nan", {"options": optimizer("sgd", nan)}),
        ("update", "beta_1 must be in [0, 1), got 1", {"options": optimizer("adam", 0.1, beta_1=1.0), "slots": SLOTS}),
        ("update", "step must be >= 1, got 0", {"step": 0}),
        ("update", "slots must not be NULL", {"options": optimizer("adam", 0.1)}),
        ("update", "momentum must be in [0, 1), got 1.5", {"options": optimizer("sgd", 0.1, momentum=1.5)}),
        ("update", "slots[0] must not be NULL", {"options": optimizer("adam", 0.1), "slots": np.zeros(2, np.uint64)}),
        ("update", "penalty.subgradient must be 0 or 1, got 2", {"penalty": Penalty(subgradient=2)}),
        ("update", "l1 must be finite and >= 0, got -1", {"penalty": Penalty(l1=-1.0)}),
        ("initialize", "kind must be from 0 to 2, got 3", {"kind": 3}),
        ("initialize", "b, the standard deviation, must be >= 0, got -1", {"kind": 1, "b": -1.0}),
        ("initialize", "b must be >= a, got -1 and 0", {"kind": 0, "a": 0.0, "b": -1.0}),
        ("initialize", "a and b must give numbers of out's type", {"kind": 0, "a": -1e308, "b": 1.7e308}),
        ("initialize", "a and b must give numbers of out's type", {"kind": 1, "a": 0.0, "b": 1e308}),
    ]:  # fmt: skip
        refused(BY_NAME[name], dtype, words, **changes)


def test_numbers_that_a_kind_does_not_use() -> None:
    c, nan = BY_NAME["loss"], float("nan")
    squares = made(type(loss("huber")), kind=0, delta=0.0)  # all zeros but for the size
    assert c.status("float32", c.arguments("float32") | {"options": squares}) == OK, error()
    c, relu = BY_NAME["dense_forward"], made(Dense, activation=1, alpha=nan)
    assert c.status("float32", c.arguments("float32") | {"options": relu}) == OK, error()


@pytest.mark.parametrize(
    "size", [lambda _: 0, lambda _: 8, lambda n: n - 8, lambda n: n + 4, lambda _: 2**40],
    ids=["none", "itself", "less", "misaligned", "huge"],
)  # fmt: skip
def test_struct_size(dtype: str, size: Callable[[int], int]) -> None:
    dense, squares, sgd = made(Dense), loss("mean_squared_error"), optimizer("sgd", 0.1)
    for name, spec, word in (
        ("dense_forward", dense, "options"),
        ("loss", squares, "loss"),
        ("update", sgd, "optimizer"),
    ):
        spec.struct_size = size(ctypes.sizeof(spec))
        refused(BY_NAME[name], dtype, f"{word}.struct_size must be the ", options=spec)


def test_no_slots_of_wrong_options() -> None:
    out_of_range = (optimizer("sgd", float("nan")), optimizer("adam", 0.1, beta_1=1.0))
    for options in (None, made(Optimizer, kind=7), *out_of_range):
        assert lib.fr_n_slots(argument(options)) == -1


def test_masks() -> None:
    mask = np.full(4, 9, np.uint8)
    for arguments, words in [
        ((-1, 0.5, 0, 0, 0, 0, mask), "n must be >= 0, got -1"),
        ((4, 0.5, 0, 0, 0, 2, mask), "packed must be 0 or 1, got 2"),
        ((4, 0.5, 0, 0, 0, 0, None), "mask must not be NULL"),
        ((4, -0.5, 0, 0, 0, 0, mask), "rate must be in [0, 1], got -0.5"),
    ]:
        assert call("dropout_mask", *arguments) == INVALID_ARGUMENT
        assert words in error()
    np.testing.assert_array_equal(mask, 9)
    assert call("dropout_mask", 0, 0.5, 0, 0, 0, 0, None) == OK
