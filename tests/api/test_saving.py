"""Saving: what comes back, the same bits in a fresh process, and what a crash leaves.

It must not know the native core. It is over 250 lines: round trips, bad files and crashes belong together.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from fastreg import callbacks, constraints, initializers, layers, losses, metrics, optimizers, regularizers
from fastreg.layers import Dense, Dropout, Input
from fastreg.models import Sequential, load_model
from fastreg.regularizers import L1L2

X = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)
OPTIMIZERS: list[Any] = [
    optimizers.SGD(0.05, momentum=0.9),
    optimizers.Adam(0.01, amsgrad=True),
    optimizers.AdamW(0.01),
    optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    optimizers.Adagrad(0.05),
]


def new_model(optimizer: Any = "adam", dtype: str = "float32") -> Sequential:
    model = Sequential(
        [
            Dense(8, activation="relu", kernel_regularizer=L1L2(1e-3, 1e-3)),
            Dropout(0.4),
            Dense(1, activation="sigmoid"),
        ],
        seed=3,
        dtype=dtype,
    )
    model.compile(
        optimizer, losses.ElasticNet("binary_crossentropy", 1e-4, 1e-4), metrics=["accuracy", metrics.AUC(50)]
    )
    return model


def digest(model: Sequential) -> str:
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


RESUME = """
import sys, hashlib, numpy as np
from fastreg.models import load_model
X = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)
model = load_model(sys.argv[1])
model.fit(X, Y, batch_size=16, initial_epoch=2, epochs=5, verbose=0, validation_split=0.2)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_training_goes_on_in_a_fresh_process_in_the_same_bits(optimizer: Any, tmp_path: Path) -> None:
    whole = new_model(type(optimizer).from_config(optimizer.get_config()))
    whole.fit(X, Y, batch_size=16, epochs=5, verbose=0, validation_split=0.2)
    first = new_model(optimizer)
    first.fit(X, Y, batch_size=16, epochs=2, verbose=0, validation_split=0.2)
    path = tmp_path / "model.keras"
    first.save(path)
    done = subprocess.run([sys.executable, "-c", RESUME, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(whole)


def test_a_changed_learning_rate_is_saved(tmp_path: Path) -> None:
    model = new_model()
    model.fit(X, Y, verbose=0)
    model.optimizer.learning_rate = 0.125
    model.save(tmp_path / "m")
    assert load_model(tmp_path / "m").optimizer.learning_rate == 0.125


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_comes_back(dtype: str, tmp_path: Path) -> None:
    model = new_model(dtype=dtype)
    model.fit(X, Y, verbose=0)
    path = tmp_path / "any ending.xyz"
    model.save(path)
    other = load_model(path)
    assert other.get_config() == model.get_config()
    assert other._compiled is not None
    assert other._compiled.get_config() == model._compiled.get_config()  # type: ignore[union-attr]
    assert other.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert np.array_equal(other.predict(X), model.predict(X))
    assert other.optimizer.iterations == model.optimizer.iterations == 3
    assert other.seed == model.seed


def of_parts(made: bool) -> Sequential:
    """A model of parts that are given as classes, or `made` objects of them."""

    def part(cls: Any) -> Any:
        return cls() if made else cls

    hidden = Dense(
        4,
        kernel_initializer=part(initializers.HeNormal),
        kernel_regularizer=part(regularizers.L1),
        kernel_constraint=part(constraints.NonNeg),
    )
    model = Sequential([hidden, Dense(1, "sigmoid")], seed=0)
    measures = {"metrics": [part(metrics.AUC), "mae"], "weighted_metrics": part(metrics.Precision)}
    model.compile(part(optimizers.Adam), part(losses.BinaryCrossentropy), **measures)
    return model


def test_a_class_means_an_object_of_it_also_in_files(tmp_path: Path) -> None:
    model, same = of_parts(made=False), of_parts(made=True)
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "in fit", monitor="loss")
    model.fit(X, Y, verbose=0, callbacks=[checkpoint])
    same.fit(X, Y, verbose=0)
    model.save(tmp_path / "saved")
    for other in (load_model(tmp_path / "in fit"), load_model(tmp_path / "saved"), copy.deepcopy(model)):
        assert other.metrics_names == ["loss", "auc", "mae", "precision"]
        assert other.get_config() == same.get_config()
        assert other._compiled.get_config() == same._compiled.get_config()  # type: ignore[union-attr]
        assert other.evaluate(X, Y, verbose=0) == same.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize(
    "metric",
    [
        losses.mean_absolute_error,
        metrics.MeanAbsoluteError,
        {"class_name": "MeanAbsoluteError"},
        {"class_name": "AUC", "config": {"num_thresholds": np.int64(20)}},
    ],
)
def test_a_metric_in_any_form_can_be_saved(metric: Any) -> None:
    model = new_model()
    model.compile("sgd", "mse", metrics=[metric])
    model.fit(X, Y, verbose=0)
    other = pickle.loads(pickle.dumps(model))
    assert other.metrics_names == model.metrics_names
    assert other.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_the_file_is_safetensors_with_json_metadata(tmp_path: Path) -> None:
    model = new_model("sgd")
    model.build((None, 5))
    model.save(tmp_path / "m")
    arrays = safetensors.numpy.load_file(tmp_path / "m")
    assert list(arrays) == ["dense/bias", "dense/kernel", "dense_1/bias", "dense_1/kernel"]
    assert np.array_equal(arrays["dense/kernel"], model.get_weights()[0])
    with safetensors.safe_open(tmp_path / "m", framework="numpy") as file:
        header = json.loads(file.metadata()["fastreg"])
    assert header["model"]["seed"] == 3
    assert header["step"] == 0


def test_arrays_that_are_not_contiguous_are_stored_right(tmp_path: Path) -> None:
    kernel = np.asfortranarray(np.arange(10.0).reshape(5, 2))
    model = Sequential([Input((5,)), Dense(2)])
    model.set_weights([kernel, np.zeros(4)[::2]])
    model.save(tmp_path / "m")
    assert np.array_equal(load_model(tmp_path / "m").get_weights()[0], kernel)


def test_an_uncompiled_model_can_be_saved(tmp_path: Path) -> None:
    model = Sequential([Input((5,)), Dense(2)], seed=1)
    model.save(tmp_path / "m")
    other = load_model(tmp_path / "m")
    assert np.array_equal(model.predict(X), other.predict(X))
    with pytest.raises(RuntimeError, match="not compiled"):
        other.evaluate(X, Y)


def test_weights_alone(tmp_path: Path) -> None:
    model = new_model()
    model.fit(X, Y, verbose=0)
    model.save_weights(tmp_path / "w.weights.h5")
    model.save(tmp_path / "whole")
    for name in ("w.weights.h5", "whole"):
        other = new_model()
        other.build((None, 5))
        other.load_weights(tmp_path / name)
        assert digest(other) == digest(model)
    with pytest.raises(ValueError, match="weights only; use load_weights"):
        load_model(tmp_path / "w.weights.h5")
    wrong = Sequential([Input((5,)), Dense(7)])
    before = digest(wrong)
    with pytest.raises(ValueError, match=r"shapes \[\(5, 8\), .* the model has \[\(5, 7\)"):
        wrong.load_weights(tmp_path / "w.weights.h5")
    assert digest(wrong) == before


# ---- bad files ----------------------------------------------------------------------------------------------------
def test_missing_and_unbuilt(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no weights yet"):
        new_model().save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_truncated_files(keep: int, tmp_path: Path) -> None:
    model = new_model()
    model.build((None, 5))
    path = tmp_path / "m"
    model.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="m is not a complete safetensors file"):
        load_model(path)


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(ValueError, match="is a file of Keras"):
        load_model(path)
    safetensors.numpy.save_file({"w": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="fastreg did not write it"):
        load_model(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m"
    header = json.dumps({"format_version": 99})
    safetensors.numpy.save_file({"w": np.zeros(3)}, path, metadata={"format": "fastreg", "fastreg": header})
    with pytest.raises(ValueError, match="format version 99; this fastreg reads versions up to 1"):
        load_model(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{}", "m has damaged fastreg metadata: 'format_version' is missing"),
        ("[]", "m has damaged fastreg metadata: 'format_version' is missing"),
        ("{", "m has fastreg metadata that is no JSON"),
        ('{"format_version": "1"}', "m has damaged fastreg metadata: 'format_version' is '1'"),
        ('{"format_version": 1}', "m has damaged fastreg metadata: 'parameters' is missing"),
        ('{"format_version": 1, "parameters": [], "model": {}}', "'compiled' is missing"),
        (
            '{"format_version": 1, "parameters": [], "slots": [], "step": 0, "epoch": 0, '
            '"model": {}, "compiled": null}',
            "m describes a model that this fastreg cannot make: KeyError",
        ),
    ],
)
def test_damaged_metadata(header: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m"
    safetensors.numpy.save_file({"w": np.zeros(3)}, path, metadata={"format": "fastreg", "fastreg": header})
    with pytest.raises(ValueError, match=message):
        load_model(path)


@pytest.mark.parametrize("lost", ["dense_1/kernel", "slots/m/dense_1/kernel"])
def test_a_lost_tensor_is_named(lost: str, tmp_path: Path) -> None:
    path = tmp_path / "m"
    model = new_model()
    model.build((None, 5))
    model.save(path)
    arrays = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    safetensors.numpy.save_file({k: v for k, v in arrays.items() if k != lost}, path, metadata=metadata)
    with pytest.raises(ValueError, match=rf"m lacks the tensors \['{lost}'\]"):
        load_model(path)
    if lost.startswith("dense"):
        with pytest.raises(ValueError, match=rf"m lacks the tensors \['{lost}'\]"):
            model.load_weights(path)


def test_a_path_of_bytes(tmp_path: Path) -> None:
    path = bytes(tmp_path / "m")
    model = new_model()
    model.build((None, 5))
    model.save(path)  # type: ignore[arg-type]
    assert digest(load_model(path)) == digest(model)  # type: ignore[arg-type]
    with pytest.raises(FileExistsError, match="m exists and overwrite is False"):
        model.save(path, overwrite=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_written_through(exists: bool, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "m", tmp_path / "link"
    link.symlink_to(target)
    if exists:
        target.write_bytes(b"old")
    model = new_model()
    model.build((None, 5))
    model.save(link)
    assert link.is_symlink()
    assert digest(load_model(target)) == digest(model)
    assert [item.name for item in target.parent.iterdir()] == ["m"]


def test_overwrite(tmp_path: Path) -> None:
    model = new_model()
    model.build((None, 5))
    model.save(tmp_path / "m")
    with pytest.raises(FileExistsError, match="overwrite is False"):
        model.save(tmp_path / "m", overwrite=False)
    model.save(tmp_path / "m", overwrite=True)
    model.save(tmp_path / "n", overwrite=False)


# ---- crashes ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_before_the_rename_leaves_the_old_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    model = new_model()
    model.fit(X, Y, verbose=0)
    model.save(path)
    before = path.read_bytes()
    model.fit(X, Y, verbose=0)

    def fail(*arguments: Any) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk on fire"):
        model.save(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["m"]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m"
    model = new_model()
    model.build((None, 5))
    model.save(path)
    before = digest(model)
    code = (
        "import os, sys; from fastreg.models import load_model\n"
        "model = load_model(sys.argv[1]); model.set_weights([w + 1 for w in model.get_weights()])\n"
        "os.replace = lambda *a: os._exit(9)\n"  # dies between writing and renaming
        "model.save(sys.argv[1])"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == 9
    assert digest(load_model(path)) == before


def test_the_data_is_on_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("replace"), replace(a, b))[1])
    model = new_model()
    model.build((None, 5))
    model.save(tmp_path / "m")
    assert order == ["fsync", "replace", "fsync"]  # the file, its name, the directory


# ---- descriptions -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "thing",
    [
        L1L2(0.1, 0.2, "subgradient"),
        optimizers.Adam(0.5, clipnorm=1.0),
        losses.Huber(2.0),
        losses.ElasticNet("mae", 0.1, 0.2),
        metrics.AUC(30, curve="PR", name="area"),
        metrics.R2Score("variance_weighted_average"),
        layers.ELU(0.5),
        Dense(3, "gelu", kernel_constraint="unit_norm", bias_regularizer="l2", activity_regularizer="l1"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_from_config_gives_the_same_object(thing: Any) -> None:
    config = json.loads(json.dumps(thing.get_config()))
    assert type(thing).from_config(config).get_config() == thing.get_config()
    assert "(" in repr(thing)


def test_callbacks_save_through_the_model(tmp_path: Path) -> None:
    saved: list[Any] = []

    class Spy(Sequential):
        def save(self, filepath: Any, overwrite: bool = True) -> None:
            saved.append((filepath, overwrite))

    model = Spy([Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / "m")])
    assert saved == [(str(tmp_path / "m"), True)]


# ---- copies -------------------------------------------------------------------------------------------------------
DUPLICATE = pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))]
)


@DUPLICATE
@pytest.mark.parametrize("compiled", [True, False])
def test_a_model_without_weights_can_be_copied(compiled: bool, duplicate: Any) -> None:
    model = new_model() if compiled else Sequential([Dense(1)], seed=7)
    other = duplicate(model)
    assert not other.built
    assert other.get_config() == model.get_config()
    if not compiled:
        assert other._compiled is None
        return
    assert other._compiled.get_config() == model._compiled.get_config()  # type: ignore[union-attr]
    for one in (model, other):
        one.fit(X, Y, verbose=0)
    assert digest(other) == digest(model)


@DUPLICATE
def test_a_model_that_has_only_an_input_can_be_copied(duplicate: Any) -> None:
    model = Sequential([Input((3,))], seed=1)
    assert duplicate(model).get_config() == model.get_config()


@DUPLICATE
def test_a_copied_layer_is_free_and_carries_its_weights(duplicate: Any) -> None:
    model = new_model()
    model.fit(X, Y, verbose=0)
    layer = duplicate(model.layers[0])
    kernel, bias = model.layers[0].get_weights()
    assert [w.tolist() for w in layer.get_weights()] == [kernel.tolist(), bias.tolist()]
    other = Sequential([layer], dtype="float64")
    assert other.built
    assert other.get_weights()[0].dtype == np.float64
    assert np.array_equal(other.get_weights()[0], kernel)
    layer.set_weights([kernel * 0, bias])
    assert np.array_equal(model.layers[0].get_weights()[0], kernel)  # nothing is shared
    with pytest.raises(ValueError, match="expects 5 inputs; what comes before it gives 3"):
        Sequential([Dense(3, name="narrow"), duplicate(model.layers[0])])
    late = Sequential([Dropout(0.1), duplicate(model.layers[0])])
    with pytest.raises(ValueError, match="layer 'dense' carries weights for 5 inputs, not 4"):
        late.predict(X[:, :4])
    late.predict(X)
    assert np.array_equal(late.get_weights()[0], kernel)
    assert duplicate(Dense(3)).get_weights() == []


def test_a_layer_of_a_class_from_elsewhere_is_saved_as_what_it_is(tmp_path: Path) -> None:
    """A class that only sets arguments is saved as the one of fastreg that it is of. Keras wants it registered."""

    class Small(Dense):
        def __init__(self, units: int) -> None:
            super().__init__(units, "tanh", kernel_regularizer="l2")

    model = Sequential([Input((3,)), Small(2), Dense(1)])
    model.layers[0].trainable = False
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert type(again.layers[0]) is Dense
    assert again.layers[0].get_config() == {**Dense(2, "tanh", kernel_regularizer="l2").get_config(),
                                            "name": "small", "trainable": False}  # fmt: skip
    with pytest.raises(ValueError, match="unknown layer 'Small'; known: Activation, "):
        Sequential.from_config({"layers": [{"class_name": "Small", "config": {}}]})
