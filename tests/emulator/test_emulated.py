"""The CUDA backend without a GPU: its kernels, built as C++ for the host, pass some tests of tests/cuda. On one core
the build takes a minute, and so do the tests. `make test-emulated` runs many more.

It must not know what those tests look at.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import fastreg
from checks import TEST_CUDA

ROOT = Path(__file__).parent.parent.parent
TESTS = [
    "test_parity.py",
    "test_parity_runs.py",
    "test_errors.py",
    "test_precision.py",
    "test_long_sums.py",
    "test_thread_streams.py",
]
# In float32, where float64 has the same kernels; of what an emulator takes seconds for, one of a kind.
NAMES = (
    "float32 and (test_optimizers or test_losses or test_layers) or test_metrics or test_global_clipnorm "
    "or test_sparse_x and float32-32 or test_a_forked_child or test_bf16_keeps and gelu-1100 or forward-wide-1024 "
    "or dW-tiny or test_long_sums or test_thread_streams or minus_zeros"
)
PLUGIN = "libfastreg_cuda.so"
INSTALLED = Path(fastreg.__file__).parent


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.skipif(TEST_CUDA, reason="these tests run on a GPU already")
@pytest.mark.skipif(
    not (INSTALLED / PLUGIN).exists(), reason="this fastreg takes no plugin: it was built without one"
)
@pytest.mark.timeout(900)
def test_the_tests_of_cuda_pass_on_the_emulator(tmp_path: Path) -> None:
    """The installed package with another plugin."""
    cmake = Path(sysconfig.get_path("scripts")) / "cmake"
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DFASTREG_PYTHON=OFF", "-DFASTREG_CUDA=EMULATED", "-G", "Ninja"]
    run(
        cmake,
        "-S",
        ROOT,
        "-B",
        tmp_path / "build",
        f"-DCMAKE_MAKE_PROGRAM={cmake.parent / 'ninja'}",
        *options,
    )
    run(cmake, "--build", tmp_path / "build", "--target", "fastreg_cuda")
    shutil.copytree(INSTALLED, tmp_path / "site" / "fastreg")
    shutil.copy(tmp_path / "build" / PLUGIN, tmp_path / "site" / "fastreg" / PLUGIN)
    printed = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", NAMES,
        *(f"tests/cuda/{name}" for name in TESTS),
        PYTHONPATH=str(tmp_path / "site"), FASTREG_TEST_CUDA="1",
    )  # fmt: skip
    passed = re.search(r"(\d+) passed", printed)
    assert passed, printed
    assert int(passed[1]) > 50, printed
