"""Ctrl-C during fit, and a fork after it: both leave a model that works.

It must not look at numbers beyond whether they are finite or equal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from checks import EMULATED
from fastreg import Dense, Sequential
from fastreg.callbacks import LambdaCallback

X = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
Y = X[:, 0]


def big_model(device: str) -> Sequential:
    """An epoch of it takes seconds on the CPU, and a thousand of them seconds on a GPU."""
    hidden = [Dense(512, activation="relu"), Dense(512, activation="relu")]
    model = Sequential([*hidden, Dense(1)], seed=0, device=device)
    model.compile("adam", "mse")
    model.build((None, 64))
    return model


INTERRUPT = """
import os, signal, sys, time
time.sleep(0.2)
print(time.time(), flush=True)
os.kill(int(sys.argv[1]), signal.SIGINT)
"""


def interrupt_during(call: Any) -> float:
    """Run `call`, interrupt it after 0.2 s; the seconds from the signal to the exception."""
    seen: list[float] = []

    def on_interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPT, str(os.getpid())],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
        seen.append(time.time())
    finally:
        signal.signal(signal.SIGINT, previous)
        out, _ = child.communicate(timeout=30)
    return seen[0] - float(out)


def is_quick(call: Any, backend: str) -> bool:
    """Whether it ends within the 0.1 s that are promised in one of some tries: a busy machine delays most, and the
    emulator of a GPU takes longer for a step."""
    promised = 1.0 if backend == "cuda" and EMULATED else 0.1
    return any(interrupt_during(call) < promised for _ in range(12))


@pytest.mark.parametrize("batch_size", [32, 20_000], ids=["small batches", "one huge batch"])
@pytest.mark.parametrize("verbose", [0, 1])
def test_ctrl_c_in_fit_is_quick_and_leaves_a_usable_model(
    backend: str, batch_size: int, verbose: int, capfd: pytest.CaptureFixture[str]
) -> None:
    model = big_model(backend)
    before = model.get_weights()
    assert is_quick(lambda: model.fit(X, Y, batch_size=batch_size, epochs=1000, verbose=verbose), backend)
    steps = model.optimizer.iterations
    changed = any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert changed == (steps > 0)  # at the end of a step: no half of one
    assert all(np.isfinite(w).all() for w in model.get_weights())
    history = model.fit(X[:256], Y[:256], epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.optimizer.iterations == steps + 16


def test_ctrl_c_in_evaluate_and_predict(backend: str) -> None:
    model = big_model(backend)
    many = np.tile(X, (10, 1))
    for call in (
        lambda: [model.predict(many, batch_size=32) for _ in range(1000)],
        lambda: [model.evaluate(many, many[:, 0], verbose=0) for _ in range(1000)],
    ):
        assert is_quick(call, backend)
    assert np.isfinite(model.predict(X[:10])).all()


def test_a_callback_that_raises_leaves_a_usable_model(backend: str) -> None:
    def fail(batch: int, logs: Any) -> None:
        if batch == 3:
            raise ZeroDivisionError

    model = big_model(backend)
    with pytest.raises(ZeroDivisionError):
        model.fit(X[:512], Y[:512], verbose=0, callbacks=[LambdaCallback(on_train_batch_end=fail)])
    assert model.optimizer.iterations == 4
    model.fit(X[:512], Y[:512], verbose=0)
    assert model.optimizer.iterations == 20


FORK = """
import os, sys
import numpy as np
import fastreg
fastreg.set_num_threads(4)
X = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
model = fastreg.Sequential([fastreg.Dense(256, activation="relu"), fastreg.Dense(1)], seed=0)
model.compile("adam", "mse")
model.fit(X, X[:, 0], epochs=1, verbose=1)
child = os.fork()
if child == 0:
    model.fit(X, X[:, 0], epochs=2, initial_epoch=1, verbose=0)
    np.save(sys.argv[1], model.get_weights()[0])
    os._exit(0)
model.fit(X, X[:, 0], epochs=2, initial_epoch=1, verbose=0)
_, status = os.waitpid(child, 0)
same = np.array_equal(np.load(sys.argv[1]), model.get_weights()[0])
print(os.waitstatus_to_exitcode(status), same)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_after_a_fit_can_fit(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORK, tmp_path / "w.npy"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "0 True"


FORK_WHILE_A_MODEL_IS_MADE = """
import os, signal, threading
from fastreg import Dense, Input, Sequential, _network, _seeds

def hold():
    with _network._SHARING, _seeds._lock:
        held.set()
        done.wait()

held, done = threading.Event(), threading.Event()
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    Sequential([Input((3,)), Dense(1)]).build()
    os._exit(0)
_, status = os.waitpid(child, 0)
done.set()
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_another_thread_makes_a_model_can_make_one() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK_WHILE_A_MODEL_IS_MADE],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "0"
