"""The oracle's third part: everything random, from Philox4x32 (Salmon, Moraes, Dror, Shaw, SC 2011) in NumPy.

It must not import fastreg nor share code with csrc. Key = (seed lo, seed hi); counter = (block lo, block hi, stream,
step).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from reference import F64

U64 = NDArray[np.uint64]
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # table 2 of the paper
WEYL = 0x9E3779B9, 0xBB67AE85  # golden ratio, sqrt(3) - 1
SHUFFLE_STREAM = 0xFFFFFFFF


def philox4x32(counter: tuple[U64, U64, U64, U64], key: tuple[int, int], rounds: int) -> U64:
    """The four output words of every counter, shape (n, 4). Counter words are arrays of numbers below 2**32."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (p1 >> HALF) ^ c1 ^ np.uint64(k0),
            p1 & LOW,
            (p0 >> HALF) ^ c3 ^ np.uint64(k1),
            p0 & LOW,
        )
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1)


def words(seed: int, stream: int, step: int, first_block: int, n_blocks: int, rounds: int) -> U64:
    block = np.uint64(first_block) + np.arange(n_blocks, dtype=np.uint64)
    fixed = [np.full(n_blocks, v, np.uint64) for v in (stream, step)]
    key = seed & 0xFFFFFFFF, seed >> 32
    return philox4x32((block & LOW, block >> HALF, fixed[0], fixed[1]), key, rounds)


# ---- dropout -----------------------------------------------------------------------------------------------------
def keep_count(rate: float) -> int:
    """k of the decision u16 < k."""
    return round((1 - rate) * 65536)


def dropout_mask(shape: tuple[int, ...], rate: float, seed: int, step: int, stream: int) -> NDArray[np.bool_]:
    """Eight decisions a block: element i is 16-bit half i % 2 (low first) of word (i % 8) // 2 of block i // 8."""
    n = math.prod(shape)
    word = words(seed, stream, step, 0, (n + 7) // 8, 7)
    halves = np.stack([word & np.uint64(0xFFFF), word >> np.uint64(16)], axis=2).reshape(-1)[:n]
    return (halves < keep_count(rate)).reshape(shape)


def dropout(x: F64, rate: float, seed: int, step: int, stream: int) -> F64:
    k = keep_count(rate)
    mask = dropout_mask(x.shape, rate, seed, step, stream)
    return np.where(mask, x * (65536 / k), 0.0) if k else np.zeros_like(x)


# ---- shuffles and initial weights ----------------------------------------------------------------------------------
def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Rows in the order of their 32-bit keys; equal keys keep their order."""
    keys = words(seed, SHUFFLE_STREAM, epoch, 0, (n + 3) // 4, 10).reshape(-1)[:n]
    return np.argsort(keys, kind="stable")


def unit(low: U64, high: U64) -> F64:
    """53 bits of two words as a double in [0, 1)."""
    return (((high << HALF) | low) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(n: int, a: float, b: float, seed: int, stream: int) -> F64:
    w = words(seed, stream, 0, 0, (n + 1) // 2, 10)
    return a + (b - a) * unit(w[:, 0::2], w[:, 1::2]).reshape(-1)[:n]


def standard_normal(n: int, seed: int, stream: int, attempt: int = 0) -> F64:
    """Box and Muller 1958, one deviate per block."""
    w = words(seed, stream, attempt, 0, n, 10)
    u1, u2 = unit(w[:, 0], w[:, 1]), unit(w[:, 2], w[:, 3])
    return np.sqrt(-2 * np.log1p(-u1)) * np.cos(2 * math.pi * u2)


def truncated_standard_normal(n: int, seed: int, stream: int) -> F64:
    """Element i is the first of its deviates, attempt 0, 1, ..., within two standard deviations."""
    value = standard_normal(n, seed, stream)
    attempt = 0
    while (far := np.abs(value) > 2).any():
        attempt += 1
        value = np.where(far, standard_normal(n, seed, stream, attempt), value)
    return value
