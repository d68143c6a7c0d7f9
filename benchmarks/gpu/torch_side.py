"""PyTorch at its best: data on the GPU, rows gathered there, fused optimizers, penalties by foreach operations; eager,
or with the whole step - gather, forward, backward, penalty, update - as one CUDA graph.

It must not know the other contestants.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import torch
from rows import BETA_1, BETA_2, EPSILON, LEARNING_RATE, WEIGHT_DECAY, Row
from torch import Tensor, nn
from torch.nn import functional


def build(row: Row) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer, (kernel, bias) in zip(row.layers, row.weights()):
        linear = nn.Linear(*kernel.shape)
        linear.weight.data, linear.bias.data = (
            torch.from_numpy(kernel.T.copy()),
            torch.from_numpy(bias.copy()),
        )
        modules += [linear, nn.ReLU(inplace=True)]
        modules += [nn.Dropout(layer.rate)] if layer.rate else []  # not in place: ReLU keeps its output
    last = max(i for i, module in enumerate(modules) if isinstance(module, nn.Linear))
    return nn.Sequential(*modules[: last + 1])


def new_optimizer(row: Row, parameters: Any, capturable: bool) -> torch.optim.Optimizer:
    if row.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=LEARNING_RATE, fused=True)
    options: dict[str, Any] = {"lr": LEARNING_RATE, "betas": (BETA_1, BETA_2), "eps": EPSILON, "fused": True}
    options["capturable"] = capturable
    if row.optimizer == "adamw":
        return torch.optim.AdamW(parameters, weight_decay=WEIGHT_DECAY, **options)
    return torch.optim.Adam(parameters, **options)


class Peer:
    """One network in training. bf16: products under autocast, weights and the rest in float32."""

    def __init__(self, row: Row, device: str, graph: bool = False, bf16: bool = False) -> None:
        self.row, (x, y) = row, row.data()
        self.x = torch.from_numpy(x).to(device)
        self.y = torch.from_numpy(y).to(device)
        if row.loss == "classes":
            self.y = self.y.squeeze(1).long()
        self.model = build(row).train().to(device)
        linears = [module for module in self.model if isinstance(module, nn.Linear)]
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for layer, linear in zip(row.layers, linears):
            if layer.l1 or layer.l2:
                groups.setdefault((layer.l1, layer.l2), []).append(linear.weight)
        self.groups = list(groups.items())
        self.optimizer = new_optimizer(row, self.model.parameters(), graph)
        self.bf16, self.total = bf16, torch.zeros((), device=device)
        self.correct = torch.zeros((), device=device)
        self.order = torch.arange(row.rows, device=device)
        self.counter = torch.zeros(1, dtype=torch.long, device=device)
        self.graph = self.captured() if graph else None

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        context: Any = contextlib.nullcontext()
        if self.bf16:
            context = torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False)
        with context:
            outputs = self.model(x)
        outputs = outputs.float()
        if self.row.accuracy:
            self.correct += ((outputs.detach() > 0) == (y > 0.5)).sum()
        if self.row.loss == "binary":
            return functional.binary_cross_entropy_with_logits(outputs, y)
        return (
            functional.cross_entropy(outputs, y)
            if self.row.loss == "classes"
            else functional.mse_loss(outputs, y)
        )

    @torch.no_grad()
    def penalize(self) -> list[Tensor]:
        """Adds the penalties' gradients to the data's; returns the penalties."""
        values = []
        for (l1, l2), kernels in self.groups:
            gradients = [kernel.grad for kernel in kernels]
            if l1:
                values += [l1 * norm for norm in torch._foreach_norm(kernels, 1)]
                torch._foreach_add_(gradients, torch._foreach_sign(kernels), alpha=l1)
            if l2:
                values += [l2 * norm.square() for norm in torch._foreach_norm(kernels, 2)]
                torch._foreach_add_(gradients, kernels, alpha=2 * l2)
        return values

    def step(self) -> Tensor:
        """On the batch that `counter` names; the loss with penalties before the update."""
        rows = self.order.view(self.row.steps, -1).index_select(0, self.counter).squeeze(0)
        loss = self.loss(self.x.index_select(0, rows), self.y.index_select(0, rows))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        value = torch.stack([loss.detach(), *self.penalize()]).sum()
        self.optimizer.step()
        self.total += value
        self.counter += 1
        return value

    def captured(self) -> Any:
        state = [p.detach().clone() for p in self.model.parameters()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.counter.zero_()
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self.counter.zero_()
        with torch.cuda.graph(graph):
            self.value = self.step()
        with torch.no_grad():  # as if nothing had happened
            for parameter, before in zip(self.model.parameters(), state):
                parameter.copy_(before)
            for slots in self.optimizer.state.values():
                for slot in slots.values():
                    if torch.is_tensor(slot):
                        slot.zero_()
        return graph

    def one(self) -> Tensor:
        if self.graph is None:
            return self.step()
        self.graph.replay()
        return self.value

    def epoch(self) -> float:
        """A shuffled epoch; the mean of its losses, the only number that is waited for beside the accuracy."""
        self.counter.zero_()
        self.total.zero_()
        if self.row.accuracy:
            self.correct.zero_()
        torch.randperm(self.row.rows, device=self.order.device, out=self.order)
        for _ in range(self.row.steps):
            self.one()
        if self.row.accuracy:
            self.correct.item()
        return self.total.item() / self.row.steps


def losses(row: Row, device: str, steps: int, graph: bool = False, bf16: bool = False) -> np.ndarray:
    """Of the first steps, in the order of the rows, without dropout; eagerly with Adam's epsilon made Keras's."""
    peer, values = Peer(row.without_dropout(), device, graph, bf16), []
    for step in range(1, steps + 1):
        if (step - 1) % row.steps == 0:
            peer.counter.zero_()
        if not graph and row.optimizer != "sgd":
            peer.optimizer.param_groups[0]["eps"] = EPSILON / math.sqrt(1 - BETA_2**step)
        values.append(peer.one().item())
    return np.array(values)
