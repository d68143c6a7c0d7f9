"""The native module: a thin binding over libfastreg. It must not know words or history, which live in the Python
modules beside it. It is over 250 lines because it is the whole interface between the two.

Conventions. X (batch, in), W (in, out), b (out,), Y (batch, out). Arrays are float32 or float64 and all arrays of
one call have the same dtype (TypeError otherwise). Inputs may be strided where a function says so; outputs are never
copied.
Calls that compute release the GIL. Errors: ValueError, TypeError, MemoryError, RuntimeError, KeyboardInterrupt.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float32 or float64
# Rows of a sparse x: the elements of row r are those from starts[r] to starts[r + 1], by increasing column:
# (starts, columns, values, features), the first three contiguous, values of the session's dtype.
Sparse = tuple[NDArray[np.int64], NDArray[np.int32], Array, int]

class BuildInfo(TypedDict):
    version: str
    compiler: str
    isas_compiled: list[str]
    isas_runnable: list[str]
    isa: str
    num_threads: int
    cuda: str

# ---- process-wide ------------------------------------------------------------------------------------------------
def build_info() -> BuildInfo: ...
def set_isa(name: str) -> None:
    """Use the table `name` ("scalar", "avx2", "avx512", "neon"; "cuda": copies to a GPU and back) from now on;
    ValueError when this CPU cannot run it, RuntimeError when there is no GPU. For tests; FASTREG_ISA does the same at
    import."""

def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def cuda_device_count() -> int:
    """How many GPUs can be used, at least 1; RuntimeError says what is missing where none can."""

def cuda_device_name(device: int) -> str: ...
def cuda_device_of(address: int) -> int:
    """The GPU in whose memory an address is; -1: in none's."""

def cuda_order(first: int, second: int) -> None:
    """What comes on the stream `second` from now on waits for what is on `first`."""

class RawArray:
    """An array in the memory of the host (stream None) or of the first GPU, which the functions on arrays below take
    as they take NumPy's; `owner`, or else the caller, keeps the memory alive. On a GPU a call is enqueued on the
    `stream` of its first array (1: the legacy default stream) and returns without waiting, unless it returns a number.
    strides: in bytes; None: C order."""

    def __init__(
        self,
        address: int,
        shape: Sequence[int],
        strides: Sequence[int] | None,
        dtype: str,
        writeable: bool,
        stream: int | None,
        owner: Any = None,
    ) -> None: ...
    @staticmethod
    def from_dlpack(capsule: Any, stream: int) -> RawArray:
        """TypeError for what is not float32, float64 or bfloat16 (which `dropout` takes) on CUDA:0."""

    @property
    def address(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def writeable(self) -> bool: ...
    @property
    def stream(self) -> int | None: ...

Operand = Array | RawArray  # all of a call in one place

# ---- the session -------------------------------------------------------------------------------------------------
class Session:
    """A model being trained. See csrc/core/session.h.

    layers: one dict per layer. Missing keys take the defaults shown.
      {"kind": "dense", "units": int, "activation": "linear", "alpha": 0.0, "use_bias": True,
       "kernel_penalty": PENALTY, "bias_penalty": PENALTY, "activity_penalty": PENALTY,
       "kernel_constraint": CONSTRAINT, "bias_constraint": CONSTRAINT}
      {"kind": "activation", "activation": str, "alpha": 0.0, "activity_penalty": PENALTY}
      {"kind": "dropout", "rate": float, "seed": int, "stream": int, "scale_at_inference": False}
      PENALTY = {"l1": 0.0, "l2": 0.0, "proximal": True}
      CONSTRAINT = {"kind": "none" | "max_norm" | "non_neg" | "unit_norm", "value": 0.0, "axis": 0 | 1 | -1}
    activation: linear relu leaky_relu elu selu gelu gelu_tanh silu tanh sigmoid softplus softmax
      (alpha: slope of leaky_relu, scale of elu).
    """

    def __init__(
        self,
        layers: list[dict[str, Any]],
        input_units: int,
        dtype: str,
        seed: int,
        device: str = "cpu",
        precision: str = "exact",
    ) -> None:
        """device: "cpu" | "cuda"; precision, of products on a GPU: "exact" | "fast" | "bf16". See session.h."""

    def compile(self, loss: dict[str, Any], optimizer: dict[str, Any], metrics: list[dict[str, Any]]) -> None:
        """loss: {"kind": name, "from_logits": False, "label_smoothing": 0.0, "delta": 1.0}; names as rules/spec.h.
        optimizer: {"kind": "sgd" | "adam" | "rmsprop" | "adagrad", plus any field of OptimizerSpec}.
        metrics: {"kind": "binary_accuracy" | "categorical_accuracy" | "sparse_categorical_accuracy" | "loss" |
        "thresholds" | "r2" | "class_counts", "loss": LOSS dict, "threshold": 0.5, "thresholds": [ascending floats],
        "largest": False (class_counts: by the largest output, not by the threshold), "weighted": False}.
        Resets the optimizer's slots and the step. Parameters stay."""

    def begin_epoch(
        self,
        x: Array | Sparse,
        y: Array,
        sample_weight: Array | None,
        batch_size: int,
        shuffle: bool,
        fresh: bool = True,
    ) -> None:
        """x (rows, in), y (rows, k), sample_weight (rows,): C-contiguous, the session's dtype; kept alive until the
        epoch has finished. A sparse x needs a dense first layer. A GPU copies them, unless they are those of the last
        epoch and not `fresh`.
        For sparse_categorical_crossentropy y is (rows, 1) and holds class indices."""

    def run_steps(self, max_steps: int = -1, stop_on_nonfinite: bool = False) -> dict[str, Any]:
        """Run at most max_steps more batches of the epoch (-1: all). Totals so far:
        {"loss", "data_loss", "penalty": sums over rows (divide by rows), "rows", "steps": int,
        "finished", "nonfinite": bool, "metrics": list of float64 arrays, the accumulators of rules/spec.h}."""

    def end_epoch(self) -> None:
        """Let go of the epoch's arrays, also before it has finished; there are no more steps of it then."""

    def train_batch(self, x: Array | Sparse, y: Array, sample_weight: Array | None) -> dict[str, Any]: ...
    def evaluate(
        self, x: Array | Sparse, y: Array, sample_weight: Array | None, fresh: bool = True
    ) -> dict[str, Any]: ...
    def predict(self, x: Array | Sparse, out: Array) -> None:
        """out (rows, output_units): written in place."""

    def parameter_info(self) -> list[tuple[str, tuple[int, ...], int]]:
        """("kernel" or "bias", shape, layer index), in Keras's order."""

    def get_weights(self, first: int = 0, count: int | None = None) -> list[Array]:
        """Of `count` parameters from `first` on; None: of all that remain."""

    def set_weights(self, weights: list[Array], first: int = 0, count: int | None = None) -> None:
        """The same parameters, all or nothing: shapes are checked before anything is written."""

    def state(self) -> dict[str, Any]:
        """weights, slots ([slot][parameter]), step and epoch, all of one moment."""

    def slot_names(self) -> list[str]: ...
    def get_slots(self) -> list[list[Array]]:
        """[slot][parameter]."""

    def set_slots(self, slots: list[list[Array]]) -> None: ...
    def penalties(self) -> list[float]:
        """The current penalty value of every parameter."""

    def count_zeros(self) -> list[int]: ...
    def set_trainable(self, parameter: int, trainable: bool) -> None: ...
    def set_penalty(self, parameter: int, l1: float, l2: float, proximal: bool) -> None: ...
    def set_position(self, step: int, epoch: int) -> None: ...
    @property
    def learning_rate(self) -> float: ...
    @learning_rate.setter
    def learning_rate(self, value: float) -> None: ...
    def set_learning_rates(self, learning_rates: list[float]) -> None:
        """Those of the coming steps, at least one; later ones take the last."""

    @property
    def step(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def output_units(self) -> int: ...

# ---- initial weights (philox4x32-10, T0) ---------------------------------------------------------------------------
def initialize(
    kind: Literal["uniform", "normal", "truncated_normal"],
    shape: tuple[int, ...],
    a: float,
    b: float,
    seed: int,
    stream: int,
    dtype: str,
) -> Array:
    """uniform in [a, b], b by rounding alone; normal and truncated_normal (redrawn beyond two standard deviations):
    mean a, stddev b."""

def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which epoch `epoch` visits n rows when shuffled."""

def philox(
    seed: int, stream: int, step: int, first_block: int, n_blocks: int, rounds: Literal[7, 10]
) -> NDArray[np.uint32]:
    """(n_blocks, 4) raw philox4x32 words of counters (block lo, block hi, stream, step)."""

def all_finite(x: Array) -> bool:
    """x contiguous (C or F)."""

# ---- kernels on arrays; fastreg.ops documents them -----------------------------------------------------------------
# 1-D or 2-D inputs; "rows" layout: any array that is contiguous, or 2-D with contiguous rows, or 1-D with any stride
# (rows may run backwards but must not overlap). Softmax wants whole rows: no 1-D stride.
def dense_forward(
    x: Operand,
    w: Operand,
    b: Operand | None,
    activation: str,
    alpha: float,
    rate: float,
    seed: int,
    step: int,
    stream: int,
    out: Operand,
    z_out: Operand | None,
) -> None:
    """out = dropout(activation(x @ w + b)); x and w may have any strides; out and z_out (x @ w + b) rows layout."""

def dense_backward(
    dy: Operand,
    x: Operand,
    w: Operand,
    y: Operand,
    z: Operand | None,
    activation: str,
    alpha: float,
    rate: float,
    seed: int,
    step: int,
    stream: int,
    dx: Operand | None,
    dw: Operand,
    db: Operand | None,
    dw_transposed: bool = False,
) -> None:
    """From dL/d out to dL/dx, dL/dw, dL/db. y is dense_forward's out (without dropout's effect undone);
    z is required for every activation but linear, relu, tanh and sigmoid, and for the last two when rate > 0.
    softmax cannot be fused: dense_forward and dense_backward refuse it. dw_transposed: dw is (out, in)."""

def needs_z(activation: str, drops: bool) -> bool:
    """Whether dense_backward needs z of a layer, with dropout behind it or not."""

def activation_forward(x: Operand, activation: str, alpha: float, out: Operand) -> None: ...
def activation_backward(dy: Operand, x: Operand, activation: str, alpha: float, out: Operand) -> None:
    """x: what activation_forward was given."""

def loss_forward(
    y_true: Array,
    y_pred: Array,
    sample_weight: Array | None,
    loss: dict[str, Any],
    per_row: Array,
    gradient: Array | None,
) -> float:
    """per_row (rows,): unweighted loss of each row. gradient: of the returned mean, w.r.t. y_pred. Returns
    sum_i w_i per_row_i / rows. y_pred holds probabilities unless loss["from_logits"]."""

def dropout(x: Operand, rate: float, seed: int, step: int, stream: int, out: Operand) -> None:
    """Also its own backward: apply it to dy."""

def dropout_mask(n: int, rate: float, seed: int, step: int, stream: int, packed: bool) -> NDArray[np.uint8]:
    """n bytes of 0 or 1; or packed: (n + 7) // 8 bytes, bit i % 8 of byte i // 8."""

def elastic_net(w: Operand, l1: float, l2: float) -> float: ...
def elastic_net_gradient(w: Operand, l1: float, l2: float, out: Operand) -> None: ...
def prox(w: Operand, l1: float, l2: float, step: float, out: Operand) -> None:
    """argmin_u (u - w)^2 / 2 + step * (l1 |u| + l2 u^2), elementwise."""

def update(
    optimizer: dict[str, Any],
    w: Operand,
    g: Operand,
    slots: list[Operand],
    step: int,
    l1: float,
    l2: float,
    proximal: bool,
) -> float:
    """One optimizer step in place on w and slots, step counting from 1; returns the penalty of w before it.
    Slots by optimizer: sgd with momentum [momentum]; adam [m, v] or amsgrad [m, v, v_max]; rmsprop [v] then
    [momentum] if momentum > 0 then [mean_gradient] if centered; adagrad [accumulator]."""

def sgd_update(
    w: Operand,
    g: Operand,
    velocity: Operand | None,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    l1: float,
    l2: float,
    proximal: bool,
) -> float:
    """update by sgd; velocity is None without momentum."""

def adam_update(
    w: Operand,
    g: Operand,
    m: Operand,
    v: Operand,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    l1: float,
    l2: float,
    proximal: bool,
) -> float:
    """update by adam."""

def update_many(
    optimizer: dict[str, Any],
    weights: Sequence[Operand],
    gradients: Sequence[Operand],
    slots: Sequence[Sequence[Operand]],
    step: int,
    penalties: list[tuple[float, float, bool]],
    values: RawArray | None = None,
    clock: RawArray | None = None,
) -> list[float] | None:
    """update for many arrays in one step; everything is checked before anything is changed. penalties: (l1, l2,
    proximal) of each weight. What is written overlaps nothing else; gradients may overlap each other. Returns each
    weight's penalty before the step. For arrays on a GPU these may be left in `values`, float64 (n,), and nothing is
    returned; and step and learning rate may be read from `clock`, 24 bytes as float64 (3,): int64 steps taken, int64 0,
    the rate."""

def math_function(name: str, x: Operand, out: Operand) -> None:
    """out = name(x), elementwise: exp expm1 log log1p tanh sigmoid softplus norm_cdf cos_2pi. x, out contiguous."""
