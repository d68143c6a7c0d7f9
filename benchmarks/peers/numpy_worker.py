"""NumPy: the operations it has no name for written out in their cheapest form, results written in place.
It must not know the other contestants."""

from __future__ import annotations

import numpy as np
import threadpoolctl

from peers.protocol import Peer, Task
from workloads import Array, Outputs, operations

CHUNK = 2**15  # elements of dropout at a time, so that words and decisions stay in cache


def dense(workload: operations.Dense) -> Task:
    x, w, b, dy = workload.arrays()
    y, dx, dw, db = np.empty_like(dy), np.empty_like(x), np.empty_like(w), np.empty_like(b)

    def forward() -> None:
        np.matmul(x, w, out=y)
        np.add(y, b, out=y)

    def both() -> None:
        forward()
        np.matmul(dy, w.T, out=dx)
        np.matmul(x.T, dy, out=dw)
        np.sum(dy, axis=0, out=db)

    run = both if workload.backward else forward

    def check() -> Outputs:
        run()
        return {"y": y} | ({"dx": dx, "dw": dw, "db": db} if workload.backward else {})

    return Task(check, run)


def dropout(workload: operations.Dropout) -> Task:
    """16-bit words of SFC64, its fastest generator, drawn raw and compared with a threshold."""
    x = workload.array()
    y, generator = np.empty_like(x), np.random.SFC64(1)
    threshold = np.uint16(round((1 - operations.RATE) * 65536))
    scale = np.float32(65536 / threshold)
    chunks = [slice(first, min(first + CHUNK, x.size)) for first in range(0, x.size, CHUNK)]

    def run() -> Array:
        for rows in chunks:
            part = y[rows]
            words = generator.random_raw((part.size + 3) // 4).view(np.uint16)[: part.size]
            np.multiply(x[rows], scale, out=part)
            np.multiply(part, words < threshold, out=part)
        return y

    return Task(check=lambda: {"first": run().copy(), "second": run().copy()}, run=run)


def threads() -> int:
    """Of the BLAS that NumPy loaded."""
    return max(pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")


PEER = Peer(
    title="NumPy",
    modules=("numpy",),
    threads=threads,
    makers={operations.Dense: dense, operations.Dropout: dropout},
)
