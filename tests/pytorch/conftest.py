"""One thread for torch in these tests: on busy cores its threads would wait for each other longer than the tests take.
It must not hold tests."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):  # then all tests here are skipped
    import torch

    torch.set_num_threads(1)
