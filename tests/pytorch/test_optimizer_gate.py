"""A step that is refused has changed nothing, whichever part of it is wrong; and any memory without gaps is taken.

It must not test settings or single arrays: test_optimizer_input.py does. It is over 250 lines because it is a table of
everything that can be wrong with a state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from binding_cases import raises

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import ElasticNetAdam, ElasticNetSGD  # noqa: E402
from torch_cases import CASES, noise, parameter  # noqa: E402

SECOND = "param_groups[1]['params'][0] (b)"


def pair(dtype: Any = torch.float64, steps: int = 1, **second: Any) -> tuple[Any, Any, Any]:
    """Two parameters in groups of their own, with gradients, and an optimizer that has taken steps."""
    a, b = parameter(2, 3, seed=1, dtype=torch.float32), parameter(3, 4, seed=2, dtype=dtype)
    groups = [{"params": [a], "param_names": ["a"]}, {"params": [b], "param_names": ["b"], **second}]
    optimizer = ElasticNetAdam(groups, lr=0.1, l1=0.01)
    for p in (a, b):
        p.grad = torch.ones_like(p)
    for _ in range(steps):
        optimizer.step()
    return a, b, optimizer


def picture(optimizer: Any) -> Any:
    """All that a step changes."""
    weights = [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]
    return copy.deepcopy((weights, optimizer.state_dict()["state"], optimizer.penalty))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        alike = a.layout == b.layout and a.dtype == b.dtype and a.shape == b.shape
        return alike and (a.is_meta or torch.equal(a.to_dense(), b.to_dense()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and same(list(a.values()), list(b.values()))
    return a == b or (a != a and b != b)


def refused(optimizer: Any, kind: type[Exception], *words: str) -> None:
    before = picture(optimizer)
    with raises(kind, *words):
        optimizer.step()
    assert same(picture(optimizer), before)


def misaligned(shape: tuple[int, ...], dtype: Any) -> Any:
    size = torch.tensor([], dtype=dtype).element_size()
    n = torch.Size(shape).numel()
    return torch.frombuffer(bytearray(size * n + 1), dtype=dtype, offset=1).view(shape)


# What stands in the state of the second parameter b, and what is said.
BAD_SLOTS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "shape": (lambda b: torch.zeros(4, 3).to(b), ValueError, "of shape (4, 3) on cpu, but its parameter is"),
    "axes": (lambda b: torch.zeros(12).to(b), ValueError, "of shape (12,) on cpu, but its parameter is"),
    "dtype": (
        lambda b: torch.zeros_like(b, dtype=torch.float32 if b.dtype == torch.float64 else torch.float64),
        ValueError,
        "of shape (3, 4) on cpu, but its parameter is",
    ),
    "half": (lambda b: torch.zeros_like(b, dtype=torch.bfloat16), TypeError, "is torch.bfloat16"),
    "meta": (lambda b: torch.zeros_like(b, device="meta"), ValueError, "is on meta"),
    "sparse": (lambda b: torch.zeros_like(b).to_sparse(), TypeError, "is sparse"),
    "no tensor": (lambda b: [0.0] * 12, TypeError, "must be a tensor, not list"),
    "strides": (
        lambda b: torch.zeros(4, 3).to(b).t(),
        ValueError,
        "has strides (1, 3), but its parameter (4, 1); use optimizer.load_state_dict(optimizer.state_dict())",
    ),
    "misaligned": (lambda b: misaligned((3, 4), b.dtype), ValueError, "is not aligned to its elements of"),
    "data": (lambda b: b.detach(), ValueError, "must not overlap"),
}
KINDS = {
    "two calls by dtype": {"dtype": torch.float64},
    "two calls by lr": {"dtype": torch.float32, "lr": 0.01},
    "one call": {"dtype": torch.float32},
}


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", BAD_SLOTS)
def test_a_slot_that_does_not_fit_is_refused_before_anything_changes(
    case: str, kind: str, steps: int
) -> None:
    make, error, words = BAD_SLOTS[case]
    _, b, optimizer = pair(steps=steps, **KINDS[kind])
    optimizer.state[b]["exp_avg_sq"] = make(b)
    refused(optimizer, error, f"exp_avg_sq of {SECOND}", *([words] if case != "data" else []))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", ["x", None, float("nan"), float("inf"), -1, 2.0**63, torch.ones(2)], ids=str)
def test_a_count_that_is_none_is_refused_before_anything_changes(step: Any, kind: str) -> None:
    _, b, optimizer = pair(**KINDS[kind])
    optimizer.state[b]["step"] = step
    refused(optimizer, ValueError, f"step of {SECOND} must be an integer in [0, 2**63 - 1), not")


def share_data(a: Any, b: Any, state: Any) -> None:
    memory = torch.arange(20.0)
    a.data, b.data = memory[:6].view(2, 3), memory[5:17].view(3, 4)


def share_data_and_gradient(a: Any, b: Any, state: Any) -> None:
    memory = torch.arange(20.0)
    a.data, b.grad = memory[4:10].view(2, 3), memory[:12].view(3, 4)


def share_slots(a: Any, b: Any, state: Any) -> None:
    memory = torch.arange(20.0)
    state[a]["exp_avg"], state[b]["exp_avg_sq"] = memory[:6].view(2, 3), memory[:12].view(3, 4)


OVERLAPS: dict[Any, tuple[str, ...]] = {
    share_data: (
        f"the data of {SECOND} must not overlap the data of param_groups[0]['params'][0] (a) in memory",
    ),
    share_data_and_gradient: (f"the gradient of {SECOND} must not overlap the data of", "(a) in memory"),
    share_slots: (" must not overlap ", " in memory"),
}


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("kind", ["two calls by lr", "one call"])
@pytest.mark.parametrize("share", OVERLAPS)
def test_memory_that_overlaps_is_refused_before_anything_changes(share: Any, kind: str, steps: int) -> None:
    a, b, optimizer = pair(steps=steps, **KINDS[kind])
    share(a, b, optimizer.state)
    refused(optimizer, ValueError, *OVERLAPS[share])


def test_gradients_may_overlap_each_other() -> None:
    a, b, optimizer = pair(dtype=torch.float32, lr=0.01)
    for _ in range(2):
        memory = torch.arange(20.0)
        a.grad, b.grad = memory[:6].view(2, 3), memory[3:15].view(3, 4)
        optimizer.step()
    assert int(optimizer.state[b]["step"]) == 3


def test_what_is_moved_between_steps_is_checked_again() -> None:
    a, b, optimizer = pair(dtype=torch.float32, steps=3, lr=0.01)
    for p in (a, b):
        p.grad = p.detach().clone()
    optimizer.step()
    square = torch.nn.Parameter(torch.eye(3))
    square.grad = torch.ones(3, 3)
    optimizer.add_param_group({"params": [square], "lr": 0.5, "param_names": ["c"]})
    optimizer.step()
    square.data = square.data.t()  # the same memory and shape
    refused(optimizer, ValueError, "exp_avg of param_groups[2]['params'][0] (c) has strides (3, 1)")
    square.data = torch.eye(3)
    optimizer.step()
    a.grad = optimizer.state[b]["exp_avg"].view(12)[:6].view(2, 3)
    refused(
        optimizer, ValueError, "the gradient of param_groups[0]['params'][0] (a) must not overlap exp_avg of"
    )
    a.grad = torch.ones(2, 3)
    optimizer.step()
    optimizer.state[a]["exp_avg"].data = b.detach().view(12)[:6].view(2, 3)
    refused(optimizer, ValueError, " must not overlap ")
    optimizer.state[a]["exp_avg"].data = torch.zeros(2, 3)
    optimizer.step()
    optimizer.state[b]["exp_avg"] = optimizer.state[b]["exp_avg"].view(12)  # at the same address
    refused(optimizer, ValueError, f"exp_avg of {SECOND} is torch.float32 of shape (12,)")


def test_a_refusal_leaves_no_state_behind() -> None:
    good, bad = parameter(3), parameter(3)
    bad.data = torch.ones(3, 2)[:, 0]
    for w in (good, bad):
        w.grad = torch.ones_like(w)
    for cls, settings, _ in CASES.values():
        optimizer = cls([good, bad], **settings)
        refused(optimizer, ValueError, "the data of param_groups[0]['params'][1] is", "contiguous")
        assert not optimizer.state


def test_empty_parameters_are_apart_from_all() -> None:
    memory = torch.ones(8)
    weights = [torch.nn.Parameter(m) for m in (memory[:4], memory[2:2], memory[4:])]
    for w in weights:
        w.grad = torch.ones_like(w)
    optimizer = ElasticNetSGD([{"params": w, "lr": 0.25 * (k + 1)} for k, w in enumerate(weights)])
    optimizer.step()
    assert memory.tolist() == [0.75] * 4 + [0.25] * 4
    weights[2].data = memory[3:7]
    refused(optimizer, ValueError, "must not overlap the data of param_groups[0]['params'][0] in memory")


# ---- the order of memory ------------------------------------------------------------------------------------------
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda t: t.transpose(0, 1).contiguous().transpose(0, 1),
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "permuted": lambda t: t.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_order_of_axes_in_memory_has_the_same_steps(layout: str, case: str) -> None:
    cls, settings, _ = CASES[case]
    plain = parameter(4, 3, 5, 2)
    other = torch.nn.Parameter(LAYOUTS[layout](plain.detach()))
    assert other.stride() != plain.stride()
    address, strides = other.data_ptr(), other.stride()
    optimizers = [cls([w], l1=0.05, l2=0.01, **settings) for w in (plain, other)]
    for t in range(6):
        plain.grad = plain.detach() + noise(plain.shape, t)
        other.grad = plain.grad if t % 2 else LAYOUTS[layout](plain.grad)
        for optimizer in optimizers:
            optimizer.step()
        assert optimizers[0].penalty == pytest.approx(optimizers[1].penalty, rel=1e-12)
    assert torch.equal(plain, other)
    assert (other.data_ptr(), other.stride()) == (address, strides)
    for name, slot in optimizers[1].state[other].items():
        assert torch.equal(slot, optimizers[0].state[plain][name])
        assert name == "step" or slot.stride() == strides


def test_a_state_is_laid_out_as_the_parameter_that_loads_it() -> None:
    plain = parameter(4, 3, 5, 2)
    other = torch.nn.Parameter(LAYOUTS["channels_last"](plain.detach()))
    weights = (plain, other)
    optimizers = [ElasticNetAdam([w], l1=0.05) for w in weights]
    for t, (source, target) in enumerate(((0, 1), (1, 0))):
        plain.grad = other.grad = noise(plain.shape, t)
        optimizers[source].step()
        optimizers[target].load_state_dict(copy.deepcopy(optimizers[source].state_dict()))
        weights[target].data.copy_(weights[source].data)
        assert optimizers[target].state[weights[target]]["exp_avg"].stride() == weights[target].stride()
    for optimizer in optimizers:
        optimizer.step()
    assert torch.equal(plain, other)


def test_gaps_and_repeated_memory_are_refused() -> None:
    for data in (
        torch.ones(3, 8)[:, ::2],
        torch.ones(3, 1).expand(3, 4),
        torch.ones(9).as_strided((3, 4), (2, 1)),
    ):
        w = torch.nn.Parameter(data)
        w.grad = torch.ones(3, 4)
        refused(
            ElasticNetSGD([w]),
            ValueError,
            "is not contiguous in any order of its axes",
            "use parameter.data = parameter.data.contiguous()",
        )
