"""Callback: the hooks that training calls, and the callbacks that only record or forward them.

They must not know how training is done; they see a model, an epoch and a dict of logs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastreg._progress import say

if TYPE_CHECKING:
    from fastreg.models import Sequential

Logs = dict[str, Any]

_BASES = ("fastreg", "keras", "tf_keras", "tensorflow")  # whose class Callback has hooks that do nothing


class Callback:
    """Base of the callbacks: override the hooks you need.

    In every hook `self.model` is the model and `self.params` a dict with "verbose" and "steps", in `fit` also "epochs"
    and "do_validation". `logs` of an epoch holds "loss", the metrics, "data_loss", "penalty", "sparsity" and, after
    a validation, the same with "val_" before; what a callback adds to it is recorded too.
    Overriding a batch hook makes training return to Python after every batch.

    Examples
    --------
    >>> class StopAt(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["loss"] < 0.1
    """

    model: Sequential = None  # type: ignore[assignment]  # until a method of a model is given the callback
    params: dict[str, Any] = None  # type: ignore[assignment]

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training, an evaluation or a prediction."""
        self.params = params

    def set_model(self, model: Sequential) -> None:
        """Called next."""
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a training step; batches count from 0 in every epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a training step, with the means of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation, or a validation in fit."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After an evaluation, or a validation in fit, with its logs (no "val_" before the names)."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of an evaluation, with the means so far."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of a prediction, with its "outputs"."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After a prediction."""


def overrides(callback: Any, *hooks: str) -> bool:
    """Whether `callback` does anything in one of `hooks`."""
    found = [getattr(callback, hook, None) for hook in hooks]
    return any(hook is not None and not _does_nothing(hook) for hook in found)


def _does_nothing(hook: Any) -> bool:
    """Whether it is a hook of a base class: of `Callback`, or of Keras's."""
    function = getattr(hook, "__func__", None)
    of_base = getattr(function, "__qualname__", "").startswith("Callback.")
    return of_base and function.__module__.partition(".")[0] in _BASES


def maximised_metrics(model: Sequential) -> dict[str, bool]:
    """For the name of each of the model's metrics, whether larger is better; of a model without metrics nothing."""
    names, metrics = getattr(model, "metrics_names", ["loss"])[1:], getattr(model, "metrics", [])
    return {name: metric.maximised for name, metric in zip(names, metrics, strict=True)}


class History(Callback):
    """What `fit` returns: `history` has a list of values per epoch for every key of the logs, `epoch` the epochs.

    `model` is None once the model is gone, which the history does not keep, and in copies.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self._model: weakref.ref[Sequential] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}

    def set_model(self, model: Sequential) -> None:
        self._model = weakref.ref(model)

    @property
    def model(self) -> Sequential | None:  # type: ignore[override]
        return None if self._model is None else self._model()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))`.

    Any hook of `Callback` may be given by its name. Raises TypeError for another name or what cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> from fastreg import Dense, Sequential
    >>> model = Sequential([Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> shout = LambdaCallback(on_epoch_end=lambda epoch, logs: print("epoch", epoch))
    >>> history = model.fit(np.eye(4), np.ones(4), epochs=2, verbose=0, callbacks=[shout])
    epoch 0
    epoch 1
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **hooks: Callable[..., Any] | None,
    ) -> None:
        given: Mapping[str, Callable[..., Any] | None] = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **hooks,
        }
        for name, function in given.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                raise TypeError(f"LambdaCallback has no hook {name!r}")
            if function is not None:
                if not callable(function):
                    raise TypeError(f"{name} must be a function, not {type(function).__name__}")
                setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Stops training after the first batch whose loss is NaN or infinite.

    The check is native and costs nothing on a CPU. On a GPU every step is waited for, and small networks do not run
    many steps in one launch.
    """

    def on_nonfinite_loss(self, batch: int) -> None:
        """Called by training after such a batch."""
        say(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
