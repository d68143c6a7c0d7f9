"""What the rounds mean: the machine, the paired ratios with their intervals, the Markdown table.
It must not know how the rounds were played."""

from __future__ import annotations

import os
import platform
import random
from pathlib import Path
from statistics import median
from typing import Any

from workloads import WORKLOADS

BOOTSTRAP_SAMPLES = 5000
STEPS_PER_SECOND_UNIT = {"us": 1e6, "ms": 1e3}
ISA_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "asimd", "sve")

# The runner's own load is at most one contestant's threads, so more than the cores is somebody else's.
BUSY = (
    "**Other programs competed for these cores.** Absolute times and, with several threads, ratios are not results; "
    "measure again on a quiet machine."
)


def physical_cores() -> list[int]:
    """One logical CPU of each core this process may use."""
    cores: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text().strip() if siblings.exists() else str(cpu), cpu)
    return list(cores.values())


def machine() -> dict[str, Any]:
    """CPU model, usable cores, vector instruction sets, operating system, Python."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "cpu": fields.get("model name", platform.machine()),
        "cores": len(physical_cores()),
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def paired_ratio(peer: list[float], subject: list[float]) -> tuple[float, float, float]:
    """Median of the rounds' ratios peer / subject, and its 95% interval (percentile bootstrap over rounds)."""
    ratios = [p / s for p, s in zip(peer, subject, strict=True)]
    rng = random.Random(0)
    medians = sorted(median(rng.choices(ratios, k=len(ratios))) for _ in range(BOOTSTRAP_SAMPLES))
    return median(ratios), medians[int(0.025 * BOOTSTRAP_SAMPLES)], medians[int(0.975 * BOOTSTRAP_SAMPLES)]


def block_rows(block: dict[str, Any], titles: dict[str, str]) -> list[str]:
    """A table row per contestant of one workload at one thread count."""
    workload = WORKLOADS[block["workload"]]
    subject, *_ = block["rounds"]
    seconds = {name: [r["seconds"] for r in rounds] for name, rounds in block["rounds"].items()}
    rows = []
    for name, rounds in block["rounds"].items():
        steps = [s / workload.steps * STEPS_PER_SECOND_UNIT[workload.unit] for s in seconds[name]]
        ratio = (
            ["1"] if name == subject else [f"{r:.2f}" for r in paired_ratio(seconds[name], seconds[subject])]
        )
        cells = [
            workload.name,
            block["threads"],
            titles[name],
            f"{median(steps):.4g} {workload.unit}",
            f"{min(steps):.4g} {workload.unit}",
            ratio[0] if len(ratio) == 1 else f"{ratio[0]} [{ratio[1]}, {ratio[2]}]",
            f"{min(seconds[name]) / min(seconds[subject]):.2f}",
            f"{sum(r['cpu_seconds'] for r in rounds) / sum(seconds[name]):.2f}",
            f"{rounds[-1]['loss']:.3f}",
            f"{block['differences'][name]:.0e}" if name != subject else "",
        ]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return rows


def markdown(results: dict[str, Any]) -> str:
    """The machine, the versions, the table."""
    described, host = results["contestants"], results["machine"]
    versions = {k: v for description in described.values() for k, v in description["versions"].items()}
    loads = ", ".join(f"{block['load_average']:.1f}" for block in results["blocks"])
    lines = [
        f"{host['cpu']}, {host['cores']} cores, {' '.join(host['isa'])}; {host['system']}; Python {host['python']}; "
        + ", ".join(f"{package} {version}" for package, version in versions.items())
        + f". Load average before each block: {loads}.",
        "",
        *([BUSY, ""] if any(b["load_average"] > host["cores"] + 0.5 for b in results["blocks"]) else []),
        *(f"- {w.name}: {w.title}" for w in WORKLOADS.values()),
        "",
        "| workload | threads | contestant | step, median | step, best "
        "| times the subject: median of pairs [95%] | best by best | cores used | loss after | check |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    titles = {name: description["title"] for name, description in described.items()}
    for block in results["blocks"]:
        lines += block_rows(block, titles)
    return "\n".join(lines) + "\n"
