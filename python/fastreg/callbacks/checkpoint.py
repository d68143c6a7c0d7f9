"""ModelCheckpoint: saves the model while it trains.

It must not know how a file is written: that is saving.py.
"""

from __future__ import annotations

import os
import string
from typing import Any

from fastreg._arguments import flag, integer, optional_number
from fastreg._progress import check_verbose, say
from fastreg.callbacks.base import Callback, Logs, maximised_metrics
from fastreg.callbacks.monitor import check_mode, check_monitor, improves, monitored, resolve_mode, worst


class ModelCheckpoint(Callback):
    """Saves the model, or its weights, every epoch or every so many batches.

    Parameters
    ----------
    filepath : str or path
        May hold fields: `"{epoch:02d}-{val_loss:.2f}.safetensors"`; epochs count from 1 here, `{batch}` too. Folders
        that do not exist are made.
    monitor : str, default "val_loss"
        A key of the logs; used with `save_best_only`.
    verbose : {0, 1, 2} or bool
        1 and 2 print what is saved and why, or that nothing is.
    save_best_only : bool, default False
        Save only when `monitor` is better than ever before, or missing (with a warning).
    save_weights_only : bool, default False
    mode : {"auto", "min", "max"}
        As for `EarlyStopping`.
    save_freq : "epoch" or int
        With an integer, save after every so many batches, and training returns to Python after every batch.
    initial_value_threshold : float, optional
        What the first value must beat.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; while training, if `filepath` has a field that the logs lack
        or cannot format.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastreg import Dense, Sequential
    >>> model = Sequential([Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saving = ModelCheckpoint(os.path.join(folder, "{epoch:02d}.safetensors"))
    ...     history = model.fit(np.eye(4), np.ones(4), epochs=2, verbose=0, callbacks=[saving])
    ...     sorted(os.listdir(folder))
    ['01.safetensors', '02.safetensors']
    """

    def __init__(
        self,
        filepath: str | bytes | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self.filepath = _template(filepath)
        self.monitor = check_monitor(monitor)
        self.verbose = check_verbose(verbose)
        self.save_best_only = flag(save_best_only, "save_best_only")
        self.save_weights_only = flag(save_weights_only, "save_weights_only")
        self._mode = check_mode(mode)
        self.mode = resolve_mode(self._mode, monitor)
        self._every = None if save_freq == "epoch" else integer(save_freq, "save_freq", low=1)
        self.save_freq = save_freq
        threshold = optional_number(initial_value_threshold, "initial_value_threshold")
        self.best = worst(self.mode) if threshold is None else threshold
        self._epoch = 0
        self._batches = 0
        self._warned: set[str] = set()
        if self._every is not None:  # only then does training return to Python after every batch
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        mode = resolve_mode(self._mode, self.monitor, maximised_metrics(self.model))
        if self.best == worst(self.mode):  # nothing was saved yet
            self.best = worst(mode)
        self.mode = mode
        self._warned = set()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._every is None:
            self._save({"epoch": epoch + 1, **(logs or {})})

    def _after_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self._batches == self._every:
            self._batches = 0
            self._save({"epoch": self._epoch + 1, "batch": batch + 1, **(logs or {})})

    def _save(self, fields: Logs) -> None:
        verdict, value = "", None
        if self.save_best_only:
            value = monitored(fields, self.monitor, "saving the best model", self._warned)
            if value is not None:
                if not improves(value, self.best, 0.0, self.mode):
                    self._say(fields, f"{self.monitor} did not improve from {self.best:.5f}")
                    return
                verdict = f"{self.monitor} improved from {self.best:.5f} to {value:.5f}, "
        path = self._path(fields)
        self._say(fields, f"{verdict}saving model to {path}")
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if value is not None:
            self.best = value

    def _path(self, fields: Logs) -> str:
        try:
            return self.filepath.format(**fields)
        except KeyError as error:
            known = ", ".join(fields)
            raise ValueError(f"filepath {self.filepath!r} has the field {error}; there are {known}") from None
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"filepath {self.filepath!r} cannot be filled in: {error}") from error

    def _say(self, fields: Logs, message: str) -> None:
        if self.verbose:
            say(f"Epoch {fields['epoch']}: {message}")


def _template(filepath: str | bytes | os.PathLike[str]) -> str:
    """The path as a string whose fields, if any, have names."""
    path = os.fsdecode(filepath)
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(path) if field is not None]
    except ValueError as error:
        raise ValueError(f"filepath {path!r} is no template: {error}") from None
    if any(not field or field[0].isdigit() for field in fields):
        raise ValueError(
            f"filepath {path!r} has a field without a name; name it, as {{epoch}} or {{val_loss:.2f}}"
        )
    return path
