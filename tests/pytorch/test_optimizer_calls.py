"""A step that takes over the calls of the last one does what one does that makes them anew, whatever changed between.

It must not test what a step computes: test_optimizers.py does.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from binding_cases import raises

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import ElasticNetAdam  # noqa: E402
from torch_cases import CASES, noise, parameter  # noqa: E402


class Pair:
    """Two optimizers of equal parameters. The first is as it is, the second forgets its calls after every step."""

    def __init__(self, case: str, groups: int) -> None:
        cls, settings, _ = CASES[case]
        self.optimizers = []
        for _ in range(2):
            weights = [parameter(3, 4, seed=k) for k in range(4)]
            shared = [{"params": weights[k::groups], "l1": 0.01 * k} for k in range(groups)]
            self.optimizers.append(cls(shared, l2=0.01, **settings))

    def weights(self, optimizer: Any) -> list[Any]:
        return [weight for group in optimizer.param_groups for weight in group["params"]]

    def step(self, t: int, anew: bool) -> bool:
        """A step of both; whether the first took its calls over."""
        for optimizer in self.optimizers:
            for k, weight in enumerate(self.weights(optimizer)):
                gradient = weight.detach() + noise(weight.shape, t, seed=k)
                if anew or weight.grad is None:
                    weight.grad = gradient
                else:
                    weight.grad.copy_(gradient)
        ours, theirs = self.optimizers
        before = ours._kept[1]
        for optimizer in self.optimizers:
            optimizer.step()
        theirs._kept = (None, [])
        assert ours.penalty == theirs.penalty
        for ours_w, theirs_w in zip(self.weights(ours), self.weights(theirs), strict=True):
            assert torch.equal(ours_w, theirs_w)
            for name, value in ours.state[ours_w].items():
                assert torch.equal(value, theirs.state[theirs_w][name])
        return before != [] and before is ours._kept[1]


def of_all(change: Callable[[Any, Any], Any]) -> Callable[[Pair], None]:
    """`change` of every optimizer and its first weight."""

    def changed(pair: Pair) -> None:
        for optimizer in pair.optimizers:
            change(optimizer, pair.weights(optimizer)[0])

    return changed


def other_data(_: Any, weight: Any) -> None:
    weight.data = weight.data.clone()


def other_layout(optimizer: Any, weight: Any) -> None:
    weight.data = weight.data.t().contiguous().t()
    optimizer.load_state_dict(optimizer.state_dict())


def other_shape_of_the_same_memory(optimizer: Any, weight: Any) -> None:
    weight.grad = None
    weight.data = weight.data.view(2, 6)
    for name, value in optimizer.state[weight].items():
        if name != "step":
            optimizer.state[weight][name] = value.view(2, 6)


def fewer_rows(optimizer: Any, weight: Any) -> None:
    weight.grad = None
    weight.data = weight.data[:2]
    for name, value in optimizer.state[weight].items():
        if name != "step":
            optimizer.state[weight][name] = value[:2]


def slots_under_each_others_names(optimizer: Any, weight: Any) -> None:
    state = optimizer.state[weight]
    names = {"exp_avg": "exp_avg_sq", "exp_avg_sq": "exp_avg"}
    for value in state.values():
        value.abs_()  # v is not negative
    optimizer.state[weight] = {names.get(name, name): value for name, value in state.items()}


def another_parameter(optimizer: Any, weight: Any) -> None:
    group = optimizer.param_groups[0]
    group["params"] = [torch.nn.Parameter(weight.detach()), *group["params"][1:]]


# What may happen between two steps, and whether the second may go on with the calls of the first.
CHANGES: dict[str, tuple[Callable[[Any, Any], Any], bool]] = {
    "nothing": (lambda o, w: None, True),
    "the numbers": (lambda o, w: w.data.mul_(0.5), True),
    "lr": (lambda o, w: [group.update(lr=0.03) for group in o.param_groups], True),
    "lr of a group": (lambda o, w: o.param_groups[-1].update(lr=0.03), False),
    "a penalty": (lambda o, w: o.param_groups[0].update(l1=0.3), False),
    "the method": (lambda o, w: o.param_groups[0].update(method="subgradient"), False),
    "the count": (lambda o, w: [o.state[v]["step"].fill_(7) for g in o.param_groups for v in g["params"]], False),
    "a count": (lambda o, w: o.state[w]["step"].fill_(7), False),
    "the state": (lambda o, w: o.load_state_dict(copy.deepcopy(o.state_dict())), False),
    "no state": (lambda o, w: o.state.pop(w), False),
    "data": (other_data, False),
    "layout": (other_layout, False),
    "shape": (other_shape_of_the_same_memory, False),
    "rows": (fewer_rows, False),
    "names": (slots_under_each_others_names, False),
    "the parameter": (another_parameter, False),
    "one more": (lambda o, w: o.add_param_group({"params": [parameter(3, 4, seed=9)]}), False),
    "a frozen one": (lambda o, w: o.param_groups[0]["params"].remove(w), False),
    "gradients not contiguous": (lambda o, w: setattr(w, "grad", torch.zeros(4, 3).double().t()), True),
}  # fmt: skip


@pytest.mark.parametrize("anew", [False, True], ids=["gradients in place", "gradients anew"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("case", ["sgd", "momentum", "amsgrad", "adamw"])
@pytest.mark.parametrize("change", CHANGES)
def test_calls_are_taken_over_only_where_they_fit(change: str, case: str, groups: int, anew: bool) -> None:
    pair, (make, may_go_on) = Pair(case, groups), CHANGES[change]
    assert [pair.step(t, anew) for t in range(4)] == [False, False, True, True]
    of_all(make)(pair)
    one_group = groups == 1 and change == "lr of a group"
    no_such_names = case in ("sgd", "momentum") and change == "names"
    assert pair.step(4, anew) is (may_go_on or one_group or no_such_names)
    assert [pair.step(t, anew) for t in range(5, 8)][-1]


def after_four_steps() -> tuple[Any, Any]:
    weight = parameter(3, 4)
    optimizer = ElasticNetAdam([weight], l1=0.1)
    for _ in range(4):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    return weight, optimizer


def test_gradients_are_not_kept() -> None:
    weight, optimizer = after_four_steps()
    gone = weakref.ref(weight.grad)
    optimizer.zero_grad()
    assert gone() is None


def test_a_bad_gradient_is_refused_when_calls_are_taken_over() -> None:
    weight, optimizer = after_four_steps()
    before = weight.detach().clone()
    weight.grad = torch.ones(3, 4).double().to_sparse()
    with raises(TypeError, "the gradient of param_groups[0]['params'][0] is sparse"):
        optimizer.step()
    weight.grad = weight.detach()
    with raises(ValueError, "must not overlap the data of param_groups[0]['params'][0] in memory"):
        optimizer.step()
    assert torch.equal(weight, before)
    assert int(optimizer.state[weight]["step"]) == 4
