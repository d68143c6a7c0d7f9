"""fastreg.torch against torch's own parts, inside torch: the penalized update of whole models, and dropout forward and
backward. Prints a Markdown table. It must not know the workloads of run.py; it is one process, played in rounds.

    python benchmarks/torch_optimizers.py [--rounds 31] [--threads 1]

In each round every contestant runs once, in turn; a figure is the median of the rounds' ratios with its 95% interval.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import torch

import fastreg
import machine
import ratios
from fastreg.torch import Dropout, ElasticNetAdamW

L1, L2 = 1e-4, 1e-4
EPSILON = 1e-12  # so small that its place, in which the two differ, does not show
MODELS = {"8k": (30, 64, 64, 32), "110k": (128, 256, 256, 32), "2.4M": (512, 1024, 1024, 768)}
SHAPES = ((256, 64), (1024, 1024))
SECONDS = 0.02  # a contestant's turn in a round takes at least this long


@dataclass
class Duel:
    """Two ways of doing the same; `error` is how far apart their results are."""

    name: str
    theirs: Callable[[], None]
    ours: Callable[[], None]
    error: str


def model(widths: tuple[int, ...]) -> list[torch.nn.Parameter]:
    """Weights and biases of a dense network, with gradients."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(i, o) for i, o in pairwise(widths)]
    parameters = [p for layer in layers for p in layer.parameters()]
    for p in parameters:
        p.grad = torch.randn_like(p)
    return parameters


def update(name: str, widths: tuple[int, ...], penalized: bool) -> Duel:
    """One step: theirs adds the penalty's gradient by autograd, if there is one, and runs fused AdamW."""
    mine, yours = model(widths), model(widths)
    data = [p.grad.clone() for p in yours]
    l1, l2 = (L1, L2) if penalized else (0.0, 0.0)
    ours = ElasticNetAdamW(mine, lr=1e-4, eps=EPSILON, l1=l1, l2=l2, method="subgradient")  # to compare
    theirs = torch.optim.AdamW(yours, lr=1e-4, eps=EPSILON, fused=True)

    def step() -> None:
        if penalized:
            for p, g in zip(yours, data):
                p.grad.copy_(g)
            sum(L1 * p.abs().sum() + L2 * p.square().sum() for p in yours).backward()
        theirs.step()

    def both() -> float:
        step()
        ours.step()
        return max((a - b).abs().max().item() for a, b in zip(mine, yours))

    error = max(both() for _ in range(3))
    for group in ours.param_groups:
        group["method"] = "proximal"
    what = "AdamW + penalty by autograd" if penalized else "AdamW, no penalty"
    return Duel(f"{what}, {name} weights", step, lambda: ours.step(), f"{error:.0e}")


def dropout(shape: tuple[int, int]) -> Duel:
    """Forward and backward in training mode."""
    x, dy = torch.randn(shape, requires_grad=True), torch.randn(shape)
    module = Dropout(0.5, seed=1)

    def play(function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        y = function(x)
        torch.autograd.grad(y, x, dy)
        return y

    kept = (play(module) != 0).float().mean().item()
    return Duel(
        f"dropout {shape[0]} x {shape[1]}, forward and backward",
        lambda: (play(lambda x: torch.nn.functional.dropout(x, 0.5)), None)[1],
        lambda: (play(module), None)[1],
        f"kept {kept:.3f}",
    )


def timed(task: Callable[[], None], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        task()
    return (time.perf_counter() - start) / calls


def row(duel: Duel, rounds: int) -> str:
    """Plays a duel; one line of the table."""
    tasks = (duel.theirs, duel.ours)
    calls = [max(1, int(SECONDS / min(timed(task, 3) for _ in range(3)))) for task in tasks]
    times: list[list[float]] = [[], []]
    for r in range(rounds):
        for i in (0, 1) if r % 2 else (1, 0):
            times[i].append(timed(tasks[i], calls[i]))
    ratio = ratios.paired_ratio(*times)
    micros = [f"{1e6 * median(t):,.1f}" for t in times]
    figures = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    return f"| {duel.name} | {micros[0]} | {micros[1]} | {figures} | {duel.error} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    fastreg.set_num_threads(arguments.threads)
    cpu = machine.describe()["cpu"]
    print(f"{cpu}, threads: {arguments.threads}, torch {torch.__version__}, fastreg {fastreg.__version__}\n")
    print("| task | torch, us | fastreg.torch, us | torch / fastreg.torch | difference of results |")
    print("|---|---:|---:|---:|---|")
    for penalized in (True, False):
        for name, widths in MODELS.items():
            print(row(update(name, widths, penalized), arguments.rounds), flush=True)
    for shape in SHAPES:
        print(row(dropout(shape), arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
