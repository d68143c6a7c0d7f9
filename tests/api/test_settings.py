"""What may be set after a model has weights, which classes may be brought, and Keras's other words for arguments.

It must not test numbers of training: test_keras_semantics.py does. It is over 250 lines: each word is a few of them.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastreg
from api_cases import X, Y
from fastreg import constraints, initializers, layers, losses, metrics, optimizers, regularizers
from fastreg.layers import Dense, Dropout
from fastreg.models import Sequential, load_model


def trained() -> Sequential:
    model = Sequential([Dense(3, activation="tanh"), Dropout(0.5), Dense(1, activation="sigmoid")], seed=0)
    model.compile(optimizers.SGD(0.1), "binary_crossentropy")
    model.fit(X, Y, epochs=1, verbose=0)
    return model


# ---- settings ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (0, "activation", "relu"),
        (0, "units", 4),
        (0, "use_bias", False),
        (0, "kernel_constraint", None),
        (1, "rate", 0.0),
    ],
)
def test_a_layer_in_use_keeps_its_settings(layer: int, name: str, value: Any) -> None:
    model = trained()
    before, config = model.predict(X), model.get_config()
    with pytest.raises(AttributeError, match=f"^{name} of layer '.*' cannot change"):
        setattr(model.layers[layer], name, value)
    np.testing.assert_array_equal(model.predict(X), before)
    assert model.get_config() == config


def test_a_layer_without_weights_takes_settings() -> None:
    model = Sequential([Dense(3), Dropout(0.5), Dense(1)], seed=0)
    model.layers[1].rate = 0.0  # type: ignore[attr-defined]
    same = Sequential([Dense(3), Dropout(0.0), Dense(1)], seed=0)
    for each in (model, same):
        each.compile("sgd", "mse")
        each.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.predict(X), same.predict(X))


def test_the_kernels_regularizer_changes_with_compile() -> None:
    model = trained()
    model.layers[0].kernel_regularizer = regularizers.L1(100.0)  # type: ignore[attr-defined]
    model.compile(optimizers.SGD(0.1), "binary_crossentropy")
    model.fit(X, Y, epochs=1, verbose=0)
    assert not model.layers[0].get_weights()[0].any()


@pytest.mark.parametrize("name", ["seed", "dtype", "device", "precision"])
def test_a_model_in_use_keeps_its_settings(name: str) -> None:
    model = trained()
    before = getattr(model, name)
    with pytest.raises(AttributeError, match=f"^{name} of a model that has weights cannot change"):
        setattr(model, name, 1)
    assert getattr(model, name) == before


def test_an_optimizer_in_use_takes_a_learning_rate_alone() -> None:
    model = trained()
    with pytest.raises(
        AttributeError, match=r"^momentum cannot change in training; compile the model with another SGD"
    ):
        model.optimizer.momentum = 0.9  # type: ignore[attr-defined]
    model.optimizer.learning_rate = 0.5
    assert model.optimizer.learning_rate == 0.5


def test_a_learning_rate_answers_as_kerass_variable_does() -> None:
    model = trained()
    still, moved = trained(), model.optimizer.learning_rate
    moved.assign(0.0)
    assert model.optimizer.learning_rate == 0.0 == model.optimizer.learning_rate.numpy()
    assert isinstance(model.optimizer.learning_rate.numpy(), np.floating)
    before = model.get_weights()
    model.fit(X, Y, epochs=1, verbose=0)  # the next step uses it
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    assert type(still.optimizer.get_config()["learning_rate"]) is float
    copied = copy.deepcopy(still.optimizer.learning_rate)
    assert type(copied) is float
    assert copied == still.optimizer.learning_rate
    with pytest.raises(ValueError, match=r"^learning_rate must be"):
        still.optimizer.learning_rate.assign(-1.0)


# ---- classes from elsewhere ----------------------------------------------------------------------------------------
class Own:
    """Classes whose methods would not run."""

    class Penalty(regularizers.L2):
        def __call__(self, x: Any) -> float:
            return 100 * super().__call__(x)

    class FromBase(regularizers.Regularizer):
        def __call__(self, x: Any) -> float:
            return 1.0

    class Clip(constraints.Constraint):
        def __call__(self, w: Any) -> Any:
            return w

    class Twos(initializers.Ones):
        def __call__(self, shape: Any, dtype: str = "float32") -> Any:
            return 2 * super().__call__(shape, dtype)

    class Better(metrics.BinaryAccuracy):
        def result(self) -> Any:
            return 3.0

    class Cubed(losses.MeanSquaredError):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return abs(y_true - y_pred) ** 3

    class Doubled(layers.Dense):
        def call(self, x: Any) -> Any:
            return 2 * x

    class Slow(optimizers.SGD):
        def update_step(self, *_: Any) -> None: ...

    class Model(Sequential):
        def train_step(self, data: Any) -> Any: ...


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Dense(2, kernel_regularizer=Own.Penalty(0.1)),
            "regularizer Penalty brings its own __call__",
        ),
        (lambda: Dense(2, kernel_regularizer=Own.FromBase()), "regularizer FromBase brings its own __call__"),
        (lambda: Dense(2, kernel_constraint=Own.Clip()), "constraint Clip brings its own __call__"),
        (lambda: Dense(2, kernel_initializer=Own.Twos()), "initializer Twos brings its own __call__"),
        (lambda: Sequential([Own.Doubled(2)]), "layer Doubled brings its own call"),
        (lambda: Sequential([Dense(1)]).compile(loss=Own.Cubed()), "loss Cubed brings its own call"),
        (
            lambda: Sequential([Dense(1)]).compile(Own.Slow(), "mse"),
            "optimizer Slow brings its own update_step",
        ),
        (
            lambda: Sequential([Dense(1)]).compile("sgd", "mse", metrics=[Own.Better()]).fit(X, Y),
            "metric Better brings its own result",
        ),
        (lambda: Dense(2, kernel_regularizer=Own.Penalty), "regularizer Penalty brings its own __call__"),
        (
            lambda: Sequential([Dense(1)]).compile(Own.Slow, "mse"),
            "optimizer Slow brings its own update_step",
        ),
        (
            lambda: Sequential([Dense(1)]).compile("sgd", "mse", metrics=[Own.Better]),
            "metric Better brings its own result",
        ),
        (lambda: Own.Model([Dense(1)]), "Model brings its own train_step"),
    ],
)
def test_methods_that_would_not_run_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("module", "base"),
    [
        (constraints, "Constraint"),
        (initializers, "Initializer"),
        (losses, "Loss"),
        (metrics, "Metric"),
        (optimizers, "Optimizer"),
        (regularizers, "Regularizer"),
    ],
)
def test_the_base_of_a_family_is_refused(module: Any, base: str) -> None:
    family = getattr(module, base)
    for given in (family, family(0.1) if base == "Optimizer" else family()):
        with pytest.raises(TypeError, match=rf"must be one of the kinds of {base}, not {base} itself"):
            module.get(given)


def test_a_subclass_may_set_arguments() -> None:
    class Small(Dense):
        def __init__(self, **named: Any) -> None:
            super().__init__(2, activation="relu", **named)

    assert Sequential([fastreg.Input((3,)), Small()]).output_shape == (None, 2)


# ---- Keras's other words -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("alias", "cls"),
    [
        ("normal", initializers.RandomNormal),
        ("uniform", initializers.RandomUniform),
        ("zero", initializers.Zeros),
        ("one", initializers.Ones),
        (initializers.he_normal(), initializers.HeNormal),
        (initializers.glorot_uniform, initializers.GlorotUniform),
    ],
)
def test_initializers_by_other_names(alias: Any, cls: type) -> None:
    assert type(initializers.get(alias)) is cls


def test_load_model_takes_keras_arguments(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m", custom_objects={}, compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(RuntimeError, match="not compiled"):
        loaded.evaluate(X, Y)
    with pytest.raises(ValueError, match=r"custom_objects must be empty.*'MyLoss'"):
        load_model(tmp_path / "m", {"MyLoss": None})


def test_a_function_as_learning_rate_is_refused_with_the_way_to_go() -> None:
    with pytest.raises(TypeError, match=r"use callbacks\.LearningRateScheduler"):
        optimizers.Adam(lambda step: 0.1)  # type: ignore[arg-type]


def test_one_feature_may_be_a_vector() -> None:
    x = np.arange(6, dtype=np.float32)
    model = Sequential([Dense(1, input_shape=[1])], seed=0)
    model.compile("sgd", "mse")
    column = Sequential([Dense(1, input_shape=[1])], seed=0)
    column.compile("sgd", "mse")
    assert (
        model.fit(x, x, epochs=2, verbose=0).history == column.fit(x[:, None], x, epochs=2, verbose=0).history
    )
    np.testing.assert_array_equal(model.predict(x), column.predict(x[:, None]))


def test_a_weighted_metric_of_a_taken_name() -> None:
    model = Sequential([Dense(1, activation="sigmoid")], seed=0)
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy", "mse"])
    weight = np.linspace(0.0, 1.0, len(X))
    logs = model.fit(X, Y, epochs=1, verbose=0, sample_weight=weight, validation_split=0.5).history
    assert {"accuracy", "weighted_accuracy", "mse", "val_weighted_accuracy"} <= set(logs)
    assert model.metrics_names == ["loss", "accuracy", "weighted_accuracy", "mse"]
    assert [metric.maximised for metric in model.metrics] == [True, True, False]


@pytest.mark.parametrize(
    ("classes", "weights"),
    [
        ((0.0, 1.0), {0.0: 5.0, 1.0: 3.0}),  # keys as np.unique(y) gives them
        ((0.0, 1.0), {False: 5.0, True: 3.0}),
        ((-1.0, 1.0), {-1: 5.0, 1: 3.0}),
    ],
)
def test_class_weights_by_the_labels_as_they_are(classes: tuple[float, float], weights: Any) -> None:
    loss = "hinge" if classes[0] < 0 else "binary_crossentropy"
    labels = np.where(Y > 0, classes[1], classes[0])
    logs = []
    for named in ({"class_weight": weights}, {"sample_weight": np.where(Y > 0, 3.0, 5.0)}):
        model = Sequential([Dense(1, activation="tanh" if loss == "hinge" else "sigmoid")], seed=0)
        model.compile("sgd", loss)
        logs.append(model.fit(X, labels, epochs=2, verbose=0, **named).history)
    assert logs[0] == logs[1]


def test_a_batch_without_the_label_minus_1() -> None:
    results = []
    for named in ({"class_weight": {-1: 5.0, 1: 3.0}}, {"sample_weight": np.full(len(X), 3.0)}):
        model = Sequential([Dense(1, activation="tanh")], seed=0)
        model.compile("sgd", "hinge")
        results.append(model.train_on_batch(X, np.ones(len(X)), **named))
    assert results[0] == results[1]


def test_labels_of_minus_1_have_no_class_0() -> None:
    model = Sequential([Dense(1, activation="tanh")], seed=0)
    model.compile("sgd", "hinge")
    with pytest.raises(ValueError, match="class_weight has the class 0; the classes are -1 and 1"):
        model.fit(X, np.where(Y > 0, 1, -1), class_weight={0: 5.0, 1: 3.0})


@pytest.mark.parametrize(
    "module",
    ["activations", "constraints", "cuda", "initializers", "layers", "losses", "metrics", "models", "ops", "optimizers",
     "optimizers.schedules", "regularizers", "utils"],
)  # fmt: skip
def test_a_star_import_brings_words_of_fastreg_alone(module: str) -> None:
    names: dict[str, Any] = {}
    exec(f"from fastreg.{module} import *", names)
    del names["__builtins__"]
    assert names
    for name, value in names.items():
        assert value.__module__.startswith("fastreg"), name
        assert value.__doc__, name
