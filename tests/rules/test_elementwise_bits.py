"""Tier T0: elementwise rules give the same bits on every ISA and at every position, edge values included.

It must not compare with formulas; the other tests do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cases import OPTIMIZERS, start
from checks import ISAS, assert_same_bits, edge_values, running
from fastreg import _core
from reference import ELEMENTWISE, LOSSES, loss_spec

Map = Callable[[np.ndarray], np.ndarray]


def into(call: Callable[[np.ndarray, np.ndarray], None]) -> Map:
    def run(x: np.ndarray) -> np.ndarray:
        out = np.full_like(x, 7)
        call(x, out)
        return out

    return run


def updated(name: str, proximal: bool) -> Map:
    def run(w: np.ndarray) -> np.ndarray:
        """Weights and slots after two steps, one row each."""
        spec = OPTIMIZERS[name]
        g, w = w.copy(), w.copy()
        _, slots = start(spec, len(w), w.dtype.name)
        for t in (1, 2):
            _core.update(spec, w, g, slots, t, 0.1, 0.05, proximal)
        return np.stack([w, *slots], axis=1)

    return run


MAPS: dict[str, Map] = {
    **{f"{kind}": into(lambda x, y, k=kind: _core.activation_forward(x, k, 0.3, y)) for kind in ELEMENTWISE},
    **{
        f"{kind}_backward": into(
            lambda x, y, k=kind: _core.activation_backward(np.full_like(x, 1.7), x, k, 0.3, y)
        )
        for kind in ELEMENTWISE
    },
    "penalty_gradient": into(lambda x, y: _core.elastic_net_gradient(x, 0.1, 0.2, y)),
    "prox": into(lambda x, y: _core.prox(x, 0.1, 0.2, 1.5, y)),
    **{
        f"update_{n}": updated(n, True) for n in OPTIMIZERS if not n.startswith("clipnorm")
    },  # a norm is a sum
    "update_subgradient": updated("adam", False),
}


@pytest.mark.parametrize("name", MAPS)
def test_same_bits_on_every_isa(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    scales = np.repeat([1e-6, 1e-2, 1.0, 10.0, 100.0], 2001)
    x = np.concatenate([edge_values(dtype), (rng.normal(size=scales.size) * scales).astype(dtype)])
    results = {}
    for isa in ISAS:
        with running(isa):
            results[isa] = MAPS[name](x)
    for isa in ISAS[:-1]:
        assert_same_bits(results[isa], results["scalar"], f"{name} on {isa} against scalar")


@pytest.mark.parametrize("name", MAPS)
def test_a_value_does_not_depend_on_its_position(isa: str, name: str, dtype: str) -> None:
    """Element i of n elements, for every n up to 67, is what it is alone: tails take the same rule."""
    x = np.concatenate([edge_values(dtype), np.random.default_rng(1).normal(size=67)])[:67].astype(dtype)
    whole = MAPS[name](x)
    for n in range(67):
        assert_same_bits(MAPS[name](x[:n].copy()), whole[:n], f"{name}: the first {n} of 67")
        assert_same_bits(MAPS[name](x[n : n + 1].copy()), whole[n : n + 1], f"{name}: element {n} alone")


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_edges_of_activations(isa: str, dtype: str, kind: str) -> None:
    """NaN stays NaN, no finite input makes NaN, and the limits at plus and minus infinity are the function's."""
    x = edge_values(dtype)
    y, slope = np.empty_like(x), np.empty_like(x)
    _core.activation_forward(x, kind, 0.3, y)
    _core.activation_backward(np.ones_like(x), x, kind, 0.3, slope)
    finite = np.isfinite(x)
    assert np.isnan(y[np.isnan(x)]).all(), f"{kind}(NaN) = {y[np.isnan(x)]}"
    assert not np.isnan(y[~np.isnan(x)]).any(), f"{kind} makes NaN of {x[np.isnan(y) & ~np.isnan(x)]}"
    assert np.isfinite(slope[finite]).all(), (
        f"{kind}': not finite at {x[finite][~np.isfinite(slope[finite])]}"
    )
    left = {"linear": -np.inf, "leaky_relu": -np.inf, "elu": -0.3, "selu": -1.7580993408, "tanh": -1.0}.get(
        kind, 0.0
    )
    right = {"tanh": 1.0, "sigmoid": 1.0}.get(kind, np.inf)
    np.testing.assert_allclose(y[x == -np.inf], left, rtol=1e-6)
    np.testing.assert_allclose(y[x == np.inf], right, rtol=1e-6)
    np.testing.assert_allclose(y[x == 0], {"sigmoid": 0.5, "softplus": np.log(2)}.get(kind, 0.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "from_logits"),
    [(kind, False) for kind in LOSSES] + [(kind, True) for kind in LOSSES if kind.endswith("crossentropy")],
)
def test_losses_have_the_same_bits_on_every_isa_and_row(kind: str, from_logits: bool, dtype: str) -> None:
    rng = np.random.default_rng(2)
    for outputs in (1, 3, 8, 17, 67):
        rows, spec = 41, loss_spec(kind, from_logits=from_logits)
        y_pred = (rng.normal(size=(rows, outputs)) if from_logits else rng.random((rows, outputs))).astype(
            dtype
        )
        y_true = (rng.random((rows, outputs)) < 0.5).astype(dtype)
        if kind.startswith("sparse"):
            y_true = rng.integers(0, outputs, (rows, 1)).astype(dtype)
        results = {}
        for isa in ISAS:
            with running(isa):
                per_row, gradient = np.empty(rows, dtype), np.empty_like(y_pred)
                mean = _core.loss_forward(y_true, y_pred, None, spec, per_row, gradient)
                alone = np.empty(1, dtype)
                _core.loss_forward(y_true[7:8], y_pred[7:8], None, spec, alone, None)
            results[isa] = np.concatenate([per_row, gradient.reshape(-1), np.array([mean], dtype)])
            assert_same_bits(alone, per_row[7:8], f"{kind}, {outputs} outputs, {isa}: row 7 alone")
            assert_same_bits(
                results[isa], results[ISAS[0]], f"{kind}, {outputs} outputs: {isa} against {ISAS[0]}"
            )
