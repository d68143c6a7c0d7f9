"""State dicts of the optimizers: training goes on from one bit for bit, and torch's Adam's fits.

It must not test the steps themselves: test_optimizers.py does.
"""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import Dropout, ElasticNetAdam  # noqa: E402
from torch_cases import CASES, noise, parameter  # noqa: E402


def test_a_state_of_torchs_adam_is_taken_over() -> None:
    weights = [parameter(4, 3), parameter(4, 3)]
    theirs = torch.optim.Adam([weights[0]], lr=0.01, eps=0.0)
    ours = ElasticNetAdam([weights[1]], lr=0.5, l1=0.125, l2=0.0)
    for t in range(5):
        weights[0].grad = noise((4, 3), t)
        theirs.step()
    weights[1].data.copy_(weights[0].data)
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    group = ours.param_groups[0]
    assert (group["lr"], group["eps"], group["l1"], group["method"]) == (0.01, 0.0, 0.125, "proximal")
    group["l1"] = 0.0
    for t in range(5, 10):
        for w, optimizer in zip(weights, (theirs, ours), strict=True):
            w.grad = noise((4, 3), t)
            optimizer.step()
    torch.testing.assert_close(*weights, rtol=1e-10, atol=1e-12)


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
