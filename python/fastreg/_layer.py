"""Layer: what all layers share, their weights above all, which live in the session of the model.

It must not know the kinds of layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from fastreg._arguments import choice, flag, integer, only
from fastreg._arrays import DTYPES, Array, numeric
from fastreg._configurable import Configurable, argument_names
from fastreg._core import Session
from fastreg._tensor import Number, Tensor
from fastreg._words import OtherWords

if TYPE_CHECKING:
    from fastreg._network import Network


Shape = tuple[int, ...]  # without the batch


def axes(shape: Any, name: str) -> Shape:
    """An input shape, of any number of axes."""
    if not isinstance(shape, (tuple, list)) or not shape:
        raise ValueError(f"{name} must be (features,), without the batch, not {shape!r}")
    return tuple(integer(length, name, low=1) for length in shape)


class HasWeights:
    """What a layer and a model show of their weights in the same way."""

    @property
    def weights(self) -> list[Tensor]:
        """What `get_weights` returns, as copies that cannot be written: `set_weights` changes weights."""
        return [Tensor.frozen(weight) for weight in self.get_weights()]

    variables = trainable_variables = trainable_weights = weights  # Keras's other words

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        """Empty: every weight is trained."""
        return []

    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        """True: every weight is trained; setting it to False raises ValueError."""
        return True

    @trainable.setter
    def trainable(self, value: bool) -> None:
        only(True, flag(value, "trainable"), "trainable", "fastreg trains every weight of a model")

    def get_weights(self) -> list[Array]:
        """Copies of the weights."""
        raise NotImplementedError


class Layer(HasWeights, Configurable, OtherWords):
    """Base of the layers. Each takes two more of Keras's words: `dtype`, that of its model, and `trainable=True`.

    Parameters
    ----------
    name : str, optional
        Unique within a model; by default the class's name and a number.
    input_shape : (int,), optional
        The number of features; only the first layer of a model needs it, and only to have weights before `fit`.
    input_dim : int, optional
        The same, as a number.
    """

    takes_more_axes = False  # whether rows of the input may be arrays themselves
    _dtype: str | None = None  # as stated; the model's must agree

    def __init__(
        self,
        *,
        name: str | None = None,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r}")
        if name is not None and "/" in name:
            raise ValueError(f"name must not hold '/', which separates names in files: {name!r}")
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
        self._owner: Network | None = None  # the model this layer belongs to
        self._session: Session | None = None
        self._positions: list[int] = []  # of this layer's weights among the session's
        self._carried: list[Array] | None = None  # weights on the way from one session to the next

    def _take(self, named: dict[str, Any]) -> None:
        self.trainable = named.pop("trainable", True)
        dtype = named.pop("dtype", None)
        if dtype is not None:
            self._dtype = choice(dtype, "dtype", DTYPES)

    def __setattr__(self, name: str, value: Any) -> None:
        """A model takes the kernel's regularizer from its layers at every `compile`, all else when it makes weights."""
        made = self.__dict__.get("_session") is not None
        if made and name not in ("name", "kernel_regularizer") and name in argument_names(type(self)):
            raise AttributeError(
                f"{name} of layer {self.name!r} cannot change now that the model has weights; make another layer"
            )
        super().__setattr__(name, value)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        raise TypeError(
            f"a layer of fastreg is not called: {type(self).__name__} belongs into a Sequential model; on arrays "
            "there are fastreg.ops.dense_forward, activation and dropout"
        )

    @property
    def built(self) -> bool:
        """Whether the input width is known, so that there are weights."""
        return self._carried is not None or (self._owner is not None and self._owner.built)

    @property
    def dtype(self) -> str | None:
        """The dtype of the layer's model; before there is one the stated dtype, if any."""
        return self._dtype if self._owner is None else self._owner.dtype

    @property
    def losses(self) -> list[Number]:
        """The current penalty of each weight that has a regularizer; activity penalties are not among them."""
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

    def bind(self, session: Session, positions: list[int]) -> None:
        """From now on the weights are the session's, at `positions`."""
        self._session, self._positions, self._carried = session, positions, None

    def unbind(self) -> None:
        """Keep the weights while the model makes another session."""
        self._carried = self.get_weights() if self._session is not None else None
        self._session, self._positions = None, []

    def get_weights(self) -> list[Array]:
        """Copies of the layer's weights, `[kernel, bias]`; empty before the model has weights."""
        session = self._ready()
        if session is None:
            return [weight.copy() for weight in self._carried or ()]
        weights = session.get_weights()
        return [weights[position] for position in self._positions]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace the layer's weights, in the order of `get_weights`; all or nothing."""
        session = self._ready()
        if session is None:
            state = "is in no built model" if self._carried else "has no weights yet"
            raise ValueError(f"layer {self.name!r} {state}; build the model first")
        if len(weights) != len(self._positions):
            raise ValueError(
                f"layer {self.name!r} has {len(self._positions)} weight arrays, not {len(weights)}"
            )
        everything = session.get_weights()
        for position, value in zip(self._positions, weights, strict=True):
            everything[position] = numeric(value, "weights", str(everything[position].dtype))
        session.set_weights(everything)

    def _ready(self) -> Session | None:
        """The session, made now if the model can."""
        if self._session is None and self._owner is not None and self._owner.built:
            self._owner._ready()
        return self._session

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: a layer of no model, which carries the weights to the next one."""
        free = {"_owner": None, "_session": None, "_positions": [], "_carried": self.get_weights() or None}
        return {**self.__dict__, **free}

    def count_params(self) -> int:
        """The number of weights."""
        return sum(array.size for array in self.get_weights())
