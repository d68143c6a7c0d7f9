"""Programs of C++: the vector types of every instruction set this CPU runs against plain C++ (vec_test.cpp, compiled
and run for each), when steps are shared between threads (pace_test.cpp), and calls of several threads at once
(threads_test.cpp, with the installed library), structs of older and newer headers (structs_test.cpp). The kernel
benchmark is compiled only, since it times.

It must not know operations: those are tested through the installed package.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from c_library import LINKED
from checks import cxx_compiler
from fastreg import _core

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
KERNELS = HERE.parent.parent / "benchmarks" / "kernels"
FLAGS = {
    "scalar": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma"],
    "neon": [],
}


def passes(source: str, flags: list[str], folder: Path) -> int:
    """Compiles and runs a test program; how many checks it passed, all of them."""
    program = folder / "test"
    common = ["-std=c++17", "-O1", "-ffp-contract=off", "-fno-math-errno", f"-I{CSRC}"]
    subprocess.run([cxx_compiler(), *common, str(HERE / source), "-o", str(program), *flags], check=True)
    ran = subprocess.run([program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"(\d+) passed, 0 failed", ran.stdout)
    assert passed, ran.stdout
    return int(passed[1])


@pytest.mark.parametrize("isa", _core.build_info()["isas_runnable"])
def test_vector_types(isa: str, tmp_path: Path) -> None:
    names = [f"-DFASTREG_ISA_NAMESPACE={isa}", f'-DFASTREG_VEC_HEADER="cpu/vec_{isa}.h"']
    assert passes("vec_test.cpp", [*FLAGS[isa], *names], tmp_path) > 100


def test_pace(tmp_path: Path) -> None:
    assert passes("pace_test.cpp", [], tmp_path) >= 15


def test_structs(tmp_path: Path) -> None:
    flags = [f"-I{CSRC / 'include'}", '-DFASTREG_VERSION="0"']
    assert passes("structs_test.cpp", flags, tmp_path) >= 33


def test_calls_of_several_threads(tmp_path: Path) -> None:
    assert passes("threads_test.cpp", [*LINKED, "-pthread"], tmp_path) == 25


@pytest.mark.parametrize("source", sorted(KERNELS.glob("*.cpp")), ids=lambda path: path.stem)
def test_the_kernel_benchmark_compiles(source: Path) -> None:
    defines = [
        "-DFASTREG_ISA_NAMESPACE=scalar", '-DFASTREG_VEC_HEADER="cpu/vec_scalar.h"', "-DFASTREG_EACH_ISA=X(scalar)",
        '-DFASTREG_VERSION="0"',
    ]  # fmt: skip
    flags = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}"]
    subprocess.run([cxx_compiler(), *flags, *defines, str(source)], check=True)
