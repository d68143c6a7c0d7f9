"""Every public argument refuses what it cannot take, names itself, and leaves everything as it was.

Rows are (call, error, what the message must say). It must not test what arguments do.
It is over 250 lines because it is a table of every argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastreg
from fastreg import (
    activations,
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    ops,
    optimizers,
    regularizers,
    utils,
)
from fastreg.layers import Activation, Dense, Dropout, Input
from fastreg.models import Sequential

NAN, INF = float("nan"), float("inf")
X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)

Row = tuple[Callable[[], Any], type[Exception], str]


def check(row: Row) -> None:
    call, error, message = row
    with pytest.raises(error, match=message):
        call()


def with_value(array: Any, value: float) -> Any:
    changed = np.array(array, dtype=np.float64)
    changed.flat[-1] = value
    return changed


# ---- descriptions of a model --------------------------------------------------------------------------------------
REGULARIZERS: list[Row] = [
    *[
        (lambda v=v: regularizers.L1(v), ValueError, "l1 must be a finite number in \\[0, 1e\\+38\\]")
        for v in (-1, NAN, INF)
    ],
    *[
        (lambda v=v: regularizers.L2(v), ValueError, "l2 must be a finite number in \\[0, 1e\\+38\\]")
        for v in (-1, NAN, INF)
    ],
    (lambda: regularizers.L1L2(l1=-0.1), ValueError, "l1 must"),
    (lambda: regularizers.L1L2(l2=NAN), ValueError, "l2 must"),
    (lambda: regularizers.l1_l2(l2=-1), ValueError, "l2 must"),
    (lambda: regularizers.L1("much"), TypeError, "l1 must be a number, not str: 'much'"),
    (lambda: regularizers.L1(True), TypeError, "l1 must be a number, not bool"),
    (
        lambda: regularizers.L1(method="lasso"),
        ValueError,
        "method must be one of 'proximal', 'subgradient', not 'lasso'",
    ),
    (lambda: regularizers.get("l3"), ValueError, "unknown regularizer 'l3'; known: l1, l1_l2"),
    (
        lambda: regularizers.get(0.01),
        TypeError,
        "regularizer must be a name or an object of fastreg, not float",
    ),
    (lambda: regularizers.L1()(["a"]), TypeError, "x must hold real numbers"),
    (lambda: constraints.MaxNorm(-1), ValueError, "max_value must"),
    (lambda: constraints.MaxNorm(axis=2), ValueError, "axis must be at most 1"),
    (lambda: constraints.UnitNorm(axis=[0, 0]), ValueError, r"axis must be 0, 1 or \[0, 1\]"),
    (lambda: constraints.get("small"), ValueError, "unknown constraint 'small'"),
    (lambda: activations.get("step"), ValueError, "unknown activation 'step'"),
    (
        lambda: activations.get(np.tanh),
        TypeError,
        "activation must be a name or a function of fastreg.activations",
    ),
    (lambda: initializers.get("magic"), ValueError, "unknown initializer 'magic'"),
    (lambda: initializers.RandomUniform(1.0, 0.0), ValueError, "maxval must"),
    (lambda: initializers.RandomNormal(stddev=-1), ValueError, "stddev must"),
    (lambda: initializers.VarianceScaling(scale=0), ValueError, "scale must be a finite number above 0"),
    (lambda: initializers.VarianceScaling(mode="in"), ValueError, "mode must be one of"),
    (lambda: initializers.VarianceScaling(distribution="beta"), ValueError, "distribution must be one of"),
    (lambda: initializers.GlorotUniform(seed=-1), ValueError, "seed must be at least 0"),
    (lambda: initializers.GlorotUniform(seed=2**64), ValueError, "seed must be at most"),
    (lambda: initializers.Zeros()((2, -1)), ValueError, "shape must be at least 0"),
    (lambda: initializers.Zeros()(2, dtype="int32"), ValueError, "dtype must be one of"),
]

LAYERS: list[Row] = [
    (lambda: Dense(0), ValueError, "units must be at least 1, not 0"),
    (lambda: Dense(2.5), TypeError, "units must be an integer, not float"),  # type: ignore[arg-type]
    (lambda: Dense(True), TypeError, "units must be an integer, not bool"),
    (lambda: Dense(2, "tan"), ValueError, "unknown activation 'tan'"),
    (lambda: Dense(2, use_bias="no"), TypeError, "use_bias must be True or False, not 'no'"),  # type: ignore[arg-type]
    (lambda: Dense(2, kernel_initializer="he"), ValueError, "unknown initializer 'he'"),
    (lambda: Dense(2, bias_initializer=3), TypeError, "initializer must be"),
    (lambda: Dense(2, kernel_regularizer="l9"), ValueError, "unknown regularizer"),
    (lambda: Dense(2, bias_regularizer=1), TypeError, "regularizer must be"),
    (lambda: Dense(2, activity_regularizer=1), TypeError, "regularizer must be"),
    (lambda: Dense(2, kernel_constraint="c"), ValueError, "unknown constraint"),
    (
        lambda: Dense(2, bias_constraint=constraints.MaxNorm(axis=1)),
        ValueError,
        "bias_constraint must have axis 0",
    ),
    (lambda: Dense(2, input_shape=(2, 3)), ValueError, "input_shape must be"),
    (lambda: Input((4, 0)), ValueError, "shape must be at least 1, not 0"),
    (lambda: Input(()), ValueError, r"shape must be \(features,\), without the batch"),
    (lambda: layers.Flatten("channels_first"), ValueError, "data_format must be None"),
    (lambda: layers.Flatten(input_shape=7), ValueError, "input_shape must be"),  # type: ignore[arg-type]
    (lambda: Dense(2, input_dim=0), ValueError, "input_dim must be at least 1"),
    (lambda: Dense(2, input_dim=3, input_shape=(3,)), ValueError, "give input_shape or input_dim, not both"),
    (lambda: Dense(2, name=7), TypeError, "name must be a string"),  # type: ignore[arg-type]
    (lambda: Dense(2, trainable="no"), TypeError, "trainable must be True or False"),  # type: ignore[call-arg]
    *[
        (lambda v=v: Dropout(v), ValueError, r"rate must be a finite number in \[0, 1\]")
        for v in (-0.1, 1.1, NAN)
    ],
    (lambda: Dropout(0.5, (1, 2)), ValueError, "noise_shape must be None"),  # type: ignore[arg-type]
    (lambda: Dropout(0.5, seed=-3), ValueError, "seed must be at least 0"),
    (lambda: Dropout(0.5, scale_at="test"), ValueError, "scale_at must be one of 'train', 'inference'"),
    (lambda: Activation("steep"), ValueError, "unknown activation"),
    (lambda: layers.LeakyReLU(-1), ValueError, "negative_slope must"),
    (lambda: layers.LeakyReLU(alpha=-1), ValueError, "alpha must"),
    (lambda: layers.ELU(-1), ValueError, "alpha must"),
    (lambda: Input(shape=3), ValueError, "shape must be"),  # type: ignore[arg-type]
    (lambda: Dense(2).set_weights([]), ValueError, "has no weights yet"),
]

SETTINGS: list[Row] = [
    (lambda: losses.get("mean"), ValueError, "unknown loss 'mean'"),
    (lambda: losses.get(print), TypeError, "loss must be a name or an object of fastreg"),
    (lambda: losses.Huber(0), ValueError, "delta must be a finite number above 0"),
    (lambda: losses.BinaryCrossentropy(label_smoothing=2), ValueError, "label_smoothing must"),
    (lambda: losses.BinaryCrossentropy(from_logits="yes"), TypeError, "from_logits must"),  # type: ignore[arg-type]
    (lambda: losses.MeanSquaredError(reduction="max"), ValueError, "reduction must be one of"),
    (lambda: losses.ElasticNet(), TypeError, "ElasticNet must have the loss that it adds to"),
    (lambda: losses.get("elastic_net"), TypeError, "ElasticNet must have the loss that it adds to"),
    (lambda: losses.ElasticNet("mse", alpha=-1), ValueError, "alpha must"),
    (lambda: losses.ElasticNet("mse", beta=NAN), ValueError, "beta must"),
    (lambda: losses.ElasticNet("mse", method="x"), ValueError, "method must"),
    (lambda: losses.ElasticNet(losses.ElasticNet("mse")), ValueError, "not another ElasticNet"),
    (lambda: losses.MeanSquaredError()([[1, 2]], [[1]]), ValueError, r"y_true has the shape \(1, 2\)"),
    (
        lambda: losses.Huber()(np.ones(6), np.ones(6), np.ones((3, 2))),
        ValueError,
        r"must have the shape \(6,\)",
    ),
    (lambda: optimizers.get("adamax"), ValueError, "unknown optimizer 'adamax'; known: adagrad, adam, adamw"),
    (lambda: optimizers.SGD(-1), ValueError, "learning_rate must"),
    (lambda: optimizers.SGD(lambda t: 0.1), TypeError, "learning_rate must be a number"),  # type: ignore[arg-type]
    (lambda: optimizers.SGD(momentum=1), ValueError, r"momentum must be a finite number in \[0, 1\)"),
    (lambda: optimizers.SGD(nesterov=2), TypeError, "nesterov must"),  # type: ignore[arg-type]
    (lambda: optimizers.Adam(beta_1=1), ValueError, "beta_1 must"),
    (lambda: optimizers.Adam(beta_2=-1), ValueError, "beta_2 must"),
    (lambda: optimizers.Adam(epsilon=-1), ValueError, "epsilon must"),
    (lambda: optimizers.Adam(amsgrad="a"), TypeError, "amsgrad must"),  # type: ignore[arg-type]
    (lambda: optimizers.AdamW(weight_decay=None), TypeError, "weight_decay must"),  # type: ignore[arg-type]
    (lambda: optimizers.RMSprop(rho=2), ValueError, "rho must"),
    (lambda: optimizers.RMSprop(centered=3), TypeError, "centered must"),  # type: ignore[arg-type]
    (lambda: optimizers.Adagrad(initial_accumulator_value=-1), ValueError, "initial_accumulator_value must"),
    (lambda: optimizers.SGD(weight_decay=-1), ValueError, "weight_decay must"),
    (lambda: optimizers.SGD(clipnorm=0), ValueError, "clipnorm must be a finite number above 0"),
    (lambda: optimizers.SGD(clipvalue=-1), ValueError, "clipvalue must"),
    (lambda: optimizers.SGD(global_clipnorm=INF), ValueError, "global_clipnorm must"),
    (
        lambda: optimizers.SGD(clipnorm=1, clipvalue=1),
        ValueError,
        "only one of .* not clipnorm and clipvalue",
    ),
    (lambda: setattr(optimizers.SGD(), "learning_rate", -1), ValueError, "learning_rate must"),
    (lambda: metrics.get("top"), ValueError, "unknown metric 'top'"),
    (lambda: metrics.AUC(num_thresholds=1), ValueError, "num_thresholds must be at least 2"),
    (lambda: metrics.AUC(curve="roc"), ValueError, "curve must"),
    (lambda: metrics.AUC(summation_method="x"), ValueError, "summation_method must"),
    (lambda: metrics.Precision(thresholds=2), ValueError, "thresholds must"),
    (lambda: metrics.Recall(thresholds="a"), TypeError, "thresholds must"),  # type: ignore[arg-type]
    (lambda: metrics.BinaryAccuracy(threshold=NAN), ValueError, "threshold must"),
    (lambda: metrics.R2Score("mean"), ValueError, "class_aggregation must"),
    (lambda: metrics.MeanSquaredError()([[1, 2]], [[1]]), ValueError, "y_true has the shape"),
    (
        lambda: metrics.MeanSquaredError()([1], [1], [1, 2]),
        ValueError,
        r"^sample_weight must have the shape \(1,\)",
    ),
    (
        lambda: metrics.MeanSquaredError()([1], [1], [-1]),
        ValueError,
        "^sample_weight must hold finite values",
    ),
    (
        lambda: metrics.CategoricalAccuracy()(np.ones((2, 0)), np.ones((2, 0))),
        ValueError,
        r"^y_pred must .*\(2, 0\)",
    ),
    (lambda: callbacks.EarlyStopping(patience=-1), ValueError, "patience must be at least 0"),
    (lambda: callbacks.EarlyStopping(min_delta=NAN), ValueError, "min_delta must"),
    (lambda: callbacks.EarlyStopping(baseline="low"), TypeError, "baseline must"),  # type: ignore[arg-type]
    (lambda: callbacks.EarlyStopping(start_from_epoch=-1), ValueError, "start_from_epoch must"),
    (lambda: callbacks.EarlyStopping(min_delta_mode="x"), ValueError, "min_delta_mode must"),
    (lambda: callbacks.EarlyStopping(restore_best_weights="y"), TypeError, "restore_best_weights"),  # type: ignore[arg-type]
    (lambda: callbacks.EarlyStopping(monitor=[]), ValueError, "monitor must"),
    (lambda: callbacks.EarlyStoppingMonitor(mode="auto"), ValueError, "mode must be one of 'min', 'max'"),
    (lambda: callbacks.EarlyStopping(stopping_threshold=NAN), ValueError, "stopping_threshold must"),
    (lambda: callbacks.EarlyStopping(divergence_threshold=NAN), ValueError, "divergence_threshold must"),
    (lambda: callbacks.EarlyStopping(check_finite=5), TypeError, "check_finite must"),  # type: ignore[arg-type]
    (lambda: callbacks.ModelCheckpoint("m", save_freq=0), ValueError, "save_freq must"),
    (lambda: callbacks.ModelCheckpoint("m", save_freq="batch"), TypeError, "save_freq must"),
    (lambda: callbacks.ModelCheckpoint(3), TypeError, "int"),  # type: ignore[arg-type]
    (lambda: callbacks.ReduceLROnPlateau(patience=-1), ValueError, "patience must"),
    (lambda: callbacks.ReduceLROnPlateau(cooldown=-1), ValueError, "cooldown must"),
    (lambda: callbacks.ReduceLROnPlateau(min_lr=-1), ValueError, "min_lr must"),
    (lambda: callbacks.LearningRateScheduler(0.1), TypeError, "schedule must be a function"),  # type: ignore[arg-type]
    (lambda: callbacks.CSVLogger("f", separator="--"), ValueError, "separator must be one character"),
    (lambda: utils.set_random_seed(-1), ValueError, "seed must"),
    (lambda: utils.to_categorical([0.5]), ValueError, "x must hold integer class indices"),
    (lambda: utils.to_categorical([-1]), ValueError, "x must hold integer class indices"),
    (lambda: utils.to_categorical([3], 3), ValueError, "x holds the class 3; num_classes=3"),
    (lambda: utils.to_categorical([]), ValueError, "num_classes is needed"),
    (lambda: fastreg.show_config("json"), ValueError, "mode must"),
    (lambda: fastreg.set_num_threads(0), ValueError, "n must be at least 1"),
]


@pytest.mark.parametrize("row", [*REGULARIZERS, *LAYERS, *SETTINGS], ids=lambda row: row[2])
def test_descriptions(row: Row) -> None:
    check(row)


# ---- the model ----------------------------------------------------------------------------------------------------
MODEL: list[Row] = [
    (lambda: Sequential(seed=-1), ValueError, "seed must"),
    (lambda: Sequential(seed=1.5), TypeError, "seed must be an integer, not float"),  # type: ignore[arg-type]
    (lambda: Sequential(device="tpu"), ValueError, "device must be one of 'cpu', 'cuda', 'auto', not 'tpu'"),
    (
        lambda: Sequential(dtype="float16"),
        ValueError,
        "dtype must be one of 'float32', 'float64', not 'float16'",
    ),
    (lambda: Sequential(Dense(2)), TypeError, "layers must be a list"),  # type: ignore[arg-type]
    (lambda: Sequential(5), TypeError, "layers must be a list, not int"),  # type: ignore[arg-type]
    (lambda: Sequential([], 42), TypeError, "name must be a string, not 42"),  # type: ignore[arg-type]
    (lambda: Sequential([Dense]), TypeError, "layer must be a layer of fastreg.layers"),  # type: ignore[list-item]
    (lambda: Sequential(["relu"]), TypeError, "layer must be a layer"),  # type: ignore[list-item]
    (
        lambda: Sequential([Dense(2, name="a"), Dense(2, name="a")]),
        ValueError,
        "already has a layer named 'a'",
    ),
    (
        lambda: Sequential([Dense(2), Input((3,))]),
        ValueError,
        "expects 3 inputs; what comes before it gives 2",
    ),
    (lambda: Sequential([Dense(2), Input((2,))]), ValueError, "Input must be the first layer"),
    (
        lambda: Sequential([Input((2, 3)), Dense(2)]),
        ValueError,
        r"Dense takes rows of one axis, not \(2, 3\); put Flatten\(\) before it",
    ),
    (
        lambda: Sequential([Input((2, 3)), layers.Flatten(input_shape=(3, 2))]),
        ValueError,
        r"the model takes inputs with rows of the shape \(2, 3\), not \(3, 2\)",
    ),
    (lambda: Sequential().pop(), ValueError, "no layers"),
    (lambda: Sequential([Dense(2)]).get_layer("x"), ValueError, "no layer named 'x'; there are dense"),
    (lambda: Sequential([Dense(2)]).get_layer(), ValueError, "give name or index"),
    (lambda: Sequential([Dense(2)]).build((None, 2, 3)), ValueError, "input_shape must be"),
    (lambda: Sequential([Dense(2)]).build((None, 0)), ValueError, "input_shape must be at least 1"),
    (lambda: Sequential([Dense(2)]).build(), ValueError, "no weights yet"),
    (
        lambda: Sequential([Dense(2)]).compile("adam", "mse", metrics={"a": "mse", "b": "mae"}),
        TypeError,
        "metrics must be a list: a Sequential model has one output, not 2",
    ),
    (lambda: Sequential([Dense(2)]).compile("ftrl", "mse"), ValueError, "unknown optimizer"),
    (lambda: Sequential([Dense(2)]).compile("sgd", "ms"), ValueError, "unknown loss"),
    (lambda: Sequential([Dense(2)]).compile("sgd", "mse", metrics=["nope"]), ValueError, "unknown metric"),
    (
        lambda: Sequential([Dense(2)]).compile("sgd", "mse", metrics=["sparse_categorical_accuracy"]),
        ValueError,
        "needs class indices; the targets of the loss are 2 columns",
    ),
    (
        lambda: Sequential([Dense(2)]).compile("sgd", "sparse_categorical_crossentropy", metrics=["mse"]),
        ValueError,
        "metric 'mse' needs targets of 2 columns",
    ),
    (
        lambda: Sequential([Dense(2)]).compile("sgd", "mse", metrics=[metrics.Accuracy()]),
        ValueError,
        'pass the string "accuracy"',
    ),
    (
        lambda: Sequential([Dense(2)]).compile("sgd", losses.MeanSquaredError(reduction="sum")),
        ValueError,
        "reduction=\"sum_over_batch_size\", not 'sum'",
    ),
    (
        lambda: Sequential([Dense(2, kernel_regularizer=regularizers.L1(0.1, "subgradient"))]).compile(
            "sgd", losses.ElasticNet("mse", 0.1)
        ),
        ValueError,
        "layer 'dense' has an L1 penalty with method='subgradient', the loss ElasticNet one with method='proximal'",
    ),
]


@pytest.mark.parametrize("row", MODEL, ids=lambda row: row[2])
def test_models(row: Row) -> None:
    check(row)


# ---- data and fit -------------------------------------------------------------------------------------------------
FIT: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"x": X[:, 0]},
        ValueError,
        r"x must have the shape \(n, features\), not \(20,\); reshape one feature to",
    ),
    ({"x": X[:, :, None]}, ValueError, r"x must have the shape \(n, features\), not \(20, 3, 1\)"),
    ({"x": X[:0], "y": Y[:0]}, ValueError, r"x is empty: its shape is \(0, 3\)"),
    ({"x": X[:, :0]}, ValueError, "x is empty"),
    ({"x": X.astype(complex)}, TypeError, "x must hold real numbers, but its dtype is complex128"),
    ({"x": X.astype(object)}, TypeError, "but its dtype is object .*astype"),
    ({"x": X.astype(str)}, TypeError, "x must hold real numbers, but its dtype is <U"),
    ({"x": [[1.0, 2.0], [3.0]]}, TypeError, "x must be a rectangular array"),
    ({"x": None}, TypeError, "x must hold real numbers"),
    ({"x": np.ma.masked_array(X)}, TypeError, "x is a masked array"),
    ({"x": X[:, :2]}, ValueError, "x has 2 columns; layer 0 expects 3"),
    ({"x": with_value(X, NAN)}, ValueError, r"x holds values that are not finite .* at \[19, 2\]"),
    ({"x": with_value(X, INF)}, ValueError, "x holds values that are not finite"),
    ({"x": with_value(X, 1e300)}, ValueError, "not finite in float32; the first is inf"),
    ({"y": None}, ValueError, "y is missing"),
    ({"y": Y[:-1]}, ValueError, "y has 19 rows; x has 20"),
    (
        {"y": np.stack([Y, Y], 1)},
        ValueError,
        "y has 2 columns; the loss binary_crossentropy with 1 output units needs 1",
    ),
    ({"y": Y.reshape(20, 1, 1)}, ValueError, "y must have the shape"),
    ({"y": Y * 2 - 1}, ValueError, r"y holds -1; the loss binary_crossentropy needs values in \[0, 1\]"),
    ({"y": with_value(Y, NAN)}, ValueError, "y holds values that are not finite"),
    ({"y": ["a"] * 20}, TypeError, "y must hold real numbers"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
    ({"batch_size": -5}, ValueError, "batch_size must be at least 1"),
    ({"batch_size": 2.0}, TypeError, "batch_size must be an integer, not float"),
    ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    ({"epochs": "5"}, TypeError, "epochs must be an integer, not str"),
    ({"initial_epoch": -1}, ValueError, "initial_epoch must be at least 0"),
    ({"verbose": -1}, ValueError, "verbose must be at least 0"),
    ({"verbose": "loud"}, ValueError, 'verbose must be "auto", 0, 1 or 2'),
    ({"shuffle": "batch"}, TypeError, "shuffle must be True or False"),
    ({"callbacks": [print]}, TypeError, "callbacks must be a list of Callback objects; it has builtin"),
    ({"callbacks": [callbacks.EarlyStopping]}, TypeError, "callbacks must be"),
    *[
        ({"validation_split": s}, ValueError, r"validation_split must .* \[0, 1\)")
        for s in (-0.1, 1.0, 1.5, NAN)
    ],
    ({"validation_split": 0.99}, ValueError, "of 20 rows leaves none for training"),
    ({"validation_split": 1e-20}, ValueError, "of 20 rows leaves none for validation"),
    ({"validation_data": X}, ValueError, r"validation_data must be \(x, y\) or"),
    ({"validation_data": (X,)}, ValueError, "validation_data must be"),
    ({"validation_data": (X[:, :2], Y)}, ValueError, "x of validation_data has 2 columns"),
    ({"validation_data": (X, Y[:3])}, ValueError, "y of validation_data has 3 rows"),
    ({"validation_data": (X, Y, Y[:2])}, ValueError, "sample_weight of validation_data must have the shape"),
    ({"validation_batch_size": 0}, ValueError, "validation_batch_size must"),
    ({"validation_freq": 0}, ValueError, "validation_freq must"),
    ({"validation_freq": [0]}, ValueError, "validation_freq must"),
    ({"sample_weight": np.ones(19)}, ValueError, r"sample_weight must have the shape \(20,\)"),
    ({"sample_weight": -np.ones(20)}, ValueError, "sample_weight must hold finite values of at least 0"),
    ({"sample_weight": np.full(20, NAN)}, ValueError, "sample_weight must hold finite values"),
    ({"class_weight": [1, 2]}, TypeError, "class_weight must be a dict"),
    (
        {"class_weight": {2: 1.0}},
        ValueError,
        "class_weight has the class 2; the classes are 0 to 1",
    ),
    ({"class_weight": {0: -1.0}}, ValueError, r"class_weight\[0\] must"),
    ({"class_weight": {"a": 1.0}}, TypeError, "a key of class_weight must be an integer"),
    ({"class_weight": {0: 1.0}, "y": Y / 2}, ValueError, "class_weight needs y to hold classes"),
    ({"allow_nonfinite": "yes"}, TypeError, "allow_nonfinite must"),
    ({"steps": 3}, TypeError, "steps"),
]


@pytest.mark.parametrize("row", FIT, ids=lambda row: row[2])
def test_fit_checks_before_it_touches_anything(row: tuple[dict[str, Any], type[Exception], str]) -> None:
    arguments, error, message = row
    model = Sequential([Dense(1, activation="sigmoid")], seed=0)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.build((None, 3))
    before = [w.tobytes() for w in model.get_weights()]
    touched: list[int] = []
    watch = callbacks.LambdaCallback(on_train_begin=lambda: touched.append(1))
    with pytest.raises(error, match=message):
        model.fit(**{"x": X, "y": Y, "verbose": 0, "callbacks": [watch], **arguments})
    assert before == [w.tobytes() for w in model.get_weights()]
    assert (model.optimizer.iterations, model.history, touched) == (0, None, [])
    model.fit(X, Y, verbose=0)  # and it is as usable as before


@pytest.mark.parametrize(
    ("units", "loss", "y", "message"),
    [
        (
            3,
            "sparse_categorical_crossentropy",
            np.full(20, 3),
            r"y holds 3; .* integer class indices in \[0, 3\)",
        ),
        (3, "sparse_categorical_crossentropy", np.full(20, -1), "y holds -1"),
        (3, "sparse_categorical_crossentropy", np.full(20, 0.5), "y holds 0.5"),
        (
            3,
            "sparse_categorical_crossentropy",
            np.eye(3)[np.zeros(20, int)],
            "for one-hot targets use categorical",
        ),
        (
            3,
            "categorical_crossentropy",
            np.zeros(20),
            "for class indices use sparse_categorical_crossentropy",
        ),
        (3, "categorical_crossentropy", np.full((20, 3), 2.0), "y holds 2"),
        (1, "categorical_crossentropy", Y, "needs at least 2 output units; for 1 use binary_crossentropy"),
        (1, "hinge", np.full(20, 2.0), "labels -1 and 1, or 0 and 1"),
        (
            1,
            "hinge",
            np.array([0, -1, 1, 1] * 5),
            "y holds 0; the loss hinge needs labels -1 and 1, or 0 and 1",
        ),
        (2, "mse", Y, "y has 1 columns; the loss mean_squared_error with 2 output units needs 2"),
    ],
)
def test_targets_must_fit_the_loss(units: int, loss: str, y: Any, message: str) -> None:
    model = Sequential([Dense(units, activation="softmax" if units > 1 else "sigmoid")], seed=0)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, verbose=0)


def compiled() -> Sequential:
    model = Sequential([Input((3,)), Dense(1, activation="sigmoid")], seed=0)
    model.compile("sgd", "mse")
    return model


def flattening() -> Sequential:
    return Sequential([Input((1, 3)), layers.Flatten(), Dense(1)])


OTHERS: list[Row] = [
    (lambda: compiled().evaluate(X, Y, batch_size=0), ValueError, "batch_size must"),
    (lambda: compiled().evaluate(X, Y[:2]), ValueError, "y has 2 rows"),
    (lambda: compiled().evaluate(X, Y, verbose=-9), ValueError, "verbose must"),
    (lambda: compiled().evaluate(X, Y, verbose=0, return_dict="a"), TypeError, "return_dict must"),
    (lambda: compiled().predict(X[:, :2]), ValueError, "x has 2 columns; layer 0 expects 3"),
    (lambda: compiled().predict(X[0]), ValueError, r"x must have the shape \(n, features\)"),
    (lambda: compiled().predict(X[None]), ValueError, "a first layer Flatten takes more axes"),
    (
        lambda: flattening().predict(X.reshape(-1, 3, 1)),
        ValueError,
        r"x has rows of the shape \(3, 1\); layer 0 expects \(1, 3\)",
    ),
    (
        lambda: flattening().predict(np.ones((5, 1, 4))),
        ValueError,
        r"x has rows of the shape \(1, 4\); layer 0 expects \(1, 3\)",
    ),
    (
        lambda: flattening().predict(X),
        ValueError,
        r"x has rows of the shape \(3,\); layer 0 expects \(1, 3\)",
    ),
    (lambda: compiled().predict(X, batch_size=0), ValueError, "batch_size must"),
    (lambda: compiled().predict("x"), TypeError, "x must hold real numbers"),
    (lambda: compiled().predict([np.ma.masked_array(X[0])]), TypeError, "x is a masked array"),
    (lambda: compiled().train_on_batch(X, Y[:1]), ValueError, "y has 1 rows"),
    (
        lambda: compiled().train_on_batch(X, Y, class_weight={5: 1}),
        ValueError,
        "class_weight has the class 5",
    ),
    (lambda: compiled().test_on_batch(X), ValueError, "y is missing"),
    (lambda: compiled().set_weights([np.zeros((3, 1))]), ValueError, "has 2 weight arrays, not 1"),
    (lambda: compiled().set_weights(5), TypeError, "weights must be a list, not int"),
    (
        lambda: compiled().set_weights([np.zeros((3, 2)), np.zeros(1)]),
        ValueError,
        r"weights\[0\] must have shape \(3, 1\)",
    ),
    (
        lambda: compiled().set_weights([np.zeros((3, 1)), ["a"]]),
        TypeError,
        r"weights\[1\] must hold real numbers",
    ),
    (lambda: compiled().layers[0].set_weights([np.zeros((3, 1))]), ValueError, "has 2 weight arrays, not 1"),
    (lambda: compiled().build((None, 7)), ValueError, "the model takes 3 input features, not 7"),
    (lambda: compiled().summary(line_length=10), ValueError, "line_length must be at least 60"),
    (lambda: Sequential([Dropout(0.5)]).fit(X, Y), RuntimeError, "not compiled"),
]


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row[2])
def test_other_methods(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("layers_", [[], [Dropout(0.5)], [Input((1,)), Dropout(0.5)]])
def test_a_model_without_dense_layers_cannot_be_trained(layers_: list[Any]) -> None:
    model = Sequential(layers_)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="the model has no weights; add a Dense layer"):
        model.fit(X[:, :1], Y)


# ---- ops ----------------------------------------------------------------------------------------------------------
W = np.ones((3, 2), np.float32)
OPS: list[Row] = [
    (lambda: ops.dense_forward(X.tolist(), W), TypeError, "x must be a NumPy array, or .* not list"),
    (lambda: ops.dense_forward(X[0], W), ValueError, "x must have 2 axes"),
    (
        lambda: ops.dense_forward(X, W.astype(np.float64)),
        TypeError,
        "w must have dtype float32, that of x, got float64",
    ),
    (lambda: ops.dense_forward(X[:, :2], W), ValueError, r"w has shape \(3, 2\); expected \(2, 2\)"),
    (
        lambda: ops.dense_forward(X, W, np.ones(3, np.float32)),
        ValueError,
        r"b has shape \(3,\); expected \(2,\): one number per output",
    ),
    (lambda: ops.dense_forward(X, W, activation="tan"), ValueError, "activation must be one of linear, relu"),
    (lambda: ops.dense_forward(X, W, rate=1.5), ValueError, r"rate must be in \[0, 1\], got 1.5"),
    (
        lambda: ops.dense_forward(X, W, out=np.empty((20, 3), np.float32)),
        ValueError,
        r"out has shape \(20, 3\)",
    ),
    (lambda: ops.dense_forward(X, W, out=np.empty((20, 2))), TypeError, "out must have dtype float32"),
    (
        lambda: ops.dense_backward(np.ones((20, 2), np.float32), X, W, np.ones((20, 3), np.float32)),
        ValueError,
        r"y has shape \(20, 3\)",
    ),
    (lambda: ops.dropout([1.0], 0.5, 1), TypeError, "x must be a NumPy array"),  # type: ignore[arg-type]
    (lambda: ops.dropout(X, -0.5, 1), ValueError, r"rate must be in \[0, 1\], got -0.5"),
    (lambda: ops.dropout(X, 0.5, -1), ValueError, r"seed must be in \[0, 2\*\*64\), got -1"),
    (
        lambda: ops.dropout(X, 0.5, 1, out=np.empty((3, 20), np.float32)),
        ValueError,
        r"out must have shape \(20, 3\)",
    ),
    (lambda: ops.dropout_mask(-1, 0.5, 1), ValueError, "shape must be at least 0"),
    (lambda: ops.elastic_net(W, -1, 0), ValueError, "l1 must be finite and >= 0, got -1"),
    (lambda: ops.elastic_net(W, 1e39, 0), ValueError, r"l1 must be at most 1e38, got 1e\+39"),
    (lambda: ops.elastic_net(W.astype(int), 1, 0), TypeError, "w must have dtype float32 or float64"),
    (lambda: ops.elastic_net_gradient(W, 0, NAN), ValueError, "l2 must be finite and >= 0, got nan"),
    (lambda: ops.prox(W, 1, 0, -1), ValueError, "step must be finite and >= 0"),
    (lambda: ops.prox(W, 1, 0, 1, out=np.empty((3, 2))), TypeError, "out must have dtype float32"),
    (lambda: ops.sgd_update(W.copy(), W, momentum=0.9), ValueError, "velocity is needed"),
    (lambda: ops.sgd_update(W.copy(), W[:2]), ValueError, r"g must have shape \(3, 2\), that of w"),
    (lambda: ops.sgd_update(W.copy(), W, method="x"), ValueError, "method must"),
    (
        lambda: ops.sgd_update(W.copy(), W, W[:2].copy(), momentum=0.9),
        ValueError,
        r"velocity must have shape \(3, 2\), that of w, got \(2, 2\)",
    ),
    (lambda: ops.adam_update(W.copy(), W, W.copy(), W.copy(), 0), ValueError, "step must be >= 1, got 0"),
    (lambda: ops.adam_update(W.copy(), W, W, W.copy(), 1), ValueError, "m must not overlap g in memory"),
    (
        lambda: ops.adam_update(W.copy(), W, W.copy(), W.astype(np.float64), 1),
        TypeError,
        "v must have dtype float32, that of w, got float64",
    ),
]


@pytest.mark.parametrize("row", OPS, ids=range(len(OPS)))
def test_ops(row: Row) -> None:
    check(row)


def test_a_read_only_output_is_refused() -> None:
    out = np.empty_like(X)
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"out .*write"):
        ops.dropout(X, 0.5, 1, out=out)
