"""Pieces of programs as Keras users write them: each runs the same with `import keras` (checked with Keras 3.15.1).

It must not hold what only fastreg does: test_keras_words.py does. It is over 250 lines: a program each.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastreg as keras

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)
layers: Any = keras.layers  # seen by a type checker as Keras's
regularizers = keras.regularizers


def network(*more: Any, **named: Any) -> Any:
    return keras.Sequential([layers.Input((3,)), *more, layers.Dense(1, **named)])


def trained() -> Any:
    model = network(layers.Dense(4, activation="relu"))
    model.compile(optimizer="adam", loss="mse")
    model.fit(X, Y, epochs=2, batch_size=20, verbose=0)
    return model


# ---- numpy() -------------------------------------------------------------------------------------------------------
def test_outputs_have_numpy() -> None:
    model = trained()
    out = model(X)
    assert type(out.numpy()) is np.ndarray
    np.testing.assert_allclose(out.numpy(), model.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
    assert out[0].numpy().shape == (1,)
    assert type(model.predict(X, verbose=0)) is np.ndarray
    assert keras.initializers.Ones()((2, 3)).numpy().tolist() == [[1.0] * 3] * 2


def test_losses_metrics_and_activations_have_numpy() -> None:
    y, p = np.array([[0.0], [1.0]]), np.array([[0.5], [0.5]])
    assert keras.losses.MeanSquaredError()(y, p).numpy() == 0.25
    assert keras.losses.binary_crossentropy(y, p).numpy().shape == (2,)
    metric = keras.metrics.BinaryAccuracy()
    metric.update_state(y, p)
    assert metric.result().numpy() == 0.5
    assert keras.activations.relu(np.array([-1.0, 2.0])).numpy().tolist() == [0.0, 2.0]


def test_passes_with_dropout_have_numpy() -> None:
    model = network(layers.Dense(50, activation="tanh"), layers.Dropout(0.5))
    passes = np.stack([model(X, training=True).numpy() for _ in range(3)])
    assert passes.std(axis=0).any()


def test_weights_have_numpy_and_are_written_through_set_weights() -> None:
    model = trained()
    layer = model.layers[0]
    assert [tuple(w.shape) for w in model.weights] == [(3, 4), (4,), (4, 1), (1,)]
    for weight, array in zip(model.weights, model.get_weights()):
        np.testing.assert_array_equal(weight.numpy(), array)
    kernel = layer.kernel.numpy()
    kernel[np.abs(kernel) < 0.5] = 0.0
    layer.set_weights([kernel, layer.bias.numpy()])
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), kernel)
    with pytest.raises((TypeError, AttributeError, ValueError)):
        layer.kernel[:] = 0.0
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


def test_the_optimizers_count_has_numpy() -> None:
    optimizer = trained().optimizer
    assert optimizer.iterations.numpy() == 4
    assert isinstance(optimizer.iterations.numpy(), np.integer)
    assert int(optimizer.iterations) == 4


# ---- weights and penalties -----------------------------------------------------------------------------------------
def test_weights_by_their_other_names() -> None:
    model = network(layers.Dense(4), layers.Activation("relu"))
    for part, count in ((model, 4), (model.layers[0], 2), (model.layers[1], 0)):
        assert part.built
        assert part.trainable
        for name in ("weights", "trainable_weights", "trainable_variables", "variables"):
            shapes = [tuple(w.shape) for w in getattr(part, name)]
            assert shapes == [(3, 4), (4,), (4, 1), (1,)][:count]
        assert part.non_trainable_weights == part.non_trainable_variables == []
    params = sum(np.prod(w.shape) for w in model.trainable_variables)
    assert params == model.count_params() == 21


def test_losses_are_the_penalties() -> None:
    l1, l2 = regularizers.L1(0.1), regularizers.L2(0.2)
    model = network(layers.Dense(4, kernel_regularizer=l1, bias_regularizer=l2), kernel_regularizer=l2)
    weights = [np.full((3, 4), -2.0), np.full(4, 3.0), np.full((4, 1), 0.5), np.zeros(1)]
    model.set_weights(weights)
    expected = [0.1 * 24, 0.2 * 36, 0.2 * 1.0]
    np.testing.assert_allclose([float(loss) for loss in model.losses], expected, rtol=1e-6)
    np.testing.assert_allclose([loss.numpy() for loss in model.layers[0].losses], expected[:2], rtol=1e-6)
    assert network(layers.Dropout(0.5)).losses == []


def test_a_layer_is_built_with_its_model() -> None:
    model = keras.Sequential([layers.Dense(2)])
    assert not model.built
    assert not model.layers[0].built
    assert model.layers[0].losses == []
    model.build((None, 3))
    assert model.layers[0].built


# ---- layers and their arguments ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: layers.ReLU(), np.maximum(X, 0)),
        (lambda: layers.ReLU(max_value=None, negative_slope=0.0, threshold=0.0), np.maximum(X, 0)),
        (lambda: layers.ReLU(negative_slope=0.25), np.where(X > 0, X, 0.25 * X)),
        (lambda: layers.Softmax(), np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)),
        (lambda: layers.Softmax(axis=-1), np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)),
        (lambda: layers.Activation(layers.LeakyReLU(0.1)), np.where(X > 0, X, 0.1 * X)),
    ],
)
def test_activation_layers(make: Any, expected: Any) -> None:
    for layer in (make(), type(make()).from_config(make().get_config())):
        model = keras.Sequential([layers.Input((3,)), layers.Dense(3, use_bias=False), layer])
        model.set_weights([np.eye(3)])
        np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_default_names_of_activation_layers() -> None:
    model = network(layers.ReLU(name="first"), layers.Softmax())
    assert model.get_layer("first") is model.layers[0]
    assert model.layers[1].name.startswith("softmax")


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        (lambda: layers.LeakyReLU(0.1), lambda z: np.where(z > 0, z, 0.1 * z)),
        (lambda: layers.ELU(2.0), lambda z: np.where(z > 0, z, 2 * np.expm1(z))),
        (lambda: layers.ReLU(), lambda z: np.maximum(z, 0)),
    ],
)
def test_a_layer_as_an_activation(activation: Any, function: Any) -> None:
    shared = activation()
    model = network(layers.Dense(8, activation=shared), activation=shared)
    first, bias, last, offset = (np.asarray(w, np.float64) for w in model.get_weights())
    expected = function(function(X @ first + bias) @ last + offset)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-6)
    again = keras.Sequential.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.log([3.0]), [np.log(3.0)] * 2),
        ([0.5], [0.5, 0.5]),
        (np.array([0.25, 0.75]), [0.25, 0.75]),
        (2, [2.0, 2.0]),
    ],
)
def test_a_bias_starts_with_an_array(value: Any, expected: Any) -> None:
    layer = layers.Dense(2, bias_initializer=keras.initializers.Constant(value))
    network(layer)
    np.testing.assert_allclose(layer.bias.numpy(), expected, rtol=1e-6)


def test_no_initializer_is_glorot_uniform() -> None:
    layer = layers.Dense(1000, kernel_initializer=None, bias_initializer=None)
    network(layer)
    for weight, fans in ((layer.kernel.numpy(), 1003), (layer.bias.numpy(), 2000)):
        limit = np.sqrt(6 / fans)
        assert 0.95 * limit < np.abs(weight).max() <= limit * (1 + 1e-6)
        assert abs(weight.mean()) < 0.1 * limit


def test_layers_take_neutral_arguments() -> None:
    model = keras.Sequential(
        [
            keras.Input(shape=(3,), batch_size=None, dtype="float32", name="x"),
            layers.Dense(4, dtype="float32", trainable=True, name="first"),
            layers.Dropout(0.5, dtype=None, trainable=True),
            layers.Activation("relu", dtype="float32"),
            layers.Dense(1, input_shape=(4,)),
        ]
    )
    assert model.input_shape == (None, 3)
    assert [layer.dtype for layer in model.layers] == ["float32"] * 4


NEUTRAL_OPTIMIZER: dict[str, Any] = {
    "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}  # fmt: skip


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_optimizers_take_neutral_arguments(name: str) -> None:
    cls = getattr(keras.optimizers, name)
    optimizer = cls(learning_rate=0.25, **NEUTRAL_OPTIMIZER)
    again = cls.from_config({**optimizer.get_config(), **NEUTRAL_OPTIMIZER})
    assert float(again.learning_rate) == 0.25


def test_losses_and_metrics_take_neutral_arguments() -> None:
    y, p = np.array([[1.0], [0.0]]), np.array([[0.75], [0.25]])
    losses, metrics = keras.losses, keras.metrics
    assert float(losses.BinaryCrossentropy(axis=-1, dtype=None)(y, p)) == pytest.approx(-np.log(0.75))
    sparse = losses.SparseCategoricalCrossentropy(ignore_class=None, axis=-1, dtype=None)
    assert float(sparse(np.array([0]), np.array([[0.5, 0.5]]))) == pytest.approx(np.log(2))
    metric = metrics.BinaryAccuracy(dtype="float32", threshold=0.5)
    metric.update_state(y, p)
    assert float(metric.result()) == 1
    assert float(metrics.AUC(name="a", dtype=None)(y, p)) == pytest.approx(1)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_f_scores(average: str) -> None:
    y, p = np.array([[1.0], [1.0], [0.0], [0.0]]), np.array([[0.9], [0.4], [0.6], [0.1]])
    assert float(keras.metrics.F1Score(average=average, threshold=0.5)(y, p)) == pytest.approx(0.5)
    score = keras.metrics.FBetaScore(average=average, beta=2.0, threshold=0.3)
    assert float(score(y, p)) == pytest.approx(10 / 11)
    assert score.name == "fbeta_score"


@pytest.mark.parametrize(("average", "wanted"), [("micro", 4 / 7), ("macro", 2 / 3), ("weighted", 2 / 3)])
def test_f_scores_of_classes(average: str, wanted: float) -> None:
    y = np.eye(3, dtype="float32")
    p = np.array([[0.5, 0.5, 0.1], [0.0, 0.0, 0.0], [-2.0, -1.0, -1.0]], "float32")
    score = keras.metrics.F1Score(average=average)
    assert float(score(y, p)) == pytest.approx(wanted)


def test_input_layer_by_input_shape() -> None:
    model = keras.Sequential([layers.InputLayer(input_shape=(3,)), layers.Dense(1)])
    assert model.built
    assert layers.InputLayer((3,)).name != layers.InputLayer(shape=(3,), name="x").name == "x"


@pytest.mark.parametrize(
    "first",
    [
        lambda: [layers.Input((4, 5)), layers.Flatten()],
        lambda: [layers.Flatten(input_shape=(4, 5))],
        lambda: [layers.Flatten()],
    ],
    ids=["Input", "input_shape", "from the data"],
)
@pytest.mark.parametrize("by_batches", [False, True])
def test_pictures_are_flattened(first: Any, by_batches: bool) -> None:
    """The quickstart for beginners, and the same model on rows that are flat already."""

    class Watcher(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None: ...
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None: ...
        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None: ...

    rng = np.random.default_rng(0)
    pictures = rng.random((50, 4, 5), np.float32)
    digits = rng.integers(0, 3, 50)
    watchers = [Watcher()] if by_batches else []

    def results(start: list[Any], x: Any, weights: Any = None) -> tuple[Any, ...]:
        model = keras.Sequential([*start, layers.Dense(8, activation="relu"), layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
        model.build((None, *x.shape[1:]))
        if weights is not None:
            model.set_weights(weights)
        weights = model.get_weights()
        model.train_on_batch(x[:9], digits[:9])
        history = model.fit(
            x,
            digits,
            epochs=3,
            shuffle=False,
            validation_data=(x, digits),
            verbose=0,
            callbacks=watchers,
        )
        assert model.input_shape == (None, *x.shape[1:])
        evaluated = model.evaluate(x, digits, verbose=0, batch_size=7, callbacks=watchers)
        predicted = model.predict(x, verbose=0, callbacks=watchers)
        np.testing.assert_allclose(np.asarray(model(x[:4])), predicted[:4], rtol=1e-5, atol=1e-6)
        return weights, history.history["val_loss"], evaluated, predicted

    weights, *found = results(first(), pictures)
    assert weights[0].shape == (20, 8)
    for value, expected in zip(found, results([], pictures.reshape(50, 20), weights)[1:], strict=True):
        np.testing.assert_array_equal(value, expected)


def test_flatten_in_a_file(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((10, 2, 3), np.float32)
    model = keras.Sequential([layers.Input((2, 3)), layers.Flatten(), layers.Dense(2), layers.Flatten()])
    assert [layer.name.split("_")[0] for layer in model.layers] == ["flatten", "dense", "flatten"]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.input_shape, loaded.output_shape) == ((None, 2, 3), (None, 2))
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert keras.models.clone_model(model).input_shape == (None, 2, 3)


# ---- a model and its methods ---------------------------------------------------------------------------------------
def test_methods_take_neutral_arguments(tmp_path: Path) -> None:
    model = network()
    model.compile(optimizer="sgd", loss="mse", loss_weights=[1.0], jit_compile="auto", auto_scale_loss=True)
    validation = {"validation_data": (X, Y), "validation_steps": None}
    history = model.fit(X, Y, epochs=1, verbose=0, steps_per_epoch=None, **validation)
    assert model.evaluate(X, Y, verbose=0, steps=None) == pytest.approx(
        history.history["val_loss"][0], rel=1e-5
    )
    assert model.predict(X, verbose=0, steps=None).shape == (40, 1)
    model.save(tmp_path / "m.keras", include_optimizer=True)
    model.save_weights(tmp_path / "m.weights.h5")
    model.load_weights(tmp_path / "m.weights.h5", skip_mismatch=False)


def test_before_compile() -> None:
    model = network()
    assert not hasattr(model, "optimizer")
    assert model.loss is None
    assert model.metrics == model.metrics_names == []
    model.compile("sgd", "mse")
    assert hasattr(model, "optimizer")


def test_a_model_shown() -> None:
    model = keras.Sequential([layers.Dense(2)], name="small")
    out = io.StringIO()
    print(model, file=out)
    assert out.getvalue() == "<Sequential name=small, built=False>\n"
    model.build((None, 3))
    assert repr(model) == "<Sequential name=small, built=True>"


def test_get_layer_by_index() -> None:
    model = network(layers.Dense(4))
    assert model.get_layer(index=0) is model.layers[0]
    assert model.get_layer(index=-1) is model.layers[1]
    for index in (2, 10):
        with pytest.raises(ValueError, match=rf"index {index}\b.* 2 layers"):
            model.get_layer(index=index)


def test_the_end_of_a_session() -> None:
    from fastreg import backend as K

    K.clear_session()
    keras.backend.clear_session()
    keras.utils.clear_session()


# ---- copies and files ----------------------------------------------------------------------------------------------
def test_a_clone_is_the_same_architecture_with_other_weights() -> None:
    model = trained()
    model.compile(keras.optimizers.SGD(0.25), "mae")
    clone = keras.models.clone_model(model)
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert clone.count_params() == model.count_params()
    assert not np.array_equal(clone.get_weights()[0], model.get_weights()[0])
    assert float(clone.optimizer.learning_rate) == 0.25  # compiled as the model is
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X, verbose=0), model.predict(X, verbose=0))
    clone.fit(X, Y, verbose=0)
    assert not np.array_equal(clone.get_weights()[0], model.get_weights()[0])


def test_a_model_as_text() -> None:
    model = trained()
    text = model.to_json()
    assert json.loads(text)
    again = keras.models.model_from_json(text)
    again.set_weights(model.get_weights())
    assert again.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0))
    unbuilt = keras.models.model_from_json(keras.Sequential([layers.Dense(2)]).to_json())
    assert not unbuilt.built
    assert not hasattr(unbuilt, "optimizer")
    with pytest.raises(ValueError):  # noqa: PT011
        keras.models.model_from_json("no json")


def test_models_by_the_functions_of_two_modules(tmp_path: Path) -> None:
    model = trained()
    keras.models.save_model(model, tmp_path / "a.keras")
    keras.saving.save_model(model, tmp_path / "b.keras")
    for load in (keras.models.load_model, keras.saving.load_model):
        for name in ("a.keras", "b.keras"):
            again = load(tmp_path / name, custom_objects=None, compile=True)
            np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
        assert not hasattr(load(tmp_path / "a.keras", compile=False), "optimizer")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "m.keras"
    with pytest.raises(FileNotFoundError) as caught:
        trained().save(path)
    assert str(path) in str(caught.value)


# ---- what asks for nothing -----------------------------------------------------------------------------------------
def test_steps_that_are_all_rows() -> None:
    model = trained()
    history = model.fit(
        X, Y, batch_size=16, steps_per_epoch=3, validation_data=(X, Y), validation_steps=3, verbose=0
    )
    assert len(history.history["val_loss"]) == 1
    assert model.evaluate(X, Y, steps=2, verbose=0) > 0
    assert model.predict(X, steps=2, verbose=0).shape == (40, 1)
    model.reset_metrics()
    model.summary(show_trainable=True, expand_nested=True, print_fn=lambda *_, **__: None)


def test_one_loss_in_a_list() -> None:
    model = network()
    model.compile(optimizer="sgd", loss=["mse"])
    assert model.fit(X, Y, verbose=0).history["loss"][0] > 0


# ---- learning rates and metrics --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "rates"),
    [
        (lambda s: s.ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 * 0.5**0.5, 20: 0.025}),
        (lambda s: s.ExponentialDecay(0.1, 10, decay_rate=0.5, staircase=True), {9: 0.1, 10: 0.05}),
        (lambda s: s.InverseTimeDecay(0.1, 10, 1.0), {0: 0.1, 10: 0.05}),
        (lambda s: s.InverseTimeDecay(0.1, 10, 1.0, staircase=True), {9: 0.1, 19: 0.05}),
        (lambda s: s.PiecewiseConstantDecay([5, 8], [1.0, 0.5, 0.1]), {0: 1, 5: 1, 6: 0.5, 8: 0.5, 9: 0.1}),
        (lambda s: s.PolynomialDecay(0.1, 10, 0.02, 2.0), {0: 0.1, 5: 0.04, 10: 0.02, 99: 0.02}),
        (lambda s: s.PolynomialDecay(0.1, 10, 0.0, cycle=True), {0: 0.1, 10: 0.0, 15: 0.025}),
        (lambda s: s.CosineDecay(0.1, 10, 0.2), {0: 0.1, 5: 0.06, 10: 0.02, 99: 0.02}),
        (
            lambda s: s.CosineDecay(0.0, 10, warmup_target=0.1, warmup_steps=4),
            {0: 0.0, 2: 0.05, 4: 0.1, 9: 0.05, 14: 0.0},
        ),
        (
            lambda s: s.CosineDecayRestarts(0.1, 10, 2.0, 0.5, 0.2),
            {0: 0.1, 5: 0.06, 10: 0.06, 20: 0.04, 50: 0.03},
        ),
    ],
)
def test_schedules(make: Any, rates: dict[int, float]) -> None:
    schedule = make(keras.optimizers.schedules)
    for step, rate in rates.items():
        np.testing.assert_allclose(float(schedule(step)), rate, rtol=2e-5, atol=1e-8)
    again = type(schedule).from_config(schedule.get_config())
    assert [float(again(step)) for step in rates] == [float(schedule(step)) for step in rates]
    model = network()
    model.compile(keras.optimizers.Adam(learning_rate=schedule), "mse")
    model.fit(X, Y, batch_size=20, epochs=3, verbose=0)
    assert float(model.optimizer.learning_rate) == float(schedule(6))
    with pytest.raises(TypeError):
        model.optimizer.learning_rate = 0.1


def test_a_schedule_of_ones_own() -> None:
    class Warmup(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self, top: float) -> None:
            self.top = top

        def __call__(self, step: Any) -> Any:
            return self.top * (step + 1)

    model = network()
    model.compile(keras.optimizers.SGD(Warmup(1e-3)), "mse")
    before = model.get_weights()[0]
    model.fit(X, Y, batch_size=40, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(float(model.optimizer.learning_rate), 3e-3, rtol=1e-6)
    assert (model.get_weights()[0] != before).any()


def test_a_schedule_of_many_steps_at_once() -> None:
    """The tutorial on overfitting draws its schedule."""
    schedule = keras.optimizers.schedules.InverseTimeDecay(
        0.001, decay_steps=100, decay_rate=1, staircase=False
    )
    steps = np.linspace(0, 1000, 11)
    np.testing.assert_allclose(np.asarray(schedule(steps)), 0.001 / (1 + steps / 100), rtol=1e-6)
    assert schedule(steps[:10].reshape(2, 5)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "y", "p", "expected"),
    [
        ("binary_accuracy", [[1.0], [1.0]], [[0.7], [0.4]], [1.0, 0.0]),
        ("categorical_accuracy", [[0.0, 1.0], [1.0, 0.0]], [[0.2, 0.8], [0.3, 0.7]], [1.0, 0.0]),
        ("sparse_categorical_accuracy", [1, 0], [[0.2, 0.8], [0.3, 0.7]], [1.0, 0.0]),
    ],
)
def test_accuracies_as_functions(name: str, y: Any, p: Any, expected: list[float]) -> None:
    function = getattr(keras.metrics, name)
    np.testing.assert_allclose(np.ravel(function(np.array(y), np.array(p))), expected)
    outputs = 1 if name == "binary_accuracy" else 2
    model = keras.Sequential([layers.Input((3,)), layers.Dense(outputs, activation="sigmoid")])
    losses = {1: "binary_crossentropy", 2: "categorical_crossentropy"}
    sparse = name.startswith("sparse")
    model.compile(loss=f"sparse_{losses[2]}" if sparse else losses[outputs], metrics=[function])
    target = Y if outputs == 1 else Y[:, 0] if sparse else np.eye(2)[Y[:, 0].astype(int)]
    assert name in model.fit(X, target, verbose=0).history


def test_errors_in_percent_and_of_logarithms() -> None:
    y, p = np.array([[1.0, 2.0], [4.0, 0.5]]), np.array([[1.5, 1.0], [3.0, 0.25]])
    losses = keras.losses
    for function, expected in (
        (losses.mean_absolute_percentage_error, [50.0, 37.5]),
        (losses.mean_squared_logarithmic_error, ((np.log1p(y) - np.log1p(p)) ** 2).mean(axis=1)),
        (losses.log_cosh, np.log(np.cosh(p - y)).mean(axis=1)),
    ):
        np.testing.assert_allclose(np.asarray(function(y, p)), expected, rtol=1e-5)
    model = network(layers.Dense(4, activation="relu"))
    model.compile(
        optimizer="adam",
        loss="mean_squared_logarithmic_error",
        metrics=["mape", "msle", keras.metrics.LogCoshError()],
    )
    history = model.fit(X, Y, epochs=3, verbose=0).history
    assert history["loss"] == pytest.approx(history["msle"], rel=1e-5)
    assert {"mape", "logcosh"} <= set(history)


def test_a_program_on_imbalanced_data() -> None:
    """Counts of the confusion matrix as metrics, a bias that starts at the log of the odds, weights of classes."""
    rare = (X[:, :1] > 0.8).astype(np.float32)
    odds = np.log([rare.sum() / (len(rare) - rare.sum())])
    model = keras.Sequential(
        [
            layers.Dense(16, activation="relu", input_shape=(3,)),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid", bias_initializer=keras.initializers.Constant(odds[0])),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-3),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[
            keras.metrics.BinaryCrossentropy(name="cross entropy"),
            keras.metrics.MeanSquaredError(name="Brier score"),
            keras.metrics.TruePositives(name="tp"),
            keras.metrics.FalsePositives(name="fp"),
            keras.metrics.TrueNegatives(name="tn"),
            keras.metrics.FalseNegatives(name="fn"),
            keras.metrics.BinaryAccuracy(name="accuracy"),
            keras.metrics.Precision(name="precision"),
            keras.metrics.Recall(name="recall"),
            keras.metrics.AUC(name="auc"),
            keras.metrics.AUC(name="prc", curve="PR"),
        ],
    )
    best = keras.callbacks.EarlyStopping(
        monitor="val_prc", patience=10, mode="max", restore_best_weights=True
    )
    model.fit(
        X, rare, batch_size=20, epochs=5, verbose=0, callbacks=[best], validation_data=(X, rare),
        class_weight={0: 0.6, 1: 3.0},
    )  # fmt: skip
    results = model.evaluate(X, rare, verbose=0, return_dict=True)
    predicted = model.predict(X, verbose=0) > 0.5
    assert results["tp"] == np.sum(predicted * rare)
    assert results["fp"] == np.sum(predicted * (1 - rare))
    assert results["tp"] + results["fn"] == rare.sum()
    assert results["tp"] + results["fp"] + results["tn"] + results["fn"] == len(X)
    metric = keras.metrics.FalseNegatives(thresholds=0.4)
    metric.update_state([0, 1, 1, 1], [0.0, 0.3, 0.4, 0.41], sample_weight=[1, 2, 4, 8])
    assert float(metric.result()) == 6.0


# ---- forms of arguments --------------------------------------------------------------------------------------------
def test_a_model_is_shown_before_it_has_a_dense_layer(capsys: pytest.CaptureFixture[str]) -> None:
    model = keras.Sequential()
    model.add(layers.Input((5, 3)))
    model.add(layers.Flatten())
    model.summary()
    assert "flatten" in capsys.readouterr().out
    assert (model.count_params(), model.get_weights(), model.weights) == (0, [], [])
    model.set_weights(model.get_weights())
    assert model.predict(np.ones((2, 5, 3)), verbose=0).shape == (2, 15)
    model.add(layers.Dense(2))
    assert model.count_params() == 32


def test_a_model_of_an_activation_alone() -> None:
    model = keras.Sequential([layers.Softmax()])
    expected = [[0.5, 0.5], [1.0, 0.0]]
    np.testing.assert_allclose(model(np.array([[1.0, 1.0], [90.0, 0.0]])).numpy(), expected, atol=1e-6)
    model = keras.Sequential([layers.Input((2,)), layers.Dropout(0.5)])
    assert model.predict(np.ones((1, 2)), verbose=0).tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ([["mae", "mse"]], ["mae", "mse"]),
        (
            [keras.losses.MeanAbsoluteError(), keras.losses.Huber(delta=0.1)],
            ["mean_absolute_error", "huber_loss"],
        ),
    ],
)
def test_metrics_in_other_forms(listed: Any, names: list[str]) -> None:
    model = network()
    model.compile("sgd", "mse", metrics=listed)
    history = model.fit(X, Y, batch_size=40, verbose=0).history
    assert {*names, "loss"} <= set(history)
    # of the weights before the step, of which the mean absolute error is more than 0.1
    if "huber_loss" in names:
        assert history["huber_loss"][0] < 0.1 * history["mean_absolute_error"][0]


def test_lists_of_one_input_and_of_lists_of_callbacks() -> None:
    model = network()
    model.compile("sgd", "mse")
    stopping = keras.callbacks.EarlyStopping("loss")
    assert len(model.fit([X], Y, epochs=2, verbose=0, callbacks=[[stopping]]).history["loss"]) == 2
    np.testing.assert_array_equal(model.predict([X], verbose=0), model.predict(X, verbose=0))


def test_a_list_of_one_target_of_one_column_and_of_one_image_each() -> None:
    model = keras.Sequential([layers.Input((2, 2)), layers.Flatten(), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    images, y = np.random.default_rng(0).normal(size=(20, 2, 2)).astype(np.float32), np.ones(20)
    assert model.evaluate([images], [y], verbose=0) == model.evaluate(images, y, verbose=0)
    np.testing.assert_array_equal(model.predict([images[0]], verbose=0), model.predict(images[:1], verbose=0))


def test_lists_of_one_vector() -> None:
    x, y = np.linspace(-1, 1, 12), np.arange(12.0)
    one, other = (keras.Sequential([layers.Dense(1, input_dim=1)], seed=0) for _ in "12")
    for model, data in ((one, ([x], [y])), (other, (x, y))):
        model.compile("sgd", "mse")
        model.fit(*data, verbose=0)
    np.testing.assert_array_equal(one.predict([x], verbose=0), other.predict(x, verbose=0))
    unknown = keras.Sequential([layers.Flatten(), layers.Dense(1)])
    unknown.compile("sgd", "mse")
    assert unknown.predict([x], verbose=0).shape == (1, 1)  # one row of 12 features, as without a list of one


def test_a_width_that_a_later_layer_states_is_not_taken() -> None:
    with pytest.warns(
        UserWarning, match="layer 'dense_1' states 4 inputs; what comes before it gives 10"
    ) as seen:
        model = keras.Sequential([layers.Dense(10, input_dim=4), layers.Dense(5, input_dim=4)])
    assert [weight.shape for weight in model.get_weights()] == [(4, 10), (10,), (10, 5), (5,)]
    assert seen[0].filename == __file__


def test_verbose_may_be_any_number(capsys: pytest.CaptureFixture[str]) -> None:
    model = trained()
    capsys.readouterr()
    model.fit(X, Y, epochs=2, verbose=3, callbacks=[keras.callbacks.EarlyStopping("loss", verbose=3)])
    assert "Epoch 2/2" in capsys.readouterr().out


def test_activations_of_tensorflow() -> None:
    def relu(x: Any) -> Any: ...

    relu.__module__ = "tensorflow.python.ops.gen_nn_ops"
    assert layers.Dense(1, activation=relu).get_config()["activation"] == "relu"
    relu.__name__ = "crelu"
    with pytest.raises(TypeError, match="activation must be a name or a function"):
        layers.Dense(1, activation=relu)


def test_which_weights_are_trainable() -> None:
    model = keras.Sequential([layers.Dense(3, input_dim=2), layers.Dense(1)])
    model.layers[0].trainable = False
    assert [weight.trainable for weight in model.weights] == [False, False, True, True]
    assert not model.weights[2].copy().trainable


def test_a_run_that_was_resumed_when_it_was_done() -> None:
    model = trained()
    history = model.fit(X, Y, initial_epoch=3, epochs=2, verbose=1)
    assert (history.history, history.epoch) == ({}, [])


def test_activity_regularization_is_an_activity_regularizer() -> None:
    models = [
        keras.Sequential([layers.Input((3,)), layers.Dense(4), penalised, layers.Dense(1)])
        for penalised in (
            layers.ActivityRegularization(l1=0.1, l2=0.2),
            layers.Activation("linear", activity_regularizer=regularizers.L1L2(0.1, 0.2)),
        )
    ]
    models[1].set_weights(models[0].get_weights())
    losses = []
    for model in models:
        model.compile("sgd", "mse")
        losses.append(model.fit(X, Y, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]
    hidden = X @ models[0].layers[0].get_weights()[0] + models[0].layers[0].get_weights()[1]
    penalty = (0.1 * np.abs(hidden).sum() + 0.2 * (hidden**2).sum()) / len(X)
    plain = float(np.mean((models[0].predict(X, verbose=0) - Y) ** 2))
    assert models[0].evaluate(X, Y, batch_size=40, verbose=0) == pytest.approx(plain + penalty, rel=1e-4)


def test_every_layer_is_found_by_its_description() -> None:
    """As files, copies and clones of models are made."""
    made = [
        layers.Dense(2), layers.Dropout(0.5), layers.Activation("relu"), layers.Flatten(), layers.Input((3,)),
        layers.ReLU(), layers.LeakyReLU(), layers.ELU(), layers.Softmax(), layers.ActivityRegularization(0.1, 0.2),
    ]  # fmt: skip
    public = {getattr(layers, name) for name in layers.__all__} - {layers.Layer}
    assert {type(layer) for layer in made} == public
    for layer in made:
        description = {"class_name": type(layer).__name__, "config": layer.get_config()}
        assert layers.from_description(description).get_config() == layer.get_config()


def test_neutral_words() -> None:
    assert keras.Sequential([layers.Input(batch_shape=(None, 3)), layers.Dense(1)]).input_shape == (None, 3)
    assert float(regularizers.L1L2(l1=None, l2=0.5)(np.array([2.0]))) == 2.0
    metrics = keras.metrics
    metrics.AUC(multi_label=False, from_logits=False)
    metrics.Precision(thresholds=[0.4], top_k=None, class_id=None)
    metrics.R2Score(num_regressors=0)
    model = trained()
    assert keras.models.clone_model(model, input_tensors=None, clone_function=None).count_params() == 21
    model.summary(layer_range=None)
