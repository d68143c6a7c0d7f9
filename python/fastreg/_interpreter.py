"""Refuses to be imported in a subinterpreter, where the native module would wait for a lock for ever.

It must not know anything else, and comes first.
"""

from importlib import import_module


def check() -> None:
    """Raise ImportError anywhere but in the main interpreter."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # from Python 3.13 on, before
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "fastreg cannot be used in a subinterpreter, only in the main interpreter of a process"
            )
        return


check()
