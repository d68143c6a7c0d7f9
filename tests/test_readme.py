"""The Python programs in README.md run, in order, in one namespace, and its list of what there is is the code's.
It must not know what the programs do."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_readme_programs_run(tmp_path: Path, monkeypatch) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert programs, "README.md shows no Python program"
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for program in programs:
        exec(compile(program, str(README), "exec"), namespace)


BASES = {
    "Callback", "Constraint", "Initializer", "LearningRateSchedule", "Loss", "Metric", "Optimizer", "Regularizer",
}  # fmt: skip
LISTED = {
    module: re.findall(r"\w+", re.sub(r"\(.*?\)", "", names))
    for module, names in re.findall(r"^\| `([\w.]+)` \| (.*) \|$", README.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize(
    "module",
    [
        "optimizers",
        "optimizers.schedules",
        "losses",
        "metrics",
        "regularizers",
        "constraints",
        "initializers",
    ],
)
def test_readme_lists_the_classes_of(module: str) -> None:
    there = {
        name for name in importlib.import_module(f"fastreg.{module}").__all__ if name[0].isupper()
    } - BASES
    listed = {name for name in LISTED[module] if name[0].isupper()}
    if module == "metrics":  # the row refers to the losses
        listed |= set(LISTED["losses"]) & there
    assert listed == there


def test_readme_lists_the_activations() -> None:
    there = set(importlib.import_module("fastreg.activations").__all__) - {"get", "swish"}
    assert set(LISTED["activations"]) == there
