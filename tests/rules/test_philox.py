"""Philox4x32: published known answers, then the native words against the oracle.

It must not know what the words are used for.
"""

from __future__ import annotations

import numpy as np
import pytest

import reference_random as random
from checks import assert_same_bits
from fastreg import _core

# The philox4x32 lines of tests/kat_vectors in Random123 (D. E. Shaw Research), the code of Salmon et al., "Parallel
# Random Numbers: As Easy as 1, 2, 3", SC 2011: rounds, counter words 0..3, key words 0..1, output words 0..3. The third
# input is the fraction of pi.
KNOWN_ANSWERS = """
 7 00000000 00000000 00000000 00000000 00000000 00000000   5f6fb709 0d893f64 4f121f81 4f730a48
 7 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff   5207ddc2 45165e59 4d8ee751 8c52f662
 7 243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0   4dfccaba 190a87f0 c47362ba b6b5242a
10 00000000 00000000 00000000 00000000 00000000 00000000   6627e8d5 e169c58d bc57ac4c 9b00dbd8
10 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff   408f276d 41c83b0e a20bc7c6 6d5451fd
10 243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0   d16cfe09 94fdcceb 5001e420 24126ea1
"""
LINES = [line.split() for line in KNOWN_ANSWERS.strip().splitlines()]


def parse(line: list[str]) -> tuple[int, list[int], list[int], np.ndarray]:
    numbers = [int(word, 16) for word in line[1:]]
    return int(line[0]), numbers[:4], numbers[4:6], np.array([numbers[6:]], np.uint32)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[0]}rounds-{line[1]}")
def test_oracle_gives_the_published_answers(line: list[str]) -> None:
    rounds, counter, key, expected = parse(line)
    words = random.philox4x32(tuple(np.array([c], np.uint64) for c in counter), (key[0], key[1]), rounds)
    assert_same_bits(words.astype(np.uint32), expected, "oracle")


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[0]}rounds-{line[1]}")
def test_native_gives_the_published_answers(isa: str, line: list[str]) -> None:
    rounds, counter, key, expected = parse(line)
    got = _core.philox(
        key[1] << 32 | key[0], counter[2], counter[3], counter[1] << 32 | counter[0], 1, rounds
    )
    assert_same_bits(got, expected, f"philox4x32-{rounds} on {isa}")


@pytest.mark.parametrize("rounds", [7, 10])
@pytest.mark.parametrize("first", [0, 5, 2**32 - 3, 2**40 + 1, 2**64 - 68])
def test_every_count_of_blocks_and_the_carry(isa: str, rounds: int, first: int) -> None:
    seed, stream, step = 0x0123456789ABCDEF, 3, 2**32 - 1
    expected = random.words(seed, stream, step, first, 68, rounds).astype(np.uint32)
    for n in range(68):
        got = _core.philox(seed, stream, step, first, n, rounds)
        assert_same_bits(got, expected[:n], f"{n} blocks from {first} on {isa}")


def test_seed_stream_and_step_each_address_other_words() -> None:
    base = _core.philox(1, 2, 3, 0, 64, 7)
    for other in [(2, 2, 3), (1 + 2**32, 2, 3), (1, 3, 3), (1, 2, 4)]:
        equal = (_core.philox(*other, 0, 64, 7) == base).mean()
        assert equal < 0.05, f"{other} shares {equal:.0%} of the words of (1, 2, 3)"
