"""What every workload has: its place in the report, its unit of speed, the checks that come before its timing.
It must not know any framework, nor how anything is timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Outputs = dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One thing to time.

    `limits` names the checks and the largest difference each allows. A contestant may pass a part of them (the report
    says which), but not none.
    """

    name: str
    family: str  # a heading of the report, and a chart
    group: str  # what the summary averages over
    label: str  # which one of its group
    quick: bool = False  # part of --quick
    seconds: float = 8.0  # what its rounds may take together

    limits: ClassVar[dict[str, float]]

    def differences(self, outputs: Outputs, subject: Outputs) -> dict[str, float]:
        """How far a contestant's outputs lie from the subject's, by check: relative to the largest number."""
        return {
            name: float(np.abs(output - subject[name]).max() / np.abs(subject[name]).max())
            for name, output in outputs.items()
            if name in subject
        }

    def speed(self, seconds: float) -> str:
        """The time of one call in the words of its field, with the unit."""
        return duration(seconds)


def duration(seconds: float) -> str:
    """Four digits in us or ms."""
    return f"{seconds * 1e6:.4g} us" if seconds < 1e-3 else f"{seconds * 1e3:.4g} ms"
