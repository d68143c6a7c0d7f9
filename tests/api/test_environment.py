"""What the environment decides: the instruction set and the number of threads, read once when the library is loaded.
It must not test numbers: that neither changes a bit of them is for the tests of configurations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastreg
from fastreg import config

NAMES = ("FASTREG_ISA", "FASTREG_NUM_THREADS", "OMP_NUM_THREADS")
CPUS = sorted(os.sched_getaffinity(0))
ISAS = fastreg.show_config(mode="dicts")["isas_runnable"]
SHOW = "import fastreg; c = fastreg.show_config(mode='dicts'); print(c['isa'], c['num_threads'])"


def run(program: str, cpus: list[int] = CPUS, **environment: str) -> subprocess.CompletedProcess[str]:
    """`program` in a Python of its own, which may use these CPUs and of the variables above has only those given."""
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    allow = f"import os; os.sched_setaffinity(0, {cpus}); "
    return subprocess.run(
        [sys.executable, "-c", allow + program],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def shown(cpus: list[int] = CPUS, **environment: str) -> tuple[str, int]:
    """The instruction set and the number of threads that a new process uses."""
    done = run(SHOW, cpus, **environment)
    assert done.returncode == 0, done.stderr
    isa, n_threads = done.stdout.split()
    return isa, int(n_threads)


def test_without_variables_the_fastest_instruction_set_and_the_cpus_of_the_process() -> None:
    isa, n_threads = shown()
    assert isa == ISAS[0]
    assert 1 <= n_threads <= len(CPUS)  # a limit of the cgroup may leave fewer
    assert shown(CPUS[:1]) == (isa, 1)
    assert shown(FASTREG_ISA="", FASTREG_NUM_THREADS="", OMP_NUM_THREADS="") == (isa, n_threads)


@pytest.mark.parametrize("isa", ISAS)
def test_an_instruction_set_is_forced(isa: str) -> None:
    assert shown(FASTREG_ISA=isa)[0] == isa


@pytest.mark.parametrize("isa", ["sse9", "AVX2", "neon" if "avx2" in ISAS else "avx2"])
def test_an_instruction_set_that_is_not_there_is_an_error(isa: str) -> None:
    done = run("import fastreg", FASTREG_ISA=isa)
    assert done.returncode == 1
    assert "ImportError: FASTREG_ISA: isa" in done.stderr
    assert f'"{isa}"' in done.stderr


def test_the_number_of_threads() -> None:
    default = shown()[1]
    assert shown(FASTREG_NUM_THREADS="3")[1] == 3
    assert shown(OMP_NUM_THREADS="5")[1] == 5
    assert shown(FASTREG_NUM_THREADS="3", OMP_NUM_THREADS="5")[1] == 3
    assert shown(FASTREG_NUM_THREADS="3", OMP_NUM_THREADS="many")[1] == 3
    assert shown(OMP_NUM_THREADS="4,2")[1] == default  # legal in OpenMP, no plain number: not for fastreg
    assert shown(OMP_NUM_THREADS="0")[1] == default


def test_threads_start_with_the_first_call_that_shares_its_work() -> None:
    done = run(
        "import os, numpy; count = lambda: len(os.listdir('/proc/self/task')); before = count(); import fastreg; "
        "x = numpy.ones(10**6); shown = fastreg.show_config('dicts')['num_threads'];"
        "print(count() - before, fastreg.get_num_threads(), shown);"
        "fastreg.ops.prox(x, 0.1, 0.0, 1.0, out=x); print(count() - before)",
        FASTREG_NUM_THREADS="5",
        OPENBLAS_NUM_THREADS="1",
    )
    assert done.stdout.split() == ["0", "5", "5", "4"], done.stderr


@pytest.mark.parametrize("text", ["0", "-1", "1025", "two", "2.5", "2 "])
def test_a_number_of_threads_that_cannot_be_used_is_an_error(text: str) -> None:
    done = run("import fastreg", FASTREG_NUM_THREADS=text)
    assert done.returncode == 1
    assert f'FASTREG_NUM_THREADS must be a whole number from 1 to 1024, got "{text}"' in done.stderr


def test_what_a_program_sets_goes_before_the_environment() -> None:
    done = run(
        "import fastreg, numpy; fastreg.set_num_threads(2); fastreg.ops.prox(numpy.ones(3), 0.1, 0.0, 1.0); "
        "print(fastreg.get_num_threads())",
        FASTREG_NUM_THREADS="3",
    )
    assert done.stdout.split() == ["2"], done.stderr


def test_the_c_interface_says_what_is_wrong_with_the_environment() -> None:
    library = Path(config.get_library_dir()) / "libfastreg.so"
    done = run(
        f"import ctypes; lib = ctypes.CDLL({str(library)!r}); lib.fr_last_error.restype = ctypes.c_char_p; "
        "print(lib.fr_set_num_threads(2), lib.fr_last_error().decode())",
        FASTREG_ISA="sse9",
    )
    status, message = done.stdout.split(maxsplit=1)
    assert int(status) != 0
    assert "FASTREG_ISA: isa must be one of" in message
