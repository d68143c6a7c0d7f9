"""The "Comparison of Techniques" as a table of what was measured, and the claims it must bear out.
It must not train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from demo.techniques import PATIENCE, Result

Results = Mapping[str, Sequence[Result]]  # by technique; of each the same seeds in the same order

COLUMNS = (
    "technique",
    "train",
    "test",
    "test loss",
    "zeros",
    "inputs",
    "epochs",
    "stopped early",
    "seconds",
)

LEGEND = f"""\
Means over the seeds; after the sign ± the standard deviation from seed to seed, else the smallest to the largest.
train, test    accuracy; all runs share one test set, whose 1397 rows alone give a standard error of about 0.6 points
test loss      cross-entropy on the test rows in nats, penalties apart
zeros          share of the weights (biases apart) that are exactly 0
inputs         pixels of 64 with at least one first-layer weight that is not 0
stopped early  runs that ended because val_loss was no better for {PATIENCE} epochs
seconds        of one training"""

CERTAIN = 3.0  # standard errors that a mean difference must have to count as one


def spread(values: Sequence[float], digits: int, unit: str = "") -> str:
    """Mean and standard deviation."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}{unit}"


def span(values: Sequence[int]) -> str:
    """The smallest to the largest, or the one value."""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def row(name: str, runs: Sequence[Result]) -> tuple[str, ...]:
    zeros = [100 * run.zero_share for run in runs]
    return (
        name,
        f"{100 * np.mean([run.train_accuracy for run in runs]):.1f}%",
        spread([100 * run.test_accuracy for run in runs], 1, "%"),
        spread([run.test_loss for run in runs], 3),
        spread(zeros, 1, "%") if any(zeros) else "0%",
        span([run.features_used for run in runs]),
        span([run.epochs for run in runs]),
        f"{sum(run.stopped_early for run in runs)} of {len(runs)}",
        f"{np.mean([run.seconds for run in runs]):.2f}",
    )


def table(results: Results) -> str:
    """Left-aligned names, right-aligned numbers."""
    rows = [COLUMNS, *(row(name, runs) for name, runs in results.items())]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths))
        )
        for cells in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def claims(results: Results) -> list[tuple[str, bool]]:
    """(claim, whether these runs bear it out). Differences are taken between runs of the same seed."""
    return [*claims_of_weights(results), *claims_of_tests(results), *claims_of_stopping(results)]


def claims_of_weights(results: Results) -> list[tuple[str, bool]]:
    return [
        (
            "L1 makes weights exactly 0 and switches whole input pixels off, from every seed",
            all(map(switches_off, results["L1"])),
        ),
        (
            "ElasticNet does so too, from every seed",
            all(map(switches_off, results["ElasticNet"])),
        ),
        (
            "L2 shrinks the first layer's weights and makes none exactly 0, from every seed",
            all(map(shrinks, results["L2"], results["none"])),
        ),
    ]


def claims_of_tests(results: Results) -> list[tuple[str, bool]]:
    techniques = [name for name in results if name != "none"]
    gains = {name: loss_gain(results, "none", name) for name in techniques}
    least = min(techniques, key=lambda name: gains[name].mean())
    alone = [name for name in techniques if name != "all together"]
    moves = {name: np.mean(differences(results, name, "none", "test_accuracy")) for name in techniques}
    furthest = max(techniques, key=lambda name: abs(moves[name]))
    return [
        (
            "every technique lowers the mean loss on rows never seen; "
            f"least of all {least}, by {gains[least].mean():.3f}",
            all(map(certain, gains.values())),
        ),
        (
            "ElasticNet, dropout and early stopping together lower it further than any technique alone",
            all(certain(loss_gain(results, name, "all together")) for name in alone),
        ),
        (
            "no technique moves the mean test accuracy by as much as 1 point; "
            f"{furthest} moves it furthest, by {100 * moves[furthest]:+.1f}",
            bool(abs(moves[furthest]) < 0.01),
        ),
    ]


def claims_of_stopping(results: Results) -> list[tuple[str, bool]]:
    stopped = [*results["early stopping"], *results["all together"]]
    return [
        (
            "early stopping runs fewer epochs, from every seed",
            all(map(ends_sooner, results["early stopping"], results["none"])),
        ),
        (
            "early stopping leaves the weights of the best epoch: the same val_loss to the last bit, "
            f"in all {len(stopped)} runs that have it",
            all(map(restored, stopped)),
        ),
    ]


def differences(results: Results, a: str, b: str, measure: str) -> NDArray[np.float64]:
    """The measure under `a` minus that under `b`, per seed."""
    return np.array([getattr(x, measure) - getattr(y, measure) for x, y in zip(results[a], results[b])])


def loss_gain(results: Results, before: str, after: str) -> NDArray[np.float64]:
    """How much lower the test loss is under `after`, per seed."""
    return differences(results, before, after, "test_loss")


def certain(gains: NDArray[np.float64]) -> bool:
    """The mean gain is CERTAIN standard errors above 0."""
    return bool(gains.mean() > CERTAIN * gains.std(ddof=1) / np.sqrt(len(gains)))


def switches_off(run: Result) -> bool:
    return run.zero_share > 0 and run.features_used < len(run.kernel)


def shrinks(run: Result, plain: Result) -> bool:
    return run.zero_share == 0 and abs(run.kernel).sum() < abs(plain.kernel).sum()


def ends_sooner(run: Result, plain: Result) -> bool:
    return run.epochs < plain.epochs


def restored(run: Result) -> bool:
    return run.final_val_loss == min(run.history["val_loss"])
