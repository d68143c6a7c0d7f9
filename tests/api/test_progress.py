"""What fit shows on a screen and in a file, and that other lines stand above it.

It must not check the numbers shown.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import sys
import termios
from typing import Any

import pytest

from api_cases import X, Y, classifier
from fastreg._progress import fitting
from fastreg.callbacks import Callback, LambdaCallback, LearningRateScheduler

NAMES = ["loss", "accuracy", "auc", "val_loss", "val_accuracy", "val_auc"]
LOGS = dict.fromkeys([*NAMES, "penalty"], 0.1234)


def names_in(text: str) -> list[str]:
    return re.findall(r"(\w+)=", text)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (200, NAMES),
        (94, NAMES),
        (93, ["loss", "accuracy", "val_loss", "val_accuracy", "val_auc"]),
        (66, ["loss", "val_loss", "val_accuracy", "val_auc"]),
        (49, ["loss", "val_loss", "val_accuracy"]),
        (30, ["loss", "val_loss"]),
        (16, ["val_loss"]),
        (3, []),
    ],
)
def test_what_finds_no_place_is_left_out(width: int, shown: list[str]) -> None:
    text = fitting(LOGS, NAMES, width)
    assert names_in(text) == shown
    assert len(text) <= width


def test_without_validation_metrics_find_their_place_in_order() -> None:
    logs = {name: LOGS[name] for name in ("loss", "accuracy", "auc")}
    assert fitting(logs, NAMES, 30) == "loss=0.1234, accuracy=0.1234"


def drawn(columns: int | None, monkeypatch: pytest.MonkeyPatch, *given: Callback) -> list[str]:
    """What a fit draws on a terminal of so many columns, or into a file; lines of what callbacks print there."""
    shown, written = os.pipe() if columns is None else os.openpty()
    if columns is not None:
        fcntl.ioctl(written, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with os.fdopen(written, "w") as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        classifier().fit(X, Y, epochs=2, verbose=1, validation_split=0.2, callbacks=list(given))
    text = b""
    with os.fdopen(shown, "rb", buffering=0) as reader, contextlib.suppress(OSError):  # the end of a terminal
        while part := reader.read(4096):
            text += part
    return re.split(r"[\r\n]+", text.decode().strip())


@pytest.mark.parametrize(("columns", "limit"), [(None, 120), (0, 120), (200, 120), (100, 99), (80, 79)])
def test_the_bar_stays_within_its_line(
    columns: int | None, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = drawn(columns, monkeypatch)
    assert max(len(line) for line in lines) == limit
    assert names_in(lines[-1])[-1] == "val_accuracy"


def test_what_a_callback_prints_has_its_line_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Teller(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            print(f"begins {epoch}", file=sys.stderr)

    teller = LambdaCallback(on_epoch_end=lambda epoch, logs: print(f"ends {epoch}", file=sys.stderr))
    lines = drawn(80, monkeypatch, Teller(), teller)
    told = [line for line in lines if "begins" in line or "ends" in line]
    assert told == [f"{what} {epoch}" for epoch in (0, 1) for what in ("begins", "ends")]
    assert "Epoch 2/2" in lines[-1]


def test_what_callbacks_say_stands_on_lines_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    scheduler = LearningRateScheduler(lambda epoch: 0.1, verbose=1)
    for verbose in (0, 1):
        classifier().fit(X, Y, epochs=2, verbose=verbose, callbacks=[scheduler])
        lines = capfd.readouterr().out.splitlines()
        assert lines == [f"Epoch {epoch}: setting learning rate to 0.1." for epoch in (1, 2)]
