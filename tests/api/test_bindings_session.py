"""The session of the native module: what it gives and takes, and whose arrays it holds until when.

It must not check what training computes: tests/session does.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import Any

import numpy as np
import pytest

from binding_cases import ADAM, LOSS, data, raises, session


def every(slots: list[list[np.ndarray]]) -> list[np.ndarray]:
    return list(itertools.chain.from_iterable(slots))


def test_parameters_are_listed_in_order() -> None:
    info = [("kernel", (3, 4), 0), ("bias", (4,), 0), ("kernel", (4, 2), 2)]
    assert session().parameter_info() == info
    assert (session().output_units, session().seed) == (2, 7)


def test_weights_are_copies(dtype: str) -> None:
    model = session(dtype=dtype)
    weights = [np.full(shape, i + 1, dtype) for i, (_, shape, _) in enumerate(model.parameter_info())]
    model.set_weights(weights)
    got = model.get_weights()
    for mine, theirs in zip(weights, got):
        assert theirs.flags.c_contiguous
        assert theirs.flags.owndata
        assert theirs.dtype == dtype
        np.testing.assert_array_equal(theirs, mine)
        mine[...] = theirs[...] = 99
    assert [float(w.flat[0]) for w in model.get_weights()] == [1, 2, 3]


WRONG_LAST: list[tuple[Any, type[Exception], str]] = [
    (
        np.ones((2, 4), "f4"),
        ValueError,
        "[2] must have shape (4, 2), that of the kernel of layer 2, got (2, 4)",
    ),
    (np.ones(8, "f4"), ValueError, "[2] must have shape (4, 2), that of the kernel of layer 2, got (8,)"),
    (np.ones((4, 2)), TypeError, "[2] must have dtype float32, that of the session, got float64"),
    (np.ones((2, 4), "f4").T, ValueError, "[2] must be contiguous (C order)"),
    ([[1.0, 2.0]] * 4, TypeError, "[2] must be a numpy.ndarray, got list"),
]


@pytest.mark.parametrize(("last", "kind", "words"), WRONG_LAST, ids=[w[2][:24] for w in WRONG_LAST])
def test_setting_state_is_all_or_nothing(last: Any, kind: type[Exception], words: str) -> None:
    model = session()
    good = [np.full(shape, 5, "f4") for _, shape, _ in model.parameter_info()]
    weights, slots = model.get_weights(), model.get_slots()
    with raises(kind, "weights" + words):
        model.set_weights([*good[:2], last])
    with raises(kind, "slots[1]" + words):
        model.set_slots([good, [*good[:2], last]])
    with raises(ValueError, "weights has 2 items; the session has 3 parameters"):
        model.set_weights(good[:2])
    with raises(ValueError, "slots has 1 items; the session has 2 slots"):
        model.set_slots([good])
    for before, after in zip([*weights, *every(slots)], [*model.get_weights(), *every(model.get_slots())]):
        np.testing.assert_array_equal(before, after)


def test_slots_travel() -> None:
    model, other = session(), session()
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    model.train_batch(*data(), None)
    other.set_slots(model.get_slots())
    assert len(other.slot_names()) == 2
    assert any(a.any() for a in every(other.get_slots()))
    for a, b in zip(every(model.get_slots()), every(other.get_slots())):
        np.testing.assert_array_equal(a, b)


def test_position_and_rates() -> None:
    model = session()
    model.set_position(2**33, 5)
    assert (model.step, model.epoch) == (2**33, 5)
    model.learning_rate = 0.5
    assert model.learning_rate == 0.5
    with raises(ValueError, "step must be in [0, 2**64), got -1"):
        model.set_position(-1, 0)
    with raises(ValueError, "learning_rate must be finite and >= 0, got nan"):
        model.learning_rate = float("nan")
    with raises(ValueError, "learning_rate must be at most 1e38, got 1e+39"):  # infinite in float32
        model.learning_rate = 1e39
    with raises(TypeError, "learning_rate must be a real number, got str"):
        model.learning_rate = "fast"  # type: ignore[assignment]
    model.set_learning_rates([0.25, 0.125])
    with raises(ValueError, "learning_rates must not be empty"):
        model.set_learning_rates([])
    with raises(ValueError, "learning_rates[1] must be finite and >= 0, got -1"):
        model.set_learning_rates([0.1, -1.0])
    with raises(TypeError, "learning_rates[0] must be a real number, got str"):
        model.set_learning_rates(["fast"])  # type: ignore[list-item]
    assert model.learning_rate == 0.25
    with pytest.raises(ValueError, match="parameter"):
        model.set_penalty(3, 0.1, 0.0, True)
    with raises(ValueError, "parameter must be from 0 to 2, got -1"):
        model.set_trainable(-1, False)
    with raises(TypeError, "trainable must be True or False, got str"):
        model.set_trainable(0, "no")  # type: ignore[arg-type]
    assert len(model.penalties()) == len(model.count_zeros()) == 3


def test_some_parameters() -> None:
    model = session()
    weights = model.get_weights()
    for first, count in ((0, None), (1, None), (0, 2), (1, 1), (3, None), (2, 0)):
        stop = None if count is None else first + count
        part = model.get_weights(first, count)
        assert [w.tolist() for w in part] == [w.tolist() for w in weights[first:stop]]
        model.set_weights([w + 1 for w in part], first, count)
        changed = [bool((a != b).any()) for a, b in zip(model.get_weights(), weights, strict=True)]
        assert changed == [i in range(3)[first:stop] for i in range(3)]
        model.set_weights(weights)
    with raises(ValueError, "first must be from 0 to 3, got 4"):
        model.get_weights(4)
    with raises(ValueError, "first must be from 0 to 3, got -1"):
        model.set_weights(weights, -1)
    with raises(ValueError, "count must be from 0 to 1, got 2"):
        model.get_weights(2, 2)
    with raises(ValueError, "weights has 3 items; the session has 1 parameters"):
        model.set_weights(weights, 1, 1)
    with raises(ValueError, "that of the bias of layer 0"):
        model.set_weights([weights[0]], 1, 1)
    state = model.state()
    assert (state["step"], state["epoch"]) == (model.step, model.epoch)
    for got, wanted in ((state["weights"], weights), *zip(state["slots"], model.get_slots(), strict=True)):
        assert [a.tolist() for a in got] == [a.tolist() for a in wanted]


def test_rows_must_agree() -> None:
    x, y = data()
    with raises(ValueError, "y has 7 rows; x has 8"):
        session().evaluate(x, y[:7], None)
    with raises(ValueError, "sample_weight must have shape (8,), one for each row of x, got (8, 1)"):
        session().train_batch(x, y, np.ones((8, 1), "f4"))
    with raises(ValueError, "y must have 2 dimensions, got shape (8,)"):
        session().begin_epoch(x, np.ones(8, "f4"), None, 4, False)
    with raises(ValueError, "x must be contiguous (C order), got shape (8, 3) with strides (4, 32) in bytes"):
        session().begin_epoch(np.asfortranarray(x), y, None, 4, False)
    with raises(ValueError, "out must have shape (8, 2), (rows of x, output_units), got (8, 3)"):
        session().predict(x, np.empty((8, 3), "f4"))


def test_totals() -> None:
    model = session()
    x, y = data()
    model.begin_epoch(x, y, np.ones(8, "f4"), 3, True)
    first = model.run_steps(1)
    assert (first["rows"], first["steps"], first["finished"], first["nonfinite"]) == (3, 1, False, False)
    last = model.run_steps()
    assert (last["rows"], last["steps"], last["finished"]) == (8, 3, True)
    assert all(isinstance(last[key], float) for key in ("loss", "data_loss", "penalty"))
    (sums,) = last["metrics"]
    assert (sums.dtype, sums.shape) == (np.float64, (2,))


def test_an_epoch_keeps_its_arrays_alive_until_it_ends() -> None:
    model = session()

    def begin() -> list[Any]:
        x, y = data()
        weight = np.ones(8, "f4")
        model.begin_epoch(x, y, weight, 4, False)
        return [weakref.ref(a) for a in (x, y, weight)]

    first = begin()
    model.run_steps(1)
    gc.collect()
    assert all(ref() is not None for ref in first)
    second = begin()
    assert all(ref() is None for ref in first), "another epoch has begun"
    model.run_steps()
    assert all(ref() is None for ref in second), "the epoch has finished"
    with raises(RuntimeError, "run_steps needs an epoch: call begin_epoch first"):
        model.run_steps()


def test_an_epoch_that_cannot_begin_leaves_none() -> None:
    model = session()
    model.begin_epoch(*data(), None, 4, False)
    with pytest.raises(ValueError, match="batch_size"):
        model.begin_epoch(*data(), None, 0, False)
    with raises(RuntimeError, "run_steps needs an epoch"):
        model.run_steps()


SPARSE: dict[str, Any] = {"kind": "sparse_categorical_crossentropy", "from_logits": True}


@pytest.mark.parametrize(
    ("loss", "metric", "columns", "words"),
    [
        (LOSS, {"kind": "loss", "loss": LOSS}, 3, "y has 3 columns; the model has 2 outputs"),
        (
            SPARSE,
            {"kind": "sparse_categorical_accuracy"},
            2,
            "y has 2 columns; sparse_categorical_crossentropy expects 1",
        ),
        (
            LOSS,
            {"kind": "loss", "loss": SPARSE},
            2,
            "y has 2 columns; a metric of this model expects 1 column of class",
        ),
        (
            SPARSE,
            {"kind": "loss", "loss": LOSS},
            1,
            "y has 1 columns; a metric of this model expects 2",
        ),
    ],
)
def test_targets_have_the_columns_that_loss_and_metrics_take(
    loss: Any, metric: Any, columns: int, words: str
) -> None:
    model = session()
    model.compile(loss, ADAM, [metric])
    before = model.get_weights()
    x, y = data()[0], np.zeros((8, columns), "float32")
    for call in (
        model.train_batch,
        lambda *a: model.evaluate(*a),
        lambda *a: model.begin_epoch(*a, 8, False),
    ):
        with raises(ValueError, words):
            call(x, y, None)
    for mine, theirs in zip(before, model.get_weights()):
        np.testing.assert_array_equal(mine, theirs)
