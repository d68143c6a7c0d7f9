"""The optimizers follow the oracle and torch's habits: groups, schedulers, closures, one native call.

It must not test states (test_optimizer_states.py), what is refused (test_optimizer_input.py) or where training ends
(test_sparsity.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference_update as rule
from checks import assert_close
from fastreg import _core
from reference import Spec
from reference_update import optimizer_spec

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import ElasticNetAdam, ElasticNetAdamW, ElasticNetSGD  # noqa: E402
from torch_cases import CASES, noise, parameter  # noqa: E402

METHODS = ("proximal", "subgradient")


class Oracle:
    """One parameter in float64, moved by the equations."""

    def __init__(self, w: torch.nn.Parameter, spec: Spec, penalty: Spec) -> None:
        self.w, self.spec, self.penalty, self.t = w.detach().numpy().copy(), spec, penalty, 0
        self.slots = rule.initial_slots(spec, self.w)

    def step(self, g: torch.Tensor, **settings: Any) -> None:
        self.t += 1
        self.w, self.slots = rule.update(
            self.w, g.numpy(), self.slots, self.t, self.spec | settings, self.penalty
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_groups_follow_the_oracle(case: str, method: str) -> None:
    cls, settings, spec = CASES[case]
    weights = [parameter(7, 5, seed=1), parameter(5, seed=2)]
    terms = {"l1": 0.05, "l2": 0.02, "proximal": method == "proximal"}
    oracles = [Oracle(weights[0], spec, terms), Oracle(weights[1], spec, rule.NO_PENALTY)]
    optimizer = cls(
        [{"params": weights[0], "l1": 0.05, "l2": 0.02}, {"params": weights[1]}], method=method, **settings
    )
    for t in range(60):
        expected_penalty = rule.penalty_value(oracles[0].w, 0.05, 0.02)
        for i, (w, oracle) in enumerate(zip(weights, oracles, strict=True)):
            w.grad = w.detach() + 0.5 * noise(w.shape, t, i)
            oracle.step(torch.from_numpy(oracle.w) + 0.5 * noise(w.shape, t, i))
        optimizer.step()
        assert optimizer.penalty == pytest.approx(expected_penalty, rel=1e-9)
    for w, oracle in zip(weights, oracles, strict=True):
        assert_close(w.detach(), oracle.w, 1e-11 * (1 + np.abs(oracle.w)), f"{case}, {method}")
        assert bool((w == 0).any()) == bool((oracle.w == 0).any())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torchs(momentum: float) -> None:
    settings = {"lr": 0.05, "momentum": momentum, "nesterov": momentum > 0, "weight_decay": 0.1}
    same_as_torch(ElasticNetSGD, torch.optim.SGD, settings)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_is_torchs_but_for_epsilon(amsgrad: bool) -> None:
    settings = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 0.0, "amsgrad": amsgrad, "weight_decay": 0.1}
    same_as_torch(ElasticNetAdam, torch.optim.Adam, settings)
    same_as_torch(ElasticNetAdamW, torch.optim.AdamW, settings)
    with pytest.raises(AssertionError):
        same_as_torch(ElasticNetAdam, torch.optim.Adam, settings | {"eps": 1e-2})


def same_as_torch(ours: Any, theirs: Any, settings: dict[str, Any]) -> None:
    weights = [parameter(4, 3), parameter(4, 3)]
    optimizers = [cls([w], **settings) for cls, w in zip((ours, theirs), weights, strict=True)]
    for t in range(40):
        for w, optimizer in zip(weights, optimizers, strict=True):
            w.grad = w.detach() + noise(w.shape, t)
            optimizer.step()
    torch.testing.assert_close(*weights, rtol=1e-10, atol=1e-12)


def test_parameters_count_their_own_steps() -> None:
    spec = optimizer_spec("adam", learning_rate=0.01, epsilon=1e-8)
    weights = [parameter(5, seed=1), parameter(3, seed=2)]
    optimizer = ElasticNetAdam(weights, lr=0.01)
    oracles = [Oracle(w, spec, rule.NO_PENALTY) for w in weights]
    for t in range(10):
        optimizer.zero_grad()
        for i in range(2 if t >= 3 else 1):
            weights[i].grad = noise(weights[i].shape, t, i)
            oracles[i].step(weights[i].grad)
        optimizer.step()
    assert [int(optimizer.state[w]["step"]) for w in weights] == [10, 7]
    for w, oracle in zip(weights, oracles, strict=True):
        assert_close(w.detach(), oracle.w, 1e-12, "a parameter with steps of its own")


def test_parameters_without_gradients_are_left_alone() -> None:
    w = parameter(3)
    before = w.detach().clone()
    optimizer = ElasticNetAdam([w], l1=1.0)
    optimizer.step()
    assert torch.equal(w, before)
    assert not optimizer.state
    assert optimizer.penalty == 0.0


def test_one_native_call_steps_everything_with_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    native = _core.update_many

    def counted(spec: Any, weights: Any, *rest: Any) -> Any:
        calls.append(len(weights))
        return native(spec, weights, *rest)

    monkeypatch.setattr(_core, "update_many", counted)
    weights = [parameter(2, n + 1) for n in range(6)]
    optimizer = ElasticNetAdam([{"params": weights[:3], "l1": 0.1}, {"params": weights[3:]}])
    for w in weights:
        w.grad = torch.ones_like(w)
    optimizer.step()
    assert calls == [6]
    optimizer.param_groups[0]["lr"] = 0.5
    weights.append(parameter(2, dtype=torch.float32))
    weights[-1].grad = torch.ones(2)
    optimizer.add_param_group({"params": [weights[-1]]})
    optimizer.step()
    assert calls[1:] == [3, 3, 1]


SCHEDULERS: dict[str, Any] = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),  # moves betas too
}


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_set_the_next_steps(name: str, as_tensor: bool) -> None:
    w = parameter(6)
    terms = {"l1": 0.1, "l2": 0.0, "proximal": True}
    lr = torch.tensor(0.05, dtype=torch.float64) if as_tensor else 0.05
    oracle = Oracle(w, optimizer_spec("adam", epsilon=1e-8), terms)
    optimizer = ElasticNetAdam([w], lr=lr, l1=0.1)
    scheduler = SCHEDULERS[name](optimizer)
    seen = set()
    for t in range(20):
        group = optimizer.param_groups[0]
        rate, b1, b2 = float(group["lr"]), *map(float, group["betas"])
        seen.add((rate, b1))
        w.grad = noise((6,), t)
        oracle.step(w.grad, learning_rate=rate, beta_1=b1, beta_2=b2)
        optimizer.step()
        if t < 19:
            scheduler.step()
    assert len(seen) > 5
    assert len({b1 for _, b1 in seen}) > 5 or name != "one cycle"
    assert_close(w.detach(), oracle.w, 1e-12, name)


def test_a_closure_is_called_once_with_gradients_on() -> None:
    w = parameter(4)
    optimizer = ElasticNetSGD([w], lr=0.1, l2=0.5)
    before = w.detach().clone()
    calls = []

    def closure() -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.item() == pytest.approx(before.square().sum().item())
    torch.testing.assert_close(w.detach(), before - 0.1 * (2 * before + before), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("takes_many", [True, False])
def test_a_step_makes_graphs_of_old_values_stale(takes_many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    increment = torch.autograd.graph.increment_version

    def older(tensor: Any) -> None:
        if not isinstance(tensor, torch.Tensor):
            raise RuntimeError("increment_version expects a tensor")
        increment(tensor)

    if not takes_many:
        monkeypatch.setattr(torch.autograd.graph, "increment_version", older)
    w = parameter(3)
    optimizer = ElasticNetSGD([w], lr=0.1)
    loss = w.square().sum()
    w.grad = torch.ones(3, dtype=torch.float64)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
