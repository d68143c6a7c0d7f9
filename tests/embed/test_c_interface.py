"""The C interface: C99 and C++17 programs build against the installed header, and its functions do what they say.

It must not know core; the library is loaded with ctypes from where the package lies.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fastreg
from fastreg import _core

PACKAGE = Path(fastreg.__file__).parent
INCLUDE = PACKAGE / "include"
if not INCLUDE.exists():  # not an installed package but a source tree with the libraries built into it
    INCLUDE = PACKAGE.parent.parent / "csrc" / "include"
PROGRAM = """
#include <fastreg/fastreg.h>
#include <stdio.h>

int main(void) {
    float w[4] = {-2.0f, -0.25f, 0.5f, 3.0f};
    double penalty = 0.0;
    if (fr_abi_version() != FR_ABI_VERSION) return 1;
    if (fr_prox_f32(w, 4, 1.0, 0.0, 0.5, w) != FR_OK) return 2;
    if (fr_elastic_net_f32(w, 4, 1.0, 0.0, &penalty) != FR_OK) return 3;
    if (fr_prox_f32(w, 4, -1.0, 0.0, 0.5, w) != FR_INVALID_ARGUMENT) return 4;
    printf("%g %g %g %g %g", w[0], w[1], w[2], w[3], penalty);
    return 0;
}
"""
OK, INVALID_ARGUMENT = 0, 1
C_TYPES = {"f32": (np.float32, ctypes.c_float), "f64": (np.float64, ctypes.c_double)}


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    lib = ctypes.CDLL(str(PACKAGE / "libfastreg.so"))
    lib.fr_version.restype = lib.fr_last_error.restype = ctypes.c_char_p
    for suffix, (_, real) in C_TYPES.items():
        array = ctypes.POINTER(real)
        double, size = ctypes.c_double, ctypes.c_int64
        getattr(lib, f"fr_elastic_net_{suffix}").argtypes = [
            array,
            size,
            double,
            double,
            ctypes.POINTER(double),
        ]
        getattr(lib, f"fr_prox_{suffix}").argtypes = [array, size, double, double, double, array]
        dropout = [array, size, double, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32, array]
        getattr(lib, f"fr_dropout_{suffix}").argtypes = dropout
    return lib


def pointer(array: np.ndarray, real: type) -> ctypes._Pointer:
    return array.ctypes.data_as(ctypes.POINTER(real))


@pytest.mark.parametrize(("tool", "standard"), [("gcc", "-std=c99"), ("g++", "-std=c++17")])
def test_a_program_without_python(tool: str, standard: str, tmp_path: Path) -> None:
    compiler = os.environ.get({"gcc": "CC", "g++": "CXX"}[tool]) or shutil.which(tool)
    if not compiler:
        pytest.skip(f"{tool} is not installed")
    source, program = tmp_path / ("use.c" if tool == "gcc" else "use.cpp"), tmp_path / "use"
    source.write_text(PROGRAM)
    flags = [
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        f"-I{INCLUDE}",
        f"-L{PACKAGE}",
        f"-Wl,-rpath,{PACKAGE}",
    ]
    subprocess.run([compiler, standard, str(source), "-o", str(program), *flags, "-lfastreg"], check=True)
    ran = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "-1.5 0 0 2.5 4")


def test_version(library: ctypes.CDLL) -> None:
    assert library.fr_version().decode() == fastreg.__version__
    assert library.fr_abi_version() == 1


@pytest.mark.parametrize("suffix", C_TYPES)
def test_prox_and_value(library: ctypes.CDLL, suffix: str) -> None:
    dtype, real = C_TYPES[suffix]
    w = np.array([-3.0, -0.25, 0.0, 0.5, 2.0], dtype)
    out, value = np.empty_like(w), ctypes.c_double()
    assert getattr(library, f"fr_prox_{suffix}")(pointer(w, real), 5, 1.0, 0.5, 0.5, pointer(out, real)) == OK
    np.testing.assert_allclose(out, np.sign(w) * np.maximum(np.abs(w) - 0.5, 0) / 1.5, rtol=1e-6)
    assert np.count_nonzero(out == 0) == 3
    call = getattr(library, f"fr_elastic_net_{suffix}")
    assert call(pointer(w, real), 5, 2.0, 3.0, ctypes.byref(value)) == OK
    assert value.value == pytest.approx(2.0 * 5.75 + 3.0 * (9 + 0.0625 + 0.25 + 4))


@pytest.mark.parametrize("suffix", C_TYPES)
def test_dropout_is_the_python_one(library: ctypes.CDLL, suffix: str) -> None:
    dtype, real = C_TYPES[suffix]
    x = np.linspace(1, 2, 1003).astype(dtype)
    ours, theirs = np.empty_like(x), np.empty_like(x)
    call = getattr(library, f"fr_dropout_{suffix}")
    assert call(pointer(x, real), x.size, 0.3, 11, 5, 7, pointer(ours, real)) == OK
    _core.dropout(x, 0.3, 11, 7, 5, theirs)
    np.testing.assert_array_equal(ours, theirs)


def test_bad_input_is_a_status_with_a_message(library: ctypes.CDLL) -> None:
    w = np.ones(4, np.float32)
    p = pointer(w, ctypes.c_float)
    for arguments, words in [
        ((None, 4, 1.0, 0.0, 1.0, p), "w must not be NULL"),
        ((p, 4, 1.0, 0.0, 1.0, None), "out must not be NULL"),
        ((p, -1, 1.0, 0.0, 1.0, p), "n must be >= 0, got -1"),
        ((p, 4, -1.0, 0.0, 1.0, p), "l1 must be finite and >= 0, got -1"),
        ((p, 4, 1.0, float("nan"), 1.0, p), "l2 must be finite and >= 0, got nan"),
        ((p, 4, 1.0, 0.0, float("inf"), p), "step must be finite and >= 0, got inf"),
    ]:
        assert library.fr_prox_f32(*arguments) == INVALID_ARGUMENT
        assert words in library.fr_last_error().decode()
        np.testing.assert_array_equal(w, 1)
    assert library.fr_dropout_f32(p, 4, 1.5, 0, 0, 0, p) == INVALID_ARGUMENT
    assert "rate must be in [0, 1], got 1.5" in library.fr_last_error().decode()
