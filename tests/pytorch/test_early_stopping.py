"""fastreg.EarlyStoppingMonitor keeps torch's state_dicts as it keeps any state.

It must not test when to stop: tests/api does.
"""

from __future__ import annotations

import io
from typing import Any

import pytest

from fastreg import EarlyStoppingMonitor

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import Dropout, ElasticNetAdam  # noqa: E402

VALUES = [1.0, 0.5, 0.7, 0.6]  # the best is the second


def run() -> tuple[Any, EarlyStoppingMonitor, list[dict[str, Any]]]:
    """Four epochs of training; the model, the monitor, and copies of every epoch's state."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), Dropout(0.5, seed=1), torch.nn.Linear(4, 1))
    optimizer = ElasticNetAdam(model.parameters(), lr=0.1, l1=0.01)
    monitor, states = EarlyStoppingMonitor(patience=2), []
    for value in VALUES:
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        if monitor.step(value, model.state_dict()):
            break
    return model, monitor, states


def test_the_best_state_is_a_copy_and_is_restored() -> None:
    model, monitor, states = run()
    assert (len(states), monitor.best_epoch, monitor.stopped_reason) == (4, 1, "patience")
    assert not torch.equal(model[0].weight, states[1]["0.weight"])
    model.load_state_dict(monitor.best_state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, states[1][name])
    assert int(model[1].step) == 2  # the masks go on where the best state stood


def test_a_monitor_with_tensors_can_be_saved() -> None:
    _, monitor, states = run()
    saved = io.BytesIO()
    torch.save(monitor.state_dict(), saved)
    saved.seek(0)
    resumed = EarlyStoppingMonitor(patience=2)
    resumed.load_state_dict(torch.load(saved))
    assert (resumed.best, resumed.best_epoch, resumed.wait) == (0.5, 1, 2)
    assert torch.equal(resumed.best_state["0.weight"], states[1]["0.weight"])
