"""Each operation on the GPU once or twice, and a small training of each kind: what tools/gpu_check.py runs under
compute-sanitizer. A program, not a test: python tests/cuda/sanitize.py

It must not look at results: the tests do. It prints what it ran, so that a run that did nothing shows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cases import OPTIMIZERS, start
from checks import running
from fastreg import _core
from networks import PROXIMAL, data_for, dense, dropout, last_activation, weights_for
from reference import ELEMENTWISE, loss_spec

# Batch, inputs, units; the last has kernels of its own for each of its products.
SHAPES = [(1, 1, 1), (33, 70, 129), (16_400, 72, 10)]
LOSSES = ("mean_squared_error", "categorical_crossentropy", "sparse_categorical_crossentropy", "hinge")
MATHS = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "norm_cdf", "cos_2pi")
Operation = Callable[[], Any]


def normal(*shape: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


def dense_operations(dtype: str) -> dict[str, Operation]:
    operations: dict[str, Operation] = {}
    for nB, nI, nO in SHAPES:
        x, w, b, dy = (normal(*s, dtype=dtype) for s in ((nB, nI), (nI, nO), (nO,), (nB, nO)))
        y, z, dx, dw, db = (np.empty_like(a) for a in (dy, dy, x, w, b))
        wt = np.asfortranarray(w)
        layer = ("gelu", 0.3, 0.4, 1, 2, 3)  # activation, alpha, rate, seed, step, stream
        name = f"{nB}x{nI}x{nO} {dtype}"
        operations |= {
            f"forward {name}": lambda a=(x, w, b, *layer, y, z): _core.dense_forward(*a),
            f"transposed {name}": lambda a=(x, wt, None, *layer, y, z): _core.dense_forward(*a),
            f"backward {name}": lambda a=(dy, x, w, y, z, *layer, dx, dw, db): _core.dense_backward(*a),
        }
    return operations


def other_operations(dtype: str) -> dict[str, Operation]:
    w, g = normal(3000, dtype=dtype), normal(3000, dtype=dtype)
    out, rows = np.empty_like(w), w[:2800].reshape(40, 70)
    operations: dict[str, Operation] = {
        "softmax": lambda: _core.activation_forward(rows, "softmax", 0.0, np.empty_like(rows)),
        "dropout": lambda: _core.dropout(w, 0.3, 1, 2, 3, out),
        "mask": lambda: _core.dropout_mask(3000, 0.3, 1, 2, 3, True),
        "penalty": lambda: _core.elastic_net(w, 0.1, 0.1),
        "penalty gradient": lambda: _core.elastic_net_gradient(w, 0.1, 0.1, out),
        "prox": lambda: _core.prox(w, 0.1, 0.1, 1.0, out),
        "normal": lambda: _core.initialize("normal", (60, 50), 0.0, 1.0, 1, 2, dtype),
        "truncated": lambda: _core.initialize("truncated_normal", (60, 50), 0.0, 1.0, 1, 2, dtype),
        "permutation": lambda: _core.permutation(3000, 1, 2),
        "philox": lambda: _core.philox(1, 2, 3, 0, 700, 10),
        "finite": lambda: _core.all_finite(w),
    }
    for kind in ELEMENTWISE:
        operations[kind] = lambda k=kind: _core.activation_forward(w, k, 0.3, out)
        operations[f"{kind} backward"] = lambda k=kind: _core.activation_backward(g, w, k, 0.3, out)
    for name in MATHS:
        operations[name] = lambda n=name: _core.math_function(n, np.abs(w), out)
    for name, spec in OPTIMIZERS.items():
        slots = start(spec, 3000, dtype)[1]
        operations[name] = lambda s=spec, t=slots: _core.update(s, w.copy(), g, t, 1, 0.1, 0.05, True)
    for kind in LOSSES:
        loss = loss_spec(kind)
        _, y = data_for(loss, 40, 5, 7, dtype)
        p = np.random.default_rng(0).random((40, 7)).astype(dtype)
        p /= p.sum(axis=1, keepdims=True)
        per_row, gradient = np.empty(40, dtype), np.empty_like(p)
        operations[kind] = lambda a=(y, p, None, loss, per_row, gradient): _core.loss_forward(*a)
    return {f"{name} {dtype}": operation for name, operation in operations.items()}


def train(dtype: str, precision: str, sparse: bool = False) -> None:
    """Three epochs with all that a step may hold: steps of a kind run, are recorded, and are replayed.

    In fast and bf16 precision the layers are large enough for tensor cores.
    """
    inputs, width, units, rows, batch = (
        (70, 300, 33, 290, 128) if precision == "exact" else (512, 1024, 600, 560, 530)
    )
    loss = loss_spec("categorical_crossentropy")
    norm: Any = {"kernel_constraint": {"kind": "max_norm", "value": 2.0, "axis": 0}}
    layers = [
        dense(width, "relu", kernel_penalty=PROXIMAL, activity_penalty=PROXIMAL | {"proximal": False}),
        dropout(0.4, 1), dense(units, "gelu", **norm), dense(3, last_activation(loss)),
    ]  # fmt: skip
    x, y = data_for(loss, rows, inputs, 3, dtype)
    metrics = [
        {"kind": "categorical_accuracy"},
        {"kind": "thresholds", "thresholds": [0.2, 0.5], "weighted": True},
        {"kind": "r2"},
        {"kind": "class_counts", "largest": True},
    ]
    made = _core.Session(layers, inputs, dtype, 1, "cuda", precision)
    made.set_weights(weights_for(layers, inputs, dtype))
    made.compile(loss, OPTIMIZERS["clipnorm"] | {"kind": "adam", "learning_rate": 0.01}, metrics)
    data: Any = x
    if sparse:
        x = np.where(x > 1, x, 0).astype(dtype)
        starts = np.concatenate([[0], np.cumsum((x != 0).sum(axis=1))]).astype(np.int64)
        data = (starts, np.nonzero(x)[1].astype(np.int32), x[x != 0], inputs)
    weight = np.linspace(0, 2, rows).astype(dtype)
    for epoch in range(3):
        made.begin_epoch(data, y, weight, batch, True, epoch == 0)
        assert made.run_steps(-1)["finished"]
    made.train_batch(data, y, weight)
    made.evaluate(data, y, weight)
    made.predict(data, np.empty((rows, 3), dtype))
    made.penalties(), made.count_zeros(), made.get_slots()


def train_small(precision: str) -> None:
    """A network that fits one multiprocessor, and nothing but layers, dropout and penalties."""
    loss = loss_spec("binary_crossentropy")
    penalized = {"kernel_penalty": PROXIMAL}
    layers = [
        dense(64, "relu", **penalized),
        dropout(0.5, 1),
        dense(64, "relu", **penalized),
        dense(1, "sigmoid"),
    ]
    x, y = data_for(loss, 700, 30, 1, "float32")
    made = _core.Session(layers, 30, "float32", 1, "cuda", precision)
    made.set_weights(weights_for(layers, 30, "float32"))
    metrics = [{"kind": "binary_accuracy"}, {"kind": "loss", "loss": loss, "weighted": True}]
    made.compile(loss, OPTIMIZERS["adam"], metrics)
    weight = np.linspace(0, 2, len(x)).astype(np.float32)
    for epoch in range(3):
        made.begin_epoch(x, y, weight if epoch else None, 256, True, epoch == 0)
        assert made.run_steps(-1)["finished"]


def main() -> None:
    began = time.monotonic()
    operations = {
        k: f for d in ("float32", "float64") for k, f in (dense_operations(d) | other_operations(d)).items()
    }
    with running(isa="cuda"):
        for operation in operations.values():
            operation()
    trainings = [("float32", "exact"), ("float64", "exact"), ("float32", "fast"), ("float32", "bf16")]
    for dtype, precision in trainings:
        train(dtype, precision)
        train(dtype, precision, sparse=True)
    for precision in ("exact", "fast", "bf16"):
        train_small(precision)
    seconds = time.monotonic() - began
    print(
        f"ran {len(operations)} operations and {2 * len(trainings) + 3} trainings on the GPU in {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
