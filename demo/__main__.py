"""Train the same network under every technique and from several seeds; print the comparison, write the two figures.
It must not know how training, the table or the figures are made."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from demo import digits, figures, report
from demo.techniques import EPOCHS, SEEDS, TECHNIQUES, train


def main() -> int:
    """Return 0 when the runs bear out every claim of the report, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"at most, per run; default {EPOCHS}")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for the figures")
    arguments = parser.parse_args()

    data = digits.load()
    print(
        f"scikit-learn's handwritten digits, 8x8 pixels: {len(data.x_train)} rows to train on, "
        f"{len(data.x_val)} to validate, {len(data.x_test)} to test.\n"
        f"The same 64-128-64-10 network, {arguments.epochs} epochs at most, under each technique "
        f"from each of {len(SEEDS)} seeds:\n"
    )
    results = {
        technique.name: [
            train(technique, seed, data, arguments.epochs)
            for seed in tqdm(SEEDS, desc=f"{technique.name:14}", unit="run")
        ]
        for technique in TECHNIQUES
    }

    print("\nComparison of Techniques\n")
    print(report.table(results))
    print(f"\n{report.LEGEND}")
    print("\nWhat the numbers show\n")
    claims = report.claims(results)
    for claim, holds in claims:
        print(f"  [{'yes' if holds else 'NO'}] {claim}")

    arguments.output.mkdir(parents=True, exist_ok=True)
    figures.learning_curves(results, arguments.output / "learning_curves.png")
    figures.weights(results, data.x_train.mean(axis=0), arguments.output / "weights.png")
    print(f"\nFigures: {arguments.output}/learning_curves.png, {arguments.output}/weights.png")
    return 0 if all(holds for _, holds in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
