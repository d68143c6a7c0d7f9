"""Inputs and outputs that are columns of one wider array: taken, with the numbers of arrays apart; what shares a number
is refused.

It must not know how the library finds out.
"""

from __future__ import annotations

import numpy as np
import pytest

from c_library import INVALID_ARGUMENT, OK, SUFFIX, Dense, call, check, enum, error, made

ROWS, INPUTS, OUTPUTS = 150, 70, 50
RNG = np.random.default_rng(4)
WIDTH = 8  # of a small array


def normal(dtype: str, *shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.usefixtures("isa")
def test_layers_write_side_by_side(dtype: str) -> None:
    """A layer's inputs, output and z in one array, then another layer's output; then back, all gradients in another."""
    wide, x = normal(dtype, ROWS, INPUTS + 3 * OUTPUTS + 1), normal(dtype, ROWS, INPUTS)
    wide[:, :INPUTS] = x
    w, b, dy = normal(dtype, INPUTS, OUTPUTS), normal(dtype, OUTPUTS), normal(dtype, ROWS, OUTPUTS)
    y, z = np.empty((2, ROWS, OUTPUTS), dtype)
    options = made(Dense, activation=enum("fr_activation")["FR_GELU"], rate=0.3, seed=2)
    sizes, suffix, far, last = (ROWS, INPUTS, OUTPUTS), SUFFIX[dtype], wide.shape[1], wide[:, -1].copy()
    columns = [wide[:, INPUTS + k * OUTPUTS :] for k in range(3)]

    forward, backward = f"dense_forward_{suffix}", f"dense_backward_{suffix}"
    check(forward, *sizes, x, INPUTS, 1, w, OUTPUTS, 1, b, options, y, OUTPUTS, z, OUTPUTS)
    check(forward, *sizes, wide, far, 1, w, OUTPUTS, 1, b, options, columns[0], far, columns[1], far)
    check(forward, *sizes, wide, far, 1, w, OUTPUTS, 1, b, options, columns[2], far, None, 0)
    for k, expected in ((0, y), (1, z), (2, y)):
        np.testing.assert_array_equal(columns[k][:, :OUTPUTS], expected)
    np.testing.assert_array_equal(wide[:, :INPUTS], x)
    np.testing.assert_array_equal(wide[:, -1], last)

    gradients = np.zeros((ROWS, OUTPUTS + INPUTS), dtype)
    gradients[:, :OUTPUTS] = dy
    dx, dw, dw_apart = np.empty((ROWS, INPUTS), dtype), np.empty((INPUTS, OUTPUTS), dtype), np.empty_like(w)
    layer = (x, INPUTS, 1, w, OUTPUTS, 1, y, OUTPUTS, z, OUTPUTS, options)
    check(backward, *sizes, dy, OUTPUTS, *layer, dx, INPUTS, dw_apart, OUTPUTS, None)
    there, step = gradients[:, OUTPUTS:], OUTPUTS + INPUTS
    check(backward, *sizes, gradients, step, *layer, there, step, dw, OUTPUTS, None)
    np.testing.assert_array_equal(there, dx)
    np.testing.assert_array_equal(dw, dw_apart)


@pytest.mark.usefixtures("isa")
def test_other_functions_of_columns(dtype: str) -> None:
    wide, suffix, relu = normal(dtype, ROWS, 2 * OUTPUTS), SUFFIX[dtype], enum("fr_activation")["FR_RELU"]
    half, far = wide[:, OUTPUTS:], 2 * OUTPUTS
    check(f"activation_forward_{suffix}", ROWS, OUTPUTS, wide, far, relu, 0.0, half, far)
    np.testing.assert_array_equal(half, np.maximum(wide[:, :OUTPUTS], 0))
    one_too_far = wide[:, OUTPUTS - 1 :]
    status = call(f"activation_forward_{suffix}", ROWS, OUTPUTS, wide, far, relu, 0.0, one_too_far, far)
    assert (status, error()) == (INVALID_ARGUMENT, "y must not overlap x in memory")


def places(start: int, down: int, across: int) -> set[int]:
    return {start + i * down + j * across for i in range(3) for j in range(2)}


COLUMNS = [
    (WIDTH, 1),
    (-WIDTH, 1),
    (2 * WIDTH, 1),
    (WIDTH, -1),
    (1, WIDTH),
    (1, -WIDTH),
]  # of an array, or transposed
OTHERS = [(WIDTH, 2), (WIDTH, 0), (0, 1), (1, 1), (4, 1), (5, 1)]


@pytest.mark.parametrize("y_stride", [WIDTH, -WIDTH, 2 * WIDTH])
@pytest.mark.parametrize("x_strides", COLUMNS + OTHERS)
def test_every_place_of_small_matrices(x_strides: tuple[int, int], y_stride: int) -> None:
    """x (3, 2) anywhere around y (3, 2): never taken if they share a number, always if their columns are apart."""
    memory, w, start = np.zeros(200), np.eye(2), 90
    y = places(start, y_stride, 1)
    taken = 0
    for offset in range(-40, 41):
        x = places(start + offset, *x_strides)
        operands = (memory[start + offset :], *x_strides, w, 2, 1)
        status = call("dense_forward_f64", 3, 2, 2, *operands, None, None, memory[start:], y_stride, None, 0)
        apart = min(x) > max(y) or min(y) > max(x)
        columns_apart = {p % WIDTH for p in x}.isdisjoint(p % WIDTH for p in y)
        if x & y:
            assert status == INVALID_ARGUMENT, (offset, error())
            assert error() == "y must not overlap x in memory"
        elif apart or (columns_apart and x_strides in COLUMNS):
            assert status == OK, (offset, error())
            taken += not apart
    assert (taken > 10) == (x_strides in COLUMNS)
