"""What a refused or failed call leaves behind: a model, a monitor and a file as they were.

It must not test which values are refused: test_errors.py does. It is over 250 lines: a part for models, for data, for
monitors and for files.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import stat
import struct
import weakref
from collections.abc import Callable as Function
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from api_cases import X, Y
from fastreg import EarlyStoppingMonitor
from fastreg.callbacks import CSVLogger, LambdaCallback
from fastreg.layers import Dense
from fastreg.models import Sequential, load_model


def trained(epochs: int = 1) -> Sequential:
    model = Sequential([Dense(3, activation="tanh"), Dense(1)], seed=0)
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=epochs, verbose=0)
    return model


# ---- models --------------------------------------------------------------------------------------------------------
def test_a_failed_build_keeps_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained()
    before = model.get_weights()
    model.add(Dense(2))
    with monkeypatch.context() as patch:
        patch.setattr(Dense, "new_weights", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
        with pytest.raises(MemoryError, match="no room"):
            model.build()
    model.pop()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


CHANGES: dict[str, Function[[Sequential], Any]] = {
    "add": lambda model: model.add(Dense(1)),
    "pop": lambda model: model.pop(),
    "compile": lambda model: model.compile("sgd", "mse", metrics=["mae"]),
    "fit": lambda model: model.fit(X, Y - 100, verbose=0),
}


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_train_batch_end"])
@pytest.mark.parametrize("method", CHANGES)
def test_a_fit_keeps_its_model(method: str, hook: str) -> None:
    errors: list[str] = []

    def meddle(*_: Any) -> None:
        with pytest.raises(
            RuntimeError, match=f"^{method} cannot be called while the model is fitted"
        ) as caught:
            CHANGES[method](model)
        errors.append(str(caught.value))

    model, alone = trained(), trained()
    meddled = model.fit(X, Y, epochs=2, verbose=0, callbacks=[LambdaCallback(**{hook: meddle})]).history
    assert errors
    assert meddled == alone.fit(X, Y, epochs=2, verbose=0).history
    CHANGES[method](model)  # afterwards it may


def test_a_fit_that_fails_lets_go_of_its_model() -> None:
    def fail(*_: Any) -> None:
        raise KeyError("mine")

    model = trained()
    with pytest.raises(KeyError, match="mine"):
        model.fit(X, Y, verbose=0, callbacks=[LambdaCallback(on_epoch_end=fail)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)


def test_a_batch_size_beyond_the_core_is_refused_before_callbacks_run(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("kept")
    for name in ("batch_size", "validation_batch_size"):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            trained().fit(X, Y, callbacks=[CSVLogger(log)], verbose=0, **{name: 10**30})
    assert log.read_text() == "kept"


@pytest.mark.parametrize(
    ("class_weight", "sample_weight", "message"),
    [
        ({0: 1e39}, None, r"class_weight\[0\] must be finite in float32, not 1e\+39"),
        (
            {0: 1e30, 1: 1e30},
            np.full(len(X), 1e30),
            "class_weight times sample_weight must be finite in float32",
        ),
    ],
)
def test_weights_beyond_float32(class_weight: Any, sample_weight: Any, message: str) -> None:
    model = Sequential([Dense(1, activation="sigmoid")], seed=0)
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y > 0, class_weight=class_weight, sample_weight=sample_weight)


def test_a_subclass_is_not_copied_as_another() -> None:
    class Mine(Sequential):
        pass

    with pytest.raises(TypeError, match="a Mine cannot be copied or pickled"):
        Mine([Dense(1)]).__reduce__()


def test_names_cannot_meet_in_a_file() -> None:
    with pytest.raises(ValueError, match="name must not hold '/'"):
        Dense(2, name="slots/m/d")


@pytest.mark.parametrize("name", [3, True, ["a"]])
def test_a_file_that_is_none_is_not_opened(name: Any) -> None:
    for read in (load_model, trained().load_weights):
        with pytest.raises(TypeError, match=r"expected str, bytes or os\.PathLike"):
            read(name)
    os.fstat(1)  # which True would have closed


# ---- data ----------------------------------------------------------------------------------------------------------
def leaves(model: Sequential, batch: int) -> None:
    model.stop_training = True


def fails(model: Sequential, batch: int) -> None:
    raise RuntimeError("enough")


@pytest.mark.parametrize("ends", [leaves, fails])
def test_an_epoch_left_early_lets_go_of_its_data(ends: Function[[Sequential, int], None]) -> None:
    model, x = trained(), X.copy()
    seen = weakref.ref(x)
    callback = LambdaCallback(on_train_batch_end=lambda batch, logs: ends(model, batch))
    with pytest.raises(RuntimeError, match="enough") if ends is fails else contextlib.nullcontext():
        model.fit(x, Y, batch_size=2, verbose=0, shuffle=False, callbacks=[callback])
    del x
    gc.collect()
    assert seen() is None
    model.fit(X, Y, verbose=0)


def test_compile_during_an_evaluation_is_refused() -> None:
    model = trained()
    again = LambdaCallback(on_test_begin=lambda logs: model.compile("sgd", "mse", metrics=["mae"]))
    with pytest.raises(RuntimeError, match="compile cannot be called while the model is evaluated"):
        model.evaluate(X, Y, verbose=0, callbacks=[again])
    assert len(model.evaluate(X, Y, verbose=0)) == 2


# ---- monitors ------------------------------------------------------------------------------------------------------
STEPS: list[tuple[tuple[Any, ...], type[Exception], str]] = [
    (("abc",), TypeError, "value must be a number, not str: 'abc'"),
    ((None,), TypeError, "value must be a number, not NoneType"),
    ((0.1, (n for n in ())), TypeError, "cannot pickle"),
    ((0.1, None, "a"), TypeError, "epoch must be an integer"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), STEPS)
def test_a_refused_step_changes_no_monitor(arguments: Any, error: type[Exception], message: str) -> None:
    monitor = EarlyStoppingMonitor(patience=2)
    monitor.step(0.5, state=[1])
    before, was_best = monitor.state_dict(), monitor.is_best
    with pytest.raises(error, match=message):
        monitor.step(*arguments)
    assert monitor.state_dict() == before
    assert monitor.is_best == was_best
    assert not monitor.step(0.4)
    assert (monitor.best, monitor.best_epoch) == (0.4, 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"best": "x"}, r"state\['best'\] must be a number"), ({"wait": None}, r"state\['wait'\] must be"),
     ({"best_state": (n for n in ())}, "cannot pickle")],
)  # fmt: skip
def test_a_refused_state_changes_no_monitor(changed: dict[str, Any], message: str) -> None:
    monitor = EarlyStoppingMonitor(patience=2)
    monitor.step(0.5)
    before = monitor.state_dict()
    with pytest.raises(TypeError, match=message):
        monitor.load_state_dict({**before, "epoch": 7, **changed})
    assert monitor.state_dict() == before
    with pytest.raises(TypeError, match="state must be a dict"):
        monitor.load_state_dict(None)  # type: ignore[arg-type]


# ---- files ---------------------------------------------------------------------------------------------------------
def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "m"
    trained().save(path)
    path.chmod(0o600)
    trained().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_regular_file_stays(tmp_path: Path) -> None:
    pipe, loop = tmp_path / "pipe", tmp_path / "loop"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="is no regular file"):
        trained().save(pipe)
    with pytest.raises(OSError, match="symbolic links"):
        trained().save(loop)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert loop.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["loop", "pipe"]


def test_a_long_name(tmp_path: Path) -> None:
    path = tmp_path / ("m" * 250)
    trained().save(path)
    assert load_model(path).count_params() == trained().count_params()


def packed(change: Function[[dict[str, Any]], None], tensors: dict[str, Any] | None = None) -> bytes:
    """A saved model with a changed header, or with tensors more."""
    from fastreg import saving

    data = saving.to_bytes(trained())
    length = struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    header = json.loads(metadata["fastreg"])
    change(header)
    arrays = {**safetensors.numpy.load(data), **(tensors or {})}
    return safetensors.numpy.save(arrays, metadata={**metadata, "fastreg": json.dumps(header)})


HOSTILE: dict[str, tuple[bytes, str]] = {
    "names": (
        packed(lambda header: header.update(parameters=[[1]])),
        "damaged fastreg metadata: 'parameters'",
    ),
    "step": (packed(lambda header: header.update(step=True)), "damaged fastreg metadata: 'step'"),
    "units": (
        packed(lambda header: header["model"]["layers"][0]["config"].update(units=10**400)),
        "describes a model that this fastreg cannot make",
    ),
    "types": (packed(lambda header: None, {"more": np.arange(3)}), r"tensors of the types \['int64'\]"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path) -> None:
    data, message = HOSTILE[name]
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / "m")


def test_a_tensor_of_a_type_that_numpy_lacks(tmp_path: Path) -> None:
    tensor = {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}
    header = json.dumps({"a": tensor, "__metadata__": {"format": "fastreg"}}).encode()
    (tmp_path / "m").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(ValueError, match="tensors of the type 'BF16'"):
        load_model(tmp_path / "m")
