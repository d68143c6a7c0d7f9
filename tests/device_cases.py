"""What the tests of tests/cuda share: trainings on one device and on the other, and how they are compared.

It must not know what is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from checks import EMULATED, TEST_CUDA, assert_same_bits, sha256
from fastreg.layers import Dense, Dropout
from fastreg.models import Sequential
from fastreg.regularizers import L1L2


def needs_gpu() -> None:
    """To be called at the head of a test file, which is skipped as a whole where no GPU is tested."""
    if not TEST_CUDA:
        pytest.skip("needs a GPU; FASTREG_TEST_CUDA=1 runs it", allow_module_level=True)


too_much_to_emulate = pytest.mark.skipif(EMULATED, reason="a GPU's work, for which an emulator needs minutes")

ROWS, FEATURES = 203, 23  # batches of 32 leave a partial one
_rng = np.random.default_rng(0)
X = _rng.normal(size=(ROWS, FEATURES))
SCORES = X @ _rng.normal(size=(FEATURES, 3)) / 3 + 0.3 * _rng.normal(size=(ROWS, 3))
CLASSES = SCORES.argmax(axis=1)
ONE_HOT = np.eye(3)[CLASSES]
BINARY = (SCORES[:, 0] > 0).astype(float)

Outcome = dict[str, Any]


def bfloat_bits(x: np.ndarray) -> np.ndarray:
    """The bits of bfloat16 nearest to float32 numbers, ties to even; finite ones stay finite."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    near = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    bits16 = np.where(np.isfinite(x) & (near & 0x7F80 == 0x7F80), bits >> 16, near)
    return np.where(np.isnan(x), bits >> 16 | 0x40, bits16).astype(np.uint16)


def from_bfloat_bits(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def hidden(last: Dense, width: int = 33) -> list[Any]:
    """The layers of the network that most tests train: L1 and L2, dropout, two activations."""
    return [
        Dense(width, activation="relu", kernel_regularizer=L1L2(1e-3, 1e-3)),
        Dropout(0.4),
        Dense(width - 1, activation="gelu", kernel_regularizer=L1L2(2e-3, 0.0)),
        Dropout(0.2),
        last,
    ]


def compiled(
    device: str, layers: list[Any], optimizer: Any, loss: Any, dtype: str = "float32", **options: Any
) -> Sequential:
    """A model with the seed 7; `options` go to compile."""
    model = Sequential(layers, seed=7, device=device, dtype=dtype)
    model.compile(optimizer, loss, **options)
    return model


def classifier(device: str, optimizer: Any = "adam", **options: Any) -> Sequential:
    """The network of `hidden` for three classes."""
    last = Dense(3, activation="softmax")
    return compiled(device, hidden(last), optimizer, "sparse_categorical_crossentropy", **options)


def outcome(model: Sequential, histories: list[Any], x: Any = X, **more: Any) -> Outcome:
    """Weights, optimizer state, histories and predictions of a model that was trained."""
    session = model._ready()
    slots = [slot for group in session.get_slots() for slot in group]
    return {
        "history": [h.history if hasattr(h, "history") else h for h in histories],
        "weights": model.get_weights(),
        "slots": slots,
        "predictions": model.predict(x, verbose=0),
        "steps": model.optimizer.iterations,
        **more,
    }


def assert_same_outcome(got: Outcome, expected: Outcome, what: str) -> None:
    """Bit for bit; the message names the first thing that differs."""
    assert got.keys() == expected.keys()
    for epoch, (g, e) in enumerate(zip(got["history"], expected["history"], strict=True)):
        assert_numbers(g, e, f"{what}: history of fit {epoch}")
    for key in ("weights", "slots"):
        for i, (g, e) in enumerate(zip(got[key], expected[key], strict=True)):
            assert_same_bits(g, e, f"{what}: {key}[{i}]")
    assert_same_bits(got["predictions"], expected["predictions"], f"{what}: predictions")
    assert sha256(got["weights"]) == sha256(expected["weights"])
    for key in got.keys() - {"history", "weights", "slots", "predictions"}:
        assert_numbers(got[key], expected[key], f"{what}: {key}")


def assert_numbers(got: Any, expected: Any, what: str) -> None:
    """Equal lists or dicts of numbers; a NaN equals a NaN, and something must have been finite."""
    if isinstance(got, dict):
        assert got.keys() == expected.keys(), f"{what}: {sorted(got)} against {sorted(expected)}"
        for key in got:
            assert_numbers(got[key], expected[key], f"{what}: {key}")
        return
    assert_same_bits(np.array(got, float), np.array(expected, float), what)
    assert np.isfinite(np.array(got, float)).any(), f"{what}: nothing is finite: {got}"


def assert_same_on_both(train: Callable[[str], Outcome], what: str = "cuda against cpu") -> None:
    """`train(device)` gives the same on the CPU and on the GPU."""
    assert_same_outcome(train("cuda"), train("cpu"), what)
