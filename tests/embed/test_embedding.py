"""Other people's programs: each example builds against the installed package alone, found in every way we promise.

It must not look into csrc, but for the test that builds the library as a subdirectory.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

import fastreg
from fastreg import config

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(c) for c in command],
        env={**os.environ, "PATH": TOOLS, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def cmake() -> str:
    found = shutil.which("cmake", path=TOOLS)
    assert found, "cmake comes with the extra `test`"
    return found


def built(source: Path, folder: Path, *options: str) -> Path:
    run(cmake(), "-S", source, "-B", folder, "-G", "Ninja", *options)
    run(cmake(), "--build", folder)
    return folder


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """442 patients, 10 columns, progression of diabetes in the last (Efron et al. 2004)."""
    x, y = load_diabetes(return_X_y=True)
    path = tmp_path_factory.mktemp("data") / "diabetes.csv"
    np.savetxt(path, np.column_stack([x, y]), delimiter=",", fmt="%.8g")
    return path


def shows_a_training(output: str) -> None:
    losses = [float(v) for v in re.findall(r"epoch \d+: loss (\S+)", output)]
    assert len(losses) == 5, output
    assert losses[-1] < 0.8 * losses[0], output
    zeros = re.search(r"exact zeros: (\d+) of 352 kernel weights", output)
    assert zeros, output
    assert int(zeros[1]) > 50, output
    assert "the second session predicts the same bits" in output


def flag(name: str) -> str:
    return run(sys.executable, "-m", "fastreg", f"--{name}").strip()


def test_what_python_says_is_there() -> None:
    assert flag("version") == fastreg.__version__
    assert flag("includes") == shlex.quote(f"-I{fastreg.get_include()}")
    assert (Path(fastreg.get_include()) / "fastreg" / "fastreg.h").exists()
    assert flag("cmakedir") == fastreg.get_cmake_dir()
    assert (Path(fastreg.get_cmake_dir()) / "fastregConfig.cmake").exists()
    assert (Path(flag("pkgconfigdir")) / "fastreg.pc").exists()
    nothing = subprocess.run([sys.executable, "-m", "fastreg"], capture_output=True, text=True, check=False)
    assert nothing.returncode == 2
    assert "name at least one of" in nothing.stderr


def test_scikit_build_core_finds_it() -> None:
    """Its entry point names a module whose folder is the prefix to search."""
    (entry,) = (e for e in importlib.metadata.entry_points(group="cmake.root") if e.name == "fastreg")
    prefix = Path(entry.load().__file__).parent
    assert (prefix / "lib" / "cmake" / "fastreg" / "fastregConfig.cmake").exists()


def test_c(csv: Path, tmp_path: Path) -> None:
    folder = built(EXAMPLES / "embed-c", tmp_path / "c", f"-DCMAKE_PREFIX_PATH={fastreg.get_cmake_dir()}")
    shows_a_training(run(folder / "embed_c", csv))
    bad = tmp_path / "bad.csv"
    bad.write_text("1,2,3\n4,five,6\n")
    failed = subprocess.run([folder / "embed_c", bad], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "row 2 is not 3 numbers" in failed.stderr


def test_cpp(tmp_path: Path) -> None:
    folder = built(EXAMPLES / "embed-cpp", tmp_path / "cpp", f"-DCMAKE_PREFIX_PATH={fastreg.get_cmake_dir()}")
    assert "exactly 0 among the other 35: 35" in run(folder / "embed_cpp")


def test_python_without_our_module() -> None:
    assert "the small ones are exactly 0" in run(sys.executable, EXAMPLES / "embed-python" / "lasso.py")


def test_flags_without_cmake(csv: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    assert compiler, "building the package took a compiler, so there should be one"
    source = EXAMPLES / "embed-c" / "main.c"
    run(
        compiler,
        "-std=c99",
        *shlex.split(flag("includes")),
        source,
        "-o",
        program,
        *shlex.split(flag("libs")),
        "-lm",
    )
    shows_a_training(run(program, csv))


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="pkg-config is not installed")
def test_pkg_config() -> None:
    where = {"PKG_CONFIG_PATH": config.get_pkgconfig_dir()}
    assert run("pkg-config", "--modversion", "fastreg", **where).strip() == fastreg.__version__
    include, library = (
        run("pkg-config", f"--variable={name}", "fastreg", **where).strip()
        for name in ("includedir", "libdir")
    )
    assert (Path(include) / "fastreg" / "fastreg.h").exists()
    assert (Path(library) / "libfastreg.so").exists()


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="pkg-config is not installed")
def test_a_program_linked_by_pkg_config_runs(csv: Path, tmp_path: Path) -> None:
    flags = run("pkg-config", "--cflags", "--libs", "fastreg", PKG_CONFIG_PATH=config.get_pkgconfig_dir())
    source, program = EXAMPLES / "embed-c" / "main.c", tmp_path / "embed_c"
    run(os.environ.get("CC", "cc"), "-std=c99", source, "-o", program, *flags.split(), "-lm")
    shows_a_training(run(program, csv))


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="pkg-config is not installed")
@pytest.mark.parametrize("libdir", ["lib", "lib/x86_64-linux-gnu", "/opt/other/lib"])
def test_pkg_config_of_an_install_without_python(libdir: str, tmp_path: Path) -> None:
    build, prefix = tmp_path / "b", tmp_path / "prefix"
    where = [f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DCMAKE_INSTALL_LIBDIR={libdir}"]
    run(cmake(), "-S", ROOT, "-B", build, "-G", "Ninja", "-DFASTREG_CUDA=OFF", *where)
    folder = tmp_path / "absolute" if libdir.startswith("/") else prefix / libdir / "pkgconfig"
    folder.mkdir(parents=True)
    shutil.copy(build / "fastreg.pc", folder)
    found = {
        name: run("pkg-config", f"--variable={name}", "fastreg", PKG_CONFIG_PATH=str(folder)).strip()
        for name in ("includedir", "libdir")
    }
    assert os.path.normpath(found["includedir"]) == str(prefix / "include")
    assert os.path.normpath(found["libdir"]) == str(prefix / libdir)


def test_within_another_python_package_it_is_a_library(tmp_path: Path) -> None:
    """scikit-build-core defines SKBUILD for the project around it."""
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(other LANGUAGES CXX)\n"
        f"add_subdirectory({ROOT.as_posix()} fastreg)\nmessage(STATUS python=${{FASTREG_PYTHON}})\n"
    )
    options = ["-DSKBUILD=2", "-DFASTREG_CUDA=OFF"]
    assert "python=OFF" in run(cmake(), "-S", tmp_path, "-B", tmp_path / "b", "-G", "Ninja", *options)


@pytest.mark.parametrize(
    ("asked", "found"), [("0.1", True), ("0.1.0", True), ("0.2", False), ("1.0", False), ("0.0", False)]
)
def test_only_the_same_minor_version_will_do(asked: str, found: bool, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(version LANGUAGES NONE)\n"
        f"find_package(fastreg {asked} CONFIG QUIET)\nmessage(STATUS found=${{fastreg_FOUND}})\n"
    )
    output = run(
        cmake(),
        "-S",
        tmp_path,
        "-B",
        tmp_path / "b",
        "-G",
        "Ninja",
        f"-DCMAKE_PREFIX_PATH={fastreg.get_cmake_dir()}",
    )
    assert f"found={int(found)}" in output


def test_the_programs_of_the_documentation(tmp_path: Path) -> None:
    """Each C and C++ program of docs/embedding.md, by the CMakeLists.txt of that page."""
    page = (ROOT / "docs" / "embedding.md").read_text()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (project,) = (text for language, text in blocks if language == "cmake")
    outputs = {}
    for language, text in blocks:
        if language not in ("c", "cpp"):
            continue
        source = tmp_path / language
        source.mkdir()
        (source / f"main.{language}").write_text(text)
        (source / "CMakeLists.txt").write_text(project.replace("main.c", f"main.{language}"))
        folder = built(source, source / "build", f"-DCMAKE_PREFIX_PATH={fastreg.get_cmake_dir()}")
        outputs[language] = run(folder / "program")
    assert outputs["c"] == "penalty before the step 3.583, weight 1 is 0\nbeta_1 must be in [0, 1), got 2\n"
    assert re.fullmatch(r"loss 0\.\d+\n", outputs["cpp"])


def test_subdirectory_and_prefix(tmp_path: Path) -> None:
    """The library inside another project, then installed from there without Python, then found by the example.

    The portable table alone, unoptimized: this is about finding, and the library takes minutes to build.
    """
    source = tmp_path / "project"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(outer LANGUAGES CXX)\n"
        f'add_subdirectory("{ROOT}" fastreg)\n'
        f'add_executable(outer "{EXAMPLES / "embed-cpp" / "main.cpp"}")\n'
        "target_link_libraries(outer PRIVATE fastreg::fastreg)\n"
    )
    folder = built(source, tmp_path / "outer", "-DFASTREG_ISAS=", "-DCMAKE_BUILD_TYPE=Debug")
    assert "exactly 0 among the other 35: 35" in run(folder / "outer")

    prefix = tmp_path / "prefix"
    run(cmake(), "--install", folder, "--prefix", prefix)
    (library,) = (p for p in prefix.rglob("libfastreg.so*") if not p.is_symlink())
    assert library.name == f"libfastreg.so.{fastreg.__version__}"
    assert not list(prefix.rglob("*.py"))
    example = built(EXAMPLES / "embed-cpp", tmp_path / "example", f"-DCMAKE_PREFIX_PATH={prefix}")
    assert "exactly 0 among the other 35: 35" in run(example / "embed_cpp")
