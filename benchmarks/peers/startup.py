"""The import of a package in a fresh process, timed inside that process.
It must not know the packages."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from peers.protocol import Task
from workloads.operations import Import

PROGRAM = """
import json, sys, time
import numpy
began = time.perf_counter()
module = __import__(sys.argv[1], fromlist=["_"])
print(json.dumps([time.perf_counter() - began, sys.modules[sys.argv[1].split(".")[0]].__version__]))
"""


class ImportTask(Task):
    """`name` is what users import."""

    def __init__(self, name: str) -> None:
        self.name = name

        def check() -> dict[str, Any]:
            _, version = self.fresh()
            return {"differs": np.array(version != importlib.import_module(name.split(".")[0]).__version__)}

        super().__init__(check=check, run=self.fresh)

    def fresh(self) -> tuple[float, str]:
        """Seconds of the import, and the version."""
        child = subprocess.run(
            [sys.executable, "-c", PROGRAM, self.name], check=True, stdout=subprocess.PIPE, text=True
        )
        seconds, version = json.loads(child.stdout.splitlines()[-1])
        return seconds, version

    def measure(self, calls: int) -> dict[str, Any]:
        """As the child says, without the start of the interpreter and the import of NumPy."""
        seconds = sum(self.fresh()[0] for _ in range(calls))
        return {"seconds": seconds, "cpu_seconds": seconds, "loss": None}


def imports(name: str) -> dict[type, Callable[[Any], Task]]:
    """The entry in a peer's makers."""
    return {Import: lambda workload: ImportTask(name)}
