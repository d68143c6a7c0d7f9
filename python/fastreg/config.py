"""What this build of fastreg is and what it runs on.

It must not know models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, overload

from fastreg import _core
from fastreg._arguments import choice, integer


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print version, compiler, instruction sets (compiled, runnable, in use), threads and CUDA.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        "dicts" returns a dict instead of printing.

    Examples
    --------
    >>> config = show_config(mode="dicts")
    >>> config["isa"] in config["isas_runnable"]
    True
    """
    info = _core.build_info()
    if choice(mode, "mode", ("stdout", "dicts")) == "dicts":
        return dict(info)
    lines = {
        "fastreg": info["version"],
        "compiler": info["compiler"],
        "ISAs compiled": ", ".join(info["isas_compiled"]),
        "ISAs runnable": ", ".join(info["isas_runnable"]),
        "ISA in use": info["isa"],
        "threads": info["num_threads"],
        "CUDA": info["cuda"],
    }
    for name, value in lines.items():
        print(f"{name + ':':<15}{value}")
    return None


_PACKAGE = Path(_core.__file__).parent


def get_include() -> str:
    """The folder to give to a compiler with -I: it holds fastreg/fastreg.h, the C interface.

    Examples
    --------
    >>> (Path(get_include()) / "fastreg" / "fastreg.h").exists()
    True
    """
    return str(_PACKAGE / "include")


def get_cmake_dir() -> str:
    """The folder of fastregConfig.cmake, for CMAKE_PREFIX_PATH: then `find_package(fastreg CONFIG)` finds it."""
    return str(_PACKAGE / "lib" / "cmake" / "fastreg")


def get_pkgconfig_dir() -> str:
    """The folder of fastreg.pc, for PKG_CONFIG_PATH."""
    return str(_PACKAGE / "lib" / "pkgconfig")


def get_library_dir() -> str:
    """The folder of libfastreg.so, for -L and -rpath."""
    return str(_PACKAGE)


def get_num_threads() -> int:
    """The number of threads that computations may use."""
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Use at most `n` threads, at least 1. Results do not depend on it, bit for bit."""
    _core.set_num_threads(integer(n, "n", low=1))
