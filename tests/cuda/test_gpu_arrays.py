"""Arrays in GPU memory: fastreg.ops and fastreg.torch work in them, in place, on the caller's stream, with the bits of
the CPU; and what is refused.

It must not know expected values: the CPU has its own tests. It is over 250 lines because every function is visited.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from checks import assert_same_bits
from device_cases import needs_gpu
from fastreg import _core, ops

needs_gpu()
torch = pytest.importorskip("torch", reason="PyTorch is not installed")
if not torch.cuda.is_available():
    pytest.skip("this PyTorch has no CUDA", allow_module_level=True)

from fastreg.torch import Dropout, Linear, dropout, linear  # noqa: E402
from torch_cases import CASES  # noqa: E402

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
DTYPES = ("float32", "float64")
AT: dict[str, Any] = {"rate": 0.4, "seed": 2**64 - 7, "step": 3, "stream": 2}
ACTIVATIONS = (
    "linear",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "tanh",
    "sigmoid",
    "softplus",
)
Move = Callable[[np.ndarray], Any]


def to_gpu(values: np.ndarray) -> Any:
    return torch.from_numpy(values.copy()).cuda()


def to_cupy(values: np.ndarray) -> Any:
    return pytest.importorskip("cupy", reason="CuPy is not installed").asarray(values)


class Interface:
    """GPU memory that nothing but __cuda_array_interface__ reaches; version 2 says nothing of streams."""

    def __init__(self, values: np.ndarray) -> None:
        self.tensor = to_gpu(values)
        self.__cuda_array_interface__ = self.tensor.__cuda_array_interface__


class Lent:
    """GPU memory that nothing but DLPack reaches, of before version 1; notes for which stream it was asked."""

    def __init__(self, values: np.ndarray) -> None:
        self.tensor, self.streams = to_gpu(values), []  # type: ignore[var-annotated]

    def __dlpack__(self, *, stream: Any = None) -> Any:
        self.streams.append(stream)
        return self.tensor.__dlpack__(stream=stream)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.tensor.__dlpack_device__()


def numbers(value: Any) -> np.ndarray:
    if isinstance(value, (Interface, Lent)):
        value = value.tensor
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    return value.get() if hasattr(value, "get") else np.asarray(value)


MOVES = [to_gpu, to_cupy, Interface, Lent]
moves = pytest.mark.parametrize("move", MOVES, ids=["torch", "cupy", "interface", "dlpack"])


def arrays(dtype: str, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


# ---- bits of fastreg.ops ------------------------------------------------------------------------------------------
def forward(move: Move, dtype: str, activation: str = "gelu") -> list[Any]:
    x, w, b, y = arrays(dtype, (37, 29), (29, 23), (23,), (37, 23))
    out, z = move(y), move(y)
    assert ops.dense_forward(move(x), move(w), move(b), activation, **AT, out=out, z_out=z) is out
    plain = move(y)
    ops.dense_forward(move(x), move(w), out=plain)
    return [out, z, plain]


def backward(move: Move, dtype: str, activation: str = "gelu") -> list[Any]:
    x, w, b, dy = arrays(dtype, (37, 29), (29, 23), (23,), (37, 23))
    z = np.empty_like(dy)
    y = ops.dense_forward(x, w, b, activation, **AT, z_out=z)
    given = ops.dense_backward(
        *map(move, (dy, x, w, y, z)), activation=activation, **AT, dx=move(x), dw=move(w), db=move(b)
    )
    linear_ones = ops.dense_backward(*map(move, (dy, x, w, y)), dw=move(w), db=move(b), need_dx=False)
    assert linear_ones[0] is None
    return [*given, *linear_ones[1:]]


def elementwise(move: Move, dtype: str) -> list[Any]:
    results = []
    for shape in ((1000,), (37, 23), (3, 5, 7)):
        (x,) = arrays(dtype, shape)
        outs = [move(x) for _ in range(4)]
        assert ops.dropout(move(x), **AT, out=outs[0]) is outs[0]
        assert ops.dropout_backward(move(x), **AT, out=outs[1]) is outs[1]
        assert ops.elastic_net_gradient(move(x), 0.1, 0.2, out=outs[2]) is outs[2]
        assert ops.prox(move(x), 0.1, 0.2, 0.5, out=outs[3]) is outs[3]
        in_place = move(x)
        ops.prox(in_place, 0.3, 0.0, 1.0, out=in_place)
        value = ops.elastic_net(move(x), 0.1, 0.2)
        assert type(value) is float
        results += [*outs, in_place, np.array(value)]
    return results


def updates(move: Move, dtype: str) -> list[Any]:
    w, g, velocity, m, v = arrays(dtype, *[(513, 7)] * 5)
    held = [move(array) for array in (w, velocity, w, m, v * v)]
    penalties = []
    for step in (1, 2, 16):
        penalties += [
            ops.sgd_update(held[0], move(g), held[1], momentum=0.9, l1=0.1, l2=0.2),
            ops.adam_update(held[2], move(g), held[3], held[4], step, weight_decay=0.1, l1=0.1, l2=0.2),
            ops.sgd_update(held[0], move(g), learning_rate=0.1, l1=0.1, method="subgradient"),
        ]
    return [*held, np.array(penalties)]


@moves
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [forward, backward, elementwise, updates])
def test_the_bits_of_the_cpu(case: Callable[[Move, str], list[Any]], dtype: str, move: Move) -> None:
    for i, (got, expected) in enumerate(zip(case(move, dtype), case(np.copy, dtype), strict=True)):
        assert_same_bits(numbers(got), numbers(expected), f"{case.__name__}, result {i}")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", [forward, backward])
def test_every_activation(case: Callable[..., list[Any]], activation: str) -> None:
    for got, expected in zip(
        case(to_gpu, "float32", activation), case(np.copy, "float32", activation), strict=True
    ):
        assert_same_bits(numbers(got), numbers(expected), activation)


def test_strides_and_offsets() -> None:
    x, w = arrays("float32", (40, 30), (30, 50))
    on_gpu = to_gpu(x), to_gpu(w)
    out, wide = torch.empty(20, 25, device=GPU), torch.zeros(20, 40, device=GPU)
    for a, b in ((x[::2, 5:], w[5:, ::2]), (x.T[:20, :30].copy(order="F"), w[:, :25])):
        a_gpu, b_gpu = to_gpu(np.ascontiguousarray(a.T)).t(), to_gpu(np.ascontiguousarray(b.T)).t()
        assert_same_bits(
            numbers(ops.dense_forward(a_gpu, b_gpu, out=out)), ops.dense_forward(a, b), "transposed"
        )
    ops.dense_forward(on_gpu[0][::2, 5:], on_gpu[1][5:, ::2], out=wide[:, 3:28])
    expected = np.zeros((20, 40), np.float32)
    expected[:, 3:28] = ops.dense_forward(x[::2, 5:], w[5:, ::2])
    assert_same_bits(numbers(wide), expected, "rows of a wider matrix")
    rows, rows_gpu = x[1:, 3:].copy(), on_gpu[0].clone()
    view = rows_gpu[1:, 3:]
    ops.prox(view, 0.1, 0.2, 0.5, out=view)
    assert_same_bits(numbers(rows_gpu[1:, 3:]), ops.prox(rows, 0.1, 0.2, 0.5), "in place, in rows")
    assert_same_bits(numbers(rows_gpu[0]), x[0], "what is beside them")
    column, out = on_gpu[0][:, 4], torch.empty(40, device=GPU)
    assert_same_bits(
        numbers(ops.prox(column, 0.1, 0.2, 0.5, out=out)), ops.prox(x[:, 4].copy(), 0.1, 0.2, 0.5), "column"
    )
    flat = to_gpu(x).flatten()[1:]  # 4 bytes off
    assert ops.elastic_net(flat, 0.1, 0.2) == ops.elastic_net(x.flatten()[1:], 0.1, 0.2)


def test_arrays_without_elements() -> None:
    nothing = torch.empty(0, 3, device=GPU)
    assert ops.elastic_net(nothing, 0.1, 0.1) == 0.0
    assert ops.sgd_update(nothing, nothing.clone(), l1=0.1) == 0.0
    ops.dropout(nothing, **AT, out=torch.empty_like(nothing))
    dw, db = torch.ones(3, 4, device=GPU), torch.ones(4, device=GPU)
    dy = torch.empty(0, 4, device=GPU)
    ops.dense_backward(
        dy, nothing, torch.ones(3, 4, device=GPU), dy, activation="relu", dw=dw, db=db, need_dx=False
    )
    assert not dw.any()
    assert not db.any()


def test_many_parameters_in_one_call() -> None:
    shapes = [(i + 1, 7) for i in range(70)]  # more than one launch takes
    spec = {"kind": "adam", "learning_rate": 0.01}
    penalties = [(0.01 * (i % 3), 0.02, True) for i in range(70)]
    w, g, m, v = (arrays("float32", *shapes) for _ in range(4))
    v = [array * array for array in v]

    def gpu(tensor: Any) -> _core.RawArray:
        return _core.RawArray(tensor.data_ptr(), tensor.shape, None, str(tensor.dtype)[6:], True, 1)

    tensors = [[to_gpu(array) for array in group] for group in (w, g, m, v)]
    handles = [[gpu(tensor) for tensor in group] for group in tensors]
    values = torch.empty(70, dtype=torch.float64, device=GPU)
    slots = [list(pair) for pair in zip(handles[2], handles[3], strict=True)]
    torch.cuda.synchronize()
    assert _core.update_many(spec, *handles[:2], slots, 3, penalties, gpu(values)) is None
    expected = _core.update_many(spec, w, g, [list(pair) for pair in zip(m, v, strict=True)], 3, penalties)
    assert values.tolist() == expected
    for on_gpu, on_cpu in zip((tensors[0], tensors[2], tensors[3]), (w, m, v), strict=True):
        for got, want in zip(on_gpu, on_cpu, strict=True):
            assert_same_bits(numbers(got), want, "update_many")


# ---- streams ------------------------------------------------------------------------------------------------------
def slow(n: int = 40) -> None:
    """Keeps the current stream busy for some milliseconds."""
    a = torch.ones(2048, 2048, device=GPU)
    for _ in range(n):
        a = a @ a * 0


def test_a_call_runs_on_torchs_current_stream() -> None:
    x = torch.zeros(2**20, device=GPU)
    out = torch.empty_like(x)
    for stream in (torch.cuda.Stream(), torch.cuda.default_stream()):
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            slow()
            x.fill_(-3.0)
            ops.prox(x, 1.0, 0.0, 1.0, out=out)
            done = out.clone()
            slow()
        stream.synchronize()
        assert (done == -2.0).all()
        x.zero_()


def test_a_producer_is_asked_for_the_stream_of_the_call() -> None:
    values = np.ones(100, np.float32)
    lent, out = Lent(values), Lent(values)
    ops.prox(lent, 0.1, 0.0, 1.0, out=out)
    assert (set(lent.streams), set(out.streams)) == ({1}, {1})
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        second = Lent(values)
        ops.sgd_update(to_gpu(values), second)
    assert stream.cuda_stream in lent.streams + second.streams + out.streams


def test_a_cuda_array_interface_of_version_3_tells_its_stream() -> None:
    stream = torch.cuda.Stream()
    lent = Interface(np.zeros(2**20, np.float32))
    lent.__cuda_array_interface__ |= {"version": 3, "stream": stream.cuda_stream}
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        slow()
        lent.tensor.fill_(-3.0)
    out = torch.empty(2**20, device=GPU)
    ops.prox(lent, 1.0, 0.0, 1.0, out=out)
    stream.synchronize()
    assert (out == -2.0).all()
    with torch.cuda.stream(stream):
        slow()
        lent.tensor.fill_(-5.0)
    first = torch.empty(2**20, device=GPU)
    ops.sgd_update(first.zero_(), lent, learning_rate=1.0)  # on torch's stream, which has to wait
    assert (first == 5.0).all()


def test_calls_do_not_wait() -> None:
    x = torch.ones(1000, device=GPU)
    ops.prox(x, 0.1, 0.0, 1.0, out=x)
    torch.cuda.synchronize()
    slow(400)
    ops.prox(x, 0.1, 0.0, 1.0, out=x)
    busy = not torch.cuda.current_stream().query()
    torch.cuda.synchronize()
    assert busy


def test_a_recorded_call_can_be_replayed_and_has_memory_of_its_own() -> None:
    x, w, b, y = arrays("float32", (512, 700), (700, 600), (600,), (512, 600))
    on_gpu = [to_gpu(a) for a in (x, w, b, y)]
    out, z = torch.empty_like(on_gpu[3]), torch.empty_like(on_gpu[3])
    dw, db, dx = torch.empty_like(on_gpu[1]), torch.empty_like(on_gpu[2]), torch.empty_like(on_gpu[0])

    def both() -> None:
        ops.dense_forward(*on_gpu[:3], "gelu", **AT, out=out, z_out=z)
        ops.dense_backward(on_gpu[3], *on_gpu[:2], out, z, "gelu", **AT, dx=dx, dw=dw, db=db)

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        both()
    for _ in range(2):
        for tensor in (out, z, dw, db, dx):
            tensor.zero_()
        graph.replay()
    z_cpu = np.empty_like(y)
    out_cpu = ops.dense_forward(x, w, b, "gelu", **AT, z_out=z_cpu)
    expected = ops.dense_backward(y, x, w, out_cpu, z_cpu, "gelu", **AT)
    for got, want in zip((out, z, dx, dw, db), (out_cpu, z_cpu, *expected), strict=True):
        assert_same_bits(numbers(got), want, "a replayed call")
    del graph
    both()
    assert_same_bits(numbers(dw), expected[1], "after the graph is gone")


def test_a_number_cannot_come_back_from_a_recording() -> None:
    w = torch.ones(1000, device=GPU)
    graph, said = torch.cuda.CUDAGraph(), ""
    with torch.cuda.graph(graph):
        try:
            ops.elastic_net(w, 0.1, 0.1)
        except RuntimeError as error:
            said = str(error)
        w.add_(1)
    assert "a CUDA graph is being recorded" in said
    graph.replay()
    assert (w == 2).all()
    assert ops.elastic_net(w, 0.5, 0.0) == 1000.0


# ---- refusals -----------------------------------------------------------------------------------------------------
W = torch.ones(4, 3, device=GPU)
REFUSALS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: ops.prox(W, 1, 0, 1), TypeError, "out is needed where w is on a GPU"),
    (
        lambda: ops.prox(W, 1, 0, 1, out=np.ones((4, 3), "f")),
        ValueError,
        "out is in the memory of the CPU, but w is on",
    ),
    (
        lambda: ops.prox(W.cpu(), 1, 0, 1, out=W),
        ValueError,
        "out is on CUDA:0, but w is in the memory of the CPU",
    ),
    (
        lambda: ops.adam_update(W, W.cpu(), W, W, 1),
        ValueError,
        "g is in the memory of the CPU, but w is on CUDA:0",
    ),
    (lambda: ops.sgd_update(W, W.double()), TypeError, "g must have dtype float32, that of w"),
    (
        lambda: ops.sgd_update(W.half(), W),
        TypeError,
        "w must hold float32 or float64 on CUDA:0.*torch.float16",
    ),
    (
        lambda: ops.sgd_update(W.clone().requires_grad_(), W),
        TypeError,
        r"w requires grad.* pass w.detach\(\)",
    ),
    (lambda: ops.sgd_update(W, W[:3]), ValueError, r"g must have shape \(4, 3\), that of w, got \(3, 3\)"),
    (lambda: ops.sgd_update(W.t(), W.t()), ValueError, r"w must be contiguous .*; use w.contiguous\(\)"),
    (lambda: ops.adam_update(W, W.clone(), W, W, 1), ValueError, "must not overlap"),
    (lambda: ops.dense_forward(W, W, out=W), ValueError, r"w has shape \(4, 3\); expected \(3, 3\)"),
    (lambda: ops.dropout(W, **(AT | {"rate": 2.0}), out=W), ValueError, "rate"),
]


@pytest.mark.parametrize("case", range(len(REFUSALS)))
def test_refusals(case: int) -> None:
    call, kind, words = REFUSALS[case]
    with pytest.raises(kind, match=words):
        call()
    assert (W == 1).all()


def test_read_only_memory_is_refused() -> None:
    lent = Interface(np.ones(5, np.float32))
    lent.__cuda_array_interface__ |= {"data": (lent.tensor.data_ptr(), True)}
    with pytest.raises(ValueError, match=r"out must be writeable, got a read-only .*Interface"):
        ops.prox(torch.ones(5, device=GPU), 1, 0, 1, out=lent)
    out = torch.zeros(5, device=GPU)
    ops.prox(lent, 0.5, 0, 1, out=out)
    assert (out == 0.5).all()


# ---- fastreg.torch ------------------------------------------------------------------------------------------------
def network(device: Any, dtype: Any = torch.float32) -> Any:
    torch.manual_seed(0)
    layers = [Linear(6, 33, activation="gelu", p=0.2, seed=1), Dropout(0.3, seed=2), Linear(33, 2)]
    return torch.nn.Sequential(*layers).to(dtype).to(device)


def gradients_of(model: Any, t: int) -> None:
    """The same on both devices: what is not in fastreg (the loss) is worked out on the CPU."""
    generator = torch.Generator().manual_seed(t)
    parameter = next(model.parameters())
    x, dy = torch.randn(20, 6, generator=generator), torch.randn(20, 2, generator=generator)
    model.zero_grad()
    model(x.to(parameter)).backward(dy.to(parameter))


def state_of(model: Any, optimizer: Any) -> list[Any]:
    states = [
        v for s in optimizer.state_dict()["state"].values() for k, v in sorted(s.items()) if k != "step"
    ]
    return [*model.state_dict().values(), *states]


def assert_same(got: list[Any], expected: list[Any], what: str) -> None:
    assert len(got) == len(expected)
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert_same_bits(numbers(a), numbers(b), f"{what}, tensor {i}")


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_a_training_has_the_bits_of_the_cpu(case: str, dtype: Any, capturable: bool) -> None:
    cls, settings, _ = CASES[case]
    ended = []
    for device in (CPU, GPU):
        model = network(device, dtype)
        weights = [p for p in model.parameters() if p.dim() == 2]
        biases = [p for p in model.parameters() if p.dim() == 1]
        groups = [{"params": weights, "l1": 1e-2, "l2": 1e-3}, {"params": biases}]
        optimizer = cls(groups, **settings, capturable=capturable)
        penalties = []
        for t in range(20):
            gradients_of(model, t)
            if t == 10:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.5
            optimizer.step()
            penalties.append(optimizer.penalty)
        steps = [int(s["step"]) for s in optimizer.state.values()]
        assert steps == [20] * 4
        assert all(p.device == device for p in model.parameters())
        ended.append([*state_of(model, optimizer), np.array(penalties)])
        assert penalties[-1] > 0
    assert_same(ended[1], ended[0], case)


@pytest.mark.parametrize("capturable", [False, True])
def test_a_state_can_be_saved_and_goes_on(capturable: bool) -> None:
    cls, settings, _ = CASES["adamw"]
    model = network(GPU)
    optimizer = cls(model.parameters(), **settings, l1=1e-3, capturable=capturable)
    for t in range(5):
        gradients_of(model, t)
        optimizer.step()
    saved = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], saved)
    saved.seek(0)
    resumed = network(GPU)
    second = cls(resumed.parameters(), lr=9.0)
    for target, state in zip((resumed, second), torch.load(saved), strict=True):
        target.load_state_dict(state)
    copied_model, copied = copy.deepcopy((model, optimizer))
    for t in range(5, 9):
        for m, o in ((model, optimizer), (resumed, second), (copied_model, copied)):
            gradients_of(m, t)
            o.step()
    assert_same(state_of(resumed, second), state_of(model, optimizer), "resumed")
    assert_same(state_of(copied_model, copied), state_of(model, optimizer), "copied")


def test_a_state_of_torchs_fused_adam_is_taken_over() -> None:
    w = torch.nn.Parameter(torch.ones(5, device=GPU))
    w.grad = torch.full((5,), 0.5, device=GPU)
    theirs = torch.optim.Adam([w], fused=True)
    theirs.step()
    cls, settings, _ = CASES["adam"]
    ours = cls([w], **settings)
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    ours.step()
    assert int(ours.state[w]["step"]) == 2


@pytest.mark.parametrize("case", ["momentum", "amsgrad", "adamw"])
def test_a_recorded_step_counts_when_it_is_replayed(case: str) -> None:
    cls, settings, _ = CASES[case]
    ended = []
    for recorded in (False, True):
        torch.manual_seed(0)
        weights = [torch.nn.Parameter(torch.randn(s, device=GPU)) for s in ((300, 200), (200,))]
        for w in weights:
            w.grad = torch.randn_like(w)
        optimizer = cls(weights, **settings, l1=1e-2, capturable=True)
        for _ in range(3):
            optimizer.step()
        penalties = []
        graph = torch.cuda.CUDAGraph()
        if recorded:
            with torch.cuda.graph(graph):
                optimizer.step()
        for _ in range(20):
            graph.replay() if recorded else optimizer.step()
            penalties.append(optimizer.penalty)
        for _ in range(2):
            optimizer.step()
        assert {int(s["step"]) for s in optimizer.state.values()} == {25}
        ended.append(
            [*(w.detach() for w in weights), *state_of(torch.nn.Module(), optimizer), np.array(penalties)]
        )
    assert_same(ended[1], ended[0], case)


def test_a_recording_that_would_go_wrong_is_refused() -> None:
    cls, settings, _ = CASES["adam"]
    w = torch.nn.Parameter(torch.ones(5, device=GPU))
    w.grad = torch.ones_like(w)
    plain, fresh = cls([w], **settings), cls([w], **settings, capturable=True)
    plain.step()
    said = []
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        for optimizer in (plain, fresh):
            try:
                optimizer.step()
            except RuntimeError as error:
                said.append(str(error))
        w.data.add_(0)
    assert "capturable=True" in said[0]
    assert "take it before" in said[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ["linear", "relu", "gelu"])
def test_linear_and_dropout_have_the_bits_of_the_cpu(activation: str, dtype: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 9, 5), (7, 5), (7,), (4, 9, 7))
    values = [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]
    ended = []
    for device in (CPU, GPU):
        x, w, b = (v.to(device).requires_grad_() for v in values[:3])
        y = dropout(linear(x, w, b, activation, p=0.3, seed=5, step=1), 0.4, seed=6, step=2)
        ended.append([y, *torch.autograd.grad(y, (x, w, b), values[3].to(device))])
    assert_same(ended[1], ended[0], activation)
    strided = values[0].to(GPU)[:, :, :].transpose(0, 1).contiguous().transpose(0, 1)
    assert_same([linear(strided, *(v.to(GPU) for v in values[1:3]))], [linear(*values[:3])], "strided")
    seeds = torch.tensor(6, device=GPU), torch.tensor(2, device=GPU)
    assert_same(
        [dropout(values[0].to(GPU), 0.4, *seeds)], [dropout(values[0], 0.4, 6, 2)], "an address on the GPU"
    )


def test_counters_stay_on_the_cpu() -> None:
    model = network(CPU).cuda()
    assert {b.device for b in model.buffers()} == {CPU}
    model.load_state_dict({k: v.cuda() for k, v in model.state_dict().items()})
    model(torch.ones(3, 6, device=GPU))
    assert [int(m.step) for m in model[:2]] == [1, 1]
    assert {b.device for b in model.buffers()} == {CPU}


def test_the_operators_pass_torchs_own_check() -> None:
    x, w, b = (torch.randn(s, device=GPU, requires_grad=True) for s in ((6, 5), (4, 5), (4,)))
    address, operators = torch.tensor([-3, 5]), torch.ops.fastreg
    forward_arguments = (x, w, b, "gelu", 0.0, 0.5, address, 2)
    assert set(torch.library.opcheck(operators.linear.default, forward_arguments).values()) == {"SUCCESS"}
    assert set(torch.library.opcheck(operators.dropout.default, (x, 0.5, address, 2)).values()) == {"SUCCESS"}
    x, w = x.detach(), w.detach()
    y, z = (t.detach() for t in operators.linear(*forward_arguments))
    arguments = (torch.randn(6, 4, device=GPU), x, w, y, z, "gelu", 0.0, 0.5, address, 2, True, True)
    assert set(torch.library.opcheck(operators.linear_backward.default, arguments).values()) == {"SUCCESS"}


def test_a_compiled_model_has_the_same_bits() -> None:
    torch._dynamo.reset()
    plain, compiled = network(GPU), network(GPU)
    run = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        x = torch.randn(10, 6, device=GPU)
        assert torch.equal(plain(x), run(x))


def test_tensors_in_two_places_are_refused() -> None:
    with pytest.raises((ValueError, RuntimeError), match=r"CPU|cpu"):
        linear(torch.ones(3, 5, device=GPU), torch.ones(4, 5))
