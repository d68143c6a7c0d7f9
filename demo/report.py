"""The "Comparison of Techniques" as a table of what was measured, and the claims it must bear out.
It must not train."""

from __future__ import annotations

from collections.abc import Sequence

from demo.techniques import Result

COLUMNS = (
    "technique",
    "train",
    "test",
    "gap",
    "test loss",
    "zeros",
    "inputs",
    "epochs",
    "stopped because",
    "seconds",
)

LEGEND = """\
train, test   accuracy; with 1397 test rows its standard error is about 0.6 points
gap           train minus test, in points
test loss     cross-entropy on the test rows in nats, penalties apart
zeros         share of the weights (biases apart) that are exactly 0
inputs        pixels with at least one first-layer weight that is not 0"""


def row(result: Result) -> tuple[str, ...]:
    return (
        result.technique.name,
        f"{result.train_accuracy:.1%}",
        f"{result.test_accuracy:.1%}",
        f"{100 * (result.train_accuracy - result.test_accuracy):.1f}",
        f"{result.test_loss:.3f}",
        f"{result.zero_share:.1%}",
        f"{result.features_used}/64",
        str(result.epochs),
        result.stopped,
        f"{result.seconds:.2f}",
    )


def table(results: Sequence[Result]) -> str:
    """Left-aligned words, right-aligned numbers."""
    rows = [COLUMNS, *map(row, results)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    words = {0, COLUMNS.index("stopped because")}
    lines = [
        "  ".join(
            cell.ljust(width) if i in words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths))
        ).rstrip()
        for cells in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def claims(results: Sequence[Result]) -> list[tuple[str, bool]]:
    """(claim, whether this run bears it out); the claims are those of the textbooks."""
    by_name = {result.technique.name: result for result in results}
    plain = by_name["none"]
    stopped = [result for result in results if result.best_epoch is not None]
    restored = all(result.final_val_loss == min(result.history["val_loss"]) for result in stopped)
    return [
        ("L1 makes weights exactly 0 and switches whole input pixels off", switches_off(by_name["L1"])),
        ("ElasticNet makes weights exactly 0 too", by_name["ElasticNet"].zero_share > 0),
        ("L2 shrinks weights and makes none exactly 0", shrinks(by_name["L2"], plain)),
        ("every technique lowers the loss on rows never seen", generalize_better(results, plain)),
        ("dropout narrows the gap between train and test", gap(by_name["dropout"]) < gap(plain)),
        ("early stopping runs fewer epochs", by_name["early stopping"].epochs < plain.epochs),
        ("early stopping leaves the weights of the best epoch (same val_loss, to the last bit)", restored),
    ]


def switches_off(result: Result) -> bool:
    return result.zero_share > 0 and result.features_used < len(result.kernel)


def shrinks(result: Result, plain: Result) -> bool:
    return result.zero_share == 0 and abs(result.kernel).sum() < abs(plain.kernel).sum()


def generalize_better(results: Sequence[Result], plain: Result) -> bool:
    return all(result.test_loss < plain.test_loss for result in results if result is not plain)


def gap(result: Result) -> float:
    return result.train_accuracy - result.test_accuracy
