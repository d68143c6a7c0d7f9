"""The floating-point settings of the calling thread: they change no bit, and are as before after the call.

It must not know how results are computed.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator

import numpy as np
import pytest

from c_library import check
from fastreg import Dense, Dropout, Sequential, ops

UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}.get(platform.machine(), 0)  # FE_UPWARD of fenv.h
pytestmark = pytest.mark.skipif(
    UPWARD == 0 or platform.system() != "Linux",
    reason="FE_UPWARD's number is known for x86-64 and arm64 on Linux",
)
X = np.random.default_rng(0).normal(size=(600, 20)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=600).astype(np.float32)


@pytest.fixture
def math() -> Iterator[ctypes.CDLL]:
    library = ctypes.CDLL("libm.so.6")
    yield library
    library.fesetround(0)


def trained() -> list[np.ndarray]:
    net = Sequential([Dense(64, "tanh", kernel_regularizer="l1"), Dropout(0.3), Dense(1)], seed=0)
    net.compile("adam", "mse")
    net.fit(X, Y, epochs=3, verbose=0)
    return net.get_weights()


def test_a_training_does_not_round_as_the_caller_does(math: ctypes.CDLL) -> None:
    expected = trained()
    assert math.fesetround(UPWARD) == 0
    got = trained()
    assert math.fegetround() == UPWARD
    assert np.float32(1) + np.float32(1e-9) > 1, "the caller's own sums are not rounded up"
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_has_happened_to_the_caller_is_still_told(math: ctypes.CDLL) -> None:
    """Flags such as FE_INVALID are raised by arithmetic, and are the caller's to lower."""
    invalid = 1  # of x86-64 and of arm64
    w = np.eye(20, 4, dtype=np.float32)
    math.fesetround(UPWARD)  # or there is nothing to put back
    math.feraiseexcept(invalid)
    ops.dense_forward(X, w)
    assert math.fetestexcept(invalid) == invalid
    math.feclearexcept(invalid)


def test_an_operation_does_not_either(math: ctypes.CDLL) -> None:
    w = np.eye(20, 4, dtype=np.float32) + np.float32(0.1)
    expected = ops.dense_forward(X, w)
    assert math.fesetround(UPWARD) == 0
    got = ops.dense_forward(X, w)
    assert math.fegetround() == UPWARD
    np.testing.assert_array_equal(expected, got)


def test_a_function_of_c_does_not_either(math: ctypes.CDLL) -> None:
    w, sums = np.linspace(0.1, 1, 7, dtype=np.float32), np.zeros((2, 7), np.float32)
    check("prox_f32", w, 7, 0.01, 0.3, 0.7, sums[0])
    assert math.fesetround(UPWARD) == 0
    check("prox_f32", w, 7, 0.01, 0.3, 0.7, sums[1])
    assert math.fegetround() == UPWARD
    np.testing.assert_array_equal(sums[0], sums[1])
