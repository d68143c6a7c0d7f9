"""Dropout in torch: the bits of fastreg.ops, one mask in both directions, nothing stored, and all of torch's machinery.

It must not test the mask's statistics in full: tests/ops does. It is over 250 lines because it is a table of every
refusal.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from binding_cases import raises
from fastreg import ops

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from torch.utils.checkpoint import checkpoint  # noqa: E402

from fastreg.torch import Dropout, Linear, dropout  # noqa: E402

DTYPES = (torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (67,), (5, 13), (3, 0, 2), (2, 3, 4, 5)])
def test_the_bits_are_those_of_fastreg_ops(shape: tuple[int, ...], dtype: Any) -> None:
    x = torch.randn(shape, dtype=dtype)
    for seed, step, stream in ((0, 0, 0), (2**64 - 1, 2**32 - 1, 2**32 - 1), (2**63, 5, 1)):
        expected = ops.dropout(x.numpy(), 0.3, seed, step, stream)
        assert np.array_equal(dropout(x, 0.3, seed, step, stream).numpy(), expected)


def test_only_the_place_in_c_order_counts() -> None:
    x = torch.randn(7, 5)
    y = dropout(x, 0.5, 1, 0)
    strided = torch.empty(5, 14)[:, ::2].t().copy_(x)
    assert not strided.is_contiguous()
    assert torch.equal(dropout(strided, 0.5, 1, 0), y)


def test_seed_and_step_may_be_tensors() -> None:
    x = torch.randn(100)
    expected = dropout(x, 0.5, 2**64 - 2, 9)
    assert torch.equal(dropout(x, 0.5, torch.tensor(-2), torch.tensor(9)), expected)
    assert torch.equal(dropout(x, 0.5, 2**64 - 2, torch.tensor(9)), expected)
    assert torch.equal(dropout(x, 0.5, torch.tensor(-2), 9), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.uint32, torch.int64])
def test_seed_and_step_may_be_tensors_of_any_integers(dtype: Any) -> None:
    x = torch.randn(100)
    at = torch.tensor(7, dtype=dtype), torch.tensor(9, dtype=dtype)
    assert torch.equal(dropout(x, 0.5, *at), dropout(x, 0.5, 7, 9))


def test_a_pass_that_is_refused_is_not_counted() -> None:
    module, x = Dropout(0.5, seed=1), torch.randn(50)
    for bad in (torch.arange(3), torch.eye(3).to_sparse(), None):
        with pytest.raises(TypeError, match="x "):
            module(bad)
    assert int(module.step) == 0
    assert torch.equal(module(x), dropout(x, 0.5, seed=1, step=0))
    assert int(module.step) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_has_the_same_mask(dtype: Any) -> None:
    x = torch.ones(40, 30, dtype=dtype, requires_grad=True)
    module = Dropout(0.4, seed=3)
    for _ in range(3):
        x.grad = None
        y = module(x)
        y.sum().backward()  # its gradient is an expanded 1: strides of 0
        assert 0 < (y == 0).sum() < y.numel()
        assert torch.equal(x.grad, y)


def test_no_mask_is_stored() -> None:
    saved: list[int] = []

    def pack(tensor: Any) -> Any:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        Dropout(0.5, seed=1)(torch.ones(1000, requires_grad=True))
    assert sum(saved) <= 2  # at most an address


def test_a_module_counts_its_training_passes_only() -> None:
    module, x = Dropout(0.5, seed=1, stream=4), torch.randn(50, 4)
    for step in range(3):
        assert torch.equal(module(x), dropout(x, 0.5, seed=1, step=step, stream=4))
    module.eval()
    assert module(x) is x
    assert int(module.step) == 3
    module.train()
    assert torch.equal(module(x), dropout(x, 0.5, seed=1, step=3, stream=4))


def test_a_state_dict_goes_on_with_the_same_masks() -> None:
    module, x = Dropout(0.5), torch.ones(300)
    module(x)
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    saved.seek(0)
    resumed = Dropout(0.5, seed=99)
    resumed.load_state_dict(torch.load(saved))
    for _ in range(3):
        assert torch.equal(resumed(x), module(x))


def test_a_state_of_torchs_dropout_is_taken_and_the_counters_stay() -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5))
    ours = torch.nn.Sequential(torch.nn.Linear(3, 4), Dropout(0.5, seed=7))
    ours(torch.ones(2, 3))
    result = ours.load_state_dict(theirs.state_dict())
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert torch.equal(ours[0].weight, theirs[0].weight)
    assert (int(ours[1].seed), int(ours[1].step)) == (7, 1)
    Dropout(0.5).load_state_dict({})


@pytest.mark.parametrize("lost", ["seed", "step"])
def test_a_state_with_half_of_the_counters_is_refused(lost: str) -> None:
    state = torch.nn.Sequential(Dropout(0.5, seed=7)).state_dict()
    del state[f"0.{lost}"]
    with raises(RuntimeError, f'Missing key(s) in state_dict: "0.{lost}"'):
        torch.nn.Sequential(Dropout(0.5)).load_state_dict(state)


def test_torchs_seed_fixes_the_seed() -> None:
    def masks(seed: int) -> Any:
        torch.manual_seed(seed)
        return Dropout(0.5)(torch.ones(300))

    assert torch.equal(masks(1), masks(1))
    assert not torch.equal(masks(1), masks(2))
    two = Dropout(0.5), Dropout(0.5)
    assert not torch.equal(two[0](torch.ones(300)), two[1](torch.ones(300)))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_p(p: float) -> None:
    n = 100_000
    dropped = (dropout(torch.ones(n), p, seed=5, step=0) == 0).sum().item()
    assert abs(dropped - n * p) < 5 * (n * p * (1 - p)) ** 0.5


def test_p_of_zero_and_one() -> None:
    x = torch.randn(20)
    assert dropout(x, 0.0, 1, 0) is x
    assert dropout(x, 0.5, 1, 0, training=False) is x
    assert torch.equal(dropout(x, 1.0, 1, 0), torch.zeros(20))


def test_gradients_of_both_orders() -> None:
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: dropout(x, 0.4, 3, 1), (x,))
    assert torch.autograd.gradgradcheck(lambda x: dropout(x, 0.4, 3, 1), (x,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 5), (0, 3)])
def test_the_operator_passes_torchs_own_check(shape: tuple[int, ...], dtype: Any) -> None:
    address = torch.tensor([-3, 5])
    for x in (torch.randn(shape, dtype=dtype), torch.randn(*shape[::-1], dtype=dtype).t()):
        x.requires_grad_()
        results = torch.library.opcheck(torch.ops.fastreg.dropout.default, (x, 0.5, address, 2))
        assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_has_one_graph_and_the_same_bits(backend: str) -> None:
    torch._dynamo.reset()

    def model() -> Any:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 8), Dropout(0.5, seed=7), torch.nn.Linear(8, 1))

    plain, compiled = model(), model()
    run = torch.compile(compiled, backend=backend, fullgraph=True)
    for _ in range(3):
        x = torch.randn(10, 4)
        expected, got = plain(x), run(x)
        assert torch.equal(got, expected)
        for module, y in ((plain, expected), (compiled, got)):
            module.zero_grad()
            y.sum().backward()
        for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
    assert int(compiled[1].step) == 3


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: dropout(np.ones(3), 0.5, 1, 0), TypeError, "x must be a tensor, not ndarray"),
    (lambda: dropout(torch.ones(3), 1.5, 1, 0), ValueError, "p must be a finite number in [0, 1], not 1.5"),
    (
        lambda: dropout(torch.ones(3), float("nan"), 1, 0),
        ValueError,
        "p must be a finite number in [0, 1], not nan",
    ),
    (
        lambda: dropout(torch.ones(3).half(), 0.5, 1, 0),
        TypeError,
        "x is torch.float16; fastreg takes float32 and",
    ),
    (lambda: dropout(torch.ones(3).bfloat16(), 0.5, 1, 0), TypeError, "x is torch.bfloat16"),
    (lambda: dropout(torch.ones(3, dtype=torch.int64), 0.5, 1, 0), TypeError, "x is torch.int64"),
    (lambda: dropout(torch.ones(3).to(torch.complex64), 0.5, 1, 0), TypeError, "use torch.view_as_real"),
    (lambda: dropout(torch.eye(3).to_sparse(), 0.5, 1, 0), TypeError, "x is sparse"),
    (lambda: dropout(torch.ones(3), 0.5, -1, 0), ValueError, "seed must be at least 0, not -1"),
    (lambda: dropout(torch.ones(3), 0.5, 2**64, 0), ValueError, "seed must be at most 18446744073709551615"),
    (lambda: dropout(torch.ones(3), 0.5, 1, -1), ValueError, "step must be at least 0, not -1"),
    (lambda: dropout(torch.ones(3), 0.5, 1, 2**32), ValueError, "step must be at most 4294967295"),
    (lambda: dropout(torch.ones(3), 0.5, 1, torch.tensor(2**32)), ValueError, "step must be in [0, 2**32)"),
    (
        lambda: dropout(torch.ones(3), 0.5, 1, 0, stream=2**32),
        ValueError,
        "stream must be at most 4294967295",
    ),
    (lambda: dropout(torch.ones(3), "a", 1, 0), TypeError, "p must be a number, not str: 'a'"),
    (lambda: dropout(torch.ones(3), 0.5, "a", 0), TypeError, "seed must be an integer, not str: 'a'"),
    (lambda: dropout(torch.ones(3), 0.5, 1.9, 0), TypeError, "seed must be an integer, not float: 1.9"),
    (lambda: dropout(torch.ones(3), 0.5, 1, 2.9), TypeError, "step must be an integer, not float: 2.9"),
    (lambda: dropout(torch.ones(3), 0.5, True, 0), TypeError, "seed must be an integer, not bool"),
    (lambda: dropout(torch.ones(3), 0.5, 1, 0, "a"), TypeError, "stream must be an integer, not str: 'a'"),
    (
        lambda: dropout(torch.ones(3), 0.5, torch.tensor(1.0), 0),
        TypeError,
        "seed must be an integer or an integer tensor of no axes, not torch.float32 of shape ()",
    ),
    (
        lambda: dropout(torch.ones(3), 0.5, 1, torch.tensor(True)),
        TypeError,
        "step must be an integer or an integer tensor of no axes, not torch.bool",
    ),
    (
        lambda: dropout(torch.ones(3), 0.5, 1, torch.tensor([1])),
        TypeError,
        "step must be an integer or an integer tensor of no axes, not torch.int64 of shape (1,)",
    ),
    (lambda: Dropout(-0.1), ValueError, "p must be a finite number in [0, 1], not -0.1"),
    (lambda: Dropout("x"), TypeError, "p must be a number"),
    (lambda: Dropout(0.5, seed=-1), ValueError, "seed must be at least 0, not -1"),
    (lambda: Dropout(0.5, seed=1.5), TypeError, "seed must be an integer"),
    (lambda: Dropout(0.5, stream=-1), ValueError, "stream must be at least 0"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_input(case: int) -> None:
    call, kind, words = BAD[case]
    with raises(kind, words):
        call()


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("make", [lambda: Dropout(0.5, seed=1), lambda: Linear(8, 8, p=0.5, seed=1)])
def test_a_repeated_pass_is_refused(make: Any, use_reentrant: bool) -> None:
    """It would take another mask than the one it repeats; the function does not."""
    layer, x = make(), torch.ones(4, 8, requires_grad=True)
    y = checkpoint(lambda z: layer(z.sin()).cos(), x, use_reentrant=use_reentrant)
    with raises(
        RuntimeError, "this pass is run within a backward pass, as torch.utils.checkpoint repeats one"
    ):
        y.sum().backward()

    def pass_of(z: Any) -> Any:
        return dropout(z.sin(), 0.5, 1, 7).cos()

    gradients = []
    for f in (pass_of, lambda z: checkpoint(pass_of, z, use_reentrant=use_reentrant)):
        x = torch.ones(4, 8, requires_grad=True)
        f(x).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


def test_it_is_a_dropout_of_torch() -> None:
    """For Monte Carlo dropout, among others: `if isinstance(module, torch.nn.Dropout): module.train()`."""
    layer = Dropout(0.5, seed=1)
    assert isinstance(layer, torch.nn.Dropout)
    assert Dropout(0.5, inplace=False).inplace is False
    with raises(ValueError, "inplace must be False"):
        Dropout(0.5, inplace=True)


@pytest.mark.parametrize("module", [Dropout, Linear])
def test_counters_outlive_to_empty(module: Any) -> None:
    """Which leaves all else undefined."""
    arguments = {"p": 0.5, "seed": 2**64 - 7} | (
        {} if module is Dropout else {"in_features": 3, "out_features": 4}
    )
    made = torch.nn.utils.skip_init(module, **arguments) if module is Linear else module(**arguments)
    made.step += 3
    for layer in (made, made.to_empty(device="cpu"), torch.nn.Sequential(made).to_empty(device="cpu")[0]):
        assert (int(layer.seed), int(layer.step)) == (-7, 3)
    assert made.share_memory().seed.is_shared()


def test_a_layer_made_without_dropout_has_no_seed() -> None:
    layer = Linear(3, 4)
    layer.p = 0.5
    with raises(RuntimeError, "p was 0 when this module was made, so it has no seed"):
        layer(torch.zeros(2, 3))
    assert layer.eval()(torch.zeros(2, 3)).shape == (2, 4)
