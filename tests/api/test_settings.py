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
from fastreg import (
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
)
from fastreg.layers import Dense, Dropout
from fastreg.models import Sequential, load_model
from fastreg.optimizers import schedules


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
    with pytest.raises(AttributeError, match=r"^momentum of a SGD that a model has taken cannot change"):
        model.optimizer.momentum = 0.9  # type: ignore[attr-defined]
    model.optimizer.learning_rate = 0.5
    assert model.optimizer.learning_rate == 0.5
    for other in (copy.deepcopy(model.optimizer), copy.copy(model.optimizer)):
        other.momentum = 0.9  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["proximal", "subgradient"])
def test_a_penalty_that_grows_while_training(method: str) -> None:
    """As it is told, so it is: in the history, in `losses`, and in a copy."""
    dense = layers.Dense(1, kernel_regularizer=regularizers.L1(0.0, method))
    model = models.Sequential([layers.Input((8,)), dense], dtype="float64", seed=0)
    model.compile(optimizers.SGD(0.05), "mse")
    weights = []

    class Ramp(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            weights.append(np.abs(dense.kernel.numpy()).sum())
            dense.kernel_regularizer = regularizers.L1(0.1 * epoch, method)

    x = np.random.default_rng(0).normal(size=(64, 8))
    given: Any = {"epochs": 20, "batch_size": 64, "verbose": 0, "callbacks": [Ramp()]}
    history = model.fit(x, x[:, :1], **given).history
    np.testing.assert_allclose(history["penalty"], 0.1 * np.arange(20) * weights, rtol=1e-12)
    assert np.count_nonzero(dense.kernel.numpy() == 0) == (7 if method == "proximal" else 0)
    assert model.evaluate(x, x[:, 0], verbose=0) == copy.deepcopy(model).evaluate(x, x[:, 0], verbose=0)
    np.testing.assert_allclose(float(model.losses[0]), 1.9 * np.abs(dense.kernel.numpy()).sum(), rtol=1e-12)


def test_a_penalty_is_of_all_models_that_have_the_layer() -> None:
    dense = layers.Dense(2, kernel_regularizer="l2")
    one = models.Sequential([layers.Input((8,)), dense], seed=0)
    other = models.Sequential([one, layers.Dense(1)], seed=1)
    x = np.zeros((4, 8))
    one.compile("sgd", "mse")
    other.compile("sgd", losses.ElasticNet("mse", alpha=0.25, beta=0.0))
    pairs = ((one, x[:, :2]), (other, x[:, :1]))
    for model, y in pairs:
        model.evaluate(x, y, verbose=0)
    dense.kernel_regularizer = "l1"  # type: ignore[assignment]
    size, last = (float(np.abs(layer.kernel.numpy()).sum()) for layer in other.layers)  # type: ignore[attr-defined]
    for (model, y), penalty in zip(pairs, (0.01 * size, 0.26 * size + 0.25 * last), strict=True):
        np.testing.assert_allclose(model.evaluate(x, y, verbose=0), penalty, rtol=1e-6)
    with pytest.raises(ValueError, match=r'method="subgradient"|method=.subgradient.'):
        dense.kernel_regularizer = regularizers.L1(0.1, "subgradient")
    assert isinstance(dense.kernel_regularizer, regularizers.L1)
    assert dense.kernel_regularizer.method == "proximal"
    with pytest.raises(TypeError, match="regularizer must be a name or an object of fastreg, not float"):
        dense.kernel_regularizer = 0.1  # type: ignore[assignment]
    for model, y in pairs:
        copied = copy.deepcopy(model)
        assert copied.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_what_a_model_has_taken_keeps_its_settings() -> None:
    """What could be set would be shown and saved, but not computed with."""
    l1, limit, start = regularizers.L1(0.1), constraints.MaxNorm(1.0), initializers.RandomNormal(seed=1)
    dense = layers.Dense(1, kernel_regularizer=l1, kernel_constraint=limit, kernel_initializer=start)
    loss = losses.ElasticNet(losses.Huber(delta=0.5), alpha=0.1)
    l1.l1 = 0.2
    model = models.Sequential([layers.Input((3,)), dense])
    metric = metrics.BinaryAccuracy(threshold=0.5)
    model.compile("sgd", loss, metrics=[metric])
    model.build()
    settings: list[tuple[Any, str, str]] = [
        (l1, "l1", "L1"), (limit, "max_value", "MaxNorm"), (start, "stddev", "RandomNormal"),
        (loss, "alpha", "ElasticNet"), (loss.loss, "delta", "Huber"), (loss, "delta", "ElasticNet"),
        (metric, "threshold", "BinaryAccuracy"),
    ]  # fmt: skip
    for part, name, kind in settings:
        with pytest.raises(AttributeError, match=f"^{name} of a {kind} that a model has taken cannot change"):
            setattr(part, name, 0.3)
        changed = copy.deepcopy(part)
        setattr(changed, name, 0.3)
    assert l1.l1 == 0.2


def test_a_compile_that_fails_changes_nothing() -> None:
    model = trained()
    before = (model.loss, model.optimizer, model.evaluate(X, Y, verbose=0))
    with pytest.raises(ValueError, match="unknown metric"):
        model.compile("adam", "mae", metrics=["nonsense"])
    model.layers[0].kernel_regularizer = regularizers.L1(6e37)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"l1 must be a finite number in \[0, 1e\+38\]"):
        model.compile("adam", losses.ElasticNet("mae", alpha=6e37))
    model.layers[0].kernel_regularizer = None  # type: ignore[attr-defined]
    assert (model.loss, model.optimizer, model.evaluate(X, Y, verbose=0)) == before
    copy.deepcopy(model)


def test_a_model_compiled_without_a_loss_is_saved() -> None:
    model = trained()
    model.compile("adam")
    again = copy.deepcopy(model)
    assert again.loss is None
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    with pytest.raises(RuntimeError, match="compiled without a loss"):
        again.evaluate(X, Y)


def test_an_optimizer_of_two_models_counts_for_each() -> None:
    """Keras refuses it."""
    shared = optimizers.SGD(schedules.PiecewiseConstantDecay([7], [0.1, 0.0]))
    one, other = [models.Sequential([layers.Dense(1)], seed=seed) for seed in (0, 1)]
    x = np.random.default_rng(0).normal(size=(64, 3))
    for model in (one, other):
        model.compile(shared, "mse")
        for _ in range(2):
            model.fit(x, x[:, 0], batch_size=16, verbose=0)
            before = model.get_weights()
    one.fit(x, x[:, 0], batch_size=16, verbose=0)
    other.fit(x, x[:, 0], batch_size=16, verbose=0)
    assert shared.iterations == 12
    np.testing.assert_array_equal(before[0], other.get_weights()[0])
    one.train_on_batch(x, x[:, 0])
    assert shared.iterations == 13
    # the first step of a model has the first rate, whatever others did
    for method in ("train_on_batch", "fit"):
        third = models.Sequential([layers.Input((3,)), layers.Dense(1)])
        third.compile(shared, "mse")
        before = third.get_weights()
        one.train_on_batch(x, x[:, 0])
        getattr(third, method)(x, x[:, 0])
        assert not np.array_equal(before[0], third.get_weights()[0]), method


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
