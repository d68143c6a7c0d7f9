"""Where a training step's time goes on a GPU: its kernels, in the order in which they first run, by PyTorch's profiler.

    python benchmarks/gpu/timeline.py [--rows wide-65536 layers] [--who "fastreg fast" "torch graph"]

Prints a Markdown table for each. The profiler is not in the kernels' way, but steps of few microseconds come out longer
than `run.py` has them. It must not know how a side trains.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import ROWS, Row

KINDS = ("kernel", "gpu_memcpy", "gpu_memset")
ROWS_BY_DEFAULT = ("wide-128", "wide-65536", "layers")
WHO_BY_DEFAULT = ("fastreg exact", "fastreg fast", "fastreg bf16")


@dataclass
class Kernel:
    """All launches of one name with one grid."""

    name: str
    grid: str
    launches: int = 0
    microseconds: float = 0.0


def short(name: str) -> str:
    """A function's name without what returns, holds and parametrizes it, but for the numbers among its parameters."""
    before, found, arguments = name.partition("<")
    last = re.split(r"[:\s]+", (before if found else name.partition("(")[0]).strip())[-1]
    numbers = re.findall(r"(?<![\w.])\d+(?![\w.])", arguments.partition(">(")[0]) if found else []
    return last + (f"<{', '.join(numbers)}>" if numbers else "")


def kernels_of(events: Iterable[dict[str, Any]]) -> tuple[list[Kernel], float, float]:
    """Of a Chrome trace's events: the kernels, the microseconds from first to last, and those in which none ran."""
    found: dict[tuple[str, str], Kernel] = {}
    ran = sorted((e for e in events if e.get("cat") in KINDS), key=lambda e: e["ts"])
    idle, end = 0.0, ran[0]["ts"] if ran else 0.0
    first = end
    for event in ran:
        grid = "x".join(str(n) for n in event.get("args", {}).get("grid", []))
        kernel = found.setdefault((event["name"], grid), Kernel(short(event["name"]), grid))
        kernel.launches += 1
        kernel.microseconds += event["dur"]
        idle += max(0.0, event["ts"] - end)
        end = max(end, event["ts"] + event["dur"])
    return list(found.values()), end - first, idle


def table(title: str, steps: int, events: Iterable[dict[str, Any]]) -> list[str]:
    kernels, span, idle = kernels_of(events)
    lines = [
        f"**{title}**: {span / steps:.1f} us a step, {idle / steps:.1f} of them without a kernel", "",
        "| kernel | grid | launches a step | us a step | share |", "|---|---|---:|---:|---:|",
    ]  # fmt: skip
    for k in kernels:
        each = k.microseconds / steps
        lines.append(
            f"| {k.name} | {k.grid} | {k.launches / steps:.2g} | {each:.1f} | {100 * k.microseconds / span:.1f}% |"
        )
    return [*lines, ""]


def traced(row: Row, who: str) -> list[dict[str, Any]]:
    """The events of an epoch of which all has been recorded and warmed up."""
    import torch

    from run import contestant

    epoch = contestant(row, who, "cuda")
    for _ in range(3):
        epoch()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        epoch()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events: list[dict[str, Any]] = json.loads(path.read_text())["traceEvents"]
    torch.cuda.empty_cache()
    return events


def main() -> int:
    parser = argparse.ArgumentParser(description="The kernels of training steps on a GPU.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS_BY_DEFAULT))
    parser.add_argument("--who", nargs="+", default=list(WHO_BY_DEFAULT), help="as run.py names them")
    arguments = parser.parse_args()
    for name in arguments.rows:
        for who in arguments.who:
            print("\n".join(table(f"{ROWS[name].title}; {who}", ROWS[name].steps, traced(ROWS[name], who))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
