"""Regularized dense networks as scikit-learn estimators: for pipelines, cross-validation and searches over penalties.

It must not know how a network is trained: it builds a `fastreg.Sequential` and calls its `fit`. It needs scikit-learn
1.6 or newer, which fastreg itself does not. It is over 250 lines because settings are documented in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(f"fastreg.sklearn needs scikit-learn 1.6 or newer ({error})") from error

from fastreg import optimizers
from fastreg._arguments import flag, integer, number
from fastreg._arrays import Array
from fastreg.callbacks import EarlyStopping
from fastreg.layers import Dense, Dropout, Layer
from fastreg.models import Sequential
from fastreg.regularizers import L1L2

__all__ = ["DenseClassifier", "DenseRegressor"]

Self = TypeVar("Self", bound="_DenseEstimator")


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
                integer(size, "hidden_layer_sizes", low=1), self.activation, kernel_regularizer=penalty
            )
            layers += [hidden, Dropout(rate)] if rate > 0 else [hidden]
        output = Dense(units, activation, kernel_regularizer=penalty)
        return Sequential([*layers, output], seed=seed, device=self.device, dtype=self.dtype)

    def _new_optimizer(self) -> optimizers.Optimizer:
        """A model keeps the optimizer it is compiled with, so every fit has its own."""
        given = optimizers.get(self.optimizer)
        settings = given.get_config()
        if self.learning_rate is not None:
            settings["learning_rate"] = self.learning_rate
        return type(given).from_config(settings)

    def _train(
        self,
        X: Any,
        y: Array,
        weight: Any,
        output: tuple[int, str | None],
        loss: str,
        classes: Array | None = None,
    ) -> None:
        """Fit a new network to checked data; `output`: units and activation of the last layer."""
        weight = None if weight is None else np.asarray(weight)
        if weight is not None and not np.any(weight):
            raise ValueError("sample_weight must hold a weight above 0; all are zero")
        random = check_random_state(self.random_state)
        model = self._network(*output, seed=int(random.randint(2**31 - 1)))
        model.compile(self._new_optimizer(), loss if self.loss is None else self.loss)
        options: dict[str, Any] = {}
        if flag(self.early_stopping, "early_stopping"):
            options["callbacks"] = [EarlyStopping(patience=self.patience, restore_best_weights=True)]
            share = number(
                self.validation_fraction,
                "validation_fraction",
                low=0.0,
                high=1.0,
                open_low=True,
                open_high=True,
            )
            split = train_test_split(
                *([X, y] if weight is None else [X, y, weight]),
                test_size=share,
                random_state=random,
                stratify=classes,
            )
            (X, y, *rest), options["validation_data"] = split[0::2], tuple(split[1::2])
            weight = rest[0] if rest else None
        history = model.fit(
            X,
            y,
            batch_size=self.batch_size,
            epochs=self.epochs,
            verbose=self.verbose,
            sample_weight=weight,
            **options,
        )
        self.model_, self.history_, self.n_iter_ = model, history.history, len(history.epoch)

    def _predict(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=(np.float64, np.float32))
        return self.model_.predict(X, verbose=0).astype(X.dtype, copy=False)


class DenseClassifier(ClassifierMixin, _DenseEstimator):
    """A regularized dense network that tells two or more classes apart.

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
        By default the cross-entropy, in `DenseRegressor` the mean squared error.
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
        How many epochs were trained.
    classes_ : array (classes,)
        The labels, sorted.
    n_features_in_, feature_names_in_
        See scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> search = GridSearchCV(DenseClassifier(epochs=20, random_state=0), {"l1": [1e-3, 1.0]}, cv=3)
    >>> search.fit(X, y).best_params_
    {'l1': 0.001}
    """

    def fit(self: Self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network on `X` (rows, features) and the labels `y` (rows,)."""
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=(np.float64, np.float32))
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes; it holds one class, {self.classes_[0]!r}")
        if len(self.classes_) == 2:
            self._train(X, labels, sample_weight, (1, "sigmoid"), "binary_crossentropy", labels)
        else:
            output = (len(self.classes_), "softmax")
            self._train(X, labels, sample_weight, output, "sparse_categorical_crossentropy", labels)
        return self

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (rows, classes)."""
        p = self._predict(X)
        return np.hstack([1 - p, p]) if len(self.classes_) == 2 else p

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> Any:
        """The most probable label of each row."""
        p = self.predict_proba(X)
        return self.classes_[p.argmax(axis=1)]


class DenseRegressor(RegressorMixin, _DenseEstimator):
    """A regularized dense network that predicts one or more numbers.

    Parameters and attributes are those of `DenseClassifier`, but for `classes_`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> X, y = load_diabetes(return_X_y=True)
    >>> lasso = DenseRegressor((), l1=0.2, epochs=300, learning_rate=0.01, random_state=0)
    >>> int((lasso.fit(scale(X), scale(y)).model_.layers[0].kernel == 0).sum())
    6
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self: Self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network on `X` (rows, features) and `y` (rows,) or (rows, outputs)."""
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=(np.float64, np.float32), multi_output=True, y_numeric=True
        )
        self._outputs = y.shape[1:]
        self._train(X, y, sample_weight, (int(np.prod(y.shape[1:])), None), "mean_squared_error")
        return self

    def predict(self, X: Any) -> Array:
        """The numbers of each row, in the shape of fit's `y`."""
        y = self._predict(X)
        return y.reshape(len(y), *self._outputs)
