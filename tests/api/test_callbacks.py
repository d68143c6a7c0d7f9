"""The other callbacks, and when which hook is called.

It must not test EarlyStopping: test_early_stopping.py does. It is over 250 lines: every callback is here.
"""

from __future__ import annotations

import csv
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastreg import SGD, Dense, Dropout, Sequential
from fastreg._training import Hooks
from fastreg.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from fastreg.metrics import AUC, MeanAbsoluteError, Recall
from fastreg.models import load_model

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = X[:, 0]
HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


def regressor(rate: float = 0.01, dtype: str = "float32") -> Sequential:
    model = Sequential([Dense(4, activation="tanh"), Dropout(0.1), Dense(1)], seed=0, dtype=dtype)
    model.compile(SGD(rate), "mse")
    return model


class Recorder(Callback):
    """Writes down every hook."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.logs: dict[str, Any] = {}

    def __getattribute__(self, name: str) -> Any:
        if name not in HOOKS or name in ("on_batch_begin", "on_batch_end"):
            return super().__getattribute__(name)

        def hook(*arguments: Any) -> None:
            number = [a for a in arguments if isinstance(a, int)]
            self.calls.append(f"{name[3:]}{number[0] if number else ''}")
            self.logs[name] = next((dict(a) for a in arguments if isinstance(a, dict)), None)

        return hook


def test_the_order_of_hooks() -> None:
    recorder = Recorder()
    regressor().fit(X, Y, batch_size=15, epochs=2, verbose=0, validation_split=0.25, callbacks=[recorder])
    epoch = ["train_batch_begin0", "train_batch_end0", "train_batch_begin1", "train_batch_end1"]
    validation = ["test_begin", "test_batch_begin0", "test_batch_end0", "test_end"]
    assert recorder.calls == [
        "train_begin",
        *["epoch_begin0", *epoch, *validation, "epoch_end0"],
        *["epoch_begin1", *epoch, *validation, "epoch_end1"],
        "train_end",
    ]
    assert recorder.params == {"verbose": 0, "epochs": 2, "steps": 2, "do_validation": True}


def test_logs_of_hooks() -> None:
    recorder = Recorder()
    history = regressor().fit(X, Y, verbose=0, validation_split=0.25, callbacks=recorder).history
    last = {key: values[-1] for key, values in history.items()}
    assert recorder.logs["on_epoch_end"] == recorder.logs["on_train_end"] == last
    assert recorder.logs["on_test_end"]["loss"] == last["val_loss"]
    assert recorder.logs["on_train_batch_end"]["loss"] == last["loss"]


def test_hooks_of_evaluate_and_predict() -> None:
    recorder = Recorder()
    model = regressor()
    value = model.evaluate(X, Y, batch_size=30, verbose=0, callbacks=[recorder])
    assert recorder.calls == [
        "test_begin", "test_batch_begin0", "test_batch_end0", "test_batch_begin1", "test_batch_end1", "test_end",
    ]  # fmt: skip
    assert value == pytest.approx(model.evaluate(X, Y, batch_size=30, verbose=0), rel=1e-12)
    recorder.calls.clear()
    model.predict(X, callbacks=[recorder])
    assert recorder.calls == [
        "predict_begin", "predict_batch_begin0", "predict_batch_end0", "predict_batch_begin1", "predict_batch_end1",
        "predict_end",
    ]  # fmt: skip


def test_a_batch_of_a_prediction_tells_its_outputs() -> None:
    model, seen = regressor(), []
    outputs = model.predict(
        X,
        batch_size=7,
        callbacks=[LambdaCallback(on_predict_batch_end=lambda batch, logs: seen.append(logs["outputs"]))],
    )
    assert [len(part) for part in seen] == [7] * (len(X) // 7) + [len(X) % 7]
    np.testing.assert_array_equal(np.concatenate(seen), outputs)
    np.testing.assert_array_equal(outputs, model.predict(X))


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin"])
def test_stopping_before_an_epoch_leaves_its_first_batch(hook: str) -> None:
    class Stop(Callback):
        pass

    def stop(self: Callback, *_: Any) -> None:
        self.model.stop_training = True

    setattr(Stop, hook, stop)
    model = regressor()
    history = model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0]
    assert model.optimizer.iterations == 1


def test_a_callback_has_no_model_before_it_is_used() -> None:
    assert Callback().model is None
    assert Callback().params is None


# ---- callbacks of others -------------------------------------------------------------------------------------------
class Duck:
    """What has the methods of a callback, and not all of them."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: Any) -> None:
        self.params = params

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(epoch)
        self.model.stop_training = epoch == 1


def test_what_has_the_methods_of_a_callback_is_one() -> None:
    model, duck = regressor(), Duck()
    assert model.fit(X, Y, epochs=9, verbose=0, callbacks=[duck]).epoch == duck.epochs == [0, 1]
    assert duck.params["epochs"] == 9
    model.evaluate(X, Y, verbose=0, callbacks=duck)
    model.predict(X, callbacks=duck)


def foreign_callback(module: str) -> type:
    """A class Callback of `module`, whose hooks do nothing, as Keras has one."""
    namespace: dict[str, Any] = {"__name__": module, "Duck": Duck}
    hooks = "".join(f"    def {name}(self, *_): pass\n" for name in HOOKS if name != "on_epoch_end")
    exec(f"class Callback(Duck):\n{hooks}", namespace)
    return namespace["Callback"]


@pytest.mark.parametrize(
    ("module", "steps"),
    [("keras.src.callbacks.callback", False), ("tf_keras.callbacks", False), ("mine", True)],
)
def test_hooks_of_the_base_class_of_keras_cost_nothing(module: str, steps: bool) -> None:
    base = foreign_callback(module)
    assert Hooks([base()]).train_batches == steps

    class Counting(base):  # type: ignore[misc, valid-type]
        batches = 0

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.batches += 1

        on_train_batch_end = on_batch_end

    counting = Counting()
    hooks = Hooks([counting])
    assert hooks.train_batches
    assert hooks.test_batches == hooks.predict_batches == steps
    regressor().fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=[counting])
    assert (counting.batches, counting.epochs) == (8, [0, 1])


# ---- mode="auto" ---------------------------------------------------------------------------------------------------
def with_metric(metric: Any) -> Sequential:
    model = Sequential([Dense(1, activation="sigmoid")], seed=0)
    model.compile("sgd", "binary_crossentropy", metrics=[metric])
    return model


class Rising(Callback):
    """Logs a rising value under a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs[self.name] = 0.5 + 0.1 * epoch


MAXIMISED = [
    ("AUC", "AUC"), ("Precision", "Precision"), ("BinaryAccuracy", "BinaryAccuracy"), ("R2Score", "R2Score"),
    (AUC(name="roc"), "roc"), (Recall(name="found"), "found"),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "name"), MAXIMISED)
def test_auto_maximises_what_the_metric_maximises(metric: Any, name: str, tmp_path: Path) -> None:
    labels = (X[:, 0] > 0).astype(float)
    stopping, saving = (
        EarlyStopping(f"val_{name}", patience=1),
        ModelCheckpoint(tmp_path / "{epoch}", monitor=f"val_{name}", save_best_only=True),
    )
    reducing = ReduceLROnPlateau(f"val_{name}", patience=1)
    model = with_metric(metric)
    history = model.fit(
        X, labels, epochs=4, verbose=0, validation_split=0.5,
        callbacks=[Rising(f"val_{name}"), stopping, saving, reducing],
    )  # fmt: skip
    assert len(history.epoch) == 4
    assert stopping.best == pytest.approx(0.8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3", "4"]
    assert model.optimizer.learning_rate == 0.01


def test_auto_minimises_an_error_whatever_its_name_ends_in() -> None:
    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse", metrics=[MeanAbsoluteError(name="my_acc")])
    stopping = EarlyStopping("my_acc", patience=1)
    assert len(model.fit(X, Y, epochs=4, verbose=0, callbacks=[Rising("my_acc"), stopping]).epoch) == 2


def test_a_rate_at_its_floor_is_not_reduced_again(capsys: pytest.CaptureFixture[str]) -> None:
    class Flat(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["flat"] = 1.0

    model = regressor()
    model.optimizer.learning_rate = 0.1
    reducing = ReduceLROnPlateau("flat", factor=0.1, patience=1, min_lr=0.01, verbose=1)  # 0.1 * 0.1 > 0.01
    model.fit(X, Y, epochs=6, verbose=0, callbacks=[Flat(), reducing])
    assert capsys.readouterr().out.count("reducing learning rate") == 1


def test_checkpoints_make_their_folders(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "{epoch:02d}" / "weights"
    regressor().fit(X, Y, epochs=2, verbose=0, callbacks=[ModelCheckpoint(path, save_weights_only=True)])
    assert sorted(p.parent.name for p in tmp_path.glob("runs/*/weights")) == ["01", "02"]


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_end"])
def test_batch_hooks_do_not_change_the_bits(hook: str) -> None:
    x = np.random.default_rng(1).normal(size=(400, 3))
    native, stepped = (
        regressor(dtype="float64") for _ in "12"
    )  # sums of few float32 have no rounding to differ by
    callbacks = [LambdaCallback(**{hook: lambda batch, logs: None})]
    arguments: dict[str, Any] = {"epochs": 3, "batch_size": 7, "verbose": 0, "validation_split": 0.4}
    a = native.fit(x, x[:, 0], **arguments).history
    b = stepped.fit(x, x[:, 0], **arguments, callbacks=callbacks).history
    assert a == b
    wanted = native.evaluate(x, x[:, 0], batch_size=7, verbose=0)
    assert stepped.evaluate(x, x[:, 0], batch_size=7, verbose=0, callbacks=callbacks) == wanted
    assert all(np.array_equal(u, v) for u, v in zip(native.get_weights(), stepped.get_weights(), strict=True))


def test_training_can_stop_between_batches() -> None:
    class StopAtSecond(Callback):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 1

    model = regressor()
    history = model.fit(X, Y, batch_size=8, epochs=5, verbose=0, callbacks=[StopAtSecond()])
    assert history.epoch == [0]
    assert model.optimizer.iterations == 2


def test_logs_added_by_a_callback_are_recorded() -> None:
    added = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(twice=2 * logs["loss"]))
    history = regressor().fit(X, Y, epochs=2, verbose=0, callbacks=[added]).history
    assert history["twice"] == [2 * loss for loss in history["loss"]]


def test_a_given_history_is_the_one_returned() -> None:
    own = History()
    model = regressor()
    assert model.fit(X, Y, epochs=2, verbose=0, callbacks=[own]) is own is model.history
    assert len(own.history["loss"]) == 2
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[own])
    assert len(own.history["loss"]) == 1


def test_a_history_can_come_back_from_another_process() -> None:
    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse")
    history = model.fit(X, Y, epochs=2, verbose=0)
    same = pickle.loads(pickle.dumps(history))
    assert (same.history, same.epoch, same.model) == (history.history, [0, 1], None)
    assert history.model is model


def test_what_a_callback_writes_into_the_logs_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    class Words(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["loss"] = "small"

    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=2, callbacks=[Words()])
    assert "loss: small" in capsys.readouterr().out


def test_lambda_callback_refuses_unknown_hooks() -> None:
    with pytest.raises(TypeError, match="no hook 'on_epoch'"):
        LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, not int"):
        LambdaCallback(on_epoch_end=3)  # type: ignore[arg-type]


# ---- learning rates -----------------------------------------------------------------------------------------------
def test_the_learning_rate_takes_effect_at_once() -> None:
    model = regressor()

    def freeze(batch: int, logs: Any) -> None:
        if batch == 2:
            model.optimizer.learning_rate = 0.0
            frozen.append(model.get_weights())

    frozen: list[Any] = []
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=freeze)])
    assert all(np.array_equal(a, b) for a, b in zip(frozen[0], model.get_weights(), strict=True))
    assert model.optimizer.iterations == 10


def test_scheduler_with_one_and_two_arguments() -> None:
    one = LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    history = regressor().fit(X, Y, epochs=3, verbose=0, callbacks=[one]).history
    assert history["learning_rate"] == [0.1, 0.05, 0.1 / 3]
    two = LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = regressor(0.08).fit(X, Y, epochs=3, verbose=0, callbacks=[two]).history
    assert history["learning_rate"] == [0.04, 0.02, 0.01]
    wrong = LearningRateScheduler(lambda epoch: "fast")  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="the result of schedule must be a number, not str"):
        regressor().fit(X, Y, verbose=0, callbacks=[wrong])


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (max, "schedule <built-in function max> does not tell its arguments; wrap it"),
        (lambda: 0.1, "schedule must take an epoch"),
        (lambda a, b, c: 0.1, "schedule must take an epoch"),
    ],
)
def test_a_schedule_that_cannot_be_called_is_refused_at_once(schedule: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        LearningRateScheduler(schedule)


@pytest.mark.parametrize(
    "new",
    [
        EarlyStopping,
        ReduceLROnPlateau,
        lambda verbose: ModelCheckpoint("m", verbose=verbose),
        lambda verbose: LearningRateScheduler(abs, verbose=verbose),
    ],
)
def test_verbose_may_be_a_flag(new: Any) -> None:
    assert (new(verbose=True).verbose, new(verbose=False).verbose) == (1, 0)
    with pytest.raises(ValueError, match="verbose must be at least 0"):
        new(verbose=-1)


@pytest.mark.parametrize(
    "new", [lambda: ModelCheckpoint("m", monitor=3), lambda: ReduceLROnPlateau(monitor=None)]
)
def test_a_monitor_that_is_no_name_is_refused(new: Any) -> None:
    with pytest.raises(TypeError, match="monitor must be a string"):
        new()


def plateau(values: list[float], **settings: Any) -> list[float]:
    """The learning rate after each epoch with these values, starting at 1."""
    model = regressor(1.0)
    callback = ReduceLROnPlateau("loss", **settings)
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"loss": value})
        rates.append(model.optimizer.learning_rate)
    return rates


@pytest.mark.parametrize(
    ("settings", "values", "rates"),
    [
        ({"patience": 2, "factor": 0.5}, [1, 1, 1, 1, 1], [1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 2, "factor": 0.5}, [1, 1, 0.5, 1, 1], [1, 1, 1, 1, 0.5]),
        ({"patience": 1, "factor": 0.5, "min_delta": 0.1}, [1, 0.95, 0.8], [1, 0.5, 0.5]),
        ({"patience": 1, "factor": 0.5, "cooldown": 2}, [1, 1, 1, 1, 1], [1, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 1, "factor": 0.1, "min_lr": 0.05}, [1, 1, 1, 1], [1, 0.1, 0.05, 0.05]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [1, 2, 2], [1, 1, 0.5]),
    ],
)
def test_reduce_on_plateau(settings: dict[str, Any], values: list[float], rates: list[float]) -> None:
    assert plateau(values, **settings) == rates


def test_what_is_missing_warns_once_a_fit(tmp_path: Path) -> None:
    saving, stopping = ModelCheckpoint(tmp_path / "m", save_best_only=True), EarlyStopping()
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            regressor().fit(X, Y, epochs=3, verbose=0, callbacks=[ReduceLROnPlateau(), saving, stopping])
        about = [str(warning.message).partition(" is conditioned on 'val_loss'")[0] for warning in caught]
        assert about == ["reducing the learning rate", "saving the best model", "early stopping"]


def test_reduce_on_plateau_logs_and_warns() -> None:
    history = regressor().fit(X, Y, verbose=0, callbacks=[ReduceLROnPlateau("loss")]).history
    assert history["learning_rate"] == [0.01]
    with pytest.warns(UserWarning, match="'val_loss', which is missing; available: loss"):
        regressor().fit(X, Y, verbose=0, callbacks=[ReduceLROnPlateau()])
    for factor in (1.0, 1.5, 0.0):
        with pytest.raises(ValueError, match="factor"):
            ReduceLROnPlateau(factor=factor)


# ---- files --------------------------------------------------------------------------------------------------------
def test_checkpoint_every_epoch_with_fields(tmp_path: Path) -> None:
    model = regressor()
    saving = ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.2f}.keras")
    history = model.fit(X, Y, epochs=3, verbose=0, validation_split=0.2, callbacks=[saving]).history
    expected = [f"{i + 1:02d}-{value:.2f}.keras" for i, value in enumerate(history["val_loss"])]
    assert sorted(path.name for path in tmp_path.iterdir()) == expected
    last = load_model(tmp_path / expected[-1])
    assert all(np.array_equal(a, b) for a, b in zip(last.get_weights(), model.get_weights(), strict=True))


def test_checkpoint_of_the_best_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "best.weights.h5"
    model = regressor(2.0)  # diverges
    saving = ModelCheckpoint(path, monitor="loss", save_best_only=True, save_weights_only=True, verbose=0)
    weights: list[Any] = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()))
    losses = model.fit(X, Y, epochs=4, verbose=0, callbacks=[saving, keep]).history["loss"]
    best = int(np.argmin(losses))
    assert best < 3
    other = regressor()
    other.build((None, 3))
    other.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(other.get_weights(), weights[best], strict=True))
    assert saving.best == losses[best]


def test_a_checkpoint_that_could_not_be_saved_is_not_the_best(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "best.keras"
    path.parent.write_text("a file where the folder should be")
    model, saving = regressor(), ModelCheckpoint(path, monitor="loss", save_best_only=True)
    with pytest.raises(FileExistsError):
        model.fit(X, Y, verbose=0, callbacks=[saving])
    assert saving.best == np.inf
    path.parent.unlink()
    model.fit(X, Y, verbose=0, callbacks=[saving])
    assert path.exists()
    assert saving.best == model.history.history["loss"][0]


def test_checkpoint_tells_what_it_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = iter([0.5, 0.75, 0.25])
    given = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_acc=next(values)))
    path = tmp_path / "{epoch}"
    best = ModelCheckpoint(path, "val_acc", save_best_only=True, verbose=1, initial_value_threshold=0.5)
    regressor().fit(X, Y, epochs=3, verbose=0, callbacks=[given, best])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1: val_acc did not improve from 0.50000",
        f"Epoch 2: val_acc improved from 0.50000 to 0.75000, saving model to {tmp_path / '2'}",
        "Epoch 3: val_acc did not improve from 0.75000",
    ]
    regressor().fit(X, Y, verbose=0, callbacks=[ModelCheckpoint(path, verbose=1)])
    assert capsys.readouterr().out == f"Epoch 1: saving model to {tmp_path / '1'}\n"


def test_checkpoint_needs_to_beat_the_initial_value(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "m", "loss", save_best_only=True, initial_value_threshold=1e-9)
    regressor().fit(X, Y, epochs=2, verbose=0, callbacks=[saving])
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_every_so_many_batches(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=3)
    regressor().fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=[saving])  # 4 batches an epoch
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-3", "2-2"]


def test_checkpoint_names_missing_fields(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "{val_loss}")
    with pytest.raises(ValueError, match="has the field 'val_loss'; there are epoch, loss"):
        regressor().fit(X, Y, verbose=0, callbacks=[saving])


@pytest.mark.parametrize("template", ["t{}", "t{0}", "t{", "t{epoch"])
def test_checkpoint_refuses_a_broken_template(template: str) -> None:
    with pytest.raises(ValueError, match=r"filepath 't\{"):
        ModelCheckpoint(template)


def test_checkpoint_names_a_format_that_does_not_fit(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "{loss:d}")
    with pytest.raises(ValueError, match=r"filepath .* cannot be filled in"):
        regressor().fit(X, Y, verbose=0, callbacks=[saving])


def test_checkpoint_takes_a_path_of_bytes(tmp_path: Path) -> None:
    regressor().fit(X, Y, verbose=0, callbacks=[ModelCheckpoint(bytes(tmp_path / "{epoch:02d}"))])
    assert [item.name for item in tmp_path.iterdir()] == ["01"]


def rows(path: Path, separator: str = ",") -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def test_csv_logger_sorts_keys_and_fills_gaps(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    model = regressor()
    history = model.fit(
        X, Y, epochs=2, verbose=0, validation_split=0.25, validation_freq=2, callbacks=[CSVLogger(path)]
    ).history
    header, first, second = rows(path)
    assert header == [
        "epoch", "data_loss", "loss", "penalty", "sparsity", "val_data_loss", "val_loss", "val_penalty", "val_sparsity",
    ]  # fmt: skip
    assert first[5:] == ["NA"] * 4
    assert float(second[header.index("val_loss")]) == history["val_loss"][0]
    assert [row[0] for row in (first, second)] == ["0", "1"]


def test_csv_logger_appends(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for epoch in range(2):
        logger = CSVLogger(path, separator=";", append=True)
        regressor().fit(X, Y, initial_epoch=epoch, epochs=epoch + 1, verbose=0, callbacks=[logger])
    assert [row[0] for row in rows(path, ";")] == ["epoch", "0", "1"]
    regressor().fit(X, Y, verbose=0, callbacks=[CSVLogger(path)])
    assert len(rows(path)) == 2


@pytest.mark.parametrize("hooks", [False, True], ids=["native", "with batch hooks"])
def test_terminate_on_nan_stops_after_the_batch(hooks: bool, capsys: pytest.CaptureFixture[str]) -> None:
    x = X.copy()
    x[17] = np.nan  # in the third batch of 8
    callbacks: list[Callback] = [TerminateOnNaN()]
    if hooks:
        callbacks.append(LambdaCallback(on_train_batch_end=lambda batch, logs: None))
    model = regressor()
    history = model.fit(
        x, Y, batch_size=8, epochs=5, shuffle=False, verbose=0, allow_nonfinite=True, callbacks=callbacks
    )
    assert history.epoch == [0]
    assert model.optimizer.iterations == 3
    assert capsys.readouterr().out == "Batch 2: Invalid loss, terminating training\n"
