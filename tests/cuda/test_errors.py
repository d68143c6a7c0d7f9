"""What goes wrong on a GPU comes as an exception, and what comes after works: memory, forks, numbers that overflow.
Ctrl-C is in tests/api/test_interrupt.py, for both devices.

It must not look at numbers beyond whether they are finite or equal.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fastreg
from checks import EMULATED, assert_same_bits
from device_cases import CLASSES, X, classifier, needs_gpu, too_much_to_emulate
from fastreg import callbacks, cuda
from fastreg.layers import Dense
from fastreg.models import Sequential

needs_gpu()
FIT = {"batch_size": 32, "epochs": 2, "verbose": 0}
# One activation of 2 ** 20 rows and 2 ** 17 units has half a terabyte; the data and the weights have next to nothing.
MANY, WIDE = 2**20, 2**17


def wide_model() -> Sequential:
    model = Sequential([Dense(WIDE, activation="relu"), Dense(1)], seed=0, device="cuda")
    model.compile("sgd", "mse")
    return model


def test_there_is_a_gpu() -> None:
    assert cuda.is_available()
    assert cuda.device_count() >= 1
    assert cuda.device_name()
    with pytest.raises(ValueError, match="device must be"):
        cuda.device_name(1000)
    assert str(fastreg.show_config(mode="dicts")["cuda"]).startswith("built for ")  # type: ignore[index]


def test_a_batch_beyond_the_memory_is_a_memory_error_and_the_model_goes_on() -> None:
    x = np.random.default_rng(0).normal(size=(MANY, 2)).astype(np.float32)
    y = x[:, 0].copy()
    model, other = wide_model(), wide_model()
    for m in (model, other):
        m.fit(x[:64], y[:64], **FIT)
    before, steps = model.get_weights(), model.optimizer.iterations
    with pytest.raises(MemoryError, match="GPU memory"):
        model.fit(x, y, batch_size=MANY, verbose=0)
    with pytest.raises(MemoryError, match="GPU memory"):
        model.train_on_batch(x, y)
    assert model.optimizer.iterations == steps
    for a, b in zip(model.get_weights(), before, strict=True):
        assert_same_bits(a, b, "weights after the error")
    for m in (model, other):
        m.fit(x[:64], y[:64], initial_epoch=2, **(FIT | {"epochs": 4}))
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert_same_bits(a, b, "a training with an error on the way against one without")


FULL = """
import numpy as np, fastreg
from scipy import sparse
x = sparse.random_array((400_000, 100), density=0.01, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
y = np.zeros(400_000, np.float32)
models = [fastreg.Sequential([fastreg.Dense(1)], seed=0, device="cuda") for _ in range(2)]
for model in models:
    model.compile("adam", "mse")
    model.fit(x[:100], y[:100], batch_size=10, verbose=0)
model, other = models
before = model.get_weights()
try:
    model.fit(x, y, batch_size=100_000, verbose=0)  # whose rows, made dense, are 40 MB
except MemoryError:
    same = all(map(np.array_equal, before, model.get_weights()))
    print("MemoryError", int(model.optimizer.iterations), same)
for each in models:
    each.fit(x[:1000], y[:1000], batch_size=100, shuffle=False, verbose=0)
print(all(map(np.array_equal, model.get_weights(), other.get_weights())), np.isfinite(model.predict(x[:3])).all())
"""


@pytest.mark.skipif(not EMULATED, reason="fills the memory of a GPU")
def test_no_memory_for_a_step_is_a_memory_error_and_no_step() -> None:
    """What a step takes beside the session's memory: it is asked for when the step is enqueued."""
    done = subprocess.run(
        [sys.executable, "-c", FULL],
        capture_output=True, text=True, check=False, env=os.environ | {"FASTREG_EMULATED_MB": "40"},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["MemoryError 10 True", "True True"], done.stderr


FORK = """
import os, sys
import numpy as np
import fastreg
X = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)

def new():
    model = fastreg.Sequential([fastreg.Dense(16, activation="relu"), fastreg.Dense(1)], seed=0, device="cuda")
    model.compile("adam", "mse")
    return model

model = new()
model.fit(X, X[:, 0], epochs=1, verbose=0)
child = os.fork()
if child == 0:
    said = []
    for call in (lambda: model.fit(X, X[:, 0], verbose=0), lambda: model.predict(X), model.get_weights, new):
        try:
            call()
            said.append("no error")
        except RuntimeError as error:
            said.append(str(error))
    os.write(1, "\\n".join(said).encode() + b"\\n")
    on_cpu = fastreg.Sequential([fastreg.Dense(1)], device="auto")
    on_cpu.compile("adam", "mse")
    on_cpu.fit(X, X[:, 0], verbose=0)
    del model
    os._exit(0)
_, status = os.waitpid(child, 0)
model.fit(X, X[:, 0], epochs=2, initial_epoch=1, verbose=0)
print(os.waitstatus_to_exitcode(status), bool(np.isfinite(model.predict(X)).all()))
"""


def test_a_forked_child_is_told_and_the_parent_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORK],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    assert len(said) == 4, said
    for message in said:
        assert "fork" in message, said
        assert "spawn" in message, said
    assert last == "0 True"


def test_a_process_that_ends_with_a_model_ends_quietly() -> None:
    program = (
        "import numpy as np, fastreg\n"
        "m = fastreg.Sequential([fastreg.Dense(1)], device='cuda')\n"
        "m.compile('sgd', 'mse')\n"
        "m.fit(np.ones((8, 2)), np.ones(8), verbose=0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_loss_that_is_not_finite_stops_where_it_does_on_the_cpu() -> None:
    stopped = []
    for device in ("cpu", "cuda"):
        model = classifier(device, fastreg.SGD(1e30))
        history = model.fit(X, CLASSES, callbacks=[callbacks.TerminateOnNaN()], **(FIT | {"epochs": 5}))
        stopped.append((model.optimizer.iterations, len(history.history["loss"])))
    assert stopped[0] == stopped[1]
    assert stopped[0][0] < 5 * 7


def test_wrong_classes_are_refused_before_the_gpu_sees_them() -> None:
    model = classifier("cuda")
    model.fit(X, CLASSES, **FIT)
    before = model.get_weights()
    with pytest.raises(ValueError, match="y"):
        model.fit(X, CLASSES + 1, **FIT)
    for a, b in zip(model.get_weights(), before, strict=True):
        assert_same_bits(a, b, "weights after the error")


@too_much_to_emulate
def test_many_models_come_and_go() -> None:
    """Memory is given back: this would take several times any GPU's."""
    x = np.random.default_rng(0).normal(size=(4096, 1024)).astype(np.float32)
    for _ in range(40):
        model = Sequential(
            [Dense(2**15, activation="relu", kernel_initializer="ones"), Dense(1)],
            seed=0,
            device="cuda",
            precision="fast",
        )
        model.compile("adam", "mse")
        model.build((None, 1024))
        model.train_on_batch(x, x[:, 0])
