"""Threads that share a model: none of them notices the others, and a fit ends in the same bits.

It must not test how a thread waits: test_bindings_threads.py does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastreg import Dense, Dropout, Sequential, _core

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)


def fitted(epochs: int, beside: Callable[[Sequential], object] | None = None) -> list[np.ndarray]:
    net = Sequential([Dense(16, "relu"), Dropout(0.5), Dense(1, "sigmoid")], seed=0)
    net.compile("adam", "binary_crossentropy")
    net.build((None, 3))
    ended = threading.Event()

    def call() -> None:
        while beside is not None and not ended.is_set():
            beside(net)

    with ThreadPoolExecutor(3) as others:
        calls = [others.submit(call) for _ in range(3)]
        try:
            net.fit(X, Y, epochs=epochs, batch_size=8, verbose=0)
        finally:
            ended.set()
        for done in calls:
            done.result()  # raises what the call raised
    return net.get_weights()


@pytest.mark.parametrize("method", ["predict", "evaluate", "get_weights", "summary"])
def test_a_fit_does_not_notice_what_threads_ask_beside_it(method: str) -> None:
    ask: dict[str, Callable[[Sequential], object]] = {
        "predict": lambda net: net.predict(X, verbose=0),
        "evaluate": lambda net: net.evaluate(X, Y, verbose=0),
        "get_weights": lambda net: net.get_weights(),
        "summary": lambda net: net.summary(print_fn=str),
    }
    for alone, beside in zip(fitted(100), fitted(100, ask[method]), strict=True):
        np.testing.assert_array_equal(alone, beside)


def test_threads_that_predict_make_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = Sequential._new_session

    def slowly(net: Sequential, input_units: int) -> _core.Session:
        made.append(input_units)
        time.sleep(0.05)
        return make(net, input_units)

    monkeypatch.setattr(Sequential, "_new_session", slowly)
    net = Sequential([Dense(1, "sigmoid")], seed=0)
    with ThreadPoolExecutor(4) as threads:
        outputs = list(threads.map(lambda _: net.predict(X, verbose=0), range(4)))
    assert made == [3]
    net.set_weights([np.zeros((3, 1)), np.zeros(1)])
    assert not net.layers[0].kernel.any()
    for other in outputs:
        np.testing.assert_array_equal(outputs[0], other)
