"""models.compact: the same predictions from layers without useless units, and every useless unit gone.

It must not test how L1 makes zeros: tests/session does.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import pytest

import fastreg
from binding_cases import raises
from fastreg.layers import Activation, Dense, Dropout, Flatten, Input, LeakyReLU, ReLU, Softmax
from fastreg.models import Sequential, compact, load_model

X = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


def shapes(model: Any) -> list[tuple[int, ...]]:
    return [w.shape for w in model.get_weights() if w.ndim == 2]


def with_zeros(model: Sequential, seed: int, share: float = 0.6) -> Sequential:
    """Biases of any value, and some rows and columns of every kernel 0."""
    rng = np.random.default_rng(seed)
    weights = []
    for w in model.get_weights():
        w = rng.normal(size=w.shape).astype(w.dtype)
        if w.ndim == 2:
            w[rng.random(w.shape[0]) < share / 2] = 0
            w[:, rng.random(w.shape[1]) < share] = 0
        weights.append(w)
    model.set_weights(weights)
    return model


NETWORKS: dict[str, list[Any]] = {
    "relu": [Dense(9, "relu"), Dense(8, "relu"), Dense(3)],
    "every activation": [
        *(Dense(6, a) for a in ("linear", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "softplus")),
        Dense(2),
    ],
    "layers between": [
        *(Dense(9), Dropout(0.5), LeakyReLU(0.1)),
        *(Dense(8), ReLU(), Activation("tanh")),
        Dense(3, "softmax"),
    ],
    "classic dropout": [
        *(Dropout(0.2, scale_at="inference"), Dense(9, "tanh")),
        *(Dropout(0.3, scale_at="inference"), Dense(2)),
    ],
    "an activation that is a layer": [Dense(9, LeakyReLU(0.3)), Flatten(), Dense(2)],
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_stay_and_no_unit_is_useless(name: str, seed: int, dtype: str) -> None:
    described = [layer.get_config() for layer in NETWORKS[name]]
    layers = [type(a).from_config(config) for a, config in zip(NETWORKS[name], described, strict=True)]
    model = with_zeros(Sequential([Input((6,)), *layers], dtype=dtype), seed)
    before = model.get_weights()
    smaller = compact(model)
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(smaller.predict(X), model.predict(X), rtol=tolerance, atol=tolerance)
    assert smaller.count_params() < model.count_params()
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    kernels = [w for w in smaller.get_weights() if w.ndim == 2]
    for into, out_of in itertools.pairwise(kernels):
        alone = into.shape[1] == 1
        assert alone or (into.any(axis=0).all() and out_of.any(axis=1).all())
    assert (shapes(smaller)[0][0], shapes(smaller)[-1][1]) == (shapes(model)[0][0], shapes(model)[-1][1])
    assert shapes(compact(smaller)) == shapes(smaller)


def test_a_chain_of_useless_units_goes() -> None:
    model = Sequential([Input((1,)), Dense(2, "relu"), Dense(2, "relu"), Dense(2, "relu"), Dense(1)])
    one = np.eye(2, dtype=np.float32)
    # the second unit of each layer leads to nothing, one after the other
    last = np.array([[1.0], [0.0]], np.float32)
    zero = np.zeros(2, np.float32)
    model.set_weights([np.ones((1, 2), np.float32), zero, one, zero, one, zero, last, zero[:1]])
    assert shapes(compact(model)) == [(1, 1)] * 4


def test_without_a_bias_to_take_it_a_constant_stays_unless_it_is_0() -> None:
    kernel = np.array([[1.0, 0.0, 0.0]], np.float32)
    model = Sequential([Input((1,)), Dense(3, "relu"), Dense(1, use_bias=False)])
    model.set_weights([kernel, np.array([0.0, 2.0, -2.0], np.float32), np.ones((3, 1), np.float32)])
    smaller = compact(model)
    assert shapes(smaller) == [(1, 2), (2, 1)]
    assert np.array_equal(smaller.predict([[5.0], [-1.0]]), [[7.0], [2.0]])


@pytest.mark.parametrize("mixing", [[Dense(4, "softmax")], [Dense(4), Softmax()]])
def test_units_before_a_softmax_stay(mixing: list[Any]) -> None:
    layers = [type(layer).from_config(layer.get_config()) for layer in mixing]
    model = with_zeros(Sequential([Input((6,)), Dense(5, "relu"), *layers, Dense(2)]), 1)
    smaller = compact(model)
    assert shapes(smaller)[-1] == (4, 2)
    np.testing.assert_allclose(smaller.predict(X), model.predict(X), rtol=1e-5, atol=1e-6)


def test_what_a_unit_that_must_stay_reads_goes() -> None:
    model = Sequential([Input((4,)), Dense(50, "relu"), Dense(40, "relu"), Dense(1)], seed=1)
    weights = model.get_weights()
    weights[-2][:] = 0
    model.set_weights(weights)
    smaller = compact(model)
    assert shapes(smaller) == [(4, 1), (1, 1), (1, 1)]
    assert np.array_equal(smaller.predict(X[:, :4]), model.predict(X[:, :4]))


def test_layers_that_name_their_inputs() -> None:
    layers = [
        Dense(6, input_shape=(6,)),
        Activation("relu", input_shape=(6,)),
        Dense(5, input_dim=6),
        Dense(1),
    ]
    model = with_zeros(Sequential(layers), 2)
    smaller = compact(model)
    assert smaller.count_params() < model.count_params()
    np.testing.assert_allclose(smaller.predict(X), model.predict(X), rtol=1e-5, atol=1e-6)


def test_weights_are_of_one_moment() -> None:
    """Another thread sets them, all 1 or all 2."""
    model = Sequential([Input((4,)), *(Dense(4) for _ in range(4))])
    both = [[np.full_like(w, value) for w in model.get_weights()] for value in (1, 2)]
    model.set_weights(both[0])
    done = threading.Event()

    def flip() -> None:
        while not done.is_set():
            for weights in both:
                model.set_weights(weights)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        seen = [{float(value) for w in compact(model).get_weights() for value in w.flat} for _ in range(50)]
    finally:
        done.set()
        thread.join()
    assert all(values in ({1.0}, {2.0}) for values in seen)


def test_a_network_of_zeros_keeps_a_unit_a_layer() -> None:
    model = Sequential([Input((6,)), Dense(5, "sigmoid"), Dense(4, "sigmoid"), Dense(3)])
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    smaller = compact(model)
    assert shapes(smaller) == [(6, 1), (1, 1), (1, 3)]
    assert np.array_equal(smaller.predict(X), model.predict(X))


def trained() -> tuple[Sequential, Any]:
    y = (X[:, 0] > 0).astype(np.float32)
    layers = [Dense(32, "relu", kernel_regularizer="l1"), Dropout(0.2), Dense(1, "sigmoid", name="out")]
    model = Sequential([Input((6,)), *layers], seed=1)
    model.compile(fastreg.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(X, y, epochs=60, verbose=0)
    return model, y


def test_what_is_compiled_stays_compiled_and_can_be_trained_and_saved(tmp_path: Any) -> None:
    model, y = trained()
    model.layers[0].trainable = False
    model.compile(fastreg.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    smaller = compact(model)
    assert smaller.layers[0].units < 32
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
    np.testing.assert_allclose(smaller.evaluate(X, y, verbose=0), model.evaluate(X, y, verbose=0), rtol=1e-5)
    frozen = smaller.layers[0].get_weights()[0]
    smaller.fit(X, y, verbose=0)
    assert np.array_equal(smaller.layers[0].get_weights()[0], frozen)
    smaller.save(tmp_path / "small.fastreg")
    assert np.array_equal(load_model(tmp_path / "small.fastreg").predict(X), smaller.predict(X))


def test_what_is_no_model_with_weights_is_refused() -> None:
    with raises(TypeError, "model must be a Sequential, not Dense"):
        compact(Dense(1))  # type: ignore[arg-type]
    with raises(ValueError, "the model has no weights yet; build or fit it first"):
        compact(Sequential([Dense(1)]))
