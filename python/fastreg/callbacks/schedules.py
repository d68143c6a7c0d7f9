"""Callbacks that change the learning rate: on a plateau, or by a function of the epoch.

They must not know optimizers beyond their learning_rate.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable

import numpy as np

from fastreg._arguments import integer, number
from fastreg._progress import check_verbose, say
from fastreg.callbacks.base import Callback, Logs, maximised_metrics
from fastreg.callbacks.monitor import check_mode, check_monitor, improves, monitored, resolve_mode, worst


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
    factor : float in (0, 1), default 0.1
    patience : int, default 10
    verbose : {0, 1, 2} or bool
    mode : {"auto", "min", "max"}
        As for `EarlyStopping`.
    min_delta : float, default 1e-4
        An improvement must exceed it.
    cooldown : int, default 0
        Epochs to wait after a reduction before waiting for improvements again.
    min_lr : float, default 0
        The learning rate is never set below.

    Raises
    ------
    TypeError, ValueError
        If `factor` is not in (0, 1), or another argument has the wrong type or is out of range.

    Examples
    --------
    >>> ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=3).factor
    0.5
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self.monitor = check_monitor(monitor)
        self.factor = number(factor, "factor", low=0.0, high=1.0, open_low=True, open_high=True)
        self.patience = integer(patience, "patience", low=0)
        self.verbose = check_verbose(verbose)
        self._mode = check_mode(mode)
        self.mode = resolve_mode(self._mode, monitor)
        self.min_delta = number(min_delta, "min_delta", low=0.0)
        self.cooldown = integer(cooldown, "cooldown", low=0)
        self.min_lr = number(min_lr, "min_lr", low=0.0)
        self._reset()

    def _reset(self) -> None:
        self.best = worst(self.mode)
        self.wait = 0
        self.cooldown_counter = 0
        self._warned: set[str] = set()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.mode = resolve_mode(self._mode, self.monitor, maximised_metrics(self.model))
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        value = monitored(logs, self.monitor, "reducing the learning rate", self._warned)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if improves(value, self.best, self.min_delta, self.mode):
            self.best, self.wait = value, 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        rate = self.model.optimizer.learning_rate
        if np.float32(rate) <= np.float32(self.min_lr):  # 0.1 * 0.1 is no larger than 0.01
            return
        self.model.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
        self.cooldown_counter, self.wait = self.cooldown, 0
        if self.verbose:
            say(f"Epoch {epoch + 1}: reducing learning rate to {self.model.optimizer.learning_rate:g}.")


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of every epoch: `schedule(epoch)` or `schedule(epoch, learning_rate)`.

    Raises TypeError if `schedule` is not a function, cannot be called so, does not tell its arguments (some built-in
    functions do not: wrap them in a lambda) or returns no number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastreg import Dense, Sequential
    >>> model = Sequential([Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> halving = LearningRateScheduler(lambda epoch, learning_rate: learning_rate / 2)
    >>> history = model.fit(np.eye(4), np.ones(4), epochs=3, verbose=0, callbacks=[halving])
    >>> history.history["learning_rate"]
    [0.005, 0.0025, 0.00125]
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(f"schedule must be a function, not {type(schedule).__name__}")
        self.schedule = schedule
        self.verbose = check_verbose(verbose)
        self._takes_rate = _takes_two(schedule)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        rate = (
            self.schedule(epoch, float(optimizer.learning_rate)) if self._takes_rate else self.schedule(epoch)
        )
        optimizer.learning_rate = number(rate, "the result of schedule", low=0.0)
        if self.verbose:
            say(f"Epoch {epoch + 1}: setting learning rate to {optimizer.learning_rate:g}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def _takes_two(schedule: Callable[..., float]) -> bool:
    """Whether `schedule` can be called with an epoch and a learning rate; False: with an epoch alone."""
    try:
        signature = inspect.signature(schedule)
    except (TypeError, ValueError):
        raise TypeError(
            f"schedule {schedule!r} does not tell its arguments; wrap it: lambda epoch, learning_rate: ..."
        ) from None
    for arguments in ((0, 0.0), (0,)):
        with contextlib.suppress(TypeError):
            signature.bind(*arguments)
            return len(arguments) == 2
    raise TypeError(f"schedule must take an epoch, or an epoch and a learning rate, not {signature}")
