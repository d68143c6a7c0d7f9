"""The techniques compared, and one training run of the same network under one of them from one seed.
It must not print, plot or compare."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import fastreg
from demo.digits import Digits
from fastreg.callbacks import Callback, EarlyStopping
from fastreg.layers import Dense, Dropout, Input
from fastreg.losses import ElasticNet, SparseCategoricalCrossentropy
from fastreg.regularizers import l1, l2

SEEDS = range(10)  # each technique is trained from every one of them
EPOCHS = 300
BATCH_SIZE = 32
LEARNING_RATE = 1e-3
PATIENCE = 20  # epochs without a better validation loss


@dataclass(frozen=True)
class Technique:
    """What is switched on; a factor or rate of 0 and `patience` None mean "off"."""

    name: str
    l1: float = 0.0
    l2: float = 0.0
    alpha: float = 0.0
    beta: float = 0.0
    dropout: float = 0.0
    patience: int | None = None


TECHNIQUES = (
    Technique("none"),
    Technique("L1", l1=5e-4),
    Technique("L2", l2=1e-3),
    Technique("ElasticNet", alpha=5e-4, beta=5e-4),
    Technique("dropout", dropout=0.4),
    Technique("early stopping", patience=PATIENCE),
    Technique("all together", alpha=3e-4, beta=3e-4, dropout=0.3, patience=PATIENCE),
)


@dataclass(frozen=True)
class Result:
    """What one run measured. Accuracies are shares in [0, 1]; losses are cross-entropies in nats, penalties apart;
    `kernel` is the first layer's, (64, units)."""

    technique: Technique
    seed: int
    history: dict[str, list[float]]
    train_accuracy: float
    test_accuracy: float
    test_loss: float
    zero_share: float
    features_used: int
    best_epoch: int | None  # counted from 1; None without early stopping
    final_val_loss: float  # of the weights the model ends with, penalties included, as EarlyStopping saw it
    stopped_early: bool
    seconds: float
    kernel: NDArray[np.float32]

    @property
    def epochs(self) -> int:
        return len(self.history["loss"])


def build(technique: Technique, seed: int) -> fastreg.Sequential:
    """64-128-64-10, compiled; the seed decides the initial weights, the shuffles and the masks."""
    penalty = l1(technique.l1) if technique.l1 else l2(technique.l2) if technique.l2 else None
    loss = SparseCategoricalCrossentropy()
    model = fastreg.Sequential([Input((64,))], seed=seed)
    for units in (128, 64):
        model.add(Dense(units, activation="relu", kernel_regularizer=penalty))
        if technique.dropout:
            model.add(Dropout(technique.dropout))
    model.add(Dense(10, activation="softmax", kernel_regularizer=penalty))
    model.compile(
        optimizer=fastreg.Adam(LEARNING_RATE),
        loss=ElasticNet(loss, technique.alpha, technique.beta) if technique.alpha else loss,
        metrics=["accuracy"],
    )
    return model


def train(technique: Technique, seed: int, digits: Digits, epochs: int) -> Result:
    """Fit on the training rows, watch the validation rows, measure on the test rows once at the end."""
    model = build(technique, seed)
    callbacks: list[Callback] = []
    stopper = None
    if technique.patience is not None:
        stopper = EarlyStopping(monitor="val_loss", patience=technique.patience, restore_best_weights=True)
        callbacks.append(stopper)

    start = time.perf_counter()
    history = model.fit(
        digits.x_train,
        digits.y_train,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        validation_data=(digits.x_val, digits.y_val),
        callbacks=callbacks,
        verbose=0,
    ).history
    seconds = time.perf_counter() - start

    kernels = model.get_weights()[::2]
    test = model.evaluate(digits.x_test, digits.y_test, verbose=0, return_dict=True)
    return Result(
        technique=technique,
        seed=seed,
        history=history,
        train_accuracy=model.evaluate(digits.x_train, digits.y_train, verbose=0)[1],
        test_accuracy=test["accuracy"],
        test_loss=test["data_loss"],
        zero_share=sum(int((w == 0).sum()) for w in kernels) / sum(w.size for w in kernels),
        features_used=int((kernels[0] != 0).any(axis=1).sum()),
        best_epoch=stopper.best_epoch + 1 if stopper else None,
        final_val_loss=model.evaluate(digits.x_val, digits.y_val, verbose=0)[0],
        stopped_early=stopper is not None and stopper.stopped_reason == "patience",
        seconds=seconds,
        kernel=kernels[0],
    )
