"""The interleaved runner: the subject and each peer in a process of its own, alternating rounds, paired ratios.
It must not know any framework: a contestant NAME is whatever answers in peers/NAME_worker.py."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import report
from workloads import WORKLOADS

HERE = Path(__file__).parent
CHECK_STEPS, CHECK_TOLERANCE = 20, 1e-4  # relative, of every step's loss
WARM_UP_EPOCHS = 2
SETTLE_SECONDS = 0.02  # lets the last contestant's spinning threads go to sleep


class Contestant:
    """A worker process, held to its threads and cores before it imports anything."""

    def __init__(self, name: str, python: str, threads: int) -> None:
        self.name = name
        environment = os.environ | {
            "FASTREG_NUM_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            "NPROC": str(threads),  # XLA's thread pools
            "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}",
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
        }
        cores = report.physical_cores()[:threads]
        self.process = subprocess.Popen(
            [python, "-m", f"peers.{name}_worker"],
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
            raise RuntimeError(
                f"the worker of {self.name} died with exit code {self.process.wait()}; see above"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name} failed at {command!r}:\n{answer['error']}")
        return answer

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()  # it holds nothing worth saving
        self.process.communicate()


def check(contestants: list[Contestant], workload: str) -> dict[str, float]:
    """Largest relative difference of each peer's losses from the subject's; RuntimeError beyond the tolerance."""
    losses = {c.name: c.ask("check", workload=workload, steps=CHECK_STEPS)["losses"] for c in contestants}
    subject, *peers = losses
    differences = {}
    for peer in peers:
        differences[peer] = max(
            abs(a - b) / abs(b) for a, b in zip(losses[peer], losses[subject], strict=True)
        )
        if not differences[peer] <= CHECK_TOLERANCE:
            raise RuntimeError(
                f"{workload}: {peer} and {subject} do not train the same network: losses differ by "
                f"{differences[peer]:.1e}, allowed {CHECK_TOLERANCE:.0e}\n"
                f"{subject}: {losses[subject]}\n{peer}: {losses[peer]}"
            )
    return differences


def play(
    contestants: list[Contestant], workload: str, rounds: int, rng: random.Random
) -> dict[str, list[Any]]:
    """Time one epoch of each contestant per round, in random order; the answers by contestant."""
    for contestant in contestants:
        contestant.ask("prepare", workload=workload)
        for _ in range(WARM_UP_EPOCHS):
            contestant.ask("epoch")
    played: dict[str, list[Any]] = {c.name: [] for c in contestants}
    for _ in range(rounds):
        for contestant in rng.sample(contestants, len(contestants)):
            time.sleep(SETTLE_SECONDS)
            played[contestant.name].append(contestant.ask("epoch"))
    return played


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, ready for JSON."""
    rng = random.Random(0)
    results: dict[str, Any] = {"machine": report.machine(), "argv": sys.argv[1:], "blocks": []}
    pythons = dict(pair.split("=", 1) for pair in arguments.python)
    for threads in arguments.threads:
        with ExitStack() as stack:
            contestants = [
                stack.enter_context(Contestant(name, pythons.get(name, sys.executable), threads))
                for name in arguments.contestants
            ]
            results["contestants"] = {c.name: c.ask("describe") for c in contestants}
            for name, description in results["contestants"].items():
                if description["threads"] != threads:
                    raise RuntimeError(
                        f"{name} runs {description['threads']} threads; {threads} were asked for"
                    )
            for workload in arguments.workloads:
                print(f"{workload}, {threads} thread(s), {arguments.rounds} rounds", file=sys.stderr)
                block = {"workload": workload, "threads": threads, "load_average": os.getloadavg()[0]}
                block["differences"] = check(contestants, workload)
                block["rounds"] = play(contestants, workload, arguments.rounds, rng)
                results["blocks"].append(block)
    return results


def make_parser() -> argparse.ArgumentParser:
    known = sorted(path.stem.removesuffix("_worker") for path in HERE.glob("peers/*_worker.py"))
    parser = argparse.ArgumentParser(description="Time epochs of fastreg and its peers, round by round.")
    parser.add_argument("--quick", action="store_true", help="7 rounds instead of 31")
    parser.add_argument("--rounds", type=int, help="rounds per workload and thread count")
    parser.add_argument("--threads", type=int, nargs="+", help="thread counts (default: 1 and 2)")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument(
        "--contestants",
        nargs="+",
        choices=known,
        default=["fastreg", "torch", "jax"],
        help="the first is the subject",
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="another interpreter for a contestant",
    )
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of JSON and table")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments, checked."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    cores = len(report.physical_cores())
    if arguments.rounds is None:
        arguments.rounds = 7 if arguments.quick else 31
    if arguments.rounds < 1:
        parser.error(f"--rounds is {arguments.rounds}; expected at least 1")
    if arguments.threads is None:
        arguments.threads = [1, 2][:cores]
    if not all(1 <= threads <= cores for threads in arguments.threads):
        parser.error(f"--threads is {arguments.threads}; this machine lends us {cores} cores")
    if not all("=" in pair for pair in arguments.python):
        parser.error(f"--python is {arguments.python}; expected NAME=PATH")
    return arguments


def main() -> None:
    arguments = parse(sys.argv[1:])
    started = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    try:
        results = run(arguments)
    except RuntimeError as error:
        sys.exit(f"run.py: {error}")
    table = report.markdown(results)
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem = f"{started}-quick" if arguments.quick else started
    (arguments.output / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    (arguments.output / f"{stem}.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
