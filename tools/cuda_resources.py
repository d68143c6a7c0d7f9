"""What the kernels of a CUDA library need - registers, stack, shared memory - for every architecture in it; an error if
one keeps values in memory of its own (spilled registers, arrays that are indexed at run time).

    python tools/cuda_resources.py path/to/libfastreg_cuda.so [--all]

It must not know what a kernel computes, nor how the library was built: it reads the finished file with cuobjdump, which
comes with the PyPI package nvidia-cuda-cuobjdump or with a CUDA toolkit.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Part of a kernel's name -> why its stack does no harm. Kernels that run in every training step do not belong here.
EXCUSED: dict[str, str] = {}

_ARCHITECTURE = re.compile(r"^arch = (sm_\w+)$")
_FUNCTION = re.compile(r"^ Function (\S+):$")
_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


@dataclass(frozen=True)
class Kernel:
    """One kernel in one architecture; sizes in bytes, registers per thread."""

    architecture: str
    name: str
    registers: int
    stack: int
    shared: int

    def excuse(self) -> str | None:
        """Why a stack is allowed; None where it is not."""
        return next((reason for part, reason in EXCUSED.items() if part in self.name), None)


def find_cuobjdump() -> str | None:
    """The program: named by CUOBJDUMP, on the PATH, beside nvcc, or in an installed package."""
    given = os.environ.get("CUOBJDUMP") or shutil.which("cuobjdump")
    if given:
        return given
    folders = [Path(nvcc).resolve().parent for nvcc in [shutil.which("nvcc")] if nvcc]
    for package in ("nvidia", "triton"):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            folders += [path.parent for path in sorted(Path(place).glob("**/bin/cuobjdump"))]
    return next((str(f / "cuobjdump") for f in folders if os.access(f / "cuobjdump", os.X_OK)), None)


def parse(text: str) -> Iterator[Kernel]:
    """The kernels in what `cuobjdump --dump-resource-usage` prints."""
    architecture, name = "", ""
    for line in text.splitlines():
        if found := _ARCHITECTURE.match(line):
            architecture = found[1]
        elif found := _FUNCTION.match(line):
            name = found[1]
        elif name and (found := _USAGE.search(line)):
            registers, stack, shared, local = map(int, found.groups())
            yield Kernel(architecture, name, registers, stack + local, shared)
            name = ""


def kernels_of(library: Path, cuobjdump: str) -> list[Kernel]:
    done = subprocess.run(
        [cuobjdump, "--dump-resource-usage", str(library)], capture_output=True, text=True, check=True
    )
    return list(parse(done.stdout))


def faults(kernels: list[Kernel]) -> list[str]:
    """A line for each kernel with a stack and no excuse."""
    return [
        f"{k.name} for {k.architecture}: {k.stack} bytes of stack, {k.registers} registers"
        for k in kernels
        if k.stack and not k.excuse()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Registers and stack of a CUDA library's kernels.")
    parser.add_argument("library", type=Path)
    parser.add_argument(
        "--all", action="store_true", help="a line for every kernel, not for the faults alone"
    )
    arguments = parser.parse_args()
    cuobjdump = find_cuobjdump()
    if not cuobjdump:
        print("cuobjdump was not found: pip install nvidia-cuda-cuobjdump", file=sys.stderr)
        return 2
    kernels = kernels_of(arguments.library, cuobjdump)
    for k in sorted(kernels, key=lambda k: (k.architecture, k.name)) if arguments.all else []:
        print(f"{k.architecture:8} {k.registers:4} registers {k.stack:6} stack {k.shared:6} shared  {k.name}")
    found = faults(kernels)
    print("\n".join([*found, f"{len(kernels)} kernels, {len(found)} that keep values in memory"]))
    return 1 if found or not kernels else 0


if __name__ == "__main__":
    sys.exit(main())
