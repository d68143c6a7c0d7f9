"""The C interface from Python with ctypes alone: no NumPy, no pybind11. Elastic-net steps on buffers of `array`.

python lasso.py            uses the installed fastreg only to find its library
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from array import array


def load() -> ctypes.CDLL:
    """The library of the installed package, by the linker flags that it names."""
    flags = subprocess.run(
        [sys.executable, "-m", "fastreg", "--libs"], capture_output=True, text=True, check=True
    ).stdout.split()
    folder = next(flag[2:] for flag in flags if flag.startswith("-L"))
    library = ctypes.CDLL(f"{folder}/libfastreg.so")
    library.fr_last_error.restype = library.fr_version.restype = ctypes.c_char_p
    return library


class Penalty(ctypes.Structure):
    _fields_ = [("l1", ctypes.c_double), ("l2", ctypes.c_double), ("subgradient", ctypes.c_int32)]


class Optimizer(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *((name, ctypes.c_int32) for name in ("kind", "nesterov", "amsgrad", "centered")),
        *(
            (name, ctypes.c_double)
            for name in ("learning_rate", "momentum", "beta_1", "beta_2", "epsilon", "rho")
        ),
        *((name, ctypes.c_double) for name in ("initial_accumulator_value", "weight_decay")),
        *((name, ctypes.c_double) for name in ("clipnorm", "clipvalue", "global_clipnorm")),
    ]


def pointer(numbers: array) -> ctypes.Array:
    """The memory of the array itself, not a copy."""
    return (ctypes.c_double * len(numbers)).from_buffer(numbers)


def main() -> None:
    library = load()
    print("fastreg", library.fr_version().decode())
    # Minimize sum_i (w_i - target_i)^2 / 2 + l1 |w_i| by gradient descent: w_i is target_i moved towards 0 by l1.
    target, l1 = array("d", [-2.0, -0.3, 0.1, 0.7, 3.0]), 0.5
    w, g, value = array("d", [0.0] * 5), array("d", [0.0] * 5), ctypes.c_double()
    sgd, penalty = Optimizer(ctypes.sizeof(Optimizer), learning_rate=0.5), Penalty(l1=l1)
    for step in range(1, 61):
        for i in range(5):
            g[i] = w[i] - target[i]
        status = library.fr_update_f64(
            ctypes.byref(sgd), pointer(w), pointer(g), None, ctypes.c_int64(5), ctypes.c_int64(step),
            ctypes.byref(penalty), ctypes.byref(value),
        )  # fmt: skip
        if status != 0:
            raise RuntimeError(library.fr_last_error().decode())
    print("weights", [round(x, 6) for x in w])
    expected = [-1.5, 0.0, 0.0, 0.2, 2.5]
    if any(abs(a - b) > 1e-9 for a, b in zip(w, expected)) or w[1] != 0.0 or w[2] != 0.0:
        raise SystemExit(f"expected {expected}")
    print("the small ones are exactly 0")


if __name__ == "__main__":
    main()
