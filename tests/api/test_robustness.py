"""Calls that fail change nothing, and hooks, arrays and widths are taken as Keras programs give them.

It must not know how the package is made inside.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import fastreg
from checks import running
from fastreg import Callback, Dense, Dropout, Sequential, _core
from fastreg.callbacks import LambdaCallback

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)


def model() -> Sequential:
    net = Sequential([Dense(1, "sigmoid")], seed=0)
    net.compile("sgd", "binary_crossentropy")
    return net


def test_every_hook_is_called_with_logs() -> None:
    called: list[str] = []

    class Positional(Callback):  # Keras's documentation writes hooks with and without a default for logs
        def on_train_begin(self, logs):
            called.append("train")

        def on_train_batch_begin(self, batch, logs):
            called.append("batch")

        def on_test_begin(self, logs):
            called.append("test")

        def on_test_batch_begin(self, batch, logs):
            called.append("test batch")

        def on_predict_begin(self, logs):
            called.append("predict")

        def on_predict_end(self, logs):
            called.append("predicted")

    net = model()
    hooks = [Positional(), LambdaCallback(on_epoch_begin=lambda epoch, logs: called.append("epoch"))]
    net.fit(X, Y, batch_size=40, verbose=0, callbacks=hooks, validation_data=(X, Y))
    net.predict(X, verbose=0, callbacks=[Positional()])
    assert called == ["train", "epoch", "batch", "test", "test batch", "predict", "predicted"]


def test_a_compile_that_fails_leaves_the_old_one() -> None:
    x = np.random.default_rng(1).random((200_000, 8)).astype(np.float32)
    y = (x[:, 0] > 0.5).astype(np.float32)
    net = Sequential([Dense(64, "relu"), Dense(1, "sigmoid")], seed=0)
    net.compile("adam", "binary_crossentropy")
    net.fit(x[:64], y[:64], verbose=0)
    began = threading.Event()
    begin = LambdaCallback(on_epoch_begin=lambda epoch, logs: began.set())
    thread = threading.Thread(target=lambda: net.fit(x, y, batch_size=2, verbose=0, callbacks=[begin]))
    thread.start()
    began.wait()
    time.sleep(0.05)  # within the one native call of the epoch, of 100,000 steps
    with pytest.raises(RuntimeError, match="compile cannot be called while the model is fitted"):
        net.compile("sgd", "mse", metrics=["mae"])
    thread.join()
    assert type(net.optimizer).__name__ == "Adam"
    assert net.evaluate(x, y, verbose=0) > 0


def test_labels_of_the_validation_data_are_checked_before_training() -> None:
    labels = (np.arange(40) % 3).astype(float)
    bad = labels.copy()
    bad[-1] = np.nan
    net = Sequential([Dense(3, "softmax")], seed=0)
    net.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="y of validation_data holds nan"):
        net.fit(X, labels, verbose=0, allow_nonfinite=True, validation_data=(X, bad))
    assert net.optimizer.iterations == 0


def test_unaligned_arrays_are_copied() -> None:
    shifted = np.frombuffer(b"\0" + Y.tobytes(), np.uint8)[1:].view(np.float32)
    assert not shifted.flags.aligned
    expected = model().fit(X, Y, verbose=0).history["loss"]
    assert model().fit(X, shifted, verbose=0, sample_weight=np.ones(40)).history["loss"] == expected


def test_a_failed_call_does_not_fix_the_width() -> None:
    net = Sequential([Dropout(0.5)], seed=0)
    net.compile("sgd", "mse")
    with pytest.raises(ValueError, match="the model has no weights; add a Dense layer"):
        net.evaluate(X, X, verbose=0)
    net.add(Dense(1))
    assert net.predict(X[:, :2], verbose=0).shape == (40, 1)


def test_the_width_goes_with_the_layer_that_brought_it() -> None:
    net = Sequential([Dense(1, input_shape=(6,))])
    net.pop()
    net.add(Dense(1, input_shape=(5,)))
    assert net.input_shape == (None, 5)


def test_a_layer_beyond_any_memory_is_refused_with_its_size() -> None:
    net = Sequential([Dense(2**31), Dense(2**31)], seed=0)
    with pytest.raises(MemoryError, match="the kernel of layer 1 would have 2147483648 x 2147483648 weights"):
        net.predict(np.ones((1, 1)), verbose=0)
    net.pop()
    with pytest.raises(MemoryError, match="the kernel of layer 0 would have 1024 x 2147483648 weights"):
        net.predict(np.ones((1, 2**10)), verbose=0)


@pytest.mark.parametrize("value", [-1, 2**32, 2**70])
@pytest.mark.parametrize("name", ["step", "stream"])
def test_addresses_beyond_the_counter_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 2\*\*32\), got {value}"):
        fastreg.ops.dropout(np.ones(8), 0.5, 1, **{"step": 0, name: value})


# ---- a signal handler is Python code that runs in the middle of a computation ----------------------------------------
def native(inputs: int, units: int, size: float = 0.01) -> _core.Session:
    session = _core.Session([{"kind": "dense", "units": units}], inputs, "float32", 0)
    session.compile({"kind": "mean_squared_error"}, {"kind": "sgd"}, [])
    draw = np.random.default_rng(7).normal
    session.set_weights([draw(0, size, shape).astype(np.float32) for _, shape, _ in session.parameter_info()])
    return session


@contextmanager
def alarms(handler: Callable[[], object], seconds: float) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_handler_that_predicts_does_not_disturb_a_training() -> None:
    x = np.random.default_rng(1).normal(size=(16384, 512)).astype(np.float32)
    other = native(600, 600, size=1.0)  # numbers that a training would notice
    rows, out = np.ones((256, 600), np.float32), np.empty((256, 600), np.float32)
    handled: list[None] = []
    busy = False

    def handler() -> None:
        nonlocal busy
        if busy:  # on a loaded machine predict lasts until the next alarm, and polls too
            return
        busy = True
        other.predict(rows, out)
        busy = False
        handled.append(None)

    def train() -> list[np.ndarray]:
        session = native(512, 512)
        for _ in range(3):  # native calls of 8 steps, far longer than the 20 ms between two polls
            session.begin_epoch(x, x, None, 2048, False)
            session.run_steps()
        return session.get_weights()

    expected = train()
    with alarms(handler, 0.025):
        got = train()
    assert handled
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_handler_cannot_change_the_threads_under_a_computation() -> None:
    x, out = np.ones((6000, 1000), np.float32), np.empty((6000, 1000), np.float32)
    w = np.ones((1000, 1000), np.float32)

    def compute() -> None:  # with two threads, so that a product is longer than the 20 ms between two polls
        with running(threads=2), alarms(lambda: fastreg.set_num_threads(2), 0.02):
            for _ in range(100):
                _core.dense_forward(x, w, None, "linear", 0.0, 0.0, 0, 0, 0, out, None)

    with pytest.raises(RuntimeError, match="cannot change while this thread computes"):
        compute()


def test_labels_that_change_during_an_epoch_are_checked_again() -> None:
    session = _core.Session([{"kind": "dense", "units": 3, "activation": "softmax"}], 2, "float32", 0)
    session.compile({"kind": "sparse_categorical_crossentropy"}, {"kind": "sgd"}, [])
    x, y = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    session.begin_epoch(x, y, None, 2, False)
    session.run_steps(1)
    y[:] = 1e12
    with pytest.raises(ValueError, match="y must hold class indices from 0 to 2"):
        session.run_steps(1)


def test_a_step_beyond_the_counter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"step must be below 2\^62"):
        native(2, 2).set_position(2**62, 0)
