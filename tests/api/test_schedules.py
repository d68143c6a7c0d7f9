"""Learning-rate schedules: Keras's formulas, and that fit, resumed or not, takes the rate of each step.

It must not test what a step does with its rate. It is over 250 lines: a table of formulas, a table of bad arguments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api_cases import X, Y, same_weights
from checks import ISAS, running, sha256
from fastreg import callbacks, load_model
from fastreg.layers import Dense, Input
from fastreg.models import Sequential, clone_model, model_from_json
from fastreg.optimizers import SGD, Adam, schedules
from fastreg.optimizers.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)


class Warmup(LearningRateSchedule):
    def __init__(self, top: float = 0.1, steps: int = 20) -> None:
        self.top, self.steps = top, steps

    def __call__(self, step: int) -> float:
        return self.top * min(1.0, (step + 1) / self.steps)


def cosine(done: float, alpha: float = 0.0) -> float:
    return (1 - alpha) * 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) + alpha


def restarts(step: int) -> float:
    """First 8 steps, then 12, 18, ...; each 0.9 as high."""
    start, length, height = 0.0, 8.0, 1.0
    while step >= start + length:
        start, length, height = start + length, length * 1.5, height * 0.9
    return 0.1 * (0.8 * height * 0.5 * (1 + math.cos(math.pi * (step - start) / length)) + 0.2)


def warmed(step: int) -> float:
    return 0.02 + 0.08 * step / 15 if step < 15 else 0.1 * cosine((step - 15) / 60, 0.1)


def cycled(step: int) -> float:
    length = 20 * max(math.ceil(step / 20), 1)
    return 0.09 * (1 - step / length) ** 2.5 + 0.01


CASES: list[tuple[LearningRateSchedule, Callable[[int], float]]] = [
    (ExponentialDecay(0.1, 30, 0.9), lambda s: 0.1 * 0.9 ** (s / 30)),
    (ExponentialDecay(0.1, 30, 1.1, True), lambda s: 0.1 * 1.1 ** (s // 30)),
    (InverseTimeDecay(0.1, 10, 0.5), lambda s: 0.1 / (1 + 0.5 * s / 10)),
    (InverseTimeDecay(0.1, 10, 0.5, staircase=True), lambda s: 0.1 / (1 + 0.5 * (s // 10))),
    (
        PiecewiseConstantDecay([5, 20.5], [1, 0.5, 0.25]),
        lambda s: 1 if s <= 5 else 0.5 if s <= 20.5 else 0.25,
    ),
    (PiecewiseConstantDecay([], [0.3]), lambda s: 0.3),
    (PolynomialDecay(0.1, 40), lambda s: (0.1 - 1e-4) * (1 - min(s, 40) / 40) + 1e-4),
    (PolynomialDecay(0.01, 40, 0.1, 3), lambda s: -0.09 * (1 - min(s, 40) / 40) ** 3 + 0.1),
    (PolynomialDecay(0.1, 20, 0.01, 2.5, cycle=True), cycled),
    (CosineDecay(0.1, 70), lambda s: 0.1 * cosine(s / 70)),
    (CosineDecay(0.02, 60, 0.1, warmup_target=0.1, warmup_steps=15), warmed),
    (CosineDecay(0.02, 60, warmup_target=0.1), lambda s: 0.1 * cosine(s / 60)),
    (CosineDecayRestarts(0.1, 8, 1.5, 0.9, 0.2), restarts),
    (CosineDecayRestarts(0.1, 8, 1), lambda s: 0.1 * cosine(s % 8 / 8)),
    (Warmup(), lambda s: 0.1 * min(1, (s + 1) / 20)),
]
SHA_256 = "5c1855fa64261ad680e13f37cead7844465650c469bc3dd6bd9c792fc8c3b94d"  # of their rates of 500 steps
each = pytest.mark.parametrize(("schedule", "formula"), CASES, ids=lambda case: str(case)[:60])


@each
def test_formulas(schedule: LearningRateSchedule, formula: Callable[[int], float]) -> None:
    """Of each step and of many at once, which are the same bits; within what the formula's own roundings are."""
    expected = [formula(step) for step in range(200)]
    rates = [float(schedule(step)) for step in range(200)]
    np.testing.assert_allclose(rates, expected, rtol=1e-14, atol=1e-17)
    assert schedule.rates(0, 200) == rates
    assert schedule.rates(150, 3) == rates[150:153]


def test_the_same_bits_on_every_machine() -> None:
    """Nothing of NumPy's or the system's own functions is in them: the bytes are those of the machine that this was
    written on, and of every instruction set."""
    for isa in ISAS:
        with running(isa):
            assert sha256([schedule.rates(0, 500) for schedule, _ in CASES[:-1]]) == SHA_256


def test_round_numbers_stay_round() -> None:
    halving = ExponentialDecay(0.1, 10, 0.5, staircase=True)
    assert [float(halving(step)) for step in (0, 9, 10, 20)] == [0.1, 0.1, 0.05, 0.025]
    assert float(CosineDecay(0.1, 100)(50)) == 0.05
    assert CosineDecay(0.1, 100)(100) == CosineDecay(0.1, 100)(1e9) == 0
    assert CosineDecayRestarts(0.1, 10)(10) == CosineDecayRestarts(0.1, 10)(30) == 0.1
    assert PolynomialDecay(0.1, 10, 0.0, power=0.5)(10) == 0
    assert isinstance(halving(0).numpy(), np.float64)  # type: ignore[attr-defined]


# ---- in training -----------------------------------------------------------------------------------------------------
def made(optimizer: Any, **compiled: Any) -> Sequential:
    model = Sequential([Input((4,)), Dense(6, "relu"), Dense(1, "sigmoid")], seed=2)
    model.compile(optimizer, "binary_crossentropy", **compiled)
    return model


@each
def test_fit_takes_the_rate_of_each_step(
    schedule: LearningRateSchedule, formula: Callable[[int], float]
) -> None:
    """7 steps an epoch: as if each were set by hand; with a hook for each batch; and in pieces."""
    model, by_hand, hooked, seen = made(Adam(schedule)), made(Adam(0.0)), made(Adam(schedule)), []

    def by_hand_before(batch: int, logs: Any) -> None:
        by_hand.optimizer.learning_rate = schedule(int(by_hand.optimizer.iterations))

    def look(batch: int, logs: Any) -> None:
        seen.append(float(hooked.optimizer.learning_rate))

    data: dict[str, Any] = {"x": X, "y": Y, "batch_size": 8, "verbose": 0}
    model.fit(**data, epochs=2)
    model.fit(**data, epochs=1)
    by_hand.fit(**data, epochs=3, callbacks=[callbacks.LambdaCallback(on_train_batch_begin=by_hand_before)])
    hooked.fit(**data, epochs=3, callbacks=[callbacks.LambdaCallback(on_train_batch_begin=look)])
    assert same_weights(model, by_hand)
    assert same_weights(model, hooked)
    np.testing.assert_allclose(seen, [formula(step) for step in range(21)], rtol=1e-14, atol=1e-17)
    assert model.optimizer.learning_rate == schedule(21)
    assert model.train_on_batch(X[:8], Y[:8]) == by_hand_step(by_hand, schedule)
    assert same_weights(model, by_hand)


def by_hand_step(model: Sequential, schedule: LearningRateSchedule) -> Any:
    model.optimizer.learning_rate = schedule(21)
    return model.train_on_batch(X[:8], Y[:8])


def test_a_saved_training_goes_on_where_its_schedule_was(tmp_path: Path) -> None:
    whole = made(SGD(CosineDecay(0.5, 21), momentum=0.9))
    whole.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    whole.save(tmp_path / "m.fastreg")
    loaded = load_model(tmp_path / "m.fastreg")
    assert loaded.optimizer.learning_rate == whole.optimizer.learning_rate == CosineDecay(0.5, 21)(14)
    for model in (whole, loaded):
        model.fit(X, Y, batch_size=8, epochs=1, verbose=0)
    assert same_weights(whole, loaded)


@pytest.mark.parametrize("schedule", [case[0] for case in CASES[:-1]], ids=str)
def test_descriptions(schedule: LearningRateSchedule) -> None:
    """get_config is JSON, and an optimizer, a model's text and a clone keep the schedule."""
    optimizer = SGD(schedule)
    config = json.loads(json.dumps(optimizer.get_config()))
    assert config["learning_rate"] == {"class_name": type(schedule).__name__, "config": schedule.get_config()}
    assert repr(schedule) in repr(optimizer)
    model = made(optimizer)
    for again in (
        SGD.from_config(config),
        model_from_json(model.to_json()).optimizer,
        clone_model(model).optimizer,
    ):
        assert again.get_config() == config
        assert again.rates(30) == schedule.rates(0, 30)
    assert type(schedule).from_config(schedule.get_config()).rates(0, 30) == schedule.rates(0, 30)


def test_a_schedule_of_ones_own_is_not_saved(tmp_path: Path) -> None:
    model = made(SGD(Warmup()))
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.fastreg")
    with pytest.raises(ValueError, match="unknown learning_rate 'Warmup'"):
        load_model(tmp_path / "m.fastreg")
    loaded = load_model(tmp_path / "m.fastreg", compile=False)
    assert same_weights(loaded, model)
    loaded.compile(SGD(Warmup()), "binary_crossentropy")
    loaded.fit(X, Y, verbose=0)


def test_a_rate_that_follows_a_schedule_cannot_be_set() -> None:
    model = made(SGD(ExponentialDecay(0.1, 10, 0.5)))
    with pytest.raises(
        TypeError, match=r"learning_rate follows ExponentialDecay\(.* cannot be set to a number"
    ):
        model.optimizer.learning_rate = 0.1
    plateau = callbacks.ReduceLROnPlateau(monitor="loss", patience=0, min_delta=10.0)
    with pytest.raises(TypeError, match="learning_rate follows ExponentialDecay"):
        model.fit(X, Y, verbose=0, epochs=3, callbacks=[plateau])
    model.optimizer.learning_rate = Warmup()
    assert model.optimizer.learning_rate == Warmup()(int(model.optimizer.iterations))
    model.fit(X, Y, verbose=0)


class Gives(LearningRateSchedule):
    def __init__(self, rate: Any) -> None:
        self.rate = rate

    def __call__(self, step: int) -> Any:
        return self.rate


@pytest.mark.parametrize("rate", [np.float32(0.5), np.array(0.5), np.ones(1)[0] / 2, 0.5])
def test_what_a_schedule_of_ones_own_may_give(rate: Any) -> None:
    assert SGD(Gives(rate)).learning_rate == 0.5


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (-0.1, ValueError, "the result of Gives must be a finite number of at least 0"),
        (math.nan, ValueError, "the result of Gives must be a finite number"),
        ("0.1", TypeError, "the result of Gives must be a number, not str"),
        (np.ones(2), TypeError, "the result of Gives must be a number, not ndarray"),
        (None, TypeError, "the result of Gives must be a number, not NoneType"),
    ],
)
def test_what_it_may_not_give(rate: Any, error: type[Exception], message: str) -> None:
    model = made(SGD(Gives(0.1)))
    before = model.get_weights()
    model.optimizer.learning_rate = Gives(rate)
    with pytest.raises(error, match=message):
        model.fit(X, Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ExponentialDecay(-1, 10, 0.5), ValueError, "initial_learning_rate must be a finite number"),
        (lambda: ExponentialDecay(0.1, 0, 0.5), ValueError, "decay_steps must be a finite number"),
        (lambda: ExponentialDecay(0.1, 10, 0.0), ValueError, "decay_rate must be a finite number"),
        (lambda: ExponentialDecay(0.1, 10, 0.5, "yes"), TypeError, "staircase must"),
        (lambda: InverseTimeDecay(0.1, 10, -0.5), ValueError, "decay_rate must be a finite number"),
        (
            lambda: PiecewiseConstantDecay([1], [0.1]),
            ValueError,
            "values must have one item more than boundaries",
        ),
        (lambda: PiecewiseConstantDecay([2, 1], [1, 2, 3]), ValueError, "boundaries must increase, not"),
        (lambda: PiecewiseConstantDecay([1, "2"], [1, 2, 3]), TypeError, r"boundaries\[1\] must be a number"),
        (lambda: PiecewiseConstantDecay([1], [0.1, -1]), ValueError, r"values\[1\] must be a finite number"),
        (lambda: PolynomialDecay(0.1, 10, power=0), ValueError, "power must be a finite number"),
        (lambda: PolynomialDecay(0.1, 10, cycle="yes"), TypeError, "cycle must"),
        (lambda: CosineDecay(0.1, -5), ValueError, "decay_steps must be a finite number"),
        (lambda: CosineDecay(0.1, 5, warmup_target=-1), ValueError, "warmup_target must be a finite number"),
        (lambda: CosineDecayRestarts(0.1, 5, 0.5), ValueError, "t_mul must be a finite number"),
        (lambda: CosineDecayRestarts(0.1, 1e-300), ValueError, "first_decay_steps must be .* at least 1e-06"),
        (lambda: setattr(Adam(), "iterations", -5), ValueError, "iterations must be at least 0"),
        (lambda: setattr(Adam(), "iterations", "x"), TypeError, "iterations must be an integer"),
        (lambda: CosineDecayRestarts(0.1, 5, m_mul=-1), ValueError, "m_mul must be a finite number"),
        (lambda: CosineDecay(0.1, 5)(-1), ValueError, "step must be a finite number"),
        (lambda: CosineDecay(0.1, 5)("1"), TypeError, "step must be a number"),
        (lambda: LearningRateSchedule()(0), NotImplementedError, r"must implement __call__\(step\)"),
        (lambda: schedules.get("cosine"), ValueError, "unknown learning_rate 'cosine'; known: cosine_decay"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
