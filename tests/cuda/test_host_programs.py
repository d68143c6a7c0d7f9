"""The CUDA plugin's plain functions - plans, layouts, tile orders - by the programs *_test.cpp of this folder, compiled
without CUDA and run.

It must not know what they check.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from checks import cxx_compiler

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
PROGRAMS = sorted(HERE.glob("*_test.cpp"))
FLAGS = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", f"-I{CSRC}"]


def test_there_are_programs() -> None:
    assert PROGRAMS


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_program(source: Path, tmp_path: Path) -> None:
    program = tmp_path / source.stem
    subprocess.run([cxx_compiler(), *FLAGS, str(source), "-o", str(program)], check=True)
    ran = subprocess.run([program], capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.strip(), f"{source.name} must print what it checked"
    assert "FAIL" not in ran.stdout
