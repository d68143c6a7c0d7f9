"""Layers: what a network is made of, described in Keras's words.

A layer must not know how it is computed or trained: the model's session holds its weights. It is over 250
lines because arguments are documented in full.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastreg import activations, constraints, initializers, regularizers
from fastreg._arguments import choice, flag, integer, listed, number, only
from fastreg._arguments import seed as check_seed
from fastreg._arrays import Array
from fastreg._configurable import find, snake_case
from fastreg._layer import Layer, Weight, axes
from fastreg._tensor import Number

__all__ = [
    "ELU", "Activation", "ActivityRegularization", "Dense", "Dropout", "Flatten", "Input", "InputLayer", "Layer",
    "LeakyReLU", "ReLU", "Softmax",
]  # fmt: skip

_ANY_BATCH = "a model takes batches of any size"
_BIAS_STREAM = 2**31  # kernels use the streams below, one for each layer


class InputLayer(Layer):
    """The shape of a model's input, without the batch: `Input(shape=(30,))`. It is no layer of `model.layers`.

    A shape of more axes, such as (28, 28), must be followed by `Flatten`. `input_shape` is tf.keras's name of `shape`;
    `batch_shape=(None, 30)` says the same. Raises ValueError unless the batch's size is None.
    """

    takes_more_axes = True

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        batch_size: None = None,
        *,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name=name)
        self.shape = axes(input_shape if shape is None else shape, "shape")
        self.input_shape = self.shape
        self.batch_size = only(None, batch_size, "batch_size", _ANY_BATCH)

    def _take(self, named: dict[str, Any]) -> None:
        batch_shape = named.pop("batch_shape", None)
        if batch_shape is not None:
            size, *shape = listed(batch_shape, "batch_shape")
            only(None, size, "batch_shape[0]", _ANY_BATCH)
            named["shape"] = tuple(shape)
        only(False, named.pop("sparse", False), "sparse", "a model takes dense rows and sparse ones")
        super()._take(named)


Input = InputLayer


class Flatten(Layer):
    """Makes each row of the input one list of features: x of shape (n, 28, 28) becomes (n, 784), in C order.

    It stands first, where only `Input` may come before it, or does nothing.

    Parameters
    ----------
    data_format : {None, "channels_last"}
        Only here for Keras's order of arguments: axes keep their order.
    input_shape : tuple of int, optional
        Without the batch; by default that of the first data.
    name
        See `Layer`.
    """

    takes_more_axes = True

    def __init__(
        self,
        data_format: str | None = None,
        *,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        reordered = None if data_format == "channels_last" else data_format
        self.data_format = only(None, reordered, "data_format", "axes keep their order")

    def native(self, index: int, seed: int) -> dict[str, Any]:
        # A session gets rows that are flat, and drops what does nothing.
        return {"kind": "activation", "activation": "linear", "alpha": 0.0}


class Dense(Layer):
    """A fully connected layer: `activation(x @ kernel + bias)`, x (batch, in), kernel (in, units), bias (units,).

    Parameters
    ----------
    units : int
        Width of the output, at least 1.
    activation : str, function of `fastreg.activations` or layer such as LeakyReLU, optional
        None is linear.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or Initializer
        None is "glorot_uniform", as in Keras.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties on the weights, added to the loss. The kernel's can be set to another at any time, also by a callback
        while training: models that have the layer go on with it.
    activity_regularizer : str or Regularizer, optional
        Penalty on the layer's output, divided by the batch size; always a subgradient.
    kernel_constraint, bias_constraint : str or Constraint, optional
        Applied after every update.
    name, input_shape, input_dim
        See `Layer`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; the message names it.

    Examples
    --------
    >>> layer = Dense(64, activation="relu", kernel_regularizer="l1")
    >>> layer.kernel_regularizer
    L1(l1=0.01, method='proximal')
    """

    weight_names = ("kernel", "bias")

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, input_dim=input_dim)
        self.units = integer(units, "units", low=1)
        self.activation = _activation(activation)
        self.use_bias = flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        if getattr(self.bias_constraint, "axis", 0) == 1:
            raise ValueError("bias_constraint must have axis 0: a bias has no other")

    def output_units(self, input_units: int) -> int:
        return self.units

    def native(self, index: int, seed: int) -> dict[str, Any]:
        parts = {
            "kernel_penalty": self.kernel_regularizer,
            "bias_penalty": self.bias_regularizer,
            "activity_penalty": self.activity_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "bias_constraint": self.bias_constraint,
        }
        described = {key: part.native() for key, part in parts.items() if part is not None}
        word = _word(self.activation)
        return {"kind": "dense", "units": self.units, "use_bias": self.use_bias, **word, **described}

    def new_weights(self, input_units: int, index: int, seed: int, dtype: str) -> list[Array]:
        kernel = self.kernel_initializer.values((input_units, self.units), dtype, seed, index)
        if not self.use_bias:
            return [kernel]
        return [kernel, self.bias_initializer.values((self.units,), dtype, seed, _BIAS_STREAM + index)]

    @property
    def kernel(self) -> Weight:
        """A copy of the kernel (in, units) that cannot be written but by `assign`."""
        return self._weight(0)

    @property
    def bias(self) -> Weight | None:
        """A copy of the bias (units,) that cannot be written but by `assign`, or None without one."""
        return self._weight(1) if self.use_bias else None

    @property
    def kernel_regularizer(self) -> regularizers.Regularizer | None:
        """The penalty on the kernel."""
        return self._kernel_regularizer

    @kernel_regularizer.setter
    def kernel_regularizer(self, value: Any) -> None:
        before = self.__dict__.get("_kernel_regularizer")
        self._kernel_regularizer = regularizers.get(value)
        models = self._in_models()
        try:
            penalties = [model._kernel_penalty(self).native() for model in models]
        except ValueError:  # it does not go with a model's loss
            self._kernel_regularizer = before
            raise
        for model, penalty in zip(models, penalties, strict=True):
            model._penalise(self, penalty)

    @property
    def losses(self) -> list[Number]:
        penalties = (self.kernel_regularizer, self.bias_regularizer)
        pairs = zip(penalties, self.trainable_weights)  # there are none before the model is built
        return [penalty(weight) for penalty, weight in pairs if penalty is not None]

    def _weight(self, index: int) -> Weight:
        weights = self.weights
        if not weights:
            raise ValueError(f"layer {self.name!r} has no weights yet; build the model first")
        return weights[index]


class Dropout(Layer):
    """Sets each input to 0 with probability `rate` in training (Srivastava et al. 2014).

    Parameters
    ----------
    rate : float in [0, 1]
        1 gives zeros, 0 does nothing.
    noise_shape : None
        Only here for Keras's order of arguments: every input has its own decision.
    seed : int in [0, 2**64), optional
        By default the model's seed. Masks are a function of (seed, index of the layer, step).
    scale_at : {"train", "inference"}
        "train" (inverted dropout, as in Keras) divides what is kept by the share kept, `1 - rate` rounded to
        multiples of 2^-16, and does nothing at inference. "inference" is the classic form: nothing is scaled in
        training, outputs are multiplied by that share at inference.

    Examples
    --------
    >>> Dropout(0.5).rate
    0.5
    """

    def __init__(
        self,
        rate: float,
        noise_shape: None = None,
        seed: int | None = None,
        scale_at: str = "train",
        *,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, input_dim=input_dim)
        self.rate = number(rate, "rate", low=0.0, high=1.0)
        self.noise_shape = only(None, noise_shape, "noise_shape", "every input has its own decision")
        self.seed = check_seed(seed)
        self.scale_at = choice(scale_at, "scale_at", ("train", "inference"))

    def native(self, index: int, seed: int) -> dict[str, Any]:
        return {
            "kind": "dropout",
            "rate": self.rate,
            "seed": seed if self.seed is None else self.seed,
            "stream": index,
            "scale_at_inference": self.scale_at == "inference",
        }


class _Elementwise(Layer):
    """A layer that applies an activation."""

    activity_regularizer: regularizers.Regularizer | None = None

    def _word(self) -> dict[str, Any]:
        """The activation as the native core takes it."""
        raise NotImplementedError

    def native(self, index: int, seed: int) -> dict[str, Any]:
        penalty = self.activity_regularizer
        described = {} if penalty is None else {"activity_penalty": penalty.native()}
        return {"kind": "activation", **self._word(), **described}


class Activation(_Elementwise):
    """Applies an activation: `Activation("relu")`.

    Parameters
    ----------
    activation : str, function of `fastreg.activations` or layer such as LeakyReLU
    activity_regularizer : str or Regularizer, optional
        Penalty on the output, divided by the batch size.
    name, input_shape, input_dim
        See `Layer`.
    """

    def __init__(
        self,
        activation: Any,
        *,
        activity_regularizer: Any = None,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, input_dim=input_dim)
        self.activation = _activation(activation)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def _word(self) -> dict[str, Any]:
        return _word(self.activation)


class ActivityRegularization(_Elementwise):
    """Adds a penalty `l1 * sum|x| + l2 * sum(x**2)` on its input, divided by the batch size; x goes on as it is.

    Parameters
    ----------
    l1, l2 : float, default 0
        Factors, from 0 to 1e38.
    name, input_shape, input_dim
        See `Layer`.
    """

    def __init__(
        self,
        l1: float = 0.0,
        l2: float = 0.0,
        *,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, input_dim=input_dim)
        self.activity_regularizer = regularizers.L1L2(l1, l2)
        self.l1, self.l2 = self.activity_regularizer.l1, self.activity_regularizer.l2

    def _word(self) -> dict[str, Any]:
        return {"activation": "linear", "alpha": 0.0}


class ReLU(_Elementwise):
    """`max(x, 0)`; with a `negative_slope` of above 0, `LeakyReLU`.

    Raises ValueError unless `max_value` is None and `threshold` 0: nothing else is cut off.
    """

    def __init__(
        self,
        max_value: None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.max_value = only(None, max_value, "max_value", "outputs have no upper bound")
        self.negative_slope = number(negative_slope, "negative_slope", low=0.0)
        self.threshold = number(threshold, "threshold", low=0.0, high=0.0)

    def _word(self) -> dict[str, Any]:
        kind = "leaky_relu" if self.negative_slope else "relu"
        return {"activation": kind, "alpha": self.negative_slope}


class Softmax(_Elementwise):
    """`exp(x) / sum(exp(x))` of each row. Raises ValueError unless `axis` is -1 or 1, the last of two."""

    def __init__(self, axis: int = -1, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.axis = integer(axis, "axis", low=-1, high=1)
        if axis == 0:
            raise ValueError(
                "axis must be -1: softmax is taken over the features of a row, not over the batch"
            )

    def _word(self) -> dict[str, Any]:
        return {"activation": "softmax", "alpha": 0.0}


class LeakyReLU(_Elementwise):
    """`x` where `x >= 0`, else `negative_slope * x`.

    Parameters
    ----------
    negative_slope : float, default 0.3
        At least 0.
    alpha : float, optional
        tf.keras 2's name of `negative_slope`.
    name
        See `Layer`.
    """

    def __init__(
        self, negative_slope: float = 0.3, *, alpha: float | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        slope = number(negative_slope, "negative_slope", low=0.0)
        self.negative_slope = slope if alpha is None else number(alpha, "alpha", low=0.0)
        self.alpha = None  # it is negative_slope from here on

    def _word(self) -> dict[str, Any]:
        return {"activation": "leaky_relu", "alpha": self.negative_slope}


class ELU(_Elementwise):
    """`x` where `x > 0`, else `alpha * (exp(x) - 1)`; `alpha` defaults to 1 (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.alpha = number(alpha, "alpha", low=0.0)

    def _word(self) -> dict[str, Any]:
        return {"activation": "elu", "alpha": self.alpha}


_CLASSES = (
    InputLayer,
    Flatten,
    Dense,
    Dropout,
    Activation,
    ActivityRegularization,
    ReLU,
    Softmax,
    LeakyReLU,
    ELU,
)
_TABLE: dict[str, type[Layer]] = {cls.__name__: cls for cls in _CLASSES}


def _activation(identifier: Any) -> activations.Activation | _Elementwise:
    """What `identifier` means as an activation: also a layer that is nothing else, or its description."""
    layer = from_description(identifier) if isinstance(identifier, Mapping) else identifier
    if isinstance(layer, _Elementwise) and layer.activity_regularizer is None:
        return layer
    return activations.get(identifier)


def _word(activation: activations.Activation | _Elementwise) -> dict[str, Any]:
    return activation._word() if isinstance(activation, _Elementwise) else activations.native(activation)


def from_description(description: Any) -> Layer:
    """The layer that `{"class_name", "config"}` describes."""
    return find(description, Layer, _TABLE, "layer")


def has_default_name(layer: Layer) -> bool:
    """Whether `default_name` may have given it."""
    return re.fullmatch(rf"{_base_name(layer)}(_[0-9]+)?", str(layer.name)) is not None


def _base_name(layer: Layer) -> str:
    return "input" if isinstance(layer, InputLayer) else snake_case(type(layer).__name__)


def default_name(layer: Layer, taken: set[str]) -> str:
    """A name for `layer` that is not in `taken`: dense, dense_1, dense_2 ..."""
    base = _base_name(layer)
    name, number_used = base, 0
    while name in taken:
        number_used += 1
        name = f"{base}_{number_used}"
    return name
