"""Update rules: every optimizer with every option against the oracle, one step at a time and over many steps.

It must not know sessions: `_core.update` moves one parameter.
"""

from __future__ import annotations

import numpy as np
import pytest

import reference_update as rule
from cases import OPTIMIZERS, PENALTIES, start
from checks import assert_close, eps
from fastreg import _core
from reference import Spec
from reference_update import optimizer_spec


def gradient(n: int, t: int, dtype: str) -> np.ndarray:
    rng = np.random.default_rng([n, t])
    return (rng.normal(size=n) * rng.choice([0.01, 1, 3], n)).astype(dtype)


def native(spec: Spec, w: np.ndarray, g: np.ndarray, slots: list[np.ndarray], t: int, penalty: Spec) -> float:
    return _core.update(spec, w, g, slots, t, penalty["l1"], penalty["l2"], penalty["proximal"])


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_step_follows_the_oracle(isa: str, dtype: str, name: str, penalty: str) -> None:
    """Before every step the oracle takes over the native state, so the bound is that of one step."""
    spec, terms = OPTIMIZERS[name], PENALTIES[penalty]
    for n in (0, 1, 2, 3, 5, 8, 13, 16, 17, 33, 64, 67):
        w, slots = start(spec, n, dtype)
        for t in range(1, 5):
            g = gradient(n, t, dtype)
            before = w.astype(np.float64)
            before_slots = [s.astype(np.float64) for s in slots]
            expected, expected_slots = rule.update(before, g, before_slots, t, spec, terms)
            value = native(spec, w, g, slots, t, terms)
            what = f"{name}, penalty {penalty}, n = {n}, step {t}"
            exact = rule.penalty_value(before, terms["l1"], terms["l2"])
            assert_close(value, exact, (16 + n) * eps(dtype) * exact, f"{what}: penalty value")
            for label, got, wanted in zip(rule.slot_names(spec), slots, expected_slots, strict=True):
                scale = np.abs(wanted) + np.abs(before) + np.abs(g) + g.astype(np.float64) ** 2 + 1
                assert_close(got, wanted, 8 * eps(dtype) * scale, f"{what}: slot {label}")
            smooth = terms | ({"l1": 0.0} if terms["proximal"] else {})
            moved, _ = rule.update(before, g, before_slots, t, spec, smooth)  # without the soft threshold
            size = np.abs(before) + np.abs(moved - before) + np.abs(expected - moved)
            assert_close(w, expected, 32 * eps(dtype) * size, f"{what}: weights")


@pytest.mark.parametrize("penalty", ["none", "proximal", "subgradient"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_many_steps_follow_the_oracle(name: str, penalty: str) -> None:
    """200 steps in float64 without resynchronising; the gradient pulls towards a target, as training does."""
    spec, terms, n = OPTIMIZERS[name], PENALTIES[penalty], 37
    w, slots = start(spec, n, "float64")
    expected, expected_slots = w.copy(), [s.copy() for s in slots]
    target = np.random.default_rng(1).normal(size=n)
    for t in range(1, 201):
        noise = 0.3 * gradient(n, t, "float64")
        expected, expected_slots = rule.update(
            expected, expected - target + noise, expected_slots, t, spec, terms
        )
        native(spec, w, w - target + noise, slots, t, terms)
    assert_close(
        w, expected, 1e-11 * (1 + np.abs(expected)), f"{name}, penalty {penalty}: weights after 200 steps"
    )
    if penalty == "proximal" and terms["l1"]:
        assert ((w == 0) == (expected == 0)).all(), f"{name}: other exact zeros than the oracle"
    for label, got, wanted in zip(rule.slot_names(spec), slots, expected_slots, strict=True):
        assert_close(got, wanted, 1e-11 * (1 + np.abs(wanted)), f"{name}: slot {label} after 200 steps")


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad"])
def test_proximal_steps_make_exact_zeros(name: str, dtype: str) -> None:
    """A weight whose gradient is weaker than l1 ends at exactly 0; subgradient steps do not get there."""
    for proximal, wanted in ((True, True), (False, False)):
        spec = OPTIMIZERS[name]
        w = np.array([0.3, -0.4, 0.05], dtype)
        slots = [s.astype(dtype) for s in rule.initial_slots(spec, w)]
        for t in range(1, 400):
            g = np.array([0.05, -0.02, 0.01], dtype) + dtype_noise(t, dtype)
            _core.update(spec, w, g, slots, t, 0.2, 0.0, proximal)
        assert bool((w == 0).all()) is wanted, f"{name}, proximal={proximal}: {w}"


def dtype_noise(t: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(t).normal(scale=0.001, size=3).astype(dtype)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "rmsprop", "rmsprop_momentum"])
def test_proximal_rest_point_is_that_of_the_objective(name: str) -> None:
    """min_w (w - c)^2 / 2 + l1 |w| has the solution soft(c, l1): every optimizer must rest there."""
    spec, l1 = OPTIMIZERS[name] | {"learning_rate": 0.002}, 0.2
    target = np.array([1.0, -0.7, 0.15, -0.1, 0.0, 0.5])
    w = np.zeros_like(target)
    slots = rule.initial_slots(spec, w)
    for t in range(1, 15_001):
        _core.update(spec, w, w - target, slots, t, l1, 0.0, True)
    assert_close(w, rule.soft_threshold(target, l1), 1e-7, f"{name}: where it rests")
    assert (w[2:5] == 0).all(), f"{name}: {w}"


@pytest.mark.parametrize("name", ["sgd", "adam", "amsgrad", "rmsprop", "adagrad"])
def test_a_weight_at_its_optimum_stays_from_the_first_step_on(name: str, isa: str, dtype: str) -> None:
    """Where g + l1 sign(w) = 0 the step and its soft threshold cancel: both have the metric of the step."""
    spec = OPTIMIZERS[name] | {"weight_decay": 0.0, "epsilon": 1e-2}
    start = np.array([1.0, -1.0, 0.5, -2.0] * 5, dtype)
    w, g = start.copy(), (-0.3 * np.sign(start)).astype(dtype)
    slots = [s.astype(dtype) for s in rule.initial_slots(spec, w)]
    for t in range(1, 40):
        _core.update(spec, w, g, slots, t, float(-g[0]), 0.0, True)
        assert_close(w, start, 4 * t * eps(dtype) * np.abs(start), f"{name}, step {t}")


def test_centered_rmsprop_survives_a_constant_gradient(dtype: str) -> None:
    """v - mean^2 tends to 0 and must not be rounded below -epsilon: its root would be NaN."""
    spec = optimizer_spec("rmsprop", learning_rate=1e-3, centered=True)
    for size in (1.0, 10.0, 300.0):
        w, g = np.zeros(67, dtype), (size * np.linspace(0.5, 1.5, 67)).astype(dtype)
        slots = [s.astype(dtype) for s in rule.initial_slots(spec, w)]
        for t in range(1, 300):
            _core.update(spec, w, g, slots, t, 0.0, 0.0, True)
        assert np.isfinite(w).all(), (
            f"{np.isnan(w).sum()} of 67 weights are NaN under constant gradients of {size}"
        )


@pytest.mark.parametrize("name", ["momentum", "adam", "amsgrad", "rmsprop"])
def test_slots_do_not_stay_subnormal(name: str, dtype: str) -> None:
    """Without a gradient a slot decays to the smallest numbers, where some CPUs are slow: it must go on to 0."""
    spec = OPTIMIZERS[name]
    tiny = np.finfo(dtype).tiny
    w, g = np.full(67, 0.5, dtype), np.zeros(67, dtype)
    slots = [np.full(67, 40 * tiny, dtype) for _ in rule.initial_slots(spec, w)]
    decays = {"velocity": 80, "m": 80, "v": 5000} if name != "rmsprop" else {"v": 80}
    for t in range(1, 1 + 16 * -(-max(decays.values()) // 16)):
        _core.update(spec, w, g, slots, t, 0.0, 0.0, True)
    for label, slot in zip(rule.slot_names(spec), slots, strict=True):
        if label in decays:
            assert (slot == 0).all(), f"{name}: slot {label} rests at {slot[:3]}"


@pytest.mark.parametrize(
    "name", ["momentum", "nesterov", "adam", "amsgrad", "rmsprop_momentum", "rmsprop_both"]
)
def test_the_least_momentum_that_is_kept(name: str, isa: str, dtype: str) -> None:
    """A momentum times a learning rate is subnormal long before it is so itself: it is made 0 in time, by step 16."""
    spec, least = OPTIMIZERS[name], 2.0 ** (-100 if dtype == "float32" else -960)
    momentum = [label in ("velocity", "m", "momentum") for label in rule.slot_names(spec)]
    assert any(momentum), rule.slot_names(spec)
    for size, stays in ((least / 2, False), (4 * least, True)):  # it decays by less than half in a step
        w, g = np.full(67, 0.5, dtype), np.zeros(67, dtype)
        slots = [np.full(67, size, dtype) for _ in momentum]
        _core.update(spec, w, g, slots, 15, 0.0, 0.0, True)
        assert all((slot != 0).all() for slot in slots), f"{name}: only every 16th step clears"
        _core.update(spec, w, g, slots, 16, 0.0, 0.0, True)
        for is_momentum, slot in zip(momentum, slots, strict=True):
            assert ((slot != 0) == (stays or not is_momentum)).all(), f"{name}: {slot[:3]} from {size}"


# Those that would get there within 15,000 steps.
SOON_IN_DOUBLE = ["sgd", "momentum", "nesterov", "amsgrad", "rmsprop", "rmsprop_momentum", "adagrad_zero"]
SOON_IN_SINGLE = [*SOON_IN_DOUBLE, "adam", "adam_betas", "adamw", "rmsprop_both", "clipvalue"]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(n, "float32") for n in SOON_IN_SINGLE] + [(n, "float64") for n in SOON_IN_DOUBLE],
)
def test_l2_alone_leads_to_no_subnormal_number_and_no_zero(name: str, dtype: str) -> None:
    """Where a unit is idle, L2 is the only gradient, and some CPUs are slow with what it would lead to."""
    spec, tiny = OPTIMIZERS[name] | {"weight_decay": 0.0}, np.finfo(dtype).tiny
    l2 = 0.2 / spec["learning_rate"] if spec["kind"] == "sgd" else 1e-3
    w = np.geomspace(1, 1e-25, 67).astype(dtype) * np.where(np.arange(67) % 2, 1, -1).astype(dtype)
    g, slots = np.zeros_like(w), [s.astype(dtype) for s in rule.initial_slots(spec, w)]
    for t in range(1, 15_001):
        _core.update(spec, w, g, slots, t, 0.0, l2, True)
    assert (np.abs(w) >= tiny).all(), f"{name}: {np.abs(w).min()}"


def test_a_clip_too_small_for_the_dtype_still_clips(isa: str, dtype: str) -> None:
    w, g = np.zeros(67, dtype), np.full(67, 3, dtype)
    _core.update({"kind": "sgd", "learning_rate": 1.0, "clipvalue": 1e-320}, w, g, [], 1, 0.0, 0.0, True)
    np.testing.assert_array_equal(w, -np.finfo(dtype).tiny)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_least_gradient_that_counts(name: str, isa: str, dtype: str) -> None:
    least = np.dtype(dtype).type(2.0 ** (-56 if dtype == "float32" else -504))

    def stepped(g: np.floating) -> list[np.ndarray]:
        w, gradients = np.zeros(67, dtype), np.full(67, g, dtype)
        slots = [np.zeros(67, dtype) for _ in rule.initial_slots(OPTIMIZERS[name], w)]
        _core.update(OPTIMIZERS[name], w, gradients, slots, 1, 0.0, 0.0, True)
        return [w, *slots]

    for sign in (1, -1):
        below = stepped(sign * np.nextafter(least, least * 0))
        assert all((a == 0).all() for a in below), f"{name}: {below}"
        assert any((a != 0).all() for a in stepped(sign * least)), name


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad_zero"])
def test_an_epsilon_of_zero_never_divides_by_a_slot_that_was_cleared(name: str, dtype: str) -> None:
    spec = OPTIMIZERS[name] | {"epsilon": 0.0}
    w, g = np.full(67, 0.5, dtype), np.zeros(67, dtype)
    slots = [np.full(67, 4 * np.finfo(dtype).smallest_subnormal, dtype) for _ in rule.initial_slots(spec, w)]
    for t in range(1, 65):
        _core.update(spec, w, g, slots, t, 0.1, 0.0, True)
    assert np.isfinite(w).all(), f"{name}: {np.isnan(w).sum()} of 67 weights are NaN"


def test_adagrad_has_no_momentum_in_its_threshold(dtype: str) -> None:
    """min_w (w - c)^2 / 2 + l1 |w| with a setting that adagrad ignores."""
    for momentum in (0.0, 0.9):
        spec = OPTIMIZERS["adagrad"] | {"momentum": momentum}
        w = np.full(3, 1.0, dtype)
        _core.update(spec, w, np.zeros(3, dtype), [np.full(3, 0.25, dtype)], 1, 0.01, 0.0, True)
        expected = 1 - 0.1 * 0.01 / np.sqrt(0.25 + spec["epsilon"])
        assert_close(w, np.full(3, expected), 4 * eps(dtype), f"momentum {momentum}")
