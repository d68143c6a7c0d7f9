"""Layer: what all layers share, their weights above all, which live in the session of the model.

It must not know the kinds of layers. It is over 250 lines: a layer is of no model, of one, or lent to others.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, DTypeLike

from fastreg import _seeds
from fastreg._arguments import choice, flag, integer, listed
from fastreg._arrays import DTYPES, Array, Shape, numeric, rows
from fastreg._configurable import Configurable, argument_names
from fastreg._core import Session
from fastreg._sampling import output
from fastreg._tensor import Number, Tensor
from fastreg._words import OtherWords

if TYPE_CHECKING:
    from fastreg._network import Network


def last_step(count: int) -> int:
    """The step whose masks pass number `count` with dropout gets: from the end on, since training counts from 0."""
    return 2**32 - 1 - count % 2**31


def _like(value: ArrayLike, old: Array) -> Array:
    """A copy of `value` of the shape and dtype of `old`."""
    array = numeric(value, "weights", old.dtype).copy()
    if array.shape != old.shape:
        raise ValueError(f"weights has the shape {array.shape}; the layer needs {old.shape}")
    return array


def axes(shape: Any, name: str) -> Shape:
    """An input shape, of any number of axes."""
    if not isinstance(shape, (tuple, list)) or not shape:
        raise ValueError(f"{name} must be (features,), without the batch, not {shape!r}")
    return tuple(integer(length, name, low=1) for length in shape)


class Weight(Tensor):
    """A weight of a layer, as it was when asked for: a copy that cannot be written but by `assign`.

    Examples
    --------
    >>> from fastreg import Dense, Sequential
    >>> model = Sequential([Dense(1, input_shape=(2,))])
    >>> bias = model.layers[0].bias
    >>> bias.assign([3.0])
    >>> bias.path, bias, model.layers[0].bias
    ('sequential/dense/bias', Weight([3.], dtype=float32), Weight([3.], dtype=float32))
    """

    name = path = ""
    _layer: Layer  # copies and views of a weight have none
    _index = 0  # among the layer's weights

    def __getitem__(self, key: Any) -> Any:
        return self.view(Tensor)[key]

    @property
    def trainable(self) -> bool:
        """Whether its layer is, now; False of a copy."""
        return bool(self.name) and self._layer.trainable

    def assign(self, value: ArrayLike) -> None:
        """Sets the layer's weight, and this copy, to `value`, an array of the same shape."""
        if not self.name:
            raise ValueError(
                "only what a model or a layer gives as its weight can be assigned, no copy of it"
            )
        self._layer._assign(self._index, value)
        self.flags.writeable = True
        self[...] = self._layer.get_weights()[self._index]
        self.flags.writeable = False


class HasWeights:
    """What a layer and a model show of their weights in the same way."""

    _trainable = True

    @property
    def weights(self) -> list[Weight]:
        """Copies of the weights, each with a name, that cannot be written but by `assign`; empty before there are
        any."""
        raise NotImplementedError

    @property
    def variables(self) -> list[Weight]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Weight]:
        """Those of `weights` that `trainable` lets be trained; `trainable_variables` are the same."""
        return [weight for weight in self.weights if self._lets_train(weight._layer)]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The other `weights`; `non_trainable_variables` are the same."""
        return [weight for weight in self.weights if not self._lets_train(weight._layer)]

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether weights are trained, by models that are compiled from now on. What is not keeps its weights, has no
        penalty and no constraint; dropout is as always. Setting that of a model sets that of all its layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(value, "trainable")

    def _lets_train(self, layer: Layer) -> bool:
        return self._trainable and layer._trainable

    def get_weights(self) -> list[Array]:
        """Copies of the weights."""
        raise NotImplementedError

    def count_params(self) -> int:
        """The number of weights."""
        return sum(array.size for array in self.get_weights())


class Layer(HasWeights, Configurable, OtherWords):
    """Base of the layers. Each takes two more of Keras's words: `dtype`, that of its model, and `trainable`.

    Parameters
    ----------
    name : str, optional
        Unique within a model; by default the class's name and a number.
    input_shape : (int,), optional
        The number of features; only the first layer of a model needs it, and only to have weights before `fit`.
    input_dim : int, optional
        The same, as a number.
    """

    weight_names: tuple[str, ...] = ()
    takes_more_axes = False  # whether rows of the input may be arrays themselves
    _dtype: str | None = None  # as stated; the model's must agree

    def __init__(
        self,
        *,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
    ) -> None:
        if input_shape is not None and input_dim is not None:
            raise ValueError("give input_shape or input_dim, not both")
        self.name = name
        self.input_dim = None if input_dim is None else integer(input_dim, "input_dim", low=1)
        self.input_shape = None if input_shape is None else axes(input_shape, "input_shape")
        if self.input_shape and len(self.input_shape) > 1 and not self.takes_more_axes:
            raise ValueError(
                f"input_shape must be (features,), one axis without the batch, not {input_shape!r}; "
                "Flatten(input_shape=...) takes more"
            )
        self._seed_alone: int | None = None  # of a layer of no model
        self._calls = 0  # with dropout
        self._carried: list[Array] | None = None  # weights on the way from one session to the next
        self._be_of_no_model()

    def _be_of_no_model(self) -> None:
        self._bound: tuple[Session, range] | None = None  # where the weights are: a session's parameters
        self._owner = None
        self._models: weakref.WeakSet[Network] = weakref.WeakSet()  # that have this layer

    @property
    def _owner(self) -> Network | None:
        """The model in whose session the weights are. It lives no longer for that, once there are weights."""
        return self._held or (None if self._owner_ref is None else self._owner_ref())

    @_owner.setter
    def _owner(self, model: Network | None) -> None:
        self._owner_ref = None if model is None else weakref.ref(model)
        self._held = model if self._bound is None and self._carried is None else None

    def _in_models(self) -> list[Network]:
        """The models that have this layer."""
        models = self.__dict__.get("_models")
        return list(models) if models else []  # to go through an empty WeakSet takes 2 us

    def _take(self, named: dict[str, Any]) -> None:
        if "trainable" in named:
            self.trainable = named.pop("trainable")
        dtype = named.pop("dtype", None)
        if dtype is not None:
            self._dtype = choice(dtype, "dtype", DTYPES)

    def _arguments(self) -> dict[str, Any]:
        return super()._arguments() | ({} if self._trainable else {"trainable": False})

    def __setattr__(self, name: str, value: Any) -> None:
        """All but the name and the kernel's regularizer stays as it was when the weights were made."""
        state = self.__dict__
        made = state.get("_bound") is not None or state.get("_carried") is not None
        if made and name not in ("name", "kernel_regularizer") and name in argument_names(type(self)):
            raise AttributeError(
                f"{name} of layer {self.name!r} cannot change now that it has weights; make another layer"
            )
        if name == "name":
            self._check_name(value)
        super().__setattr__(name, value)

    def _check_name(self, name: Any) -> None:
        if name is None:
            return
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r}")
        if "/" in name:
            raise ValueError(f"name must not hold '/', which separates names in files: {name!r}")
        for model in self._in_models():
            if any(other is not self and other.name == name for other in model.layers):
                raise ValueError(f"the model {model.name!r} already has a layer named {name!r}")

    def __call__(self, x: ArrayLike, training: bool | None = None) -> Tensor:
        """The layer's output for `x` (n, features), made on the CPU; with `training=True` as in training, with another
        dropout mask at each call. A layer of no model gets weights at its first call, as by `build`."""
        if isinstance(x, Layer):
            raise TypeError(
                "layers are called on arrays only, not on other layers: put them into a Sequential"
            )
        array = rows(x, "x", self.dtype or "float32", None, self.takes_more_axes)
        array = array.reshape(len(array), -1)
        if self._owner is None:
            self.build(array.shape)
        weights = self.get_weights()
        if self.weight_names and not weights:
            raise ValueError(f"layer {self.name!r} has no weights yet; build its model first")
        if weights and len(weights[0]) != array.shape[1]:
            raise ValueError(f"x has {array.shape[1]} columns; layer {self.name} expects {len(weights[0])}")
        step = None
        if training is not None and flag(training, "training"):
            step = last_step(self._calls)
            self._calls += 1
        owner = self._owner
        index, seed = (0, self._own_seed()) if owner is None else (owner.layers.index(self), owner.seed)
        return output(self.native(index, seed), weights, array, step).view(Tensor)

    def build(self, input_shape: Any) -> None:
        """Give a layer of no model its weights, for inputs of `input_shape`: (None, features). A model builds its own.

        They are a function of the seed that `utils.set_random_seed` gives; a layer that has weights keeps them.
        """
        if self._owner is None and self.weight_names and not self.built:
            units = math.prod(axes(tuple(input_shape)[1:], "input_shape"))
            self._carried = self.new_weights(units, 0, self._own_seed(), self.dtype or "float32")

    def _own_seed(self) -> int:
        if self._seed_alone is None:
            self._seed_alone = _seeds.fresh()
        return self._seed_alone

    @property
    def built(self) -> bool:
        """Whether the input width is known, so that there are weights."""
        owner = self._owner
        return self._carried is not None or self._bound is not None or (owner is not None and owner.built)

    @property
    def dtype(self) -> str | None:
        """The dtype of the layer's model; before there is one the stated dtype, if any."""
        owner = self._owner
        if owner is not None:
            return owner.dtype
        weights = self.get_weights()
        return str(weights[0].dtype) if weights else self._dtype

    @property
    def losses(self) -> list[Number]:
        """The current penalty of each trainable weight with a regularizer; activity penalties are not among them."""
        return []

    @property
    def stated_shape(self) -> Shape | None:
        """The shape of a row of the input, if this layer states it or carries weights for it."""
        if self._carried:
            return (int(self._carried[0].shape[0]),)
        return self.input_shape if self.input_dim is None else (self.input_dim,)

    @property
    def input_units(self) -> int | None:
        """The number of features, if known by `stated_shape`."""
        return None if self.stated_shape is None else math.prod(self.stated_shape)

    def output_units(self, input_units: int) -> int:
        """The width of the output."""
        return input_units

    def native(self, index: int, seed: int) -> dict[str, Any]:
        """Layer number `index` of a model with `seed`, as the native core takes it."""
        raise NotImplementedError

    def initial_weights(self, input_units: int, index: int, seed: int, dtype: str) -> list[Array]:
        """What the weights start with: those carried over from a model's last session, or new ones."""
        if self._carried and self.input_units != input_units:
            raise ValueError(
                f"layer {self.name!r} carries weights for {self.input_units} inputs, not {input_units}"
            )
        if self._carried is None:
            return self.new_weights(input_units, index, seed, dtype)
        return [weight.astype(dtype, copy=False) for weight in self._carried]

    def new_weights(self, input_units: int, index: int, seed: int, dtype: str) -> list[Array]:
        """Freshly initialized weights."""
        return []

    def bind(self, owner: Network, session: Session, positions: range) -> None:
        """From now on the weights are the owner's session's, at `positions`."""
        self._bound, self._carried = (session, positions), None
        self._owner = owner

    def unbind(self) -> None:
        """Keep the weights until there is another session."""
        if self._bound is not None:
            self._carried, self._bound = self.get_weights(), None

    @property
    def weights(self) -> list[Weight]:
        return self._named(self.get_weights())

    def _named(self, arrays: Sequence[Array]) -> list[Weight]:
        """`arrays`, fresh copies of the layer's weights, as what `weights` returns."""
        owner = self._owner
        place = f"{self.name}/" if owner is None else f"{owner.name}/{self.name}/"
        named = []
        for index, (name, array) in enumerate(zip(self.weight_names, arrays)):
            weight = array.view(Weight)
            weight.flags.writeable = False
            weight.name, weight.path, weight._layer, weight._index = name, place + name, self, index
            named.append(weight)
        return named

    def _assign(self, index: int, value: ArrayLike) -> None:
        weights: list[ArrayLike] = [*self.get_weights()]
        weights[index] = value
        self.set_weights(weights)

    def get_weights(self) -> list[Array]:
        """Copies of the layer's weights, `[kernel, bias]`; empty before the model has weights."""
        bound = self._ready()
        if bound is None:
            return [weight.copy() for weight in self._carried or ()]
        session, positions = bound
        return session.get_weights(positions.start, len(positions))

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace the layer's weights, in the order of `get_weights`; all or nothing."""
        weights, own = listed(weights, "weights"), self.get_weights()
        if self.weight_names and not own:
            raise ValueError(f"layer {self.name!r} has no weights yet; build it or its model first")
        if len(weights) != len(own):
            raise ValueError(f"layer {self.name!r} has {len(own)} weight arrays, not {len(weights)}")
        values = [_like(value, old) for value, old in zip(weights, own, strict=True)]
        bound = self._bound
        if bound is None:
            self._carried = values
        else:
            session, positions = bound
            session.set_weights(values, positions.start, len(positions))

    def lent_weights(self, dtype: DTypeLike) -> list[Array]:
        """Copies of the weights for another model than the layer's own."""
        weights = self.get_weights()
        if self.weight_names and not weights:
            raise ValueError(f"layer {self.name!r} belongs to a model without weights; build that one first")
        return [weight.astype(dtype, copy=False) for weight in weights]

    def _ready(self) -> tuple[Session, range] | None:
        """Where the weights are; the owner's session is made now if it can be."""
        owner = self._owner
        if self.weight_names and self._bound is None and owner is not None and owner.built:
            owner._made()
        return self._bound

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: a layer of no model, which carries the weights to the next one."""
        state = {**self.__dict__, "_carried": self.get_weights() or None}
        for of_model in ("_owner_ref", "_held", "_models", "_bound"):
            del state[of_model]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._be_of_no_model()
