"""The loop over epochs: train, validate, callbacks. An epoch is one native call unless a callback has batch hooks.

It must not know losses, layers or a step's order; its arguments are checked already. It is over 250 lines because fit,
evaluate and predict share its hooks and batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastreg._arguments import flag, integer
from fastreg._arrays import Array
from fastreg._compiled import Compiled, Logs
from fastreg._core import Session
from fastreg._dataset import Dataset, native
from fastreg._progress import Progress, check_verbose
from fastreg._sparse import SparseRows
from fastreg.callbacks import History, LambdaCallback, TerminateOnNaN
from fastreg.callbacks.base import overrides

if TYPE_CHECKING:
    from fastreg.models import Sequential

DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True)
class Plan:
    """The settings of a fit, checked."""

    batch_size: int
    epochs: int
    initial_epoch: int
    verbose: int
    shuffle: bool
    validation_batch_size: int
    validation_freq: int | tuple[int, ...]

    @classmethod
    def checked(
        cls,
        batch_size: Any,
        epochs: Any,
        initial_epoch: Any,
        verbose: Any,
        shuffle: Any,
        validation_batch_size: Any,
        validation_freq: Any,
    ) -> Plan:
        """The plan for arguments of `fit`; raises TypeError or ValueError, naming the argument."""
        size = check_batch_size(batch_size)
        epochs = integer(epochs, "epochs", low=1)
        freq: int | tuple[int, ...]
        if isinstance(validation_freq, (list, tuple, set, range)):
            freq = tuple(integer(epoch, "validation_freq", low=1) for epoch in validation_freq)
        else:
            freq = integer(validation_freq, "validation_freq", low=1)
        return cls(
            size,
            epochs,
            integer(initial_epoch, "initial_epoch", low=0),
            check_verbose(verbose),
            flag(shuffle, "shuffle"),
            size
            if validation_batch_size is None
            else check_batch_size(validation_batch_size, "validation_batch_size"),
            freq,
        )

    def validates(self, epoch: int) -> bool:
        """Whether `epoch`, from 0, is followed by a validation."""
        if isinstance(self.validation_freq, int):
            return (epoch + 1) % self.validation_freq == 0
        return epoch + 1 in self.validation_freq


def check_batch_size(batch_size: Any, name: str = "batch_size") -> int:
    """At least 1; None is 32."""
    return DEFAULT_BATCH_SIZE if batch_size is None else integer(batch_size, name, low=1, high=2**63 - 1)


def _flat(callbacks: Any) -> Iterator[Any]:
    """Those of a list, and of lists in it; one alone."""
    for callback in callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]:
        if isinstance(callback, (list, tuple)):
            yield from _flat(callback)
        else:
            yield callback


class Hooks:
    """The callbacks of one call, and what they need from it."""

    def __init__(self, callbacks: Any) -> None:
        listed = [] if callbacks is None else list(_flat(callbacks))
        for callback in listed:
            if isinstance(callback, type) or not (
                hasattr(callback, "set_model") and hasattr(callback, "set_params")
            ):
                raise TypeError(
                    f"callbacks must be a list of Callback objects; it has {type(callback).__name__}; "
                    "derive from fastreg.callbacks.Callback"
                )
        self.callbacks: list[Any] = listed  # Keras's, too, and what else has its methods
        train = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
        self.train_batches = self._any_overrides(*train)
        self.test_batches = self._any_overrides("on_test_batch_begin", "on_test_batch_end")
        self.predict_batches = self._any_overrides("on_predict_batch_begin", "on_predict_batch_end")
        self._terminators = [callback for callback in listed if isinstance(callback, TerminateOnNaN)]
        self.stop_on_nonfinite = bool(self._terminators)

    def may_print(self, name: str) -> bool:
        """Whether a hook is code of the user's."""
        return any(
            overrides(callback, name)
            for callback in self.callbacks
            if isinstance(callback, LambdaCallback) or not type(callback).__module__.startswith("fastreg.")
        )

    def _any_overrides(self, *names: str) -> bool:
        return any(overrides(callback, *names) for callback in self.callbacks)

    def attach(self, model: Sequential, params: dict[str, Any]) -> None:
        """Tell the callbacks their model."""
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)

    def history(self) -> History:
        """The given History, or a new one at the end, so that it records what the others add to the logs."""
        for callback in self.callbacks:
            if isinstance(callback, History):
                return callback
        history = History()
        self.callbacks.append(history)
        return history

    def call(self, name: str, *arguments: Any) -> None:
        """Call one hook of every callback that has it."""
        for callback in self.callbacks:
            if hook := getattr(callback, name, None):
                hook(*arguments)

    def nonfinite_loss(self, batch: int) -> None:
        """A batch had a loss that is NaN or infinite."""
        for callback in self._terminators:
            callback.on_nonfinite_loss(batch)


def fit(
    model: Sequential,
    session: Session,
    compiled: Compiled,
    data: Dataset,
    validation: Dataset | None,
    plan: Plan,
    hooks: Hooks,
) -> History:
    """Train from `plan.initial_epoch` to `plan.epochs`, or until a callback sets `model.stop_training`."""
    history = hooks.history()
    steps = -(-data.rows // plan.batch_size)
    params = {
        "verbose": plan.verbose,
        "epochs": plan.epochs,
        "steps": steps,
        "do_validation": validation is not None,
    }
    hooks.attach(model, params)
    model.history, model.stop_training = history, False
    logs: Logs = {}
    validated = False
    hooks.call("on_train_begin", {})
    prints_begin, prints_end = hooks.may_print("on_epoch_begin"), hooks.may_print("on_epoch_end")
    verbose = plan.verbose if plan.initial_epoch < plan.epochs else 0
    with Progress(verbose, plan.initial_epoch, plan.epochs, model.metrics_names) as progress:
        for epoch in range(plan.initial_epoch, plan.epochs):
            with progress.aside() if prints_begin else nullcontext():
                hooks.call("on_epoch_begin", epoch, {})
            fresh = epoch == plan.initial_epoch  # a GPU keeps the data from epoch to epoch
            logs = compiled.logs(_train_epoch(model, session, compiled, data, plan, hooks, fresh, steps))
            logs["sparsity"] = compiled.sparsity(session)
            if validation is not None and plan.validates(epoch):
                model._ready()
                values = evaluate(
                    model, session, compiled, validation, plan.validation_batch_size, hooks, not validated
                )
                validated = True
                logs.update({f"val_{name}": value for name, value in values.items()})
            with progress.aside() if prints_end else nullcontext():
                hooks.call("on_epoch_end", epoch, logs)
            progress.epoch_end(epoch, logs)
            if model.stop_training:
                break
    hooks.call("on_train_end", logs)
    return history


def _train_epoch(
    model: Sequential,
    session: Session,
    compiled: Compiled,
    data: Dataset,
    plan: Plan,
    hooks: Hooks,
    fresh: bool,
    steps: int,
) -> dict[str, Any]:
    session.begin_epoch(native(data.x), data.y, data.sample_weight, plan.batch_size, plan.shuffle, fresh)
    try:
        return _train_steps(model, session, compiled, hooks, steps)
    finally:  # the session keeps no data, also where the epoch was left early
        session.end_epoch()


def _train_steps(
    model: Sequential, session: Session, compiled: Compiled, hooks: Hooks, steps: int
) -> dict[str, Any]:
    """The steps of the epoch that has begun; its totals."""
    batch = 0
    while True:
        if hooks.train_batches:
            hooks.call("on_train_batch_begin", batch, {})
        # Where stop_training was set before the epoch, it ends after its first batch.
        n = 1 if hooks.train_batches or model.stop_training else steps - batch
        model._ready()  # with what callbacks did to layers of other models
        compiled.optimizer._iterations = session.step  # another model may have used the optimizer
        session.set_learning_rates(compiled.optimizer.rates(n))
        try:
            totals = session.run_steps(n, hooks.stop_on_nonfinite)
        finally:  # Ctrl-C leaves the model at the end of a step
            compiled.optimizer._iterations = session.step
        batch = totals["steps"]
        if hooks.train_batches:
            hooks.call("on_train_batch_end", batch - 1, compiled.logs(totals))
        if hooks.stop_on_nonfinite and totals["nonfinite"]:
            hooks.nonfinite_loss(batch - 1)
        if totals["finished"] or model.stop_training:
            return totals


def evaluate(
    model: Sequential,
    session: Session,
    compiled: Compiled,
    data: Dataset,
    batch_size: int,
    hooks: Hooks,
    fresh: bool = True,
) -> Logs:
    """Loss, metrics and the rest of the logs of `data`, without training. `fresh`: not the data of the last call."""
    hooks.call("on_test_begin", {})
    if hooks.test_batches:
        totals = _evaluate_in_batches(session, compiled, data, batch_size, hooks)
    else:
        totals = session.evaluate(native(data.x), data.y, data.sample_weight, fresh)
    if model._compiled is not compiled:
        raise RuntimeError(
            "compile cannot be called while the model is evaluated, from a callback or another thread"
        )
    logs = compiled.logs(totals)
    logs["sparsity"] = compiled.sparsity(session)
    hooks.call("on_test_end", logs)
    return logs


def _evaluate_in_batches(
    session: Session, compiled: Compiled, data: Dataset, batch_size: int, hooks: Hooks
) -> dict[str, Any]:
    totals: dict[str, Any] = {}
    for batch, rows in enumerate(_slices(data.rows, batch_size)):
        hooks.call("on_test_batch_begin", batch, {})
        weight = None if data.sample_weight is None else data.sample_weight[rows]
        part = session.evaluate(native(data.x[rows]), data.y[rows], weight)
        totals = _added(totals, part) if totals else part
        hooks.call("on_test_batch_end", batch, compiled.logs(totals))
    return session.evaluate(native(data.x), data.y, data.sample_weight)  # the sums that no hook has cut


def _slices(rows: int, batch_size: int) -> Iterator[slice]:
    return (slice(start, min(start + batch_size, rows)) for start in range(0, rows, batch_size))


def _added(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    sums = {key: a[key] + b[key] for key in ("loss", "data_loss", "penalty", "rows")}
    return {**sums, "metrics": [x + y for x, y in zip(a["metrics"], b["metrics"], strict=True)]}


def predict(session: Session, x: Array | SparseRows, batch_size: int, hooks: Hooks) -> Array:
    """The outputs for `x`."""
    hooks.call("on_predict_begin", {})
    out = np.empty((len(x), session.output_units), dtype=x.dtype)
    if hooks.predict_batches:
        for batch, rows in enumerate(_slices(len(x), batch_size)):
            hooks.call("on_predict_batch_begin", batch, {})
            session.predict(native(x[rows]), out[rows])
            hooks.call("on_predict_batch_end", batch, {"outputs": out[rows]})
    else:
        session.predict(native(x), out)
    hooks.call("on_predict_end", {})
    return out
