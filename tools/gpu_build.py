"""The package for `gpu_check.py`, in a folder of its own, offline: built by pip for the GPU at hand alone; or put
together from libraries that were built elsewhere, so that only the Python module is compiled.

It must not know what is done with the package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("libfastreg.so", "libfastreg_cuda.so")  # the first perhaps by its soname too


def ask_gpu(fields: str) -> list[str]:
    """Fields of nvidia-smi for the first GPU; RuntimeError without one."""
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"], capture_output=True, text=True
        )
    except FileNotFoundError:
        raise RuntimeError("there is no nvidia-smi, so there is no NVIDIA driver") from None
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"nvidia-smi finds no GPU: {(done.stdout + done.stderr).strip()}")
    return [field.strip() for field in done.stdout.splitlines()[0].split(",")]


def architecture() -> str:
    """Of the GPU, as CMAKE_CUDA_ARCHITECTURES takes it; Hopper needs the "a" for its own instructions."""
    number = ask_gpu("compute_cap")[0].replace(".", "")
    return f"{number}a-real" if number == "90" else f"{number}-real"


def best_isa() -> str:
    flags = Path("/proc/cpuinfo").read_text()
    return next((isa for isa, flag in (("avx512", "avx512vl"), ("avx2", "avx2")) if flag in flags), "")


def run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def native_test(source: Path, folder: Path, prebuilt: Path | None) -> Path:
    """The program of tests/cuda/NAME_test.cu, whose head names the sources to link; or `prebuilt`/NAME_test."""
    if prebuilt and (prebuilt / source.stem).exists():
        return prebuilt / source.stem
    linked = sorted(set(re.findall(r"csrc/cuda/\w+\.cu\b", source.read_text()[:2000])))
    number = architecture().removesuffix("-real")
    flags = ["-std=c++17", "-O3", "-fmad=false", f"-I{ROOT / 'csrc'}"]
    target = folder / source.stem
    run("nvcc", *flags, f"-gencode=arch=compute_{number},code=sm_{number}", source, *linked, "-o", target)
    return target


def build(site: Path) -> None:
    """The package under `site`, by pip without an index: what it needs to build and to run must be installed."""
    shutil.rmtree(site, ignore_errors=True)
    defines = {"FASTREG_CUDA": "ON", "FASTREG_CUDA_ARCHITECTURES": architecture(), "FASTREG_ISAS": best_isa()}
    settings = [f"--config-settings=cmake.define.{name}={value}" for name, value in defines.items()]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    os.environ.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count()))
    folder = f"--config-settings=build-dir={site.parent / 'cmake'}"
    run(sys.executable, "-m", "pip", "install", *offline, "--target", site, folder, *settings, ".")


def assemble(site: Path, prebuilt: Path) -> None:
    """The package under `site` from the libraries in `prebuilt`, which must be of this source."""
    package = site / "fastreg"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "python" / "fastreg", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LIBRARIES:
        libraries = list(prebuilt.glob(f"{name}*"))
        if not libraries:
            raise RuntimeError(f"there is no {name} in {prebuilt}")
        for library in libraries:
            shutil.copy(library, package / library.name)
    try:
        import pybind11
    except ImportError:
        raise RuntimeError("the Python module is compiled with pybind11, which is not installed") from None
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version, "pyproject.toml states the version"
    flags = [
        "-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off",
        f'-DFASTREG_VERSION="{version[1]}"', f"-I{ROOT / 'csrc'}", f"-I{pybind11.get_include()}",
        f"-I{sysconfig.get_paths()['include']}",
    ]  # fmt: skip
    compiler = os.environ.get("CXX") or "c++"
    sources = sorted((ROOT / "csrc" / "python").glob("*.cpp"))
    objects = [site / f"{source.stem}.o" for source in sources]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(run, compiler, *flags, "-c", source, "-o", target)
            for source, target in zip(sources, objects)
        ]
        for job in jobs:
            job.result()
    module = package / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    run(compiler, "-shared", *objects, "-o", module, f"-L{package}", "-lfastreg", "-Wl,-rpath,$ORIGIN")
    for target in objects:
        target.unlink()
