"""fastreg and the process around it: its end, its subinterpreters, and the library that is closed.

It must not test threads within a call: test_bindings_threads.py does.
"""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


COMPUTE = {
    "fit": "net.fit(x, y, epochs=10**9, batch_size=2, verbose=0)",
    "hooks": "net.fit(x, y, epochs=10**9, batch_size=2, verbose=0, callbacks=[Hook()])",
    "predict": "[net.predict(x) for _ in iter(int, 1)]",
    "ops": "[fastreg.ops.dropout(x, 0.5, 1) for _ in iter(int, 1)]",
}


@pytest.mark.parametrize("work", COMPUTE)
def test_python_ends_while_a_daemon_thread_computes(work: str) -> None:
    done = run(f"""
import threading, time
import numpy as np
import fastreg
from fastreg import Dense, Sequential
class Hook(fastreg.Callback):
    def on_train_batch_end(self, batch, logs=None): pass
x, y = np.ones((20000, 30), np.float32), np.ones(20000, np.float32)
net = Sequential([Dense(32), Dense(1)], seed=0)
net.compile("adam", "mse")
net.fit(x[:4], y[:4], verbose=0)
threading.Thread(target=lambda: {COMPUTE[work]}, daemon=True).start()
time.sleep(0.3)
print("end", flush=True)
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_a_subinterpreter_gets_an_error() -> None:
    done = run("""
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
program = "try:\\n import fastreg\\nexcept ImportError as error:\\n print(error, flush=True)"
interpreters.run_string(interpreters.create(), program)
""")
    assert "only in the main interpreter of a process" in done.stdout, done.stderr
    assert done.returncode == 0


def test_a_library_that_is_closed_does_not_crash() -> None:
    done = run("""
import _ctypes, ctypes, importlib.util, time
path = importlib.util.find_spec("fastreg").submodule_search_locations[0] + "/libfastreg.so"
library = ctypes.CDLL(path)
assert library.fr_set_num_threads(2) == 0
x = (ctypes.c_float * 4000000)()
call = library.fr_dropout_f32
call.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_double, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32,
                 ctypes.c_void_p]
assert call(x, len(x), 0.5, 1, 0, 0, x) == 0
_ctypes.dlclose(library._handle)
time.sleep(0.2)
print("alive")
""")
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


MEMORY = """
import resource
import numpy as np
from fastreg import _core
MILLION = 10**6
session = _core.Session([{"kind": "dense", "units": 2500, "use_bias": False}], 4000, "float32", 0)
loss, sgd = {"kind": "mean_squared_error"}, {"kind": "sgd", "learning_rate": 0.1}
adagrad = {"kind": "adagrad", "learning_rate": 0.1, "initial_accumulator_value": 0.25}
session.compile(loss, sgd, [])
size = 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1])
def allow(more):
    resource.setrlimit(resource.RLIMIT_AS, (size + more, resource.RLIM_INFINITY))
allow(20 * MILLION)
try:
    session.compile(loss, adagrad, [])
except MemoryError:
    print("refused", [len(arrays) for arrays in session.get_slots()])
allow(60 * MILLION)  # the 40 MB of the slots, but no second copy of them
session.compile(loss, adagrad, [])
allow(200 * MILLION)
print([[float(array.min()), float(array.max())] for arrays in session.get_slots() for array in arrays])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a process is read from /proc")
def test_a_compile_without_memory_leaves_a_session_that_can_be_compiled() -> None:
    done = run(MEMORY)
    assert (done.stdout, done.stderr) == ("refused []\n[[0.25, 0.25]]\n", "")
