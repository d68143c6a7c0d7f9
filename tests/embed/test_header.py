"""fastreg.h as its users meet it: it compiles alone and strictly, and what it declares is what the library exports.

It must not call kernels.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fastreg
from c_library import HEADER, LIBRARY, LINKED, enum, lib

PROGRAM = """
#include <fastreg/fastreg.h>
#include <stdio.h>

#if FASTREG_VERSION_MAJOR == 0 && FASTREG_VERSION_MINOR < 1
#error "the version can be asked for"
#endif

int main(void) {
    float w[4] = {-2.0f, -0.25f, 0.5f, 3.0f};
    double penalty = 0.0;
    fr_layer layer = FR_LAYER_INIT(FR_DENSE);
    fr_dense dense = FR_DENSE_INIT;
    fr_loss loss = FR_LOSS_INIT(FR_HUBER);
    fr_optimizer adam = FR_OPTIMIZER_INIT(FR_ADAM, 1e-3);
    fr_totals totals = FR_TOTALS_INIT;
    if (layer.struct_size != sizeof layer || dense.struct_size != sizeof dense || loss.delta != 1.0) return 5;
    if (adam.beta_2 != 0.999 || adam.epsilon != 1e-7 || totals.rows != 0 || fr_n_slots(&adam) != 2) return 6;
    if (fr_abi_version() != FR_ABI_VERSION) return 1;
    if (fr_prox_f32(w, 4, 1.0, 0.0, 0.5, w) != FR_OK) return 2;
    if (fr_elastic_net_f32(w, 4, 1.0, 0.0, &penalty) != FR_OK) return 3;
    if (fr_prox_f32(w, 4, -1.0, 0.0, 0.5, w) != FR_INVALID_ARGUMENT) return 4;
    printf("%g %g %g %g %g", w[0], w[1], w[2], w[3], penalty);
    return 0;
}
"""
FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


@pytest.mark.parametrize(("tool", "standard"), [("gcc", "-std=c99"), ("g++", "-std=c++17")])
def test_a_program_without_python(tool: str, standard: str, tmp_path: Path) -> None:
    compiler = os.environ.get({"gcc": "CC", "g++": "CXX"}[tool]) or shutil.which(tool)
    if not compiler:
        pytest.skip(f"{tool} is not installed")
    source, program = tmp_path / ("use.c" if tool == "gcc" else "use.cpp"), tmp_path / "use"
    source.write_text(PROGRAM)
    subprocess.run([compiler, standard, str(source), "-o", str(program), *FLAGS, *LINKED], check=True)
    ran = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "-1.5 0 0 2.5 4")


def exported() -> dict[str, str]:
    """The version of each name that the library exports."""
    command = ["nm", "-D", "--defined-only", "--with-symbol-versions", str(LIBRARY)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    symbols = (line.split()[-2:] for line in listing.splitlines())
    # The versions themselves are symbols, too: absolute ones.
    return dict(name.split("@@") for kind, name in symbols if kind != "A")


@pytest.mark.skipif(not shutil.which("nm"), reason="nm (binutils) is not installed")
def test_the_library_exports_the_header_and_nothing_else() -> None:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    declared = set(re.findall(r"\b(fr_\w+)\(", text))
    assert len(declared) > 40
    names = exported()
    assert not {n for n in names if not n.startswith("fr_")}, "names that are not ours"
    assert {n for n in names if not n.startswith("fr_private_")} == declared


@pytest.mark.skipif(not shutil.which("nm"), reason="nm (binutils) is not installed")
def test_names_carry_versions() -> None:
    """That of the ABI in the header's names, the library's own in those of the Python module."""
    minor = ".".join(fastreg.__version__.split(".")[:2])
    expected = {True: f"FASTREG_PRIVATE_{fastreg.__version__}", False: f"FASTREG_{minor}"}
    for name, version in exported().items():
        assert version == expected[name.startswith("fr_private_")], name


def test_versions() -> None:
    assert lib.fr_version().decode() == fastreg.__version__
    text = HEADER.read_text()
    parts = re.findall(r"^#define FASTREG_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", text, re.MULTILINE)
    assert ".".join(parts) == fastreg.__version__
    assert f"#define FR_ABI_VERSION {lib.fr_abi_version()}\n" in text
    assert lib.fr_build_info().decode().startswith(f"fastreg {fastreg.__version__}, ")
    assert fastreg.show_config(mode="dicts")["isa"] in lib.fr_build_info().decode()


def test_enums_are_read_as_the_tests_think() -> None:
    assert enum("fr_status")["FR_CANCELLED"] == 5
    assert enum("fr_activation")["FR_SOFTMAX"] == 11
