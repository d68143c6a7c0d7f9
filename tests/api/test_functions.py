"""Activations and losses called as functions on arrays: each does what its name and arguments say, by the oracle.
It must not test the kernels' accuracy: tests/ops does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
from fastreg import activations, losses, metrics

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(7, 3)) * 2
ACTIVATIONS: list[tuple[str, dict[str, Any], str, float]] = [
    ("linear", {}, "linear", 0.0),
    ("relu", {}, "relu", 0.0),
    ("leaky_relu", {}, "leaky_relu", 0.2),
    ("leaky_relu", {"negative_slope": 0.05}, "leaky_relu", 0.05),
    ("elu", {}, "elu", 1.0),
    ("elu", {"alpha": 0.5}, "elu", 0.5),
    ("selu", {}, "selu", 0.0),
    ("gelu", {}, "gelu", 0.0),
    ("gelu", {"approximate": True}, "gelu_tanh", 0.0),
    ("silu", {}, "silu", 0.0),
    ("swish", {}, "silu", 0.0),
    ("tanh", {}, "tanh", 0.0),
    ("sigmoid", {}, "sigmoid", 0.0),
    ("softplus", {}, "softplus", 0.0),
    ("softmax", {}, "softmax", 0.0),
]


@pytest.mark.parametrize(("name", "options", "kind", "alpha"), ACTIVATIONS)
@pytest.mark.parametrize("shape", [(7, 3), (21,), (7, 1, 3)])
def test_activations(
    name: str, options: Any, kind: str, alpha: float, shape: tuple[int, ...], dtype: str
) -> None:
    z = Z.reshape(shape).astype(dtype)
    y = getattr(activations, name)(z, **options)
    assert (y.dtype, y.shape) == (dtype, shape)
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(y, reference.activation(z, kind, alpha), rtol=tolerance, atol=tolerance)


LABELS, INDICES, SIGNS = np.eye(3)[RNG.integers(0, 3, 7)], RNG.integers(0, 3, (7, 1)), np.sign(Z)
SHARES = reference.activation(Z, "softmax")
BITS, CHANCES = (Z > 0).astype(float), reference.sigmoid(RNG.normal(size=(7, 3)))
LOSSES: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("mean_squared_error", Z, SHARES, {}),
    ("mean_absolute_error", Z, SHARES, {}),
    ("huber", Z, SHARES, {}),
    ("huber", Z, SHARES, {"delta": 0.25}),
    ("poisson", BITS, CHANCES, {}),
    ("mean_absolute_percentage_error", Z, SHARES, {}),
    ("mean_squared_logarithmic_error", CHANCES, Z, {}),
    ("log_cosh", Z, 4 * SHARES, {}),
    ("hinge", SIGNS, Z[::-1], {}),
    ("binary_crossentropy", BITS, CHANCES, {}),
    ("binary_crossentropy", BITS, Z[::-1], {"from_logits": True, "label_smoothing": 0.1}),
    ("categorical_crossentropy", LABELS, SHARES, {}),
    ("categorical_crossentropy", LABELS, Z, {"from_logits": True, "label_smoothing": 0.2}),
    ("sparse_categorical_crossentropy", INDICES, SHARES, {}),
    ("sparse_categorical_crossentropy", INDICES, Z, {"from_logits": True}),
]


@pytest.mark.parametrize(("name", "target", "prediction", "options"), LOSSES)
def test_losses(name: str, target: Any, prediction: Any, options: Any, dtype: str) -> None:
    target, prediction = np.asarray(target, dtype), np.asarray(prediction, dtype)
    expected, _ = reference.loss_terms(target, prediction, reference.loss_spec(name, **options), dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    rows = getattr(losses, name)(target, prediction, **options)
    assert rows.shape == (7,)
    np.testing.assert_allclose(rows, expected, rtol=tolerance, atol=tolerance)
    cls = losses.get(name).__class__
    np.testing.assert_allclose(
        cls(**options)(target, prediction), expected.mean(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize(
    "function", [getattr(losses, name) for name in dict.fromkeys(case[0] for case in LOSSES)]
)
def test_a_function_goes_by_the_name_of_its_class(function: Any) -> None:
    for module in (losses, metrics):
        made = module.get(function)
        assert module.get(function.__name__).get_config() == made.get_config()
        assert getattr(module, type(made).__name__) is type(made)
        assert getattr(module, function.__name__) is function
    with pytest.raises(TypeError, match="must be a name or an object of fastreg, not function"):
        losses.get(losses.get)


@pytest.mark.parametrize("masked", ["y_true", "y_pred"])
@pytest.mark.parametrize("name", dict.fromkeys(case[0] for case in LOSSES))
def test_losses_refuse_masked_arrays(name: str, masked: str) -> None:
    """The mask must not get lost on the way: what is masked, here an outlier, would count."""
    cls = type(losses.get(name))
    target = [1, 0] if name.startswith("sparse") else [[1.0, 0.0], [0.0, 1.0]]
    arrays = {"y_true": np.array(target, float), "y_pred": np.array([[0.5, 0.5], [0.9, 1e9]])}
    arrays[masked] = np.ma.masked_array(arrays[masked], arrays[masked] == arrays[masked].max())
    for call in (getattr(losses, name), getattr(metrics, name), cls(), metrics.get(name)):
        with pytest.raises(TypeError, match=f"^{masked} is a masked array"):
            call(**arrays)


@pytest.mark.parametrize("name", dict.fromkeys(case[0] for case in ACTIVATIONS))
def test_activations_refuse_masked_arrays(name: str) -> None:
    with pytest.raises(TypeError, match=r"^x is a masked array"):
        getattr(activations, name)(np.ma.masked_array([1.0, 1e9], [False, True]))
