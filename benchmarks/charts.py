"""The results as bar charts: a PNG per family, a panel per group of workloads and thread count.
It must not know how the rounds were played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only, also where there is a display

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ratios import Ratio, block_ratios
from workloads import FAMILIES, WORKLOADS

# Okabe and Ito (2008): told apart with any colour vision. The hatch tells apart those of one framework.
STYLE = {
    "fastreg": ("#000000", ""),
    "torch": ("#D55E00", ""),
    "torch_compile": ("#D55E00", "///"),
    "torch_no_penalty": ("#D55E00", "..."),
    "jax": ("#0072B2", ""),
    "jax_premasked": ("#0072B2", "///"),
    "keras_jax": ("#56B4E9", ""),
    "keras_tf": ("#E69F00", ""),
    "sklearn": ("#CC79A7", ""),
    "numpy": ("#009E73", ""),
}
OTHER = ("#999999", "")
SMALL = 4  # workloads in a panel, up to which bars carry their figures

Bars = dict[str, dict[str, Ratio]]  # workload -> peer -> ratio


def draw(results: dict[str, Any], folder: Path, stem: str) -> dict[str, str]:
    """Write STEM-FAMILY.png for each family that has something to compare; the file names by family."""
    written = {}
    for family in FAMILIES:
        panels = list(family_panels(results, family))
        if panels:
            written[family] = f"{stem}-{family}.png"
            family_figure(family, panels, subject=next(iter(results["contestants"]))).savefig(
                folder / written[family], dpi=110
            )
    return written


def family_panels(results: dict[str, Any], family: str) -> Iterator[tuple[str, Bars]]:
    """(title, bars) for each panel. Groups of a single workload share one, with a label for each."""
    blocks = [b for b in results["blocks"] if WORKLOADS[b["workload"]].family == family]
    groups = dict.fromkeys(WORKLOADS[b["workload"]].group for b in blocks)
    single = len(groups) > 1 and len(groups) == len({b["workload"] for b in blocks})
    for threads in sorted({b["threads"] for b in blocks}):
        for group in [family] if single else groups:
            bars = {
                WORKLOADS[b["workload"]].name
                if family == "overhead"
                else WORKLOADS[b["workload"]].label: ratios
                for b in blocks
                if b["threads"] == threads
                and (single or WORKLOADS[b["workload"]].group == group)
                and (ratios := block_ratios(b))
            }
            if bars:
                yield f"{group}, {threads} thread{'s' if threads > 1 else ''}", bars


def family_figure(family: str, panels: list[tuple[str, Bars]], subject: str) -> Figure:
    """The panels below each other, with one legend."""
    figure = Figure(figsize=(11, 1.0 + 3.0 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    present = {peer for _, bars in panels for ratios in bars.values() for peer in ratios}
    peers = [*(p for p in STYLE if p in present), *sorted(present - STYLE.keys())]
    for axis, (title, bars) in zip(axes, panels):
        panel(axis, bars, peers)
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_ylabel(f"time over that of {subject}", fontsize=9)
    handles = {label: bar for axis in axes for bar, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(
        [handles[p] for p in peers], peers, loc="outside upper center", ncols=len(peers), frameon=False
    )
    return figure


def panel(axis: Axes, bars: Bars, peers: list[str]) -> None:
    """A cluster of bars per workload, on a log scale from the line at 1: up, the subject is faster; down, slower."""
    width = 0.85 / len(peers)
    for i, peer in enumerate(peers):
        places = [x for x, ratios in enumerate(bars.values()) if peer in ratios]
        found = [ratios[peer] for ratios in bars.values() if peer in ratios]
        if not found:
            continue
        at = [x + (i - (len(peers) - 1) / 2) * width for x in places]
        values = [ratio.value for ratio in found]
        whiskers = [[r.value - r.low for r in found], [r.high - r.value for r in found]]
        colour, hatch = STYLE.get(peer, OTHER)
        axis.bar(
            at, [v - 1 for v in values], width, bottom=1, color=colour, hatch=hatch, edgecolor="white", label=peer
        )  # fmt: skip
        axis.errorbar(at, values, whiskers, fmt="none", ecolor="#333333", elinewidth=1, capsize=2)
        if len(bars) <= SMALL:
            for x, ratio in zip(at, found):
                above = ratio.value >= 1
                axis.annotate(
                    f"{ratio.value:.3g}", (x, ratio.high if above else ratio.low), (0, 3 if above else -3),
                    textcoords="offset points", ha="center", va="bottom" if above else "top", fontsize=8,
                )  # fmt: skip
    axis.axhline(1, color="black", linewidth=1)
    axis.set_yscale("log")
    axis.margins(y=0.15)
    tilt = {"rotation": 20, "ha": "right", "rotation_mode": "anchor"} if len(bars) > SMALL else {}
    axis.set_xticks(range(len(bars)), list(bars), fontsize=9, **tilt)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = axis.get_ylim()
    if high / low > 30:
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.tick_params(axis="y", which="minor", labelsize=8)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
