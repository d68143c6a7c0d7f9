"""Network: a list of layers, and the native session that holds their weights, made when the input width is known.

It must not know losses, optimizers or data: models.py adds training. It is over 250 lines, since layers, shapes and
weights depend on one another.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from fastreg import _core, _seeds, cuda, layers
from fastreg._arguments import choice, flag, integer
from fastreg._arguments import seed as check_seed
from fastreg._arrays import DTYPES, Array, Shape, numeric
from fastreg._configurable import check_native
from fastreg._layer import HasWeights, Layer, Weight, axes
from fastreg._summary import print_summary


class Network(HasWeights):
    """The part of `models.Sequential` that has to do with layers and weights."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("seed", "device", "dtype", "precision") and self.__dict__.get("_session") is not None:
            raise AttributeError(f"{name} of a model that has weights cannot change; make another model")
        super().__setattr__(name, value)

    def __init__(self, name: str, seed: int | None, device: str, dtype: str, precision: str) -> None:
        checked = check_seed(seed)
        self.device = choice(device, "device", ("cpu", "cuda", "auto"))
        if self.device == "cuda":
            cuda.device_count()  # raises RuntimeError where there is none
        self.dtype = choice(dtype, "dtype", DTYPES)
        self.precision = choice(precision, "precision", ("exact", "fast", "bf16"))
        if self.precision != "exact" and self.dtype != "float32":
            raise ValueError(f'precision={self.precision!r} is for dtype="float32", not {self.dtype!r}')
        self.name = name
        self.seed = _seeds.fresh() if checked is None else checked
        self.layers: list[Layer] = []
        self._input_shape: Shape | None = None  # of a row
        self._session: _core.Session | None = None
        self._places: list[range] = []  # of each layer's weights among the session's
        self._frozen: list[Layer] = []  # not trained: as they were when compiled or added
        self._fitting = threading.Lock()  # held by a fit, whose session must stay the model's
        self._making = threading.RLock()  # held while the session is made: an initializer may ask the model

    # ---- layers ------------------------------------------------------------------------------------------------
    def add(self, layer: Layer | Network) -> None:
        """Append a layer. A model that has weights keeps them; its optimizer starts anew.

        A model is appended layer by layer. A layer of another model stays that model's, and this one predicts with the
        weights that it has at the time; training this one makes it this one's, and the other predicts with it.

        Raises TypeError for what is no layer, ValueError for a name that is taken or an input width that does not fit.
        """
        self._check_idle("add")
        if isinstance(layer, Network):
            for inner in layer.layers:
                self.add(inner)
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"layer must be a layer of fastreg.layers, not {type(layer).__name__}: {layer!r}")
        check_native(layer, "layer")
        taken = {str(other.name) for other in self.layers}
        if layer.name in taken and layer._named_by_model and layer not in self.layers:
            theirs = layer._owner.layers if layer._owner is not None else []
            layer.name = layers.default_name(layer, taken | {str(other.name) for other in theirs})
        if layer.name in taken:
            raise ValueError(f"the model already has a layer named {layer.name!r}")
        if layer._dtype not in (None, self.dtype):
            raise ValueError(f"layer {layer!r} has the dtype {layer._dtype}, the model {self.dtype}")
        stated = layer.stated_shape if layer._owner is None else layer._owner._shape_into(layer)
        self._check_width(layer, stated)
        if self.layers and isinstance(layer, layers.InputLayer):
            raise ValueError("Input must be the first layer")
        if not self.layers:
            shape = self._input_shape or ()
            if len(shape) > 1 and not layer.takes_more_axes:
                kind = type(layer).__name__
                raise ValueError(f"{kind} takes rows of one axis, not {shape}; put Flatten() before it")
            if stated is not None:
                self._set_input_shape(stated)
        if not isinstance(layer, layers.InputLayer):
            self._release_session()
            if not self._lets_train(layer):
                self._frozen.append(layer)
            if layer._owner is None:
                layer._owner = self
                layer._named_by_model |= layer.name is None
                layer.name = layer.name or layers.default_name(layer, taken)
            self.layers.append(layer)

    def _check_idle(self, method: str) -> None:
        if self._fitting.locked():
            raise self._busy(method)

    def _busy(self, method: str) -> RuntimeError:
        return RuntimeError(
            f"{method} cannot be called while the model is fitted, from a callback or another thread"
        )

    def _check_width(self, layer: Layer, stated: Shape | None) -> None:
        before = self._output_units_or_none()
        if stated is not None and before not in (None, math.prod(stated)):
            raise ValueError(
                f"layer {layer!r} expects {math.prod(stated)} inputs; what comes before it gives {before}"
            )

    def _take_over(self, method: str) -> None:
        """Make other models' layers this one's, which is about to train them; the others' optimizers start anew."""
        trained = [layer for layer in self.layers if layer not in self._frozen]
        if not any(layer.weight_names for layer in trained):
            warnings.warn("the model has no trainable weights", stacklevel=3)
        others = [(layer, layer._owner) for layer in trained if layer._owner is not self]
        for layer, owner in others:
            if owner is None:  # it has been taken out of its model
                continue
            owner._check_idle(f"{method} of a model with layer {layer.name!r} of another")
            if owner.dtype != self.dtype:
                raise ValueError(
                    f"layer {layer.name!r} is of a model of dtype {owner.dtype}; "
                    f"this one, of {self.dtype}, cannot train it"
                )
        if others:
            self._release_session()
        for layer, owner in others:
            if owner is not None:
                owner._release_session()
            layer._owner = self

    def pop(self) -> Layer:
        """Remove and return the last layer. All keep their weights; the optimizer starts anew."""
        self._check_idle("pop")
        if not self.layers:
            raise ValueError("the model has no layers")
        self._release_session()
        layer = self.layers.pop()
        if layer._owner is self:
            layer._owner = None
        if not self.layers and layer.stated_shape is not None:
            self._input_shape = None  # the layer had brought it
        return layer

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer named `name`, or number `index`."""
        if (name is None) == (index is None):
            raise ValueError("give name or index, one of them")
        if index is not None:
            count = len(self.layers)
            if not -count <= integer(index, "index") < count:
                raise ValueError(f"no layer with index {index}; the model has {count} layers")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"no layer named {name!r}; there are {', '.join(str(layer.name) for layer in self.layers)}"
        )

    # ---- widths ------------------------------------------------------------------------------------------------
    @property
    def built(self) -> bool:
        """Whether the input width is known, so that there are weights."""
        return self._input_shape is not None

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, features), or what a first layer `Flatten` takes."""
        return (None, *self._require_input_shape())

    @property
    def output_shape(self) -> tuple[None, int]:
        """(None, units of the last layer)."""
        return (None, self._output_units())

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of `input_shape`: (None, features) or (features,); with a first layer `Flatten`
        (None, ...)."""
        if input_shape is not None:
            shape = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else (input_shape,)
            if len(shape) < 1 or (len(shape) > 2 and not self._flattens):
                raise ValueError(f"input_shape must be (None, features) or (features,), not {input_shape!r}")
            self._set_input_shape(axes(shape[1:] or shape, "input_shape"))
        self._ready()

    def _output_units_or_none(self) -> int | None:
        """The width of the output; None while only the data can tell."""
        shape = self._shape_into(None)
        return None if shape is None else math.prod(shape)

    def _shape_into(self, layer: Layer | None) -> Shape | None:
        """The shape of what comes into `layer` (None: out of the last); None while only the data can tell."""
        shape = self._input_shape
        for other in self.layers:
            if other is layer:
                break
            shape = (other.units,) if isinstance(other, layers.Dense) else shape and (math.prod(shape),)
        return shape

    def _output_units(self) -> int:
        units = self._output_units_or_none()
        return units or math.prod(self._require_input_shape())

    @property
    def _input_units(self) -> int | None:
        return None if self._input_shape is None else math.prod(self._input_shape)

    @property
    def _flattens(self) -> bool:
        """Whether rows of the input may have more than one axis."""
        return bool(self.layers) and self.layers[0].takes_more_axes

    def _require_input_shape(self) -> Shape:
        if self._input_shape is None:
            raise ValueError(
                "the model has no weights yet: start it with Input(shape=(features,)), or call build((None, features)) "
                "or fit first"
            )
        return self._input_shape

    def _set_input_shape(self, shape: Shape) -> None:
        known = self._input_shape
        if known not in (None, shape):
            if len(known) == len(shape) == 1:
                raise ValueError(f"the model takes {known[0]} input features, not {shape[0]}")
            raise ValueError(f"the model takes inputs with rows of the shape {known}, not {shape}")
        self._input_shape = shape

    # ---- weights -----------------------------------------------------------------------------------------------
    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(value, "trainable")
        for layer in self.layers:
            layer.trainable = value

    @property
    def weights(self) -> list[Weight]:
        if not self.built:
            return []
        arrays = self.get_weights()
        places = zip(self.layers, self._places, strict=True)
        return [weight for layer, own in places for weight in layer._named([arrays[i] for i in own])]

    def get_weights(self) -> list[Array]:
        """Copies of all weights: [kernel, bias, kernel, bias, ...]. Raises ValueError before there are any."""
        return self._ready().get_weights()

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace all weights, in the order of `get_weights`; all or nothing. Optimizer state stays."""
        session = self._ready()
        values = [numeric(value, f"weights[{i}]", self.dtype) for i, value in enumerate(weights)]
        session.set_weights(values)
        for layer, own in zip(self.layers, self._places, strict=True):
            if own and layer._owner is not self:
                layer.set_weights([values[i] for i in own])

    def count_params(self) -> int:
        """The number of weights."""
        return sum(array.size for array in self.get_weights())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print, per layer: output shape, parameters, current penalty and share of zeros in the kernel.

        `print_fn` is called with each line; by default `print`. `positions`, `expand_nested` and `show_trainable` are
        taken so that Keras programs run, and without effect.
        """
        width = None if line_length is None else integer(line_length, "line_length", low=60)
        session = None if self._input_shape is None else self._ready()
        frozen = sum(weight.size for weight in self.non_trainable_weights)
        print_summary(self.name, self.layers, self._input_units, session, frozen, width, print_fn or print)

    # ---- the session -------------------------------------------------------------------------------------------
    def _ready(self) -> _core.Session:
        """The session, made now if need be."""
        if self._session is None:
            with self._making:  # another thread may have come first
                if self._session is None:
                    self._session = self._new_session(math.prod(self._require_input_shape()))
        self._borrow(self._session)
        return self._session

    def _borrow(self, session: _core.Session) -> None:
        """Bring the session the weights that other models' layers have now."""
        borrowed = [pair for pair in zip(self.layers, self._places) if pair[0]._owner is not self]
        if any(own for _, own in borrowed):
            weights = session.get_weights()
            for layer, own in borrowed:
                lent = layer.lent_weights(self.dtype)
                weights[own.start : own.stop] = lent
            session.set_weights(weights)

    def _ready_for_shape(self, shape: Shape) -> _core.Session:
        """The session for data with rows of this shape; a failure leaves the shape as it was."""
        known = self._input_shape
        self._set_input_shape(shape)
        try:
            return self._ready()
        except BaseException:
            self._input_shape = known
            raise

    def _new_session(self, input_units: int) -> _core.Session:
        described = [layer.native(index, self.seed) for index, layer in enumerate(self.layers)]
        on_gpu = self.device == "cuda" or (self.device == "auto" and cuda.is_available())
        session = _core.Session(
            described,
            input_units,
            self.dtype,
            self.seed,
            "cuda" if on_gpu else "cpu",
            self.precision if on_gpu else "exact",
        )
        self._freeze(session)
        self._prepare(session)
        weights: list[Array] = []
        places: list[range] = []
        units = input_units
        for index, layer in enumerate(self.layers):
            if layer._owner is self:
                own = layer.initial_weights(units, index, self.seed, self.dtype)
            else:
                own = layer.lent_weights(self.dtype)
            places.append(range(len(weights), len(weights) + len(own)))
            weights += own
            units = layer.output_units(units)
        session.set_weights(weights)
        self._places = places  # nothing can fail from here on
        for layer, positions in zip(self.layers, places, strict=True):
            if layer._owner is self:
                layer.bind(session, positions)
        return session

    def _freeze(self, session: _core.Session) -> None:
        for position, (_, _, index) in enumerate(session.parameter_info()):
            session.set_trainable(position, self.layers[index] not in self._frozen)

    def _prepare(self, session: _core.Session) -> None:
        """What is to be done with a new session; models.py compiles it."""

    def _release_session(self) -> None:
        """Let the layers keep their weights until the next session."""
        if self._session is not None:
            for layer in self.layers:
                if layer._owner is self:
                    layer.unbind()
            self._session = None
