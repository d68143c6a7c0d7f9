"""What rounds mean: paired ratios with their intervals, and means over several workloads.
It must not know how the rounds were played, nor how the numbers are shown."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

BOOTSTRAP_SAMPLES = 5000


@dataclass(frozen=True)
class Ratio:
    """Times of a peer over times of the subject: above 1 the subject is faster. low and high: the 95% interval."""

    value: float
    low: float
    high: float


def paired_ratio(peer: list[float], subject: list[float]) -> Ratio:
    """Median of the rounds' ratios peer / subject, and its 95% interval (percentile bootstrap over rounds)."""
    ratios = [p / s for p, s in zip(peer, subject, strict=True)]
    rng = random.Random(0)
    medians = sorted(median(rng.choices(ratios, k=len(ratios))) for _ in range(BOOTSTRAP_SAMPLES))
    low, high = (medians[int(share * BOOTSTRAP_SAMPLES)] for share in (0.025, 0.975))
    return Ratio(median(ratios), low, high)


def geometric_mean(values: Iterable[float]) -> float:
    """exp(mean(log(v))): the mean under which a ratio and its inverse cancel."""
    return math.exp(fmean(map(math.log, values)))


def seconds_per_call(times: dict[str, Any]) -> list[float]:
    """By round."""
    return [seconds / times["calls"] for seconds in times["seconds"]]


def block_ratios(block: dict[str, Any]) -> dict[str, Ratio]:
    """Of each peer that was timed in a block of the results; the first contestant timed is the subject."""
    if not block["rounds"]:
        return {}
    subject, *peers = block["rounds"]
    seconds = {name: seconds_per_call(times) for name, times in block["rounds"].items()}
    return {peer: paired_ratio(seconds[peer], seconds[subject]) for peer in peers}
