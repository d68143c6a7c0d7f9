"""Sequential: building, compiling, what fit, evaluate and predict return, validation, seeds, summary.

It must not check numbers of training: test_keras_semantics.py does.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastreg
from fastreg import initializers, layers, utils
from fastreg.layers import Activation, Dense, Dropout, Input
from fastreg.models import Sequential

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def classifier(**arguments: Any) -> Sequential:
    net = [Dense(8, activation="relu"), Dropout(0.2), Dense(1, activation="sigmoid")]
    model = Sequential(net, **{"seed": 1, **arguments})
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def same_weights(a: Sequential, b: Sequential) -> bool:
    return all(np.array_equal(u, v) for u, v in zip(a.get_weights(), b.get_weights(), strict=True))


# ---- building -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "first",
    [
        [Input(shape=(4,)), Dense(3)],
        [Dense(3, input_shape=(4,))],
        [Dense(3, input_dim=4)],
        [Input((4,), name="x"), Dropout(0.5), Dense(3)],
    ],
    ids=["Input", "input_shape", "input_dim", "dropout first"],
)
def test_a_stated_width_gives_weights_before_fit(first: list[Any]) -> None:
    model = Sequential([*first, Dense(2)])
    assert model.built
    assert [w.shape for w in model.get_weights()] == [(4, 3), (3,), (3, 2), (2,)]
    assert all(not isinstance(layer, layers.InputLayer) for layer in model.layers)
    assert (model.input_shape, model.output_shape, model.count_params()) == ((None, 4), (None, 2), 23)


@pytest.mark.parametrize("shape", [(None, 4), (4,), [None, 4], 4])
def test_build_takes_the_width(shape: Any) -> None:
    model = classifier()
    model.build(shape)
    assert model.get_weights()[0].shape == (4, 8)


def test_fit_takes_the_width_from_the_data() -> None:
    model = classifier()
    assert not model.built
    with pytest.raises(ValueError, match="the model has no weights yet"):
        model.get_weights()
    model.fit(X, Y, verbose=0)
    assert model.input_shape == (None, 4)


def test_a_failed_first_fit_leaves_the_model_unbuilt() -> None:
    model = classifier()
    with pytest.raises(ValueError, match="y has 49 rows; x has 50"):
        model.fit(X, Y[:-1], verbose=0)
    assert not model.built


def test_add_and_pop_keep_the_weights_of_the_others() -> None:
    model = Sequential(seed=0)
    model.add(Input((4,)))
    model.add(Dense(3))
    before = model.get_weights()
    model.add(Dense(2))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=False))
    assert isinstance(model.pop(), Dense)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_names_are_unique_and_layers_are_found_by_them() -> None:
    model = Sequential([Dense(3), Dense(3), Dropout(0.1), Dense(1, name="head")])
    assert [layer.name for layer in model.layers] == ["dense", "dense_1", "dropout", "head"]
    assert model.get_layer("head") is model.layers[3] is model.get_layer(index=3)


def test_layer_weights_read_and_write() -> None:
    model = classifier()
    model.build((None, 4))
    layer = model.layers[2]
    assert isinstance(layer, Dense)
    layer.set_weights([np.ones((8, 1)), np.zeros(1)])
    assert (layer.kernel == 1).all()
    assert layer.bias is not None
    assert (layer.bias == 0).all()
    assert (model.get_weights()[2] == 1).all()
    assert layer.count_params() == 9


def test_set_weights_is_all_or_nothing() -> None:
    model = classifier()
    model.build((None, 4))
    before = model.get_weights()
    wrong = [np.zeros_like(before[0]), *before[1:-1], np.zeros(2)]
    with pytest.raises(ValueError, match=r"weights\[3\]"):
        model.set_weights(wrong)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# ---- seeds --------------------------------------------------------------------------------------------------------
def test_the_same_seed_gives_the_same_bits() -> None:
    runs = [classifier() for _ in range(2)]
    losses = [model.fit(X, Y, epochs=3, verbose=0).history for model in runs]
    assert losses[0] == losses[1]
    assert same_weights(*runs)


def test_other_seeds_give_other_weights_and_set_random_seed_repeats() -> None:
    assert Sequential().seed != Sequential().seed
    utils.set_random_seed(7)
    first = [Sequential().seed, Sequential().seed, np.random.random()]  # noqa: NPY002
    utils.set_random_seed(7)
    assert [Sequential().seed, Sequential().seed, np.random.random()] == first  # noqa: NPY002
    assert first[0] != first[1]


def test_initial_weights_depend_on_the_layer() -> None:
    model = Sequential([Input((5,)), Dense(5), Dense(5)], seed=0)
    assert not np.array_equal(model.get_weights()[0], model.get_weights()[2])


def test_a_seeded_initializer_gives_the_same_values_everywhere() -> None:
    init = initializers.HeNormal(seed=3)
    model = Sequential([Input((5,)), Dense(5, kernel_initializer=init), Dense(5, kernel_initializer=init)])
    assert np.array_equal(model.get_weights()[0], model.get_weights()[2])
    assert np.array_equal(model.get_weights()[0], init((5, 5)))


def test_dropout_with_its_own_seed_ignores_the_models() -> None:
    def trained(model_seed: int, dropout_seed: int | None) -> bytes:
        model = Sequential([Input((4,)), Dropout(0.5, seed=dropout_seed), Dense(1)], seed=model_seed)
        model.set_weights([np.ones((4, 1)), np.zeros(1)])
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0, shuffle=False)
        return model.get_weights()[0].tobytes()

    assert trained(1, 5) == trained(2, 5)
    assert trained(1, None) != trained(2, None)


# ---- compile ------------------------------------------------------------------------------------------------------
def test_compiling_again_resets_the_optimizer_and_keeps_weights() -> None:
    model = classifier()
    model.fit(X, Y, verbose=0)
    weights = model.get_weights()
    assert model.optimizer.iterations == 2
    model.compile("adam", "binary_crossentropy")
    assert model.optimizer.iterations == 0
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_uncompiled_models_say_so_and_predict() -> None:
    model = Sequential([Dense(1)])
    assert model.predict(X).shape == (50, 1)
    for call in (lambda: model.fit(X, Y), lambda: model.evaluate(X, Y), lambda: model.train_on_batch(X, Y)):
        with pytest.raises(RuntimeError, match="not compiled"):
            call()
    model.compile("adam")
    with pytest.raises(RuntimeError, match="without a loss"):
        model.fit(X, Y)


@pytest.mark.parametrize(
    ("units", "loss", "y", "expected"),
    [
        (1, "binary_crossentropy", Y, fastreg.metrics.BinaryAccuracy),
        (3, "sparse_categorical_crossentropy", Y, fastreg.metrics.SparseCategoricalAccuracy),
        (2, "categorical_crossentropy", utils.to_categorical(Y), fastreg.metrics.CategoricalAccuracy),
    ],
)
@pytest.mark.parametrize("word", ["accuracy", "acc"])
def test_accuracy_goes_by_loss_and_shapes(units: int, loss: str, y: Any, expected: type, word: str) -> None:
    model = Sequential([Dense(units, activation="softmax" if units > 1 else "sigmoid")], seed=0)
    model.compile("adam", loss, metrics=[word, expected()])
    history = model.fit(X, y, verbose=0).history
    assert history[word] == history[expected().name]


def test_names_of_metrics_in_the_history() -> None:
    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse", metrics=["mse", "mae", fastreg.metrics.MeanSquaredError(), "mse"])
    history = model.fit(X, Y, verbose=0, validation_split=0.2).history
    names = ["loss", "mse", "mae", "mean_squared_error", "mse_1", "data_loss", "penalty", "sparsity"]
    assert list(history) == names + [f"val_{name}" for name in names]
    assert model.metrics_names == ["loss", "mse", "mae", "mean_squared_error", "mse_1"]


def test_weighted_metrics_count_the_weights() -> None:
    weight = np.linspace(0, 2, len(X))
    model = Sequential([Dense(1)], seed=0, dtype="float64")
    model.compile("sgd", "mse", metrics=["mse"], weighted_metrics=["mae"])
    loss, mse, mae = model.evaluate(X, Y, sample_weight=weight, verbose=0)
    error = model.predict(X)[:, 0] - Y
    assert mse == pytest.approx((error**2).mean())
    assert mae == pytest.approx((weight * np.abs(error)).sum() / weight.sum())
    assert loss == pytest.approx((weight * error**2).mean())


# ---- fit ----------------------------------------------------------------------------------------------------------
def test_history_has_keras_keys_and_ours() -> None:
    history = classifier().fit(X, Y, epochs=3, verbose=0, validation_data=(X, Y))
    own = ["loss", "accuracy", "data_loss", "penalty", "sparsity"]
    assert list(history.history) == own + [f"val_{key}" for key in own]
    assert history.epoch == [0, 1, 2]
    assert all(len(values) == 3 for values in history.history.values())


def test_the_split_takes_the_last_rows() -> None:
    a, b = classifier(), classifier()
    with_split = a.fit(X, Y, validation_split=0.25, verbose=0).history
    with_data = b.fit(X[:37], Y[:37], validation_data=(X[37:], Y[37:]), verbose=0).history
    assert with_split == with_data  # 37 = floor(50 * 0.75)


def test_validation_data_overrides_the_split() -> None:
    a, b = classifier(), classifier()
    both = a.fit(X, Y, validation_split=0.5, validation_data=(X, Y), verbose=0).history
    assert both == b.fit(X, Y, validation_data=(X, Y), verbose=0).history


def test_validation_uses_its_sample_weights() -> None:
    weight = np.zeros(len(X))
    history = classifier().fit(X, Y, validation_data=(X, Y, weight), verbose=0).history
    assert history["val_data_loss"] == [0.0]
    assert history["val_accuracy"][0] > 0  # metrics do not count the weights


@pytest.mark.parametrize(("freq", "count"), [(1, 4), (2, 2), ([1, 4], 2), (3, 1)])
def test_validation_freq(freq: Any, count: int) -> None:
    history = classifier().fit(X, Y, epochs=4, verbose=0, validation_split=0.2, validation_freq=freq).history
    assert len(history["val_loss"]) == count
    assert len(history["loss"]) == 4


def test_epochs_is_the_last_index_and_goes_on_from_initial_epoch() -> None:
    whole, parts = classifier(), classifier()
    whole.fit(X, Y, epochs=5, verbose=0)
    parts.fit(X, Y, epochs=2, verbose=0)
    assert parts.fit(X, Y, epochs=5, initial_epoch=2, verbose=0).epoch == [2, 3, 4]
    assert same_weights(whole, parts)
    assert parts.fit(X, Y, epochs=5, initial_epoch=5, verbose=0).epoch == []


class Frame:
    """Like a data frame: no array, but able to become one."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values if dtype is None else self.values.astype(dtype)


@pytest.mark.parametrize(
    "convert",
    [lambda a: a.tolist(), np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2], Frame],
    ids=["lists", "fortran", "strided", "frame"],
)
def test_x_is_anything_numpy_takes(convert: Any) -> None:
    a, b = classifier(), classifier()
    a.fit(convert(X.astype(np.float64)), Y.reshape(-1, 1), verbose=0)
    b.fit(X, Y.astype(bool), verbose=0)
    assert same_weights(a, b)


def test_arrays_are_not_changed() -> None:
    x, y = X.copy(), Y.copy()
    classifier().fit(x, y, epochs=2, verbose=0, validation_split=0.2)
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)


def test_class_indices_as_a_column_or_a_vector() -> None:
    runs = []
    for y in (Y, Y.reshape(-1, 1), Y.astype(np.float64)):
        model = Sequential([Dense(2, activation="softmax")], seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy")
        runs.append(model.fit(X, y, verbose=0).history)
    assert runs[0] == runs[1] == runs[2]


def test_nonfinite_data_is_accepted_when_asked() -> None:
    x = X.copy()
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"x holds NaN .* the first is nan at \[3, 1\]"):
        classifier().fit(x, Y, verbose=0)
    history = classifier().fit(x, Y, verbose=0, allow_nonfinite=True).history
    assert np.isnan(history["loss"][0])


# ---- evaluate, predict, single batches ----------------------------------------------------------------------------
def test_what_evaluate_returns(capsys: pytest.CaptureFixture[str]) -> None:
    model = classifier()
    values = model.evaluate(X, Y)
    assert "loss: " in capsys.readouterr().out
    as_dict = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert values == [as_dict["loss"], as_dict["accuracy"]]
    model.compile("adam", "binary_crossentropy")
    assert model.evaluate(X, Y, verbose=0) == values[0]
    assert capsys.readouterr().out == ""


def test_predictions_do_not_depend_on_the_batch_size() -> None:
    model = classifier()
    whole = model.predict(X)
    for size in (1, 7, 50):
        assert np.array_equal(model.predict(X, batch_size=size), whole)
    assert np.array_equal(model.predict_on_batch(X[3:4]), whole[3:4])
    assert np.array_equal(model(X), whole)


def test_single_batches_train_like_fit() -> None:
    a, b = classifier(), classifier()
    for start in range(0, 50, 16):
        values = a.train_on_batch(X[start : start + 16], Y[start : start + 16])
    b.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    assert same_weights(a, b)
    assert len(values) == 2
    assert a.optimizer.iterations == 4
    assert a.test_on_batch(X, Y) == a.evaluate(X, Y, batch_size=50, verbose=0)
    assert set(a.train_on_batch(X, Y, return_dict=True)) >= {"loss", "accuracy"}


# ---- words and pictures -------------------------------------------------------------------------------------------
def test_summary_shows_shapes_parameters_penalty_and_zeros() -> None:
    model = Sequential([Input((4,)), Dense(2, kernel_regularizer="l1"), Activation("relu"), Dense(1)], seed=0)
    kernel = np.zeros((4, 2))
    kernel[0, 0] = 3.0
    model.layers[0].set_weights([kernel, np.ones(2)])
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    first = next(line for line in lines if line.startswith("dense (Dense)"))
    assert first.split()[2:] == ["(None,", "2)", "10", "0.03", "87.5%"]
    assert "Parameters: 13 (8 are exactly 0)   Penalty: 0.03" in lines[-1]


def test_summary_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    Sequential([Dense(2)]).summary()
    assert "No weights yet" in capsys.readouterr().out


@pytest.mark.parametrize(("verbose", "out", "err"), [(0, "", ""), (1, "", "epoch"), (2, "Epoch 2/2 - ", "")])
def test_verbose(verbose: int, out: str, err: str, capfd: pytest.CaptureFixture[str]) -> None:
    classifier().fit(X, Y, epochs=2, verbose=verbose, validation_split=0.2)
    captured = capfd.readouterr()
    assert out in captured.out
    assert err in captured.err
    assert bool(captured.out) == bool(out)
    assert bool(captured.err) == bool(err)
    if verbose == 1:
        assert "val_loss=" in captured.err


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    info = fastreg.show_config(mode="dicts")
    assert info is not None
    assert info["version"] == fastreg.__version__
    fastreg.show_config()
    out = capsys.readouterr().out
    assert str(info["isa"]) in out
    assert "threads" in out


def test_devices() -> None:
    assert Sequential(device="auto").device == "auto"
    if fastreg.show_config(mode="dicts")["cuda"] == "not built":  # type: ignore[index]
        with pytest.raises(RuntimeError, match="CUDA plugin"):
            Sequential(device="cuda")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_train_on_alone(duplicate: Any) -> None:
    model = classifier()
    model.fit(X, Y, epochs=2, verbose=0)
    other = duplicate(model)
    assert same_weights(model, other)
    other.fit(X, Y, epochs=2, verbose=0)
    assert not same_weights(model, other)
    model.fit(X, Y, epochs=2, verbose=0)
    assert same_weights(model, other)


def test_config_round_trip() -> None:
    model = Sequential(
        [
            Input((4,)),
            Dense(
                3, "elu", kernel_regularizer="l1_l2", kernel_constraint="max_norm", bias_initializer="ones"
            ),
            layers.LeakyReLU(0.1),
            Dropout(0.3, seed=4, scale_at="inference"),
            Dense(
                2,
                use_bias=False,
                kernel_initializer=initializers.VarianceScaling(2.0, "fan_out", "uniform", 5),
            ),
        ],
        seed=9,
    )
    again = Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert same_weights(model, again)
    assert repr(again.layers) == repr(model.layers)


def test_import_is_light() -> None:
    import subprocess
    import sys

    code = "import fastreg, sys; print([m for m in ('tqdm', 'safetensors', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
