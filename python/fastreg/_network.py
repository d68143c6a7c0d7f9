"""Network: a list of layers, and the native session that holds their weights, made when the input width is known.

It must not know losses, optimizers or data: models.py adds training. It is over 250 lines, since layers, shapes and
weights depend on one another.
"""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastreg import _core, _locks, _seeds, cuda, layers
from fastreg._arguments import choice, flag, integer, listed, only
from fastreg._arguments import seed as check_seed
from fastreg._arrays import DTYPES, Array, Shape, numeric
from fastreg._configurable import argument_names, check_native, take
from fastreg._layer import HasWeights, Layer, Weight, axes
from fastreg._summary import print_summary
from fastreg.layers import Dense
from fastreg.regularizers import NO_PENALTY, Regularizer

# Held while models are put together, make sessions or bring each other weights.
_SHARING = _locks.reentrant_lock()


def _parts(item: Any) -> list[Any]:
    """A model's layers, or its input if that is all that it has; of anything else itself."""
    if not isinstance(item, Network):
        return [item]
    if not item._layers and item._input_shape is not None:
        return [layers.InputLayer(item._input_shape)]
    return item.layers


def _shape_into_where_it_is(layer: Layer) -> Shape | None:
    """The shape of a row that comes into a layer, as it or the model that it is in knows it."""
    owner = layer._owner
    return layer.stated_shape if owner is None or layer._carried else owner._shape_into(layer)


class Network(HasWeights):
    """The part of `models.Sequential` that has to do with layers and weights."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("seed", "device", "dtype", "precision") and self.__dict__.get("_session") is not None:
            raise AttributeError(f"{name} of a model that has weights cannot change; make another model")
        super().__setattr__(name, value)

    def __init__(self, name: str | None, seed: int | None, device: str, dtype: str, precision: str) -> None:
        checked = check_seed(seed)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r}; after the layers a seed is seed=...")
        self.device = choice(device, "device", ("cpu", "cuda", "auto"))
        if self.device == "cuda":
            cuda.device_count()  # raises RuntimeError where there is none
        self.dtype = choice(dtype, "dtype", DTYPES)
        self.precision = choice(precision, "precision", ("exact", "fast", "bf16"))
        if self.precision != "exact" and self.dtype != "float32":
            raise ValueError(f'precision={self.precision!r} is for dtype="float32", not {self.dtype!r}')
        self.name = "sequential" if name is None else name
        self.seed = _seeds.fresh() if checked is None else checked
        self._layers: list[Layer] = []
        self._input_shape: Shape | None = None  # of a row
        self._has_input = False  # whether that is the model's own, not what its first layer or data brought
        self._session: _core.Session | None = None
        self._places: list[range] = []  # of each layer's weights among the session's
        self._frozen: list[Layer] = []  # not trained: as they were when compiled or added
        self._fitting = threading.Lock()  # held by what needs the session to stay the model's, or changes it

    # ---- layers ------------------------------------------------------------------------------------------------
    @property
    def layers(self) -> list[Layer]:
        """The layers, in a new list."""
        return list(self._layers)

    def add(self, layer: Layer | Network) -> None:
        """Append a layer. A model that has weights keeps them; its optimizer starts anew.

        A model is appended layer by layer. A layer of another model is of both from then on: each trains the same
        weights, with its own optimizer.

        Raises TypeError for what is no layer, ValueError for a name that is taken or an input width that does not fit;
        then nothing is appended.
        """
        self._add([layer])

    def _add(self, given: Sequence[Any]) -> None:
        given = [each for item in given for each in _parts(item)]
        with self._alone("add"), _SHARING:
            before = self._input_shape, self._has_input, self._frozen, self._layers
            names = [(each, each.name) for each in given if isinstance(each, Layer)]
            self._frozen, self._layers = list(self._frozen), list(self._layers)
            try:
                for each in given:
                    self._append(each, {str(name) for _, name in names})
                new = self._layers[len(before[3]) :]
                for layer in new:
                    if isinstance(layer, Dense):
                        self._kernel_penalty(layer).native()  # raises where the loss has one that conflicts
            except BaseException:
                self._input_shape, self._has_input, self._frozen, self._layers = before
                for each, name in names:
                    each.name = name
                raise
            for layer in new:
                layer._models.add(self)
                layer._owner = layer._owner or self
            self._release_session()

    def _append(self, layer: Any, reserved: set[str]) -> None:
        """Append one layer; no new name is among those `reserved`."""
        if not isinstance(layer, Layer):
            raise TypeError(f"layer must be a layer of fastreg.layers, not {type(layer).__name__}: {layer!r}")
        check_native(layer, "layer")
        taken = {str(other.name) for other in self._layers}
        was_in_a_model = bool(layer._models) or layer._carried is not None  # which may have named it
        gives_way = layer.name in taken and was_in_a_model and layers.has_default_name(layer)
        if (layer.name is None or gives_way) and layer not in self._layers:
            beside = {str(other.name) for model in layer._in_models() for other in model._layers}
            layer.name = layers.default_name(layer, taken | beside | reserved)
        if layer.name in taken:
            raise ValueError(f"the model already has a layer named {layer.name!r}")
        if layer._dtype not in (None, self.dtype):
            raise ValueError(f"layer {layer!r} has the dtype {layer._dtype}, the model {self.dtype}")
        if layer._owner is None:
            layer.unbind()  # from the session of a model that is gone
        stated = _shape_into_where_it_is(layer)
        self._check_width(layer, stated)
        if self._layers and isinstance(layer, layers.InputLayer):
            raise ValueError("Input must be the first layer")
        if not self._layers:
            shape = self._input_shape or ()
            if len(shape) > 1 and not layer.takes_more_axes:
                kind = type(layer).__name__
                raise ValueError(f"{kind} takes rows of one axis, not {shape}; put Flatten() before it")
            if stated is not None:
                self._set_input_shape(stated)
        if isinstance(layer, layers.InputLayer):
            self._has_input = True
            return
        if not self._lets_train(layer):
            self._frozen.append(layer)
        self._layers.append(layer)

    @contextlib.contextmanager
    def _alone(self, method: str) -> Iterator[None]:
        """While nothing else fits or changes the model; RuntimeError if something does."""
        if not self._fitting.acquire(blocking=False):
            raise self._busy(method)
        try:
            yield
        finally:
            self._fitting.release()

    def _busy(self, method: str) -> RuntimeError:
        return RuntimeError(
            f"{method} cannot be called while the model is fitted, from a callback or another thread"
        )

    def _check_width(self, layer: Layer, stated: Shape | None) -> None:
        before = self._output_units_or_none()
        if stated is None or before in (None, math.prod(stated)):
            return
        units = math.prod(stated)
        if layer._owner is None and not layer._carried and not isinstance(layer, layers.InputLayer):
            warnings.warn(  # as Keras, which reads it of a first layer only, and says nothing
                f"layer {layer.name!r} states {units} inputs; what comes before it gives {before}, which it takes",
                stacklevel=5,
            )
            return
        raise ValueError(f"layer {layer!r} expects {units} inputs; what comes before it gives {before}")

    def _take_over(self, method: str, shape: Shape) -> _core.Session:
        """The session for data with rows of this shape, which from now on has the weights of all that it trains: layers
        of other models become this one's."""
        trained = (
            [layer for layer in self._layers if layer not in self._frozen] if self._frozen else self._layers
        )
        weighted = [layer for layer in trained if layer.weight_names]
        if not weighted:
            warnings.warn("the model has no trainable weights", stacklevel=3)
        others = [layer for layer in weighted if self._borrows(layer)]
        if not others:
            return self._ready_for_shape(shape)
        with _SHARING:
            for layer in others:
                owner = layer._owner
                if owner is None:
                    continue
                if owner._fitting.locked():
                    raise owner._busy(f"{method} of a model with layer {layer.name!r} of another")
                if owner.dtype != self.dtype:
                    raise ValueError(
                        f"layer {layer.name!r} is of a model of dtype {owner.dtype}; "
                        f"this one, of {self.dtype}, cannot train it"
                    )
            session = self._ready_for_shape(shape)
            for layer, own in zip(self._layers, self._places, strict=True):
                if layer in others:
                    layer.bind(self, session, own)
            return session

    def pop(self) -> Layer:
        """Remove and return the last layer. All keep their weights; the optimizer starts anew."""
        with self._alone("pop"), _SHARING:
            if not self._layers:
                raise ValueError("the model has no layers")
            self._release_session()
            layer = self._layers.pop()
            self._frozen = [other for other in self._frozen if other is not layer]
            layer._models.discard(self)
            if layer._owner is self:
                layer._owner = None
            if not self._layers and not self._has_input:
                self._input_shape = None
            return layer

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer named `name`, or number `index`."""
        if (name is None) == (index is None):
            raise ValueError("give name or index, one of them")
        if index is not None:
            count = len(self._layers)
            if not -count <= integer(index, "index") < count:
                raise ValueError(f"no layer with index {index}; the model has {count} layers")
            return self._layers[index]
        for layer in self._layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"no layer named {name!r}; there are {', '.join(str(layer.name) for layer in self._layers)}"
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
            self._ready_for_shape(axes(shape[1:] or shape, "input_shape"))
        self._ready()

    def _output_units_or_none(self) -> int | None:
        """The width of the output; None while only the data can tell."""
        shape = self._shape_into(None)
        return None if shape is None else math.prod(shape)

    def _shape_into(self, layer: Layer | None) -> Shape | None:
        """The shape of what comes into `layer` (None: out of the last); None while only the data can tell."""
        shape = self._input_shape
        for other in self._layers:
            if other is layer:
                break
            shape = (other.units,) if isinstance(other, Dense) else shape and (math.prod(shape),)
        return shape

    def _output_units(self) -> int:
        return self._output_units_or_none() or math.prod(self._require_input_shape())

    @property
    def _input_units(self) -> int | None:
        return None if self._input_shape is None else math.prod(self._input_shape)

    @property
    def _flattens(self) -> bool:
        """Whether rows of the input may have more than one axis."""
        return bool(self._layers) and self._layers[0].takes_more_axes

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
    def _can_have_weights(self) -> bool:
        return any(layer.weight_names for layer in self._layers)

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(value, "trainable")
        for layer in self._layers:
            layer.trainable = value

    @property
    def weights(self) -> list[Weight]:
        if not self.built or not self._can_have_weights:
            return []
        arrays = self.get_weights()
        places = zip(self._layers, self._places, strict=True)
        return [weight for layer, own in places for weight in layer._named([arrays[i] for i in own])]

    def get_weights(self) -> list[Array]:
        """Copies of all weights: [kernel, bias, kernel, bias, ...]. Raises ValueError before there are any; a model
        without Dense layers has none."""
        return self._ready().get_weights() if self._can_have_weights else []

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace all weights, in the order of `get_weights`; all or nothing. Optimizer state stays."""
        given = listed(weights, "weights")
        session = self._ready() if self._can_have_weights else None
        n = 0 if session is None else len(session.parameter_info())
        if len(given) != n:
            raise ValueError(f"model {self.name!r} has {n} weight arrays, not {len(given)}")
        if session is None:
            return
        values = [numeric(value, f"weights[{i}]", self.dtype) for i, value in enumerate(given)]
        session.set_weights(values)
        for layer, own in zip(self._layers, self._places, strict=True):
            if self._borrows(layer):
                new = [values[i] for i in own]
                # What the layer has may have more digits.
                if not all(map(np.array_equal, new, layer.lent_weights(self.dtype))):
                    layer.set_weights(new)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: None = None,
    ) -> None:
        """Print, per layer: output shape, parameters, current penalty and share of zeros in the kernel.

        `print_fn` is called with each line; by default `print`. `positions`, `expand_nested` and `show_trainable` are
        taken so that Keras programs run, and without effect. Raises ValueError unless `layer_range` is None.
        """
        only(None, layer_range, "layer_range", "all layers are shown")
        width = None if line_length is None else integer(line_length, "line_length", low=60)
        session = self._ready() if self._input_shape and self._can_have_weights else None
        frozen = sum(weight.size for weight in self.non_trainable_weights)
        print_summary(self.name, self._layers, self._input_units, session, frozen, width, print_fn or print)

    # ---- the session -------------------------------------------------------------------------------------------
    def _borrows(self, layer: Layer) -> bool:
        """Whether the layer has weights that are in another model's session, or in none."""
        return bool(layer.weight_names) and layer._owner is not self

    def _ready(self) -> _core.Session:
        """The session, made now if need be, with the weights that other models' layers have now."""
        session = self._session
        if session is not None and not any(map(self._borrows, self._layers)):
            return session
        with _SHARING:
            session = self._made()
            borrowed = [pair for pair in zip(self._layers, self._places) if self._borrows(pair[0])]
        for layer, own in borrowed:  # which may have to wait for the end of another model's epoch
            session.set_weights(layer.lent_weights(self.dtype), own.start, len(own))
            if layer._owner is None:  # it was taken out of its model, or that is gone
                layer.bind(self, session, own)
        return session

    def _ready_for_shape(self, shape: Shape) -> _core.Session:
        """The session for data with rows of this shape; a failure leaves the shape as it was."""
        known = self._input_shape
        if shape == known:
            return self._ready()
        self._set_input_shape(shape)
        try:
            return self._ready()
        except BaseException:
            self._input_shape = known
            raise

    def _made(self) -> _core.Session:
        """The session, made now if need be; what it has of other models' layers is not their weights."""
        with _SHARING:
            if self._session is None:
                self._session = self._new_session(math.prod(self._require_input_shape()))
            return self._session

    def _new_session(self, input_units: int) -> _core.Session:
        units = input_units
        for layer in self._layers:
            if layer._owner is None or not layer.built:  # so it is of the first model that makes its weights
                layer.unbind()
                layer._owner = self
            elif self._borrows(layer) and (theirs := _shape_into_where_it_is(layer)) not in (None, (units,)):
                raise ValueError(f"layer {layer.name!r} has weights for {theirs[0]} inputs, not {units}")
            units = layer.output_units(units)
        described = [layer.native(index, self.seed) for index, layer in enumerate(self._layers)]
        on_gpu = self.device == "cuda" or (self.device == "auto" and cuda.is_available())
        session = _core.Session(
            described,
            input_units,
            self.dtype,
            self.seed,
            "cuda" if on_gpu else "cpu",
            self.precision if on_gpu else "exact",
        )
        for layer in self._layers:
            take(*(getattr(layer, name) for name in argument_names(type(layer))))
        self._freeze(session)
        self._prepare(session)
        owners = [index for _, _, index in session.parameter_info()]
        places: list[range] = []
        units = input_units
        for index, layer in enumerate(self._layers):
            places.append(range(bisect_left(owners, index), bisect_right(owners, index)))
            if layer._owner is self:
                weights = layer.initial_weights(units, index, self.seed, self.dtype)
                session.set_weights(weights, places[-1].start, len(places[-1]))
            units = layer.output_units(units)
        self._places = places  # nothing can fail from here on
        for layer, own in zip(self._layers, places, strict=True):
            if layer._owner is self:
                layer.bind(self, session, own)
        return session

    def _freeze(self, session: _core.Session | None) -> None:
        if session is None:
            return
        for position, (_, _, index) in enumerate(session.parameter_info()):
            session.set_trainable(position, self._layers[index] not in self._frozen)

    def _kernel_penalty(self, layer: Dense) -> Regularizer:
        """What its regularizer comes to in this model."""
        return layer.kernel_regularizer or NO_PENALTY

    def _penalise(self, layer: Dense, penalty: dict[str, Any]) -> None:
        session = self._session
        if session is not None:
            take(layer.kernel_regularizer)
            session.set_penalty(self._places[self._layers.index(layer)].start, **penalty)

    def _prepare(self, session: _core.Session) -> None:
        """What is to be done with a new session; models.py compiles it."""

    def _release_session(self) -> None:
        """Let the layers keep their weights until the next session."""
        if self._session is not None:
            for layer in self._layers:
                if layer._owner is self:
                    layer.unbind()
            self._session = None
