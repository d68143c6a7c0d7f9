"""Arrays of other libraries: fastreg.ops works in their memory, models take them; both give the bits of NumPy arrays.

It must not test what the operations compute. PyTorch and JAX need not be installed; `Lent` stands for any library.
It is over 250 lines because it is a table of every refusal.
"""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from api_cases import X as ROWS
from api_cases import Y as LABELS
from api_cases import classifier, same_weights
from fastreg import _core, ops
from fastreg._foreign import shared
from fastreg.activations import relu

RNG = np.random.default_rng(0)
X, W, B, DY = (RNG.normal(size=shape).astype(np.float32) for shape in ((5, 4), (4, 3), (3,), (5, 3)))
AT: dict[str, Any] = {"rate": 0.4, "seed": 7, "step": 3, "stream": 2}

needs_writes = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="DLPack outputs need NumPy 2.1"
)


class Lent:
    """An array that nothing but DLPack reaches; `device` and `error` are what it says to who asks."""

    def __init__(self, values: np.ndarray, device: int = 1, error: Exception | None = None) -> None:
        self.values, self.device, self.error = values, device, error

    def __dlpack__(self, **arguments: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self.values.__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0


def torch_tensor(values: np.ndarray) -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed").from_numpy(values)


def jax_array(values: np.ndarray) -> Any:
    return pytest.importorskip("jax.numpy", reason="JAX is not installed").asarray(values)


def unlent(value: Any) -> np.ndarray:
    return value.values if isinstance(value, Lent) else np.asarray(value)


Lender = Callable[[np.ndarray], Any]
WRITABLE = [
    memoryview,
    pytest.param(Lent, marks=needs_writes),
    pytest.param(torch_tensor, marks=needs_writes),
]
writable = pytest.mark.parametrize("lend", WRITABLE, ids=["memoryview", "dlpack", "torch"])
READABLE = [memoryview, Lent, torch_tensor, jax_array]
readable = pytest.mark.parametrize("lend", READABLE, ids=["memoryview", "dlpack", "torch", "jax"])


# ---- bits ---------------------------------------------------------------------------------------------------------
def forward(lend: Lender) -> list[Any]:
    out, z = lend(np.empty_like(DY)), lend(np.empty_like(DY))
    given = ops.dense_forward(lend(X), lend(W), lend(B), "gelu", **AT, out=out, z_out=z)
    assert given is out
    return [out, z]


def backward(lend: Lender) -> list[Any]:
    z = np.empty_like(DY)
    y = ops.dense_forward(X, W, B, "gelu", **AT, z_out=z)
    dx, dw, db = lend(np.empty_like(X)), lend(np.empty_like(W)), lend(np.empty_like(B))
    arrays = [lend(array) for array in (DY, X, W, y, z)]
    given = ops.dense_backward(*arrays, activation="gelu", **AT, dx=dx, dw=dw, db=db)
    assert given[0] is dx
    assert given[1] is dw
    assert given[2] is db
    return list(given)


def elementwise(lend: Lender) -> list[Any]:
    outs = [lend(np.empty_like(X)) for _ in range(4)]
    assert ops.dropout(lend(X), **AT, out=outs[0]) is outs[0]
    assert ops.dropout_backward(lend(X), **AT, out=outs[1]) is outs[1]
    assert ops.elastic_net_gradient(lend(X), 0.1, 0.2, out=outs[2]) is outs[2]
    assert ops.prox(lend(X), 0.1, 0.2, 0.5, out=outs[3]) is outs[3]
    in_place = lend(X.copy())
    assert ops.dropout(in_place, **AT, out=in_place) is in_place
    return [*outs, in_place]


def updates(lend: Lender) -> list[Any]:
    w, velocity, m, v = (lend(array.copy()) for array in (W, W, W * 0, W * 0))
    penalties = [
        ops.sgd_update(w, lend(W), velocity, momentum=0.9, l1=0.1, l2=0.2),
        ops.adam_update(w, lend(W), m, v, 1, l1=0.1, l2=0.2),
    ]
    return [w, velocity, m, v, np.array(penalties)]


@writable
@pytest.mark.parametrize("case", [forward, backward, elementwise, updates])
def test_outputs_are_written_where_they_are(case: Callable[[Lender], list[Any]], lend: Lender) -> None:
    for got, expected in zip(case(lend), case(lambda values: values), strict=True):
        assert np.array_equal(unlent(got), expected)


@readable
def test_new_arrays_are_numpy_arrays_of_the_same_bits(lend: Lender) -> None:
    calls: list[Callable[..., Any]] = [
        lambda x, w, b, dy: ops.dense_forward(x, w, b, "relu"),
        lambda x, w, b, dy: ops.dense_backward(dy, x, w, dy, activation="relu")[0],
        lambda x, w, b, dy: ops.dense_backward(dy, x, w, dy, activation="relu")[1],
        lambda x, w, b, dy: ops.dense_backward(dy, x, w, dy, activation="relu", need_dx=False)[2],
        lambda x, w, b, dy: ops.dropout(x, **AT),
        lambda x, w, b, dy: ops.dropout_backward(dy, **AT),
        lambda x, w, b, dy: ops.elastic_net_gradient(w, 0.1, 0.2),
        lambda x, w, b, dy: ops.prox(w, 0.1, 0.2, 0.5),
    ]
    for call in calls:
        made, expected = call(*map(lend, (X, W, B, DY))), call(X, W, B, DY)
        assert type(made) is np.ndarray
        assert made.dtype == np.float32
        assert np.array_equal(made, expected)
    assert ops.elastic_net(lend(W), 0.1, 0.2) == ops.elastic_net(W, 0.1, 0.2)


@pytest.mark.parametrize("lend", [memoryview, Lent, torch_tensor], ids=["memoryview", "dlpack", "torch"])
def test_fortran_order_and_offsets(lend: Lender) -> None:
    x, w = lend(np.asfortranarray(X)), lend(np.asfortranarray(W))
    assert np.array_equal(ops.dense_forward(x, w), ops.dense_forward(X, W))
    rows = lend(X[1:, 1:])  # contiguous rows, further apart than they are long
    assert np.array_equal(ops.prox(rows, 0.1, 0.2, 0.5), ops.prox(X[1:, 1:], 0.1, 0.2, 0.5))


@pytest.mark.parametrize(("code", "dtype"), [("f", np.float32), ("d", np.float64)])
def test_arrays_of_the_standard_library(code: str, dtype: type) -> None:
    values = np.linspace(-1, 1, 9).astype(dtype)
    w, g = array.array(code, values.tolist()), array.array(code, [0.5] * 9)
    expected = values.copy()
    penalty = ops.sgd_update(expected, np.full(9, 0.5, dtype), learning_rate=0.1, l1=1.0)
    assert ops.sgd_update(w, g, learning_rate=0.1, l1=1.0) == penalty
    assert w.tolist() == expected.tolist()
    assert ops.prox(w, 0.1, 0.0, 1.0).dtype == dtype


# ---- memory -------------------------------------------------------------------------------------------------------
@readable
def test_the_kernels_get_the_memory_itself(lend: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: list[dict[str, int]] = []

    def spy(*given: Any, **named: Any) -> None:
        if named:
            arrays = {name: value for name, value in named.items() if isinstance(value, np.ndarray)}
            addresses.append({name: value.ctypes.data for name, value in arrays.items()})
        _core.dense_forward(*given, **named)

    monkeypatch.setattr(ops, "_dense_forward", spy)
    lent = [lend(values) for values in (X, W, B)]
    out = np.empty_like(DY)
    ops.dense_forward(*lent, out=out)
    own = {torch_tensor: "data_ptr", jax_array: "unsafe_buffer_pointer"}.get(lend)
    where = [getattr(value, own)() if own else values.ctypes.data for value, values in zip(lent, (X, W, B))]
    assert addresses == [dict(zip("xwb", where), out=out.ctypes.data)]


def test_numpy_arrays_stay_themselves() -> None:
    assert shared(X, "x") is X


@pytest.mark.parametrize("lend", [pytest.param(Lent, marks=needs_writes), memoryview])
def test_a_view_keeps_its_memory_alive(lend: Lender) -> None:
    values = np.arange(5.0)
    view = shared(lend(values), "x", write=True)
    del values
    view += 1
    assert view.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


# ---- refusals -----------------------------------------------------------------------------------------------------
class NeedsGradient(Lent):
    requires_grad = True


def read_only(values: np.ndarray) -> memoryview:
    return memoryview(values).toreadonly()


class OtherGpu(Lent):
    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 3


HALF = X.astype(np.float16)
OUT = np.empty_like(X)
REFUSALS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: ops.dropout(X.tolist(), **AT),
        TypeError,
        r"x must be a NumPy array, or offer its memory by the .* or DLPack, not list; pass np.asarray\(x\)",
    ),
    (lambda: ops.dropout(X, **AT, out=X.tolist()), TypeError, "out must be a NumPy array, .* not list$"),
    (lambda: ops.dense_forward(X, "w"), TypeError, "w must be a NumPy array, .* not str"),
    (lambda: ops.dense_forward(X, W, [1.0]), TypeError, r"b must be .* not list; pass np.asarray\(b\)"),
    (
        lambda: ops.dropout(Lent(HALF), **AT),
        TypeError,
        r"x must have dtype float32 or float64, got float16; convert it first: x.float\(\) of a tensor, "
        r"np.asarray\(x, 'float32'\)",
    ),
    (
        lambda: ops.prox(X, 1, 0, 1, out=memoryview(HALF)),
        TypeError,
        "out must have .* got float16; give one of",
    ),
    (lambda: ops.elastic_net(b"1234", 1, 0), TypeError, "w must have dtype .* got uint8"),
    (
        lambda: ops.dense_forward(X, W, memoryview(B.astype(np.float64))),
        TypeError,
        "b must have dtype float32, that of x, got float64",
    ),
    (
        lambda: ops.dense_forward(X, Lent(W, device=2), out=np.empty_like(DY)),
        TypeError,
        r"w (is on CUDA:0, where fastreg cannot compute: .*; pass w.cpu\(\) of .* jax.device_get\(w\)"
        r"|must hold .* on CUDA:0, but .* cannot be read: .*)",
    ),
    (lambda: ops.dropout(Lent(X, device=99), **AT), TypeError, "x .* is on device type 99:0"),
    (lambda: ops.sgd_update(Lent(W.copy(), 2), W), TypeError, r"w .* CUDA:0"),
    (
        lambda: ops.dropout(Lent(X, device=2), **AT),
        TypeError,
        r"out is needed where x is on a GPU, .* pass out=torch.empty\(...\) of PyTorch",
    ),
    (
        lambda: ops.dense_backward(DY, X, Lent(W, device=13), DY, need_dx=False),
        TypeError,
        "dw is needed where w is on a GPU",
    ),
    (lambda: ops.elastic_net(OtherGpu(W, device=2), 1, 0), ValueError, "w is on CUDA:3; fastreg .* CUDA:0"),
    (
        lambda: ops.dense_backward(NeedsGradient(DY), X, W, DY),
        TypeError,
        r"dy requires grad, which fastreg does not record; pass dy.detach\(\)",
    ),
    (
        lambda: ops.adam_update(NeedsGradient(W), W, W, W, 1),
        TypeError,
        r"w requires grad.* pass w.detach\(\)",
    ),
    (
        lambda: ops.dropout(Lent(X, error=BufferError("no such thing")), **AT),
        TypeError,
        "x must hold float32 or float64 in the memory of the CPU, but DLPack refuses .*: no such thing; convert it",
    ),
    (
        lambda: ops.dropout(X, **AT, out=read_only(OUT)),
        ValueError,
        "out must be writeable, got a read-only memoryview; give a NumPy array or a writeable tensor",
    ),
    (lambda: ops.sgd_update(read_only(W), W), ValueError, "w must be writeable, got a read-only memoryview"),
    (lambda: ops.adam_update(W, W, read_only(W), W, 1), ValueError, "m must be writeable"),
    (
        lambda: ops.dropout(Lent(X[:, ::2]), **AT),
        ValueError,
        r"x must have contiguous rows, got shape \(5, 2\) .* use np.ascontiguousarray\(x\)",
    ),
    (lambda: ops.dense_forward(X, W, out=memoryview(OUT)), ValueError, r"out has shape \(5, 4\)"),
    (lambda: ops.dense_forward(memoryview(B), W), ValueError, "x must have 2 axes"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=range(len(REFUSALS)))
def test_refusals_name_the_argument_and_the_fix(refusal: Any) -> None:
    call, kind, message = refusal
    before = [values.copy() for values in (X, W, B, DY)]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert all(np.array_equal(a, b) for a, b in zip(before, (X, W, B, DY)))


@needs_writes
def test_read_only_memory_by_dlpack() -> None:
    values = X.copy()
    values.flags.writeable = False
    with pytest.raises(
        ValueError, match=r"out must be writeable, got a read-only .*Lent; give a NumPy array"
    ):
        ops.dropout(X, **AT, out=Lent(values))
    assert np.array_equal(ops.prox(Lent(values), 1, 0, 1), ops.prox(X, 1, 0, 1))


def test_errors_of_other_arguments_stay() -> None:
    with pytest.raises(TypeError, match="l1 must be a real number, got str"):
        ops.prox(X, "a", 0, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="l1 must be a real number, got str"):
        ops.prox(memoryview(X), "a", 0, 1)  # type: ignore[arg-type]


def test_tensors_that_are_refused() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = torch.from_numpy(X.copy())
    with pytest.raises(TypeError, match=r"x requires grad.* pass x.detach\(\)"):
        ops.dropout(x.requires_grad_(), **AT)
    assert np.array_equal(ops.dropout(x.detach(), **AT), ops.dropout(X, **AT))
    negated = torch.complex(torch.zeros(2), torch.tensor([3.0, 4.0])).conj().imag
    with pytest.raises(TypeError, match=r"w is a lazy negation.* pass w.resolve_neg\(\)"):
        ops.prox(negated, 0.0, 0.0, 1.0)
    assert ops.prox(negated.resolve_neg(), 0.0, 0.0, 1.0).tolist() == [-3.0, -4.0]
    out = torch._neg_view(torch.zeros(2))
    with pytest.raises(TypeError, match=r"out is a lazy negation.* pass out.resolve_neg\(\)"):
        ops.prox(np.ones(2, np.float32), 0.0, 0.0, 1.0, out=out)
    assert out.tolist() == [0.0, 0.0]
    with pytest.raises(TypeError, match=r"x is a lazy negation.* pass x.resolve_neg\(\)"):
        relu(negated)
    with pytest.raises(TypeError, match=r"w is a zero tensor without memory; pass w.clone\(\)"):
        ops.elastic_net(torch._efficientzerotensor(3), 1, 0)
    with pytest.raises(TypeError, match=r"w must hold float32 or float64 .*torch.bfloat16.* w.float\(\)"):
        ops.dense_forward(X, torch.from_numpy(W).bfloat16())
    with pytest.raises(TypeError, match="w must have dtype float32 or float64, got float16"):
        ops.dense_forward(X, torch.from_numpy(W).half())
    with pytest.raises(TypeError, match="x must hold float32 or float64 in the memory of the CPU"):
        ops.dropout(torch.empty(3, device="meta"), **AT)
    with pytest.raises(TypeError, match="w must hold float32 or float64 in the memory of the CPU"):
        ops.elastic_net(torch.eye(3).to_sparse(), 1, 0)


def test_a_list_of_tensors_that_are_refused() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = classifier()
    for bad in (
        torch.ones(4, requires_grad=True),
        torch._neg_view(torch.ones(4)),
        torch.ones(4, device="meta"),
    ):
        with pytest.raises(TypeError, match=r"x must be a rectangular array of numbers: .*tensor"):
            model.fit([bad], LABELS[:1], verbose=0)
        with pytest.raises(TypeError, match=r"x must be a rectangular array of numbers: .*tensor"):
            relu([bad])


def test_jax_arrays_that_are_refused() -> None:
    jnp = pytest.importorskip("jax.numpy", reason="JAX is not installed")
    out = jnp.zeros(X.shape, jnp.float32)
    with pytest.raises(
        ValueError, match=r"out must be writeable, got a read-only jaxlib.*; give a NumPy array"
    ):
        ops.dropout(X, **AT, out=out)
    assert not np.asarray(out).any()
    with pytest.raises(TypeError, match=r"w must .*bfloat16.*np.asarray\(w, 'float32'\)"):
        ops.dense_forward(X, jnp.asarray(W, jnp.bfloat16))


# ---- models -------------------------------------------------------------------------------------------------------
class Interface:
    """An array that nothing but __array_interface__ reaches."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values  # kept alive
        self.__array_interface__ = values.__array_interface__


class Converted:
    """An array that nothing but __array__ reaches."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values.astype(self.values.dtype if dtype is None else dtype)


TAKEN = [memoryview, Lent, Interface, Converted, torch_tensor, jax_array]


@pytest.mark.parametrize("lend", TAKEN, ids=["memoryview", "dlpack", "interface", "array", "torch", "jax"])
def test_models_take_them(lend: Lender) -> None:
    weight = np.linspace(0, 1, len(ROWS)).astype(np.float32)
    labels = LABELS.astype(np.int32)
    ours, theirs = classifier(), classifier()
    ours.fit(ROWS, labels, sample_weight=weight, validation_data=(ROWS, labels), epochs=2, verbose=0)
    x, y = lend(ROWS), lend(labels)
    theirs.fit(x, y, sample_weight=lend(weight), validation_data=(x, y), epochs=2, verbose=0)
    assert same_weights(ours, theirs)
    assert ours.evaluate(ROWS, labels, verbose=0) == theirs.evaluate(x, y, verbose=0)
    assert np.array_equal(ours.predict(ROWS), theirs.predict(x))
    ours.set_weights(theirs.get_weights())
    assert np.array_equal(relu(lend(X)), relu(X))


def test_models_refuse_what_they_cannot_read() -> None:
    model = classifier()
    with pytest.raises(TypeError, match=r"x requires grad.* pass x.detach\(\)"):
        model.predict(NeedsGradient(ROWS))
    with pytest.raises(
        TypeError, match=r"y must be in the memory of the CPU, but is on CUDA:0; pass y.cpu\(\)"
    ):
        model.fit(ROWS, Lent(LABELS, device=2), verbose=0)
    with pytest.raises(TypeError, match=r"x .* but DLPack refuses the .*: gone"):
        model.predict(Lent(ROWS, error=RuntimeError("gone")))


def test_models_refuse_tensors_that_numpy_cannot_read() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = classifier()
    with pytest.raises(TypeError, match=r"x requires grad.* pass x.detach\(\)"):
        model.fit(torch.from_numpy(ROWS.copy()).requires_grad_(), LABELS)
    with pytest.raises(
        TypeError, match=r"x \(torch.Tensor\) is no NumPy array: .*; convert it first: x.float\(\)"
    ):
        model.predict(torch.from_numpy(ROWS).bfloat16())


def test_models_refuse_bfloat16_of_jax() -> None:
    jnp = pytest.importorskip("jax.numpy", reason="JAX is not installed")
    with pytest.raises(
        TypeError, match=r"x must hold real numbers, .* bfloat16; convert it first: .*np.asarray\(x"
    ):
        classifier().predict(jnp.asarray(ROWS, jnp.bfloat16))
