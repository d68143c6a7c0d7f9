"""Metrics: what is counted over an epoch, and how the counts become a number.

During fit and evaluate the native core fills the accumulators (at Metric, csrc/rules/spec.h says what they hold);
`update_state` fills the same accumulators from arrays, by the same rules. `result` serves both; after an epoch or an
evaluation it is what that logged. They must not know models. It is over 250 lines because it is a list of small
classes, one for each name that Keras has.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastreg import losses
from fastreg._arguments import choice, integer, number
from fastreg._arrays import Array, pair, row_weights
from fastreg._configurable import Configurable, argument_names, find, own_class, snake_case, table_of
from fastreg._tensor import Number, Tensor
from fastreg._words import OtherWords

__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
    "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge", "Huber", "LogCoshError",
    "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Metric",
    "Poisson", "Precision", "R2Score", "Recall", "RootMeanSquaredError", "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy", "TrueNegatives", "TruePositives", "binary_accuracy", "binary_crossentropy",
    "categorical_accuracy", "categorical_crossentropy", "get", "hinge", "huber", "log_cosh", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "poisson",
    "sparse_categorical_accuracy", "sparse_categorical_crossentropy",
]  # fmt: skip

Totals = NDArray[np.float64]


class Metric(Configurable, OtherWords):
    """Base of the metrics: `update_state` as often as there are batches, then `result`.

    Examples
    --------
    >>> metric = BinaryAccuracy()
    >>> metric.update_state([[1], [0]], [[0.9], [0.6]])
    >>> metric.result()
    0.5
    """

    _neutral: ClassVar = {"dtype": ((None, "float32"), "a metric takes the dtype of what it is given")}
    sparse_targets = False  # whether y_true holds class indices
    maximised = False  # whether larger is better

    def __init__(self, name: str | None = None) -> None:
        self.name = snake_case(type(self).__name__) if name is None else str(name)
        self._totals: Totals | None = None

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count `y_true` and `y_pred`, (rows,) or (rows, outputs), weighted by `sample_weight` (rows,).

        It counts what `evaluate` does of a model that predicts `y_pred`, which is float32 or becomes float64; all else
        takes its dtype.
        """
        target, prediction = pair(y_true, y_pred, self.name, self.sparse_targets)
        self.check_outputs(prediction.shape[1])
        given = row_weights(sample_weight, len(target), prediction.dtype, "sample_weight")
        weight = np.ones(len(target)) if given is None else given.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and infinity are counted as they are
            totals = self.accumulate(target, prediction, weight)
        self._totals = totals if self._totals is None else self._totals + totals

    def result(self) -> Any:
        """The metric of everything counted since the last reset; 0.0 when nothing was."""
        return Number(0.0 if self._totals is None else self.result_of(self._totals))

    def counted(self, totals: Totals) -> None:
        """Take what the native core counted in place of what was counted before."""
        self._totals = totals

    def reset_state(self) -> None:
        """Forget everything counted."""
        self._totals = None

    reset_states = reset_state  # tf.keras's other name

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def check_outputs(self, outputs: int) -> None:
        """Raise ValueError where the metric is not defined for so many outputs."""

    def native(self) -> dict[str, Any]:
        """The metric as the native core takes it."""
        raise NotImplementedError

    def accumulate(self, target: Array, prediction: Array, weight: Totals) -> Totals:
        """The accumulators of these rows alone: `target` of the dtype of `prediction`, `weight` (rows,)."""
        raise NotImplementedError

    def result_of(self, totals: Totals) -> Any:
        """The metric's value from accumulators: by default [sum of w m, sum of w], a weighted mean."""
        return _ratio(float(totals[0]), float(totals[1]))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


class _RowMean(Metric):
    """The weighted mean over rows of a number that each has."""

    def per_row(self, target: Array, prediction: Array) -> Any:
        """The rows' numbers, (rows,)."""
        raise NotImplementedError

    def accumulate(self, target: Array, prediction: Array, weight: Totals) -> Totals:
        return np.array([np.dot(self.per_row(target, prediction), weight), weight.sum()])


# ---- accuracy ------------------------------------------------------------------------------------------------------
class Accuracy(_RowMean):
    """Share of `y_true == y_pred`, exactly: for predicted classes. `compile` takes the string "accuracy" instead."""

    maximised = True

    def native(self) -> dict[str, Any]:
        raise ValueError(
            "metrics.Accuracy counts y_true == y_pred exactly, which outputs such as probabilities never are; "
            'pass the string "accuracy", BinaryAccuracy, CategoricalAccuracy or SparseCategoricalAccuracy'
        )

    def per_row(self, target: Array, prediction: Array) -> Any:
        return (target == prediction).mean(axis=1)


def _largest(values: Array) -> NDArray[np.int64]:
    """The place of each row's largest, the first of equals. NaN is never larger, and nothing is larger than a NaN in
    the first place."""
    unknown = np.isnan(values)
    return np.where(unknown[:, 0], 0, np.where(unknown, -np.inf, values).argmax(axis=1))


class BinaryAccuracy(_RowMean):
    """Share of outputs on the right side of `threshold`: `y_true == (y_pred > threshold)`.

    As in Keras `threshold` is rounded to float32, so that a float32 output of 0.3 is not above 0.3.
    """

    maximised = True

    def __init__(self, name: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = number(threshold, "threshold")

    def native(self) -> dict[str, Any]:
        return {"kind": "binary_accuracy", "threshold": float(_single(self.threshold))}

    def per_row(self, target: Array, prediction: Array) -> Any:
        return (target == (prediction > _single(self.threshold))).mean(axis=1)


def _single(threshold: float) -> np.float32:
    with np.errstate(over="ignore"):  # no float32 is above infinity either
        return np.float32(threshold)


class CategoricalAccuracy(_RowMean):
    """Share of rows whose largest output is the class of the one-hot row of `y_true`."""

    maximised = True

    def native(self) -> dict[str, Any]:
        return {"kind": "categorical_accuracy"}

    def per_row(self, target: Array, prediction: Array) -> Any:
        return _largest(target) == _largest(prediction)


class SparseCategoricalAccuracy(_RowMean):
    """Share of rows whose largest output is the class index in `y_true` (rows,) or (rows, 1)."""

    maximised = True

    sparse_targets = True

    def native(self) -> dict[str, Any]:
        return {"kind": "sparse_categorical_accuracy"}

    def per_row(self, target: Array, prediction: Array) -> Any:
        return target[:, 0] == _largest(prediction)


# ---- means of losses -----------------------------------------------------------------------------------------------
class _LossMetric(_RowMean):
    """The mean of a loss."""

    loss: losses.Loss

    def native(self) -> dict[str, Any]:
        return {"kind": "loss", "loss": self.loss.native()}

    def per_row(self, target: Array, prediction: Array) -> Any:
        return self.loss.per_row(target, prediction)


class MeanSquaredError(_LossMetric):
    """Mean of `(y_true - y_pred)**2`."""

    loss = losses.MeanSquaredError()


class RootMeanSquaredError(_LossMetric):
    """Square root of the mean of `(y_true - y_pred)**2`."""

    loss = losses.MeanSquaredError()

    def result_of(self, totals: Totals) -> float:
        return float(np.sqrt(super().result_of(totals)))


class MeanAbsoluteError(_LossMetric):
    """Mean of `|y_true - y_pred|`."""

    loss = losses.MeanAbsoluteError()


class MeanAbsolutePercentageError(_LossMetric):
    """Mean of `100 * |y_true - y_pred| / max(|y_true|, 1e-7)`."""

    loss = losses.MeanAbsolutePercentageError()


class MeanSquaredLogarithmicError(_LossMetric):
    """Mean of `(log(1 + y_true) - log(1 + y_pred))**2`; what is below 1e-7 counts as 1e-7."""

    loss = losses.MeanSquaredLogarithmicError()


class LogCoshError(_LossMetric):
    """Mean of `log(cosh(y_pred - y_true))`; its name is "logcosh", as in Keras."""

    loss = losses.LogCosh()

    def __init__(self, name: str | None = "logcosh") -> None:
        super().__init__(name)


class Hinge(_LossMetric):
    """Mean of the hinge loss; see `losses.Hinge`."""

    loss = losses.Hinge()


class Poisson(_LossMetric):
    """Mean of the Poisson loss; see `losses.Poisson`."""

    loss = losses.Poisson()


class Huber(_LossMetric):
    """Mean of the Huber loss; see `losses.Huber`."""

    def __init__(self, name: str | None = None, delta: float = 1.0) -> None:
        super().__init__(name)
        self.loss = losses.Huber(delta)
        self.delta = self.loss.delta


class BinaryCrossentropy(_LossMetric):
    """Mean of the binary cross-entropy; see `losses.BinaryCrossentropy`."""

    def __init__(
        self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name)
        self.loss = losses.BinaryCrossentropy(from_logits, label_smoothing)
        self.from_logits, self.label_smoothing = self.loss.from_logits, self.loss.label_smoothing


class CategoricalCrossentropy(_LossMetric):
    """Mean of the categorical cross-entropy; see `losses.CategoricalCrossentropy`."""

    def __init__(
        self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name)
        self.loss = losses.CategoricalCrossentropy(from_logits, label_smoothing)
        self.from_logits, self.label_smoothing = self.loss.from_logits, self.loss.label_smoothing


class SparseCategoricalCrossentropy(_LossMetric):
    """Mean of the cross-entropy of class indices; see `losses.SparseCategoricalCrossentropy`."""

    sparse_targets = True

    def __init__(self, name: str | None = None, from_logits: bool = False) -> None:
        super().__init__(name)
        self.loss = losses.SparseCategoricalCrossentropy(from_logits)
        self.from_logits = self.loss.from_logits


# ---- counts over thresholds ----------------------------------------------------------------------------------------
class _ThresholdMetric(Metric):
    """Counts positives (targets above 0.5) and negatives between ascending thresholds, over all outputs.

    Thresholds are float32, outputs are compared with them exactly, and NaN is above none.
    """

    maximised = True

    _edges: NDArray[np.float32]

    def native(self) -> dict[str, Any]:
        return {"kind": "thresholds", "thresholds": [float(edge) for edge in self._edges]}

    def accumulate(self, target: Array, prediction: Array, weight: Totals) -> Totals:
        values = prediction.ravel()
        bucket = np.where(np.isnan(values), 0, np.searchsorted(self._edges, values, side="left"))
        positive = target.ravel() > 0.5
        weights = np.repeat(weight, prediction.shape[1])
        size = len(self._edges) + 1
        counts = [np.bincount(bucket[mask], weights[mask], size) for mask in (positive, ~positive)]
        return np.concatenate(counts).astype(np.float64)  # NumPy counts nothing in integers

    def confusion(self, totals: Totals) -> tuple[Totals, Totals, Totals, Totals]:
        """True positives, false positives, false negatives, true negatives at each threshold."""
        from_edge = np.asarray(totals).reshape(2, -1)[:, ::-1].cumsum(axis=1)[:, ::-1]
        true_positive, false_positive = from_edge[:, 1:]
        false_negative, true_negative = from_edge[:, :1] - from_edge[:, 1:]
        return true_positive, false_positive, false_negative, true_negative


class _OneThreshold(_ThresholdMetric):
    """A metric of the counts at one threshold, 0.5 when it is None."""

    _neutral: ClassVar = {
        **Metric._neutral,
        "top_k": ((None,), "outputs are chosen by the threshold"),
        "class_id": ((None,), "all outputs count"),
    }

    def __init__(self, thresholds: float | Sequence[float] | None = None, name: str | None = None) -> None:
        super().__init__(name)
        if isinstance(thresholds, (list, tuple)) and len(thresholds) == 1:
            thresholds = thresholds[0]
        self.thresholds = 0.5 if thresholds is None else number(thresholds, "thresholds", low=0.0, high=1.0)
        self._edges = np.array([self.thresholds], dtype=np.float32)

    def _counts(self, totals: Totals) -> tuple[float, ...]:
        """What `confusion` gives, of the one threshold."""
        false_negative, true_positive, true_negative, false_positive = totals.tolist()
        return true_positive, false_positive, false_negative, true_negative


class Precision(_OneThreshold):
    """Share of true ones among the outputs above `thresholds` (one number; 0.5 when None)."""

    def result_of(self, totals: Totals) -> float:
        true_positive, false_positive, _, _ = self._counts(totals)
        return _ratio(true_positive, true_positive + false_positive)


class Recall(_OneThreshold):
    """Share of the true ones whose output is above `thresholds` (one number; 0.5 when None)."""

    def result_of(self, totals: Totals) -> float:
        true_positive, _, false_negative, _ = self._counts(totals)
        return _ratio(true_positive, true_positive + false_negative)


class TruePositives(_OneThreshold):
    """Weight of the true ones whose output is above `thresholds` (one number; 0.5 when None)."""

    def result_of(self, totals: Totals) -> float:
        return self._counts(totals)[0]


class FalsePositives(_OneThreshold):
    """Weight of the others whose output is above `thresholds` (one number; 0.5 when None)."""

    maximised = False

    def result_of(self, totals: Totals) -> float:
        return self._counts(totals)[1]


class FalseNegatives(_OneThreshold):
    """Weight of the true ones whose output is not above `thresholds` (one number; 0.5 when None)."""

    maximised = False

    def result_of(self, totals: Totals) -> float:
        return self._counts(totals)[2]


class TrueNegatives(_OneThreshold):
    """Weight of the others whose output is not above `thresholds` (one number; 0.5 when None)."""

    def result_of(self, totals: Totals) -> float:
        return self._counts(totals)[3]


class AUC(_ThresholdMetric):
    """Area under the ROC or the precision-recall curve, from counts at `num_thresholds` thresholds.

    As in Keras an output outside [0, 1] counts as the nearer end; NaN counts as 0.

    Parameters
    ----------
    num_thresholds : int, default 200
        At least 2: evenly spaced in [0, 1], the first and the last moved out by 1e-7, as in Keras.
    curve : {"ROC", "PR"}
        The precision-recall curve is interpolated in counts (Davis and Goadrich 2006).
    summation_method : {"interpolation", "minoring", "majoring"}
        Trapezoids, or rectangles of the lower or the higher end.
    """

    _neutral: ClassVar = {
        **Metric._neutral,
        "thresholds": ((None,), "they are evenly spaced, num_thresholds of them"),
        "multi_label": ((False,), "all outputs make one curve"),
        "num_labels": ((None,), "all outputs make one curve"),
        "label_weights": ((None,), "all outputs make one curve"),
        "from_logits": ((False,), "outputs are compared as they are; end the model in a sigmoid"),
    }

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.num_thresholds = integer(num_thresholds, "num_thresholds", low=2)
        self.curve = choice(curve, "curve", ("ROC", "PR"))
        methods = ("interpolation", "minoring", "majoring")
        self.summation_method = choice(summation_method, "summation_method", methods)
        edges = np.arange(self.num_thresholds) / (self.num_thresholds - 1)
        edges[0], edges[-1] = -1e-7, 1.0 + 1e-7
        self._edges = edges.astype(np.float32)

    def confusion(self, totals: Totals) -> tuple[Totals, Totals, Totals, Totals]:
        counts = np.array(totals).reshape(2, -1)
        counts[:, 1] += counts[:, 0]  # 0 is above the first threshold alone
        counts[:, -2] += counts[:, -1]  # 1 is above all but the last
        counts[:, 0] = counts[:, -1] = 0.0
        return super().confusion(counts)

    def result_of(self, totals: Totals) -> float:
        true_positive, false_positive, false_negative, true_negative = self.confusion(totals)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _pr_area(true_positive, false_positive, false_negative)
        recall = _divide(true_positive, true_positive + false_negative)
        if self.curve == "ROC":
            x, y = _divide(false_positive, false_positive + true_negative), recall
        else:
            x, y = recall, _divide(true_positive, true_positive + false_positive)
        return float(np.sum((x[:-1] - x[1:]) * self._heights(y[:-1], y[1:])))

    def _heights(self, left: Totals, right: Totals) -> Totals:
        if self.summation_method == "interpolation":
            return (left + right) / 2
        return np.minimum(left, right) if self.summation_method == "minoring" else np.maximum(left, right)


def _divide(part: Totals, whole: Totals) -> Totals:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _pr_area(true_positive: Totals, false_positive: Totals, false_negative: Totals) -> float:
    """Between two thresholds, true positives are linear in all positives; precision is integrated exactly."""
    positive = true_positive + false_positive
    d_true = true_positive[:-1] - true_positive[1:]
    slope = _divide(d_true, positive[:-1] - positive[1:])
    intercept = true_positive[1:] - slope * positive[1:]
    ratio = np.ones_like(slope)
    np.divide(positive[:-1], positive[1:], out=ratio, where=(positive[:-1] > 0) & (positive[1:] > 0))
    area = slope * (d_true + intercept * np.log(ratio))
    return float(np.sum(_divide(area, true_positive[1:] + false_negative[1:])))


# ---- counts per class ----------------------------------------------------------------------------------------------
class FBetaScore(Metric):
    """`(1 + beta**2) * precision * recall / (beta**2 * precision + recall)` (van Rijsbergen 1979).

    Parameters
    ----------
    average : {"micro", "macro", "weighted"}, optional
        How several outputs become one number: "micro" counts all of them together, "macro" is the mean of their scores,
        "weighted" the mean weighted by how often each is true. One output has no average to choose.
    beta : float, default 1
        Above 0. How many times as much recall counts as precision.
    threshold : float in [0, 1], optional
        An output above it counts as chosen. By default the largest of a row does, all that are equally large; so one
        output must have a threshold.
    name : str, optional

    Raises
    ------
    ValueError
        With several outputs, if there is no `average`; with one output, if there is no `threshold`.

    Examples
    --------
    >>> FBetaScore(threshold=0.5)([[1], [1], [0]], [[0.9], [0.4], [0.6]])
    0.5
    >>> FBetaScore("macro")([[1, 0], [1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    0.6666666666666666
    """

    maximised = True
    _name = "fbeta_score"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name or self._name)
        self.average = None if average is None else choice(average, "average", ("micro", "macro", "weighted"))
        self.beta = number(beta, "beta", low=0.0, open_low=True)
        self.threshold = None if threshold is None else number(threshold, "threshold", low=0.0, high=1.0)

    def check_outputs(self, outputs: int) -> None:
        if outputs == 1 and self.threshold is None:
            raise ValueError(
                f"metric {self.name!r} must have a threshold for one output, which is always the largest"
            )
        if outputs > 1 and self.average is None:
            raise ValueError(
                f'metric {self.name!r} must have average="micro", "macro" or "weighted" for {outputs} outputs, not None'
            )

    def native(self) -> dict[str, Any]:
        if self.threshold is None:
            return {"kind": "class_counts", "largest": True}
        return {"kind": "class_counts", "threshold": float(_single(self.threshold))}

    def accumulate(self, target: Array, prediction: Array, weight: Totals) -> Totals:
        if self.threshold is None:
            top = np.where(np.isnan(prediction[:, 0]), np.nan, np.fmax.reduce(prediction, axis=1))
            chosen = (prediction >= top[:, None]) & (np.abs(prediction) > 1e-9)
        else:
            chosen = prediction > _single(self.threshold)
        actual = target.astype(np.float64)
        return np.stack([weight @ (chosen * actual), weight @ chosen, weight @ actual], axis=1).ravel()

    def result_of(self, totals: Totals) -> float:
        counts = np.asarray(totals).reshape(-1, 3)
        if self.average == "micro":
            counts = counts.sum(axis=0, keepdims=True)
        right, chosen, actual = counts.T
        squared = self.beta**2
        scores = _divide((1 + squared) * right, squared * actual + chosen)
        if self.average == "weighted":
            return _ratio(float(scores @ actual), float(actual.sum()))
        return float(scores.mean())


class F1Score(FBetaScore):
    """`FBetaScore` with beta 1, the harmonic mean of precision and recall."""

    _name = "f1_score"

    def __init__(
        self, average: str | None = None, threshold: float | None = None, name: str | None = None
    ) -> None:
        super().__init__(average, 1.0, threshold, name)


# ---- regression ----------------------------------------------------------------------------------------------------
class R2Score(Metric):
    """Coefficient of determination `1 - sum((y - y_pred)**2) / sum((y - mean(y))**2)`.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average"}
        How several outputs become one number. A constant output counts 0, as in Keras.

    Notes
    -----
    Made of sums over all batches in float64, whose rounding counts where targets lie some 10^6 of their own
    deviations from 0: standardize such targets.
    """

    maximised = True
    _neutral: ClassVar = {
        **Metric._neutral,
        "num_regressors": ((0,), "the score is not adjusted for the number of features"),
    }

    def __init__(self, class_aggregation: str = "uniform_average", name: str | None = None) -> None:
        super().__init__(name)
        kinds = ("uniform_average", "variance_weighted_average")
        self.class_aggregation = choice(class_aggregation, "class_aggregation", kinds)

    def native(self) -> dict[str, Any]:
        return {"kind": "r2"}

    def accumulate(self, target: Array, prediction: Array, weight: Totals) -> Totals:
        t, y = target.astype(np.float64), prediction.astype(np.float64)
        sums = [np.full(t.shape[1], weight.sum()), weight @ t, weight @ t**2, weight @ (t - y) ** 2]
        return np.stack(sums, axis=1).ravel()

    def result_of(self, totals: Totals) -> float:
        weight, sum_t, sum_t2, residual = np.asarray(totals).reshape(-1, 4).T
        total = sum_t2 - _divide(sum_t**2, weight)
        rounding = np.finfo(np.float64).eps * (16.0 + 0.25 * weight)  # of sums of so many numbers
        total = np.where(total > rounding * sum_t2, total, 0.0)  # a constant target's is what rounding left
        scores = np.zeros_like(total)
        np.divide(residual, total, out=scores, where=total > 0)
        scores = np.where(total > 0, 1.0 - scores, 0.0)
        if self.class_aggregation == "uniform_average":
            return float(scores.mean())
        return _ratio(float(np.sum(scores * total)), float(total.sum()))


# ---- functions -----------------------------------------------------------------------------------------------------
def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> Array:
    """The share of each row's outputs that are right, (rows,): see `BinaryAccuracy`.

    Examples
    --------
    >>> binary_accuracy([[1.0, 0.0], [1.0, 1.0]], [[0.7, 0.2], [0.4, 0.6]]).tolist()
    [1.0, 0.5]
    """
    return _rows_of(BinaryAccuracy(threshold=threshold), y_true, y_pred)


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """1 for each row that is right, else 0, (rows,): see `CategoricalAccuracy`.

    Examples
    --------
    >>> categorical_accuracy([[0.0, 1.0], [1.0, 0.0]], [[0.2, 0.8], [0.3, 0.7]]).tolist()
    [1.0, 0.0]
    """
    return _rows_of(CategoricalAccuracy(), y_true, y_pred)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """1 for each row that is right, else 0, (rows,): see `SparseCategoricalAccuracy`.

    Examples
    --------
    >>> sparse_categorical_accuracy([1, 0], [[0.2, 0.8], [0.3, 0.7]]).tolist()
    [1.0, 0.0]
    """
    return _rows_of(SparseCategoricalAccuracy(), y_true, y_pred)


def _rows_of(metric: _RowMean, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    target, prediction = pair(y_true, y_pred, metric.name, metric.sparse_targets)
    values: Array = metric.per_row(target, prediction).astype(prediction.dtype)
    return values.view(Tensor)


mean_squared_error = losses.mean_squared_error
mean_absolute_error = losses.mean_absolute_error
mean_absolute_percentage_error = losses.mean_absolute_percentage_error
mean_squared_logarithmic_error = losses.mean_squared_logarithmic_error
log_cosh = losses.log_cosh
huber = losses.huber
poisson = losses.poisson
hinge = losses.hinge
binary_crossentropy = losses.binary_crossentropy
categorical_crossentropy = losses.categorical_crossentropy
sparse_categorical_crossentropy = losses.sparse_categorical_crossentropy

_CLASSES: list[type[Metric]] = [
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, MeanSquaredError, RootMeanSquaredError,
    MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredLogarithmicError, LogCoshError, Hinge, Poisson, Huber,
    BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy, Precision, Recall, FBetaScore, F1Score,
    TruePositives, FalsePositives, FalseNegatives, TrueNegatives, AUC, R2Score,
]  # fmt: skip
_OTHER_NAMES: dict[str, type[Metric]] = {
    "fbeta_score": FBetaScore, "rmse": RootMeanSquaredError, "log_cosh": LogCoshError, "LogCosh": LogCoshError,
}  # fmt: skip
_TABLE = table_of(_CLASSES, _OTHER_NAMES)
_TABLE.update({alias: _TABLE[loss.__name__] for alias, loss in losses.ALIASES.items()})
# By what the targets are: one output, class indices, one-hot rows.
_BY_TARGETS: dict[str, tuple[type[Metric], type[Metric], type[Metric]]] = {
    "accuracy": (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy),
    "crossentropy": (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy),
}
_BY_TARGETS.update(acc=_BY_TARGETS["accuracy"], ce=_BY_TARGETS["crossentropy"])
_FUNCTIONS = (binary_accuracy, categorical_accuracy, sparse_categorical_accuracy)


def get(identifier: Any) -> Metric:
    """The metric that `identifier` means: an object, a name such as "mse" or "auc", a function, a description, or the
    loss whose mean it is."""
    if isinstance(identifier, losses.Loss):
        identifier = _mean_of(identifier)
    is_ours = inspect.isfunction(identifier) and identifier in _FUNCTIONS
    named = identifier.__name__ if is_ours else losses.name_of(identifier)
    return find(named, Metric, _TABLE, "metric")


def _mean_of(loss: losses.Loss) -> Any:
    """The metric of a loss, or the loss itself where it has none."""
    cls: Any = _TABLE.get(own_class(type(loss)).__name__)
    if cls is None:
        return loss
    settings, known = loss._arguments(), argument_names(cls)
    return cls(**{name: value for name, value in settings.items() if name in known})


def resolve(identifier: Any, output_units: int, sparse_targets: bool) -> Metric:
    """`get`, for a model: "accuracy" and "crossentropy" go by the targets; a name given stays the name shown."""
    if isinstance(identifier, str) and identifier.lower() in _BY_TARGETS:
        binary, sparse, categorical = _BY_TARGETS[identifier.lower()]
        metric = (sparse if sparse_targets else binary if output_units == 1 else categorical)()
    else:
        metric = get(identifier)
    if isinstance(identifier, str):
        metric.name = identifier
    if metric.sparse_targets != sparse_targets:
        needs = "class indices" if metric.sparse_targets else f"targets of {output_units} columns"
        takes = "class indices" if sparse_targets else f"{output_units} columns"
        raise ValueError(f"metric {metric.name!r} needs {needs}; the targets of the loss are {takes}")
    metric.check_outputs(output_units)
    metric.native()
    return metric
