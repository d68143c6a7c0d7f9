"""Losses: their words and settings, and how `ElasticNet` adds a penalty over every kernel.

They must not know a formula: the native core computes every loss. It is over 250 lines because it is
a list: each loss is a class and a function, as in Keras.

Notes
-----
The function forms take `y_true` and `y_pred` (rows, outputs), or what `np.asarray` makes such arrays of, and return the
loss of each row, (rows,), without weights. A vector is one row, whose loss is an array of shape (). `y_pred` stays
float32 or becomes float64; `y_true` and the result take its dtype.

They raise TypeError for what is no array of real numbers, or a masked one, and ValueError where shapes do not fit, for
class indices that are none and for settings that the class refuses. They do not ask, as `fit` does, whether other
numbers are what the loss is for: what is not finite, or out of range, is computed with.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastreg import _core
from fastreg._arguments import choice, flag, number
from fastreg._arrays import Array, numeric, pair, row_weights
from fastreg._configurable import Configurable, find, own_class, snake_case, table_of
from fastreg._tensor import Number, Tensor
from fastreg._words import OtherWords
from fastreg.regularizers import METHODS, factor

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "ElasticNet", "Hinge", "Huber", "LogCosh", "Loss",
    "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
    "SparseCategoricalCrossentropy", "binary_crossentropy", "categorical_crossentropy", "get", "hinge", "huber",
    "log_cosh", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
    "mean_squared_logarithmic_error", "poisson", "sparse_categorical_crossentropy",
]  # fmt: skip

REDUCTIONS = ("sum_over_batch_size", "sum", "none")


class Loss(Configurable, OtherWords):
    """Base of the losses.

    Calling a loss with `y_true` and `y_pred` (rows, outputs) gives the mean over rows of
    `sample_weight * loss`; with `reduction="sum"` the sum, with `reduction="none"` one value per row.
    Training always uses the mean over the batch.
    """

    _neutral: ClassVar = {
        "axis": ((-1,), "classes are the last of two axes"),
        "dtype": ((None,), "a loss takes the dtype of what it is given"),
        "ignore_class": ((None,), "every row counts; give it the sample_weight 0"),
    }
    name: str
    reduction: str
    from_logits = False
    label_smoothing = 0.0
    delta = 1.0

    def __init__(self, reduction: str = "sum_over_batch_size", name: str | None = None) -> None:
        self.reduction = choice("none" if reduction is None else reduction, "reduction", REDUCTIONS)
        self.name = snake_case(type(self).__name__) if name is None else name

    @property
    def kind(self) -> str:
        """The native core's name of the loss."""
        return snake_case(own_class(type(self)).__name__)

    def native(self) -> dict[str, Any]:
        """The loss as the native core takes it."""
        return {
            "kind": self.kind,
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "delta": self.delta,
        }

    def _pair(self, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
        return pair(y_true, y_pred, self.name, self.kind == "sparse_categorical_crossentropy")

    def per_row(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        """The unweighted loss of each row, (rows,)."""
        target, prediction = self._pair(y_true, y_pred)
        values = np.empty(prediction.shape[0], dtype=prediction.dtype)
        _core.loss_forward(target, prediction, None, self.native(), values, None)
        return values.view(Tensor)

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        target, prediction = self._pair(y_true, y_pred)
        weight = row_weights(sample_weight, len(prediction), prediction.dtype, "sample_weight")
        values = np.empty(prediction.shape[0], dtype=prediction.dtype)
        mean = _core.loss_forward(target, prediction, weight, self.native(), values, None)
        if self.reduction == "none":
            return (values if weight is None else values * weight).view(Tensor)
        return Number(mean * prediction.shape[0] if self.reduction == "sum" else mean)


class MeanSquaredError(Loss):
    """`mean((y_true - y_pred)**2)` over the outputs of a row.

    Examples
    --------
    >>> float(MeanSquaredError()([[1.0, 2.0]], [[0.0, 0.0]]))
    2.5
    """


class MeanAbsoluteError(Loss):
    """`mean(|y_true - y_pred|)` over the outputs of a row.

    Examples
    --------
    >>> float(MeanAbsoluteError()([[1.0, 2.0]], [[0.0, 0.0]]))
    1.5
    """


class MeanAbsolutePercentageError(Loss):
    """`mean(100 * |y_true - y_pred| / max(|y_true|, 1e-7))` over the outputs of a row."""


class MeanSquaredLogarithmicError(Loss):
    """`mean((log(1 + y_true) - log(1 + y_pred))**2)` over the outputs of a row; what is below 1e-7 counts as 1e-7."""


class LogCosh(Loss):
    """`mean(log(cosh(y_pred - y_true)))` over the outputs of a row: nearly half the square, then nearly the size."""


class Huber(Loss):
    """Squared (halved) up to `delta`, linear beyond: less moved by outliers (Huber 1964). `delta` is above 0."""

    def __init__(
        self, delta: float = 1.0, reduction: str = "sum_over_batch_size", name: str | None = "huber_loss"
    ) -> None:
        super().__init__(reduction, name)
        self.delta = number(delta, "delta", low=0.0, open_low=True)


class Poisson(Loss):
    """`mean(y_pred - y_true * log(y_pred + 1e-7))` over the outputs of a row."""


class Hinge(Loss):
    """`mean(max(1 - y_true * y_pred, 0))` over the outputs of a row; labels are -1 and 1, or 0 and 1."""


class _Crossentropy(Loss):
    """A cross-entropy of probabilities, or of logits (values before sigmoid or softmax)."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = flag(from_logits, "from_logits")
        self.label_smoothing = number(label_smoothing, "label_smoothing", low=0.0, high=1.0)


class BinaryCrossentropy(_Crossentropy):
    """Cross-entropy of independent yes/no outputs: `y_true` and `y_pred` (rows, outputs) in [0, 1].

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits instead of probabilities.
    label_smoothing : float in [0, 1]
        Labels become `y * (1 - s) + s / 2`.
    """


class CategoricalCrossentropy(_Crossentropy):
    """Cross-entropy of one of several classes: `y_true` (rows, classes) one-hot or probabilities.

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits instead of probabilities.
    label_smoothing : float in [0, 1]
        Labels become `y * (1 - s) + s / classes`.
    """


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of one of several classes: `y_true` (rows,) or (rows, 1) holds class indices 0, 1, ...

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits instead of probabilities.
    """

    def __init__(
        self, from_logits: bool = False, reduction: str = "sum_over_batch_size", name: str | None = None
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = flag(from_logits, "from_logits")


class ElasticNet(Loss):
    """A loss plus `alpha * sum|w| + beta * sum(w**2)` over every kernel of the model (Zou and Hastie 2005).

    Biases carry no penalty. The layers' own regularizers stay: factors add.

    Parameters
    ----------
    loss : str or Loss
        The data loss, which must be given. Calling the object on arrays gives this part alone; there are no weights to
        penalize.
    alpha, beta : float
        Factors of the L1 and the L2 penalty, at least 0.
    method : {"proximal", "subgradient"}
        How the L1 part is applied; see `regularizers.L1`. A layer whose own L1 uses the other method is an error.

    Examples
    --------
    >>> loss = ElasticNet("mean_squared_error", alpha=1e-3, beta=1e-3)
    >>> loss.name
    'elastic_net'
    """

    def __init__(
        self,
        loss: Any = None,
        alpha: float = 0.0,
        beta: float = 0.0,
        method: str = "proximal",
        name: str | None = None,
    ) -> None:
        if loss is None:
            raise TypeError(
                'ElasticNet must have the loss that it adds to: ElasticNet("mean_squared_error", alpha=1e-3, beta=1e-3)'
            )
        self.loss = get(loss)
        if isinstance(self.loss, ElasticNet):
            raise ValueError("loss must be a data loss, not another ElasticNet; add the factors instead")
        super().__init__(self.loss.reduction, name)
        self.alpha = factor(alpha, "alpha")
        self.beta = factor(beta, "beta")
        self.method = choice(method, "method", METHODS)
        self.from_logits = self.loss.from_logits
        self.label_smoothing = self.loss.label_smoothing
        self.delta = self.loss.delta

    @property
    def kind(self) -> str:
        return self.loss.kind


def _row_values(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """One value per row; a vector is one row, as in Keras."""
    prediction = numeric(y_pred, "y_pred")
    target = numeric(y_true, "y_true", prediction.dtype)
    if prediction.ndim > 1:
        return loss.per_row(target, prediction)
    return loss.per_row(target.reshape(1, -1), prediction.reshape(1, -1)).reshape(())


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """`mean((y_true - y_pred)**2)` of each row: `MeanSquaredError` as a function.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> mean_squared_error([[1.0, 2.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]).tolist()
    [2.5, 0.0]
    """
    return _row_values(MeanSquaredError(), y_true, y_pred)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """`mean(|y_true - y_pred|)` of each row: `MeanAbsoluteError` as a function.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> mean_absolute_error([[1.0, 2.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]).tolist()
    [1.5, 0.0]
    """
    return _row_values(MeanAbsoluteError(), y_true, y_pred)


def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """`MeanAbsolutePercentageError` as a function.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> mean_absolute_percentage_error([[2.0, 4.0]], [[1.0, 5.0]]).tolist()
    [37.5]
    """
    return _row_values(MeanAbsolutePercentageError(), y_true, y_pred)


def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """`MeanSquaredLogarithmicError` as a function.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> mean_squared_logarithmic_error([[3.0]], [[1.0]]).round(4).tolist()
    [0.4805]
    """
    return _row_values(MeanSquaredLogarithmicError(), y_true, y_pred)


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """`LogCosh` as a function.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> log_cosh([[0.0], [0.0]], [[1.0], [10.0]]).round(4).tolist()
    [0.4338, 9.3069]
    """
    return _row_values(LogCosh(), y_true, y_pred)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Array:
    """`Huber` as a function: the mean of `e**2 / 2` where `|e| <= delta`, else of `delta * (|e| - delta / 2)`.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> huber([[1.0], [1.0]], [[1.5], [5.0]]).tolist()
    [0.125, 3.5]
    """
    return _row_values(Huber(delta), y_true, y_pred)


def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """`mean(y_pred - y_true * log(y_pred + 1e-7))` of each row, `y_pred` at least 0: `Poisson` as a function.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> poisson([[0.0, 1.0]], [[2.0, 1.0]]).round(4).tolist()
    [1.5]
    """
    return _row_values(Poisson(), y_true, y_pred)


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """`mean(max(1 - y_true * y_pred, 0))` of each row, labels -1 and 1, or 0 and 1: `Hinge` as a function.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> hinge([[0.0, 1.0]], [[1.0, 0.5]]).tolist()
    [1.25]
    """
    return _row_values(Hinge(), y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """`BinaryCrossentropy` as a function: targets and, without `from_logits`, predictions in [0, 1].

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> binary_crossentropy([[1.0], [0.0]], [[0.5], [0.25]]).round(4).tolist()
    [0.6931, 0.2877]
    """
    return _row_values(BinaryCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """`CategoricalCrossentropy` as a function: targets one-hot or probabilities.

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).round(4).tolist()
    [0.6931]
    """
    return _row_values(CategoricalCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def sparse_categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> Array:
    """`SparseCategoricalCrossentropy` as a function: `y_true` (rows,) or (rows, 1) holds class indices 0, 1, ...

    Arguments, result and errors: see `fastreg.losses`.

    Examples
    --------
    >>> sparse_categorical_crossentropy([1, 0], [[0.2, 0.8], [0.5, 0.5]]).round(4).tolist()
    [0.2231, 0.6931]
    """
    return _row_values(SparseCategoricalCrossentropy(from_logits), y_true, y_pred)


CLASSES: list[type[Loss]] = [
    MeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    LogCosh,
    Huber,
    Poisson,
    Hinge,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
]
ALIASES: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "logcosh": LogCosh,
    "bce": BinaryCrossentropy,
    "cce": CategoricalCrossentropy,
    "scce": SparseCategoricalCrossentropy,
}
_TABLE = table_of([*CLASSES, ElasticNet], ALIASES)
_FUNCTIONS = (
    mean_squared_error, mean_absolute_error, mean_absolute_percentage_error, mean_squared_logarithmic_error, log_cosh,
    huber, poisson, hinge, binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy,
)  # fmt: skip
mse = MSE = mean_squared_error  # tf.keras's other names
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
logcosh = log_cosh


def name_of(identifier: Any) -> Any:
    """The name of a function of this module, which its class goes by too; anything else as it is."""
    return identifier.__name__ if inspect.isfunction(identifier) and identifier in _FUNCTIONS else identifier


def get(identifier: Any) -> Loss:
    """The loss that `identifier` means: an object, a name such as "mse", a function of this module or a description."""
    return find(name_of(identifier), Loss, _TABLE, "loss")
