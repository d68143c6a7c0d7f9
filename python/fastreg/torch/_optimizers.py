"""ElasticNetSGD, ElasticNetAdam, ElasticNetAdamW: torch.optim's words and bookkeeping around fastreg's update.

They must not know an update rule: all parameters that share settings, a step count and a device are one native call,
which checks every array before it touches any; the gate checks those of several calls together. A step of the same
tensors as the last takes its calls over. It is over 250 lines
because arguments are documented in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from fastreg._arguments import choice, flag, number
from fastreg.regularizers import METHODS
from fastreg.torch._calls import Call, Clock, memory_of
from fastreg.torch._gate import Memory, Place, checked, checked_count, explained

Params = Iterable[Any]
Group = dict[str, Any]

_NOT_SETTINGS = ("params", "param_names")


def _real(value: Any, name: str, **limits: Any) -> float:
    """A number, or a tensor that holds one."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(
                f"{name} must be a number or a tensor that holds one, not a tensor of shape {tuple(value.shape)}"
            )
        value = value.item()
    return number(value, name, **limits)


def _sum(values: Any) -> float:
    return float(sum(values.tolist() if isinstance(values, Tensor) else values))


class _ElasticNet(torch.optim.Optimizer):
    """What the optimizers share: the groups, the state, and the step."""

    _decoupled = False  # whether weight_decay is apart from the gradient

    def __init__(self, params: Params, defaults: Group) -> None:
        self._penalties: list[Any] = []
        self._forget_steps()
        super().__init__(params, defaults)

    def _forget_steps(self) -> None:
        """What is kept from one step to the next is made anew by the next."""
        self._clocks: dict[Any, Clock] = {}
        self._kept: tuple[Any, list[Call]] = (None, [])
        self._checked: list[list[Any]] = []
        self._memory = Memory()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("_penalties", [])
        self._forget_steps()
        for group in self.param_groups:  # the state of torch.optim.Adam, say, has no l1
            for name, value in self.defaults.items():
                if name != "differentiable":
                    group.setdefault(name, value)
            if "decoupled_weight_decay" in group:  # what torch's Adam and AdamW tell each other apart by
                group["decoupled_weight_decay"] = self._decoupled
            for parameter in group["params"]:
                self._lay_out(parameter)

    def _lay_out(self, parameter: Tensor) -> None:
        """Slots lie in memory as their parameter does, however they lay where they were saved."""
        state = self.state.get(parameter, {})
        for name, value in state.items():
            is_slot = isinstance(value, Tensor) and value.shape == parameter.shape
            if is_slot and value.layout is torch.strided and value.stride() != parameter.stride():
                like = torch.empty_like(parameter, dtype=value.dtype, device=value.device)
                state[name] = like.copy_(value)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, and what its optimizers can do but fastreg's cannot is refused before anything changes."""
        for group in state_dict.get("param_groups", ()):
            self._refuse(group)
        super().load_state_dict(state_dict)

    @property
    def penalty(self) -> float:
        """The penalty that the last step saw: of the weights before it, over all parameters that had a gradient.

        Reading it waits for the GPU, where parameters are there; a step does not.
        """
        return float(sum(_sum(values) for values in self._penalties))

    def add_param_group(self, param_group: Group) -> None:
        """As torch's, and the settings are checked, also for names in capitals, which nothing would read."""
        if isinstance(param_group, dict):
            for name in param_group:
                if name not in self.defaults and str(name).lower() in self.defaults:
                    raise ValueError(
                        f"a parameter group has {name!r}, which means nothing; use {name.lower()!r}"
                    )
            self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    @torch._disable_dynamo  # tracing it takes seconds and gains nothing
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step for every parameter that has a gradient; returns what `closure` returns.

        Raises TypeError or ValueError, naming the parameter, before anything changes, where data, gradient or state
        is not dense, float32 or float64, and on the CPU or cuda:0, where gradient or state does not fit its data, and
        where memory that is written overlaps other memory of the step. The data must be contiguous in some order of
        its axes, as transposed and channels_last tensors are. Parameters of different kinds, settings or step counts
        are stepped one kind after the other: what fails on the GPU itself, or for want of memory, may come in between.
        On a GPU the step is enqueued on torch's current stream.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._check_what_changed()
        specs = [self._spec(group) for group in self.param_groups]
        key = self._key(specs)
        calls = self._calls_of_last_step(key, specs) or self._calls(specs)
        rows = [row for call in calls for row in call.rows]
        gradients = [gradient for call in calls for gradient in call.gradients]
        try:
            # One call alone checks its arrays itself, sooner, but not in their parameters' names.
            if len(calls) > 1 and any(call.checked_anew for call in calls):
                self._memory.check(rows, gradients)
            self._penalties = [call.run(self.state) for call in calls]
        except Exception as error:
            raise explained(error, rows, gradients) from None
        if all(call.may_serve_again() for call in calls):
            self._kept = key, calls
        return loss

    def _key(self, specs: list[dict[str, Any]]) -> Any:
        """What the calls of a step follow from, but for gradients, counts and what is in `specs`; None: unknown, or
        on a GPU, where calls serve one step, or in a dispatch mode, where tensors may be other than they are."""
        if torch._C._len_torch_dispatch_stack() > 0:
            return None
        key: list[Any] = []
        tensors: list[Tensor] = []
        for group, spec in zip(self.param_groups, specs):
            key += [specs.index(spec), self._terms(group), self._slots(group), *map(id, group["params"])]
            for parameter in group["params"]:
                if parameter.is_cuda:
                    return None
                if parameter.grad is not None:
                    state = self.state.get(parameter, {})
                    key += state
                    tensors += [parameter, *state.values()]
        at = memory_of(tensors)
        return None if at is None else [*key, *map(id, tensors), *at]

    def _calls_of_last_step(self, key: Any, specs: list[dict[str, Any]]) -> list[Call]:
        """They, ready for this step, if it is one of the same tensors; else nothing."""
        (kept, calls), self._kept = self._kept, (None, [])
        if key is None or key != kept or not all(call.go_on() for call in calls):
            return []
        for call in calls:
            i, _, _ = call.rows[0][0]
            call.spec = specs[i]
        return calls

    def _calls(self, specs: list[dict[str, Any]]) -> list[Call]:
        """The native calls of a step, with data and gradients checked; nothing has changed yet."""
        calls: dict[Any, dict[Any, Call]] = {}  # by settings, then by what else tells them apart
        for i, (group, spec) in enumerate(zip(self.param_groups, specs)):
            penalty, slots = self._terms(group), self._slots(group)
            alike = calls.setdefault(tuple(spec.values()), {})
            for j, parameter in enumerate(group["params"]):
                gradient = parameter.grad
                if gradient is None:
                    continue
                place, state = (i, j, group), self.state.get(parameter, {})
                order, gradient = checked(parameter, gradient, place)
                on_gpu = parameter.is_cuda
                if on_gpu and parameter.numel() == 0:
                    continue
                clock = self._clock(place, parameter, state, slots) if on_gpu else None
                step = 1 if clock else checked_count(state.get("step", 0), place) + 1
                made = _made(parameter, state, slots, clock)
                key = (step, parameter.dtype, parameter.device, clock and i)
                call = alike.get(key)
                if call is None:
                    call = alike[key] = Call(spec, step, parameter.device, clock)
                after = {**state, **made} if made else state
                row = (place, order, parameter, {slot: after[slot] for slot in slots})
                call.add(row, gradient, penalty, made, None if clock else after["step"])
        return [call for alike in calls.values() for call in alike.values()]

    def _clock(
        self, place: Place, parameter: Tensor, state: dict[str, Any], slots: tuple[str, ...]
    ) -> Clock | None:
        """What counts the steps of the group's parameters of this kind, where a CUDA graph may record them."""
        i, _, group = place
        recording = torch.cuda.is_current_stream_capturing()
        if recording and not group["capturable"]:
            raise RuntimeError(
                "a CUDA graph that records this step would take the same step again and again: "
                "make the optimizer with capturable=True"
            )
        if recording and any(key not in state for key in ("step", *slots)):
            raise RuntimeError(
                "the first step makes the optimizer's state and cannot be recorded; take it before"
            )
        if not group["capturable"]:
            return None
        key = (i, parameter.dtype, parameter.device)
        if key not in self._clocks:
            self._clocks[key] = Clock(checked_count(state.get("step", 0), place), parameter.device)
        return self._clocks[key]

    def _check_what_changed(self) -> None:
        """The settings of every group, if any is not what it was: checks take as long as the step of a small layer."""
        settings = [
            [value for name, value in group.items() if name not in _NOT_SETTINGS]
            for group in self.param_groups
        ]
        try:
            changed = settings != self._checked
        except (RuntimeError, ValueError):  # an array of several numbers where one is expected
            changed = True
        if changed:
            for group in self.param_groups:
                self._check(group)
            self._checked = settings

    def _terms(self, group: Group) -> tuple[float, float, bool]:
        """(l1, l2, proximal). Weight decay in the gradient, as in torch's SGD and Adam, is an L2 of half of it."""
        l2 = float(group["l2"])
        if "weight_decay" in group and not self._decoupled:
            l2 += 0.5 * float(group["weight_decay"])
        return float(group["l1"]), l2, group["method"] == "proximal"

    def _refuse(self, group: Group) -> None:
        """Raise ValueError where a group, of torch's optimizers, asks for steps that fastreg's do not take."""
        if group.get("maximize"):
            raise ValueError(f"maximize must be False, not {group['maximize']!r}: fastreg minimizes")

    def _check(self, group: Group) -> None:
        self._refuse(group)
        _real(group["lr"], "lr", low=0.0)
        for name in ("l1", "l2", "weight_decay"):
            number(group[name], name, low=0.0)
        choice(group["method"], "method", METHODS)
        flag(group["capturable"], "capturable")

    def _spec(self, group: Group) -> dict[str, Any]:
        """The group as the native core takes it."""
        raise NotImplementedError

    def _slots(self, group: Group) -> tuple[str, ...]:
        """What is kept per weight, in the native order."""
        raise NotImplementedError


def _made(
    parameter: Tensor, state: dict[str, Any], slots: tuple[str, ...], clock: Clock | None
) -> dict[str, Tensor]:
    """What a step adds to a state: its count, on the CPU or that of the clock, and slots from 0, laid out in memory as
    the parameter is."""
    made: dict[str, Tensor] = {}
    step = state.get("step")
    if clock is not None:
        made["step"] = clock.steps
    elif not isinstance(step, Tensor) or not step.is_cpu:
        made["step"] = torch.tensor(0.0, dtype=torch.float64, device="cpu")  # the step writes it
    for slot in slots:
        if slot not in state:
            made[slot] = torch.zeros_like(parameter)
    return made


class ElasticNetSGD(_ElasticNet):
    """Gradient descent with an elastic net penalty: `v = momentum * v - lr * g`, `w += v`, then the soft threshold.

    The penalty is `l1 * sum|w| + l2 * sum(w**2)`, without halves or means; do not add it to the loss. Its L2 part is
    in the gradient g. With `method="proximal"` the L1 part is a soft threshold of `lr * l1 / (1 - momentum)` after the
    step, which gives weights that are exactly 0; with "subgradient" it is `l1 * sign(w)` in the gradient.

    Parameters
    ----------
    params : iterable of parameters, of (name, parameter), or of dicts
        Dicts are groups and may set each of the following for themselves: l1 for weights only, say.
    lr : float or tensor, default 0.001
    momentum : float in [0, 1), default 0
    weight_decay : float, default 0
        As in torch.optim.SGD it is added to the gradient as `weight_decay * w`, an L2 penalty of `weight_decay / 2`,
        and `penalty` counts it so.
    nesterov : bool, default False
        `w += momentum * v - lr * g`.
    l1, l2 : float, default 0
    method : {"proximal", "subgradient"}
    capturable : bool, default False
        Whether a torch.cuda.graph may record steps after the first. Then all parameters of a group on the GPU count
        their steps together, there; a change of lr reaches a recorded step with the next one that is not replayed.

    Notes
    -----
    The state of a parameter is `step` and, with momentum, `velocity`. That is Keras's v, which has lr in it, not
    torch's momentum_buffer, which has not: at a constant lr the steps are the same, and after a change of lr the moves
    already gathered keep the old one. `load_state_dict` takes torch.optim.SGD's and makes the one of the other.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.tensor([1.0, 0.01]))
    >>> optimizer = ElasticNetSGD([w], lr=0.5, l1=0.5)
    >>> w.grad = torch.zeros(2)
    >>> optimizer.step()
    >>> w.tolist(), round(optimizer.penalty, 6)
    ([0.75, 0.0], 0.505)
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        method: str = "proximal",
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov, "l1": l1, "l2": l2,
            "method": method, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's. A momentum_buffer of torch.optim.SGD becomes `velocity`, which is -lr times it, with the lr that
        is loaded: the next step, and all until lr changes, are torch's. At lr = 0 it says nothing and is refused.
        """
        states = dict(state_dict["state"])
        for i, group in enumerate(state_dict["param_groups"]):
            for key in group["params"]:
                state = dict(states.get(key) or {})
                buffer = state.pop("momentum_buffer", None)
                if buffer is not None and "velocity" not in state:
                    rate = float(group["lr"])
                    if rate == 0:
                        raise ValueError(
                            f"momentum_buffer of parameter {key} cannot be taken over with the lr of "
                            f"param_groups[{i}], which is 0: velocity is -lr * momentum_buffer; save it at another lr"
                        )
                    state["velocity"] = buffer * -rate
                if key in states:
                    states[key] = state
        super().load_state_dict({**state_dict, "state": states})

    def _refuse(self, group: Group) -> None:
        super()._refuse(group)
        if group.get("dampening"):
            raise ValueError(f"dampening must be 0, not {group['dampening']!r}: fastreg has none")

    def _check(self, group: Group) -> None:
        super()._check(group)
        momentum = number(group["momentum"], "momentum", low=0.0, high=1.0, open_high=True)
        if flag(group["nesterov"], "nesterov") and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")

    def _spec(self, group: Group) -> dict[str, Any]:
        return {
            "kind": "sgd",
            "learning_rate": float(group["lr"]),
            "momentum": float(group["momentum"]),
            "nesterov": bool(group["nesterov"]),
        }

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("velocity",) if group["momentum"] > 0 else ()


class ElasticNetAdam(_ElasticNet):
    """Adam with an elastic net penalty, in Keras's form; the penalty is that of `ElasticNetSGD`.

    `m += (1 - b1) * (g - m)`, `v += (1 - b2) * (g**2 - v)`,
    `w -= lr * sqrt(1 - b2**t) / (1 - b1**t) * m / (sqrt(v) + eps)`, then the soft threshold of each weight,
    `lr * l1 * sqrt(1 - b2**t) / (sqrt(v) + eps)`, in the metric of the step (ProxGen, Yun et al. 2020).

    Parameters
    ----------
    params
        See `ElasticNetSGD`.
    lr : float or tensor, default 0.001
    betas : (float, float), default (0.9, 0.999)
        b1 and b2, both in [0, 1).
    eps : float, default 1e-8
        Added to sqrt(v), where torch adds it to sqrt(v / (1 - b2**t)): this eps does what `eps / sqrt(1 - b2**t)`
        does in torch.optim.Adam, which is the same after some thousand steps.
    weight_decay : float, default 0
        See `ElasticNetSGD`.
    amsgrad : bool, default False
        Take the largest v seen (Reddi et al. 2018).
    l1, l2 : float, default 0
    method : {"proximal", "subgradient"}
    capturable : bool, default False
        See `ElasticNetSGD`.

    Notes
    -----
    A parameter's state is `step`, `exp_avg` (m), `exp_avg_sq` (v) and, with amsgrad, `max_exp_avg_sq`, as in
    torch.optim.Adam, whose state_dict `load_state_dict` takes; that of AdamW goes to `ElasticNetAdamW`.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.tensor([1.0, 0.001]))
    >>> optimizer = ElasticNetAdam([w], lr=0.01, l1=0.5)
    >>> w.grad = torch.tensor([1.0, 0.1])
    >>> optimizer.step()
    >>> [round(x, 4) for x in w.tolist()]
    [0.985, 0.0]
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        method: str = "proximal",
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad, "l1": l1, "l2": l2,
            "method": method, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _refuse(self, group: Group) -> None:
        super()._refuse(group)
        decoupled = group.get("decoupled_weight_decay", self._decoupled)
        if group.get("weight_decay") and decoupled != self._decoupled:
            other = "ElasticNetAdamW" if decoupled else "ElasticNetAdam"
            raise ValueError(
                f"decoupled_weight_decay must be {self._decoupled}, not {decoupled!r}: use {other} for this state"
            )

    def _check(self, group: Group) -> None:
        super()._check(group)
        betas = group["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"betas must be two numbers, not {betas!r}")
        for i, beta in enumerate(betas):
            _real(beta, f"betas[{i}]", low=0.0, high=1.0, open_high=True)
        number(group["eps"], "eps", low=0.0)
        flag(group["amsgrad"], "amsgrad")

    def _spec(self, group: Group) -> dict[str, Any]:
        return {
            "kind": "adam",
            "learning_rate": float(group["lr"]),
            "beta_1": float(group["betas"][0]),
            "beta_2": float(group["betas"][1]),
            "epsilon": float(group["eps"]),
            "amsgrad": bool(group["amsgrad"]),
            "weight_decay": float(group["weight_decay"]) if self._decoupled else 0.0,
        }

    def _slots(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")


class ElasticNetAdamW(ElasticNetAdam):
    """`ElasticNetAdam` with decoupled weight decay: `w -= lr * weight_decay * w` before the step, in no gradient and
    not in `penalty` (Loshchilov and Hutter 2019).

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, l1, l2, method, capturable
        See `ElasticNetAdam`.
    weight_decay : float, default 0.01

    Examples
    --------
    >>> ElasticNetAdamW([torch.nn.Parameter(torch.zeros(2))], l1=1e-4).param_groups[0]["weight_decay"]
    0.01
    """

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        method: str = "proximal",
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, l1=l1, l2=l2, method=method, capturable=capturable
        )
