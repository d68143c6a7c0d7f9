"""The oracle's last part: a Sequential network trained in float64, one readable step at a time.

It must not import fastreg nor share code with csrc. It takes the layer, loss and optimizer dicts of `_core.Session`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import reference as ref
import reference_random as random
import reference_update as rule
from reference import F64, Spec

FUSED = {"sigmoid": "binary_crossentropy", "softmax": "categorical_crossentropy"}


class Trainer:
    """weights: [kernel, bias, kernel, bias, ...] as `Session.get_weights` gives them."""

    def __init__(
        self, layers: list[Spec], weights: list[Any], loss: Spec, optimizer: Spec, seed: int = 0
    ) -> None:
        self.layers, self.loss, self.optimizer, self.seed = layers, loss, optimizer, seed
        self.weights = [np.array(w, np.float64) for w in weights]
        self.slots = [rule.initial_slots(optimizer, w) for w in self.weights]
        self.step = self.epoch = 0
        self.frozen: set[int] = set()  # parameters that are neither stepped nor penalised
        self.owner: list[tuple[Spec, str]] = []  # per parameter: its layer and "kernel" or "bias"
        for layer in layers:
            if layer["kind"] == "dense":
                self.owner += [(layer, "kernel")] + [(layer, "bias")] * layer.get("use_bias", True)

    # ---- forward -----------------------------------------------------------------------------------------------
    def forward(self, x: Any, training: bool) -> tuple[F64, list[Spec]]:
        """The output, and per layer what backward needs: input x, pre-activation z, output y, parameter index."""
        y, cache, p = np.asarray(x, np.float64), [], 0
        for layer in self.layers:
            entry: Spec = {"x": y, "p": p}
            if layer["kind"] == "dropout":
                y = self._dropout(y, layer) if training else self._dropout_at_inference(y, layer)
            else:
                z = y
                if layer["kind"] == "dense":
                    z = y @ self.weights[p]
                    p += 1
                    if layer.get("use_bias", True):
                        z = z + self.weights[p]
                        p += 1
                y = ref.activation(z, layer.get("activation", "linear"), layer.get("alpha", 0.0))
                entry["z"] = z
            entry["y"] = y
            cache.append(entry)
        return y, cache

    def _dropout(self, x: F64, layer: Spec) -> F64:
        address = layer["rate"], layer["seed"], self.step, layer["stream"]
        if layer.get("scale_at_inference"):
            return np.where(random.dropout_mask(x.shape, *address), x, 0.0)
        return random.dropout(x, *address)

    @staticmethod
    def _dropout_at_inference(x: F64, layer: Spec) -> F64:
        return x * (1 - layer["rate"]) if layer.get("scale_at_inference") else x

    # ---- objective ---------------------------------------------------------------------------------------------
    def fused(self) -> bool:
        """Cross-entropy of probabilities made by the last layer is taken from that layer's logits."""
        wanted = FUSED.get(self.layers[-1].get("activation", "linear"))
        same = self.loss["kind"] == wanted or (
            wanted == "categorical_crossentropy" and self.loss["kind"] == "sparse_categorical_crossentropy"
        )
        return same and not self.loss["from_logits"]

    def penalty(self, cache: list[Spec]) -> float:
        """Weights and activities; activities are divided by the batch size."""
        total = 0.0
        for i, (w, (layer, role)) in enumerate(zip(self.weights, self.owner, strict=True)):
            spec = rule.NO_PENALTY if i in self.frozen else layer.get(role + "_penalty", rule.NO_PENALTY)
            total += rule.penalty_value(w, spec["l1"], spec["l2"])
        for layer, entry in zip(self.layers, cache, strict=True):
            if spec := layer.get("activity_penalty"):
                total += rule.penalty_value(entry["y"], spec["l1"], spec["l2"]) / len(entry["y"])
        return total

    def data_loss(self, y_true: Any, cache: list[Spec], sample_weight: Any) -> tuple[float, F64]:
        """(value, gradient w.r.t. the output, or w.r.t. the last z where fused)."""
        spec, output = self.loss, cache[-1]["y"]
        if self.fused():
            spec, output = spec | {"from_logits": True}, cache[-1]["z"]
        value, _, gradient = ref.mean_loss(y_true, output, sample_weight, spec)
        return value, gradient

    # ---- backward and update -----------------------------------------------------------------------------------
    def gradients(self, x: Any, y_true: Any, sample_weight: Any = None) -> tuple[float, float, list[F64]]:
        """(data loss, penalty, gradient of the data loss and the activity penalties per parameter)."""
        _, cache = self.forward(x, training=True)
        value, d = self.data_loss(y_true, cache, sample_weight)
        grads: list[F64 | None] = [None] * len(self.weights)
        for index in reversed(range(len(self.layers))):
            layer, entry = self.layers[index], cache[index]
            fused = self.fused() and index == len(self.layers) - 1
            if spec := layer.get("activity_penalty"):
                assert not fused, "the oracle has no activity penalty on a fused output"
                d = d + rule.penalty_gradient(entry["y"], spec["l1"], spec["l2"]) / len(entry["y"])
            if layer["kind"] == "dropout":
                d = self._dropout(d, layer)
                continue
            if not fused:
                d = ref.activation_backward(
                    d, entry["z"], layer.get("activation", "linear"), layer.get("alpha", 0.0)
                )
            if layer["kind"] == "dense":
                p = entry["p"]
                grads[p] = entry["x"].T @ d
                if layer.get("use_bias", True):
                    grads[p + 1] = d.sum(axis=0)
                d = d @ self.weights[p].T
        return value, self.penalty(cache), [g for g in grads if g is not None]

    def train_batch(self, x: Any, y: Any, sample_weight: Any = None) -> tuple[float, float]:
        """One optimizer step; returns the (data loss, penalty) it saw before the step."""
        value, penalty, grads = self.gradients(x, y, sample_weight)
        penalties = [layer.get(role + "_penalty", rule.NO_PENALTY) for layer, role in self.owner]
        trained = [i for i in range(len(self.weights)) if i not in self.frozen]
        full = [rule.full_gradient(self.weights[i], grads[i], penalties[i]) for i in trained]
        self.step += 1
        for i, gradient in zip(trained, rule.clip(full, self.optimizer), strict=True):
            layer, role = self.owner[i]
            w, self.slots[i] = rule.apply_gradient(
                self.weights[i], gradient, self.slots[i], self.step, self.optimizer, penalties[i]
            )
            self.weights[i] = rule.constrain(w, layer.get(role + "_constraint"))
        return value, penalty

    # ---- epochs ------------------------------------------------------------------------------------------------
    def train_epoch(self, x: Any, y: Any, batch_size: int, shuffle: bool, sample_weight: Any = None) -> Spec:
        """Sums over rows, as `Session.run_steps` reports them."""
        n = len(x)
        shuffled = shuffle and batch_size < n
        order: NDArray[np.int64] = random.permutation(n, self.seed, self.epoch) if shuffled else np.arange(n)
        self.epoch += 1
        sums = {"loss": 0.0, "data_loss": 0.0, "penalty": 0.0}
        for start in range(0, n, batch_size):
            rows = order[start : start + batch_size]
            value, penalty = self.train_batch(
                x[rows], y[rows], None if sample_weight is None else sample_weight[rows]
            )
            for key, term in (("loss", value + penalty), ("data_loss", value), ("penalty", penalty)):
                sums[key] += len(rows) * term
        return sums

    def evaluate(self, x: Any, y: Any, sample_weight: Any = None) -> float:
        """Data loss plus penalties of the whole data set as one batch."""
        _, cache = self.forward(x, training=False)
        return self.data_loss(y, cache, sample_weight)[0] + self.penalty(cache)
