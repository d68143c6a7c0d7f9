"""The worker's half of the protocol: one JSON object a line, a command on stdin, its answer on stdout.
It must not know any framework, nor which rounds the runner plays."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from workloads import WORKLOADS, Workload


class Worker(Protocol):
    """What a contestant implements; everything else is here."""

    def describe(self) -> dict[str, Any]:
        """``{"title": str, "versions": {package: version}, "threads": int}``, threads as the framework reports them."""

    def check(self, workload: Workload, steps: int) -> list[float]:
        """Loss (data + penalty) of each of the first ``steps`` unshuffled batches, each taken before its update.

        From ``initial_weights``, without dropout, with the L1 subgradient l1*sign(w) and Keras's Adam.
        """

    def prepare(self, workload: Workload) -> Callable[[], float]:
        """A function that trains one epoch, dropout and shuffle included, waits for it and returns its mean loss."""


def serve(worker: Worker) -> None:
    """Answer commands until stdin closes.

    ``{"command": "describe"}``, ``{"command": "check", "workload": str, "steps": int}`` -> ``losses``,
    ``{"command": "prepare", "workload": str}``, ``{"command": "epoch"}`` -> ``seconds``, ``cpu_seconds``, ``loss``.
    An exception is answered as ``{"error": traceback}``.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a framework that prints must not break the protocol
    epoch: Callable[[], float] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["command"] == "describe":
                answer = worker.describe()
            elif request["command"] == "check":
                answer = {"losses": worker.check(WORKLOADS[request["workload"]], request["steps"])}
            elif request["command"] == "prepare":
                epoch = worker.prepare(WORKLOADS[request["workload"]])
                answer = {}
            elif request["command"] == "epoch" and epoch is not None:
                answer = timed(epoch)
            else:
                raise ValueError(f"cannot answer {request}")
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)


def timed(epoch: Callable[[], float]) -> dict[str, float]:
    """Wall and processor seconds (all threads) of one epoch."""
    wall, processor = time.perf_counter(), time.process_time()
    loss = epoch()
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - processor,
        "loss": loss,
    }
