"""Sequential: the model that Keras programs compile, fit, evaluate and save; here every argument is checked.

It must not know a formula or the order of a training step: the session does. The loop over epochs is _training.py,
layers and weights are _network.py. It is over 250 lines because arguments are documented in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from fastreg import _core, _training
from fastreg import layers as _layers
from fastreg._arguments import choice, flag, integer, listed, number, only
from fastreg._arrays import Array, Shape
from fastreg._compiled import Compiled
from fastreg._configurable import describe
from fastreg._dataset import Expectation, inputs, native
from fastreg._layer import Layer, axes, last_step
from fastreg._network import _SHARING, Network
from fastreg._progress import check_verbose, line_of
from fastreg._sampling import sample
from fastreg._sparse import SparseRows
from fastreg._tensor import Number, Tensor

if TYPE_CHECKING:
    import os

    from fastreg.callbacks import History
    from fastreg.metrics import Metric
    from fastreg.optimizers import Optimizer
    from fastreg.regularizers import Regularizer

__all__ = ["Model", "Sequential", "clone_model", "compact", "load_model", "model_from_json", "save_model"]


def _check_steps(steps: Any, name: str, rows: int, batch_size: int) -> None:
    """Raise ValueError unless `steps` is None or the number of batches of so many rows."""
    batches = -(-rows // batch_size)
    if steps is not None and integer(steps, name, low=1) != batches:
        raise ValueError(
            f"{name} must be None or {batches}, not {steps}: each of the {rows} rows is used once, "
            f"in batches of {batch_size}"
        )


class Model(Network):
    """What `Sequential` is, for annotations and `isinstance`: there are no other models, and none of one's own."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        if not isinstance(self, Sequential):
            raise TypeError(
                "fastreg has Sequential models only: no functional API, no classes derived from Model"
            )
        super().__init__(*arguments, **named)


class Sequential(Model):
    """A stack of layers, trained natively.

    Parameters
    ----------
    layers : sequence of Layer, optional
        More can be added with `add`. Without an `Input` (or `input_shape` of the first layer) the model takes its
        input width from the data of the first `fit`.
    name : str, default "sequential"
    seed : int in [0, 2**64), optional
        Initial weights, shuffles and dropout are functions of it; by default it is drawn anew
        (see `utils.set_random_seed`).
    device : {"cpu", "cuda", "auto"}
        "auto" is a GPU where there is one to use, else the CPU. `fit` copies its data to a GPU once.
    dtype : {"float32", "float64"}
        Of weights and data.
    precision : {"exact", "fast", "bf16"}
        Of matrix products on a GPU; the CPU is always exact. "exact" gives the bits of the CPU. "fast" uses tensor
        cores with float32's accuracy, "bf16" rounds what it multiplies to bfloat16 and keeps the
        outputs of large layers so; both for dtype "float32".

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.
    RuntimeError
        If `device="cuda"` and there is no GPU to use; the message says what is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastreg.layers import Dense
    >>> model = Sequential([Dense(4, activation="relu"), Dense(1)], seed=0)
    >>> model.compile(optimizer="adam", loss="mse")
    >>> history = model.fit(np.ones((8, 3)), np.ones(8), epochs=2, verbose=0)
    >>> len(history.history["loss"])
    2
    """

    def __init__(
        self,
        layers: Sequence[Layer | Network] | None = None,
        name: str | None = None,
        *,
        seed: int | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        precision: str = "exact",
    ) -> None:
        for hook in ("call", "train_step", "test_step", "predict_step", "compute_loss"):
            if hasattr(self, hook):
                raise TypeError(
                    f"{type(self).__name__} brings its own {hook}(), which would not run: steps are native"
                )
        super().__init__(name, seed, device, dtype, precision)
        self.stop_training = False
        self.history: History | None = None
        self._compiled: Compiled | None = None
        self._passes = 0  # with dropout, outside of training
        if isinstance(layers, Layer):
            raise TypeError("layers must be a list of layers, not a single layer")
        self._add(() if layers is None else listed(layers, "layers"))

    # ---- training ----------------------------------------------------------------------------------------------
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        *,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Set how to train. Weights stay; the optimizer starts anew.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str, Loss or function of `fastreg.losses`, optional
            Needed by everything but `predict`.
        metrics : list of str, Metric or function, optional
            "accuracy" becomes binary, categorical or sparse categorical by the loss and the width of the output.
        loss_weights : None, 1 or [1]
        weighted_metrics : list, optional
            Metrics that count each row with its sample weight.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Taken so that Keras programs run, and without effect: an epoch is one native call in any case.
        """
        counts_once = isinstance(loss_weights, (int, float, list, tuple)) and loss_weights in (1, [1], (1,))
        only(None, None if counts_once else loss_weights, "loss_weights", "a Sequential model has one loss")
        compiled = Compiled(optimizer, loss, metrics, weighted_metrics)
        with self._alone("compile"), _SHARING:
            compiled.check(self._layers, self._output_units_or_none())
            frozen = [layer for layer in self._layers if not self._lets_train(layer)]
            if self._session is not None:
                compiled.apply(self._session, self._layers)
            self._compiled, self._frozen = compiled, frozen
            self._freeze(self._session)

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float | None = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        *,
        allow_nonfinite: bool = False,
    ) -> History:
        """Train, and return the `History` of every epoch. Everything is checked before anything is changed.

        Parameters
        ----------
        x : array (n, features)
            What `np.asarray` takes, an array of another library in the memory of the CPU, or a frame of pandas, polars
            or Arrow; converted once to the model's dtype. So are y and sample_weight. If the first layer is Dense,
            x may be a matrix of scipy.sparse, which is never made dense; if it is Flatten, x may have more axes.
        y : array (n,), (n, 1) or (n, outputs); a frame or one of its columns
            For sparse_categorical_crossentropy the class indices, (n,) or (n, 1).
        batch_size : int, default 32
            The last batch may be smaller.
        epochs : int
            Index of the last epoch, not a count from `initial_epoch`.
        verbose : "auto", 0, 1 or 2
            A progress bar over epochs (1, "auto"), one line an epoch (2) or nothing (0).
        callbacks : list of Callback, optional
        validation_split : float in [0, 1)
            Share of the rows, taken from the end before shuffling, to validate on.
        validation_data : (x, y) or (x, y, sample_weight), optional
            Used instead of `validation_split`.
        shuffle : bool
            Visit the rows in another order each epoch, unless they are one batch.
        class_weight : dict of class to weight, optional
            For training only; a class that is missing counts 1.
        sample_weight : array (n,), optional
            loss = sum(w_i * l_i) / n. Multiplied with class_weight.
        initial_epoch : int
            Index of the first epoch, to resume.
        steps_per_epoch, validation_steps : int, optional
            The number of batches, if given: an epoch and a validation are all rows.
        validation_batch_size : int, optional
            By default `batch_size`.
        validation_freq : int or list of int
            Validate every so many epochs, or in these (counting from 1).
        allow_nonfinite : bool
            Accept NaN and infinity in the data.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        RuntimeError
            If the model is not compiled, or is being fitted already.
        KeyboardInterrupt
            On Ctrl-C; the model stays usable, at the end of a step.
        """
        with self._alone("fit"):
            compiled = self._require_compiled()
            expected = self._expectation(flag(allow_nonfinite, "allow_nonfinite"))
            given = 0.0 if validation_split is None else validation_split
            split = number(given, "validation_split", low=0.0, high=1.0, open_high=True)
            data, validation = expected.dataset(x, y, sample_weight), None
            if validation_data is not None:
                validation = expected.validation(validation_data, data.x.shape[1:])
            elif split > 0.0:
                data, validation = data.split(split)
            data = expected.weigh_classes(data, class_weight)
            plan = _training.Plan.checked(
                batch_size, epochs, initial_epoch, verbose, shuffle, validation_batch_size, validation_freq
            )
            _check_steps(steps_per_epoch, "steps_per_epoch", data.rows, plan.batch_size)
            if validation is not None:
                _check_steps(
                    validation_steps, "validation_steps", validation.rows, plan.validation_batch_size
                )
            hooks = _training.Hooks(callbacks)
            session = self._take_over("fit", self._shape_of(data.x))
            return _training.fit(self, session, compiled, data, validation, plan, hooks)

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: ArrayLike | None = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss (with penalties), or [loss, metrics...] if there are metrics; or a dict of all that is logged.

        Arguments are those of `fit`; `verbose` other than 0 prints one line.
        """
        compiled, as_dict = self._require_compiled(), flag(return_dict, "return_dict")
        data = self._expectation().dataset(x, y, sample_weight)
        size = _training.check_batch_size(batch_size)
        _check_steps(steps, "steps", data.rows, size)
        show, hooks = check_verbose(verbose) > 0, _training.Hooks(callbacks)
        hooks.attach(self, {"verbose": int(show), "steps": -(-data.rows // size)})
        session = self._ready_for(data.x)
        logs = _training.evaluate(self, session, compiled, data, size, hooks)
        if show:
            print(line_of(logs, self.metrics_names))
        return compiled.answer(logs, as_dict)

    def predict(
        self,
        x: ArrayLike,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Array:
        """The outputs (n, units) for `x` (n, features).

        A row's result has the same bits whatever `batch_size` is. `verbose` is checked and has nothing to show: it is
        one native call, unless a callback has `on_predict_batch_begin` or `on_predict_batch_end` (then batches have
        32 rows by default).
        """
        hooks = _training.Hooks(callbacks)
        size = _training.check_batch_size(batch_size)
        check_verbose(verbose)
        array = inputs(x, self._input_shape, self._flattens, self.dtype, allow_nonfinite=True)
        _check_steps(steps, "steps", len(array), size)
        hooks.attach(self, {"verbose": 0, "steps": -(-len(array) // size)})
        if self._layers and not self._can_have_weights and not isinstance(array, SparseRows):
            return sample(self._layers, array.reshape(len(array), -1).copy(), self.seed, None)
        return _training.predict(self._ready_for(array), array, size, hooks)

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch; returns what `evaluate` does, but for `sparsity`, of this batch before the step."""
        compiled, as_dict = self._require_compiled(), flag(return_dict, "return_dict")
        expected = self._expectation()
        data = expected.weigh_classes(expected.dataset(x, y, sample_weight), class_weight)
        session = self._take_over("train_on_batch", self._shape_of(data.x))
        compiled.optimizer._iterations = session.step
        session.learning_rate = compiled.optimizer.rates(1)[0]
        totals = session.train_batch(native(data.x), data.y, data.sample_weight)
        compiled.optimizer._iterations = session.step
        return compiled.answer(compiled.logs(totals), as_dict)

    def test_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = False,
    ) -> Any:
        """What `evaluate` returns, but for `sparsity`, of one batch."""
        compiled, as_dict = self._require_compiled(), flag(return_dict, "return_dict")
        data = self._expectation().dataset(x, y, sample_weight)
        totals = self._ready_for(data.x).evaluate(native(data.x), data.y, data.sample_weight)
        return compiled.answer(compiled.logs(totals), as_dict)

    def predict_on_batch(self, x: ArrayLike) -> Array:
        """What `predict` returns."""
        return self.predict(x, verbose=0)

    def __call__(self, x: ArrayLike, training: bool | None = None) -> Tensor:
        """What `predict` returns, with `numpy()`: a forward pass without dropout.

        With `training=True` a pass with dropout, whose masks differ from call to call and from those of `fit`: the
        spread of many passes tells how sure the model is (Monte Carlo dropout; Gal and Ghahramani 2016). They are
        functions of the model's seed and of how many such passes it made; they are made on the CPU.
        """
        if training is None or not flag(training, "training"):
            return self.predict(x, verbose=0).view(Tensor)
        array = inputs(x, self._input_shape, self._flattens, self.dtype, allow_nonfinite=True)
        if isinstance(array, SparseRows):
            raise TypeError(
                "x is sparse, which a pass with dropout does not take; pass x.toarray(), a few rows at a time"
            )
        if self._can_have_weights:
            self._ready_for(array)
        step = last_step(self._passes)
        self._passes += 1
        return sample(self._layers, array.reshape(len(array), -1), self.seed, step).view(Tensor)

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; its learning_rate may be set at any time. There is none before `compile`."""
        if self._compiled is None:
            raise AttributeError("the model has no optimizer; call model.compile(optimizer, loss) first")
        return self._compiled.optimizer

    @property
    def loss(self) -> Any:
        """The loss object, or None."""
        return None if self._compiled is None else self._compiled.loss

    @property
    def losses(self) -> list[Number]:
        """The penalties of all layers: see `Layer.losses`. What `losses.ElasticNet` adds is not among them."""
        return [loss for layer in self._layers if self._lets_train(layer) for loss in layer.losses]

    @property
    def metrics_names(self) -> list[str]:
        """["loss", metrics...]: the names of what `evaluate` returns; empty before `compile`."""
        return [] if self._compiled is None else ["loss", *self._compiled.names]

    def reset_metrics(self) -> None:
        """Does nothing: what `train_on_batch` returns is of its batch alone."""

    @property
    def metrics(self) -> list[Metric]:
        """The metric objects, in the order of `metrics_names`; known with the width of the output."""
        return [] if self._compiled is None else self._compiled.metrics

    # ---- saving ------------------------------------------------------------------------------------------------
    def get_config(self) -> dict[str, Any]:
        """The architecture, without weights."""
        return {
            "name": self.name,
            "layers": [describe(layer) for layer in self._layers],
            "input_shape": self._input_shape,
            "seed": self.seed,
            "device": self.device,
            "dtype": self.dtype,
            "precision": self.precision,
            **({} if self._trainable else {"trainable": False}),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Sequential:
        """A new model of the same architecture, with initial weights."""
        settings = dict(config)
        described, input_shape = settings.pop("layers"), settings.pop("input_shape", None)
        trainable = flag(settings.pop("trainable", True), "trainable")
        if settings.get("device") == "cuda":
            settings["device"] = "auto"  # a model trained on a GPU can be used without one
        model = cls([_layers.from_description(item) for item in described], **settings)
        if input_shape is not None:
            model._set_input_shape(axes(input_shape, "input_shape"))
            model._has_input = True
        model._trainable = trainable  # the layers say for themselves
        return model

    def to_json(self) -> str:
        """The architecture and the arguments of `compile` as text for `models.model_from_json`."""
        from fastreg import saving

        return saving.to_json(self)

    def save(
        self,
        filepath: str | bytes | os.PathLike[str],
        overwrite: bool = True,
        *,
        include_optimizer: bool = True,
        save_format: str | None = None,
    ) -> None:
        """Write the whole model, optimizer included, to one safetensors file: see `fastreg.models.load_model`.

        `save_format`, tf.keras's, is taken and without effect, as is the ending of `filepath`.
        """
        from fastreg import saving

        only(True, include_optimizer, "include_optimizer", "load_model(..., compile=False) leaves it out")
        saving.save_model(self, filepath, overwrite)

    def export(
        self,
        filepath: str | bytes | os.PathLike[str],
        format: str = "onnx",
        verbose: bool | None = None,
        input_signature: None = None,
        *,
        opset_version: int | None = None,
    ) -> None:
        """Write the model at inference to an ONNX file, for runtimes that know nothing of fastreg.

        Its input is "x" (n, features), its output "y" (n, units), both of the model's dtype, for any n. What it gives
        equals `predict` but for rounding: sums are in the runtime's order, and ONNX holds slopes of activations in
        float32. Not every runtime has every activation in float64. `models.compact(model).export(...)` leaves out the
        units that L1 has cut off.

        Parameters
        ----------
        filepath : str or path
            An existing file is replaced, at once.
        format : {"onnx"}
        verbose, input_signature
            Keras's; `verbose` is taken and without effect, `input_signature` must be None.
        opset_version : int, optional
            The version of ONNX's operators, at least 14; by default 17, of 2022.

        Raises
        ------
        ImportError
            If the package onnx is missing.
        ValueError
            If the model has no weights yet, or 2 GiB of them; for other values of the arguments.
        """
        from fastreg import saving

        choice(format, "format", ("onnx",))
        only(None, input_signature, "input_signature", "the input is a batch of any size")
        saving.export_onnx(self, filepath, opset_version)

    def save_weights(self, filepath: str | bytes | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone to one safetensors file."""
        from fastreg import saving

        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | bytes | os.PathLike[str], skip_mismatch: bool = False) -> None:
        """Read weights that `save_weights` or `save` wrote, for the same architecture."""
        from fastreg import saving

        only(False, skip_mismatch, "skip_mismatch", "weights are loaded all or none")
        saving.load_weights(self, filepath)

    def __reduce__(self) -> Any:
        from fastreg import saving

        if not self._has_more_than_a_description():
            return saving.from_description, (saving.describe(self),)
        return saving.from_bytes, (saving.to_bytes(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Sequential:
        from fastreg import saving

        if not self._has_more_than_a_description():
            return saving.from_description(saving.describe(self))
        return saving.copy_of(self)

    def _has_more_than_a_description(self) -> bool:
        if type(self) is not Sequential:
            raise TypeError(f"a {type(self).__name__} cannot be copied or pickled, only a Sequential itself")
        return self.built and any(isinstance(layer, _layers.Dense) for layer in self._layers)

    # ---- the session -------------------------------------------------------------------------------------------
    def _require_compiled(self) -> Compiled:
        if self._compiled is None:
            raise RuntimeError("the model is not compiled; call model.compile(optimizer, loss) first")
        return self._compiled

    def _expectation(self, allow_nonfinite: bool = False) -> Expectation:
        loss = self._require_compiled().loss
        if loss is None:
            raise RuntimeError("the model is compiled without a loss; call model.compile(optimizer, loss)")
        if not self._can_have_weights:
            raise ValueError("the model has no weights; add a Dense layer")
        shape, units = self._input_shape, self._output_units()
        return Expectation(loss, shape, self._flattens, units, self.dtype, allow_nonfinite)

    def _ready_for(self, x: Array | SparseRows) -> _core.Session:
        return self._ready_for_shape(self._shape_of(x))

    def _shape_of(self, x: Array | SparseRows) -> Shape:
        """That of a row; TypeError if the model does not take such data."""
        if isinstance(x, SparseRows) and self._layers and not isinstance(self._layers[0], _layers.Dense):
            raise TypeError("x is sparse, which only a Dense first layer takes; pass x.toarray()")
        return x.shape[1:]

    def _kernel_penalty(self, layer: _layers.Dense) -> Regularizer:
        return (
            super()._kernel_penalty(layer) if self._compiled is None else self._compiled.kernel_penalty(layer)
        )

    def _prepare(self, session: _core.Session) -> None:
        if self._compiled is not None:
            self._compiled.apply(session, self._layers)


def load_model(
    filepath: str | bytes | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Sequential:
    """The model that `Sequential.save` wrote: weights, optimizer state, step, epoch and seed.

    Training goes on from it in the same bits as if it had never been interrupted
    (`fit(..., initial_epoch=...)` continues the count of epochs).

    Parameters
    ----------
    filepath : str or path
    custom_objects
        None or empty: there are none.
    compile : bool, default True
        False: the model is not compiled.
    safe_mode
        Taken so that Keras programs run, and without effect: no file is ever executed.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or was not written by fastreg.
    """
    from fastreg import saving

    return saving.load_model(filepath, custom_objects, compile, safe_mode)


def save_model(model: Sequential, filepath: str | bytes | os.PathLike[str], overwrite: bool = True) -> None:
    """What `model.save` does."""
    model.save(filepath, overwrite)


def clone_model(model: Sequential, input_tensors: None = None, clone_function: None = None) -> Sequential:
    """A model of the same architecture, compiled as `model` is, with a new seed and so with other initial weights.

    Raises ValueError unless the others of Keras's arguments are None.
    """
    from fastreg import saving

    only(None, input_tensors, "input_tensors", "a model makes its own input")
    only(None, clone_function, "clone_function", "layers are made from their descriptions")
    description = saving.describe(model)
    del description["model"]["seed"]
    return saving.from_description(description)


def compact(model: Sequential) -> Sequential:
    """A model of smaller layers that predicts what `model` does: without the hidden units that have become useless.

    That is what the exact zeros of L1 are good for. A unit that no weight but 0 leads into is the same for any input,
    and what it gives is added to the biases behind it; a unit that no weight but 0 leads out of is not read.
    Predictions are equal but for rounding, the number of inputs and outputs stays, and every layer keeps a unit.

    Parameters
    ----------
    model : Sequential
        It stays as it is. Units before a hidden softmax, which mixes them, stay, too.

    Returns
    -------
    Sequential
        With the same names and settings, compiled as `model` is, with an optimizer that has made no steps. Penalties
        on biases and activities do not count what is gone; trained on, it has other dropout masks.

    Raises
    ------
    TypeError
        If `model` is no Sequential.
    ValueError
        If it has no weights yet, or an object of a class of one's own, which cannot be described.

    Examples
    --------
    >>> import fastreg
    >>> model = fastreg.Sequential([fastreg.Input((2,)), fastreg.layers.Dense(3, "relu"), fastreg.layers.Dense(1)])
    >>> model.set_weights([[[1.0, 0.0, 2.0], [0.0, 0.0, 1.0]], [0.0, 0.5, 0.0], [[1.0], [4.0], [0.0]], [1.0]])
    >>> [weights.tolist() for weights in compact(model).get_weights()]
    [[[1.0], [0.0]], [0.0], [[1.0]], [3.0]]
    """
    from fastreg import saving
    from fastreg._compact import without_dead_units

    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential, not {type(model).__name__}")
    if not model.built:
        raise ValueError("the model has no weights yet; build or fit it first")
    weights = without_dead_units(model.layers, model.get_weights())
    description = saving.describe(model)
    described = description["model"]["layers"]
    dense = [
        item["config"] for layer, item in zip(model.layers, described) if isinstance(layer, _layers.Dense)
    ]
    for config, (kernel, *_) in zip(dense, weights, strict=True):
        config["units"] = kernel.shape[1]
    for item in described[1:]:  # what stands before them gives less than they say
        item["config"].update(dict.fromkeys(item["config"].keys() & {"input_shape", "input_dim"}))
    smaller = saving.from_description(description)
    smaller.set_weights([array for arrays in weights for array in arrays])
    return smaller


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Sequential:
    """The model whose `to_json` gave `json_string`: with initial weights, and compiled if that one was.

    Raises ValueError for any other text.
    """
    from fastreg import saving

    return saving.from_json(json_string, custom_objects)
