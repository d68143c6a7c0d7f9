"""fastreg and PyTorch on one GPU, side by side in one process: checked against each other, then timed in turn.

    python benchmarks/gpu/run.py [--rows seed wide-128] [--seconds 50] [--json FILE] [--gemm-program PROGRAM]

Prints a Markdown table. It must not know how a side trains.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent))

import fastreg_side
import gemm
import torch_side
from rows import CHECK_STEPS, ROWS, Row

from ratios import Ratio, paired_ratio

LONG_ENOUGH = 0.02  # seconds of a measurement: a short epoch is repeated
# The contestants of PyTorch: what each is compared with, and how it is made.
PEERS: dict[str, tuple[str, dict[str, bool]]] = {
    "torch eager": ("exact", {}),
    "torch graph": ("exact", {"graph": True}),
    "torch graph tf32": ("bf16", {"graph": True}),
    "torch graph bf16": ("bf16", {"graph": True, "bf16": True}),
}
TOLERANCE = {
    "fastreg exact": 2e-4,
    "fastreg fast": 2e-4,
    "fastreg bf16": 3e-2,
    "torch eager": 0.0,  # what the others are compared with
    "torch graph": 2e-3,  # Adam's epsilon cannot be made Keras's in a graph
    "torch graph tf32": 3e-2,
    "torch graph bf16": 3e-2,
}
# With batches of one row the other epsilon moves the losses further apart; eager PyTorch has Keras's.
GRAPH_TOLERANCE_OF_UPDATES = 0.25


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def names(row: Row, device: str) -> list[str]:
    """Who takes part: fastreg's precisions, then PyTorch's forms; graphs are for GPUs."""
    precisions = row.precisions if device == "cuda" else ("exact",)
    peers = [n for n in PEERS if device == "cuda" or "graph" not in n]
    if "bf16" not in row.precisions:
        peers = [n for n in peers if PEERS[n][0] != "bf16"]
    return [f"fastreg {p}" for p in precisions] + peers


def contestant(row: Row, name: str, device: str) -> Callable[[], float]:
    if name.startswith("fastreg"):
        return fastreg_side.Subject(row, name.split()[1], device).epoch
    torch.backends.cuda.matmul.allow_tf32 = "tf32" in name  # counts while the graph is captured
    return torch_side.Peer(row, device, **PEERS[name][1]).epoch


def first_losses(row: Row, name: str, device: str) -> np.ndarray:
    steps = min(CHECK_STEPS, 2 * row.steps)
    if name.startswith("fastreg"):
        return fastreg_side.losses(row, name.split()[1], device, steps)
    torch.backends.cuda.matmul.allow_tf32 = "tf32" in name
    return torch_side.losses(row, device, steps, **PEERS[name][1])


def check(row: Row, who: list[str], device: str) -> dict[str, float]:
    """The worst relative difference of each one's first losses from PyTorch's eager ones; ValueError if too large."""
    reference, differences = first_losses(row, "torch eager", device), {}
    for name in who:
        got = first_losses(row, name, device)
        differences[name] = float(np.max(np.abs(got - reference) / np.abs(reference)))
        is_other_epsilon = bool(row.bytes_per_parameter) and name == "torch graph"
        tolerance = GRAPH_TOLERANCE_OF_UPDATES if is_other_epsilon else TOLERANCE[name]
        if not differences[name] <= tolerance and name != "torch eager":
            raise ValueError(
                f"{row.name}: {name} is off by {differences[name]:.1e}: {got} against {reference}"
            )
        free()
    return differences


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def timed(row: Row, who: list[str], device: str, seconds: float) -> dict[str, list[float]]:
    """Seconds per step of each contestant in each round; rounds play all of them, in random order."""
    epochs = {name: contestant(row, name, device) for name in who}
    calls = {}
    for name, epoch in epochs.items():
        for _ in range(3):
            assert np.isfinite(epoch()), f"{row.name}: the loss of {name} is not finite"
        synchronize(device)
        began = time.perf_counter()
        epoch()
        synchronize(device)
        calls[name] = max(1, round(LONG_ENOUGH / (time.perf_counter() - began)))
    rounds: dict[str, list[float]] = {name: [] for name in who}
    rng, ends = random.Random(0), time.perf_counter() + seconds
    while len(rounds[who[0]]) < 5 or time.perf_counter() < ends:
        for name in rng.sample(who, len(who)):
            synchronize(device)
            began = time.perf_counter()
            for _ in range(calls[name]):
                epochs[name]()
            synchronize(device)
            rounds[name].append((time.perf_counter() - began) / calls[name] / row.steps)
    return rounds


def measure(row: Row, device: str, seconds: float) -> dict[str, Any]:
    who = names(row, device)
    differences = check(row, who, device)
    rounds = timed(row, who, device, seconds)
    free()
    return {"row": row.name, "title": row.title, "differences": differences, "seconds_per_step": rounds}


def duration(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def cell(row: Row, name: str, rounds: dict[str, list[float]]) -> str:
    """The time of a step; its rate, where that says something; the ratio to the peer's best in the same precision."""
    if name not in rounds:
        return ""
    seconds = median(rounds[name])
    text = duration(seconds)
    if row.bytes_per_parameter:
        text += f", {row.bytes_per_parameter * row.parameters / seconds / 1e12:.2f} TB/s"
    elif row.batch_size >= 8192:
        text += f", {row.flops / seconds / 1e12:.0f} TFLOP/s"
    if not name.startswith("fastreg"):
        return text
    kinds = ["torch graph bf16"] if name.endswith("bf16") else ["torch eager", "torch graph"]
    ratios: dict[str, Ratio] = {k: paired_ratio(rounds[k], rounds[name]) for k in kinds if k in rounds}
    for peer, ratio in ratios.items():
        text += f"; {peer.removeprefix('torch ')} / this **{ratio.value:.2f}** [{ratio.low:.2f}, {ratio.high:.2f}]"
    return text


def table(results: list[dict[str, Any]]) -> list[str]:
    columns = [n for r in results for n in r["seconds_per_step"]]
    columns = list(dict.fromkeys(columns))
    lines = [
        f"| a step of | {' | '.join(columns)} | largest difference of a loss |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for result in results:
        row, rounds = ROWS[result["row"]], result["seconds_per_step"]
        cells = [cell(row, name, rounds) for name in columns]
        worst = ", ".join(
            f"{n}: {d:.0e}" for n, d in result["differences"].items() if n.startswith("fastreg")
        )
        title = f"{result['title']} ({len(next(iter(rounds.values())))} rounds)"
        lines.append(f"| {title} | {' | '.join(cells)} | {worst} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="fastreg and PyTorch on a GPU.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing, for all rows together")
    parser.add_argument(
        "--device", choices=["cuda", "cpu"], default="cuda", help="cpu: to try the program out"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--gemm-program", help="a program that times fastreg's own products and prints TFLOP/s"
    )
    parser.add_argument("--no-gemm", action="store_true")
    arguments = parser.parse_args()
    device, results, failed = arguments.device, [], []
    for name in arguments.rows:
        try:
            results.append(measure(ROWS[name], device, arguments.seconds / len(arguments.rows)))
        except (ValueError, RuntimeError, MemoryError) as error:
            failed.append(f"{name}: not timed: {error}")
            free()
        print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
    product = [] if arguments.no_gemm or device == "cpu" else gemm.measure()
    native = ""
    if arguments.gemm_program:
        native = subprocess.run([arguments.gemm_program], capture_output=True, text=True, timeout=60).stdout
    what = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"\n{what}, PyTorch {torch.__version__}\n")
    print("\n".join([*table(results), "", *failed, "", *gemm.table(product), "", *native.splitlines()]))
    if arguments.json:
        words = [Path(word).name for word in sys.argv[1:]]
        written = {"device": what, "torch": torch.__version__, "argv": words, "failed": failed}
        written |= {"steps": results, "products": product, "native_products": native}
        arguments.json.write_text(json.dumps(written, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
