"""Fast and bf16 precision: the error of matrix products against float64, on data of every kind; what trainings reach.

It must not know how the products are made. Bits are asked for between runs only. It is over 250 lines because
products, layers and trainings share its data and its measure of error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from checks import EMULATED, sha256
from device_cases import (
    CLASSES,
    ROWS,
    X,
    bfloat_bits,
    from_bfloat_bits,
    hidden,
    needs_gpu,
    too_much_to_emulate,
)
from fastreg.layers import Dense, Dropout
from fastreg.models import Sequential

needs_gpu()
Data = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
DATA: dict[str, Data] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "positive": lambda rng, shape: np.abs(rng.normal(size=shape)),  # after a ReLU: truncation shows as a bias
    "wide": lambda rng, shape: rng.normal(size=shape) * np.exp(3 * rng.normal(size=shape)),
    "huge": lambda rng, shape: 1e15 * rng.normal(size=shape),
    "tiny": lambda rng, shape: 1e-9 * rng.normal(size=shape),  # below 1.4e-17 gradients are 0
}
# (rows, length of a sum, columns): three that tensor cores make, and three too small for them
SHAPES = [
    (1024, 1024, 512),
    (600, 4096, 257),
    (4100, 1000, 130),
    (100, 129, 33),
    (1, 2000, 512),
    (300, 5, 300),
]
EMULATED_LARGE = [("forward", "normal"), ("forward", "wide"), ("dW", "normal")]
SHAPE_IDS = ["x".join(map(str, shape)) for shape in SHAPES]


def product(x: np.ndarray, w: np.ndarray, precision: str) -> np.ndarray:
    """x @ w by a layer's forward pass."""
    model = Sequential([Dense(w.shape[1], use_bias=False)], seed=0, device="cuda", precision=precision)
    model.build((None, w.shape[0]))
    model.set_weights([w])
    return model.predict(x)


def weight_gradient(x: np.ndarray, dy: np.ndarray, precision: str) -> np.ndarray:
    """x.T @ dy by one step from weights of 0, whose mean squared error has the gradient dy, or nearly."""
    rows, units = dy.shape
    model = Sequential([Dense(units, use_bias=False)], seed=0, device="cuda", precision=precision)
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 1.0
    model.build((None, x.shape[1]))
    model.set_weights([np.zeros((x.shape[1], units))])
    model.fit(x, -dy * (rows * units / 2), batch_size=rows, verbose=0, shuffle=False)
    return -model.get_weights()[0]


def input_gradient(dy: np.ndarray, w: np.ndarray, precision: str) -> np.ndarray:
    """dy @ w.T by one step: it becomes the weight gradient of a layer before, whose input is the identity."""
    rows, units = dy.shape
    first, last = Dense(w.shape[0], use_bias=False), Dense(units, use_bias=False)
    model = Sequential([first, last], seed=0, device="cuda", precision=precision)
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 1.0
    model.build((None, rows))
    model.set_weights([np.zeros((rows, w.shape[0])), w])
    model.fit(np.eye(rows), -dy * (rows * units / 2), batch_size=rows, verbose=0, shuffle=False)
    return -model.get_weights()[0]


def sequential(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b, summed in float32 one after another, as a float32 GEMM does."""
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        total += a[:, k : k + 1] * b[k]
    return total


def error(got: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square, relative to the result's."""
    assert np.isfinite(got).all()
    return float(np.sqrt(np.mean((got - exact) ** 2) / np.mean(exact**2)))


PRODUCTS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., Any]]] = {
    # from (a, b) with the product a @ b: the arguments of the function
    "forward": (product, lambda a, b: (a, b)),
    "dW": (weight_gradient, lambda a, b: (np.ascontiguousarray(a.T), b)),
    "dX": (input_gradient, lambda a, b: (a, np.ascontiguousarray(b.T))),
}


@pytest.mark.parametrize("shape", SHAPES, ids=SHAPE_IDS)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", PRODUCTS)
def test_fast_is_as_accurate_as_float32(name: str, data: str, shape: tuple[int, int, int]) -> None:
    """Not above the error of sequential float32 sums, but for the roundings of short ones: 2 ** -22."""
    rng, (m, k, n) = np.random.default_rng(0), shape
    if EMULATED and m * k * n > 2**26 and (shape != SHAPES[0] or (name, data) not in EMULATED_LARGE):
        pytest.skip("of large products an emulator makes a few")
    a, b = DATA[data](rng, (m, k)).astype(np.float32), DATA["normal"](rng, (k, n)).astype(np.float32)
    if data == "positive":
        b = np.abs(b)
    call, arguments = PRODUCTS[name]
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = max(error(sequential(a, b), exact), 2.0**-22)
    got = error(call(*arguments(a, b), precision="fast"), exact)
    assert got <= bound, f"fast: {got:.2e}; sequential float32 sums: {bound:.2e}"


@pytest.mark.parametrize("far", ["samples", "units"])
def test_fast_gradients_of_weights_that_are_far_below_others(far: str) -> None:
    """Samples that are learned by heart, among others; and units of small gradients: of each unit the error is no more
    than that of float32 sums."""
    rng, (features, rows, units) = np.random.default_rng(6), (520, 1000, 512)
    x, dy = rng.normal(size=(rows, features)), rng.normal(size=(rows, units))
    if far == "samples":
        dy *= np.where(rng.random((rows, 1)) < 0.9, 1e-13, 1)
        dy *= rng.random(dy.shape) < 0.5  # as ReLU does: some columns have small numbers alone
    else:
        dy[:, ::7] *= 1e-13
    x, dy = x.astype(np.float32), dy.astype(np.float32)
    x *= 2.0**30  # so that no gradient is small for an optimizer
    got, exact = weight_gradient(x, dy, "fast"), x.T.astype(np.float64) @ dy.astype(np.float64)
    plain = sequential(np.ascontiguousarray(x.T), dy)
    for unit in range(units):
        bound = max(error(plain[:, unit], exact[:, unit]), 2.0**-22)
        assert error(got[:, unit], exact[:, unit]) <= bound, f"unit {unit}"


@pytest.mark.parametrize("precision", ["fast", "bf16"])
def test_gradients_of_biases(precision: str) -> None:
    """The sums over a batch, which the products' split pass makes: float32 sums in every precision."""
    rng, (features, rows, units) = np.random.default_rng(7), (512, 1030, 514)
    x, dy = (rng.normal(size=shape).astype(np.float32) for shape in ((rows, features), (rows, units)))
    dy += 1
    model = Sequential([Dense(units)], seed=0, device="cuda", precision=precision)
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 1.0
    model.build((None, features))
    model.set_weights([np.zeros((features, units)), np.zeros(units)])
    model.fit(x, -dy * (rows * units / 2), batch_size=rows, verbose=0, shuffle=False)
    assert error(-model.get_weights()[1], dy.sum(axis=0, dtype=np.float64)) < 2.0**-22


@pytest.mark.parametrize("name", PRODUCTS)
def test_bf16_is_near(name: str) -> None:
    """Operands with 8 bits: about 2 ** -9 each, and float32 sums."""
    rng, (m, k, n) = np.random.default_rng(0), (512, 1024, 520)
    a, b = (np.abs(rng.normal(size=shape)).astype(np.float32) for shape in ((m, k), (k, n)))
    call, arguments = PRODUCTS[name]
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert error(call(*arguments(a, b), precision="bf16"), exact) < 2.0**-8


def bfloat(x: np.ndarray) -> np.ndarray:
    """Rounded to bfloat16, to nearest, ties to even."""
    return from_bfloat_bits(bfloat_bits(np.asarray(x, np.float32)))


def phi(z: np.ndarray) -> np.ndarray:
    return (1 + np.vectorize(math.erf)(z / np.sqrt(2))) / 2


def exactly(x: np.ndarray) -> np.ndarray:
    return x


# From a layer's Z: its output, and f' as a function of what is kept of output and Z.
KEPT: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda y, z: y * (1 - y)),
    "gelu": (lambda z: z * phi(z), lambda y, z: phi(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)),
    "relu": (lambda z: np.maximum(z, 0), lambda y, z: y > 0),
}


@pytest.mark.parametrize("rows", [1100, 1])
@pytest.mark.parametrize("activation", KEPT)
def test_bf16_keeps_what_large_layers_pass_on_as_bfloat16(activation: str, rows: int) -> None:
    """One step of SGD, against float64 with the roundings that the layers are to make, and without those of what is
    kept: a batch of 1100 rows is kept as bfloat16, one row is not."""
    rng, (features, width) = np.random.default_rng(4), (512, 514)
    x, w, b = (
        rng.normal(size=(rows, features)),
        rng.normal(size=(features, width)) / 12,
        rng.normal(size=width),
    )
    last, target = rng.normal(size=(width, 64)), rng.normal(size=(rows, 64))
    x, w, b, last, target = (a.astype(np.float32) for a in (x, w, b, last, target))
    layers = [Dense(width, activation=activation), Dense(64, use_bias=False)]
    model = Sequential(layers, seed=0, device="cuda", precision="bf16")
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = rate = 64.0
    model.build((None, features))
    model.set_weights([w, b, last])
    model.fit(x, target, batch_size=rows, epochs=1, verbose=0, shuffle=False)
    f, derivative = KEPT[activation]

    def bias_step(keep: Callable[..., np.ndarray], operand: Callable[..., np.ndarray]) -> np.ndarray:
        z = operand(x).astype(float) @ operand(w) + b
        y = keep(f(z).astype(np.float32)).astype(float)
        out = operand(y).astype(float) @ operand(last)
        gradient = (2 / target.size) * (out - target)
        dy = operand(gradient).astype(float) @ operand(last).T
        dz = dy * derivative(y, keep(z.astype(np.float32)).astype(float))
        return rate * dz.sum(axis=0)

    # Weight gradients would add the rounding of dZ to all others; those of the bias are float32 sums.
    got = b - model.get_weights()[1]
    if rows == 1:
        assert error(got, bias_step(exactly, exactly)) < 1e-5
        return
    near, far = (error(got, bias_step(keep, bfloat)) for keep in (bfloat, exactly))
    assert near < 2e-4
    if activation != "relu":  # whose f' is in no need of bits
        assert far > 5 * near, (
            f"{near:.1e} from a training that keeps bfloat16, {far:.1e} from one that does not"
        )
    predicted = model.predict(x)
    w, b, last = model.get_weights()
    y = bfloat(f(bfloat(x).astype(float) @ bfloat(w) + b)).astype(float)
    assert error(predicted, y @ bfloat(last)) < 2e-4


@pytest.mark.parametrize("precision", ["fast", "bf16"])
def test_what_is_not_finite_stays_in_its_row(precision: str) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1100, 512)), rng.normal(size=(512, 514))
    clean = product(x, w, precision)
    x[7, 3], x[200, 100], x[201, 0] = np.nan, np.inf, -np.inf
    got, bad = product(x, w, precision), np.isin(np.arange(1100), [7, 200, 201])
    assert not np.isfinite(got[bad]).any()
    assert np.isfinite(got[~bad]).all()
    assert error(got[~bad], clean[~bad]) < 2.0**-7


def trained(precision: str, device: str = "cuda", **fit: Any) -> tuple[list[float], list[np.ndarray]]:
    rng = np.random.default_rng(2)
    x = np.concatenate([X, rng.normal(size=(2000 - ROWS, X.shape[1]))])
    y = np.concatenate([CLASSES, rng.integers(0, 3, 2000 - ROWS)])
    model = Sequential(
        hidden(Dense(3, activation="softmax"), width=1024), seed=7, device=device, precision=precision
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, y, verbose=0, **({"batch_size": 500, "epochs": 20} | fit))
    return history.history["loss"], model.get_weights()


@too_much_to_emulate
@pytest.mark.parametrize(("precision", "tolerance"), [("fast", 2e-3), ("bf16", 5e-2)])
def test_training_reaches_the_same_loss(precision: str, tolerance: float) -> None:
    exact, other = trained("exact")[0], trained(precision)[0]
    assert exact[-1] < 0.9 * exact[0], "the training must have something to reach"
    assert other[0] == pytest.approx(exact[0], rel=tolerance / 10)
    assert other[-1] == pytest.approx(exact[-1], rel=tolerance)


@too_much_to_emulate
@pytest.mark.parametrize("precision", ["exact", "fast", "bf16"])
def test_the_same_bits_in_every_run(precision: str) -> None:
    first, second = (trained(precision, epochs=5) for _ in range(2))
    assert first[0] == second[0]
    assert sha256(first[1]) == sha256(second[1])


@too_much_to_emulate
def test_precisions_differ() -> None:
    """They could not be compared above if all were the same code."""
    digests = {sha256(trained(precision, epochs=1)[1]) for precision in ("exact", "fast", "bf16")}
    assert len(digests) == 3


@pytest.mark.parametrize("precision", ["fast", "bf16"])
def test_predictions_do_not_depend_on_the_batch_size(precision: str) -> None:
    """The promise of `predict` holds for every precision."""
    rng = np.random.default_rng(3)
    model = Sequential([Dense(256)], seed=0, device="cuda", precision=precision)
    x = rng.normal(size=(2700, 500)).astype(np.float32)
    digests = {sha256([model.predict(x, batch_size=size)]) for size in (7, 128, 1000, 5000)}
    assert len(digests) == 1


@pytest.mark.parametrize("width", [520, 514])  # what a layer passes on: in groups of 8 draws, or not
@pytest.mark.parametrize(("precision", "tolerance"), [("fast", 1e-5), ("bf16", 5e-2)])
def test_a_step_through_relu_and_dropout(precision: str, tolerance: float, width: int) -> None:
    """Every kind of epilogue that a large layer has, against exact products: the same masks, nearly the same step."""
    rng, rows, features = np.random.default_rng(5), 1100, 512
    x, target = (rng.normal(size=(rows, features)).astype(np.float32) for _ in range(2))
    biases = [rng.normal(size=units).astype(np.float32) for units in (width, features)]

    def step(precision: str) -> tuple[np.ndarray, list[np.ndarray]]:
        layers = [Dense(width, activation="relu"), Dropout(0.5), Dense(features, activation="relu")]
        model = Sequential(layers, seed=3, device="cuda", precision=precision)
        model.compile("sgd", "mse")
        model.optimizer.learning_rate = 64.0
        model.build((None, features))
        kernels = model.get_weights()[::2]
        model.set_weights([kernels[0], biases[0], kernels[1], biases[1]])
        before, predicted = model.get_weights(), model.predict(x)
        model.fit(x, target, batch_size=rows, verbose=0, shuffle=False)
        return predicted, [a - b for a, b in zip(before, model.get_weights(), strict=True)]

    (predicted, steps), (exact, exact_steps) = step(precision), step("exact")
    assert error(predicted, exact) < tolerance
    for name, got, wanted in zip(("W1", "b1", "W2", "b2"), steps, exact_steps, strict=True):
        assert np.abs(wanted).max() > 1e-2, f"{name} hardly moved"
        assert error(got, wanted) < tolerance, f"{name}: {error(got, wanted):.1e}"


@pytest.mark.parametrize("outputs", [10, 1])
def test_a_last_layer_of_few_outputs_takes_bfloat16(outputs: int) -> None:
    """One step with a batch for which such products have kernels of their own, against float64 with the roundings of
    what the layer before passes on: weights and gradients of the last layer are not rounded."""
    rng, (rows, features, width) = np.random.default_rng(8), (16_500, 64, 264)
    x, target = rng.normal(size=(rows, features)), rng.normal(size=(rows, outputs))
    w, last = rng.normal(size=(features, width)) / 8, rng.normal(size=(width, outputs)) / 16
    x, target, w, last = (a.astype(np.float32) for a in (x, target, w, last))
    layers = [Dense(width, activation="relu", use_bias=False), Dense(outputs)]
    model = Sequential(layers, seed=0, device="cuda", precision="bf16")
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = rate = 64.0
    model.build((None, features))
    model.set_weights([w, last, np.zeros(outputs)])
    y = bfloat(np.maximum(bfloat(x) @ bfloat(w), 0)).astype(float)  # nearly: those sums are float32
    out = y @ last
    assert error(model.predict(x[:16384]), out[:16384]) < 4e-4
    model.fit(x, target, batch_size=rows, epochs=1, verbose=0, shuffle=False)
    dz = 2 / target.size * (out - target)
    dw = x.T.astype(float) @ (dz @ last.T.astype(float) * (y > 0))
    steps = [before - after for before, after in zip((w, last, 0), model.get_weights(), strict=True)]
    assert error(steps[1], rate * y.T @ dz) < 4e-4
    assert error(steps[2], rate * dz.sum(axis=0)) < 4e-4
    assert error(steps[0], rate * dw) < 2.0**-7  # its own product rounds what it takes


def test_a_sum_of_minus_zeros_of_bfloat16_stays_minus_zero() -> None:
    """A last layer of few outputs, 0 times -1 onto -0; its number of inputs is no multiple of 32."""
    rows, features, width, outputs = 16_384, 224, 72, 3
    layers = [Dense(width, activation="relu", use_bias=False), Dense(outputs)]
    model = Sequential(layers, seed=0, device="cuda", precision="bf16")
    model.build((None, features))
    model.set_weights([np.full((features, width), -1), np.full((width, outputs), -1), np.full(outputs, -0.0)])
    predicted = model.predict(np.ones((rows, features), np.float32))
    assert (predicted == 0).all()
    assert np.signbit(predicted).all()
