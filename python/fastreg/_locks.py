"""Locks that a forked child finds free, whoever held them: the holder may be a thread that the child lacks.

It must not know what they guard.
"""

from __future__ import annotations

import os
import threading
from typing import Any


def lock() -> Any:
    """A lock for the life of the process."""
    return _free_in_children(threading.Lock())


def reentrant_lock() -> Any:
    """A lock for the life of the process, which its holder may take again."""
    return _free_in_children(threading.RLock())


def _free_in_children(made: Any) -> Any:
    os.register_at_fork(after_in_child=made._at_fork_reinit)
    return made
