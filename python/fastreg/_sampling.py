"""Forward passes from layer to layer, on the CPU: what `model(x, training=True)` and a call of a layer give.

It must not know training or sessions: it goes through the gate of fastreg.ops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastreg import _core, ops
from fastreg._arrays import Array

if TYPE_CHECKING:
    from fastreg._layer import Layer


def sample(layers: Sequence[Layer], x: Array, seed: int, step: int | None) -> Array:
    """The outputs for `x` (n, features), with the masks that training would draw at `step`; None: at inference."""
    for index, layer in enumerate(layers):
        x = output(layer.native(index, seed), layer.lent_weights(x.dtype), x, step)
    return x


def output(described: dict[str, Any], weights: Sequence[Array], x: Array, step: int | None) -> Array:
    """The output of the layer that is `described` as for the native core, for `x` (n, features); step None: at
    inference."""
    if described["kind"] == "dropout":
        return _dropped(x, step, described)
    if described["kind"] == "dense":
        kernel, *bias = weights
        x = ops.dense_forward(x, kernel, bias[0] if bias else None)
    y = np.empty_like(x)
    _core.activation_forward(x, described["activation"], described["alpha"], y)
    return y


def inference_scale(described: dict[str, Any]) -> float:
    """What a dropout layer, `described` as for the native core, multiplies its input by at inference: 1, or the share
    that it keeps in training."""
    return (
        math.floor((1 - described["rate"]) * 65536 + 0.5) / 65536 if described["scale_at_inference"] else 1.0
    )


def _dropped(x: Array, step: int | None, described: dict[str, Any]) -> Array:
    rate, seed, stream = (described[name] for name in ("rate", "seed", "stream"))
    if step is None:
        scaled: Array = x * x.dtype.type(inference_scale(described))
        return scaled
    if described["scale_at_inference"]:
        kept = ops.dropout_mask(x.shape, rate, seed, step, stream)
        return np.where(kept, x, x.dtype.type(0))
    return ops.dropout(x, rate, seed, step, stream)
