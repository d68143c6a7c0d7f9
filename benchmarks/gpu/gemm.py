"""PyTorch's matrix products, as the yardstick for fastreg's: float32 at its highest precision, TF32 and bfloat16, with
the error of each against float64. Buffers rotate beyond the L2 cache.

It must not know fastreg: tests/cuda/fast_gemm_test.cu times its products, without copies.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import torch

SIZES = (4096, 8192)
LAYOUTS = ("NN", "NT", "TN")  # x w, dz w', x' dz
KINDS = ("float32", "tf32", "bfloat16")
BUFFERS, REPEATS, CHECKED = 4, 7, 64


def operands(n: int, layout: str, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    made = []
    for _ in range(BUFFERS):
        a, b = (torch.randn(n, n, device="cuda").abs_().to(dtype) for _ in range(2))  # as after a ReLU
        made.append((a.T if layout[0] == "T" else a, b.T if layout[1] == "T" else b))
    return made


def one(n: int, layout: str, kind: str) -> dict[str, Any]:
    torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
    pairs = operands(n, layout, torch.bfloat16 if kind == "bfloat16" else torch.float32)
    out = torch.empty(n, n, device="cuda", dtype=pairs[0][0].dtype)
    times = []
    for repeat in range(REPEATS + 2):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for a, b in pairs:
            torch.matmul(a, b, out=out)
        end.record()
        end.synchronize()
        if repeat >= 2:
            times.append(start.elapsed_time(end) / 1e3 / len(pairs))
    a, b = pairs[-1]
    exact = a[:CHECKED].double() @ b.double()
    error = ((out[:CHECKED].double() - exact).square().mean() / exact.square().mean()).sqrt().item()
    return {
        "n": n,
        "layout": layout,
        "kind": kind,
        "tflops": 2.0 * n**3 / median(times) / 1e12,
        "error": error,
    }


def measure() -> list[dict[str, Any]]:
    return [one(n, layout, kind) for n in SIZES for layout in LAYOUTS for kind in KINDS]


def table(results: list[dict[str, Any]]) -> list[str]:
    if not results:
        return []
    lines = [f"| torch.matmul | {' | '.join(KINDS)} |", "|---" * (len(KINDS) + 1) + "|"]
    for n in SIZES:
        for layout in LAYOUTS:
            found = [r for r in results if (r["n"], r["layout"]) == (n, layout)]
            cells = [f"{r['tflops']:.1f} TFLOP/s, error {r['error']:.1e}" for r in found]
            lines.append(f"| {n} {layout} | {' | '.join(cells)} |")
    return lines
