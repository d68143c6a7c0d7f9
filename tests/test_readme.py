"""The Python programs in README.md run, in order, in one namespace.
It must not know what they do."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_readme_programs_run(tmp_path: Path, monkeypatch) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert programs, "README.md shows no Python program"
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for program in programs:
        exec(compile(program, str(README), "exec"), namespace)
