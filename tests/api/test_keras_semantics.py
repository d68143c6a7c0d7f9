"""Fits of the public API against Keras's equations, written out step by step in float64 NumPy.

It must not use the native kernels or the shared oracle: the equations stand here once more, on purpose.
It is over 250 lines because they are written out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastreg import layers, losses, optimizers
from fastreg.constraints import MaxNorm
from fastreg.models import Sequential
from fastreg.regularizers import L1, L1L2, L2

ROWS, INPUTS, HIDDEN, BATCH, EPOCHS = 37, 4, 5, 8, 3
L1_KERNEL, L2_KERNEL, L2_BIAS = 0.02, 0.03, 0.04
Step = Callable[[list[Any], list[Any], int], None]


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS))
    return x, x @ rng.normal(size=(INPUTS, 2)) + 0.1 * rng.normal(size=(ROWS, 2))


def penalties(w: list[Any]) -> float:
    """l1 * sum|w| + l2 * sum(w^2), no half, no mean."""
    return float(L1_KERNEL * np.abs(w[0]).sum() + L2_BIAS * (w[1] ** 2).sum() + L2_KERNEL * (w[2] ** 2).sum())


def loss_and_gradients(w: list[Any], x: Any, y: Any, weight: Any) -> tuple[float, float, list[Any]]:
    """tanh hidden layer, linear output, mean squared error: sum(w_i l_i) / n; the penalties are not divided by n."""
    h = np.tanh(x @ w[0] + w[1])
    error = h @ w[2] + w[3] - y
    data_loss = float((weight * (error**2).mean(axis=1)).sum() / len(x))
    d = weight[:, None] * 2 * error / error.shape[1] / len(x)
    dh = (d @ w[2].T) * (1 - h**2)
    gradients = [
        x.T @ dh + L1_KERNEL * np.sign(w[0]),
        dh.sum(axis=0) + 2 * L2_BIAS * w[1],
        h.T @ d + 2 * L2_KERNEL * w[2],
        d.sum(axis=0),
    ]
    return data_loss, penalties(w), gradients


def sgd(momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0) -> Step:
    """The decay w -= lr decay w is apart from the gradient and comes first; then v = momentum v - lr g."""
    velocity: dict[int, Any] = {}

    def step(w: list[Any], g: list[Any], t: int) -> None:
        for i in range(len(w)):
            w[i] = w[i] - w[i] * decay * 0.05
            v = velocity[i] = momentum * velocity.get(i, 0.0) - 0.05 * g[i]
            w[i] = w[i] + (momentum * v - 0.05 * g[i] if nesterov else v)

    return step


def adam(decay: float = 0.0) -> Step:
    """The same decay first; the correction of the moments is in the rate, epsilon outside the root."""
    m: dict[int, Any] = {}
    s: dict[int, Any] = {}

    def step(w: list[Any], g: list[Any], t: int) -> None:
        rate = 1e-3 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for i in range(len(w)):
            w[i] = w[i] - w[i] * decay * 1e-3
            m[i] = 0.9 * m.get(i, 0.0) + 0.1 * g[i]
            s[i] = 0.999 * s.get(i, 0.0) + 0.001 * g[i] ** 2
            w[i] = w[i] - rate * m[i] / (np.sqrt(s[i]) + 1e-7)

    return step


def squares(keep: float, take: float, start: float) -> Step:
    """RMSprop and Adagrad, epsilon inside the root."""
    s: dict[int, Any] = {}

    def step(w: list[Any], g: list[Any], t: int) -> None:
        for i in range(len(w)):
            s[i] = keep * s.get(i, start) + take * g[i] ** 2
            w[i] = w[i] - 1e-3 * g[i] / np.sqrt(s[i] + 1e-7)

    return step


def clipped(kind: str, limit: float) -> Step:
    """Clipping sees the gradients of data and penalties together."""
    plain = sgd()

    def step(w: list[Any], g: list[Any], t: int) -> None:
        if kind == "clipvalue":
            g = [np.clip(a, -limit, limit) for a in g]
        elif kind == "clipnorm":
            g = [a * limit / max(float(np.linalg.norm(a)), limit) for a in g]
        else:
            norm = np.sqrt(sum((a**2).sum() for a in g))
            g = [a * limit / max(float(norm), limit) for a in g]
        plain(w, g, t)

    return step


def expected(
    w: list[Any], x: Any, y: Any, weight: Any, step: Step, constrain: bool = False
) -> tuple[list[Any], list[float], list[float]]:
    """The loss of an epoch is sum(n_b * L_b) / N, each L_b before its update."""
    w, history, data_history, t = [a.copy() for a in w], [], [], 0
    for _ in range(EPOCHS):
        total = data_total = 0.0
        for start in range(0, len(x), BATCH):
            rows = slice(start, start + BATCH)
            data_loss, penalty, gradients = loss_and_gradients(w, x[rows], y[rows], weight[rows])
            n = len(x[rows])
            total, data_total, t = total + n * (data_loss + penalty), data_total + n * data_loss, t + 1
            step(w, gradients, t)
            if constrain:  # after the update
                norm = np.sqrt((w[0] ** 2).sum(axis=0))
                w[0] = w[0] * np.clip(norm, 0, 0.7) / (1e-7 + norm)
        history.append(total / len(x))
        data_history.append(data_total / len(x))
    return w, history, data_history


def network(optimizer: Any, constraint: Any = None, loss: Any = "mse") -> Sequential:
    hidden = layers.Dense(
        HIDDEN,
        activation="tanh",
        kernel_regularizer=L1(L1_KERNEL, method="subgradient"),
        bias_regularizer=L2(L2_BIAS),
        kernel_constraint=constraint,
    )
    output = layers.Dense(2, kernel_regularizer=L2(L2_KERNEL))
    model = Sequential([layers.Input(shape=(INPUTS,)), hidden, output], seed=3, dtype="float64")
    model.compile(optimizer=optimizer, loss=loss)
    return model


CASES: dict[str, tuple[Any, Step]] = {
    "sgd": (optimizers.SGD(0.05), sgd()),
    "momentum": (optimizers.SGD(0.05, momentum=0.9), sgd(0.9)),
    "nesterov": (optimizers.SGD(0.05, momentum=0.9, nesterov=True), sgd(0.9, True)),
    "decay": (optimizers.SGD(0.05, weight_decay=0.1), sgd(decay=0.1)),
    "adam": ("adam", adam()),
    "adamw": ("adamw", adam(0.004)),
    "rmsprop": ("rmsprop", squares(0.9, 0.1, 0.0)),
    "adagrad": ("adagrad", squares(1.0, 1.0, 0.1)),
    "clipvalue": (optimizers.SGD(0.05, clipvalue=0.05), clipped("clipvalue", 0.05)),
    "clipnorm": (optimizers.SGD(0.05, clipnorm=0.1), clipped("clipnorm", 0.1)),
    "global_clipnorm": (optimizers.SGD(0.05, global_clipnorm=0.1), clipped("global_clipnorm", 0.1)),
}


@pytest.mark.parametrize("name", CASES)
def test_training_follows_the_equations(name: str) -> None:
    optimizer, step = CASES[name]
    x, y = data()
    model = network(optimizer)
    weights, loss, data_loss = expected(model.get_weights(), x, y, np.ones(ROWS), step)
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], loss, rtol=1e-9)
    np.testing.assert_allclose(history["data_loss"], data_loss, rtol=1e-9)
    np.testing.assert_allclose(
        np.subtract(history["loss"], history["data_loss"]), history["penalty"], rtol=1e-9
    )
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_constraints_apply_after_the_update() -> None:
    x, y = data()
    model = network(optimizers.SGD(0.05), MaxNorm(0.7, axis=0))
    weights, loss, _ = expected(model.get_weights(), x, y, np.ones(ROWS), sgd(), constrain=True)
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], loss, rtol=1e-9)
    np.testing.assert_allclose(model.get_weights()[0], weights[0], rtol=1e-7)


def test_sample_weights_divide_by_the_batch_size() -> None:
    x, y = data()
    weight = np.linspace(0, 3, ROWS)
    model = network(optimizers.SGD(0.05))
    weights, loss, _ = expected(model.get_weights(), x, y, weight, sgd())
    history = model.fit(
        x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, sample_weight=weight
    ).history
    np.testing.assert_allclose(history["loss"], loss, rtol=1e-9)
    np.testing.assert_allclose(model.get_weights()[0], weights[0], rtol=1e-7)


def test_class_weight_multiplies_sample_weight_in_training_only() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)), np.repeat([0, 1, 2, 2], 10)
    rng.shuffle(y)
    sample_weight = rng.uniform(0.5, 1.5, 40)
    both = sample_weight * np.array([2.0, 1.0, 0.25])[y]  # class 1 is missing and counts 1
    histories = []
    for arguments in (
        {"sample_weight": sample_weight, "class_weight": {0: 2.0, 2: 0.25}},
        {"sample_weight": both},
    ):
        model = Sequential([layers.Dense(3, activation="softmax")], seed=0, dtype="float64")
        model.compile("sgd", "sparse_categorical_crossentropy")
        histories.append(
            model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y), **arguments).history  # type: ignore[arg-type]
        )
    assert histories[0]["loss"] == histories[1]["loss"]
    assert histories[0]["val_loss"] == histories[1]["val_loss"]  # no class weight there, in either


def test_the_loss_elastic_net_is_l1_l2_on_every_kernel() -> None:
    x, y = data()
    own = network("adam").get_weights()
    results = []
    for loss, l1, l2 in (
        (losses.ElasticNet("mse", 0.01, 0.02, method="subgradient"), 0.0, 0.005),
        ("mse", 0.01, 0.025),
    ):
        regularizer = L1L2(l1, l2, method="subgradient")
        model = Sequential(
            [
                layers.Dense(HIDDEN, activation="relu", kernel_regularizer=regularizer),
                layers.Dense(2, kernel_regularizer=L1L2(l1, l2, method="subgradient")),
            ],
            dtype="float64",
            seed=0,
        )
        model.compile("adam", loss)
        model.build((None, INPUTS))
        model.set_weights(own)
        history = model.fit(x, y, epochs=2, batch_size=BATCH, shuffle=False, verbose=0).history
        results.append((history["loss"], history["penalty"], [w.tobytes() for w in model.get_weights()]))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-12)
    assert results[0][1] == results[1][1]
    assert results[0][2] == results[1][2]


def test_elastic_net_leaves_when_the_model_is_compiled_without_it() -> None:
    model = Sequential([layers.Input((INPUTS,)), layers.Dense(2)], seed=0)
    x, y = data()
    model.compile("sgd", losses.ElasticNet("mse", 0.1, 0.1))
    assert model.evaluate(x, y, return_dict=True, verbose=0)["penalty"] > 0
    model.compile("sgd", "mse")
    assert model.evaluate(x, y, return_dict=True, verbose=0)["penalty"] == 0


LOGITS = np.array([[30.0, 0.0, -30.0], [0.0, 25.0, -40.0]])


@pytest.mark.parametrize(
    ("activation", "y", "metric", "expected"),
    [
        ("sigmoid", [[0, 0, 1], [1, 0, 0]], "binary_crossentropy", (60 + np.log(2) + 25 + np.log(2)) / 6),
        ("softmax", [[0, 0, 1], [1, 0, 0]], "categorical_crossentropy", (60 + 25) / 2),
        ("softmax", [2, 0], "sparse_categorical_crossentropy", (60 + 25) / 2),
    ],
)
def test_a_crossentropy_metric_is_that_of_the_logits_as_the_loss_is(
    activation: str, y: Any, metric: str, expected: float
) -> None:
    """Keras on TensorFlow; of the probabilities, which are clipped to 1e-7, it would be 16 at most a row."""
    model = Sequential([layers.Input((3,)), layers.Dense(3, activation)], seed=0, dtype="float64")
    model.compile("sgd", metric, metrics=[metric, "accuracy"])
    model.set_weights([np.eye(3), np.zeros(3)])
    values = model.evaluate(LOGITS, np.array(y), verbose=0, return_dict=True)
    assert values["loss"] == pytest.approx(expected, rel=1e-9)
    assert values[metric] == pytest.approx(expected, rel=1e-9)
    history = model.fit(LOGITS, np.array(y), batch_size=2, verbose=0).history
    assert history[metric] == pytest.approx(history["loss"], rel=1e-12)


def test_activity_penalty_is_divided_by_the_batch_size_also_at_evaluation() -> None:
    x, y = data()
    model = Sequential([layers.Dense(2, activity_regularizer=L1L2(0.1, 0.2))], seed=0, dtype="float64")
    model.compile("sgd", "mse")
    values = model.evaluate(x, y, verbose=0, batch_size=ROWS, return_dict=True)
    output = model.predict(x)
    activity = (0.1 * np.abs(output).sum() + 0.2 * (output**2).sum()) / ROWS
    assert values["penalty"] == pytest.approx(activity, rel=1e-9)
    assert values["loss"] == pytest.approx(activity + ((output - y) ** 2).mean(), rel=1e-9)


def two_penalties() -> Sequential:
    net = [
        layers.Dense(4, kernel_regularizer=L2(0.1)),
        layers.Dense(1, kernel_regularizer=L2(0.05)),
    ]
    model = Sequential(net, seed=0, dtype="float64")
    model.compile("sgd", "mse")
    return model


def test_evaluate_counts_the_penalty_for_every_row() -> None:
    """Also beyond the rows that are computed at a time."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2500, INPUTS)), rng.normal(size=2500)
    model = two_penalties()
    error = np.mean((model.predict(x)[:, 0] - y) ** 2)
    kernels = model.get_weights()[::2]
    penalty = 0.1 * (kernels[0] ** 2).sum() + 0.05 * (kernels[1] ** 2).sum()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(error + penalty, rel=1e-12)


def test_a_layer_frozen_after_training_leaves_the_penalty() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, INPUTS)), rng.normal(size=64)
    model = two_penalties()
    model.fit(x, y, verbose=0)
    model.layers[0].trainable = False
    model.compile(optimizers.SGD(0.0), "mse")
    penalty = 0.05 * (model.get_weights()[2] ** 2).sum()
    assert model.fit(x, y, verbose=0).history["penalty"] == pytest.approx([penalty], rel=1e-12)


def test_penalties_never_reach_metrics() -> None:
    x, y = data()
    model = network("sgd")
    model.compile("sgd", "mse", metrics=["mse"])
    values = model.evaluate(x, y, verbose=0, return_dict=True)
    assert values["mse"] == pytest.approx(values["data_loss"], rel=1e-12)
    assert values["loss"] == pytest.approx(values["data_loss"] + penalties(model.get_weights()), rel=1e-9)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_dropout_at_its_ends(rate: float) -> None:
    """Rate 0 is a no-op; rate 1 gives zeros in training, so that only the bias learns."""
    x, y = data()
    model = Sequential([layers.Dropout(rate), layers.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    model.build((None, INPUTS))
    kernel, bias = model.get_weights()
    model.fit(x, y, verbose=0)
    assert (model.get_weights()[0] == kernel).all() == (rate == 1.0)
    assert (model.get_weights()[1] != bias).all()
    np.testing.assert_allclose(
        model.predict(x), x @ model.get_weights()[0] + model.get_weights()[1], atol=1e-5
    )


def test_classic_dropout_scales_at_inference() -> None:
    x, _ = data()
    classic = layers.Dropout(0.25, scale_at="inference")
    model = Sequential([layers.Input((INPUTS,)), classic, layers.Dense(INPUTS, use_bias=False)])
    model.set_weights([np.eye(INPUTS)])
    np.testing.assert_allclose(model.predict(x), x * 0.75, rtol=1e-6)
