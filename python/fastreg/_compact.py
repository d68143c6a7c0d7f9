"""A network without the hidden units that its weights, zeros of L1 above all, have switched off.

It must not know sessions, files or how anything is trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastreg._arrays import Array
from fastreg._layer import Layer
from fastreg._sampling import output
from fastreg.layers import Dense

Weights = list[Array]  # of a dense layer: kernel, and bias if it has one


def without_dead_units(layers: Sequence[Layer], arrays: Sequence[Array]) -> list[Weights]:
    """The weights of each dense layer, without its dead units, of a model with `arrays` as weights; they stay as they
    are. See models.compact."""
    places = [i for i, layer in enumerate(layers) if isinstance(layer, Dense)]
    given = iter(arrays)
    weights = [[next(given) for _ in layers[i].weights] for i in places]
    again = True
    while again:  # a unit that goes may have been the last that another one was read by
        again = False
        for k in range(len(places) - 1):
            between = layers[places[k] : places[k + 1]]
            again |= _units_stand_alone(between) and _drop_units(weights[k], weights[k + 1], between)
    return weights


def _units_stand_alone(between: Sequence[Layer]) -> bool:
    """Whether what comes between two dense layers, the first of them included, does to each unit the same as alone."""
    return all(layer.native(0, 0).get("activation") != "softmax" for layer in between)


def _drop_units(into: Weights, out_of: Weights, between: Sequence[Layer]) -> bool:
    """Take the dead units between two dense layers out of their weights; whether anything changed."""
    constant, unread = ~np.any(into[0], axis=0), ~np.any(out_of[0], axis=1)
    value = _value_without_input(into, between)
    has_bias = len(out_of) > 1
    dead = np.array(unread | (constant & (has_bias | (value == 0))))
    if dead.all():  # a layer has a unit at least; what it reads need not stay
        dead[-1] = False
        if unread[-1] and not constant[-1]:
            into[0] = into[0].copy()
            into[0][:, -1] = 0
            return True
    if not dead.any():
        return False
    if has_bias:
        moved = np.flatnonzero(dead & ~unread)
        total = out_of[1] + value[moved].astype(np.float64) @ out_of[0][moved].astype(np.float64)
        out_of[1] = total.astype(out_of[1].dtype)
    into[:] = [array[..., ~dead] for array in into]
    out_of[0] = out_of[0][~dead]
    return True


def _value_without_input(into: Weights, between: Sequence[Layer]) -> Array:
    """What the second dense layer reads, at inference, of units of the first if its inputs have the weight 0."""
    kernel, *bias = into
    value = np.zeros((1, 1), kernel.dtype)
    for layer in between:
        weights = [np.zeros((1, kernel.shape[1]), kernel.dtype), *bias] if isinstance(layer, Dense) else []
        value = output(layer.native(0, 0), weights, value, None)
    constant: Array = value[0]
    return constant
