"""The ladder holds: who may include whom, which headers stay in their room; and files say what their heads must.

It must not need the native module: it reads the sources.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
SUFFIXES = {".h", ".cpp", ".inl", ".cu", ".cuh", ".c"}
SOURCES = {p.relative_to(CSRC).as_posix(): p for p in sorted(CSRC.rglob("*")) if p.suffix in SUFFIXES}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

# Room -> what it may include: whole rooms (with a slash) or single files. Every room may include itself.
VOCABULARY = "rules/spec.h"  # enums and plain structs, shared by all rooms
SEAM = {"core/op_table.h", "core/tables.h", "core/status.h", "core/context.h", "core/float_settings.h"}
ALLOWED = {
    "rules": set(),
    "core": {"rules/"},
    "cpu": SEAM | {"rules/"},
    "cuda": SEAM | {"core/queue.h", "core/cuda.h", "rules/"},
    "capi": {"core/", "include/", VOCABULARY},
    "python": {"core/", VOCABULARY},
    "include": set(),
}
SIMD = re.compile(r"^(\w*mmintrin|x86intrin|x86gprintrin|immintrin|arm_\w+|arm_neon)\.h$")
MAY_USE_SIMD = re.compile(r"^cpu/(vec_\w+|\w+_(avx2|avx512|neon))\.h$")


def includes(name: str) -> list[tuple[bool, str]]:
    """(is it one of ours?, path relative to csrc or system name) of every include of a source."""
    found = []
    for quote, target in INCLUDE.findall(SOURCES[name].read_text()):
        beside = (SOURCES[name].parent / target).resolve()
        if quote == '"' and beside.is_file():
            target = beside.relative_to(CSRC).as_posix()
        elif (CSRC / "include" / target).is_file():
            quote, target = '"', f"include/{target}"
        found.append((quote == '"', target))
    return found


def test_there_is_something_to_check() -> None:
    for room in ("rules", "core", "cpu", "cuda", "capi", "python", "include"):
        assert any(name.startswith(room + "/") for name in SOURCES), f"csrc/{room} holds no source"


@pytest.mark.parametrize("name", SOURCES)
def test_includes_only_go_down(name: str) -> None:
    room = name.split("/")[0]
    assert room in ALLOWED, f"csrc/{room} is not a room of the ladder"
    for ours, target in includes(name):
        if not ours:
            continue
        assert target in SOURCES, f"{name} includes {target}, which is not a file of csrc"
        target_room = target.split("/")[0]
        allowed = ALLOWED[room]
        assert target_room == room or target in allowed or f"{target_room}/" in allowed, (
            f"{name} includes {target}; {room} may include {sorted(allowed) or 'only itself'}"
        )


@pytest.mark.parametrize("name", SOURCES)
def test_foreign_headers_stay_in_their_room(name: str) -> None:
    room = name.split("/")[0]
    for ours, target in includes(name):
        if ours:
            continue
        if SIMD.match(target):
            assert MAY_USE_SIMD.match(name), f"{name} includes {target}; SIMD headers belong to cpu/vec_*.h"
        if re.match(r"(pybind11|numpy)/|Python\.h$", target):
            assert room == "python", f"{name} includes {target}; Python headers belong to csrc/python"
        if re.match(r"(cuda|cublas|cooperative_groups|nv)\w*(\.h|/)|mma\.h$", target):
            assert room == "cuda", f"{name} includes {target}; CUDA headers belong to csrc/cuda"
        if room == "include":
            assert re.match(r"std(int|def|bool)\.h$", target), (
                f"{name} includes {target}; the public header is C99"
            )


def test_there_are_no_circles() -> None:
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, "a circle of includes: " + " -> ".join([*path[path.index(name) :], name])
        if name in done or name not in SOURCES:
            return
        for ours, target in includes(name):
            if ours:
                visit(target, [*path, name])
        done.add(name)

    for name in SOURCES:
        visit(name, [])


def written_by_hand() -> list[Path]:
    """Every source we keep, C++ and Python: native, package, tests, benchmarks, examples, demo, tools."""
    folders = ("csrc", "python", "tests", "benchmarks", "examples", "demo", "tools")
    files = [p for folder in folders for p in (ROOT / folder).rglob("*")]
    return sorted(p for p in files if p.suffix in {*SUFFIXES, ".py", ".pyi"})


def head(path: Path) -> str:
    """What a file begins with, in one line: its docstring, or the comment from its first line on."""
    text = path.read_text()
    if path.suffix in {".py", ".pyi"}:
        return " ".join((ast.get_docstring(ast.parse(text)) or "").split())
    comment = re.match(r"/\*.*?\*/|(//[^\n]*\n)*", text, re.DOTALL)
    assert comment
    return " ".join(re.sub(r"^\s*(//|/?\*+/?)", "", comment[0], flags=re.MULTILINE).split())


def speaks_to_users(path: Path) -> bool:
    """Whether the head is for those who use fastreg: of examples, the public header, and files that gather names."""
    return path.name == "__init__.py" or any(
        path.is_relative_to(ROOT / folder) for folder in ("examples", "csrc/include")
    )


each_file = pytest.mark.parametrize("path", written_by_hand(), ids=lambda p: p.relative_to(ROOT).as_posix())


@each_file
def test_a_long_file_says_why(path: Path) -> None:
    n = len(path.read_text().splitlines())
    assert n <= 250 or "over 250 lines" in head(path).lower(), (
        f"{n} lines; the head must say why it is over 250 lines"
    )


@each_file
def test_a_file_says_what_it_is_and_must_not_know(path: Path) -> None:
    said = head(path)
    assert said, "the first line must begin to say what the file is"
    if not speaks_to_users(path):
        says_not = re.search(r"must not|[Nn]either \w+ knows", said)
        assert says_not, f"the head must say what the file must not know: {said}"
