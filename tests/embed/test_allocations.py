"""A step of a training allocates nothing: allocations.c counts what is asked of malloc and its like.
It must not know where the library keeps its memory."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from c_library import LINKED

SOURCE = Path(__file__).with_name("allocations.c")

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the program stands before glibc's malloc"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler is installed")
    path = tmp_path_factory.mktemp("allocations") / "allocations"
    flags = ["-std=c11", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(path), "-rdynamic", *LINKED], check=True)
    return path


def counts(program: Path, *arguments: str) -> dict[str, tuple[int, int, int]]:
    """Of each network: calls until it is warm, calls afterwards, and in how many steps."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"(\w+): (\d+) until epoch \d+, (\d+) in the next (\d+) steps", done.stdout)
    assert [name for name, *_ in found] == ["small", "large"], done.stdout
    return {name: (int(warm), int(later), int(steps)) for name, warm, later, steps in found}


def test_steps_allocate_nothing(program: Path) -> None:
    for name, (warm, later, steps) in counts(program).items():
        assert warm > 5, f"{name}: the library's own calls are not counted"
        assert steps >= 12
        assert later == 0, f"{name}: {later} allocations in {steps} steps"


def test_a_planted_allocation_is_seen(program: Path) -> None:
    for _, later, _ in counts(program, "planted").values():
        assert later == 4
