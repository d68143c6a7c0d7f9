"""The table that `summary` prints: per layer its output, parameters, penalty and share of zeros.

It must not know how a model is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastreg._core import Session
from fastreg._layer import Layer
from fastreg.layers import Dense

_HEAD = ("Layer (type)", "Output shape", "Parameters", "Penalty", "Zeros")
_SHARES = (0.36, 0.20, 0.16, 0.16, 0.12)  # of the line
Row = tuple[str, str, str, str, str]


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
    units = input_units
    for index, layer in enumerate(layers):
        units = layer.units if isinstance(layer, Dense) else units
        print_fn(_line(_row(index, layer, units, session), widths))
    print_fn(rule)
    if session is None:
        print_fn("No weights yet: the input width is not known.")
        return
    sizes = [_size(shape) for _, shape, _ in session.parameter_info()]
    zeros, total = sum(session.count_zeros()), sum(sizes)
    counts = f"{zeros:,} are exactly 0" + (f", {frozen:,} are not trainable" if frozen else "")
    print_fn(f"Parameters: {total:,} ({counts})   Penalty: {sum(session.penalties()):.6g}")


def _row(index: int, layer: Layer, units: int | None, session: Session | None) -> Row:
    title = f"{layer.name} ({type(layer).__name__})"
    shape = f"(None, {'?' if units is None else units})"
    if session is None:
        return title, shape, "?" if isinstance(layer, Dense) else "0", "", ""
    own = [
        (i, kind, _size(dims))
        for i, (kind, dims, owner) in enumerate(session.parameter_info())
        if owner == index
    ]
    if not own:
        return title, shape, "0", "", ""
    penalty = sum(session.penalties()[i] for i, _, _ in own)
    zeros = sum(session.count_zeros()[i] for i, kind, _ in own if kind == "kernel")
    kernel = sum(size for _, kind, size in own if kind == "kernel")
    return title, shape, f"{sum(size for _, _, size in own):,}", f"{penalty:.4g}", f"{zeros / kernel:.1%}"


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first two cells to the left, the numbers to the right, each cut to its column."""
    left = [cell[: width - 1].ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell[: width - 1].rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "".join(left + right)
