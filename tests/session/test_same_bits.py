"""Tier T1: a whole training ends in the same bits for every ISA and thread count; batches never change predictions.

It must not compare with formulas; test_reference_training.py does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cases import OPTIMIZERS
from checks import THREADS, assert_same_bits, configurations, sha256
from networks import PROXIMAL, data_for, dense, dropout, last_activation, session, train_epoch, weights_for
from reference import Spec, loss_spec
from reference_update import optimizer_spec

ADAM = optimizer_spec("adam", learning_rate=0.01)


def network(width: int, outputs: int, last: str, activity_penalty: bool) -> list[Spec]:
    activity: Spec = (
        {"activity_penalty": {"l1": 1e-3, "l2": 1e-3, "proximal": False}} if activity_penalty else {}
    )
    return [
        dense(width, "relu", kernel_penalty=PROXIMAL), dropout(0.5, 1),
        dense(width - 1, "gelu", kernel_penalty=PROXIMAL, **activity),
        dropout(0.3, 3), dense(outputs, last),
    ]  # fmt: skip


def trained(
    width: int,
    rows: int,
    batch_size: int,
    loss: Spec,
    optimizer: Spec,
    dtype: str,
    epochs: int = 2,
    activity_penalty: bool = True,
) -> str:
    """SHA-256 of weights, slots, epoch sums and predictions after training with dropout, shuffles, L1 and L2."""
    inputs, outputs = 23, 3
    layers = network(width, outputs, last_activation(loss), activity_penalty)
    x, y = data_for(loss, rows, inputs, outputs, dtype)
    weights = weights_for(layers, inputs, dtype)
    s = session(layers, weights, loss, optimizer, inputs=inputs, seed=2**63 + 9, dtype=dtype)
    sample_weight = np.linspace(0.5, 1.5, rows).astype(dtype)
    sums = [train_epoch(s, x, y, batch_size, True, sample_weight) for _ in range(epochs)]
    out = np.empty((rows, outputs), dtype)
    s.predict(x, out)
    numbers = np.array([[t["loss"], t["data_loss"], t["penalty"]] for t in sums])
    assert np.isfinite(numbers).all(), numbers
    return sha256([*s.get_weights(), *(a for slot in s.get_slots() for a in slot), numbers, out])


def assert_one_digest(**case: Any) -> None:
    digests = {name: trained(**case) for name in configurations(THREADS)}
    assert len(set(digests.values())) == 1, f"{case}: {digests}"


@pytest.mark.parametrize("batch_size", [1, 32, 100, 300])
def test_small_network(dtype: str, batch_size: int) -> None:
    """203 rows: batches of 32 and 100 leave a partial batch, 300 is one partial batch."""
    rows = 40 if batch_size == 1 else 203
    loss = loss_spec("sparse_categorical_crossentropy")
    assert_one_digest(width=33, rows=rows, batch_size=batch_size, loss=loss, optimizer=ADAM, dtype=dtype)


@pytest.mark.parametrize("batch_size", [32, 100, 203])
def test_rows_of_a_batch_shared_between_threads(dtype: str, batch_size: int) -> None:
    """Without an activity penalty each thread takes some rows through the whole of a small network."""
    loss = loss_spec("categorical_crossentropy")
    shape: dict[str, Any] = {"width": 64, "rows": 203, "batch_size": batch_size, "activity_penalty": False}
    assert_one_digest(**shape, loss=loss, optimizer=ADAM, dtype=dtype)


def test_steps_with_threads_and_without() -> None:
    """84 full batches: short steps are tried 32 times with all threads, 32 times with one, then as was faster."""
    loss = loss_spec("categorical_crossentropy")
    shape: dict[str, Any] = {"width": 64, "rows": 203, "batch_size": 32, "activity_penalty": False}
    assert_one_digest(**shape, loss=loss, optimizer=ADAM, dtype="float32", epochs=14)


def test_network_wide_enough_for_threads(dtype: str) -> None:
    loss = loss_spec("binary_crossentropy")
    assert_one_digest(width=300, rows=700, batch_size=256, loss=loss, optimizer=ADAM, dtype=dtype, epochs=1)


@pytest.mark.parametrize("name", ["nesterov", "rmsprop_both", "adagrad", "amsgrad", "clipnorm", "clipvalue"])
def test_other_optimizers(name: str) -> None:
    loss = loss_spec("mean_squared_error")
    spec = OPTIMIZERS[name] | {"learning_rate": 0.005}
    assert_one_digest(width=40, rows=150, batch_size=64, loss=loss, optimizer=spec, dtype="float32")


def test_global_clipnorm() -> None:
    spec = optimizer_spec("adam", global_clipnorm=0.5)
    loss = loss_spec("huber")
    assert_one_digest(width=200, rows=150, batch_size=64, loss=loss, optimizer=spec, dtype="float32")


def test_the_digest_notices_a_change() -> None:
    """The tests above could not fail if the digest ignored what a seed or a rate changes."""
    loss = loss_spec("mean_squared_error")
    base = {"width": 20, "rows": 60, "batch_size": 16, "loss": loss, "optimizer": ADAM, "dtype": "float32"}
    others = [{"batch_size": 17}, {"optimizer": ADAM | {"learning_rate": 0.0101}}]
    digests = [trained(**base), *(trained(**base | other) for other in others)]
    assert len(set(digests)) == 3
    assert trained(**base) == digests[0], "the same training twice"


def test_predictions_do_not_depend_on_the_batch(isa: str, threads: int, dtype: str) -> None:
    loss, rows = loss_spec("categorical_crossentropy"), 131
    layers = network(50, 3, "softmax", activity_penalty=True)
    x, _ = data_for(loss, rows, 23, 3, dtype)
    s = session(layers, weights_for(layers, 23, dtype), loss, ADAM, inputs=23, dtype=dtype)
    whole = np.empty((rows, 3), dtype)
    s.predict(x, whole)
    for batch_size in (1, 2, 7, 32, 64):
        out = np.full((rows, 3), np.nan, dtype)
        for i in range(0, rows, batch_size):
            s.predict(x[i : i + batch_size], out[i : i + batch_size])
        assert_same_bits(out, whole, f"{isa}, {threads} threads: predictions in batches of {batch_size}")


def test_more_rows_than_are_predicted_at_once(isa: str, threads: int, dtype: str) -> None:
    """2,100 rows are predicted and evaluated in blocks; here beside parts that are a block each."""
    loss, rows, part = loss_spec("categorical_crossentropy"), 2100, 300
    layers = [dense(50, "relu", kernel_penalty=PROXIMAL), dense(3, "softmax")]
    x, y = data_for(loss, rows, 23, 3, dtype)
    metrics: list[Spec] = [{"kind": "categorical_accuracy"}]
    s = session(layers, weights_for(layers, 23, dtype), loss, ADAM, inputs=23, dtype=dtype, metrics=metrics)
    whole, parts = np.full((rows, 3), np.nan, dtype), np.full((rows, 3), np.nan, dtype)
    s.predict(x, whole)
    sums = {"data_loss": 0.0, "hits": 0.0}
    for i in range(0, rows, part):
        s.predict(x[i : i + part], parts[i : i + part])
        of_part = s.evaluate(x[i : i + part], y[i : i + part], None)
        sums["data_loss"] += of_part["data_loss"]
        sums["hits"] += of_part["metrics"][0][0]
    assert_same_bits(whole, parts, f"{isa}, {threads} threads")
    total = s.evaluate(x, y, None)
    assert total["rows"] == rows
    assert total["data_loss"] == pytest.approx(sums["data_loss"], rel=1e-6)
    assert total["metrics"][0][0] == sums["hits"]
