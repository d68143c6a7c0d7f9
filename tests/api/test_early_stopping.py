"""EarlyStopping, decision by decision: Keras's rules, each with the training that shows it.

It must not train a real network where a list of values will do: the model here only obeys.
It is over 250 lines because every rule has its cases.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

from fastreg import Dense, Sequential
from fastreg.callbacks import Callback, EarlyStopping, EarlyStoppingMonitor

NAN, INF = math.nan, math.inf


class Model:
    """Has weights that say which epoch it is."""

    def __init__(self) -> None:
        self.stop_training = False
        self.weights: list[Any] = []

    def get_weights(self) -> list[Any]:
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: list[Any]) -> None:
        self.weights = [w.copy() for w in weights]

    @property
    def epoch(self) -> int:
        return int(self.weights[0][0])


def train(callback: EarlyStopping, values: list[float], name: str = "val_loss", first: int = 0) -> Model:
    """Feed the callback one value per epoch, until it stops or the values end."""
    model = Model()
    callback.set_model(model)  # type: ignore[arg-type]
    callback.on_train_begin()
    for epoch, value in enumerate(values, first):
        model.weights = [np.array([epoch])]
        callback.on_epoch_end(epoch, {name: value})
        if model.stop_training:
            break
    callback.on_train_end()
    return model


def feed(callback: EarlyStopping, epochs: range, logs: dict[str, float], model: Model) -> None:
    """Give the callback the same logs in every one of the epochs, also after it has stopped."""
    for epoch in epochs:
        model.weights = [np.array([epoch])]
        callback.on_epoch_end(epoch, dict(logs))


def started(callback: EarlyStopping) -> Model:
    """A model at the start of its training with `callback`."""
    model = Model()
    callback.set_model(model)  # type: ignore[arg-type]
    callback.on_train_begin()
    return model


# ---- min_delta and strictness -------------------------------------------------------------------------------------
@pytest.mark.parametrize("min_delta", [0.1, -0.1])
def test_min_delta_is_taken_as_its_size(min_delta: float) -> None:
    assert EarlyStopping(min_delta=min_delta).min_delta == 0.1


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("min", [1.0, 1.0], 1.0),  # equal is no improvement
        ("min", [1.0, 0.75], 1.0),  # exactly min_delta less is none either
        ("min", [1.0, 0.5], 0.5),
        ("max", [1.0, 1.25], 1.0),
        ("max", [1.0, 1.5], 1.5),
    ],
)
def test_improvement_is_strict(mode: str, values: list[float], best: float) -> None:
    monitor = EarlyStoppingMonitor(patience=9, min_delta=0.25, mode=mode)
    for value in values:
        monitor.step(value)
    assert monitor.best == best
    assert monitor.best_epoch == values.index(best)


# ---- waiting ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("patience", "values", "stopped"),
    [
        (0, [1.0, 2.0], 1),  # 0 acts as 1
        (1, [1.0, 2.0], 1),
        (2, [1.0, 2.0, 3.0], 2),
        (2, [1.0, 2.0, 0.5, 2.0, 2.0], 4),  # an improvement starts the waiting anew
        (2, [1.0, 2.0, 1.0, 1.0], 2),
        (1, [NAN, 1.0], 0),  # not in epoch 0: no stop there, and 1.0 improves
        (1, [NAN, NAN], 1),
        (3, [1.0, 0.9, 0.8], 0),  # runs to its end
    ],
)
def test_patience(patience: int, values: list[float], stopped: int) -> None:
    callback = EarlyStopping(patience=patience)
    model = train(callback, [*values, 0.0] if stopped else values)
    assert callback.stopped_epoch == stopped
    assert model.stop_training == (stopped > 0)
    assert callback.stopped_reason == ("patience" if stopped else None)


def test_wait_counts_epochs_without_improvement() -> None:
    callback = EarlyStopping(patience=5)
    train(callback, [1.0, 0.5, 0.6, 0.7])
    assert (callback.wait, callback.best, callback.best_epoch) == (2, 0.5, 1)


# ---- baseline -----------------------------------------------------------------------------------------------------
def test_a_baseline_that_is_never_beaten_stops_after_patience_epochs() -> None:
    callback = EarlyStopping(patience=3, baseline=0.1)
    train(callback, [1.0, 0.9, 0.8, 0.7, 0.6])
    assert callback.stopped_epoch == 2  # the third epoch, though every one improved
    assert callback.best == 0.8
    assert callback.stopped_reason == "baseline"


def test_a_beaten_baseline_starts_the_waiting_anew() -> None:
    callback = EarlyStopping(patience=3, baseline=0.5)
    train(callback, [1.0, 0.9, 0.4, 0.6, 0.6, 0.6])
    assert callback.stopped_epoch == 5
    assert callback.stopped_reason == "patience"


# ---- weights ------------------------------------------------------------------------------------------------------
def test_best_weights_are_restored_when_stopped() -> None:
    callback = EarlyStopping(patience=2, restore_best_weights=True)
    assert train(callback, [1.0, 0.5, 0.6, 0.7]).epoch == 1


def test_best_weights_are_restored_when_training_ends() -> None:
    callback = EarlyStopping(patience=9, restore_best_weights=True)
    model = train(callback, [1.0, 0.5, 0.6])
    assert not model.stop_training
    assert model.epoch == 1


def test_the_first_monitored_epoch_is_the_fallback() -> None:
    callback = EarlyStopping(patience=2, restore_best_weights=True)
    assert train(callback, [INF, INF, INF]).epoch == 0  # infinity is no improvement, yet it is the first
    assert callback.best_epoch == 0
    callback = EarlyStopping(patience=2, restore_best_weights=True, start_from_epoch=1)
    assert train(callback, [0.1, INF, INF]).epoch == 1


def test_nothing_is_restored_when_every_value_is_nan() -> None:
    callback = EarlyStopping(patience=3, restore_best_weights=True, verbose=1)
    assert train(callback, [NAN] * 5).epoch == callback.stopped_epoch == 2
    assert callback.best_weights is None


def test_weights_stay_when_not_asked_for() -> None:
    callback = EarlyStopping(patience=2)
    assert train(callback, [1.0, 0.5, 0.6, 0.7]).epoch == 3
    assert callback.best_weights is None


# ---- start_from_epoch ---------------------------------------------------------------------------------------------
def test_epochs_before_the_start_are_ignored() -> None:
    callback = EarlyStopping(patience=2, start_from_epoch=3, restore_best_weights=True)
    model = train(callback, [0.1, 0.2, 0.3, 1.0, 1.1, 1.2, 1.3])
    assert (callback.best, callback.best_epoch, callback.stopped_epoch, model.epoch) == (1.0, 3, 5, 3)


def test_a_start_that_is_never_reached_restores_nothing() -> None:
    callback = EarlyStopping(start_from_epoch=5, restore_best_weights=True)
    model = train(callback, [1.0, 2.0, 3.0])
    assert (model.epoch, callback.stopped_epoch, callback.best) == (2, 0, INF)


# ---- names and modes ----------------------------------------------------------------------------------------------
def test_a_missing_monitor_warns_with_what_there_is_and_never_stops() -> None:
    callback = EarlyStopping(patience=0)
    with pytest.warns(UserWarning, match=r"'val_loss', which is missing; available: loss"):
        model = train(callback, [1.0] * 4, name="loss")
    assert not model.stop_training


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("val_acc", "max"),
        ("accuracy", "max"),
        ("val_binary_accuracy", "max"),
        ("val_auc", "max"),
        ("val_auc_1", "max"),
        ("mse_2", "min"),
        ("val_r2", "max"),
        ("val_r2_score", "max"),
        ("precision", "max"),
        ("val_recall", "max"),
        ("f1", "max"),
        ("val_loss", "min"),
        ("mse", "min"),
        ("penalty", "min"),
    ],
)
def test_mode_auto(name: str, mode: str) -> None:
    assert EarlyStopping(monitor=name).mode == mode


def test_an_unknown_mode_warns_and_is_auto() -> None:
    with pytest.warns(UserWarning, match="'best'; using \"auto\""):
        callback = EarlyStopping(monitor="val_accuracy", mode="best")
    assert callback.mode == "max"


# ---- NaN ----------------------------------------------------------------------------------------------------------
def test_nan_is_never_the_best() -> None:
    callback = EarlyStopping(patience=3, restore_best_weights=True)
    model = train(callback, [NAN, 2.0, NAN, 1.0, NAN, NAN, NAN, 0.1])
    assert (callback.best, callback.best_epoch, callback.stopped_epoch, model.epoch) == (1.0, 3, 6, 3)


# ---- every fit starts anew ----------------------------------------------------------------------------------------
def test_state_is_reset_at_the_start_of_every_fit() -> None:
    callback = EarlyStopping(patience=1, restore_best_weights=True)
    train(callback, [0.1, 0.2])
    assert callback.stopped_epoch == 1
    model = train(callback, [5.0])
    assert (callback.best, callback.best_epoch, callback.stopped_epoch, callback.wait) == (5.0, 0, 0, 0)
    assert callback.stopped_reason is None
    assert model.epoch == 0


# ---- beyond Keras -------------------------------------------------------------------------------------------------
def test_relative_min_delta() -> None:
    monitor = EarlyStoppingMonitor(patience=5, min_delta=0.1, min_delta_mode="relative")
    for value in (100.0, 91.0, 89.0):
        monitor.step(value)
    assert (monitor.best, monitor.best_epoch) == (89.0, 2)


@pytest.mark.parametrize("value", [NAN, INF])
def test_check_finite_stops_at_once(value: float) -> None:
    callback = EarlyStopping(patience=9, check_finite=True)
    train(callback, [1.0, 0.9, value, 0.1])
    assert (callback.stopped_epoch, callback.stopped_reason) == (2, "nonfinite")


@pytest.mark.parametrize(("mode", "values"), [("min", [1.0, 0.5, 0.4]), ("max", [0.1, 0.5, 0.6])])
def test_stopping_threshold(mode: str, values: list[float]) -> None:
    monitor = EarlyStoppingMonitor(patience=9, mode=mode, stopping_threshold=0.5)
    assert [monitor.step(value) for value in values] == [False, False, True]  # strictly better than 0.5
    assert (monitor.best_epoch, monitor.stopped_reason) == (2, "stopping_threshold")


@pytest.mark.parametrize(("mode", "values"), [("min", [1.0, 2.0, 2.5]), ("max", [3.0, 2.0, 1.5])])
def test_divergence_threshold(mode: str, values: list[float]) -> None:
    monitor = EarlyStoppingMonitor(patience=9, mode=mode, divergence_threshold=2.0)
    assert [monitor.step(value) for value in values] == [False, False, True]
    assert monitor.stopped_reason == "divergence_threshold"


def test_several_monitors_stop_when_all_have_run_out() -> None:
    callback = EarlyStopping(monitor=["val_loss", "val_auc"], patience=2, restore_best_weights=True)
    model = Model()
    callback.set_model(model)  # type: ignore[arg-type]
    callback.on_train_begin()
    stops = []
    for epoch, (loss, auc) in enumerate(
        zip([3, 1, 2, 2, 2, 2, 2], [0.5, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8], strict=True)
    ):
        model.weights = [np.array([epoch])]
        callback.on_epoch_end(epoch, {"val_loss": loss, "val_auc": auc})
        stops.append(model.stop_training)
    assert stops.index(True) == 5
    callback.on_train_end()
    assert (callback.best, callback.best_epoch, model.epoch) == (1, 1, 1)  # of the first monitor
    assert callback.monitors["val_auc"].best == 0.8


def test_state_can_be_saved_and_resumed() -> None:
    values = [1.0, 0.5, 0.6, 0.7, 0.8, 0.9]
    whole = EarlyStopping(patience=3, restore_best_weights=True)
    train(whole, values)
    first = EarlyStopping(patience=3, restore_best_weights=True)
    train(first, values[:3])
    second = EarlyStopping(patience=3, restore_best_weights=True)
    second.load_state_dict(first.state_dict())
    model = train(second, values[3:], first=3)
    assert second.stopped_epoch == whole.stopped_epoch == 4
    assert model.epoch == 1
    train(second, values[3:])  # the next fit starts anew
    assert second.best == 0.7


def test_a_resumed_fit_keeps_the_best_weights_when_epochs_repeat() -> None:
    first = EarlyStopping(patience=9, restore_best_weights=True)
    best = train(first, [3.0, 2.0, 1.0]).get_weights()
    second = EarlyStopping(patience=9, restore_best_weights=True)
    second.load_state_dict(first.state_dict())
    model = started(second)
    for epoch in range(3):
        model.weights = [np.array([100 + epoch])]
        second.on_epoch_end(epoch, {"val_loss": 9.0})
    second.on_train_end()
    assert np.array_equal(model.weights, best)


@pytest.mark.parametrize("others", [[], ["loss"]])
def test_a_resumed_fit_does_not_stop_for_what_stopped_the_last_one(others: list[str]) -> None:
    names = ["val_loss", *others]
    first = EarlyStopping(names, patience=1)
    model = started(first)
    feed(first, range(2), dict.fromkeys(names, 1.0), model)
    assert model.stop_training
    second = EarlyStopping(names, patience=3)
    second.load_state_dict(first.state_dict())
    model = started(second)
    with pytest.warns(UserWarning, match="'val_loss', which is missing"):
        feed(second, range(2, 6), dict.fromkeys(others, 1.0), model)
    assert not model.stop_training
    feed(second, range(6, 8), dict.fromkeys(names, 1.0), model)
    assert (second.stopped_epoch, second.stopped_reason) == (7, "patience")


def test_an_epoch_that_logs_no_monitor_does_not_stop() -> None:
    callback = EarlyStopping(patience=1)
    model = started(callback)
    feed(callback, range(2), {"val_loss": 1.0}, model)
    model.stop_training = False  # another callback goes on
    with pytest.warns(UserWarning, match="'val_loss', which is missing"):
        callback.on_epoch_end(2, {"loss": 1.0})
    assert not model.stop_training


def test_settings_can_be_changed_between_fits() -> None:
    callback = EarlyStopping(["val_loss", "val_mae"], patience=1)
    callback.patience, callback.min_delta, callback.baseline = 3, -0.5, 0.25
    for monitor in callback.monitors.values():
        assert (monitor.patience, monitor.min_delta, monitor.baseline) == (3, 0.5, 0.25)
    with pytest.raises(ValueError, match="patience must be at least 0"):
        callback.patience = -1
    with pytest.raises(TypeError, match="min_delta must be a number"):
        callback.min_delta = "small"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="baseline must be a finite number"):
        callback.baseline = NAN
    single = EarlyStopping(patience=1)
    single.patience = 2
    train(single, [1.0, 2.0, 2.0, 2.0])
    assert single.stopped_epoch == 2


@pytest.mark.parametrize("monitor", [None, 3, ["val_loss", None]])
def test_a_monitor_that_is_no_name_is_refused(monitor: Any) -> None:
    with pytest.raises(TypeError, match="monitor must be a string"):
        EarlyStopping(monitor)


def test_state_of_other_monitors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"state must be of the monitors \['val_loss'\], not \['loss'\]"):
        EarlyStopping().load_state_dict(EarlyStopping("loss").state_dict())
    with pytest.raises(ValueError, match="state must have the keys"):
        EarlyStoppingMonitor().load_state_dict({"best": 1.0})
    with pytest.raises(TypeError, match="state must be a dict, not int"):
        EarlyStopping().load_state_dict(5)  # type: ignore[arg-type]


def test_a_state_is_loaded_whole_or_not_at_all() -> None:
    stopping = EarlyStopping(["loss", "acc"])
    state = stopping.state_dict()
    state["loss"]["best"], state["acc"]["wait"] = 0.1, "x"
    with pytest.raises(TypeError, match="wait"):
        stopping.load_state_dict(state)
    assert stopping.best == np.inf


def test_the_monitor_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        EarlyStopping("val_loss").monitor = "loss"  # type: ignore[misc]


# ---- the monitor without a model ----------------------------------------------------------------------------------
def test_the_monitor_copies_the_state() -> None:
    monitor = EarlyStoppingMonitor(patience=1)
    weights = np.zeros(2)
    monitor.step(1.0, {"weights": weights})
    weights += 1
    assert monitor.step(2.0, {"weights": weights})
    assert monitor.best_state["weights"].tolist() == [0.0, 0.0]


def test_monitor_and_callback_decide_alike() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = np.round(rng.uniform(size=30), 1).tolist()
        baseline = None if rng.uniform() < 0.5 else float(np.round(rng.uniform(), 1))
        settings: dict[str, Any] = {
            "patience": int(rng.integers(0, 5)),
            "min_delta": float(np.round(rng.uniform(0, 0.3), 1)),
            "mode": str(rng.choice(["min", "max"])),
            "baseline": baseline,
            "start_from_epoch": int(rng.integers(0, 3)),
        }
        callback, monitor = EarlyStopping(**settings), EarlyStoppingMonitor(**settings)
        train(callback, values)
        for value in values:
            if monitor.step(value):
                break
        assert (callback.best, callback.stopped_epoch) == (monitor.best, monitor.stopped_epoch)
        assert callback.stopped_reason == monitor.stopped_reason


def test_a_real_fit_stops_and_restores() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.normal(size=60)  # nothing to learn: validation gets worse
    callback = EarlyStopping(patience=3, restore_best_weights=True)
    model = Sequential([Dense(64, activation="relu"), Dense(1)], seed=0)
    model.compile("adam", "mse")
    history = model.fit(x, y, epochs=500, validation_split=0.5, verbose=0, callbacks=[callback]).history
    assert len(history["loss"]) < 500
    assert callback.best_epoch == int(np.argmin(history["val_loss"]))
    assert len(history["loss"]) == callback.best_epoch + 4
    best = model.evaluate(x[30:], y[30:], verbose=0)
    assert best == min(history["val_loss"])


def test_a_fit_that_breaks_off_leaves_the_weights() -> None:
    """As in Keras: what a user sees after Ctrl-C is where training was."""

    class BreaksOff(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.set_weights([np.full((1, 1), 100.0 + epoch)])  # worse and worse
            if epoch == 2:
                raise KeyboardInterrupt

    stopping = EarlyStopping("loss", patience=9, restore_best_weights=True)
    model = Sequential([Dense(1, use_bias=False)], seed=0)
    model.compile("sgd", "mse")
    assert (stopping.best_epoch, stopping.best_weights) == (0, None)
    with pytest.raises(KeyboardInterrupt):
        model.fit([[1.0]], [0.0], epochs=9, verbose=0, callbacks=[stopping, BreaksOff()])
    assert stopping.best_epoch == 0
    assert stopping.best_weights is not None
    assert model.get_weights()[0].item() == 102.0


def test_verbose_says_when_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    train(EarlyStopping(patience=1, restore_best_weights=True, verbose=1), [1.0, 2.0])
    out = capsys.readouterr().out
    assert "Epoch 2: early stopping (patience)" in out
    assert "best epoch: 1." in out


def test_no_warning_without_cause() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(EarlyStopping(monitor="val_loss", mode="min"), [1.0, 0.5, 0.4])


def test_a_relative_margin_of_a_negative_best() -> None:
    """It is a share of its size: what is worse is no improvement."""
    monitor, bests = EarlyStoppingMonitor(patience=9, min_delta=0.1, min_delta_mode="relative"), []
    for value in (-1.0, -0.95, -1.05, -1.2):
        monitor.step(value)
        bests.append(monitor.best)
    assert bests == [-1.0, -1.0, -1.0, -1.2]
