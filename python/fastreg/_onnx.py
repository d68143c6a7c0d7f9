"""A model as ONNX, which runtimes of other languages and machines read: what `Sequential.export` writes.

It must not know training, sessions or files: it takes layers and weights and gives bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastreg import _core
from fastreg._arrays import Array, Shape
from fastreg._sampling import inference_scale

try:
    import onnx
except ImportError as error:
    raise ImportError("export needs the package onnx: pip install 'fastreg[onnx]'") from error
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from fastreg._layer import Layer

OPSET = 17  # runtimes since the middle of 2022 read it
_OLDEST, _NEWEST = 14, onnx.defs.onnx_opset_version()  # the operators below have meant the same since 14
_MOST_BYTES = 2**31 - 2**20  # of weights; a message of protobuf has less than 2 GiB

_OPERATORS = {
    "elu": "Elu", "leaky_relu": "LeakyRelu", "relu": "Relu", "selu": "Selu", "sigmoid": "Sigmoid",
    "softmax": "Softmax", "softplus": "Softplus", "tanh": "Tanh",
}  # fmt: skip


def to_bytes(
    layers: Sequence[Layer], weights: Sequence[Array], row: Shape, dtype: str, name: str, opset: int
) -> bytes:
    """The model at inference: its input "x" (n, *row), its output "y" (n, units), both of `dtype`.

    Raises ValueError for an opset that this file or the package onnx does not know, and for 2 GiB of weights.
    """
    if not _OLDEST <= opset <= _NEWEST:
        raise ValueError(f"opset_version must be in [{_OLDEST}, {_NEWEST}], not {opset}")
    size = sum(array.nbytes for array in weights)
    if size > _MOST_BYTES:
        raise ValueError(f"the model has {size:,} bytes of weights; an ONNX file holds less than 2 GiB")
    graph = _Graph(np.dtype(dtype))
    units = graph.add_layers(layers, list(weights), row)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x, y = (
        helper.make_tensor_value_info(at, element, ["n", *shape])
        for at, shape in (("x", row), ("y", (units,)))
    )
    versions = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, [x], [y], graph.constants),
        producer_name="fastreg",
        producer_version=_core.build_info()["version"],
        opset_imports=versions,
        ir_version=helper.find_min_ir_version_for(versions),
    )
    data: bytes = model.SerializeToString()
    return data


class _Graph:
    """Nodes and constants, in order; a node and what it gives have the same name."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add_layers(self, layers: Sequence[Layer], weights: list[Array], row: Shape) -> int:
        """All between "x" and "y"; returns the width of that."""
        value, units = "x", math.prod(row)
        if len(row) > 1:
            value = self._node("flat", "Flatten", value, axis=1)
        for layer in layers:
            described, name = layer.native(0, 0), f"layers/{layer.name}"
            if described["kind"] == "dropout":
                value = self._scaled(f"{name}/scaled", value, inference_scale(described))
                continue
            if described["kind"] == "dense":
                count = 1 + described["use_bias"]
                own, weights = weights[:count], weights[count:]
                named = [
                    self._constant(f"{name}/{kind}", array) for kind, array in zip(layer.weight_names, own)
                ]
                value, units = self._node(f"{name}/z", "Gemm", value, *named), own[0].shape[1]
            value = self._activated(name, value, described["activation"], described["alpha"])
        self._node("y", "Identity", value)
        return units

    def _activated(self, name: str, z: str, kind: str, alpha: float) -> str:
        """What an activation of rules/activation.h gives for `z`."""
        if kind == "linear":
            return z
        if kind == "silu":
            return self._node(f"{name}/y", "Mul", z, self._node(f"{name}/sigmoid", "Sigmoid", z))
        if kind == "gelu":
            erf = self._node(f"{name}/erf", "Erf", self._scaled(f"{name}/scaled", z, math.sqrt(0.5)))
            one = self._constant(f"{name}/one", 1.0)
            half = self._scaled(f"{name}/half", z, 0.5)
            return self._node(f"{name}/y", "Mul", half, self._node(f"{name}/one_plus_erf", "Add", erf, one))
        settings = {"alpha": alpha} if kind in ("elu", "leaky_relu") else {}
        return self._node(f"{name}/{kind}", _OPERATORS[kind], z, **settings)

    def _scaled(self, name: str, value: str, factor: float) -> str:
        return value if factor == 1 else self._node(name, "Mul", value, self._constant(f"{name}/by", factor))

    def _node(self, name: str, operator: str, *inputs: str, **settings: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **settings))
        return name

    def _constant(self, name: str, value: Array | float) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, self._dtype), name))
        return name
