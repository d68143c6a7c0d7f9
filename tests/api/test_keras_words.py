"""Keras's words beyond what its programs need: what fastreg refuses of them, tf.keras's, and its arrays.

It must not test what Keras 3 does as well: test_keras_programs.py does. It is over 250 lines: a list of words.
"""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastreg
from api_cases import X, Y, classifier
from fastreg import backend, initializers, layers, losses, metrics, models, optimizers, regularizers
from fastreg._tensor import Count, Number, Tensor
from fastreg.layers import Dense, Dropout, Input
from fastreg.models import Sequential


def built(*stack: Any, **named: Any) -> Sequential:
    return Sequential([Input((4,)), *(stack or [Dense(3), Dense(1)])], **{"seed": 0, **named})


# ---- arrays and numbers with numpy() -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "compute",
    [
        lambda a: a * 2,
        lambda a: 1 - a,
        lambda a: a > 0,
        lambda a: a[:, 0] > 0.5,
        lambda a: a @ a.T,
        lambda a: a.mean(axis=0),
    ],
)
def test_arrays_computed_from_an_output_have_numpy(compute: Any, dtype: str) -> None:
    out = built(dtype=dtype)(X)
    assert type(out) is Tensor
    ours, plain = compute(out).numpy(), compute(out.numpy())
    assert type(ours) is np.ndarray
    assert ours.dtype == plain.dtype
    np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize(
    "compute",
    [
        lambda a: a.sum(),
        lambda a: np.median(a),
        lambda a: np.linalg.norm(a),
        lambda a: a[0, 0],
        lambda a: np.stack([a, a]),
        lambda a: np.where(a > 0, a, 0),
        lambda a: np.add(a, 1, out=np.empty(a.shape, a.dtype)),
        lambda a: np.asarray(a),
        lambda a: pickle.loads(pickle.dumps(a)),
        lambda a: pickle.loads(pickle.dumps(a, protocol=2)),
    ],
)
def test_what_else_is_computed_from_an_output_is_plain(compute: Any, dtype: str) -> None:
    out = built(dtype=dtype)(X)
    ours, plain = compute(out), compute(out.numpy())
    assert type(ours) is type(plain)
    assert ours.dtype == plain.dtype
    np.testing.assert_array_equal(ours, plain)


def test_an_output_can_be_written() -> None:
    out = built()(X)
    before = out.numpy()
    out[0] = 7.0
    out += 1
    assert type(out) is Tensor
    assert out[0] == 8.0
    np.testing.assert_array_equal(out[1:], before[1:] + 1)


def test_weights_cannot_be_written() -> None:
    model = built()
    layer: Any = model.layers[0]
    for weight in (layer.kernel, layer.bias, *layer.weights, *model.weights, *model.trainable_variables):
        with pytest.raises(ValueError, match="read-only"):
            weight[:] = 0.0
    for weight in model.get_weights():
        weight[:] = 0.0  # copies, as in Keras
    assert model.get_weights()[0].any()
    assert copy.deepcopy(layer.kernel).flags.writeable


def test_numbers_are_pythons() -> None:
    for cls, plain in ((Number, float), (Count, int)):
        value: Any = cls(3)
        assert value == 3
        assert repr(value) == repr(plain(3))
        assert (
            type(value + value)
            is type(copy.deepcopy(value))
            is type(pickle.loads(pickle.dumps(value)))
            is plain
        )
        assert value.numpy() == 3
        assert isinstance(value.numpy(), np.generic)


def test_the_losses_of_a_model_are_what_evaluate_calls_penalty() -> None:
    model = built(
        Dense(3, kernel_regularizer="l1", bias_regularizer="l2", bias_initializer="ones"),
        Dropout(0.1),
        Dense(1),
    )
    model.compile("sgd", "mse")
    penalty = model.evaluate(X, Y, verbose=0, return_dict=True)["penalty"]
    assert sum(model.losses) == pytest.approx(penalty, rel=1e-6)
    assert penalty > 0
    before = model.losses
    model.compile("sgd", losses.ElasticNet("mse", 0.1, 0.1))
    assert model.losses == before


TWO = initializers.Constant([1.0, 2.0])


# ---- neutral values alone ------------------------------------------------------------------------------------------
def fitted(**named: Any) -> Any:
    return classifier().fit(X, Y, verbose=0, **named)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fitted(steps_per_epoch=5), "steps_per_epoch must be None or [0-9]+, not 5"),
        (lambda: fitted(validation_steps=5, validation_split=0.5), "validation_steps must be None or 1, not 5"),
        (lambda: classifier().evaluate(X, Y, steps=9), "steps must be None or [0-9]+, not 9"),
        (lambda: classifier().predict(X, steps=9), "steps must be None or [0-9]+, not 9"),
        (lambda: classifier().compile("sgd", "mse", loss_weights=[0.5]), "loss_weights must be None"),
        (lambda: built().save("m", include_optimizer=False), "include_optimizer must be True"),
        (lambda: built().load_weights("m", skip_mismatch=True), "skip_mismatch must be False"),
        (lambda: Input((3,), batch_size=8), "batch_size must be None, not 8"),
        (lambda: Input((3,), dtype="int32"), "dtype must be one of 'float32', 'float64'"),
        (lambda: Dense(2, dtype="mixed_float16"), "dtype must be one of 'float32', 'float64'"),
        (lambda: layers.ReLU(6.0), "max_value must be None, not 6.0"),
        (lambda: layers.ReLU(threshold=1.0), "threshold must be"),
        (lambda: layers.ReLU(negative_slope=-1.0), "negative_slope must be"),
        (lambda: layers.Softmax(axis=0), "axis must be -1"),
        (lambda: layers.Softmax(axis=2), "axis must be at most 1"),
        (lambda: layers.InputLayer(), r"shape must be \(features,\)"),
        (lambda: optimizers.Adam(use_ema=True), "use_ema must be False, not True: no average"),
        (lambda: optimizers.SGD(gradient_accumulation_steps=4), "gradient_accumulation_steps must be None, not 4"),
        (lambda: fastreg.losses.BinaryCrossentropy(axis=0), "axis must be -1, not 0: classes are the last"),
        (lambda: fastreg.losses.MeanSquaredError(dtype="float16"), "dtype must be None, not 'float16'"),
        (lambda: fastreg.losses.SparseCategoricalCrossentropy(ignore_class=0), "ignore_class must be None, not 0"),
        (lambda: fastreg.metrics.AUC(dtype="float16"), "dtype must be None, not 'float16'"),
        (lambda: initializers.Constant([1.0, np.nan]), "value must be a finite number, not nan"),
        (lambda: built(Dense(3, bias_initializer=TWO)).weights, r"shape \(2,\), for weights of shape \(3,\)"),
        (lambda: models.model_from_json("{}"), "json_string describes a model that this fastreg cannot make"),
        (lambda: models.model_from_json("{}", {"Mine": None}), "custom_objects must be empty"),
        (lambda: fastreg.saving.load_model("m", {"Mine": None}), "custom_objects must be empty"),
    ],
)  # fmt: skip
def test_other_values_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimizers.Adam(lr=0.1), "Adam has no argument lr: use learning_rate"),
        (lambda: optimizers.SGD(0.1, decay=0.1), r"no argument decay: use schedules\.InverseTimeDecay\(learn"),
        (lambda: optimizers.SGD(rate=0.1), "unexpected keyword argument 'rate'"),
        (lambda: Dense(2, unit=3), "unexpected keyword argument 'unit'"),
        (lambda: Dense(2, activation=layers.Activation("relu", activity_regularizer="l2")), "activation must be"),
        (lambda: Dense(2, activation=Dense(2)), "activation must be"),
    ],
)  # fmt: skip
def test_words_that_are_not_there(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


def test_a_layers_dtype_is_its_models() -> None:
    layer = Dense(2, dtype="float64")
    assert layer.dtype == "float64"
    with pytest.raises(ValueError, match="has the dtype float64, the model float32"):
        built(layer)
    with pytest.raises(ValueError, match="has the dtype float32, the model float64"):
        Sequential([Input((4,), dtype="float32")], dtype="float64")
    assert built(layer, dtype="float64").layers[0].dtype == "float64"
    assert Dense(2).dtype is None


def test_other_words_leave_signatures_and_descriptions_alone() -> None:
    assert list(inspect.signature(layers.ELU).parameters) == ["alpha", "name"]
    assert layers.ELU(dtype="float32", trainable=True).get_config() == {"alpha": 1.0, "name": None}

    class Small(Dense):
        def __init__(self, **named: Any) -> None:
            super().__init__(2, **named)

    assert Small(dtype="float64", name="x").dtype == "float64"


def test_a_model_without_an_optimizer_says_so() -> None:
    with pytest.raises(AttributeError, match=r"no optimizer; call model\.compile"):
        _ = built().optimizer


# ---- modules and files ---------------------------------------------------------------------------------------------
def test_saving_is_imported_when_it_is_used() -> None:
    code = (
        "import sys, fastreg; before = 'fastreg.saving' in sys.modules; fastreg.saving.load_model; "
        "print(before, 'fastreg.saving' in sys.modules, hasattr(fastreg, 'nothing'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True False\n"


@pytest.mark.parametrize(("name", "error"), [("none/m", FileNotFoundError), ("file/m", NotADirectoryError)])
def test_a_path_that_cannot_be_written_is_named(name: str, error: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (built().save, built().save_weights):
        with pytest.raises(error, match=f"{name}'$") as caught:
            write(tmp_path / name)
        assert caught.value.filename == os.fspath(tmp_path / name)


def test_a_clone_has_a_seed_of_its_own() -> None:
    model = built()
    fastreg.utils.set_random_seed(1)
    seeds = [models.clone_model(model).seed for _ in range(2)]
    assert len({model.seed, *seeds}) == 3
    fastreg.utils.set_random_seed(1)
    assert models.clone_model(model).seed == seeds[0]
    assert models.model_from_json(model.to_json()).seed == model.seed


@pytest.mark.parametrize("given", [regularizers.l1, regularizers.L1, "l1", regularizers.l1()])
def test_a_regularizer_in_all_its_forms(given: Any) -> None:
    penalty = layers.Dense(1, kernel_regularizer=given).kernel_regularizer
    assert (penalty.l1, penalty.l2) == (0.01, 0.0)


# ---- words of tf.keras 2 -------------------------------------------------------------------------------------------
def test_the_learning_rate_is_lr_too() -> None:
    model = classifier()
    model.optimizer.lr = 0.25
    assert model.optimizer.learning_rate == model.optimizer.lr == 0.25
    backend.set_value(model.optimizer.lr, 0.125)
    assert backend.get_value(model.optimizer.learning_rate) == 0.125
    assert (backend.epsilon(), backend.floatx()) == (1e-7, "float32")


def test_losses_by_short_names() -> None:
    for short, long in (
        ("mse", "mean_squared_error"),
        ("mae", "mean_absolute_error"),
        ("mape", "mean_absolute_percentage_error"),
        ("msle", "mean_squared_logarithmic_error"),
    ):
        assert getattr(losses, short) is getattr(losses, short.upper()) is getattr(losses, long)
        assert type(losses.get(short)) is type(losses.get(long))
    assert losses.logcosh is losses.log_cosh


def test_a_file_format_is_taken(tmp_path: Path) -> None:
    built().save(tmp_path / "model.h5", save_format="h5")
    assert models.load_model(tmp_path / "model.h5").built
    metric = metrics.BinaryAccuracy()
    metric.update_state([1.0], [1.0])
    metric.reset_states()
    assert metric.result() == 0.0
