"""Fixtures every test may ask for: the ISA, the thread count, the dtype, the device.

It must not hold formulas or helpers: reference*.py and checks.py do.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # it would take all of a GPU's memory
sys.path.insert(0, str(Path(__file__).parent))  # tests in subfolders import reference and checks by name

import checks

# A job in the background is started with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=checks.ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set this CPU can run, in force during the test; and the GPU, see checks.py."""
    with checks.running(isa=request.param):
        yield request.param


@pytest.fixture(params=checks.THREADS, ids=lambda n: f"{n}threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with checks.running(threads=request.param):
        yield request.param


@pytest.fixture(params=checks.DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=checks.DEVICES)
def backend(request: pytest.FixtureRequest) -> str:
    """What `Sequential` takes as `device`: "cpu", and "cuda" where checks.py says so."""
    return str(request.param)
