"""The gradient a training step uses is the slope of what evaluate() returns: activation x loss x penalty, in float64.

It must not use the oracle: finite differences are the judge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from checks import assert_close
from networks import SUBGRADIENT, data_for, dense, dropout, last_activation, session, weights_for
from reference import ACTIVATIONS, LOSSES, Spec, loss_spec
from reference_update import optimizer_spec

ROWS, INPUTS, H = 7, 3, 1e-6
SGD = optimizer_spec("sgd", learning_rate=1.0)  # w_before - w_after is the gradient
LOSS_CASES: dict[str, Spec] = {kind: loss_spec(kind) for kind in LOSSES} | {
    "huber_narrow": loss_spec("huber", delta=0.3),
    "bce_logits": loss_spec("binary_crossentropy", from_logits=True),
    "bce_smooth": loss_spec("binary_crossentropy", label_smoothing=0.2),
    "cce_logits_smooth": loss_spec("categorical_crossentropy", from_logits=True, label_smoothing=0.1),
    "scce_logits": loss_spec("sparse_categorical_crossentropy", from_logits=True),
}
PENALTY_CASES: dict[str, Spec] = {
    "none": {},
    "l1": {"kernel_penalty": {"l1": 0.1, "l2": 0.0, "proximal": False}},
    "l2": {"kernel_penalty": {"l1": 0.0, "l2": 0.1, "proximal": True}},
    "l1_l2_and_bias": {"kernel_penalty": SUBGRADIENT, "bias_penalty": SUBGRADIENT},
    "activity": {"activity_penalty": {"l1": 0.1, "l2": 0.2, "proximal": False}},
}


def objective(s: Any, x: Any, y: Any, sample_weight: Any) -> float:
    return float(s.evaluate(x, y, sample_weight)["loss"]) / ROWS


def check_gradient(layers: list[Spec], loss: Spec, what: str, weighted: bool = True, seed: int = 1) -> None:
    outputs = [layer["units"] for layer in layers if layer["kind"] == "dense"][-1]
    x, y = data_for(loss, ROWS, INPUTS, outputs, seed=seed)
    weight = np.linspace(0.5, 2.0, ROWS) if weighted else None
    before = weights_for(layers, INPUTS)
    s = session(layers, before, loss, SGD, inputs=INPUTS)
    s.train_batch(x, y, weight)
    gradients = [w - after for w, after in zip(before, s.get_weights(), strict=True)]
    for p, gradient in enumerate(gradients):
        for i in np.ndindex(gradient.shape):
            ends = []
            for shift in (H, -H):
                moved = [w.copy() for w in before]
                moved[p][i] += shift
                s.set_weights(moved)
                ends.append(objective(s, x, y, weight))
            slope = (ends[0] - ends[1]) / (2 * H)
            assert_close(gradient[i], slope, 1e-7 * (1 + abs(slope)), f"{what}: parameter {p}, element {i}")


@pytest.mark.parametrize("penalty", PENALTY_CASES)
@pytest.mark.parametrize("loss", LOSS_CASES)
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_hidden_activation_loss_penalty(kind: str, loss: str, penalty: str) -> None:
    spec = LOSS_CASES[loss]
    layers = [
        dense(4, kind, **PENALTY_CASES[penalty]),
        dense(3, last_activation(spec), **PENALTY_CASES["l2"]),
    ]
    check_gradient(layers, spec, f"{kind}, {loss}, penalty {penalty}")


@pytest.mark.parametrize("penalty", PENALTY_CASES)
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_last_activation_under_squared_error(kind: str, penalty: str) -> None:
    layers = [dense(2, "tanh"), dense(3, kind, **PENALTY_CASES[penalty])]
    check_gradient(layers, loss_spec("mean_squared_error"), f"last activation {kind}, penalty {penalty}")


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("loss", LOSS_CASES)
def test_single_layer_without_bias_or_weights(loss: str, units: int) -> None:
    spec = LOSS_CASES[loss]
    if units == 1 and spec["kind"].endswith("categorical_crossentropy"):
        units = 2
    check_gradient(
        [dense(units, last_activation(spec), use_bias=False)], spec, f"{loss}, no bias", weighted=False
    )


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activation_layers_and_idle_dropout(kind: str) -> None:
    """Activation as a layer of its own, twice in a row, at the end; dropout of rate 0 is the identity."""
    layer = {"kind": "activation", "activation": kind, "alpha": 0.3}
    active = layer | {"activity_penalty": {"l1": 0.1, "l2": 0.2, "proximal": False}}
    layers = [dense(4), active, dropout(0.0, 2), dense(3, "tanh"), layer, layer]
    check_gradient(layers, loss_spec("mean_squared_error"), f"activation layers {kind}")
    check_gradient(
        [layer, dense(3), layer], loss_spec("huber"), f"activation layers {kind} around a dense layer"
    )


@pytest.mark.parametrize(
    "loss", ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"]
)
def test_fused_cross_entropy_with_activity_penalty(loss: str) -> None:
    activation = last_activation(loss_spec(loss))
    last = dense(3, activation, **PENALTY_CASES["activity"])
    apart = {"kind": "activation", "activation": activation, **PENALTY_CASES["activity"]}
    for layers in ([dense(4, "relu"), last], [dense(4, "relu"), dense(3), apart]):
        check_gradient(layers, loss_spec(loss), f"fused {loss}, {len(layers)} layers")


def test_an_activity_penalty_leaves_the_cross_entropy_fused() -> None:
    """The loss of a saturated output is that of its logit; probabilities are clipped at 1e-7, to a loss of 16."""
    layers = [dense(1, "sigmoid", use_bias=False, **PENALTY_CASES["activity"])]
    s = session(layers, [np.array([[40.0]])], loss_spec("binary_crossentropy"), SGD, inputs=1)
    totals = s.evaluate(np.array([[1.0]]), np.array([[0.0]]), None)
    assert_close([totals["data_loss"], totals["penalty"]], [40.0, 0.1 + 0.2], 1e-12, "loss and penalty")
    s.train_batch(np.array([[1.0]]), np.array([[0.0]]), None)
    assert_close(s.get_weights()[0], [[39.0]], 1e-12, "weight after a step")


def test_activation_layer_at_the_end_is_fused_too() -> None:
    """sigmoid as its own layer: a saturated output still has a gradient, which clipped probabilities have not."""
    layers = [dense(1, use_bias=False), {"kind": "activation", "activation": "sigmoid"}]
    loss = loss_spec("binary_crossentropy")
    s = session(layers, [np.array([[40.0]])], loss, SGD, inputs=1)
    s.train_batch(np.array([[1.0]]), np.array([[0.0]]), None)
    assert_close(s.get_weights()[0], [[39.0]], 1e-12, "weight after a step from a saturated wrong output")


def test_deep_network() -> None:
    layers = [
        dense(5, kind, **PENALTY_CASES["l1_l2_and_bias"])
        for kind in ("relu", "selu", "gelu", "tanh", "softplus")
    ]
    spec = loss_spec("sparse_categorical_crossentropy")
    check_gradient([*layers, dense(4, "softmax")], spec, "six layers")
