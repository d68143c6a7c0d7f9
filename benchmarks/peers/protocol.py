"""The worker's half of the protocol: one JSON object a line, a command on stdin, its answer on stdout.
It must not know any framework, nor which rounds the runner plays."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workloads import WORKLOADS, Outputs

MEASURE_SECONDS = 0.01  # a shorter call is repeated until a measurement takes this long


class Unfit(Exception):
    """Raised by a maker: this contestant cannot play that workload, and why."""


def no_loss(result: Any) -> None:
    """For tasks that are done when `run` returns, and have no loss to report."""


@dataclass
class Task:
    """A workload, made ready: its data, its state, its compiled code.

    check : the outputs that the workload's `differences` compares.
    run : one call; it may return before its result is there.
    finish : waits for the result of the last `run`; returns the loss, where there is one.
    """

    check: Callable[[], Outputs]
    run: Callable[[], Any]
    finish: Callable[[Any], float | None] = no_loss

    def measure(self, calls: int) -> dict[str, Any]:
        """Wall and processor seconds (all threads) of so many calls."""
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(calls):
            result = self.run()
        loss = self.finish(result)
        return {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - processor,
            "loss": loss,
        }


@dataclass(frozen=True)
class Peer:
    """A contestant.

    title : what it is, in the report.
    modules : what it is made of, by import name: versions and installed size are those of these.
    threads : how many the framework says it uses.
    makers : from a kind of workload to the function that makes its task; a kind that is absent is not played.
    """

    title: str
    modules: tuple[str, ...]
    threads: Callable[[], int]
    makers: Mapping[type, Callable[[Any], Task]]


def thread_count() -> int:
    """What the runner allows, by the variable it sets; for frameworks that must be told."""
    return int(os.environ["OMP_NUM_THREADS"])


def allowed_cores() -> int:
    """For frameworks that size their pools by the cores they may use and cannot be asked."""
    return len(os.sched_getaffinity(0))


def describe(peer: Peer) -> dict[str, Any]:
    """Title, versions, threads, and the size in MB of the packages as installed, without what they depend on."""
    modules = [importlib.import_module(name) for name in peer.modules]
    folders = [Path(str(module.__file__)).parent for module in modules]
    files = {
        file for folder in folders for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"
    }
    return {
        "title": peer.title,
        "versions": {module.__name__: module.__version__ for module in modules} | {"numpy": np.__version__},
        "threads": peer.threads(),
        "installed_mb": sum(file.stat().st_size for file in files) / 1e6,
    }


def make(peer: Peer, name: str) -> Task:
    """The task of a workload; Unfit when the peer does not play it."""
    workload = WORKLOADS[name]
    if type(workload) not in peer.makers:
        raise Unfit("not offered")
    return peer.makers[type(workload)](workload)


def warm_up(task: Task) -> dict[str, Any]:
    """Two calls, for compilation and caches, then how many calls make a measurement and what one takes.

    The shorter of two measurements decides: a stall makes one long, and would leave a call to be measured alone.
    """
    task.measure(1)
    task.measure(1)
    calls = 1
    while (seconds := min(task.measure(calls)["seconds"] for _ in range(2))) < MEASURE_SECONDS:
        calls = max(2 * calls, int(1.1 * calls * MEASURE_SECONDS / seconds))
    return {"calls": calls, "seconds": seconds}


def serve(name: str) -> None:
    """Answer commands until stdin closes.

    ``{"command": "describe"}``; ``{"command": "prepare", "workload": str}`` -> {} or ``unfit``: why not;
    ``{"command": "check", "file": str}`` writes the outputs as .npz; ``{"command": "warm_up"}`` -> ``calls``,
    ``seconds``; ``{"command": "measure", "calls": int}`` -> ``seconds``, ``cpu_seconds``, ``loss``.
    An exception is answered as ``{"error": traceback}``, a package that is not installed as ``{"missing": its name}``.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a framework that prints must not break the protocol
    task: Task | None = None
    peer: Peer | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if peer is None:
                peer = importlib.import_module(f"peers.{name}_worker").PEER
            if request["command"] == "describe":
                answer = describe(peer)
            elif request["command"] == "prepare":
                task = None  # frees the last one first
                task = make(peer, request["workload"])
            elif task is None:
                raise ValueError(f"cannot answer {request} before a workload is prepared")
            elif request["command"] == "check":
                np.savez(request["file"], **task.check())
            elif request["command"] == "warm_up":
                answer = warm_up(task)
            elif request["command"] == "measure":
                answer = task.measure(request["calls"])
            else:
                raise ValueError(f"cannot answer {request}")
        except Unfit as reason:
            answer = {"unfit": str(reason)}
        except ModuleNotFoundError as error:
            answer = {"missing": error.name}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)
