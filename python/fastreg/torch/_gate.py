"""The gate of the optimizers: what a step takes of a parameter, checked in the parameter's name; it changes nothing.

It must not know an update rule, settings, or how a state is made. The update is elementwise, so tensors whose memory
has no gaps are taken in the order of their memory: transposed and channels_last ones too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from fastreg.torch._functions import check_tensor

_DTYPES = (torch.float32, torch.float64)
Place = tuple[int, int, dict[str, Any]]  # (i, j, group): param_groups[i]['params'][j]
Order = list[int] | None  # a tensor's axes in the order of its memory; None: as they are
# What a step takes of a parameter besides its gradient: it, contiguous in this order, and its slots in its state.
Row = tuple[Place, Order, Tensor, dict[str, Tensor]]


def name(what: str, place: Place) -> str:
    i, j, group = place
    names = group.get("param_names")
    return f"{what} of param_groups[{i}]['params'][{j}]{f' ({names[j]})' if names else ''}"


def in_order(tensor: Tensor, order: Order) -> Tensor:
    return tensor if order is None else tensor.permute(order)


def checked(parameter: Tensor, gradient: Tensor, place: Place) -> tuple[Order, Tensor]:
    """The order in which the parameter's memory is contiguous, and the gradient in this order, without a graph, copied
    if its memory does not show it so. Raises TypeError or ValueError where a step cannot take them."""
    dtype, on_cpu = parameter.dtype, parameter.is_cpu
    if not (on_cpu and dtype in _DTYPES and parameter.layout is torch.strided):
        check_tensor(parameter, name("the data", place), ("cpu", "cuda"))
    if parameter.is_neg():
        raise ValueError(
            f"{name('the data', place)} is a lazy negation; use parameter.data = parameter.data.resolve_neg()"
        )
    if gradient.layout is not torch.strided:
        raise TypeError(
            f"{name('the gradient', place)} is sparse ({gradient.layout}); make its torch.nn.Embedding with "
            "sparse=False, or set parameter.grad = parameter.grad.to_dense() before the step"
        )
    there = gradient.is_cpu if on_cpu else gradient.device == parameter.device
    if not there or gradient.dtype is not dtype or gradient.shape != parameter.shape:
        _raise_unfit(gradient, "the gradient", parameter, place)
    if gradient.requires_grad:
        gradient = gradient.detach()
    if gradient.is_neg() or gradient._is_zerotensor():  # negated lazily, or without memory
        gradient = gradient.clone()
    if parameter.is_contiguous():
        return None, gradient.contiguous()
    order = _order(parameter, place)
    return order, in_order(gradient, order).contiguous()


def _order(parameter: Tensor, place: Place) -> list[int]:
    order = sorted(range(parameter.dim()), key=parameter.stride, reverse=True)
    if not parameter.permute(order).is_contiguous():
        raise ValueError(
            f"{name('the data', place)} is not contiguous in any order of its axes, with strides "
            f"{parameter.stride()} for shape {tuple(parameter.shape)}; use parameter.data = parameter.data.contiguous()"
        )
    return order


def _raise_unfit(tensor: Any, what: str, parameter: Tensor, place: Place) -> None:
    def words(t: Tensor) -> str:
        return f"{t.dtype} of shape {tuple(t.shape)} on {t.device}"

    raise ValueError(f"{name(what, place)} is {words(tensor)}, but its parameter is {words(parameter)}")


def checked_count(step: Any, place: Place) -> int:
    """The steps taken."""
    try:
        count = int(step.item() if isinstance(step, Tensor) else step)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # no number; NaN; infinite; several numbers
        count = -1
    if not 0 <= count < 2**63 - 1:
        raise ValueError(f"{name('step', place)} must be an integer in [0, 2**63 - 1), not {step!r}")
    return count


def _check_slots(rows: Sequence[Row]) -> None:
    """Raise TypeError or ValueError where a slot does not fit its parameter."""
    for place, order, parameter, slots in rows:
        for what, slot in slots.items():
            check_tensor(slot, name(what, place), ("cpu", "cuda"))
            there = slot.device == parameter.device
            if not there or slot.dtype is not parameter.dtype or slot.shape != parameter.shape:
                _raise_unfit(slot, what, parameter, place)
            if not in_order(slot, order).is_contiguous():
                raise ValueError(
                    f"{name(what, place)} has strides {slot.stride()}, but its parameter {parameter.stride()}; "
                    "use optimizer.load_state_dict(optimizer.state_dict())"
                )


class Memory:
    """Checks that all slots of a step fit, and that what it writes is apart from all else. What was written last is
    remembered, in the order of addresses: it seldom changes, and to check it takes a fifth of a small model's step."""

    def __init__(self) -> None:
        self._key: list[Any] = []
        self._gradients: list[int] = []
        self._sizes: list[int] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._names: list[tuple[str, Place]] = []

    def check(self, rows: Sequence[Row], shown: Sequence[Tensor]) -> None:
        """`check_all`, of what is not the same object at the same address as before."""
        _, orders, parameters, states = zip(*rows)
        slots = [slot for state in states for slot in state.values()]
        key = [*orders, *map(id, slots), *map(Tensor.data_ptr, slots), *map(Tensor.data_ptr, parameters)]
        key += [parameter.shape for parameter in parameters]
        gradients = [*map(Tensor.data_ptr, shown)]
        if key != self._key:
            self.check_all(rows, shown)
        elif gradients != self._gradients and any(map(self._looks_wrong, gradients, self._sizes)):
            self._check_gradients(rows, shown)
        self._key, self._gradients = key, gradients

    def check_all(self, rows: Sequence[Row], shown: Sequence[Tensor]) -> None:
        """Raise TypeError or ValueError, naming the parameter, where the native core would not take these, with the
        gradients `shown`, together."""
        self._key, self._starts, self._ends, self._names = [], [], [], []
        self._sizes = [parameter.nbytes for _, _, parameter, _ in rows]
        _check_slots(rows)
        uses = [
            (tensor.data_ptr(), what, tensor, place)
            for place, _, parameter, slots in rows
            for what, tensor in (("the data", parameter), *slots.items())
        ]
        for first, what, tensor, place in sorted(uses, key=itemgetter(0)):
            self._check_apart(what, tensor, place)
            self._starts.append(first)
            self._ends.append(first + tensor.nbytes)
            self._names.append((what, place))
        self._check_gradients(rows, shown)

    def _check_gradients(self, rows: Sequence[Row], shown: Sequence[Tensor]) -> None:
        for (place, _, _, _), gradient in zip(rows, shown):
            self._check_apart("the gradient", gradient, place)

    def _check_apart(self, what: str, tensor: Tensor, place: Place) -> None:
        """The tensor is aligned and overlaps none of those remembered, which are apart from each other."""
        first, size = tensor.data_ptr(), tensor.element_size()  # without elements, at 0
        if first == 0 and tensor.nbytes:
            raise TypeError(
                f"{name(what, place)}, a {type(tensor).__name__}, has no memory of its own; of a DTensor, as of "
                "fully_shard, give the optimizer the .to_local(), or use torch.optim"
            )
        if first % size:
            raise ValueError(f"{name(what, place)} is not aligned to its elements of {size} bytes")
        if (other := self._met(first, tensor.nbytes)) >= 0:
            raise ValueError(f"{name(what, place)} must not overlap {name(*self._names[other])} in memory")

    def _looks_wrong(self, first: int, n_bytes: int) -> bool:
        """False tells for certain that these bytes are aligned and apart."""
        return first % 8 != 0 or self._met(first, n_bytes) >= 0

    def _met(self, first: int, n_bytes: int) -> int:
        """The place in memory that these bytes overlap, or -1."""
        i = bisect_left(self._starts, first + n_bytes) - 1
        return i if i >= 0 and self._ends[i] > first else -1


def explained(error: Exception, rows: Sequence[Row], shown: Sequence[Tensor]) -> Exception:
    """The error, in the parameter's name where these checks find its cause."""
    try:
        Memory().check_all(rows, shown)
    except (TypeError, ValueError) as named:
        return named
    return error
