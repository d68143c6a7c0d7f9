"""CSVLogger: one line of a CSV file for every epoch.

It must not know what the logs mean.
"""

from __future__ import annotations

import csv
import os

from fastreg._arguments import flag
from fastreg.callbacks.base import Callback, Logs


class CSVLogger(Callback):
    """Writes the logs of every epoch to a CSV file: "epoch", then the keys sorted; "NA" for what is missing.

    Parameters
    ----------
    filename : str or path
    separator : str, default ","
    append : bool, default False
        Go on with an existing file instead of starting it anew.

    Notes
    -----
    The columns are those of the first epoch; if it has no validation and later epochs have, their "val_" ones too.
    The file is closed between epochs.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastreg import Dense, Sequential
    >>> model = Sequential([Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log.csv")
    ...     history = model.fit(np.eye(4), np.ones(4), verbose=0, callbacks=[CSVLogger(path)])
    ...     with open(path) as file:
    ...         file.readline().strip()
    'epoch,data_loss,loss,penalty,sparsity'
    """

    def __init__(
        self, filename: str | bytes | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename = os.fsdecode(filename)
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator must be one character, not {separator!r}")
        self.separator = separator
        self.append = flag(append, "append")
        self._keys: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._keys = None
        if not self.append:
            with open(self.filename, "w", newline=""):
                pass

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        new_file = not os.path.exists(self.filename) or os.path.getsize(self.filename) == 0
        if self._keys is None:
            self._keys = self._columns(logs)
        with open(self.filename, "a", newline="") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if new_file:
                writer.writerow(["epoch", *self._keys])
            writer.writerow([epoch, *(logs.get(key, "NA") for key in self._keys)])
        self.append = True  # a later fit with this object goes on

    def _columns(self, logs: Logs) -> list[str]:
        keys = sorted(logs)
        validates_later = self.params.get("do_validation") and not any(key.startswith("val_") for key in keys)
        return keys + [f"val_{key}" for key in keys if key != "learning_rate"] if validates_later else keys
