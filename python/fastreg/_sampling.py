"""A forward pass as in training, with dropout: what `model(x, training=True)` gives.

It must not know training or sessions: it goes from layer to layer through the gate of fastreg.ops, on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastreg import _core, ops
from fastreg._arrays import Array
from fastreg._layer import Layer


def sample(layers: Sequence[Layer], x: Array, seed: int, step: int) -> Array:
    """The outputs for `x` (n, features), with the masks that training would draw at `step`."""
    for index, layer in enumerate(layers):
        described = layer.native(index, seed)
        if described["kind"] == "dropout":
            x = _dropped(x, step, described)
            continue
        if described["kind"] == "dense":
            kernel, *bias = layer.get_weights()
            x = ops.dense_forward(x, kernel, bias[0] if bias else None)
        y = np.empty_like(x)
        _core.activation_forward(x, described["activation"], described["alpha"], y)
        x = y
    return x


def _dropped(x: Array, step: int, described: dict[str, object]) -> Array:
    rate, seed, stream = (described[name] for name in ("rate", "seed", "stream"))
    if described["scale_at_inference"]:
        kept = ops.dropout_mask(x.shape, rate, seed, step, stream)  # type: ignore[arg-type]
        return np.where(kept, x, x.dtype.type(0))
    return ops.dropout(x, rate, seed, step, stream)  # type: ignore[arg-type]
