"""PyTorch's fused AdamW alone: less work than the others do in an update, a floor for the comparison.
It must not know the other contestants, but for the code it shares with PyTorch eager."""

from __future__ import annotations

from functools import partial

import torch

from peers.protocol import Peer
from peers.torch_worker import update
from workloads.operations import Update

PEER = Peer(
    title="PyTorch fused AdamW without any penalty",
    modules=("torch",),
    threads=torch.get_num_threads,
    makers={Update: partial(update, penalized=False)},
)
