"""What the optimizers refuse, in whose name, and that nothing has changed then.

It must not test numbers: test_optimizers.py does. It is over 250 lines because it is a table of refusals.
"""

from __future__ import annotations

from typing import Any

import pytest

from binding_cases import raises

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import ElasticNetAdam, ElasticNetAdamW, ElasticNetSGD  # noqa: E402
from torch_cases import parameter  # noqa: E402

ALL = (ElasticNetSGD, ElasticNetAdam, ElasticNetAdamW)

SETTINGS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    *((cls, {"lr": -1.0}, ValueError, "lr must be a finite number of at least 0") for cls in ALL),
    *(
        (cls, {"lr": torch.tensor(-1.0)}, ValueError, "lr must be a finite number of at least 0")
        for cls in ALL
    ),
    *((cls, {"lr": "x"}, TypeError, "lr must be a number, not str") for cls in ALL),
    *(
        (
            cls,
            {"lr": torch.ones(2)},
            ValueError,
            "lr must be a number or a tensor that holds one, not a tensor",
        )
        for cls in ALL
    ),
    (ElasticNetAdam, {"betas": (0.9, torch.ones(2))}, ValueError, "betas[1] must be a number or a tensor"),
    *((cls, {"l1": -1.0}, ValueError, "l1 must be a finite number of at least 0") for cls in ALL),
    *((cls, {"l2": float("nan")}, ValueError, "l2 must be a finite number of at least 0") for cls in ALL),
    *((cls, {"weight_decay": -1.0}, ValueError, "weight_decay must be a finite number") for cls in ALL),
    *(
        (cls, {"method": "prox"}, ValueError, "method must be one of 'proximal', 'subgradient'")
        for cls in ALL
    ),
    *((cls, {"maximize": True}, TypeError, "unexpected keyword argument 'maximize'") for cls in ALL),
    (ElasticNetSGD, {"momentum": 1.0}, ValueError, "momentum must be a finite number in [0, 1)"),
    (ElasticNetSGD, {"nesterov": True}, ValueError, "nesterov needs a momentum above 0"),
    (ElasticNetAdam, {"betas": (0.9, 1.0)}, ValueError, "betas[1] must be a finite number in [0, 1)"),
    (ElasticNetAdam, {"betas": 0.9}, ValueError, "betas must be two numbers, not 0.9"),
    (ElasticNetAdam, {"eps": -1e-8}, ValueError, "eps must be a finite number of at least 0"),
    (ElasticNetAdam, {"amsgrad": "yes"}, TypeError, "amsgrad must be True or False"),
]


@pytest.mark.parametrize(("cls", "settings", "kind", "words"), SETTINGS)
def test_bad_settings(cls: Any, settings: dict[str, Any], kind: type[Exception], words: str) -> None:
    w = torch.nn.Parameter(torch.ones(2))
    with raises(kind, words):
        cls([w], **settings)
    if "maximize" in settings:
        return
    optimizer = cls([torch.nn.Parameter(torch.ones(2))])
    with raises(kind, words):
        optimizer.add_param_group({"params": [w], **settings})
    assert len(optimizer.param_groups) == 1
    optimizer.param_groups[0].update(settings)  # as a scheduler might
    before = optimizer.param_groups[0]["params"][0]
    before.grad = torch.ones(2)
    with raises(kind, words):
        optimizer.step()
    assert torch.equal(before, torch.ones(2))


def test_a_group_with_a_setting_in_capitals() -> None:
    w = torch.nn.Parameter(torch.ones(2))
    with raises(ValueError, "a parameter group has 'L1', which means nothing; use 'l1'"):
        ElasticNetSGD([{"params": [w], "L1": 0.5}])
    ElasticNetSGD([{"params": [w], "l1": 0.5, "Name": "mine"}])


def with_gradient(data: Any, gradient: Any = None) -> Any:
    w = torch.nn.Parameter(data)
    w.grad = torch.ones_like(data) if gradient is None else gradient
    return w


ONES = torch.ones(3, 4)
SECOND = "param_groups[0]['params'][1] (second)"
ARRAYS: dict[str, tuple[Any, type[Exception], tuple[str, ...]]] = {
    "half": (with_gradient(ONES.half()), TypeError, (f"the data of {SECOND} is torch.float16", "use .float()")),
    "bfloat16": (with_gradient(ONES.bfloat16()), TypeError, (f"{SECOND} is torch.bfloat16", "use .float()")),
    "complex": (
        with_gradient(ONES.to(torch.complex64)), TypeError, (f"{SECOND} is torch.complex64", "torch.view_as_real")
    ),
    "sparse gradient": (
        with_gradient(ONES, ONES.to_sparse()),
        TypeError,
        (
            f"the gradient of {SECOND} is sparse (torch.sparse_coo); make its torch.nn.Embedding with sparse=False, "
            "or set parameter.grad = parameter.grad.to_dense() before the step",
        ),
    ),
    "sparse": (
        with_gradient(ONES.to_sparse(), ONES.to_sparse()), TypeError, (f"the data of {SECOND} is sparse",)
    ),
    "meta": (with_gradient(ONES.to("meta")), ValueError, (f"the data of {SECOND} is on meta", "on the CPU")),
    "negated": (
        with_gradient(torch._neg_view(torch.ones(3, 4)), ONES),
        ValueError,
        (f"the data of {SECOND} is a lazy negation", "use parameter.data = parameter.data.resolve_neg()"),
    ),
    "gaps": (
        with_gradient(torch.ones(3, 8)[:, ::2], ONES),
        ValueError,
        (f"the data of {SECOND} is not contiguous", "use parameter.data = parameter.data.contiguous()"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_arrays_are_refused_before_anything_changes(case: str) -> None:
    bad, kind, words = ARRAYS[case]
    good = with_gradient(torch.ones(2))
    optimizer = ElasticNetAdam([good, bad], l1=0.1)
    optimizer.param_groups[0]["param_names"] = [
        "first",
        "second",
    ]  # as torch 2.6 and newer do for named_parameters()
    with raises(kind, *words):
        optimizer.step()
    assert torch.equal(good, torch.ones(2))
    assert not optimizer.state
    assert optimizer.penalty == 0.0


def test_parameters_without_names_are_called_by_their_place() -> None:
    w = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))
    w.grad = torch.ones_like(w)
    with raises(TypeError, "the data of param_groups[0]['params'][0] is torch.float16"):
        ElasticNetSGD([w]).step()


def test_a_parameter_that_overlaps_another_is_refused() -> None:
    memory = torch.ones(6)
    weights = [torch.nn.Parameter(memory[:4]), torch.nn.Parameter(memory[3:])]
    for w in weights:
        w.grad = torch.ones_like(w)
    first, second = (f"the data of param_groups[0]['params'][{i}]" for i in (0, 1))
    with raises(ValueError, f"{second} must not overlap {first} in memory"):
        ElasticNetSGD(weights).step()
    assert torch.equal(memory, torch.ones(6))


def test_a_gradient_of_any_strides_is_taken() -> None:
    weights = [torch.nn.Parameter(torch.zeros(3, 4)) for _ in range(2)]
    gradient = torch.arange(12.0).reshape(4, 3)
    weights[0].grad = gradient.t()
    weights[1].grad = gradient.t().contiguous()
    assert not weights[0].grad.is_contiguous()
    for w in weights:
        ElasticNetSGD([w], lr=0.5).step()
    assert torch.equal(*weights)
    assert torch.equal(weights[0], -0.5 * gradient.t())


@pytest.mark.parametrize("cls", ALL)
def test_a_gradient_that_is_not_in_its_memory_is_taken_as_it_is_shown(cls: Any) -> None:
    negated = torch.complex(torch.zeros(3), torch.arange(1.0, 4.0)).conj().imag
    assert negated.is_neg()
    for lazy in (negated, torch._neg_view(torch.ones(3)), torch._efficientzerotensor(3)):
        weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
        weights[0].grad, weights[1].grad = lazy, lazy.clone()
        for w in weights:
            cls([w], lr=0.5, l1=0.1).step()
        assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("ours", "theirs", "settings", "words"),
    [
        *(
            (
                cls,
                torch.optim.SGD if cls is ElasticNetSGD else torch.optim.Adam,
                {"maximize": True},
                "maximize must be",
            )
            for cls in ALL
        ),
        (ElasticNetSGD, torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5}, "dampening must be 0, not 0.5"),
        (
            ElasticNetAdam,
            torch.optim.AdamW,
            {"weight_decay": 0.1},
            "decoupled_weight_decay must be False, not True: use ElasticNetAdamW for this state",
        ),
        (
            ElasticNetAdamW,
            torch.optim.Adam,
            {"weight_decay": 0.1},
            "decoupled_weight_decay must be True, not False: use ElasticNetAdam for this state",
        ),
    ],
)
def test_a_state_of_torch_that_asks_for_other_steps_is_refused(
    ours: Any, theirs: Any, settings: dict[str, Any], words: str
) -> None:
    w = with_gradient(torch.ones(2))
    other = theirs([w], lr=0.1, **settings)
    if "weight_decay" in settings and "decoupled_weight_decay" not in other.param_groups[0]:
        pytest.skip("this PyTorch's states do not tell Adam and AdamW apart")
    other.step()
    optimizer = ours([w], lr=0.2, l1=0.5)
    before, value = optimizer.state_dict(), w.detach().clone()
    with raises(ValueError, words):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.state_dict() == before
    optimizer.param_groups[0].update(other.state_dict()["param_groups"][0] | {"params": [w]})
    with raises(ValueError, words):
        optimizer.step()
    assert torch.equal(w, value)
    fine = theirs([w], lr=0.1, weight_decay=0.0)
    fine.step()
    optimizer.load_state_dict(fine.state_dict())
    optimizer.step()


def test_a_gradient_with_a_graph_is_taken_as_numbers() -> None:
    w = torch.nn.Parameter(torch.full((3,), 2.0))
    (w.grad,) = torch.autograd.grad(w.square().sum(), w, create_graph=True)
    assert w.grad.requires_grad
    ElasticNetSGD([w], lr=0.25).step()
    assert torch.equal(w, torch.ones(3))
    w.grad = None  # breaks the cycle of a parameter and a graph that holds it


def test_counts_are_on_the_cpu_whatever_the_default_device() -> None:
    w = parameter(2, 3)
    w.grad = torch.ones_like(w)
    optimizer = ElasticNetAdam([w], lr=0.1)
    torch.set_default_device("meta")
    try:
        optimizer.step()
    finally:
        torch.set_default_device(None)
    assert int(optimizer.state[w]["step"]) == 1


def test_a_mode_of_fake_tensors_changes_no_weights() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    w = parameter(2, 3)
    w.grad = torch.ones_like(w)
    optimizer = ElasticNetAdam([w], lr=0.1)
    for _ in range(3):
        optimizer.step()
    before = w.detach().clone()
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises((ValueError, RuntimeError, TypeError)):
        optimizer.step()
    assert torch.equal(w, before)


def test_what_has_no_memory_of_its_own_is_named() -> None:
    w = torch.nn.Parameter(torch.ones(2, 3))
    w.grad = torch.ones_like(w)
    optimizer = ElasticNetAdam([w], lr=0.1)
    optimizer.step()
    w.data.untyped_storage().resize_(0)
    with raises(TypeError, "the data of param_groups[0]['params'][0], a Parameter, has no memory of its own"):
        optimizer.step()
