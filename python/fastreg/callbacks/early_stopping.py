"""EarlyStopping: the callback that stops training when a value has stopped improving.

It must not know how that is decided: EarlyStoppingMonitor does, in monitor.py.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from fastreg._arguments import flag, integer, number, optional_number
from fastreg._progress import check_verbose
from fastreg.callbacks.base import Callback, Logs, maximised_metrics
from fastreg.callbacks.monitor import EarlyStoppingMonitor, check_mode, check_monitor, monitored, resolve_mode

# Reasons that do not wait for other monitors.
_AT_ONCE = ("nonfinite", "stopping_threshold", "divergence_threshold")


class EarlyStopping(Callback):
    """Stops training when a monitored value has stopped improving (Prechelt 1998).

    Parameters
    ----------
    monitor : str or list of str, default "val_loss"
        A key of the logs. With several, training stops when every one has run out of patience; `best`, the weights
        and the rest are those of the first. What an epoch does not log warns and keeps its last verdict of this
        fit; an epoch that logs none of them does not stop.
    min_delta, patience, baseline, start_from_epoch
        See `EarlyStoppingMonitor`. The first three can be set between fits, for all monitors.
    verbose : {0, 1, 2} or bool
        1 and 2 print when training stops and when weights are restored.
    mode : {"auto", "min", "max"}
        "auto" does for a metric of the model what its class says. Of other names it maximises those that end in acc,
        accuracy, auc, precision, recall, r2, r2_score, f1 or f1_score, and minimises the rest.
    restore_best_weights : bool, default False
        At the end of training, whoever ended it, set the weights of the best epoch; if none improved, of the first
        monitored epoch that is not NaN. A NaN epoch is never restored: if every value was NaN, nothing is. Ctrl-C and
        exceptions leave the weights as they are.
    min_delta_mode, check_finite, stopping_threshold, divergence_threshold
        See `EarlyStoppingMonitor`. Such a stop does not wait for other monitors.

    Attributes
    ----------
    best, best_epoch, wait, stopped_epoch, stopped_reason
        See `EarlyStoppingMonitor`; all start anew with every fit. best_epoch is 0 while there is none, as in Keras.
    best_weights : list of arrays or None
        The weights of `best_epoch`, if they are to be restored.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; the message names it.

    Examples
    --------
    >>> stopping = EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True)
    >>> stopping.monitor, stopping.patience
    ('val_loss', 5)
    """

    def __init__(
        self,
        monitor: str | Sequence[str] = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        *,
        min_delta_mode: str = "absolute",
        check_finite: bool = False,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
    ) -> None:
        names = [
            check_monitor(name) for name in (monitor if isinstance(monitor, (list, tuple)) else [monitor])
        ]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"monitor must be a name of the logs or a list of different names, not {monitor!r}"
            )
        self._monitor = monitor
        self._mode = check_mode(mode)
        self.verbose = check_verbose(verbose)
        self.restore_best_weights = flag(restore_best_weights, "restore_best_weights")
        self.monitors = {
            name: EarlyStoppingMonitor(
                patience,
                min_delta,
                resolve_mode(self._mode, name),
                baseline,
                start_from_epoch,
                min_delta_mode=min_delta_mode,
                check_finite=check_finite,
                stopping_threshold=stopping_threshold,
                divergence_threshold=divergence_threshold,
            )
            for name in names
        }
        self._first = self.monitors[names[0]]
        self._resumed = False
        self._warned: set[str] = set()  # of what is missing, in this fit
        self.stopped_epoch = 0
        self.stopped_reason: str | None = None

    @property
    def monitor(self) -> str | Sequence[str]:
        """What was given; it cannot be set."""
        return self._monitor

    @property
    def patience(self) -> int:
        """See `EarlyStoppingMonitor`; so are the properties below."""
        return self._first.patience

    @patience.setter
    def patience(self, value: int) -> None:
        for monitor in self.monitors.values():
            monitor.patience = integer(value, "patience", low=0)

    @property
    def min_delta(self) -> float:
        return self._first.min_delta

    @min_delta.setter
    def min_delta(self, value: float) -> None:
        for monitor in self.monitors.values():
            monitor.min_delta = abs(number(value, "min_delta"))

    @property
    def mode(self) -> str:
        return self._first.mode

    @property
    def baseline(self) -> float | None:
        return self._first.baseline

    @baseline.setter
    def baseline(self, value: float | None) -> None:
        for monitor in self.monitors.values():
            monitor.baseline = optional_number(value, "baseline")

    @property
    def start_from_epoch(self) -> int:
        return self._first.start_from_epoch

    @property
    def best(self) -> float:
        return self._first.best

    @property
    def best_epoch(self) -> int:
        return self._first.best_epoch or 0

    @property
    def best_weights(self) -> Any:
        return self._first.best_state

    @property
    def wait(self) -> int:
        return self._first.wait

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for name, monitor in self.monitors.items():
            if self._resumed:
                monitor.resume()
            else:
                monitor.mode = resolve_mode(self._mode, name, maximised_metrics(self.model))
                monitor.reset()
        self._resumed = False
        self._warned.clear()
        self.stopped_epoch, self.stopped_reason = 0, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        values = {name: monitored(logs, name, "early stopping", self._warned) for name in self.monitors}
        logged = {name: value for name, value in values.items() if value is not None}
        for name, value in logged.items():
            monitor = self.monitors[name]
            monitor.step(value, epoch=epoch)
            if monitor is self._first and monitor.is_best and self.restore_best_weights:
                monitor.best_state = self.model.get_weights()  # copied only when they are the best
        if logged:
            self._stop_if_decided(epoch)

    def _stop_if_decided(self, epoch: int) -> None:
        reasons = [monitor.stopped_reason for monitor in self.monitors.values()]
        at_once = [reason for reason in reasons if reason in _AT_ONCE]
        if at_once or all(reasons):
            self.stopped_epoch = epoch
            self.stopped_reason = at_once[0] if at_once else reasons[0]
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.verbose and self.stopped_reason:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping ({self.stopped_reason})")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """What has been seen, to go on with in another fit."""
        return {name: monitor.state_dict() for name, monitor in self.monitors.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next fit go on from what `state_dict` gave, instead of starting anew; all or nothing."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a dict, not {type(state).__name__}")
        if set(state) != set(self.monitors):
            raise ValueError(f"state must be of the monitors {list(self.monitors)}, not {list(state)}")
        for name, monitor in self.monitors.items():
            copy.copy(monitor).load_state_dict(state[name])  # raises before anything is changed
        for name, monitor in self.monitors.items():
            monitor.load_state_dict(state[name])
        self._resumed = True
