"""Checks of single arguments: numbers, flags, choices. Each returns the checked value or raises, naming the argument.

It must not know models or arrays.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np


def number(
    value: Any,
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """A finite number within [low, high] as a float; `open_low` and `open_high` exclude the ends."""
    if type(value) is float:  # mostly, and known sooner than by the rest
        result = value
    else:
        value = _real(value, name)
        try:
            result = float(value)
        except OverflowError:  # an int beyond the largest float
            result = math.inf if value > 0 else -math.inf
    below = result <= low if open_low else result < low
    above = result >= high if open_high else result > high
    if not math.isfinite(result) or below or above:
        raise ValueError(
            f"{name} must be a finite number{_interval(low, high, open_low, open_high)}, not {_shown(value)}"
        )
    return result


def _real(value: Any, name: str) -> Any:
    """`value`, of a 0-dimensional array what it holds; TypeError for what is no real number."""
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        is_number, value = True, value.item()
    if not is_number:
        raise TypeError(f"{name} must be a number, not {type(value).__name__}: {value!r}")
    return value


def _shown(value: Any) -> str:
    """`value` in an error; Python refuses to print an int of thousands of digits."""
    return (
        f"an int of {value.bit_length()} bits"
        if isinstance(value, int) and abs(value) >= 2**256
        else repr(value)
    )


def _interval(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(high):
        return f" {'above' if open_low else 'of at least'} {low:g}"
    return f" in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"


def optional_number(value: Any, name: str, *, low: float = -math.inf, open_low: bool = False) -> float | None:
    """None, or what `number` takes."""
    return None if value is None else number(value, name, low=low, open_low=open_low)


def integer(value: Any, name: str, *, low: int | None = None, high: int | None = None) -> int:
    """An integer (Python's or NumPy's; no bool) within [low, high]."""
    if type(value) is int:  # mostly, and known sooner than by the rest
        result = value
    elif isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, not bool: {value!r}")
    else:
        try:
            result = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} must be an integer, not {type(value).__name__}: {value!r}") from None
    if low is not None and result < low:
        raise ValueError(f"{name} must be at least {low}, not {_shown(result)}")
    if high is not None and result > high:
        raise ValueError(f"{name} must be at most {high}, not {_shown(result)}")
    return result


def seed(value: Any, name: str = "seed") -> int | None:
    """None, or an integer in [0, 2**64)."""
    return None if value is None else integer(value, name, low=0, high=2**64 - 1)


def flag(value: Any, name: str) -> bool:
    """True or False (also 0, 1 and NumPy's)."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, not {_shown(value)}")


def only(neutral: Any, value: Any, name: str, reason: str) -> Any:
    """`neutral`, the one value of an argument that is here so that Keras programs run; `reason` says why."""
    if value is not neutral:
        raise ValueError(f"{name} must be {neutral!r}, not {_shown(value)}: {reason}")
    return value


def choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """One of `choices`."""
    if isinstance(value, str) and value in choices:
        return value
    expected = ", ".join(repr(item) for item in choices)
    raise ValueError(f"{name} must be one of {expected}, not {_shown(value)}")


def listed(value: Any, name: str) -> list[Any]:
    """The items of something iterable."""
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"{name} must be a list, not {type(value).__name__}: {value!r}") from None
