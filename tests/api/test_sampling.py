"""`model(x, training=True)`: a forward pass with dropout, for Monte Carlo dropout.

It must not test the masks themselves: tests/ops does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from api_cases import X, Y
from fastreg import ops
from fastreg.layers import Activation, Dense, Dropout
from fastreg.models import Sequential


def model(rate: float = 0.5, seed: int = 0, **dropout: Any) -> Sequential:
    layers = [Dense(64, activation="relu"), Dropout(rate, **dropout), Dense(3), Activation("softmax")]
    made = Sequential(layers, seed=seed)
    made.build((None, X.shape[1]))
    return made


def test_without_dropout_it_is_predict() -> None:
    plain = model(rate=0.0)
    np.testing.assert_array_equal(plain(X, training=True), plain.predict(X))
    np.testing.assert_array_equal(plain(X, training=False), plain(X))


def test_masks_are_new_at_every_pass_and_the_same_for_the_same_seed() -> None:
    one, other = model(), model()
    passes = [one(X, training=True) for _ in range(3)]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert not np.array_equal(passes[a], passes[b])
    for passed in passes:
        np.testing.assert_array_equal(other(X, training=True), passed)
    assert not np.array_equal(model(seed=1)(X, training=True), passes[0])


def test_its_mask_is_the_one_of_its_address() -> None:
    a = model()
    (w, b), (v, c) = a.layers[0].get_weights(), a.layers[2].get_weights()
    hidden = ops.dense_forward(X.astype(np.float32), w, b, "relu", rate=0.5, seed=0, step=2**32 - 1, stream=1)
    logits = hidden @ v + c
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(a(X, training=True), expected, rtol=1e-5)


@pytest.mark.parametrize("scale_at", ["train", "inference"])
def test_the_mean_of_many_passes_of_a_linear_model(scale_at: str) -> None:
    linear = Sequential([Dropout(0.25, scale_at=scale_at), Dense(1, use_bias=False)], seed=3)
    linear.build((None, X.shape[1]))
    mean = np.mean([linear(X, training=True) for _ in range(4000)], axis=0)
    expected = linear.predict(X)  # unbiased: E[mask] / keep = 1, or outputs scaled by keep at inference
    spread = np.abs(X) @ np.abs(linear.get_weights()[0])
    assert np.all(np.abs(mean - expected) < 0.04 * spread)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("scale_at", ["train", "inference"])
def test_what_is_dropped_is_0_also_where_it_is_not_finite(scale_at: str, value: float) -> None:
    same = Sequential([Dropout(0.5, scale_at=scale_at), Dense(1, use_bias=False)], seed=3)
    same.build((None, 1))
    same.set_weights([np.ones((1, 1))])
    outputs = same(np.full((100, 1), value), training=True).ravel()
    dropped = outputs == 0.0
    assert 30 < dropped.sum() < 70
    np.testing.assert_array_equal(outputs[~dropped], np.full((~dropped).sum(), value))


def test_training_and_predictions_do_not_notice() -> None:
    histories = []
    for passes in (0, 3):
        a = Sequential([Dense(8, activation="relu"), Dropout(0.5), Dense(1)], seed=0)
        a.compile("sgd", "mse")
        a.build((None, X.shape[1]))
        for _ in range(passes):
            a(X, training=True)
        histories.append((a.fit(X, Y, epochs=3, verbose=0).history, a.predict(X).tolist()))
    assert histories[0] == histories[1]


def test_bad_input() -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="scipy comes with scikit-learn")
    a = Sequential([Dense(2)], seed=0)
    with pytest.raises(TypeError, match=r"x is sparse.*toarray"):
        a(sparse.csr_matrix(X), training=True)
    with pytest.raises(TypeError, match="training must be"):
        a(X, training="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x must have the shape"):
        a(X[0], training=True)
