"""Linear in torch: the values and gradients of torch's own operations, no copy of the weights, interchangeable states.

It must not test the kernels' bits: tests/ops does. It is over 250 lines because it is a table of every refusal.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

from binding_cases import raises
from fastreg import _core, ops

torch = pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")

from fastreg.torch import Linear, _ways, dropout, linear  # noqa: E402

F = torch.nn.functional
ACTIVATIONS: dict[str, Any] = {
    "linear": lambda z: z,
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.2),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
}
ADDRESS: dict[str, int] = {"seed": 2**64 - 5, "step": 3, "stream": 2}


def leaves(*shapes: tuple[int, ...], dtype: Any = torch.float64) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, dtype=dtype, generator=generator).requires_grad_() for s in shapes]


@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_gradients_are_those_of_torch(activation: str, p: float) -> None:
    x, w, b = leaves((9, 5), (4, 5), (4,))
    y = linear(x, w, b, activation, p=p, **ADDRESS)
    expected = dropout(ACTIVATIONS[activation](F.linear(x, w, b)), p, **ADDRESS)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    dy = torch.randn(y.shape, dtype=y.dtype)
    for got, wanted in zip(
        torch.autograd.grad(y, (x, w, b), dy), torch.autograd.grad(expected, (x, w, b), dy), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_finite_differences(activation: str, p: float) -> None:
    x, w, b = leaves((3, 4), (2, 4), (2,))
    assert torch.autograd.gradcheck(lambda *t: linear(*t, activation, p=p, **ADDRESS), (x, w, b))
    assert torch.autograd.gradcheck(lambda *t: linear(*t, None, activation, p=p, **ADDRESS), (x, w))


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_only_wanted_gradients_are_given(frozen: int) -> None:
    tensors = leaves((3, 4), (2, 4), (2,))
    expected = torch.autograd.grad(linear(*tensors, "tanh").sum(), tensors)
    tensors[frozen].requires_grad_(False)
    linear(*tensors, "tanh").sum().backward()
    for i, tensor in enumerate(tensors):
        assert (tensor.grad is None) == (i == frozen)
        assert tensor.grad is None or torch.equal(tensor.grad, expected[i])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5,), (0, 5), (1, 5), (2, 3, 5), (2, 1, 3, 5)])
def test_any_leading_axes(shape: tuple[int, ...], dtype: Any) -> None:
    x, w, b = leaves(shape, (4, 5), (4,), dtype=dtype)
    y = linear(x, w, b, "relu")
    expected = F.relu(F.linear(x, w, b))
    torch.testing.assert_close(y, expected)
    got, wanted = (torch.autograd.grad(v.sum(), (x, w, b)) for v in (y, expected))
    torch.testing.assert_close(got, wanted)


def test_strides_of_the_input_do_not_matter() -> None:
    x, w, b = (t.detach() for t in leaves((6, 5), (4, 5), (4,)))
    expected = linear(x, w, b, "gelu")
    for strided in (x.t().contiguous().t(), torch.stack((x, x), 2)[:, :, 0]):
        assert not strided.is_contiguous()
        assert torch.equal(linear(strided, w, b, "gelu"), expected)
    assert torch.equal(linear(x[:1].expand(6, 5), w, b, "gelu"), expected[:1].expand(6, 4))
    assert torch.equal(linear(x, w.t().contiguous().t(), b.expand(2, 4)[0], "gelu"), expected)


def test_the_weight_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[_core.RawArray] = []
    native = {name: getattr(_core, name) for name in ("dense_forward", "dense_backward")}

    def forward(x: Any, w: Any, *rest: Any) -> None:
        seen.append(w)
        native["dense_forward"](x, w, *rest)

    def backward(dy: Any, x: Any, w: Any, *rest: Any, **named: Any) -> None:
        seen.append(w)
        native["dense_backward"](dy, x, w, *rest, **named)

    layer = Linear(5, 4)
    monkeypatch.setattr(_core, "dense_forward", forward)
    monkeypatch.setattr(_core, "dense_backward", backward)
    layer(torch.randn(3, 5)).sum().backward()
    assert [w.shape for w in seen] == [(5, 4), (5, 4)]
    assert all(w.address == layer.weight.data_ptr() for w in seen)


def test_states_fit_torchs_linear_both_ways() -> None:
    theirs, x = torch.nn.Linear(5, 4), torch.randn(7, 5)
    for ours in (Linear(5, 4), Linear(5, 4, p=0.5)):
        assert not torch.equal(ours.weight, theirs.weight)
        assert ours.load_state_dict(theirs.state_dict()) is not None
        torch.testing.assert_close(ours.eval()(x), theirs(x))
    back = torch.nn.Linear(5, 4)
    back.load_state_dict(Linear(5, 4, bias=True, activation="relu").state_dict())
    with pytest.raises(RuntimeError, match="weight"):
        Linear(5, 4, p=0.5).load_state_dict({"bias": torch.zeros(4)})
    half = Linear(5, 4, p=0.5).state_dict()
    del half["step"]
    with pytest.raises(RuntimeError, match="step"):
        Linear(5, 4, p=0.5).load_state_dict(half)


def test_initial_weights_are_torchs() -> None:
    torch.manual_seed(0)
    theirs = torch.nn.Linear(5, 4)
    torch.manual_seed(0)
    ours = Linear(5, 4, activation="relu", p=0.5)
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


def test_a_module_with_dropout_counts_and_resumes() -> None:
    layer, x = Linear(5, 40, activation="tanh", p=0.5, seed=3, stream=1), torch.randn(7, 5)
    for step in range(2):
        expected = linear(x, layer.weight, layer.bias, "tanh", p=0.5, seed=3, step=step, stream=1)
        assert torch.equal(layer(x), expected)
    resumed = Linear(5, 40, activation="tanh", p=0.5, seed=99, stream=1)
    resumed.load_state_dict(layer.state_dict())
    assert torch.equal(resumed(x), layer(x))
    assert not (layer.eval()(x) == 0).any()
    assert int(layer.step) == 3


def test_a_pass_that_is_refused_is_not_counted() -> None:
    layer = Linear(5, 4, p=0.5, seed=1)
    for bad in (torch.ones(3, 6), torch.ones(3, 5).double(), torch.ones(3, 5).int(), None):
        with pytest.raises((TypeError, ValueError), match="x "):
            layer(bad)
    assert int(layer.step) == 0
    layer(torch.ones(3, 5))
    assert int(layer.step) == 1


def test_a_lazy_negation_is_read_as_it_is_shown() -> None:
    x, w = (torch._neg_view(t.detach()) for t in leaves((6, 5), (4, 5)))
    assert torch.equal(linear(x, w), linear(x.clone(), w.clone()))
    assert torch.equal(dropout(x, 0.4, 1, 2), dropout(x.clone(), 0.4, 1, 2))


def test_a_fused_mask_is_that_of_dropout() -> None:
    x, w = (t.detach() for t in leaves((33, 5), (17, 5)))
    z = linear(x, w, None, "sigmoid")
    assert torch.equal(linear(x, w, None, "sigmoid", p=0.3, **ADDRESS), dropout(z, 0.3, **ADDRESS))


def test_a_second_derivative_is_refused() -> None:
    def total(x: Any) -> Any:
        return linear(x, torch.ones(2, 4), None, "tanh").sum()

    with raises(NotImplementedError, "fastreg.torch.linear has no second derivatives"):
        torch.func.grad(lambda x: torch.func.grad(total)(x).sum())(torch.ones(3, 4))
    x, w = leaves((3, 4), (2, 4))
    (dx,) = torch.autograd.grad(linear(x, w, None, "tanh").sum(), x, create_graph=True)
    with raises(NotImplementedError, "fastreg.torch.linear has no second derivatives"):
        dx.sum().backward()


ADDRESSES = [(0.0, None), (0.5, torch.tensor([-3, 5]))]


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "gelu"])
@pytest.mark.parametrize(("p", "address"), ADDRESSES)
@pytest.mark.parametrize("bias", [False, True])
def test_the_operators_pass_torchs_own_check(activation: str, p: float, address: Any, bias: bool) -> None:
    x, w, b = leaves((6, 5), (4, 5), (4,), dtype=torch.float32)
    b = b if bias else None
    operators = torch.ops.fastreg
    forward = (x, w, b, activation, 0.0, p, address, 2)
    assert set(torch.library.opcheck(operators.linear.default, forward).values()) == {"SUCCESS"}
    x, w = x.detach(), w.detach()
    y, z = (t.detach() for t in operators.linear(*forward))
    backward = (torch.randn(6, 4), x, w, y, z, activation, 0.0, p, address, 2, True, bias)
    assert set(torch.library.opcheck(operators.linear_backward.default, backward).values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_has_one_graph_and_the_same_bits(backend: str) -> None:
    torch._dynamo.reset()

    def model() -> Any:
        torch.manual_seed(0)
        return torch.nn.Sequential(Linear(4, 8, activation="gelu", p=0.5, seed=7), Linear(8, 1))

    plain, compiled = model(), model()
    run = torch.compile(compiled, backend=backend, fullgraph=True)
    for rows in (10, 10, 7):  # another batch size: dynamic shapes
        x = torch.randn(rows, 4)
        expected, got = plain(x), run(x)
        assert torch.equal(got, expected)
        for module, y in ((plain, expected), (compiled, got)):
            module.zero_grad()
            y.square().sum().backward()
        for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
    assert int(compiled[0].step) == 3


def test_compiled_functions_take_settings_that_change() -> None:
    torch._dynamo.reset()
    x, w = torch.randn(3, 5), torch.randn(4, 5)

    def run(p: float, alpha: float, seed: int, step: int, stream: int) -> Any:
        return linear(x, w, None, "elu", alpha=alpha, p=p, seed=seed, step=step, stream=stream)

    compiled = torch.compile(run, backend="eager", fullgraph=True)
    for k in range(1, 5):
        settings = (0.1 * k, 0.3 * k, k, k + 1, k + 2)
        assert torch.equal(compiled(*settings), run(*settings))


X, W = torch.ones(3, 5), torch.ones(4, 5)
SOFTMAX = "softmax mixes a row and is not fused; use torch.softmax on the result of a linear layer"
BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: linear(X.half(), W), TypeError, "x is torch.float16"),
    (lambda: linear(X, W.bfloat16()), TypeError, "weight is torch.bfloat16"),
    (lambda: linear(X, W, torch.ones(4).to_sparse()), TypeError, "bias is sparse"),
    (
        lambda: linear(X, W.double()),
        TypeError,
        "weight must be torch.float32 on cpu as x is, not torch.float64 on cpu; use weight.to(x)",
    ),
    (
        lambda: linear(X, W, torch.ones(4).double()),
        TypeError,
        "bias must be torch.float32 on cpu as x is, not torch.float64",
    ),
    (
        lambda: linear(X, W.to("meta")),
        ValueError,
        "weight must be torch.float32 on cpu as x is, not torch.float32 on meta",
    ),
    (lambda: linear(None, W), TypeError, "x must be a tensor, not NoneType"),
    (lambda: linear(X, None), TypeError, "weight must be a tensor, not NoneType"),
    (lambda: linear(X, W, [1.0] * 4), TypeError, "bias must be a tensor, not list"),
    (lambda: linear(X, W, None, None), TypeError, "activation must be a str, not NoneType"),
    (lambda: linear(X, W, None, []), TypeError, "activation must be a str, not list"),
    (lambda: linear(X, W, None, "elu", alpha="a"), TypeError, "alpha must be a number, not str"),
    (lambda: linear(X, W, p="a"), TypeError, "p must be a number, not str"),
    (lambda: linear(X, W, p=0.5, seed=1.5), TypeError, "seed must be an integer, not float"),
    (lambda: linear(X, W, p=0.5, step=1.5), TypeError, "step must be an integer, not float"),
    (lambda: linear(X, W, stream="a"), TypeError, "stream must be an integer, not str"),
    (lambda: Linear(5, 4, activation=[]), TypeError, "activation must be a str, not list"),
    (
        lambda: linear(X, torch.ones(4, 6)),
        ValueError,
        "x of shape (3, 5) does not fit weight of shape (4, 6)",
    ),
    (lambda: linear(torch.tensor(1.0), W), ValueError, "x of shape () does not fit"),
    (lambda: linear(X, torch.ones(5)), ValueError, "does not fit weight of shape (5,)"),
    (
        lambda: linear(X, W, torch.ones(3)),
        ValueError,
        "bias must have the shape (4,), not (3,)",
    ),
    (lambda: linear(X, W, None, "relu6"), ValueError, "activation must be one of 'linear', 'relu'"),
    (lambda: linear(X, W, None, "softmax"), ValueError, SOFTMAX),
    (lambda: linear(X, W, p=2.0), ValueError, "p must be a finite number in [0, 1], not 2.0"),
    (lambda: Linear(5, 4, activation="relu6"), ValueError, "activation must be one of 'linear', 'relu'"),
    (lambda: Linear(5, 4, activation="softmax"), ValueError, SOFTMAX),
    (lambda: Linear(5, 4, activation="elu", alpha=-1.0), ValueError, "alpha must be finite and >= 0"),
    (lambda: Linear(5, 4, p=1.5), ValueError, "p must be a finite number in [0, 1]"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_input(case: int) -> None:
    call, kind, words = BAD[case]
    with raises(kind, words):
        call()


def test_the_activations_offered_are_those_of_the_core_but_softmax() -> None:
    offered = []
    for call in (
        lambda: linear(X, W, None, "x"),
        lambda: ops.dense_forward(X.numpy(), W.numpy().T, activation="x"),
    ):
        with raises(ValueError, "activation must be one of") as error:
            call()
        words = str(error.value).removeprefix("activation must be one of").replace("'", "")
        offered.append(set(re.findall(r"[a-z_]+", words.split(" not ")[0].split("; got")[0])))
    assert offered[0] == set(ACTIVATIONS)
    assert offered[1] - offered[0] == {"softmax"}


def test_weights_are_made_on_the_device_asked_for() -> None:
    layer = Linear(3, 2, p=0.5, seed=1, device="meta")
    assert [t.device.type for t in (layer.weight, layer.bias)] == ["meta"] * 2
    assert [t.device.type for t in (layer.seed, layer.step)] == ["cpu"] * 2
    filled = layer.to_empty(device="cpu")
    filled.load_state_dict(Linear(3, 2, p=0.5, seed=1).state_dict())
    assert filled(torch.zeros(4, 3)).shape == (4, 2)


def test_outputs_of_a_plain_layer_may_be_overwritten() -> None:
    x, ours, theirs = torch.randn(5, 3), Linear(3, 4), torch.nn.Linear(3, 4)
    theirs.load_state_dict(ours.state_dict())
    for layer in (ours, theirs):
        y = layer(x)
        y += 1.0
        (torch.nn.functional.relu_(y) ** 2).sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.nn.functional.relu_(Linear(3, 4, activation="tanh")(x)).sum().backward()


def test_gradients_are_laid_out_as_weights() -> None:
    """So that torch need not copy them in another order."""
    layer = Linear(30, 20, activation="relu")
    for x in (torch.randn(7, 30), torch.randn(30, 7).t(), torch.randn(1, 30).expand(7, 30)):
        layer.zero_grad()
        layer(x).sum().backward()
        assert layer.weight.grad.is_contiguous()
        wanted = torch.nn.functional.relu(x @ layer.weight.detach().T + layer.bias.detach()) > 0
        torch.testing.assert_close(layer.weight.grad, wanted.float().T @ x)


# What torch.func does with a function of (x, weight, bias); the shapes of x, weight and bias.
TRANSFORMS: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "grad": (lambda f: torch.func.grad(summed(f), (0, 1, 2)), ((6, 5), (4, 5), (4,))),
    "vjp": (lambda f: lambda *t: torch.func.vjp(f, *t)[1](torch.ones_like(f(*t))), ((6, 5), (4, 5), (4,))),
    "jacrev": (lambda f: torch.func.jacrev(f, (0, 1, 2)), ((3, 5), (4, 5), (4,))),
    "vmap": (lambda f: torch.func.vmap(f, (0, None, None)), ((3, 2, 5), (4, 5), (4,))),
    "gradients of samples": (
        lambda f: torch.func.vmap(torch.func.grad(summed(f), (1, 2)), (0, None, None)),
        ((6, 1, 5), (4, 5), (4,)),
    ),
    "gradients of an ensemble": (
        lambda f: torch.func.vmap(torch.func.grad(summed(f), (1, 2)), (None, 0, 0)),
        ((6, 5), (3, 4, 5), (3, 4)),
    ),
}


def summed(f: Any) -> Any:
    return lambda *tensors: f(*tensors).square().sum()


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("activation", ["linear", "relu", "gelu"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_of_functions_are_those_of_torchs_operations(
    transform: str, activation: str, p: float
) -> None:
    make, shapes = TRANSFORMS[transform]
    tensors = [t.detach() for t in leaves(*shapes)]
    got = make(lambda x, w, b: linear(x, w, b, activation, p=p, **ADDRESS))(*tensors)
    wanted = make(lambda x, w, b: dropout(ACTIVATIONS[activation](F.linear(x, w, b)), p, **ADDRESS))(*tensors)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_forward_mode_is_refused() -> None:
    """It would be a tangent of 0."""
    weight, x = torch.randn(4, 3), torch.randn(2, 3)
    for f in (lambda x: linear(x, weight, activation="tanh"), lambda x: dropout(x, 0.5, 1, 1)):
        with raises(NotImplementedError, "has no forward-mode derivatives"):
            torch.func.jvp(f, (x,), (torch.ones(2, 3),))
        with raises(NotImplementedError, "has no forward-mode derivatives"):
            torch.func.jacfwd(f)(x)
        with torch.autograd.forward_ad.dual_level():
            f(x)  # which has no tangent


class Logged(torch.utils._python_dispatch.TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(call))
        return call(*args, **(kwargs or {}))


class Tagged(torch.Tensor):
    """A subclass, as torch makes of what its functions give for one."""


def test_what_looks_on_sees_an_operator_and_the_same_numbers() -> None:
    layer, x = Linear(5, 4, activation="relu", p=0.5, seed=1), torch.randn(3, 5)
    expected = linear(x, layer.weight, layer.bias, "relu", p=0.5, seed=1)
    with Logged() as log:
        assert torch.equal(linear(x, layer.weight, layer.bias, "relu", p=0.5, seed=1), expected)
    assert "fastreg.linear.default" in log.seen
    tagged = linear(x.as_subclass(Tagged), layer.weight, layer.bias, "relu", p=0.5, seed=1)
    assert type(tagged) is Tagged
    assert torch.equal(tagged.as_subclass(torch.Tensor), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shapes are asked for, and jit is old
        traced = torch.jit.trace(layer.eval(), x)
    assert "fastreg::linear" in str(traced.graph)
    assert torch.equal(traced(x), layer(x))


def test_memory_can_be_resized_afterwards() -> None:
    """Tensor.numpy() would forbid it for ever, and so FSDP on the CPU."""
    x, layer = torch.randn(3, 5, requires_grad=True), Linear(5, 4)
    layer(x).sum().backward()
    for tensor in (x, layer.weight, layer.bias, layer.weight.grad):
        tensor.data.untyped_storage().resize_(0)
    with raises(ValueError, "the array has elements but no memory"):
        layer(x)


def test_tracing_before_autograd_sees_an_operator() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    weight, x = torch.randn(4, 5), torch.randn(3, 5)
    graph = make_fx(lambda x: dropout(linear(x, weight), 0.5, 1, 2), pre_dispatch=True)(x)
    other = torch.randn(3, 5)
    assert torch.equal(graph(other), dropout(linear(other, weight), 0.5, 1, 2))


def test_a_tangent_of_the_gradient_is_refused() -> None:
    x, ones = torch.randn(3, 5, requires_grad=True), torch.ones(3, 5)
    with torch.autograd.forward_ad.dual_level():
        dy = torch.autograd.forward_ad.make_dual(ones, ones)
        for y in (dropout(x, 0.5, 1, 1), linear(x, torch.eye(5))):
            with raises(NotImplementedError, "has no forward-mode derivatives"):
                torch.autograd.grad(y, x, dy)
    with raises(NotImplementedError, "fastreg.torch.linear has no forward-mode derivatives"):
        torch.func.hessian(lambda x: linear(x, torch.eye(5), None, "tanh").sum())(ones)


def test_plain_tensors_are_known_whatever_the_first_call_was() -> None:
    with torch.inference_mode():
        first = _ways._plain_keys.__wrapped__("cpu")
    assert first == _ways._plain_keys("cpu")
    assert len(set(first)) == 2


def test_what_is_saved_may_come_back_in_another_layout() -> None:
    x, w = leaves((6, 5), (4, 5))
    expected = torch.autograd.grad(linear(x, w, None, "gelu", p=0.4, **ADDRESS).sum(), (x, w))

    def back(tensor: Any) -> Any:
        return tensor.t().contiguous().t() if tensor.dim() == 2 else tensor

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.clone(), back):
        y = linear(x, w, None, "gelu", p=0.4, **ADDRESS)
    for got, wanted in zip(torch.autograd.grad(y.sum(), (x, w)), expected, strict=True):
        assert torch.equal(got, wanted)


def test_operators_called_directly_say_which_dtypes_there_are() -> None:
    with raises(TypeError, "float16"):
        torch.ops.fastreg.dropout(torch.ones(3).half(), 0.5, torch.tensor([1, 2]), 0)
