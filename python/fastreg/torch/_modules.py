"""The modules `Dropout` and `Linear`: they own the seed, the step counter and, as torch.nn.Linear, the weights.

They must not know kernels or how a mask is addressed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastreg import _arguments, _core
from fastreg.activations import default_alpha
from fastreg.torch._functions import check_activation, dropout, linear
from fastreg.torch._ways import signed

_COUNTERS = ("seed", "step")


def _register_counters(module: torch.nn.Module, seed: int | None) -> None:
    """The buffers `seed` (its 64 bits in two's complement; None: from torch's generator) and `step` (0)."""
    seed = _arguments.seed(seed)
    if seed is None:
        bits = torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device="cpu")
    else:
        bits = torch.tensor(signed(seed), dtype=torch.int64, device="cpu")
    module.register_buffer("seed", bits)
    module.register_buffer("step", torch.zeros((), dtype=torch.int64, device="cpu"))


class _Counting(torch.nn.Module):
    """A module whose counters stay on the CPU wherever it is moved: reading them never waits for a GPU. It may load the
    state of a module without any."""

    def _apply(self, fn: Any, *args: Any, **named: Any) -> Any:
        counters = {name: self._buffers[name] for name in _COUNTERS if name in self._buffers}
        super()._apply(fn, *args, **named)
        for name, counter in counters.items():
            moved = self._buffers[name]
            if moved is None or not moved.is_cpu:
                self._buffers[name] = counter
            elif moved is not counter:
                with torch.no_grad():
                    moved.copy_(counter)  # to_empty, as of skip_init, makes it of undefined numbers
        return self

    def _advance(self) -> None:
        """Count a pass. It is done after the pass, which may refuse its input; the gradient has a copy."""
        self.step.add_(1)

    def _check_pass(self) -> None:
        """Raise where a pass would have another mask than the one that it repeats, or no seed."""
        if "seed" not in self._buffers:
            raise RuntimeError(
                "p was 0 when this module was made, so it has no seed; make it with the p that it needs"
            )
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            raise RuntimeError(
                "this pass is run within a backward pass, as torch.utils.checkpoint repeats one, and would take "
                "another mask: use the function fastreg.torch.dropout or linear there, with a step of your own"
            )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """As torch's, but the state of a module of torch.nn lacks both counters rightly: then they stay as they are."""
        lacking: list[str] = []
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, lacking, unexpected_keys, error_msgs
        )
        counters = [prefix + name for name in _COUNTERS]
        theirs = all(key in lacking for key in counters)
        missing_keys += [key for key in lacking if not (theirs and key in counters)]


class Dropout(_Counting, torch.nn.Dropout):
    """Dropout by address: the mask is a function of (seed, stream, step, index) and is never stored.

    The same seed gives the same masks on any machine and for any number of threads. `seed` and `step` are buffers, so
    a state_dict holds all that is needed to go on with the same masks; they stay on the CPU when the module is moved.
    A state_dict without both, of torch.nn.Dropout, is accepted and leaves them as they are. Under torch.autocast 16-bit
    floats are taken, computed in float32 where there is no kernel for them, and returned in their own type.

    Parameters
    ----------
    p : float in [0, 1]
        Probability of 0.
    seed : int in [0, 2**64), optional
        By default drawn from torch's generator, so that torch.manual_seed fixes it.
    inplace : bool
        Must be False.
    stream : int in [0, 2**32)
        Tells modules of the same seed apart.

    Notes
    -----
    Each forward pass in training mode advances `step`. A pass that torch.utils.checkpoint repeats would take another
    mask and is refused: use the function `dropout` there, with a step of your own. copy.deepcopy copies the seed, so
    copied layers have the same masks, and DistributedDataParallel makes all buffers those of rank 0: give such layers
    and ranks a `stream` of their own.

    Examples
    --------
    >>> import torch
    >>> drop = Dropout(0.5, seed=1)
    >>> x = torch.ones(1000)
    >>> torch.equal(drop(x), drop(x)), int(drop.step)
    (False, 2)
    """

    seed: Tensor
    step: Tensor

    def __init__(
        self, p: float = 0.5, seed: int | None = None, *, inplace: bool = False, stream: int = 0
    ) -> None:
        super().__init__()
        if _arguments.flag(inplace, "inplace"):
            raise ValueError(
                "inplace must be False: masks are computed again, from inputs that are still there"
            )
        self.p = _arguments.number(p, "p", low=0.0, high=1.0)
        self.stream = _arguments.integer(stream, "stream", low=0, high=2**32 - 1)
        _register_counters(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        self._check_pass()
        y = dropout(x, self.p, self.seed, self.step, self.stream)
        self._advance()
        return y

    def extra_repr(self) -> str:
        return f"p={self.p}, stream={self.stream}"


class Linear(_Counting, torch.nn.Linear):
    """torch.nn.Linear with an activation and dropout in the same pass.

    Weights, their initial values and their names are those of torch.nn.Linear, and state_dicts fit both ways. With
    p > 0 there are two more entries, `seed` and `step`; a state_dict without both is accepted. Under torch.autocast
    16-bit floats are computed, and returned, in float32.

    Parameters
    ----------
    in_features, out_features, bias
        See torch.nn.Linear.
    activation, alpha
        See `linear`.
    p, seed, stream
        Of the dropout after the activation; see `Dropout`.
    device : torch.device or str, optional
        Of the weights; by default torch's. The counters are on the CPU.
    dtype : torch.float32 or torch.float64, optional
        By default torch's.

    Examples
    --------
    >>> import torch
    >>> layer = Linear(3, 2, activation="relu")
    >>> layer(torch.zeros(5, 3)).shape, sorted(layer.state_dict())
    (torch.Size([5, 2]), ['bias', 'weight'])
    """

    seed: Tensor
    step: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str = "linear",
        p: float = 0.0,
        seed: int | None = None,
        *,
        alpha: float | None = None,
        stream: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_activation(activation)
        slope = default_alpha(activation) if alpha is None else _arguments.number(alpha, "alpha")
        nothing, w = np.empty((0, 1)), np.empty((1, 1))  # the gate knows which alpha fits
        _core.dense_forward(nothing, w, None, activation, slope, 0.0, 0, 0, 0, nothing.copy(), None)
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.activation, self.alpha = activation, slope
        self.p = _arguments.number(p, "p", low=0.0, high=1.0)
        self.stream = _arguments.integer(stream, "stream", low=0, high=2**32 - 1)
        if self.p > 0:
            _register_counters(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return linear(x, self.weight, self.bias, self.activation, alpha=self.alpha)
        self._check_pass()
        y = linear(
            x,
            self.weight,
            self.bias,
            self.activation,
            alpha=self.alpha,
            p=self.p,
            seed=self.seed,
            step=self.step,
            stream=self.stream,
        )
        self._advance()
        return y

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, activation={self.activation}, p={self.p}"
