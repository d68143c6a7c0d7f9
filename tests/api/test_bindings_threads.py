"""Threads and signals at the gate of the native module: a session's threads take turns, Ctrl-C within a moment.

It must not check what training computes: tests/session does. It is over 250 lines because a test sets up its threads.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binding_cases import LOSS, data
from checks import running
from fastreg import _core, ops


def long_job() -> tuple[_core.Session, np.ndarray, np.ndarray]:
    """A session in an epoch of many seconds, and its data."""
    layers = [{"kind": "dense", "units": 512}, {"kind": "dense", "units": 512}, {"kind": "dense", "units": 2}]
    busy = _core.Session(layers, 3, "float32", 0)
    busy.compile(LOSS, {"kind": "sgd", "learning_rate": 1e-6}, [])
    x, y = data(2_000_000)
    busy.begin_epoch(x, y, None, 8, False)
    return busy, x, y


def test_threads_take_turns() -> None:
    """A call beside a training gets the next turn, between two calls of it."""
    model, x, y = long_job()
    turns, ended = [0], threading.Event()

    def train() -> None:
        while not ended.is_set():
            model.run_steps(200)
            turns[0] += 1

    thread = threading.Thread(target=train)
    thread.start()
    calls: dict[str, Any] = {
        "step": lambda: model.step,
        "learning_rate": lambda: setattr(model, "learning_rate", 0.1),
        "set_learning_rates": lambda: model.set_learning_rates([0.1]),
        "get_weights": model.get_weights,
        "predict": lambda: model.predict(x[:1], np.empty((1, 2), "f4")),
        "begin_epoch": lambda: model.begin_epoch(x, y, None, 8, False),
    }
    waited = {}
    try:
        for name, call in calls.items():
            before = turns[0]
            call()
            waited[name] = turns[0] - before
    finally:
        ended.set()
        thread.join()
    # One or two; more where the system stops this thread just before it calls. Out of turn it might wait for ever.
    assert max(waited.values()) <= 10, f"turns of the training that each call waited for: {waited}"
    assert turns[0] > 0


def busy_session() -> tuple[_core.Session, threading.Thread]:
    """A session that another thread trains for some seconds in one call."""
    model, _, _ = long_job()
    thread = threading.Thread(target=lambda: model.run_steps(10_000))
    thread.start()
    time.sleep(0.1)
    return model, thread


def test_a_signal_ends_a_wait() -> None:
    model, thread = busy_session()
    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        timer.start()
        while True:  # the training may begin late
            model.get_weights()
    assert thread.is_alive(), "the wait ended with the other's call, not with the signal"
    timer.join()
    assert model.step == 10_000  # waits for its turn
    thread.join()


def test_a_handler_cannot_use_the_session_that_it_interrupts() -> None:
    model, _, _ = long_job()

    def handler(number: int, frame: object) -> None:
        model.get_weights()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        with pytest.raises(RuntimeError, match="by this very thread"):
            model.run_steps()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(model.get_weights()) == 6


def test_a_fork_does_not_wait_for_a_thread_that_it_has_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "the session was in use when this process was forked; make another one\n", (
        done.stderr
    )
    assert done.returncode == 0


FORK = """
import os, threading, time
import numpy as np
from fastreg import _core
model = _core.Session([{"kind": "dense", "units": units} for units in (512, 512, 1)], 3, "float32", 0)
model.compile({"kind": "mean_squared_error"}, {"kind": "sgd", "learning_rate": 1e-6}, [])
x, y = np.ones((2_000_000, 3), np.float32), np.ones((2_000_000, 1), np.float32)
model.begin_epoch(x, y, None, 8, False)
begins = threading.Event()
threading.Thread(target=lambda: begins.set() or model.run_steps(), daemon=True).start()
begins.wait()
time.sleep(0.2)
child = os.fork()
if child == 0:
    try:
        model.get_weights()
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
"""


def interrupt(call: Any) -> None:
    """Send SIGINT during `call`, which ends by it within a moment."""
    sent = []

    def send() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.05, send)
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            timer.start()
            call()
        waited = time.monotonic() - sent[0]
    finally:
        timer.cancel()
        timer.join()
    assert waited < 1.0, f"{waited:.3f} s; 0.1 s is promised, the rest is for a busy machine"


@pytest.mark.parametrize("call", ["run_steps", "evaluate", "predict"])
def test_a_signal_ends_a_call_and_leaves_a_usable_session(call: str) -> None:
    model, x, y = long_job()
    calls: dict[str, Any] = {
        "run_steps": model.run_steps,
        "evaluate": lambda: model.evaluate(x, y, None),
        "predict": lambda: model.predict(x, np.empty((len(x), 2), "f4")),
    }
    interrupt(calls[call])
    steps = model.step
    model.begin_epoch(x, y, None, 8, False)
    model.run_steps(3)
    assert model.step == steps + 3
    assert np.isfinite(model.get_weights()[0]).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_signal_ends_initial_weights_and_permutations(threads: int) -> None:
    """On the slowest table, where each takes seconds."""
    with running("scalar", threads):
        interrupt(lambda: _core.initialize("truncated_normal", (100_000_000,), 0.0, 1.0, 0, 0, "float32"))
        interrupt(lambda: _core.permutation(100_000_000, 0, 0))


def test_a_signal_in_a_shuffle_leaves_the_epoch_to_begin_again() -> None:
    model = _core.Session([{"kind": "dense", "units": 1}], 1, "float32", 0)
    model.compile(LOSS, {"kind": "sgd", "learning_rate": 0.0}, [])
    x = np.zeros((10_000_000, 1), "f4")
    begun: list[int] = []

    def begin() -> None:
        while True:
            model.begin_epoch(x, x, None, 8, True)
            begun.append(model.epoch)

    interrupt(begin)
    assert model.epoch == len(begun)
    with pytest.raises(RuntimeError, match="begin_epoch"):
        model.run_steps(1)
    model.begin_epoch(x, x, None, 8, True)
    assert model.epoch == len(begun) + 1
    assert model.run_steps(1)["steps"] == 1


class Enough(Exception):
    """What a user's signal handler raises."""


def test_a_handler_may_raise_what_it_likes() -> None:
    model, _, _ = long_job()

    def handler(number: int, frame: object) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(Enough):  # noqa: PT012
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            model.run_steps()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_handler_that_returns_interrupts_nothing() -> None:
    model, _, _ = long_job()
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        deadline = time.monotonic() + 30
        steps = 0
        while not seen and time.monotonic() < deadline:
            steps = model.run_steps(100)["steps"]
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == [signal.SIGALRM]
    assert steps % 100 == 0
    assert steps > 0


def test_other_threads_are_not_interrupted() -> None:
    """Python handles signals on the main thread; a call on another one runs to its end."""
    model, _, _ = long_job()
    totals: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: totals.append(model.run_steps(1000)))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        thread.start()
        os.kill(os.getpid(), signal.SIGINT)
        thread.join()
    thread.join()
    assert totals[0]["steps"] == 1000


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are chosen on Linux only")
def test_threads_that_wake_up_may_use_the_cores_they_might_before() -> None:
    """A thread that wakes on a busy core leaves it for a moment by narrowing its own set of cores."""
    cores, threads = os.sched_getaffinity(0), _core.get_num_threads()
    x, w = np.ones((256, 256), "f4"), np.ones((256, 256), "f4")
    _core.set_num_threads(1)
    others = set(os.listdir("/proc/self/task"))
    _core.set_num_threads(3)
    try:
        workers = set(os.listdir("/proc/self/task")) - others
        assert len(workers) == 2
        for _ in range(5):
            time.sleep(0.05)  # they fall asleep
            assert ops.dense_forward(x, w)[0, 0] == 256
        time.sleep(0.05)
        assert all(os.sched_getaffinity(int(worker)) == cores for worker in workers)
    finally:
        _core.set_num_threads(threads)


@pytest.mark.skipif(sys.platform != "linux", reason="masks of threads are read from /proc")
def test_workers_leave_signals_to_the_threads_of_the_program() -> None:
    threads = _core.get_num_threads()
    _core.set_num_threads(1)
    others = set(os.listdir("/proc/self/task"))
    _core.set_num_threads(3)
    workers = set(os.listdir("/proc/self/task")) - others
    blocked = [signals_blocked(worker) for worker in workers]
    _core.set_num_threads(threads)
    assert len(blocked) == 2
    for mask in blocked:
        assert {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1} <= mask
        assert not {signal.SIGSEGV, signal.SIGFPE, signal.SIGPROF} & mask


def signals_blocked(thread: str) -> set[int]:
    """By a thread of this process, once it has begun: before, all are."""
    deadline = time.monotonic() + 30
    while True:
        status = Path(f"/proc/self/task/{thread}/status").read_text()
        mask = int(status.split("SigBlk:")[1].split()[0], 16)
        blocked = {number for number in signal.Signals if mask >> (number - 1) & 1}
        if signal.SIGSEGV not in blocked or time.monotonic() > deadline:
            return blocked
        time.sleep(0.01)
