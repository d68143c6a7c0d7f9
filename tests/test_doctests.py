"""Every example in a docstring of the installed package runs and prints what it says.
It must not know the modules by name; it walks the package."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import fastreg

MODULES = ["fastreg"] + [
    module.name
    for module in pkgutil.walk_packages(fastreg.__path__, "fastreg.")
    if not module.name.endswith("._core")
]
WITHOUT_EXAMPLES = {"fastreg"}  # re-exports only


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    if "._" not in name and name not in WITHOUT_EXAMPLES:
        assert result.attempted > 0, f"{name} is public and shows no example"
