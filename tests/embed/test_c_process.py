"""The C library in a process with others: another copy of itself, a module of another version, a fork, an environment.

It must not know right answers: test_c_kernels.py and test_c_session.py do.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from c_library import LIBRARY, LINKED
from fastreg import _core

COPIES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fastreg/fastreg.h>
#include <stdio.h>

int main(int argc, char** argv) {
    void* copy = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
    fr_status (*set)(int) = copy ? (fr_status(*)(int))dlsym(copy, "fr_set_num_threads") : NULL;
    int (*get)(void) = copy ? (int (*)(void))dlsym(copy, "fr_get_num_threads") : NULL;
    if (!set || !get) return 1;
    if (fr_set_num_threads(2) != FR_OK || set(5) != FR_OK) return 2;
    printf("%d %d, ", fr_get_num_threads(), get());
    if (fr_set_num_threads(3) != FR_OK) return 3;
    printf("%d %d", fr_get_num_threads(), get());
    return 0;
}
"""
ON_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc looks at versions")


def python(program: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_two_copies_do_not_meet(tmp_path: Path) -> None:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler is installed")
    copy = shutil.copy(LIBRARY, tmp_path)
    source, program = tmp_path / "copies.c", tmp_path / "copies"
    source.write_text(COPIES)
    subprocess.run([compiler, "-std=c99", str(source), "-o", str(program), *LINKED, "-ldl"], check=True)
    ran = subprocess.run([program, copy], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "2 5, 3 5"), ran.stderr


@ON_GLIBC
@pytest.mark.parametrize("same", [True, False])
def test_a_module_of_another_version_is_refused(same: bool, tmp_path: Path) -> None:
    """Not by what it computes: by the loader."""
    shutil.copy(_core.__file__, tmp_path)
    numbers = _core.build_info()["version"]
    version, other = f"FASTREG_PRIVATE_{numbers}".encode(), f"FASTREG_PRIVATE_{numbers[:-1]}x".encode()
    library = LIBRARY.read_bytes()
    assert version in library
    (tmp_path / LIBRARY.name).write_bytes(library if same else library.replace(version, other))
    program = "import sys; sys.path.insert(0, sys.argv[1]); import _core; print(_core.__file__)"
    done = python(program, tmp_path)
    if same:
        assert done.stdout.startswith(str(tmp_path)), done.stderr
    else:
        assert "ImportError" in done.stderr
        assert f"{version.decode()}' not found" in done.stderr


SETTINGS = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
lib.fr_last_error.restype = lib.fr_version.restype = lib.fr_build_info.restype = ctypes.c_char_p
w = (ctypes.c_float * 1)(3.0)
one, zero, n = ctypes.c_double(1), ctypes.c_double(0), ctypes.c_int64(1)
for _ in range(2):
    print(lib.fr_prox_f32(w, n, one, zero, one, w), lib.fr_set_num_threads(2), lib.fr_last_error().decode(), w[0])
info, version = lib.fr_build_info().decode(), lib.fr_version().decode()
print(lib.fr_get_num_threads(), lib.fr_n_slots(None), info or "nothing", version)
"""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FASTREG_NUM_THREADS", "many", "FASTREG_NUM_THREADS must be a whole number from 1 to 1024"),
        ("FASTREG_ISA", "mmx", "FASTREG_ISA: isa must be one of"),
    ],
)
def test_a_setting_that_cannot_be(name: str, value: str, words: str) -> None:
    first, second, last = python(SETTINGS, LIBRARY, **{name: value}).stdout.splitlines()
    assert first == second
    assert first.startswith(f"1 1 {words}")
    assert first.endswith(f'"{value}" 3.0')
    assert last == f"1 -1 nothing {_core.build_info()['version']}"


FORK = """
#include <fastreg/fastreg.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* An epoch of 24 GFLOP asks `poll`, which a call does after 20 ms, on any machine. */
enum { ROWS = 4000, LONG = 200000, INPUTS = 200, UNITS = 100 };
static float x[LONG * INPUTS], y[LONG * UNITS];
static volatile int started, stop;
static int poll(void* argument) { (void)argument; started = 1; return stop; }

static void* train(void* session) { /* until it is told to stop */
    while (!stop) fr_session_train_epoch_f32(session, x, y, NULL, LONG, 100, 0, NULL);
    return NULL;
}

static int same(fr_session* session, const float* before) {
    static float now[ROWS * UNITS];
    return fr_session_predict_f32(session, x, ROWS, now) == FR_OK && memcmp(before, now, sizeof now) == 0;
}

int main(void) {
    static float before[ROWS * UNITS];
    fr_session *free_one = NULL, *busy = NULL;
    fr_layer layer = FR_LAYER_INIT(FR_DENSE);
    fr_loss loss = FR_LOSS_INIT(FR_MEAN_SQUARED_ERROR);
    fr_optimizer sgd = FR_OPTIMIZER_INIT(FR_SGD, 0.0);
    pthread_t thread;
    pid_t child;
    int status = -1;
    layer.units = UNITS;
    if (fr_set_num_threads(3) || fr_initialize_f32(FR_NORMAL, 0, 1, 1, 0, ROWS * INPUTS, x)) return 1;
    if (fr_session_create(&layer, 1, INPUTS, FR_F32, 1, &free_one)) return 2;
    if (fr_session_create(&layer, 1, INPUTS, FR_F32, 1, &busy) || fr_session_compile(busy, &loss, &sgd)) return 3;
    if (fr_session_set_cancel(busy, poll, NULL) || fr_session_predict_f32(free_one, x, ROWS, before)) return 4;
    pthread_create(&thread, NULL, train, busy);
    alarm(60); /* a child has an alarm of its own */
    while (!started) usleep(1000);
    child = fork();
    if (child == 0) {
        alarm(60);
        if (!same(free_one, before)) _exit(5);
        if (fr_set_num_threads(2) || fr_get_num_threads() != 2 || !same(free_one, before)) _exit(6);
        _exit(fr_session_predict_f32(busy, x, ROWS, y) == FR_RUNTIME ? 0 : 7);
    }
    waitpid(child, &status, 0);
    stop = 1;
    pthread_join(thread, NULL);
    if (fr_session_set_cancel(busy, NULL, NULL)) return 8;
    if (!same(busy, before)) return 9;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 10;
}
"""


def test_a_forked_child_goes_on(tmp_path: Path) -> None:
    """With the same bits, in more than one thread; but for the session that another thread was using."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler is installed")
    source, program = tmp_path / "fork.c", tmp_path / "fork"
    source.write_text(FORK)
    flags = ["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run([compiler, *flags, str(source), "-o", str(program), *LINKED], check=True)
    for _ in range(5):
        assert subprocess.run([program], timeout=120, check=False).returncode == 0
