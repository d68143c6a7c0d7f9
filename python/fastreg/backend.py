"""What Keras programs reach as `keras.backend`. It must not hold a state of its own.

Examples
--------
>>> from fastreg import backend as K
>>> K.clear_session()
>>> K.epsilon(), K.floatx()
(1e-07, 'float32')
"""

from __future__ import annotations

from typing import Any

from fastreg.utils import clear_session

__all__ = ["clear_session", "epsilon", "floatx", "get_value", "set_value"]


def epsilon() -> float:
    """1e-7, at which losses clip probabilities."""
    return 1e-7


def floatx() -> str:
    """The dtype of a model that states none."""
    return "float32"


def get_value(x: Any) -> Any:
    """`x.numpy()`: a plain array or number of NumPy."""
    return x.numpy()


def set_value(x: Any, value: Any) -> None:
    """`x.assign(value)`: sets a weight, or a learning rate as in `set_value(model.optimizer.learning_rate, 0.1)`."""
    x.assign(value)
