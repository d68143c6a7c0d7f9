"""One command on a machine with a GPU: build, test, sanitize, measure, and write what came of it to benchmarks/results.

    python tools/gpu_check.py [--parts build,tests,parity,native,sanitize,bench,timeline] [--budget SECONDS]
        [--prebuilt FOLDER]

Works offline; needs nvcc (unless --prebuilt), a C++ compiler, and the packages that fastreg builds, runs and is tested
with; PyTorch for the benchmark, compute-sanitizer for the sanitizer. It must not know how the package is built
(gpu_build.py does), nor what tests and benchmarks look at.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import gpu_build

ROOT = gpu_build.ROOT
WORK = ROOT / "build" / "gpu"
SITE = WORK / "site"
TESTS = ["tests/rules", "tests/ops", "tests/session", "tests/api", "tests/pytorch"]
IMPORT = "import fastreg; fastreg.show_config(); print(fastreg.cuda.device_name())"
CLEAN = {"memcheck": "ERROR SUMMARY: 0 errors", "racecheck": "RACECHECK SUMMARY: 0 hazards displayed"}
CLEAN |= dict.fromkeys(("initcheck", "synccheck"), CLEAN["memcheck"])


@dataclass
class Part:
    """A part that ran: the words of the report, and whether all was well."""

    name: str
    passed: bool
    seconds: float
    lines: list[str] = field(default_factory=list)


class Check:
    """The parts, in order, within a budget of seconds; each command's output goes to build/gpu/NAME.log."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.deadline = time.monotonic() + arguments.budget
        self.tables: list[str] = []
        path = os.pathsep.join([str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.environment = os.environ | {
            "PYTHONPATH": path,
            "FASTREG_TEST_CUDA": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, name: str, *command: str | Path) -> tuple[int, str]:
        """Exit status and output; -1 when the budget ended it. What it printed until then is kept."""
        log, left = WORK / f"{name}.log", self.deadline - time.monotonic()
        if left <= 1:
            return -1, "not started: the budget is used up"
        with log.open("w") as out:
            process = subprocess.Popen(
                list(map(str, command)), cwd=ROOT, env=self.environment, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                status = process.wait(timeout=left)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
                status = -1
        return status, log.read_text(errors="replace")

    def build(self) -> tuple[bool, list[str]]:
        prebuilt = self.arguments.prebuilt
        if prebuilt:
            gpu_build.assemble(SITE, prebuilt.resolve())
        else:
            gpu_build.build(SITE)
        status, text = self.run("import", sys.executable, "-c", IMPORT)
        return status == 0, [line for line in text.splitlines() if line] + [
            f"libraries from: {prebuilt or 'pip'}"
        ]

    def pytest(self, name: str, *paths: str) -> tuple[bool, list[str]]:
        spread = ["-n", str(self.arguments.jobs)] if importlib.util.find_spec("xdist") else []
        options = ["-q", "-p", "no:cacheprovider", "--tb=short", *shlex.split(self.arguments.pytest_args)]
        status, text = self.run(name, sys.executable, "-m", "pytest", *spread, *options, *paths)
        lines = text.splitlines()
        failed = [line for line in lines if re.match(r"(FAILED|ERROR) ", line)]
        skipped = [line for line in lines if line.startswith("SKIPPED")]
        last = next((line for line in reversed(lines) if re.search(r"\d+ (passed|failed|error)", line)), "")
        ended = ["**the budget ended it**"] if status == -1 else [] if last else lines[-10:]
        return status == 0, [
            f"`pytest {' '.join(paths)}`: {last.strip('= ')}",
            *ended,
            *failed[:40],
            *skipped,
        ]

    def tests(self) -> tuple[bool, list[str]]:
        return self.pytest("tests", *TESTS)

    def parity(self) -> tuple[bool, list[str]]:
        return self.pytest("parity", "tests/cuda")

    def native(self) -> tuple[bool, list[str]]:
        """The test programs for a GPU; they print PASS, and a line "time ..." for what they measured."""
        passed, lines = True, []
        for source in sorted((ROOT / "tests" / "cuda").glob("*_test.cu")):
            program = gpu_build.native_test(source, WORK, self.arguments.prebuilt)
            status, text = self.run(source.stem, program.resolve())
            printed = text.splitlines()
            passed &= status == 0 and any(line.startswith("PASS") for line in printed)
            lines += [f"`{source.name}`: {printed[-1] if printed else 'no output'}"]
            lines += [line for line in printed if line.startswith(("FAIL", "time "))]
        return passed and bool(lines), lines

    def sanitize(self) -> tuple[bool, list[str]]:
        """A tool counts only if it finds the bug planted for it, and if the program says what it ran."""
        sanitizer, passed, lines = shutil.which("compute-sanitizer"), True, []
        if not sanitizer:
            return False, ["compute-sanitizer was not found"]
        bugs = WORK / "planted_bugs"
        source = ROOT / "tests" / "cuda" / "planted_bugs.cu"
        arch = f"-arch=sm_{gpu_build.ask_gpu('compute_cap')[0].replace('.', '')}"
        if self.run("nvcc", "nvcc", arch, source, "-o", bugs)[0]:
            return False, ["the planted bugs did not compile: build/gpu/nvcc.log"]
        for tool in self.arguments.sanitizers.split(","):
            options = [sanitizer, "--tool", tool, "--error-exitcode", "86"]
            if tool in ("memcheck", "racecheck"):
                status, text = self.run(f"planted-{tool}", *options, bugs, tool)
                found = status == 86 and CLEAN[tool] not in text
                lines.append(f"{tool}: the planted bug was {'found' if found else '**not found**'}")
                passed &= found
            program = [sys.executable, "tests/cuda/sanitize.py"]
            status, text = self.run(tool, *options, "--target-processes", "all", *program)
            ran = re.search(r"ran \d+ operations and \d+ trainings on the GPU in \d+ s", text)
            clean = status == 0 and CLEAN[tool] in text and ran is not None
            summary = next((t for t in reversed(text.splitlines()) if "SUMMARY" in t), "no summary").strip(
                "= "
            )
            lines.append(f"{tool}: {ran[0] if ran else 'the program did not end'}; {summary}")
            passed &= clean
        return passed, lines

    def bench(self) -> tuple[bool, list[str]]:
        output = WORK / "bench.json"
        output.unlink(missing_ok=True)
        command = [sys.executable, "benchmarks/gpu/run.py", "--json", output]
        status, text = self.run("bench", *command, *shlex.split(self.arguments.bench_args))
        self.tables = text[text.find("| ") :].splitlines() if status == 0 and "| " in text else []
        kernels_status, kernels = self.run("kernels", sys.executable, "benchmarks/gpu/kernels.py")
        if kernels_status == 0:
            self.tables += ["", *kernels[kernels.find("copy (") :].splitlines(), ""]
        else:
            status, text = kernels_status, kernels
        if output.exists():
            shutil.copy(output, self.arguments.output / f"gpu-{self.arguments.name}.json")
        return status == 0, ["the table is below"] if status == 0 else text.splitlines()[-15:] or [
            "no output; was the budget used up?"
        ]

    def timeline(self) -> tuple[bool, list[str]]:
        command = [sys.executable, "benchmarks/gpu/timeline.py", *shlex.split(self.arguments.timeline_args)]
        status, text = self.run("timeline", *command)
        lines = text.splitlines()
        self.tables += [line for line in lines if line.startswith(("|", "**")) or not line]
        return status == 0, ["the kernels of a step are below"] if status == 0 else lines[-15:]


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = len(git("status", "--porcelain").splitlines())
    if os.environ.get("FASTREG_COMMIT"):  # of a copy without its history
        return os.environ["FASTREG_COMMIT"]
    return f"{git('rev-parse', '--short', 'HEAD') or 'unknown'}" + (
        f" with {changed} changes" if changed else ""
    )


def report(check: Check, parts: list[Part], started: str) -> str:
    name, driver, capability, memory = gpu_build.ask_gpu("name,driver_version,compute_cap,memory.total")
    lines = [
        f"# {name}: GPU check {check.arguments.name}", "",
        f"{started}; driver {driver}, compute capability {capability}, {memory}; commit {commit()}; "
        f"Python {sys.version.split()[0]}. Command: `python tools/gpu_check.py {shlex.join(sys.argv[1:])}`.", "",
    ]  # fmt: skip
    for part in parts:
        lines += [f"## {part.name}: {'passed' if part.passed else '**FAILED**'} ({part.seconds:.0f} s)", ""]
        lines += [*(f"- {line}" for line in part.lines), ""]
    return "\n".join([*lines, *check.tables]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Build, test, sanitize and measure on a GPU.")
    parser.add_argument("--parts", default="build,tests,parity,native,sanitize,bench,timeline")
    parser.add_argument("--budget", type=float, default=1800.0, help="seconds for all parts together")
    prebuilt = os.environ.get("FASTREG_PREBUILT")
    parser.add_argument("--prebuilt", type=Path, default=Path(prebuilt) if prebuilt else None,
                        help="folder with both libraries of this source, maybe test programs")  # fmt: skip
    parser.add_argument("--sanitizers", default="memcheck,racecheck", help="also initcheck, synccheck")
    parser.add_argument(
        "--jobs", type=int, default=min(8, os.cpu_count() or 1), help="processes of pytest-xdist"
    )
    parser.add_argument("--pytest-args", default="", help="one string, as in a shell")
    parser.add_argument("--bench-args", default="", help="one string, as in a shell")
    parser.add_argument("--timeline-args", default="", help="one string, as in a shell")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    now = datetime.datetime.now(datetime.timezone.utc)
    parser.add_argument("--name", default=f"{now:%Y%m%dT%H%M%SZ}", help="of the report, gpu-NAME.md")
    check = Check(parser.parse_args())
    WORK.mkdir(parents=True, exist_ok=True)
    check.arguments.output.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    for name in check.arguments.parts.split(","):
        action: Callable[[], tuple[bool, list[str]]] = getattr(check, name)
        began = time.monotonic()
        try:
            passed, lines = action()
        except RuntimeError as error:
            passed, lines = False, str(error).splitlines()
        parts.append(Part(name, passed, time.monotonic() - began, lines))
        print(
            json.dumps({"part": name, "passed": passed, "seconds": round(parts[-1].seconds, 1)}), flush=True
        )
        text = report(check, parts, f"{now:%Y-%m-%d %H:%M} UTC")
        (check.arguments.output / f"gpu-{check.arguments.name}.md").write_text(text)
        if name == "build" and not passed:
            break
    print(text)
    return 0 if all(part.passed for part in parts) else 1


if __name__ == "__main__":
    sys.exit(main())
