"""A network without the hidden units that its weights, zeros of L1 above all, have switched off.

It must not know sessions, files or how anything is trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastreg._arrays import Array
from fastreg._layer import Layer
from fastreg._sampling import output
from fastreg.layers import Dense


@dataclass
class _Weights:
    """Of a dense layer; the bias is None where it has none."""

    kernel: Array
    bias: Array | None


def without_dead_units(layers: list[Layer]) -> list[list[Array]]:
    """The kernel, and the bias if there is one, of each dense layer of a model without its dead units."""
    places = [i for i, layer in enumerate(layers) if isinstance(layer, Dense)]
    weights = [_Weights(*_weights_of(layers[i])) for i in places]
    again = True
    while again:  # a unit that goes may have been the last that another one was read by
        again = False
        for k in range(len(places) - 1):
            between = layers[places[k] : places[k + 1]]
            again |= _units_stand_alone(between) and _drop_units(weights[k], weights[k + 1], between)
    return [[w.kernel] if w.bias is None else [w.kernel, w.bias] for w in weights]


def _weights_of(layer: Layer) -> tuple[Array, Array | None]:
    kernel, *bias = (np.array(weight) for weight in layer.get_weights())
    return kernel, bias[0] if bias else None


def _units_stand_alone(between: list[Layer]) -> bool:
    """Whether what comes between two dense layers, the first of them included, does to each unit the same as alone."""
    return all(layer.native(0, 0).get("activation") != "softmax" for layer in between)


def _drop_units(into: _Weights, out_of: _Weights, between: list[Layer]) -> bool:
    """Take the dead units between two dense layers out of the weights; whether there was one."""
    constant = ~into.kernel.any(axis=0)
    unread = ~out_of.kernel.any(axis=1)
    value = _value_without_input(into, between)
    dead = unread | (constant & ((out_of.bias is not None) | (value == 0)))
    if dead.all():
        dead[-1] = False  # a layer has a unit at least
    if not dead.any():
        return False
    moved = np.flatnonzero(dead & ~unread)
    if out_of.bias is not None:
        total = out_of.bias + value[moved].astype(np.float64) @ out_of.kernel[moved].astype(np.float64)
        out_of.bias = total.astype(out_of.bias.dtype)
    into.kernel = into.kernel[:, ~dead]
    into.bias = None if into.bias is None else into.bias[~dead]
    out_of.kernel = out_of.kernel[~dead]
    return True


def _value_without_input(into: _Weights, between: list[Layer]) -> Array:
    """What the second dense layer reads, at inference, of units of the first if its inputs have the weight 0."""
    units = into.kernel.shape[1]
    value = np.zeros((1, 1), into.kernel.dtype)
    nothing = [np.zeros((1, units), into.kernel.dtype), *([] if into.bias is None else [into.bias])]
    for layer in between:
        value = output(layer.native(0, 0), nothing if isinstance(layer, Dense) else [], value, None)
    constant: Array = value[0]
    return constant
