"""The two figures: learning curves of all seeds, and the first layer's weights, from the first seed, laid out as the
pixels they look at. It must not train or decide anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from demo.report import Results
from demo.techniques import Result

# Told apart by colour-blind readers (Okabe and Ito 2008).
TRAINING, VALIDATION, RESTORED = "#0072b2", "#d55e00", "#009e73"
SWITCHED_OFF = "#d8d8d8"
COLUMNS = 4


def learning_curves(results: Results, path: Path) -> None:
    """Cross-entropy without penalties, so that every panel measures the same thing; one panel per technique."""
    figure, axes = panels(len(results), height=2.8, sharex=True, sharey=True)
    for ax, (name, runs) in zip(axes, results.items()):
        for run in reversed(runs):  # the first seed on top
            curves(ax, run, first=run is runs[0])
        loss = np.mean([run.test_loss for run in runs])
        accuracy = np.mean([run.test_accuracy for run in runs])
        ax.set_title(f"{name}\nmean test loss {loss:.2f}, test accuracy {accuracy:.1%}", fontsize=10)
        ax.set_yscale("log")
        ax.grid(alpha=0.3)
    for ax in axes[::COLUMNS]:
        ax.set_ylabel("cross-entropy [nats]")
    for ax in axes[-COLUMNS:]:
        ax.set_xlabel("epoch")
        ax.tick_params(labelbottom=True)
    handles, labels = axes[-1].get_legend_handles_labels()
    note = (
        f"Strong: seed {runs[0].seed}; faint: the other {len(runs) - 1} seeds.\nPenalties are left out.\n"
        "With dropout, the training line is\nmeasured with neurons missing."
    )
    figure.legend(handles, labels, title=note, loc="center", bbox_to_anchor=(0.88, 0.26), frameon=False)
    figure.suptitle("Learning curves: the space between the two lines is overfitting")
    figure.savefig(path, dpi=150)


def curves(ax: Axes, run: Result, first: bool) -> None:
    """The two lines of a run, and the epoch whose weights it keeps; strong and with labels for the first seed."""
    epochs = np.arange(1, run.epochs + 1)
    style = {"alpha": 1.0, "linewidth": 1.5} if first else {"alpha": 0.25, "linewidth": 0.7}
    lines = (
        ("data_loss", TRAINING, "training rows"),
        ("val_data_loss", VALIDATION, "validation rows"),
    )
    for key, colour, label in lines:
        ax.plot(epochs, run.history[key], color=colour, label=label if first else None, **style)
    if first and run.best_epoch is not None:
        ax.axvline(run.best_epoch, color=RESTORED, linestyle="--", label="epoch restored")


def weights(results: Results, mean_digit: NDArray[np.float32], path: Path) -> None:
    """Per pixel the sum of |w| over the first layer's units; grey where every one of them is exactly 0."""
    figure, (corner, *axes) = panels(len(results) + 1, height=2.9)
    corner.imshow(mean_digit.reshape(8, 8), cmap="gray_r")
    corner.set_title("the mean digit, for comparison\n(darker: more ink)", fontsize=10)
    firsts = [runs[0] for runs in results.values()]
    strengths = [np.abs(run.kernel).sum(axis=1).reshape(8, 8) for run in firsts]
    norm = PowerNorm(
        0.5, vmin=0, vmax=max(float(strength.max()) for strength in strengths)
    )  # small ones show
    colours = colormaps["viridis"].with_extremes(bad=SWITCHED_OFF)
    for ax, run, strength in zip(axes, firsts, strengths):
        image = ax.imshow(np.ma.masked_equal(strength, 0), cmap=colours, norm=norm)
        zeros = float(np.mean(run.kernel == 0))
        title = f"{run.technique.name}\n{run.features_used} of 64 pixels used, {zeros:.0%} of weights 0"
        ax.set_title(title, fontsize=10)
    for ax in (corner, *axes):
        ax.set_xticks([])
        ax.set_yticks([])
    bar = figure.colorbar(image, ax=[corner, *axes], shrink=0.7)
    bar.set_label("sum of |weight| over the pixel's 128 connections")
    figure.suptitle(
        f"First-layer weights per pixel, seed {firsts[0].seed}; grey: all 128 are exactly 0, the pixel is switched off"
    )
    figure.savefig(path, dpi=150)


def panels(count: int, height: float, **shared: bool) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, COLUMNS to a row, each `height` inches tall."""
    n_rows = -(-count // COLUMNS)
    figure = Figure(figsize=(13, n_rows * height + 0.6), layout="constrained")
    axes = figure.subplots(n_rows, COLUMNS, squeeze=False, **shared).ravel().tolist()
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count]
