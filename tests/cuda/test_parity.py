"""Exact precision: a training on the GPU has the weights, history and predictions of the CPU, bit for bit, whatever is
trained. test_parity_runs.py has the courses of a training: callbacks, resuming, changes on the way.

It must not know expected values: the CPU has its own tests. It is over 250 lines because each kind of training has its
table or its test here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from cases import OPTIMIZERS, start
from checks import running, sha256
from device_cases import (
    BINARY,
    CLASSES,
    ONE_HOT,
    SCORES,
    Outcome,
    X,
    assert_same_on_both,
    classifier,
    compiled,
    hidden,
    needs_gpu,
    outcome,
)
from fastreg import Adam, MaxNorm, NonNeg, UnitNorm, _core, losses, metrics, optimizers
from fastreg.layers import ELU, Activation, Dense, Dropout, LeakyReLU
from fastreg.regularizers import L1, L1L2, L2

needs_gpu()
ROOT = Path(__file__).resolve().parent.parent.parent
CLASS_OF = {"sgd": optimizers.SGD, "adam": Adam, "rmsprop": optimizers.RMSprop, "adagrad": optimizers.Adagrad}
FIT: dict[str, Any] = {"batch_size": 32, "epochs": 3, "verbose": 0}


def from_spec(name: str) -> Any:
    """The Keras word for one of cases.OPTIMIZERS: of its fields those that the class knows; 0 means none there."""
    spec = dict(OPTIMIZERS[name])
    cls = CLASS_OF[spec.pop("kind")]
    known = cls().get_config()
    clips = ("clipnorm", "clipvalue", "global_clipnorm")
    return cls(**{k: v for k, v in spec.items() if k in known and not (k in clips and v == 0)})


def fitted(model: Any, y: Any = CLASSES, x: Any = X, **fit: Any) -> Outcome:
    history = model.fit(x, y, **(FIT | fit))
    return outcome(model, [history], x, evaluation=model.evaluate(x, y, verbose=0, return_dict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str, dtype: str) -> None:
    assert_same_on_both(lambda device: fitted(classifier(device, from_spec(name), dtype=dtype)), name)


def test_global_clipnorm() -> None:
    assert_same_on_both(lambda device: fitted(classifier(device, Adam(global_clipnorm=0.5))))


@pytest.mark.parametrize("batch_size", [1, 2, 7, 31, 32, 100, 203, 1000])
def test_batch_sizes(batch_size: int, dtype: str) -> None:
    assert_same_on_both(lambda device: fitted(classifier(device, dtype=dtype), batch_size=batch_size))


LOSSES: dict[str, tuple[Any, str, Any]] = {
    "mse": ("mse", "linear", SCORES),
    "mae": ("mae", "tanh", SCORES),
    "huber": (losses.Huber(0.3), "linear", SCORES),
    "hinge": ("hinge", "linear", 2 * ONE_HOT - 1),
    "poisson": ("poisson", "softplus", np.exp(np.clip(SCORES, -2, 2)).round()),
    "mape": ("mape", "linear", SCORES),
    "msle": ("msle", "softplus", np.exp(np.clip(SCORES, -2, 2))),
    "log cosh": ("log_cosh", "linear", SCORES),
    "binary": (losses.BinaryCrossentropy(label_smoothing=0.1), "sigmoid", ONE_HOT),
    "binary logits": (losses.BinaryCrossentropy(from_logits=True), "linear", ONE_HOT),
    "categorical": (losses.CategoricalCrossentropy(label_smoothing=0.1), "softmax", ONE_HOT),
    "categorical logits": (losses.CategoricalCrossentropy(from_logits=True), "linear", ONE_HOT),
    "sparse logits": (losses.SparseCategoricalCrossentropy(from_logits=True), "linear", CLASSES),
    "elastic net": (
        losses.ElasticNet("sparse_categorical_crossentropy", 1e-3, 1e-3),
        "softmax",
        CLASSES,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, dtype: str) -> None:
    loss, last, y = LOSSES[name]
    assert_same_on_both(
        lambda device: fitted(compiled(device, hidden(Dense(3, activation=last)), "adam", loss, dtype), y)
    )


METRICS: dict[str, tuple[str, Any, list[Any]]] = {
    "binary": ("binary_crossentropy", BINARY, ["accuracy", metrics.AUC(50), metrics.Precision(0.4),
                                               metrics.Recall(), metrics.AUC(20, curve="PR", name="pr")]),
    "classes": ("sparse_categorical_crossentropy", CLASSES, ["accuracy", "sparse_categorical_crossentropy"]),
    "one hot": ("categorical_crossentropy", ONE_HOT, ["categorical_crossentropy", "accuracy", "mse", metrics.R2Score(),
                                                      metrics.F1Score("macro"),
                                                      metrics.FBetaScore("weighted", 2.0, 0.3)]),
    "scores": ("mse", SCORES, ["mae", "root_mean_squared_error", metrics.Huber(), metrics.R2Score()]),
}  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True], ids=["metrics", "weighted_metrics"])
@pytest.mark.parametrize("name", METRICS)
def test_metrics(name: str, weighted: bool) -> None:
    loss, y, listed = METRICS[name]
    last = Dense(1, activation="sigmoid") if name == "binary" else Dense(3, activation="softmax")
    words = {"weighted_metrics" if weighted else "metrics": listed}
    weight = np.linspace(0, 2, len(X))

    def train(device: str) -> Outcome:
        model = compiled(device, hidden(last.from_config(last.get_config())), "adam", loss, **words)
        return fitted(model, y, sample_weight=weight, validation_split=0.25)

    assert_same_on_both(train)


# Those that many steps in one launch can take, with outputs that the loss has as logits or not.
FEW_METRICS: dict[str, tuple[Any, str, Any, list[Any]]] = {
    "binary": ("binary_crossentropy", "sigmoid", BINARY, ["accuracy"]),
    "probabilities taken for logits": (
        "binary_crossentropy", "sigmoid", BINARY, ["accuracy", metrics.BinaryCrossentropy(from_logits=True)],
    ),
    "binary, smoothed": (
        losses.BinaryCrossentropy(label_smoothing=0.2), "sigmoid", ONE_HOT,
        ["accuracy", metrics.BinaryAccuracy(threshold=0.3), metrics.BinaryCrossentropy(label_smoothing=0.1), "mae"],
    ),
    "one hot": ("categorical_crossentropy", "softmax", ONE_HOT, ["accuracy", "mse", "poisson"]),
    "one hot logits": (losses.CategoricalCrossentropy(from_logits=True), "relu", ONE_HOT, ["accuracy", "mae"]),
    "classes": ("sparse_categorical_crossentropy", "softmax", CLASSES, ["accuracy"]),
    "scores": ("mse", "tanh", SCORES, ["mae", metrics.Huber(0.4)]),
    "rare": ("mse", "linear", SCORES, ["mape", "logcosh"]),
    "amounts": ("msle", "softplus", np.exp(np.clip(SCORES, -2, 2)), ["msle"]),
    "too many": ("mse", "linear", SCORES, ["mse", "mae", metrics.Huber(0.4), metrics.Huber(2.0), metrics.Huber(3.0)]),
}  # fmt: skip


@pytest.mark.parametrize("weight", [None, np.linspace(0, 2, len(X))], ids=["plain", "weighted"])
@pytest.mark.parametrize("words", ["metrics", "weighted_metrics", "both"])
@pytest.mark.parametrize("name", FEW_METRICS)
def test_metrics_of_many_steps(name: str, words: str, weight: Any) -> None:
    loss, last, y, listed = FEW_METRICS[name]
    given = {word: listed for word in ("metrics", "weighted_metrics") if words in (word, "both")}

    def train(device: str) -> Outcome:
        layers = hidden(Dense(1 if y is BINARY else 3, activation=last))
        return fitted(compiled(device, layers, "adam", loss, **given), y, sample_weight=weight)

    assert_same_on_both(train)


LAYERS: dict[str, Callable[[], list[Any]]] = {
    "one layer": lambda: [Dense(3)],
    "one unit": lambda: [Dense(1, use_bias=False), Dense(3)],
    "no bias": lambda: [Dense(40, activation="silu", use_bias=False), Dense(3, use_bias=False)],
    "dropout first": lambda: [Dropout(0.3), Dense(16, activation="tanh"), Dense(3)],
    "dropout twice": lambda: [Dense(16, activation="selu"), Dropout(0.3), Dropout(0.3, seed=5), Dense(3)],
    "dropout of odd rows": lambda: [
        Dense(37, activation="gelu"), Dropout(0.4), Dense(19, "relu"), Dropout(0.2), Dense(3, use_bias=False),
    ],
    "widest": lambda: [Dense(256, activation="tanh"), Dropout(0.5), Dense(30, "relu"), Dense(129), Dense(3)],
    "scale at inference": lambda: [Dense(16, "relu"), Dropout(0.5, scale_at="inference"), Dense(3)],
    "activations": lambda: [Dense(16), LeakyReLU(0.1), Dense(17), ELU(0.5), Dense(3), Activation("softplus")],
    "softmax inside": lambda: [Dense(16, activation="softmax"), Dense(3)],
    "sigmoid": lambda: [Dense(16, activation="elu"), Dense(3, activation="sigmoid")],
    "wide": lambda: [Dense(300, "relu"), Dropout(0.5), Dense(257, "relu"), Dense(3)],
    "many": lambda: [*(Dense(9, activation="tanh") for _ in range(12)), Dense(3)],
    "l1": lambda: [Dense(32, "relu", kernel_regularizer=L1(0.01), bias_regularizer=L1(0.01)), Dense(3)],
    "l2": lambda: [Dense(32, "relu", kernel_regularizer=L2(0.01), bias_regularizer=L2(0.01)), Dense(3)],
    "subgradient": lambda: [Dense(32, "relu", kernel_regularizer=L1(0.01, method="subgradient")), Dense(3)],
    "activity": lambda: [Dense(32, "relu", activity_regularizer=L1L2(1e-3, 1e-3)), Dense(3)],
    "activity of a layer": lambda: [
        Dense(32), Activation("relu", activity_regularizer=L1(1e-3)), Dense(3, activity_regularizer=L2(1e-3)),
    ],
    "max norm": lambda: [Dense(32, "relu", kernel_constraint=MaxNorm(0.7)), Dense(3)],
    "max norm of rows": lambda: [Dense(32, "relu", kernel_constraint=MaxNorm(0.7, axis=1)), Dense(3)],
    "non negative": lambda: [
        Dense(32, "relu", kernel_constraint=NonNeg(), bias_constraint=NonNeg()), Dense(3),
    ],
    "unit norm": lambda: [Dense(32, "relu", kernel_constraint=UnitNorm()), Dense(3)],
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_penalties_and_constraints(name: str, dtype: str) -> None:
    assert_same_on_both(
        lambda device: fitted(compiled(device, LAYERS[name](), Adam(0.01), "mse", dtype), SCORES)
    )


@pytest.mark.parametrize(
    ("last", "loss", "y"),
    [("sigmoid", "binary_crossentropy", ONE_HOT), ("softmax", "sparse_categorical_crossentropy", CLASSES)],
)
def test_activity_of_outputs_that_the_loss_has_as_logits(last: str, loss: str, y: Any, dtype: str) -> None:
    def train(device: str) -> Outcome:
        layers = [Dense(32, "relu"), Dense(3, last, activity_regularizer=L1L2(0.1, 0.2))]
        return fitted(compiled(device, layers, Adam(0.01), loss, dtype), y)

    assert_same_on_both(train)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    "weights",
    [{}, {"sample_weight": np.linspace(0, 2, len(X))}, {"class_weight": {0: 0.5, 2: 3.0}}],
    ids=["unweighted", "sample weights", "class weights"],
)
def test_weights_and_order(weights: dict[str, Any], shuffle: bool) -> None:
    assert_same_on_both(lambda device: fitted(classifier(device), shuffle=shuffle, **weights))


@pytest.mark.parametrize("batch_size", [1, 32, 203])
def test_sparse_x(batch_size: int, dtype: str) -> None:
    x = sparse.random_array((203, 500), density=0.05, format="csr", rng=np.random.default_rng(3))

    def train(device: str) -> Outcome:
        return fitted(classifier(device, dtype=dtype), x=x, batch_size=batch_size, validation_split=0.2)

    assert_same_on_both(train)


def test_more_rows_than_are_computed_at_once() -> None:
    x = np.random.default_rng(1).normal(size=(40_000, 23)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    assert_same_on_both(lambda device: fitted(classifier(device), y, x, batch_size=4096, epochs=2))


@pytest.mark.parametrize("batch_size", [129, 500, 1024])
def test_large_batches_of_many_steps(batch_size: int) -> None:
    """Rows that are not all in shared memory at once, gradients of several blocks of rows, a last batch of fewer."""
    x = np.random.default_rng(1).normal(size=(2 * batch_size + batch_size * 4 // 5, 21)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)

    def train(device: str) -> Outcome:
        layers = [Dense(37, activation="relu"), Dropout(0.3), Dense(33, activation="tanh"), Dense(3)]
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        return fitted(compiled(device, layers, "adam", loss), y, x, batch_size=batch_size, epochs=2)

    assert_same_on_both(train)


def test_losses_and_metrics_of_thousands_of_rows() -> None:
    """More than are added up at a time, and as many again in part."""
    x = np.random.default_rng(1).normal(size=(18_100, 5)).astype(np.float32)
    y, weight = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5), np.linspace(0, 2, len(x))

    def train(device: str) -> Outcome:
        layers, words = (
            [Dense(3, activation="softmax")],
            {"metrics": ["accuracy"], "weighted_metrics": ["accuracy"]},
        )
        model = compiled(device, layers, "adam", "sparse_categorical_crossentropy", **words)
        return fitted(model, y, x, batch_size=9001, epochs=2, sample_weight=weight)

    assert_same_on_both(train)


@pytest.mark.parametrize(("hidden_units", "outputs"), [(400, 10), (68, 1), (100, 16)])
def test_few_outputs_of_many_rows(hidden_units: int, outputs: int) -> None:
    """The products of a last layer, which have kernels of their own where a batch has more than 16384 rows."""
    rng, rows = np.random.default_rng(2), 16_441
    x, y = (rng.normal(size=(rows, cols)).astype(np.float32) for cols in (4, outputs))

    def train(device: str) -> Outcome:
        layers = [Dense(hidden_units, activation="relu"), Dropout(0.3), Dense(outputs, activation="tanh")]
        return fitted(compiled(device, layers, "sgd", "mse"), y, x, batch_size=rows, epochs=2)

    assert_same_on_both(train)


@pytest.mark.parametrize("name", ["adam", "clipnorm"])
def test_an_update_of_many_chunks(name: str, dtype: str) -> None:
    """More chunks than blocks, whose norms and penalties are more than a warp adds up."""
    spec, n = OPTIMIZERS[name], 1024 * 4200 + 5

    def updated() -> tuple[list[float], list[np.ndarray]]:
        w, slots = start(spec, n, dtype)
        g = np.random.default_rng(0).normal(size=n).astype(dtype)
        penalties = [_core.update(spec, w, g, slots, t, 1e-3, 1e-3, True) for t in (1, 2)]
        return penalties, [w, *slots]

    expected, arrays = updated()
    with running(isa="cuda"):
        got, others = updated()
    assert got == expected
    assert sha256(others) == sha256(arrays)


ON_DEVICE = """
import hashlib, runpy, sys
import fastreg, fastreg.models
device, program = sys.argv[1:]
kept, Sequential = [], fastreg.models.Sequential

class OnDevice(Sequential):
    def __init__(self, *arguments, **words):
        super().__init__(*arguments, **{**words, "device": device, "seed": 5})
        kept.append(self)

fastreg.Sequential = fastreg.models.Sequential = OnDevice
runpy.run_path(program, run_name="__main__")
print([hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest() for model in kept])
"""


@pytest.mark.parametrize("program", ["l1_l2.py", "dropout.py", "early_stopping.py"])
def test_the_textbook_programs(program: str, tmp_path: Path) -> None:
    """The examples as they stand, their models on either device."""
    printed = {}
    for device in ("cpu", "cuda"):
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", ON_DEVICE, device, str(ROOT / "examples" / program)],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        printed[device] = done.stdout.splitlines()[-1]
    assert len(printed["cpu"]) > 64, printed
    assert printed["cuda"] == printed["cpu"]
