"""Exact precision: however a training goes - in pieces, with hooks, with changes on the way, saved and loaded - the GPU
ends in the bits of the CPU. test_parity.py has what can be trained.

It must not know expected values: the CPU has its own tests. It is over 250 lines: a way to go each.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import fastreg
from checks import assert_same_bits, running
from device_cases import (
    CLASSES,
    SCORES,
    Outcome,
    X,
    assert_numbers,
    assert_same_on_both,
    assert_same_outcome,
    classifier,
    compiled,
    needs_gpu,
    outcome,
)
from fastreg import callbacks, load_model
from fastreg.layers import Dense, Dropout
from fastreg.optimizers import schedules
from networks import PROXIMAL, SUBGRADIENT, data_for, dense, dropout, session, train_epoch, weights_for
from reference import Spec, loss_spec
from reference_update import optimizer_spec

needs_gpu()
FIT: dict[str, Any] = {"batch_size": 32, "epochs": 3, "verbose": 0}


def test_batch_hooks_see_the_same_numbers() -> None:
    def train(device: str) -> Outcome:
        seen: list[dict[str, float]] = []
        hooks = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(dict(logs)))
        model = classifier(device, metrics=["accuracy"])
        history = model.fit(X, CLASSES, callbacks=[hooks], validation_split=0.2, **FIT)
        plain = classifier(device, metrics=["accuracy"])
        plain.fit(X, CLASSES, validation_split=0.2, **FIT)
        for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
            assert_same_bits(a, b, f"{device}: with hooks against without")
        return outcome(model, [history], batches=[list(logs.values()) for logs in seen])

    assert_same_on_both(train)


def test_steps_of_their_own_between_epochs() -> None:
    def train(device: str) -> Outcome:
        model, seen = classifier(device, metrics=["accuracy"]), []
        for i in range(3):
            seen.append(model.train_on_batch(X[:32], CLASSES[:32]))
            seen.append(model.fit(X, CLASSES, **(FIT | {"epochs": 1})).history["loss"] * 2)
            seen.append(model.train_on_batch(X[: 5 + i], CLASSES[: 5 + i], sample_weight=np.ones(5 + i)))
            seen.append(model.test_on_batch(X[:50], CLASSES[:50]))
            seen.append(model.evaluate(X, CLASSES, verbose=0))
        return outcome(model, [], seen=seen)

    assert_same_on_both(train)


def test_the_learning_rate_changes_while_training() -> None:
    """Each epoch, each batch, by a plateau and by schedules."""

    def train(device: str) -> Outcome:
        model = classifier(device, "rmsprop")

        def slower(batch: int, logs: Any) -> None:
            model.optimizer.learning_rate = 0.01 / (1 + batch)

        listed = [
            [callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / (1 + epoch))],
            [callbacks.LambdaCallback(on_train_batch_begin=slower)],
            [callbacks.ReduceLROnPlateau(monitor="loss", patience=0, min_delta=10.0)],
        ]
        history = [model.fit(X, CLASSES, callbacks=given, **FIT) for given in listed]
        for schedule in (
            schedules.CosineDecayRestarts(0.02, 5),  # another rate each step
            schedules.PiecewiseConstantDecay([7, 12], [0.02, 0.01, 0.005]),
        ):
            model.optimizer.learning_rate = schedule
            history.append(model.fit(X, CLASSES, **FIT))
        return outcome(model, history)

    assert_same_on_both(train)


def assert_same_sessions(
    layers: list[Spec], optimizer: Spec, train: Callable[[Any, Any, Any], list[Spec]]
) -> None:
    """train(session, x, y) gives the sums of epochs or of parts of them."""
    loss = loss_spec("categorical_crossentropy")
    x, y = data_for(loss, 203, 23, 3, "float32")
    ended = []
    for isa in ("scalar", "cuda"):
        with running(isa):
            s = session(
                layers, weights_for(layers, 23, "float32"), loss, optimizer, inputs=23, dtype="float32"
            )
            sums = [train_epoch(s, x, y, 32, True), *train(s, x, y)]
            numbers = [[t[key] for key in ("loss", "data_loss", "penalty")] for t in sums]
            ended.append((s.get_weights(), numbers, s.penalties(), s.count_zeros()))
    for a, b in zip(ended[1][0], ended[0][0], strict=True):
        assert_same_bits(a, b, "weights")
    for i, what in enumerate(["sums", "penalties", "zeros"], start=1):
        assert_numbers(ended[1][i], ended[0][i], what)


def test_penalties_change_while_training() -> None:
    """A session's penalties, between epochs and in the middle of one."""

    def train(s: Any, x: Any, y: Any) -> list[Spec]:
        s.set_penalty(0, 0.1, 0.0, True)
        sums = [train_epoch(s, x, y, 32, True)]
        s.begin_epoch(x, y, None, 32, True)
        s.run_steps(3)
        s.set_penalty(2, **SUBGRADIENT)
        sums += [s.run_steps(2), s.run_steps(-1)]
        s.set_penalty(0, 0.0, 0.0, True)
        return [*sums, train_epoch(s, x, y, 32, True)]

    layers = [dense(33, "relu", kernel_penalty=PROXIMAL), dropout(0.4, 1), dense(3, "softmax")]
    assert_same_sessions(layers, optimizer_spec("adam", learning_rate=0.01), train)


@pytest.mark.parametrize("clip", [0.0, 1.0])  # without it a GPU would run many steps in one launch
def test_parameters_are_frozen_while_training(clip: float) -> None:
    """Between epochs and in the middle of one: the first layer, all but the last, one in the middle, none, all."""

    def train(s: Any, x: Any, y: Any) -> list[Spec]:
        sums = []
        for frozen in ((0, 1), (0, 1, 2, 3), (2, 3), (), range(6)):
            for i in range(6):
                s.set_trainable(i, i not in frozen)
            s.begin_epoch(x, y, None, 32, True)
            sums.append(s.run_steps(3))
            s.set_trainable(5, not frozen)
            sums.append(s.run_steps(-1))
        return sums

    layers = [
        dense(33, "relu", kernel_penalty=PROXIMAL), dropout(0.4, 1),
        dense(20, "tanh"), dense(3, "softmax", kernel_penalty=PROXIMAL),
    ]  # fmt: skip
    assert_same_sessions(layers, optimizer_spec("adam", learning_rate=0.01, global_clipnorm=clip), train)


def test_compiled_again_with_another_optimizer_and_loss() -> None:
    def train(device: str) -> Outcome:
        model = compiled(device, [Dense(20, "tanh"), Dropout(0.2), Dense(3)], "adam", "mse")
        fits = [model.fit(X, SCORES, **FIT)]
        model.compile(fastreg.SGD(0.01, momentum=0.9, nesterov=True), "huber", metrics=["mae"])
        fits.append(model.fit(X, SCORES, **FIT))
        return outcome(model, fits)

    assert_same_on_both(train)


def test_several_fits_with_different_data() -> None:
    """More rows, fewer rows, sparse, the same arrays with other numbers in them, weights and none."""

    def train(device: str) -> Outcome:
        model, changing = classifier(device), X.copy()
        fits = [model.fit(changing, CLASSES, **FIT), model.fit(X[:50], CLASSES[:50], **FIT)]
        changing *= 0.5
        fits.append(model.fit(changing, CLASSES, shuffle=False, **FIT))
        fits.append(model.fit(np.tile(X, (3, 1)), np.tile(CLASSES, 3), **(FIT | {"batch_size": 100})))
        fits.append(model.fit(sparse.csr_array(np.where(X > 1, X, 0)), CLASSES, **FIT))
        fits.append(model.fit(X, CLASSES, sample_weight=np.linspace(0, 1, len(X)), **FIT))
        fits.append(model.fit(X, CLASSES, validation_data=(X[::2], CLASSES[::2]), **FIT))
        return outcome(model, fits)

    assert_same_on_both(train)


def test_early_stopping_takes_the_best_weights_back() -> None:
    def train(device: str) -> Outcome:
        stop = callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
        model = classifier(device, fastreg.Adam(0.03))
        words = FIT | {"epochs": 60}
        history = model.fit(X, CLASSES, validation_split=0.3, callbacks=[stop], **words)
        assert len(history.history["loss"]) < 60
        return outcome(model, [history], stopped=stop.stopped_epoch)

    assert_same_on_both(train)


def test_weights_are_set_and_layers_added() -> None:
    def train(device: str) -> Outcome:
        model = classifier(device)
        model.fit(X, CLASSES, **FIT)
        model.set_weights([w / 2 for w in model.get_weights()])
        first = model.fit(X, CLASSES, **FIT)
        model.pop()
        model.add(Dense(4, activation="relu"))
        model.add(Dense(3, activation="softmax"))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return outcome(model, [first, model.fit(X, CLASSES, **FIT)])

    assert_same_on_both(train)


def resumed(model: Any, way: str, tmp_path: Path) -> Any:
    if way == "saved":
        model.save(tmp_path / "model.safetensors")
        return load_model(tmp_path / "model.safetensors")
    return {"copied": copy.deepcopy, "pickled": lambda m: pickle.loads(pickle.dumps(m))}[way](model)


@pytest.mark.parametrize("way", ["saved", "copied", "pickled"])
def test_resuming_is_as_if_nothing_had_happened(way: str, backend: str, tmp_path: Path) -> None:
    whole, first = classifier(backend), classifier(backend)
    whole.fit(X, CLASSES, **(FIT | {"epochs": 5}))
    first.fit(X, CLASSES, **(FIT | {"epochs": 2}))
    second = resumed(first, way, tmp_path)
    second.fit(X, CLASSES, initial_epoch=2, **(FIT | {"epochs": 5}))
    assert_same_outcome(outcome(second, []), outcome(whole, []), f"{way} on {backend}")


@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")], ids=" to ".join)
def test_a_training_moves_from_one_device_to_the_other(devices: tuple[str, str], tmp_path: Path) -> None:
    """Saved on one, loaded, and gone on with on the other."""
    whole, first = classifier("cpu"), classifier(devices[0])
    whole.fit(X, CLASSES, **(FIT | {"epochs": 5}))
    first.fit(X, CLASSES, **(FIT | {"epochs": 2}))
    first.save(tmp_path / "model.safetensors")
    second = load_model(tmp_path / "model.safetensors")
    state = second._ready()
    moved = classifier(devices[1])
    moved.build((None, X.shape[1]))
    moved.set_weights(second.get_weights())
    moved._ready().set_slots(state.get_slots())
    moved._ready().set_position(state.step, state.epoch)
    moved.fit(X, CLASSES, initial_epoch=2, **(FIT | {"epochs": 5}))
    assert_same_outcome(outcome(moved, []), outcome(whole, []), " to ".join(devices))


def test_predictions_do_not_depend_on_the_batch() -> None:
    model = classifier("cuda")
    model.fit(X, CLASSES, **FIT)
    whole = model.predict(X)
    for size in (1, 7, 32, 1000):
        assert_same_bits(model.predict(X, batch_size=size), whole, f"in batches of {size}")
        alone = np.concatenate([model.predict(X[i : i + size]) for i in range(0, len(X), size)])
        assert_same_bits(alone, whole, f"{size} rows alone")


def test_two_models_at_once() -> None:
    """Their steps alternate on one GPU and do not meet."""
    alone = classifier("cuda")
    alone.fit(X, CLASSES, **FIT)
    one, other = classifier("cuda"), classifier("cuda", "sgd")
    for epoch in range(3):
        for model in (one, other):
            model.fit(X, CLASSES, initial_epoch=epoch, **(FIT | {"epochs": epoch + 1}))
    assert_same_outcome(outcome(one, []), outcome(alone, []), "beside another model")
