"""The C interface through ctypes: structs of fastreg.h and a caller that passes NumPy arrays as pointers.

It must not know what the functions compute.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np

from fastreg import config

HEADER = Path(config.get_include()) / "fastreg" / "fastreg.h"
LIBRARY = Path(config.get_library_dir()) / "libfastreg.so"
# What a compiler is told, behind a program's source, to build it against the installed library.
LINKED = [f"-I{HEADER.parent.parent}", f"-L{LIBRARY.parent}", f"-Wl,-rpath,{LIBRARY.parent}", "-lfastreg"]
OK, INVALID_ARGUMENT, TYPE_MISMATCH, OUT_OF_MEMORY, RUNTIME, CANCELLED = range(6)
SUFFIX = {"float32": "f32", "float64": "f64"}


def enum(name: str) -> dict[str, int]:
    """The values of an enum of the header, read from the header."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    body = re.search(rf"typedef enum {name} \{{(.*?)\}} {name};", text, re.DOTALL)
    assert body, f"{name} is not in the header"
    names = [item.split("=")[0].strip() for item in body[1].split(",")]
    return {n: i for i, n in enumerate(names)}


def struct(name: str, *fields: tuple[str, Any]) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


def fields(kind: Any, *names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names]


D, I32, I64, U32, U64, SIZE = (
    ctypes.c_double, ctypes.c_int32, ctypes.c_int64, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t,
)  # fmt: skip
Penalty = struct("Penalty", *fields(D, "l1", "l2"), ("subgradient", I32))
Constraint = struct("Constraint", *fields(I32, "kind", "axis"), ("value", D))
Dense = struct(
    "Dense",
    ("struct_size", SIZE), ("activation", I32), *fields(D, "alpha", "rate"), ("seed", U64),
    *fields(U32, "stream", "step"),
)  # fmt: skip
Loss = struct(
    "Loss", ("struct_size", SIZE), *fields(I32, "kind", "from_logits"), *fields(D, "label_smoothing", "delta")
)
Optimizer = struct(
    "Optimizer",
    ("struct_size", SIZE), *fields(I32, "kind", "nesterov", "amsgrad", "centered"),
    *fields(D, "learning_rate", "momentum", "beta_1", "beta_2", "epsilon", "rho", "initial_accumulator_value"),
    *fields(D, "weight_decay", "clipnorm", "clipvalue", "global_clipnorm"),
)  # fmt: skip
Layer = struct(
    "Layer",
    ("struct_size", SIZE), *fields(I32, "kind", "activation"), ("alpha", D), ("units", I64),
    *fields(I32, "no_bias", "scale_at_inference"), ("rate", D),
    *fields(Penalty, "kernel_penalty", "bias_penalty", "activity_penalty"),
    *fields(Constraint, "kernel_constraint", "bias_constraint"),
)  # fmt: skip
Totals = struct(
    "Totals",
    ("struct_size", SIZE), *fields(D, "loss", "data_loss", "penalty"), *fields(I64, "rows", "steps"),
    ("nonfinite", I32),
)  # fmt: skip


def made(kind: type[ctypes.Structure], /, **values: Any) -> ctypes.Structure:
    """A struct with its size set, as the FR_..._INIT macros make it."""
    return kind(struct_size=ctypes.sizeof(kind), **values)


def optimizer(kind: str, learning_rate: float, **values: Any) -> ctypes.Structure:
    defaults = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "rho": 0.9, "initial_accumulator_value": 0.1}
    number = enum("fr_optimizer_kind")[f"FR_{kind.upper()}"]
    return made(Optimizer, kind=number, learning_rate=learning_rate, **(defaults | values))


def loss(kind: str, **values: Any) -> ctypes.Structure:
    return made(Loss, kind=enum("fr_loss_kind")[f"FR_{kind.upper()}"], **({"delta": 1.0} | values))


def layer(kind: str, **values: Any) -> ctypes.Structure:
    return made(Layer, kind=enum("fr_layer_kind")[f"FR_{kind.upper()}"], **values)


def layers(*each: ctypes.Structure) -> ctypes.Array:
    return (Layer * len(each))(*each)


lib = ctypes.CDLL(str(LIBRARY))
lib.fr_version.restype = lib.fr_last_error.restype = lib.fr_build_info.restype = ctypes.c_char_p
lib.fr_session_destroy.restype = None


def argument(value: Any) -> Any:
    """Arrays by their address, ints as 64 bits, floats as doubles, structs by reference; the rest as it is."""
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, bool | np.integer):
        return ctypes.c_int(int(value))
    if isinstance(value, int):
        return ctypes.c_uint64(value) if value >= 2**63 else ctypes.c_int64(value)
    if isinstance(value, float):
        return ctypes.c_double(value)
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    return value


def call(name: str, *arguments: Any) -> int:
    """The status of fr_<name>(arguments)."""
    return int(getattr(lib, f"fr_{name}")(*[argument(a) for a in arguments]))


def error() -> str:
    return lib.fr_last_error().decode()


def check(name: str, *arguments: Any) -> None:
    status = call(name, *arguments)
    assert status == OK, f"fr_{name}: {status}, {error()}"
