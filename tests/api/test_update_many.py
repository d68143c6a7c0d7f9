"""One update of many arrays: the same bits as one by one, and nothing touched when any of them is refused.

It must not check the formulas: tests/rules does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from binding_cases import ADAM, raises
from cases import OPTIMIZERS, PENALTIES, start
from checks import assert_same_bits
from fastreg import _core

SIZES = (1, 0, 67, 5000, 3)


def terms(name: str) -> tuple[float, float, bool]:
    penalty = PENALTIES[name]
    return penalty["l1"], penalty["l2"], penalty["proximal"]


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "clipnorm"])
def test_many_are_the_same_bits_as_one_by_one(name: str, dtype: str, threads: int) -> None:
    spec, penalties = OPTIMIZERS[name], [terms(p) for p in (*PENALTIES, "none")]
    many, single = ([start(spec, n, dtype) for n in SIZES] for _ in range(2))
    for t in (1, 2, 16):
        gradients = [np.random.default_rng([n, t]).normal(size=n).astype(dtype) for n in SIZES]
        values = _core.update_many(
            spec, [w for w, _ in many], gradients, [slots for _, slots in many], t, penalties
        )
        for i, (w, slots) in enumerate(single):
            assert _core.update(spec, w, gradients[i], slots, t, *penalties[i]) == values[i]
    for (w, slots), (expected, expected_slots) in zip(many, single, strict=True):
        assert_same_bits(w, expected, f"{name}, {w.size} weights")
        for got, wanted in zip(slots, expected_slots, strict=True):
            assert_same_bits(got, wanted, f"{name}, a slot of {w.size} weights")


def test_a_global_clip_sees_all_gradients_together() -> None:
    spec = {"kind": "sgd", "learning_rate": 1.0, "global_clipnorm": 1.0}
    w = [np.zeros(1), np.zeros((1, 2))]
    none = (0.0, 0.0, True)
    _core.update_many(spec, w, [np.full(1, 2.0), np.array([[2.0, 1.0]])], [[], []], 1, [none, none])
    np.testing.assert_allclose(np.concatenate([x.ravel() for x in w]), [-2 / 3, -2 / 3, -1 / 3], rtol=1e-15)


def test_no_arrays_are_no_work() -> None:
    assert _core.update_many(ADAM, [], [], [], 1, []) == []


def call(**changes: Any) -> tuple[list[np.ndarray], Any]:
    """Two parameters of Adam with some arguments replaced; all arrays that might be written, and the call."""
    w, m, v = ([np.ones((2, 3)), np.ones(4)] for _ in range(3))
    arguments = {
        "optimizer": ADAM, "weights": w, "gradients": [np.ones((2, 3)), np.ones(4)],
        "slots": [[m[0], v[0]], [m[1], v[1]]], "step": 1, "penalties": [(0.1, 0.2, True), (0.0, 0.0, True)],
    } | {name: change(w, m, v) if callable(change) else change for name, change in changes.items()}  # fmt: skip
    return [*w, *m, *v], lambda: _core.update_many(**arguments)


BAD: dict[str, tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = {
    "gradients missing": (
        {"gradients": [np.ones((2, 3))]}, ValueError, ("gradients must hold 2 items, one for each of weights, got 1",)
    ),
    "slots missing": ({"slots": [[]]}, ValueError, ("slots must hold 2 items", "got 1")),
    "penalties missing": ({"penalties": []}, ValueError, ("penalties must hold 2 items", "got 0")),
    "no list": ({"weights": np.ones(3)}, TypeError, ("weights must be a list, got numpy.ndarray",)),
    "no array": ({"gradients": [np.ones((2, 3)), 1.0]}, TypeError, ("gradients[1] must be a numpy.ndarray",)),
    "shape of a gradient": (
        {"gradients": [np.ones((2, 3)), np.ones(5)]},
        ValueError, ("gradients[1] must have shape (4,), that of weights[1], got (5,)",),
    ),
    "shape of a slot": (
        {"slots": lambda w, m, v: [[m[0], v[0]], [m[1], v[0]]]},
        ValueError, ("slots[1][1] must have shape (4,), that of weights[1], got (2, 3)",),
    ),
    "dtype": (
        {"gradients": [np.ones((2, 3)), np.ones(4, "f4")]},
        TypeError, ("gradients[1] must have dtype float64, that of weights[0], got float32",),
    ),
    "layout": (
        {"gradients": [np.ones((3, 2)).T, np.ones(4)]}, ValueError, ("gradients[0] must be contiguous (C order)",)
    ),
    "number of slots": (
        {"slots": lambda w, m, v: [[m[0], v[0]], [m[1]]]},
        ValueError, ("parameter 1: slots must hold 2 arrays for this optimizer, got 1",),
    ),
    "more slots than any optimizer has": (
        {"slots": lambda w, m, v: [[m[0], v[0]], [m[1], v[1], np.ones(4), np.ones(4)]]},
        ValueError, ("parameter 1: slots must hold 2 arrays for this optimizer, got 4",),
    ),
    "penalty": (
        {"penalties": [(0.0, 0.0, True), (-1.0, 0.0, True)]}, ValueError, ("parameter 1: update l1 must be", "got -1")
    ),
    "penalty's terms": ({"penalties": [(0.0, 0.0)] * 2}, ValueError, ("penalties[0] must hold 3 items",)),
    "penalty's type": ({"penalties": [(0.0, 0.0, 1)] * 2}, TypeError, ("penalties[0][2] must be True or False",)),
    "step": ({"step": 0}, ValueError, ("step must be >= 1, got 0",)),
    "overlap with another parameter": (
        {"slots": lambda w, m, v: [[m[0], v[0]], [w[0].reshape(-1)[2:], v[1]]]},
        ValueError, ("parameter 1's slots[0] must not overlap parameter 0's w in memory",),
    ),
    "overlap with a gradient": (
        {"gradients": lambda w, m, v: [np.ones((2, 3)), v[0].reshape(-1)[:4]]},
        ValueError, ("parameter 0's slots[1] must not overlap parameter 1's g in memory",),
    ),
    "the same weights twice": (
        {"weights": lambda w, m, v: [w[1], w[1]], "gradients": [np.ones(4)] * 2,
         "slots": lambda w, m, v: [[m[1], v[1]], [np.ones(4), np.ones(4)]]},
        ValueError, ("parameter 1's w must not overlap parameter 0's w in memory",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_refused_call_touches_nothing(case: str) -> None:
    changes, kind, words = BAD[case]
    arrays, run = call(**changes)
    with raises(kind, *words):
        run()
    assert all((array == 1).all() for array in arrays)


def test_gradients_may_share_memory() -> None:
    shared = np.arange(10.0)
    arrays, run = call(gradients=[shared[:6].reshape(2, 3), shared[3:7]])
    values = run()
    assert values == pytest.approx([0.1 * 6 + 0.2 * 6, 0.0])
    assert all((array != 1).any() for array in arrays)


def test_a_read_only_weight_is_refused() -> None:
    frozen = np.ones(4)
    frozen.flags.writeable = False
    with raises(ValueError, "weights[1] must be writeable, got a read-only array"):
        call(weights=lambda w, m, v: [w[0], frozen])[1]()
