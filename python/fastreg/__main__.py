"""`python -m fastreg`: what a compiler or CMake needs to find the C library of this installation.

It must not know what the library does.
"""

from __future__ import annotations

import argparse
import shlex

import fastreg
from fastreg import config


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fastreg", description="Where the C library is installed."
    )
    parser.add_argument("--version", action="store_true", help="the version")
    parser.add_argument("--includes", action="store_true", help="compiler flags: -I...")
    parser.add_argument("--libs", action="store_true", help="linker flags: -L... -Wl,-rpath,... -lfastreg")
    parser.add_argument("--cmakedir", action="store_true", help="the folder of fastregConfig.cmake")
    parser.add_argument("--pkgconfigdir", action="store_true", help="the folder of fastreg.pc")
    wanted = parser.parse_args()
    lines = {
        "version": fastreg.__version__,
        "includes": shlex.quote(f"-I{config.get_include()}"),
        "libs": shlex.join(
            [f"-L{config.get_library_dir()}", f"-Wl,-rpath,{config.get_library_dir()}", "-lfastreg"]
        ),
        "cmakedir": config.get_cmake_dir(),
        "pkgconfigdir": config.get_pkgconfig_dir(),
    }
    chosen = [line for name, line in lines.items() if getattr(wanted, name)]
    if not chosen:
        parser.error("name at least one of --version, --includes, --libs, --cmakedir, --pkgconfigdir")
    print(" ".join(chosen))


if __name__ == "__main__":
    main()
