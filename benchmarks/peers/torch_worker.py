"""PyTorch eager.
It must not know the other contestants."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from peers.protocol import Peer, Task
from peers.startup import imports
from peers.torch_networks import epsilon, prediction, training
from workloads import Outputs, operations
from workloads.networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Prediction, Training


def as_it_is(function: Any) -> Any:
    """Eager: nothing is compiled."""
    return function


def dense(workload: operations.Dense) -> Task:
    arrays = workload.arrays()
    x, b, dy = (torch.from_numpy(arrays[i]).requires_grad_(i < 3 and workload.backward) for i in (0, 2, 3))
    w = torch.from_numpy(arrays[1].T.copy()).requires_grad_(workload.backward)  # its own layout, (out, in)

    def forward() -> Tensor:
        with torch.inference_mode():
            return functional.linear(x, w, b)

    def both() -> tuple[Tensor, ...]:
        y = functional.linear(x, w, b)
        return y, *torch.autograd.grad(y, (x, w, b), dy)

    def check() -> Outputs:
        if not workload.backward:
            return {"y": forward().numpy()}
        y, dx, dw, db = both()
        return {"y": y.detach().numpy(), "dx": dx.numpy(), "dw": dw.numpy().T, "db": db.numpy()}

    return Task(check, both if workload.backward else forward)


def dropout(workload: operations.Dropout) -> Task:
    x = torch.from_numpy(workload.array())

    @torch.inference_mode()
    def run() -> Tensor:
        return functional.dropout(x, operations.RATE, training=True)

    return Task(check=lambda: {"first": run().numpy(), "second": run().numpy()}, run=run)


class Updater:
    """The penalty and its gradient by whole-array operations, then fused AdamW; or AdamW alone.

    A scratch array saves the memory traffic of temporaries. torch._foreach_norm is no faster and loses digits: its
    sum of 2**24 absolute values is off by 2%, which fails the check.
    """

    def __init__(self, workload: operations.Update, penalized: bool) -> None:
        arrays = workload.arrays()
        self.w, self.penalized = torch.nn.Parameter(torch.from_numpy(arrays[0])), penalized
        self.g, self.scratch = torch.from_numpy(arrays[1]), torch.empty_like(self.w, requires_grad=False)
        self.optimizer = torch.optim.AdamW(
            [self.w], lr=LEARNING_RATE, betas=(BETA_1, BETA_2), eps=EPSILON,
            weight_decay=operations.WEIGHT_DECAY, fused=True,
        )  # fmt: skip
        self.w.grad = self.g

    @torch.no_grad()
    def penalize(self) -> Tensor:
        """Adds the penalty's gradient to the data's, in place as autograd would; returns the penalty."""
        absolute = torch.abs(self.w, out=self.scratch).sum()
        squares = torch.square(self.w, out=self.scratch).sum()
        self.g.add_(torch.sign(self.w, out=self.scratch), alpha=operations.L1)
        self.g.add_(self.w, alpha=2 * operations.L2)
        return operations.L1 * absolute + operations.L2 * squares

    def step(self) -> Tensor | None:
        penalty = self.penalize() if self.penalized else None
        self.optimizer.step()
        return penalty

    def check(self) -> Outputs:
        """From the start: w after the steps that are checked, and the penalties."""
        data_gradient, penalties = self.g.clone(), []
        for step in range(1, operations.UPDATE_CHECK_STEPS + 1):
            self.g.copy_(data_gradient)
            self.optimizer.param_groups[0]["eps"] = epsilon(step)
            penalties.append(self.step())
        w = self.w.detach().numpy()
        return (
            {"w": w, "penalty": torch.stack(penalties).numpy()}
            if self.penalized
            else {"w without penalty": w}
        )


def update(workload: operations.Update, penalized: bool = True) -> Task:
    return Task(Updater(workload, penalized).check, Updater(workload, penalized).step)


PEER = Peer(
    title="PyTorch eager, fused Adam",
    modules=("torch",),
    threads=torch.get_num_threads,
    makers={
        Training: partial(training, compile=as_it_is),
        Prediction: partial(prediction, compile=as_it_is),
        operations.Dense: dense,
        operations.Dropout: dropout,
        operations.Update: update,
    }
    | imports("torch"),
)
