"""Compiled: an optimizer, a loss and metrics, as given to `compile`; how a session gets them and what its totals mean.

It must not know data, epochs or callbacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastreg import losses, metrics, optimizers
from fastreg._configurable import describe, take
from fastreg._core import Session
from fastreg._layer import Layer
from fastreg.layers import Dense
from fastreg.regularizers import L1L2, NO_PENALTY, Regularizer

Logs = dict[str, float]


class Compiled:
    """The arguments of `compile`, resolved. `logs` gives the names and numbers of a session's totals."""

    def __init__(self, optimizer: Any, loss: Any, unweighted: Any, weighted: Any) -> None:
        self.optimizer = optimizers.get(optimizer)
        if isinstance(loss, (list, tuple)) and len(loss) == 1:
            loss = loss[0]  # as Keras takes it: of the one output
        self.loss = None if loss is None else losses.get(loss)
        reduction = "sum_over_batch_size" if self.loss is None else self.loss.reduction
        if reduction != "sum_over_batch_size":
            raise ValueError(f'training needs a loss with reduction="sum_over_batch_size", not {reduction!r}')
        self._given = (_listed(unweighted, "metrics"), _listed(weighted, "weighted_metrics"))
        self._metrics: dict[str, metrics.Metric] = {}
        self._kernels: dict[int, int] = {}  # of the session's parameters: how many weights they have

    @property
    def names(self) -> list[str]:
        """The names of the metrics, as they are logged; known with the width of the output."""
        return list(self._metrics)

    @property
    def metrics(self) -> list[metrics.Metric]:
        """The metrics, in the order of `names`."""
        return list(self._metrics.values())

    def get_config(self) -> dict[str, Any]:
        """The arguments of `compile`, as JSON can hold them."""
        unweighted, weighted = ([describe(item) for item in group] for group in self._given)
        return {
            "optimizer": describe(self.optimizer),
            "loss": describe(self.loss),
            "metrics": unweighted,
            "weighted_metrics": weighted,
        }

    def check(self, layers: Sequence[Layer], output_units: int | None) -> None:
        """Raise ValueError for penalties that conflict or metrics that do not fit the loss."""
        for layer in layers:
            if isinstance(layer, Dense):
                self.kernel_penalty(layer).native()
        if output_units is not None:
            self._resolve(output_units)

    def apply(self, session: Session, layers: Sequence[Layer]) -> None:
        """Compile the session: its optimizer starts anew."""
        self.check(layers, session.output_units)
        described = [metric.native() for metric in self._metrics.values()]
        for position, description in enumerate(described):
            description["weighted"] = position >= len(self._given[0])
        loss = self.loss or losses.MeanSquaredError()  # without one nothing is computed that needs it
        session.compile(loss.native(), self.optimizer.native(), described)
        self.optimizer.iterations = 0
        take(self.optimizer, self.loss, *self._metrics.values())
        self._kernels = {}
        for position, (name, shape, index) in enumerate(session.parameter_info()):
            layer = layers[index]
            if name == "kernel" and isinstance(layer, Dense):
                self._kernels[position] = math.prod(shape)
                session.set_penalty(position, **self.kernel_penalty(layer).native())

    def logs(self, totals: dict[str, Any]) -> Logs:
        """Keras's loss and metrics, and data_loss and penalty, of the rows that `totals` sums over."""
        rows = totals["rows"]
        logs = {"loss": totals["loss"] / rows}
        for (name, metric), sums in zip(self._metrics.items(), totals["metrics"], strict=True):
            metric.counted(sums)
            logs[name] = float(metric.result_of(sums))
        return {**logs, "data_loss": totals["data_loss"] / rows, "penalty": totals["penalty"] / rows}

    def sparsity(self, session: Session) -> float:
        """The share of all kernels' weights that are exactly 0, in the session that was compiled last."""
        zeros, total = session.count_zeros(), sum(self._kernels.values())
        return sum([zeros[position] for position in self._kernels]) / total if total else 0.0

    def answer(self, logs: Logs, return_dict: bool) -> Any:
        """What Keras's evaluate returns: the loss, [loss, metrics...] or the dict."""
        if return_dict:
            return logs
        values = [logs[name] for name in ("loss", *self._metrics)]
        return values if len(values) > 1 else values[0]

    def _resolve(self, output_units: int) -> None:
        sparse = self.loss is not None and self.loss.kind == "sparse_categorical_crossentropy"
        found: dict[str, metrics.Metric] = {}
        unweighted, weighted = self._given
        for position, identifier in enumerate((*unweighted, *weighted)):
            metric = metrics.resolve(identifier, output_units, sparse)
            base, count = metric.name, 0
            if position >= len(unweighted) and base in found:
                base = f"weighted_{base}"
            name = base
            while name in found or name in ("loss", "data_loss", "penalty", "sparsity"):
                count += 1
                name = f"{base}_{count}"
            found[name] = metric
        self._metrics = found

    def kernel_penalty(self, layer: Dense) -> Regularizer:
        """The layer's own penalty plus that of `losses.ElasticNet`: the factors add."""
        own = layer.kernel_regularizer or NO_PENALTY
        if not isinstance(self.loss, losses.ElasticNet):
            return own
        if own.l1 > 0 and self.loss.alpha > 0 and own.method != self.loss.method:
            raise ValueError(
                f"layer {layer.name!r} has an L1 penalty with method={own.method!r}, the loss ElasticNet one with "
                f"method={self.loss.method!r}; give both the same method"
            )
        method = own.method if own.l1 > 0 else self.loss.method
        return L1L2(own.l1 + self.loss.alpha, own.l2 + self.loss.beta, method)


def _listed(value: Any, name: str) -> list[str | metrics.Metric]:
    """The metrics of one argument of `compile`: a single one is a list of one; a list in a list, or in a dict, is that
    of the one output. Names stay names, since what "accuracy" means depends on the width of the output; all else is
    made the object that it means."""
    if value is None:
        return []
    if isinstance(value, dict):
        if len(value) != 1:
            raise TypeError(f"{name} must be a list: a Sequential model has one output, not {len(value)}")
        value = next(iter(value.values()))
    items = value if isinstance(value, (list, tuple)) else [value]
    if len(items) == 1 and isinstance(items[0], (list, tuple)):
        items = items[0]
    return [item if isinstance(item, str) else metrics.get(item) for item in items]
