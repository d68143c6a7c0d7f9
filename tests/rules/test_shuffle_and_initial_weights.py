"""Shuffles and initial weights: addressed by Philox-10, equal to the oracle, equal on every ISA and thread count.

It must not know sessions.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import reference_random as random
from checks import ISAS, assert_close, assert_same_bits, configurations, eps, running
from fastreg import _core

SEED = 0xFEDCBA9876543210


@pytest.mark.parametrize("n", [*range(0, 68), 255, 256, 257, 4099, 70001])
def test_permutation_sorts_the_keys(n: int) -> None:
    expected = random.permutation(n, SEED, 3)
    for isa in ISAS:
        with running(isa):
            assert_same_bits(_core.permutation(n, SEED, 3), expected, f"permutation of {n} rows on {isa}")


def test_equal_keys_keep_their_order() -> None:
    """With 200000 keys of 32 bits some collide (about 4.7 pairs are expected), so stability shows."""
    n = 200_000
    keys = random.words(1, random.SHUFFLE_STREAM, 0, 0, n // 4, 10).reshape(-1)
    assert len(np.unique(keys)) < n, "the case has no equal keys"
    assert_same_bits(_core.permutation(n, 1, 0), random.permutation(n, 1, 0), "permutation with equal keys")


def test_permutations_differ_by_epoch_and_seed_and_lose_no_row() -> None:
    base = _core.permutation(1000, 5, 0)
    assert_same_bits(np.sort(base), np.arange(1000), "sorted permutation")
    for seed, epoch in [(5, 1), (6, 0), (5 + 2**32, 0)]:
        share = (_core.permutation(1000, seed, epoch) == base).mean()
        assert share < 0.01, (
            f"seed {seed}, epoch {epoch}: {share:.1%} of the rows stay where seed 5, epoch 0 puts them"
        )


@pytest.mark.parametrize("kind", ["uniform", "normal", "truncated_normal"])
@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (-0.3, 0.05)])
def test_initial_weights_follow_the_oracle(kind: str, a: float, b: float, dtype: str) -> None:
    for shape in [(0,), (1,), (2,), (3,), (7,), (13, 5), (67, 31), (3, 16411)]:
        n = math.prod(shape)
        if kind == "uniform":
            expected = random.uniform(n, a, b, SEED, 4)
        elif kind == "normal":
            expected = a + b * random.standard_normal(n, SEED, 4)
        else:
            expected = a + b * random.truncated_standard_normal(n, SEED, 4)
        bound = 4 * eps(dtype) * np.abs(expected) + 64 * eps("float64") * (abs(a) + abs(b))
        first = None
        for where in configurations():
            got = _core.initialize(kind, shape, a, b, SEED, 4, dtype)
            assert got.dtype == dtype
            assert_close(got, expected.reshape(shape), bound.reshape(shape), f"{kind} {shape} on {where}")
            first = got if first is None else first
            assert_same_bits(got, first, f"{kind} {shape}: {where} against {ISAS[0]}")


def test_initial_weights_do_not_depend_on_how_many_are_made(isa: str, dtype: str) -> None:
    for kind in ("uniform", "normal", "truncated_normal"):
        long = _core.initialize(kind, (67,), -1.0, 2.0, 9, 1, dtype)
        for n in range(67):
            assert_same_bits(
                _core.initialize(kind, (n,), -1.0, 2.0, 9, 1, dtype), long[:n], f"{kind}, {n} of 67"
            )


def test_moments_and_range() -> None:
    """n = 200000: the mean is within 5 standard errors, the deviation within 1 %."""
    n = 200_000
    uniform = _core.initialize("uniform", (n,), -0.25, 0.75, 11, 0, "float64")
    assert uniform.min() >= -0.25
    assert uniform.max() < 0.75
    # Standard deviation of a normal cut at 2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)) = 0.8796.
    expected = {"uniform": (0.25, 1 / math.sqrt(12)), "normal": (2, 3), "truncated_normal": (2, 3 * 0.8796)}
    for kind, (mean, deviation) in expected.items():
        a, b = (-0.25, 0.75) if kind == "uniform" else (2.0, 3.0)
        x = _core.initialize(kind, (n,), a, b, 11, 0, "float64")
        assert_close(x.mean(), mean, 5 * deviation / math.sqrt(n), f"mean of {kind}")
        assert_close(x.std(), deviation, 0.01 * deviation, f"standard deviation of {kind}")
    assert np.abs(_core.initialize("truncated_normal", (n,), 0.0, 1.0, 11, 0, "float64")).max() <= 2


def test_streams_and_seeds_are_independent() -> None:
    n = 50_000
    base = _core.initialize("normal", (n,), 0.0, 1.0, 1, 0, "float64")
    for seed, stream in [(2, 0), (1, 1), (1 + 2**32, 0)]:
        other = _core.initialize("normal", (n,), 0.0, 1.0, seed, stream, "float64")
        assert_close(
            np.mean(base * other), 0.0, 5 / math.sqrt(n), f"correlation with seed {seed}, stream {stream}"
        )
