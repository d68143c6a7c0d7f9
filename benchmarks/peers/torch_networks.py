"""Training and prediction in PyTorch: autograd, penalties in the loss, fused Adam, rows gathered by index_select, no
DataLoader. It must not know whether the step is compiled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from peers.protocol import Task
from workloads import Array, Outputs
from workloads.networks import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    PREDICT_ROWS,
    Network,
    Prediction,
    Training,
    data,
    initial_weights,
)

# As JAX and TensorFlow do by themselves: long trainings lead some weights among the subnormal numbers, which some CPUs
# multiply many times slower. Set before torch makes its threads, which inherit it.
torch.set_flush_denormal(True)

Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]  # torch.compile, or nothing
Adam = Callable[[list[Tensor], float], Any]  # parameters and weight decay to what has an optimizer's methods


def epsilon(step: int) -> float:
    """What makes PyTorch's Adam that of Keras: Keras adds its epsilon to the root of the uncorrected second moment."""
    return EPSILON / math.sqrt(1 - BETA_2**step)


def build(network: Network) -> nn.Sequential:
    """The layers with the shared initial weights; the last gives logits, or the prediction of "squares"."""
    modules: list[nn.Module] = []
    for layer, (kernel, bias) in zip(network.layers, initial_weights(network)):
        linear = nn.Linear(*kernel.shape)
        linear.weight.data = torch.from_numpy(kernel.T.copy())
        linear.bias.data = torch.from_numpy(bias)
        modules += [linear, nn.ReLU(), nn.Dropout(layer.rate)] if layer.rate else [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def fused_adam(parameters: list[Tensor], weight_decay: float) -> torch.optim.Optimizer:
    """PyTorch's own."""
    options = {"lr": LEARNING_RATE, "betas": (BETA_1, BETA_2), "eps": EPSILON, "fused": True}
    if weight_decay:
        return torch.optim.AdamW(parameters, weight_decay=weight_decay, **options)
    return torch.optim.Adam(parameters, **options)


class Trainer:
    """One network, its data, its optimizer and its training step."""

    def __init__(self, network: Network, rows: int, compile: Compile, adam: Adam) -> None:
        self.network = network
        x, y = data(network, rows)
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.model = build(network).train()
        linears = (module for module in self.model if isinstance(module, nn.Linear))
        self.penalized = [(layer, module.weight) for layer, module in zip(network.layers, linears)]
        self.optimizer = adam(list(self.model.parameters()), network.weight_decay)
        self.objective = compile(self.loss_and_penalty)

    def loss_and_penalty(self, x: Tensor, y: Tensor) -> Tensor:
        outputs = self.model(x)
        if self.network.loss == "binary":
            loss = functional.binary_cross_entropy_with_logits(outputs.squeeze(1), y)
        elif self.network.loss == "classes":
            loss = functional.cross_entropy(outputs, y)
        else:
            loss = functional.mse_loss(outputs.squeeze(1), y)
        for layer, kernel in self.penalized:
            if layer.l1:
                loss = loss + layer.l1 * kernel.abs().sum()
            if layer.l2:
                loss = loss + layer.l2 * kernel.square().sum()
        return loss

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One update on a batch; returns data loss + penalty before it."""
        loss = self.objective(x, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self) -> Tensor:
        """The mean loss of a shuffled epoch."""
        total, size = torch.zeros(()), self.network.batch_size
        for rows in torch.randperm(len(self.x)).split(size):
            total += self.step(self.x.index_select(0, rows), self.y.index_select(0, rows))
        return total * size / len(self.x)


def losses(workload: Training, network: Network, compile: Compile, adam: Adam) -> Array:
    """The loss of each of the first steps."""
    trainer = Trainer(network, workload.rows, compile, adam)
    result = []
    for step, rows in enumerate(workload.batches(), start=1):
        trainer.optimizer.param_groups[0]["eps"] = epsilon(step)
        result.append(trainer.step(trainer.x[rows], trainer.y[rows]).item())
    return np.array(result)


def training(workload: Training, compile: Compile, adam: Adam = fused_adam) -> Task:
    def check() -> Outputs:
        return {"losses": losses(workload, workload.network.without_dropout(), compile, adam)}

    return Task(check, Trainer(workload.network, workload.rows, compile, adam).epoch, finish=Tensor.item)


def prediction(workload: Prediction, compile: Compile) -> Task:
    network = workload.network
    x = torch.from_numpy(data(network, workload.rows)[0])
    last = {"binary": nn.Sigmoid(), "classes": nn.Softmax(dim=1), "squares": nn.Identity()}[network.loss]
    forward = compile(nn.Sequential(build(network.without_dropout()), last).eval())

    @torch.inference_mode()
    def run() -> Tensor:
        return torch.cat([forward(part) for part in x.split(PREDICT_ROWS)])

    return Task(check=lambda: {"outputs": run().numpy()}, run=run)
