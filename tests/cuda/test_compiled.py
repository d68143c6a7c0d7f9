"""The CUDA plugin as a file: no kernel spills, in any architecture; it is small, needs no library of CUDA and shows one
function. Needs no GPU.

It must not know what a kernel computes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastreg

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import cuda_resources  # noqa: E402

PLUGIN = Path(fastreg._core.__file__).parent / "libfastreg_cuda.so"
LARGEST = 10 * 2**20
CONFIG = str(fastreg.show_config(mode="dicts")["cuda"])  # type: ignore[index]
with_plugin = pytest.mark.skipif(
    not CONFIG.startswith("built for sm "), reason=f"the CUDA plugin was {CONFIG}"
)
CUOBJDUMP = cuda_resources.find_cuobjdump()
with_cuobjdump = pytest.mark.skipif(
    not CUOBJDUMP, reason="cuobjdump was not found; pip install nvidia-cuda-cuobjdump brings it"
)

SPILLING = """
__global__ void __launch_bounds__(1024, 2) spilling(float* p, int n) {  // 32 registers for 64 values
    float a[64];
    for (int i = 0; i < 64; ++i) a[i] = p[i * blockDim.x + threadIdx.x];
    for (int j = 0; j < n; ++j)
#pragma unroll
        for (int i = 0; i < 64; ++i) a[i] = a[i] * a[(i + 7) % 64] + p[j];
    for (int i = 0; i < 64; ++i) p[i * blockDim.x + threadIdx.x] = a[i];
}
__global__ void thrifty(float* p) { p[threadIdx.x] += 1; }
"""


def read(*command: str) -> str:
    return subprocess.run([*command, str(PLUGIN)], capture_output=True, text=True, check=True).stdout


@with_plugin
@with_cuobjdump
def test_no_kernel_keeps_values_in_memory() -> None:
    assert CUOBJDUMP
    kernels = cuda_resources.kernels_of(PLUGIN, CUOBJDUMP)
    named = set(re.findall(r"\b(\d+a?)(?:-real)?\b", CONFIG.partition(" by ")[0]))
    assert {k.architecture for k in kernels} == {f"sm_{name}" for name in named}
    assert len({k.name for k in kernels}) > 20, "the plugin has more kernels than that"
    found = cuda_resources.faults(kernels)
    assert not found, "\n".join(found)


@with_plugin
@with_cuobjdump
def test_every_excuse_is_needed() -> None:
    assert CUOBJDUMP
    kernels = cuda_resources.kernels_of(PLUGIN, CUOBJDUMP)
    idle = [part for part in cuda_resources.EXCUSED if not any(k.stack and part in k.name for k in kernels)]
    assert not idle, f"remove from EXCUSED: {idle}"


@with_cuobjdump
@pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc was not found")
def test_a_kernel_that_spills_is_found(tmp_path: Path) -> None:
    """The test above would pass with nothing to see if the reading were wrong."""
    assert CUOBJDUMP
    source, library = tmp_path / "spilling.cu", tmp_path / "spilling.o"
    source.write_text(SPILLING)
    compressed = ["--compress-mode=size", "-gencode", "arch=compute_90a,code=sm_90a"]
    subprocess.run(["nvcc", "-c", *compressed, str(source), "-o", str(library)], check=True)
    kernels = cuda_resources.kernels_of(library, CUOBJDUMP)
    assert {k.name: bool(k.stack) for k in kernels} == {"_Z8spillingPfi": True, "_Z7thriftyPf": False}
    (fault,) = cuda_resources.faults(kernels)
    assert "spilling" in fault
    assert "sm_90a" in fault


@with_plugin
def test_the_plugin_is_small() -> None:
    assert PLUGIN.stat().st_size <= LARGEST


@with_plugin
def test_the_plugin_needs_no_library_of_cuda() -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", read("readelf", "-d"))
    assert any(name.startswith("libc.so") for name in needed), needed
    foreign = [name for name in needed if re.match(r"lib(cu|nv)", name)]
    assert not foreign, f"the driver is opened at run time, everything else is linked in; NEEDED: {needed}"


@with_plugin
def test_the_plugin_shows_one_function() -> None:
    lines = read("readelf", "--dyn-syms", "--wide").splitlines()
    entries = [line.split() for line in lines if re.match(r"\s*\d+:", line)]
    shown = {e[7] for e in entries if len(e) > 7 and e[6] != "UND" and e[4] in ("GLOBAL", "WEAK")}
    assert shown == {"fr_private_cuda_plugin"}
