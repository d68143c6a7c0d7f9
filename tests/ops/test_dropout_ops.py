"""Dropout on arrays: exactly the addressed decisions, with the statistics they promise.

It must not know layers.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import reference_random as random
from checks import THREADS, assert_close, assert_same_bits, configurations, edge_values, sha256
from fastreg import _core

SEED = 0x9876543210ABCDEF


def mask(n: int, rate: float, seed: int = SEED, step: int = 0, stream: int = 0) -> np.ndarray:
    return _core.dropout_mask(n, rate, seed, step, stream, False)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999, 1.0])
def test_mask_is_the_addressed_one(isa: str, rate: float) -> None:
    for n in [*range(68), 1000, 4099]:
        expected = random.dropout_mask((n,), rate, SEED, 7, 3).astype(np.uint8)
        assert_same_bits(mask(n, rate, step=7, stream=3), expected, f"mask of {n}, rate {rate}")


def test_packed_mask_holds_the_same_bits(isa: str) -> None:
    for n in [*range(68), 1000, 4099]:
        packed = _core.dropout_mask(n, 0.4, SEED, 1, 2, True)
        expected = np.packbits(mask(n, 0.4, step=1, stream=2), bitorder="little")
        assert_same_bits(packed, expected, f"packed mask of {n}")


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 1.0])
def test_dropout_scales_what_the_mask_keeps(isa: str, dtype: str, rate: float) -> None:
    k = random.keep_count(rate)
    factor = np.dtype(dtype).type(65536 / k if k else 0)
    # From 4 groups of draws on (64 for AVX2, 128 for AVX-512) draws are made and used in turns.
    for n in [*range(68), *range(250, 325), *range(505, 520), 4099]:
        x, out = np.random.default_rng(n).normal(size=n).astype(dtype), np.full(n, np.nan, dtype)
        _core.dropout(x, rate, SEED, 5, 1, out)
        kept = mask(n, rate, step=5, stream=1).astype(bool)
        assert_same_bits(
            out, np.where(kept, x * factor, np.dtype(dtype).type(0)), f"dropout of {n}, rate {rate}"
        )
        _core.dropout(x, rate, SEED, 5, 1, x)
        assert_same_bits(x, out, f"dropout of {n} in place")


def test_more_elements_than_a_gpu_has_threads(isa: str, dtype: str) -> None:
    """They go around, in steps of up to 2.2 million elements on an H200; 4 elements are left for a last one."""
    n = 2**22 + 4
    x, out, kept = np.ones(n, dtype), np.full(n, np.nan, dtype), mask(n, 0.5).astype(bool)
    _core.dropout(x, 0.5, SEED, 0, 0, out)
    assert_same_bits(out, np.where(kept, np.dtype(dtype).type(2), np.dtype(dtype).type(0)), "dropout")


def test_results_larger_than_the_caches(dtype: str) -> None:
    """From 16 MiB on results are written past the caches, where they begin at a multiple of 16 bytes."""
    n = (16 << 20) // np.dtype(dtype).itemsize + 1003
    x, room = np.random.default_rng(0).normal(size=n).astype(dtype), np.empty(n + 8, dtype)
    kept = mask(n, 0.25).astype(bool)
    expected = np.where(
        kept, x * np.dtype(dtype).type(65536 / random.keep_count(0.25)), np.dtype(dtype).type(0)
    )
    at_16 = next(i for i in range(8) if room[i:].ctypes.data % 16 == 0)
    for name in configurations(THREADS):
        for offset in (at_16, (at_16 + 1) % 8):
            out = room[offset : offset + n]
            out.fill(np.nan)
            _core.dropout(x, 0.25, SEED, 0, 0, out)
            assert_same_bits(out, expected, f"{name}, from byte {out.ctypes.data % 16} of 16 on")


def test_rows_are_numbered_without_their_gaps(isa: str, dtype: str) -> None:
    """The address is the flat C-order index of the array's shape, whatever its strides."""
    block = np.random.default_rng(0).normal(size=(40, 60)).astype(dtype)
    for view in (block[:, 5:38], block[::2, :7], block[3:4, 1:], block[:, :1]):
        out, packed = np.zeros_like(block)[: view.shape[0], : view.shape[1]], np.empty(view.shape, dtype)
        _core.dropout(view, 0.5, SEED, 0, 0, out)
        _core.dropout(np.ascontiguousarray(view), 0.5, SEED, 0, 0, packed)
        assert_same_bits(out, packed, f"dropout of strides {view.strides}, shape {view.shape}")


def test_dropped_elements_are_zero_whatever_they_were(isa: str, dtype: str) -> None:
    x = np.tile(edge_values(dtype), 20)
    out = np.empty_like(x)
    _core.dropout(x, 0.5, SEED, 0, 0, out)
    kept = mask(x.size, 0.5).astype(bool)
    assert_same_bits(out[~kept], np.zeros_like(x[~kept]), "dropped NaN, infinities and signed zeros")
    with np.errstate(over="ignore"):
        assert_same_bits(out[kept], x[kept] * 2, "kept edge values")


def test_one_answer_for_all_isas_and_threads(dtype: str) -> None:
    x = np.random.default_rng(0).normal(size=300_007).astype(dtype)
    digests = {}
    for name in configurations(THREADS):
        out = np.empty_like(x)
        _core.dropout(x, 0.3, SEED, 0, 0, out)
        digests[name] = sha256([out, mask(x.size, 0.3)])
    assert len(set(digests.values())) == 1, digests


def test_expectation_is_exact() -> None:
    """k / 65536 of the decisions survive and are multiplied by 65536 / k: the product is 1 for every rate."""
    for rate in np.linspace(0, 0.99, 100):
        k, out = random.keep_count(rate), np.empty(4096)
        _core.dropout(np.ones(4096), float(rate), 3, 0, 0, out)
        scale = out.max()
        assert abs(k / 65536 * scale - 1) <= 2**-53, (
            f"rate {rate}: {k} / 65536 * {scale} = {k / 65536 * scale!r}"
        )


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.8, 0.99])
def test_keep_rate_is_binomial(rate: float) -> None:
    """n = 2^20 decisions: 5 standard deviations, in each of the 8 lanes of a block too (one false alarm in 10^5)."""
    n, p = 2**20, random.keep_count(rate) / 65536
    kept = mask(n, rate)
    assert_close(kept.sum(), n * p, 5 * math.sqrt(n * p * (1 - p)), f"kept of {n} at rate {rate}")
    for lane in range(8):
        bound = 5 * math.sqrt(n / 8 * p * (1 - p))
        assert_close(kept[lane::8].sum(), n / 8 * p, bound, f"kept in lane {lane} at rate {rate}")


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.astype(float), b.astype(float))[0, 1])


def test_masks_are_independent_across_streams_steps_seeds_and_neighbours() -> None:
    n = 2**18
    bound = 5 / math.sqrt(n)
    base = mask(n, 0.5, 1, 1, 1)
    others = {
        "the next stream": mask(n, 0.5, 1, 1, 2), "the next step": mask(n, 0.5, 1, 2, 1),
        "the next seed": mask(n, 0.5, 2, 1, 1), "another high seed word": mask(n, 0.5, 1 + 2**32, 1, 1),
        "stream and step exchanged": mask(n, 0.5, 1, 2, 0),
    }  # fmt: skip
    for name, other in others.items():
        assert abs(correlation(base, other)) < bound, f"{name}: correlation {correlation(base, other):.5f}"
    for lag in (1, 2, 4, 7, 8, 9, 16, 32, 64, 128, 256):
        found = correlation(base[:-lag], base[lag:])
        assert abs(found) < 5 / math.sqrt(n - lag), f"neighbours {lag} apart: correlation {found:.5f}"


def test_runs_of_kept_elements_are_geometric() -> None:
    """At rate 0.5 a run of kept elements has length l with probability 2^-l."""
    kept = mask(2**20, 0.5, 6)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept, [0]]).astype(int)))
    lengths = edges[1::2] - edges[::2]
    for length in range(1, 11):
        p = 2.0**-length
        bound = 5 * math.sqrt(len(lengths) * p * (1 - p))
        assert_close((lengths == length).sum(), len(lengths) * p, bound, f"runs of length {length}")


def test_a_higher_rate_drops_a_superset() -> None:
    """One 16-bit draw decides, so the survivors of a higher rate survive a lower one."""
    low, high = mask(5000, 0.2), mask(5000, 0.6)
    assert (low[high == 1] == 1).all()
