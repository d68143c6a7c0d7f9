"""Every example in a docstring of the installed package runs and prints what it says.
It must not know the modules by name; it walks the package."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import fastreg

# libfastreg*.so look like extension modules to pkgutil, and _core has no docstrings of ours.
MODULES = ["fastreg"] + [
    module.name
    for module in pkgutil.walk_packages(fastreg.__path__, "fastreg.")
    if not module.name.endswith(("._core", ".libfastreg", ".libfastreg_cuda"))
]
ROOMS = sorted(name for name in fastreg.__all__ if inspect.ismodule(getattr(fastreg, name)))


def run_examples(module: ModuleType) -> doctest.TestResults:
    return doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    if name.startswith("fastreg.torch"):
        pytest.importorskip("torch", reason="fastreg.torch needs PyTorch")
    assert run_examples(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("room", ROOMS)
def test_public_module_shows_an_example(room: str) -> None:
    parts = [name for name in MODULES if f"{name}.".startswith(f"fastreg.{room}.")]
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [
        example
        for name in parts
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
    ]
    assert examples, f"fastreg.{room} shows no example"
