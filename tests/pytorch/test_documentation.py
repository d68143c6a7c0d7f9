"""The PyTorch program of docs/embedding.md runs and shows what it says.

It must not know how fastreg.torch works.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"


def test_the_program_ends_in_zeros(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    exec(compile(program, str(PAGE), "exec"), {})
    shown = re.fullmatch(r"exact zeros: (\d+) of 640\n", capsys.readouterr().out)
    assert shown
    assert 100 < int(shown[1]) < 640
