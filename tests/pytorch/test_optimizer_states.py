"""State dicts of the optimizers: training goes on from one bit for bit, and from those of torch's as torch would.

It must not test the steps themselves: test_optimizers.py does.
"""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest

from binding_cases import raises

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import Dropout, ElasticNetAdam, ElasticNetAdamW, ElasticNetSGD  # noqa: E402
from torch_cases import CASES, noise, parameter  # noqa: E402

TAKEN: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "adam": (torch.optim.Adam, ElasticNetAdam, {"eps": 0.0, "weight_decay": 0.1}),
    "amsgrad": (torch.optim.Adam, ElasticNetAdam, {"eps": 0.0, "amsgrad": True, "betas": (0.5, 0.6)}),
    "adamw": (torch.optim.AdamW, ElasticNetAdamW, {"eps": 0.0, "weight_decay": 0.3}),
    "adam without decay": (torch.optim.Adam, ElasticNetAdamW, {"eps": 0.0}),
    "sgd": (torch.optim.SGD, ElasticNetSGD, {"weight_decay": 0.1}),
    "momentum": (torch.optim.SGD, ElasticNetSGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "nesterov": (torch.optim.SGD, ElasticNetSGD, {"momentum": 0.9, "nesterov": True}),
    "tensor lr": (torch.optim.SGD, ElasticNetSGD, {"momentum": 0.9, "lr": torch.tensor(0.01)}),
}


def with_state_of_torch(case: str) -> tuple[list[Any], list[Any]]:
    """Two equal parameters, and torch's optimizer and ours, which has taken over the state of torch's."""
    theirs, ours, settings = TAKEN[case]
    weights = [parameter(4, 3), parameter(4, 3)]
    optimizers = [theirs([weights[0]], **{"lr": 0.01, **settings}), ours([weights[1]], lr=0.5, l1=0.125)]
    for t in range(5):
        weights[0].grad = noise((4, 3), t)
        optimizers[0].step()
    weights[1].data.copy_(weights[0].data)
    saved = copy.deepcopy(optimizers[0].state_dict())  # or they would share a step and moments
    optimizers[1].load_state_dict(saved)
    assert str(saved) == str(optimizers[0].state_dict())
    return weights, optimizers


def steps(weights: list[Any], optimizers: list[Any], times: range) -> None:
    for t in times:
        for w, optimizer in zip(weights, optimizers, strict=True):
            w.grad = noise((4, 3), t)
            optimizer.step()


@pytest.mark.parametrize("case", TAKEN)
def test_a_state_of_torchs_is_taken_over_and_goes_on_as_torch_would(case: str) -> None:
    weights, optimizers = with_state_of_torch(case)
    group = optimizers[1].param_groups[0]
    assert (float(group["lr"]), group["l1"], group["method"]) == (pytest.approx(0.01), 0.125, "proximal")
    group["l1"] = 0.0
    steps(weights, optimizers, range(5, 10))
    torch.testing.assert_close(*weights, rtol=1e-10, atol=1e-12)
    expected = 5 if TAKEN[case][1] is ElasticNetSGD else 10  # torch's SGD counts no steps
    assert int(optimizers[1].state[weights[1]]["step"]) == expected


def test_a_velocity_of_torchs_sgd_keeps_its_lr_when_lr_changes() -> None:
    weights, optimizers = with_state_of_torch("momentum")
    for optimizer in optimizers:
        optimizer.param_groups[0].update(lr=0.02, weight_decay=0.0, l1=0.0)
    before = weights[0].detach().clone()
    buffer = optimizers[0].state[weights[0]]["momentum_buffer"].clone()
    steps(weights, optimizers, range(5, 6))
    g = noise((4, 3), 5)
    torch.testing.assert_close(weights[0].detach(), before - 0.02 * (0.9 * buffer + g))
    torch.testing.assert_close(weights[1].detach(), before - 0.01 * 0.9 * buffer - 0.02 * g)


def test_a_momentum_of_torchs_sgd_at_no_lr_is_refused() -> None:
    _, optimizers = with_state_of_torch("momentum")
    optimizers[0].param_groups[0]["lr"] = 0.0
    before = copy.deepcopy(optimizers[1].state_dict())
    with raises(
        ValueError, "momentum_buffer of parameter 0 cannot be taken over with the lr of param_groups[0]"
    ):
        optimizers[1].load_state_dict(optimizers[0].state_dict())
    assert str(optimizers[1].state_dict()) == str(before)


def test_a_velocity_of_ours_is_not_replaced() -> None:
    """States of before momentum_buffer was taken over may hold both."""
    weights, optimizers = with_state_of_torch("momentum")
    saved = optimizers[1].state_dict()
    velocity = saved["state"][0]["velocity"].clone()
    saved["state"][0]["momentum_buffer"] = torch.full((4, 3), 7.0)
    optimizers[1].load_state_dict(saved)
    state = optimizers[1].state[weights[1]]
    assert torch.equal(state["velocity"], velocity)
    assert "momentum_buffer" not in state


def test_weight_decay_may_be_set_after_a_state_without_it() -> None:
    ends = []
    for decay in (0.0, 0.1):
        weights, optimizers = with_state_of_torch("adam without decay")
        before = weights[1].detach().clone()
        optimizers[1].param_groups[0].update(weight_decay=decay, l1=0.0)
        steps(weights[1:], optimizers[1:], range(5, 6))
        ends.append(weights[1].detach())
    torch.testing.assert_close(ends[1] - ends[0], -0.01 * 0.1 * before)


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), Dropout(0.3), torch.nn.Linear(16, 1))


def train(model: Any, optimizer: Any, steps: range) -> None:
    for t in steps:
        x = noise((20, 6), t).float()
        optimizer.zero_grad()
        (model(x) - x[:, :1]).square().mean().backward()
        optimizer.step()


def state_of(model: Any, optimizer: Any) -> list[torch.Tensor]:
    states = [v for s in optimizer.state_dict()["state"].values() for v in s.values()]
    return [*model.state_dict().values(), *states]


@pytest.mark.parametrize("case", CASES)
def test_training_goes_on_from_a_state_dict_bit_for_bit(case: str) -> None:
    cls, settings, _ = CASES[case]
    settings = settings | {"l1": 1e-3}
    whole = network()
    optimizer = cls(whole.parameters(), **settings)
    train(whole, optimizer, range(20))

    part = network()
    first = cls(part.parameters(), **settings)
    train(part, first, range(9))
    saved = io.BytesIO()
    torch.save([part.state_dict(), first.state_dict()], saved)
    saved.seek(0)
    resumed = network(seed=1)
    second = cls(resumed.parameters(), lr=123.0)
    for target, state in zip((resumed, second), torch.load(saved), strict=True):
        target.load_state_dict(state)
    train(resumed, second, range(9, 20))

    ours, expected = state_of(resumed, second), state_of(whole, optimizer)
    assert len(ours) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))
    assert not torch.equal(part[0].weight, whole[0].weight)


def test_a_copied_optimizer_goes_on_bit_for_bit() -> None:
    model = network()
    optimizer = ElasticNetAdam(model.parameters(), l1=1e-3)
    train(model, optimizer, range(5))
    copied_model, copied = copy.deepcopy((model, optimizer))
    train(model, optimizer, range(5, 9))
    train(copied_model, copied, range(5, 9))
    pairs = zip(state_of(model, optimizer), state_of(copied_model, copied), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
