"""The interleaved rounds: every contestant in a process of its own, checked, warmed up, timed in random order.
It must not know any framework: a contestant NAME is whatever answers in peers/NAME_worker.py."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from types import TracebackType
from typing import Any

import numpy as np

import machine
from workloads import WORKLOADS, Outputs

HERE = Path(__file__).parent
SETTLE_SECONDS = 0.02  # between contestants, and beyond that until the last one's threads sleep:
SETTLE_AT_MOST = 0.5  # some spin for a while after their work, those of OpenBLAS for 0.1 s
MIN_ROUNDS = 5
# What holds each library to an instruction set below the machine's. oneDNN serves PyTorch, TensorFlow and, when YNNPACK
# (which has no such limit) is off, JAX: by that its products of 512^3 are faster, not slower.
ISA_LIMITS = {
    "avx2": {
        "FASTREG_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's kernels and the code of torch.compile, which mixes up what it keeps
        "TORCHINDUCTOR_CACHE_DIR": f"{gettempdir()}/torchinductor-avx2",  # of several instruction sets
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2",  # oneDNN's former name
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2 --xla_cpu_experimental_ynn_fusion_type=",
    }
}


class Missing(Exception):
    """A package that a contestant needs is not installed."""


class Contestant:
    """A worker process, held to its threads and cores before it imports anything."""

    def __init__(self, name: str, python: str, threads: int, isa: str | None = None) -> None:
        self.name = name
        limits = ISA_LIMITS[isa] if isa else {}
        environment = (
            os.environ
            | limits
            | {
                "FASTREG_NUM_THREADS": str(threads),
                "OMP_NUM_THREADS": str(threads),
                "MKL_NUM_THREADS": str(threads),
                "OPENBLAS_NUM_THREADS": str(threads),
                "NPROC": str(threads),  # XLA's thread pools
                "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} "
                + limits.get("XLA_FLAGS", ""),
                "JAX_PLATFORMS": "cpu",
                "CUDA_VISIBLE_DEVICES": "",
                "TF_CPP_MIN_LOG_LEVEL": "2",
            }
        )
        cores = machine.physical_cores()[:threads]
        self.process = subprocess.Popen(
            [python, "-m", "peers", name],
            cwd=HERE,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """One command and its answer; RuntimeError with the worker's words when it fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps({"command": command} | arguments), file=self.process.stdin)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the worker of {self.name} died, exit code {self.process.wait()}; see above")
        answer = json.loads(line)
        if "missing" in answer:
            raise Missing(answer["missing"])
        if "error" in answer:
            raise RuntimeError(f"{self.name} failed at {command!r}:\n{answer['error']}")
        return answer

    def threads_running(self) -> int:
        """How many of its threads have a core or wait for one."""
        running = 0
        for stat in Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # a thread that has ended
                running += stat.read_text().rpartition(")")[2].split()[0] == "R"
        return running

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()  # it holds nothing worth saving
        self.process.communicate()


def settle(contestants: list[Contestant]) -> None:
    """Wait until nobody's threads run."""
    end = time.monotonic() + SETTLE_AT_MOST
    time.sleep(SETTLE_SECONDS)
    while any(c.threads_running() for c in contestants) and time.monotonic() < end:
        time.sleep(SETTLE_SECONDS / 4)


def outputs(contestant: Contestant) -> Outputs:
    """What the prepared task gives for the check."""
    with TemporaryDirectory() as folder:
        contestant.ask("check", file=f"{folder}/outputs.npz")
        with np.load(f"{folder}/outputs.npz") as file:
            return dict(file)


def check(name: str, workload: str, given: Outputs, subject: Outputs) -> dict[str, float]:
    """A contestant's differences by check; RuntimeError when one is beyond its limit, or nothing can be checked."""
    limits, differences = WORKLOADS[workload].limits, WORKLOADS[workload].differences(given, subject)
    failed = [
        f"{what}: {value:.1e}, allowed {limits[what]:.0e}"
        for what, value in differences.items()
        if not value <= limits[what]
    ]
    if failed or not differences:
        raise RuntimeError(
            f"{name} fails the check of {workload}: {'; '.join(failed) or 'nothing to compare'}"
        )
    return differences


def rounds_that_fit(seconds: float, budget: float, most: int) -> int:
    """How many rounds of so many seconds: what the budget pays for, at least MIN_ROUNDS, never beyond `most`."""
    return int(min(most, max(MIN_ROUNDS, budget / seconds)))


def play(
    contestants: list[Contestant], warm: dict[str, dict[str, Any]], n_rounds: int, rng: random.Random
) -> dict[str, dict[str, Any]]:
    """Time each contestant once a round, in random order; what was measured, by contestant."""
    played: dict[str, dict[str, Any]] = {
        c.name: {"calls": warm[c.name]["calls"], "seconds": [], "cpu_seconds": [], "loss": None}
        for c in contestants
    }
    for _ in range(n_rounds):
        for contestant in rng.sample(contestants, len(contestants)):
            settle(contestants)
            times = played[contestant.name]
            answer = contestant.ask("measure", calls=times["calls"])
            times["seconds"].append(round(answer["seconds"], 9))
            times["cpu_seconds"].append(round(answer["cpu_seconds"], 9))
            times["loss"] = answer["loss"]
    return played


def play_block(
    contestants: list[Contestant], workload: str, rounds: Callable[[float], int], rng: random.Random
) -> dict[str, Any]:
    """Check, warm up and time one workload. The first contestant is the subject; a peer that fails is left out, and
    named.

    rounds : from the seconds of a round to their number.
    """
    block: dict[str, Any] = {"workload": workload, "load_average": os.getloadavg()[0]}
    block |= {"checks": {}, "unfit": {}, "failed": {}}
    players: list[Contestant] = []
    warm: dict[str, dict[str, Any]] = {}
    subject_outputs: Outputs = {}
    for contestant in contestants:
        try:
            refusal = contestant.ask("prepare", workload=workload).get("unfit")
            if refusal is not None:
                block["unfit"][contestant.name] = refusal
                continue
            given = outputs(contestant)
            if not players:
                subject_outputs = given
            block["checks"][contestant.name] = check(contestant.name, workload, given, subject_outputs)
            warm[contestant.name] = contestant.ask("warm_up")
        except (RuntimeError, Missing) as error:
            if not players:
                raise
            print(error, file=sys.stderr)
            block["failed"][contestant.name] = str(error)
        else:
            players.append(contestant)
    seconds = sum(warm[c.name]["seconds"] + SETTLE_SECONDS for c in players)
    return block | {"rounds": play(players, warm, rounds(seconds), rng)}


def start(
    names: list[str], pythons: dict[str, str], threads: int, isa: str | None, stack: ExitStack
) -> tuple[list[Contestant], dict[str, Any], dict[str, str]]:
    """The contestants that answer, what they say of themselves, and the package each of the others lacks."""
    contestants, described, missing = [], {}, {}
    for name in names:
        contestant = stack.enter_context(Contestant(name, pythons.get(name, sys.executable), threads, isa))
        try:
            described[name] = contestant.ask("describe")
        except Missing as error:
            missing[name] = str(error)
            print(f"{name} does not take part: the package {error} is not installed", file=sys.stderr)
            continue
        if described[name]["threads"] != threads:
            raise RuntimeError(f"{name} runs {described[name]['threads']} threads; {threads} were asked for")
        contestants.append(contestant)
    if not contestants or contestants[0].name != names[0]:
        raise RuntimeError(f"the subject, {names[0]}, needs the package {missing[names[0]]}")
    return contestants, described, missing
