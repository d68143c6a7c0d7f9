"""When to stop: the decision about a monitored value, for any training loop, and what other callbacks share of it.

It must not know models or callbacks. It is over 250 lines because arguments are documented in full.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

from fastreg._arguments import choice, flag, integer, number, optional_number

MODES = ("auto", "min", "max")
_MAXIMISED = (
    "acc",
    "accuracy",
    "auc",
    "r2",
    "r2_score",
    "r2score",
    "precision",
    "recall",
    "f1",
    "f1_score",
    "f1score",
)
_STATE = ("best", "best_epoch", "best_state", "wait", "epoch", "stopped_epoch", "stopped_reason")


def check_monitor(monitor: Any) -> str:
    """A key of the logs."""
    if not isinstance(monitor, str):
        raise TypeError(f"monitor must be a string, a key of the logs, not {monitor!r}")
    return monitor


def check_mode(mode: Any) -> str:
    """ "auto", "min" or "max"; anything else warns and counts as "auto"."""
    if mode in MODES:
        return str(mode)
    warnings.warn(f'mode must be "auto", "min" or "max", not {mode!r}; using "auto"', stacklevel=3)
    return "auto"


def resolve_mode(mode: str, monitor: str, maximised: Mapping[str, bool] | None = None) -> str:
    """The mode "min" or "max". For "auto": that of the metric, where `maximised` tells which names are metrics and
    whether larger is better; else by what the name ends in."""
    if mode != "auto":
        return mode
    name = monitor.removeprefix("val_")
    if maximised is not None and name in maximised:
        return "max" if maximised[name] else "min"
    name = re.sub(r"_\d+$", "", name)  # a second metric of one name is logged as auc_1
    return "max" if name.lower().endswith(_MAXIMISED) else "min"


def improves(value: float, reference: float, margin: float, mode: str) -> bool:
    """Whether `value` beats `reference` by more than `margin`. Strict; NaN never does."""
    return value + margin < reference if mode == "min" else value - margin > reference


def worst(mode: str) -> float:
    """The infinity that every number improves on."""
    return math.inf if mode == "min" else -math.inf


def monitored(logs: Mapping[str, Any] | None, monitor: str, who: str, warned: set[str]) -> float | None:
    """`logs[monitor]`; if it is missing, None and a warning that lists what there is, unless `monitor` is in `warned`,
    to which it is added."""
    logs = logs or {}
    if monitor in logs:
        return float(logs[monitor])
    if monitor not in warned:
        warned.add(monitor)
        available = ", ".join(logs)
        warnings.warn(
            f"{who} is conditioned on {monitor!r}, which is missing; available: {available}", stacklevel=3
        )
    return None


class EarlyStoppingMonitor:
    """When to stop any training loop: feed it a value per epoch, and it says whether to stop.

    Parameters
    ----------
    patience : int, default 0
        Stop after so many epochs without an improvement; 0 acts as 1.
    min_delta : float, default 0
        An improvement must exceed this; its sign does not matter.
    mode : {"min", "max"}
        Whether smaller or larger is better.
    baseline : float, optional
        Only improvements that also beat the baseline start the waiting anew: training that never beats it
        stops after `patience` epochs.
    start_from_epoch : int, default 0
        Earlier epochs are ignored.
    min_delta_mode : {"absolute", "relative"}
        "relative" multiplies min_delta by the size of the best value.
    check_finite : bool, default False
        Stop at a value that is NaN or infinite.
    stopping_threshold : float, optional
        Stop once the value is better than this.
    divergence_threshold : float, optional
        Stop once the value is worse than this.

    Attributes
    ----------
    best : float
        The best value; infinity ("min") or -infinity ("max") before there is one. NaN is never the best.
    best_epoch : int or None
        Its epoch; while nothing has improved, the first monitored epoch whose value is not NaN.
    best_state : object
        A copy of the state given with it.
    is_best : bool
        Whether the last step was the best so far, so that `best_state` is the state given with it.
    wait : int
        Epochs since the last improvement.
    stopped_epoch : int
        The epoch that stopped training, or 0.
    stopped_reason : str or None
        "patience", "baseline", "nonfinite", "stopping_threshold" or "divergence_threshold".

    Examples
    --------
    >>> monitor = EarlyStoppingMonitor(patience=2)
    >>> for epoch, loss in enumerate([0.5, 0.4, 0.6, 0.7, 0.8]):
    ...     if monitor.step(loss, {"weights": [epoch]}):
    ...         break
    >>> epoch, monitor.best, monitor.best_epoch, monitor.best_state, monitor.stopped_reason
    (3, 0.4, 1, {'weights': [1]}, 'patience')
    """

    def __init__(
        self,
        patience: int = 0,
        min_delta: float = 0,
        mode: str = "min",
        baseline: float | None = None,
        start_from_epoch: int = 0,
        *,
        min_delta_mode: str = "absolute",
        check_finite: bool = False,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
    ) -> None:
        self.patience = integer(patience, "patience", low=0)
        self.min_delta = abs(number(min_delta, "min_delta"))
        self.mode = choice(mode, "mode", ("min", "max"))
        self.baseline = optional_number(baseline, "baseline")
        self.start_from_epoch = integer(start_from_epoch, "start_from_epoch", low=0)
        self.min_delta_mode = choice(min_delta_mode, "min_delta_mode", ("absolute", "relative"))
        self.check_finite = flag(check_finite, "check_finite")
        self.stopping_threshold = optional_number(stopping_threshold, "stopping_threshold")
        self.divergence_threshold = optional_number(divergence_threshold, "divergence_threshold")
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self.best = worst(self.mode)
        self.best_epoch: int | None = None
        self.best_state: Any = None
        self.is_best = False
        self.wait = 0
        self.epoch = -1  # the last epoch given to step
        self.resume()

    def resume(self) -> None:
        """Forget only that training was stopped, to go on with what has been seen."""
        self.stopped_epoch = 0
        self.stopped_reason: str | None = None

    def step(self, value: float, state: Any = None, epoch: int | None = None) -> bool:
        """Take the value of an epoch; True: stop.

        Parameters
        ----------
        value : float
            What is monitored. NaN is never an improvement.
        state : object, optional
            Copied deeply into `best_state` when `value` is the best so far, and at the first monitored epoch
            that is not NaN, to fall back on while nothing improves.
        epoch : int, optional
            By default one more than the last, counting from 0.

        Raises TypeError for what is no number, and what copying `state` raises; then nothing has changed.
        """
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"value must be a number, not {type(value).__name__}: {value!r}") from None
        epoch = self.epoch + 1 if epoch is None else integer(epoch, "epoch")
        watched = epoch >= self.start_from_epoch
        improved = watched and improves(value, self.best, self._margin(self.best), self.mode)
        is_best = improved or (watched and self.best_epoch is None and not math.isnan(value))
        best_state = copy.deepcopy(state) if is_best else self.best_state
        # Nothing can fail from here on.
        self.epoch, self.is_best, self.best_state = epoch, is_best, best_state
        if not watched:
            return False
        if is_best:
            self.best_epoch = epoch
        self.wait += 1
        if improved:
            self.best = value
            if self.baseline is None or self._beats(value, self.baseline):
                self.wait = 0
        return self._stops(self._reason(value))

    def _margin(self, reference: float) -> float:
        if self.min_delta_mode == "absolute":
            return self.min_delta
        return self.min_delta * abs(reference) if math.isfinite(reference) else 0.0

    def _beats(self, value: float, reference: float) -> bool:
        return improves(value, reference, self._margin(reference), self.mode)

    def _reason(self, value: float) -> str | None:
        if self.check_finite and not math.isfinite(value):
            return "nonfinite"
        if self.stopping_threshold is not None and improves(value, self.stopping_threshold, 0.0, self.mode):
            return "stopping_threshold"
        if self.divergence_threshold is not None and improves(
            self.divergence_threshold, value, 0.0, self.mode
        ):
            return "divergence_threshold"
        if self.wait >= max(self.patience, 1) and self.epoch > 0:
            unbeaten = self.baseline is not None and not self._beats(self.best, self.baseline)
            return "baseline" if unbeaten else "patience"
        return None

    def _stops(self, reason: str | None) -> bool:
        self.stopped_reason = reason
        self.stopped_epoch = self.epoch if reason else 0
        return reason is not None

    def state_dict(self) -> dict[str, Any]:
        """Everything seen, to go on later: `load_state_dict` on a monitor with the same settings."""
        return {name: copy.deepcopy(getattr(self, name)) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave. Raises TypeError or ValueError, and changes nothing, for anything else."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a dict, not {type(state).__name__}")
        if set(state) != set(_STATE):
            raise ValueError(f"state must have the keys {list(_STATE)}, not {list(state)}")
        if not isinstance(state["best"], (int, float)):
            raise TypeError(f"state['best'] must be a number, not {state['best']!r}")
        for name in ("wait", "epoch", "stopped_epoch"):
            integer(state[name], f"state[{name!r}]")
        if state["best_epoch"] is not None:
            integer(state["best_epoch"], "state['best_epoch']")
        copied = {name: copy.deepcopy(state[name]) for name in _STATE}
        for name, value in copied.items():
            setattr(self, name, value)
        self.is_best = False
