"""The native calls of a step: parameters that share settings, a step count and a device, their arrays and counts.

It must not know an update rule, groups, or which tensors a step takes. To make the arrays takes longer than to update
a small layer, so a call may serve the next step, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from fastreg import _core
from fastreg.torch._gate import Row, checked, in_order
from fastreg.torch._memory import array, current_stream

Key = list[Any]


def memory_of(tensors: Sequence[Tensor]) -> Key | None:
    """Where numbers lie, to compare: tensors with equal keys pass the same checks. None where torch does not tell."""
    features = (Tensor.data_ptr, Tensor.size, Tensor.stride, attrgetter("dtype"), Tensor.is_neg)
    try:
        return [value for feature in features for value in map(feature, tensors)]
    except (TypeError, RuntimeError):  # not a tensor; without memory or strides, as sparse ones are
        return None


class Clock:
    """The steps taken and the learning rate on a GPU, as the native core reads them (StepClock): what a recorded step
    reads when it is replayed."""

    def __init__(self, steps: int, device: torch.device) -> None:
        self.numbers = torch.tensor([steps, 0, 0], dtype=torch.int64, device=device)
        self.steps = self.numbers[0]  # in the same memory
        self._rates = self.numbers.view(torch.float64)
        self._rate = 0.0

    def array(self, rate: float, stream: int) -> Any:
        """The clock with this learning rate."""
        if rate != self._rate:
            self._rates[2] = rate
            self._rate = rate
        return array(self._rates, stream)

    def advance(self) -> None:
        self.numbers[:1].add_(1)


class Call:
    """The arrays of one native call; `stream` is None on the CPU."""

    def __init__(self, spec: dict[str, Any], step: int, device: torch.device, clock: Clock | None) -> None:
        self.spec, self.step, self.device, self.clock = spec, step, device, clock
        self.stream = None if device.type == "cpu" else current_stream()
        self.rows: list[Row] = []
        self.gradients: list[Tensor] = []  # of this step only
        self.penalties: list[tuple[float, float, bool]] = []
        self.made: list[dict[str, Any]] = []  # what is new in the state of each parameter
        self.counts: list[Any] = []  # the counts in these states, on the CPU
        self.checked_anew = True  # whether what it writes or reads is elsewhere than a step ago
        # Addresses, no owners: between steps gradients are not kept. Parameters and slots are, until the next step.
        self._written: tuple[Any, Any] | None = None  # the arrays of parameters and of slots
        self._read: Any = None
        self._read_at: Key | None = None

    def add(
        self,
        row: Row,
        gradient: Tensor,
        penalty: tuple[float, float, bool],
        made: dict[str, Any],
        count: Tensor | None,
    ) -> None:
        """A parameter; `made` is new in its state, `count` the count there, if it is on the CPU."""
        self.rows.append(row)
        self.gradients.append(gradient)
        self.penalties.append(penalty)
        self.made.append(made)
        if count is not None:
            self.counts.append(count.numpy())

    def run(self, state: dict[Any, dict[str, Any]]) -> Any:
        """Step all of them, then their states; their penalties before: numbers, or a tensor on the GPU, which nobody
        waits for."""
        at = self.stream
        orders = [order for _, order, _, _ in self.rows]
        parameters = [parameter for _, _, parameter, _ in self.rows]
        if self._written is None:
            self._written = (
                [array(in_order(p, order), at, False) for p, order in zip(parameters, orders)],
                [
                    [array(in_order(s, order), at, False) for s in slots.values()]
                    for _, order, _, slots in self.rows
                ],
            )
        if self._read is None:
            self._read = [array(gradient, at, False) for gradient in self.gradients]
        weights, slots = self._written
        values: Any
        if at is None:
            values = _core.update_many(self.spec, weights, self._read, slots, self.step, self.penalties)
        else:
            values = torch.empty(len(self.rows), dtype=torch.float64, device=self.device)
            clock = None if self.clock is None else self.clock.array(self.spec["learning_rate"], at)
            _core.update_many(
                self.spec, weights, self._read, slots, self.step, self.penalties, array(values, at), clock
            )
        if self.clock is not None:
            self.clock.advance()
        for count in self.counts:
            count[...] = self.step
        for parameter, made in zip(parameters, self.made):
            if made:
                state[parameter].update(made)
        _mark_changed(parameters)
        self._leave(parameters)
        return values

    def _leave(self, parameters: list[Tensor]) -> None:
        """Keep for the next step what may serve it."""
        shown, self.gradients = self.gradients, []
        given = [parameter.grad for parameter in parameters]
        in_place = self.stream is None and all(
            a is not None and a.data_ptr() == b.data_ptr() for a, b in zip(given, shown)
        )
        self._read_at = memory_of(given) if in_place else None

    def may_serve_again(self) -> bool:
        """Whether `go_on` can tell if it may: not of what was made in this step, nor on a GPU."""
        return self.stream is None and not any(self.made)

    def go_on(self) -> bool:
        """Take the gradients of now, for one step more of the same parameters, laid out as before; False if their
        counts are not what this step left. Raises as `checked`."""
        if any(count.item() != self.step for count in self.counts):
            return False
        self.gradients = [parameter.grad for _, _, parameter, _ in self.rows]
        read_at = memory_of(self.gradients)
        self.checked_anew = read_at is None or read_at != self._read_at
        if self.checked_anew:
            self._read = None
            self.gradients = [
                checked(parameter, parameter.grad, place)[1] for place, _, parameter, _ in self.rows
            ]
        self.step += 1
        return True


def _mark_changed(parameters: list[Tensor]) -> None:
    """As whatever torch does in place: graphs of old values are stale."""
    try:
        torch.autograd.graph.increment_version(parameters)
    except (RuntimeError, TypeError):  # older versions of PyTorch take one at a time
        for parameter in parameters:
            torch.autograd.graph.increment_version(parameter)
