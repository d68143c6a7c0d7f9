"""Says what is missing on this machine before a build starts, and which Debian packages supply it.
It must not import or know fastreg, and must run on any Python from 3.6."""

import importlib.util
import os
import shutil
import sys
import sysconfig


def missing():
    """Return (what is missing, Debian package) pairs; an empty list when a build can start."""
    found = []
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        found.append(("Python's venv and ensurepip modules", "python3-venv"))
    if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        found.append(("Python's C headers (Python.h)", "python3-dev"))
    compilers = [os.environ.get("CXX", "").split(" ")[0], "c++", "g++", "clang++"]
    if not any(shutil.which(compiler) for compiler in compilers if compiler):
        found.append(("a C++17 compiler (g++ or clang++)", "g++"))
    return found


def main():
    """Return None when a build can start, else the message to print (and exit with 1)."""
    if sys.version_info < (3, 10):  # noqa: UP036
        return (
            f"fastreg needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}. "
            "Choose another one: make PYTHON=/path/to/python3 ..."
        )
    found = missing()
    if not found:
        return None
    lines = [f"{sys.executable} cannot build fastreg yet. Missing:"]
    lines += ["  - " + what for what, _ in found]
    lines += ["On Debian or Ubuntu: apt-get install " + " ".join(package for _, package in found)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
