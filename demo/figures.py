"""The two figures: learning curves, and the first layer's weights laid out as the pixels they look at.
It must not train or decide anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from demo.techniques import Result

# Told apart by colour-blind readers (Okabe and Ito 2008).
TRAINING, VALIDATION, RESTORED = "#0072b2", "#d55e00", "#009e73"
SWITCHED_OFF = "#d8d8d8"
COLUMNS = 4


def learning_curves(results: Sequence[Result], path: Path) -> None:
    """Cross-entropy without penalties, so that every panel measures the same thing; one panel per technique."""
    figure, axes = panels(len(results), height=2.8, sharex=True, sharey=True)
    for ax, result in zip(axes, results):
        epochs = np.arange(1, result.epochs + 1)
        ax.plot(epochs, result.history["data_loss"], color=TRAINING, label="training rows")
        ax.plot(epochs, result.history["val_data_loss"], color=VALIDATION, label="validation rows")
        if result.best_epoch is not None:
            ax.axvline(result.best_epoch, color=RESTORED, linestyle="--", label="epoch restored")
        name = result.technique.name
        ax.set_title(
            f"{name}\ntest loss {result.test_loss:.2f}, test accuracy {result.test_accuracy:.1%}", fontsize=10
        )
        ax.set_yscale("log")
        ax.grid(alpha=0.3)
    for ax in axes[::COLUMNS]:
        ax.set_ylabel("cross-entropy [nats]")
    for ax in axes[-COLUMNS:]:
        ax.set_xlabel("epoch")
        ax.tick_params(labelbottom=True)
    handles, labels = axes[-1].get_legend_handles_labels()
    note = "Penalties are left out.\nWith dropout, the training line is\nmeasured with neurons missing."
    figure.legend(handles, labels, title=note, loc="center", bbox_to_anchor=(0.88, 0.26), frameon=False)
    figure.suptitle("Learning curves: the space between the two lines is overfitting")
    figure.savefig(path, dpi=150)


def weights(results: Sequence[Result], mean_digit: NDArray[np.float32], path: Path) -> None:
    """Per pixel the sum of |w| over the first layer's units; grey where every one of them is exactly 0."""
    figure, (first, *axes) = panels(len(results) + 1, height=2.9)
    first.imshow(mean_digit.reshape(8, 8), cmap="gray_r")
    first.set_title("the mean digit, for comparison\n(darker: more ink)", fontsize=10)
    strengths = [np.abs(result.kernel).sum(axis=1).reshape(8, 8) for result in results]
    norm = PowerNorm(
        0.5, vmin=0, vmax=max(float(strength.max()) for strength in strengths)
    )  # small ones show
    colours = colormaps["viridis"].with_extremes(bad=SWITCHED_OFF)
    for ax, result, strength in zip(axes, results, strengths):
        image = ax.imshow(np.ma.masked_equal(strength, 0), cmap=colours, norm=norm)
        zeros = float(np.mean(result.kernel == 0))
        title = f"{result.technique.name}\n{result.features_used} of 64 pixels used, {zeros:.0%} of weights 0"
        ax.set_title(title, fontsize=10)
    for ax in (first, *axes):
        ax.set_xticks([])
        ax.set_yticks([])
    bar = figure.colorbar(image, ax=[first, *axes], shrink=0.7)
    bar.set_label("sum of |weight| over the pixel's 128 connections")
    figure.suptitle("First-layer weights per pixel; grey: all 128 are exactly 0, the pixel is switched off")
    figure.savefig(path, dpi=150)


def panels(count: int, height: float, **shared: bool) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, COLUMNS to a row, each `height` inches tall."""
    n_rows = -(-count // COLUMNS)
    figure = Figure(figsize=(13, n_rows * height + 0.6), layout="constrained")
    axes = figure.subplots(n_rows, COLUMNS, squeeze=False, **shared).ravel().tolist()
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count]
