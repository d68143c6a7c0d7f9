"""Where a seed comes from when none is given: fresh entropy, or the sequence begun by `utils.set_random_seed`.

It must not know who asks.
"""

from __future__ import annotations

import os

from fastreg import _core, _locks

_lock = _locks.lock()
_base: int | None = None  # what set_random_seed was given
_drawn = 0  # seeds given out since then


def restart(seed: int) -> None:
    """From now on seed number n is a pure function of (`seed`, n)."""
    global _base, _drawn
    with _lock:
        _base, _drawn = seed, 0


def fresh() -> int:
    """The next seed in [0, 2**64)."""
    global _drawn
    with _lock:
        if _base is None:
            return int.from_bytes(os.urandom(8), "little")
        words = _core.philox(_base, 0, 0, _drawn, 1, 10)[0]
        _drawn += 1
    return int(words[0]) | int(words[1]) << 32
