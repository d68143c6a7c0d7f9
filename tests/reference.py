"""The oracle: every formula of fastreg in float64 NumPy, written from the equations, as slow as it likes.

It must not import fastreg nor share code with csrc: only then does agreement mean something.
Specs are the dicts that `fastreg._core` takes (loss, optimizer, PENALTY, CONSTRAINT), so a test states a case once.
It is over 250 lines because there is a formula for everything.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
Spec = dict[str, Any]

EPSILON = 1e-7  # Keras's backend.epsilon()
SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al. 2017, equation 14
SELU_ALPHA = 1.6732632423543772848170429916717
ACTIVATIONS = ["linear", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"]
ACTIVATIONS += ["softplus", "softmax"]
ELEMENTWISE = ACTIVATIONS[:-1]  # all but softmax, which mixes a row
LOSSES = [
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "binary_crossentropy",
    "categorical_crossentropy",
]
LOSSES += ["sparse_categorical_crossentropy", "hinge", "poisson", "mean_absolute_percentage_error"]
LOSSES += ["mean_squared_logarithmic_error", "log_cosh"]


# ---- activations -------------------------------------------------------------------------------------------------
def sigmoid(z: F64) -> F64:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def normal_cdf(z: F64) -> F64:
    return 0.5 * np.vectorize(math.erfc, otypes=[np.float64])(-z / math.sqrt(2))


def normal_pdf(z: F64) -> F64:
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def log_softmax(z: F64) -> F64:
    if z.shape[-1] == 0:
        return z.copy()
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def activation(z: ArrayLike, kind: str, alpha: float = 0.0) -> F64:
    """f(z); softmax along the last axis."""
    z = np.asarray(z, np.float64)
    negative = np.minimum(z, 0)
    if kind == "linear":
        return z.copy()
    if kind == "relu":
        return np.maximum(z, 0)
    if kind == "leaky_relu":
        return np.where(z > 0, z, alpha * z)
    if kind == "elu":
        return np.where(z > 0, z, alpha * np.expm1(negative))
    if kind == "selu":
        return SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(negative))
    if kind == "gelu":
        return z * normal_cdf(z)
    if kind == "gelu_tanh":
        return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    if kind == "silu":
        return z * sigmoid(z)
    if kind == "tanh":
        return np.tanh(z)
    if kind == "sigmoid":
        return sigmoid(z)
    if kind == "softplus":
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    assert kind == "softmax", kind
    return np.exp(log_softmax(z))


def derivative(z: F64, kind: str, alpha: float = 0.0) -> F64:
    """f'(z) of the elementwise activations. At the kinks: 0 for relu, the slope of the left side for the others."""
    negative = np.minimum(z, 0)
    if kind == "linear":
        return np.ones_like(z)
    if kind == "relu":
        return np.where(z > 0, 1.0, 0.0)
    if kind == "leaky_relu":
        return np.where(z > 0, 1.0, alpha)
    if kind == "elu":
        return np.where(z > 0, 1.0, alpha * np.exp(negative))
    if kind == "selu":
        return SELU_SCALE * np.where(z > 0, 1.0, SELU_ALPHA * np.exp(negative))
    if kind == "gelu":
        return normal_cdf(z) + z * normal_pdf(z)
    if kind == "gelu_tanh":
        c = math.sqrt(2 / math.pi)
        t = np.tanh(c * (z + 0.044715 * z**3))
        return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * c * (1 + 3 * 0.044715 * z * z)
    if kind == "silu":
        s = sigmoid(z)
        return s * (1 + z * (1 - s))
    if kind == "tanh":
        return 1 - np.tanh(z) ** 2
    if kind == "sigmoid":
        return sigmoid(z) * sigmoid(-z)
    assert kind == "softplus", kind
    return sigmoid(z)


def activation_backward(dy: ArrayLike, z: ArrayLike, kind: str, alpha: float = 0.0) -> F64:
    """dL/dz from dL/dy."""
    dy, z = np.asarray(dy, np.float64), np.asarray(z, np.float64)
    if kind == "softmax":
        y = activation(z, kind)
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    return dy * derivative(z, kind, alpha)


# ---- losses ------------------------------------------------------------------------------------------------------
def loss_spec(kind: str, **options: Any) -> Spec:
    return {"kind": kind, "from_logits": False, "label_smoothing": 0.0, "delta": 1.0} | options


def targets(y_true: F64, n_outputs: int, spec: Spec) -> F64:
    """What the loss compares with: smoothed labels, one-hot rows for sparse targets, -1/1 for hinge's 0/1."""
    kind, smoothing = spec["kind"], spec["label_smoothing"]
    if kind == "binary_crossentropy":
        return y_true * (1 - smoothing) + 0.5 * smoothing
    if kind == "categorical_crossentropy":
        return y_true * (1 - smoothing) + smoothing / max(n_outputs, 1)
    if kind == "sparse_categorical_crossentropy":
        return np.eye(n_outputs)[y_true.reshape(-1).astype(np.int64)]
    if kind == "hinge" and np.all((y_true == 0) | (y_true == 1)):  # Keras decides for the whole batch
        return 2 * y_true - 1
    return y_true


def clip_bounds(dtype: Any) -> tuple[float, float]:
    """[1e-7, 1 - 1e-7] as the numbers of `dtype` nearest to it (float32: the upper end is 1 - 2**-23)."""
    return float(np.dtype(dtype).type(EPSILON)), float(np.dtype(dtype).type(1 - EPSILON))


def loss_terms(y_true: ArrayLike, y_pred: ArrayLike, spec: Spec, dtype: Any = np.float64) -> tuple[F64, F64]:
    """(per-row loss, its gradient w.r.t. that row of y_pred), shapes (rows,) and (rows, outputs)."""
    p = np.asarray(y_pred, np.float64)
    n = p.shape[1]
    t = targets(np.asarray(y_true, np.float64), n, spec)
    kind, (low, high) = spec["kind"], clip_bounds(dtype)
    if kind == "mean_squared_error":
        terms, slopes = (p - t) ** 2, 2 * (p - t)
    elif kind == "mean_absolute_error":
        terms, slopes = np.abs(p - t), np.sign(p - t)
    elif kind == "huber":
        delta, e = spec["delta"], p - t
        terms = np.where(np.abs(e) <= delta, e * e / 2, delta * np.abs(e) - delta * delta / 2)
        slopes = np.clip(e, -delta, delta)
    elif kind == "hinge":
        terms, slopes = np.maximum(1 - t * p, 0), np.where(t * p < 1, -t, 0.0)
    elif kind == "poisson":
        terms, slopes = p - t * np.log(p + EPSILON), 1 - t / (p + EPSILON)
    elif kind == "mean_absolute_percentage_error":
        scale = 100 / np.maximum(np.abs(t), EPSILON)
        terms, slopes = np.abs(p - t) * scale, np.sign(p - t) * scale
    elif kind == "mean_squared_logarithmic_error":
        e = np.log1p(np.maximum(p, low)) - np.log1p(np.maximum(t, low))
        terms, slopes = e * e, np.where(p < low, 0.0, 2 * e / (1 + p))
    elif kind == "log_cosh":
        terms, slopes = _log_cosh(p - t), np.tanh(p - t)
    elif kind == "binary_crossentropy" and spec["from_logits"]:
        terms, slopes = np.maximum(p, 0) - t * p + np.log1p(np.exp(-np.abs(p))), sigmoid(p) - t
    elif kind == "binary_crossentropy":
        q, open_ = np.clip(p, low, high), (p >= low) & (p <= high)
        terms = -t * np.log(q) - (1 - t) * np.log1p(-q)
        slopes = np.where(open_, (q - t) / (q * (1 - q)), 0.0)
    elif spec["from_logits"]:
        log_p = log_softmax(p)
        return -(t * log_p).sum(axis=1), np.exp(log_p) * t.sum(axis=1, keepdims=True) - t
    elif kind == "categorical_crossentropy":
        return _categorical_from_probabilities(t, p, low, high)
    else:
        return _sparse_from_probabilities(t, p, low, high)
    return terms.mean(axis=1), slopes / n


def _log_cosh(e: F64) -> F64:
    """ln cosh e, as ln(1 + 2 sinh^2(e / 2)) where e is small."""
    a = np.abs(e)
    return np.where(a < 1, np.log1p(2 * np.sinh(np.minimum(a, 1) / 2) ** 2), np.logaddexp(a, -a) - np.log(2))


def _categorical_from_probabilities(t: F64, p: F64, low: float, high: float) -> tuple[F64, F64]:
    """-sum t log clip(p / sum p)."""
    total = p.sum(axis=1, keepdims=True)
    r = p / total
    q = np.clip(r, low, high)
    dq = np.where((r >= low) & (r <= high), -t / q, 0.0)
    return -(t * np.log(q)).sum(axis=1), (dq - (dq * r).sum(axis=1, keepdims=True)) / total


def _sparse_from_probabilities(t: F64, p: F64, low: float, high: float) -> tuple[F64, F64]:
    """Keras on TensorFlow: softmax cross-entropy of log clip(p), which renormalises after the clip."""
    q, open_ = np.clip(p, low, high), (p >= low) & (p <= high)
    total = q.sum(axis=1, keepdims=True)
    value = np.log(total[:, 0]) - (t * np.log(q)).sum(axis=1)
    return value, np.where(open_, 1 / total - t / q, 0.0)


def mean_loss(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None, spec: Spec, dtype: Any = np.float64
) -> tuple[float, F64, F64]:
    """(sum_i w_i l_i / rows, per-row l_i, gradient of the first w.r.t. y_pred)."""
    per_row, slopes = loss_terms(y_true, y_pred, spec, dtype)
    rows = max(len(per_row), 1)
    weight = np.ones(len(per_row)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    return float((weight * per_row).sum() / rows), per_row, slopes * (weight / rows)[:, None]


# ---- metrics: the accumulators that rules/spec.h documents -----------------------------------------------------------
def metric(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None, spec: Spec) -> F64:
    t, p = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    weighted = spec.get("weighted", False) and sample_weight is not None
    w = np.asarray(sample_weight, np.float64) if weighted else np.ones(len(p))
    kind = spec["kind"]
    if kind == "thresholds":
        passed = (p[..., None] > np.asarray(spec["thresholds"], np.float64)).sum(axis=-1)
        weight = np.broadcast_to(w[:, None], p.shape)
        n_bins = len(spec["thresholds"]) + 1
        bins = [np.bincount(passed[m], weight[m], n_bins) for m in (t > 0, ~(t > 0))]
        return np.concatenate(bins)
    if kind == "r2":
        w = w[:, None]
        sums = [np.broadcast_to(w, t.shape), w * t, w * t * t, w * (t - p) ** 2]
        return np.stack([s.sum(axis=0) for s in sums], axis=1).reshape(-1)
    if kind == "class_counts":
        largest = (p == p.max(axis=1, keepdims=True)) & (np.abs(p) > 1e-9)
        chosen = largest if spec.get("largest", False) else p > spec["threshold"]
        return np.stack([w @ (chosen * t), w @ chosen, w @ t], axis=1).reshape(-1)
    if kind == "binary_accuracy":
        value = ((p > spec.get("threshold", 0.5)) == t).mean(axis=1)
    elif kind == "categorical_accuracy":
        value = p.argmax(axis=1) == t.argmax(axis=1)
    elif kind == "sparse_categorical_accuracy":
        value = p.argmax(axis=1) == t[:, 0]
    else:
        assert kind == "loss", kind
        value = loss_terms(t, p, spec["loss"])[0]
    return np.array([(w * value).sum(), w.sum()])
