"""The table that `summary` prints: per layer its output, parameters, penalty and share of zeros.

It must not know how a model is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastreg._core import Session
from fastreg._layer import Layer
from fastreg.layers import Dense

_HEAD = ("Layer (type)", "Output shape", "Parameters", "Penalty", "Zeros")
_SHARES = (0.36, 0.20, 0.16, 0.16, 0.12)  # of the line
Row = tuple[str, str, str, str, str]


class Parameter(NamedTuple):
    """A kernel or bias of layer number `layer`."""

    layer: int
    size: int
    penalty: float
    zeros: int


def print_summary(
    name: str,
    layers: Sequence[Layer],
    input_units: int | None,
    session: Session | None,
    frozen: int,
    line_length: int | None,
    print_fn: Callable[[str], object],
) -> None:
    """Print a line per layer and the totals, `frozen` being the number of weights that are not trainable; without a
    session what only weights can tell is shown as "?"."""
    widths = [int((line_length or 78) * share) for share in _SHARES]
    rule = "-" * sum(widths)
    print_fn(f'Model: "{name}"')
    print_fn(rule)
    print_fn(_line(_HEAD, widths))
    print_fn(rule)
    parameters: list[Parameter] = []
    if session is not None:
        values = zip(session.parameter_info(), session.penalties(), session.count_zeros(), strict=True)
        parameters = [
            Parameter(index, math.prod(shape), penalty, zeros) for (_, shape, index), penalty, zeros in values
        ]
    units = input_units
    for index, layer in enumerate(layers):
        units = layer.units if isinstance(layer, Dense) else units
        own = [parameter for parameter in parameters if parameter.layer == index]
        print_fn(_line(_row(layer, units, own, session is not None), widths))
    print_fn(rule)
    if session is None:
        can_have_none = layers and not any(layer.weight_names for layer in layers)
        print_fn("Parameters: 0" if can_have_none else "No weights yet: the input width is not known.")
        return
    total, zeros, penalty = (
        sum(column) for column in zip(*((p.size, p.zeros, p.penalty) for p in parameters))
    )
    counts = f"{zeros:,} are exactly 0" + (f", {frozen:,} are not trainable" if frozen else "")
    print_fn(f"Parameters: {total:,} ({counts})   Penalty: {penalty:.6g}")


def _row(layer: Layer, units: int | None, own: Sequence[Parameter], built: bool) -> Row:
    title = f"{layer.name} ({type(layer).__name__})"
    shape = f"(None, {'?' if units is None else units})"
    if not own:
        return title, shape, "?" if isinstance(layer, Dense) and not built else "0", "", ""
    kernel = own[0]
    size, penalty = sum(parameter.size for parameter in own), sum(parameter.penalty for parameter in own)
    return title, shape, f"{size:,}", f"{penalty:.4g}", f"{kernel.zeros / kernel.size:.1%}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first two cells to the left, the numbers to the right, each cut to its column."""
    left = [cell[: width - 1].ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell[: width - 1].rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "".join(left + right)
