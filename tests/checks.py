"""How tests compare arrays and visit configurations: one place, so that every failure reads alike.

With the environment variable FASTREG_TEST_CUDA=1 the GPU, or its emulation (tests/emulator), is one of the
configurations, and it is an error if none can be used; without it no test touches CUDA. It must not know formulas:
expected values come from the reference modules.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastreg import _core

TEST_CUDA = os.environ.get("FASTREG_TEST_CUDA", "") == "1"
if TEST_CUDA:
    _core.cuda_device_count()  # raises what is missing
EMULATED = TEST_CUDA and "emulated" in _core.cuda_device_name(0)
# scalar is the last
ISAS: list[str] = [*(["cuda"] if TEST_CUDA else []), *_core.build_info()["isas_runnable"]]
DEVICES = ("cpu", "cuda") if TEST_CUDA else ("cpu",)
THREADS = (1, 2, 3, 8)
DTYPES = ("float32", "float64")
_session_device = "cpu"


def session_device() -> str:
    """Where the sessions of `networks.session` live while a configuration is in force."""
    return _session_device


@contextlib.contextmanager
def running(
    isa: str | None = None, threads: int | None = None, sessions: str | None = None
) -> Iterator[None]:
    """Run a block on one table and thread count, prove it, and put back what was there.

    On "cuda" operations copy to the GPU and back, and sessions live there, unless `sessions` says "cpu": then each
    operation of theirs is copied too.
    """
    global _session_device
    before, device_before = _core.build_info(), _session_device
    if isa is not None:
        _session_device = sessions or ("cuda" if isa == "cuda" else "cpu")
    if isa is not None:
        _core.set_isa(isa)
        assert _core.build_info()["isa"] == isa
    if threads is not None:
        _core.set_num_threads(threads)
        assert _core.get_num_threads() == threads
    try:
        yield
    finally:
        _session_device = device_before
        _core.set_isa(before["isa"])
        _core.set_num_threads(before["num_threads"])


def configurations(threads: tuple[int, ...] = THREADS) -> Iterator[str]:
    """Visit every runnable ISA at every thread count, and the GPU at one; yields its name while it is in force."""
    for isa in ISAS:
        if isa == "cuda":
            for device in DEVICES:
                with running(isa, 1, device):
                    yield f"cuda, sessions on the {device}"
            continue
        for count in threads:
            with running(isa, count):
                yield f"{isa}, {count} threads"


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def assert_close(got: Any, expected: Any, bound: Any, what: str) -> None:
    """|got - expected| <= bound for every element (bound broadcasts); the message names the worst one."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    if got.size == 0:
        return
    bound = np.broadcast_to(np.asarray(bound, np.float64), got.shape)
    error = np.abs(got - expected)
    excess = np.where(np.isnan(error), np.inf, error - bound)  # NaN is never close
    worst = np.unravel_index(np.argmax(excess), got.shape)
    assert excess[worst] <= 0, (
        f"{what}: {np.count_nonzero(excess > 0)} of {got.size} elements are off; worst at {tuple(map(int, worst))}: "
        f"got {got[worst]!r}, expected {expected[worst]!r}, error {error[worst]:.3e}, bound {bound[worst]:.3e}"
    )


def bits(x: Any) -> np.ndarray:
    """The bit patterns of an array, every NaN made the same: hardware chooses a NaN's sign and payload freely."""
    x = np.array(x)
    if x.dtype.kind == "f":
        x[np.isnan(x)] = np.nan
        return x.view(f"u{x.dtype.itemsize}")
    return x


def assert_same_bits(got: Any, expected: Any, what: str) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    forms = [(a.dtype.name, a.shape) for a in (got, expected)]
    assert forms[0] == forms[1], f"{what}: {forms[0]} against {forms[1]}"
    different = bits(got) != bits(expected)
    if different.any():
        first = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(different)))
        pair = np.atleast_1d(got)[first], np.atleast_1d(expected)[first]
        raise AssertionError(
            f"{what}: {different.sum()} of {different.size} elements differ in bits; first at {first}: "
            f"{pair[0]!r} against {pair[1]!r}"
        )


def sha256(arrays: list[Any]) -> str:
    digest = hashlib.sha256()
    for a in arrays:
        digest.update(np.ascontiguousarray(a).tobytes())
    return digest.hexdigest()


def edge_values(dtype: Any) -> np.ndarray:
    """Signed zeros, subnormals, the ends of the range, infinities, NaN, and where exp and log change branch."""
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, info.tiny, info.eps, 1e-7, 0.1, 0.5, 1.0, 1.5, 2.0, 10.0, 17.0, 88.0,
                89.0, 104.0, 709.0, 710.0, 746.0, 1e6, info.max, np.inf]  # fmt: skip
    with np.errstate(over="ignore", under="ignore"):
        values = np.array([*positive, *(-np.array(positive)), np.nan], dtype)
    return values


def cxx_compiler() -> str:
    """The C++ compiler for test programs."""
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    assert found, "building the package took a C++ compiler, so there should be one"
    return found
