"""PyTorch eager: autograd, penalties in the loss, fused Adam, rows gathered by index_select, no DataLoader.
It must not know the other contestants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from peers import protocol
from workloads import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Workload, arrays, initial_weights


class Trainer:
    """One network, its data, its optimizer and its training step."""

    def __init__(self, workload: Workload, dropout: bool) -> None:
        self.workload = workload
        x, y = arrays(workload)
        self.x = torch.from_numpy(x)
        self.y = torch.from_numpy(y).float() if workload.binary else torch.from_numpy(y)
        modules: list[nn.Module] = []
        for layer, (kernel, bias) in zip(workload.layers, initial_weights(workload)):
            linear = nn.Linear(*kernel.shape)
            linear.weight.data = torch.from_numpy(kernel.T.copy())
            linear.bias.data = torch.from_numpy(bias)
            modules += (
                [linear, nn.ReLU(), nn.Dropout(layer.rate)] if layer.rate and dropout else [linear, nn.ReLU()]
            )
        self.model = nn.Sequential(*modules[:-1]).train()  # the last layer gives logits
        self.penalized = [
            (layer, module.weight)
            for layer, module in zip(workload.layers, (m for m in modules if isinstance(m, nn.Linear)))
        ]
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=LEARNING_RATE, betas=(BETA_1, BETA_2), eps=EPSILON, fused=True
        )

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One update on a batch; returns data loss + penalty before it."""
        logits = self.model(x)
        if self.workload.binary:
            loss = functional.binary_cross_entropy_with_logits(logits.squeeze(1), y)
        else:
            loss = functional.cross_entropy(logits, y)
        for layer, kernel in self.penalized:
            if layer.l1:
                loss = loss + layer.l1 * kernel.abs().sum()
            if layer.l2:
                loss = loss + layer.l2 * kernel.square().sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self) -> float:
        total = torch.zeros(())
        for rows in torch.randperm(self.workload.rows).split(self.workload.batch_size):
            total += self.step(self.x.index_select(0, rows), self.y.index_select(0, rows))
        return total.item() / self.workload.steps


class TorchWorker:
    def describe(self) -> dict[str, Any]:
        return {
            "title": "PyTorch eager, fused Adam",
            "versions": {"torch": torch.__version__},
            "threads": torch.get_num_threads(),
        }

    def check(self, workload: Workload, steps: int) -> list[float]:
        trainer = Trainer(workload, dropout=False)
        losses = []
        batches = zip(trainer.x.split(workload.batch_size), trainer.y.split(workload.batch_size))
        for t, (x, y) in zip(range(1, steps + 1), batches):
            # Keras adds epsilon to the root of the uncorrected second moment, PyTorch to the corrected one.
            trainer.optimizer.param_groups[0]["eps"] = EPSILON / math.sqrt(1 - BETA_2**t)
            losses.append(trainer.step(x, y).item())
        return losses

    def prepare(self, workload: Workload) -> Callable[[], float]:
        return Trainer(workload, dropout=True).epoch


if __name__ == "__main__":
    protocol.serve(TorchWorker())
