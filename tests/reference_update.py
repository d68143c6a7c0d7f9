"""The oracle's second part: penalties, proximal steps, optimizers, constraints, in float64 from the equations.

It must not import fastreg nor share code with csrc.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from reference import EPSILON, F64, Spec

NO_PENALTY: Spec = {"l1": 0.0, "l2": 0.0, "proximal": True}


def optimizer_spec(kind: str, **options: object) -> Spec:
    """Every field of OptimizerSpec, Keras's defaults."""
    learning_rate = {"sgd": 0.01}.get(kind, 1e-3)
    defaults = {
        "kind": kind, "learning_rate": learning_rate, "momentum": 0.0, "nesterov": False, "beta_1": 0.9,
        "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False, "rho": 0.9, "centered": False,
        "initial_accumulator_value": 0.1, "weight_decay": 0.0, "clipnorm": 0.0, "clipvalue": 0.0,
        "global_clipnorm": 0.0,
    }  # fmt: skip
    assert set(options) <= set(defaults), options
    return defaults | options


# ---- penalties ---------------------------------------------------------------------------------------------------
def penalty_value(w: ArrayLike, l1: float, l2: float) -> float:
    """l1 * sum|w| + l2 * sum(w^2), summed exactly (Shewchuk)."""
    w = np.asarray(w, np.float64).reshape(-1)
    return l1 * math.fsum(np.abs(w)) + l2 * math.fsum(w * w)


def penalty_gradient(w: ArrayLike, l1: float, l2: float) -> F64:
    w = np.asarray(w, np.float64)
    return l1 * np.sign(w) + 2 * l2 * w


def soft_threshold(w: ArrayLike, threshold: ArrayLike) -> F64:
    w = np.asarray(w, np.float64)
    return np.sign(w) * np.maximum(np.abs(w) - threshold, 0)


def prox(w: ArrayLike, l1: float, l2: float, step: float) -> F64:
    """argmin_u (u - w)^2 / 2 + step * (l1 |u| + l2 u^2): Parikh and Boyd 2014, section 6.5.2, scaled."""
    return soft_threshold(w, step * l1) / (1 + 2 * step * l2)


# ---- optimizers --------------------------------------------------------------------------------------------------
def slot_names(spec: Spec) -> list[str]:
    if spec["kind"] == "sgd":
        return ["velocity"] if spec["momentum"] else []
    if spec["kind"] == "adam":
        return ["m", "v", "v_hat"] if spec["amsgrad"] else ["m", "v"]
    if spec["kind"] == "adagrad":
        return ["accumulator"]
    names = ["v"] + (["momentum"] if spec["momentum"] else [])
    return names + (["mean_gradient"] if spec["centered"] else [])


def initial_slots(spec: Spec, w: F64) -> list[F64]:
    fill = spec["initial_accumulator_value"] if spec["kind"] == "adagrad" else 0.0
    return [np.full(w.shape, fill) for _ in slot_names(spec)]


def clip(gradients: list[F64], spec: Spec) -> list[F64]:
    """Keras: at most one of clipnorm (each parameter), global_clipnorm (all together), clipvalue (each number)."""
    if spec["clipvalue"]:
        gradients = [np.clip(g, -spec["clipvalue"], spec["clipvalue"]) for g in gradients]
    if spec["clipnorm"]:
        gradients = [g * (spec["clipnorm"] / max(np.linalg.norm(g), spec["clipnorm"])) for g in gradients]
    if spec["global_clipnorm"]:
        norm = math.sqrt(sum((g * g).sum() for g in gradients))
        gradients = [g * (spec["global_clipnorm"] / max(norm, spec["global_clipnorm"])) for g in gradients]
    return gradients


def step_and_threshold(g: F64, slots: list[F64], t: int, spec: Spec) -> tuple[F64, F64 | float, list[F64]]:
    """(what is added to w, the soft threshold per unit of l1, the new slots). t counts from 1."""
    lr, momentum, kind = spec["learning_rate"], spec["momentum"], spec["kind"]
    if kind == "sgd":
        if not momentum:
            return -lr * g, lr, []
        velocity = momentum * slots[0] - lr * g
        move = momentum * velocity - lr * g if spec["nesterov"] else velocity
        return move, lr / (1 - momentum), [velocity]
    if kind == "adam":  # Kingma and Ba 2015, the form before section 2.1; amsgrad: Reddi et al. 2018
        b1, b2, eps = spec["beta_1"], spec["beta_2"], spec["epsilon"]
        m = b1 * slots[0] + (1 - b1) * g
        v = b2 * slots[1] + (1 - b2) * g * g
        top = np.maximum(slots[2], v) if spec["amsgrad"] else v
        scale = lr * math.sqrt(1 - b2**t) / (np.sqrt(top) + eps)  # times a gradient that stays the same
        return -scale * m / (1 - b1**t), scale, [m, v] + ([top] if spec["amsgrad"] else [])
    if kind == "adagrad":
        accumulator = slots[0] + g * g
        scale = lr / np.sqrt(accumulator + spec["epsilon"])
        return -scale * g, scale, [accumulator]
    assert kind == "rmsprop", kind
    rho, named = spec["rho"], dict(zip(slot_names(spec), slots, strict=True))
    named["v"] = v = rho * named["v"] + (1 - rho) * g * g
    if spec["centered"]:
        named["mean_gradient"] = mean = rho * named["mean_gradient"] + (1 - rho) * g
        v = v - mean * mean
    scale = lr / np.sqrt(v + spec["epsilon"])
    if not momentum:
        return -scale * g, scale, list(named.values())
    named["momentum"] = momentum * named["momentum"] + scale * g
    return -named["momentum"], scale / (1 - momentum), list(named.values())


def update(
    w: ArrayLike, g: ArrayLike, slots: list[F64], t: int, spec: Spec, penalty: Spec = NO_PENALTY
) -> tuple[F64, list[F64]]:
    """One step of one parameter: penalty gradient, clip, decoupled decay, optimizer, proximal step."""
    w = np.asarray(w, np.float64)
    return apply_gradient(w, clip([full_gradient(w, g, penalty)], spec)[0], slots, t, spec, penalty)


def full_gradient(w: F64, g: ArrayLike, penalty: Spec) -> F64:
    """Data plus penalty: what the clip sees. A proximal l1 is not part of it."""
    l1 = 0.0 if penalty["proximal"] else penalty["l1"]
    return np.asarray(g, np.float64) + penalty_gradient(w, l1, penalty["l2"])


def apply_gradient(
    w: F64, g: F64, slots: list[F64], t: int, spec: Spec, penalty: Spec
) -> tuple[F64, list[F64]]:
    w = w - w * spec["weight_decay"] * spec["learning_rate"]
    move, threshold, slots = step_and_threshold(g, slots, t, spec)
    w = w + move
    if penalty["proximal"] and penalty["l1"]:
        w = soft_threshold(w, penalty["l1"] * threshold)
    return w, slots


# ---- constraints -------------------------------------------------------------------------------------------------
def constrain(w: F64, spec: Spec | None) -> F64:
    """Keras's MaxNorm, UnitNorm, NonNeg; norms run along `axis`, or along all axes when it is -1."""
    kind = spec["kind"] if spec else "none"
    if kind == "none":
        return w
    if kind == "non_neg":
        return w * (w >= 0)
    axis = None if spec["axis"] == -1 or w.ndim == 1 else spec["axis"]
    norm = np.sqrt((w * w).sum(axis=axis, keepdims=True))
    wanted = np.clip(norm, 0, spec["value"]) if kind == "max_norm" else 1.0
    return w * wanted / (EPSILON + norm)
