"""A machine without a GPU, or a build without the plugin: what is refused, what falls back, and what import loads.

It must not need a GPU; where there is one it is hidden.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastreg
from fastreg.models import Sequential

HIDDEN = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
BUILT = str(fastreg.show_config(mode="dicts")["cuda"]).startswith("built for")  # type: ignore[index]


def run(program: str) -> list[str]:
    """The lines that a program prints where no GPU is visible."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=HIDDEN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_cuda_is_refused_and_the_message_says_what_is_missing() -> None:
    said = run("""
import fastreg
for call in (lambda: fastreg.Sequential(device="cuda"), fastreg.cuda.device_count, fastreg.cuda.device_name):
    try:
        call()
    except RuntimeError as error:
        print(error)
print(fastreg.cuda.is_available())
""")
    assert said[3:] == ["False"]
    missing = ("the NVIDIA driver is missing", "no NVIDIA GPU was found") if BUILT else ("no CUDA plugin",)
    for message in said[:3]:
        assert any(words in message for words in missing), message
        assert message.startswith('device="cuda" cannot be used: ')
        assert message.endswith('use "cpu", or "auto" for what there is')


def test_c_is_told_what_is_missing() -> None:
    said = run("""
import ctypes, pathlib, fastreg
lib = ctypes.CDLL(str(pathlib.Path(fastreg.__file__).parent / "libfastreg.so"))
lib.fr_last_error.restype = ctypes.c_char_p
n = ctypes.c_int64(7)
print(lib.fr_cuda_device_count(ctypes.byref(n)), n.value)
print(lib.fr_last_error().decode())
""")
    assert said[0] == "4 7", "FR_RUNTIME, and nothing written"
    missing = ("the NVIDIA driver is missing", "no NVIDIA GPU was found") if BUILT else ("no CUDA plugin",)
    assert any(words in said[1] for words in missing), said[1]


def test_auto_falls_back_to_the_cpu() -> None:
    said = run("""
import numpy as np, fastreg
x, ended = np.random.default_rng(0).normal(size=(50, 4)), []
for device in ("cpu", "auto"):
    model = fastreg.Sequential([fastreg.Dense(8, "relu"), fastreg.Dense(1)], seed=0, device=device, precision="exact")
    model.compile("adam", "mse")
    model.fit(x, x[:, 0], verbose=0)
    ended.append(model.predict(x).tobytes())
print(model.device, ended[0] == ended[1])
fast = fastreg.Sequential([fastreg.Dense(1)], seed=0, device="auto", precision="fast")
fast.build((None, 4))
print(fast.precision, fast.predict(x).shape)
""")
    assert said == ["auto True", "fast (50, 1)"]


def test_import_does_not_load_the_plugin() -> None:
    """Nor the driver: they are opened when somebody asks for a GPU, and then they are there."""
    said = run("""
import numpy as np, fastreg
def loaded(name):
    return any(name in line for line in open("/proc/self/maps"))
model = fastreg.Sequential([fastreg.Dense(1)], seed=0)
model.compile("adam", "mse")
model.fit(np.ones((8, 2)), np.ones(8), verbose=0)
fastreg.show_config(mode="dicts")
print(loaded("libfastreg.so"), loaded("libfastreg_cuda"), loaded("libcuda.so"))
fastreg.cuda.is_available()
print(loaded("libfastreg_cuda"))
""")
    assert said == ["True False False", str(BUILT)]


def test_the_configuration_says_whether_and_for_what_the_plugin_was_built() -> None:
    said = str(fastreg.show_config(mode="dicts")["cuda"])  # type: ignore[index]
    folder = Path(fastreg._core.__file__).parent
    assert (folder / "libfastreg_cuda.so").exists() == BUILT
    if BUILT:
        assert "by nvcc 1" in said or said == "built for the host (emulated, for tests)"
    else:
        assert said.startswith("not built: ")
        assert len(said) > len("not built: ")


@pytest.mark.parametrize("precision", ["fast", "bf16"])
def test_precisions_of_tensor_cores_are_for_float32(precision: str) -> None:
    assert Sequential(precision=precision).precision == precision
    with pytest.raises(ValueError, match='is for dtype="float32"'):
        Sequential(dtype="float64", precision=precision)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"precision must be .*fast"):
        Sequential(precision="half")
    with pytest.raises(ValueError, match=r"device must be .*auto"):
        Sequential(device="gpu")


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_description_keeps_device_and_precision(device: str) -> None:
    model = Sequential(device=device, precision="fast")
    again = Sequential.from_config(model.get_config())
    assert (again.device, again.precision) == (device, "fast")


def test_a_model_of_a_gpu_is_loaded_without_one() -> None:
    config = Sequential(precision="bf16").get_config() | {"device": "cuda"}
    assert Sequential.from_config(config).device == "auto"
