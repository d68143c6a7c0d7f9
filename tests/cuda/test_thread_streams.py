"""CUDA's per-thread default stream, by the program thread_streams.cpp: threads share no scratch memory on it, and it is
given back after them.

It must not know what the program checks.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import fastreg
from checks import cxx_compiler
from device_cases import needs_gpu

needs_gpu()
SOURCE = Path(__file__).parent / "thread_streams.cpp"
CSRC = SOURCE.parent.parent.parent / "csrc"
PLUGIN = Path(fastreg.__file__).parent / "libfastreg_cuda.so"
FLAGS = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}", "-pthread", "-ldl"]


def test_threads_share_no_memory_on_their_streams(tmp_path: Path) -> None:
    program = tmp_path / "thread_streams"
    subprocess.run([cxx_compiler(), str(SOURCE), *FLAGS, "-o", str(program)], check=True)
    ran = subprocess.run([program, str(PLUGIN)], capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAIL" not in ran.stdout
    assert ran.stdout.count("ok") >= 8, ran.stdout
