"""fastreg without PyTorch: it is never imported unasked, and its absence is explained.

It must not need PyTorch.
"""

from __future__ import annotations

import subprocess
import sys


def output(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_fastreg_does_not_import_torch() -> None:
    assert output("import sys, fastreg; print('torch' in sys.modules)") == "False\n"


def test_a_missing_torch_is_explained() -> None:
    program = """
import sys
sys.modules["torch"] = None
try:
    import fastreg.torch
except ImportError as error:
    print(error, error.name)
"""
    assert output(program) == "fastreg.torch needs PyTorch 2.4 or newer: pip install torch torch\n"


def test_a_torch_that_lacks_something_shows_its_own_error() -> None:
    program = """
import sys, types

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'sympy'", name="sympy")

sys.meta_path.insert(0, Broken())
try:
    import fastreg.torch
except ImportError as error:
    print(error, error.name)
"""
    assert output(program) == "No module named 'sympy' sympy\n"
