"""A run can be stepped, stopped, moved to another session and resumed without changing a bit; sums are what they say.

It must not know formulas beyond sums over rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cases import OPTIMIZERS
from checks import assert_close, assert_same_bits
from networks import PROXIMAL, data_for, dense, dropout, session, train_epoch, weights_for
from reference import Spec, loss_spec, mean_loss
from reference_update import optimizer_spec, penalty_value

INPUTS, OUTPUTS, ROWS = 9, 4, 75
LAYERS = [dense(12, "relu", kernel_penalty=PROXIMAL), dropout(0.4, 1), dense(OUTPUTS, "softmax")]
LOSS = loss_spec("sparse_categorical_crossentropy")
ADAM = OPTIMIZERS["adam"]


def new(dtype: str, optimizer: Spec = ADAM, seed: int = 3) -> tuple[Any, np.ndarray, np.ndarray]:
    x, y = data_for(LOSS, ROWS, INPUTS, OUTPUTS, dtype)
    s = session(
        LAYERS, weights_for(LAYERS, INPUTS, dtype), LOSS, optimizer, inputs=INPUTS, seed=seed, dtype=dtype
    )
    return s, x, y


def assert_same_state(got: Any, wanted: Any, what: str) -> None:
    assert (got.step, got.epoch) == (wanted.step, wanted.epoch), what
    for i, (a, b) in enumerate(zip(got.get_weights(), wanted.get_weights(), strict=True)):
        assert_same_bits(a, b, f"{what}: parameter {i}")
    for name, one, two in zip(wanted.slot_names(), got.get_slots(), wanted.get_slots(), strict=True):
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same_bits(a, b, f"{what}: slot {name} of parameter {i}")


def test_steps_one_by_one_equal_the_whole_epoch(isa: str, dtype: str) -> None:
    (whole, x, y), (stepped, _, _) = new(dtype), new(dtype)
    for _ in range(2):
        wanted = train_epoch(whole, x, y, 16, True)
        stepped.begin_epoch(x, y, None, 16, True)
        for step in range(1, 6):
            got = stepped.run_steps(1)
            assert (got["steps"], got["rows"], got["finished"]) == (step, min(16 * step, ROWS), step == 5)
        for key in ("loss", "data_loss", "penalty"):
            assert got[key] == wanted[key], f"{key}: {got[key]!r} stepped, {wanted[key]!r} whole"
        assert_same_state(stepped, whole, "stepped against whole")


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "rmsprop_both", "adagrad"])
def test_learning_rates_of_the_coming_steps(isa: str, dtype: str, name: str) -> None:
    """As if each were set before its step; the last one stays."""
    (whole, x, y), (stepped, _, _) = new(dtype, OPTIMIZERS[name]), new(dtype, OPTIMIZERS[name])
    rates = [0.1, 0.1, 0.05, 0.0, 0.02, 0.01, 0.03]  # of 2 epochs of 5 steps
    whole.set_learning_rates(rates)
    for epoch in range(2):
        train_epoch(whole, x, y, 16, True)
        stepped.begin_epoch(x, y, None, 16, True)
        for step in range(5 * epoch, 5 * epoch + 5):
            stepped.learning_rate = rates[min(step, 6)]
            stepped.run_steps(1)
        assert whole.learning_rate == (rates[5] if epoch == 0 else rates[6])
    assert_same_state(stepped, whole, "one by one against a table")
    whole.set_learning_rates(rates)
    whole.train_batch(x[:16], y[:16], None)
    whole.set_position(1000, 3)  # the rates are those of the coming steps all the same
    for rate in rates[1:]:
        assert whole.learning_rate == rate
        whole.train_batch(x[:16], y[:16], None)
    assert whole.learning_rate == rates[-1]


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "amsgrad", "rmsprop_both", "adagrad"])
def test_resuming_elsewhere_gives_the_same_bits(dtype: str, name: str) -> None:
    """Weights, slots, step and epoch are the whole state: no random generator has to be moved."""
    spec = OPTIMIZERS[name]
    whole, x, y = new(dtype, spec)
    first, _, _ = new(dtype, spec)
    for _ in range(4):
        train_epoch(whole, x, y, 16, True)
    for _ in range(2):
        train_epoch(first, x, y, 16, True)
    second, _, _ = new(dtype, spec)
    second.set_weights(first.get_weights())
    second.set_slots(first.get_slots())
    second.set_position(first.step, first.epoch)
    for _ in range(2):
        train_epoch(second, x, y, 16, True)
    assert_same_state(second, whole, f"{name}: resumed against never interrupted")


def test_interruption_inside_an_epoch_leaves_a_step_boundary(dtype: str) -> None:
    """Evaluating, predicting and reading between two steps change nothing."""
    (plain, x, y), (watched, _, _) = new(dtype), new(dtype)
    train_epoch(plain, x, y, 16, True)
    watched.begin_epoch(x, y, None, 16, True)
    while not watched.run_steps(2)["finished"]:
        watched.evaluate(x, y, None)
        watched.predict(x, np.empty((ROWS, OUTPUTS), dtype))
        assert watched.penalties()
        assert watched.count_zeros()
    assert_same_state(watched, plain, "watched against plain")


def test_train_batch_equals_an_epoch_of_one_batch(dtype: str) -> None:
    (epochs, x, y), (batches, _, _) = new(dtype), new(dtype)
    for _ in range(3):
        one, two = train_epoch(epochs, x, y, ROWS, False), batches.train_batch(x, y, None)
        assert one["loss"] == two["loss"]
        assert two["rows"] == ROWS
    for a, b in zip(epochs.get_weights(), batches.get_weights(), strict=True):
        assert_same_bits(b, a, "train_batch against begin_epoch and run_steps")
    assert batches.step == 3


def test_seeds_decide_shuffles_and_equal_seeds_repeat(dtype: str) -> None:
    runs = {}
    for name, seed in (("a", 3), ("again", 3), ("b", 4)):
        s, x, y = new(dtype, seed=seed)
        train_epoch(s, x, y, 16, True)
        runs[name] = s.get_weights()[0]
    assert_same_bits(runs["again"], runs["a"], "the same seed twice")
    assert (runs["a"] != runs["b"]).any(), "another seed shuffled alike"


def test_epochs_shuffle_differently_and_without_shuffle_keep_the_order(dtype: str) -> None:
    """Weights at rest: the loss of a batch of one row is that row's, so the running sums show the order."""
    spec = optimizer_spec("sgd", learning_rate=1e-30)
    layers, loss = [dense(1, use_bias=False)], loss_spec("mean_squared_error")
    x, y = np.arange(1.0, 9.0, dtype=dtype)[:, None], np.zeros((8, 1), dtype)
    s = session(layers, [np.ones((1, 1), dtype)], loss, spec, inputs=1, dtype=dtype, seed=1)

    def order(shuffle: bool) -> list[int]:
        s.begin_epoch(x, y, None, 1, shuffle)
        sums = [0.0] + [s.run_steps(1)["loss"] for _ in range(8)]
        return [round(float(np.sqrt(step))) for step in np.diff(sums)]

    assert order(False) == list(range(1, 9))
    first, second = order(True), order(True)
    assert sorted(first) == sorted(second) == list(range(1, 9))
    assert first != second, "two epochs were shuffled alike"


@pytest.mark.parametrize("batch_size", [ROWS - 1, ROWS, 2 * ROWS])
def test_an_epoch_of_one_batch_is_not_shuffled(batch_size: int) -> None:
    (shuffled, x, y), (in_order, _, _) = new("float64"), new("float64")
    for _ in range(2):
        train_epoch(shuffled, x, y, batch_size, True)
        train_epoch(in_order, x, y, batch_size, False)
    pairs = zip(shuffled.get_weights(), in_order.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs) == (batch_size >= ROWS)


def test_epoch_sums_weigh_the_partial_batch_by_its_rows() -> None:
    """loss = sum of n_b * L_b, each L_b computed before its update."""
    s, x, y = new("float64", OPTIMIZERS["sgd"])
    probe, _, _ = new("float64", OPTIMIZERS["sgd"])
    total = 0.0
    for start in range(0, ROWS, 16):
        rows = slice(start, min(start + 16, ROWS))
        total += probe.train_batch(x[rows].copy(), y[rows].copy(), None)["loss"]
    got = train_epoch(s, x, y, 16, False)
    assert_close(got["loss"], total, 1e-12 * total, "epoch loss against the sum over its batches")
    assert_close(got["data_loss"] + got["penalty"], got["loss"], 1e-12 * total, "data_loss + penalty")


def test_sample_weights() -> None:
    """sum(w l) / n: doubling a weight doubles a row's share, weight 0 removes it, and penalties are not scaled."""
    loss, layers = loss_spec("mean_squared_error"), [dense(2, kernel_penalty=PROXIMAL)]
    x, y = data_for(loss, 30, INPUTS, 2)
    weights = weights_for(layers, INPUTS)
    w = np.random.default_rng(0).choice([0.0, 1.0, 2.0], 30)
    s = session(layers, weights, loss, OPTIMIZERS["sgd"], inputs=INPUTS)
    got = s.evaluate(x, y, w)
    wanted = mean_loss(y, x @ weights[0] + weights[1], w, loss)[0]
    assert_close(got["data_loss"] / 30, wanted, 1e-12, "weighted data loss")
    assert_close(got["penalty"] / 30, penalty_value(weights[0], 0.02, 0.03), 1e-12, "penalty")
    ones = s.evaluate(x, y, np.ones(30))
    assert ones["loss"] == s.evaluate(x, y, None)["loss"], "weights of 1 must change nothing"


def test_penalties_and_zero_counts(dtype: str) -> None:
    s, _, _ = new(dtype)
    weights = s.get_weights()
    weights[0][::2, 1] = 0
    weights[3][:3] = 0
    s.set_weights(weights)
    assert s.count_zeros() == [int((w == 0).sum()) for w in weights]
    wanted = [penalty_value(weights[0], 0.02, 0.03), 0.0, 0.0, 0.0]
    assert_close(s.penalties(), wanted, 1e-5 * max(wanted), "penalties per parameter")


def test_a_nonfinite_loss_is_reported_and_stops_when_asked(dtype: str) -> None:
    spec, loss = optimizer_spec("sgd", learning_rate=1e30), loss_spec("mean_squared_error")
    layers = [dense(1)]
    x, y = data_for(loss, 64, INPUTS, 1, dtype)
    for stop in (True, False):
        s = session(layers, weights_for(layers, INPUTS, dtype), loss, spec, inputs=INPUTS, dtype=dtype)
        s.begin_epoch(x, y, None, 1, False)
        totals = s.run_steps(-1, stop)
        assert totals["nonfinite"]
        assert totals["steps"] == 64 if not stop else totals["steps"] < 64, totals
