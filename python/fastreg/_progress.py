"""What fit shows while it runs: a bar over epochs, one line an epoch, or nothing.

It must not know models or training.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from fastreg._arguments import integer

Logs = dict[str, Any]


def check_verbose(verbose: Any) -> int:
    """0, 1 or 2; "auto" is 1."""
    if isinstance(verbose, str):
        if verbose != "auto":
            raise ValueError(f'verbose must be "auto", 0, 1 or 2, not {verbose!r}')
        return 1
    level = integer(int(verbose) if isinstance(verbose, bool) else verbose, "verbose", low=0)
    return min(level, 2)  # Keras takes more, and then shows less


def line_of(logs: Logs, names: list[str]) -> str:
    """`loss: 0.1234 - accuracy: 0.9` of the logs `names`."""
    return " - ".join(f"{name}: {_shown(logs[name])}" for name in names if name in logs)


def _shown(value: Any) -> str:
    """A number, or what else a callback has logged."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def fitting(logs: Logs, names: list[str], width: int) -> str:
    """`loss=0.1234, accuracy=0.9` of as many of `names` as `width` columns hold, in their order. The losses find a
    place first, then what was validated."""
    kept = sorted(
        (name for name in names if name in logs),
        key=lambda name: (name not in ("loss", "val_loss"), not name.startswith("val_")),
    )
    while True:
        text = ", ".join(f"{name}={_shown(logs[name])}" for name in names if name in kept)
        if len(text) <= width or not kept:
            return text
        kept.pop()


def say(message: str) -> None:
    """Print a line, above the bar where there is one."""
    tqdm = sys.modules.get("tqdm")  # in use since there was a bar
    (tqdm.tqdm.write if tqdm else print)(message)


class Progress:
    """A context in which `epoch_end` is called after every epoch; the bar is closed however the context is left."""

    def __init__(self, verbose: int, first_epoch: int, epochs: int, names: list[str]) -> None:
        self._verbose = verbose
        self._epochs = epochs
        self._names = [*names, *(f"val_{name}" for name in names)]
        columns = _terminal_columns() if verbose == 1 else 0
        self._columns = min(columns or 120, 120)
        self._on_screen = columns > 0
        interval = 0.1 if columns else 1.0  # a file keeps all that is drawn
        self._bar = _bar(first_epoch, epochs, self._columns, interval) if verbose == 1 else None
        self._started = time.perf_counter()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """A context in which the bar leaves its line on the screen to what others print; then it stands below that."""
        bar = self._bar if self._on_screen else None
        if bar is not None:
            bar.clear()
        yield
        if bar is not None:
            bar.refresh()

    def epoch_end(self, epoch: int, logs: Logs) -> None:
        if self._bar is not None:
            rest = f"Epoch {self._epochs}/{self._epochs} #  00:00<00:00"
            shown = fitting(logs, self._names, self._columns - len(rest))
            self._bar.set_description_str(shown, refresh=False)
            self._bar.update(1)
        elif self._verbose == 2:
            now = time.perf_counter()
            seconds, self._started = now - self._started, now
            print(f"Epoch {epoch + 1}/{self._epochs} - {seconds:.2f}s - {line_of(logs, self._names)}")


def _terminal_columns() -> int:
    """Of the terminal that shows the bar; 0: there is none, but a file or a notebook."""
    try:
        return max(os.get_terminal_size(sys.stderr.fileno()).columns - 1, 0)
    except (AttributeError, OSError, ValueError):
        return 0


def _bar(first_epoch: int, epochs: int, columns: int, interval: float) -> Any:
    from tqdm import tqdm  # here, so that `import fastreg` stays fast

    class Bar(tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        monitor_interval = 0  # no watching thread: a process with threads cannot fork safely

    shape = "Epoch {n_fmt}/{total_fmt} {bar} {desc} {elapsed}<{remaining}"
    return Bar(total=epochs, initial=first_epoch, bar_format=shape, ncols=columns, mininterval=interval)
