"""The list of workloads. A new one is an entry here; a new kind is a class in networks.py or operations.py, and a maker
in the peers that can play it. It must not know any framework, nor how anything is timed."""

from __future__ import annotations

from workloads.base import Array, Outputs, Workload
from workloads.networks import Layer, Network, Prediction, Training
from workloads.operations import Dense, Dropout, Import, Update

__all__ = ["FAMILIES", "WORKLOADS", "Array", "Outputs", "Workload"]

SEED = Network(
    name="seed",
    title="30-64-64-1, L1(1e-3), L2(1e-3), dropout .5/.3, batch 32, Adam",
    features=30,
    layers=(Layer(64, l1=1e-3, rate=0.5), Layer(64, l2=1e-3, rate=0.3), Layer(1)),
    batch_size=32,
    loss="binary",
)
WIDE = Network(
    name="wide",
    title="784-512-512-10, L1L2(1e-5, 1e-5), dropout .2/.5, batch 128, Adam",
    features=784,
    layers=(
        Layer(512, l1=1e-5, l2=1e-5, rate=0.2),
        Layer(512, l1=1e-5, l2=1e-5, rate=0.5),
        Layer(10, l1=1e-5, l2=1e-5),
    ),
    batch_size=128,
    loss="classes",
)
DEEP = Network(
    name="deep",
    title="100-1024-1024-1024-1, L1L2(1e-6, 1e-6), batch 1024, AdamW, mean squared error",
    features=100,
    layers=(*(Layer(1024, l1=1e-6, l2=1e-6),) * 3, Layer(1, l1=1e-6, l2=1e-6)),
    batch_size=1024,
    loss="squares",
    weight_decay=0.01,
)
TINY = Network(
    name="tiny",
    title="16-16-16-1, L1(1e-3), L2(1e-3), dropout .5/.3, batch 1, Adam",
    features=16,
    layers=(Layer(16, l1=1e-3, rate=0.5), Layer(16, l2=1e-3, rate=0.3), Layer(1)),
    batch_size=1,
    loss="binary",
)

SHAPES = (
    (1, 16, 16), (7, 13, 5), (33, 65, 129), (100, 300, 10), (1, 512, 512), (32, 64, 64), (128, 784, 512),
    (512, 512, 512), (1000, 1000, 1000), (4096, 100, 1024), (4096, 1024, 1024),
)  # fmt: skip
QUICK_SHAPES = SHAPES[2], SHAPES[4], SHAPES[7]
SIZES = tuple(2**power for power in range(12, 25, 2))
QUICK_SIZES = 2**16, 2**20


def _training(network: Network, rows: int, family: str = "training", quick: bool = False) -> Training:
    return Training(
        name=f"train-{network.name}", family=family, group=f"{network.name}: {network.title}", label=network.name,
        network=network, rows=rows, quick=quick, seconds=40.0 if family == "training" else 8.0,
    )  # fmt: skip


def _prediction(network: Network) -> Prediction:
    return Prediction(
        name=f"predict-{network.name}", family="predict", group=f"predict, {network.name} net, 100,000 rows",
        label=network.name, network=network, rows=100_000, seconds=25.0,
    )  # fmt: skip


def _dense(shape: tuple[int, int, int], backward: bool, family: str = "dense") -> Dense:
    what, label = "forward + backward" if backward else "forward", "x".join(map(str, shape))
    overhead = family == "overhead"
    return Dense(
        name=f"{'call-' if overhead else ''}dense-{'backward' if backward else 'forward'}-{label}",
        family=family, group=f"one dense_forward, {label}" if overhead else f"dense {what}", label=label,
        batch=shape[0], inputs=shape[1], outputs=shape[2], backward=backward,
        quick=overhead or shape in QUICK_SHAPES,
    )  # fmt: skip


def _dropout(size: int, family: str = "dropout") -> Dropout:
    overhead = family == "overhead"
    return Dropout(
        name=f"{'call-' if overhead else ''}dropout-{size}", family=family,
        group=f"one dropout, {size} elements" if overhead else "dropout", label=f"{size:,}",
        size=size, quick=overhead or size in QUICK_SIZES,
    )  # fmt: skip


def _update(size: int) -> Update:
    return Update(
        name=f"update-{size}", family="update", group="elastic net + AdamW update", label=f"{size:,}",
        size=size, quick=size in QUICK_SIZES,
    )  # fmt: skip


_LIST: tuple[Workload, ...] = (
    _training(SEED, rows=16_000, quick=True),
    _training(WIDE, rows=12_800, quick=True),
    _training(DEEP, rows=4_096),
    _prediction(SEED),
    _prediction(WIDE),
    *(_dense(shape, backward) for backward in (False, True) for shape in SHAPES),
    *map(_dropout, SIZES),
    *map(_update, SIZES),
    _training(TINY, rows=1_000, family="overhead", quick=True),
    _dense((1, 16, 16), backward=False, family="overhead"),
    _dropout(16, family="overhead"),
    Import(name="import", family="start", group="import, beyond NumPy", label="import"),
)
WORKLOADS = {workload.name: workload for workload in _LIST}
FAMILIES = tuple(dict.fromkeys(workload.family for workload in _LIST))
