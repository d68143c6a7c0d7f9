"""Layers on their own and in more than one model: called on arrays, parts of a model, a model within another.

Keras 3.15.1 does the same, but for messages, the batch's size in shapes, and what a docstring says. It must not test
what layers compute: others do. It is over 250 lines: a program each.
"""

from __future__ import annotations

import copy
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastreg
from fastreg import activations, layers, models, saving, utils

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def trained(**named: Any) -> models.Sequential:
    model = models.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(8, activation="relu", name="encoded"),
            layers.Dropout(0.3),
            layers.Dense(6),
        ],
        **named,
    )
    model.compile(optimizer="adam", loss="mse")
    model.fit(X, X, epochs=2, verbose=0)
    return model


# ---- layers on arrays ----------------------------------------------------------------------------------------------
def test_a_layer_of_a_model_on_an_array() -> None:
    model = trained()
    h: Any = X
    for layer in model.layers:
        h = layer(h)
    np.testing.assert_allclose(h.numpy(), model.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
    assert (model.layers[0](X).numpy() >= 0).all()


def test_a_layer_of_no_model_on_an_array() -> None:
    dense = layers.Dense(3, activation="tanh")
    assert dense.weights == []
    y = dense(X)
    kernel, bias = dense.get_weights()
    assert (kernel.shape, bias.tolist()) == ((6, 3), [0.0] * 3)
    np.testing.assert_allclose(y.numpy(), np.tanh(X @ kernel), rtol=1e-5, atol=1e-6)
    dense.set_weights([np.ones((6, 3)), np.full(3, 2.0)])
    np.testing.assert_allclose(
        dense(X), np.tanh(X.sum(axis=1, keepdims=True) + 2 + np.zeros(3)), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match=r"shape \(3, 6\)"):
        dense.set_weights([np.ones((3, 6)), np.ones(3)])
    with pytest.raises(ValueError, match="x has 5 columns; layer None expects 6"):
        dense(X[:, :5])
    model = models.Sequential([dense, layers.Dense(1)])  # which takes the layer with its weights
    model.build((None, 6))
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], np.ones((6, 3)))


def test_build_gives_a_layer_weights() -> None:
    utils.set_random_seed(3)
    first, second = layers.Dense(4), layers.Dense(4)
    for layer in (first, second):
        layer.build((None, 6))
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])
    before = first.get_weights()[0]
    first.build((None, 6))
    np.testing.assert_array_equal(first.get_weights()[0], before)
    utils.set_random_seed(3)
    again = layers.Dense(4)
    again.build((None, 6))
    np.testing.assert_array_equal(again.get_weights()[0], before)


def test_dropout_on_an_array() -> None:
    """Beside Keras: the classic form."""
    ones = np.ones((50, 40), np.float32)
    dropout = layers.Dropout(0.25)
    np.testing.assert_array_equal(dropout(ones), ones)
    first, second = dropout(ones, training=True).numpy(), dropout(ones, training=True).numpy()
    assert not np.array_equal(first, second)
    for y in (first, second):
        assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
        assert abs((y == 0).mean() - 0.25) < 0.05
    classic = layers.Dropout(0.3, scale_at="inference")
    assert set(np.unique(classic(ones, training=True))) == {np.float32(0), np.float32(1)}
    model = models.Sequential([layers.Dropout(0.3, scale_at="inference"), layers.Dense(40, use_bias=False)])
    model.build((None, 40))
    model.set_weights([np.eye(40)])
    np.testing.assert_array_equal(classic(ones), model.predict(ones, verbose=0))


def test_dropout_layers_of_a_model_draw_apart() -> None:
    model = models.Sequential([layers.Dropout(0.5), layers.Dropout(0.5), layers.Dense(1)])
    model.build((None, 6))
    a, b = (layer(X, training=True).numpy() == 0 for layer in model.layers[:2])
    assert not np.array_equal(a, b)


def test_activations_and_flatten_on_an_array() -> None:
    assert layers.ReLU()(np.array([[-1.0, 2.0]])).numpy().tolist() == [[0.0, 2.0]]
    np.testing.assert_allclose(layers.Softmax()(X).numpy().sum(axis=1), 1, rtol=1e-6)
    assert layers.Flatten()(np.zeros((3, 4, 5))).shape == (3, 20)


def test_what_layers_are_not_called_on() -> None:
    """Keras has a functional API."""
    with pytest.raises(TypeError, match="not on other layers: put them into a Sequential"):
        layers.Dense(3)(layers.Input((4,)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"layer 'dense' has no weights yet; build its model first"):
        models.Sequential([layers.Dense(3)]).layers[0](X)
    with pytest.raises(TypeError, match="Sequential models only"):
        fastreg.Model(inputs=1, outputs=2)
    with pytest.raises(TypeError, match="Sequential models only"):
        type("Own", (models.Model,), {})()
    assert isinstance(trained(), models.Model)


# ---- layers in two models ------------------------------------------------------------------------------------------
def test_a_part_of_a_model() -> None:
    model = trained()
    encoder = models.Sequential(model.layers[:1])
    encoded = encoder.predict(X, verbose=0)
    kernel, bias = model.layers[0].get_weights()
    np.testing.assert_allclose(encoded, np.maximum(X @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
    decoder = models.Sequential(model.layers[1:])
    np.testing.assert_allclose(
        decoder.predict(encoded, verbose=0), model.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )
    assert encoder.input_shape == (None, 6)
    assert decoder.input_shape == (None, 8)
    assert encoder.layers[0] is model.layers[0]


def test_it_follows_the_training_of_the_other() -> None:
    model = trained()
    encoder = models.Sequential(model.layers[:1])
    before = encoder(X).numpy()
    model.fit(X, X, epochs=3, verbose=0)
    after = encoder(X).numpy()
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(encoder.get_weights()[0], model.get_weights()[0])
    np.testing.assert_array_equal(encoder.weights[0], model.weights[0])
    np.testing.assert_allclose(after, model.layers[0](X), rtol=1e-5, atol=1e-6)
    encoder.add(layers.Dense(2))
    model.fit(X, X, verbose=0)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], model.get_weights()[0])
    np.testing.assert_array_equal(encoder.get_weights()[0], model.get_weights()[0])
    encoder.pop()
    after = encoder(X).numpy()
    model.pop()
    np.testing.assert_array_equal(encoder(X), after)
    model.add(layers.Dense(2))
    np.testing.assert_array_equal(encoder(X), after)


def test_a_model_within_a_model() -> None:
    """The quickstart for beginners: probabilities of a model that gives logits. `layers` of Keras's holds the model."""
    model = models.Sequential([layers.Flatten(input_shape=(2, 3)), layers.Dense(4)])
    model.compile(optimizer="adam", loss="mse")
    pictures = X.reshape(40, 2, 3)
    probability_model = models.Sequential([model, layers.Softmax()])
    logits = model.predict(pictures, verbose=0).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probability_model(pictures).numpy(), shares, rtol=1e-5)
    model.fit(pictures, np.ones((40, 4)), epochs=1, verbose=0)
    np.testing.assert_allclose(
        probability_model(pictures[:5]), activations.softmax(model(pictures[:5])), rtol=1e-5
    )
    assert probability_model.input_shape == (None, 2, 3)


def test_new_layers_behind_those_of_another_model() -> None:
    model = trained()
    longer = models.Sequential([*model.layers[:-1], layers.Dense(2, name="head")])
    longer.build((None, 6))
    assert [w.path.split("/")[1:] for w in longer.weights] == [
        [layer, weight] for layer in ("encoded", "head") for weight in ("kernel", "bias")
    ]
    head = longer.layers[-1]
    head.set_weights([np.ones((8, 2)), np.zeros(2)])
    model.fit(X, X, epochs=1, verbose=0)
    sums = model.layers[0](X).sum(axis=1)
    np.testing.assert_allclose(
        longer.predict(X, verbose=0), np.stack([sums, sums], axis=1), rtol=1e-4, atol=1e-5
    )


def test_either_model_can_train_the_layers() -> None:
    """An autoencoder of two models, each of which has a layer "dense"; then a new head, then the autoencoder again."""
    utils.set_random_seed(0)
    encoder = models.Sequential([layers.Input((6,)), layers.Dense(3, activation="tanh")])
    decoder = models.Sequential([layers.Input((3,)), layers.Dense(6)])
    before = [*encoder.get_weights(), *decoder.get_weights()]
    both = models.Sequential([encoder, decoder])
    both.compile(optimizer="adam", loss="mse")
    first = both.evaluate(X, X, verbose=0)
    for value, expected in zip(both.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    both.fit(X, X, epochs=30, verbose=0)
    assert both.evaluate(X, X, verbose=0) < first
    assert not np.array_equal(encoder.get_weights()[0], before[0])
    coded = encoder.predict(X, verbose=0)
    np.testing.assert_allclose(
        decoder.predict(coded, verbose=0), both.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )

    classifier = models.Sequential([encoder, layers.Dense(1, activation="sigmoid")])
    classifier.compile(optimizer="adam", loss="binary_crossentropy")
    labels = (X[:, 0] > 0).astype(np.float32)
    classifier.train_on_batch(X, labels)
    assert not np.array_equal(encoder.predict(X, verbose=0), coded)
    np.testing.assert_array_equal(both.get_weights()[0], classifier.get_weights()[0])
    history = both.fit(X, X, epochs=2, verbose=0).history
    assert len(history["loss"]) == 2
    np.testing.assert_array_equal(classifier.get_weights()[0], both.get_weights()[0])


def test_training_together_is_training_as_one() -> None:
    """Beside Keras, which draws: the bits of a model that had the layers from the start."""
    one = models.Sequential([layers.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(2)], seed=0)
    parts = [
        models.Sequential([layers.Input((6,)), layers.Dense(4, activation="relu")], seed=0),
        models.Sequential([layers.Input((4,)), layers.Dense(2)], seed=0),
    ]
    together = models.Sequential(parts, seed=0)  # type: ignore[arg-type]
    one.set_weights([weight / 2 for weight in one.get_weights()])
    together.set_weights(one.get_weights())
    np.testing.assert_array_equal(parts[1].get_weights()[0], one.get_weights()[2])
    results = []
    for model in (one, together):
        model.compile(optimizer="adam", loss="mse")
        results.append(model.fit(X, X[:, :2], epochs=3, verbose=0).history["loss"])
    assert results[0] == results[1]
    for value, expected in zip(together.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_weights_are_set_in_both(tmp_path: Path) -> None:
    model = trained()
    shorter = models.Sequential([layer for layer in model.layers if not isinstance(layer, layers.Dropout)])
    shorter.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    assert not any(weight.any() for weight in model.get_weights())
    with pytest.raises(ValueError, match="weights"):
        shorter.set_weights([np.ones(3)] * 4)
    assert not any(weight.any() for weight in model.get_weights())

    shorter.save(tmp_path / "model")  # files, clones and copies have layers of their own
    for apart in (models.load_model(tmp_path / "model"), models.clone_model(shorter)):
        apart.compile(optimizer="sgd", loss="mse")
        apart.fit(X, X, verbose=0)
    assert not any(weight.any() for weight in model.get_weights())


def test_no_model_takes_layers_from_one_that_is_fitted() -> None:
    """Keras lets callbacks train other models."""
    model = trained()
    part = models.Sequential(model.layers[:1])
    part.compile(optimizer="sgd", loss="mse")
    seen = []

    class Meddler(fastreg.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(part.predict(X, verbose=0))
            with pytest.raises(RuntimeError, match="cannot be called while the model is fitted"):
                part.train_on_batch(X, np.zeros((40, 8)))

    model.fit(X, X, epochs=2, verbose=0, callbacks=[Meddler()])
    assert len(seen) == 2
    assert not np.array_equal(seen[0], seen[1])
    double = models.Sequential(model.layers[:1], dtype="float64")
    double.compile(optimizer="sgd", loss="mse")
    with pytest.raises(ValueError, match="of dtype float32; this one, of float64, cannot train it"):
        double.fit(X, np.zeros((40, 8)), verbose=0)


def test_names_stay_apart_in_both() -> None:
    """Beside Keras, which keeps a name that is taken elsewhere and refuses it here."""
    first = models.Sequential([layers.Dense(6, input_dim=6)])
    second = models.Sequential([layers.Dense(6, input_dim=6), layers.Dense(6)])
    both = models.Sequential([first, second.layers[0]])
    for model in (first, second, both):
        assert len({layer.name for layer in model.layers}) == len(model.layers)


def test_what_does_not_fit() -> None:
    model = trained()
    with pytest.raises(ValueError, match="expects 6 inputs; what comes before it gives 5"):
        models.Sequential([layers.Dense(5), model])
    with pytest.raises(ValueError, match="already has a layer named 'encoded'"):
        models.Sequential([model.layers[0], model.layers[0]])
    narrow = models.Sequential([model.layers[0]])
    with pytest.raises(ValueError, match="x has 5 columns; layer 0 expects 6"):
        narrow.predict(X[:, :5])


# ---- leaving a model -----------------------------------------------------------------------------------------------
def test_a_popped_layer_keeps_its_weights() -> None:
    """Greedy layer-wise training: a layer comes in before the last."""
    model = models.Sequential([layers.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(2)])
    last = model.layers[-1]
    last.set_weights([np.full((4, 2), 7.0), np.ones(2)])
    model.pop()
    np.testing.assert_array_equal(last.get_weights()[0], np.full((4, 2), 7.0))
    model.add(layers.Dense(4, activation="relu"))
    model.add(last)
    np.testing.assert_array_equal(model.layers[-1].get_weights()[0], np.full((4, 2), 7.0))
    assert len({layer.name for layer in model.layers}) == 3
    assert model.predict(X, verbose=0).shape == (40, 2)

    part = models.Sequential(model.layers[1:])  # whose layers then leave
    for _ in range(2):
        model.pop()
    part.compile(optimizer="sgd", loss="mse")
    part.fit(np.ones((8, 4)), np.zeros((8, 2)), verbose=0)
    assert (part.get_weights()[3] < 1).all()  # the bias of what was the last layer


# ---- weights by name -----------------------------------------------------------------------------------------------
def test_weights_have_names_and_can_be_assigned() -> None:
    model = trained()
    assert [w.path.split("/")[-1] for w in model.weights] == ["kernel", "bias"] * 2
    assert [w.name for w in model.trainable_variables] == ["kernel", "bias"] * 2
    bias = model.layers[0].bias
    assert bias is not None
    bias.assign(np.arange(8))
    np.testing.assert_array_equal(bias.numpy(), np.arange(8))
    np.testing.assert_array_equal(model.get_weights()[1], np.arange(8))
    with pytest.raises(ValueError, match="weights"):
        bias.assign([1.0, 2.0])
    np.testing.assert_array_equal(model.get_weights()[1], np.arange(8))
    with pytest.raises((ValueError, TypeError)):
        bias[0] = 5.0
    assert not hasattr(model.weights[0][0], "assign")
    assert models.Sequential([layers.Dense(2)]).weights == []


# ---- what happens around sharing ------------------------------------------------------------------------------------
def pair() -> tuple[models.Sequential, models.Sequential]:
    """A trained model, and one with its first layer."""
    one = trained()
    other = models.Sequential([one.layers[0], layers.Dense(1)])
    other.compile("sgd", "mse")
    return one, other


def test_each_model_keeps_its_optimizer() -> None:
    """In turn they train one layer, each with momenta of its own."""
    one, other = pair()
    for turn in range(1, 4):
        other.fit(X, X[:, 0], verbose=0)
        one.fit(X, X, verbose=0)
        assert (one.optimizer.iterations, other.optimizer.iterations) == (4 + 2 * turn, 2 * turn)
        np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])
    states = [model._session.state() for model in (one, other)]  # type: ignore[union-attr]
    assert [state["step"] for state in states] == [10, 6]
    assert all(np.any(slot[0]) for slot in states[0]["slots"])


def test_names_stay_apart_in_every_model(tmp_path: Path) -> None:
    one = models.Sequential([layers.Input((6,)), layers.Dense(6)])
    third = models.Sequential([one.layers[0], layers.Dense(6)])  # dense, dense_1
    fourth = models.Sequential([layers.Input((6,)), layers.Dense(6)])
    fourth.add(one.layers[0])  # whose name must be new to the third, too
    for model in (one, third, fourth):
        names = [layer.name for layer in model.layers]
        assert len(set(names)) == len(names)
        model.save(tmp_path / "model")
        again = models.load_model(tmp_path / "model")
        for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="the model 'sequential' already has a layer named"):
        third.layers[1].name = third.layers[0].name
    # names that nobody gave give way
    both = models.Sequential([models.load_model(tmp_path / "model"), again])
    assert len({layer.name for layer in both.layers}) == 4


def test_a_layer_cannot_be_named_anything() -> None:
    layer = layers.Dense(2, name="mine")
    for name, error in ((7, TypeError), ("a/b", ValueError)):
        with pytest.raises(error, match="name must"):
            layer.name = name  # type: ignore[assignment]
    assert layer.name == "mine"


@pytest.mark.parametrize("wrong", ["memory", "initializer", "width"])
def test_a_fit_that_fails_takes_nothing_over(wrong: str) -> None:
    one = trained()
    before = one.get_weights()
    rest: dict[str, list[Any]] = {
        "memory": [layers.Dense(2**31), layers.Dense(2**31), layers.Dense(1)],
        "initializer": [layers.Dense(1, kernel_initializer=fastreg.initializers.Constant(np.ones((5, 5))))],
        "width": [layers.Dense(1)],
    }
    other = models.Sequential([one.layers[0], *rest[wrong]])
    other.compile("sgd", "mse")
    x = X[:, :5] if wrong == "width" else X
    with pytest.raises((MemoryError, ValueError)):
        other.fit(x, X[:, 0], verbose=0)
    for a, b in zip(one.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.layers[0]._owner is one
    one.fit(X, X, verbose=0)
    assert one.optimizer.iterations == 6


def test_two_models_have_each_others_layers(tmp_path: Path) -> None:
    for build in (False, True):
        one, other = (
            models.Sequential([layers.Input((6,)), layers.Dense(6, activation="tanh")], seed=s)
            for s in (1, 2)
        )
        if build:
            one.build()
            other.build()
        first, second = one.layers[0], other.layers[0]
        one.add(second)
        other.add(first)
        np.testing.assert_allclose(one.predict(X, verbose=0), second(first(X)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(other.predict(X, verbose=0), first(second(X)), rtol=1e-5, atol=1e-6)
        for model in (one, other):
            model.compile("adam", "mse")
            model.fit(X, X, verbose=0)
            model.summary(print_fn=lambda line: None)
            model.save(tmp_path / "model")
        np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[2])


def test_an_add_that_fails_adds_nothing() -> None:
    one = models.Sequential([layers.Input((6,)), layers.Dense(6, name="a"), layers.Dense(6, name="x")])
    other = models.Sequential([layers.Input((6,)), layers.Dense(6, name="x")])
    other.compile("adam", "mse")
    other.fit(X, X, verbose=0)
    with pytest.raises(ValueError, match="already has a layer named 'x'"):
        other.add(one)
    assert [layer.name for layer in other.layers] == ["x"]
    other.fit(X, X, verbose=0)
    assert other.optimizer.iterations == 4
    layer = layers.Dense(3)
    empty = models.Sequential()
    with pytest.raises(ValueError, match="already has a layer named 'x'"):
        empty.add(models.Sequential([models.Sequential([layer]), *(layers.Dense(3, name="x") for _ in "12")]))
    assert (empty.layers, empty.built) == ([], False)


def test_a_model_within_brings_its_input() -> None:
    assert models.Sequential([models.Sequential([layers.Input((6,))]), layers.Dense(2)]).built


def test_pop_keeps_the_input() -> None:
    model = models.Sequential([layers.Input((6,)), layers.Dense(2)])
    model.build()
    model.pop()
    assert model.built
    again = models.Sequential.from_config(model.get_config())
    assert again.built
    model = models.Sequential([layers.Dense(2)])
    model.build((None, 6))
    model.pop()
    assert not model.built


def test_a_build_that_fails_leaves_the_width_open() -> None:
    model = models.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="inputs must be from 1"):
        model.build((None, 10**12))
    model.fit(X, X[:, 0], verbose=0)


def test_a_layer_taken_out_of_a_model_without_weights() -> None:
    one = models.Sequential([layers.Dense(2)])
    other = models.Sequential([layers.Input((6,)), one.layers[0]])
    layer = one.pop()
    other.build()
    assert layer.get_weights()[0].shape == (6, 2)


def test_a_layer_outlives_its_model() -> None:
    one, other = pair()
    layer = one.layers[0]
    weights = layer.get_weights()
    gone = weakref.ref(one)
    del one
    assert gone() is None  # at once, with all that it held
    np.testing.assert_array_equal(layer.get_weights()[0], weights[0])
    other.fit(X, X[:, 0], verbose=0)
    np.testing.assert_array_equal(layer.get_weights()[0], other.get_weights()[0])
    assert not np.array_equal(layer.get_weights()[0], weights[0])
    history = other.history
    del other
    assert history is not None
    assert history.model is None
    models.Sequential([layer, layers.Dense(1)]).predict(X, verbose=0)


def test_another_dtype_with_dropout() -> None:
    one = trained()
    other = models.Sequential([*one.layers[:2], layers.Dense(1)], dtype="float64")
    assert other(X, training=True).dtype == np.float64


def test_layers_are_a_list_of_ones_own() -> None:
    model = trained()
    model.layers.pop()
    assert (len(model.layers), model.output_shape) == (3, (None, 6))


def test_copies_of_a_weight_cannot_be_assigned() -> None:
    kernel = trained().layers[0].weights[0]
    copies: list[Any] = [copy.deepcopy(kernel), kernel.T, kernel + 1]
    for copied in copies:
        with pytest.raises((ValueError, AttributeError), match="assign"):
            copied.assign(np.zeros((6, 8)))


def test_classic_dropout_alone_and_in_a_model() -> None:
    """The share that is kept is a multiple of 2^-16, ties go up: 40001 of them here."""
    dropout = layers.Dropout(1 - 40000.5 / 65536, scale_at="inference")
    model = models.Sequential([layers.Input((1,)), dropout, layers.Dense(1, kernel_initializer="ones")])
    one = np.ones((1, 1), np.float32)
    assert float(dropout(one)[0, 0]) * 65536 == float(model.predict(one, verbose=0)[0, 0]) * 65536 == 40001


def test_threads_that_share() -> None:
    """One sets a layer's weights, one predicts with another model, one saves, while a model trains: nothing is lost."""
    model = models.Sequential([layers.Input((6,)), layers.Dense(64, "tanh"), layers.Dense(1)], seed=0)
    model.compile(fastreg.SGD(1e-3), "mse")
    other = models.Sequential([model.layers[0], layers.Dense(1)])
    start = model.layers[0].get_weights()
    done, errors = threading.Event(), []

    def repeat(call: Any) -> None:
        while not done.is_set():
            try:
                call()
            except Exception as error:  # shown below
                errors.append(error)

    calls = [
        lambda: model.layers[0].set_weights(start),
        lambda: other.predict(X, verbose=0),
        lambda: saving.to_bytes(model),
    ]
    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    kernels = []
    try:
        for _ in range(30):
            model.fit(X, X[:, 0] + 5, epochs=1, batch_size=8, verbose=0)
            kernels.append(model.layers[1].get_weights()[0])
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert all(not np.array_equal(a, b) for a, b in zip(kernels[1:], kernels, strict=False))


def test_a_file_is_of_one_moment() -> None:
    """Saved while another thread trains: the bias counts the steps, and the file says how many there were."""
    model = models.Sequential(
        [layers.Input((1,)), layers.Dense(1, kernel_initializer="zeros")], dtype="float64"
    )
    model.compile(fastreg.SGD(1.0), "mae")
    x, y = np.zeros((256, 1)), np.full(256, -1e6)
    model.fit(x, y, batch_size=1, verbose=0)
    found: list[tuple[int, float]] = []
    done = threading.Event()

    def save() -> None:
        while not done.is_set():
            again = saving.from_bytes(saving.to_bytes(model))
            found.append((again._ready().step, -again.get_weights()[1][0]))

    thread = threading.Thread(target=save)
    thread.start()
    model.fit(x, y, epochs=200, batch_size=1, verbose=0)
    done.set()
    thread.join()
    assert all(step == steps for step, steps in found), found


def test_weights_belong_to_the_first_model_that_makes_them() -> None:
    encoder, decoder = (
        models.Sequential([layers.Input((6,)), layers.Dense(3)]),
        models.Sequential([layers.Dense(6)]),
    )
    both = models.Sequential([encoder, decoder])
    both.compile("sgd", "mse")
    both.fit(X, X, verbose=0)
    np.testing.assert_array_equal(
        decoder.predict(encoder.predict(X, verbose=0), verbose=0), both.predict(X, verbose=0)
    )
    again = [layers.Dense(3), layers.Dense(2)]
    for _ in range(2):  # a cell of a notebook, run twice
        model = models.Sequential(again)
    assert model.predict(X, verbose=0).shape == (40, 2)
    model = models.Sequential([layers.Input((6,))])
    model.add(models.Sequential([layers.Dense(3), layers.Dense(2)]))
    assert model.predict(X, verbose=0).shape == (40, 2)


def test_another_width_than_that_of_the_weights() -> None:
    one = models.Sequential([layers.Dense(3)])
    other = models.Sequential([one.layers[0], layers.Dense(2)])
    other.compile("sgd", "mse")
    one.build((None, 4))
    with pytest.raises(ValueError, match="layer 'dense' has weights for 4 inputs, not 6"):
        other.fit(X, X[:, :2], verbose=0)
    assert not other.built
    other.seed = 5
    other.fit(X[:, :4], X[:, :2], verbose=0)


def test_a_constructor_that_fails_changes_no_layer() -> None:
    layer, other = layers.Dense(3), models.Sequential([layers.Input((6,)), layers.Dense(6)])
    broken: list[Any] = [layers.Input((5,)), layer, "x"]
    with pytest.raises(TypeError, match="layer must be a layer"):
        models.Sequential(broken, dtype="float64")
    broken = [layers.Input((6,)), layers.Dense(6), other.layers[0], "x"]
    with pytest.raises(TypeError, match="layer must be a layer"):
        models.Sequential(broken)
    assert (layer.name, other.layers[0].name) == (None, "dense")
    models.Sequential([layers.Input((4,)), layer]).build()
    models.Sequential([layers.Input((6,)), layers.Dense(6), other.layers[0]])
    assert other.get_layer("dense") is other.layers[0]  # the new layer took another name


def test_names_that_were_given_do_not_give_way() -> None:
    with pytest.raises(ValueError, match="already has a layer named 'dense'"):
        models.Sequential([layers.Dense(2, name="dense"), layers.Dense(2, name="dense")])


def test_layers_without_weights_are_anybodys() -> None:
    relu = layers.ReLU()
    one = models.Sequential([layers.Input((6,)), layers.Dense(3), relu, layers.Dense(2)])
    other = models.Sequential([layers.Input((6,)), layers.Dense(3), relu, layers.Dense(2)], dtype="float64")
    for model in (one, other):
        model.compile("sgd", "mse")
    train = fastreg.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: other.fit(X, X[:, :2], verbose=0)
    )
    one.fit(X, X[:, :2], verbose=0, callbacks=[train])
    alone = models.Sequential([layers.Input((6,)), layers.Activation("relu")]).layers[0]
    assert (alone.get_weights(), float(alone(-X).numpy().min())) == ([], 0.0)


@pytest.mark.parametrize("gone", ["popped", "copied", "deleted"])
def test_layers_of_no_model_keep_their_dtype(gone: str) -> None:
    model = models.Sequential([layers.Input((6,)), layers.Dense(3), layers.Dense(2)], dtype="float64")
    model.build()
    layer = {
        "popped": model.pop,
        "copied": lambda: copy.deepcopy(model.layers[1]),
        "deleted": lambda: model.layers[1],
    }[gone]()
    weights = layer.get_weights()
    if gone == "deleted":
        del model
    layer.build((None, 9))  # which a layer with weights needs no more
    assert layer.input_units in (None, 3)
    assert (layer.dtype, layer(np.ones((2, 3))).dtype) == ("float64", np.float64)
    np.testing.assert_array_equal(layer.get_weights()[0], weights[0])


def test_weights_of_more_digits_stay_as_they_are() -> None:
    one = models.Sequential([layers.Input((6,)), layers.Dense(3)], dtype="float64")
    one.trainable = False
    other = models.Sequential([one, layers.Dense(1)])
    other.compile("sgd", "mse")
    before = one.get_weights()
    stop = fastreg.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    other.fit(X, X[:, 0], verbose=0, callbacks=[stop])
    np.testing.assert_array_equal(one.get_weights()[0], before[0])
    assert before[0].dtype == np.float64


def test_an_added_layer_must_go_with_the_loss() -> None:
    model = models.Sequential([layers.Input((6,)), layers.Dense(2)])
    model.compile("sgd", fastreg.losses.ElasticNet("mse", alpha=0.1))
    subgradient = fastreg.regularizers.L1(0.1, method="subgradient")
    with pytest.raises(ValueError, match="give both the same method"):
        model.add(layers.Dense(2, kernel_regularizer=subgradient))
    assert len(model.layers) == 1
    model.fit(X, X[:, :2], verbose=0)


def test_who_waits_for_weights_holds_up_no_other_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for those of a layer that is being trained, until the epoch ends."""
    one = models.Sequential([layers.Input((6,)), layers.Dense(6)])
    other = models.Sequential([one.layers[0], layers.Dense(1)])
    other.build()
    waits, goes_on, lent = threading.Event(), threading.Event(), fastreg.layers.Layer.lent_weights

    def lent_weights(layer: Any, dtype: str) -> Any:
        waits.set()
        goes_on.wait(60)
        return lent(layer, dtype)

    monkeypatch.setattr(fastreg.layers.Layer, "lent_weights", lent_weights)
    waiting = threading.Thread(target=lambda: other.predict(X, verbose=0))
    waiting.start()
    waits.wait()
    third = models.Sequential([layers.Input((6,)), layers.Dense(3)])
    assert third.predict(X, verbose=0).shape == (40, 3)
    assert waiting.is_alive()
    goes_on.set()
    waiting.join()
