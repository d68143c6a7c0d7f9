"""Whole trainings against the float64 reference trainer: optimizers, penalties, dropout, shuffles, constraints.

It must not compare bits; test_same_bits.py does. It is over 250 lines: what a layer, a loss or a session can be told,
one after the other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from cases import OPTIMIZERS
from checks import assert_close
from networks import (
    PROXIMAL,
    SUBGRADIENT,
    data_for,
    dense,
    dropout,
    last_activation,
    session,
    train_epoch,
    weights_for,
)
from reference import Spec, loss_spec, metric
from reference_trainer import Trainer
from reference_update import optimizer_spec

INPUTS, OUTPUTS, ROWS = 6, 3, 53
ADAM = OPTIMIZERS["adam"]


def compare(
    layers: list[Spec],
    loss: Spec,
    optimizer: Spec,
    what: str,
    weighted: bool = False,
    epochs: int = 4,
    frozen: Collection[int] = (),
) -> Any:
    """Train both side by side with shuffling and a partial last batch; compare totals, weights, slots."""
    x, y = data_for(loss, ROWS, INPUTS, [a["units"] for a in layers if a["kind"] == "dense"][-1])
    weights = weights_for(layers, INPUTS)
    sample_weight = np.linspace(0, 2, ROWS) if weighted else None
    native = session(layers, weights, loss, optimizer, inputs=INPUTS, seed=5)
    oracle = Trainer(layers, weights, loss, optimizer, seed=5)
    freeze(native, oracle, frozen)
    for epoch in range(epochs):
        got = train_epoch(native, x, y, 16, epoch > 0, sample_weight)
        wanted = oracle.train_epoch(x, y, 16, epoch > 0, sample_weight)
        for key, value in wanted.items():
            assert_close(got[key], value, 1e-9 * (1 + abs(value)), f"{what}: {key} of epoch {epoch}")
        total = native.evaluate(x, y, sample_weight)["loss"] / ROWS
        assert_close(
            total, oracle.evaluate(x, y, sample_weight), 1e-9, f"{what}: evaluate after epoch {epoch}"
        )
    assert (native.step, native.epoch) == (oracle.step, oracle.epoch)
    for i, (w, wanted) in enumerate(zip(native.get_weights(), oracle.weights, strict=True)):
        assert_close(w, wanted, 1e-9 * (1 + np.abs(wanted)), f"{what}: parameter {i}")
        assert ((w == 0) == (wanted == 0)).all(), f"{what}: parameter {i} has other exact zeros"
    for j, slot in enumerate(native.get_slots()):
        for i, (values, wanted) in enumerate(zip(slot, (s[j] for s in oracle.slots), strict=True)):
            assert_close(values, wanted, 1e-9 * (1 + np.abs(wanted)), f"{what}: slot {j} of parameter {i}")
    return native


def freeze(native: Any, oracle: Trainer, frozen: Collection[int]) -> None:
    """Train all parameters but these."""
    oracle.frozen = set(frozen)
    for i in range(len(oracle.weights)):
        native.set_trainable(i, i not in oracle.frozen)


def network(penalty: Spec | None = None, last: str = "linear") -> list[Spec]:
    extra = {"kernel_penalty": penalty} if penalty else {}
    return [
        dense(9, "relu", **extra), dropout(0.3, 1),
        dense(7, "tanh", **extra, bias_penalty=penalty or PROXIMAL), dropout(0.2, 3), dense(OUTPUTS, last, **extra),
    ]  # fmt: skip


@pytest.mark.parametrize("penalty", [PROXIMAL, SUBGRADIENT], ids=["proximal", "subgradient"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(isa: str, name: str, penalty: Spec) -> None:
    compare(network(penalty), loss_spec("mean_squared_error"), OPTIMIZERS[name], f"{name} on {isa}")


def test_global_clipnorm() -> None:
    for norm in (0.5, 1e6):
        spec = optimizer_spec("sgd", learning_rate=0.1, momentum=0.9, global_clipnorm=norm)
        compare(network(PROXIMAL), loss_spec("mean_squared_error"), spec, f"global_clipnorm {norm}")


@pytest.mark.parametrize(
    "loss",
    [
        loss_spec("mean_absolute_error"), loss_spec("huber", delta=0.5), loss_spec("hinge"), loss_spec("poisson"),
        loss_spec("mean_absolute_percentage_error"), loss_spec("mean_squared_logarithmic_error"), loss_spec("log_cosh"),
        loss_spec("binary_crossentropy"), loss_spec("binary_crossentropy", from_logits=True),
        loss_spec("binary_crossentropy", label_smoothing=0.1), loss_spec("categorical_crossentropy"),
        loss_spec("categorical_crossentropy", from_logits=True, label_smoothing=0.1),
        loss_spec("sparse_categorical_crossentropy"), loss_spec("sparse_categorical_crossentropy", from_logits=True),
    ],
    ids=lambda s: s["kind"] + "_logits" * s["from_logits"] + "_smooth" * bool(s["label_smoothing"]),
)  # fmt: skip
def test_every_loss_with_sample_weights(loss: Spec) -> None:
    compare(network(PROXIMAL, last_activation(loss)), loss, ADAM, str(loss), weighted=True)


@pytest.mark.parametrize(
    "constraint",
    [
        {"kind": "max_norm", "value": 0.5, "axis": 0}, {"kind": "max_norm", "value": 0.7, "axis": 1},
        {"kind": "max_norm", "value": 0.9, "axis": -1}, {"kind": "unit_norm", "value": 0.0, "axis": 0},
        {"kind": "unit_norm", "value": 0.0, "axis": 1}, {"kind": "non_neg", "value": 0.0, "axis": 0},
    ],
    ids=lambda c: f"{c['kind']}_axis{c['axis']}",
)  # fmt: skip
def test_constraints_apply_after_the_update(isa: str, constraint: Spec) -> None:
    layers = [
        dense(9, "gelu", kernel_constraint=constraint, kernel_penalty=PROXIMAL),
        dense(OUTPUTS, bias_constraint=constraint | {"axis": 0}),
    ]
    compare(layers, loss_spec("mean_squared_error"), OPTIMIZERS["momentum"], f"{constraint} on {isa}")


def test_activity_penalties_and_activation_layers() -> None:
    activity = {"l1": 0.05, "l2": 0.1, "proximal": False}
    layers = [
        dense(8, "relu", activity_penalty=activity), dropout(0.25, 1),
        {"kind": "activation", "activation": "silu", "activity_penalty": activity}, dense(OUTPUTS, use_bias=False),
    ]  # fmt: skip
    compare(layers, loss_spec("mean_squared_error"), ADAM, "activity penalties", weighted=True)


@pytest.mark.parametrize("last", [False, True])
def test_dropout_before_the_first_and_after_the_last_dense(last: bool) -> None:
    layers = [
        dropout(0.2, 0, seed=2**40 + 3),
        dense(8, "gelu"),
        dropout(0.5, 7),
        dropout(0.1, 8),
        dense(OUTPUTS, "tanh"),
    ]
    compare(layers + [dropout(0.3, 9)] * last, loss_spec("mean_squared_error"), ADAM, "dropout at the ends")


@pytest.mark.parametrize("kind", ["relu", "tanh", "softplus", "softmax", "leaky_relu"])
@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_dropout_after_every_sort_of_activation(kind: str, rate: float) -> None:
    layers = [dense(8, kind), dropout(rate, 1), dense(OUTPUTS)]
    compare(layers, loss_spec("mean_squared_error"), ADAM, f"dropout {rate} after {kind}")


def test_dropout_scaled_at_inference() -> None:
    """The classic form: no scaling in training, outputs times 1 - rate at inference."""
    layers = [dense(8, "relu"), dropout(0.25, 1, scale_at_inference=True), dense(OUTPUTS)]
    compare(layers, loss_spec("mean_squared_error"), ADAM, "scale_at_inference")


def test_penalties_may_change_between_epochs() -> None:
    layers = [dense(OUTPUTS, kernel_penalty={"l1": 0.01, "l2": 0.0, "proximal": True})]
    loss = loss_spec("mean_squared_error")
    x, y = data_for(loss, ROWS, INPUTS, OUTPUTS)
    weights = weights_for(layers, INPUTS)
    native = session(layers, weights, loss, ADAM, inputs=INPUTS)
    oracle = Trainer(layers, weights, loss, ADAM)
    for penalty in ({"l1": 0.3, "l2": 0.1, "proximal": True}, SUBGRADIENT):
        native.set_penalty(0, penalty["l1"], penalty["l2"], penalty["proximal"])
        layers[0]["kernel_penalty"] = penalty
        got = train_epoch(native, x, y, 10, True)
        wanted = oracle.train_epoch(x, y, 10, True)
        assert_close(
            got["penalty"], wanted["penalty"], 1e-10 * wanted["penalty"], f"penalty sums under {penalty}"
        )
        assert_close(native.get_weights()[0], oracle.weights[0], 1e-10, f"kernel under {penalty}")


# Of network(): kernels 0, 2, 4, biases 1, 3, 5. Gradients stop at the first layer of which something is trained.
FROZEN = [
    (0, 1), (2, 3), (4, 5), (0, 1, 2, 3), (0, 1, 4, 5), (2, 3, 4, 5), (0, 2, 4), (1, 3, 5), (0, 1, 2), range(6),
]  # fmt: skip


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda f: "".join(map(str, f)))
def test_frozen_parameters(isa: str, frozen: Collection[int]) -> None:
    spec = optimizer_spec("adam", learning_rate=0.01, weight_decay=0.1, global_clipnorm=0.5)
    for last, kind in (("linear", "mean_squared_error"), ("softmax", "categorical_crossentropy")):
        layers, loss = network(PROXIMAL, last), loss_spec(kind)
        native = compare(layers, loss, spec, f"{kind} on {isa}, {frozen} frozen", frozen=frozen)
        start = weights_for(layers, INPUTS)
        for i, (w, value) in enumerate(zip(native.get_weights(), native.penalties(), strict=True)):
            assert (w == start[i]).all() == (i in frozen)
            assert (value == 0) == (i in frozen or i in (1, 5))  # which have no penalty


def test_frozen_layers_between_others_and_constraints() -> None:
    activity = {"l1": 0.05, "l2": 0.1, "proximal": False}
    limit = {"kind": "max_norm", "value": 0.1, "axis": 0}
    layers = [
        dropout(0.2, 0), dense(8, "tanh"), dense(9, "relu", activity_penalty=activity, kernel_constraint=limit),
        dropout(0.3, 3), dense(7, "softmax", kernel_constraint=limit), dense(OUTPUTS),
    ]  # fmt: skip
    for frozen in ((2, 3), (4, 5), (0, 1, 4, 5), (2, 3, 4, 5)):
        compare(layers, loss_spec("huber"), ADAM, f"{frozen} frozen", frozen=frozen)


def test_parameters_may_be_frozen_and_thawed_within_an_epoch() -> None:
    layers, loss = network(PROXIMAL), loss_spec("mean_squared_error")
    x, y = data_for(loss, ROWS, INPUTS, OUTPUTS)
    weights = weights_for(layers, INPUTS)
    native = session(layers, weights, loss, ADAM, inputs=INPUTS)
    oracle = Trainer(layers, weights, loss, ADAM)
    native.begin_epoch(x, y, None, 10, False)
    for step, frozen in enumerate([(), (0, 1), (0, 1, 2, 3), (4,), (), (5,)]):
        freeze(native, oracle, frozen)
        native.run_steps(1)
        oracle.train_batch(x[10 * step : 10 * step + 10], y[10 * step : 10 * step + 10])
        for i, (w, wanted) in enumerate(zip(native.get_weights(), oracle.weights, strict=True)):
            assert_close(w, wanted, 1e-10, f"parameter {i} after step {step}")


def test_float32_follows_the_oracle_for_a_few_steps(isa: str) -> None:
    layers, loss = network(PROXIMAL), loss_spec("mean_squared_error")
    optimizer = OPTIMIZERS["momentum"] | {"learning_rate": 0.01}
    x, y = data_for(loss, ROWS, INPUTS, OUTPUTS, "float32")
    weights = weights_for(layers, INPUTS, "float32")
    native = session(layers, weights, loss, optimizer, inputs=INPUTS, dtype="float32")
    oracle = Trainer(layers, weights, loss, optimizer)
    for epoch in range(3):
        got, wanted = train_epoch(native, x, y, 16, True), oracle.train_epoch(x, y, 16, True)
        assert_close(got["loss"], wanted["loss"], 1e-5 * wanted["loss"], f"loss of epoch {epoch} on {isa}")
    for w, wanted_w in zip(native.get_weights(), oracle.weights, strict=True):
        assert_close(w, wanted_w, 1e-5, f"float32 weights after 12 steps on {isa}")


METRICS: list[tuple[Spec, Spec]] = [
    ({"kind": "binary_accuracy", "threshold": 0.4}, loss_spec("binary_crossentropy")),
    ({"kind": "categorical_accuracy"}, loss_spec("categorical_crossentropy")),
    ({"kind": "sparse_categorical_accuracy"}, loss_spec("sparse_categorical_crossentropy")),
    ({"kind": "loss", "loss": loss_spec("mean_absolute_error")}, loss_spec("mean_squared_error")),
    ({"kind": "thresholds", "thresholds": [0.1, 0.3, 0.5, 0.9]}, loss_spec("binary_crossentropy")),
    ({"kind": "r2"}, loss_spec("mean_squared_error")),
    ({"kind": "class_counts", "largest": True}, loss_spec("categorical_crossentropy")),
    ({"kind": "class_counts", "threshold": 0.3}, loss_spec("binary_crossentropy")),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("spec", "loss"), METRICS, ids=lambda s: s["kind"])
def test_metrics_of_an_evaluation(isa: str, spec: Spec, loss: Spec, weighted: bool) -> None:
    layers = [dense(OUTPUTS, last_activation(loss))]
    x, y = data_for(loss, ROWS, INPUTS, OUTPUTS)
    spec = spec | {"weighted": weighted}
    native = session(layers, weights_for(layers, INPUTS), loss, ADAM, inputs=INPUTS, metrics=[spec])
    weight = np.linspace(0, 3, ROWS)
    out = np.empty((ROWS, OUTPUTS))
    native.predict(x, out)
    wanted = metric(y, out, weight, spec)
    got = native.evaluate(x, y, weight)["metrics"][0]
    assert_close(got, wanted, 1e-12 * (1 + np.abs(wanted)), f"{spec} on {isa}")
