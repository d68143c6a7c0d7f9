"""Single operations on arrays and the start of the process: sizes, inputs, checks.
It must not know any framework, nor how anything is timed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workloads.base import Array, Outputs, Workload

RATE = 0.3  # of dropout; no power of two, so that nothing gets by with single bits
L1, L2, WEIGHT_DECAY = 1e-5, 1e-4, 0.01  # of the update
UPDATE_CHECK_STEPS = 3
UPDATE_BYTES = 28  # a parameter: w, g, m, v read and w, m, v written, of 4 bytes each


def at_cache_line(values: Array) -> Array:
    """A copy that begins at a multiple of 64 bytes; NumPy's own begin at multiples of 16."""
    line = 64 // values.itemsize
    room = np.empty(values.size + line, values.dtype)
    first = -room.ctypes.data % 64 // values.itemsize
    copy = room[first : first + values.size]
    copy[:] = values
    return copy


@dataclass(frozen=True, kw_only=True)
class Dense(Workload):
    """y = x w + b; with `backward` also dx, dw and db from a given dy."""

    batch: int
    inputs: int
    outputs: int
    backward: bool

    limits: ClassVar[dict[str, float]] = {"y": 1e-5, "dx": 1e-5, "dw": 1e-5, "db": 1e-5}

    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """x (batch, inputs), w (inputs, outputs), b (outputs,), dy (batch, outputs): standard normal, float32."""
        rng = np.random.default_rng(1)
        shapes = (
            (self.batch, self.inputs),
            (self.inputs, self.outputs),
            self.outputs,
            (self.batch, self.outputs),
        )
        x, w, b, dy = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
        return x, w, b, dy

    def speed(self, seconds: float) -> str:
        operations = (3 if self.backward else 1) * 2 * self.batch * self.inputs * self.outputs
        return f"{super().speed(seconds)}, {operations / seconds / 1e9:.3g} GFLOP/s"


@dataclass(frozen=True, kw_only=True)
class Dropout(Workload):
    """Inverted dropout of `size` elements, a new mask in every call."""

    size: int

    # Masks come from different generators, so each contestant is checked against the law, not against the subject.
    limits: ClassVar[dict[str, float]] = {
        "share kept, standard errors from 1 - rate": 5.0,
        "overlap of two masks, standard errors from chance": 5.0,
        "kept elements, from x / (1 - rate)": 1e-4,
    }

    def array(self) -> Array:
        """x (size,) float32 in [1, 2): no zeros, so a zero in the result is a dropped element."""
        return np.random.default_rng(1).random(self.size, dtype=np.float32) + np.float32(1)

    def differences(self, outputs: Outputs, subject: Outputs) -> dict[str, float]:
        """Of the outputs "first" and "second", the results of two calls."""
        first, second, x = outputs["first"], outputs["second"], self.array()
        kept, keep = first != 0, 1 - RATE
        agree = keep**2 + RATE**2
        share_error = math.sqrt(keep * RATE / self.size)
        overlap_error = math.sqrt(agree * (1 - agree) / self.size)
        measured = (
            abs(kept.mean() - keep) / share_error,
            abs((kept == (second != 0)).mean() - agree) / overlap_error,
            np.abs(first[kept] * keep / x[kept] - 1).max(),
        )
        return dict(zip(self.limits, map(float, measured)))

    def speed(self, seconds: float) -> str:
        return f"{super().speed(seconds)}, {seconds / self.size * 1e9:.3g} ns an element"


@dataclass(frozen=True, kw_only=True)
class Update(Workload):
    """An elastic net + AdamW step of `size` parameters in place, with the value of the penalty before it."""

    size: int

    # "w without penalty" is for who leaves the penalty out.
    limits: ClassVar[dict[str, float]] = {"w": 1e-4, "penalty": 1e-4, "w without penalty": 1e-4}

    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """w, g, m, v (size,) float32; m and v are zeros. They begin at cache lines, where frameworks put their own."""
        rng = np.random.default_rng(1)
        w, g = (scale * rng.standard_normal(self.size, dtype=np.float32) for scale in (0.1, 0.01))
        zeros = np.zeros_like(w)
        return at_cache_line(w), at_cache_line(g), at_cache_line(zeros), at_cache_line(zeros)

    def speed(self, seconds: float) -> str:
        return f"{super().speed(seconds)}, {self.size * UPDATE_BYTES / seconds / 1e9:.3g} GB/s"


@dataclass(frozen=True, kw_only=True)
class Import(Workload):
    """The import of a contestant's package in a fresh process, in which NumPy has been imported."""

    limits: ClassVar[dict[str, float]] = {"the fresh process imports another version": 0.0}

    def differences(self, outputs: Outputs, subject: Outputs) -> dict[str, float]:
        return dict(zip(self.limits, map(float, outputs.values())))
