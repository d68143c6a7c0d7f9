"""`python benchmarks/run.py`: the command line of the benchmark; it writes JSON, Markdown and charts.
It must not know how a round is played, nor what the report makes of it."""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import charts
import machine
import report
from runner import HERE, ISA_LIMITS, play_block, rounds_that_fit, start
from workloads import FAMILIES, WORKLOADS

ALL = [
    "fastreg", "torch", "torch_compile", "torch_no_penalty", "jax", "jax_premasked", "keras_jax", "keras_tf",
    "sklearn", "numpy",
]  # fmt: skip
QUICK = ["fastreg", "torch", "jax", "numpy"]
ROUNDS, QUICK_ROUNDS = 31, 7
QUICK_SHARE = 0.25  # of a workload's time


def budget(workload: str, arguments: argparse.Namespace) -> float:
    """Seconds for the rounds of a workload; --rounds lifts the limit."""
    if arguments.rounds is not None:
        return math.inf
    return WORKLOADS[workload].seconds * (QUICK_SHARE if arguments.quick else 1.0)


def most_rounds(arguments: argparse.Namespace) -> int:
    return arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)


def commit() -> str:
    """That of this checkout, "+" where files differ from it; "unknown" where there is none."""
    git = ["git", "-C", str(HERE)]
    found = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        return "unknown"
    changed = subprocess.run(
        [*git, "status", "--porcelain"], capture_output=True, text=True, check=False
    ).stdout
    return found.stdout.strip() + ("+" if changed else "")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, ready for JSON."""
    rng = random.Random(0)
    began = time.perf_counter()
    results: dict[str, Any] = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "argv": sys.argv[1:],
        "commit": commit(),
        "machine": machine.describe(),
        "contestants": {},
        "missing": {},
        "blocks": [],
    }
    pythons = dict(pair.split("=", 1) for pair in arguments.python)
    for threads in arguments.threads:
        with ExitStack() as stack:
            contestants, described, missing = start(
                arguments.contestants, pythons, threads, arguments.isa, stack
            )
            results["contestants"], results["missing"] = described, missing
            for name in arguments.workloads:
                rounds = partial(rounds_that_fit, budget=budget(name, arguments), most=most_rounds(arguments))
                minutes = (time.perf_counter() - began) / 60
                print(f"{minutes:4.1f} min: {name}, {threads} thread(s)", file=sys.stderr)
                block = {"threads": threads} | play_block(contestants, name, rounds, rng)
                results["blocks"].append(block)
    results["minutes"] = (time.perf_counter() - began) / 60
    return results


def make_parser() -> argparse.ArgumentParser:
    known = sorted(path.stem.removesuffix("_worker") for path in HERE.glob("peers/*_worker.py"))
    parser = argparse.ArgumentParser(description="Time fastreg and its peers, round by round.")
    parser.add_argument("--quick", action="store_true", help="a few workloads, peers and rounds: minutes")
    parser.add_argument("--rounds", type=int, help="exactly so many rounds, however long they take")
    parser.add_argument("--threads", type=int, nargs="+", help="thread counts (default: 1 and 2)")
    parser.add_argument(
        "--isa",
        choices=ISA_LIMITS,
        help="hold every library to this instruction set (default: the machine's)",
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, help="only these (default: all)")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="print the workloads and leave")
    parser.add_argument("--contestants", nargs="+", choices=known, help="the first is the subject")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="another interpreter for a contestant"
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of what is written")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments, checked and complete."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    cores = len(machine.physical_cores())
    arguments.contestants = arguments.contestants or (QUICK if arguments.quick else ALL)
    if arguments.workloads is None:
        families = arguments.families or FAMILIES
        arguments.workloads = [
            w.name for w in WORKLOADS.values() if w.family in families and (w.quick or not arguments.quick)
        ]
    elif arguments.families:
        parser.error("--families and --workloads both say what to time; give one")
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error(f"--rounds is {arguments.rounds}; expected at least 1")
    if arguments.threads is None:
        arguments.threads = [1, 2][:cores]
    if not all(1 <= threads <= cores for threads in arguments.threads):
        parser.error(f"--threads is {arguments.threads}; this process may use {cores} cores")
    if not all("=" in pair for pair in arguments.python):
        parser.error(f"--python is {arguments.python}; expected NAME=PATH")
    if not arguments.workloads:
        parser.error(f"--quick has no workload of {arguments.families}")
    return arguments


def write(results: dict[str, Any], folder: Path, stem: str) -> None:
    """STEM.json, STEM.md and a STEM-FAMILY.png per family."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(results) + "\n")
    pictures = charts.draw(results, folder, stem)
    (folder / f"{stem}.md").write_text(report.markdown(results, pictures))


def main() -> None:
    arguments = parse(sys.argv[1:])
    if arguments.list:
        print("\n".join(f"{w.family:9} {w.name:32} {w.group}" for w in WORKLOADS.values()))
        return
    stem = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ") + ("-quick" if arguments.quick else "")
    try:
        results = run(arguments)
    except RuntimeError as error:
        sys.exit(f"run.py: {error}")
    write(results, arguments.output, stem)
    print(report.summary(results))
    print(f"Written: {arguments.output / stem}.md, .json and charts, in {results['minutes']:.1f} minutes.")
    if any(block["failed"] for block in results["blocks"]):
        sys.exit("run.py: some contestants failed; the report names them")


if __name__ == "__main__":
    main()
