"""Who checks the oracle: its derivatives against finite differences, its steps against hand-worked numbers.

It must not use the native module.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import reference as ref
import reference_random as random
import reference_update as rule
from checks import assert_close
from networks import PROXIMAL, SUBGRADIENT, data_for, dense, dropout, last_activation, weights_for
from reference_trainer import Trainer

H = 1e-6


@pytest.mark.parametrize("kind", ref.ACTIVATIONS)
def test_activation_derivatives(kind: str) -> None:
    z = np.array([[-5.0, -1.3, -0.2, 0.1, 0.8, 6.0]])
    for i in range(z.size):
        shift = np.eye(z.size)[i : i + 1] * H
        column = (ref.activation(z + shift, kind, 0.4) - ref.activation(z - shift, kind, 0.4)) / (2 * H)
        for j in range(z.size):  # dL/dz_i of L = y_j
            unit = np.eye(z.size)[j : j + 1]
            assert_close(
                ref.activation_backward(unit, z, kind, 0.4)[0, i],
                column[0, j],
                1e-8,
                f"dy{j}/dz{i} of {kind}",
            )


def test_activations_at_known_points() -> None:
    """Values from the definitions, worked with 20 digits."""
    z = np.array([[1.0, -1.0]])
    known = {
        "gelu": [0.84134474606854294859, -0.15865525393145705141],
        "gelu_tanh": [0.84119199060827676, -0.15880800939172324],
        "silu": [0.73105857863000487926, -0.26894142136999512],
        "selu": [1.0507009873554804934, -1.1113307378125627],
        "elu": [1.0, -0.63212055882855767840],
        "softplus": [1.3132616875182228340, 0.31326168751822283405],
        "softmax": [0.88079707797788244406, 0.1192029220221175],
    }
    for kind, value in known.items():
        assert_close(ref.activation(z, kind, 1.0), [value], 1e-15, kind)


@pytest.mark.parametrize("loss", ref.LOSSES)
@pytest.mark.parametrize(
    "penalty", [SUBGRADIENT, {"l1": 0.0, "l2": 0.3, "proximal": True}], ids=["l1_l2", "l2"]
)
def test_trainer_gradients(loss: str, penalty: ref.Spec) -> None:
    spec = ref.loss_spec(loss)
    layers = [dense(4, "gelu", kernel_penalty=penalty), dense(3, last_activation(spec), bias_penalty=penalty)]
    x, y = data_for(spec, 6, 3, 3)
    trainer = Trainer(layers, weights_for(layers, 3), spec, rule.optimizer_spec("sgd", learning_rate=1.0))
    before = [w.copy() for w in trainer.weights]
    trainer.train_batch(x, y)
    after = trainer.weights
    for p, w in enumerate(before):
        for i in np.ndindex(w.shape):
            ends = []
            for shift in (H, -H):
                trainer.weights = [v.copy() for v in before]
                trainer.weights[p][i] += shift
                ends.append(trainer.evaluate(x, y))
            assert_close(
                w[i] - after[p][i], (ends[0] - ends[1]) / (2 * H), 1e-7, f"{loss}: parameter {p}, element {i}"
            )


def test_first_steps_worked_by_hand() -> None:
    """w = 2, g = 4, learning rate 0.5."""
    w, g = np.array([2.0]), np.array([4.0])

    def first(kind: str, penalty: ref.Spec = rule.NO_PENALTY, **options: object) -> float:
        spec = rule.optimizer_spec(kind, learning_rate=0.5, **options)
        return float(rule.update(w, g, rule.initial_slots(spec, w), 1, spec, penalty)[0][0])

    l1 = {"l1": 0.1, "l2": 0.0, "proximal": True}
    assert first("sgd") == 0.0
    assert first("sgd", momentum=0.5, nesterov=True) == -1.0  # 2 + 0.5 * -2 - 2
    assert first("sgd", weight_decay=0.25) == -0.25  # decay 2 -> 1.75, then -2
    assert_close(first("adam", epsilon=0.0), 1.5, 1e-15, "the first Adam step is the learning rate")
    assert_close(
        first("adagrad", epsilon=0.0, initial_accumulator_value=0.0), 1.5, 1e-15, "first Adagrad step"
    )
    assert_close(first("rmsprop", epsilon=0.0, rho=0.75), 1.0, 1e-15, "first RMSprop step: 0.5 * 4 / sqrt(4)")
    assert_close(first("sgd", {"l1": 0.1, "l2": 0.25, "proximal": False}), -0.55, 1e-15, "g = 4 + 0.1 + 1")
    assert_close(first("sgd", l1, clipvalue=1.0), 1.45, 1e-15, "1.5, threshold 0.05")
    assert_close(first("sgd", l1, momentum=0.5, clipnorm=1.0), 1.4, 1e-15, "1.5, threshold 0.05 / (1 - 0.5)")
    assert_close(first("adam", l1, epsilon=0.0), 1.4875, 1e-15, "1.5, threshold 0.5 * 0.1 / 4")


def test_constraints_worked_by_hand() -> None:
    w = np.array([[3.0, 0.3], [4.0, -0.4]])
    shrunk = rule.constrain(w, {"kind": "max_norm", "value": 1.0, "axis": 0})
    assert_close(shrunk, [[0.6, 0.3], [0.8, -0.4]], 1e-6, "max_norm 1 along axis 0")
    unit = rule.constrain(w, {"kind": "unit_norm", "value": 0.0, "axis": 1})
    assert_close((unit * unit).sum(axis=1), [1, 1], 1e-6, "unit_norm along axis 1")
    assert_close(
        rule.constrain(w, {"kind": "non_neg", "value": 0.0, "axis": 0}), [[3, 0.3], [4, 0]], 0, "non_neg"
    )


def test_random_numbers_are_in_range() -> None:
    assert random.keep_count(0.5) == 32768
    assert random.keep_count(1.0) == 0
    u = random.uniform(1000, 0.0, 1.0, 1, 2)
    assert 0 <= u.min() < 0.01
    assert 0.99 < u.max() < 1
    assert abs(random.standard_normal(10000, 1, 2).mean()) < 5 / math.sqrt(10000)
    assert sorted(random.permutation(11, 1, 0)) == list(range(11))


def test_the_trainer_learns() -> None:
    spec = ref.loss_spec("mean_squared_error")
    layers = [dense(8, "tanh", kernel_penalty=PROXIMAL), dropout(0.1, 1), dense(2)]
    x, y = data_for(spec, 64, 4, 2)
    trainer = Trainer(layers, weights_for(layers, 4), spec, rule.optimizer_spec("adam", learning_rate=0.01))
    losses = [trainer.train_epoch(x, y, 16, True)["loss"] for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0], losses[:: len(losses) - 1]
