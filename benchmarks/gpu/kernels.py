"""fastreg's operations against PyTorch's, on the tensors of one GPU: penalized AdamW, the proximal step, dropout.

    python benchmarks/gpu/kernels.py [--rounds 15] [--compile-seconds 8] [--small]

Prints a Markdown table. Times are those of CUDA events around one call, or around a batch of short ones, in rounds in
which all contestants take their turn; a ratio is the median of the rounds' ratios, with its 95% interval. It must not
know how a side computes. `--small` tries the program out on arrays of a thousandth of the size. It is over 250 lines
because each duel stands here.
"""

from __future__ import annotations

import argparse
import gc
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parent.parent))

import fastreg
from fastreg import ops
from fastreg.torch import ElasticNetAdamW, dropout
from ratios import paired_ratio

Task = Callable[[], Any]
L1, L2 = 1e-5, 1e-5
SETTINGS: dict[str, Any] = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
LARGE = ((8192, 4096), (8192, 4096), (4096, 8192), (4300, 1024))  # 105 million
SMALL = [s for i, o in pairwise((784, 512, 512, 10)) for s in ((o, i), (o,))]  # 0.7 million
BATCH_SECONDS = 0.002  # short calls are timed together for so long


@dataclass
class Duel:
    """`ours` against each of `theirs`; bytes_moved: what a call of ours has to read and write; `note` ends the row."""

    name: str
    ours: Task
    theirs: dict[str, Task]
    bytes_moved: int
    note: str = ""
    times: dict[str, list[float]] = field(default_factory=dict)


def timed(task: Task, calls: int) -> float:
    """Seconds of a call, by events on the current stream."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        task()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3 / calls


def play(duel: Duel, rounds: int) -> None:
    tasks = {"fastreg": duel.ours, **duel.theirs}
    calls = {}
    for name, task in tasks.items():
        timed(task, 3)
        calls[name] = max(1, min(200, round(BATCH_SECONDS / timed(task, 3))))
    duel.times = {name: [] for name in tasks}
    for r in range(rounds):
        for name in list(tasks)[:: 1 if r % 2 else -1]:
            duel.times[name].append(timed(tasks[name], calls[name]))


def recorded(task: Task) -> Task:
    """The same work as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            task()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        task()
    return graph.replay


def parameters(shapes: Any) -> list[torch.nn.Parameter]:
    """The same numbers at each call."""
    torch.manual_seed(0)
    made = [torch.nn.Parameter(0.05 * torch.randn(shape, device="cuda")) for shape in shapes]
    for p in made:
        p.grad = 0.01 * torch.randn_like(p)
    return made


@torch.no_grad()
def torch_step(made: list[torch.nn.Parameter], optimizer: Any, penalty: torch.Tensor) -> None:
    """The elastic net's value and its gradient by foreach operations, then fused AdamW."""
    gradients = [p.grad for p in made]
    squares, sums = torch._foreach_norm(made, 2), torch._foreach_norm(made, 1)
    penalty.copy_(L1 * torch.stack(sums).sum() + L2 * torch.stack(squares).square().sum())
    torch._foreach_add_(gradients, torch._foreach_sign(made), alpha=L1)
    torch._foreach_add_(gradients, made, alpha=2 * L2)
    optimizer.step()


def compiled_step(made: list[torch.nn.Parameter], seconds: float) -> tuple[Task | None, str]:
    """Penalty, gradient and AdamW as one function for torch.compile; None and why, if it takes more than `seconds`."""
    state = [(torch.zeros_like(p), torch.zeros_like(p)) for p in made]
    step = torch.ones((), device="cuda")
    b1, b2 = SETTINGS["betas"]
    lr, eps, decay = SETTINGS["lr"], SETTINGS["eps"], SETTINGS["weight_decay"]

    @torch.no_grad()
    def update(weights: Any, gradients: Any, moments: Any, step: Any) -> Any:
        penalty = torch.zeros((), device="cuda")
        step.add_(1)
        c1, c2 = 1 - b1**step, (1 - b2**step).sqrt()
        for w, g, (m, v) in zip(weights, gradients, moments):
            penalty = penalty + L1 * w.abs().sum() + L2 * w.square().sum()
            g = g + L1 * w.sign() + 2 * L2 * w
            m.lerp_(g, 1 - b1)
            v.mul_(b2).addcmul_(g, g, value=1 - b2)
            w.mul_(1 - lr * decay).sub_(lr / c1 * m / (v.sqrt() / c2 + eps))
        return penalty

    weights, gradients = [p.detach() for p in made], [p.grad for p in made]
    done: list[Any] = []

    def first() -> None:
        try:
            run = torch.compile(update)
            run(weights, gradients, state, step)
            torch.cuda.synchronize()
            done.append(run)
        except Exception as error:  # no compiler, say: then the row does without
            done.append(f"torch.compile failed: {type(error).__name__}")

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        return None, f"torch.compile took longer than {seconds:.0f} s"
    if isinstance(done[0], str):
        return None, done[0]
    return lambda: done[0](weights, gradients, state, step), ""


def adamw(shapes: Any, title: str, graph: bool, compile_seconds: float) -> Duel:
    mine, yours = parameters(shapes), parameters(shapes)
    n = sum(p.numel() for p in mine)
    # By the subgradient, as torch_step does, to compare
    ours = ElasticNetAdamW(mine, **SETTINGS, l1=L1, l2=L2, method="subgradient", capturable=graph)
    theirs = torch.optim.AdamW(yours, **SETTINGS, fused=True, capturable=graph)
    penalty = torch.zeros((), device="cuda")
    for _ in range(3):
        for a, b in zip(mine, yours):
            b.grad.copy_(a.grad)
        torch_step(yours, theirs, penalty)
        ours.step()
    apart = max((a - b).abs().max().item() for a, b in zip(mine, yours))
    value = abs(ours.penalty / penalty.item() - 1)
    for group in ours.param_groups:
        group["method"] = "proximal"
    step: Task = lambda: torch_step(yours, theirs, penalty)  # noqa: E731
    note = f"weights {apart:.0e} apart after 3 steps, penalty {value:.0e}"
    if graph:
        torch_plain = torch.optim.AdamW(parameters(shapes), **SETTINGS, fused=True, capturable=True)
        peers = {"torch, graph": recorded(step), "torch fused AdamW alone, graph": recorded(torch_plain.step)}
        return Duel(title, recorded(ours.step), peers | {"fastreg without a graph": ours.step}, 28 * n, note)
    peers = {"torch foreach + fused": step}
    if compile_seconds:
        task, why = compiled_step(yours, compile_seconds)
        peers |= {} if task is None else {"torch.compile": task}
        note += f"; {why}" if why else ""
    return Duel(title, ours.step, peers, 28 * n, note)


def proximal(n: int) -> Duel:
    w = torch.randn(n, device="cuda")
    mine, t = w.clone(), 1e-7

    def theirs() -> None:
        size = torch._foreach_abs([w])
        torch._foreach_sub_(size, t)
        torch._foreach_clamp_min_(size, 0.0)
        signs = torch._foreach_sign([w])
        torch._foreach_mul_(signs, size)
        w.copy_(signs[0])

    theirs()
    ops.prox(mine, 1.0, 0.0, t, out=mine)
    same = torch.equal(mine, w)
    ours: Task = lambda: ops.prox(mine, 1.0, 0.0, t, out=mine)  # noqa: E731
    note = "the same bits" if same else f"{(mine - w).abs().max().item():.0e} apart"
    return Duel(f"proximal L1 step in place, {n / 1e6:.0f}M", ours, {"torch foreach": theirs}, 8 * n, note)


def drops(n: int, dtype: torch.dtype) -> Duel:
    x = torch.randn(n, device="cuda", dtype=dtype)
    kept = (dropout(x, 0.5, seed=1, step=0) != 0).float().mean().item()
    out = torch.empty_like(x)
    theirs: Task = lambda: torch.nn.functional.dropout(x, 0.5)  # noqa: E731
    peers = {"torch": theirs, "fastreg.torch.dropout": lambda: dropout(x, 0.5, seed=1, step=0)}
    ours: Task = lambda: ops.dropout(x, 0.5, 1, out=out)  # noqa: E731
    title = f"dropout forward, {n / 2**20:.0f} Mi {str(dtype).removeprefix('torch.')}"
    return Duel(title, ours, peers, 2 * x.element_size() * n, f"kept {kept:.4f}")


def copy_bandwidth(rounds: int, n_bytes: int) -> float:
    """Bytes per second, read and written, of a clone."""
    source = torch.empty(n_bytes // 4, device="cuda").normal_()
    timed(source.clone, 3)
    return 2 * n_bytes / median(timed(source.clone, 2) for _ in range(rounds))


def micros(seconds: float) -> str:
    return f"{1e6 * seconds:,.1f}"


def rows(duel: Duel, bandwidth: float) -> list[str]:
    ours = duel.times["fastreg"]
    rate = duel.bytes_moved / median(ours)
    share = f"{rate / 1e12:.2f} TB/s, {100 * rate / bandwidth:.0f}%"
    lines = []
    for name in duel.theirs:
        ratio = paired_ratio(duel.times[name], ours)
        figures = f"**{ratio.value:.2f}** [{ratio.low:.2f}, {ratio.high:.2f}]"
        times = f"{micros(median(ours))} | {micros(median(duel.times[name]))}"
        lines.append(f"| {duel.name} | {name} | {times} | {figures} | {share} | {duel.note} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="fastreg's operations and PyTorch's on a GPU.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--compile-seconds", type=float, default=8.0, help="how long torch.compile may take; 0: not at all"
    )
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    few = 1024 if arguments.small else 1
    large = [(rows_ // min(few, 64), columns // min(few, 16)) for rows_, columns in LARGE]
    seconds = arguments.compile_seconds
    duels: list[Callable[[], Duel]] = [
        lambda: adamw(
            SMALL, "AdamW + elastic net + its value, 784-512-512-10 (0.7M), as a CUDA graph", True, 0.0
        ),
        lambda: proximal(100_000_000 // few),
        lambda: drops(2**26 // few, torch.float32),
        lambda: drops(2**26 // few, torch.bfloat16),
        # the last: a compilation that takes too long goes on beside what follows
        lambda: adamw(large, "AdamW + elastic net + its value, 105M", False, seconds),
    ]
    bandwidth = copy_bandwidth(arguments.rounds, 2**30 // few)
    print(f"\n{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, fastreg {fastreg.__version__}")
    print(f"copy (clone of {2**30 // few / 2**20:.0f} MiB): {bandwidth / 1e12:.2f} TB/s read and written\n")
    print(
        "| a call of | against | fastreg, us | theirs, us | theirs / fastreg | fastreg: rate, share of copy | results |"
    )
    print("|---|---|---:|---:|---:|---|---|")
    for make in duels:
        began = time.perf_counter()
        duel = make()
        play(duel, arguments.rounds)
        print("\n".join(rows(duel, bandwidth)), flush=True)
        print(f"{duel.name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        del duel
        gc.collect()
        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
