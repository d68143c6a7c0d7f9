"""The machine: CPU, cores this process may use, vector instruction sets, operating system.
It must not know what is measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

ISA_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "asimd", "sve")


def physical_cores() -> list[int]:
    """One logical CPU of each core this process may use."""
    cores: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text().strip() if siblings.exists() else str(cpu), cpu)
    return list(cores.values())


def describe() -> dict[str, Any]:
    """CPU model, usable cores, logical CPUs of the machine, vector instruction sets, operating system, Python."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "cpu": fields.get("model name", platform.machine()),
        "cores": len(physical_cores()),
        "logical_cpus": os.cpu_count(),
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "system": platform.platform(),
        "python": platform.python_version(),
    }
