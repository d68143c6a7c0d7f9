"""What fit shows while it runs: a bar over epochs, one line an epoch, or nothing.

It must not know models or training.
"""

from __future__ import annotations

import time
from typing import Any

from fastreg._arguments import integer

Logs = dict[str, Any]


def check_verbose(verbose: Any) -> int:
    """0, 1 or 2; "auto" is 1."""
    if isinstance(verbose, str):
        if verbose != "auto":
            raise ValueError(f'verbose must be "auto", 0, 1 or 2, not {verbose!r}')
        return 1
    return integer(int(verbose) if isinstance(verbose, bool) else verbose, "verbose", low=0, high=2)


def line_of(logs: Logs, names: list[str]) -> str:
    """`loss: 0.1234 - accuracy: 0.9` of the logs `names`."""
    return " - ".join(f"{name}: {logs[name]:.4g}" for name in names if name in logs)


class Progress:
    """A context in which `epoch_end` is called after every epoch; the bar is closed however the context is left."""

    def __init__(self, verbose: int, title: str, first_epoch: int, epochs: int, names: list[str]) -> None:
        self._verbose = verbose
        self._epochs = epochs
        self._names = [*names, *(f"val_{name}" for name in names)]
        self._bar = _bar(title, first_epoch, epochs) if verbose == 1 else None
        self._started = time.perf_counter()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def epoch_end(self, epoch: int, logs: Logs) -> None:
        if self._bar is not None:
            shown = {name: f"{logs[name]:.4g}" for name in ("loss", "val_loss") if name in logs}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(1)
        elif self._verbose == 2:
            now = time.perf_counter()
            seconds, self._started = now - self._started, now
            print(f"Epoch {epoch + 1}/{self._epochs} - {seconds:.2f}s - {line_of(logs, self._names)}")


def _bar(title: str, first_epoch: int, epochs: int) -> Any:
    from tqdm import tqdm  # here, so that `import fastreg` stays fast

    class Bar(tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        monitor_interval = 0  # no watching thread: a process with threads cannot fork safely

    return Bar(total=epochs, initial=first_epoch, desc=title, unit="epoch")
