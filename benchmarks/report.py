"""The results in words: the machine, the versions, a table per family, every figure in detail; and the short summary.
It must not know how the rounds were played. `python report.py results/STEM.json --summary` prints the summary again."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from ratios import block_ratios, geometric_mean, seconds_per_call
from workloads import FAMILIES, WORKLOADS, Workload
from workloads.base import duration

Results = dict[str, Any]

# The runner's own load is at most one contestant's threads, so more than the cores is somebody else's.
BUSY = (
    "**Other programs competed for these cores.** Absolute times and, with several threads, ratios are not results; "
    "measure again on a quiet machine."
)
READING = (
    "A ratio is the contestant's time over the subject's, so above 1 the subject is faster: the median over the rounds "
    "and, in brackets, its 95% bootstrap interval. An empty cell is a workload that a contestant does not play."
)


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def subject_of(results: Results) -> str:
    return next(iter(results["contestants"]))


def host_line(results: Results) -> str:
    """Machine and versions in a sentence."""
    host = results["machine"]
    versions: dict[str, str] = {}
    for description in results["contestants"].values():
        versions |= description["versions"]
    return (
        f"{host['cpu']}, {host['cores']} core(s), {' '.join(host['isa'])}; {host['system']}; Python {host['python']}; "
        + ", ".join(f"{package} {version}" for package, version in versions.items())
    )


def notices(results: Results) -> list[str]:
    """What a reader must know before the figures: a busy machine, who is missing, who failed."""
    loads = [block["load_average"] for block in results["blocks"]]
    lines = [BUSY] if max(loads, default=0) > results["machine"]["logical_cpus"] + 0.5 else []
    for name, package in results["missing"].items():
        lines.append(f"**{name} did not take part: the package {package} is not installed.**")
    for block in results["blocks"]:
        for name, error in block["failed"].items():
            words = error.strip().splitlines()[-1]
            lines.append(
                f"**{name} was not timed on {block['workload']}, {block['threads']} thread(s): {words}**"
            )
    return lines


def family_table(results: Results, family: str) -> list[str]:
    """A row per workload and thread count, a column per contestant."""
    blocks = [b for b in results["blocks"] if WORKLOADS[b["workload"]].family == family and b["rounds"]]
    subject = subject_of(results)
    peers = [n for n in results["contestants"] if n != subject and any(n in b["rounds"] for b in blocks)]
    rows = []
    for block in blocks:
        workload, compared = WORKLOADS[block["workload"]], block_ratios(block)
        cells = [workload.name, str(block["threads"]), workload.speed(typical(block, subject))]
        for peer in peers:
            if peer in compared:
                ratio, seconds = compared[peer], duration(typical(block, peer))
                cells.append(f"**{ratio.value:.2f}** [{ratio.low:.2f}, {ratio.high:.2f}], {seconds}")
            else:
                cells.append("")
        rows.append(cells)
    return table(["workload", "threads", subject, *peers], rows)


def typical(block: dict[str, Any], name: str) -> float:
    """Median seconds of a call."""
    return median(seconds_per_call(block["rounds"][name]))


def details(results: Results) -> list[str]:
    """A row per workload, thread count and contestant: best time, processors, checks."""
    rows = []
    for block in results["blocks"]:
        workload, subject = WORKLOADS[block["workload"]], subject_of(results)
        for name, times in block["rounds"].items():
            seconds, best = seconds_per_call(times), min(seconds_per_call(block["rounds"][subject]))
            checks = [f"{what} {value:.0e}" for what, value in block["checks"][name].items()]
            rows.append(
                [
                    workload.name,
                    str(block["threads"]),
                    name,
                    workload.speed(median(seconds)),
                    workload.speed(min(seconds)),
                    f"{min(seconds) / best:.2f}",
                    f"{sum(times['cpu_seconds']) / sum(times['seconds']):.2f}",
                    f"{len(seconds)} of {times['calls']}",
                    "" if times["loss"] is None else f"{times['loss']:.3f}",
                    "" if name == subject and workload.family != "dropout" else "; ".join(checks),
                ]
            )
    names = "workload, threads, contestant, median, best, best by best, cores used, rounds of calls, loss after, checks"
    return table(names.split(", "), rows)


def contestant_lines(results: Results) -> list[str]:
    """Who is who, the room each takes, and what each declined."""
    lines = []
    for name, description in results["contestants"].items():
        refusals = {
            f"{b['workload']} ({b['unfit'][name]})"
            for b in results["blocks"]
            if b["unfit"].get(name, "not offered") != "not offered"
        }
        declined = f"; does not play {', '.join(sorted(refusals))}" if refusals else ""
        lines.append(
            f"- {name}: {description['title']}; {description['installed_mb']:.1f} MB installed{declined}"
        )
    return lines


def groups(results: Results) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The timed blocks by group of workloads and thread count, in the order of the list of workloads."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    order = list(WORKLOADS)
    for block in sorted(results["blocks"], key=lambda b: order.index(b["workload"])):
        if block["rounds"]:
            found.setdefault((WORKLOADS[block["workload"]].group, block["threads"]), []).append(block)
    return found


def summary_cell(ratios: list[float]) -> str:
    """A ratio; of several workloads the geometric mean and the range."""
    if len(ratios) < 2:
        return "".join(f"{ratio:.2f}" for ratio in ratios)
    return f"{geometric_mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def summary(results: Results) -> str:
    """The short table, with command, date and machine."""
    subject = subject_of(results)
    command = " ".join(["python benchmarks/run.py", *results["argv"]])
    peers = [name for name in results["contestants"] if name != subject]
    rows = []
    for (group, threads), blocks in groups(results).items():
        compared = [block_ratios(block) for block in blocks]
        times = [typical(block, subject) for block in blocks if subject in block["rounds"]]
        workload: Workload = WORKLOADS[blocks[0]["workload"]]
        own = workload.speed(times[0]) if len(times) == 1 else f"{len(times)} sizes"
        cells = [summary_cell([r[peer].value for r in compared if peer in r]) for peer in peers]
        rows.append([group, str(threads), own, *cells])
    lines = [
        f"`{command}`, {results['started'][:10]}, {host_line(results)}.",
        "",
        f"Times of each contestant over those of {subject}; above 1 {subject} is faster. Over several sizes: the "
        "geometric mean and the range.",
        "",
        *(line + "\n" for line in notices(results)),
        *table(["workload", "threads", subject, *peers], rows),
    ]
    return "\n".join(lines) + "\n"


def markdown(results: Results, pictures: dict[str, str]) -> str:
    """The whole report. pictures: file name by family."""
    loads = [block["load_average"] for block in results["blocks"]]
    lines = [
        f"# Benchmark of {results['started']}",
        "",
        f"{host_line(results)}. Commit {results.get('commit', 'unknown')}. "
        f"{results['minutes']:.0f} minutes; load average before each block "
        f"{min(loads):.1f} to {max(loads):.1f}.",
        "",
        *(line + "\n" for line in notices(results)),
        *contestant_lines(results),
        "",
        "## Summary",
        "",
        summary(results),
        READING,
    ]
    for family in FAMILIES:
        rows = family_table(results, family)
        if len(rows) > 2:
            picture = [f"![{family}]({pictures[family]})", ""] if family in pictures else []
            lines += ["", f"## {family}", "", *picture, *rows]
    lines += ["", "## Every figure", "", *details(results)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Show kept results.")
    parser.add_argument("file", type=Path, help="results/STEM.json")
    parser.add_argument("--summary", action="store_true", help="the short table only")
    arguments = parser.parse_args()
    results = json.loads(arguments.file.read_text())
    print(summary(results) if arguments.summary else markdown(results, pictures={}), end="")


if __name__ == "__main__":
    main()
