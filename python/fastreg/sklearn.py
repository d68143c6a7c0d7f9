"""Regularized dense networks as scikit-learn estimators: for pipelines, cross-validation and searches over penalties.

It must not know how a network is trained: it builds a `fastreg.Sequential` and calls its `fit`. It needs scikit-learn
1.6 or newer, which fastreg itself does not. It is over 250 lines because settings are documented in full, and stand in
the signature of each estimator, where scikit-learn reads them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import LabelEncoder
    from sklearn.utils import check_random_state
    from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
    from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(f"fastreg.sklearn needs scikit-learn 1.6 or newer ({error})") from error

from fastreg import losses, optimizers
from fastreg._arguments import flag, integer, number
from fastreg._arrays import Array, row_weights
from fastreg._configurable import own_class
from fastreg._sparse import is_sparse
from fastreg.callbacks import Callback, EarlyStopping
from fastreg.layers import Dense, Dropout, Layer
from fastreg.models import Sequential
from fastreg.regularizers import L1L2

__all__ = ["DenseClassifier", "DenseRegressor"]

Self = TypeVar("Self", bound="_DenseEstimator")

_ELEMENTWISE = (
    "binary_crossentropy", "hinge", "huber", "mean_absolute_error", "mean_squared_error", "poisson",
)  # fmt: skip
_OF_NUMBERS = ("log_cosh", "mean_absolute_percentage_error", "mean_squared_logarithmic_error")
_OUTPUTS = {  # a regressor's activation of the last layer, where its loss is not one of any number
    "binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax",
    "mean_squared_logarithmic_error": "softplus", "poisson": "softplus",
}  # fmt: skip


@contextmanager
def _unchanged_on_failure(estimator: Any) -> Iterator[None]:
    """Gives `estimator` its attributes back if what is done within raises, KeyboardInterrupt included."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise


def _relative(rows: int, **given: Any) -> Array | None:
    """The product of the row weights `given` by name, (rows,), over its mean; None where none is given."""
    named: dict[str, Any] = {
        name: row_weights(value, rows, "float64", name) for name, value in given.items() if value is not None
    }
    if not named:
        return None
    with np.errstate(over="ignore"):
        weight = np.prod(list(named.values()), axis=0)
        mean = float(weight.mean())
    if not 0 < mean < np.inf:
        raise ValueError(f"{' times '.join(named)} must have a finite mean above zero, not {mean:g}")
    relative: Array = weight / mean
    return relative


def _check_range(values: Any, name: str, dtype: str) -> None:
    """Raise ValueError if finite `values`, perhaps sparse, are not so as `dtype`."""
    elements = values.data if is_sparse(values) else values
    largest = float(np.finfo(dtype).max)
    if elements.size and max(float(elements.max()), -float(elements.min())) > largest:
        raise ValueError(
            f'{name} holds values beyond {largest:.4g}, the largest of {dtype}; scale {name}, or set dtype="float64"'
        )


def _check_ranges(X: Any, y: Array, dtype: str) -> None:
    _check_range(X, "X", dtype)
    _check_range(y, "y", dtype)


def _diverged(what: str) -> ValueError:
    return ValueError(
        f"training diverged: {what}; scale X (and y where it is numbers), or lower learning_rate"
    )


class _Divergence(Callback):
    """Ends training at an epoch whose loss is not finite. TerminateOnNaN sees the batch, but slows training on GPUs."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {})["loss"]
        if not np.isfinite(loss):
            raise _diverged(f"the loss of epoch {epoch + 1} is {loss}")


class _DenseEstimator(BaseEstimator):
    """The settings of both estimators, documented in `DenseClassifier`, and how a network comes of them."""

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (64,),
        activation: str = "relu",
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        dropout: float = 0.0,
        loss: Any = None,
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        batch_size: int = 32,
        epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        random_state: Any = None,
        warm_start: bool = False,
        callbacks: Any = None,
        device: str = "cpu",
        dtype: str = "float32",
        verbose: Any = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.l1 = l1
        self.l2 = l2
        self.dropout = dropout
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _network(self, units: int, activation: str | None, seed: int) -> Sequential:
        penalty = L1L2(self.l1, self.l2)
        rate = number(self.dropout, "dropout", low=0.0, high=1.0)
        layers: list[Layer] = []
        for size in np.atleast_1d(self.hidden_layer_sizes).tolist():
            hidden = Dense(
                integer(size, "each of hidden_layer_sizes", low=1),
                self.activation,
                kernel_regularizer=penalty,
            )
            layers += [hidden, Dropout(rate)] if rate > 0 else [hidden]
        output = Dense(units, activation, kernel_regularizer=penalty)
        return Sequential([*layers, output], seed=seed, device=self.device, dtype=self.dtype)

    def _new_optimizer(self) -> optimizers.Optimizer:
        """A model keeps the optimizer it is compiled with, so every fit has its own."""
        given = optimizers.get(self.optimizer)
        settings = given._arguments()
        if self.learning_rate is not None:
            settings["learning_rate"] = self.learning_rate
        optimizer: optimizers.Optimizer = own_class(type(given))(**settings)
        return optimizer

    def _loss(self, default: str, possible: Sequence[str], task: str) -> losses.Loss:
        """The loss that is set, or `default`; ValueError if it is not among those `possible` for `task`."""
        given, cause = default if self.loss is None else self.loss, None
        try:
            loss = losses.get(given)
            if loss.from_logits:
                raise ValueError(
                    "loss must have from_logits=False: the network ends in the activation that it needs"
                )
            if loss.kind in possible:
                return loss
        except TypeError as error:  # also of "elastic_net", which lacks the loss that it adds penalties to
            cause = error
        few = "" if len(possible) == 1 else "one of "
        raise ValueError(f"loss must be {few}{', '.join(possible)} for {task}, not {given!r}") from cause

    def _compiled(self, output: tuple[int, str | None], loss: losses.Loss, random: Any) -> Sequential:
        """A new network; `output`: units and activation of the last layer."""
        model = self._network(*output, seed=int(random.randint(2**31 - 1)))
        model.compile(self._new_optimizer(), loss)
        return model

    def _begin(
        self, model: Sequential, X: Any, y: Array, weight: Array | None, activation: str | None
    ) -> None:
        """Make the weights, the last layer's bias as `_first_bias` says."""
        model.build((None, X.shape[1]))
        bias = self._first_bias(y, weight, activation)
        if bias is not None:
            model.set_weights([*model.get_weights()[:-1], bias])

    def _first_bias(self, y: Array, weight: Array | None, activation: str | None) -> Array | None:
        """From where the last layer's bias starts, (units,), where not from 0."""
        return None

    def _train(
        self,
        X: Any,
        y: Array,
        weight: Array | None,
        output: tuple[int, str | None],
        loss: losses.Loss,
        classes: Array | None = None,
    ) -> None:
        """Fit a new network to checked data."""
        random = check_random_state(self.random_state)
        model = self._compiled(output, loss, random)
        _check_ranges(X, y, model.dtype)
        validation = None
        callbacks: list[Callback] = []
        if flag(self.early_stopping, "early_stopping"):
            callbacks.append(EarlyStopping(patience=self.patience, restore_best_weights=True))
            (X, y, weight), validation = self._held_back(X, y, weight, random, classes)
        self._begin(model, X, y, weight, output[1])
        if self._starts_warm():
            self._take_weights(model)
        self.history_ = self._fitted(model, X, y, weight, self.epochs, callbacks, validation)
        self.model_, self.n_iter_ = model, len(self.history_["loss"])

    def _starts_warm(self) -> bool:
        return flag(self.warm_start, "warm_start") and hasattr(self, "model_")

    def _take_weights(self, model: Sequential) -> None:
        """Start `model` from the weights of the last fit; ValueError if it was of another shape."""
        weights = self.model_.get_weights()
        shapes, new = [[w.shape for w in group] for group in (weights, model.get_weights())]
        if shapes != new:
            raise ValueError(
                f"warm_start=True starts from the weights of the last fit, whose shapes are {shapes}; "
                f"data and settings now ask for {new}"
            )
        model.set_weights(weights)

    def _train_more(
        self, X: Any, y: Array, weight: Array | None, output: tuple[int, str | None], loss: losses.Loss
    ) -> None:
        """One epoch of the network there is, or of a new one. A copy is trained, which a failure leaves behind."""
        if flag(self.early_stopping, "early_stopping"):
            raise ValueError("early_stopping must be False for partial_fit, which holds no rows back")
        first = not hasattr(self, "model_")
        model = (
            self._compiled(output, loss, check_random_state(self.random_state))
            if first
            else copy.deepcopy(self.model_)
        )
        _check_ranges(X, y, model.dtype)
        if first:
            self._begin(model, X, y, weight, output[1])
        for layer in model.layers:
            if isinstance(layer, Dense):
                layer.kernel_regularizer = L1L2(self.l1, self.l2)
        logs = self._fitted(model, X, y, weight, epochs=1)
        self.history_ = logs if first else {name: self.history_.get(name, []) + logs[name] for name in logs}
        self.model_, self.n_iter_ = model, 1 if first else self.n_iter_ + 1

    def _fitted(
        self,
        model: Sequential,
        X: Any,
        y: Array,
        weight: Array | None,
        epochs: int,
        callbacks: Sequence[Callback] = (),
        validation: list[Any] | None = None,
    ) -> dict[str, list[float]]:
        """Train `model`; the history of it."""
        given = [] if self.callbacks is None else copy.deepcopy(self.callbacks)
        given = given if isinstance(given, (list, tuple)) else [given]
        history = model.fit(
            X, y, batch_size=self.batch_size, epochs=epochs, verbose=self.verbose,
            callbacks=[_Divergence(), *callbacks, *given], validation_data=validation, sample_weight=weight,
        )  # fmt: skip
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            raise _diverged("weights of the network are not finite")
        logs: dict[str, list[float]] = history.history
        return logs

    def _held_back(
        self, X: Any, y: Array, weight: Array | None, random: Any, classes: Array | None
    ) -> tuple[list[Any], list[Any]]:
        """X, y and weights (or None) of the rows to train on, and of those to validate on."""
        share = number(
            self.validation_fraction, "validation_fraction", low=0.0, high=1.0, open_low=True, open_high=True
        )
        given = [X, y] if weight is None else [X, y, weight]
        try:
            split = train_test_split(*given, test_size=share, random_state=random, stratify=classes)
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot hold back {share:g} (validation_fraction) of {len(y)} rows: {error}"
            ) from error
        if not all(weights.any() for weights in split[4:]):
            raise ValueError(
                "sample_weight must be above 0 for a row that early_stopping holds back and for one that it does not"
            )
        return [*split[0::2], None][:3], split[1::2]

    def _predict(self, X: Any) -> Array:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=(np.float64, np.float32))
        _check_range(X, "X", self.model_.dtype)
        return self.model_.predict(X, verbose=0).astype(X.dtype, copy=False)

    @property
    def coef_(self) -> Array:
        """The weights of a network without hidden layers, (outputs, n_features_in_), or as scikit-learn's linear models
        have them: (n_features_in_,) of a regressor with a `y` (rows,). AttributeError with hidden layers."""
        kernel = self._linear("coef_")[0].T
        return kernel if self._has_rows else kernel[0]

    @property
    def intercept_(self) -> Any:
        """The biases that go with `coef_`, (outputs,), or a number."""
        bias = self._linear("intercept_")[1]
        return bias if self._has_rows else bias[0]

    def _linear(self, name: str) -> list[Array]:
        check_is_fitted(self, "model_")
        if len(self.model_.layers) > 1:
            raise AttributeError(f"{name} is of networks without hidden layers: hidden_layer_sizes=()")
        return self.model_.get_weights()

    @property
    def coefs_(self) -> list[Array]:
        """The kernels of all layers, (inputs, units) each, as scikit-learn's MLPClassifier has them."""
        check_is_fitted(self, "model_")
        return self.model_.get_weights()[::2]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of all layers, (units,) each, that go with `coefs_`."""
        check_is_fitted(self, "model_")
        return self.model_.get_weights()[1::2]

    @property
    def loss_curve_(self) -> list[float]:
        """The loss of each epoch, with the penalty: `history_["loss"]`."""
        check_is_fitted(self, "model_")
        return self.history_["loss"]

    @property
    def feature_importances_(self) -> Array:
        """For each input the sum of the absolute weights of the first layer, (n_features_in_,); 0: it is not used."""
        check_is_fitted(self, "model_")
        importances: Array = np.abs(self.model_.get_weights()[0]).sum(axis=1)
        return importances


class DenseClassifier(ClassifierMixin, _DenseEstimator):
    """A regularized dense network that tells two or more classes apart, or which of several labels a row has.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (64,)
        Units of each hidden layer; () is a linear model.
    activation : str, default "relu"
        Of the hidden layers.
    l1, l2 : float, default 0
        The objective is loss + l1 * sum(abs(w)) + l2 * sum(w^2) over the kernels of all layers. L1 gives weights that
        are exactly 0.
    dropout : float in [0, 1], default 0
        The rate, behind every hidden layer.
    loss : str or Loss, optional
        By default the cross-entropy, in `DenseRegressor` the mean squared error. More than two classes take
        no other. A regressor's output is positive for "poisson" and "mean_squared_logarithmic_error" (softplus),
        between 0 and 1 for "binary_crossentropy" (sigmoid), of sum 1 for "categorical_crossentropy" (softmax).
    class_weight : dict of label to weight or "balanced", optional
        Multiplied with `sample_weight`. "balanced" gives all classes the same sum; a label that is missing counts 1.
        Where `y` has columns, a list with a dict for each.
    optimizer : str or Optimizer, default "adam"
    learning_rate : float, optional
        By default the optimizer's.
    batch_size : int, default 32
    epochs : int, default 100
        With early stopping at most so many.
    early_stopping : bool, default False
        Hold rows back, stop when their loss has not become better for `patience` epochs, and keep the best weights.
    validation_fraction : float in (0, 1), default 0.1
        The share of rows held back.
    patience : int, default 10
    random_state : int, RandomState or None
        An int makes every `fit` end in the same bits.
    warm_start : bool, default False
        Whether `fit` starts from the weights of the last fit, if there is one, for the path of a penalty. The optimizer
        starts anew.
    callbacks : Callback or sequence of Callback, optional
        For `Sequential.fit`; each fit takes copies.
    device, dtype : str
        See `fastreg.Sequential`.
    verbose : 0, 1, 2 or "auto", default 0
        See `fastreg.Sequential.fit`.

    Attributes
    ----------
    model_ : Sequential
        The trained network.
    history_ : dict of lists
        What was logged after each epoch.
    n_iter_ : int
        How many epochs were trained: by the last `fit`, and by `partial_fit` since.
    classes_ : array (classes,)
        The labels, sorted; where `y` has columns their numbers.
    feature_importances_ : array (n_features_in_,)
        For each input the sum of the absolute weights of the first layer: 0 where the network does not look at it,
        so that `SelectFromModel(network, threshold=1e-12)` keeps the inputs in use.
    coef_, intercept_ : arrays
        Of a network without hidden layers, as scikit-learn's linear models have them.
    coefs_, intercepts_, loss_curve_ : lists
        Kernels and biases of all layers, and the loss of each epoch, as scikit-learn's MLPClassifier has them.
    n_features_in_, feature_names_in_
        See scikit-learn.

    Notes
    -----
    To select inputs by L1, train with `batch_size=len(X)` and more epochs: the noise of small batches makes weights of
    useless inputs leave 0 again and again. Of 100 inputs, 8 of them informative, a linear regression kept 20 after 100
    epochs with batches of 32, and 8, as scikit-learn's Lasso, after 2000 epochs with the whole data; a network of 32
    units 97 and 18 (one with hidden units comes to use more of them the longer it is trained). Where that is too slow
    take the largest importances: `SelectFromModel(network, max_features=8, threshold=-np.inf)`.

    For a program of scikit-learn's MLPClassifier or MLPRegressor:

    - `alpha` is divided by the rows of a batch (batch_size="auto" is min(200, rows)): l2 = alpha / (2 * batch_size),
      and twice that for MLPRegressor, whose loss is halved.
    - `max_iter` is `epochs`, `n_iter_no_change` `patience`, `learning_rate_init` `learning_rate`; the activation
      "logistic" is "sigmoid", "identity" is "linear".
    - solver="sgd" has momentum: optimizer=SGD(momentum=0.9, nesterov=True). There is no "lbfgs".
    - It also stops where the loss of training stands still: callbacks=EarlyStopping("loss", min_delta=1e-4,
      patience=10). With early_stopping=True it watches accuracy or R2 of the rows held back, not their loss.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> search = GridSearchCV(DenseClassifier(epochs=20, random_state=0), {"l1": [1e-3, 1.0]}, cv=3)
    >>> search.fit(X, y).best_params_
    {'l1': 0.001}
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (64,),
        activation: str = "relu",
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        dropout: float = 0.0,
        loss: Any = None,
        class_weight: Any = None,
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        batch_size: int = 32,
        epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        random_state: Any = None,
        warm_start: bool = False,
        callbacks: Any = None,
        device: str = "cpu",
        dtype: str = "float32",
        verbose: Any = 0,
    ) -> None:
        super().__init__(
            hidden_layer_sizes, activation, l1=l1, l2=l2, dropout=dropout, loss=loss, optimizer=optimizer,
            learning_rate=learning_rate, batch_size=batch_size, epochs=epochs, early_stopping=early_stopping,
            validation_fraction=validation_fraction, patience=patience, random_state=random_state,
            warm_start=warm_start, callbacks=callbacks, device=device, dtype=dtype, verbose=verbose,
        )  # fmt: skip
        self.class_weight = class_weight

    _has_rows = True  # coef_ of two classes, too

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self: Self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network. If this fails or is interrupted, the estimator is as before.

        Parameters
        ----------
        X : array or sparse matrix (rows, features)
        y : array (rows,), or (rows, labels) of 0 and 1
            The label of each row; or which of several labels it has, any number of them.
        sample_weight : array (rows,), optional
            Finite, at least 0. Only ratios count: weights (times those of `class_weight`) are divided by their mean
            over all rows, those that early stopping holds back included, so that their scale does not weaken or
            strengthen the penalties.

        Raises
        ------
        TypeError, ValueError
            If data or settings are not as described; also if training diverged.
        """
        with _unchanged_on_failure(self):
            known = self.classes_ if self._starts_warm() else None
            X, labels, weight, output, loss = self._checked(X, y, sample_weight, known)
            self._train(X, labels, weight, output, loss, None if self._multilabel else labels)
        return self

    def partial_fit(self: Self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train one epoch more on these rows, or one epoch of a new network; for data that does not fit in memory.

        The optimizer goes on. Of settings that were changed after the first call `l1`, `l2`, `batch_size`, `verbose`
        and `class_weight` count.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the mean of the weights over these rows.
        classes : array (classes,), optional
            All labels that there are, needed by the first call, but where `y` has columns.

        Raises
        ------
        TypeError, ValueError
            As in `fit`; for a label that is not among `classes`; with `early_stopping` and with "balanced" weights of
            classes, which take all rows. The estimator is as before.
        """
        with _unchanged_on_failure(self):
            if isinstance(self.class_weight, str):
                raise ValueError(f"class_weight must be a dict for partial_fit, not {self.class_weight!r}")
            known = getattr(self, "classes_", None)
            if classes is not None:
                given = unique_labels(classes)
                if known is not None and not np.array_equal(given, known):
                    raise ValueError(
                        f"classes must be those of the first call, {known.tolist()}, not {given.tolist()}"
                    )
                known = given
            elif known is None and type_of_target(y) != "multilabel-indicator":
                raise ValueError("classes must be given to the first partial_fit: all labels that there are")
            self._train_more(*self._checked(X, y, sample_weight, known, reset=not hasattr(self, "model_")))
        return self

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, known: Array | None, reset: bool = True
    ) -> tuple[Any, Array, Array | None, tuple[int, str], losses.Loss]:
        """X, y as numbers, weights of the rows, units and activation of the output, loss. `known`: all labels."""
        X, y = validate_data(
            self, X, y, reset=reset, accept_sparse="csr", dtype=(np.float64, np.float32), multi_output=True
        )
        labels = self._encoded(y, known)
        n, weights = len(self.classes_), self._class_weights(labels)
        weight = _relative(len(labels), sample_weight=sample_weight, class_weight=weights)
        if n == 2 or self._multilabel:
            what = f"{n} {'labels' if self._multilabel else 'classes'}"
            loss = self._loss("binary_crossentropy", _ELEMENTWISE, what)
            return X, labels, weight, (n if self._multilabel else 1, "sigmoid"), loss
        sparse = "sparse_categorical_crossentropy"
        return X, labels, weight, (n, "softmax"), self._loss(sparse, (sparse,), f"{n} classes")

    def _encoded(self, y: Any, known: Array | None) -> Array:
        """`y` as numbers of classes, (rows,), or as 0 and 1, (rows, labels); and what it tells about classes."""
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multilabel-indicator"):  # of which there is nothing to say
            check_classification_targets(y)
        self._multilabel = kind == "multilabel-indicator"
        if self._multilabel:
            labels = y.toarray() if is_sparse(y) else y
            if not np.isin(labels, (0, 1)).all():
                raise ValueError(
                    f"y must hold 0 and 1 where it has columns, not {np.unique(labels).tolist()}"
                )
            classes = np.arange(labels.shape[1])
        else:
            encoder = LabelEncoder()  # which does not sort text
            labels = encoder.fit_transform(y)
            classes = encoder.classes_
        if known is not None and not self._multilabel and np.isin(classes, known).all():
            labels, classes = np.searchsorted(known, classes)[labels], known
        if known is not None and not np.array_equal(classes, known):
            raise ValueError(
                f"y must hold the classes {known.tolist()}, those of `classes` or of the fit before; "
                f"it holds {classes.tolist()}"
            )
        self.classes_ = classes
        if len(self.classes_) < 2:
            one = self.classes_.tolist()[0]
            raise ValueError(f"y must hold at least two classes; it holds one class, {one!r}")
        return np.asarray(labels)

    def _class_weights(self, labels: Array) -> Array | None:
        if self.class_weight is None:
            return None
        weights: Array
        try:
            if isinstance(self.class_weight, dict) and not self._multilabel:
                of_classes = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
                weights = of_classes[labels]
            else:
                weights = compute_sample_weight(self.class_weight, labels)
        except (TypeError, ValueError) as error:
            kind = (
                "a list with a dict for each column of y" if self._multilabel else "a dict of label to weight"
            )
            raise ValueError(f'class_weight must be "balanced" or {kind}: {error}') from error
        return weights

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (rows, classes). A row sums to 1 in the precision of `X`; where fit's `y` had
        columns, each label has a probability of its own."""
        p = self._predict(X)
        if self._multilabel:
            return p
        return np.hstack([1 - p, p]) if len(self.classes_) == 2 else p / p.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> Any:
        """The most probable label of each row; where fit's `y` had columns, for each label 1 or 0."""
        p = self.predict_proba(X)
        if self._multilabel:
            return (p > 0.5).astype(np.int64)
        return self.classes_[p.argmax(axis=1)]


class DenseRegressor(RegressorMixin, _DenseEstimator):
    """A regularized dense network that predicts one or more numbers.

    Parameters and attributes are those of `DenseClassifier`, but for `class_weight` and `classes_`.

    Notes
    -----
    The output's bias starts where the network predicts the mean of `y`. Steps are made for a `y` whose deviation is
    about 1, though, and so are penalties: scale others, as `TransformedTargetRegressor(network,
    transformer=StandardScaler())` does.

    Without hidden layers, the penalties of scikit-learn's linear models are

    - of `ElasticNet(alpha, l1_ratio)`, which halves the squares: l1 = 2 * alpha * l1_ratio,
      l2 = alpha * (1 - l1_ratio); `Lasso(alpha)` is l1_ratio = 1;
    - of `LogisticRegression(C=C)`, with `DenseClassifier`: l1 = 1 / (C * n) or l2 = 1 / (2 * C * n), n being the rows.

    With batch_size = n training can end in exactly their zeros; smaller batches keep more inputs: see the notes on
    `DenseClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> X, y = load_diabetes(return_X_y=True)
    >>> lasso = DenseRegressor((), l1=0.2, epochs=300, learning_rate=0.01, random_state=0)
    >>> int((lasso.fit(scale(X), scale(y)).model_.layers[0].kernel == 0).sum())
    6
    """

    @property
    def _has_rows(self) -> bool:
        return len(self._outputs) > 0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self: Self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network, as `DenseClassifier.fit` does, on `y` (rows,) or (rows, outputs)."""
        with _unchanged_on_failure(self):
            self._train(*self._checked(X, y, sample_weight))
        return self

    def partial_fit(self: Self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train one epoch more on these rows, as `DenseClassifier.partial_fit` does."""
        with _unchanged_on_failure(self):
            self._train_more(*self._checked(X, y, sample_weight, reset=not hasattr(self, "model_")))
        return self

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, reset: bool = True
    ) -> tuple[Any, Array, Array | None, tuple[int, str | None], losses.Loss]:
        """X, y, weights of the rows, units and activation of the output, loss."""
        X, y = validate_data(
            self, X, y, reset=reset, accept_sparse="csr", dtype=(np.float64, np.float32), multi_output=True,
            y_numeric=True,
        )  # fmt: skip
        if y.dtype.kind not in "fiub":
            raise ValueError(f"y must hold numbers, but its dtype is {y.dtype}")
        if not reset and y.shape[1:] != self._outputs:
            raise ValueError(
                f"y must have rows of shape {self._outputs}, as in the first call, not {y.shape[1:]}"
            )
        self._outputs: tuple[int, ...] = y.shape[1:]
        possible = (*_ELEMENTWISE, *_OF_NUMBERS, "categorical_crossentropy")
        loss = self._loss("mean_squared_error", possible, "regression")
        if _OUTPUTS.get(loss.kind) == "softplus" and y.min() < 0:
            raise ValueError(
                f"y must not be negative for the loss {loss.kind}, but its least number is {y.min()}"
            )
        weight = _relative(len(y), sample_weight=sample_weight)
        return X, y, weight, (int(np.prod(y.shape[1:])), _OUTPUTS.get(loss.kind)), loss

    def _first_bias(self, y: Array, weight: Array | None, activation: str | None) -> Array | None:
        mean = np.atleast_1d(np.average(np.asarray(y, np.float64), axis=0, weights=weight))
        if activation is None:
            return mean
        mean = np.maximum(mean, 1e-7)
        if activation == "softplus":
            return mean + np.log(-np.expm1(-mean))
        if activation == "softmax":
            return np.log(mean)
        mean = np.minimum(mean, 1 - 1e-7)
        return np.log(mean) - np.log1p(-mean)

    def predict(self, X: Any) -> Array:
        """The numbers of each row, in the shape of fit's `y`: (rows, 1) where that had one column."""
        y = self._predict(X)
        return y.reshape(len(y), *self._outputs)
