"""Sessions of the C interface: the same training as fastreg.Sequential, bit for bit, and handles that keep their word.

It must not repeat the tests of a training step: tests/session holds the core to the oracle. It is over 250 lines
because a handle has many rules.
"""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastreg
from c_library import (
    CANCELLED,
    INVALID_ARGUMENT,
    OK,
    RUNTIME,
    SUFFIX,
    TYPE_MISMATCH,
    Constraint,
    Layer,
    Penalty,
    Totals,
    call,
    check,
    enum,
    error,
    layer,
    layers,
    lib,
    loss,
    made,
    optimizer,
)  # fmt: skip
from fastreg import constraints, regularizers

ROWS, INPUTS, SEED = 90, 6, 21
POLL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class Session:
    """A handle with the calls that tests repeat."""

    def __init__(
        self, dtype: str = "float32", seed: int = SEED, stack: Any = None, device: str | None = None
    ) -> None:
        self.handle, self.dtype, self.suffix = ctypes.c_void_p(), dtype, SUFFIX[dtype]
        stack = network() if stack is None else stack
        what = (stack, len(stack), INPUTS, int(dtype == "float64"), seed, ctypes.byref(self.handle))
        if device is None:
            check("session_create", *what)
        else:
            exact = enum("fr_precision")["FR_EXACT"]
            check("session_create_on", enum("fr_device")[f"FR_{device.upper()}"], exact, *what)

    def compile(self, name: str = "mean_squared_error", **values: Any) -> Session:
        check("session_compile", self.handle, loss(name), optimizer("adam", 0.01, **values))
        return self

    def epoch(self, x: np.ndarray, y: np.ndarray, batch_size: int = 16, shuffle: bool = True) -> Any:
        totals = made(Totals)
        check(
            f"session_train_epoch_{self.suffix}", self.handle, x, y, None, len(x), batch_size, shuffle, totals
        )
        return totals

    def predict(self, x: np.ndarray) -> np.ndarray:
        out = np.full((len(x), 1), np.nan, self.dtype)
        check(f"session_predict_{self.suffix}", self.handle, x, len(x), out)
        return out

    def arrays(self, slot: int = -1) -> list[np.ndarray]:
        """Every parameter, or that slot of every parameter."""
        count, found = ctypes.c_int64(), []
        check("session_n_parameters", self.handle, ctypes.byref(count))
        for p in range(count.value):
            rows, cols = ctypes.c_int64(), ctypes.c_int64()
            check("session_parameter_shape", self.handle, p, ctypes.byref(rows), ctypes.byref(cols))
            values = np.full((rows.value, cols.value), np.nan, self.dtype)
            check(f"session_get_{self.suffix}", self.handle, p, slot, values.size, values)
            found.append(values)
        return found

    def load(self, arrays: list[np.ndarray], slot: int = -1) -> None:
        for p, values in enumerate(arrays):
            check(f"session_set_{self.suffix}", self.handle, p, slot, values.size, values)

    def position(self) -> tuple[int, int]:
        step, epoch = ctypes.c_uint64(), ctypes.c_uint64()
        check("session_get_position", self.handle, ctypes.byref(step), ctypes.byref(epoch))
        return step.value, epoch.value

    def __del__(self) -> None:
        lib.fr_session_destroy(self.handle)


def network() -> ctypes.Array:
    relu = enum("fr_activation")["FR_RELU"]
    return layers(
        layer("dense", units=9, activation=relu, kernel_penalty=Penalty(l1=0.01, l2=0.001),
              kernel_constraint=Constraint(kind=enum("fr_constraint_kind")["FR_MAX_NORM"], axis=0, value=1.5)),
        layer("dropout", rate=0.3),
        layer("dense", units=1, no_bias=1, kernel_penalty=Penalty(l1=0.002, subgradient=1)),
    )  # fmt: skip


def python_model(dtype: str) -> fastreg.Sequential:
    model = fastreg.Sequential(
        [
            fastreg.Dense(9, "relu", kernel_regularizer=regularizers.L1L2(0.01, 0.001),
                          kernel_constraint=constraints.MaxNorm(1.5, axis=0)),
            fastreg.Dropout(0.3),
            fastreg.Dense(1, use_bias=False, kernel_regularizer=regularizers.L1(0.002, method="subgradient")),
        ],
        seed=SEED,
        dtype=dtype,
    )  # fmt: skip
    model.compile(optimizer=fastreg.Adam(0.01), loss="mean_squared_error")
    return model


@pytest.fixture
def data(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((ROWS, INPUTS)).astype(dtype)
    return x, (x[:, :1] - 0.5 * x[:, 1:2]).astype(dtype)


def test_the_training_of_sequential_bit_for_bit(dtype: str, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    ours, model = Session(dtype).compile(), python_model(dtype)
    model.build((None, INPUTS))
    for a, b in zip(ours.arrays(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a.reshape(b.shape), b, "initial weights")
    history = model.fit(x, y, batch_size=16, epochs=3, verbose=0).history
    for epoch in range(3):
        totals = ours.epoch(x, y)
        assert totals.loss == history["loss"][epoch]
        assert totals.data_loss == history["data_loss"][epoch]
        assert totals.penalty == history["penalty"][epoch]
        assert (totals.rows, totals.steps, totals.nonfinite) == (ROWS, 6, 0)
    for a, b in zip(ours.arrays(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a.reshape(b.shape), b)
    np.testing.assert_array_equal(ours.predict(x), model.predict(x, verbose=0))
    totals = made(Totals)
    check(f"session_evaluate_{ours.suffix}", ours.handle, x, y, None, ROWS, totals)
    assert totals.loss == model.evaluate(x, y, verbose=0)


def test_weights_slots_and_position_continue_a_training(
    dtype: str, data: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = data
    whole = Session(dtype).compile()
    for _ in range(4):
        whole.epoch(x, y)
    first = Session(dtype).compile()
    for _ in range(2):
        first.epoch(x, y)
    assert first.position() == (12, 2)
    second = Session(dtype).compile()
    n_slots = ctypes.c_int64()
    check("session_n_slots", first.handle, ctypes.byref(n_slots))
    assert n_slots.value == 2
    for slot in (-1, 0, 1):
        second.load(first.arrays(slot), slot)
    check("session_set_position", second.handle, *first.position())
    for _ in range(2):
        second.epoch(x, y)
    for a, b in zip(second.arrays(), whole.arrays(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_zeros_penalties_and_learning_rate(data: tuple[np.ndarray, np.ndarray], dtype: str) -> None:
    x, y = data
    session, zeros = Session(dtype).compile(), ctypes.c_int64(-1)
    check("session_set_penalty", session.handle, 0, Penalty(l1=5.0))
    for _ in range(3):
        session.epoch(x, y)
    check("session_count_zeros", session.handle, 0, ctypes.byref(zeros))
    assert zeros.value == np.count_nonzero(session.arrays()[0] == 0) == INPUTS * 9
    before = session.arrays()
    check("session_set_learning_rate", session.handle, 0.0)
    session.epoch(x, y)
    for a, b in zip(session.arrays(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    check("session_set_learning_rates", session.handle, np.zeros(2), 2)
    check("session_set_position", session.handle, 100, 5)  # which keeps the rates of the coming steps
    session.epoch(x, y)
    for a, b in zip(session.arrays(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_parameters(data: tuple[np.ndarray, np.ndarray], dtype: str) -> None:
    session = Session(dtype).compile()
    check("session_set_penalty", session.handle, 0, Penalty(l1=5.0))
    before, penalties = session.arrays(), []
    for trainable in (0, 1):
        check("session_set_trainable", session.handle, 0, trainable)
        penalties.append(session.epoch(*data).penalty)
        same = [bool((a == b).all()) for a, b in zip(session.arrays(), before, strict=True)]
        assert same == [not trainable, False, False]
    assert penalties[0] < penalties[1] / 10


def test_class_indices(dtype: str) -> None:
    softmax = enum("fr_activation")["FR_SOFTMAX"]
    session = Session(dtype, stack=layers(layer("dense", units=3, activation=softmax)))
    check("session_compile", session.handle, loss("sparse_categorical_crossentropy"), optimizer("adam", 0.05))
    x = np.random.default_rng(1).standard_normal((60, INPUTS)).astype(dtype)
    y = x[:, :3].argmax(axis=1).astype(dtype)
    first = session.epoch(x, y).loss
    for _ in range(30):
        last = session.epoch(x, y).loss
    assert last < 0.5 * first
    y[7] = 3
    assert (
        call(f"session_train_epoch_{session.suffix}", session.handle, x, y, None, 60, 16, 0, None)
        == INVALID_ARGUMENT
    )
    assert "class indices from 0 to 2, got 3 in row 7" in error()


@pytest.fixture
def large() -> tuple[Session, np.ndarray, np.ndarray]:
    """A session with an epoch of seconds, also on a machine of many cores, in steps of milliseconds or less."""
    stack = layers(*(layer("dense", units=512) for _ in range(3)), layer("dense", units=1))
    x = np.ones((200_000, INPUTS), np.float32)
    return Session(stack=stack).compile(), x, np.ones((200_000, 1), np.float32)


def test_a_call_can_be_cancelled(large: tuple[Session, np.ndarray, np.ndarray]) -> None:
    session, x, y = large
    asked: list[int] = []
    poll = POLL(lambda argument: asked.append(argument) or int(len(asked) > 9))
    check("session_set_cancel", session.handle, poll, ctypes.c_void_p(77))
    totals = made(Totals, loss=-7.0)
    assert call("session_train_epoch_f32", session.handle, x, y, None, len(x), 32, 0, totals) == CANCELLED
    assert (totals.loss, totals.rows) == (-7.0, 0)
    assert asked == [77] * 10
    assert 0 < session.position()[0] < len(x) / 32
    check("session_set_cancel", session.handle, None, None)
    np.testing.assert_array_equal(np.isfinite(session.predict(x[:5])), True)


def test_short_calls_are_asked_about_together(data: tuple[np.ndarray, np.ndarray]) -> None:
    """A call that takes less than 20 ms is asked about where that long has passed since the last poll."""
    session, asked = Session("float32").compile(), []
    poll = POLL(lambda argument: asked.append(argument) or 1)
    check("session_set_cancel", session.handle, poll, ctypes.c_void_p(77))
    deadline = time.monotonic() + 60
    epoch = ("session_train_epoch_f32", session.handle, *data, None, len(data[0]), 10, 0, None)
    while (status := call(*epoch)) == OK and time.monotonic() < deadline:
        pass
    assert (status, asked) == (CANCELLED, [77])


def test_a_second_call_is_refused(large: tuple[Session, np.ndarray, np.ndarray]) -> None:
    """While one thread trains, another asks; then the first is told to stop."""
    session, x, y = large
    started, stop, statuses = threading.Event(), threading.Event(), []

    def poll(_: Any) -> int:
        started.set()
        return int(stop.is_set())

    keep = POLL(poll)
    check("session_set_cancel", session.handle, keep, None)
    train = ("session_train_epoch_f32", session.handle, x, y, None, len(x), 32, 0, None)
    thread = threading.Thread(target=lambda: statuses.append(call(*train)))
    thread.start()
    try:
        assert started.wait(60)
        second = call("session_predict_f32", session.handle, x, 5, np.zeros((5, 1), np.float32))
        message = error()
    finally:
        stop.set()
        thread.join()
    assert (second, message) == (RUNTIME, "session is in use by another call")
    assert statuses == [CANCELLED]


def test_what_is_wrong_is_said(dtype: str, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    session = Session(dtype)
    handle, suffix = session.handle, session.suffix
    assert call(f"session_train_epoch_{suffix}", handle, x, y, None, ROWS, 16, 0, None) == RUNTIME
    assert "not compiled" in error()
    session.compile()
    before = session.arrays()
    other = {"f32": "f64", "f64": "f32"}[suffix]
    assert call(f"session_predict_{other}", handle, x, ROWS, x) == TYPE_MISMATCH
    size = before[0].size
    crooked = ctypes.c_void_p(before[0].ctypes.data + 1)
    smoothed = loss("sparse_categorical_crossentropy", label_smoothing=0.2)
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((f"session_train_epoch_{suffix}", None, x, y, None, ROWS, 16, 0, None), "session must not be NULL"),
        ((f"session_train_epoch_{suffix}", handle, None, y, None, ROWS, 16, 0, None), "x must not be NULL"),
        ((f"session_train_epoch_{suffix}", handle, x, None, None, ROWS, 16, 0, None), "y must not be NULL"),
        ((f"session_train_epoch_{suffix}", handle, x, y, None, 0, 16, 0, None), "rows must be >= 1, got 0"),
        ((f"session_train_epoch_{suffix}", handle, x, y, None, -5, 16, 0, None), "rows must be >= 1, got -5"),
        ((f"session_train_epoch_{suffix}", handle, x, y, None, 2**61, 16, 0, None), "x is too large"),
        ((f"session_train_epoch_{suffix}", handle, x, y, None, ROWS, 0, 0, None), "batch_size must be >= 1, got 0"),
        ((f"session_train_epoch_{suffix}", handle, x, y, None, ROWS, 16, 2, None), "shuffle must be 0 or 1, got 2"),
        ((f"session_train_epoch_{suffix}", handle, x, y, None, ROWS, 16, 0, Totals()), "totals.struct_size must be"),
        ((f"session_evaluate_{suffix}", handle, x, y, None, ROWS, None), "totals must not be NULL"),
        ((f"session_predict_{suffix}", handle, x, ROWS, None), "out must not be NULL"),
        ((f"session_predict_{suffix}", handle, x, ROWS, x), "out must not overlap x"),
        ((f"session_get_{suffix}", handle, 9, -1, size, before[0]), "parameter must be from 0 to 2, got 9"),
        ((f"session_get_{suffix}", handle, 0, 2, size, before[0]), "slot must be from -1 to 1, got 2"),
        ((f"session_set_{suffix}", handle, 0, -1, size + 1, before[0]), f"n must be the {size} numbers"),
        ((f"session_set_{suffix}", handle, 0, -1, size, None), "values must not be NULL"),
        (("session_set_learning_rate", handle, float("nan")), "learning_rate must be finite and >= 0, got nan"),
        (("session_set_learning_rates", handle, None, 1), "learning_rates"),
        (("session_set_learning_rates", handle, np.zeros(1), 0), "learning_rates must not be empty"),
        (("session_set_learning_rates", handle, np.array([0.1, -1.0]), 2), "learning_rates[1] must be finite"),
        (("session_set_penalty", handle, 0, Penalty(l1=-1.0)), "l1 must be finite and >= 0, got -1"),
        (("session_set_penalty", handle, 0, None), "penalty must not be NULL"),
        (("session_set_trainable", handle, 3, 0), "parameter must be from 0 to 2, got 3"),
        (("session_set_trainable", handle, 0, 2), "trainable must be 0 or 1, got 2"),
        (("session_compile", handle, None, optimizer("adam", 0.1)), "loss must not be NULL"),
        (("session_compile", handle, loss("huber"), optimizer("adam", -1.0)), "learning_rate must be finite"),
        (("session_n_parameters", handle, None), "n must not be NULL"),
        (("session_n_parameters", handle, crooked), "n must be aligned to 8 bytes"),
        (("session_get_position", handle, crooked, crooked), "step must be aligned to 8 bytes"),
        (("session_compile", handle, smoothed, optimizer("adam", 0.1)), "label_smoothing must be 0 for sparse_cat"),
    ]  # fmt: skip
    for arguments, words in cases:
        assert call(*arguments) == INVALID_ARGUMENT, arguments[0]
        assert words in error(), arguments[0]
    for a, b in zip(session.arrays(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert session.position() == (0, 0)
    assert session.epoch(x, y).rows == ROWS


def test_what_makes_no_session() -> None:
    out = ctypes.c_void_p()
    good = layers(layer("dense", units=2))
    short = layers(layer("dense", units=2))
    short[0].struct_size = 8
    uneven = layers(layer("dense", units=2), layer("dense", units=2))
    uneven[1].struct_size += 8
    address = ctypes.byref(out)
    flags = layers(layer("dropout", bias_penalty=Penalty(subgradient=9)))
    norm = layers(layer("dense", units=2, kernel_constraint=Constraint(kind=1, value=-1.0)))
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((None, 1, 3, 0, 1, address), "layers must not be NULL"),
        ((good, 0, 3, 0, 1, address), "n_layers must be >= 1, got 0"),
        ((good, 1, 0, 0, 1, address), "inputs must be from 1 to 2^31, got 0"),
        ((good, 1, 3, 2, 1, address), "dtype must be from 0 to 1, got 2"),
        ((good, 1, 3, 0, 1, None), "session must not be NULL"),
        ((short, 1, 3, 0, 1, address), "layers[0].struct_size must be"),
        ((uneven, 2, 3, 0, 1, address), "layers[1].struct_size must be that of the first"),
        ((layers(layer("dense", units=0)), 1, 3, 0, 1, address), "layer 0 units must be from 1"),
        ((layers(layer("dropout", rate=0.5)), 1, 3, 0, 1, address), "at least one dense layer"),
        ((layers(made(Layer, kind=7)), 1, 3, 0, 1, address), "layers[0].kind must be from 0 to 2, got 7"),
        ((layers(layer("dense", units=2, activation=40)), 1, 3, 0, 1, address), "layers[0].activation must be"),
        ((layers(layer("dense", units=2, no_bias=3)), 1, 3, 0, 1, address), "layers[0].no_bias must be 0 or 1"),
        ((flags, 1, 3, 0, 1, address), "layers[0].bias_penalty.subgradient must be 0 or 1, got 9"),
        ((norm, 1, 3, 0, 1, address), "layer 0 kernel_constraint value must be finite and >= 0, got -1"),
    ]  # fmt: skip
    for arguments, words in cases:
        assert call("session_create", *arguments) == INVALID_ARGUMENT, words
        assert words in error()
        assert out.value is None
    nan = float("nan")
    unused = layers(
        layer("dropout", units=-5, kernel_penalty=Penalty(l1=nan)), layer("dense", units=2, rate=7.0)
    )
    assert len(Session(stack=unused).arrays()) == 2, "what a kind does not use is ignored"
    huge = layers(layer("dense", units=2**31), layer("dense", units=2**31))
    assert call("session_create", huge, 2, 3, 0, 1, address) != OK
    assert "out of memory: the kernel of layer 1" in error()
    lib.fr_session_destroy(None)


def test_where_a_session_cannot_be() -> None:
    out = ctypes.c_void_p()
    what = (layers(layer("dense", units=2)), 1, 3, 0, 1, ctypes.byref(out))
    cases = [
        ((2, 0), "device must be from 0 to 1, got 2"),
        ((1, 3), "precision must be from 0 to 2, got 3"),
        ((0, 1), "precision must be exact on the CPU"),
    ]
    for where, words in cases:
        assert call("session_create_on", *where, *what) == INVALID_ARGUMENT
        assert words in error()
        assert out.value is None
    assert call("cuda_device_count", None) == INVALID_ARGUMENT
    assert "n must not be NULL" in error()


def test_a_session_on_a_device_ends_in_the_same_bits(backend: str, dtype: str) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(ROWS, INPUTS)).astype(dtype), rng.normal(size=(ROWS, 1)).astype(dtype)
    there, here = Session(dtype, device=backend).compile(), Session(dtype).compile()
    for _ in range(2):
        assert there.epoch(x, y).loss == here.epoch(x, y).loss
    for a, b in zip(there.arrays(), here.arrays(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(there.predict(x), here.predict(x))


def test_a_longer_struct_of_a_newer_header(dtype: str) -> None:
    """Zeros beyond what this library knows say nothing and are taken; anything else is refused."""

    class Longer(ctypes.Structure):
        _fields_ = [("layer", Layer), ("news", ctypes.c_double)]

    stack = (Longer * 1)(Longer(layer("dense", units=2), 0.0))
    stack[0].layer.struct_size = ctypes.sizeof(Longer)
    assert len(Session(dtype, stack=stack).arrays()) == 2
    stack[0].news = 1.0
    out = ctypes.c_void_p()
    assert call("session_create", stack, 1, INPUTS, 0, 1, ctypes.byref(out)) == INVALID_ARGUMENT
    assert "layers[0] sets something that version" in error()
