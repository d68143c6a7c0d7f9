"""Penalties and proximal steps: values against exact sums, prox against the definition of a minimiser.

It must not know optimizers.
"""

from __future__ import annotations

import numpy as np
import pytest

import reference_update as rule
from checks import ISAS, THREADS, assert_close, assert_same_bits, configurations, eps, running
from fastreg import _core

FACTORS = [(0.0, 0.0), (0.01, 0.0), (0.0, 0.02), (0.3, 0.7)]


def values(n: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Normal deviates, a quarter of them exactly 0."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.25, 0, rng.normal(size=n)).astype(dtype)


@pytest.mark.parametrize(("l1", "l2"), FACTORS)
def test_penalty_value(isa: str, dtype: str, l1: float, l2: float) -> None:
    for n in [*range(68), 1000, 65_537]:
        w = values(n, dtype)
        expected = rule.penalty_value(w, l1, l2)
        # Every term is rounded once; lanes and tree make about log2(n) + n / lanes additions of positive terms.
        assert_close(
            _core.elastic_net(w, l1, l2), expected, (8 + n / 8) * eps(dtype) * expected, f"penalty, n = {n}"
        )


def test_penalty_value_has_one_answer(dtype: str) -> None:
    w = values(300_007, dtype)
    answers = {name: _core.elastic_net(w, 0.3, 0.7) for name in configurations(THREADS)}
    assert len(set(answers.values())) == 1, answers


@pytest.mark.parametrize(("l1", "l2"), FACTORS)
def test_penalty_gradient(isa: str, dtype: str, l1: float, l2: float) -> None:
    for n in range(68):
        w, out = values(n, dtype), np.full(n, np.nan, dtype)
        _core.elastic_net_gradient(w, l1, l2, out)
        expected = rule.penalty_gradient(w, l1, l2)
        assert_close(out, expected, 4 * eps(dtype) * (l1 + np.abs(expected)), f"penalty gradient, n = {n}")
        assert (out[w == 0] == 0).all(), "sign(0) must be 0"


def test_penalty_gradient_is_the_slope_of_the_value() -> None:
    w, h = values(11, "float64", 3), 1e-6
    w[w == 0] = 0.5  # away from the kink
    out = np.empty_like(w)
    _core.elastic_net_gradient(w, 0.3, 0.7, out)
    for i in range(len(w)):
        shift = np.eye(len(w))[i] * h
        slope = (_core.elastic_net(w + shift, 0.3, 0.7) - _core.elastic_net(w - shift, 0.3, 0.7)) / (2 * h)
        assert_close(out[i], slope, 1e-8, f"penalty gradient of element {i} against finite differences")


@pytest.mark.parametrize(("l1", "l2"), FACTORS)
@pytest.mark.parametrize("step", [0.0, 0.1, 2.0])
def test_prox_follows_the_oracle(isa: str, dtype: str, l1: float, l2: float, step: float) -> None:
    for n in range(68):
        w, out = values(n, dtype), np.full(n, np.nan, dtype)
        _core.prox(w, l1, l2, step, out)
        expected = rule.prox(w, l1, l2, step)
        assert_close(out, expected, 4 * eps(dtype) * (np.abs(w) + step * l1), f"prox, n = {n}, step {step}")


@pytest.mark.parametrize(("l1", "l2"), FACTORS)
def test_prox_minimises_its_objective(l1: float, l2: float) -> None:
    """u beats every perturbation of itself, and 0 lies in the subdifferential at u."""
    w, step = values(4001, "float64", 5), 0.7
    u = np.empty_like(w)
    _core.prox(w, l1, l2, step, u)

    def objective(v: np.ndarray) -> np.ndarray:
        return (v - w) ** 2 / 2 + step * (l1 * np.abs(v) + l2 * v * v)

    for shift in (-1.0, -1e-2, -1e-4, 1e-4, 1e-2, 1.0):
        worse = objective(u + shift) - objective(u)
        assert worse.min() >= 0, f"moving by {shift} improves the objective by {-worse.min():.3e}"
    slope = (u - w) + step * 2 * l2 * u  # of the smooth part
    assert_close(
        (slope + step * l1 * np.sign(u))[u != 0], np.zeros((u != 0).sum()), 1e-14, "stationarity where u != 0"
    )
    assert np.abs(slope[u == 0]).max(initial=0.0) <= step * l1 + 1e-15, (
        "|slope| must not exceed step * l1 where u = 0"
    )
    if l1:
        assert (u[np.abs(w) <= step * l1] == 0).all(), "values within the threshold must become exactly 0"


def test_prox_in_place_and_threshold_boundary(isa: str, dtype: str) -> None:
    w = np.array([0.5, -0.5, 0.5000001, -0.75, 0.25, 0.0, -0.0], dtype)
    out = np.empty_like(w)
    _core.prox(w, 0.5, 0.0, 1.0, out)
    assert list(out == 0) == [True, True, False, False, True, True, True], out
    assert not np.signbit(out[out == 0]).any(), "what becomes 0 becomes +0"
    _core.prox(w, 0.5, 0.0, 1.0, w)
    assert_same_bits(w, out, "prox in place")


def test_prox_at_the_ends_of_the_numbers(isa: str, dtype: str) -> None:
    w = np.tile(np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0], dtype), 5)
    out = np.empty_like(w)
    for l1, one in [(0.25, 0.75), (0.0, 1.0)]:
        _core.prox(w, l1, 0.0, 1.0, out)
        expected = np.tile(np.array([np.inf, -np.inf, np.nan, 0.0, 0.0, one, -one], dtype), 5)
        np.testing.assert_array_equal(out, expected)
        assert not np.signbit(out[out == 0]).any(), "zeros end as +0, with a threshold of 0 too"


def test_any_layout_of_rows(dtype: str) -> None:
    """1-D with a stride, 2-D with gaps between rows: the same numbers as the packed array."""
    block = values(9 * 14, dtype).reshape(9, 14)
    for view in (block[:, 3:8], block[2, ::3], block[::2, 1:], block[:, 0], block[::-1, :5], block[2, ::-1]):
        packed = np.ascontiguousarray(view)
        expected, out = np.empty_like(packed), np.empty_like(packed)
        _core.prox(packed, 0.2, 0.1, 1.0, expected)
        _core.prox(view, 0.2, 0.1, 1.0, out)
        assert_same_bits(out, expected, f"prox of strides {view.strides}")


def test_the_sum_wants_contiguous_values_and_says_so() -> None:
    with pytest.raises(ValueError, match="w must be contiguous"):
        _core.elastic_net(np.zeros((4, 6))[:, 1:4], 0.1, 0.1)


def test_isas_are_what_this_file_ran_on() -> None:
    assert "scalar" in ISAS
    for isa in ISAS:
        with running(isa):
            assert _core.build_info()["isa"] == isa
