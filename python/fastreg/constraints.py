"""Constraints on weights, applied natively after every update.

They must not know how a constraint is computed: the native core does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastreg._arguments import integer, number
from fastreg._configurable import Configurable, find, table_of

__all__ = ["Constraint", "MaxNorm", "NonNeg", "UnitNorm", "get", "max_norm", "non_neg", "unit_norm"]


class Constraint(Configurable):
    """Base of the constraints. Use `MaxNorm`, `NonNeg` or `UnitNorm`."""

    def native(self) -> dict[str, Any]:
        """The constraint as the native core takes it."""
        raise NotImplementedError


def _axis(axis: Any) -> int | list[int]:
    """0, 1, or both: the axes that a norm sums over."""
    if isinstance(axis, Sequence):
        axes = sorted(integer(item, "axis", low=0, high=1) for item in axis)
        if axes != [0, 1]:
            raise ValueError(f"axis must be 0, 1 or [0, 1], not {axis!r}")
        return axes
    return integer(axis, "axis", low=0, high=1)


class MaxNorm(Constraint):
    """Rescales weights whose norm exceeds `max_value`: `w * clip(norm, 0, max_value) / (1e-7 + norm)`.

    Parameters
    ----------
    max_value : float, default 2
        Largest norm, at least 0.
    axis : {0, 1, [0, 1]}
        The axis that a norm sums over. For a kernel (in, out), 0 bounds the incoming weights of every unit.
        A bias has only axis 0.

    Raises
    ------
    ValueError
        If `max_value` is negative or not finite, or `axis` is neither 0, 1 nor [0, 1].

    Examples
    --------
    >>> MaxNorm(3.0)
    MaxNorm(max_value=3.0, axis=0)
    """

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        self.max_value = number(max_value, "max_value", low=0.0)
        self.axis = _axis(axis)

    def native(self) -> dict[str, Any]:
        return {
            "kind": "max_norm",
            "value": self.max_value,
            "axis": -1 if isinstance(self.axis, list) else self.axis,
        }


class NonNeg(Constraint):
    """Sets negative weights to 0.

    Examples
    --------
    >>> NonNeg()
    NonNeg()
    """

    def native(self) -> dict[str, Any]:
        return {"kind": "non_neg"}


class UnitNorm(Constraint):
    """Rescales weights to norm 1: `w / (1e-7 + norm)`.

    Parameters
    ----------
    axis : {0, 1, [0, 1]}
        As in `MaxNorm`.

    Raises
    ------
    ValueError
        If `axis` is neither 0, 1 nor [0, 1].

    Examples
    --------
    >>> UnitNorm(axis=1)
    UnitNorm(axis=1)
    """

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = _axis(axis)

    def native(self) -> dict[str, Any]:
        return {"kind": "unit_norm", "axis": -1 if isinstance(self.axis, list) else self.axis}


max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

_TABLE = table_of([MaxNorm, NonNeg, UnitNorm], {})


def get(identifier: Any) -> Constraint | None:
    """The constraint that `identifier` means: None, an object, a name such as "non_neg" or a description."""
    return None if identifier is None else find(identifier, Constraint, _TABLE, "constraint")
