"""exp, log, tanh and their kin: error in ulp against exact values, special values, the same bits on every ISA.

It must not know how the functions are computed; the bounds are those that csrc/rules/mathfn.h states.
"""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mpmath import mp, mpf

from checks import ISAS, assert_same_bits, running
from fastreg import _core

ROOT = Path(__file__).resolve().parents[2]
# Largest error in units in the last place: float32, float64.
BOUNDS = {
    "exp": (1.1, 1.1),
    "expm1": (1.4, 1.8),
    "log": (1.0, 1.0),
    "log1p": (1.5, 1.5),
    "tanh": (1.7, 1.7),
    "sigmoid": (2.5, 2.5),
    "softplus": (3.0, 3.0),
    "norm_cdf": (7.0, 8.0),
}
EXACT: dict[str, Callable[[mpf], mpf]] = {
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "norm_cdf": mp.ncdf,
}
FLOAT64: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x < 0, np.exp(x), 1.0) / (1.0 + np.exp(-np.abs(x))),
    "softplus": lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
    "norm_cdf": lambda x: np.array([0.5 * math.erfc(v) for v in (x * -math.sqrt(0.5)).tolist()]),
}
# float64: where each function is neither constant nor overflows; NaN is tested apart.
DOMAIN64 = {
    "exp": (-745.0, 709.7),
    "expm1": (-40.0, 709.7),
    "log": (0.0, np.inf),
    "log1p": (-1.0, np.inf),
    "tanh": (-21.0, 21.0),
    "sigmoid": (-745.0, 40.0),
    "softplus": (-745.0, 800.0),
    "norm_cdf": (-37.5, 9.0),  # normal results only
}
inf, nan = math.inf, math.nan
SPECIAL = {  # (x, f(x)), bit for bit
    "exp": [(-inf, 0.0), (-1e4, 0.0), (-0.0, 1.0), (0.0, 1.0), (1e4, inf), (inf, inf), (nan, nan)],
    "expm1": [(-inf, -1.0), (-1e4, -1.0), (-0.0, -0.0), (0.0, 0.0), (1e4, inf), (inf, inf), (nan, nan)],
    "log": [(-inf, nan), (-1.0, nan), (-0.0, -inf), (0.0, -inf), (1.0, 0.0), (inf, inf), (nan, nan)],
    "log1p": [(-inf, nan), (-2.0, nan), (-1.0, -inf), (-0.0, -0.0), (0.0, 0.0), (inf, inf), (nan, nan)],
    "tanh": [(-inf, -1.0), (-50.0, -1.0), (-0.0, -0.0), (0.0, 0.0), (50.0, 1.0), (inf, 1.0), (nan, nan)],
    "sigmoid": [(-inf, 0.0), (-1e4, 0.0), (-0.0, 0.5), (0.0, 0.5), (1e4, 1.0), (inf, 1.0), (nan, nan)],
    "softplus": [(-inf, 0.0), (-1e4, 0.0), (1e4, 1e4), (inf, inf), (nan, nan)],
    "norm_cdf": [(-inf, 0.0), (-1e4, 0.0), (-0.0, 0.5), (0.0, 0.5), (1e4, 1.0), (inf, 1.0), (nan, nan)],
}


def evaluate(name: str, x: np.ndarray) -> np.ndarray:
    out = np.full_like(x, 7)
    _core.math_function(name, x, out)
    return out


def ulp(exact: np.ndarray, dtype: str) -> np.ndarray:
    """The distance of neighbours in dtype around each value; subnormals are evenly spaced."""
    info = np.finfo(dtype)
    _, exponent = np.frexp(np.maximum(np.abs(exact), float(info.tiny)))
    return np.ldexp(1.0, exponent - 1 - info.nmant)


def assert_within(name: str, x: np.ndarray, got: np.ndarray, hi: np.ndarray, lo: np.ndarray) -> None:
    """|got - (hi + lo)| within the bound everywhere; hi + lo, both float64, is the exact value."""
    bound = BOUNDS[name][got.dtype == np.float64]
    error = np.abs((got.astype(np.float64) - hi) - lo) / ulp(hi, got.dtype.name)
    worst = np.argmax(np.where(np.isnan(error), inf, error))
    assert error[worst] <= bound, (
        f"{name}({x[worst]!r}) = {got[worst]!r}, {error[worst]:.3f} ulp from {hi[worst]!r}; allowed {bound}"
    )


@functools.cache
def inputs32() -> np.ndarray:
    """Every 4099th bit pattern, NaNs included, and as many values between 2^-12 and 128 in size."""
    everywhere = np.arange(0, 2**32, 4099, dtype=np.uint32)
    first, last = np.array([2.0**-12, 128.0], np.float32).view(np.uint32)
    middle = np.arange(first, last, 307, dtype=np.uint32)
    return np.concatenate([everywhere, middle, middle | np.uint32(1 << 31)]).view(np.float32)


@functools.cache
def inputs64(name: str) -> np.ndarray:
    """A few thousand values: over the whole domain, around the origin, around 1, over all exponents."""
    low, high = DOMAIN64[name]
    rng = np.random.default_rng(64)
    u = rng.uniform(-1.0, 1.0, 1200)
    with np.errstate(over="ignore"):
        size = np.ldexp(1.0 + np.abs(u), rng.integers(-1074, 1023, u.size))
    span = rng.uniform(max(low, -800.0), min(high, 800.0), u.size)
    x = np.concatenate(
        [span, u, 3.0 * u, 1.0 + u * 2.0 ** rng.integers(-52, 0, u.size), np.copysign(size, u)]
    )
    return x[(x > low) & (x < high)]


@functools.cache
def exact64(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The exact values at inputs64(name), as hi + lo."""
    with mp.workdps(50):
        exact = [EXACT[name](mpf(v)) for v in inputs64(name).tolist()]
        hi = [float(v) for v in exact]
        return np.array(hi), np.array([float(v - h) for v, h in zip(exact, hi)])


@pytest.mark.parametrize("name", BOUNDS)
def test_float32_error(isa: str, name: str) -> None:
    x = inputs32()
    got = evaluate(name, x)
    with np.errstate(all="ignore"):
        exact = FLOAT64[name](x.astype(np.float64))
        rounded = exact.astype(np.float32)
    special = ~np.isfinite(rounded)
    np.testing.assert_array_equal(got[special], rounded[special], err_msg=f"{name}: infinities and NaN")
    finite = ~special
    assert finite.sum() > 500_000
    assert_within(name, x[finite], got[finite], exact[finite], np.zeros(finite.sum()))


@pytest.mark.parametrize("name", BOUNDS)
def test_float64_error(isa: str, name: str) -> None:
    x = inputs64(name)
    assert x.size > 2000
    assert_within(name, x, evaluate(name, x), *exact64(name))


@pytest.mark.parametrize("name", BOUNDS)
def test_special_values(isa: str, dtype: str, name: str) -> None:
    x, expected = np.array(SPECIAL[name], dtype).T.copy()
    assert_same_bits(evaluate(name, x), expected, f"{name}({x})")


@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh"])
def test_tiny_values_stay_themselves(isa: str, dtype: str, name: str) -> None:
    info = np.finfo(dtype)
    tiny = np.array([info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny, info.eps**2], dtype)
    x = np.concatenate([tiny, -tiny])
    assert_same_bits(evaluate(name, x), x, name)


@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus"])
def test_the_left_tail_ends_in_subnormals(isa: str, dtype: str, name: str) -> None:
    """e^x is rounded once also where 2^n alone would be beyond the format: the last values before 0."""
    smallest = np.finfo(dtype).smallest_subnormal
    count = np.array([1.0, 2.0, 3.0, 1000.0])  # subnormals
    edge = np.log(float(smallest)) if dtype == "float64" else math.log(float(smallest))
    x = (edge + np.log(count)).astype(dtype)
    expected = np.exp(x.astype(np.longdouble) - np.longdouble(edge))
    assert np.abs(evaluate(name, x) / smallest - expected).max() <= 0.76
    assert evaluate(name, np.array([edge - 0.7], dtype)) == 0


@pytest.mark.parametrize("name", BOUNDS)
def test_same_bits_on_every_isa(dtype: str, name: str) -> None:
    patterns = np.random.default_rng(0).integers(0, 2**64, 200_000, np.uint64).view(np.float64)
    x = inputs32() if dtype == "float32" else np.concatenate([inputs64(name), patterns])
    with running("scalar"):
        expected = evaluate(name, x)
    for isa in ISAS:
        with running(isa):
            assert_same_bits(evaluate(name, x), expected, f"{name} on {isa} against scalar")


def turns(dtype: str) -> np.ndarray:
    """From -1 to 1: all over, close to 0, and close to and at the quarters, where sine or cosine is 0."""
    rng = np.random.default_rng(3)
    close = rng.choice([-1.0, 1.0], 1000) * 2.0 ** rng.uniform(-40.0, -3.0, 1000)
    quarters = rng.integers(-3, 4, 1000) / 4.0
    return np.concatenate(
        [rng.uniform(-1.0, 1.0, 2000), close, quarters + close, np.arange(-4, 5) / 4.0]
    ).astype(dtype)


def test_the_cosine_of_turns(isa: str, dtype: str) -> None:
    """Its error; and the same bits on every instruction set."""
    u = turns(dtype)
    with mp.workdps(50):
        exact = [mp.cospi(2 * mpf(float(v))) for v in u]
        hi = np.array([float(v) for v in exact])
        lo = np.array([float(v - h) for v, h in zip(exact, hi, strict=True)])
    got = evaluate("cos_2pi", u)
    zero = hi == 0.0
    assert zero.sum() >= 4
    np.testing.assert_array_equal(got[zero], 0.0)
    error = np.abs((got[~zero].astype(np.float64) - hi[~zero]) - lo[~zero]) / ulp(hi[~zero], dtype)
    assert error.max() <= (1.6 if dtype == "float32" else 1.5)
    with running("scalar"):
        assert_same_bits(got, evaluate("cos_2pi", u), f"cos_2pi on {isa} against scalar")


def test_the_coefficients_are_what_the_tool_prints() -> None:
    printed = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "fit_mathfn.py")], capture_output=True, text=True, check=True
    )
    assert printed.stdout == (ROOT / "csrc" / "rules" / "mathfn_coefficients.h").read_text()
