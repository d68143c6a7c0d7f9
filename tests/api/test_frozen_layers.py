"""Layers that are not trainable: what stays, what it costs, when it counts, and models that share such layers.

Keras 3.15.1 does the same where no docstring says otherwise. It must not test what a step computes: tests/session does.
It is over 250 lines: a program each.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastreg
from fastreg import layers, losses, models, regularizers

rng = np.random.default_rng(0)
X = rng.normal(size=(48, 5)).astype(np.float32)
Y = (X @ rng.normal(size=(5, 1)) + 0.1 * rng.normal(size=(48, 1))).astype(np.float32)


def network(**middle: Any) -> models.Sequential:
    return models.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(6, activation="relu", kernel_regularizer=regularizers.L1(0.02)),
            layers.Dropout(0.3),
            layers.Dense(4, activation="tanh", kernel_regularizer=regularizers.L2(0.05), **middle),
            layers.Dense(1),
        ]
    )


def fitted(model: models.Sequential, epochs: int = 2) -> dict[str, list[float]]:
    history: dict[str, list[float]] = model.fit(X, Y, epochs=epochs, batch_size=16, verbose=0).history
    return history


def unchanged(before: list[np.ndarray], model: models.Sequential) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]


def same_weights(one: models.Sequential, other: models.Sequential) -> bool:
    return all(unchanged(one.get_weights(), other))


# ---- a model with frozen layers ------------------------------------------------------------------------------------
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_a_frozen_layer_keeps_its_weights(optimizer: str) -> None:
    model = network(trainable=False)
    model.compile(optimizer, "mse")
    before = model.get_weights()
    fitted(model)
    assert unchanged(before, model) == [False, False, True, True, False, False]
    model.train_on_batch(X, Y)
    assert unchanged(before, model) == [False, False, True, True, False, False]


def test_its_penalty_is_not_part_of_the_loss() -> None:
    model = network(trainable=False)
    model.compile("sgd", "mse")
    first = 0.02 * np.abs(model.layers[0].get_weights()[0]).sum()
    error = np.mean((model.predict(X, verbose=0) - Y) ** 2)
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), error + first, rtol=1e-5)
    np.testing.assert_allclose([float(loss) for loss in model.losses], [first], rtol=1e-5)
    assert model.layers[2].losses == []
    model.layers[2].trainable = True
    model.compile("sgd", "mse")
    second = 0.05 * np.square(model.layers[2].get_weights()[0]).sum()
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), error + first + second, rtol=1e-5)
    assert len(model.losses) == 2


def test_the_elastic_net_loss_spares_it() -> None:
    """Keras has no such loss."""
    model = network(trainable=False)
    model.compile(fastreg.SGD(0.01), losses.ElasticNet("mse", alpha=10.0, beta=0.0))
    before = model.get_weights()
    fitted(model, epochs=20)
    zeros = [np.mean(w == 0) for w in model.get_weights()[::2]]
    assert zeros == [1, np.mean(before[2] == 0), 1]


def test_weights_by_whether_they_are_trained() -> None:
    model = network(trainable=False)
    last = model.layers[-1]
    last.trainable = False
    assert [w.path.split("/", 1)[1] for w in model.trainable_weights] == ["dense/kernel", "dense/bias"]
    assert [w.shape for w in model.non_trainable_variables] == [(6, 4), (4,), (4, 1), (1,)]
    assert (last.trainable_variables, len(last.non_trainable_weights), len(last.variables)) == ([], 2, 2)
    model.trainable = False
    assert [layer.trainable for layer in model.layers] == [False] * 4
    last.trainable = True  # of a model that is not
    assert (model.trainable, model.trainable_weights, len(last.trainable_weights)) == (False, [], 2)
    model.trainable = True
    assert [layer.trainable for layer in model.layers] == [True] * 4
    with pytest.raises(TypeError, match="trainable must be True or False"):
        model.trainable = "no"  # type: ignore[assignment]


def test_compile_reads_it() -> None:
    """As Keras documents; it asks again whenever it traces a step."""
    model = network()
    model.compile("adam", "mse")
    before = model.get_weights()
    model.layers[0].trainable = False
    fitted(model)
    assert not any(unchanged(before, model))
    before = model.get_weights()
    model.compile("adam", "mse")
    fitted(model)
    assert unchanged(before, model) == [True, True, False, False, False, False]
    before = model.get_weights()
    model.layers[0].trainable = True
    model.compile("adam", "mse")
    fitted(model)
    assert not any(unchanged(before, model))


def test_compile_reads_it_before_there_are_weights() -> None:
    model = models.Sequential([layers.Dense(4, trainable=False, activation="tanh"), layers.Dense(1)])
    model.compile("adam", "mse")
    model.layers[0].trainable = True
    fitted(model)
    before = model.get_weights()
    fitted(model)
    assert unchanged(before, model) == [True, True, False, False]


def test_layers_that_come_after_compile() -> None:
    """Keras wants another compile."""
    model = models.Sequential([layers.Input((5,)), layers.Dense(4, activation="tanh")])
    model.compile("adam", "mse")
    model.add(layers.Dense(4, trainable=False))
    model.add(layers.Dense(1))
    before = model.get_weights()
    fitted(model)
    assert unchanged(before, model) == [False, False, True, True, False, False]


def test_a_model_without_trainable_weights_says_so() -> None:
    model = network()
    model.trainable = False
    model.compile("adam", "mse")
    before = model.get_weights()
    with pytest.warns(UserWarning, match="the model has no trainable weights") as warned:
        history = fitted(model)
    assert warned[0].filename == __file__
    with pytest.warns(UserWarning, match="the model has no trainable weights"):
        loss = model.train_on_batch(X, Y)
    assert all(unchanged(before, model))
    assert np.isfinite([*history["loss"], loss]).all()
    assert history["penalty"] == [0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.evaluate(X, Y, verbose=0)


def test_summary_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    """In other words than Keras's."""
    model = network(trainable=False)
    model.summary()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Parameters: 69 (11 are exactly 0, 28 are not trainable)")
    np.testing.assert_allclose(float(last.rpartition(" ")[2]), float(model.losses[0]), rtol=1e-5)
    network().summary()
    assert "trainable" not in capsys.readouterr().out


# ---- what goes with a model ----------------------------------------------------------------------------------------
def test_copies_know_it(tmp_path: Path) -> None:
    model = network(trainable=False)
    model.layers[1].trainable = False
    model.compile("adam", "mse")
    fitted(model)
    model.save(tmp_path / "model")
    copies = {
        "config": models.Sequential.from_config(model.get_config()),
        "clone": models.clone_model(model),
        "json": models.model_from_json(model.to_json()),
        "file": models.load_model(tmp_path / "model"),
        "deep copy": copy.deepcopy(model),
    }
    for name, other in copies.items():
        assert [layer.trainable for layer in other.layers] == [True, False, False, True], name
    fitted(model)
    for name in ("file", "deep copy"):
        fitted(copies[name])
        assert same_weights(copies[name], model), name
    assert "trainable=False" in repr(model.layers[2])
    assert "trainable" not in repr(model.layers[0])


# ---- models that share frozen layers -------------------------------------------------------------------------------
def test_a_head_on_a_frozen_model() -> None:
    """Whose own training goes on as if there were no other model, optimizer and all."""

    def train(with_head: bool) -> models.Sequential:
        base = models.Sequential([layers.Input((5,)), layers.Dense(6, "tanh"), layers.Dense(5)], seed=1)
        base.compile("adam", "mse")
        base.fit(X, X, epochs=2, verbose=0)
        if with_head:
            before = base.get_weights()
            base.trainable = False
            head = models.Sequential([base, layers.Dense(1)], seed=2)
            head.compile("sgd", "mse")
            fitted(head)
            assert unchanged(before, base) == [True] * 4
            assert unchanged([*before, *head.layers[-1].get_weights()], head) == [True] * 6
        base.fit(X, X, epochs=2, verbose=0)
        if with_head:
            error = np.mean((head.layers[-1](base.predict(X, verbose=0)) - Y) ** 2)
            np.testing.assert_allclose(head.evaluate(X, Y, verbose=0), error, rtol=1e-5)
        return base

    alone, shared = train(False), train(True)
    assert same_weights(shared, alone)
    assert shared.optimizer.iterations == alone.optimizer.iterations == 8


def test_fine_tuning_afterwards() -> None:
    base = models.Sequential([layers.Input((5,)), layers.Dense(6, activation="tanh")])
    base.trainable = False
    model = models.Sequential([base, layers.Dense(1)])
    model.compile("adam", "mse")
    before = model.get_weights()
    fitted(model)
    assert unchanged(before, model) == [True, True, False, False]
    base.trainable = True
    model.compile(fastreg.Adam(1e-4), "mse")
    fitted(model)
    assert not any(unchanged(before, model))
    np.testing.assert_array_equal(base.get_weights()[0], model.get_weights()[0])


def test_adversaries() -> None:
    """The discriminator learns by itself, and the same as if no generator learned in between; Keras's GANs of the days
    of tf.keras 2 rely on it."""
    noise = rng.normal(size=(40, 32, 3)).astype(np.float32)

    def train(generator_learns: bool) -> tuple[models.Sequential, models.Sequential, models.Sequential]:
        generator = models.Sequential(
            [layers.Input((3,)), layers.Dense(8, "relu"), layers.Dense(5)], "generator", seed=1
        )
        discriminator = models.Sequential(
            [layers.Input((5,)), layers.Dense(8, "relu"), layers.Dropout(0.2), layers.Dense(1, "sigmoid")],
            "discriminator",
            seed=2,
        )
        discriminator.compile("adam", "binary_crossentropy")
        discriminator.trainable = False
        both = models.Sequential([generator, discriminator])
        both.compile(fastreg.Adam(0.01), "binary_crossentropy")
        fakes = generator.predict(noise[0], verbose=0)
        for z in noise:
            discriminator.train_on_batch(np.concatenate([X[:32], fakes]), np.repeat([1.0, 0.0], 32)[:, None])
            if generator_learns:
                weights = discriminator.get_weights()
                both.train_on_batch(z, np.ones((32, 1)))
                assert all(unchanged(weights, discriminator))
        return generator, discriminator, both

    generator, discriminator, both = train(True)
    idle, alone, _ = train(False)
    assert same_weights(discriminator, alone)
    assert discriminator.optimizer.iterations == both.optimizer.iterations == 40
    assert not any(unchanged(idle.get_weights(), generator))
    np.testing.assert_array_equal(
        both.predict(noise[0], verbose=0),
        discriminator.predict(generator.predict(noise[0], verbose=0), verbose=0),
    )

    def fooled(maker: models.Sequential) -> float:
        return float(np.mean(discriminator.predict(maker.predict(noise[1], verbose=0), verbose=0)))

    assert fooled(generator) > fooled(idle)


@pytest.mark.parametrize("peek", [False, True])
def test_frozen_weights_that_others_change_meanwhile(peek: bool) -> None:
    """They count from the next epoch on, whether or not something else has looked at the model."""
    base = models.Sequential([layers.Input((5,)), layers.Dense(6)])
    base.trainable = False
    model = models.Sequential([base, layers.Dense(1, kernel_initializer="zeros")])
    model.compile(fastreg.SGD(0.0), "mse")

    def change(epoch: int, logs: Any) -> None:
        base.set_weights([np.zeros((5, 6)), np.full(6, epoch)])
        model.layers[-1].set_weights([np.ones((6, 1)), np.zeros(1)])
        if peek:
            model.predict(X, verbose=0)

    callback = fastreg.callbacks.LambdaCallback(on_epoch_end=change)
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback]).history["loss"]
    np.testing.assert_allclose(history, [np.mean((Y - c) ** 2) for c in (0, 0, 6)], rtol=1e-5)


def test_frozen_weights_that_change_before_a_validation() -> None:
    base = models.Sequential([layers.Input((5,)), layers.Dense(6, kernel_initializer="zeros")])
    base.trainable = False
    model = models.Sequential([base, layers.Dense(1, kernel_initializer="ones")])
    model.compile(fastreg.SGD(0.0), "mse")
    change = fastreg.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: base.set_weights([np.zeros((5, 6)), np.full(6, 2.0)])
    )
    history = model.fit(X, Y, batch_size=48, validation_data=(X, Y), verbose=0, callbacks=[change]).history
    np.testing.assert_allclose(history["loss"], np.mean(Y**2), rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], np.mean((Y - 12) ** 2), rtol=1e-5)


def test_a_copy_goes_on_as_the_model_was_compiled() -> None:
    """Also where flags have changed since."""
    model = network()
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    fitted(model)
    model.layers[0].trainable = True
    model.layers[2].trainable = False
    other = copy.deepcopy(model)
    assert [layer.trainable for layer in other.layers] == [True, True, False, True]
    for each in (model, other):
        fitted(each)
    assert same_weights(model, other)
    model.trainable = False
    model.layers[-1].trainable = True
    model.compile("adam", "mse")
    other = copy.deepcopy(model)
    assert (other.trainable, other.trainable_weights, other.layers[-1].trainable) == (False, [], True)
    with pytest.warns(UserWarning, match="no trainable weights"):
        fitted(other)
    assert same_weights(model, other)


def test_a_layer_that_comes_back_is_as_it_is() -> None:
    model = models.Sequential([layers.Input((5,)), layers.Dense(1, trainable=False)])
    model.compile("sgd", "mse")
    layer = model.pop()
    layer.trainable = True
    model.add(layer)
    before = model.get_weights()
    fitted(model)
    assert unchanged(before, model) == [False, False]
