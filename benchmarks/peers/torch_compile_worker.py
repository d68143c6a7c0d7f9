"""PyTorch compiled: torch.compile of the loss (its backward pass with it) and of the optimizer's step.
It must not know the other contestants, but for the code it shares with PyTorch eager."""

from __future__ import annotations

import os
from functools import partial

os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # compile here, not in a pool that would leave the cores

import torch
from torch import Tensor

from peers.protocol import Peer, Task
from peers.torch_networks import prediction, training
from workloads import Outputs, operations
from workloads.networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Prediction, Training

compile_static = partial(torch.compile, dynamic=False, fullgraph=True)


def step(w: Tensor, g: Tensor, m: Tensor, v: Tensor, rate: Tensor) -> Tensor:
    """The update in Keras's form, in place, for the compiler to fuse; returns the penalty. rate: corrected, 0-d."""
    penalty = operations.L1 * w.abs().sum() + operations.L2 * w.square().sum()
    g = g + operations.L1 * w.sign() + 2 * operations.L2 * w
    m.lerp_(g, 1 - BETA_1)
    v.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
    w.mul_(1 - LEARNING_RATE * operations.WEIGHT_DECAY).sub_(rate * m / (v.sqrt() + EPSILON))
    return penalty


class CompiledAdam:
    """Adam or AdamW in Keras's form over all parameters, one compiled function: faster than the fused one, which a
    compiler does not take."""

    def __init__(self, parameters: list[Tensor], weight_decay: float) -> None:
        self.parameters, self.decay = parameters, LEARNING_RATE * weight_decay
        self.moments = [[torch.zeros_like(p) for p in parameters] for _ in range(2)]
        self.steps = 0
        self.compiled = compile_static(self.update)
        self.param_groups: list[dict[str, float]] = [{}]  # its epsilon is Keras's

    def update(self, gradients: list[Tensor | None], rate: Tensor) -> None:
        for w, g, m, v in zip(self.parameters, gradients, *self.moments):
            m.lerp_(g, 1 - BETA_1)
            v.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
            if self.decay:
                w.mul_(1 - self.decay)
            w.sub_(rate * m / (v.sqrt() + EPSILON))

    def zero_grad(self, set_to_none: bool) -> None:
        for w in self.parameters:
            w.grad = None

    @torch.no_grad()
    def step(self) -> None:
        self.steps += 1
        rate = LEARNING_RATE * (1 - BETA_2**self.steps) ** 0.5 / (1 - BETA_1**self.steps)
        self.compiled([w.grad for w in self.parameters], torch.tensor(rate))


class Updater:
    """The arrays and the step counter."""

    def __init__(self, workload: operations.Update) -> None:
        self.tensors = [torch.from_numpy(array) for array in workload.arrays()]
        self.compiled = compile_static(step)
        self.steps = 0

    @torch.no_grad()
    def step(self) -> Tensor:
        self.steps += 1
        rate = LEARNING_RATE * (1 - BETA_2**self.steps) ** 0.5 / (1 - BETA_1**self.steps)
        return self.compiled(*self.tensors, torch.tensor(rate))

    def check(self) -> Outputs:
        penalties = [self.step() for _ in range(operations.UPDATE_CHECK_STEPS)]
        return {"w": self.tensors[0].numpy(), "penalty": torch.stack(penalties).numpy()}


def update(workload: operations.Update) -> Task:
    torch.compiler.reset()  # each size compiles anew, without a limit on how many
    return Task(Updater(workload).check, Updater(workload).step)


PEER = Peer(
    title="PyTorch torch.compile",
    modules=("torch",),
    threads=torch.get_num_threads,
    makers={
        Training: partial(training, compile=compile_static, adam=CompiledAdam),
        Prediction: partial(prediction, compile=compile_static),
        operations.Update: update,
    },
)
