"""The checks of single arguments, and what activations and losses make of arrays that are empty or weights below 0.

It must not test what the functions compute.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastreg import _arguments, activations, losses, optimizers

HUGE = 10**5000  # Python refuses to print it


@pytest.mark.parametrize("value", [10**400, HUGE, -(10**400)], ids=["400", "5000", "-400"])
def test_integers_beyond_the_floats_are_refused_by_name(value: int) -> None:
    bits = abs(value).bit_length()
    with pytest.raises(ValueError, match=rf"^rate must be a finite number, not an int of {bits} bits"):
        _arguments.number(value, "rate")
    with pytest.raises(
        ValueError, match=r"^learning_rate must be a finite number of at least 0, not an int of"
    ):
        optimizers.Adam(value)


def test_integers_too_long_to_print_are_refused_by_name() -> None:
    calls: list[tuple[Any, type[Exception]]] = [
        (lambda: _arguments.integer(HUGE, "a", high=9), ValueError),
        (lambda: _arguments.integer(-HUGE, "a", low=0), ValueError),
        (lambda: _arguments.seed(HUGE, "a"), ValueError),
        (lambda: _arguments.flag(HUGE, "a"), TypeError),
        (lambda: _arguments.choice(HUGE, "a", ("b",)), ValueError),
    ]
    for call, kind in calls:
        with pytest.raises(kind, match=r"^a must be .* not an int of 16610 bits$"):
            call()
    with pytest.raises(ValueError, match=r"^a must be at most 9, not 10$"):
        _arguments.integer(10, "a", high=9)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 2), (2, 0, 3), (2, 3, 0)])
@pytest.mark.parametrize("function", [activations.softmax, activations.relu])
def test_no_numbers_stay_no_numbers(function: Any, shape: tuple[int, ...]) -> None:
    y = function(np.ones(shape, np.float32))
    assert y.shape == shape
    assert y.dtype == np.float32


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 2, 3)])
def test_softmax_is_along_the_last_axis(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    e = np.exp(x)
    expected = e / e.sum(axis=-1, keepdims=True) if shape else np.ones(())
    np.testing.assert_allclose(activations.softmax(x), expected)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_losses_take_the_weights_that_fit_takes(weight: float, reduction: str) -> None:
    loss, y = losses.MeanSquaredError(reduction=reduction), np.ones((3, 1))
    with pytest.raises(ValueError, match=r"^sample_weight must hold finite values of at least 0$"):
        loss(y, 0 * y, [1.0, weight, 1.0])
    assert np.sum(loss(y, 0 * y, [1.0, 0.0, 1.0])) > 0
