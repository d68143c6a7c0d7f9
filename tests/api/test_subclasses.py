"""Subclasses that only set arguments are what they derive from: trained, described, saved and copied as that.

It must not know how a class is found; classes that bring methods are refused in test_settings.py.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastreg
from fastreg import SGD, Dense, Sequential, constraints, initializers, layers, losses, metrics, regularizers
from fastreg.optimizers import schedules
from fastreg.sklearn import DenseRegressor

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)


class Momentum(SGD):
    def __init__(self, **named: Any) -> None:
        super().__init__(0.1, momentum=0.9, **named)


class Falling(schedules.ExponentialDecay):
    def __init__(self) -> None:
        super().__init__(0.1, 10, 0.5)


class Relu(Dense):
    def __init__(self, units: int, **named: Any) -> None:
        super().__init__(units, activation="relu", **named)


class Half(layers.Dropout):
    def __init__(self) -> None:
        super().__init__(0.5)


class Strong(regularizers.L1):
    def __init__(self) -> None:
        super().__init__(0.1)

    def get_config(self) -> dict[str, Any]:
        return {}


class Seeded(initializers.HeNormal):
    def __init__(self) -> None:
        super().__init__(seed=3)


class Short(constraints.MaxNorm):
    def __init__(self) -> None:
        super().__init__(0.5)


class Narrow(losses.Huber):
    def __init__(self) -> None:
        super().__init__(delta=0.1)


class Coarse(metrics.AUC):
    def __init__(self) -> None:
        super().__init__(num_thresholds=11)


def of_subclasses(rate: Any = 0.1) -> Sequential:
    model = Sequential(
        [
            fastreg.Input((3,)),
            Relu(8, kernel_regularizer=Strong(), kernel_initializer=Seeded(), kernel_constraint=Short()),
            Half(),
            Dense(1, "sigmoid"),
        ],
        seed=1,
    )
    model.compile(Momentum() if rate == 0.1 else SGD(rate), Narrow(), metrics=[Coarse()])
    return model


def plain(rate: Any = 0.1) -> Sequential:
    model = Sequential(
        [
            fastreg.Input((3,)),
            Dense(
                8,
                "relu",
                kernel_regularizer=regularizers.L1(0.1),
                kernel_initializer=initializers.HeNormal(seed=3),
                kernel_constraint=constraints.MaxNorm(0.5),
            ),
            fastreg.Dropout(0.5),
            Dense(1, "sigmoid"),
        ],
        seed=1,
    )
    optimizer = SGD(rate, momentum=0.9) if rate == 0.1 else SGD(rate)
    model.compile(optimizer, losses.Huber(delta=0.1), metrics=[metrics.AUC(num_thresholds=11, name="coarse")])
    return model


def trained(model: Sequential) -> tuple[list[bytes], dict[str, list[float]]]:
    history = model.fit(X, Y, epochs=3, verbose=0).history
    return [weight.tobytes() for weight in model.get_weights()], history


def test_they_train_as_what_they_derive_from() -> None:
    assert trained(of_subclasses()) == trained(plain())
    assert trained(of_subclasses(Falling())) == trained(plain(schedules.ExponentialDecay(0.1, 10, 0.5)))


def test_copies_and_files_hold_them(tmp_path: Path) -> None:
    model = of_subclasses()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model")
    others = [
        fastreg.load_model(tmp_path / "model"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ]
    expected = trained(model)
    assert [trained(other) for other in others] == [expected] * 3


@pytest.mark.parametrize(
    "made", [Momentum(), Falling(), Relu(4), Half(), Strong(), Seeded(), Short(), Narrow(), Coarse()]
)
def test_they_show_every_argument(made: Any) -> None:
    base = type(made).__mro__[1]
    shown = repr(made).partition("(")
    assert shown[0] == type(made).__name__
    assert (
        shown[2] == repr(base.from_config(fastreg._configurable.describe(made)["config"])).partition("(")[2]
    )


def test_settings_of_a_layer_with_weights_stay() -> None:
    model = of_subclasses()
    model.build()
    with pytest.raises(
        AttributeError, match="activation of layer 'relu' cannot change now that it has weights"
    ):
        model.layers[0].activation = "tanh"


def test_an_estimator_takes_them() -> None:
    predictions = []
    for optimizer, loss in ((Momentum(), Narrow()), (SGD(0.1, momentum=0.9), losses.Huber(delta=0.1))):
        network = DenseRegressor((8,), optimizer=optimizer, loss=loss, epochs=2, random_state=0)
        network.fit(X, Y[:, 0])
        for _ in range(2):
            network.partial_fit(X, Y[:, 0])
        predictions.append(network.predict(X))
    assert np.array_equal(*predictions)
