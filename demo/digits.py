"""The data: scikit-learn's handwritten digits, 8x8 pixels, cut so that little is left to train on.
It must not know models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TRAIN_ROWS = 300
VALIDATION_ROWS = 100


@dataclass(frozen=True)
class Digits:
    """x (rows, 64): ink per pixel in [0, 1]. y (rows,): the digit, 0 to 9."""

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_val: NDArray[np.float32]
    y_val: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]


def load() -> Digits:
    """400 labelled rows, of which 100 are held out for validation; the other 1397 are the test set."""
    pixels, y = load_digits(return_X_y=True)
    x = (pixels / 16).astype(np.float32)
    labelled = TRAIN_ROWS + VALIDATION_ROWS
    x, x_test, y, y_test = train_test_split(x, y, train_size=labelled, stratify=y, random_state=0)
    x_train, x_val, y_train, y_val = train_test_split(x, y, train_size=TRAIN_ROWS, stratify=y, random_state=0)
    return Digits(x_train, y_train, x_val, y_val, x_test, y_test)
