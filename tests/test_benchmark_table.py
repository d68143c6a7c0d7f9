"""README's table of times holds what the runs that it names measured.

It must not measure anything.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TRAINING, OPERATIONS, AVX2 = (
    ROOT / "benchmarks/results" / f"{run}.md"
    for run in ("20261129T154932Z", "20261129T124558Z", "20261129T130949Z")
)
# README's words for a row: the run that it is of, and how its row begins there.
ROWS: dict[str, tuple[Path, str]] = {
    "30-64-64-1, batch 32": (TRAINING, "seed:"),
    "the same, every library held to AVX2": (AVX2, "seed:"),
    "784-512-512-10, batch 128": (TRAINING, "wide:"),
    '100-1024-1024-1024-1, batch 1024 ("deep")': (TRAINING, "deep:"),
    "predict 100,000 rows, 30-64-64-1": (TRAINING, "predict, seed"),
    "predict 100,000 rows, 784-512-512-10": (TRAINING, "predict, wide"),
    "dense forward, 11 shapes": (OPERATIONS, "dense forward |"),
    "dense forward + backward, 11 shapes": (OPERATIONS, "dense forward + backward |"),
    "dropout, 2^12 to 2^24 elements": (OPERATIONS, "dropout |"),
    "elastic net + AdamW, 2^12 to 2^24 weights": (OPERATIONS, "elastic net"),
    "width 16, batch 1": (TRAINING, "tiny:"),
}
COLUMNS = ("fastreg", "torch", "torch_compile", "jax", "keras_jax", "keras_tf", "sklearn", "numpy")
Cells = list[float]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def numbers(cell: str) -> Cells:
    return [float(number) for number in re.findall(r"[\d.]+", cell)]


def measured(run: Path, beginning: str, threads: str) -> dict[str, Cells]:
    """By contestant, of the run's summary; JAX's the better of its two forms, as README says."""
    lines = run.read_text().splitlines()
    header = cells_of(next(line for line in lines if line.startswith("| workload | threads | fastreg")))
    row = next(
        cells_of(line) for line in lines if line.startswith(f"| {beginning}") and cells_of(line)[1] == threads
    )
    found = {name: numbers(cell) for name, cell in zip(header[2:], row[2:], strict=True)}
    forms = [found[name] for name in ("jax", "jax_premasked") if found.get(name)]
    return {**found, "jax": min(forms, default=[])}


TABLE = [
    cells_of(line)
    for line in (ROOT / "README.md").read_text().splitlines()
    if line.startswith("| ") and cells_of(line)[1] in ("1", "2")
]


def test_every_row_is_known() -> None:
    assert len(TABLE) == 2 * len(ROWS)
    assert {row[0] for row in TABLE} == ROWS.keys()
    readme = (ROOT / "README.md").read_text()
    assert all(f"benchmarks/results/{run.name}" in readme for run in (TRAINING, OPERATIONS, AVX2))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}, {row[1]} threads")
def test_a_row_is_as_measured(row: list[str]) -> None:
    run, beginning = ROWS[row[0]]
    expected = measured(run, beginning, row[1])
    if "shapes" in row[0] or "2^24" in row[0]:
        assert row[2] == ""  # a step has no time of its own there
        expected["fastreg"] = []
    for name, cell in zip(COLUMNS, row[2:], strict=True):
        assert numbers(cell) == pytest.approx(expected.get(name, []), rel=0.006), (name, cell)
